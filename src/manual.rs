//! Man pages and shell completions, made from the command line's own definition, so that they cannot say anything else.

use std::io;
use std::path::Path;

use clap::{Command, CommandFactory as _};
use clap_complete::Shell;

use crate::cli::Cli;

/// The program's name, as typed.
const PROGRAM: &str = "bitfrontier";

/// The program's own man page, as roff.
///
/// # Errors
/// Never in practice: it is written into memory.
pub fn page() -> io::Result<Vec<u8>> {
    let mut roff = Vec::new();
    clap_mangen::Man::new(shown()).render(&mut roff)?;
    Ok(roff)
}

/// Writes a page for the program and one for each command into a folder, which is made where needed: `bitfrontier.1`,
/// `bitfrontier-sweep.1`, ... Returns how many.
///
/// # Errors
/// If the folder or a page cannot be written.
pub fn write_pages(folder: &Path) -> io::Result<usize> {
    fn count(command: &Command) -> usize {
        1 + command.get_subcommands().map(count).sum::<usize>()
    }
    std::fs::create_dir_all(folder)?;
    clap_mangen::generate_to(shown(), folder)?;
    Ok(count(&shown()))
}

/// A script that completes the program's command line in a shell.
#[must_use]
pub fn completions(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut shown(), PROGRAM, &mut script);
    script
}

/// The command line without the commands that the program only gives to itself.
fn shown() -> Command {
    let whole = Cli::command();
    let commands = whole.get_subcommands().filter(|command| !command.is_hide_set()).cloned();
    let text = |text: Option<&clap::builder::StyledStr>| text.map(ToString::to_string).unwrap_or_default();
    Command::new(PROGRAM)
        .version(env!("CARGO_PKG_VERSION"))
        .about(text(whole.get_about()))
        .after_help(text(whole.get_after_help()))
        .disable_help_subcommand(true)
        .propagate_version(true)
        .subcommand_required(true)
        .subcommands(commands)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;

    #[test]
    fn every_command_that_is_shown_has_a_page() {
        let folder = tempfile::tempdir().unwrap();
        let man = folder.path().join("share/man1");
        let pages = write_pages(&man).unwrap();
        let files = std::fs::read_dir(&man).unwrap();
        let names: Vec<String> =
            files.map(|file| file.unwrap().file_name().to_string_lossy().into_owned()).collect();
        assert_eq!(names.len(), pages);
        let some =
            ["bitfrontier.1", "bitfrontier-sweep.1", "bitfrontier-suites-fetch.1", "bitfrontier-doctor.1"];
        assert!(some.iter().all(|name| names.iter().any(|other| other == name)), "{names:?}");
        assert!(!names.iter().any(|name| name.contains("worker") || name.contains("stage")), "{names:?}");
        let sweep = std::fs::read_to_string(man.join("bitfrontier-sweep.1")).unwrap();
        assert!(sweep.contains(".TH bitfrontier-sweep 1") && sweep.contains("\\-\\-recipes"), "{sweep}");
        let whole = String::from_utf8(page().unwrap()).unwrap();
        assert!(whole.contains("Exit codes: 0 done") && whole.contains("bitfrontier\\-doctor(1)"), "{whole}");
    }

    #[test]
    fn every_shell_has_its_script() {
        for shell in Shell::value_variants() {
            let script = String::from_utf8(completions(*shell)).unwrap();
            assert!(script.contains("recommend") && script.contains("max-drop"), "{shell}");
            assert!(!script.contains("sandbox-stage"), "{shell}: hidden commands stay so");
        }
    }
}
