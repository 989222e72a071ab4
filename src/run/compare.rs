//! What `bitfrontier compare` does: finds two variants, or two sweeps, and has them compared.

use std::path::{Path, PathBuf};

use crate::analyze::versus::{Side, Versus, versus};
use crate::error::Error;
use crate::journal::reader::TrialData;
use crate::journal::record::Manifest;
use crate::plan::error::nearest;
use crate::run::derive;

/// A results folder, and perhaps one of its variants: `DIR` or `DIR:VARIANT`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Named {
    folder: PathBuf,
    variant: Option<String>,
}

impl Named {
    /// A folder that is there is one, whatever its name; else what follows the last colon is a variant.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let whole = Self { folder: PathBuf::from(text), variant: None };
        if Path::new(text).exists() {
            return whole;
        }
        match text.rsplit_once(':') {
            Some((folder, variant)) if !folder.is_empty() && !variant.is_empty() => {
                Self { folder: PathBuf::from(folder), variant: Some(variant.to_owned()) }
            }
            _ => whole,
        }
    }
}

/// Compares two variants, or all that two sweeps have in common.
///
/// # Errors
/// If a folder is no results folder, has no such variant, only one side names a variant, or nothing can be compared.
pub fn compare(a: &str, b: &str) -> Result<Versus, Error> {
    let refused = |reason: String, hint: &str| Error::Refused { reason, hint: Some(hint.to_owned()) };
    let (one, two) = (Named::parse(a), Named::parse(b));
    if one.variant.is_some() != two.variant.is_some() {
        let reason = format!("{a} and {b}: only one of them names a variant");
        return Err(refused(reason, "compare DIR:VARIANT with DIR:VARIANT, or DIR with DIR"));
    }
    let (first, second) = (read(&one)?, read(&two)?);
    let told = versus(side(a, &one, &first), side(b, &two, &second));
    if told.rows.is_empty() {
        let why = told.refused.iter().map(|r| format!("{}: {}", r.suite, r.reason)).collect::<Vec<_>>();
        let why = if why.is_empty() { "they have no variant in common".to_owned() } else { why.join("; ") };
        let hint = "only what was asked alike can be compared: the same suites in the same version, on the same data";
        return Err(refused(format!("nothing of {a} and {b} can be compared: {why}"), hint));
    }
    Ok(told)
}

type Records = (Manifest, Vec<TrialData>);

fn read(named: &Named) -> Result<Records, Error> {
    let (manifest, trials) = derive::read(&named.folder)?;
    if let Some(variant) = &named.variant {
        let there: Vec<String> = manifest.variants.iter().map(|v| v.name.clone()).collect();
        if !there.contains(variant) {
            let like_it = nearest(variant, there.iter().map(String::as_str));
            let hint = if like_it.is_empty() {
                format!("its variants: {}", there.join(", "))
            } else {
                format!("did you mean {}?", like_it.join(", "))
            };
            let reason = format!("{} has no variant {variant:?}", named.folder.display());
            return Err(Error::Refused { reason, hint: Some(hint) });
        }
    }
    Ok((manifest, trials))
}

fn side<'a>(name: &'a str, named: &'a Named, (manifest, trials): &'a Records) -> Side<'a> {
    Side { name, manifest, trials, variant: named.variant.as_deref() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variant_follows_the_last_colon() {
        let named = |text: &str| {
            let Named { folder, variant } = Named::parse(text);
            (folder.display().to_string(), variant)
        };
        assert_eq!(
            named("results/x:Q4_K_M/kv=q8_0"),
            ("results/x".to_owned(), Some("Q4_K_M/kv=q8_0".to_owned()))
        );
        assert_eq!(named("a:b:Q2_K"), ("a:b".to_owned(), Some("Q2_K".to_owned())));
        assert_eq!(named("results/x"), ("results/x".to_owned(), None));
        assert_eq!(named(":Q2_K"), (":Q2_K".to_owned(), None));
        let folder = tempfile::Builder::new().prefix("with:colon").tempdir().expect("a folder");
        let text = folder.path().display().to_string();
        assert_eq!(named(&text), (text.clone(), None));
    }
}
