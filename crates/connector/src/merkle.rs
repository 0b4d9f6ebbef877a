//! Many records under one root: the Merkle tree of RFC 9162 (Certificate Transparency) over SHA-256.
//!
//! A leaf is `H(0x00 || salt || record digest)` and a node `H(0x01 || left || right)`, so that neither
//! passes for the other. The salt keeps a root, and a neighbour in somebody else's proof, from telling
//! anything about records that can be guessed.
//!
//! The ledger's own tree (`verify::merkle`) is CCF's: it has no such prefixes.

use alloy_primitives::B256;
use serde::{Deserialize, Serialize};
use verify::Digest;

/// The leaf of a record.
pub fn leaf(salt: &B256, record: &B256) -> B256 {
    leaf_of(&[salt.as_slice(), record.as_slice()])
}

fn leaf_of(parts: &[&[u8]]) -> B256 {
    let parts = [&[&[0_u8] as &[u8]], parts].concat();
    B256::new(Digest::of_parts(&parts).0)
}

fn node(left: &B256, right: &B256) -> B256 {
    B256::new(Digest::of_parts(&[&[1], left.as_slice(), right.as_slice()]).0)
}

/// A tree with all its nodes, from which every path is read.
#[derive(Debug, Clone)]
pub struct Tree {
    /// The leaves, then each level above them; a last node without a sibling rises as it is.
    levels: Vec<Vec<B256>>,
}

impl Tree {
    /// The tree over these leaves; `None` without any.
    pub fn new(leaves: Vec<B256>) -> Option<Self> {
        if leaves.is_empty() {
            return None;
        }
        let mut levels = vec![leaves];
        while let Some(last) = levels.last().filter(|level| level.len() > 1) {
            let pairs = last.chunks(2).map(|pair| match pair {
                [left, right] => node(left, right),
                [alone] => *alone,
                _ => unreachable!("chunks of two have one or two"),
            });
            let next = pairs.collect();
            levels.push(next);
        }
        Some(Self { levels })
    }

    /// The root.
    pub fn root(&self) -> B256 {
        self.levels[self.levels.len() - 1][0]
    }

    /// How many leaves it has.
    pub fn size(&self) -> u64 {
        self.levels[0].len() as u64
    }

    /// The way from a leaf to the root; `None` where there is no such leaf.
    pub fn path(&self, index: u64) -> Option<Path> {
        let mut at = usize::try_from(index).ok()?;
        self.levels[0].get(at)?;
        let mut steps = Vec::new();
        for level in &self.levels {
            steps.extend(level.get(at ^ 1));
            at >>= 1;
        }
        Some(Path {
            leaf_index: index,
            tree_size: self.size(),
            steps,
        })
    }
}

/// The way from a leaf to the root.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Path {
    /// The leaf's place, from 0.
    pub leaf_index: u64,
    /// How many leaves the tree has.
    pub tree_size: u64,
    /// The siblings, from the leaf upward.
    pub steps: Vec<B256>,
}

impl Path {
    /// The root to which this leads from a leaf, as RFC 9162 (2.1.3.2) finds it; `None` when the path
    /// is too long or too short for its place in the tree.
    pub fn root(&self, leaf: B256) -> Option<B256> {
        if self.leaf_index >= self.tree_size {
            return None;
        }
        let (mut index, mut last) = (self.leaf_index, self.tree_size - 1);
        let mut root = leaf;
        for step in &self.steps {
            if last == 0 {
                return None;
            }
            if index & 1 == 1 || index == last {
                root = node(step, &root);
                // A node without a sibling rises to where it has one.
                while index & 1 == 0 && index != 0 {
                    (index, last) = (index >> 1, last >> 1);
                }
            } else {
                root = node(&root, step);
            }
            (index, last) = (index >> 1, last >> 1);
        }
        (last == 0).then_some(root)
    }
}

#[cfg(test)]
mod tests {
    use alloy_primitives::{b256, hex};
    use proptest::prelude::*;

    use super::*;

    /// The leaves and roots that all implementations of Certificate Transparency test with.
    const LEAVES: [&str; 8] = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    const ROOTS: [B256; 8] = [
        b256!("6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"),
        b256!("fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"),
        b256!("aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77"),
        b256!("d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7"),
        b256!("4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4"),
        b256!("76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef"),
        b256!("ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c"),
        b256!("5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"),
    ];

    fn leaves(count: usize) -> Vec<B256> {
        let leaf = |text: &&str| leaf_of(&[&hex::decode(text).unwrap()]);
        LEAVES.iter().take(count).map(leaf).collect()
    }

    #[test]
    fn roots_are_those_of_certificate_transparency() {
        for (count, root) in (1..).zip(ROOTS) {
            let tree = Tree::new(leaves(count)).unwrap();
            assert_eq!(tree.root(), root, "{count}");
            for (index, leaf) in (0..).zip(leaves(count)) {
                assert_eq!(tree.path(index).unwrap().root(leaf), Some(root));
            }
        }
        assert!(Tree::new(Vec::new()).is_none());
    }

    #[test]
    fn a_node_does_not_pass_for_a_leaf() {
        let tree = Tree::new(leaves(4)).unwrap();
        let inner = node(&leaves(4)[0], &leaves(4)[1]);
        let short = Path {
            leaf_index: 0,
            tree_size: 2,
            steps: vec![node(&leaves(4)[2], &leaves(4)[3])],
        };
        // The digests lead there, but no record has an inner node for its leaf.
        assert_eq!(short.root(inner), Some(tree.root()));
        let forged = leaf_of(&[leaves(4)[0].as_slice(), leaves(4)[1].as_slice()]);
        assert_ne!(forged, inner);
    }

    proptest! {
        #[test]
        fn every_leaf_has_a_path_and_no_other_path_leads_to_the_root(
            size in 1_u64..200,
            at in any::<prop::sample::Index>(),
            change in any::<prop::sample::Index>(),
            other in 0_u64..256,
        ) {
            let leaves: Vec<_> = (0..size).map(|n| leaf(&B256::ZERO, &B256::from([n as u8; 32]))).collect();
            let tree = Tree::new(leaves.clone()).unwrap();
            let index = at.index(leaves.len());
            let path = tree.path(index as u64).unwrap();
            prop_assert_eq!(path.root(leaves[index]), Some(tree.root()));
            prop_assert_eq!(tree.path(size), None);

            let mut longer = path.clone();
            longer.steps.push(B256::ZERO);
            prop_assert_ne!(longer.root(leaves[index]), Some(tree.root()));
            if !path.steps.is_empty() {
                let mut shorter = path.clone();
                shorter.steps.pop();
                prop_assert_eq!(shorter.root(leaves[index]), None);
                let mut changed = path.clone();
                let step = change.index(changed.steps.len());
                changed.steps[step].0[0] ^= 1;
                prop_assert_ne!(changed.root(leaves[index]), Some(tree.root()));
            }
            if other != path.leaf_index {
                let mut moved = path;
                moved.leaf_index = other;
                prop_assert_ne!(moved.root(leaves[index]), Some(tree.root()));
            }
        }
    }
}
