//! From an event to a final transaction, and from that to its receipt.

use std::sync::Arc;

use alloy_primitives::Address;
use connector::proof::Proof;
use connector::{Call, Fees, Receipt};

use super::accounts::{Account, Contract, written};
use super::document::{Document, ROOT_PLACE, place_of, written_hash};
use super::{ChainLog, abi, error, own_key, unknown};
use crate::Problem;
use crate::limits::EVENT_GAS;
use crate::model::{Event, Operation, Text};
use crate::trail::act::{self, Act, Enrolment, Kind};
use crate::trail::log::{LogError, Outgoing, Recorded, Signer};

impl ChainLog {
    /// The contract whose log an event will be in, before it is sent.
    pub(super) async fn log_before(&self, act: &Act, signer: Signer) -> Result<String, LogError> {
        if let Some(enrol) = &act.enrol {
            self.may_come(enrol).await?;
            if enrol.kind == Kind::Root {
                // Its contract is made by the transaction; nothing was sent by its account before.
                let account = self.candidate(enrol).await?;
                return Ok(written(account.account.create(0)));
            }
            let (account, contract) = self.member(sender(&act.who, Some(enrol))).await?;
            return match (signer == signs_for(&account), signer) {
                (true, _) => Ok(written(contract.address)),
                (false, Signer::Service) => Err(own_key()),
                (false, Signer::Participant) => Err(key_kept_here()),
            };
        }
        let is_noticed = act.ours || act.how == Operation::Read;
        let root = self.tree().await.map_err(unknown)?;
        match (self.member(&act.who).await, root) {
            (Ok((account, contract)), _) if signer == signs_for(&account) => {
                Ok(written(contract.address))
            }
            (Ok((account, _)), _) if account.sealed.is_some() => Err(key_kept_here()),
            (Ok(_) | Err(LogError::Told(_)), Some(root))
                if is_noticed && signer == Signer::Service =>
            {
                Ok(written(root))
            }
            (Ok(_), _) => Err(own_key()),
            (Err(error), _) => Err(error),
        }
    }

    /// Sends an event, and waits until it is final.
    pub(super) async fn send(&self, sent: Outgoing<'_>) -> Result<Recorded, LogError> {
        let account = self.sending(sent).await?;
        let sealed = match (&account.sealed, sent.signed) {
            (Some(sealed), _) => sealed,
            (None, Some(signed)) => return self.deliver(sent, signed, false).await,
            (None, None) => return Err(own_key()),
        };
        let account = account.account;
        let call = self.call(sent).await?;
        let key = || self.key(account, sealed);
        let receipt = self.sender.transact(account, key, call, sent).await?;
        self.recorded(sent.text, &receipt).await
    }

    /// Looks for an event that may have been sent. What is signed is brought to its end.
    pub(super) async fn sent(&self, sent: Outgoing<'_>) -> Result<Option<Recorded>, LogError> {
        let account = self.sending(sent).await?;
        let sealed = match (&account.sealed, sent.signed) {
            (Some(sealed), _) => sealed,
            (None, Some(signed)) => return self.deliver(sent, signed, true).await.map(Some),
            (None, None) => return Err(own_key()),
        };
        let account = account.account;
        let key = || self.key(account, sealed);
        match self.sender.find(account, key, sent).await? {
            Some(receipt) => self.recorded(sent.text, &receipt).await.map(Some),
            None => Ok(None),
        }
    }

    /// How to see what a transaction did.
    pub(super) async fn proof(&self, receipt: &Receipt) -> Result<Proof, LogError> {
        Proof::of(&self.network, receipt)
            .await
            .map_err(error::of_proof)
    }

    /// The account that sends an event: that of the one whom somebody comes under, of whoever acts, or of the root
    /// for what is noticed of others.
    pub(super) async fn sending(&self, sent: Outgoing<'_>) -> Result<Account, LogError> {
        if let Some(root) = sent.enrol.filter(|enrol| enrol.kind == Kind::Root) {
            // What a crash left: the chain has the contract, and the database has it or not.
            return match self
                .accounts
                .member(&root.participant)
                .await
                .map_err(unknown)?
            {
                Some(member) => Ok((*member).clone()),
                None => self.candidate(root).await,
            };
        }
        let (account, _) = self.acting(sent).await?;
        Ok((*account).clone())
    }

    /// Whose account and contract record an event that does not make the tree.
    async fn acting(&self, sent: Outgoing<'_>) -> Result<(Arc<Account>, Contract), LogError> {
        let member = self.member(sender(&sent.event.who, sent.enrol)).await;
        let root = self.tree().await.map_err(unknown)?;
        if sent.enrol.is_some() || root.map(written).as_deref() != Some(sent.log) {
            return member.map_err(not_known_now);
        }
        match member {
            Ok((account, contract)) if Some(contract.address) == root => Ok((account, contract)),
            Ok(_) | Err(LogError::Told(_)) => {
                let account = self.accounts.root().await.map_err(unknown)?;
                let account = account.and_then(|root| Some((root.contract?, root)));
                let (contract, root) = account.ok_or_else(|| {
                    LogError::Refused("the root's account is not known".to_owned())
                })?;
                Ok((Arc::new(root), contract))
            }
            Err(error) => Err(error),
        }
    }

    pub(super) async fn call(&self, sent: Outgoing<'_>) -> Result<Call, LogError> {
        let Outgoing {
            event, text, enrol, ..
        } = sent;
        let Some(enrol) = enrol else {
            let (_, contract) = self.acting(sent).await?;
            return Ok(self.adding(contract, event, text));
        };
        let (words, hash) = (abi::Words::of(event), abi::content_hash(text));
        if event.how != Operation::Create {
            return Err(LogError::Told(Problem::input(
                "who comes into the tree is a record that is created",
            )));
        }
        if enrol.kind == Kind::Root {
            return Ok(Call::deploying(abi::root(&words, hash)));
        }
        let under = self.member(sender(&event.who, Some(enrol))).await;
        let (_, under) = under.map_err(not_known_now)?;
        let key = match self
            .accounts
            .member(&enrol.participant)
            .await
            .map_err(unknown)?
        {
            Some(member) => member.account,
            None => self.candidate(enrol).await?.account,
        };
        let input = match enrol.kind {
            Kind::TUser => abi::add_user(key, &enrol.role, &words, hash),
            _ => abi::add_administrator(key, &words, hash),
        };
        Ok(Call::of(under.address, input))
    }

    /// The call that records an event in a participant's contract.
    fn adding(&self, contract: Contract, event: &Event, text: &str) -> Call {
        let input = abi::add_event(&abi::Words::of(event), abi::content_hash(text));
        let mut call = Call::of(contract.address, input);
        if matches!(self.network.profile().fees, Fees::Free) {
            call.gas = Some(EVENT_GAS);
        }
        call
    }

    /// Whether somebody may come into the tree, as far as is known here.
    async fn may_come(&self, enrol: &Enrolment) -> Result<(), LogError> {
        let told = |detail: String| Err(LogError::Told(Problem::conflict("Exists", detail)));
        let who = &enrol.participant;
        if self.accounts.member(who).await.map_err(unknown)?.is_some() {
            return told(format!("{who} has a contract on the chain already"));
        }
        if enrol.kind != Kind::Root {
            return Ok(());
        }
        if enrol.key.is_some() {
            let detail = "the root's key signs the making of the tree: this service has to keep it";
            return Err(LogError::Told(Problem::input(detail).at("/enrol/key")));
        }
        if self.tree().await.map_err(unknown)?.is_some() {
            return told("there is a tree already, and it has one root".to_owned());
        }
        Ok(())
    }

    /// The account of somebody who is not in the tree yet: the one that was named, or one that is made here.
    async fn candidate(&self, enrol: &Enrolment) -> Result<Account, LogError> {
        let who = &enrol.participant;
        let (account, sealed) = match enrol.key {
            Some(key) => (Address::from(key.0), None),
            None => {
                if let Some(made) = self.accounts.candidate(who).await.map_err(unknown)? {
                    return Ok(made);
                }
                let (key, sealed) = self.master.fresh();
                let account = connector::Signer::address(&key);
                // Where transactions cost something, it needs money before it is asked for by name.
                tracing::info!(participant = %who, %account, "an account on the chain is made");
                (account, Some(sealed))
            }
        };
        let kept = self
            .accounts
            .keep(who, enrol.kind, account, sealed.as_deref())
            .await;
        if !kept.map_err(unknown)? {
            // Or one was made for them at the same time.
            if let Some(made) = self.accounts.candidate(who).await.map_err(unknown)?
                && enrol.key.is_none()
            {
                return Ok(made);
            }
            return Err(LogError::Told(Problem::conflict(
                "KeyTaken",
                "this account belongs to another participant",
            )));
        }
        Ok(Account {
            account,
            sealed,
            contract: None,
        })
    }

    /// What a final transaction means for the tree, and its receipt.
    pub(super) async fn recorded(
        &self,
        text: &str,
        receipt: &Receipt,
    ) -> Result<Recorded, LogError> {
        let Some(contract) = receipt.to.or(receipt.contract_address) else {
            return Err(LogError::Proof("the transaction called nobody".to_owned()));
        };
        let root = match receipt.contract_address {
            Some(made) => *self.root.get_or_init(|| made),
            None => self.known_root().await?,
        };
        for log in &receipt.logs {
            if let Some((account, participant)) = abi::registered(&log.inner, root) {
                self.enrolled(root, account, participant).await?;
            }
        }
        let address = act::Address {
            transaction_address: written_hash(receipt.transaction_hash),
            contract_address: written(contract),
        };
        let known = self.accounts.contract(&address.contract_address).await;
        let place = known
            .map_err(unknown)?
            .map_or(ROOT_PLACE, |contract| contract.place);
        let document = Document::new(text, root, place, self.proof(receipt).await?);
        self.checked(&address, &document).await?;
        Ok(Recorded {
            address,
            receipt: document.to_receipt(),
        })
    }

    async fn enrolled(
        &self,
        root: Address,
        account: Address,
        participant: Address,
    ) -> Result<(), LogError> {
        let last = self.accounts.last_place().await.map_err(unknown)?;
        let place = place_of(root, participant, last);
        let place = place.ok_or_else(|| {
            LogError::Proof("the root did not make the participant's contract".to_owned())
        })?;
        let contract = Contract {
            address: participant,
            place,
        };
        self.accounts
            .enrolled(account, contract)
            .await
            .map_err(unknown)
    }

    async fn known_root(&self) -> Result<Address, LogError> {
        let root = self.tree().await.map_err(unknown)?;
        root.ok_or_else(|| LogError::Refused("no tree is known here".to_owned()))
    }
}

/// Of an event that has its log somebody was in the tree when it was made: that they are not known to be is no fault of
/// theirs, and may be known later.
fn not_known_now(error: LogError) -> LogError {
    match error {
        LogError::Told(problem) => LogError::Refused(problem.to_string()),
        error => error,
    }
}

fn key_kept_here() -> LogError {
    LogError::Told(Problem::conflict(
        "KeyKeptHere",
        "this service keeps your key, and signs for you: store it",
    ))
}

/// Who signs for an account.
fn signs_for(account: &Account) -> Signer {
    match account.sealed {
        Some(_) => Signer::Service,
        None => Signer::Participant,
    }
}

/// Whose account sends.
fn sender<'a>(who: &'a Text, enrol: Option<&'a Enrolment>) -> &'a Text {
    enrol.and_then(|enrol| enrol.parent.as_ref()).unwrap_or(who)
}
