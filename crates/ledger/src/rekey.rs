//! A new ledger secret while the service runs.
//!
//! ```text
//! entry r      the rekey ([`Rekey`]): the new secret, sealed to each node that is trusted
//! entry r + 1  the signature: a rekey ends its batch
//! entry r + 2  the first one under the new secret
//! ```
//! Who knows only the secret before, a node that was removed for one, cannot read what follows. In the
//! same transaction the secret before is sealed under the new one, and members get shares of the new
//! one, so that whoever opens the newest opens them all, at every seqno.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use verify::{Digest, Seqno, TxId};
use zeroize::Zeroizing;

use crate::governance::wishes::{self, REKEY};
use crate::kv::{Rejection, State, Transaction, Tx};
use crate::nodes::{NodeStatus, nodes};
use crate::secrets::KeptSecret;
use crate::shares::{PutShares, Roster, put_earlier, seal_one_earlier};
use crate::tables::{LEDGER_SECRETS, SINGLETON};
use crate::write_set::WriteSet;

/// Bytes that only the holder of one key can open: HPKE (RFC 9180), base mode, P-384 and AES-256-GCM.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sealed {
    /// The encapsulated secret, base64.
    pub enc: String,
    /// The ciphertext, base64.
    pub ciphertext: String,
}

impl Sealed {
    /// From what HPKE gives.
    pub fn new(enc: &[u8], ciphertext: &[u8]) -> Self {
        Self {
            enc: STANDARD.encode(enc),
            ciphertext: STANDARD.encode(ciphertext),
        }
    }

    /// The encapsulated secret and the ciphertext; `None` where one is no base64.
    pub fn decoded(&self) -> Option<(Vec<u8>, Vec<u8>)> {
        let enc = STANDARD.decode(&self.enc).ok()?;
        Some((enc, STANDARD.decode(&self.ciphertext).ok()?))
    }
}

/// A row of [`LEDGER_SECRETS`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewSecret {
    /// The first seqno that the secret is valid for.
    pub version: u64,
    /// The first seqno of the secret before it.
    pub previous_version: u64,
    /// The secret, sealed to each node that was trusted; by node id.
    pub encrypted_secrets: BTreeMap<String, Sealed>,
}

/// A row of [`LEDGER_SECRETS`] is not as it should be, or is not for this node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadRekey {
    /// The leader is to blame.
    #[error("entry {0} begins a new ledger secret, but not as a rekey does")]
    Malformed(Seqno),
    /// The node was removed before; or whoever made the row lies.
    #[error(
        "the ledger secret from entry {0} on is not sealed to this node: if it was removed from the \
         network, let it join again with an empty folder"
    )]
    NotForThisNode(Seqno),
}

impl NewSecret {
    /// The newest one that the state knows; `None` where there was no rekey.
    pub fn read(state: &dyn State) -> Option<Self> {
        serde_json::from_slice(&state.value(&LEDGER_SECRETS, &SINGLETON)?).ok()
    }

    /// The one that the entry `id` begins, given what it writes; `None` where it is no rekey.
    ///
    /// # Errors
    /// [`BadRekey::Malformed`].
    pub fn begun_by(id: TxId, writes: &WriteSet) -> Result<Option<Self>, BadRekey> {
        let Some(written) = writes.written(&LEDGER_SECRETS, &SINGLETON) else {
            return Ok(None);
        };
        let row: Option<Self> = written.and_then(|row| serde_json::from_slice(row).ok());
        row.filter(|row| row.version == valid_from(id.seqno).0)
            .map(Some)
            .ok_or(BadRekey::Malformed(id.seqno))
    }
}

/// The first seqno of the secret that a rekey at `seqno` begins.
fn valid_from(seqno: Seqno) -> Seqno {
    seqno.next().next()
}

/// Who opens what is sealed to a node.
pub trait OpensForNode: std::fmt::Debug + Send + Sync {
    /// The secret; `None` where it is not sealed to this node.
    fn open(&self, row: &NewSecret) -> Option<Zeroizing<[u8; 32]>>;
}

/// The nodes that must know the ledger's secrets, by id, each with its public key as the ledger has
/// it (SubjectPublicKeyInfo, DER in base64).
pub fn trusted_keys(state: &dyn State) -> BTreeMap<String, String> {
    let trusted = nodes(state).into_iter();
    trusted
        .filter(|node| node.status == NodeStatus::Trusted)
        .map(|node| (node.id, node.public_key))
        .collect()
}

/// Begins a new ledger secret. The leader draws it.
pub struct Rekey {
    /// For whom it is sealed ([`trusted_keys`]).
    pub trusted: BTreeMap<String, String>,
    /// The new secret, sealed to each of them.
    pub encrypted_secrets: BTreeMap<String, Sealed>,
    /// The new secret.
    pub secret: Zeroizing<[u8; 32]>,
    /// The newest one so far.
    pub previous: KeptSecret,
    /// The members that get shares of it.
    pub roster: Roster,
    /// As many random blocks as [`Roster::random_blocks`] says; empty where nobody takes part.
    pub random: Zeroizing<Vec<[u8; 32]>>,
    /// Encrypts a share to a member's key, PEM.
    pub encrypt: fn(&str, &[u8]) -> Result<Vec<u8>, String>,
}

impl Transaction for Rekey {
    fn run(self: Box<Self>, tx: &mut Tx<'_>) -> Result<Digest, Rejection> {
        let conflict = |why: &str| Err(Rejection::Conflict(why.to_owned()));
        if wishes::take(tx, REKEY).is_none() {
            return conflict("the ledger was rekeyed before");
        }
        if trusted_keys(tx) != self.trusted {
            return conflict("the nodes that are trusted changed meanwhile");
        }
        if NewSecret::read(tx).is_some_and(|row| row.version > self.previous.0.0) {
            return conflict("there is a newer ledger secret meanwhile");
        }
        let version = valid_from(tx.seqno());
        let row = NewSecret {
            version: version.0,
            previous_version: self.previous.0.0,
            encrypted_secrets: self.encrypted_secrets,
        };
        let json = serde_json::to_vec(&row).expect("texts and numbers are JSON");
        tx.put(LEDGER_SECRETS, SINGLETON, json);
        let new = (version, self.secret);
        put_earlier(tx, &[seal_one_earlier(&self.previous, &new)]);
        let shares = (!self.roster.members.is_empty())
            .then(|| self.roster.draw(&new, &self.random, self.encrypt))
            .transpose()
            .map_err(Rejection::Conflict)?;
        PutShares {
            roster: self.roster,
            shares,
        }
        .put(tx)?;
        Ok(Digest::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use verify::View;

    use super::*;
    use crate::kv::MemoryState;
    use crate::secrets::LedgerSecrets;
    use crate::shares::open_earlier;
    use crate::tables::WISHES;

    /// "Opens" what was "sealed" by writing it down.
    #[derive(Debug)]
    struct Open(&'static str);

    impl OpensForNode for Open {
        fn open(&self, row: &NewSecret) -> Option<Zeroizing<[u8; 32]>> {
            let (_, bytes) = row.encrypted_secrets.get(self.0)?.decoded()?;
            Some(Zeroizing::new(bytes.try_into().ok()?))
        }
    }

    fn rekey(previous: KeptSecret, byte: u8) -> Rekey {
        let sealed = Sealed::new(b"", &[byte; 32]);
        Rekey {
            trusted: BTreeMap::new(),
            encrypted_secrets: [("a".to_owned(), sealed)].into(),
            secret: Zeroizing::new([byte; 32]),
            previous,
            roster: Roster::of(&MemoryState::default()),
            random: Zeroizing::default(),
            encrypt: |_, share| Ok(share.to_vec()),
        }
    }

    fn wish(state: &mut MemoryState) {
        let wish = |tx: &mut Tx<'_>| {
            tx.put(WISHES, REKEY.as_bytes(), br#"{"seqno":1,"args":null}"#);
            Ok(Digest::ZERO)
        };
        state.run(wish).unwrap();
    }

    const ID: TxId = TxId::new(View(2), Seqno(7));

    #[test]
    fn a_rekey_is_for_the_nodes_it_names_and_opens_what_was_before() {
        let first = (Seqno::FIRST, Zeroizing::new([1; 32]));
        let mut state = MemoryState::default();
        assert!(state.run(rekey(first.clone(), 2)).is_err());
        wish(&mut state);
        let writes = state.run_at(ID, rekey(first.clone(), 2)).unwrap();
        let version = Seqno(9);

        let node = LedgerSecrets::new(std::slice::from_ref(&first)).opened_by(Box::new(Open("a")));
        assert!(node.learn(ID, &writes).unwrap());
        assert_eq!(node.at(version).unwrap().bytes(), &[2; 32]);
        assert_eq!(node.at(Seqno(version.0 - 1)).unwrap().bytes(), &[1; 32]);
        let newest = (version, Zeroizing::new([2; 32]));
        assert_eq!(
            open_earlier(&state, &newest).unwrap(),
            std::slice::from_ref(&first)
        );

        let removed = LedgerSecrets::new(std::slice::from_ref(&first));
        let refused = removed.learn(ID, &writes).unwrap_err();
        assert_eq!(refused, BadRekey::NotForThisNode(version));
        let elsewhere = TxId::new(View(2), version);
        let malformed = node.learn(elsewhere, &writes).unwrap_err();
        assert_eq!(malformed, BadRekey::Malformed(version));
    }

    #[test]
    fn a_rekey_that_is_undone_is_forgotten() {
        let first = (Seqno::FIRST, Zeroizing::new([1; 32]));
        let mut state = MemoryState::default();
        wish(&mut state);
        let writes = state.run_at(ID, rekey(first.clone(), 2)).unwrap();
        let node = LedgerSecrets::new(&[first]).opened_by(Box::new(Open("a")));
        node.learn(ID, &writes).unwrap();
        node.forget_after(Seqno(8));
        assert_eq!(node.newest().unwrap().0, Seqno(9));
        node.forget_after(Seqno(6));
        assert_eq!(node.newest().unwrap().0, Seqno::FIRST);
    }

    #[test]
    fn a_node_that_was_away_finds_all_secrets_in_the_state() {
        let first = (Seqno::FIRST, Zeroizing::new([1; 32]));
        let mut state = MemoryState::default();
        let mut previous = first.clone();
        for (seqno, byte) in [(7, 2), (20, 3)] {
            wish(&mut state);
            let id = TxId::new(View(2), Seqno(seqno));
            state.run_at(id, rekey(previous, byte)).unwrap();
            previous = (Seqno(seqno + 2), Zeroizing::new([byte; 32]));
        }
        let node = LedgerSecrets::new(&[first]).opened_by(Box::new(Open("a")));
        node.learn_from(&state).unwrap();
        let bytes: Vec<_> = node.kept().iter().map(|(_, secret)| secret[0]).collect();
        assert_eq!(bytes, [1, 2, 3]);
        let stranger = LedgerSecrets::new(&[(Seqno::FIRST, Zeroizing::new([1; 32]))]);
        assert!(stranger.learn_from(&state).is_err());
        let recovered = LedgerSecrets::new(&[(Seqno(99), Zeroizing::new([9; 32]))]);
        recovered.learn_from(&state).unwrap();
        assert_eq!(recovered.kept().len(), 1);
    }
}
