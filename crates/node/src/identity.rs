//! The keys and certificates of the service and of the node, as CCF lays them out.
//!
//! The service's certificate is self-signed, `CN=CCF Network`, and is the trust anchor of every
//! receipt. The node's is signed by the service, `CN=CCF Node`, names the addresses clients use, and
//! serves TLS as well as receipts. All keys are P-384.

use aws_lc_rs::digest::{Digest as Sha384, SHA384};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, PublicKeyData, SubjectPublicKeyInfo,
};
use time::{Duration, OffsetDateTime};
use verify::key::prehashed_for_p384;
use verify::{Digest, Seqno};
use zeroize::Zeroizing;

use crate::platform::Secrets;

/// How long the service's certificate is valid. Receipts do not look at dates; TLS clients do.
const SERVICE_VALIDITY: Duration = Duration::days(3_650);
/// How long a node's certificate is valid. It is renewed at a start, and when members decide so.
pub const NODE_VALIDITY: Duration = Duration::days(397);
/// Certificates begin a little in the past: clocks differ.
const BACKDATED: Duration = Duration::hours(1);

/// A key or a certificate cannot be made or used.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The operator should check the names in the configuration.
    #[error("making the {what} certificate")]
    Certificate {
        /// Whose.
        what: &'static str,
        /// Why.
        #[source]
        source: rcgen::Error,
    },
    /// The secrets file holds something else than a P-384 key.
    #[error("the {what} key is not a P-384 private key in PKCS#8")]
    Key {
        /// Whose.
        what: &'static str,
    },
    /// The system's random numbers are not to be had.
    #[error("drawing random bytes")]
    Random,
}

/// New secrets for a new ledger.
///
/// # Errors
/// No random numbers.
pub fn draw_secrets() -> Result<Secrets, IdentityError> {
    let ledger_secret = draw_secret()?;
    Ok(Secrets {
        state_secret: ledger_secret.clone(),
        ledger_secrets: vec![(Seqno::FIRST, ledger_secret)],
        service_key: draw_key()?,
        node_key: draw_key()?,
    })
}

/// 32 random bytes.
///
/// # Errors
/// No random numbers.
pub fn draw_secret() -> Result<Zeroizing<[u8; 32]>, IdentityError> {
    let mut secret = Zeroizing::new([0; 32]);
    SystemRandom::new()
        .fill(&mut *secret)
        .map_err(|_| IdentityError::Random)?;
    Ok(secret)
}

/// A new P-384 private key, PKCS#8 DER.
///
/// # Errors
/// No random numbers.
pub fn draw_key() -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).map_err(|_| IdentityError::Random)?;
    Ok(Zeroizing::new(key.serialize_der()))
}

/// The service's self-signed certificate, PEM.
///
/// # Errors
/// The key is none.
pub fn service_cert(service_key: &[u8], now: OffsetDateTime) -> Result<String, IdentityError> {
    renewed_service_cert(service_key, now, SERVICE_VALIDITY)
}

/// The service's self-signed certificate, valid for so long, PEM.
///
/// # Errors
/// The key is none.
pub fn renewed_service_cert(
    service_key: &[u8],
    now: OffsetDateTime,
    validity: Duration,
) -> Result<String, IdentityError> {
    let key = key_pair(service_key, "service")?;
    let mut params = service_params();
    params.not_before = now - BACKDATED;
    params.not_after = now + validity;
    let cert = params
        .self_signed(&key)
        .map_err(|source| IdentityError::Certificate {
            what: "service",
            source,
        })?;
    Ok(cert.pem())
}

/// The certificate of a node whose keys are here, endorsed by the service, PEM.
///
/// # Errors
/// A key is none, or a name is neither a DNS name nor an IP address.
pub fn node_cert(
    secrets: &Secrets,
    subject_alt_names: &[String],
    now: OffsetDateTime,
) -> Result<String, IdentityError> {
    let public_key = public_key(&secrets.node_key)?;
    endorse_node(
        &secrets.service_key,
        &public_key,
        subject_alt_names,
        now,
        NODE_VALIDITY,
    )
}

/// The certificate of the node with this public key (SubjectPublicKeyInfo, DER), endorsed by the
/// service for so long, PEM.
///
/// # Errors
/// A key is none, or a name is neither a DNS name nor an IP address.
pub fn endorse_node(
    service_key: &[u8],
    public_key: &[u8],
    subject_alt_names: &[String],
    now: OffsetDateTime,
    validity: Duration,
) -> Result<String, IdentityError> {
    let failed = |source| IdentityError::Certificate {
        what: "node",
        source,
    };
    let issuer = Issuer::new(service_params(), key_pair(service_key, "service")?);
    let mut params = CertificateParams::new(subject_alt_names).map_err(failed)?;
    params
        .distinguished_name
        .push(DnType::CommonName, "CCF Node");
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    params.use_authority_key_identifier_extension = true;
    params.not_before = now - BACKDATED;
    params.not_after = now + validity;
    let key = SubjectPublicKeyInfo::from_der(public_key)
        .map_err(|_| IdentityError::Key { what: "node" })?;
    Ok(params.signed_by(&key, &issuer).map_err(failed)?.pem())
}

/// A certificate for the key of the service before this one (SubjectPublicKeyInfo, DER), endorsed by
/// this one: what leads from its receipts to this service. PEM.
///
/// # Errors
/// A key is none.
pub fn endorse_earlier_service(
    service_key: &[u8],
    earlier: &[u8],
    now: OffsetDateTime,
) -> Result<String, IdentityError> {
    let issuer = Issuer::new(service_params(), key_pair(service_key, "service")?);
    let mut params = service_params();
    params.use_authority_key_identifier_extension = true;
    params.not_before = now - BACKDATED;
    params.not_after = now + SERVICE_VALIDITY;
    let key = SubjectPublicKeyInfo::from_der(earlier)
        .map_err(|_| IdentityError::Key { what: "service" })?;
    let cert = params.signed_by(&key, &issuer);
    let cert = cert.map_err(|source| IdentityError::Certificate {
        what: "service",
        source,
    })?;
    Ok(cert.pem())
}

/// The public half of a private key (PKCS#8 DER), as SubjectPublicKeyInfo in DER.
///
/// # Errors
/// The key is none.
pub fn public_key(pkcs8: &[u8]) -> Result<Vec<u8>, IdentityError> {
    Ok(key_pair(pkcs8, "node")?.subject_public_key_info())
}

/// A member's self-signed signing certificate, PEM, and its key, PEM.
///
/// # Errors
/// No random numbers.
pub fn draw_member(now: OffsetDateTime) -> Result<(String, Zeroizing<String>), IdentityError> {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).map_err(|_| IdentityError::Random)?;
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "Founding member");
    params.not_before = now - BACKDATED;
    params.not_after = now + SERVICE_VALIDITY;
    let cert = params
        .self_signed(&key)
        .map_err(|source| IdentityError::Certificate {
            what: "member",
            source,
        })?;
    Ok((cert.pem(), Zeroizing::new(key.serialize_pem())))
}

fn service_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, "CCF Network");
    // One step below it: nodes, and services that were endorsed after a recovery.
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(1));
    params.key_usages = vec![
        KeyUsagePurpose::KeyCertSign,
        KeyUsagePurpose::CrlSign,
        KeyUsagePurpose::DigitalSignature,
    ];
    params
}

fn key_pair(pkcs8: &[u8], what: &'static str) -> Result<KeyPair, IdentityError> {
    KeyPair::from_pkcs8_der_and_sign_algo(&pkcs8.into(), &PKCS_ECDSA_P384_SHA384)
        .map_err(|_| IdentityError::Key { what })
}

/// The node's key as the signer of roots for JSON receipts.
pub struct NodeSigner(EcdsaKeyPair);

impl NodeSigner {
    /// Signs with this key.
    ///
    /// # Errors
    /// The key is none.
    pub fn new(node_key: &[u8]) -> Result<Self, IdentityError> {
        EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_ASN1_SIGNING, node_key)
            .map(Self)
            .map_err(|_| IdentityError::Key { what: "node" })
    }

    /// ECDSA over the root as a prehashed digest, DER.
    pub fn sign_root(&self, root: &Digest) -> Vec<u8> {
        let prehashed = Sha384::import_less_safe(&prehashed_for_p384(root), &SHA384)
            .expect("48 bytes are as long as a SHA-384 digest");
        let signature = self
            .0
            .sign_digest(&prehashed)
            .expect("a P-384 key signs a digest");
        signature.as_ref().to_vec()
    }
}

/// The service's key as the signer of roots for COSE receipts.
pub struct ServiceSigner {
    key: EcdsaKeyPair,
    random: SystemRandom,
}

impl ServiceSigner {
    /// Signs with this key.
    ///
    /// # Errors
    /// The key is none.
    pub fn new(service_key: &[u8]) -> Result<Self, IdentityError> {
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, service_key)
            .map_err(|_| IdentityError::Key { what: "service" })?;
        Ok(Self {
            key,
            random: SystemRandom::new(),
        })
    }

    /// ES384 over `message`: 96 bytes, r and s.
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        let signature = self
            .key
            .sign(&self.random, message)
            .expect("a P-384 key signs bytes");
        signature.as_ref().to_vec()
    }
}

#[cfg(test)]
mod tests {
    use verify::cert::Cert;

    use super::*;

    #[test]
    fn the_service_endorses_the_node_and_both_sign_with_the_keys_they_show() {
        let secrets = draw_secrets().unwrap();
        let now = OffsetDateTime::now_utc();
        let service = Cert::from_pem(&service_cert(&secrets.service_key, now).unwrap()).unwrap();
        let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
        let node = Cert::from_pem(&node_cert(&secrets, &names, now).unwrap()).unwrap();
        assert!(node.is_signed_by(&service));
        assert!(service.is_signed_by(&service));

        let root = Digest::of(b"root");
        let signature = NodeSigner::new(&secrets.node_key).unwrap().sign_root(&root);
        let key = node.public_key();
        assert!(key.verify_prehashed(&root, &signature).is_ok());
        assert!(
            key.verify_prehashed(&Digest::of(b"other"), &signature)
                .is_err()
        );
    }
}
