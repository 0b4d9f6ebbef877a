//! Azure's confidential virtual machines: a paravisor of Microsoft's stands between the hardware and
//! the guest, and it is the paravisor that has the hardware sign.
//!
//! What it has signed is the SHA-256 of its *runtime claims*, a JSON text that holds the key of the
//! virtual TPM and 64 bytes of the guest's choice. So the guest's report data is two hops away from
//! the hardware's: guest data, in claims, whose digest is in the report. The launch measurement is
//! the paravisor's; what the guest booted is in the virtual TPM's registers ([`crate::tpm_quote`]).

use aws_lc_rs::digest;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::bytes::{HexBytes, ReportData, base64_bytes};
use crate::limits::MAX_RUNTIME_CLAIMS_BYTES;
use crate::snp::REPORT_BYTES;
use crate::tpm_quote::{AttestationKey, BootRegisters, TpmQuote, TpmQuoteFault};

/// Azure's wrapping of a hardware report is damaged, or does not say what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AzureRefusal {
    /// It was cut or is something else. The sender should read it from the virtual TPM again.
    #[error("Azure's report is not usable: {0}; the sender should read it from the TPM again")]
    Malformed(&'static str),
    /// The claims are not those whose digest the hardware signed: they were altered, or are from
    /// another boot.
    #[error("the hardware has not signed these runtime claims; they were altered or are older")]
    ClaimsNotSigned,
    /// The guest has not asked for a report yet, or the paravisor is too old to add guest data.
    #[error("the runtime claims hold no data of the guest; the sender should ask for a new report")]
    NoUserData,
    /// The claims are not about this key, network or question: they were copied from elsewhere.
    #[error(
        "user data {0} is not what was asked for; the evidence was made for another key, network or \
         nonce"
    )]
    UserData(ReportData),
    /// The policy lists boot states, and the sender did not say how it booted. It should ask its TPM.
    #[error("the policy wants a quote of the TPM, and the sender did not add it")]
    NoQuote,
    /// The quote of the TPM is not believed.
    #[error("the TPM's quote is not believed: {0}; the sender should ask its TPM again")]
    Quote(#[from] TpmQuoteFault),
    /// The guest booted something else, or members must list it.
    #[error(
        "the TPM's registers are not those of an accepted boot; that guest booted other code, or its \
         release is yet to be accepted by the members"
    )]
    BootState,
}

/// What the paravisor says, as the bytes that it hashed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RuntimeClaims(#[serde(with = "base64_bytes")] pub Vec<u8>);

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct GuestPart {
    user_data: Option<ReportData>,
}

#[derive(Deserialize)]
struct KeyPart {
    #[serde(default)]
    keys: Vec<Key>,
}

/// A JSON Web Key, as far as it is an RSA one.
#[derive(Deserialize)]
struct Key {
    kid: String,
    #[serde(default)]
    n: String,
    #[serde(default)]
    e: String,
}

impl RuntimeClaims {
    /// The key that the virtual TPM signs quotes with.
    pub fn attestation_key(&self) -> Result<AttestationKey, AzureRefusal> {
        const NAME: &str = "HCLAkPub";
        let malformed = AzureRefusal::Malformed("its runtime claims hold no attestation key");
        if self.0.len() > MAX_RUNTIME_CLAIMS_BYTES {
            return Err(malformed);
        }
        let claims: KeyPart = serde_json::from_slice(&self.0).map_err(|_| malformed.clone())?;
        let mut keys = claims.keys.iter().filter(|key| key.kid == NAME);
        let (Some(key), None) = (keys.next(), keys.next()) else {
            return Err(malformed);
        };
        let number = |text: &str| URL_SAFE_NO_PAD.decode(text).map_err(|_| malformed.clone());
        Ok(AttestationKey {
            n: number(&key.n)?,
            e: number(&key.e)?,
        })
    }

    /// Checks that the guest booted into one of the accepted states, by a quote of the TPM that these
    /// claims name, made for `report_data`. The claims themselves are to be checked before.
    pub fn check_boot<'a>(
        &self,
        quote: Option<&TpmQuote>,
        mut accepted: impl Iterator<Item = &'a BootRegisters>,
        report_data: &ReportData,
    ) -> Result<(), AzureRefusal> {
        let quote = quote.ok_or(AzureRefusal::NoQuote)?;
        quote.verify(&self.attestation_key()?, &TpmQuote::nonce_for(report_data))?;
        match accepted.any(|state| state.is(&quote.registers)) {
            true => Ok(()),
            false => Err(AzureRefusal::BootState),
        }
    }

    /// The report data of the hardware that binds these claims.
    pub fn bound_report_data(&self) -> ReportData {
        let mut bytes = [0; 64];
        let digest = digest::digest(&digest::SHA256, &self.0);
        bytes[..32].copy_from_slice(digest.as_ref());
        HexBytes(bytes)
    }

    /// The report data that the hardware must have signed so that the guest has spoken for
    /// `expected`; an error if the guest spoke for something else.
    pub fn hardware_data_for(&self, expected: &ReportData) -> Result<ReportData, AzureRefusal> {
        if self.0.len() > MAX_RUNTIME_CLAIMS_BYTES {
            return Err(AzureRefusal::Malformed("its runtime claims are too long"));
        }
        let claims: GuestPart = serde_json::from_slice(&self.0)
            .map_err(|_| AzureRefusal::Malformed("its runtime claims are not JSON"))?;
        match claims.user_data.ok_or(AzureRefusal::NoUserData)? {
            actual if actual == *expected => Ok(self.bound_report_data()),
            actual => Err(AzureRefusal::UserData(actual)),
        }
    }
}

/// What the virtual TPM keeps under index 0x01400001.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HclReport {
    /// What the hardware signed.
    pub hardware: HardwareReport,
    /// What it is bound to.
    pub claims: RuntimeClaims,
}

/// The hardware's part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HardwareReport {
    /// A report for [`crate::snp`].
    Snp(Vec<u8>),
    /// A TDREPORT, which only its own machine can check: the host turns it into a quote for
    /// [`crate::intel`].
    Tdx(Vec<u8>),
}

// Layout: a header of 32 bytes, 1,184 bytes for the hardware's report, then five words, little-endian
// (size, version, kind, hash, length of the claims) and the claims.
const HARDWARE: usize = 32;
const RUNTIME: usize = HARDWARE + REPORT_BYTES;
const CLAIMS: usize = RUNTIME + 20;
const TD_REPORT_BYTES: usize = 1024;

impl HclReport {
    /// Reads the report and checks that the hardware's part names the digest of the claims.
    ///
    /// This proves nothing yet: the hardware's part is to be verified for itself.
    pub fn parse(bytes: &[u8]) -> Result<Self, AzureRefusal> {
        if bytes.len() < CLAIMS || !bytes.starts_with(b"HCLA") {
            return Err(AzureRefusal::Malformed("it is too short or bears no HCLA"));
        }
        let word = |index: usize| {
            let word = HexBytes::at(bytes, RUNTIME + 4 * index);
            u32::from_le_bytes(word.0)
        };
        let (kind, hash) = (word(2), word(3));
        if hash != 1 {
            return Err(AzureRefusal::Malformed(
                "its claims are not hashed with SHA-256",
            ));
        }
        let length = usize::try_from(word(4)).unwrap_or(usize::MAX);
        let claims = bytes[CLAIMS..].get(..length);
        let claims = claims.ok_or(AzureRefusal::Malformed("its runtime claims were cut"))?;
        let claims = RuntimeClaims(claims.to_vec());
        let (hardware, report_data) = match kind {
            2 => {
                let report = &bytes[HARDWARE..][..REPORT_BYTES];
                (
                    HardwareReport::Snp(report.to_vec()),
                    HexBytes::at(report, 0x50),
                )
            }
            4 => {
                let report = &bytes[HARDWARE..][..TD_REPORT_BYTES];
                (
                    HardwareReport::Tdx(report.to_vec()),
                    HexBytes::at(report, 0x80),
                )
            }
            _ => return Err(AzureRefusal::Malformed("it is neither SNP nor TDX")),
        };
        if claims.bound_report_data() != report_data {
            return Err(AzureRefusal::ClaimsNotSigned);
        }
        Ok(Self { hardware, claims })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SNP: &[u8] = include_bytes!("../testdata/azure/hcl-report-snp.bin");
    const TDX: &[u8] = include_bytes!("../testdata/azure/hcl-report-tdx.bin");

    #[test]
    fn real_reports_are_bound_to_their_claims() {
        let snp = HclReport::parse(SNP).unwrap();
        assert!(matches!(snp.hardware, HardwareReport::Snp(_)));
        // That paravisor is from before guests could add data.
        assert_eq!(
            snp.claims.hardware_data_for(&HexBytes::ZERO),
            Err(AzureRefusal::NoUserData)
        );

        let tdx = HclReport::parse(TDX).unwrap();
        assert!(matches!(tdx.hardware, HardwareReport::Tdx(_)));
        // That guest had asked for nothing yet.
        assert_eq!(
            tdx.claims.hardware_data_for(&HexBytes::ZERO),
            Ok(tdx.claims.bound_report_data())
        );
        assert_eq!(
            tdx.claims.hardware_data_for(&HexBytes([1; 64])),
            Err(AzureRefusal::UserData(HexBytes::ZERO))
        );
    }

    #[test]
    fn altered_claims_are_noticed() {
        for sample in [SNP, TDX] {
            for offset in [CLAIMS, CLAIMS + 300, RUNTIME + 16] {
                let mut bytes = sample.to_vec();
                bytes[offset] ^= 1;
                assert_eq!(HclReport::parse(&bytes), Err(AzureRefusal::ClaimsNotSigned));
            }
        }
    }

    #[test]
    fn damaged_reports_are_refused() {
        for (offset, value) in [
            (0, b'X'),
            (RUNTIME + 8, 3),
            (RUNTIME + 12, 2),
            (RUNTIME + 17, 255),
        ] {
            let mut bytes = SNP.to_vec();
            bytes[offset] = value;
            let refusal = HclReport::parse(&bytes);
            assert!(
                matches!(refusal, Err(AzureRefusal::Malformed(_))),
                "{offset}"
            );
        }
        assert!(HclReport::parse(&SNP[..CLAIMS]).is_err());
        assert!(HclReport::parse(&[]).is_err());
    }

    /// A TPM whose key is in runtime claims, and what it says about two registers.
    fn booted(nonce: &[u8]) -> (RuntimeClaims, TpmQuote) {
        use aws_lc_rs::rand::SystemRandom;
        use aws_lc_rs::rsa::KeySize;
        use aws_lc_rs::signature::{KeyPair, RSA_PKCS1_SHA256, RsaKeyPair};
        let key = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
        // RSAPublicKey in DER: nine bytes of framing, the modulus, and 65537.
        let modulus = &key.public_key().as_ref()[9..][..256];
        let claims = serde_json::json!({"keys": [
            {"kid": "HCLAkPub", "kty": "RSA", "n": URL_SAFE_NO_PAD.encode(modulus),
             "e": "AQAB"},
            {"kid": "HCLEkPub", "kty": "RSA", "n": "AQAB", "e": "AQAB"},
        ]});
        let registers = BootRegisters([(4, HexBytes([4; 32])), (11, HexBytes([11; 32]))].into());
        let values: Vec<u8> = registers.0.values().flat_map(|value| value.0).collect();
        let mut message = b"\xffTCG\x80\x18\0\0".to_vec();
        message.extend([0, u8::try_from(nonce.len()).unwrap()]);
        message.extend(nonce);
        message.extend([0; 25]);
        message.extend([0, 0, 0, 1, 0, 0x0b, 3, 0x10, 0x08, 0, 0, 32]);
        message.extend(digest::digest(&digest::SHA256, &values).as_ref());
        let mut signature = vec![0; 256];
        let random = SystemRandom::new();
        key.sign(&RSA_PKCS1_SHA256, &random, &message, &mut signature)
            .unwrap();
        let quote = TpmQuote {
            message,
            signature,
            registers,
        };
        (RuntimeClaims(claims.to_string().into_bytes()), quote)
    }

    #[test]
    fn only_accepted_boots_pass() {
        let asked = HexBytes([5; 64]);
        let (claims, quote) = booted(&TpmQuote::nonce_for(&asked));
        let state = |registers: &[(u8, u8)]| {
            let registers = registers.iter();
            let registers = registers.map(|&(number, value)| (number, HexBytes([value; 32])));
            BootRegisters(registers.collect())
        };
        let judge =
            |state: BootRegisters| claims.check_boot(Some(&quote), [&state].into_iter(), &asked);
        assert_eq!(judge(state(&[(4, 4)])), Ok(()));
        assert_eq!(judge(state(&[(4, 4), (11, 11)])), Ok(()));
        for other in [&[(4, 5)][..], &[(4, 4), (7, 7)], &[]] {
            assert_eq!(judge(state(other)), Err(AzureRefusal::BootState));
        }
        let accepted = state(&[(4, 4)]);
        let check = |claims: &RuntimeClaims, quote, asked| {
            claims.check_boot(quote, [&accepted].into_iter(), asked)
        };
        assert_eq!(check(&claims, None, &asked), Err(AzureRefusal::NoQuote));
        assert_eq!(
            check(&claims, Some(&quote), &HexBytes([6; 64])),
            Err(AzureRefusal::Quote(TpmQuoteFault::Nonce))
        );
        let (others, _) = booted(b"");
        assert_eq!(
            check(&others, Some(&quote), &asked),
            Err(AzureRefusal::Quote(TpmQuoteFault::Signature))
        );
    }

    #[test]
    fn the_attestation_key_is_in_the_claims_once() {
        for sample in [SNP, TDX] {
            let claims = HclReport::parse(sample).unwrap().claims;
            let key = claims.attestation_key().unwrap();
            assert_eq!((key.n.len(), key.e), (256, vec![1, 0, 1]));
        }
        // The real quote is of yet another machine's TPM.
        let (quote, key) = crate::tpm_quote::tests::real();
        let other = HclReport::parse(SNP).unwrap().claims.attestation_key();
        assert_ne!(other.as_ref(), Ok(&key));
        assert_eq!(
            quote.verify(&other.unwrap(), b"challenge"),
            Err(TpmQuoteFault::Signature)
        );
        let key = r#"{"kid": "HCLAkPub", "n": "AQAB", "e": "AQAB"}"#;
        for claims in [
            r#"{"keys": []}"#.to_owned(),
            format!(r#"{{"keys": [{key}, {key}]}}"#),
            "{}".to_owned(),
            "[]".to_owned(),
        ] {
            let claims = RuntimeClaims(claims.into_bytes());
            assert!(claims.attestation_key().is_err());
        }
    }
}
