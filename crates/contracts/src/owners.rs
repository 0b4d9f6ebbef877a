//! Whose an account is: a user says so, and the account's key agrees by signing a message (EIP-4361).
//!
//! ```text
//! counterfoil.evm.owners   ADDRESS(20)   user
//! counterfoil.evm.owned    user          ADDRESS(20)*
//! ```

use alloy_consensus::crypto::secp256k1::recover_signer;
use alloy_primitives::{Address, Signature, eip191_hash_message};
use ledger::tables::{EVM_OWNED, EVM_OWNERS};
use ledger::users::UserId;
use ledger::{Rejection, State, Transaction, Tx};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use verify::Digest;

use crate::limits::{ACCOUNTS_OF_ONE_MAX, MESSAGE_BYTES_MAX};

/// A message is good for so long, in seconds, and may come so much from the future.
const GOOD_FOR: i64 = 10 * 60;

/// What an account's key signs so that the account belongs to a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The account.
    pub address: Address,
    /// The chain.
    pub chain: u64,
    /// The user.
    pub user: UserId,
    /// When it was made.
    pub issued: OffsetDateTime,
}

/// Why a message binds nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotBound {
    /// It is no such message.
    #[error("the message is none of EIP-4361: {0}; ask for one with counterfoil_accountMessage")]
    Malformed(&'static str),
    /// It is about something else.
    #[error("the message is for {what}")]
    Other {
        /// What it is for.
        what: String,
    },
    /// It is too old, or from the future.
    #[error("the message was issued at another time: ask for a new one")]
    Time,
    /// The account's key did not sign it.
    #[error("the message is not signed by {0}")]
    Signature(Address),
}

impl Message {
    /// Words that a wallet shows.
    pub fn text(&self, domain: &str, nonce: &str) -> String {
        let Self {
            address,
            chain,
            user,
            issued,
        } = self;
        let issued = issued.format(&Rfc3339).unwrap_or_default();
        format!(
            "{domain} wants you to sign in with your Ethereum account:\n{address}\n\n\
             This account is mine.\n\n\
             URI: https://{domain}/rpc\nVersion: 1\nChain ID: {chain}\nNonce: {nonce}\n\
             Issued At: {issued}\nRequest ID: {user}"
        )
    }

    /// Reads a message.
    ///
    /// # Errors
    /// It is none, or lacks what is needed.
    pub fn parse(text: &str) -> Result<Self, NotBound> {
        const SIGN_IN: &str = " wants you to sign in with your Ethereum account:";
        if text.len() > MESSAGE_BYTES_MAX {
            return Err(NotBound::Malformed("it is too long"));
        }
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        if !first.ends_with(SIGN_IN) {
            return Err(NotBound::Malformed("it does not ask to sign in"));
        }
        let address = lines.next().unwrap_or_default();
        let address = Address::parse_checksummed(address, None)
            .map_err(|_| NotBound::Malformed("its second line is no address"))?;
        // A statement could hold such lines too, but stands before the first of them.
        let fields: Vec<&str> = lines
            .skip_while(|line| !line.starts_with("URI: "))
            .collect();
        let field = |name: &str| {
            let mut found = fields.iter().filter_map(|line| line.strip_prefix(name));
            found.next()
        };
        if field("Version: ") != Some("1") || field("Nonce: ").is_none_or(|nonce| nonce.len() < 8) {
            return Err(NotBound::Malformed("it has no Version 1, or no Nonce"));
        }
        let chain = field("Chain ID: ").and_then(|chain| chain.parse().ok());
        let issued =
            field("Issued At: ").and_then(|issued| OffsetDateTime::parse(issued, &Rfc3339).ok());
        let user = field("Request ID: ").and_then(|user| UserId::parse(user).ok());
        Ok(Self {
            address,
            chain: chain.ok_or(NotBound::Malformed("it has no Chain ID"))?,
            user: user.ok_or(NotBound::Malformed("its Request ID is no user"))?,
            issued: issued.ok_or(NotBound::Malformed("it has no Issued At"))?,
        })
    }
}

/// Makes an account a user's.
#[derive(Debug, Clone)]
pub struct Bind {
    user: UserId,
    address: Address,
}

impl Bind {
    /// Checks that the account's key signed the message, for this user and this chain, `now`.
    ///
    /// # Errors
    /// See [`NotBound`].
    pub fn new(
        (text, signature): (&str, &[u8]),
        user: &UserId,
        chain: u64,
        now: OffsetDateTime,
    ) -> Result<Self, NotBound> {
        let message = Message::parse(text)?;
        if message.chain != chain || message.user != *user {
            let what = format!("user {} of chain {}", message.user, message.chain);
            return Err(NotBound::Other { what });
        }
        if (now - message.issued).whole_seconds().abs() > GOOD_FOR {
            return Err(NotBound::Time);
        }
        let address = message.address;
        let signature = Signature::from_raw(signature).ok();
        let signed = eip191_hash_message(text);
        let signer = signature.and_then(|signature| recover_signer(&signature, signed).ok());
        if signer != Some(address) {
            return Err(NotBound::Signature(address));
        }
        Ok(Self {
            user: user.clone(),
            address,
        })
    }

    /// The account.
    pub const fn address(&self) -> Address {
        self.address
    }
}

impl Transaction for Bind {
    fn run(self: Box<Self>, tx: &mut Tx<'_>) -> Result<Digest, Rejection> {
        let owner = owner(&*tx, &self.address);
        if owner.as_ref() == Some(&self.user) {
            return Ok(Digest::ZERO);
        }
        if let Some(before) = owner {
            let mut theirs = accounts_of(&*tx, &before);
            theirs.retain(|address| *address != self.address);
            put(tx, &before, &theirs);
        }
        let mut theirs = accounts_of(&*tx, &self.user);
        if theirs.len() >= ACCOUNTS_OF_ONE_MAX {
            let message = format!("a user has {ACCOUNTS_OF_ONE_MAX} accounts at the most");
            return Err(Rejection::InvalidInput(message));
        }
        theirs.push(self.address);
        put(tx, &self.user, &theirs);
        tx.put(EVM_OWNERS, self.address.as_slice(), self.user.as_str());
        Ok(Digest::ZERO)
    }
}

/// Accounts of a user, in the order in which they came.
pub fn accounts_of(state: &(impl State + ?Sized), user: &UserId) -> Vec<Address> {
    let row = state.value(&EVM_OWNED, user.as_str().as_bytes());
    let row = row.unwrap_or_default();
    row.chunks_exact(20).map(Address::from_slice).collect()
}

/// Whose an account is.
pub fn owner(state: &(impl State + ?Sized), address: &Address) -> Option<UserId> {
    let row = state.value(&EVM_OWNERS, address.as_slice())?;
    UserId::parse(std::str::from_utf8(&row).ok()?).ok()
}

fn put(tx: &mut Tx<'_>, user: &UserId, accounts: &[Address]) {
    let row: Vec<u8> = accounts.iter().flat_map(|address| address.0.0).collect();
    tx.put(EVM_OWNED, user.as_str(), row);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{CHAIN, Wallet};
    use ledger::kv::MemoryState;

    fn user(name: &str) -> UserId {
        UserId::parse(name).unwrap()
    }

    fn now() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap()
    }

    fn signed(wallet: &Wallet, message: &Message) -> (String, Vec<u8>) {
        let text = message.text("ledger.example", "abcdefgh12");
        let signature = wallet.signature(eip191_hash_message(&text));
        (text, signature.as_bytes().to_vec())
    }

    fn message(wallet: &Wallet, name: &str) -> Message {
        Message {
            address: wallet.address(),
            chain: CHAIN,
            user: user(name),
            issued: now(),
        }
    }

    fn bind(wallet: &Wallet, message: &Message, as_user: &str) -> Result<Bind, NotBound> {
        let (text, signature) = signed(wallet, message);
        Bind::new((&text, &signature), &user(as_user), CHAIN, now())
    }

    #[test]
    fn a_message_is_read_as_it_was_written() {
        let written = message(&Wallet::new(1), "AB:CD");
        let text = written.text("ledger.example", "abcdefgh12");
        assert_eq!(Message::parse(&text), Ok(written));
    }

    #[test]
    fn an_account_is_bound_by_its_own_key_and_by_no_other() {
        let (one, two) = (Wallet::new(1), Wallet::new(2));
        let bound = bind(&one, &message(&one, "alice"), "alice").unwrap();
        assert_eq!(bound.address(), one.address());
        let forged = bind(&two, &message(&one, "alice"), "alice");
        assert_eq!(forged.unwrap_err(), NotBound::Signature(one.address()));
    }

    #[test]
    fn a_message_is_for_one_user_of_one_chain_at_one_time() {
        let wallet = Wallet::new(1);
        let stolen = bind(&wallet, &message(&wallet, "alice"), "mallory");
        assert!(matches!(stolen, Err(NotBound::Other { .. })), "{stolen:?}");
        let elsewhere = Message {
            chain: 1,
            ..message(&wallet, "alice")
        };
        let elsewhere = bind(&wallet, &elsewhere, "alice");
        assert!(matches!(elsewhere, Err(NotBound::Other { .. })));
        let old = Message {
            issued: now() - time::Duration::hours(1),
            ..message(&wallet, "alice")
        };
        assert_eq!(bind(&wallet, &old, "alice").unwrap_err(), NotBound::Time);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        let wallet = Wallet::new(1);
        let good = message(&wallet, "alice").text("ledger.example", "abcdefgh12");
        for (part, other) in [
            ("wants you", "wants me"),
            ("0x", "0X"),
            ("Version: 1", "Version: 2"),
            ("Nonce: abcdefgh12", "Nonce: a"),
            ("Chain ID: ", "Chain: "),
            ("Issued At: 2027", "Issued At: later"),
            ("Request ID: ", "Request: "),
        ] {
            let bad = good.replace(part, other);
            assert_ne!(bad, good);
            let refused = Message::parse(&bad);
            assert!(matches!(refused, Err(NotBound::Malformed(_))), "{bad}");
        }
        assert!(Message::parse(&"a".repeat(MESSAGE_BYTES_MAX + 1)).is_err());
        assert!(Message::parse("").is_err());
    }

    #[test]
    fn an_account_has_one_user_and_goes_over_to_another() {
        let mut state = MemoryState::default();
        let wallet = Wallet::new(1);
        for name in ["alice", "alice", "bob"] {
            let bound = bind(&wallet, &message(&wallet, name), name).unwrap();
            state.run(bound).unwrap();
            assert_eq!(owner(&state, &wallet.address()), Some(user(name)));
            assert_eq!(accounts_of(&state, &user(name)), [wallet.address()]);
        }
        assert!(accounts_of(&state, &user("alice")).is_empty());
    }
}
