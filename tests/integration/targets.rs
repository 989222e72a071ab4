//! What hostile input is tried on: every reader of something that a stranger may have written, with good input to
//! begin from and the words of its language. What a reader returns is used as the program would use it.

use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use bitfrontier::analyze::cost::{self, Setting};
use bitfrontier::analyze::fit::{
    Budget, Compute, Kv, Measured, Shape, Variant, WeightBytes, rows as fit_rows,
};
use bitfrontier::answers::calls::expected::Reference;
use bitfrontier::answers::calls::format::Format;
use bitfrontier::answers::calls::verdict::judge;
use bitfrontier::answers::english::sentences::Punkt;
use bitfrontier::answers::exact_match::ExactMatch;
use bitfrontier::answers::filter::Filters;
use bitfrontier::answers::grade::Grader;
use bitfrontier::answers::pattern::Pattern;
use bitfrontier::answers::thought;
use bitfrontier::gguf::{self, Described as _, TensorType, imatrix as matrices};
use bitfrontier::journal::foreign::read::read as read_foreign;
use bitfrontier::journal::{kept, plan_file};
use bitfrontier::plan::chat::{self, ChatTemplate};
use bitfrontier::plan::config::{self, SweepFlags};
use bitfrontier::plan::conversation::Message;
use bitfrontier::plan::import::convert::{Given, convert};
use bitfrontier::plan::import::task::Task;
use bitfrontier::plan::recipe_file;
use bitfrontier::plan::rows;
use bitfrontier::plan::speculation;
use bitfrontier::plan::suite::{self, SuiteText};
use bitfrontier::plan::template::Template;
use bitfrontier::render;
use bitfrontier::run::derive;
use bitfrontier::score::base_store::{BaseStore, Element, Header, StoreChoice, StoreKind, Subject};
use bitfrontier::score::kld_file::{KldReader, KldWriter};
use bitfrontier::score::token_file::{self, TokenFacts};
use bitfrontier::worker::protocol::{PROTOCOL, Reply, Request};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::fuzz::listing;
use crate::sandbox::{FIXTURES, PROSE, QUIZ, Sandbox};

/// Something that reads what strangers wrote.
pub struct Target {
    pub name: &'static str,
    /// Good input.
    pub seeds: Vec<Vec<u8>>,
    /// Words of its language.
    pub words: &'static [&'static str],
    /// Reads an input and uses what comes out of it; a reason if something is wrong beside a panic.
    pub run: Run,
    /// A folder in which nothing may change.
    pub watched: PathBuf,
    /// Folders that live as long as this.
    pub folders: Vec<TempDir>,
}

/// What is done with an input.
type Run = Box<dyn Fn(&[u8]) -> Result<(), String>>;

/// Keys and types of a GGUF header.
pub const MODEL_WORDS: &[&str] = &[
    "general.alignment",
    "general.architecture",
    "llama.block_count",
    "llama.attention.head_count",
    "llama.embedding_length",
    "split.count",
    "split.no",
    "tokenizer.ggml.tokens",
    "GGUF",
];

/// A target without a folder.
pub fn plain(
    name: &'static str,
    seeds: Vec<Vec<u8>>,
    words: &'static [&'static str],
    run: impl Fn(&[u8]) + 'static,
) -> Target {
    let folder = tempfile::tempdir().expect("a folder");
    let run = Box::new(move |input: &[u8]| {
        run(input);
        Ok(())
    });
    Target { name, seeds, words, run, watched: folder.path().to_owned(), folders: vec![folder] }
}

/// A target that reads a file of this name, deep in the watched folder: a path that leads out of the file's folder ends where it
/// is seen.
pub fn of_file(
    name: &'static str,
    file: &str,
    seeds: Vec<Vec<u8>>,
    words: &'static [&'static str],
    run: impl Fn(&Path) + 'static,
) -> Target {
    let watched = tempfile::tempdir().expect("a folder");
    let folder = watched.path().join("a/b/c");
    fs::create_dir_all(&folder).expect("made");
    let path = folder.join(file);
    let root = watched.path().to_owned();
    let run = Box::new(move |bytes: &[u8]| {
        fs::write(&path, bytes).expect("written");
        run(&path);
        let there = listing(&root);
        let only = there.iter().all(|(name, _)| *name == path);
        if only { Ok(()) } else { Err(format!("where one file was read there are now {there:?}")) }
    });
    // What is asked of the whole folder is asked above.
    let nothing = watched.path().join("nothing");
    Target { name, seeds, words, run, watched: nothing, folders: vec![watched] }
}

fn fixture(name: &str) -> Vec<u8> {
    fs::read(Path::new(FIXTURES).join(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn lines(name: &str) -> Vec<Value> {
    let text = String::from_utf8(fixture(name)).expect("text");
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Headers of models: the reader, the shape, what the weights of recipes take, and where they fit.
pub fn gguf() -> Target {
    let whole = fixture("tiny-f16.gguf");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.gguf");
    fs::write(&path, &whole).expect("written");
    let header = gguf::open_model(&path).expect("read").first().data_offset as usize;
    let length = whole.len() as u64;
    let mut target =
        of_file("gguf", "model.gguf", vec![whole[..header].to_vec()], MODEL_WORDS, move |path| {
            // Data that are not read are holes.
            let file = File::options().write(true).open(path).expect("open");
            let now = file.metadata().expect("asked").len();
            file.set_len(now.max(length)).expect("set");
            let _ = gguf::open_header(path);
            if let Ok(model) = gguf::open_model(path) {
                use_model(&model);
            }
        });
    target.folders.push(folder);
    target
}

fn use_model(model: &gguf::Model) {
    let _ = (model.architecture(), model.name(), model.description(), model.file_type(), model.weights());
    let _ = (model.bpw(), model.quantized_share(), model.context_length(), model.vocab_size());
    let _ = (model.head_count(), model.head_count_kv(), model.key_length(), model.value_length());
    if let Some(template) = model.chat_template() {
        let _ = ChatTemplate::new(template, "<s>", "</s>").map(|t| ask(&t));
    }
    let kind = |name| TensorType::from_name(name).expect("known");
    let smaller: HashMap<String, TensorType> =
        model.tensors().map(|t| (t.name.clone(), kind("Q4_0"))).collect();
    let _ = (gguf::quantized_file_bytes(model, &smaller), gguf::tensor_bytes_as(model, &smaller));
    let Ok(shape) = Shape::of(model) else { return };
    let kv = Kv { k: kind("F16"), v: kind("Q8_0") };
    let _ = shape.check_kv(kv);
    let weights = WeightBytes::of(model, shape.layers.len(), &smaller);
    let variant = Variant { recipe: "x".to_owned(), weights, kv, compute: 0, note: String::new() };
    for (gpu, ctx) in [(None, 0), (Some(1 << 30), 4096), (Some(u64::MAX), u64::MAX)] {
        let budget = Budget { gpu, ram: Some(1 << 34), margin: 1 << 20 };
        let measured = Measured { shape: &shape, computes: &[Compute::Estimate], ctx, parallel: 3, budget };
        let _ = fit_rows(&measured, std::slice::from_ref(&variant));
    }
}

/// Importance matrices in both forms.
pub fn imatrix() -> Target {
    let mut sums = matrices::Sums {
        datasets: vec!["a.txt".to_owned()],
        chunk_count: 3,
        chunk_size: 128,
        resume: Some("x".to_owned()),
        entries: BTreeMap::new(),
    };
    let entry = matrices::TensorSums { squares: vec![1.0; 8], counts: vec![3] };
    sums.entries.insert("blk.0.attn_q.weight".to_owned(), entry);
    let experts = matrices::TensorSums { squares: vec![0.5; 8], counts: vec![2, 0] };
    sums.entries.insert("blk.0.ffn_up_exps.weight".to_owned(), experts);
    // Entries, a name, calls, values; then chunks and a path.
    let mut old = Vec::new();
    for number in [1_i32, 4] {
        old.extend(number.to_le_bytes());
    }
    old.extend(b"a.wt");
    for number in [2_i32, 3] {
        old.extend(number.to_le_bytes());
    }
    old.extend([1.0_f32, 2.0, 3.0].map(f32::to_le_bytes).concat());
    old.extend([5_i32, 1].map(i32::to_le_bytes).concat());
    old.extend(b"t");
    let model = gguf::open_model(Path::new(FIXTURES).join("tiny-f16.gguf")).expect("read");
    of_file("imatrix", "i.dat", vec![sums.encode(), old], &["imatrix.chunk_count", ".counts"], move |path| {
        if let Ok(matrix) = matrices::read(path) {
            let _ = matrix.check(path, &model, Path::new("m.gguf"));
        }
    })
}

/// Files of a base's log-probabilities.
pub fn kld() -> Target {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.kld");
    let tokens: Vec<i32> = (0..24).collect();
    let row = bitfrontier::score::llama_perplexity::row_bytes(16);
    let mut writer = KldWriter::create(&path, 12, 16, &tokens).expect("begun");
    writer.rows(&vec![7; 2 * 5 * row]).expect("written");
    writer.finish().expect("named");
    let seed = fs::read(&path).expect("read");
    let mut target = of_file("kld", "b.kld", vec![seed], &["_logits_"], move |path| {
        let Ok(mut reader) = KldReader::open(path) else { return };
        let shape = reader.shape();
        let _ = reader.check(16, 12, &tokens);
        // As much as is ever read at once: the rows of a chunk, whose size the header says.
        for chunk in [0, u64::from(shape.chunks), u64::MAX] {
            let _ = reader.seek(chunk);
            let _ = reader.rows(3);
        }
    });
    target.folders.push(folder);
    target
}

/// Stores of a base's states, its kept items, and its texts.
pub fn stores() -> Target {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("a.store");
    let subject = Subject {
        model: "m".to_owned(),
        tokens: "t".to_owned(),
        vocabulary: 4,
        n_ctx: 8,
        rows: 3,
        chunks: 2,
    };
    let header = Header {
        subject: subject.clone(),
        kind: StoreKind::Logits,
        element: Element::F32,
        width: 4,
        head: None,
        choice: StoreChoice::Auto,
        fallback: String::new(),
    };
    let store = BaseStore::create(&path, header).expect("begun");
    let mut chunk = store.write(1).expect("written").expect("there");
    chunk.rows(&[[1_u8; 16], [2; 16], [3; 16]]).expect("written");
    chunk.finish().expect("marked");
    let mut seeds = vec![fs::read(&path).expect("read")];
    token_file::write(&path, TokenFacts::new(9, 1, 2, 0.5), &[vec![1, 2, 3], vec![4]]).expect("written");
    seeds.push(fs::read(&path).expect("read"));
    seeds.push(b"1c291ca3 {\"index\":0}\n00000000 {\"index\":1}\n".to_vec());
    let mut target = of_file("stores", "b.store", seeds, &["bfstore3", "bfchunk3"], move |path| {
        let _ = (kept::read(path), token_file::read(path, 9), token_file::is_whole(path));
        let Ok(Some(store)) = BaseStore::open(path) else { return };
        let _ = (store.check(&subject), store.summary(), store.bytes());
        for chunk in [0, 1, u64::MAX] {
            let _ = store.has(chunk);
            let Some(mut reader) = store.read(chunk) else { continue };
            let _ = store.rows(&mut reader, 3, |_, bytes| bytes.len());
            let _ = reader.is_intact();
        }
    });
    target.folders.push(folder);
    target
}

/// Suite files, and the questions that come of them.
pub fn suite() -> Target {
    const WORDS: &[&str] = &[
        "[choice]\n",
        "[generate]\n",
        "[text]\n",
        "[[source]]\n",
        "[[metric]]\n",
        "ctx = 0\n",
        "{{ question }}",
        "{% for i in range(99999) %}",
        "{% endfor %}",
        "{{ choices | tojson }}",
        "doc_to_text = \"\"\n",
        "chance = -1\n",
        "(?P<n>a+)+$",
        "shots = 99999999\n",
    ];
    let mut seeds: Vec<Vec<u8>> = vec![QUIZ.into(), PROSE.into()];
    for folder in [concat!(env!("CARGO_MANIFEST_DIR"), "/suites"), &format!("{FIXTURES}/suites")] {
        let entries = fs::read_dir(folder).expect("listed").flatten().map(|entry| entry.path());
        let tables = entries.filter(|path| path.extension().is_some_and(|e| e == "toml"));
        seeds.extend(tables.map(|path| fs::read(path).expect("read")));
    }
    let questions = Path::new(FIXTURES).join("questions.jsonl");
    plain("suite", seeds, WORDS, move |input| {
        let file = SuiteText { path: "s.toml".to_owned(), text: text(input) };
        if let Ok(suite) = suite::parse(&file) {
            let files = vec![questions.clone(); suite.questions().concat().len()];
            let _ = (suite.chance(), suite.partial(), suite.scoring.metrics(), suite.scoring.ctx());
            if let Ok(items) = suite::load_items(&suite, &files, Some(&questions)) {
                let _ = (items.groups(), items.clusters(), items.texts(0));
            }
        }
    })
}

/// Sweep files and recipe files.
pub fn plans() -> Target {
    const WORDS: &[&str] = &[
        "recipes = []\n",
        "auto@4.5bpw",
        "auto@1e300bpw",
        "/kv=q8_0",
        "type = \"Q4_0\"\n",
        "[speed]\n",
        "[[recipe]]\n",
        "threads = 4294967296\n",
        "hang_seconds = nan\n",
    ];
    let folder = tempfile::tempdir().expect("a folder");
    let sweeps = ["scripts/quickstart.toml", "scripts/example.toml"];
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut seeds: Vec<Vec<u8>> =
        sweeps.iter().map(|name| fs::read(root.join(name)).expect("read")).collect();
    seeds.push(
        b"base = \"m.gguf\"\nrecipes = [\"Q8_0\", { name = \"x\", type = \"Q4_0\", tensors = { \"attn_.*\" = \"Q6_K\" } }]\n\
          [limits]\npiqa = 3\n[speed]\ndepths = [0, 512]\n"
            .to_vec(),
    );
    seeds.push(b"name = \"r\"\ntype = \"Q4_K_M\"\n[tensors]\n\"blk.*\" = \"Q6_K\"\n".to_vec());
    let path = folder.path().join("p.toml");
    let mut target = plain("plans", seeds, WORDS, move |input| {
        fs::write(&path, input).expect("written");
        let flags = SweepFlags { out: Some("out".into()), ..SweepFlags::default() };
        let _ = config::read(Some(&path), &flags, 2);
        let _ = recipe_file::read(&path);
    });
    target.folders.push(folder);
    target
}

/// Prompts of speculative decoding.
pub fn prompts() -> Target {
    let seed = "{\"prompt\": \"Once upon\"}\n\n{\"id\": \"x\", \"prompt\": \"a\\nb\"}\n";
    of_file("prompts", "p.jsonl", vec![seed.into()], &["\"id\"", "\"prompt\"", "\n", "\u{feff}"], |path| {
        if let Ok(prompts) = speculation::read(path) {
            assert!(!prompts.is_empty() && prompts.iter().all(|p| !p.id.is_empty() && !p.text.is_empty()));
        }
    })
}

/// Task files of lm-eval.
pub fn tasks() -> Target {
    const WORDS: &[&str] = &[
        "&a ",
        "*a",
        "<<: *a\n",
        "!function x.y",
        "include: t.yaml\n",
        "- ",
        "? ",
        "|\n",
        ">\n",
        "---\n",
        "\t",
        "doc_to_text: ",
        "generate_until",
    ];
    let seed = "task: quiz\ndataset_path: json\noutput_type: multiple_choice\ndoc_to_text: \"Q: {{question}}\"\n\
                doc_to_choice: \"{{choices}}\"\ndoc_to_target: answer\nnum_fewshot: 2\nfewshot_config:\n  sampler: first_n\n\
                  samples: [{question: a, choices: [b, c], answer: 0}]\nmetric_list:\n  - metric: acc\n    aggregation: mean\n\
                filter_list:\n  - name: x\n    filter:\n      - function: regex\n        regex_pattern: \"(-?[0-9]+)\"\n\
                metadata: {version: 1.0}\n";
    of_file("tasks", "t.yaml", vec![seed.into()], WORDS, |path| {
        let read = |path: &Path| fs::read_to_string(path);
        if let Ok(task) = Task::read(path, &mut { read }) {
            let done = convert(&task, Given { data: Some("d.jsonl"), ..Given::default() });
            if let Some(text) = done.suite {
                let _ = suite::parse(&SuiteText { path: "s.toml".to_owned(), text });
            }
        }
    })
}

/// Data files by their ending, and the questions that come of them.
pub fn rows(ending: &'static str) -> Target {
    let name = if ending == "jsonl.gz" { "gz" } else { ending };
    let (seed, words) = data(ending);
    let quiz =
        suite::parse(&SuiteText { path: "quiz.toml".to_owned(), text: QUIZ.to_owned() }).expect("read");
    of_file(name, &format!("questions.{ending}"), seed, words, move |path| {
        let _ = rows::read(path);
        let _ = suite::load_items(&quiz, &[path.to_owned()], None);
    })
}

fn data(ending: &str) -> (Vec<Vec<u8>>, &'static [&'static str]) {
    let questions = fixture("questions.jsonl");
    let table = "id,question,choices,answer\n1,\"a, b\",\"['x', 'y']\",0\n2,c,\"[\"\"x\"\", \"\"y\"\"]\",1\n";
    match ending {
        "jsonl" => (vec![questions], &["\n", "\"choices\"", "\u{feff}"]),
        "json" => {
            let array = format!("[{}]", text(&questions).trim().replace('\n', ", "));
            (vec![array.into()], &["[", "]", ",", "\u{feff}"])
        }
        "csv" => (vec![table.into()], &["\"", ",", "\r\n", "\u{feff}"]),
        "parquet" => {
            let folder = tempfile::tempdir().expect("a folder");
            let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("results/example");
            let names = ["metrics", "fallbacks"];
            for name in names {
                let file = format!("{name}.csv");
                fs::copy(example.join(&file), folder.path().join(&file)).expect("copied");
            }
            render::parquet::write_all(folder.path()).expect("written");
            let read = |name| fs::read(folder.path().join(format!("{name}.parquet"))).expect("read");
            (names.map(read).to_vec(), &["PAR1", "\u{15}", "\u{19}"])
        }
        _ => {
            use std::io::Write as _;
            let packed = |bytes: &[u8]| {
                let mut packer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
                packer.write_all(bytes).expect("packed");
                packer.finish().expect("packed")
            };
            // The second is small and large.
            (vec![packed(&questions), packed(&vec![b'\n'; 8 << 20])], &["\u{1f}"])
        }
    }
}

/// Costs files and settings.
pub fn costs() -> Target {
    const WORDS: &[&str] = &["[api]\n", "[owned]\n", "price_usd = -1\n", "nan", "inf", "= {", "[[task]]\n"];
    plain("costs", vec![cost::DEFAULT.into()], WORDS, |input| {
        let text = text(input);
        let _ = cost::parse(&text, "costs.toml");
        let line = text.lines().find(|line| line.contains('=')).unwrap_or_default();
        if let Ok(setting) = Setting::parse(line) {
            let _ = cost::with_settings(cost::DEFAULT, "costs.toml", &[setting]);
        }
    })
}

/// Lines of the worker protocol, both ways.
pub fn protocol() -> Target {
    const WORDS: &[&str] =
        &["\"index\":", "\"nll\":\"AAAAAA==\"", "\"kind\":\"chunk\"", "\"kind\":\"generated\""];
    let choice = json!({"text": "a", "logprob": -1.5, "tokens": 2, "chars": 5, "bytes": 5, "greedy": null});
    let seeds = [
        json!({"reply": "progress", "done": 1, "total": 2}),
        json!({"reply": "failed", "status": "refused", "reason": "no", "no_space": false}),
        json!({"reply": "finished", "finished": "tokens", "counts": [1, 2]}),
        json!({"reply": "item", "index": 3, "id": "x", "score": {"kind": "choice", "prompt": "p", "answer": 1,
               "choices": [choice], "truncated": 0}}),
        json!({"reply": "ready", "protocol": PROTOCOL, "native": {"llama_cpp": "x", "system_info": "y", "devices": []}}),
        json!({"request": "load", "model": "m.gguf", "threads": 1}),
        json!({"request": "count_tokens", "model": "m.gguf", "texts": []}),
    ];
    let seeds = seeds.iter().map(|line| line.to_string().into_bytes()).collect();
    plain("protocol", seeds, WORDS, |input| {
        if let Ok(reply) = serde_json::from_slice::<Reply>(input) {
            let _ = serde_json::to_string(&reply);
        }
        let _ = serde_json::from_slice::<Request>(input);
    })
}

/// Chat templates and prompt templates: strangers' programs.
pub fn chat() -> Target {
    const WORDS: &[&str] = &[
        "{{ ",
        " }}",
        "{% ",
        " %}",
        "{% for a in range(9999) %}",
        "{% endfor %}",
        "{{ 'x' * 99999999 }}",
        "{% macro g() %}{{ g() }}{% endmacro %}{{ g() }}",
        "{% if true %}",
        "{% endif %}",
        "{% set x = ",
        "messages",
        "{{ range(99999999999) }}",
        "{{ x.y.z }}",
        "{{ messages[-1] }}",
        "{{ 1 // 0 }}",
        "{{ 2 ** 99999 }}",
        "{{ strftime_now('%Q%') }}",
        "{% generation %}",
        "{% raw %}",
        "{{ messages | tojson(indent=9999999) }}",
    ];
    let mut seeds: Vec<Vec<u8>> = [
        "{% for m in messages %}{{ '<|' + m['role'] + '|>\n' + m['content'] | trim }}{% endfor %}",
        "{%- set ns = namespace(n=0) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% generation %}{{ ns.n }}\
         {% endgeneration %}{% endfor %}{{ tools | tojson(indent=2) }}{{ strftime_now('%d %b') }}",
        "{% macro f(x) %}{{ x.split('a')[0] }}{% endmacro %}{{ f(messages[0].content) }}{{ raise_exception('no') }}",
    ]
    .map(|text| text.as_bytes().to_vec())
    .to_vec();
    seeds.push(QUIZ.into());
    // Not among them is what takes more memory than a test may: a worker renders such templates, with a bound.
    plain("chat", seeds, WORDS, |input| {
        let source = text(input);
        if let Ok(template) = ChatTemplate::new(&source, "<s>", "</s>") {
            ask(&template);
        }
        if let Ok(template) = Template::new("doc_to_text", &source) {
            let row = json!({"question": "?", "choices": ["a", "b"], "messages": [{"role": "user"}]});
            let _ = (template.text(&row), template.list(&row), template.labels(&row, 2));
        }
    })
}

/// Asks a template for what a model would be asked.
fn ask(template: &ChatTemplate) {
    let messages = [Message::new("system", "Be brief."), Message::new("user", "Why? {{ 1 }}")];
    let tools = [json!({"type": "function", "function": {"name": "f", "parameters": {}}})];
    let _ = template.prompt(&messages, &tools, &BTreeMap::new());
    let line = r#"[{"role": "user", "content": "Why?"}]"#;
    let _ = chat::render(Path::new("c.jsonl"), line, template);
}

/// Calls in what models write, and what is right about them in what data sets say.
pub fn calls() -> Target {
    const WORDS: &[&str] = &[
        "<tool_call>",
        "</tool_call>",
        "<function=",
        "</function>",
        "<parameter=",
        "<arg_key>",
        "</arg_key>",
        "<arg_value>",
        "[TOOL_CALLS]",
        "<|message|>",
        "to=functions.",
        "<｜tool▁call▁begin｜>",
        "<｜tool▁sep｜>",
        "```tool_code",
        "f(a=",
        "lambda x:",
        "'",
        "\"\"\"",
        "\\u{",
        "\\N{",
        "0x",
        "1j",
        "{\"name\": \"f\", \"arguments\": {}}",
    ];
    let recorded = lines("answers/calls.jsonl");
    let mut references = Vec::new();
    let mut seeds = Vec::new();
    for line in &recorded {
        references.extend(Reference::read(&line["reference"].to_string(), false));
        seeds.push(line["reference"].to_string().into_bytes());
        for output in line["outputs"].as_array().into_iter().flatten() {
            seeds.extend(output["output"].as_str().map(|text| text.as_bytes().to_vec()));
        }
    }
    assert!(!references.is_empty());
    plain("calls", seeds, WORDS, move |input| {
        let text = text(input);
        let first = &references[text.len() % references.len()];
        for format in Format::ALL {
            let _ = judge(first, format, &text);
        }
        if let Ok(reference) = Reference::read(&text, text.len().is_multiple_of(2)) {
            let _ =
                judge(&reference, Format::Json, r#"[{"name": "weather.at", "arguments": {"town": "x"}}]"#);
        }
    })
}

/// What models write, graded; and the patterns and instructions by which it is.
pub fn answers() -> Target {
    const WORDS: &[&str] = &[
        "<think>",
        "</think>",
        "####",
        "(a+)+$",
        "(?=",
        "\\1",
        "[^",
        "{2,99999}",
        "(?i)",
        "\u{301}",
        "\u{1f600}",
        "relation",
        "num_words",
        "...",
        "Mr. ",
        "\n\n***\n\n",
        "P.S.",
        "\"ids\"",
    ];
    let filters = lines("answers/filters.jsonl");
    let instructions = lines("answers/ifeval.jsonl");
    let mut seeds: Vec<Vec<u8>> = Vec::new();
    for line in filters.iter().take(400) {
        let texts = line["responses"].as_array().into_iter().flatten().filter_map(Value::as_str);
        seeds.extend(texts.map(|text| text.as_bytes().to_vec()));
        let steps = line["filter"].as_array().into_iter().flatten();
        seeds.extend(steps.filter_map(|s| s["regex_pattern"].as_str()).map(|p| p.as_bytes().to_vec()));
    }
    let mut wanted = Vec::new();
    for line in instructions.iter().step_by(7) {
        let (ids, kwargs) = (&line["ids"], &line["kwargs"]);
        let reference = json!({"instruction_id_list": ids, "kwargs": kwargs}).to_string();
        seeds.push(reference.clone().into_bytes());
        seeds.extend(line["response"].as_str().map(|text| text.as_bytes().to_vec()));
        wanted.push(reference);
    }
    let piped: Vec<Filters> = serde_json::from_value(json!([{"name": "x", "filter": [
        {"function": "regex", "regex_pattern": "#### (\\-?[0-9\\.\\,]+)"}, {"function": "take_first"}]}]))
    .unwrap_or_default();
    let comparing = Grader::exact_match(&piped, &ExactMatch::default());
    let checking = Grader::ifeval(Some(Punkt::own()));
    plain("answers", seeds, WORDS, move |input| {
        let text = text(input);
        let answer = thought::without(&text, thought::TAGS, text.len().is_multiple_of(2));
        let _ = comparing.grade("18", &[answer, &text]);
        let _ = checking.grade(&wanted[text.len() % wanted.len()], &[&text]);
        let _ = checking.grade(&text, &["A response. It has words."]);
        let short: String = text.chars().take(200).collect();
        if let Ok(pattern) = Pattern::new(&short) {
            let _ = pattern.find_all("18 #### 42, and aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!");
        }
    })
}

/// Measurements of other programs.
pub fn foreign() -> Target {
    const WORDS: &[&str] = &["n_prompt", "avg_ts", "Final estimate: PPL = ", "+/-", "|", "Mean    KLD:"];
    let names = ["bench.csv", "bench.json", "bench.jsonl", "divergence.log", "perplexity.log"];
    let seeds = names.iter().map(|name| fixture(&format!("foreign/{name}"))).collect();
    of_file("foreign", "f.log", seeds, WORDS, |path| {
        let _ = read_foreign(path, Some("prose"));
    })
}

/// Results folders: any of the records changed, then everything derived from them.
pub fn results() -> Target {
    const WORDS: &[&str] = &[
        "\"id\": \"../../escape\"",
        "\"items_planned\": 9999999999",
        "\"items_total\": 18446744073709551615",
        "\"variant\": \"../x\"",
        "\"kind\": \"suite\"",
        "\"status\": \"done\"",
        "\"seed\": 1",
        "\"logprob\": -1e308",
        "manifest.json\n",
    ];
    let sandbox = Sandbox::new();
    let what = ["--recipes", "Q8_0", "--suites", "prose.toml", "quiz.toml", "--limit", "6"];
    sandbox.sweep(&what).ends(0);
    let foreign = Path::new(FIXTURES).join("foreign/bench.csv");
    sandbox.run(&["import", "out", foreign.to_str().expect("text")]).ends(0);
    let prices = cost::DEFAULT;
    sandbox.write("out/costs.toml", prices);
    let out = sandbox.path("out");
    let records = |name: &String| {
        let name = name.as_str();
        ["manifest.json", "plan.json", "foreign.json", "costs.toml"].contains(&name)
            || name.starts_with("trials/")
    };
    let names: Vec<String> = sandbox.files("out").into_iter().filter(records).collect();
    let (folder, watched) = (tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    // What leads out of the folder by two steps leads into the watched one, by a link that is not ours to follow.
    let place = watched.path().join("a/out");
    fs::create_dir_all(&place).expect("made");
    let mut seeds = Vec::new();
    for name in &names {
        let from = fs::read(out.join(name)).expect("read");
        let to = place.join(name);
        fs::create_dir_all(to.parent().expect("a folder")).expect("made");
        fs::write(&to, &from).expect("written");
        // An input is a name, a line's end, and the file of that name, without its checksum, as of old.
        let plain = unsealed(&from);
        seeds.push([name.as_bytes(), b"\n", &plain].concat());
    }
    let copied = folder.path().join("out");
    let run = Box::new(move |input: &[u8]| {
        let end = input.iter().position(|b| *b == b'\n').unwrap_or(input.len());
        let (name, content) = (&input[..end], input.get(end + 1..).unwrap_or_default());
        let Some(name) = names.iter().find(|known| known.as_bytes() == name) else { return Ok(()) };
        let _ = fs::remove_dir_all(&copied);
        copy_folder(&place, &copied);
        fs::write(copied.join(name), content).expect("written");
        let _ = plan_file::read(&copied);
        if let Ok((manifest, trials)) = derive::read(&copied) {
            let told = derive::tables(&copied, &manifest, &trials);
            for trial in &trials {
                let _ = derive::items(&copied, &trial.spec);
            }
            if let Ok(report) = told
                && content.len().is_multiple_of(8)
            {
                let _ = derive::charts(&copied, &report);
                let _ = derive::shown(&copied, &manifest, &trials);
            }
        }
        let beside = fs::read_dir(copied.parent().expect("a folder")).expect("listed").count();
        if beside == 1 { Ok(()) } else { Err(format!("{beside} things stand where the folder was alone")) }
    });
    let watched_path = watched.path().to_owned();
    Target {
        name: "results",
        seeds,
        words: WORDS,
        run,
        watched: watched_path,
        folders: vec![folder, watched],
    }
}

/// A record as format 1 had it, whose changes are not told by a checksum; anything else as it is.
fn unsealed(bytes: &[u8]) -> Vec<u8> {
    let text = text(bytes);
    match text.split_once("\",\n") {
        Some((sum, rest)) if sum.starts_with("{\n  \"crc32\"") => {
            format!("{{\n{}", rest.replacen("\"format\": 2", "\"format\": 1", 1)).into_bytes()
        }
        _ => bytes.to_vec(),
    }
}

pub fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("made");
    for entry in fs::read_dir(from).expect("listed").flatten() {
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy_folder(&path, &copy);
        } else {
            fs::copy(&path, &copy).expect("copied");
        }
    }
}
