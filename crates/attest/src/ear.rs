//! Verdicts as EAR tokens, so that relying parties need to know no vendor's format.
//!
//! An EAR (draft-ietf-rats-ear) is a signed statement of a verifier about attesters: for each a trust
//! vector in the scale of AR4SI (draft-ietf-rats-ar4si), its summary as one of four words, and which
//! policy was applied. Here it is a JWT signed with ES384.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::digest;
use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};

use crate::evidence::{Refusal, Verdict};
use crate::intel::TcbStatus;
use crate::limits::MAX_EAR_BYTES;
use crate::time::UnixTime;

/// The version of the draft that tokens conform to.
pub const PROFILE: &str = "tag:ietf.org,2026:rats/ear#04";

/// The name of the attester in a token that is about one node.
pub const SUBMODULE: &str = "counterfoil-node";

const HEADER: &[u8] = br#"{"alg":"ES384","typ":"JWT"}"#;

/// What a verifier states about one node, or about several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ear {
    /// [`PROFILE`].
    pub eat_profile: String,
    /// When the evidence was judged.
    pub iat: UnixTime,
    /// From when on the statement should not be relied on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<UnixTime>,
    /// Who judged.
    pub ear_verifier_id: VerifierId,
    /// What the relying party asked with, in base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eat_nonce: Option<String>,
    /// The attesters: one under [`SUBMODULE`], or several under their ids.
    pub submods: BTreeMap<String, Appraisal>,
}

/// Which software judged, and whose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VerifierId {
    /// Name and version of the software.
    pub build: String,
    /// Who is responsible for it.
    pub developer: String,
}

/// What was found about the node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Appraisal {
    /// The worst of the vector's claims.
    pub ear_status: TrustTier,
    /// Claim by claim.
    pub ear_trustworthiness_vector: TrustVector,
    /// The policies by which it was judged: SHA-256 of each one's JSON, as a `ni` URI.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub ear_appraisal_policy_ids: Vec<String>,
    /// The verdict itself, where there is one.
    #[serde(
        default,
        rename = "counterfoil_verdict",
        skip_serializing_if = "Option::is_none"
    )]
    pub verdict: Option<Verdict>,
    /// Why the evidence was not believed, where it was not.
    #[serde(
        default,
        rename = "counterfoil_refusal",
        skip_serializing_if = "Option::is_none"
    )]
    pub refusal: Option<String>,
}

impl Appraisal {
    /// What was found about evidence, by the policy with that JSON.
    pub fn new(result: Result<&Verdict, &Refusal>, policy_json: &[u8]) -> Self {
        let vector = match result {
            Ok(verdict) => TrustVector::of_verdict(verdict),
            Err(refusal) => TrustVector::of_refusal(refusal),
        };
        Self {
            ear_status: vector.tier(),
            ear_trustworthiness_vector: vector,
            ear_appraisal_policy_ids: vec![policy_id(policy_json)],
            verdict: result.ok().cloned(),
            refusal: result.err().map(ToString::to_string),
        }
    }

    /// That there is no evidence which could be judged, and why.
    pub fn without_evidence(why: impl Into<String>, policy_json: &[u8]) -> Self {
        let vector = TrustVector {
            hardware: CRYPTO_FAILED,
            ..TrustVector::default()
        };
        Self {
            ear_status: vector.tier(),
            ear_trustworthiness_vector: vector,
            ear_appraisal_policy_ids: vec![policy_id(policy_json)],
            verdict: None,
            refusal: Some(why.into()),
        }
    }
}

fn policy_id(policy_json: &[u8]) -> String {
    let digest = digest::digest(&digest::SHA256, policy_json);
    format!("ni:///sha-256;{}", URL_SAFE_NO_PAD.encode(digest))
}

/// How far a node is to be trusted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum TrustTier {
    /// Nothing is said.
    None,
    /// As far as the verifier can see, fully.
    Affirming,
    /// With care.
    Warning,
    /// Not at all.
    Contraindicated,
}

/// AR4SI's claims, each a number whose range names a tier: 0 says nothing, 2 to 31 affirms, 32 to 95
/// warns, 96 to 127 advises against.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct TrustVector {
    /// Whether the node is known and its key its own.
    #[serde(default, skip_serializing_if = "says_nothing")]
    pub instance_identity: i8,
    /// Whether its settings are accepted.
    #[serde(default, skip_serializing_if = "says_nothing")]
    pub configuration: i8,
    /// Whether its code is accepted.
    #[serde(default, skip_serializing_if = "says_nothing")]
    pub executables: i8,
    /// Whether its hardware and firmware are genuine and without known holes.
    #[serde(default, skip_serializing_if = "says_nothing")]
    pub hardware: i8,
    /// Whether its memory is hidden from its host.
    #[serde(default, skip_serializing_if = "says_nothing")]
    pub runtime_opaque: i8,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn says_nothing(claim: &i8) -> bool {
    *claim == 0
}

// Values of draft-ietf-rats-ar4si, section 2.3, that mean the same in every claim or are used once.
const AFFIRMED: i8 = 2;
/// Executables: all that was loaded until the boot ended is accepted.
const APPROVED_AT_BOOT: i8 = 3;
/// Hardware: genuine, with known holes.
const UNSAFE_HARDWARE: i8 = 32;
/// The thing should be recognised, and is not.
const UNRECOGNIZED: i8 = 97;
/// Runtime: its memory lies open to its host.
const VISIBLE_MEMORY: i8 = 96;
/// Evidence failed its cryptographic checks.
const CRYPTO_FAILED: i8 = 99;

impl TrustVector {
    /// What a verdict says, claim by claim.
    pub fn of_verdict(verdict: &Verdict) -> Self {
        let hardware = Self {
            instance_identity: AFFIRMED,
            configuration: AFFIRMED,
            executables: APPROVED_AT_BOOT,
            hardware: AFFIRMED,
            runtime_opaque: AFFIRMED,
        };
        let intel = |status: TcbStatus| match status {
            TcbStatus::UpToDate => AFFIRMED,
            _ => UNSAFE_HARDWARE,
        };
        match verdict {
            Verdict::Snp(_) | Verdict::Nitro(_) => hardware,
            Verdict::Tdx(domain) => Self {
                hardware: intel(domain.platform.status),
                ..hardware
            },
            Verdict::Sgx(enclave) => Self {
                hardware: intel(enclave.platform.status),
                executables: AFFIRMED,
                ..hardware
            },
            // The node says all of it about itself.
            Verdict::Virtual(_) => Self {
                instance_identity: UNRECOGNIZED,
                hardware: UNRECOGNIZED,
                runtime_opaque: VISIBLE_MEMORY,
                ..Self::default()
            },
        }
    }

    /// What a refusal says: only what was found wrong, because the checks ended there.
    pub fn of_refusal(refusal: &Refusal) -> Self {
        let nothing = Self::default();
        match refusal.ccf_name() {
            "FailedMeasurementNotFound" | "FailedUVMEndorsementsNotFound" => Self {
                executables: UNRECOGNIZED,
                ..nothing
            },
            "FailedInvalidHostData" => Self {
                configuration: UNRECOGNIZED,
                ..nothing
            },
            "FailedInvalidQuotedPublicKey" => Self {
                instance_identity: UNRECOGNIZED,
                ..nothing
            },
            "FailedInvalidTcbVersion" | "FailedInvalidCPUID" => Self {
                hardware: UNRECOGNIZED,
                ..nothing
            },
            _ => Self {
                hardware: CRYPTO_FAILED,
                ..nothing
            },
        }
    }

    /// Every claim by its name, and the tier that it is in.
    pub fn claims(self) -> [(&'static str, TrustTier); 5] {
        let Self {
            instance_identity,
            configuration,
            executables,
            hardware,
            runtime_opaque,
        } = self;
        [
            ("instance-identity", tier_of(instance_identity)),
            ("configuration", tier_of(configuration)),
            ("executables", tier_of(executables)),
            ("hardware", tier_of(hardware)),
            ("runtime-opaque", tier_of(runtime_opaque)),
        ]
    }

    /// The tier of the worst claim.
    pub fn tier(self) -> TrustTier {
        let tiers = self.claims().into_iter().map(|(_, tier)| tier);
        tiers.max().unwrap_or(TrustTier::None)
    }
}

/// The scale is the same below zero: minus one to one say nothing.
fn tier_of(claim: i8) -> TrustTier {
    match claim {
        -1..=1 => TrustTier::None,
        2..=31 | -32..=-2 => TrustTier::Affirming,
        32..=95 | -96..=-33 => TrustTier::Warning,
        96.. | ..=-97 => TrustTier::Contraindicated,
    }
}

impl fmt::Display for TrustTier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// A token is not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EarFault {
    /// It is no EAR of this profile. Ask its sender for another format.
    #[error("it is no EAR signed with ES384: {0}")]
    Malformed(&'static str),
    /// That verifier's key has not signed it.
    #[error("that verifier has not signed the EAR; it was altered, or another verifier's")]
    Signature,
    /// It is used after its time. Ask the verifier for a new one.
    #[error("the EAR was good until {0}; ask the verifier for a new one")]
    Expired(UnixTime),
}

impl Ear {
    /// A statement of `verifier` about evidence judged at `now`, by the policy with that JSON.
    pub fn new(
        verifier: VerifierId,
        result: Result<&Verdict, &Refusal>,
        policy_json: &[u8],
        nonce: Option<&[u8]>,
        now: UnixTime,
    ) -> Self {
        let appraisal = Appraisal::new(result, policy_json);
        Self::of_nodes(
            verifier,
            [(SUBMODULE.to_owned(), appraisal)].into(),
            nonce,
            now,
        )
    }

    /// A statement about several nodes, each under its id.
    pub fn of_nodes(
        verifier: VerifierId,
        nodes: BTreeMap<String, Appraisal>,
        nonce: Option<&[u8]>,
        now: UnixTime,
    ) -> Self {
        Self {
            eat_profile: PROFILE.to_owned(),
            iat: now,
            exp: None,
            ear_verifier_id: verifier,
            eat_nonce: nonce.map(|nonce| URL_SAFE_NO_PAD.encode(nonce)),
            submods: nodes,
        }
    }

    /// The token: `sign` makes the ES384 signature, r and s of 48 bytes each, over what it is given.
    pub fn to_jwt<E>(&self, sign: impl FnOnce(&[u8]) -> Result<[u8; 96], E>) -> Result<String, E> {
        let claims = serde_json::to_vec(self).expect("invariant: an EAR has text keys only");
        let mut token = URL_SAFE_NO_PAD.encode(HEADER);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(claims, &mut token);
        let signature = sign(token.as_bytes())?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }

    /// Reads a token that the holder of `public_key` (a point of P-384) signed, at the time `now`.
    pub fn from_jwt(token: &str, public_key: &[u8], now: UnixTime) -> Result<Self, EarFault> {
        #[derive(Deserialize)]
        struct Header {
            alg: String,
            #[serde(default)]
            crit: Vec<String>,
        }
        if token.len() > MAX_EAR_BYTES {
            return Err(EarFault::Malformed("it is too long"));
        }
        let malformed = EarFault::Malformed("it is no JWT");
        let (signed, signature) = token.rsplit_once('.').ok_or(malformed.clone())?;
        let (header, claims) = signed.split_once('.').ok_or(malformed.clone())?;
        let decoded = |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed.clone());
        let header: Header =
            serde_json::from_slice(&decoded(header)?).map_err(|_| malformed.clone())?;
        if header.alg != "ES384" || !header.crit.is_empty() {
            return Err(EarFault::Malformed("its header asks for something else"));
        }
        UnparsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, public_key)
            .verify(signed.as_bytes(), &decoded(signature)?)
            .map_err(|_| EarFault::Signature)?;
        let ear: Self = serde_json::from_slice(&decoded(claims)?)
            .map_err(|_| EarFault::Malformed("its claims are others"))?;
        if ear.eat_profile != PROFILE {
            return Err(EarFault::Malformed("its profile is another one"));
        }
        match ear.exp {
            Some(until) if until < now => Err(EarFault::Expired(until)),
            _ => Ok(ear),
        }
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair};

    use super::*;
    use crate::bytes::HexBytes;
    use crate::insecure_virtual::VirtualEvidence;
    use crate::nitro::{NitroImage, NitroVerdict};
    use crate::snp::SnpRefusal;

    const NOW: UnixTime = UnixTime(1_800_000_000);

    fn verifier() -> VerifierId {
        VerifierId {
            build: "counterfoil 0.1.0".to_owned(),
            developer: "https://example.org".to_owned(),
        }
    }

    fn hardware() -> Verdict {
        Verdict::Nitro(NitroVerdict {
            module_id: "i-1".to_owned(),
            made_at: NOW,
            registers: NitroImage::default(),
            report_data: HexBytes([1; 64]),
        })
    }

    fn key() -> EcdsaKeyPair {
        EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap()
    }

    fn signed(ear: &Ear, key: &EcdsaKeyPair) -> String {
        let sign = |message: &[u8]| {
            let signature = key.sign(&SystemRandom::new(), message)?;
            Ok::<_, aws_lc_rs::error::Unspecified>(signature.as_ref().try_into().unwrap())
        };
        ear.to_jwt(sign).unwrap()
    }

    #[test]
    fn a_token_says_what_the_draft_wants() {
        let ear = Ear::new(verifier(), Ok(&hardware()), b"{}", Some(&[0xff; 3]), NOW);
        let json = serde_json::to_value(&ear).unwrap();
        let expected = serde_json::json!({
            "eat_profile": "tag:ietf.org,2026:rats/ear#04",
            "iat": 1_800_000_000,
            "ear_verifier_id": {"build": "counterfoil 0.1.0", "developer": "https://example.org"},
            "eat_nonce": "____",
            "submods": {"counterfoil-node": {
                "ear_status": "affirming",
                "ear_trustworthiness_vector": {
                    "instance-identity": 2,
                    "configuration": 2,
                    "executables": 3,
                    "hardware": 2,
                    "runtime-opaque": 2,
                },
                "ear_appraisal_policy_ids": [
                    "ni:///sha-256;RBNvo1WzZ4oRRq0W9-hknpT7T8If536DEMBg9hyq_4o"
                ],
                "counterfoil_verdict": serde_json::to_value(hardware()).unwrap(),
            }},
        });
        assert_eq!(json, expected);
    }

    #[test]
    fn a_token_is_believed_from_its_verifier_only() {
        let key = key();
        let public = key.public_key().as_ref();
        let mut ear = Ear::new(verifier(), Ok(&hardware()), b"", None, NOW);
        ear.exp = Some(NOW);
        let token = signed(&ear, &key);
        assert_eq!(Ear::from_jwt(&token, public, NOW), Ok(ear.clone()));
        let later = UnixTime(NOW.0 + 1);
        assert_eq!(
            Ear::from_jwt(&token, public, later),
            Err(EarFault::Expired(NOW))
        );
        let stranger = self::key();
        let forged = signed(&ear, &stranger);
        assert_eq!(
            Ear::from_jwt(&forged, public, NOW),
            Err(EarFault::Signature)
        );
        for place in 0..token.len() {
            let mut altered = token.clone().into_bytes();
            // Another letter, or a point that is none.
            altered[place] = if altered[place] == b'A' { b'B' } else { b'A' };
            let altered = String::from_utf8(altered).unwrap();
            assert!(Ear::from_jwt(&altered, public, NOW).is_err(), "{place}");
        }
    }

    #[test]
    fn a_token_without_signature_or_of_another_profile_is_refused() {
        let key = key();
        let public = key.public_key().as_ref();
        let mut ear = Ear::new(verifier(), Ok(&hardware()), b"", None, NOW);
        ear.eat_profile.push('1');
        let refusal = Ear::from_jwt(&signed(&ear, &key), public, NOW).unwrap_err();
        assert!(matches!(refusal, EarFault::Malformed(_)));
        let none = URL_SAFE_NO_PAD.encode(br#"{"alg":"none"}"#);
        for token in [
            "",
            ".",
            "..",
            &format!("{none}.e30."),
            &"a".repeat(MAX_EAR_BYTES + 1),
        ] {
            assert!(Ear::from_jwt(token, public, NOW).is_err());
        }
    }

    #[test]
    fn what_nobody_vouches_for_is_advised_against() {
        let said = Verdict::Virtual(VirtualEvidence {
            measurement: HexBytes::ZERO,
            host_data: HexBytes::ZERO,
            report_data: HexBytes::ZERO,
        });
        let ear = Ear::new(verifier(), Ok(&said), b"", None, NOW);
        assert_eq!(
            ear.submods[SUBMODULE].ear_status.to_string(),
            "contraindicated"
        );
        for refusal in [
            SnpRefusal::Measurement(HexBytes::ZERO),
            SnpRefusal::HostData(HexBytes::ZERO),
            SnpRefusal::ReportData(HexBytes::ZERO),
            SnpRefusal::VersionTwo,
            SnpRefusal::Revoked,
        ] {
            let ear = Ear::new(verifier(), Err(&refusal.clone().into()), b"", None, NOW);
            let node = ear.submods[SUBMODULE].clone();
            assert_eq!(node.ear_status, TrustTier::Contraindicated, "{refusal}");
            assert_eq!(node.refusal, Some(refusal.to_string()));
        }
    }

    #[test]
    fn the_tier_is_that_of_the_worst_claim() {
        let vector = |hardware| TrustVector {
            configuration: 2,
            hardware,
            ..TrustVector::default()
        };
        for (claim, tier) in [
            (0, TrustTier::Affirming),
            (31, TrustTier::Affirming),
            (32, TrustTier::Warning),
            (95, TrustTier::Warning),
            (96, TrustTier::Contraindicated),
            (127, TrustTier::Contraindicated),
            (-1, TrustTier::Affirming),
            (-33, TrustTier::Warning),
            (-128, TrustTier::Contraindicated),
        ] {
            assert_eq!(vector(claim).tier(), tier, "{claim}");
        }
        assert_eq!(TrustVector::default().tier(), TrustTier::None);
    }
}
