//! `[chain]` of the configuration: an Ethereum chain of others, on which the contracts are.

use std::num::NonZeroU64;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use audit::database::Database;
use audit::trail::ChainLog;
use audit::trail::chain::{ChainSettings, MasterKey};
use connector::{Fees, Finality, Profile, Replace};
use serde::Deserialize;
use verify::Cert;
use verify::ethereum::Hex;

use super::config::{Config, Connector};
use super::files;
use crate::report::Failure;

/// On a market, more is offered for what no block took for so long,
const RAISED_AFTER: Duration = Duration::from_secs(120);
/// and by so much: most nodes want 10 %, some 12.5 %.
const RAISED_BY_PERCENT: u32 = 13;

/// `[chain]`
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Chain {
    /// A node of it, `https://host`; `http` on this machine alone.
    url: String,
    /// Its number (EIP-155). A node of another is refused.
    pub(super) id: u64,
    /// What kind of network it is. Default: `consortium`.
    #[serde(default)]
    network: Kind,
    /// Certificates (PEM) to trust in place of those that this machine trusts. Default: those.
    trust: Option<PathBuf>,
    /// A file with a bearer token for the node, which only its owner may read. Default: none.
    bearer_file: Option<PathBuf>,
    /// A file with a client certificate for the node and its key (PEM), which only its owner may read. Default:
    /// none.
    identity_file: Option<PathBuf>,
    /// With how many blocks, its own included, an event is final. Default: in a consortium it is at once, and
    /// elsewhere when the network says so.
    confirmations: Option<NonZeroU64>,
    /// What a consortium that is not free takes for each gas, in wei. Default: nothing.
    gas_price: Option<u64>,
    /// What is offered where a market makes the price. A public network needs it.
    market: Option<Market>,
    /// The root of the tree. Default: as the database has it.
    root: Option<Hex<20>>,
}

/// `network`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    /// Final at once, and free unless it is said otherwise: QBFT, IBFT 2, Raft.
    #[default]
    Consortium,
    /// Proof of stake, and a market.
    Public,
}

/// `[chain.market]`, in wei for each gas.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Market {
    /// Never offer more, base fee and tip together.
    cap: u64,
    /// Never tip more.
    tip_max: u64,
    /// Tip what this per cent of the gas in recent blocks tipped at most. Default: 50.
    #[serde(default = "Market::middle")]
    percentile: u8,
}

impl Market {
    const fn middle() -> u8 {
        50
    }

    fn bid(&self) -> connector::Market {
        let cap = u128::from(self.cap);
        connector::Market {
            cap,
            tip_max: u128::from(self.tip_max),
            percentile: self.percentile,
            replace: Some(Replace {
                after: RAISED_AFTER,
                bump_percent: RAISED_BY_PERCENT,
                cap,
            }),
        }
    }
}

impl Chain {
    /// Refuses what cannot be meant.
    pub(super) fn check(&self, connector: Connector) -> Result<(), Failure> {
        let wrong = |what: &str| Err(Failure::unreadable(what));
        if connector != Connector::Contracts {
            return wrong(
                "[chain] needs connector = \"contracts\": events go to another chain through contracts alone",
            );
        }
        match (self.network, self.gas_price, &self.market) {
            (Kind::Public, Some(_), _) => {
                wrong("gas_price is for a consortium: say [chain.market] for a public network")
            }
            (Kind::Public, None, None) => {
                wrong("a public network is paid: say in [chain.market] what it may cost")
            }
            (_, Some(_), Some(_)) => {
                wrong("a network has a fixed gas_price or a [chain.market], not both")
            }
            (.., Some(market)) if market.percentile > 100 => {
                wrong("percentile in [chain.market] is at most 100")
            }
            _ => Ok(()),
        }
    }

    /// The files that it names.
    pub(super) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        let named = [
            &mut self.trust,
            &mut self.bearer_file,
            &mut self.identity_file,
        ];
        named.into_iter().flatten()
    }

    /// How it is reached, paid and believed.
    fn profile(&self) -> Result<Profile> {
        let mut profile = match (self.network, &self.market) {
            (Kind::Public, Some(market)) => Profile::public(&self.url, self.id, market.bid()),
            _ => Profile::consortium(&self.url, self.id),
        };
        if let Some(price) = self.gas_price {
            profile.fees = Fees::Legacy {
                price: u128::from(price),
                replace: None,
            };
        }
        if let Some(market) = &self.market {
            profile.fees = Fees::Market(market.bid());
        }
        if let Some(count) = self.confirmations {
            profile.finality = Finality::Confirmations(count.get());
        }
        if let Some(path) = &self.trust {
            let pem = std::fs::read_to_string(path).map_err(Failure::reading(path))?;
            profile.trust = Some(pem);
        }
        let secret = |path: &Option<PathBuf>| -> Result<Option<String>> {
            let text = path.as_deref().map(files::secret).transpose()?;
            Ok(text.map(|text| text.to_string()))
        };
        profile.bearer = secret(&self.bearer_file)?;
        profile.identity = secret(&self.identity_file)?;
        Ok(profile)
    }

    /// The contracts on it.
    pub(super) async fn log(&self, config: &Config, database: &Database) -> Result<ChainLog> {
        let settings = ChainSettings {
            root: self.root,
            ..settings(config, self.profile()?, None)?
        };
        let log = ChainLog::open(settings, database.clone()).await;
        log.with_context(|| format!("chain {} of the configuration cannot be used", self.id))
    }
}

/// What contracts need, wherever they are.
pub(super) fn settings(
    config: &Config,
    profile: Profile,
    service_cert: Option<Cert>,
) -> Result<ChainSettings> {
    Ok(ChainSettings {
        profile,
        service_cert,
        folder: config.dir.join("outboxes"),
        master: MasterKey::new(&*files::master_key(&config.master_key())?),
        root: None,
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    use super::*;

    /// A configuration whose `[chain]` has these lines.
    fn read(dir: &Path, lines: &str) -> Result<Config, String> {
        let path = dir.join("audit.toml");
        let text = format!("connector = \"contracts\"\n[chain]\n{lines}");
        std::fs::write(&path, text).unwrap();
        Config::read(&path).map_err(|failure| format!("{:#}", anyhow::Error::from(failure)))
    }

    const NODE: &str = "url = \"https://besu.example\"\nid = 1337\n";
    const MARKET: &str = "[chain.market]\ncap = 80_000_000_000\ntip_max = 2_000_000_000\n";

    fn profile(lines: &str) -> Profile {
        let dir = tempfile::tempdir().unwrap();
        let config = read(dir.path(), &format!("{NODE}{lines}")).unwrap();
        config.chain.unwrap().profile().unwrap()
    }

    #[test]
    fn a_node_and_a_number_are_a_free_consortium_that_is_final_at_once() {
        let profile = profile("");
        assert_eq!(
            (&profile.url[..], profile.chain_id),
            ("https://besu.example", 1337)
        );
        assert_eq!(
            (profile.fees, profile.finality),
            (Fees::Free, Finality::Immediate)
        );
        assert_eq!(
            (profile.trust, profile.bearer, profile.identity),
            (None, None, None)
        );
    }

    #[test]
    fn fees_and_finality_are_what_is_said() {
        let paid = profile("gas_price = 1_000\nconfirmations = 12");
        let price = Fees::Legacy {
            price: 1_000,
            replace: None,
        };
        assert_eq!(
            (paid.fees, paid.finality),
            (price, Finality::Confirmations(12))
        );
        let public = profile(&format!("network = \"public\"\n{MARKET}"));
        assert_eq!(public.finality, Finality::Tag);
        let Fees::Market(market) = public.fees else {
            panic!("{:?}", public.fees);
        };
        assert_eq!(
            (market.cap, market.tip_max),
            (80_000_000_000, 2_000_000_000)
        );
        assert_eq!(market.percentile, 50);
        assert_eq!(market.replace.map(|replace| replace.cap), Some(market.cap));
        let consortium = profile(&format!("{MARKET}percentile = 60"));
        assert_eq!(consortium.finality, Finality::Immediate);
        assert!(matches!(consortium.fees, Fees::Market(market) if market.percentile == 60));
    }

    #[test]
    fn what_cannot_be_meant_is_refused_and_said() {
        let dir = tempfile::tempdir().unwrap();
        for (lines, why) in [
            ("network = \"public\"", "what it may cost"),
            ("network = \"public\"\ngas_price = 1", "is for a consortium"),
            (&format!("gas_price = 1\n{MARKET}"), "not both"),
            (&format!("{MARKET}percentile = 101"), "at most 100"),
            ("network = \"privat\"", "privat"),
            ("confirmations = 0", "nonzero"),
            ("gas_price = -1", "gas_price"),
            ("gasprice = 1", "gasprice"),
            ("[chain.market]\ncap = 1", "tip_max"),
            ("root = \"0x00\"", "1 bytes where 20"),
            ("bearer = \"hush\"", "bearer"),
        ] {
            let refused = read(dir.path(), &format!("{NODE}{lines}")).unwrap_err();
            assert!(refused.contains(why), "{lines}: {refused}");
        }
        assert!(read(dir.path(), "id = 1").unwrap_err().contains("url"));
        let path = dir.path().join("other.toml");
        std::fs::write(&path, format!("[chain]\n{NODE}")).unwrap();
        let refused = Config::read(&path).unwrap_err().to_string();
        assert!(
            refused.contains("needs connector = \"contracts\""),
            "{refused}"
        );
    }

    #[test]
    fn files_are_beside_the_configuration_and_secrets_are_their_owners() {
        let dir = tempfile::tempdir().unwrap();
        let files = "trust = \"ca.pem\"\nbearer_file = \"token\"\nidentity_file = \"me.pem\"\n";
        let root = format!("root = \"0x{}\"\n", "ab".repeat(20));
        let config = read(dir.path(), &format!("{NODE}{files}{root}")).unwrap();
        let chain = config.chain.unwrap();
        assert_eq!(chain.root, Some(Hex([0xab; 20])));
        for (name, text) in [("ca.pem", "ca"), ("token", "hush\n"), ("me.pem", "key")] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let mode = |name: &str, mode| {
            let permissions = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(dir.path().join(name), permissions).unwrap();
        };
        for (open, closed) in [("token", "me.pem"), ("me.pem", "token")] {
            mode(open, 0o640);
            mode(closed, 0o600);
            let refused = chain.profile().unwrap_err().to_string();
            assert!(
                refused.contains("others than its owner") && refused.contains(open),
                "{refused}"
            );
        }
        mode("me.pem", 0o600);
        let profile = chain.profile().unwrap();
        assert_eq!(profile.trust.as_deref(), Some("ca"));
        assert_eq!(profile.bearer.as_deref(), Some("hush"));
        assert_eq!(profile.identity.as_deref(), Some("key"));
    }
}
