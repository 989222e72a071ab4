//! The grader of a suite, made of its file and of what it brings besides: the same for the answers of a model that is loaded
//! here and of one behind an API.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::answers::calls::format::Format;
use crate::answers::english::sentences::Punkt;
use crate::answers::error::AnswerError;
use crate::answers::execute::{Execute, Runner};
use crate::answers::grade::{Grader, Measure};
use crate::files;
use crate::plan::generate::GenerateSuite;

/// Files of the sentence splitter among a suite's resources.
const PUNKT: [&str; 4] = [
    "punkt/abbrev_types.txt",
    "punkt/collocations.tab",
    "punkt/sent_starters.txt",
    "punkt/ortho_context.tab",
];

impl GenerateSuite {
    /// The grader of its measure. `resources` are its files by name; `runner` makes what runs programs, asked for only
    /// where answers are programs. Of calls the format is JSON, until it is known how the model writes them.
    ///
    /// # Errors
    /// If a resource cannot be read or is not what it should be, and those of `runner`.
    pub fn grader<E: From<AnswerError>>(
        &self,
        resources: &BTreeMap<String, PathBuf>,
        runner: impl FnOnce(&Execute) -> Result<Runner, E>,
    ) -> Result<Grader, E> {
        Ok(match (&self.execute, self.measure) {
            (Some(execute), _) => Grader::Code(Box::new(runner(execute)?)),
            (None, Measure::Ifeval) => Grader::ifeval(punkt(resources)?),
            (None, Measure::Calls) => Grader::Calls { format: Format::Json, prompted: false },
            (None, Measure::Contains) => Grader::Contains { any: false },
            (None, Measure::ContainsPart) => Grader::Contains { any: true },
            (None, Measure::ExactMatch | Measure::Code) => {
                Grader::exact_match(&self.filter_list, &self.exact_match)
            }
        })
    }
}

/// The sentence splitter, if the suite brings its parameters.
fn punkt(resources: &BTreeMap<String, PathBuf>) -> Result<Option<Punkt>, AnswerError> {
    let [Some(abbreviations), Some(collocations), Some(starters), Some(orthography)] =
        PUNKT.map(|name| resources.get(name))
    else {
        return Ok(None);
    };
    let read = |path: &PathBuf| {
        files::read_text(path)
            .map_err(|error| AnswerError::Resource { path: path.clone(), reason: error.to_string() })
    };
    Punkt::parse(&read(abbreviations)?, &read(collocations)?, &read(starters)?, &read(orthography)?).map(Some)
}
