//! From AMD's root to the key that signs reports: who vouches for the chip.

use std::sync::LazyLock;

use aws_lc_rs::signature::{RSA_PSS_2048_8192_SHA384, UnparsedPublicKey};
use serde::{Deserialize, Serialize};
use x509_parser::asn1_rs::{Oid, oid};
use x509_parser::certificate::X509Certificate;
use x509_parser::oid_registry::OID_PKCS1_RSASSAPSS;
use x509_parser::pem::Pem;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use crate::bytes::base64_bytes;
use crate::limits::{MAX_CERT_BYTES, MAX_CHAIN_BYTES};
use crate::snp::product::{Product, Tcb};
use crate::snp::refusal::{SnpRefusal, Which};
use crate::time::UnixTime;

/// What comes with a report so that it can be believed; all in DER, in JSON as base64.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endorsements {
    /// The certificate of the key that signed: VCEK or VLEK.
    #[serde(with = "base64_bytes")]
    pub vek: Vec<u8>,
    /// Its issuer, ASK or ASVK; without it AMD's ASK as built in.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "base64_bytes::option"
    )]
    pub ask: Option<Vec<u8>>,
    /// AMD's root; without it the one built in. Its key must be the built-in one either way.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "base64_bytes::option"
    )]
    pub ark: Option<Vec<u8>>,
    /// AMD's revocation list for the product.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        with = "base64_bytes::option"
    )]
    pub crl: Option<Vec<u8>>,
}

impl Endorsements {
    /// The VCEK's certificate alone; AMD's chain above it is built in.
    pub fn of_vcek(der: impl Into<Vec<u8>>) -> Self {
        Self {
            vek: der.into(),
            ask: None,
            ark: None,
            crl: None,
        }
    }

    /// Reads a chain in PEM, the signing key's certificate first, then its issuer and AMD's root,
    /// as clouds hand it out.
    pub fn from_pem(chain: &[u8]) -> Result<Self, SnpRefusal> {
        let unreadable = |reason| SnpRefusal::Unreadable {
            which: Which::Vek,
            reason,
        };
        if chain.len() > MAX_CHAIN_BYTES {
            return Err(unreadable("the chain is too long"));
        }
        let mut certificates = Vec::new();
        for pem in Pem::iter_from_buffer(chain) {
            let pem = pem.map_err(|_| unreadable("the chain is not PEM"))?;
            if pem.label != "CERTIFICATE" {
                return Err(unreadable("the chain holds more than certificates"));
            }
            certificates.push(pem.contents);
        }
        if certificates.len() > 3 {
            return Err(unreadable("the chain has more than three certificates"));
        }
        let mut certificates = certificates.into_iter();
        Ok(Self {
            vek: certificates
                .next()
                .ok_or(unreadable("the chain is empty"))?,
            ask: certificates.next(),
            ark: certificates.next(),
            crl: None,
        })
    }
}

/// The roots that chips are judged by: AMD's, as built in.
pub(super) struct Roots {
    pub(super) milan: Root,
    pub(super) genoa: Root,
    pub(super) turin: Root,
}

/// One product's root and the issuer of its chips' certificates, in DER.
#[derive(Clone)]
pub(super) struct Root {
    pub(super) ark: Vec<u8>,
    pub(super) ask: Vec<u8>,
}

impl Roots {
    /// AMD's own; see `data/NOTICE`.
    pub(super) fn amd() -> &'static Self {
        static AMD: LazyLock<Roots> = LazyLock::new(Roots::built_in);
        &AMD
    }

    fn built_in() -> Self {
        let root = |ark, ask| Root {
            ark: built_in(ark),
            ask: built_in(ask),
        };
        Self {
            milan: root(
                include_bytes!("../../data/amd-milan-ark.pem"),
                include_bytes!("../../data/amd-milan-ask.pem"),
            ),
            genoa: root(
                include_bytes!("../../data/amd-genoa-ark.pem"),
                include_bytes!("../../data/amd-genoa-ask.pem"),
            ),
            turin: root(
                include_bytes!("../../data/amd-turin-ark.pem"),
                include_bytes!("../../data/amd-turin-ask.pem"),
            ),
        }
    }

    pub(super) fn of(&self, product: Product) -> &Root {
        match product {
            Product::Milan => &self.milan,
            Product::Genoa => &self.genoa,
            Product::Turin => &self.turin,
        }
    }
}

fn built_in(pem: &[u8]) -> Vec<u8> {
    let block = Pem::iter_from_buffer(pem).next();
    block
        .expect("invariant: data/ holds one certificate a file")
        .expect("invariant: data/ holds PEM")
        .contents
}

/// A signing key that AMD vouches for, and what its certificate says about the chip.
#[derive(Debug)]
pub(super) struct Vek {
    /// Uncompressed point of P-384.
    pub(super) public_key: Vec<u8>,
    pub(super) tcb: Tcb,
    /// The chip's id as certified; none in the certificate of a provider's key.
    pub(super) chip_id: Option<Vec<u8>>,
}

/// The product that a signing key's certificate names. Not yet proven: nothing is verified.
pub(super) fn claimed_product(vek: &[u8]) -> Result<Product, SnpRefusal> {
    let certificate = read(Which::Vek, vek)?;
    let name = extension(&certificate, &PRODUCT_NAME)?.and_then(|value| match value {
        // An IA5String of less than 128 bytes.
        [0x16, length, name @ ..] if usize::from(*length) == name.len() => {
            std::str::from_utf8(name).ok()
        }
        _ => None,
    });
    name.and_then(Product::from_name)
        .ok_or(SnpRefusal::Unreadable {
            which: Which::Vek,
            reason: "it names no product that is known",
        })
}

/// Follows the chain from AMD's root for `product` down to the signing key, judged at `now`.
pub(super) fn verify(
    endorsements: &Endorsements,
    root: &Root,
    product: Product,
    now: UnixTime,
) -> Result<Vek, SnpRefusal> {
    let pinned = read(Which::Ark, &root.ark)?;
    let ark = read(Which::Ark, endorsements.ark.as_deref().unwrap_or(&root.ark))?;
    if ark.public_key().raw != pinned.public_key().raw {
        return Err(SnpRefusal::RootKey(product));
    }
    let ask = read(Which::Ask, endorsements.ask.as_deref().unwrap_or(&root.ask))?;
    let vek = read(Which::Vek, &endorsements.vek)?;

    issued(Which::Ark, &ark, Which::Ark, &ark)?;
    issued(Which::Ask, &ask, Which::Ark, &ark)?;
    issued(Which::Vek, &vek, Which::Ask, &ask)?;
    for (which, certificate) in [(Which::Ark, &ark), (Which::Ask, &ask), (Which::Vek, &vek)] {
        let validity = certificate.validity();
        in_date(
            which,
            validity.not_before.timestamp(),
            Some(validity.not_after.timestamp()),
            now,
        )?;
    }
    if let Some(crl) = &endorsements.crl {
        not_revoked(crl, &ark, &ask, now)?;
    }
    Ok(Vek {
        public_key: vek.public_key().subject_public_key.data.to_vec(),
        tcb: certified_tcb(&vek, product)?,
        chip_id: extension(&vek, &HWID)?.map(<[u8]>::to_vec),
    })
}

/// AMD's list for the product: signed by its root, in date, and not naming the issuer.
fn not_revoked(
    der: &[u8],
    ark: &X509Certificate<'_>,
    ask: &X509Certificate<'_>,
    now: UnixTime,
) -> Result<(), SnpRefusal> {
    let unreadable = |reason| SnpRefusal::Unreadable {
        which: Which::Crl,
        reason,
    };
    if der.len() > MAX_CERT_BYTES {
        return Err(unreadable("it is too long"));
    }
    let Ok(([], crl)) = CertificateRevocationList::from_der(der) else {
        return Err(unreadable("it is not a revocation list in DER"));
    };
    signed_by(
        crl.tbs_cert_list.as_ref(),
        &crl.signature_value.data,
        Which::Crl,
        Which::Ark,
        ark,
    )?;
    let until = crl.next_update().map(|time| time.timestamp());
    in_date(Which::Crl, crl.last_update().timestamp(), until, now)?;
    let revoked = crl
        .iter_revoked_certificates()
        .any(|entry| entry.raw_serial() == ask.raw_serial());
    if revoked {
        return Err(SnpRefusal::Revoked);
    }
    Ok(())
}

fn read(which: Which, der: &[u8]) -> Result<X509Certificate<'_>, SnpRefusal> {
    let unreadable = |reason| SnpRefusal::Unreadable { which, reason };
    if der.len() > MAX_CERT_BYTES {
        return Err(unreadable("it is too long"));
    }
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        _ => Err(unreadable("it is not one X.509 certificate in DER")),
    }
}

fn issued(
    which: Which,
    certificate: &X509Certificate<'_>,
    issuer: Which,
    by: &X509Certificate<'_>,
) -> Result<(), SnpRefusal> {
    let stated = &certificate.signature_algorithm;
    if stated.algorithm != OID_PKCS1_RSASSAPSS || *stated != certificate.tbs_certificate.signature {
        return Err(SnpRefusal::Unreadable {
            which,
            reason: "it is not signed with RSASSA-PSS",
        });
    }
    if certificate.issuer().as_raw() != by.subject().as_raw() {
        return Err(SnpRefusal::NotIssued { which, issuer });
    }
    signed_by(
        certificate.tbs_certificate.as_ref(),
        &certificate.signature_value.data,
        which,
        issuer,
        by,
    )
}

fn signed_by(
    message: &[u8],
    signature: &[u8],
    which: Which,
    issuer: Which,
    by: &X509Certificate<'_>,
) -> Result<(), SnpRefusal> {
    let key = &by.public_key().subject_public_key.data;
    UnparsedPublicKey::new(&RSA_PSS_2048_8192_SHA384, key)
        .verify(message, signature)
        .map_err(|_| SnpRefusal::NotIssued { which, issuer })
}

fn in_date(which: Which, from: i64, until: Option<i64>, now: UnixTime) -> Result<(), SnpRefusal> {
    let from = UnixTime::of_certificate(from);
    if now < from {
        return Err(SnpRefusal::NotYetValid { which, from, now });
    }
    match until.map(UnixTime::of_certificate) {
        Some(until) if until < now => Err(SnpRefusal::Expired { which, until, now }),
        _ => Ok(()),
    }
}

// AMD document 57230, table "VCEK Certificate Extensions": all below 1.3.6.1.4.1.3704.1.
const PRODUCT_NAME: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.2);
const BOOTLOADER_SVN: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.3.1);
const TEE_SVN: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.3.2);
const SNP_SVN: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.3.3);
const MICROCODE_SVN: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.3.8);
const FMC_SVN: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.3.9);
/// The chip's id, raw: no DER around it.
const HWID: Oid<'static> = oid!(1.3.6.1.4.1.3704.1.4);

fn certified_tcb(vek: &X509Certificate<'_>, product: Product) -> Result<Tcb, SnpRefusal> {
    Ok(Tcb {
        fmc: match product {
            Product::Turin => Some(svn(vek, &FMC_SVN)?),
            Product::Milan | Product::Genoa => None,
        },
        bootloader: svn(vek, &BOOTLOADER_SVN)?,
        tee: svn(vek, &TEE_SVN)?,
        snp: svn(vek, &SNP_SVN)?,
        microcode: svn(vek, &MICROCODE_SVN)?,
    })
}

/// A firmware version: a DER INTEGER from 0 to 255.
fn svn(certificate: &X509Certificate<'_>, oid: &Oid<'_>) -> Result<u8, SnpRefusal> {
    match extension(certificate, oid)? {
        Some([0x02, 0x01, svn @ 0..=0x7f]) | Some([0x02, 0x02, 0x00, svn @ 0x80..=0xff]) => {
            Ok(*svn)
        }
        _ => Err(SnpRefusal::Unreadable {
            which: Which::Vek,
            reason: "it lacks a firmware version",
        }),
    }
}

fn extension<'a>(
    certificate: &'a X509Certificate<'_>,
    oid: &Oid<'_>,
) -> Result<Option<&'a [u8]>, SnpRefusal> {
    let extension = certificate.get_extension_unique(oid);
    extension
        .map(|found| found.map(|extension| extension.value))
        .map_err(|_| SnpRefusal::Unreadable {
            which: Which::Vek,
            reason: "it states an extension twice",
        })
}
