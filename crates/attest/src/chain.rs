//! Chains of ordinary X.509 certificates, as vendors other than AMD and Intel use them.
//!
//! RFC 5280 as far as it decides about such a chain: signatures, names, dates, who may issue and how
//! deep. A critical extension that is not known here makes a certificate unusable.

use aws_lc_rs::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{BasicConstraints, ParsedExtension};
use x509_parser::oid_registry::{
    OID_PKCS1_SHA256WITHRSA, OID_PKCS1_SHA384WITHRSA, OID_PKCS1_SHA512WITHRSA,
    OID_SIG_ECDSA_WITH_SHA256, OID_SIG_ECDSA_WITH_SHA384,
};
use x509_parser::prelude::FromDer;
use x509_parser::x509::AlgorithmIdentifier;

use crate::limits::MAX_CERT_BYTES;
use crate::time::UnixTime;

/// Why a chain does not hold. `place` counts from the leaf, which is 0.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChainFault {
    /// Damaged, or it uses something that this code does not know.
    #[error("certificate {place} of the chain cannot be used: {reason}")]
    Unusable {
        /// Which one.
        place: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The next certificate's key has not signed this one.
    #[error("certificate {place} of the chain is not signed by the one after it")]
    NotIssued {
        /// Which one.
        place: usize,
    },
    /// Not within its dates at the time of judgement.
    #[error("certificate {place} of the chain is valid from {from} until {until}, not at {at}")]
    OutOfDate {
        /// Which one.
        place: usize,
        /// Its first second.
        from: UnixTime,
        /// Its last second.
        until: UnixTime,
        /// When it was judged.
        at: UnixTime,
    },
    /// There is none, or more than anybody makes.
    #[error("the chain has {0} certificates")]
    Length(usize),
}

/// No vendor's chain is longer.
const MAX_CERTIFICATES: usize = 8;

/// A chain that holds: each certificate is signed by the next one.
#[derive(Debug)]
pub(crate) struct Chain<'a> {
    certificates: Vec<X509Certificate<'a>>,
    ders: Vec<&'a [u8]>,
}

impl<'a> Chain<'a> {
    /// Reads the certificates, leaf first, and follows them up to the last one at the time `at`.
    ///
    /// Nothing is said about the last one: the caller compares it with what it trusts.
    pub(crate) fn follow(ders: Vec<&'a [u8]>, at: UnixTime) -> Result<Self, ChainFault> {
        if ders.is_empty() || ders.len() > MAX_CERTIFICATES {
            return Err(ChainFault::Length(ders.len()));
        }
        let certificates = ders
            .iter()
            .enumerate()
            .map(|(place, der)| read(place, der))
            .collect::<Result<Vec<_>, _>>()?;
        for (place, certificate) in certificates.iter().enumerate() {
            check_extensions(place, certificate)?;
            check_dates(place, certificate, at)?;
            if let Some(issuer) = certificates.get(place + 1) {
                check_may_issue(place + 1, issuer)?;
                check_issued(place, certificate, issuer)?;
            }
        }
        Ok(Self { certificates, ders })
    }

    pub(crate) fn leaf(&self) -> &X509Certificate<'a> {
        &self.certificates[0]
    }

    /// The certificates above the leaf, in DER.
    pub(crate) fn authorities(&self) -> &[&'a [u8]] {
        &self.ders[1..]
    }

    /// The leaf's key as algorithms want it: a point, or an RSAPublicKey.
    pub(crate) fn leaf_key(&self) -> &[u8] {
        &self.leaf().public_key().subject_public_key.data
    }
}

fn read(place: usize, der: &[u8]) -> Result<X509Certificate<'_>, ChainFault> {
    let unusable = |reason| ChainFault::Unusable { place, reason };
    if der.len() > MAX_CERT_BYTES {
        return Err(unusable("it is too long"));
    }
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(unusable("it is not one X.509 certificate in DER")),
    }
}

fn check_extensions(place: usize, certificate: &X509Certificate<'_>) -> Result<(), ChainFault> {
    let unusable = |reason| ChainFault::Unusable { place, reason };
    if certificate.extensions_map().is_err() {
        return Err(unusable("it states an extension twice"));
    }
    let known = |extension: &ParsedExtension<'_>| {
        matches!(
            extension,
            ParsedExtension::BasicConstraints(_)
                | ParsedExtension::KeyUsage(_)
                | ParsedExtension::ExtendedKeyUsage(_)
                | ParsedExtension::SubjectAlternativeName(_)
                | ParsedExtension::CertificatePolicies(_)
        )
    };
    let mut extensions = certificate.extensions().iter();
    if extensions.any(|found| found.critical && !known(found.parsed_extension())) {
        return Err(unusable("it has a critical extension that is not known"));
    }
    Ok(())
}

fn check_dates(
    place: usize,
    certificate: &X509Certificate<'_>,
    at: UnixTime,
) -> Result<(), ChainFault> {
    let validity = certificate.validity();
    let from = UnixTime::of_certificate(validity.not_before.timestamp());
    let until = UnixTime::of_certificate(validity.not_after.timestamp());
    if at < from || until < at {
        return Err(ChainFault::OutOfDate {
            place,
            from,
            until,
            at,
        });
    }
    Ok(())
}

/// An authority says that it is one, that its key signs certificates, and how many may follow.
fn check_may_issue(place: usize, issuer: &X509Certificate<'_>) -> Result<(), ChainFault> {
    let unusable = |reason| ChainFault::Unusable { place, reason };
    let constraints = issuer.basic_constraints().ok().flatten();
    let Some(BasicConstraints {
        ca: true,
        path_len_constraint,
    }) = constraints.map(|found| found.value)
    else {
        return Err(unusable("it may not issue certificates"));
    };
    // Between it and the leaf stand all places but its own and the leaf's.
    let between = u32::try_from(place - 1).unwrap_or(u32::MAX);
    if path_len_constraint.is_some_and(|most| most < between) {
        return Err(unusable("it may not issue that deep"));
    }
    match issuer.key_usage() {
        Ok(None) => Ok(()),
        Ok(Some(usage)) if usage.value.key_cert_sign() => Ok(()),
        _ => Err(unusable("its key may not sign certificates")),
    }
}

fn check_issued(
    place: usize,
    certificate: &X509Certificate<'_>,
    issuer: &X509Certificate<'_>,
) -> Result<(), ChainFault> {
    let not_issued = ChainFault::NotIssued { place };
    let stated = &certificate.signature_algorithm;
    let algorithm = algorithm(stated).filter(|_| *stated == certificate.tbs_certificate.signature);
    let algorithm = algorithm.ok_or(ChainFault::Unusable {
        place,
        reason: "it is signed with an algorithm that is not known",
    })?;
    if certificate.issuer().as_raw() != issuer.subject().as_raw() {
        return Err(not_issued);
    }
    UnparsedPublicKey::new(algorithm, &issuer.public_key().subject_public_key.data)
        .verify(
            certificate.tbs_certificate.as_ref(),
            &certificate.signature_value.data,
        )
        .map_err(|_| not_issued)
}

fn algorithm(stated: &AlgorithmIdentifier<'_>) -> Option<&'static dyn VerificationAlgorithm> {
    let oid = &stated.algorithm;
    Some(if *oid == OID_PKCS1_SHA256WITHRSA {
        &signature::RSA_PKCS1_2048_8192_SHA256
    } else if *oid == OID_PKCS1_SHA384WITHRSA {
        &signature::RSA_PKCS1_2048_8192_SHA384
    } else if *oid == OID_PKCS1_SHA512WITHRSA {
        &signature::RSA_PKCS1_2048_8192_SHA512
    } else if *oid == OID_SIG_ECDSA_WITH_SHA256 {
        &signature::ECDSA_P256_SHA256_ASN1
    } else if *oid == OID_SIG_ECDSA_WITH_SHA384 {
        &signature::ECDSA_P384_SHA384_ASN1
    } else {
        return None;
    })
}
