//! Events as entries of a ledger: a collection for each participant.

use client::{Client, ClientError, EntryRange, NewEntry};
use futures_util::TryStreamExt;
use verify::{Cert, Claim, Digest, ReceiptDocument, TxId, Verifier};

use super::act::{Act, Address};
use super::batches::Batches;
use super::log::{Asking, EventLog, LogError, Outgoing, Recorded, Signer};
use super::receipt::Receipt;
use crate::model::Event;

/// Before a participant's id in the name of its collection.
const COLLECTION: &str = "bitacora:";

/// A ledger, reached by its public API.
#[derive(Debug)]
pub struct LedgerLog {
    client: Client,
    batches: Batches,
    verifier: Verifier,
}

impl LedgerLog {
    /// A ledger that is trusted by its service certificate. To be called where tasks can be started.
    pub fn new(client: Client, service_cert: Cert) -> Self {
        Self {
            batches: Batches::start(client.clone()),
            client,
            verifier: Verifier::new(service_cert),
        }
    }

    fn checked(&self, address: &Address, receipt: &Receipt) -> Result<Event, LogError> {
        let proof = |error: &dyn std::fmt::Display| LogError::Proof(error.to_string());
        let document = ReceiptDocument::from_json(receipt.as_str().as_bytes());
        let document = document.map_err(|e| proof(&e))?;
        let verified = self.verifier.verify_document(&document);
        let verified = verified.map_err(|e| proof(&e))?;
        let Some(
            [
                Claim::LedgerEntry {
                    collection_id,
                    contents,
                    ..
                },
            ],
        ) = document.claims.as_deref()
        else {
            return Err(proof(&"the receipt shows no entry"));
        };
        let place = self::address(verified.tx_id, collection_id);
        if place != *address {
            return Err(proof(&format_args!(
                "it is about {}",
                place.transaction_address
            )));
        }
        Event::from_canonical(contents).map_err(|e| proof(&e))
    }
}

impl EventLog for LedgerLog {
    fn log_of<'a>(&'a self, act: &'a Act, _: Signer) -> Asking<'a, String> {
        Box::pin(async move { Ok(format!("{COLLECTION}{}", act.who)) })
    }

    fn record<'a>(&'a self, sent: Outgoing<'a>) -> Asking<'a, Recorded> {
        Box::pin(async move {
            let Outgoing { log, text, .. } = sent;
            let key = Digest::of(text.as_bytes()).to_string();
            let entry = NewEntry::new(text).collection(log);
            let proven = self.batches.append(key, entry).await?;
            let receipt = Receipt::parse(proven.receipt);
            Ok(Recorded {
                address: address(proven.id, log),
                receipt: receipt.map_err(|error| LogError::Proof(error.to_string()))?,
            })
        })
    }

    fn find<'a>(
        &'a self,
        sent: Outgoing<'a>,
        after: Option<&'a str>,
    ) -> Asking<'a, Option<Recorded>> {
        Box::pin(async move {
            let Outgoing { log, text, .. } = sent;
            let range = EntryRange {
                collection_id: Some(log.to_owned()),
                from: after.and_then(|after| after.parse().ok()),
                ..EntryRange::default()
            };
            let mut entries = std::pin::pin!(self.client.entries(&range));
            while let Some(entry) = entries.try_next().await.map_err(|error| in_words(&error))? {
                if entry.contents == text {
                    let id = entry.transaction_id;
                    let receipt = self
                        .client
                        .receipt(id)
                        .await
                        .map_err(|error| in_words(&error))?;
                    return Ok(Some(Recorded {
                        address: address(id, log),
                        receipt: Receipt::of(&receipt),
                    }));
                }
            }
            Ok(None)
        })
    }

    fn fetch<'a>(&'a self, address: &'a Address) -> Asking<'a, Option<(Event, Receipt)>> {
        Box::pin(async move {
            let Ok(id) = address.transaction_address.parse::<TxId>() else {
                return Ok(None);
            };
            let receipt = match self.client.receipt(id).await {
                Ok(receipt) => Receipt::of(&receipt),
                Err(ClientError::Refused(refusal)) if refusal.status == 404 => return Ok(None),
                Err(error) => return Err(in_words(&error)),
            };
            // A transaction that is about something else has no event at this address.
            match self.checked(address, &receipt) {
                Ok(event) => Ok(Some((event, receipt))),
                Err(_) => Ok(None),
            }
        })
    }

    fn proven<'a>(&'a self, address: &'a Address, receipt: &'a Receipt) -> Asking<'a, Event> {
        Box::pin(async move { self.checked(address, receipt) })
    }
}

fn address(id: TxId, log: &str) -> Address {
    Address {
        transaction_address: id.to_string(),
        contract_address: log.to_owned(),
    }
}

pub(super) fn in_words(error: &ClientError) -> LogError {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |e| e.source());
    let why: Vec<String> = causes.map(ToString::to_string).collect();
    let why = why.join(": ");
    match error {
        ClientError::Receipt { .. } | ClientError::OtherEntry { .. } => LogError::Proof(why),
        ClientError::Setup(_) => LogError::Refused(why),
        // Who we are, and what we sent, is looked at again when somebody has looked at it.
        ClientError::Refused(refusal)
            if refusal.status < 500 && !matches!(refusal.status, 408 | 429) =>
        {
            LogError::Refused(why)
        }
        _ => LogError::InDoubt(why),
    }
}
