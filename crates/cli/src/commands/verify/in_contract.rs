//! Receipts of events in contracts: what they rest on, and what they prove.

use std::process::ExitCode;

use alloy_primitives::B256;
use anyhow::Result;
use audit::model::Event;
use audit::trail::Receipt;
use audit::trail::chain::{InTree, Unproven, check};
use connector::Trust;
use serde::Serialize;
use serde_json::Value;
use verify::Verifier;
use verify::ethereum::Hex;

use super::{JsonVerdict, Verify, show_compared};
use crate::commands::recorded::{Compared, Held};
use crate::out::{self, bad, bold, faint, good, say};
use crate::report::UNREADABLE;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct JsonProven<'a> {
    event: &'a Event,
    transaction_address: &'a str,
    contract_address: &'a str,
    root: Hex<20>,
    sender: Hex<20>,
    #[serde(flatten)]
    rests_on: RestsOn<'a>,
}

/// The fingerprint of the service certificate, or the hash of the block.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum RestsOn<'a> {
    Service(&'a str),
    Block(B256),
}

impl<'a> From<&'a Anchor> for RestsOn<'a> {
    fn from(anchor: &'a Anchor) -> Self {
        match anchor {
            Anchor::Service(_, fingerprint) => Self::Service(fingerprint),
            Anchor::Block(hash) => Self::Block(*hash),
        }
    }
}

/// What is believed.
enum Anchor {
    /// A ledger, and the fingerprint of its certificate.
    Service(Box<Verifier>, String),
    /// That the chain has the block.
    Block(B256),
}

impl Anchor {
    fn trust(&self) -> Trust<'_> {
        match self {
            Self::Service(verifier, _) => Trust::Service(verifier),
            Self::Block(hash) => Trust::Block(*hash),
        }
    }
}

impl Verify {
    pub(super) fn in_contract(&self, bytes: &[u8]) -> Result<ExitCode> {
        let anchor = match self.block {
            Some(block) => Anchor::Block(block),
            None => {
                let service = self.anchor()?;
                let fingerprint = service.fingerprint_text();
                Anchor::Service(Box::new(Verifier::new(service)), fingerprint)
            }
        };
        let root = self.root.map(|root| Hex(root.0.0));
        let checked = receipt_in(bytes).and_then(|receipt| check(&receipt, anchor.trust(), root));
        let held = self
            .data
            .as_deref()
            .map(|path| Held::read(path, bytes, self.salt));
        let compared = match (held.transpose()?, &checked) {
            (Some(held), Ok(proven)) => Some(held.compare_with(&proven.event)?),
            _ => None,
        };
        if self.json {
            let proven = checked.as_ref().map(|proven| JsonProven {
                event: &proven.event,
                transaction_address: &proven.address.transaction_address,
                contract_address: &proven.address.contract_address,
                root: proven.root,
                sender: proven.sender,
                rests_on: RestsOn::from(&anchor),
            });
            let proven = proven.map_err(ToString::to_string);
            out::write_json(&JsonVerdict::new(proven, compared.as_ref()));
        } else {
            self.show(&checked, &anchor);
            show_compared(compared.as_ref());
        }
        Ok(match checked {
            Ok(_) if matches!(compared, Some(Compared::Altered(_))) => ExitCode::FAILURE,
            Ok(_) => ExitCode::SUCCESS,
            Err(Unproven::Malformed(_)) => ExitCode::from(UNREADABLE),
            Err(Unproven::Wrong(_)) => ExitCode::FAILURE,
        })
    }

    fn show(&self, checked: &Result<InTree, Unproven>, anchor: &Anchor) {
        let InTree {
            event,
            address,
            root,
            sender,
        } = match checked {
            Ok(proven) => proven,
            Err(error @ Unproven::Malformed(_)) => return say!("{} {error}", bad("NOT A RECEIPT")),
            Err(error) => return say!("{} {error}", bad("NOT VALID")),
        };
        let known = match self.root {
            Some(_) => "",
            None => "(compare it with the one that you know, or say it with --root)",
        };
        say!(
            "{} version {} of the record {} is in a contract",
            good("VALID"),
            event.version,
            bold(&event.record)
        );
        say!("  event    {}", out::one_line(&event.to_canonical(), 100));
        say!("  call     {}", address.transaction_address);
        say!("  sender   {sender}");
        say!("  contract {}", address.contract_address);
        say!("  tree     {root} {}", faint(known));
        match anchor {
            Anchor::Service(_, fingerprint) => say!("  service  {fingerprint}"),
            Anchor::Block(hash) => say!("  block    {hash}"),
        }
    }
}

/// The receipt in a file: alone, or in a proof as the audit's pages hand it out.
fn receipt_in(bytes: &[u8]) -> Result<Receipt, Unproven> {
    let malformed = |error: serde_json::Error| Unproven::Malformed(error.to_string());
    let mut document: Value = serde_json::from_slice(bytes).map_err(malformed)?;
    if let Some(fields) = document.as_object_mut() {
        fields.remove("audit");
    }
    Ok(Receipt::of(&document))
}
