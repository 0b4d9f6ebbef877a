//! The attestation report of the SNP firmware: 1,184 bytes, little-endian, signed by the chip.
//!
//! Layout: AMD document 56860, table "ATTESTATION_REPORT Structure". Versions 3 and 4 add the CPUID
//! of the processor, version 5 adds mitigation vectors; nothing moves.

use crate::bytes::{HexBytes, HostData, Measurement, ReportData};
use crate::snp::product::Cpuid;
use crate::snp::refusal::SnpRefusal;

/// How long every report is.
pub const REPORT_BYTES: usize = 1184;

/// The signature is over all bytes before this one.
const SIGNED_BYTES: usize = 0x2a0;
/// r and s have this many bytes each, of which those above 48 are zero.
const SCALAR_BYTES: usize = 72;
const P384_BYTES: usize = 48;

/// A report, read and not yet believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Version of the layout, 2 to 5.
    pub version: u32,
    /// Security version of the guest, from its id block.
    pub guest_svn: u32,
    /// What the guest's owner allowed the host to do.
    pub guest_policy: GuestPolicy,
    /// Privilege level of the software that asked for the report: 0 is the highest.
    pub vmpl: u32,
    /// 1 is ECDSA with P-384 and SHA-384.
    pub signature_algorithm: u32,
    /// Which key signed.
    pub signing_key: SigningKey,
    /// The host has switched off signing; the signature is zero.
    pub chip_key_masked: bool,
    /// What the guest chose.
    pub report_data: ReportData,
    /// Digest of the memory and registers at launch.
    pub measurement: Measurement,
    /// What the host gave at launch.
    pub host_data: HostData,
    /// SHA-384 of the key that signed the id block; zero without one.
    pub id_key_digest: HexBytes<48>,
    /// SHA-384 of the key that signed the id key; zero without one.
    pub author_key_digest: HexBytes<48>,
    /// The firmware versions from which the signing key was derived; see [`crate::snp::Tcb`].
    pub reported_tcb: [u8; 8],
    /// Which processor; reports of version 2 do not say.
    pub cpuid: Option<Cpuid>,
    /// The chip's unique id; zero when the host hides it.
    pub chip_id: HexBytes<64>,
}

/// The key that signs reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SigningKey {
    /// The chip's own key.
    Vcek,
    /// A key that AMD gave to a cloud provider, who loads it into many chips.
    Vlek,
    /// No key, or one that this layout does not know.
    Other(u32),
}

/// The guest policy bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct GuestPolicy(pub u64);

impl GuestPolicy {
    /// The guest may run beside another thread on the same core.
    pub fn smt(self) -> bool {
        self.bit(16)
    }

    /// A migration agent may be associated with the guest: it can read all of its memory.
    pub fn migration_agent(self) -> bool {
        self.bit(18)
    }

    /// The host may read and write the guest's memory.
    pub fn debug(self) -> bool {
        self.bit(19)
    }

    /// The guest may run on one socket only.
    pub fn single_socket(self) -> bool {
        self.bit(20)
    }

    fn bit(self, bit: u32) -> bool {
        self.0 >> bit & 1 == 1
    }
}

impl Report {
    /// Reads a report of version 2 to 5.
    pub fn parse(bytes: &[u8]) -> Result<Self, SnpRefusal> {
        if bytes.len() != REPORT_BYTES {
            return Err(SnpRefusal::Length(bytes.len()));
        }
        let version = word(bytes, 0x00);
        if !(2..=5).contains(&version) {
            return Err(SnpRefusal::UnknownVersion(version));
        }
        let key_info = word(bytes, 0x48);
        Ok(Self {
            version,
            guest_svn: word(bytes, 0x04),
            guest_policy: GuestPolicy(u64::from_le_bytes(HexBytes::at(bytes, 0x08).0)),
            vmpl: word(bytes, 0x30),
            signature_algorithm: word(bytes, 0x34),
            signing_key: match key_info >> 2 & 0b111 {
                0 => SigningKey::Vcek,
                1 => SigningKey::Vlek,
                other => SigningKey::Other(other),
            },
            chip_key_masked: key_info >> 1 & 1 == 1,
            report_data: HexBytes::at(bytes, 0x50),
            measurement: HexBytes::at(bytes, 0x90),
            host_data: HexBytes::at(bytes, 0xc0),
            id_key_digest: HexBytes::at(bytes, 0xe0),
            author_key_digest: HexBytes::at(bytes, 0x110),
            reported_tcb: HexBytes::at(bytes, 0x180).0,
            cpuid: (version >= 3).then(|| Cpuid {
                family: bytes[0x188],
                model: bytes[0x189],
                stepping: bytes[0x18a],
            }),
            chip_id: HexBytes::at(bytes, 0x1a0),
        })
    }
}

/// The part of a report's bytes that is signed, and the signature as r and s, 48 bytes each,
/// big-endian.
///
/// The unused bytes of the signature field must be zero: nothing else would notice them.
pub(super) fn signed(bytes: &[u8]) -> Result<(&[u8], [u8; 2 * P384_BYTES]), SnpRefusal> {
    let (message, field) = bytes.split_at(SIGNED_BYTES);
    let (r, rest) = field.split_at(SCALAR_BYTES);
    let (s, unused) = rest.split_at(SCALAR_BYTES);
    let mut signature = [0; 2 * P384_BYTES];
    for (scalar, place) in [r, s].into_iter().zip(signature.chunks_mut(P384_BYTES)) {
        if scalar[P384_BYTES..].iter().chain(unused).any(|&b| b != 0) {
            return Err(SnpRefusal::SignatureField);
        }
        for (to, from) in place.iter_mut().rev().zip(scalar) {
            *to = *from;
        }
    }
    Ok((message, signature))
}

fn word(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(HexBytes::at(bytes, offset).0)
}
