//! Token issuers that members named, as the ledger's tables have them.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use ledger::governance::jwt::Believed;

use super::issuer::Issuer;
use crate::config::{JwksSource, JwtIssuer};
use crate::error::chain;

/// The issuers at one access version of the node.
#[derive(Default)]
struct Known {
    version: Option<u64>,
    issuers: Vec<(Believed, Arc<Issuer>)>,
}

/// Issuers that follow the members' decisions.
#[derive(Default)]
pub(crate) struct Governed {
    known: ArcSwap<Known>,
    /// Held while they are read anew, so that this is done once.
    reading: Mutex<()>,
}

impl Governed {
    /// Reads the issuers anew if the access version is another one. Returns whether they changed,
    /// so that tokens which were believed must be checked again.
    pub(super) fn follow(&self, version: u64, read: impl FnOnce() -> Vec<Believed>) -> bool {
        if self.known.load().version == Some(version) {
            return false;
        }
        let _reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.known.load_full();
        if before.version == Some(version) {
            return false;
        }
        let mut changed = false;
        let mut issuers = Vec::new();
        for believed in read() {
            // One that stays as it was keeps the keys that were fetched.
            let same = before.issuers.iter().find(|(other, _)| *other == believed);
            if let Some((_, issuer)) = same {
                issuers.push((believed, Arc::clone(issuer)));
                continue;
            }
            changed = true;
            let Some(config) = config(&believed) else {
                continue;
            };
            match Issuer::new(config) {
                Ok(issuer) => issuers.push((believed, Arc::new(issuer))),
                Err(error) => {
                    let issuer = &believed.name;
                    let error = chain(&error);
                    tracing::warn!(issuer, error, "an issuer that members named cannot be used");
                }
            }
        }
        changed |= issuers.len() != before.issuers.len();
        let version = Some(version);
        self.known.store(Arc::new(Known { version, issuers }));
        changed
    }

    /// The issuers.
    pub(super) fn all(&self) -> Vec<Arc<Issuer>> {
        let known = self.known.load();
        let issuers = known.issuers.iter();
        issuers.map(|(_, issuer)| Arc::clone(issuer)).collect()
    }

    /// The issuer of this name.
    pub(super) fn find(&self, name: &str) -> Option<Arc<Issuer>> {
        let known = self.known.load();
        let found = known.issuers.iter().find(|(it, _)| it.name == name);
        found.map(|(_, issuer)| Arc::clone(issuer))
    }
}

/// How its tokens are checked; `None` for one without keys so far.
fn config(believed: &Believed) -> Option<JwtIssuer> {
    let jwks = match &believed.jwks {
        Some(keys) => JwksSource::Static(keys.to_string()),
        None if believed.issuer.auto_refresh => JwksSource::Discovery,
        None => return None,
    };
    Some(JwtIssuer {
        issuer: believed.name.clone(),
        audiences: believed.issuer.audiences.iter().cloned().collect(),
        jwks,
        user_claim: believed.issuer.user_claim.clone(),
        tls_roots: believed.ca_certs.clone(),
    })
}
