//! Who takes part: the tree of participants, and who in it may reach whom. Pure.

use std::collections::BTreeSet;
use std::fmt;

use http::StatusCode;
use serde::{Deserialize, Deserializer, Serialize};

use super::permissions::OperationName;
use crate::Problem;
use crate::limits::{EMAIL_BYTES_MAX, NAME_BYTES_MAX, TREE_DEPTH_MAX};
use crate::model::Timestamp;
use crate::trail::Address;

/// Why something about a user cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UserError {
    /// The identifier is not one of ours.
    #[error("an identifier has 32 hexadecimal digits in lower case")]
    Id,
    /// The address is not one that mail goes to.
    #[error("an email address is name@host, in at most {EMAIL_BYTES_MAX} ASCII characters")]
    Email,
    /// The name is empty, too long, or has control characters.
    #[error("a name has 1 to {NAME_BYTES_MAX} bytes, and no control characters")]
    Name,
    /// The key is no Ethereum address.
    #[error("a key is an Ethereum address: 0x and 40 hexadecimal digits")]
    Key,
    /// The proof is no signature.
    #[error("a proof of a key is a signature: 0x and 130 hexadecimal digits")]
    KeyProof,
    /// The operation's name has other characters, or too many.
    #[error("an operation's name is a letter and at most 63 letters and digits after it")]
    Operation,
    /// The tree does not grow like this: somebody else has to create this user.
    #[error("a user of the kind {creator} does not create users of the kind {kind}")]
    Creates {
        /// Who tried.
        creator: Kind,
        /// What they wanted to create.
        kind: Kind,
    },
    /// The tree is deep enough: create the user further up.
    #[error("the tree of users is at most {TREE_DEPTH_MAX} deep")]
    Depth,
    /// The root can be changed, and stays.
    #[error("the root cannot be deleted: nobody could create another one")]
    RootStays,
}

impl From<UserError> for Problem {
    fn from(error: UserError) -> Self {
        match error {
            UserError::Id
            | UserError::Email
            | UserError::Name
            | UserError::Key
            | UserError::KeyProof
            | UserError::Operation => Self::input(error.to_string()),
            UserError::Creates { .. } | UserError::RootStays => {
                Self::not_permitted(error.to_string())
            }
            UserError::Depth => Self::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                "TreeTooDeep",
                error.to_string(),
            ),
        }
    }
}

/// What somebody is in the tree. It never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The first of all, of whom there is one.
    Root,
    /// Creates administrators and users of the system.
    Administrator,
    /// A user of the system that is audited: their data are the resources.
    TUser,
    /// Somebody who looks at what became of a product.
    Consumer,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Root, Self::Administrator, Self::TUser, Self::Consumer];

    /// The word for it, as it is written everywhere.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Root => "root",
            Self::Administrator => "administrator",
            Self::TUser => "tuser",
            Self::Consumer => "consumer",
        }
    }

    /// The kind that a word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// Whether an account of this kind that is there may become that of an identity. Not the root's: who
    /// administers the provider would be root. Not a consumer's: who came by themselves with a password never
    /// showed that their address is theirs, and may be waiting for its owner.
    pub const fn may_be_linked(self) -> bool {
        matches!(self, Self::Administrator | Self::TUser)
    }

    /// Whether the tree may grow a user of this kind below one of ours.
    ///
    /// # Errors
    /// It may not: roots come by the handshake alone, consumers by themselves.
    pub fn creates(self, kind: Self) -> Result<(), UserError> {
        match (self, kind) {
            (Self::Root | Self::Administrator, Self::Administrator)
            | (Self::Administrator, Self::TUser) => Ok(()),
            (creator, kind) => Err(UserError::Creates { creator, kind }),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Whether a user counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// The ledger does not have the event yet that makes the user.
    Pending,
    /// The user may log in.
    Active,
    /// The user was deleted: nothing of them is erased, and they may do nothing.
    Disabled,
}

impl Status {
    /// The word for it.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Disabled => "disabled",
        }
    }

    /// The status that a word stands for.
    pub fn parse(word: &str) -> Option<Self> {
        let all = [Self::Pending, Self::Active, Self::Disabled];
        all.into_iter().find(|status| status.word() == word)
    }
}

/// How a user signs in by the identity provider (OpenID Connect), beside their password.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "lowercase")]
pub enum Oidc {
    /// Nobody has said: they do if the operator links by addresses.
    #[default]
    Unsaid,
    /// Somebody above them stands for their address: whoever the provider says it belongs to becomes them.
    Allowed,
    /// Their address is their own word, or somebody above took the link away: not until they are allowed.
    Refused,
    /// They are whom the provider knows by this.
    Linked(Identity),
}

/// Somebody, as an identity provider knows them: the two together never mean anybody else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The provider.
    pub issuer: String,
    /// Its own name for them (`sub`). It is no address, and does not change.
    pub subject: String,
}

impl Oidc {
    /// Whether nobody has said anything.
    pub const fn is_unsaid(&self) -> bool {
        matches!(self, Self::Unsaid)
    }

    /// Whether a user of this kind becomes whom the provider says their address belongs to.
    pub fn may_link(&self, kind: Kind, link_by_email: bool) -> bool {
        let allowed = match self {
            Self::Allowed => true,
            Self::Unsaid => link_by_email,
            Self::Refused | Self::Linked(_) => false,
        };
        allowed && kind.may_be_linked()
    }

    /// What becomes of it when its user gives themselves another address: nobody stands for that one.
    pub fn after_own_address(&self) -> Option<Self> {
        match self {
            Self::Unsaid | Self::Allowed => Some(Self::Refused),
            Self::Refused | Self::Linked(_) => None,
        }
    }
}

/// What can be done to a user that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// Look at them.
    Read,
    /// Change them.
    Update,
    /// Disable them.
    Delete,
}

impl Deed {
    /// The operation that permits it. Consumers are reached as users of the system are: the dictionary has
    /// no words of their own for them. For a root that is not oneself there is none.
    pub fn operation(self, to_oneself: bool, kind: Kind) -> Option<&'static str> {
        let [me, administrator, tuser] = match self {
            Self::Read => ["readMe", "readAdministrator", "readTUser"],
            Self::Update => ["updateMe", "updateAdministrator", "updateTUser"],
            Self::Delete => ["deleteMe", "deleteAdministrator", "deleteTUser"],
        };
        match kind {
            _ if to_oneself => Some(me),
            Kind::Root => None,
            Kind::Administrator => Some(administrator),
            Kind::TUser | Kind::Consumer => Some(tuser),
        }
    }
}

/// A participant, as they are shown: without anything secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// Who.
    pub id: UserId,
    /// What they are in the tree.
    pub kind: Kind,
    /// Below whom; the root is below nobody.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<UserId>,
    /// Where mail reaches them, and how they log in.
    pub email: Email,
    /// What they are called.
    pub name: Name,
    /// The key that signs what they do on a chain.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<ChainKey>,
    /// Whether they count.
    pub status: Status,
    /// What they were granted, by name.
    pub grants: BTreeSet<OperationName>,
    /// Whether logging in takes a second factor.
    pub totp: bool,
    /// Whether they sign in by the identity provider.
    #[serde(default, skip_serializing_if = "Oidc::is_unsaid")]
    pub oidc: Oidc,
    /// When they were created.
    pub created: Timestamp,
    /// How many changes of them are recorded.
    pub version: u64,
    /// Where the newest of them is.
    #[serde(flatten)]
    pub address: Option<Address>,
}

impl User {
    /// Whether somebody may reach this user at all: they are it, or stand above it.
    pub fn is_reached_by(&self, caller: &UserId, above: &[UserId]) -> bool {
        self.id == *caller || above.contains(caller)
    }
}

/// Whether there is room in the tree for a user with so many above them.
///
/// # Errors
/// It would be too deep.
pub fn check_depth(above: usize) -> Result<(), UserError> {
    if above < TREE_DEPTH_MAX {
        Ok(())
    } else {
        Err(UserError::Depth)
    }
}

macro_rules! parsed_text {
    ($(#[$doc:meta])* $name:ident, $error:expr, $parse:expr) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Reads it.
            ///
            /// # Errors
            /// It is not of the form that the type's description says.
            pub fn parse(text: &str) -> Result<Self, UserError> {
                let parse: fn(&str) -> Option<String> = $parse;
                parse(text).map(Self).ok_or($error)
            }

            /// The text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
                Self::parse(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(super) use parsed_text;

parsed_text!(
    /// An address that mail goes to, in lower case: nobody means two people by its capitals.
    Email,
    UserError::Email,
    |text| {
        let (local, host) = text.split_once('@')?;
        let fits = |c: char| c.is_ascii_graphic() && !"\"(),:;<>@[\\]".contains(c);
        let label = |label: &str| {
            let edges = label.starts_with('-') || label.ends_with('-');
            let inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            (1..=63).contains(&label.len()) && !edges && label.bytes().all(inside)
        };
        let good = (1..=64).contains(&local.len())
            && local.chars().all(fits)
            && host.split('.').all(label)
            && text.len() <= EMAIL_BYTES_MAX;
        good.then(|| text.to_ascii_lowercase())
    }
);

parsed_text!(
    /// What somebody is called. Blanks around it do not count.
    Name,
    UserError::Name,
    |text| {
        let text = text.trim();
        let good = (1..=NAME_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control);
        good.then(|| text.to_owned())
    }
);

parsed_text!(
    /// A key on a chain, by its Ethereum address, in lower case. It belongs to one user for ever.
    ChainKey,
    UserError::Key,
    |text| {
        let digits = text.strip_prefix("0x")?;
        let good = digits.len() == 40 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        good.then(|| text.to_ascii_lowercase())
    }
);

parsed_text!(
    /// That a key is kept: its signature, as wallets sign texts (EIP-191), 65 bytes.
    KeyProof,
    UserError::KeyProof,
    |text| {
        let digits = text.strip_prefix("0x")?;
        let good = digits.len() == 130 && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        good.then(|| text.to_ascii_lowercase())
    }
);

macro_rules! identifier {
    ($(#[$doc:meta])* $name:ident) => {
        parsed_text!($(#[$doc])* $name, UserError::Id, |text| {
            let lower = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
            (text.len() == 32 && text.bytes().all(lower)).then(|| text.to_owned())
        });

        impl $name {
            /// Of chance that nobody guesses.
            pub fn of(chance: [u8; 16]) -> Self {
                Self(hex::encode(chance))
            }
        }
    };
}

identifier!(
    /// The name of a user that never changes: 128 random bits, in hexadecimal digits.
    UserId
);

identifier!(
    /// The name of a session, from one login to its end: 128 random bits, in hexadecimal digits.
    SessionId
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_creates_administrators_and_they_create_administrators_and_users() {
        use Kind::{Administrator, Consumer, Root, TUser};
        let allowed = [
            (Root, Administrator),
            (Administrator, Administrator),
            (Administrator, TUser),
        ];
        for creator in Kind::ALL {
            for kind in Kind::ALL {
                let may = creator.creates(kind).is_ok();
                assert_eq!(may, allowed.contains(&(creator, kind)), "{creator} {kind}");
            }
        }
        assert_eq!(
            Consumer.creates(Consumer),
            Err(UserError::Creates {
                creator: Consumer,
                kind: Consumer
            })
        );
    }

    #[test]
    fn what_is_done_to_somebody_has_the_name_that_the_dictionary_knows() {
        assert_eq!(Deed::Read.operation(true, Kind::Root), Some("readMe"));
        assert_eq!(Deed::Read.operation(false, Kind::Root), None);
        assert_eq!(
            Deed::Delete.operation(false, Kind::TUser),
            Some("deleteTUser")
        );
        assert_eq!(
            Deed::Update.operation(false, Kind::Administrator),
            Some("updateAdministrator")
        );
    }

    #[test]
    fn the_tree_does_not_grow_without_end() {
        assert_eq!(check_depth(0), Ok(()));
        assert_eq!(check_depth(TREE_DEPTH_MAX - 1), Ok(()));
        assert_eq!(check_depth(TREE_DEPTH_MAX), Err(UserError::Depth));
    }

    #[test]
    fn addresses_that_are_none_are_refused_and_capitals_do_not_count() {
        assert_eq!(
            Email::parse("Ana@Farm.Example").unwrap().as_str(),
            "ana@farm.example"
        );
        for bad in [
            "",
            "ana",
            "@farm",
            "ana@",
            "a@b@c",
            "a b@c",
            "ana@-farm",
            "ana@farm..example",
            "añ@farm",
            "a@b\n",
            "<a>@b",
            &format!("{}@b", "a".repeat(65)),
        ] {
            assert_eq!(Email::parse(bad), Err(UserError::Email), "{bad:?}");
        }
    }

    #[test]
    fn keys_names_and_identifiers_have_one_form() {
        let key = ChainKey::parse("0xABcdef0123456789abcdef0123456789abcdef01").unwrap();
        assert_eq!(key.as_str(), "0xabcdef0123456789abcdef0123456789abcdef01");
        for bad in ["", "0x12", "abcdef0123456789abcdef0123456789abcdef0100"] {
            ChainKey::parse(bad).unwrap_err();
        }
        assert_eq!(Name::parse("  Ana García ").unwrap().as_str(), "Ana García");
        for bad in ["", "   ", "a\u{7}", &"x".repeat(NAME_BYTES_MAX + 1)] {
            Name::parse(bad).unwrap_err();
        }
        let id = UserId::of([0xab; 16]);
        assert_eq!(UserId::parse(id.as_str()), Ok(id));
        for bad in ["", "AB", &"AB".repeat(16), &"ab".repeat(17)] {
            UserId::parse(bad).unwrap_err();
        }
    }

    #[test]
    fn an_account_is_linked_if_somebody_above_stands_for_its_address() {
        let linked = Oidc::Linked(Identity {
            issuer: "https://login.example".to_owned(),
            subject: "7".to_owned(),
        });
        for kind in Kind::ALL {
            let fits = matches!(kind, Kind::Administrator | Kind::TUser);
            for link_by_email in [false, true] {
                assert_eq!(Oidc::Allowed.may_link(kind, link_by_email), fits);
                let unsaid = Oidc::Unsaid.may_link(kind, link_by_email);
                assert_eq!(unsaid, fits && link_by_email);
                for never in [&Oidc::Refused, &linked] {
                    assert!(!never.may_link(kind, link_by_email));
                }
            }
        }
        // Whoever takes another's address does not become them, and who is linked stays who they are.
        assert_eq!(Oidc::Unsaid.after_own_address(), Some(Oidc::Refused));
        assert_eq!(Oidc::Allowed.after_own_address(), Some(Oidc::Refused));
        assert_eq!(linked.after_own_address(), None);
        let written = serde_json::to_value(&linked).unwrap();
        let expected = serde_json::json!({
            "state": "linked", "issuer": "https://login.example", "subject": "7",
        });
        assert_eq!(written, expected);
    }

    #[test]
    fn words_stand_for_one_kind_and_one_status() {
        for kind in Kind::ALL {
            assert_eq!(Kind::parse(kind.word()), Some(kind));
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.word());
        }
        for status in [Status::Pending, Status::Active, Status::Disabled] {
            assert_eq!(Status::parse(status.word()), Some(status));
        }
        assert_eq!(Kind::parse("Root"), None);
    }
}
