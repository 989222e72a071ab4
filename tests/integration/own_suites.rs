//! Questions of one's own: JSON lines, CSV and Parquet files beside a short TOML, what `suites show` prints of them and
//! what `suites check` finds.

use std::fs;
use std::sync::Arc;

use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use serde_json::Value;

use crate::sandbox::{BASE, Sandbox};

/// A suite over columns `question`, `a`, `b`, `c` and `answer`, a letter.
const SUITE: &str = r#"name = "own"
title = "My own questions"
version = 1
licence = "mine"

[[source]]
from = "own.csv"

[choice]
doc_to_id = ""
doc_to_text = "Question: {{ question }}\nAnswer:"
doc_to_choice = "{{ [a, b, c] | tojson }}"
doc_to_target = "{{ ['A', 'B', 'C'].index(answer) }}"
ctx = 128

[[metric]]
name = "acc"
chance = 0.333
"#;

const CSV: &str = "question,a,b,c,answer
\"What is the colour of a clear sky, at noon?\",blue,red,\"a \"\"green\"\"\",A
Which is a number?,cat,seven,house,B

How many legs has a dog?,two,six,four,C
Which one swims?,stone,fish,bird,B
";

/// The CSV's records.
fn records() -> Vec<[String; 5]> {
    let mut reader = csv::Reader::from_reader(CSV.as_bytes());
    reader.deserialize().collect::<Result<_, _>>().expect("records")
}

fn jsonl() -> String {
    let line = |[question, a, b, c, answer]: &[String; 5]| {
        serde_json::json!({"question": question, "a": a, "b": b, "c": c, "answer": answer}).to_string()
    };
    records().iter().map(line).collect::<Vec<_>>().join("\n")
}

fn parquet() -> Vec<u8> {
    let names = ["question", "a", "b", "c", "answer"];
    let columns =
        names.iter().map(|name| format!("required binary {name} (UTF8);")).collect::<Vec<_>>().concat();
    let schema = Arc::new(parse_message_type(&format!("message m {{ {columns} }}")).expect("a schema"));
    let mut file = SerializedFileWriter::new(Vec::new(), schema, Arc::default()).expect("begun");
    let mut group = file.next_row_group().expect("a group");
    for i in 0..names.len() {
        let texts: Vec<ByteArray> = records().iter().map(|record| record[i].as_str().into()).collect();
        let mut column = group.next_column().expect("a column").expect("a column");
        column.typed::<ByteArrayType>().write_batch(&texts, None, None).expect("written");
        column.close().expect("closed");
    }
    group.close().expect("closed");
    file.into_inner().expect("a file")
}

/// A sandbox with the suite in a folder of its own, in three formats.
fn sandbox() -> Sandbox {
    let sandbox = Sandbox::new();
    fs::create_dir(sandbox.path("mine")).expect("made");
    sandbox.write("mine/own.csv", CSV);
    sandbox.write("mine/own.jsonl", jsonl());
    sandbox.write("mine/own.parquet", parquet());
    for kind in ["csv", "jsonl", "parquet"] {
        sandbox.write(&format!("mine/{kind}.toml"), SUITE.replace("own.csv", &format!("own.{kind}")));
    }
    sandbox
}

fn json(sandbox: &Sandbox, args: &[&str], code: i32) -> Value {
    let outcome = sandbox.run(args).ends(code);
    serde_json::from_str(&outcome.stdout).expect("JSON")
}

#[test]
fn three_formats_are_one_suite() {
    let sandbox = sandbox();
    let [csv, jsonl, parquet] = ["csv", "jsonl", "parquet"].map(|kind| {
        let file = format!("mine/{kind}.toml");
        let evaluated = json(&sandbox, &["eval", BASE, &file, "--exact", "--json", "--threads", "1"], 0);
        let shown = json(&sandbox, &["suites", "show", &file, "--item", "0", "--json"], 0);
        (evaluated["metrics"].clone(), evaluated["items"].clone(), shown["item"].clone())
    });
    assert_eq!(csv.1, 4);
    assert_eq!(csv.2["choices"], serde_json::json!(["blue", "red", "a \"green\""]));
    assert_eq!(csv.2["context"], "Question: What is the colour of a clear sky, at noon?\nAnswer:");
    assert_eq!(csv, jsonl);
    assert_eq!(csv, parquet);
}

#[test]
fn a_sweep_takes_a_csv_file() {
    let sandbox = sandbox();
    sandbox.sweep(&["--recipes", "Q8_0", "--suites", "mine/csv.toml"]).ends(0);
    let metrics = sandbox.read("out/metrics.csv");
    assert!(metrics.lines().filter(|line| line.contains(",own,")).count() > 1, "{metrics}");
}

#[test]
fn a_file_stands_beside_its_suite_or_in_the_working_directory() {
    let sandbox = sandbox();
    fs::rename(sandbox.path("mine/own.csv"), sandbox.path("own.csv")).expect("moved");
    sandbox.run(&["suites", "show", "mine/csv.toml"]).ends(0);
    // The one beside the suite comes first.
    sandbox.write("mine/own.csv", "question,a,b,c,answer\nWhich?,x,y,z,C\n");
    assert_eq!(json(&sandbox, &["suites", "show", "mine/csv.toml", "--json"], 0)["items"], 1);
    fs::remove_file(sandbox.path("own.csv")).expect("removed");
    fs::remove_file(sandbox.path("mine/own.csv")).expect("removed");
    sandbox.run(&["eval", BASE, "mine/csv.toml"]).ends(3).says(
        "suite own: there is no file own.csv, beside the suite's own or in the working directory",
        "correct `from` in its [[source]]",
    );
}

#[test]
fn what_is_wrong_with_a_table_is_said_with_its_place() {
    let sandbox = sandbox();
    sandbox.write("mine/own.csv", format!("{CSV}too,short\n"));
    let refused = |file: &str| sandbox.run(&["eval", BASE, file]).ends(3);
    refused("mine/csv.toml").tells(&["mine/own.csv, line 7: 2 values, and the header has 5 columns"]);
    sandbox.write("mine/own.csv", format!("{CSV}Which?,x,y,z,D\n"));
    refused("mine/csv.toml")
        .tells(&["mine/own.csv, line 7: doc_to_target cannot be rendered", "D is not in the list"]);
    sandbox.write(
        "mine/parquet.toml",
        SUITE.replace("own.csv", "own.parquet").replace("{{ question }}", "{{ stem }}"),
    );
    refused("mine/parquet.toml").tells(&["mine/own.parquet, row 1: doc_to_text cannot be rendered"]);
    let mut broken = parquet();
    broken.truncate(100);
    sandbox.write("mine/own.parquet", broken);
    refused("mine/parquet.toml")
        .tells(&["mine/own.parquet cannot be read as data: it is not a Parquet file"]);
}

#[test]
fn a_suite_is_shown_as_the_model_reads_it() {
    let sandbox = sandbox();
    let shown =
        sandbox.run(&["suites", "show", "mine/csv.toml", "--item", "0", "--fewshot", "1"]).ends(0).stdout;
    for part in [
        "own: My own questions\n",
        "licence  mine\n",
        "metrics  acc (a guesser: 0.333)\n",
        "source   own.csv of the questions (there)\n",
        "items    3\n",
        "1 examples, context of 128 tokens\n",
        "\nQuestion: Which one swims?\nAnswer: fish\n\nQuestion: What is the colour of a clear sky, at noon?\nAnswer:\n---",
        "* 0 \" blue\"\n  1 \" red\"\n  2 \" a \\\"green\\\"\"\n",
    ] {
        assert!(shown.contains(part), "{part:?} in {shown}");
    }
    let shown = sandbox.run(&["suites", "show", "prose.toml"]).ends(0).stdout;
    assert!(shown.contains("chunks of 128 tokens of: text\n"), "{shown}");
    let shown = sandbox.run(&["suites", "show", "piqa"]).ends(0).stdout;
    assert!(shown.contains("(not fetched)") && shown.contains("suites fetch piqa"), "{shown}");
    sandbox.run(&["suites", "show", "piqa", "--item", "0"]).ends(4).tells(&["the data of suite piqa"]);
    sandbox
        .run(&["suites", "show", "mine/csv.toml", "--item", "9"])
        .ends(3)
        .tells(&["suite own has 4 items"]);
    sandbox.run(&["suites", "show", "prose.toml", "--item", "0"]).ends(3).tells(&["is a text"]);
}

/// Findings as `(kind, line)`.
fn findings(checked: &Value) -> Vec<(String, u64)> {
    let found = checked[0]["findings"].as_array().expect("findings");
    let one =
        |f: &Value| (f["kind"].as_str().unwrap_or("").to_owned(), f["place"]["line"].as_u64().unwrap_or(0));
    found.iter().map(one).collect()
}

#[test]
fn a_bad_suite_is_found_out() {
    let sandbox = sandbox();
    let long = "a very long question, ".repeat(30);
    let passage =
        "Which of the three keepers of the lighthouse wrote the second book that nobody was to read?";
    let bad = format!(
        "{CSV}Which one swims?,bird,stone,fish,C\nWhich?,x,,x,C\n\"{long}\",x,y,z,A\n{passage},x,y,z,A\nWhat?,x,y,z,D\n\
         Who?,x, ,z,B\n"
    );
    sandbox.write("mine/own.csv", bad);
    sandbox.write("calibration.txt", format!("Something else. {passage} And so on."));
    let args = ["suites", "check", "mine/csv.toml", "--calibration", "calibration.txt"];
    let checked = json(&sandbox, &[&args[..], &["--base", BASE, "--json"]].concat(), 8);
    let expected = [
        ("unusable", 8),
        ("unusable", 11),
        ("duplicate", 7),
        ("empty_choice", 8),
        ("duplicate_choice", 8),
        ("empty_choice", 12),
        ("too_long", 9),
        ("overlap", 10),
    ];
    assert_eq!(findings(&checked), expected.map(|(kind, line)| (kind.to_owned(), line)));
    let outcome = sandbox.run(&args).ends(8);
    assert_eq!(
        outcome.stderr,
        "error: 8 findings in own (hint: correct the data, or know what they are; nothing keeps such a suite from \
         being evaluated)\n"
    );
    for part in [
        "own: 9 questions, 8 found\n",
        "  cannot be asked (2):\n    line 8 (5): 3 choices, some of them empty",
        "line 11: doc_to_target cannot be rendered",
        "  asked twice (1):\n    line 7 (4): as on line 6 (3)\n",
        "choices 0 and 2 are both \"x\"",
        "line 9 (6): about 170 tokens, and the context has 128\n",
        "whichofthethreekeepers",
        "--base MODEL counts",
    ] {
        assert!(outcome.stdout.contains(part), "{part:?} in {}", outcome.stdout);
    }
}

#[test]
fn answers_at_one_place_are_found_and_sound_suites_pass() {
    let sandbox = sandbox();
    let clean = sandbox.run(&["suites", "check", "mine/csv.toml", "prose.toml", "--base", BASE]).ends(0);
    assert!(clean.stdout.starts_with("own: 4 questions, nothing found\n"), "{}", clean.stdout);
    let same = (0..12).map(|i| format!("Which is number {i}?,x,y{i},z,B\n")).collect::<Vec<_>>().concat();
    sandbox.write("mine/own.csv", format!("question,a,b,c,answer\n{same}"));
    let checked = json(&sandbox, &["suites", "check", "mine/csv.toml", "--json"], 8);
    assert_eq!(findings(&checked), [("same_place".to_owned(), 0)]);
    let message = checked[0]["findings"][0]["message"].as_str().unwrap_or_default();
    assert_eq!(message, "all right answers are choice 1 (counted from 0); by chance it would be 33.3%");
    // A text is compared with the calibration text as a whole.
    let checked =
        json(&sandbox, &["suites", "check", "prose.toml", "--calibration", "text.txt", "--json"], 8);
    assert_eq!(findings(&checked), [("overlap".to_owned(), 0)]);
    sandbox.run(&["suites", "check", "piqa"]).ends(4).tells(&["the data of suite piqa"]);
}

/// The indented block of the README that follows these words.
fn block_behind(words: &str) -> String {
    let readme = include_str!("../../README.md");
    let (_, rest) = readme.split_once(words).expect("in the README");
    let lines = rest.trim_start_matches('\n').lines();
    let block = lines.take_while(|line| line.is_empty() || line.starts_with("    "));
    block.map(|line| line.trim_start().to_owned() + "\n").collect()
}

#[test]
fn the_readmes_example_works_as_it_stands() {
    let sandbox = Sandbox::new();
    sandbox.write("capitals.csv", block_behind("With `capitals.csv`\n"));
    sandbox.write("capitals.toml", block_behind("and `capitals.toml`\n"));
    let shown = json(&sandbox, &["suites", "show", "capitals.toml", "--item", "1", "--json"], 0);
    assert_eq!(shown["item"]["answer"], 2);
    assert_eq!(shown["item"]["choices"][2], "Oslo");
    sandbox.run(&["suites", "check", "capitals.toml", "--base", BASE]).ends(0);
    let evaluated = json(&sandbox, &["eval", BASE, "capitals.toml", "--json", "--threads", "1"], 0);
    assert_eq!(evaluated["items"], 2);
}
