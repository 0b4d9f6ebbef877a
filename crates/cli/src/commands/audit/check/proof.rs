//! Checking here what the service says, with nothing of the service's but the receipt and the salt.

use std::path::Path;

use audit::model::{Content, Event, Verdict};
use audit::trail::chain::{self, is_chain_event};
use audit::trail::{Consulted, Receipt};
use connector::Trust;
use verify::ethereum::Hex;
use verify::{Cert, Claim, ReceiptDocument, Verifier};

use super::table::Row;
use crate::report::Failure;

/// Who is believed: the ledger, by its service certificate; and where events are in contracts, the tree, by its
/// root.
#[derive(Debug)]
pub(super) struct Proof {
    verifier: Verifier,
    root: Option<Hex<20>>,
}

impl Proof {
    /// The ledger whose certificate is in this file, and the tree of this root.
    pub(super) fn by(path: &Path, root: Option<Hex<20>>) -> Result<Self, Failure> {
        let pem = std::fs::read_to_string(path).map_err(Failure::reading(path))?;
        let cert = Cert::from_pem(&pem).map_err(|error| {
            Failure::unreadable("the service certificate cannot be used").because(error)
        })?;
        Ok(Self {
            verifier: Verifier::new(cert),
            root,
        })
    }

    /// That the ledger has the event, and that it says of this row what the service says.
    pub(super) fn check(&self, row: &Row, said: &Consulted) -> Result<(), String> {
        let receipt = said.receipt.as_ref().ok_or("there is no receipt")?;
        let event = self.event(receipt)?;
        if event.record.as_str() != row.record {
            return Err(format!("the receipt is about the record {}", event.record));
        }
        let salt = said.salt.ok_or("there is no salt")?;
        let content = Content::of(&row.data).map_err(|error| error.to_string())?;
        let same = content.hash(&salt) == event.what.hash;
        match (same, &said.verdict) {
            (true, Verdict::Valid) | (false, Verdict::Altered { .. }) => Ok(()),
            (false, _) => Err("the ledger has another hash than this row's".to_owned()),
            (true, _) => Err("the ledger has just this row's hash".to_owned()),
        }
    }

    fn event(&self, receipt: &Receipt) -> Result<Event, String> {
        let json = receipt.as_str().as_bytes();
        if is_chain_event(json) {
            let root = self
                .root
                .ok_or("it is in a contract: say with --root which tree that has to be in")?;
            let proven = chain::check(receipt, Trust::Service(&self.verifier), Some(root));
            return proven
                .map(|proven| proven.event)
                .map_err(|error| error.to_string());
        }
        let document = ReceiptDocument::from_json(json);
        let document = document.map_err(|error| error.to_string())?;
        let verified = self.verifier.verify_document(&document);
        verified.map_err(|error| error.to_string())?;
        match document.claims.as_deref() {
            Some([Claim::LedgerEntry { contents, .. }]) => {
                Event::from_canonical(contents).map_err(|error| error.to_string())
            }
            _ => Err("the receipt shows no entry of the ledger".to_owned()),
        }
    }
}
