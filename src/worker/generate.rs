//! Answers that the loaded model writes: prompts rendered by the base's chat template, the grader made from its files,
//! and what the work has cost.

use std::time::{Duration, Instant};

use thiserror::Error;

use crate::answers::error::AnswerError;
use crate::answers::execute::Runner;
use crate::answers::grade::{Grader, Measure};
use crate::llama::ffi::{self, ContextOptions};
use crate::llama::model::{LlamaError, Model};
use crate::plan::chat::ChatTemplate;
use crate::plan::conversation::Toolbox;
use crate::plan::generate::Prompt;
use crate::sandbox::{Sandbox, SandboxError};
use crate::score::answering::{Question, Told, answer_all};
use crate::score::item::ItemScore;
use crate::worker::memory;
use crate::worker::mend::mend;
use crate::worker::protocol::{Finished, GenerateItem, GenerateWork, LoadSpec, SuiteCost};

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
    /// Programs that cannot be run here.
    #[error("{reason}{hint}")]
    Sandbox {
        /// Why.
        reason: SandboxError,
        /// What the user can do, in brackets.
        hint: String,
    },
    /// A resource that is not what it should be.
    #[error(transparent)]
    Grader(#[from] AnswerError),
}

impl GenerateError {
    /// No sandbox.
    pub(super) fn sandbox(reason: SandboxError) -> Self {
        let hint = reason.hint().map_or(String::new(), |hint| format!(" (hint: {hint})"));
        Self::Sandbox { reason, hint }
    }
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
    let trained = if spec.yarn { suite.ctx } else { model.context_length() };
    let longest = suite.ctx.min(trained) as usize;
    let until = work.seconds.map(|seconds| begun + Duration::from_secs_f64(seconds));
    if let Some(table) = &suite.agent {
        return mend(model, work, table, (template, longest, until), told);
    }
    let Asked { questions, unasked, grader } = rendered(model, work)?;
    for (item, reason) in unasked {
        told(Told::Item(item, Box::new(ItemScore::Failed { reason })))?;
    }
    // Tags may be special tokens.
    let close = suite.think_tags.last().map_or("", String::as_str);
    let tagged = suite.chat && work.template.as_ref().is_some_and(|source| source.contains(close));
    // What marks calls often is one, and calls are read out of the text.
    let tagged = tagged || suite.measure == Measure::Calls;
    // What lies on a device is not asked of the system.
    let on_cpu = spec.offload.gpu_layers == 0 || ffi::devices().is_empty();
    let free = memory::available().filter(|_| on_cpu);
    let spent =
        answer_all(model, template, suite, &questions, (longest, tagged, free, until), &grader, told)?;
    Ok(Finished::Items(SuiteCost {
        wall_s: begun.elapsed().as_secs_f64(),
        decode_s: spent.decode_s,
        tokens_decoded: spent.tokens_decoded,
        tokens_naive: spent.tokens_naive,
        ..SuiteCost::default()
    }))
}

/// The grader of a suite's measure.
fn grader(work: &GenerateWork) -> Result<Grader, GenerateError> {
    work.suite.grader(&work.resources, |execute| {
        let sandbox = Sandbox::find(work.unsafe_exec).map_err(GenerateError::sandbox)?;
        Ok(Runner::new(sandbox, execute, &work.suite.filter_list))
    })
}

/// What is asked, and how it is graded.
struct Asked<'a> {
    /// Prompts as the model sees them.
    questions: Vec<Question<'a>>,
    /// Items that the chat template cannot render, and why.
    unasked: Vec<(&'a GenerateItem, String)>,
    grader: Grader,
}

/// Puts the items into the base's chat template, where the suite asks in chats.
fn rendered<'a>(model: &Model, work: &'a GenerateWork) -> Result<Asked<'a>, GenerateError> {
    let suite = &work.suite;
    let args = suite.template_args();
    let (bos, eos) = model.bos_and_eos();
    let mut grader = grader(work)?;
    let tools = |item: &GenerateItem| if suite.measure == Measure::Calls { item.reference.len() } else { 0 };
    let bytes =
        |item: &GenerateItem| item.prompt.texts().iter().map(|text| text.len()).sum::<usize>() + tools(item);
    memory::for_template(work.items.iter().map(bytes).sum(), || {
        let source = work.template.as_deref().filter(|_| suite.chat);
        let template = source.map(|source| ChatTemplate::new(source, &bos, &eos)).transpose();
        let template = template.map_err(GenerateError::Template)?;
        let toolbox = template.as_ref().zip(source).filter(|_| suite.measure == Measure::Calls);
        let toolbox = toolbox.map(|(template, source)| Toolbox::new(template, source, &args, suite.calls));
        if let Some(&Toolbox { format, prompted, .. }) = toolbox.as_ref() {
            grader = Grader::Calls { format, prompted };
        }
        let (mut questions, mut unasked) = (Vec::with_capacity(work.items.len()), Vec::new());
        for item in &work.items {
            let prompt = match (&item.prompt, &toolbox, &template) {
                (Prompt::Raw(text), ..) => Ok(text.clone()),
                (Prompt::Chat(messages), Some(toolbox), _) => toolbox.prompt(messages, &item.reference),
                (Prompt::Chat(messages), None, Some(template)) => template.prompt(messages, &[], &args),
                (Prompt::Chat(_), None, None) => return Err(GenerateError::NoTemplate),
            };
            match prompt {
                Ok(prompt) => questions.push(Question { item, prompt }),
                Err(why) => unasked.push((item, format!("the base's chat template cannot render it: {why}"))),
            }
        }
        Ok(Asked { questions, unasked, grader })
    })
}
