//! Running `pip` and `npm`, and finding in their output what went wrong.

use std::io;
use std::process::{Command, Stdio};

/// What a client said while it failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failure {
    /// Its last error lines, joined.
    pub reason: String,
    /// Whether its output speaks of a network that cannot be reached.
    pub offline: bool,
}

/// What clients write when the network is at fault; their last line then often says only that nothing was found.
const SIGNS_OF_OFFLINE: [&str; 9] = [
    "Retrying (",
    "Failed to establish a new connection",
    "Temporary failure in name resolution",
    "ProxyError",
    "ENOTFOUND",
    "EAI_AGAIN",
    "ECONNREFUSED",
    "ECONNRESET",
    "ETIMEDOUT",
];

/// A line longer than this is cut: pip lists all versions of a package when it misses one.
const LONGEST_LINE: usize = 300;

/// Runs a client to its end without asking the user anything.
///
/// # Errors
/// Outer: it could not be started. Inner: it failed.
pub(super) fn run(command: &mut Command) -> io::Result<Result<(), Failure>> {
    let output = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).output()?;
    Ok(if output.status.success() { Ok(()) } else { Err(failure(&String::from_utf8_lossy(&output.stderr))) })
}

fn failure(stderr: &str) -> Failure {
    let lines: Vec<&str> = stderr.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let errors: Vec<&str> = lines.iter().filter_map(|line| error_text(line)).collect();
    let told = if errors.is_empty() { lines.last().copied().into_iter().collect() } else { errors };
    let last_two = told.get(told.len().saturating_sub(2)..).unwrap_or_default();
    let reason = match last_two.iter().map(|line| shortened(line)).collect::<Vec<_>>().join("; ") {
        silent if silent.is_empty() => "it failed without a word".to_owned(),
        reason => reason,
    };
    Failure { reason, offline: SIGNS_OF_OFFLINE.iter().any(|sign| stderr.contains(sign)) }
}

/// The text of an error line of pip (`ERROR: text`) or npm (`npm error code-word text`).
fn error_text(line: &str) -> Option<&str> {
    if let Some(text) = line.strip_prefix("ERROR: ") {
        return Some(text);
    }
    let text = line.strip_prefix("npm error ").or_else(|| line.strip_prefix("npm ERR! "))?;
    let noise =
        ["A complete log", "code ", "errno ", "notarget In most cases"].iter().any(|s| text.starts_with(s));
    (!noise).then(|| text.strip_prefix("notarget ").unwrap_or(text))
}

fn shortened(line: &str) -> String {
    if line.chars().count() <= LONGEST_LINE {
        return line.to_owned();
    }
    line.chars().take(LONGEST_LINE).chain("...".chars()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pips_and_npms_own_words_are_quoted() {
        let pip = "Looking in links: x\nERROR: Could not find a version that satisfies a==9\nERROR: No match for a==9\n";
        assert_eq!(failure(pip).reason, "Could not find a version that satisfies a==9; No match for a==9");
        let npm = "npm error code ETARGET\nnpm error notarget No matching version found for a@9.\n\
                   npm error notarget In most cases you or ...\nnpm error A complete log of this run ...\n";
        assert_eq!(
            failure(npm),
            Failure { reason: "No matching version found for a@9.".into(), offline: false }
        );
        assert_eq!(failure("python3: No module named pip\n").reason, "python3: No module named pip");
        assert_eq!(failure("").reason, "it failed without a word");
        assert!(failure(&"é".repeat(900)).reason.ends_with("..."));
        assert!(failure("WARNING: Retrying (Retry(total=4 ...\nERROR: No match\n").offline);
    }
}
