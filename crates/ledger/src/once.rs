//! Requests that are recorded once, however often they are sent (draft-ietf-httpapi-idempotency-key).
//!
//! A client that did not get an answer sends the request again with the same key; it is told the place
//! that the first one took. Keys are remembered for the last [`REMEMBERED_KEYS`] such requests, which is
//! as long as anybody should try.
//!
//! ```text
//! counterfoil.once   DIGEST(32)     {"id": transaction, "request": digest}
//!                    \0 SLOT(u64)   the digest that took this place in the ring
//!                    singleton      how many there were, u64
//! ```

use serde::{Deserialize, Serialize};
use verify::{Digest, TxId};

use crate::kv::{Rejection, Transaction, Tx};
use crate::limits::{IDEMPOTENCY_KEY_BYTES_MAX, REMEMBERED_KEYS};
use crate::tables::{ONCE, SINGLETON};

/// A transaction that is run once for each key of each caller.
#[derive(Clone)]
pub struct Once<T> {
    key: Digest,
    request: Digest,
    transaction: T,
}

#[derive(Serialize, Deserialize)]
struct Row {
    id: TxId,
    request: Digest,
}

impl<T: Transaction> Once<T> {
    /// `transaction`, unless `caller` has sent it before with the same `key`. `request` is all that it
    /// is made of: the same key must not stand for two things.
    ///
    /// # Errors
    /// The key is empty, too long, or not printable.
    pub fn new(
        caller: &str,
        key: &str,
        request: &[&[u8]],
        transaction: T,
    ) -> Result<Self, Rejection> {
        let printable = key.bytes().all(|byte| byte.is_ascii_graphic());
        if key.is_empty() || key.len() > IDEMPOTENCY_KEY_BYTES_MAX || !printable {
            return Err(Rejection::InvalidInput(format!(
                "an idempotency key has 1 to {IDEMPOTENCY_KEY_BYTES_MAX} printable characters without \
                 blanks"
            )));
        }
        // Digests of digests: no two lists of parts run into each other.
        let digests: Vec<Digest> = request.iter().map(|part| Digest::of(part)).collect();
        let parts: Vec<&[u8]> = digests.iter().map(|digest| &digest.0[..]).collect();
        Ok(Self {
            key: Digest::of_parts(&[
                &Digest::of(caller.as_bytes()).0,
                &Digest::of(key.as_bytes()).0,
            ]),
            request: Digest::of_parts(&parts),
            transaction,
        })
    }
}

impl<T: Transaction> Transaction for Once<T> {
    fn run(self: Box<Self>, tx: &mut Tx<'_>) -> Result<Digest, Rejection> {
        let Self {
            key,
            request,
            transaction,
        } = *self;
        let known = tx.value(&ONCE, &key.0);
        let known: Option<Row> = known.and_then(|row| serde_json::from_slice(&row).ok());
        if let Some(row) = known {
            return Err(if row.request == request {
                Rejection::Repeated(row.id)
            } else {
                Rejection::Conflict(format!(
                    "the idempotency key stands for another request, recorded as {}",
                    row.id
                ))
            });
        }
        let claims = Box::new(transaction).run(tx)?;
        let count = tx.value(&ONCE, &SINGLETON);
        let count = count.and_then(|bytes| Some(u64::from_le_bytes(bytes.try_into().ok()?)));
        let count = count.unwrap_or(0);
        let slot = [&[0][..], &(count % REMEMBERED_KEYS).to_be_bytes()].concat();
        if let Some(oldest) = tx.value(&ONCE, &slot) {
            tx.remove(ONCE, oldest);
        }
        let row = Row {
            id: tx.id(),
            request,
        };
        tx.put(ONCE, slot, key.0);
        tx.put(ONCE, SINGLETON, (count + 1).to_le_bytes());
        tx.put(ONCE, key.0, serde_json::to_vec(&row).expect("text is JSON"));
        Ok(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::MemoryState;
    use crate::tables::USERS;

    fn send(
        state: &mut MemoryState,
        caller: &str,
        key: &str,
        request: &str,
    ) -> Result<(), Rejection> {
        let user = request.to_owned();
        let transaction = move |tx: &mut Tx<'_>| {
            tx.put(USERS, user.into_bytes(), b"{}");
            Ok(Digest::ZERO)
        };
        let once = Once::new(caller, key, &[request.as_bytes()], transaction)?;
        state.run(once).map(|_| ())
    }

    #[test]
    fn a_request_that_is_sent_again_is_told_its_first_place() {
        let mut state = MemoryState::default();
        send(&mut state, "a", "k1", "one").unwrap();
        let again = send(&mut state, "a", "k1", "one");
        assert_eq!(again, Err(Rejection::Repeated(TxId::default())));
        send(&mut state, "a", "k2", "one").unwrap();
        send(&mut state, "b", "k1", "one").unwrap();
    }

    #[test]
    fn a_key_does_not_stand_for_two_requests() {
        let mut state = MemoryState::default();
        send(&mut state, "a", "k1", "one").unwrap();
        let other = send(&mut state, "a", "k1", "two");
        assert!(matches!(other, Err(Rejection::Conflict(_))));
    }

    #[test]
    fn a_key_must_be_printable_and_not_too_long() {
        let mut state = MemoryState::default();
        for key in ["", "a b", "ü", &"x".repeat(IDEMPOTENCY_KEY_BYTES_MAX + 1)] {
            assert!(send(&mut state, "a", key, "one").is_err(), "{key:?}");
        }
    }

    #[test]
    fn the_oldest_keys_are_forgotten() {
        let mut state = MemoryState::default();
        send(&mut state, "a", "first", "one").unwrap();
        // As if the ring had gone round.
        let full = |tx: &mut Tx<'_>| {
            tx.put(ONCE, SINGLETON, REMEMBERED_KEYS.to_le_bytes());
            Ok(Digest::ZERO)
        };
        state.run(full).unwrap();
        send(&mut state, "a", "next", "two").unwrap();
        send(&mut state, "a", "first", "one").unwrap();
    }
}
