//! A prefix tree over tokens: what several sequences begin with alike is one path, and so is decoded once.
//!
//! Nodes stand in preorder, so that every prefix of the list is a tree too and can be decoded in pieces. A leaf is a
//! path that is the beginning of no other; each becomes one sequence of llama.cpp's, and a node belongs to all leaves
//! below it. The last token of a sequence is predicted and never decoded. Pure bookkeeping: nothing here knows a model.

use std::ops::Range;

use crate::llama::ffi::Token;

/// Tokens of which the last part is scored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sequence {
    /// At least two tokens; all but the last are decoded.
    pub tokens: Vec<Token>,
    /// Index of the first token that is scored; at least 1 and less than the number of tokens.
    pub continuation: usize,
}

impl Sequence {
    /// What is decoded.
    pub fn path(&self) -> &[Token] {
        self.tokens.split_last().map_or(&[], |(_, path)| path)
    }

    /// The scored tokens.
    pub fn scored(&self) -> &[Token] {
        self.tokens.get(self.continuation..).unwrap_or(&[])
    }
}

/// One decoded token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// The token.
    pub token: Token,
    /// Its position, from 0.
    pub position: usize,
    /// Leaves below it.
    pub leaves: Range<usize>,
    /// What is asked of the logits behind it: (sequence, token).
    pub asked: Vec<(usize, Token)>,
}

/// The tree.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    /// In preorder.
    pub nodes: Vec<Node>,
    /// How many there are.
    pub leaves: usize,
    /// The path of the last leaf: the one that sorts last.
    pub last: Vec<Token>,
}

/// Tokens that two paths begin with alike.
pub fn common(a: &[Token], b: &[Token]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}

impl Tree {
    /// Grows the tree of these sequences.
    pub fn grow(sequences: &[&Sequence]) -> Self {
        let mut order: Vec<(usize, &Sequence)> = sequences.iter().copied().enumerate().collect();
        order.sort_by_key(|(_, sequence)| sequence.path());
        let mut tree = Self::default();
        let mut path: Vec<usize> = Vec::new();
        for (index, sequence) in order {
            let shared = common(&tree.last, sequence.path());
            if shared < path.len() {
                tree.leaves += 1;
                tree.close(path.drain(shared..));
            }
            for (position, token) in sequence.path().iter().enumerate().skip(shared) {
                path.push(tree.nodes.len());
                let leaves = tree.leaves..tree.leaves;
                tree.nodes.push(Node { token: *token, position, leaves, asked: Vec::new() });
            }
            let scored = sequence.scored().iter().zip(path.iter().skip(sequence.continuation.max(1) - 1));
            for (token, node) in scored {
                if let Some(node) = tree.nodes.get_mut(*node) {
                    node.asked.push((index, *token));
                }
            }
            tree.last.clear();
            tree.last.extend_from_slice(sequence.path());
        }
        tree.leaves += usize::from(!path.is_empty());
        tree.close(path.into_iter());
        tree
    }

    /// Ends the leaves of nodes that no further path goes through.
    fn close(&mut self, nodes: impl Iterator<Item = usize>) {
        for node in nodes {
            if let Some(node) = self.nodes.get_mut(node) {
                node.leaves.end = self.leaves;
            }
        }
    }

    /// How many of the tokens of a path that is decoded already are of use: those that are a path of this tree too,
    /// down to the first of which the logits are asked.
    pub fn reusable(&self, kept: &[Token]) -> usize {
        let mut limit = kept.len();
        let mut longest = 0;
        for (node, depth) in self.along(kept) {
            if depth == node.position + 1 {
                longest = longest.max(depth);
                if !node.asked.is_empty() {
                    limit = limit.min(node.position);
                }
            }
        }
        longest.min(limit)
    }

    /// Each node with the number of tokens that its path and `kept` begin with alike.
    pub fn along<'tree>(&'tree self, kept: &[Token]) -> impl Iterator<Item = (&'tree Node, usize)> {
        let mut depth = 0;
        self.nodes.iter().map(move |node| {
            depth = depth.min(node.position);
            if depth == node.position && kept.get(depth) == Some(&node.token) {
                depth += 1;
            }
            (node, depth)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    fn sequence(tokens: &[Token], continuation: usize) -> Sequence {
        Sequence { tokens: tokens.to_vec(), continuation }
    }

    fn grown(sequences: &[Sequence]) -> Tree {
        Tree::grow(&sequences.iter().collect::<Vec<_>>())
    }

    #[test]
    fn answers_of_one_token_need_a_single_row() {
        let tree = grown(&[sequence(&[1, 2, 10], 2), sequence(&[1, 2, 11], 2)]);
        assert_eq!((tree.nodes.len(), tree.leaves), (2, 1));
        assert_eq!(tree.nodes[1].asked, [(0, 10), (1, 11)]);
    }

    #[test]
    fn a_path_within_another_is_no_leaf() {
        let tree = grown(&[sequence(&[1, 2, 3, 4], 1), sequence(&[1, 2, 9], 1), sequence(&[1, 5, 9], 2)]);
        let shape: Vec<_> = tree.nodes.iter().map(|n| (n.token, n.position, n.leaves.clone())).collect();
        assert_eq!(shape, [(1, 0, 0..2), (2, 1, 0..1), (3, 2, 0..1), (5, 1, 1..2)]);
        assert_eq!(tree.last, [1, 5]);
    }

    #[test]
    fn what_is_kept_ends_where_logits_are_asked() {
        let tree = grown(&[sequence(&[1, 2, 3, 4, 5], 3), sequence(&[1, 2, 7, 8], 3)]);
        assert_eq!(tree.reusable(&[]), 0);
        assert_eq!(tree.reusable(&[1, 9]), 1);
        assert_eq!(tree.reusable(&[1, 2, 9]), 2);
        assert_eq!(tree.reusable(&[1, 2, 3, 4]), 2);
        assert_eq!(tree.reusable(&[2]), 0);
    }

    proptest! {
        #[test]
        fn every_sequence_finds_its_path_and_no_prefix_stands_twice(
            sequences in prop::collection::vec(
                (prop::collection::vec(0_i32..3, 2..7), any::<prop::sample::Index>()), 1..8),
            kept in prop::collection::vec(0_i32..3, 0..6),
        ) {
            let sequences: Vec<Sequence> = sequences
                .into_iter()
                .map(|(tokens, at)| Sequence { continuation: 1 + at.index(tokens.len() - 1), tokens })
                .collect();
            let tree = grown(&sequences);
            let prefixes: BTreeSet<&[Token]> =
                sequences.iter().flat_map(|s| (1..=s.path().len()).map(|n| &s.path()[..n])).collect();
            prop_assert_eq!(tree.nodes.len(), prefixes.len());
            // The path of each node, told from positions in preorder alone.
            let mut stack: Vec<Token> = Vec::new();
            let mut asked = vec![Vec::new(); sequences.len()];
            let useful = tree.reusable(&kept);
            for (node, depth) in tree.along(&kept) {
                stack.truncate(node.position);
                stack.push(node.token);
                prop_assert_eq!(depth, common(&stack, &kept));
                prop_assert!(depth <= node.position || node.position >= useful || node.asked.is_empty());
                for (sequence, token) in &node.asked {
                    prop_assert!(sequences[*sequence].tokens.starts_with(&stack));
                    asked[*sequence].push((node.position + 1, *token));
                }
                let below = prefixes.iter().filter(|p| p.starts_with(&stack));
                let ends = below.filter(|p| !prefixes.iter().any(|q| q.len() > p.len() && q.starts_with(p)));
                prop_assert_eq!(node.leaves.len(), ends.count());
            }
            for (sequence, asked) in sequences.iter().zip(asked) {
                let wanted: Vec<_> = (sequence.continuation..sequence.tokens.len())
                    .map(|at| (at, sequence.tokens[at])).collect();
                prop_assert_eq!(wanted, asked);
            }
        }
    }
}
