//! What an application wants attested about its transaction, where the ledger's own entries do not say
//! it: one claim that only its digest stands for.
//!
//! ```text
//! counterfoil.claims   singleton   digest (32), protocol
//! ```

use verify::{Claim, Digest, claims_digest};

use crate::kv::Tx;
use crate::tables::{CLAIMS, SINGLETON};
use crate::write_set::WriteSet;

/// Notes that the transaction claims this; returns the digest for its leaf. `protocol` says how
/// `value` is made.
pub fn claim(tx: &mut Tx<'_>, protocol: &str, value: Digest) -> Digest {
    let row = [value.as_bytes(), protocol.as_bytes()].concat();
    tx.put(CLAIMS, SINGLETON, row);
    claims_digest(&[Claim::Digest {
        protocol: protocol.to_owned(),
        value,
    }])
}

/// What a transaction claimed so; `None` if it did not.
pub fn claimed(writes: &WriteSet) -> Option<Claim> {
    let row = writes.written(&CLAIMS, &SINGLETON)??;
    let (value, protocol) = row.split_first_chunk()?;
    Some(Claim::Digest {
        protocol: String::from_utf8(protocol.to_vec()).ok()?,
        value: Digest(*value),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kv::MemoryState;

    #[test]
    fn a_claim_is_read_back_and_is_the_one_in_the_leaf() {
        let mut state = MemoryState::default();
        let value = Digest([3; 32]);
        let writes = state.run(move |tx: &mut Tx<'_>| Ok(claim(tx, "TestV1", value)));
        let writes = writes.unwrap();
        let read = claimed(&writes).unwrap();
        let expected = Claim::Digest {
            protocol: "TestV1".to_owned(),
            value,
        };
        assert_eq!(read, expected);
        assert_eq!(claimed(&WriteSet::default()), None);
    }
}
