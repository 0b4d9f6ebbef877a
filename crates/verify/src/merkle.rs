//! The Merkle tree of a ledger, as CCF builds it (draft-ietf-scitt-receipts-ccf-profile).
//!
//! Leaf 0 is [`Digest::ZERO`]; leaf `n` belongs to the entry at seqno `n`. An inner node is
//! `H(left || right)`, and a right-most node without a sibling is promoted unchanged. There are no
//! domain-separation prefixes; a leaf is itself the digest of three digests, so no inner node (the
//! digest of two) can pass for one.
//!
//! A *complete* node is the root of a full subtree of `2^level` leaves. Complete nodes never change
//! as the tree grows, so a store writes each of them once, in [post-order](TreeNode), and any proof
//! against any size is read from them.

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::limits::MAX_PROOF_STEPS;

/// A complete node: the root over the leaves `index << level .. (index + 1) << level`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct TreeNode {
    /// 0 for a leaf, one more for each doubling. At most 63.
    pub level: u8,
    /// Place among the nodes of its level, from the left.
    pub index: u64,
}

impl TreeNode {
    /// The leaf with this index.
    pub const fn leaf(index: u64) -> Self {
        Self { level: 0, index }
    }

    /// The left-most leaf below this node.
    pub const fn first_leaf(self) -> u64 {
        self.index << self.level
    }

    /// The right-most leaf below this node: the one whose arrival completes it.
    pub const fn last_leaf(self) -> u64 {
        self.first_leaf() + ((1 << self.level) - 1)
    }

    /// Place of this node, from 0, when all complete nodes are written append-only as they are
    /// completed: each leaf, followed by the parents that it completes, lowest first. This is the
    /// layout of a Merkle mountain range.
    pub const fn post_order_position(&self) -> u64 {
        nodes_in(self.last_leaf()) + self.level as u64
    }

    const fn sibling(self) -> Self {
        Self {
            level: self.level,
            index: self.index ^ 1,
        }
    }

    const fn parent(self) -> Self {
        Self {
            level: self.level + 1,
            index: self.index >> 1,
        }
    }

    const fn is_right(self) -> bool {
        self.index & 1 == 1
    }
}

/// How many complete nodes a tree of `size` leaves has: `2 * size - popcount(size)`.
///
/// The size must be below `2^63`.
pub const fn nodes_in(size: u64) -> u64 {
    2 * size - size.count_ones() as u64
}

/// The complete nodes that together cover a tree of `size` leaves, smallest subtree first: one of
/// `2^i` leaves for each bit `i` of `size`.
pub fn peaks_of(size: u64) -> impl DoubleEndedIterator<Item = TreeNode> {
    (0..64u8)
        .filter(move |level| (size >> level) & 1 == 1)
        .map(move |level| TreeNode {
            level,
            index: (size >> level) - 1,
        })
}

/// The right edge of a growing tree: all that is needed to append and to know the root.
///
/// At most 64 digests, so a copy of it is a cheap point to return to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Frontier {
    size: u64,
    /// Roots of the complete subtrees, largest first: `size.count_ones()` of them.
    peaks: Vec<Digest>,
}

impl Default for Frontier {
    fn default() -> Self {
        Self::new()
    }
}

impl Frontier {
    /// The tree of an empty ledger: it holds leaf 0 and nothing else.
    pub fn new() -> Self {
        Self {
            size: 1,
            peaks: vec![Digest::ZERO],
        }
    }

    /// Restores a frontier from what [`Frontier::peaks`] gave. None if the number of peaks does not
    /// fit the size, or the size is 0 (every tree holds leaf 0).
    pub fn from_peaks(size: u64, mut peaks: Vec<Digest>) -> Option<Self> {
        let fits = size > 0 && u32::try_from(peaks.len()) == Ok(size.count_ones());
        peaks.reverse();
        fits.then_some(Self { size, peaks })
    }

    /// How many leaves the tree has, leaf 0 included: also the seqno of the next leaf.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends the leaf with index [`Frontier::size`], and hands each complete node that now exists
    /// for the first time to `on_node`: the leaf itself, then its parents upward. Over many calls
    /// this is the order of [`TreeNode::post_order_position`].
    pub fn append(&mut self, leaf: Digest, mut on_node: impl FnMut(TreeNode, Digest)) {
        let mut node = TreeNode::leaf(self.size);
        let mut digest = leaf;
        on_node(node, digest);
        while node.is_right() {
            let left = self
                .peaks
                .pop()
                .expect("a right node has a complete left sibling");
            digest = Digest::node(&left, &digest);
            node = node.parent();
            on_node(node, digest);
        }
        self.peaks.push(digest);
        self.size += 1;
    }

    /// The root over all leaves so far.
    pub fn root(&self) -> Digest {
        let smallest_first = self.peaks.iter().rev().copied();
        bag(smallest_first).expect("a tree holds leaf 0")
    }

    /// Roots of the complete subtrees, smallest first: bit `i` of the size set means one root of
    /// `2^i` leaves. The order of CCF's serialised trees, and of [`peaks_of`].
    pub fn peaks(&self) -> Vec<Digest> {
        self.peaks.iter().rev().copied().collect()
    }
}

/// Joins the roots of neighbouring subtrees, given from the right-most and smallest to the left.
fn bag(smallest_first: impl Iterator<Item = Digest>) -> Option<Digest> {
    smallest_first.reduce(|right, left| Digest::node(&left, &right))
}

/// One step from a node to its parent: the sibling, and the side on which it stands.
///
/// As JSON `{"left": "<64 hex>"}` or `{"right": "<64 hex>"}`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    /// The sibling stands to the left: the parent is `H(sibling || current)`.
    Left(Digest),
    /// The sibling stands to the right: the parent is `H(current || sibling)`.
    Right(Digest),
}

impl Step {
    /// The sibling.
    pub const fn sibling(&self) -> &Digest {
        match self {
            Self::Left(digest) | Self::Right(digest) => digest,
        }
    }
}

/// The path from one leaf to a root, lowest sibling first.
///
/// As JSON a list of [`Step`]s. What comes from outside is refused above [`MAX_PROOF_STEPS`].
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct InclusionProof {
    /// The siblings on the way up.
    #[serde(deserialize_with = "bounded_steps")]
    pub steps: Vec<Step>,
}

impl InclusionProof {
    /// The root that this path leads to from `leaf`. The leaf is in the tree if the result is a
    /// root that one trusts.
    pub fn root(&self, leaf: Digest) -> Digest {
        self.steps.iter().fold(leaf, |current, step| match step {
            Step::Left(sibling) => Digest::node(sibling, &current),
            Step::Right(sibling) => Digest::node(&current, sibling),
        })
    }

    /// Which leaf of a tree of `size` leaves this path belongs to; None if no path of such a tree
    /// has this shape.
    pub fn leaf_index(&self, size: u64) -> Option<u64> {
        let mut first = 0;
        let mut leaves = size;
        for step in self.steps.iter().rev() {
            let left_leaves = left_part(leaves)?;
            match step {
                Step::Left(_) => {
                    first += left_leaves;
                    leaves -= left_leaves;
                }
                Step::Right(_) => leaves = left_leaves,
            }
        }
        (leaves == 1).then_some(first)
    }
}

/// How many leaves of a tree of `size` stand below the root's left child: the largest power of two
/// below `size`. None if the tree has no children.
fn left_part(size: u64) -> Option<u64> {
    (size > 1).then(|| 1 << (size - 1).ilog2())
}

fn bounded_steps<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<Step>, D::Error> {
    struct Steps;
    impl<'de> serde::de::Visitor<'de> for Steps {
        type Value = Vec<Step>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(f, "a list of at most {MAX_PROOF_STEPS} steps")
        }

        fn visit_seq<A: serde::de::SeqAccess<'de>>(
            self,
            mut list: A,
        ) -> Result<Vec<Step>, A::Error> {
            let mut steps = Vec::new();
            while let Some(step) = list.next_element()? {
                if steps.len() == MAX_PROOF_STEPS {
                    return Err(serde::de::Error::invalid_length(MAX_PROOF_STEPS + 1, &self));
                }
                steps.push(step);
            }
            Ok(steps)
        }
    }
    deserializer.deserialize_seq(Steps)
}

/// The proof that the leaf with index `leaf` is in the tree of `size` leaves, which may be any size
/// that the ledger has had or has now.
///
/// `read` gives the digest of a complete node; it is called at most 126 times, in proportion to
/// the logarithm of `size`, and only for nodes that a tree of `size` leaves has. Its first error
/// ends the work.
///
/// # Panics
///
/// If there is no such leaf in that tree: `leaf >= size`.
pub fn prove<E>(
    leaf: u64,
    size: u64,
    mut read: impl FnMut(TreeNode) -> Result<Digest, E>,
) -> Result<InclusionProof, E> {
    assert!(leaf < size, "leaf {leaf} is not in a tree of {size} leaves");
    let mut steps = Vec::new();
    // To the right of the leaf's own subtree, the smaller ones are joined into one sibling.
    let mut right = None;
    let mut smallest_first = peaks_of(size);
    for peak in smallest_first.by_ref() {
        if peak.first_leaf() <= leaf {
            let mut node = TreeNode::leaf(leaf);
            while node.level < peak.level {
                let sibling = read(node.sibling())?;
                steps.push(if node.is_right() {
                    Step::Left(sibling)
                } else {
                    Step::Right(sibling)
                });
                node = node.parent();
            }
            break;
        }
        let left = read(peak)?;
        right = Some(right.map_or(left, |right| Digest::node(&left, &right)));
    }
    steps.extend(right.map(Step::Right));
    for peak in smallest_first {
        steps.push(Step::Left(read(peak)?));
    }
    Ok(InclusionProof { steps })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn leaf(index: u64) -> Digest {
        if index == 0 {
            Digest::ZERO
        } else {
            Digest::of(&index.to_be_bytes())
        }
    }

    /// The tree as its definition reads: level by level, a lone right-most node promoted.
    fn naive_root(leaves: &[Digest]) -> Digest {
        let mut level = leaves.to_vec();
        while level.len() > 1 {
            level = level
                .chunks(2)
                .map(|pair| {
                    if pair.len() == 2 {
                        Digest::node(&pair[0], &pair[1])
                    } else {
                        pair[0]
                    }
                })
                .collect();
        }
        level[0]
    }

    fn grown(size: u64) -> (Frontier, HashMap<TreeNode, Digest>) {
        let mut nodes = HashMap::from([(TreeNode::leaf(0), Digest::ZERO)]);
        let mut frontier = Frontier::new();
        for index in 1..size {
            frontier.append(leaf(index), |node, digest| {
                assert!(
                    nodes.insert(node, digest).is_none(),
                    "{node:?} is completed once"
                );
            });
        }
        (frontier, nodes)
    }

    #[test]
    fn roots_match_the_known_answers_of_ccf() {
        let known = [
            "632959f31641075aa6848d91649123edb324aca48206c605ea0bbe43590dceec",
            "ae54095e475d3928b223cf378f8aa1995a614c4d2a5b867436d5c988e02909ae",
            "2b59906f20704cee3a43b58dbfcd7eb35dd13beb566542fa24893d038e6eb682",
            "fb9cf99964e944cac40e61024026a3a91512546b864a297cc68fb4c312a1e5e6",
            "645585f2a2973d85ca3095ad36fc3e398d66101b045b0f08b6d7c1df88cf21c8",
        ];
        let mut frontier = Frontier::new();
        for (byte, root) in (1u8..).zip(known) {
            frontier.append(Digest::of(&[byte]), |_, _| {});
            assert_eq!(frontier.root().to_string(), root);
        }
    }

    #[test]
    fn every_leaf_is_proven_against_every_size_and_roots_equal_the_definition() {
        let most = 200;
        let leaves: Vec<_> = (0..most).map(leaf).collect();
        let (_, nodes) = grown(most);
        for size in 1..=most {
            let root = naive_root(&leaves[..size as usize]);
            assert_eq!(grown(size).0.root(), root, "size {size}");
            for index in 0..size {
                let proof = prove(index, size, |node| {
                    assert!(
                        node.last_leaf() < size,
                        "{node:?} is not in the tree of {size}"
                    );
                    Ok::<_, Infallible>(nodes[&node])
                })
                .unwrap();
                assert_eq!(proof.root(leaf(index)), root, "leaf {index} of {size}");
                assert_eq!(proof.leaf_index(size), Some(index));
            }
        }
    }

    #[test]
    fn nodes_are_completed_in_the_order_of_their_positions() {
        let mut positions = vec![TreeNode::leaf(0).post_order_position()];
        let mut frontier = Frontier::new();
        for index in 1..300 {
            assert_eq!(positions.len() as u64, nodes_in(index));
            frontier.append(leaf(index), |node, _| {
                positions.push(node.post_order_position())
            });
        }
        assert!(positions.iter().copied().eq(0..positions.len() as u64));
    }

    #[test]
    fn a_frontier_is_restored_from_its_peaks() {
        for size in 1..70 {
            let (frontier, nodes) = grown(size);
            assert!(peaks_of(size).map(|node| nodes[&node]).eq(frontier.peaks()));
            assert_eq!(
                Frontier::from_peaks(size, frontier.peaks()),
                Some(frontier.clone())
            );
            assert_eq!(
                Frontier::from_peaks(size + 1, frontier.peaks()).is_some(),
                (size + 1).count_ones() == size.count_ones()
            );
        }
        assert_eq!(Frontier::from_peaks(0, vec![]), None);
    }

    #[test]
    fn the_first_error_of_the_reader_ends_the_work() {
        assert_eq!(prove(3, 9, |_| Err("disk")), Err("disk"));
    }

    #[test]
    fn a_path_too_long_for_any_tree_is_refused() {
        let steps = vec![Step::Left(Digest::ZERO); MAX_PROOF_STEPS + 1];
        let text = serde_json::to_string(&steps).unwrap();
        assert!(serde_json::from_str::<InclusionProof>(&text).is_err());
        let text = serde_json::to_string(&steps[1..]).unwrap();
        assert_eq!(
            serde_json::from_str::<InclusionProof>(&text).unwrap().steps,
            steps[1..]
        );
    }

    #[test]
    fn a_step_names_exactly_one_side() {
        let digest = Digest::ZERO;
        for text in [
            "{}".to_owned(),
            format!(r#"{{"left":"{digest}","right":"{digest}"}}"#),
            format!(r#"{{"up":"{digest}"}}"#),
            r#"{"left":null}"#.to_owned(),
        ] {
            assert!(serde_json::from_str::<Step>(&text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_path_of_another_shape_belongs_to_no_leaf_or_to_the_one_it_says(
            size in 1u64..5000, sides in proptest::collection::vec(any::<bool>(), 0..16),
        ) {
            let steps: Vec<_> = sides
                .iter()
                .map(|left| if *left { Step::Left(Digest::ZERO) } else { Step::Right(Digest::ZERO) })
                .collect();
            let proof = InclusionProof { steps };
            if let Some(index) = proof.leaf_index(size) {
                let honest = prove(index, size, |_| Ok::<_, Infallible>(Digest::ZERO)).unwrap();
                let same_side = |(a, b): (&Step, &Step)| {
                    matches!(a, Step::Left(_)) == matches!(b, Step::Left(_))
                };
                prop_assert_eq!(honest.steps.len(), proof.steps.len());
                prop_assert!(honest.steps.iter().zip(&proof.steps).all(same_side));
            }
        }
    }
}
