//! What the roots in a block's header cover: its transactions and receipts, by their place.

use alloy_primitives::{B256, Bytes};
use alloy_trie::proof::{ProofRetainer, verify_proof};
use alloy_trie::root::adjust_index_for_rlp;
use alloy_trie::{HashBuilder, Nibbles};

/// The root over these items, and the nodes from it to one of them.
pub(crate) fn prove(items: &[Vec<u8>], index: usize) -> Option<(B256, Vec<Bytes>)> {
    items.get(index)?;
    let target = key(index);
    let retainer = ProofRetainer::new(vec![target]);
    let mut builder = HashBuilder::default().with_proof_retainer(retainer);
    for place in 0..items.len() {
        // The trie is built in the order of its keys, which is not that of the numbers.
        let place = adjust_index_for_rlp(place, items.len());
        builder.add_leaf(key(place), &items[place]);
    }
    let root = builder.root();
    let nodes = builder.take_proof_nodes().matching_nodes_sorted(&target);
    Some((root, nodes.into_iter().map(|(_, node)| node).collect()))
}

/// Whether the item is at this place under the root.
pub(crate) fn proves(root: B256, index: u64, item: &[u8], nodes: &[Bytes]) -> bool {
    let key = Nibbles::unpack(alloy_rlp::encode(index));
    verify_proof(root, key, Some(item.to_vec()), nodes).is_ok()
}

fn key(index: usize) -> Nibbles {
    Nibbles::unpack(alloy_rlp::encode(index))
}

#[cfg(test)]
mod tests {
    use alloy_trie::root::ordered_trie_root_encoded;

    use super::*;

    #[test]
    fn every_item_of_a_block_is_proven_at_its_place_only() {
        for size in [1, 2, 3, 17, 127, 128, 129, 300] {
            let items: Vec<Vec<u8>> = (0..size).map(|n| vec![n as u8; 40 + n]).collect();
            for index in [0, 1, size / 2, size - 1] {
                let Some((root, nodes)) = prove(&items, index) else {
                    assert!(index >= size);
                    continue;
                };
                assert_eq!(root, ordered_trie_root_encoded(&items));
                assert!(nodes.len() <= crate::limits::TRIE_NODES_MAX);
                assert!(proves(root, index as u64, &items[index], &nodes));
                assert!(!proves(root, index as u64 + 1, &items[index], &nodes));
                assert!(!proves(root, index as u64, b"another", &nodes));
                assert!(!proves(B256::ZERO, index as u64, &items[index], &nodes));
                let fewer = &nodes[..nodes.len() - 1];
                assert!(!proves(root, index as u64, &items[index], fewer));
            }
        }
    }
}
