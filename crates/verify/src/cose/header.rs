//! The protected header: by whom, when and with which key a root was signed.

use minicbor::decode::Decoder;

use super::message::{Label, Sign1, end, malformed, map, once};
use super::to_be_signed;
use crate::digest::Digest;
use crate::error::ReceiptError;
use crate::key::{CoseAlgorithm, PublicKey};
use crate::limits::MAX_COSE_BYTES;
use crate::tx_id::TxId;

pub(super) const ALG: i64 = 1;
pub(super) const CRIT: i64 = 2;
pub(super) const KID: i64 = 4;
pub(super) const CWT_CLAIMS: i64 = 15;
pub(super) const CWT_ISSUER: i64 = 1;
pub(super) const CWT_SUBJECT: i64 = 2;
pub(super) const CWT_ISSUED_AT: i64 = 6;
/// Which verifiable data structure (395), and the proofs from it (396).
pub(super) const VDS: i64 = 395;
pub(super) const VDS_CCF_LEDGER_SHA256: i64 = 2;
pub(super) const CCF: &str = "ccf.v1";
pub(super) const CCF_TX_ID: &str = "txid";

/// The protected header of a root signature, as read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RootHeader {
    /// With what the root is signed.
    pub algorithm: CoseAlgorithm,
    /// The signing key: its digest in hex.
    pub kid: Vec<u8>,
    /// Seconds since 1970, by the clock of the node that signed.
    pub issued_at: Option<i64>,
    /// Who says to have signed. Only the key proves it.
    pub issuer: Option<String>,
    /// About what.
    pub subject: Option<String>,
    /// The signature transaction: the root covers all before it.
    pub tx_id: Option<TxId>,
}

impl RootHeader {
    pub(super) fn parse(protected: &[u8]) -> Result<Self, ReceiptError> {
        let mut vds = None;
        let mut header = HeaderFields::default();
        let mut d = Decoder::new(protected);
        map(&mut d, |d, label| match label {
            Label::Int(VDS) => once(&mut vds, d.i64()?),
            label => header.field(d, label),
        })?;
        end(&d)?;
        if vds != Some(VDS_CCF_LEDGER_SHA256) {
            return Err(ReceiptError::WrongKind("its tree is not CCF_LEDGER_SHA256"));
        }
        header.finish()
    }

    pub(super) fn verify(
        &self,
        message: &Sign1<'_>,
        service: &PublicKey,
        root: &Digest,
    ) -> Result<(), ReceiptError> {
        if self.kid != service.key_digest().to_string().as_bytes() {
            return Err(ReceiptError::OtherKey);
        }
        let signed = to_be_signed(message.protected, root);
        service
            .verify_cose(self.algorithm, &signed, message.signature)
            .map_err(|_| ReceiptError::Signature {
                root: *root,
                signer: service.key_digest(),
            })
    }
}

#[derive(Default)]
struct HeaderFields {
    alg: Option<i64>,
    kid: Option<Vec<u8>>,
    cwt: Option<()>,
    issued_at: Option<i64>,
    issuer: Option<String>,
    subject: Option<String>,
    ccf: Option<()>,
    tx_id: Option<TxId>,
}

impl HeaderFields {
    fn field(&mut self, d: &mut Decoder<'_>, label: Label<'_>) -> Result<(), ReceiptError> {
        match label {
            Label::Int(ALG) => once(&mut self.alg, d.i64()?),
            Label::Int(CRIT) => Err(ReceiptError::WrongKind("it has critical headers")),
            Label::Int(KID) => once(&mut self.kid, d.bytes()?.to_vec()),
            Label::Int(CWT_CLAIMS) => {
                once(&mut self.cwt, ())?;
                map(d, |d, label| match label {
                    Label::Int(CWT_ISSUED_AT) => once(&mut self.issued_at, d.i64()?),
                    Label::Int(CWT_ISSUER) => once(&mut self.issuer, d.str()?.to_owned()),
                    Label::Int(CWT_SUBJECT) => once(&mut self.subject, d.str()?.to_owned()),
                    _ => Ok(d.skip()?),
                })
            }
            Label::Text(CCF) => {
                once(&mut self.ccf, ())?;
                map(d, |d, label| match label {
                    Label::Text(CCF_TX_ID) => {
                        let id = d.str()?.parse().map_err(|_| malformed("txid is none"))?;
                        once(&mut self.tx_id, id)
                    }
                    _ => Ok(d.skip()?),
                })
            }
            _ => Ok(d.skip()?),
        }
    }

    fn finish(self) -> Result<RootHeader, ReceiptError> {
        let algorithm =
            self.alg
                .and_then(CoseAlgorithm::from_label)
                .ok_or(ReceiptError::WrongKind(
                    "it is signed with neither ES256 nor ES384",
                ))?;
        Ok(RootHeader {
            algorithm,
            kid: self.kid.ok_or(ReceiptError::OtherKey)?,
            issued_at: self.issued_at,
            issuer: self.issuer,
            subject: self.subject,
            tx_id: self.tx_id,
        })
    }
}

/// Checks the root signature that is kept in the ledger, for auditors who know the root.
pub fn verify_root_signature(
    bytes: &[u8],
    service: &PublicKey,
    root: &Digest,
) -> Result<RootHeader, ReceiptError> {
    let message = Sign1::parse(bytes, MAX_COSE_BYTES)?;
    if message.payload.is_some() {
        return Err(ReceiptError::WrongKind("it has a payload"));
    }
    let header = RootHeader::parse(message.protected)?;
    header.verify(&message, service, root)?;
    Ok(header)
}
