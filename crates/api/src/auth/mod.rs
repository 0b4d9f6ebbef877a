//! Who is calling: a client certificate, by its fingerprint, or a bearer token, by its subject.

mod bearer;
mod caller;
mod governed;
mod issuer;
pub(crate) mod keys;

pub(crate) use bearer::{Tokens, Verified};
pub use caller::Needs;
pub(crate) use caller::{Identity, fingerprint};
pub use issuer::IssuerError;
pub use keys::KeySetError;
