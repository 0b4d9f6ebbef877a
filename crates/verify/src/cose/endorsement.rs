//! Endorsements between the keys of one service, from disaster recovery to disaster recovery.
//!
//! Each recovery gives the service a new key. The ledger then holds a message in which the new key
//! endorses the one before it: COSE_Sign1 over the earlier key, with the range of transactions for
//! which that key signed.

use std::ops::ControlFlow;

use minicbor::decode::Decoder;

use super::header::{ALG, CCF, CRIT, CWT_CLAIMS, CWT_ISSUED_AT};
use super::message::{COSE_SIGN1, Label, Sign1, encoded, end, malformed, map, once, sig_structure};
use crate::digest::Digest;
use crate::error::ReceiptError;
use crate::key::{CoseAlgorithm, PublicKey};
use crate::limits::{MAX_COSE_BYTES, MAX_SERVICE_ENDORSEMENTS};
use crate::tx_id::TxId;

/// Why a chain of endorsements leads from the trusted key to no earlier one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EndorsementError {
    /// A message is damaged or is no endorsement. Fetch it again.
    #[error("endorsement {position} cannot be read: {reason}")]
    Malformed {
        /// From 0, the newest first.
        position: usize,
        /// What is wrong with it.
        #[source]
        reason: ReceiptError,
    },
    /// The key before did not sign it: the chain has a gap, or is from another service.
    #[error("endorsement {0} is not signed by the service key that follows it")]
    NotSigned(usize),
    /// The ranges of two neighbours leave a gap or overlap.
    #[error("endorsement {0} does not end where the next one begins")]
    NotAdjoining(usize),
    /// More recoveries than a service has in its life.
    #[error("there are more than {MAX_SERVICE_ENDORSEMENTS} endorsements")]
    TooMany,
}

/// One endorsement, read but not yet believed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endorsement {
    /// The earlier key.
    pub key: PublicKey,
    /// The first transaction that it signed for.
    pub begin: TxId,
    /// The last one. None in the endorsement of a key by itself.
    pub end: Option<TxId>,
    /// The last root that it signed.
    pub end_root: Option<Digest>,
    algorithm: CoseAlgorithm,
    to_be_signed: Vec<u8>,
    signature: Vec<u8>,
}

impl Endorsement {
    /// Reads one.
    pub fn parse(bytes: &[u8]) -> Result<Self, ReceiptError> {
        let message = Sign1::parse(bytes, MAX_COSE_BYTES)?;
        let payload = message
            .payload
            .ok_or_else(|| malformed("the earlier key is missing"))?;
        let key = PublicKey::from_spki_der(payload)
            .map_err(|_| malformed("its payload is not a key of P-256 or P-384"))?;
        let (mut alg, mut ccf, mut begin, mut last, mut root) = (None, None, None, None, None);
        let mut d = Decoder::new(message.protected);
        map(&mut d, |d, label| match label {
            Label::Int(ALG) => once(&mut alg, d.i64()?),
            Label::Int(CRIT) => Err(ReceiptError::WrongKind("it has critical headers")),
            Label::Text(CCF) => {
                once(&mut ccf, ())?;
                map(d, |d, label| match label {
                    Label::Text("epoch.start.txid") => once(&mut begin, tx_id(d)?),
                    Label::Text("epoch.end.txid") => once(&mut last, tx_id(d)?),
                    Label::Text("epoch.end.merkle.root") => {
                        let digest = Digest::try_from(d.bytes()?)
                            .map_err(|_| malformed("its root has not 32 bytes"))?;
                        once(&mut root, digest)
                    }
                    _ => Ok(d.skip()?),
                })
            }
            _ => Ok(d.skip()?),
        })?;
        end(&d)?;
        let algorithm = alg
            .and_then(CoseAlgorithm::from_label)
            .ok_or(ReceiptError::WrongKind(
                "it is signed with neither ES256 nor ES384",
            ))?;
        Ok(Self {
            key,
            begin: begin.ok_or_else(|| malformed("it has no first transaction"))?,
            end: last,
            end_root: root,
            algorithm,
            to_be_signed: sig_structure(message.protected, payload),
            signature: message.signature.to_vec(),
        })
    }

    fn is_signed_by(&self, key: &PublicKey) -> bool {
        key.verify_cose(self.algorithm, &self.to_be_signed, &self.signature)
            .is_ok()
    }

    /// Whether this key's time ended where that of `later` began: at the next seqno, and two
    /// views on, as a recovery advances the view by two.
    fn adjoins(&self, later: &Self) -> bool {
        self.end.is_some_and(|end| {
            end.seqno.0.checked_add(1) == Some(later.begin.seqno.0)
                && end.view.0.checked_add(2) == Some(later.begin.view.0)
        })
    }
}

/// The protected header of an endorsement: what a service says about the one before it.
pub fn endorsement_header(
    alg: i64,
    issued_at: i64,
    begin: TxId,
    end: TxId,
    end_root: &Digest,
) -> Vec<u8> {
    encoded(|e| {
        e.map(3)?.i64(ALG)?.i64(alg)?;
        e.i64(CWT_CLAIMS)?
            .map(1)?
            .i64(CWT_ISSUED_AT)?
            .i64(issued_at)?;
        e.str(CCF)?.map(3)?;
        e.str("epoch.start.txid")?.str(&begin.to_string())?;
        e.str("epoch.end.txid")?.str(&end.to_string())?;
        e.str("epoch.end.merkle.root")?.bytes(end_root.as_bytes())?;
        Ok(())
    })
}

/// What is signed in an endorsement of the key `earlier` (SubjectPublicKeyInfo, DER).
pub fn endorsement_to_be_signed(protected: &[u8], earlier: &[u8]) -> Vec<u8> {
    sig_structure(protected, earlier)
}

/// The endorsement of the key `earlier`. The signature is `r || s`, by the key that follows it.
pub fn endorsement(protected: &[u8], earlier: &[u8], signature: &[u8]) -> Vec<u8> {
    encoded(|e| {
        e.tag(COSE_SIGN1)?.array(4)?.bytes(protected)?;
        e.map(0)?.bytes(earlier)?.bytes(signature)?;
        Ok(())
    })
}

fn tx_id(d: &mut Decoder<'_>) -> Result<TxId, ReceiptError> {
    d.str()?
        .parse()
        .map_err(|_| malformed("it names no transaction"))
}

/// Follows endorsements, the newest first, from today's key of a service to earlier ones, and
/// returns them as far back as `wanted` breaks, or all.
///
/// The key of the last endorsement that is returned may be used to verify COSE receipts of its
/// time.
pub fn verify_endorsements<B: AsRef<[u8]>>(
    today: &PublicKey,
    newest_first: &[B],
    mut wanted: impl FnMut(&Endorsement) -> ControlFlow<()>,
) -> Result<Vec<Endorsement>, EndorsementError> {
    if newest_first.len() > MAX_SERVICE_ENDORSEMENTS {
        return Err(EndorsementError::TooMany);
    }
    let mut chain: Vec<Endorsement> = Vec::new();
    for (position, bytes) in newest_first.iter().enumerate() {
        let endorsement = Endorsement::parse(bytes.as_ref())
            .map_err(|reason| EndorsementError::Malformed { position, reason })?;
        let later = chain.last();
        if !endorsement.is_signed_by(later.map_or(today, |later| &later.key)) {
            return Err(EndorsementError::NotSigned(position));
        }
        if later.is_some_and(|later| !endorsement.adjoins(later)) {
            return Err(EndorsementError::NotAdjoining(position));
        }
        let enough = wanted(&endorsement).is_break();
        chain.push(endorsement);
        if enough {
            break;
        }
    }
    Ok(chain)
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::signature::{ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, KeyPair};

    use super::*;
    use crate::tx_id::{Seqno, View};

    fn pair() -> EcdsaKeyPair {
        EcdsaKeyPair::generate(&ECDSA_P384_SHA384_FIXED_SIGNING).unwrap()
    }

    fn key(pair: &EcdsaKeyPair) -> PublicKey {
        PublicKey::from_spki_der(pair.public_key().as_der().unwrap().as_ref()).unwrap()
    }

    fn id(view: u64, seqno: u64) -> TxId {
        TxId::new(View(view), Seqno(seqno))
    }

    /// `later` endorses `earlier`, which signed for this range.
    fn endorse(later: &EcdsaKeyPair, earlier: &EcdsaKeyPair, begin: TxId, end: TxId) -> Vec<u8> {
        let protected = endorsement_header(-35, 1_700_000_000, begin, end, &Digest([7; 32]));
        let payload = key(earlier).spki_der().to_vec();
        let message = endorsement_to_be_signed(&protected, &payload);
        let signature = later.sign(&SystemRandom::new(), &message).unwrap();
        endorsement(&protected, &payload, signature.as_ref())
    }

    fn all(_: &Endorsement) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    #[test]
    fn a_chain_leads_from_today_to_the_oldest_key() {
        let (oldest, old, today) = (pair(), pair(), pair());
        let newer = endorse(&today, &old, id(4, 101), id(5, 200));
        let older = endorse(&old, &oldest, id(2, 1), id(2, 100));
        let chain = [newer.clone(), older.clone()];
        let keys = verify_endorsements(&key(&today), &chain, all).unwrap();
        assert_eq!(keys.len(), 2);
        assert_eq!(keys[1].key, key(&oldest));
        assert_eq!(keys[1].end_root, Some(Digest([7; 32])));

        let first = verify_endorsements(&key(&today), &chain, |_| ControlFlow::Break(())).unwrap();
        assert_eq!(first.len(), 1, "no further than wanted");

        let swapped = verify_endorsements(&key(&today), &[older, newer], all);
        assert_eq!(swapped, Err(EndorsementError::NotSigned(0)));
    }

    #[test]
    fn ranges_that_do_not_adjoin_are_refused() {
        let (oldest, old, today) = (pair(), pair(), pair());
        let newer = endorse(&today, &old, id(4, 101), id(5, 200));
        for end in [id(2, 99), id(2, 101), id(3, 100), id(1, 100)] {
            let chain = [newer.clone(), endorse(&old, &oldest, id(1, 1), end)];
            let refused = verify_endorsements(&key(&today), &chain, all);
            assert_eq!(refused, Err(EndorsementError::NotAdjoining(1)), "{end}");
        }
    }

    #[test]
    fn no_changed_bit_leaves_an_endorsement_that_verifies() {
        let (old, today) = (pair(), pair());
        let bytes = endorse(&today, &old, id(2, 1), id(2, 100));
        let today = key(&today);
        for place in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes.clone();
                changed[place] ^= 1 << bit;
                let verified = verify_endorsements(&today, &[changed], all);
                assert!(verified.is_err(), "byte {place}, bit {bit}");
            }
        }
    }
}
