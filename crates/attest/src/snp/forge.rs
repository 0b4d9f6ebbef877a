//! A maker of chips that AMD never made: for what no published report shows.

use std::sync::LazyLock;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair, RSA_PSS_SHA384, RsaKeyPair,
};

use super::endorsements::{Root, Roots};
use super::{Endorsements, Product, REPORT_BYTES, SnpEvidence};

pub(super) static ARK: LazyLock<RsaKeyPair> = LazyLock::new(rsa_key);
pub(super) static ASK: LazyLock<RsaKeyPair> = LazyLock::new(rsa_key);
/// Somebody who is not AMD.
pub(super) static STRANGER: LazyLock<RsaKeyPair> = LazyLock::new(rsa_key);

fn rsa_key() -> RsaKeyPair {
    RsaKeyPair::generate(KeySize::Rsa2048).unwrap()
}

/// When everything that is forged with default dates is valid.
pub(super) const NOW: u64 = 1_800_000_000;

/// The root and issuer of all forged chips, whatever the product.
pub(super) fn roots() -> Roots {
    let root = Root {
        ark: authority("ARK", &ARK, "ARK", &ARK),
        ask: authority("ASK", &ASK, "ARK", &ARK),
    };
    Roots {
        milan: root.clone(),
        genoa: root.clone(),
        turin: root,
    }
}

pub(super) fn authority(name: &str, key: &RsaKeyPair, issuer: &str, by: &RsaKeyPair) -> Vec<u8> {
    let key = seq(&[
        seq(&[oid("2a864886f70d010101"), vec![5, 0]]),
        bits(key.public_key().as_ref()),
    ]);
    certificate(name, &key, &[], issuer, by, DATES)
}

/// A chip, its certificate and what it will report.
pub(super) struct Chip {
    key: EcdsaKeyPair,
    pub(super) product_name: &'static str,
    /// Firmware versions by the last number of their extension.
    pub(super) svns: Vec<(u8, u8)>,
    pub(super) hwid: Option<Vec<u8>>,
    pub(super) dates: [&'static str; 2],
    pub(super) report: [u8; REPORT_BYTES],
}

const DATES: [&str; 2] = ["250101000000Z", "320101000000Z"];

impl Chip {
    /// A good chip with a guest that any policy could accept.
    pub(super) fn new(product: Product) -> Self {
        let mut report = [0; REPORT_BYTES];
        report[0] = 3;
        report[0x0a] = 0b11;
        report[0x34] = 1;
        report[0x50..0x90].fill(0xdd);
        report[0x90..0xc0].fill(0xaa);
        report[0xc0..0xe0].fill(0xbb);
        report[0x1a0..0x1a8].fill(0x1d);
        let (cpuid, tcb, product_name) = match product {
            Product::Milan => ([0x19, 0x01], [3, 1, 0, 0, 0, 0, 8, 200], "Milan-B0"),
            Product::Genoa => ([0x19, 0x11], [7, 0, 0, 0, 0, 0, 14, 72], "Genoa-B1"),
            Product::Turin => ([0x1a, 0x02], [1, 2, 3, 4, 0, 0, 0, 80], "Turin-C1"),
        };
        report[0x188..0x18a].copy_from_slice(&cpuid);
        report[0x180..0x188].copy_from_slice(&tcb);
        let svns = match product {
            Product::Turin => vec![(9, 1), (1, 2), (2, 3), (3, 4), (8, 80)],
            _ => vec![(1, tcb[0]), (2, tcb[1]), (3, tcb[6]), (8, tcb[7])],
        };
        let mut hwid = vec![0x1d; 8];
        if product != Product::Turin {
            hwid.resize(64, 0);
        }
        Self {
            key: EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap(),
            product_name,
            svns,
            hwid: Some(hwid),
            dates: DATES,
            report,
        }
    }

    /// The chip's certificate by the forged ASK.
    pub(super) fn vcek(&self) -> Vec<u8> {
        self.certified("ASK", &ASK)
    }

    pub(super) fn certified(&self, issuer: &str, by: &RsaKeyPair) -> Vec<u8> {
        let key = seq(&[
            seq(&[oid("2a8648ce3d0201"), oid("2b81040022")]),
            bits(self.key.public_key().as_ref()),
        ]);
        let name = tlv(0x16, self.product_name.as_bytes());
        let mut extensions = vec![extension("2b060104019c780102", &name)];
        for (part, svn) in &self.svns {
            let id = format!("2b060104019c780103{part:02x}");
            extensions.push(extension(&id, &integer(*svn)));
        }
        if let Some(hwid) = &self.hwid {
            extensions.push(extension("2b060104019c780104", hwid));
        }
        certificate("VCEK", &key, &extensions, issuer, by, self.dates)
    }

    /// The report signed, with the chip's certificate.
    pub(super) fn evidence(&self) -> SnpEvidence {
        self.evidence_with(Endorsements::of_vcek(self.vcek()))
    }

    pub(super) fn evidence_with(&self, endorsements: Endorsements) -> SnpEvidence {
        let mut report = self.report.to_vec();
        let signature = self.key.sign(&SystemRandom::new(), &report[..0x2a0]);
        let signature = signature.unwrap();
        for (scalar, offset) in signature.as_ref().chunks(48).zip([0x2a0, 0x2e8]) {
            let reversed: Vec<u8> = scalar.iter().rev().copied().collect();
            report[offset..offset + 48].copy_from_slice(&reversed);
        }
        SnpEvidence {
            report,
            endorsements,
            uvm_endorsements: None,
        }
    }
}

/// A revocation list of the forged root that names these serial numbers.
pub(super) fn crl(revoked: &[u8], by: &RsaKeyPair) -> Vec<u8> {
    let entries: Vec<_> = revoked
        .iter()
        .map(|serial| seq(&[integer(*serial), tlv(0x17, b"260101000000Z")]))
        .collect();
    let mut parts = vec![
        integer(1),
        pss(),
        name("ARK"),
        tlv(0x17, DATES[0].as_bytes()),
        tlv(0x17, DATES[1].as_bytes()),
    ];
    if !entries.is_empty() {
        parts.push(seq(&entries));
    }
    signed(seq(&parts), by)
}

/// The serial number of all forged certificates, as of AMD's own chips.
fn serial() -> Vec<u8> {
    integer(0)
}

fn certificate(
    subject: &str,
    key: &[u8],
    extensions: &[Vec<u8>],
    issuer: &str,
    by: &RsaKeyPair,
    dates: [&str; 2],
) -> Vec<u8> {
    let mut parts = vec![
        tlv(0xa0, &integer(2)),
        serial(),
        pss(),
        name(issuer),
        seq(&dates.map(|date| tlv(0x17, date.as_bytes()))),
        name(subject),
        key.to_vec(),
    ];
    if !extensions.is_empty() {
        parts.push(tlv(0xa3, &seq(extensions)));
    }
    signed(seq(&parts), by)
}

fn signed(message: Vec<u8>, by: &RsaKeyPair) -> Vec<u8> {
    let mut signature = vec![0; by.public_modulus_len()];
    by.sign(
        &RSA_PSS_SHA384,
        &SystemRandom::new(),
        &message,
        &mut signature,
    )
    .unwrap();
    seq(&[message, pss(), bits(&signature)])
}

fn pss() -> Vec<u8> {
    let sha384 = seq(&[oid("608648016503040202")]);
    seq(&[
        oid("2a864886f70d01010a"),
        seq(&[
            tlv(0xa0, &sha384),
            tlv(0xa1, &seq(&[oid("2a864886f70d010108"), sha384.clone()])),
            tlv(0xa2, &integer(48)),
        ]),
    ])
}

fn name(common_name: &str) -> Vec<u8> {
    let attribute = seq(&[oid("550403"), tlv(0x0c, common_name.as_bytes())]);
    seq(&[tlv(0x31, &attribute)])
}

fn extension(id: &str, value: &[u8]) -> Vec<u8> {
    seq(&[oid(id), tlv(0x04, value)])
}

fn oid(hex: &str) -> Vec<u8> {
    tlv(0x06, &hex::decode(hex).unwrap())
}

fn integer(value: u8) -> Vec<u8> {
    match value {
        0..0x80 => tlv(0x02, &[value]),
        _ => tlv(0x02, &[0, value]),
    }
}

fn bits(bytes: &[u8]) -> Vec<u8> {
    tlv(0x03, &[&[0], bytes].concat())
}

fn seq(parts: &[Vec<u8>]) -> Vec<u8> {
    tlv(0x30, &parts.concat())
}

fn tlv(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut bytes = vec![tag];
    match length {
        0..0x80 => bytes.push(length as u8),
        _ => {
            let [high, low] = u16::try_from(length).unwrap().to_be_bytes();
            bytes.extend([0x82, high, low]);
        }
    }
    bytes.extend_from_slice(content);
    bytes
}
