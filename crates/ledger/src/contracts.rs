//! What members fix for the chain of contracts: its id, and the rules of which fork it follows.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use verify::Digest;

use crate::kv::State;
use crate::tables::{EVM_HEAD, FEATURES, GENESIS, SINGLETON};

/// The name of these settings among the features.
pub const FEATURE: &str = "contracts";

/// Wallets take no larger id of a chain: more would not be a whole number in JavaScript.
const CHAIN_ID_MAX: u64 = (1 << 52) - 1;

/// A set of rules that Ethereum once went over to. They differ in what code can do and what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fork {
    /// March 2024.
    Cancun,
    /// May 2025.
    Prague,
    /// December 2025.
    #[default]
    Osaka,
}

/// Who sees what was sent to contracts, and what they keep.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Whoever may read.
    #[default]
    Open,
    /// Who took part, whom a contract itself names, and auditors.
    Confidential,
}

/// The settings, as they stand among the features.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    fork: Option<Fork>,
    mode: Option<Mode>,
    chain_id: Option<u64>,
}

/// What holds for the next transaction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Tells this chain from others: what was signed for one is not valid on another.
    pub chain_id: u64,
    /// What code can do.
    pub fork: Fork,
    /// Who sees what.
    pub mode: Mode,
}

impl Rules {
    /// What members decided, else the newest fork and an id that follows from how the ledger began.
    pub fn of(state: &(impl State + ?Sized)) -> Self {
        let settings = state.value(&FEATURES, FEATURE.as_bytes());
        // Members' settings are checked when they are proposed.
        let Settings {
            fork,
            mode,
            chain_id,
        } = settings
            .and_then(|row| serde_json::from_slice(&row).ok())
            .unwrap_or_default();
        Self {
            chain_id: chain_id.unwrap_or_else(|| own_chain_id(state)),
            fork: fork.unwrap_or_default(),
            mode: mode.unwrap_or_default(),
        }
    }
}

/// Whether members can decide on these settings.
///
/// # Errors
/// They are no settings of this feature; the text says why.
pub(crate) fn check(settings: &Value) -> Result<(), String> {
    let known = serde_json::from_value::<Settings>(settings.clone());
    let known = known.map_err(|error| format!("the argument \"settings\": {error}"))?;
    match known.chain_id {
        Some(id) if id == 0 || id > CHAIN_ID_MAX => {
            Err(format!("the chain's id must be from 1 to {CHAIN_ID_MAX}"))
        }
        _ => Ok(()),
    }
}

/// Whether they can go over to these settings, or to none, now.
///
/// # Errors
/// What was signed for the chain would not be valid on it any more.
pub(crate) fn may_follow(state: &dyn State, settings: Option<&Value>) -> Result<(), String> {
    if state.value(&EVM_HEAD, &SINGLETON).is_none() {
        return Ok(());
    }
    let chosen = settings.and_then(|settings| settings.get("chain_id")?.as_u64());
    let now = Rules::of(state).chain_id;
    if chosen.unwrap_or_else(|| own_chain_id(state)) == now {
        Ok(())
    } else {
        Err(format!("the chain has transactions, so its id stays {now}"))
    }
}

fn own_chain_id(state: &(impl State + ?Sized)) -> u64 {
    let genesis = state.value(&GENESIS, &SINGLETON).unwrap_or_default();
    default_chain_id(&Digest::of(&genesis))
}

/// Wallets take 52 bits; short enough to be read aloud, and not one of those that others registered,
/// which are below.
fn default_chain_id(genesis: &Digest) -> u64 {
    let [a, b, c, d, ..] = genesis.0;
    (1 << 32) + u64::from(u32::from_be_bytes([a, b, c, d]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::{MemoryState, Tx};
    use serde_json::json;

    fn with(settings: &'static str) -> Rules {
        let mut state = MemoryState::default();
        let put = move |tx: &mut Tx<'_>| {
            tx.put(FEATURES, FEATURE.as_bytes(), settings.as_bytes());
            Ok(Digest::ZERO)
        };
        state.run(put).unwrap();
        Rules::of(&state)
    }

    #[test]
    fn members_choose_the_fork_and_the_chains_id() {
        let rules = with(r#"{"fork": "prague", "chain_id": 7}"#);
        assert_eq!((rules.fork, rules.chain_id), (Fork::Prague, 7));
    }

    #[test]
    fn without_a_choice_the_id_follows_from_how_the_ledger_began() {
        let rules = with("{}");
        assert_eq!(rules.fork, Fork::Osaka);
        assert_eq!(rules, Rules::of(&MemoryState::default()));
        assert!(rules.chain_id > u64::from(u32::MAX));
    }

    #[test]
    fn settings_that_mean_nothing_are_refused() {
        assert_eq!(check(&json!({ "fork": "prague", "chain_id": 1 })), Ok(()));
        for wrong in [
            json!({ "fork": "frontier" }),
            json!({ "chain_id": 0 }),
            json!({ "chain_id": CHAIN_ID_MAX + 1 }),
            json!({ "chain_id": "7" }),
            json!({ "gas": 1 }),
        ] {
            assert!(check(&wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_chain_that_has_begun_keeps_its_id() {
        let mut state = MemoryState::default();
        let other = json!({ "chain_id": 7 });
        assert_eq!(may_follow(&state, Some(&other)), Ok(()));
        let begin = |tx: &mut Tx<'_>| {
            tx.put(EVM_HEAD, SINGLETON, *b"head");
            Ok(Digest::ZERO)
        };
        state.run(begin).unwrap();
        assert!(may_follow(&state, Some(&other)).is_err());
        let fork = json!({ "fork": "prague" });
        assert_eq!(may_follow(&state, Some(&fork)), Ok(()));
        assert_eq!(may_follow(&state, None), Ok(()));
    }
}
