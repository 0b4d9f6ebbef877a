//! What evidence is about: which key, in which network, asked by whom.

use aws_lc_rs::digest::{Context, SHA512};

use crate::bytes::{HexBytes, ReportData};

/// What the digest begins with, so that no other protocol's digest can be taken for it.
const DOMAIN: &[u8] = b"counterfoil attest report data v1";

/// The report data of a node: SHA-512 over the domain and the four fields, each preceded by its
/// length as eight bytes, big-endian.
///
/// - `label`: what the evidence is for, such as `"join"`. Evidence for one purpose is none for
///   another.
/// - `node_key_spki`: the node's public key as SubjectPublicKeyInfo in DER. Only who holds its
///   private half can use the evidence.
/// - `network_id`: the digest of the service's identity, so that networks cannot be mixed up.
/// - `nonce`: chosen by who asks, so that the evidence is fresh; empty where nobody asked.
pub fn report_data_for(
    label: &str,
    node_key_spki: &[u8],
    network_id: &[u8],
    nonce: &[u8],
) -> ReportData {
    let mut context = Context::new(&SHA512);
    for field in [DOMAIN, label.as_bytes(), node_key_spki, network_id, nonce] {
        context.update(&(field.len() as u64).to_be_bytes());
        context.update(field);
    }
    HexBytes::at(context.finish().as_ref(), 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_data_is_known() {
        // Computed by another implementation: Python's hashlib over the same fields.
        assert_eq!(
            report_data_for("join", b"key", b"network", b"nonce").to_string(),
            "deedb2236d0c7d706ddd55ef98d33094c2bd6d569c91ea2db544089654cc224168ffcd86a2681667df1db0501f90fe33d46b0e96b8f4f66dc7051d26675a3641"
        );
    }

    #[test]
    fn every_field_and_every_boundary_counts() {
        let base = report_data_for("join", b"key", b"network", b"nonce");
        for other in [
            report_data_for("read", b"key", b"network", b"nonce"),
            report_data_for("join", b"kex", b"network", b"nonce"),
            report_data_for("join", b"key", b"netwerk", b"nonce"),
            report_data_for("join", b"key", b"network", b""),
            report_data_for("joi", b"nkey", b"network", b"nonce"),
            report_data_for("join", b"keyn", b"etwork", b"nonce"),
            report_data_for("join", b"key", b"networkn", b"once"),
        ] {
            assert_ne!(base, other);
        }
    }
}
