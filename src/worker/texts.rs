//! The tokens of texts that the loaded model has been asked about: tokenising a long one takes as long as decoding a
//! few chunks, and one text is asked about several times.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use crate::llama::ffi::Token;
use crate::llama::model::Model;
use crate::score::perplexity::{Text, TextError, tokenize};
use crate::worker::protocol::{TextFile, TextSuite};

/// Tokens by file, of one model.
#[derive(Debug, Default)]
pub struct Texts(HashMap<TextFile, Vec<Token>>);

impl Texts {
    fn tokens(&mut self, model: &Model, file: &TextFile) -> Result<&[Token], TextError> {
        match self.0.entry(file.clone()) {
            Entry::Occupied(there) => Ok(there.into_mut()),
            Entry::Vacant(place) => Ok(place.insert(tokenize(model, file)?)),
        }
    }

    /// A text, cut.
    pub fn cut(&mut self, model: &Model, file: &TextFile, cut: TextSuite) -> Result<Text, TextError> {
        Text::new(self.tokens(model, file)?.to_vec(), &file.path, cut)
    }

    /// Tokens of each.
    pub fn count(&mut self, model: &Model, files: &[TextFile]) -> Result<Vec<u64>, TextError> {
        files.iter().map(|file| Ok(self.tokens(model, file)?.len() as u64)).collect()
    }
}
