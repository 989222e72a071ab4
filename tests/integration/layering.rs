//! Who may import whom. Read from the `crate::` paths of the source, so that the house keeps its shape.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A room (a folder of `src/`, or a file in it) and what it may name of the others: a room, or a module in it.
const TABLE: [(&str, &[&str]); 28] = [
    // The base of the house: nothing of the pipeline.
    ("units", &[]),
    ("files", &[]),
    ("shown", &[]),
    ("stats", &[]),
    ("cli", &["units"]),
    ("manual", &["cli"]),
    // The rooms, in the order of the pipeline.
    ("sandbox", &[]),
    ("answers", &["sandbox"]),
    ("plan", &["answers", "files", "units"]),
    ("fetch", &["units", "files"]),
    ("gguf", &["units"]),
    // llama.cpp fills and takes importance matrices; the worker reads and writes their files.
    ("llama", &["gguf::imatrix", "units"]),
    ("score", &["answers", "plan", "llama", "stats", "units", "files"]),
    ("worker", &["answers", "sandbox", "score", "plan", "llama", "gguf", "files", "units"]),
    // Answers of a model elsewhere are records like those of one here, and graded by the same graders.
    ("endpoint", &["answers", "sandbox", "plan", "worker::protocol"]),
    ("search", &["plan", "gguf", "stats", "units", "worker::protocol"]),
    ("journal", &["plan", "worker::protocol", "files", "units"]),
    // Costs are read from a file of the user's, whose errors are those of a plan.
    ("analyze", &["plan::error", "journal", "gguf", "stats", "units"]),
    ("render", &["analyze", "stats", "units", "files", "shown"]),
    ("error", &["plan", "fetch", "endpoint", "gguf", "journal", "render", "files"]),
    // Of scoring, the parent knows only where the base's chunks lie and how llama.cpp's logit files begin; of the worker, only the parent's side.
    (
        "run",
        &[
            "plan",
            "fetch",
            "endpoint",
            "gguf",
            "score::base_store",
            "score::kld_file",
            "score::token_file",
            "worker::client",
            "worker::protocol",
            "search",
            "journal",
            "analyze",
            "stats",
            "render",
            "error",
            "files",
            "units",
        ],
    ),
    ("progress", &["run::event", "worker::protocol", "units", "shown"]),
    // The story sees everything but the native library, and so does who hands its trials out to a cluster.
    (
        "sweep",
        &[
            "cluster", "plan", "fetch", "gguf", "run", "worker", "journal", "analyze", "stats", "render",
            "error", "units",
        ],
    ),
    (
        "cluster",
        &[
            "plan", "fetch", "gguf", "run", "worker", "journal", "analyze", "stats", "render", "error",
            "files", "units",
        ],
    ),
    // The processes that a program starts as itself again.
    ("child", &["sandbox", "worker"]),
    // Of the worker, only that it starts.
    (
        "doctor",
        &[
            "fetch",
            "files",
            "render::chart",
            "run::machine",
            "sandbox",
            "units",
            "worker::client",
            "worker::protocol",
        ],
    ),
    (
        "main",
        &[
            "cli",
            "manual",
            "child",
            "doctor",
            "score::base_store",
            "sweep",
            "cluster",
            "plan",
            "fetch",
            "endpoint",
            "gguf",
            "run",
            "journal",
            "analyze",
            "render",
            "error",
            "progress",
            "shown",
            "units",
        ],
    ),
    ("lib", &[]),
];

/// Rooms of the parent process, which never enters llama.cpp. `main` enters the worker, through `child`, and nothing of llama.
const PARENT: [&str; 22] = [
    "cluster", "manual", "doctor", "sandbox", "answers", "plan", "fetch", "endpoint", "gguf", "run",
    "search", "journal", "analyze", "render", "stats", "sweep", "progress", "error", "files", "shown",
    "units", "main",
];

const VAGUE: [&str; 6] = ["utils", "util", "helpers", "helper", "common", "manager"];

/// A source file without its tests, comments and strings.
struct Source {
    path: PathBuf,
    /// The module it is, from the crate's root: `["render", "chart", "axis"]`.
    module: Vec<String>,
    code: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut open = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).expect("listed") {
            let path = entry.expect("listed").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(source(&root, path));
            }
        }
    }
    // Tests may look wherever they like.
    found.retain(|s| !s.module.iter().any(|m| m == "tests"));
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(found.len() > 50, "only {} sources found", found.len());
    found
}

fn source(root: &Path, path: PathBuf) -> Source {
    let inside = path.strip_prefix(root).expect("inside").with_extension("");
    let mut module: Vec<String> =
        inside.components().map(|c| c.as_os_str().to_string_lossy().into_owned()).collect();
    if module.last().is_some_and(|m| m == "mod") {
        module.pop();
    }
    let code = without_tests(&bare(&fs::read_to_string(&path).expect("read")));
    Source { path, module, code }
}

/// Code with comments, strings and characters blanked out.
fn bare(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if let Some(length) = comment(rest).or_else(|| string(rest)).or_else(|| character(rest)) {
            out.push(' ');
            rest = &rest[length..];
            continue;
        }
        // A whole name at once: an `r` or a `b` at its end begins no string.
        let name = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
        let taken = name.max(first.len_utf8());
        out.push_str(&rest[..taken]);
        rest = &rest[taken..];
    }
    out
}

/// Length of the comment that the text begins with.
fn comment(text: &str) -> Option<usize> {
    if text.starts_with("//") {
        return Some(text.find('\n').unwrap_or(text.len()));
    }
    text.starts_with("/*").then(|| text.find("*/").map_or(text.len(), |end| end + 2))
}

/// Length of the string literal that the text begins with, raw or not.
fn string(text: &str) -> Option<usize> {
    let body = text.strip_prefix('b').unwrap_or(text);
    let prefix = text.len() - body.len();
    if let Some(raw) = body.strip_prefix('r') {
        let hashes = raw.len() - raw.trim_start_matches('#').len();
        let quoted = raw[hashes..].strip_prefix('"')?;
        let end = format!("\"{}", "#".repeat(hashes));
        return Some(prefix + 2 + hashes + quoted.find(&end)? + end.len());
    }
    let mut escaped = false;
    let quoted = body.strip_prefix('"')?;
    for (at, c) in quoted.char_indices() {
        match c {
            '"' if !escaped => return Some(prefix + at + 2),
            '\\' => escaped = !escaped,
            _ => escaped = false,
        }
    }
    None
}

/// Length of the character literal that the text begins with; a lifetime is none.
fn character(text: &str) -> Option<usize> {
    let quoted = text.strip_prefix('\'')?;
    if quoted.starts_with('\\') {
        return Some(quoted.char_indices().skip(2).find(|(_, c)| *c == '\'')?.0 + 2);
    }
    let c = quoted.chars().next()?;
    quoted[c.len_utf8()..].starts_with('\'').then_some(2 + c.len_utf8())
}

/// Code without what stands under `#[cfg(test)]`.
fn without_tests(code: &str) -> String {
    let mut out = String::new();
    let mut rest = code;
    while let Some(at) = rest.find("#[cfg(test)]") {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let semicolon = rest.find(';').unwrap_or(rest.len());
        let brace = rest.find('{').unwrap_or(rest.len());
        rest =
            if semicolon < brace { &rest[semicolon + 1..] } else { &rest[brace + block(&rest[brace..])..] };
    }
    out + rest
}

/// Length of the `{...}` that the text begins with.
fn block(text: &str) -> usize {
    let mut depth = 0;
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 1 => return at + 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    text.len()
}

/// Every path in the code that leads to the crate's own modules, from its root: `plan::config::SweepConfig`.
fn paths(source: &Source) -> BTreeSet<Vec<String>> {
    let mut found = BTreeSet::new();
    for root in ["crate", "bitfrontier", "super"] {
        for (at, _) in source.code.match_indices(root) {
            let before = source.code[..at].trim_end();
            let inside = source.code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_')
                || before.ends_with("::")
                || before.ends_with("(in");
            let Some(rest) = source.code[at + root.len()..].strip_prefix("::").filter(|_| !inside) else {
                continue;
            };
            if root == "super" {
                let (ups, rest) = supers(rest);
                let up = source.module.len().saturating_sub(ups);
                gather(&source.module[..up], rest, &mut found);
            } else if root == "crate" || source.module == ["main"] {
                gather(&[], rest, &mut found);
            }
        }
    }
    found
}

/// How many `super` there are, the one before `text` included, and what follows them.
fn supers(text: &str) -> (usize, &str) {
    text.strip_prefix("super::").map_or((1, text), |rest| {
        let (ups, rest) = supers(rest);
        (ups + 1, rest)
    })
}

/// Reads `a::b::{c, d::e}` behind `prefix`.
fn gather(prefix: &[String], text: &str, found: &mut BTreeSet<Vec<String>>) {
    let text = text.trim_start();
    if text.starts_with('{') {
        let inside = &text[1..block(text) - 1];
        for part in parts(inside) {
            gather(prefix, part, found);
        }
        return;
    }
    let end = text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len());
    let mut path = prefix.to_vec();
    if end > 0 {
        path.push(text[..end].to_owned());
    }
    match text[end..].strip_prefix("::") {
        Some(rest) if end > 0 => gather(&path, rest, found),
        _ => _ = found.insert(path),
    }
}

/// The parts of a group, cut at its own commas.
fn parts(inside: &str) -> Vec<&str> {
    let (mut depth, mut from, mut found) = (0, 0, Vec::new());
    for (at, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(&inside[from..at]);
                from = at + 1;
            }
            _ => {}
        }
    }
    found.push(&inside[from..]);
    found.into_iter().filter(|p| !p.trim().is_empty()).collect()
}

fn room(source: &Source) -> &str {
    source.module.first().map_or("lib", String::as_str)
}

#[test]
fn rooms_import_only_what_stands_below_them() {
    let mut wrong = Vec::new();
    for source in sources() {
        let here = room(&source);
        let Some((_, allowed)) = TABLE.iter().find(|(name, _)| *name == here) else {
            wrong.push(format!("{} is a room that is not in the table", source.path.display()));
            continue;
        };
        for path in paths(&source) {
            let is_room = path.first().is_some_and(|r| TABLE.iter().any(|(name, _)| name == r));
            let shown = path.join("::");
            let fits = |module: &&str| shown == **module || shown.starts_with(&format!("{module}::"));
            if is_room && path.first().is_some_and(|r| r != here) && !allowed.iter().any(fits) {
                wrong.push(format!("{} names {shown}", source.path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "against the table above (and CONTRIBUTING.md):\n{}", wrong.join("\n"));
}

#[test]
fn the_parent_never_enters_llama() {
    for source in sources().iter().filter(|s| PARENT.contains(&room(s))) {
        let entered = paths(source).into_iter().find(|p| p.first().is_some_and(|r| r == "llama"));
        assert_eq!(entered, None, "{}", source.path.display());
        assert!(!source.code.contains("llama_cpp_sys"), "{}", source.path.display());
    }
}

#[test]
fn only_one_file_is_unsafe() {
    for source in sources() {
        let is_unsafe = source.code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|w| w == "unsafe");
        let is_door = source.module == ["llama", "ffi"];
        assert_eq!(is_unsafe, is_door, "{}", source.path.display());
        let native = source.code.contains("llama_cpp_sys");
        assert!(!native || is_door, "{} names the native library", source.path.display());
    }
}

#[test]
fn no_module_has_a_vague_name_and_no_mod_rs_has_logic() {
    for source in sources() {
        let vague = source.module.iter().find(|m| VAGUE.contains(&m.as_str()));
        assert_eq!(vague, None, "{}", source.path.display());
        if source.path.file_name().is_some_and(|n| n == "mod.rs") {
            let logic = source.code.split_whitespace().find(|w| ["fn", "impl", "struct", "enum"].contains(w));
            assert_eq!(logic, None, "{}", source.path.display());
        }
    }
}

#[test]
fn every_file_opens_with_its_purpose() {
    for source in sources() {
        let text = fs::read_to_string(&source.path).expect("read");
        assert!(text.starts_with("//! "), "{}", source.path.display());
    }
}

#[test]
fn the_reader_of_paths_reads_what_rust_would() {
    let module = vec!["render".to_owned(), "chart".to_owned(), "axis".to_owned()];
    let text = r#"
        use crate::{plan::{config, suite::{self, Suite}}, units::Bytes};
        use super::label; use super::super::file::RenderError;
        // crate::llama::in_a_comment
        fn f<'a>(x: &'a str) -> char { let _ = "crate::llama::s \" "; let _ = r¤"crate::llama::"raw""¤; '"' }
        fn g() { crate::analyze::report::<u8>(b'\''); my_crate::llama::x(); }
        #[cfg(test)]
        mod tests { use crate::llama::ffi; fn f() { if true {} } }
        pub(crate) fn h() { crate::stats::mean(); }
    "#
    .replace('¤', "#");
    let source = Source { path: PathBuf::new(), module, code: without_tests(&bare(&text)) };
    let found: Vec<String> = paths(&source).into_iter().map(|p| p.join("::")).collect();
    assert_eq!(
        found,
        [
            "analyze::report",
            "plan::config",
            "plan::suite::Suite",
            "plan::suite::self",
            "render::chart::label",
            "render::file::RenderError",
            "stats::mean",
            "units::Bytes",
        ]
    );
}
