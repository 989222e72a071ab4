//! Hostile input that comes over a network: archives of packages, and what the server of an API answers.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bitfrontier::answers::grade::Grader;
use bitfrontier::endpoint::Endpoint;
use bitfrontier::endpoint::ask::{self, Asker};
use bitfrontier::fetch::{self, PackageFile, Source};
use bitfrontier::plan::generate::{GenerateItem, GenerateSuite};
use bitfrontier::plan::suite::{self, Items, Scoring, SuiteText};
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Map, json};
use zip::write::SimpleFileOptions;

use crate::http::Request;
use crate::sandbox::FIXTURES;
use crate::targets::{Target, of_file, plain};

/// Members of an archive: the wanted one, and names that lead out of any folder.
const MEMBERS: [&str; 4] = ["d/x.jsonl", "../../escape", "/tmp/escape", "d/../d/x.jsonl"];
/// More than may come out of a small archive.
const BOMB: u64 = 80 << 20;

fn package(source: &str) -> PackageFile {
    match source.parse().expect("a source") {
        Source::Package(file) => file,
        other => panic!("{other} is no package"),
    }
}

/// Takes a file out of archives, and no more than a bound that small archives have.
fn archives(
    name: &'static str,
    source: &str,
    ending: &str,
    seeds: Vec<Vec<u8>>,
    words: &'static [&'static str],
) -> Target {
    let file = package(source);
    of_file(name, &format!("a.{ending}"), seeds, words, move |archive| {
        let mut to = tempfile::tempfile().expect("a file");
        let taken = fetch::extract(&file, archive, &mut to);
        let length = to.metadata().expect("asked").len();
        assert!(length <= 64 << 20, "{length} bytes came out");
        if let Err(error) = taken {
            assert!(!error.to_string().is_empty());
        }
    })
}

/// Wheels.
pub fn wheel() -> Target {
    let zipped = |bomb: bool| {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        for name in MEMBERS {
            zip.start_file(name, SimpleFileOptions::default()).expect("begun");
            if bomb {
                std::io::copy(&mut std::io::repeat(0).take(BOMB), &mut zip).expect("written");
            } else {
                zip.write_all(&[b'a'; 300]).expect("written");
            }
        }
        zip.add_symlink("d/link", "/etc/passwd", SimpleFileOptions::default()).expect("written");
        zip.finish().expect("whole").into_inner()
    };
    let words =
        &["PK\u{1}\u{2}", "PK\u{3}\u{4}", "PK\u{5}\u{6}", "PK\u{6}\u{6}", "d/x.jsonl", "../../escape"];
    archives("wheel", "pypi:a==1/d/x.jsonl", "whl", vec![zipped(false), zipped(true)], words)
}

/// Tarballs: their bytes as they are packed, and, so that changes get behind the packing, ones that the target packs.
pub fn tarball() -> Target {
    let mut tar = tar::Builder::new(Vec::new());
    append_members(&mut tar);
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Symlink);
    header.set_size(0);
    tar.append_link(&mut header, "package/link", "../../escape").expect("written");
    let plain = tar.into_inner().expect("whole");
    // What is before the wanted one is unpacked as well.
    let mut bomb = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::best()));
    let mut header = tar::Header::new_gnu();
    header.set_size(BOMB);
    bomb.append_data(&mut header, "package/bomb", std::io::repeat(0).take(BOMB)).expect("written");
    append_members(&mut bomb);
    let bomb = bomb.into_inner().expect("whole").finish().expect("packed");
    let seeds = vec![packed(&plain), bomb, plain];
    let words = &["ustar", "../../escape", "package/d/x.jsonl", "././@LongLink", "path=/etc/passwd\n"];
    let target = archives("tarball", "npm:a@1.0.0/package/d/x.jsonl", "tgz", seeds, words);
    let unpacked = target.run;
    let run = Box::new(move |bytes: &[u8]| {
        let is_packed = bytes.starts_with(&[0x1f, 0x8b]);
        if is_packed { unpacked(bytes) } else { unpacked(&packed(bytes)) }
    });
    Target { run, ..target }
}

fn append_members(tar: &mut tar::Builder<impl std::io::Write>) {
    for name in ["package/e/x.jsonl", "package/d/x.jsonl"] {
        let mut header = tar::Header::new_gnu();
        header.set_size(300);
        tar.append_data(&mut header, name, &[b'a'; 300][..]).expect("written");
    }
}

fn packed(bytes: &[u8]) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(bytes).expect("packed");
    gz.finish().expect("packed")
}

/// Whole answers of an API's server, from the status line on, over a socket of this machine; graded as the suite asks.
pub fn endpoint() -> Target {
    const WORDS: &[&str] = &[
        "HTTP/1.1 200 OK\r\n",
        "HTTP/1.1 429 \r\n",
        "Content-Length: 99999999999\r\n",
        "Transfer-Encoding: chunked\r\n",
        "Content-Encoding: gzip\r\n",
        "Location: file:///etc/passwd\r\n",
        "Retry-After: 99999999999999\r\n",
        "\r\n\r\n",
        "\"choices\": ",
        "\"tool_calls\": ",
        "\\ud800",
        "\u{1b}[2J",
    ];
    let (served, url) = server();
    let endpoint = Endpoint::new(&url, None, 0, Duration::from_secs(5)).expect("an address");
    let asker = Asker { endpoint, model: "m".to_owned(), extra: Map::new() };
    let exams = ["stories", "tool_calls"].map(exam);
    plain("endpoint", responses(), WORDS, move |input| {
        *served.lock().expect("not poisoned") = input.to_vec();
        let exam = &exams[input.len() % exams.len()];
        let (path, body) = asker.request(&exam.suite, &exam.item, 0).expect("asked");
        match asker.ask(path, &body, &AtomicBool::new(false)) {
            Ok(reply) => drop(ask::score(&exam.suite, &exam.grader, &exam.item, &[reply])),
            Err(error) => {
                let told = error.to_string();
                assert!(told.len() < 2000 && told.lines().count() == 1, "{told}");
                assert!(!told.contains('\u{1b}'), "{told:?}");
            }
        }
    })
}

/// What is asked, and how answers are graded.
struct Exam {
    suite: GenerateSuite,
    item: GenerateItem,
    grader: Grader,
}

fn exam(name: &str) -> Exam {
    let folder = Path::new(FIXTURES).join("suites");
    let text = fs::read_to_string(folder.join(format!("{name}.toml"))).expect("read");
    let suite = suite::parse(&SuiteText { path: format!("{name}.toml"), text }).expect("a suite");
    let data: PathBuf = folder.join(format!("{name}.jsonl"));
    let Items::Prompts(items) = suite::load_items(&suite, &[data], None).expect("items") else {
        panic!("{name} asks for no writing")
    };
    let Scoring::Generate(suite) = suite.scoring else { panic!("{name} asks for no writing") };
    let grader = ask::grader(&suite, &BTreeMap::new(), false).expect("a grader");
    Exam { suite: *suite, item: items.into_iter().next().expect("an item"), grader }
}

/// Good answers, from which bad ones are made.
fn responses() -> Vec<Vec<u8>> {
    let usage =
        json!({"prompt_tokens": 100, "completion_tokens": 10, "prompt_tokens_details": {"cached_tokens": 7}});
    let call = json!({"type": "function", "id": "x",
        "function": {"name": "forecast", "arguments": "{\"city\": \"Gedir\", \"day\": 1}"}});
    let text = json!({"choices": [{"text": " 3 + 4 = 7\n#### 7", "finish_reason": "stop"}], "usage": usage});
    let calls =
        json!({"choices": [{"message": {"role": "assistant", "content": null, "tool_calls": [call]}}]});
    let refused = json!({"error": {"message": "too long", "code": 3}});
    let plain = |status: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let body = text.to_string();
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    );
    let zipped = packed(body.as_bytes());
    let head =
        format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n", zipped.len());
    let texts = [
        plain("200 OK", &body),
        plain("200 OK", &calls.to_string()),
        plain("400 Bad Request", &refused.to_string()),
        plain("302 Found\r\nLocation: /elsewhere", ""),
        chunked,
    ];
    texts.map(String::into_bytes).into_iter().chain([[head.into_bytes(), zipped].concat()]).collect()
}

/// A server that answers every request with the bytes that were put there last, and hangs up.
fn server() -> (Arc<Mutex<Vec<u8>>>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("http://{}/v1", listener.local_addr().expect("an address"));
    let served = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&served);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A client may hang up at any time.
            let _ = serve(&stream, &kept.lock().expect("not poisoned"));
        }
    });
    (served, url)
}

fn serve(mut stream: &TcpStream, answer: &[u8]) -> std::io::Result<()> {
    Request::read(stream)?;
    stream.write_all(answer)
}
