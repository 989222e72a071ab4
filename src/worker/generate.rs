//! Answers that the loaded model writes: prompts rendered by the base's chat template, the grader made from its files,
//! and what the work has cost.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Instant;

use thiserror::Error;

use crate::answers::english::sentences::Punkt;
use crate::answers::error::AnswerError;
use crate::answers::grade::Grader;
use crate::llama::ffi::{self, ContextOptions};
use crate::llama::model::{LlamaError, Model};
use crate::plan::chat::ChatTemplate;
use crate::plan::generate::Prompt;
use crate::score::answering::{Question, Told, answer_all};
use crate::worker::memory;
use crate::worker::protocol::{Finished, GenerateItem, GenerateWork, LoadSpec, SuiteCost};

/// Files of the sentence splitter among a suite's resources.
const PUNKT: [&str; 4] = [
    "punkt/abbrev_types.txt",
    "punkt/collocations.tab",
    "punkt/sent_starters.txt",
    "punkt/ortho_context.tab",
];

/// Why items cannot be asked.
#[derive(Debug, Error)]
pub enum GenerateError {
    /// llama.cpp's.
    #[error(transparent)]
    Llama(#[from] LlamaError),
    /// The base's chat template.
    #[error("the base's chat template cannot be used: {0}")]
    Template(String),
    /// The suite asks in chats.
    #[error("the suite puts its questions into the base's chat template, and the base has none")]
    NoTemplate,
    /// A resource of the suite.
    #[error("cannot read {path}: {source}")]
    Resource {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A resource that is not what it should be.
    #[error(transparent)]
    Grader(#[from] AnswerError),
}

/// Asks the items and tells each.
///
/// # Errors
/// If the chat template or a resource cannot be used, llama.cpp's, and those of `told`. What is wrong with an item is
/// its score.
pub fn answer<E: From<GenerateError> + From<LlamaError>>(
    model: &Model,
    spec: &LoadSpec,
    work: &GenerateWork,
    template: ContextOptions,
    told: &mut dyn FnMut(Told<'_>) -> Result<(), E>,
) -> Result<Finished, E> {
    let begun = Instant::now();
    let suite = &work.suite;
    let grader = Grader::new(suite.measure, &suite.filter_list, &suite.exact_match, punkt(&work.resources)?);
    let questions = rendered(model, work)?;
    let trained = if spec.yarn { suite.ctx } else { model.context_length() };
    let longest = suite.ctx.min(trained) as usize;
    // Tags may be special tokens.
    let close = suite.think_tags.last().map_or("", String::as_str);
    let tagged = suite.chat && work.template.as_ref().is_some_and(|source| source.contains(close));
    // What lies on a device is not asked of the system.
    let on_cpu = spec.offload.gpu_layers == 0 || ffi::devices().is_empty();
    let free = memory::available().filter(|_| on_cpu);
    let spent = answer_all(model, template, suite, &questions, (longest, tagged, free), &grader, told)?;
    Ok(Finished::Items(SuiteCost {
        wall_s: begun.elapsed().as_secs_f64(),
        decode_s: spent.decode_s,
        tokens_decoded: spent.tokens_decoded,
        tokens_naive: spent.tokens_naive,
        ..SuiteCost::default()
    }))
}

/// The sentence splitter, if the suite brings its parameters.
fn punkt(resources: &BTreeMap<String, PathBuf>) -> Result<Option<Punkt>, GenerateError> {
    let [Some(abbreviations), Some(collocations), Some(starters), Some(orthography)] =
        PUNKT.map(|name| resources.get(name))
    else {
        return Ok(None);
    };
    let read = |path: &PathBuf| {
        std::fs::read_to_string(path).map_err(|source| GenerateError::Resource { path: path.clone(), source })
    };
    let punkt =
        Punkt::parse(&read(abbreviations)?, &read(collocations)?, &read(starters)?, &read(orthography)?);
    Ok(Some(punkt?))
}

/// Prompts as the model sees them.
fn rendered<'a>(model: &Model, work: &'a GenerateWork) -> Result<Vec<Question<'a>>, GenerateError> {
    let args = work.suite.template_args();
    let (bos, eos) = model.bos_and_eos();
    let bytes: usize = work.items.iter().flat_map(|item| item.prompt.texts()).map(str::len).sum();
    memory::for_template(bytes, || {
        let template = match &work.template {
            Some(source) if work.suite.chat => {
                Some(ChatTemplate::new(source, &bos, &eos).map_err(GenerateError::Template)?)
            }
            _ => None,
        };
        let question = |item: &'a GenerateItem| {
            let prompt = match (&item.prompt, &template) {
                (Prompt::Raw(text), _) => text.clone(),
                (Prompt::Chat(messages), Some(template)) => {
                    template.prompt(messages, &args).map_err(GenerateError::Template)?
                }
                (Prompt::Chat(_), None) => return Err(GenerateError::NoTemplate),
            };
            Ok(Question { item, prompt })
        };
        work.items.iter().map(question).collect()
    })
}
