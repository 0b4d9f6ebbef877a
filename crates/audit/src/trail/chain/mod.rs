//! Events as records of the verifiability contracts (`contracts-sol`), on a ledger of ours or on any other
//! chain.
//!
//! Every participant has an account and a contract with a Bitacora; what one does is a transaction of that
//! account. The chain has the SHA-256 digest of an event's canonical JSON, its operation, where it came
//! from, what it was aimed at, and as *what* the record, its version and what was done. The event's own
//! text is in the receipt that is handed out ([`document`]).
//!
//! A participant may keep its key itself: then it signs the transactions of its events ([`presigned`]). What the
//! services notice of it, and of those who stand outside of the tree, is in the root's log: that they logged in,
//! what they read, what became of their account. Nobody signs for them.
//!
//! The event that brings somebody into the tree is the transaction that makes their contract, sent by the
//! account of the one whom they come under. The contracts refuse whoever may not.

mod abi;
mod accounts;
mod document;
mod error;
mod keys;
mod numbers;
mod offline;
mod outboxes;
mod presigned;
mod recording;
mod sender;
mod suited;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use alloy_primitives::{Address, TxHash};
use connector::{Evidence, HeldKey, Network, OutboxError, Profile, SignerError, Trust};
use verify::ethereum::Hex;
use verify::{Cert, Verifier};

use super::act::{self, Act, Answering};
use super::log::{Asking, EventLog, LogError, Outgoing, Recorded, Signer, ToSign};
use super::receipt::Receipt;
use super::store::Store;
use crate::Problem;
use crate::database::Database;
use crate::model::{Event, Operation, Text};
use accounts::{Account, Accounts, Contract, written};
use document::Document;
pub use document::InTree;
pub use error::ChainError;
pub use keys::MasterKey;
pub use offline::{Unproven, check, is_chain_event};
use sender::Sender;

/// How a chain is reached, and what of it is kept here.
#[derive(Debug)]
pub struct ChainSettings {
    /// The network.
    pub profile: Profile,
    /// The certificate that receipts are checked with, on a ledger of ours.
    pub service_cert: Option<Cert>,
    /// The folder of the outboxes, for one process; not used where the database is one of several replicas.
    pub folder: PathBuf,
    /// The key under which the keys of participants are kept.
    pub master: MasterKey,
    /// The root of the tree, where one knows it: whoever changes the database then does not change that.
    /// None: as the database has it, and until it has one, events are none.
    pub root: Option<Hex<20>>,
}

/// The contracts on a chain.
///
/// The text of an event is not on the chain. So [`EventLog::fetch`] has the events alone that the database
/// has too, and proves those anew; where the database lost one, its owner still has it in the receipt.
#[derive(Debug)]
pub struct ChainLog {
    network: Network,
    /// On a ledger of ours.
    verifier: Option<Verifier>,
    accounts: Accounts,
    sender: Sender,
    master: MasterKey,
    root: OnceLock<Address>,
    store: Store,
}

impl ChainLog {
    /// Connects to the chain, and takes the folder of the outboxes.
    ///
    /// # Errors
    /// See [`ChainError`].
    pub async fn open(settings: ChainSettings, database: Database) -> Result<Self, ChainError> {
        let ChainSettings {
            profile,
            service_cert,
            folder,
            master,
            root,
        } = settings;
        if profile.evidence == Evidence::Ledger && service_cert.is_none() {
            return Err(ChainError::NoCertificate);
        }
        let accounts = Accounts::new(database.clone(), profile.chain_id);
        let kept = accounts.root().await.map_err(ChainError::Database)?;
        let kept = kept
            .and_then(|root| root.contract)
            .map(|contract| contract.address);
        let named = root.map(|root| Address::from(root.0));
        if let (Some(named), Some(kept)) = (named, kept)
            && named != kept
        {
            return Err(ChainError::OtherRoot { named, kept });
        }
        let network = Network::connect(profile).await?;
        let root = named.or(kept);
        // A ledger of ours has what it takes, and another one is found out by its receipts.
        if network.profile().evidence == Evidence::Header {
            suited::check(&network, root).await?;
        }
        let sender = Sender::open(&folder, &network, &accounts).await?;
        Ok(Self {
            sender,
            network,
            verifier: service_cert.map(Verifier::new),
            accounts,
            master,
            root: root.map_or_else(OnceLock::new, OnceLock::from),
            store: Store::new(database),
        })
    }

    /// The root of the tree, once there is one. Another replica may have made it.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn root(&self) -> Result<Option<Hex<20>>, Problem> {
        let root = self.tree().await?;
        Ok(root.map(|root| Hex(root.0.0)))
    }

    async fn tree(&self) -> Result<Option<Address>, sqlx::Error> {
        if let Some(root) = self.root.get() {
            return Ok(Some(*root));
        }
        let root = self.accounts.root().await?;
        let root = root.and_then(|root| root.contract);
        Ok(root.map(|contract| *self.root.get_or_init(|| contract.address)))
    }

    /// A participant's account on the chain, once it has one.
    ///
    /// # Errors
    /// The database does not answer.
    pub async fn account(&self, who: &Text) -> Result<Option<Hex<20>>, Problem> {
        let member = self.accounts.member(who).await?;
        Ok(member.map(|member| Hex(member.account.0.0)))
    }

    /// A participant of the tree, with its contract.
    async fn member(&self, who: &Text) -> Result<(Arc<Account>, Contract), LogError> {
        let member = self.accounts.member(who).await.map_err(unknown)?;
        let contract = member.and_then(|member| member.contract.map(|contract| (member, contract)));
        contract.ok_or_else(|| {
            let detail = format!(
                "{who} has no contract on the chain: an administrator has to bring them into the tree first"
            );
            LogError::Told(Problem::conflict("NotEnrolled", detail))
        })
    }

    /// The key of an account, where it is kept here.
    fn key(&self, account: Address, sealed: &str) -> Result<HeldKey, OutboxError> {
        let key = self.master.open(account, sealed);
        let other = || SignerError::Refused("it was sealed under another master key".to_owned());
        Ok(key.ok_or_else(other)?)
    }

    async fn checked(
        &self,
        address: &act::Address,
        document: &Document,
    ) -> Result<Event, LogError> {
        let proof = LogError::Proof;
        let Some(root) = self.tree().await.map_err(unknown)? else {
            return Err(proof("no tree is known here".to_owned()));
        };
        let trust = match (&self.verifier, document.proof.block()) {
            (Some(verifier), _) => Trust::Service(verifier),
            (None, Some((hash, number))) => {
                let now = self
                    .network
                    .block_hash(number)
                    .await
                    .map_err(error::of_network)?;
                if now != Some(hash) {
                    return Err(proof("the chain does not have the block".to_owned()));
                }
                Trust::Block(hash)
            }
            (None, None) => return Err(proof("it is no proof of this network".to_owned())),
        };
        let chain = self.network.profile().chain_id;
        let event = document.event(address, root, chain, trust);
        let event = event.map_err(proof)?;
        self.is_its_own(&event, address).await?;
        Ok(event)
    }

    /// That nobody signed for a participant that keeps its key itself.
    async fn is_its_own(&self, event: &Event, address: &act::Address) -> Result<(), LogError> {
        let member = self.accounts.member(&event.who).await.map_err(unknown)?;
        let Some(member) = member.filter(|member| member.sealed.is_none()) else {
            return Ok(());
        };
        let own = member.contract.map(|contract| written(contract.address));
        let root = self.tree().await.map_err(unknown)?.map(written);
        let log = Some(&address.contract_address);
        match own.as_ref() == log || (root.as_ref() == log && is_noticed(event)) {
            true => Ok(()),
            false => Err(LogError::Proof(
                "its participant keeps the key itself, and did not sign it".to_owned(),
            )),
        }
    }

    /// The event at an address whose text the database has, proven anew.
    async fn looked_up(
        &self,
        address: &act::Address,
    ) -> Result<Option<(Event, Receipt)>, LogError> {
        let row = self.store.at(address).await.map_err(unknown)?;
        let contract = self.accounts.contract(&address.contract_address).await;
        let contract = contract.map_err(unknown)?;
        let hash = address.transaction_address.parse::<TxHash>().ok();
        let (Some(row), Some(contract), Some(hash)) = (row, contract, hash) else {
            return Ok(None);
        };
        let receipt = self
            .network
            .receipt(hash)
            .await
            .map_err(error::of_network)?;
        let Some(receipt) = receipt else {
            return Ok(None);
        };
        let proof = self.proof(&receipt).await?;
        let Some(root) = self.tree().await.map_err(unknown)? else {
            return Ok(None);
        };
        // Whoever changed one of the two texts has perhaps left the other.
        let kept = row.receipt.and_then(|text| Receipt::parse(text).ok());
        let kept = kept.and_then(|receipt| Document::read(&receipt).ok());
        let kept = kept.as_ref().map(|kept| &kept.event[..]);
        for text in [Some(&row.event[..]), kept].into_iter().flatten() {
            let document = Document::new(text, root, contract.place, proof.clone());
            if let Ok(event) = self.checked(address, &document).await {
                return Ok(Some((event, document.to_receipt())));
            }
        }
        Ok(None)
    }
}

impl EventLog for ChainLog {
    fn log_of<'a>(&'a self, act: &'a Act, signer: Signer) -> Asking<'a, String> {
        Box::pin(self.log_before(act, signer))
    }

    fn to_sign<'a>(&'a self, unsigned: Outgoing<'a>) -> Asking<'a, ToSign> {
        Box::pin(self.unsigned(unsigned))
    }

    fn check_signed<'a>(&'a self, sent: Outgoing<'a>, signed: &'a str) -> Asking<'a, ()> {
        Box::pin(self.may_be_sent(sent, signed))
    }

    fn record<'a>(&'a self, sent: Outgoing<'a>) -> Asking<'a, Recorded> {
        Box::pin(self.send(sent))
    }

    fn find<'a>(&'a self, sent: Outgoing<'a>, _: Option<&'a str>) -> Asking<'a, Option<Recorded>> {
        Box::pin(self.sent(sent))
    }

    fn fetch<'a>(&'a self, address: &'a act::Address) -> Asking<'a, Option<(Event, Receipt)>> {
        Box::pin(self.looked_up(address))
    }

    fn root(&self) -> Answering<'_, Option<String>> {
        Box::pin(async { Ok(self.tree().await?.map(written)) })
    }

    fn proven<'a>(&'a self, address: &'a act::Address, receipt: &'a Receipt) -> Asking<'a, Event> {
        Box::pin(async move {
            let document = Document::read(receipt).map_err(LogError::Proof)?;
            self.checked(address, &document).await
        })
    }

    fn account<'a>(&'a self, who: &'a Text) -> Answering<'a, Option<String>> {
        Box::pin(async move {
            let account = Self::account(self, who).await?;
            Ok(account.map(|account| account.to_string()))
        })
    }
}

/// The database does not answer, so nothing is known of the event.
fn unknown(error: sqlx::Error) -> LogError {
    LogError::InDoubt(document::in_words(&error))
}

fn own_key() -> LogError {
    LogError::Told(Problem::conflict(
        "OwnKey",
        "you keep your key yourself, so nobody here signs for you: send the same under /v1/prepared, sign the \
         transaction that comes back, and hand it in",
    ))
}

/// Whether it is something that the services notice of a participant, and not what the participant does to data.
fn is_noticed(event: &Event) -> bool {
    let services = ["session-", "user-", "permission-"];
    let record = event.record.as_str();
    event.how == Operation::Read || services.iter().any(|begin| record.starts_with(begin))
}
