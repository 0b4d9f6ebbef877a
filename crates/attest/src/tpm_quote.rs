//! What a TPM says about how its machine booted: the registers (PCRs) into which firmware, boot
//! loader and kernel are measured, signed by the TPM's attestation key.
//!
//! Behind Azure's paravisor the hardware's measurement is the paravisor's own; the guest's code is in
//! these registers. The paravisor vouches for the TPM's key in its runtime claims.

use std::collections::BTreeMap;

use aws_lc_rs::digest;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::RSA_PKCS1_2048_8192_SHA256;
use serde::{Deserialize, Serialize};

use crate::bytes::{HexBytes, ReportData, base64_bytes};
use crate::limits::MAX_TPM_QUOTE_BYTES;

/// Registers of the SHA-256 bank by number, 0 to 23.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BootRegisters(pub BTreeMap<u8, HexBytes<32>>);

/// A TPM's signed statement about its registers, and their values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TpmQuote {
    /// The TPM's `TPMS_ATTEST`, which it signed.
    #[serde(with = "base64_bytes")]
    pub message: Vec<u8>,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    #[serde(with = "base64_bytes")]
    pub signature: Vec<u8>,
    /// What the registers hold; the statement has their digest only.
    pub registers: BootRegisters,
}

/// A TPM's attestation key: an RSA key, its numbers big-endian.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttestationKey {
    /// The modulus.
    pub n: Vec<u8>,
    /// The exponent.
    pub e: Vec<u8>,
}

/// A TPM's statement is not believed. The sender should ask its TPM again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TpmQuoteFault {
    /// It was cut or is something else.
    #[error("it is not usable: {0}")]
    Malformed(&'static str),
    /// That key has not signed it: it was altered, or is another TPM's.
    #[error("that TPM has not signed it")]
    Signature,
    /// It answers another question.
    #[error("it was made for another key, network or nonce")]
    Nonce,
    /// The registers are not those that it is about.
    #[error("its digest is of other registers")]
    Registers,
}

impl TpmQuote {
    /// What a TPM is asked with so that its statement speaks for that report data: its SHA-256, since
    /// not every TPM takes 64 bytes.
    pub fn nonce_for(report_data: &ReportData) -> [u8; 32] {
        HexBytes::at(digest::digest(&digest::SHA256, &report_data.0).as_ref(), 0).0
    }

    /// Verifies the statement: that the key signed it over `nonce` and these registers.
    pub fn verify(&self, key: &AttestationKey, nonce: &[u8]) -> Result<(), TpmQuoteFault> {
        if self.message.len() > MAX_TPM_QUOTE_BYTES {
            return Err(TpmQuoteFault::Malformed("it is too long"));
        }
        let components = PublicKeyComponents {
            n: &key.n,
            e: &key.e,
        };
        components
            .verify(&RSA_PKCS1_2048_8192_SHA256, &self.message, &self.signature)
            .map_err(|_| TpmQuoteFault::Signature)?;
        let malformed = TpmQuoteFault::Malformed("its TPM made something other than a quote");
        let quoted = Quoted::read(&self.message).ok_or(malformed)?;
        if quoted.nonce != nonce {
            return Err(TpmQuoteFault::Nonce);
        }
        if quoted.digest != self.registers.digest() || !self.registers.are(&quoted.selected) {
            return Err(TpmQuoteFault::Registers);
        }
        Ok(())
    }
}

impl BootRegisters {
    /// Whether all registers that `self` names have its values in `actual`. Naming none is no boot
    /// state.
    pub(crate) fn is(&self, actual: &Self) -> bool {
        let mut wanted = self.0.iter();
        !self.0.is_empty() && wanted.all(|(number, value)| actual.0.get(number) == Some(value))
    }

    /// SHA-256 over all values in the order of their numbers.
    fn digest(&self) -> Vec<u8> {
        let mut context = digest::Context::new(&digest::SHA256);
        for value in self.0.values() {
            context.update(&value.0);
        }
        context.finish().as_ref().to_vec()
    }

    fn are(&self, selected: &[u8]) -> bool {
        self.0.keys().eq(selected)
    }
}

/// The parts of a `TPMS_ATTEST` of type quote (TCG library, part 2, section 10.12) that matter.
struct Quoted<'a> {
    nonce: &'a [u8],
    /// Numbers of registers, ascending.
    selected: Vec<u8>,
    digest: &'a [u8],
}

impl<'a> Quoted<'a> {
    fn read(message: &'a [u8]) -> Option<Self> {
        const MAGIC_AND_TYPE: &[u8] = &[0xff, b'T', b'C', b'G', 0x80, 0x18];
        const CLOCK_AND_FIRMWARE: usize = 17 + 8;
        const ONE_BANK: &[u8] = &[0, 0, 0, 1];
        const SHA256: &[u8] = &[0, 0x0b];
        let rest = message.strip_prefix(MAGIC_AND_TYPE)?;
        let (_signer, rest) = sized(rest)?;
        let (nonce, rest) = sized(rest)?;
        let rest = rest.get(CLOCK_AND_FIRMWARE..)?;
        let rest = rest.strip_prefix(ONE_BANK)?.strip_prefix(SHA256)?;
        let (length, rest) = rest.split_first()?;
        let (bitmap, rest) = rest.split_at_checked(usize::from(*length))?;
        let (digest, rest) = sized(rest)?;
        let bits = bitmap
            .iter()
            .flat_map(|byte| (0..8).map(move |bit| byte >> bit & 1 == 1));
        let selected = bits.zip(0..=u8::MAX).filter(|(bit, _)| *bit);
        rest.is_empty().then(|| Self {
            nonce,
            selected: selected.map(|(_, number)| number).collect(),
            digest,
        })
    }
}

/// Bytes that their length precedes, and what follows them.
fn sized(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

#[cfg(test)]
pub(crate) mod tests {
    use x509_parser::pem::Pem;
    use x509_parser::prelude::FromDer;
    use x509_parser::x509::SubjectPublicKeyInfo;

    use super::*;

    /// A real quote over all registers, with the nonce `challenge`.
    pub(crate) fn real() -> (TpmQuote, AttestationKey) {
        let file = include_bytes!("../testdata/azure/tpm_quote.bin");
        // Signature, message and registers, each after its length as eight bytes.
        let part = |at: usize| {
            let length = u64::from_le_bytes(HexBytes::at(file, at).0);
            (at + 8, usize::try_from(length).unwrap())
        };
        let (signature, signature_length) = part(0);
        let (message, message_length) = part(signature + signature_length);
        let (registers, count) = part(message + message_length);
        assert_eq!(file.len(), registers + 32 * count);
        let values = (0..count).map(|number| {
            let value = HexBytes::at(file, registers + 32 * number);
            (u8::try_from(number).unwrap(), value)
        });
        let quote = TpmQuote {
            message: file[message..][..message_length].to_vec(),
            signature: file[signature..][..signature_length].to_vec(),
            registers: BootRegisters(values.collect()),
        };
        let pem = include_bytes!("../testdata/azure/tpm_akpub.pem");
        let pem = Pem::iter_from_buffer(pem).next().unwrap().unwrap();
        let (_, key) = SubjectPublicKeyInfo::from_der(&pem.contents).unwrap();
        let x509_parser::public_key::PublicKey::RSA(key) = key.parsed().unwrap() else {
            panic!("Azure's attestation keys are RSA");
        };
        let modulus = key.modulus.iter().skip_while(|&&byte| byte == 0);
        let key = AttestationKey {
            n: modulus.copied().collect(),
            e: key.exponent.to_vec(),
        };
        (quote, key)
    }

    #[test]
    fn a_real_quote_is_believed() {
        let (quote, key) = real();
        assert_eq!(quote.registers.0.len(), 24);
        assert_eq!(quote.verify(&key, b"challenge"), Ok(()));
        assert_eq!(quote.verify(&key, b"challenge!"), Err(TpmQuoteFault::Nonce));
    }

    #[test]
    fn altered_quotes_are_refused() {
        let (honest, key) = real();
        for byte in 0..honest.message.len() {
            let mut quote = honest.clone();
            quote.message[byte] ^= 1;
            let refusal = quote.verify(&key, b"challenge");
            assert_eq!(refusal, Err(TpmQuoteFault::Signature), "byte {byte}");
        }
        let mut quote = honest.clone();
        quote.registers.0.get_mut(&7).unwrap().0[0] ^= 1;
        let other = Err(TpmQuoteFault::Registers);
        assert_eq!(quote.verify(&key, b"challenge"), other);
        // The same values under other numbers.
        let mut quote = honest.clone();
        let last = quote.registers.0.remove(&23).unwrap();
        quote.registers.0.insert(24, last);
        assert_eq!(quote.verify(&key, b"challenge"), other);
        let mut quote = honest;
        quote.message.resize(MAX_TPM_QUOTE_BYTES + 1, 0);
        let refusal = quote.verify(&key, b"challenge");
        assert!(matches!(refusal, Err(TpmQuoteFault::Malformed(_))));
    }

    #[test]
    fn other_statements_of_a_tpm_are_no_quotes() {
        let (quote, _) = real();
        assert!(Quoted::read(&quote.message).is_some());
        assert!(Quoted::read(&quote.message[..quote.message.len() - 1]).is_none());
        assert!(Quoted::read(&[&quote.message[..], &[0]].concat()).is_none());
        let mut certify = quote.message;
        certify[5] = 0x17;
        assert!(Quoted::read(&certify).is_none());
    }
}
