//! Texts of models and data sets are strangers' words: in a terminal, in HTML, in CSV and in the names of files they are
//! shown and nothing more.

use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::process::Command;

use flate2::read::GzDecoder;

use crate::corpora::with_text;
use crate::sandbox::{Outcome, QUIZ, Sandbox, sweep_args};
use crate::targets::copy_folder;

/// Clears a terminal, turns the direction of writing, runs in a page, runs in a spreadsheet, and leaves a folder.
const WORDS: &str = "\u{1b}[2J\u{9b}31m\u{202e}<script>alert(1)</script><img src=x onerror=alert(1)>'\"&\u{7} ../../escape\n=1+1";

/// A sandbox whose model, questions, ids and suite say so.
fn hostile() -> Sandbox {
    let sandbox = Sandbox::new();
    let tiny = fs::read(sandbox.path("tiny.gguf")).expect("read");
    sandbox.write("tiny.gguf", with_text(&tiny, "general.organization", WORDS));
    let questions: Vec<String> = (0..8)
        .map(|number| {
            let choices = [format!("{WORDS}{number}"), "=cmd()".to_owned()];
            let (id, question) = (format!("{WORDS}{number}"), format!("{WORDS} {number}?"));
            serde_json::json!({"id": id, "question": question, "choices": choices, "answer": number % 2})
                .to_string()
        })
        .collect();
    sandbox.write("questions.jsonl", questions.join("\n"));
    let title = serde_json::to_string(&format!("{WORDS} quiz")).expect("JSON");
    // TOML has no control characters in texts but as escapes, of which JSON leaves some out.
    let title = title.replace('\u{9b}', "\\u009b").replace('\u{7}', "\\u0007");
    sandbox.write("quiz.toml", QUIZ.replace("\"Twenty-four easy questions\"", &title));
    sandbox
}

fn steers(text: &str) -> Vec<char> {
    let turns = |c| matches!(c, '\u{61c}' | '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    text.chars().filter(|&c| !matches!(c, '\n' | '\t') && (c.is_control() || turns(c))).collect()
}

#[track_caller]
fn is_harmless(outcome: &Outcome) {
    assert_eq!(steers(&outcome.stdout), [], "{:?}", outcome.stdout);
    assert_eq!(steers(&outcome.stderr), [], "{:?}", outcome.stderr);
}

#[test]
fn nothing_that_strangers_wrote_acts() {
    let sandbox = hostile();
    let args = sweep_args(&["--recipes", "Q8_0", "--suites", "quiz.toml"]);
    // With the lines that it prints to nobody in particular.
    let loud: Vec<&str> = args.into_iter().filter(|arg| *arg != "--quiet").collect();
    is_harmless(&sandbox.run(&loud).ends(0));
    fs::create_dir(sandbox.path("other")).expect("made");
    sandbox.sweep(&["--recipes", "Q4_0", "--suites", "quiz.toml", "--out", "other/out"]).ends(0);
    for args in [
        &["show", "out"][..],
        &["report", "out"],
        &["recommend", "out"],
        &["compare", "out/Q8_0", "other/out/Q4_0", "--items", "5"],
        &["compare", "out", "other/out", "--items", "5"],
        &["cost", "out"],
        &["suites", "show", "quiz.toml"],
        &["suites", "show", "quiz.toml", "--item", "1"],
        &["suites", "check", "quiz.toml"],
        &["plan", "--base", "tiny.gguf", "--recipes", "Q8_0", "--suites", "quiz.toml", "--out", "out"],
        &["eval", "tiny.gguf", "quiz.toml", "--limit", "2"],
        &["export", "out"],
        &["fit", "tiny.gguf"],
    ] {
        let outcome = sandbox.run(args);
        is_harmless(&outcome);
        assert!(matches!(outcome.code, Some(0 | 2 | 3 | 8)), "{args:?}: {outcome:?}");
    }
    in_html_and_charts(&sandbox);
    in_tables(&sandbox);
    in_names(&sandbox);
}

fn in_html_and_charts(sandbox: &Sandbox) {
    let page = sandbox.read("out/report.html");
    assert!(!page.contains("alert(1)</script>") && !page.contains("<img src=x"), "it is escaped or packed");
    for name in sandbox
        .files("out/charts")
        .into_iter()
        .filter(|name| Path::new(name).extension().is_some_and(|e| e == "svg"))
    {
        let chart = sandbox.read(&format!("out/charts/{name}"));
        assert!(!chart.contains("<script") && !chart.contains("<img"), "{name}");
    }
    let card = sandbox.read("out/export/model-card.md");
    assert!(!card.contains("<script>") && !card.contains("<img"), "{card}");
}

/// Every row has as many fields as the header, whatever stands in them.
fn in_tables(sandbox: &Sandbox) {
    let mut found = false;
    for name in sandbox.files("out") {
        let bytes = fs::read(sandbox.path("out").join(&name)).expect("read");
        let text = if name.ends_with(".csv.gz") {
            let mut text = Vec::new();
            GzDecoder::new(&bytes[..]).read_to_end(&mut text).expect("unpacked");
            text
        } else if Path::new(&name).extension().is_some_and(|e| e == "csv") {
            bytes
        } else {
            continue;
        };
        let mut reader = csv::Reader::from_reader(&text[..]);
        for record in reader.records() {
            let record = record.unwrap_or_else(|error| panic!("{name}: {error}"));
            found |= record.iter().any(|field| field.contains(WORDS));
        }
    }
    assert!(found, "tables keep texts as they are");
}

fn in_names(sandbox: &Sandbox) {
    let plain = |name: &String| name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-+/=".contains(&b));
    for folder in ["out", "cache"] {
        let odd: Vec<String> = sandbox.files(folder).into_iter().filter(|name| !plain(name)).collect();
        assert_eq!(odd, Vec::<String>::new());
    }
    let here: BTreeSet<String> = fs::read_dir(sandbox.path(""))
        .expect("listed")
        .flatten()
        .map(|e| e.file_name().to_string_lossy().into_owned())
        .collect();
    let expected =
        ["cache", "other", "out", "prose.toml", "questions.jsonl", "quiz.toml", "text.txt", "tiny.gguf"];
    assert_eq!(here, expected.map(str::to_owned).into(), "nothing came beside the folders named");
}

#[test]
fn errors_show_strangers_words_and_no_more() {
    let sandbox = Sandbox::new();
    let args = [
        "sweep",
        "--base",
        "\u{1b}[2J\u{9b}31m\u{202e}.gguf",
        "--recipes",
        "Q8_0",
        "--suites",
        "quiz.toml",
        "--out",
        "out",
    ];
    let outcome = sandbox.run(&args).ends(3);
    is_harmless(&outcome);
    outcome.tells(&["[2J", ".gguf"]);
    let tiny = fs::read(sandbox.path("tiny.gguf")).expect("read");
    let place = tiny.windows(5).position(|w| w == b"llama").expect("there");
    let mut model = tiny;
    model[place..place + 5].copy_from_slice(b"\x1b[2Ja");
    sandbox.write("strange.gguf", model);
    let args = ["--base", "strange.gguf", "--recipes", "Q8_0", "--suites", "quiz.toml"];
    let outcome = sandbox.sweep(&args).ends(3);
    is_harmless(&outcome);
    outcome.tells(&["(hint: "]);
}

/// A text that doubles sixty times, in a suite of a stranger: a worker finds out, and every command that reads the suite says so.
#[test]
fn a_suite_that_would_take_all_memory_is_refused() {
    let sandbox = Sandbox::new();
    let doubling =
        "{% set n = namespace(x='abcdefgh') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}{% endfor %}";
    let greedy = QUIZ.replace("doc_to_text = \"", &format!("doc_to_text = \"{doubling}"));
    assert_ne!(greedy, QUIZ);
    sandbox.write("quiz.toml", greedy);
    let sweep = sweep_args(&["--recipes", "Q8_0", "--suites", "quiz.toml"]);
    for args in [&sweep[..], &["eval", "tiny.gguf", "quiz.toml"], &["suites", "check", "quiz.toml"]] {
        let told = ["error: suite quiz: its templates take too much memory or time: ", "(hint: "];
        assert_eq!(sandbox.run(args).ends(3).tells(&told).stderr.trim_end().lines().count(), 1);
    }
}

/// A folder of somebody else's may hold links: nothing is written or removed where they lead, no file of this machine is read
/// through them or handed on, and what never ends is not read.
#[test]
fn links_in_a_results_folder_lead_nowhere() {
    let sandbox = Sandbox::new();
    sandbox.sweep(&["--recipes", "Q8_0", "--suites", "quiz.toml", "--limit", "4"]).ends(0);
    let own = sandbox.path("own");
    fs::create_dir(&own).expect("made");
    for name in ["holiday.png", "logo.svg", "notes.txt", "run.log"] {
        fs::write(own.join(name), "mine").expect("written");
    }
    let files = || -> Vec<(String, Vec<u8>)> {
        let mut all: Vec<_> = fs::read_dir(&own)
            .expect("listed")
            .flatten()
            .map(|entry| {
                (entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path()).expect("read"))
            })
            .collect();
        all.sort();
        all
    };
    let before = files();
    let fresh = |name: &str| {
        let _ = fs::remove_dir_all(sandbox.path("theirs"));
        copy_folder(&sandbox.path("out"), &sandbox.path("theirs"));
        let path = sandbox.path("theirs").join(name);
        let _ = fs::remove_dir_all(&path);
        let _ = fs::remove_file(&path);
        path
    };
    for (name, to) in [
        ("charts", own.clone()),
        ("charts/dark", own.clone()),
        ("items", own.clone()),
        ("export", own.clone()),
        ("logs/Q8_0.log", own.join("run.log")),
    ] {
        std::os::unix::fs::symlink(&to, fresh(name)).expect("linked");
        for args in
            [&["report", "theirs"][..], &["export", "theirs"], &["show", "theirs"], &["recommend", "theirs"]]
        {
            let told = format!("theirs/{name} is a link that leads out of the results folder");
            sandbox.run(args).ends(3).tells(&[&told, "remove the link, or link the whole results folder"]);
        }
        assert_eq!(files(), before, "{name}");
    }

    let trial = {
        let trials = fs::read_dir(sandbox.path("out/trials")).expect("listed").flatten();
        let mut names: Vec<String> = trials
            .filter(|entry| fs::read_dir(entry.path()).into_iter().flatten().count() > 1)
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        names.sort();
        names.remove(0)
    };
    // Neither a file beside the records nor one under a record's name is handed on.
    for name in ["notes.txt", "items-x.jsonl"] {
        let link = fresh(&format!("trials/{trial}/{name}"));
        std::os::unix::fs::symlink(own.join("notes.txt"), link).expect("linked");
        let ended = sandbox.run(&["export", "theirs"]);
        if name == "notes.txt" {
            ended.ends(0);
            let packed = fs::read(sandbox.path("theirs/export/out.tar.gz")).expect("read");
            let mut archive = tar::Archive::new(GzDecoder::new(packed.as_slice()));
            let names = archive.entries().expect("an archive").flatten();
            let names: Vec<String> =
                names.map(|entry| entry.path().expect("a path").to_string_lossy().into_owned()).collect();
            assert!(names.len() > 4 && !names.iter().any(|name| name.ends_with("notes.txt")), "{names:?}");
        } else {
            ended.ends(3).tells(&["it is a link, and records are plain files"]);
        }
    }
    for (name, endless) in
        [("manifest.json", "/dev/zero"), (&format!("trials/{trial}/items-y.jsonl"), "/dev/zero")]
    {
        std::os::unix::fs::symlink(endless, fresh(name)).expect("linked");
        sandbox.run(&["show", "theirs"]).ends(3).tells(&["it is a link, and records are plain files"]);
    }
    let pipe = fresh(&format!("trials/{trial}/items-z.jsonl"));
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("started").success());
    sandbox.run(&["show", "theirs"]).ends(3).tells(&["it is no plain file"]);
    // What is derived is made anew; what is read is no pipe.
    let pipe = fresh(&format!("items/{trial}.csv.gz"));
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("started").success());
    sandbox.run(&["report", "theirs"]).ends(0);
    assert!(fs::symlink_metadata(&pipe).expect("there").is_file());
    let pipe = fresh("costs.toml");
    assert!(Command::new("mkfifo").arg(&pipe).status().expect("started").success());
    for args in [&["recommend", "theirs"][..], &["cost", "theirs"], &["report", "theirs"]] {
        let told = sandbox.run(args);
        assert!(matches!(told.code, Some(1 | 3)), "{told:?}");
        assert!(told.stderr.contains("it is no plain file"), "{told:?}");
    }
}
