//! What is timed: a surface over prompt length, tokens in the cache and sequences decoded together. The point that
//! every sweep measures (a prompt of 512 tokens and 128 generated, one sequence, empty cache) is always among them.

use serde::{Deserialize, Serialize};

/// Prompt tokens of the point that every sweep measures: pp512.
pub const PROMPT: u32 = 512;
/// Generated tokens of that point: tg128.
pub const GENERATE: u32 = 128;
/// Most sequences llama.cpp decodes together.
const MOST_PARALLEL: u32 = 256;
/// Longest prompt, generation or depth in tokens: beyond any model, and as many sequences of it as may be still have a
/// 32-bit number of tokens.
const LONGEST: u32 = 1 << 22;

/// The `[speed]` table's surface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpeedGrid {
    /// Lengths of prompts, in tokens.
    pub prompt: Vec<u32>,
    /// Tokens to generate.
    pub generate: u32,
    /// Tokens in the cache before a prompt or a generation begins.
    pub depths: Vec<u32>,
    /// Sequences decoded together.
    pub parallel: Vec<u32>,
}

impl Default for SpeedGrid {
    /// Only the point that every sweep measures.
    fn default() -> Self {
        Self { prompt: vec![PROMPT], generate: GENERATE, depths: vec![0], parallel: vec![1] }
    }
}

/// What is timed at a point.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SpeedKind {
    /// Reading a prompt, tokens a second.
    Pp,
    /// Generating token after token, tokens a second.
    Tg,
    /// From handing over a prompt to having chosen the first token after it, seconds.
    Ttft,
    /// Reading one prompt a sequence, all handed over together: tokens a second of all sequences.
    ParallelPp,
    /// Generating one token a sequence at a time: tokens a second of all sequences.
    ParallelTg,
}

impl SpeedKind {
    /// The word used in the CSV files.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pp => "pp",
            Self::Tg => "tg",
            Self::Ttft => "ttft",
            Self::ParallelPp => "parallel_pp",
            Self::ParallelTg => "parallel_tg",
        }
    }

    /// Unit of its samples.
    #[must_use]
    pub fn unit(self) -> &'static str {
        if self == Self::Ttft { "s" } else { "tokens/s" }
    }
}

/// A point of the surface.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SpeedPoint {
    /// What is timed.
    pub kind: SpeedKind,
    /// Prompt tokens of a sequence, or tokens that one generates.
    pub tokens: u32,
    /// Tokens in the cache of each sequence before it begins.
    pub depth: u32,
    /// Sequences decoded together.
    pub parallel: u32,
}

impl SpeedPoint {
    /// The three points of every sweep.
    pub const ALWAYS: [Self; 3] = [
        Self::single(SpeedKind::Pp, PROMPT, 0),
        Self::single(SpeedKind::Ttft, PROMPT, 0),
        Self::single(SpeedKind::Tg, GENERATE, 0),
    ];

    const fn single(kind: SpeedKind, tokens: u32, depth: u32) -> Self {
        Self { kind, tokens, depth, parallel: 1 }
    }

    /// The point that was measured for this one: one sequence "together" is the same as one alone.
    #[must_use]
    pub fn measured_as(self) -> Self {
        match (self.kind, self.parallel) {
            (SpeedKind::ParallelPp, 1) => Self { kind: SpeedKind::Pp, ..self },
            (SpeedKind::ParallelTg, 1) => Self { kind: SpeedKind::Tg, ..self },
            _ => self,
        }
    }

    /// Prompt tokens of a sequence, if it is about prompts.
    #[must_use]
    pub fn prompt(self) -> Option<u32> {
        let generates = matches!(self.kind, SpeedKind::Tg | SpeedKind::ParallelTg);
        (!generates).then_some(self.tokens)
    }

    /// Tokens that a sequence generates, if it is about generating.
    #[must_use]
    pub fn generate(self) -> Option<u32> {
        if self.prompt().is_none() { Some(self.tokens) } else { None }
    }
}

/// Points that are measured in one context.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SpeedShape {
    /// Tokens in the cache of each sequence.
    pub depth: u32,
    /// Sequences.
    pub parallel: u32,
    /// Lengths of prompts.
    pub prompt: Vec<u32>,
    /// Tokens to generate; 0 for none.
    pub generate: u32,
}

impl SpeedShape {
    /// Tokens of context that each sequence needs.
    #[must_use]
    pub fn n_ctx(&self) -> u32 {
        self.depth + self.prompt.iter().copied().max().unwrap_or(0).max(self.generate)
    }

    /// Its points, in the order in which they are measured.
    #[must_use]
    pub fn points(&self) -> Vec<SpeedPoint> {
        let Self { depth, parallel, .. } = *self;
        let at = |kind, tokens| SpeedPoint { kind, tokens, depth, parallel };
        let (of_prompt, of_generate): (&[SpeedKind], SpeedKind) = if parallel == 1 {
            (&[SpeedKind::Pp, SpeedKind::Ttft], SpeedKind::Tg)
        } else {
            (&[SpeedKind::ParallelPp], SpeedKind::ParallelTg)
        };
        let mut points: Vec<SpeedPoint> =
            self.prompt.iter().flat_map(|p| of_prompt.iter().map(move |kind| at(*kind, *p))).collect();
        points.extend((self.generate > 0).then(|| at(of_generate, self.generate)));
        points
    }

    /// Without what every sweep measures already; nothing if that is all.
    #[must_use]
    pub fn beyond_default(mut self) -> Option<Self> {
        if (self.depth, self.parallel) == (0, 1) {
            self.prompt.retain(|p| *p != PROMPT);
            self.generate = if self.generate == GENERATE { 0 } else { self.generate };
        }
        (!self.prompt.is_empty() || self.generate > 0).then_some(self)
    }

    /// For people: `4 sequences at depth 1024`.
    #[must_use]
    pub fn name(&self) -> String {
        let sequences = if self.parallel == 1 {
            "one sequence".to_owned()
        } else {
            format!("{} sequences", self.parallel)
        };
        format!("{sequences} at depth {}", self.depth)
    }
}

impl SpeedGrid {
    /// Whether there is no more to measure than in every sweep.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// What is measured, context by context, from the smallest up. One sequence is always among them.
    #[must_use]
    pub fn shapes(&self) -> Vec<SpeedShape> {
        let mut parallel = self.parallel.clone();
        parallel.push(1);
        parallel.sort_unstable();
        parallel.dedup();
        let mut depths = self.depths.clone();
        depths.sort_unstable();
        let shape = |parallel, depth| SpeedShape {
            depth,
            parallel,
            prompt: self.prompt.clone(),
            generate: self.generate,
        };
        parallel.iter().flat_map(|p| depths.iter().map(move |d| shape(*p, *d))).collect()
    }

    /// Every point there is a figure for: those of every sweep first. Where there are several sequences, one sequence
    /// stands among them too if it was asked for, so that a line over sequences has its beginning.
    #[must_use]
    pub fn points(&self) -> Vec<SpeedPoint> {
        let mut points = SpeedPoint::ALWAYS.to_vec();
        points.extend(self.own_points().into_iter().filter(|p| !SpeedPoint::ALWAYS.contains(p)));
        points
    }

    /// The points without those that only every sweep has.
    #[must_use]
    pub fn own_points(&self) -> Vec<SpeedPoint> {
        let shapes = self.shapes();
        let mut points: Vec<SpeedPoint> = shapes.iter().flat_map(SpeedShape::points).collect();
        if self.parallel.contains(&1) && self.parallel.len() > 1 {
            let alone: Vec<SpeedPoint> = points.iter().copied().filter(|p| p.parallel == 1).collect();
            points.extend(alone.into_iter().filter_map(|p| match p.kind {
                SpeedKind::Pp => Some(SpeedPoint { kind: SpeedKind::ParallelPp, ..p }),
                SpeedKind::Tg => Some(SpeedPoint { kind: SpeedKind::ParallelTg, ..p }),
                _ => None,
            }));
        }
        points
    }

    /// Tokens of context that one sequence needs at most.
    #[must_use]
    pub fn n_ctx(&self) -> u32 {
        self.shapes().iter().map(SpeedShape::n_ctx).max().unwrap_or(0)
    }

    /// What is wrong with it, and what to do: (what, hint).
    pub fn check(&self) -> Result<(), (String, &'static str)> {
        let lists = [
            ("prompt", &self.prompt, 1, LONGEST),
            ("depths", &self.depths, 0, LONGEST),
            ("parallel", &self.parallel, 1, MOST_PARALLEL),
        ];
        for (key, list, least, most) in lists {
            if list.is_empty() {
                return Err((format!("{key} is empty"), "leave it out for the default"));
            }
            if let Some(odd) = list.iter().find(|n| !(least..=most).contains(*n)) {
                let what = format!("{key} = {odd} is not between {least} and {most}");
                return Err((what, "leave it out for the default"));
            }
            if let Some(twice) = list.iter().enumerate().find(|(i, n)| list[..*i].contains(n)) {
                return Err((format!("{key} names {} twice", twice.1), "leave one of them out"));
            }
        }
        if !(1..=LONGEST).contains(&self.generate) {
            let what = format!("generate = {} is not between 1 and {LONGEST}", self.generate);
            return Err((what, "leave it out for the default"));
        }
        Ok(())
    }

    /// Why a model's context cannot hold it; nothing if it can.
    #[must_use]
    pub fn too_deep(&self, context_length: u32) -> Option<String> {
        let shape = self.shapes().into_iter().find(|s| s.n_ctx() > context_length)?;
        let (longest, what) = match shape.prompt.iter().max() {
            Some(prompt) if *prompt >= shape.generate => (*prompt, "a prompt of"),
            _ => (shape.generate, "generating"),
        };
        Some(format!(
            "at depth {} {what} {longest} tokens needs a context of {} tokens, more than the model's {context_length}",
            shape.depth,
            shape.n_ctx()
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn grid(prompt: &[u32], generate: u32, depths: &[u32], parallel: &[u32]) -> SpeedGrid {
        let (prompt, depths, parallel) = (prompt.to_vec(), depths.to_vec(), parallel.to_vec());
        SpeedGrid { prompt, generate, depths, parallel }
    }

    fn words(points: &[SpeedPoint]) -> Vec<String> {
        points.iter().map(|p| format!("{}{}@{}x{}", p.kind.word(), p.tokens, p.depth, p.parallel)).collect()
    }

    #[test]
    fn the_default_is_what_every_sweep_measures() {
        let grid = SpeedGrid::default();
        assert!(grid.is_default());
        assert_eq!(words(&grid.points()), ["pp512@0x1", "ttft512@0x1", "tg128@0x1"]);
        assert!(grid.shapes().into_iter().all(|shape| shape.beyond_default().is_none()));
    }

    #[test]
    fn a_surface_context_by_context() {
        let grid = grid(&[512, 64], 128, &[1024, 0], &[4, 1]);
        let shapes: Vec<SpeedShape> =
            grid.shapes().into_iter().filter_map(SpeedShape::beyond_default).collect();
        let names: Vec<String> = shapes.iter().map(SpeedShape::name).collect();
        let expected = [
            "one sequence at depth 0",
            "one sequence at depth 1024",
            "4 sequences at depth 0",
            "4 sequences at depth 1024",
        ];
        assert_eq!(names, expected);
        assert_eq!(words(&shapes[0].points()), ["pp64@0x1", "ttft64@0x1"], "the rest is measured anyway");
        assert_eq!(
            words(&shapes[3].points()),
            ["parallel_pp512@1024x4", "parallel_pp64@1024x4", "parallel_tg128@1024x4"]
        );
        assert_eq!((shapes[3].n_ctx(), grid.n_ctx()), (1536, 1536));
        let points = grid.points();
        assert!(words(&points).contains(&"parallel_tg128@1024x1".to_owned()));
        assert_eq!(points.len(), 3 + 2 + 5 + 6 + 6);
        assert_eq!(
            SpeedPoint { kind: SpeedKind::ParallelTg, tokens: 9, depth: 1, parallel: 1 }.measured_as().kind,
            SpeedKind::Tg
        );
    }

    #[test]
    fn what_is_wrong_is_said() {
        let cases = [
            (grid(&[], 1, &[0], &[1]), "prompt is empty"),
            (grid(&[0], 1, &[0], &[1]), "prompt = 0 is not between 1"),
            (grid(&[1], 0, &[0], &[1]), "generate = 0"),
            (grid(&[1], 1, &[7, 0, 7], &[1]), "depths names 7 twice"),
            (grid(&[1], 1, &[u32::MAX], &[1]), "depths = 4294967295 is not between"),
            (grid(&[1], 1, &[0], &[300]), "parallel = 300 is not between 1 and 256"),
        ];
        for (grid, expected) in cases {
            let (what, _) = grid.check().expect_err(expected);
            assert!(what.contains(expected), "{what}");
        }
        assert!(SpeedGrid::default().check().is_ok());
        let deep = grid(&[64], 100, &[0, 420], &[1, 2]);
        let reason = deep.too_deep(512).expect("too deep");
        assert_eq!(
            reason,
            "at depth 420 generating 100 tokens needs a context of 520 tokens, more than the model's 512"
        );
        assert_eq!(deep.too_deep(520), None);
    }

    proptest! {
        /// Each point but those of every sweep is measured in exactly one context, and nothing else is.
        #[test]
        fn points_and_shapes_agree(
            prompt in proptest::collection::btree_set(1_u32..2000, 1..4),
            generate in 1_u32..300,
            depths in proptest::collection::btree_set(0_u32..9000, 1..4),
            parallel in proptest::collection::btree_set(1_u32..9, 1..4),
        ) {
            let list = |set: &std::collections::BTreeSet<u32>| set.iter().copied().collect::<Vec<_>>();
            let grid = grid(&list(&prompt), generate, &list(&depths), &list(&parallel));
            prop_assert!(grid.check().is_ok());
            let shapes: Vec<SpeedShape> = grid.shapes().into_iter().filter_map(SpeedShape::beyond_default).collect();
            let measured: Vec<SpeedPoint> = shapes.iter().flat_map(SpeedShape::points).collect();
            for point in grid.points() {
                let own = point.measured_as();
                let times = measured.iter().filter(|p| **p == own).count();
                prop_assert_eq!(times, usize::from(!SpeedPoint::ALWAYS.contains(&own)));
            }
            prop_assert!(measured.iter().all(|p| grid.points().contains(p)));
        }
    }
}
