//! Sends transactions so that each is mined once, whatever crashes.
//!
//! A transaction is signed, written to the journal and synced before a node sees it.
//! From then on its number belongs to it: what is in no final block goes out again, as the same bytes,
//! until it is there or another took its number.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use alloy_primitives::{Address, B256, Bytes, TxHash};
use tokio::sync::Mutex;

use crate::call::{Call, is_known};
use crate::error::{NetworkError, OutboxError};
use crate::journal::{Ended, Journal, Owner, Record, Signed};
use crate::limits::{DATA_BYTES_MAX, REFERENCE_BYTES_MAX, UNSETTLED_MAX};
use crate::network::{Network, Receipt};
use crate::presigned::{Presigned, Priced};
use crate::signer::Signer;
use crate::status::{Outcome, Place, Settled, Status};

/// A transaction of an outbox, by its number (nonce).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket {
    /// The number.
    pub nonce: u64,
}

/// The transactions of one key on one network. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Outbox {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Outbox {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the outbox of {}", self.address())
    }
}

pub(crate) struct Shared {
    pub(crate) network: Network,
    pub(crate) signer: Box<dyn Signer>,
    pub(crate) state: Mutex<State>,
    pub(crate) reorganisations: AtomicU64,
}

pub(crate) struct State {
    pub(crate) journal: Journal,
    pub(crate) entries: BTreeMap<u64, Entry>,
    /// Those of the entries that are not final.
    pub(crate) open: BTreeSet<u64>,
    pub(crate) references: HashMap<String, u64>,
    /// What a node answered with when it was handed a transaction, until somebody settles it.
    pub(crate) receipts: BTreeMap<u64, Receipt>,
    pub(crate) next: u64,
}

#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) call: B256,
    pub(crate) reference: Option<String>,
    /// The oldest first; each offers more than the one before.
    pub(crate) signed: Vec<(TxHash, Bytes)>,
    /// When the newest one was signed, or found here.
    pub(crate) since: Instant,
    /// When it was last sent.
    pub(crate) tried: Option<Instant>,
    pub(crate) accepted: bool,
    pub(crate) refusal: Option<String>,
    pub(crate) mined: Option<Place>,
    /// Since when the number is used and none of these transactions is in a block.
    pub(crate) taken: Option<Instant>,
    pub(crate) outcome: Option<Outcome>,
}

impl Entry {
    fn new(call: B256, reference: Option<String>) -> Self {
        Self {
            call,
            reference,
            signed: Vec::new(),
            since: Instant::now(),
            tried: None,
            accepted: false,
            refusal: None,
            mined: None,
            taken: None,
            outcome: None,
        }
    }

    pub(crate) fn status(&self) -> Status {
        match (&self.outcome, self.mined) {
            (Some(outcome), _) => outcome.status(),
            (None, Some(block)) => Status::Mined { block },
            (None, None) if self.accepted => Status::Sent,
            (None, None) => Status::Queued {
                refusal: self.refusal.clone(),
            },
        }
    }
}

impl Outbox {
    /// Opens the outbox in a folder of its own, or begins one, and sends again what is not known to
    /// be final. One process at a time.
    ///
    /// # Errors
    /// The folder cannot be used, is damaged, or belongs to another key or chain; the key was used
    /// elsewhere; the node cannot be asked.
    pub async fn open(
        dir: &Path,
        network: Network,
        signer: impl Signer,
    ) -> Result<Self, OutboxError> {
        let address = signer.address();
        let owner = Owner {
            chain_id: network.profile().chain_id,
            genesis: network.genesis(),
            address,
        };
        let (journal, records) = Journal::open(dir, &owner)?;
        let (entries, references) = replay(&journal, records)?;
        let mined = network.count(address, "latest").await?;
        let next = match entries.last_key_value() {
            None => network.count(address, "pending").await?.max(mined),
            Some((last, _)) => last + 1,
        };
        if mined > next {
            return Err(OutboxError::KeyUsedElsewhere {
                address,
                chain: mined,
                ours: next,
            });
        }
        let is_open = |(_, entry): &(&u64, &Entry)| entry.outcome.is_none();
        let open: BTreeSet<u64> = entries.iter().filter(is_open).map(|(n, _)| *n).collect();
        let lowest = open.first().copied().unwrap_or(next);
        if !entries.is_empty() && mined < lowest {
            return Err(OutboxError::LostFinal {
                address,
                chain: mined,
                ours: lowest,
            });
        }
        let state = State {
            journal,
            entries,
            open,
            references,
            receipts: BTreeMap::new(),
            next,
        };
        let shared = Arc::new(Shared {
            network,
            signer: Box::new(signer),
            state: Mutex::new(state),
            reorganisations: AtomicU64::new(0),
        });
        shared.resend(mined, u64::MAX, Duration::ZERO).await;
        Ok(Self { shared })
    }

    /// Whose transactions these are.
    pub fn address(&self) -> Address {
        self.shared.signer.address()
    }

    /// Where they go.
    pub fn network(&self) -> &Network {
        &self.shared.network
    }

    /// How often a block that had one of these transactions was replaced, since this was opened.
    pub fn reorganisations(&self) -> u64 {
        self.shared.reorganisations.load(Ordering::Relaxed)
    }

    /// Signs a call, makes it durable, and sends it. With the ticket it is certain that it is sent,
    /// now or after a crash; without, that nothing was recorded (unless the disk failed).
    ///
    /// # Errors
    /// The node says that the call fails, the fee or gas is above what the profile allows, the node
    /// cannot be asked, or the disk fails.
    pub async fn send(&self, call: Call) -> Result<Ticket, OutboxError> {
        if call.data.len() > DATA_BYTES_MAX {
            return Err(OutboxError::DataTooLong(call.data.len()));
        }
        if let Some(reference) = &call.reference
            && !(1..=REFERENCE_BYTES_MAX).contains(&reference.len())
        {
            return Err(OutboxError::Reference);
        }
        if let Some(ticket) = self.shared.state.lock().await.known(&call)? {
            return Ok(ticket);
        }
        let priced = self.network().priced(self.address(), call).await?;
        // A caller that gives up must not leave a line in the file that memory does not know.
        let shared = Arc::clone(&self.shared);
        unless_cancelled(async move { shared.enqueue(priced).await }).await
    }

    /// Where a transaction is, by a look at the network; sends again what was lost.
    ///
    /// # Errors
    /// There is no such ticket, the node cannot be asked, or the disk fails.
    pub async fn status(&self, ticket: Ticket) -> Result<Status, OutboxError> {
        let shared = Arc::clone(&self.shared);
        unless_cancelled(async move { shared.look(ticket.nonce).await }).await
    }

    /// Waits until the transaction is final.
    ///
    /// # Errors
    /// It failed or was replaced for good; or it is not final in the time that the profile gives, in
    /// which case it stays and may be settled later; or the disk fails.
    pub async fn settle(&self, ticket: Ticket) -> Result<Settled, OutboxError> {
        let profile = self.network().profile();
        let (begun, patience, poll) = (Instant::now(), profile.patience, profile.poll);
        loop {
            let last = match self.status(ticket).await {
                Ok(Status::Final { hash, block }) => match self.receipt(ticket, hash).await {
                    Ok(Some(receipt)) if receipt.block() == block => {
                        return Ok(Settled { receipt, block });
                    }
                    Ok(_) => "it is final, and the node does not have its receipt".to_owned(),
                    Err(error) => error.to_string(),
                },
                Ok(Status::Failed { hash, reason }) => {
                    return Err(OutboxError::Failed { hash, reason });
                }
                Ok(Status::Replaced) => {
                    let nonce = ticket.nonce;
                    return Err(OutboxError::Replaced { nonce });
                }
                Ok(status) => format!("{status:?}"),
                // A node that is away may come back.
                Err(OutboxError::Network(error)) => error.to_string(),
                Err(error) => return Err(error),
            };
            if begun.elapsed() >= patience {
                return Err(OutboxError::Patience {
                    nonce: ticket.nonce,
                    seconds: patience.as_secs(),
                    last,
                });
            }
            tokio::time::sleep(poll).await;
        }
    }

    /// The receipt of a transaction, as it came when it was sent, or by asking.
    async fn receipt(&self, ticket: Ticket, hash: TxHash) -> Result<Option<Receipt>, NetworkError> {
        let kept = self
            .shared
            .state
            .lock()
            .await
            .receipts
            .remove(&ticket.nonce);
        match kept {
            Some(receipt) if receipt.transaction_hash == hash => Ok(Some(receipt)),
            _ => self.network().receipt(hash).await,
        }
    }

    /// The ticket that a reference was given.
    pub async fn ticket(&self, reference: &str) -> Option<Ticket> {
        let state = self.shared.state.lock().await;
        let nonce = *state.references.get(reference)?;
        Some(Ticket { nonce })
    }

    /// What is not final yet, in the order of the numbers.
    pub async fn unsettled(&self) -> Vec<Ticket> {
        let state = self.shared.state.lock().await;
        state.open.iter().map(|&nonce| Ticket { nonce }).collect()
    }
}

/// Runs to the end even if nobody waits for it any more.
async fn unless_cancelled<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> T {
    match tokio::spawn(work).await {
        Ok(done) => done,
        Err(failed) => match failed.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime ends, and this task with it.
            Err(_) => std::future::pending().await,
        },
    }
}

impl State {
    /// The ticket of a call whose reference was given before.
    fn known(&self, call: &Call) -> Result<Option<Ticket>, OutboxError> {
        let Some(reference) = &call.reference else {
            return Ok(None);
        };
        let Some(&nonce) = self.references.get(reference) else {
            return Ok(None);
        };
        let same = self.entries.get(&nonce).map(|entry| entry.call) == Some(call.digest());
        match same {
            true => Ok(Some(Ticket { nonce })),
            false => Err(OutboxError::ReferenceTaken(reference.clone())),
        }
    }

    pub(crate) fn entry(&self, nonce: u64) -> Result<&Entry, OutboxError> {
        let entry = self.entries.get(&nonce);
        entry.ok_or(OutboxError::NoSuchTicket(nonce))
    }

    /// Keeps a receipt for whoever settles the transaction.
    fn keep(&mut self, nonce: u64, receipt: Receipt) {
        if self.receipts.len() >= UNSETTLED_MAX {
            self.receipts.pop_first();
        }
        self.receipts.insert(nonce, receipt);
    }

    /// Records how a transaction ended.
    pub(crate) async fn end(
        &mut self,
        nonce: u64,
        outcome: Outcome,
    ) -> Result<Status, OutboxError> {
        let entry = self.entry(nonce)?;
        if let Some(outcome) = &entry.outcome {
            return Ok(outcome.status());
        }
        let record = Record::Settled(Ended {
            nonce,
            call: entry.call,
            reference: entry.reference.clone(),
            outcome: outcome.clone(),
        });
        // A crash that takes this line with it costs a question: the chain says the same again.
        self.journal.note(&record).await?;
        let status = outcome.status();
        if let Some(entry) = self.entries.get_mut(&nonce) {
            entry.outcome = Some(outcome);
            entry.signed.clear();
        }
        self.open.remove(&nonce);
        Ok(status)
    }
}

impl Shared {
    async fn enqueue(&self, priced: Priced) -> Result<Ticket, OutboxError> {
        let call = &priced.call;
        let mut state = self.state.lock().await;
        if let Some(ticket) = state.known(call)? {
            return Ok(ticket);
        }
        if state.open.len() >= UNSETTLED_MAX {
            return Err(OutboxError::Full);
        }
        let nonce = state.next;
        let Presigned { hash, raw, .. } = priced.numbered(nonce).by(&*self.signer).await?;
        let signed = Signed {
            nonce,
            hash,
            raw: raw.clone(),
            call: call.digest(),
            reference: call.reference.clone(),
        };
        state.journal.append(&Record::Signed(signed)).await?;
        state.next += 1;
        let mut entry = Entry::new(call.digest(), call.reference.clone());
        entry.signed.push((hash, raw));
        state.entries.insert(nonce, entry);
        state.open.insert(nonce);
        if let Some(reference) = &call.reference {
            state.references.insert(reference.clone(), nonce);
        }
        drop(state);
        self.broadcast(nonce).await;
        Ok(Ticket { nonce })
    }

    /// Hands the newest transaction with this number to the node. Whatever comes of it, it is kept.
    async fn broadcast(&self, nonce: u64) {
        let newest = {
            let mut state = self.state.lock().await;
            let entry = state.entries.get_mut(&nonce);
            entry.and_then(|entry| {
                entry.tried = Some(Instant::now());
                entry.signed.last().cloned()
            })
        };
        let Some((hash, raw)) = newest else { return };
        let answer = self.network.send_raw(&raw).await;
        let mut state = self.state.lock().await;
        let Some(entry) = state.entries.get_mut(&nonce) else {
            return;
        };
        match answer {
            Ok(receipt) => {
                entry.accepted = true;
                entry.refusal = None;
                if let Some(receipt) = receipt.filter(|receipt| receipt.transaction_hash == hash) {
                    state.keep(nonce, receipt);
                }
            }
            Err(NetworkError::Refused { message, .. }) if is_known(&message) => {
                entry.accepted = true;
            }
            Err(error) => {
                let account = self.signer.address();
                tracing::warn!(%account, nonce, %hash, %error, "a transaction was not taken; it is sent again");
                entry.refusal = Some(error.to_string());
            }
        }
    }

    /// Sends again, in their order, what has a number from `mined` to `up_to` and was not sent for
    /// that long.
    pub(crate) async fn resend(&self, mined: u64, up_to: u64, after: Duration) {
        let due: Vec<u64> = {
            let state = self.state.lock().await;
            let due = |nonce: &u64| {
                let tried = state.entries.get(nonce).and_then(|entry| entry.tried);
                tried.is_none_or(|at| at.elapsed() >= after)
            };
            let open = state.open.range(mined..=up_to.max(mined));
            open.copied().filter(due).collect()
        };
        for nonce in due {
            self.broadcast(nonce).await;
        }
    }
}

/// What the records of a file come to.
type Replayed = (BTreeMap<u64, Entry>, HashMap<String, u64>);

fn replay(journal: &Journal, records: Vec<Record>) -> Result<Replayed, OutboxError> {
    let mut entries: BTreeMap<u64, Entry> = BTreeMap::new();
    let mut references = HashMap::new();
    for (at, record) in records.into_iter().enumerate() {
        let (nonce, call, reference) = match &record {
            Record::Begun { .. } => {
                return Err(journal.contradiction(at, "the file begins a second time"));
            }
            Record::Signed(Signed {
                nonce,
                call,
                reference,
                ..
            })
            | Record::Settled(Ended {
                nonce,
                call,
                reference,
                ..
            }) => (*nonce, *call, reference.clone()),
        };
        let follows = entries
            .last_key_value()
            .is_none_or(|(last, _)| nonce <= last + 1);
        let entry = entries
            .entry(nonce)
            .or_insert_with(|| Entry::new(call, reference.clone()));
        if !follows || entry.call != call || entry.reference != reference {
            return Err(journal.contradiction(at, "it contradicts a line before it"));
        }
        match record {
            Record::Signed(signed) if entry.outcome.is_none() => {
                entry.signed.push((signed.hash, signed.raw));
            }
            Record::Settled(ended) if entry.outcome.is_none() => {
                entry.signed.clear();
                entry.outcome = Some(ended.outcome);
            }
            _ => return Err(journal.contradiction(at, "its number has ended before")),
        }
        if let Some(reference) = reference {
            references.insert(reference, nonce);
        }
    }
    Ok((entries, references))
}
