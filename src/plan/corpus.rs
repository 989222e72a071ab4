//! The texts of a suite: one, or several corpora that are scored alike and averaged. A corpus is a plain text, a
//! file of conversations that the model's own chat template renders, or what the base model itself writes.

use std::collections::BTreeSet;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use toml::Spanned;

use crate::plan::error::PlanError;
use crate::plan::suite::DataSource;

/// Tokens that all runs written together have room for, unless one is longer.
const ROOM: u32 = 8192;
/// Most runs written together.
const MOST_TOGETHER: u32 = 16;
/// More tokens than a base model could write in a week.
const MOST_TOKENS: u64 = 10_000_000;
/// Above this nearly every token is as likely as any other.
const HOTTEST: f64 = 10.0;

/// A `[[corpus]]` table of a suite file.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CorpusTable {
    name: String,
    #[serde(default)]
    kind: CorpusKind,
    #[serde(default)]
    source: Vec<DataSource>,
    tokens: Option<u64>,
    seed: Option<u64>,
    temperature: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
enum CorpusKind {
    #[default]
    Text,
    Chat,
    Sampled,
}

/// A text of a suite, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Corpus {
    /// Short name, unique within its suite; empty for the one text of a suite that has a `[[source]]`.
    pub name: String,
    /// What it is made of.
    pub matter: Matter,
}

/// What a corpus is made of.
#[derive(Debug, Clone, PartialEq)]
pub enum Matter {
    /// A text file; the first of these places that can be reached and checks out wins.
    Text(Vec<DataSource>),
    /// Conversations, one JSON object a line, rendered by the model's own chat template.
    Chat(Vec<DataSource>),
    /// What the base model writes.
    Sampled(Sampling),
}

/// How the base model writes a corpus.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Sampling {
    /// Tokens to write; a part of a chunk at the end is left out.
    pub tokens: u64,
    /// Seed of the draws.
    pub seed: u64,
    /// What logits are divided by; 1 for the model's own distribution.
    pub temperature: f64,
}

/// A file and how it becomes tokens.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TextFile {
    /// The file.
    pub path: PathBuf,
    /// How it becomes tokens.
    pub kind: TextKind,
}

/// How a file becomes tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TextKind {
    /// As plain text: what looks like a special token is text, and BOS is added if the vocabulary adds one.
    Plain,
    /// As a chat template's output: special tokens are parsed, and none is added.
    Rendered,
    /// It holds tokens.
    Tokens,
}

impl TextFile {
    /// A plain text.
    pub fn plain(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), kind: TextKind::Plain }
    }
}

/// A corpus with its text at hand, or with all that is needed for the base to write it.
#[derive(Debug, Clone, PartialEq)]
pub struct LoadedCorpus {
    /// Its name; empty if the suite has no other, so that its chunks are called `chunk-0` and not `NAME/chunk-0`.
    pub label: String,
    /// The text as it is tokenised. A sampled one may not be there yet.
    pub text: TextFile,
    /// How the base writes it, if it does.
    pub sampling: Option<Sampling>,
    /// Tokens that the base is yet to write, as things stood when the sweep was prepared.
    pub unwritten: u64,
    /// Content key: the text's SHA-256, or `sampled:KEY` with a hash of all that decides what is written.
    pub key: String,
    /// Chunks in all.
    pub chunks: u64,
    /// Index of its first chunk among the suite's items.
    pub first: u64,
    /// Chunks asked for, from its beginning.
    pub planned: u64,
}

impl LoadedCorpus {
    /// Those of a suite's items that are its chunks, as numbers within it.
    pub fn own(&self, items: &[u64]) -> Vec<u64> {
        let own = self.first..self.first + self.chunks;
        items.iter().filter(|item| own.contains(item)).map(|item| item - self.first).collect()
    }
}

/// Runs of `n_ctx` tokens that the base writes together: it follows from their length alone, since the shape of a
/// batch moves logits in their last digits.
pub fn written_together(n_ctx: u32) -> u32 {
    (ROOM / n_ctx.max(1)).clamp(1, MOST_TOGETHER)
}

/// Checks the corpora of a suite file. `place` says where in it a byte stands.
pub(super) fn check(
    tables: &[Spanned<CorpusTable>],
    ctx: u32,
    place: impl Fn(usize) -> String,
) -> Result<Vec<Corpus>, PlanError> {
    let mut names = BTreeSet::new();
    let mut corpora = Vec::new();
    for table in tables {
        let place = place(table.span().start);
        let corpus = one(table.get_ref(), ctx, &place)?;
        if !names.insert(corpus.name.clone()) {
            return Err(PlanError::Twice { place, kind: "corpus", name: corpus.name });
        }
        corpora.push(corpus);
    }
    Ok(corpora)
}

fn one(table: &CorpusTable, ctx: u32, place: &str) -> Result<Corpus, PlanError> {
    let wrong = |what: &str, hint: &str| PlanError::Missing {
        place: place.to_owned(),
        what: format!("corpus {:?} {what}", table.name),
        hint: hint.to_owned(),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if table.name.is_empty() || !table.name.chars().all(plain) {
        let hint = "letters, digits, `_`, `-` and `.` make a name";
        return Err(wrong("has no name that could stand in a table", hint));
    }
    let samples = table.tokens.is_some() || table.seed.is_some() || table.temperature.is_some();
    let matter = match table.kind {
        CorpusKind::Sampled => Matter::Sampled(sampling(table, ctx, wrong)?),
        _ if samples => {
            let hint = "give it kind = \"sampled\", or leave tokens, seed and temperature out";
            return Err(wrong("is not sampled and has no tokens, seed or temperature", hint));
        }
        _ if table.source.is_empty() => {
            return Err(wrong("names no source", "add source = [{ from = \"...\" }]"));
        }
        CorpusKind::Text => Matter::Text(table.source.clone()),
        CorpusKind::Chat => Matter::Chat(table.source.clone()),
    };
    Ok(Corpus { name: table.name.clone(), matter })
}

fn sampling(
    table: &CorpusTable,
    ctx: u32,
    wrong: impl Fn(&str, &str) -> PlanError,
) -> Result<Sampling, PlanError> {
    if !table.source.is_empty() {
        return Err(wrong("is written by the base model and has no source", "leave `source` out"));
    }
    let Some(tokens) = table.tokens else {
        return Err(wrong("does not say how many tokens are written", "add tokens = 16384"));
    };
    if !(2 * u64::from(ctx)..=MOST_TOKENS).contains(&tokens) {
        let what = format!("has {tokens} tokens; from two chunks of {ctx} to {MOST_TOKENS} are possible");
        return Err(wrong(&what, "correct `tokens`, or choose a smaller `ctx`"));
    }
    let temperature = table.temperature.unwrap_or(1.0);
    if !(temperature > 0.0 && temperature <= HOTTEST) {
        let hint = "leave it out for 1, the model's own distribution";
        return Err(wrong("has a temperature that is not above 0 and at most 10", hint));
    }
    Ok(Sampling { tokens, seed: table.seed.unwrap_or(1), temperature })
}

/// Spreads a limit evenly over corpora of so many chunks; what one cannot use goes to the others, the earlier first.
/// A higher limit never gives a corpus less.
pub fn spread(limit: u64, chunks: &[u64]) -> Vec<u64> {
    let mut shares = vec![0; chunks.len()];
    let mut left = limit;
    loop {
        let open: Vec<usize> = (0..chunks.len()).filter(|i| shares.get(*i) < chunks.get(*i)).collect();
        if open.is_empty() || left == 0 {
            return shares;
        }
        // At least one each, until there is none left.
        let each = (left / open.len() as u64).max(1);
        for i in open {
            if let (Some(share), Some(all)) = (shares.get_mut(i), chunks.get(i)) {
                let more = each.min(*all - *share).min(left);
                *share += more;
                left -= more;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::suite::{Scoring, Suite, SuiteText, parse};
    use proptest::prelude::*;

    const HEAD: &str = "name = \"x\"\ntitle = \"X\"\nversion = 1\nlicence = \"ours\"\n\n[text]\nctx = 128\n\n\
                        [[metric]]\nname = \"kld_mean\"\n";

    fn suite(tables: &str) -> Result<Suite, PlanError> {
        parse(&SuiteText { path: "x.toml".to_owned(), text: format!("{HEAD}{tables}") })
    }

    #[test]
    fn three_kinds_of_corpora() {
        let suite = suite(
            "[[corpus]]\nname = \"book\"\nsource = [{ from = \"a.txt\" }, { from = \"b.txt\", sha256 = \"00\" }]\n\
             [[corpus]]\nname = \"talk\"\nkind = \"chat\"\nsource = [{ from = \"builtin:chat.jsonl\" }]\n\
             [[corpus]]\nname = \"own\"\nkind = \"sampled\"\ntokens = 300\n",
        )
        .expect("valid");
        assert!(matches!(suite.scoring, Scoring::Text(_)));
        assert!(matches!(&suite.corpora[0].matter, Matter::Text(sources) if sources.len() == 2));
        assert!(matches!(&suite.corpora[1].matter, Matter::Chat(sources) if sources.len() == 1));
        let own = Sampling { tokens: 300, seed: 1, temperature: 1.0 };
        assert_eq!(suite.corpora[2], Corpus { name: "own".to_owned(), matter: Matter::Sampled(own) });
    }

    #[test]
    fn what_does_not_go_together_is_refused_with_its_line() {
        let book = "[[corpus]]\nname = \"book\"\nsource = [{ from = \"a.txt\" }]\n";
        let cases = [
            ("[[corpus]]\nname = \"a\"\nkin = \"chat\"\n", "x.toml, line 13: unknown field `kin`"),
            ("[[corpus]]\nname = \"a\"\nkind = \"poem\"\n", "x.toml, line 13: unknown variant `poem`"),
            ("[[corpus]]\nname = \"a/b\"\n", "x.toml, line 11: corpus \"a/b\" has no name that"),
            ("[[corpus]]\nname = \"a\"\n", "x.toml, line 11: corpus \"a\" names no source"),
            (&format!("{book}{book}"), "x.toml, line 14: corpus \"book\" is named twice"),
            (&format!("{book}seed = 3\n"), "x.toml, line 11: corpus \"book\" is not sampled"),
            (&format!("{book}kind = \"sampled\"\n"), "is written by the base model and has no source"),
            ("[[corpus]]\nname = \"a\"\nkind = \"sampled\"\n", "does not say how many tokens"),
            (
                "[[corpus]]\nname = \"a\"\nkind = \"sampled\"\ntokens = 255\n",
                "has 255 tokens; from two chunks of 128",
            ),
            (
                "[[corpus]]\nname = \"a\"\nkind = \"sampled\"\ntokens = 256\ntemperature = 0.0\n",
                "has a temperature that is not above 0",
            ),
            (
                &format!("{book}[[source]]\nfrom = \"b.txt\"\n"),
                "x.toml: has both [[source]] and [[corpus]] tables",
            ),
            ("", "x.toml: names no source"),
        ];
        for (tables, expected) in cases {
            let error = suite(tables).expect_err(tables);
            assert!(error.to_string().contains(expected), "{error} lacks {expected}");
            assert!(error.hint().is_some_and(|hint| !hint.is_empty()), "{error}");
        }
    }

    #[test]
    fn an_unused_share_goes_to_the_others() {
        assert_eq!(spread(9, &[20, 2, 20]), [4, 2, 3]);
        assert_eq!(spread(2, &[5, 5, 5]), [1, 1, 0]);
        assert_eq!(spread(100, &[5, 0, 7]), [5, 0, 7]);
        assert_eq!(spread(3, &[]), [0; 0]);
    }

    #[test]
    fn how_many_runs_are_written_together_follows_from_their_length() {
        for (n_ctx, runs) in [(4, 16), (512, 16), (2048, 4), (5000, 1), (131_072, 1)] {
            assert_eq!(written_together(n_ctx), runs, "{n_ctx}");
        }
    }

    #[test]
    fn a_corpus_knows_its_own_items() {
        let corpus = LoadedCorpus {
            label: "b".to_owned(),
            text: TextFile::plain("b.txt"),
            sampling: None,
            unwritten: 0,
            key: String::new(),
            chunks: 4,
            first: 10,
            planned: 4,
        };
        assert_eq!(corpus.own(&[3, 9, 10, 13, 14]), [0, 3]);
    }

    proptest! {
        #[test]
        fn a_limit_is_used_up_and_a_higher_one_takes_nothing_away(
            chunks in prop::collection::vec(0_u64..50, 0..6), limit in 0_u64..300,
        ) {
            let shares = spread(limit, &chunks);
            let all: u64 = chunks.iter().sum();
            prop_assert_eq!(shares.iter().sum::<u64>(), limit.min(all));
            prop_assert!(shares.iter().zip(&chunks).all(|(share, chunks)| share <= chunks));
            let more = spread(limit + 1, &chunks);
            prop_assert!(shares.iter().zip(&more).all(|(less, more)| less <= more));
            // Nobody has more than another that could take it, but for the rest of an uneven division.
            let open = shares.iter().zip(&chunks).filter(|(s, c)| s < c).map(|(s, _)| *s).min();
            prop_assert!(open.is_none_or(|least| shares.iter().all(|s| *s <= least + 1)));
        }
    }
}
