//! Whether a root that another node signed counts.

use std::time::{Duration, Instant};

use ledger::signature::SignedRoot;
use verify::key::PublicKey;
use verify::{Cert, View};

/// A signature costs as much as applying a few hundred entries, and each root covers all before it:
/// so the first of a reign is checked, and then one after each of these times. A restart checks the
/// last one there is, and so does every receipt.
const CHECK_EVERY: Duration = Duration::from_millis(100);

/// Remembers who signs.
pub(crate) struct Judge {
    /// The service, and those before it.
    services: Vec<Cert>,
    signer: Option<(String, PublicKey)>,
    checked: Option<(View, Instant)>,
}

impl Judge {
    /// Believes nodes that one of these services endorses: the present one, and for a node that
    /// fetches the ledger from its beginning, those before it.
    pub(crate) const fn new(services: Vec<Cert>) -> Self {
        Self {
            services,
            signer: None,
            checked: None,
        }
    }

    /// Judges a root whose place and value are right already.
    pub(crate) fn judge(&mut self, signed: &SignedRoot) -> Result<(), String> {
        let known = self
            .signer
            .as_ref()
            .is_some_and(|(cert, _)| *cert == signed.cert);
        if !known {
            let cert = Cert::from_pem(&signed.cert)
                .map_err(|error| format!("the certificate of its node: {error}"))?;
            let mut services = self.services.iter();
            let endorsed = services.any(|service| cert.is_signed_by(service));
            if cert.key_digest().to_string() != signed.node || !endorsed {
                return Err(format!(
                    "node {} is not endorsed by the service",
                    signed.node
                ));
            }
            self.signer = Some((signed.cert.clone(), cert.public_key()));
        }
        let now = Instant::now();
        let due = self.checked.is_none_or(|(view, at)| {
            view != signed.id.view || now.duration_since(at) >= CHECK_EVERY
        });
        if let (true, Some((_, key))) = (due || !known, &self.signer) {
            key.verify_prehashed(&signed.root, &signed.signature)
                .map_err(|_| format!("its root is not signed by node {}", signed.node))?;
            self.checked = Some((signed.id.view, now));
        }
        Ok(())
    }
}
