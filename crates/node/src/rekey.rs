//! A leader draws a new ledger secret because members wish for one ([`ledger::rekey`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ledger::rekey::{Rekey, trusted_keys};
use ledger::service::service;
use ledger::shares::Roster;
use ledger::{State, Transaction};
use zeroize::Zeroizing;

use crate::identity;
use crate::parts::Parts;
use crate::sealing::seal_secret;
use crate::shares::{encrypt, random};

/// What has to be done when members wish for a new secret, for who leads.
pub(crate) struct RekeyDuty {
    parts: Arc<Parts>,
    /// Said already why it has to wait.
    said: AtomicBool,
}

impl RekeyDuty {
    pub(crate) fn new(parts: Arc<Parts>) -> Self {
        Self {
            parts,
            said: AtomicBool::new(false),
        }
    }

    /// The transaction that takes the wish; `None` where it has to wait.
    pub(crate) fn due(&self) -> Option<Box<dyn Transaction>> {
        let state = &*self.parts.reader;
        let open = service(state).is_some_and(|row| row.status == "Open");
        if !open || !self.parts.secrets.is_complete() {
            return None;
        }
        match self.draw(state) {
            Ok(rekey) => Some(Box::new(rekey)),
            Err(why) => {
                if !self.said.swap(true, Ordering::Relaxed) {
                    tracing::warn!(why, "the ledger is not rekeyed yet");
                }
                None
            }
        }
    }

    fn draw(&self, state: &dyn State) -> Result<Rekey, String> {
        let (from, previous) = self.parts.secrets.newest().ok_or("no ledger secret")?;
        let roster = Roster::of(state);
        let blocks = match roster.members.is_empty() {
            true => 0,
            false => roster.random_blocks().ok_or(
                "nobody could recover it: set a recovery threshold that the active members can reach",
            )?,
        };
        let secret = identity::draw_secret().map_err(|error| error.to_string())?;
        let trusted = trusted_keys(state);
        let sealed = trusted.iter().map(|(id, key)| {
            let key = STANDARD.decode(key).unwrap_or_default();
            let sealed = seal_secret(&key, &secret);
            let sealed = sealed.map_err(|why| format!("the key of node {id}: {why}"))?;
            Ok::<_, String>((id.clone(), sealed))
        });
        Ok(Rekey {
            encrypted_secrets: sealed.collect::<Result<_, _>>()?,
            trusted,
            secret,
            previous: (from, Zeroizing::new(*previous.bytes())),
            roster,
            random: random(blocks)?,
            encrypt,
        })
    }
}
