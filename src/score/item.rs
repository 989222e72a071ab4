//! What one item of a suite yields: the smallest thing that is measured, sent, journalled and resampled.

use serde::{Deserialize, Serialize};

use crate::answers::execute::Outcome;
use crate::answers::grade::{Extracted, Grade};
use crate::plan::suite::ChoiceScoring;
use crate::score::generate::Stop;
use crate::stats::Moments;

/// One line of an item journal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ItemRecord {
    /// Position in the data file, from 0.
    pub index: u64,
    /// The item's own id.
    pub id: String,
    /// What was measured.
    pub score: ItemScore,
}

/// What was measured on one item.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum ItemScore {
    /// A multiple-choice question.
    Choice(Box<QuestionScore>),
    /// What is left in memory of a multiple-choice question that was judged: never written.
    #[serde(skip)]
    Judged(Picks),
    /// A question whose answers were written.
    Generated(Box<GeneratedScore>),
    /// One chunk of a text.
    Chunk(Box<ChunkScore>),
    /// The item could not be scored.
    Failed {
        /// Why.
        reason: String,
    },
}

impl ItemScore {
    /// The question, where it is one whose choices are known.
    #[must_use]
    pub fn question(&self) -> Option<&QuestionScore> {
        match self {
            Self::Choice(question) => Some(question),
            _ => None,
        }
    }
}

/// A multiple-choice question, and how likely each choice is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuestionScore {
    /// The context as the model saw it.
    pub prompt: String,
    /// Index of the right choice.
    pub answer: u32,
    /// One score a choice.
    pub choices: Vec<ChoiceScore>,
    /// Tokens cut from the left because the item was longer than the context.
    #[serde(default)]
    pub truncated: u32,
    /// By whose definition it was scored.
    #[serde(default, skip_serializing_if = "ChoiceScoring::is_default")]
    pub scoring: ChoiceScoring,
    /// Whether each choice is true, where several may be.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<bool>,
}

/// Which choices were picked, counted from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Picks {
    /// The choice of the largest sum of ln p, of the largest ln p a character, and of the largest ln p a byte.
    pub picked: [u16; 3],
    /// The right one.
    pub answer: u16,
}

/// Score of one choice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ChoiceScore {
    /// The continuation's text.
    pub text: String,
    /// Sum of ln p over the continuation's tokens.
    pub logprob: f64,
    /// Tokens of the continuation.
    pub tokens: u32,
    /// Characters of the choice, without the delimiter.
    pub chars: u32,
    /// Bytes of the choice, without the delimiter.
    pub bytes: u32,
    /// Of a choice that is the only one: whether greedy decoding would write it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub greedy: Option<bool>,
}

/// Answers to a question, and what they are worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GeneratedScore {
    /// The prompt as the model saw it.
    pub prompt: String,
    /// Its tokens.
    pub prompt_tokens: u64,
    /// What answers are graded by.
    pub reference: String,
    /// One a sample.
    pub answers: Vec<GeneratedAnswer>,
    /// What filters took out of the answers, one entry a pipeline.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub extracted: Vec<Extracted>,
    /// What came of each answer's program, where answers are programs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub outcomes: Vec<Outcome>,
    /// One a metric.
    pub grades: Vec<Grade>,
}

/// An answer as it was written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GeneratedAnswer {
    /// Everything that was written, without the stop string.
    pub output: String,
    /// What was graded, if that is not all of it: without the thought.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub graded: Option<String>,
    /// Tokens written, those of the stop string and of the end included.
    pub tokens: u64,
    /// Seconds from its first decode to its last, others beside it.
    pub seconds: f64,
    /// Why it ended.
    pub stop: Stop,
}

/// Scores of the scored positions of one chunk, in order. All arrays have the same length.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, Default)]
pub struct ChunkScore {
    /// -ln p of the true token, this variant, in nats.
    pub nll: F32Array,
    /// -ln p of the true token, base.
    pub nll_base: F32Array,
    /// KL divergence of the variant from the base, in nats.
    pub kld: F32Array,
    /// p(true token) of the variant minus that of the base.
    pub delta_p: F32Array,
    /// 1 where both have the same most likely token.
    pub same_top: Vec<u8>,
    /// Positions left out because a logit was not finite.
    #[serde(default)]
    pub nonfinite: u32,
    /// Sums over the positions, before they were rounded to the columns' 32 bits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moments: Option<Moments>,
}

impl ChunkScore {
    /// Sums over the positions: the exact ones, or else those of the columns.
    pub fn sums(&self) -> Moments {
        self.moments.unwrap_or_else(|| {
            let mut moments = Moments::default();
            let nlls = self.nll.0.iter().zip(&self.nll_base.0);
            let rest = self.kld.0.iter().zip(&self.delta_p.0).zip(&self.same_top);
            for ((q, b), ((kld, delta_p), same_top)) in nlls.zip(rest) {
                let [q, b, kld, delta_p] = [q, b, kld, delta_p].map(|x| f64::from(*x));
                moments.push(q, b, kld, delta_p, *same_top != 0);
            }
            moments
        })
    }
}

/// Floats that travel through JSON bit for bit, as base64 of their little-endian bytes.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct F32Array(pub Vec<f32>);

impl Serialize for F32Array {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use base64::Engine as _;
        let bytes: Vec<u8> = self.0.iter().flat_map(|x| x.to_le_bytes()).collect();
        serializer.serialize_str(&base64::engine::general_purpose::STANDARD.encode(bytes))
    }
}

impl<'de> Deserialize<'de> for F32Array {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        use base64::Engine as _;
        use serde::de::Error as _;
        let text = String::deserialize(deserializer)?;
        let bytes = base64::engine::general_purpose::STANDARD.decode(text).map_err(D::Error::custom)?;
        let (words, rest) = bytes.as_chunks::<4>();
        if !rest.is_empty() {
            return Err(D::Error::custom("length is not a multiple of 4"));
        }
        Ok(Self(words.iter().map(|w| f32::from_le_bytes(*w)).collect()))
    }
}
