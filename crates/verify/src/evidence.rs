//! Commit evidence: the text in a leaf that names the transaction, and that a node shows only once
//! the transaction is committed.

use crate::digest::Digest;
use crate::limits::MAX_COMMIT_EVIDENCE_BYTES;
use crate::tx_id::TxId;

/// The text is not commit evidence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("commit evidence is ce:VIEW.SEQNO:NONCE, the nonce being 64 hex digits")]
pub struct NotEvidence;

/// The transaction that `ce:<view>.<seqno>:<64 hex digits>` is evidence for.
///
/// The nonce is opaque: what matters is that the whole text is what the leaf was made from.
pub fn evidence_tx_id(evidence: &str) -> Result<TxId, NotEvidence> {
    if evidence.len() > MAX_COMMIT_EVIDENCE_BYTES {
        return Err(NotEvidence);
    }
    let (id, nonce) = evidence
        .strip_prefix("ce:")
        .and_then(|rest| rest.split_once(':'))
        .ok_or(NotEvidence)?;
    nonce.parse::<Digest>().map_err(|_| NotEvidence)?;
    id.parse().map_err(|_| NotEvidence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tx_id::{Seqno, View};

    #[test]
    fn evidence_names_its_transaction() {
        let text = "ce:2.13:850a25da46643fa41392750b6ca03c7c7d117c27ae14e3322873de6322aa7cd3";
        assert_eq!(evidence_tx_id(text), Ok(TxId::new(View(2), Seqno(13))));
    }

    #[test]
    fn any_other_text_is_refused() {
        let nonce = "0".repeat(64);
        for text in [
            String::new(),
            format!("2.13:{nonce}"),
            format!("ce:2.13{nonce}"),
            format!("ce:2.013:{nonce}"),
            format!("ce:2.13:{nonce}0"),
            format!("ce:2.13:{nonce} "),
            format!("CE:2.13:{nonce}"),
            format!("ce:2:13:{nonce}"),
        ] {
            assert_eq!(evidence_tx_id(&text), Err(NotEvidence), "{text}");
        }
    }
}
