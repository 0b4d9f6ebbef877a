//! The bytes whose digest is a block's hash.
//!
//! They are the header as it is, but for the consensus of consortia: there the validators' signatures
//! over the hash stand in `extraData`, so the hash is made without them.

use alloy_consensus::Header;
use alloy_primitives::{B256, keccak256};

/// What stands before the list in `extraData` of Istanbul BFT.
const VANITY: usize = 32;
const EMPTY_LIST: u8 = 0xc0;
const ZERO: u8 = 0x80;

/// The bytes with this digest; `None` where the chain hashes its headers in yet another way.
pub(crate) fn preimage(header: &Header, hash: B256) -> Option<Vec<u8>> {
    let extra = &header.extra_data;
    let without = [qbft(extra), ibft2(extra), istanbul(extra)];
    let others = without.into_iter().flatten().map(|extra| Header {
        extra_data: extra.into(),
        ..header.clone()
    });
    std::iter::once(header.clone())
        .chain(others)
        .map(alloy_rlp::encode)
        .find(|bytes| keccak256(bytes) == hash)
}

/// QBFT: vanity, validators, vote, round and seals, the last two emptied.
fn qbft(extra: &[u8]) -> Option<Vec<u8>> {
    let items = items(extra).filter(|items| items.len() == 5)?;
    Some(list(&[
        items[0],
        items[1],
        items[2],
        &[ZERO],
        &[EMPTY_LIST],
    ]))
}

/// IBFT 2: the same, and the last two are left out.
fn ibft2(extra: &[u8]) -> Option<Vec<u8>> {
    let items = items(extra).filter(|items| items.len() == 5)?;
    Some(list(&items[..3]))
}

/// Istanbul BFT: vanity, then validators, the proposer's seal and the committed seals, emptied.
fn istanbul(extra: &[u8]) -> Option<Vec<u8>> {
    let (vanity, rest) = extra.split_at_checked(VANITY)?;
    let items = items(rest).filter(|items| items.len() == 3)?;
    let kept = list(&[items[0], items[1], &[EMPTY_LIST]]);
    Some([vanity, &kept].concat())
}

/// The encoded items of a list that fills these bytes.
fn items(bytes: &[u8]) -> Option<Vec<&[u8]>> {
    let mut rest = bytes;
    let whole = alloy_rlp::Header::decode(&mut rest).ok()?;
    if !whole.list || whole.payload_length != rest.len() {
        return None;
    }
    let mut items = Vec::new();
    while !rest.is_empty() {
        let from = rest;
        let item = alloy_rlp::Header::decode(&mut rest).ok()?;
        rest = rest.get(item.payload_length..)?;
        items.push(&from[..from.len() - rest.len()]);
    }
    Some(items)
}

fn list(items: &[&[u8]]) -> Vec<u8> {
    let payload = items.concat();
    let mut bytes = Vec::new();
    let head = alloy_rlp::Header {
        list: true,
        payload_length: payload.len(),
    };
    head.encode(&mut bytes);
    bytes.extend(payload);
    bytes
}

#[cfg(test)]
mod tests {
    use alloy_primitives::hex;
    use proptest::prelude::*;

    use super::*;

    /// 32 bytes of vanity, one validator, no vote, round 2, one seal of 65 bytes.
    fn signed(empty_vote: u8) -> Vec<u8> {
        let vanity = [&[0xa0][..], &[7; 32]].concat();
        let validators = list(&[&[&[0x94][..], &[1; 20]].concat()]);
        let seals = list(&[&[&[0xb8, 65][..], &[9; 65]].concat()]);
        list(&[&vanity, &validators, &[empty_vote], &[2], &seals])
    }

    fn hashed(extra: &[u8]) -> (Vec<u8>, B256) {
        let header = Header {
            number: 9,
            extra_data: extra.to_vec().into(),
            ..Header::default()
        };
        let bytes = alloy_rlp::encode(header);
        let hash = keccak256(&bytes);
        (bytes, hash)
    }

    #[test]
    fn a_header_that_is_hashed_as_it_is_stays_as_it_is() {
        let (bytes, hash) = hashed(b"geth");
        let header = alloy_rlp::Decodable::decode(&mut &bytes[..]).unwrap();
        assert_eq!(preimage(&header, hash), Some(bytes));
        assert_eq!(preimage(&header, B256::ZERO), None);
    }

    #[test]
    fn seals_and_round_are_left_out_as_each_consensus_does() {
        let vanity = hex::encode([7; 32]);
        let validators = format!("d594{}", hex::encode([1; 20]));
        let qbft_hashed = hex::decode(format!("f83aa0{vanity}{validators}c080c0")).unwrap();
        let ibft_hashed = hex::decode(format!("f838a0{vanity}{validators}80")).unwrap();
        for (empty_vote, without) in [(EMPTY_LIST, qbft_hashed), (ZERO, ibft_hashed)] {
            let (bytes, hash) = hashed(&without);
            let (sealed, _) = hashed(&signed(empty_vote));
            let header = alloy_rlp::Decodable::decode(&mut &sealed[..]).unwrap();
            assert_eq!(preimage(&header, hash), Some(bytes), "{empty_vote}");
        }
    }

    proptest! {
        #[test]
        fn no_extra_data_makes_it_panic(extra in proptest::collection::vec(any::<u8>(), 0..200)) {
            let header = Header { extra_data: extra.into(), ..Header::default() };
            let _ = preimage(&header, B256::ZERO);
        }
    }
}
