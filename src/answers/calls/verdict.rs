//! What an answer is worth where calls are wanted: whether they are right, whether they can be read at all, and how many
//! of them no program could carry out.

use super::checker::check;
use super::expected::{Reference, Wanted};
use super::format::Format;
use super::parse::{Parsed, parse};
use super::schema::Function;
use super::value::Call;

/// The judgement of one answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Why it is wrong; none if it is right.
    pub fault: Option<String>,
    /// Whether all of it that is meant as calls can be read as calls; none where no call is wanted nor meant.
    pub well_formed: Option<bool>,
    /// The calls.
    pub calls: Vec<Call>,
    /// How many of them name a function or an argument that there is not, or leave a required one out.
    pub invalid: usize,
}

/// Judges an answer, a thought taken out of it.
pub fn judge(reference: &Reference, format: Format, answer: &str) -> Verdict {
    let Parsed { calls, fault } = parse(format, answer, reference);
    let wants_calls = !matches!(reference.wanted, Wanted::Text(_));
    let meant = !calls.is_empty() || fault.is_some();
    let right = match (&reference.wanted, calls.as_slice()) {
        (Wanted::Text(says), []) => says_all(answer, says),
        (Wanted::Text(_), [first, ..]) => Err(format!("no call is right, and it calls {first}")),
        (_, []) => Err(fault.clone().unwrap_or_else(|| "it has no call".to_owned())),
        (Wanted::SomeCall, _) => Ok(()),
        (Wanted::Calls(wanted), calls) => check(&reference.functions, reference.language, calls, wanted),
    };
    Verdict {
        fault: right.err(),
        well_formed: (wants_calls || meant).then_some(fault.is_none() && !calls.is_empty()),
        invalid: calls.iter().filter(|call| !is_valid(reference.function(&call.name), call)).count(),
        calls,
    }
}

/// Whether a text has all of these in it, in whatever case.
fn says_all(answer: &str, says: &[String]) -> Result<(), String> {
    let answer = answer.to_lowercase();
    match says.iter().find(|part| !answer.contains(&part.to_lowercase())) {
        Some(missing) => Err(format!("it does not say {missing:?}")),
        None => Ok(()),
    }
}

/// Whether a program could carry a call out.
fn is_valid(function: Option<&Function>, call: &Call) -> bool {
    function.is_some_and(|function| {
        let known = call.arguments.iter().all(|(name, _)| function.parameters.contains_key(name));
        known && function.required.iter().all(|name| call.argument(name).is_some())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOOL: &str =
        r#"{"name": "f", "parameters": {"properties": {"a": {"type": "integer"}}, "required": ["a"]}}"#;

    fn judged(wanted: &str, answer: &str) -> (bool, Option<bool>, usize, usize) {
        let reference = Reference::read(&format!(r#"{{"tools": [{TOOL}], {wanted}}}"#), false).expect("read");
        let verdict = judge(&reference, Format::Pythonic, answer);
        (verdict.fault.is_none(), verdict.well_formed, verdict.calls.len(), verdict.invalid)
    }

    #[test]
    fn calls_that_are_wanted() {
        let wanted = r#""calls": [{"name": "f", "arguments": {"a": 1}}]"#;
        for (answer, expected) in [
            ("[f(a=1)]", (true, Some(true), 1, 0)),
            ("[f(a=2)]", (false, Some(true), 1, 0)),
            ("[f(b=1)]", (false, Some(true), 1, 1)),
            ("[f(a=1, b=1), g()]", (false, Some(true), 2, 2)),
            ("[f(a=1", (false, Some(false), 0, 0)),
            ("I cannot.", (false, Some(false), 0, 0)),
        ] {
            assert_eq!(judged(wanted, answer), expected, "{answer}");
        }
    }

    #[test]
    fn any_call_or_none() {
        assert_eq!(judged(r#""any_call": true"#, "[g(x=1)]"), (true, Some(true), 1, 1));
        assert_eq!(judged(r#""any_call": true"#, "No."), (false, Some(false), 0, 0));
        for (answer, expected) in [
            ("It will RAIN.", (true, None, 0, 0)),
            ("It will snow.", (false, None, 0, 0)),
            ("[f(a=1)]", (false, Some(true), 1, 0)),
            ("[f(a=1) rain", (true, Some(false), 0, 0)),
        ] {
            assert_eq!(judged(r#""calls": [], "says": ["rain"]"#, answer), expected, "{answer}");
        }
        assert_eq!(judged(r#""answers": []"#, "No."), (true, None, 0, 0));
    }
}
