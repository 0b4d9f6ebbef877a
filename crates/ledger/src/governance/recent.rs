//! Replay protection: the last proposals, and when they were created (CCF's rule).
//!
//! A proposal's row is `created_at`, ten digits, a colon and the digest of what was signed, so rows
//! sort by time. A new proposal may be no older than the middle one of the last
//! [`RECENT_PROPOSALS`]: what was sent before and has left the window is older than that.

use super::proposals::ProposalId;
use super::refusal::Refusal;
use crate::kv::{State, Tx};
use crate::limits::RECENT_PROPOSALS;
use crate::tables::RECENT;

/// The largest time that ten digits can tell: the year 2286.
const CREATED_AT_MAX: u64 = 9_999_999_999;

/// Takes a proposal into the window.
///
/// # Errors
/// It was there before, it is too old, or its time cannot be.
pub(super) fn admit(tx: &mut Tx<'_>, created_at: u64, id: ProposalId) -> Result<(), Refusal> {
    if created_at > CREATED_AT_MAX {
        return Err(Refusal::InvalidCreatedAt(created_at));
    }
    let key = format!("{created_at:010}:{id}");
    if tx.value(&RECENT, key.as_bytes()).is_some() {
        return Err(Refusal::ProposalReplay(id));
    }
    let rows = tx.values(&RECENT);
    let middle = rows.get(rows.len() / 2).map(|(key, _)| created(key));
    if let Some(earliest) = middle
        && created_at < earliest
    {
        return Err(Refusal::CreatedTooLongAgo {
            created_at,
            earliest,
        });
    }
    let surplus = (rows.len() + 1).saturating_sub(RECENT_PROPOSALS);
    for (oldest, _) in rows.into_iter().take(surplus) {
        tx.remove(RECENT, oldest);
    }
    tx.put(RECENT, key, id.to_string());
    Ok(())
}

/// The proposals in the window.
pub(super) fn all(state: &dyn State) -> Vec<ProposalId> {
    let rows = state.values(&RECENT).into_iter();
    rows.filter_map(|(_, id)| std::str::from_utf8(&id).ok()?.parse().ok())
        .collect()
}

fn created(key: &[u8]) -> u64 {
    std::str::from_utf8(key)
        .ok()
        .and_then(|key| key.split_once(':')?.0.parse().ok())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use verify::Digest;

    use super::*;
    use crate::kv::{MemoryState, Rejection};

    fn send(state: &mut MemoryState, created_at: u64, text: &str) -> Result<(), Refusal> {
        let id = Digest::of(text.as_bytes());
        let outcome = state.run(move |tx: &mut Tx<'_>| {
            admit(tx, created_at, id)?;
            Ok(Digest::ZERO)
        });
        match outcome {
            Ok(_) => Ok(()),
            Err(Rejection::Governance(refusal)) => Err(refusal),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn the_same_message_is_taken_once() {
        let mut state = MemoryState::default();
        send(&mut state, 100, "a").unwrap();
        let again = send(&mut state, 100, "a");
        assert_eq!(again, Err(Refusal::ProposalReplay(Digest::of(b"a"))));
        send(&mut state, 100, "b").unwrap();
    }

    #[test]
    fn a_message_may_be_late_but_not_older_than_the_middle() {
        let mut state = MemoryState::default();
        for at in [100, 200, 300] {
            send(&mut state, at, &at.to_string()).unwrap();
        }
        let (created_at, earliest) = (199, 200);
        let refused = send(&mut state, created_at, "late");
        assert_eq!(
            refused,
            Err(Refusal::CreatedTooLongAgo {
                created_at,
                earliest
            })
        );
        send(&mut state, 250, "not too late").unwrap();
    }

    #[test]
    fn the_window_does_not_grow_and_what_left_it_is_too_old() {
        let mut state = MemoryState::default();
        for at in 0..250 {
            send(&mut state, 1_000 + at, &at.to_string()).unwrap();
        }
        assert_eq!(all(&state).len(), RECENT_PROPOSALS);
        for at in 0..150 {
            let again = send(&mut state, 1_000 + at, &at.to_string());
            assert!(matches!(again, Err(Refusal::CreatedTooLongAgo { .. })));
        }
    }

    #[test]
    fn a_time_that_does_not_sort_is_refused() {
        let mut state = MemoryState::default();
        let refused = send(&mut state, CREATED_AT_MAX + 1, "a");
        assert_eq!(refused, Err(Refusal::InvalidCreatedAt(CREATED_AT_MAX + 1)));
        send(&mut state, CREATED_AT_MAX, "a").unwrap();
    }
}
