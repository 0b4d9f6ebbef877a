//! A caller and what they may do.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest::{SHA256, digest};
use ledger::roles::{self, Action};
use ledger::users::{self, UserId};
use node::Node;

use crate::limits::CLOCK_SKEW_SECS;

/// What an endpoint asks of its caller.
#[derive(Debug, Clone, Copy)]
pub enum Needs {
    /// Nothing: anybody may call.
    Nothing,
    /// To know who is calling. The endpoint decides by itself.
    Caller,
    /// That the caller may do one of these.
    AnyOf(&'static [Action]),
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::AnyOf(actions) = self else {
            return f.write_str("nothing");
        };
        for (at, action) in actions.iter().enumerate() {
            let name = Action::ALL.iter().find(|(other, _)| other == action);
            let name = name.map_or("an unnamed action", |(_, name)| name);
            write!(f, "{}{name}", if at == 0 { "" } else { " or " })?;
        }
        Ok(())
    }
}

/// A caller whom we know, and what they may do, as far as we looked.
#[derive(Debug)]
pub(crate) struct Identity {
    user: UserId,
    /// When the token expires that says so, seconds since 1970; `None` for certificates.
    expires_at: Option<u64>,
    /// One bit for each action, above them the access version that they belong to, plus one.
    allowed: AtomicU64,
}

const ACTION_BITS: u32 = 16;
const _: () = assert!(Action::ALL.len() <= ACTION_BITS as usize);

impl Identity {
    /// Whoever holds a certificate's key.
    pub(crate) const fn of_certificate(user: UserId) -> Self {
        Self {
            user,
            expires_at: None,
            allowed: AtomicU64::new(0),
        }
    }

    /// Whoever holds a token.
    pub(crate) const fn of_token(user: UserId, expires_at: u64) -> Self {
        Self {
            user,
            expires_at: Some(expires_at),
            allowed: AtomicU64::new(0),
        }
    }

    /// Whether what showed who they are has expired.
    pub(crate) fn has_expired(&self) -> bool {
        self.expires_at
            .is_some_and(|at| at.saturating_add(CLOCK_SKEW_SECS) <= now())
    }

    /// The name.
    pub(crate) const fn user(&self) -> &UserId {
        &self.user
    }

    /// Whether they meet what an endpoint asks.
    pub(crate) fn meets(&self, node: &Node, needs: Needs) -> bool {
        match needs {
            Needs::Nothing | Needs::Caller => true,
            Needs::AnyOf(actions) => {
                let allowed = self.allowed(node);
                actions.iter().any(|&action| allowed & bit(action) != 0)
            }
        }
    }

    /// Whether they may do this now: for what goes on for long after it was allowed.
    pub(crate) fn may(&self, node: &Node, action: Action) -> bool {
        !self.has_expired() && self.allowed(node) & bit(action) != 0
    }

    fn allowed(&self, node: &Node) -> u64 {
        // Read before the state: what is read after it is at least as new as it says.
        let version = node.access_version().wrapping_add(1) << ACTION_BITS;
        let known = self.allowed.load(Ordering::Relaxed);
        let mask = (1 << ACTION_BITS) - 1;
        if known & !mask == version && version != 0 {
            return known & mask;
        }
        let state = node.state();
        let actions = users::read(state, &self.user)
            .map(|user| roles::permissions(state, &user.roles))
            .unwrap_or_default();
        let bits = bits(&actions);
        self.allowed.store(version | bits, Ordering::Relaxed);
        bits
    }
}

const fn bit(action: Action) -> u64 {
    1 << action as u64
}

fn bits(actions: &BTreeSet<Action>) -> u64 {
    actions.iter().fold(0, |bits, &action| bits | bit(action))
}

/// Seconds since 1970.
fn now() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_secs())
}

/// The user id of whoever holds this certificate's key: the SHA-256 of the certificate, DER.
pub(crate) fn fingerprint(certificate: &[u8]) -> UserId {
    let digest = digest(&SHA256, certificate);
    let bytes: Vec<_> = digest
        .as_ref()
        .iter()
        .map(|byte| format!("{byte:02X}"))
        .collect();
    UserId::parse(&bytes.join(":")).expect("a fingerprint is a user id")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fingerprint_is_upper_case_hex_with_colons() {
        let id = fingerprint(b"");
        assert_eq!(id.as_str().len(), 95);
        assert!(id.as_str().starts_with("E3:B0:C4:42:"));
    }

    #[test]
    fn every_action_has_a_bit_of_its_own() {
        let all = Action::ALL.iter().map(|&(action, _)| action).collect();
        assert_eq!(bits(&all).count_ones() as usize, Action::ALL.len());
        assert!(bits(&all) < 1 << ACTION_BITS);
    }

    #[test]
    fn needs_are_named_as_in_custom_roles() {
        let needs = Needs::AnyOf(&[Action::ReadContent, Action::WriteContent]);
        assert_eq!(needs.to_string(), "/content/read or /content/write");
    }
}
