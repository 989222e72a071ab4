//! Against a stand-in of the hub's HTTP interface on this machine.

use super::*;
use crate::fetch::{Fetcher, sha256_bytes};
use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// How the stand-in serves one path.
#[derive(Clone)]
struct Served {
    content: Vec<u8>,
    etag: String,
    /// Closes the connection after so many bytes of a body, once.
    breaks_after: Option<usize>,
    ranges: bool,
    /// Answers HEAD with a redirect to other storage and the promise in the linked headers, as the hub does for
    /// large files.
    linked: bool,
}

impl Served {
    fn large(content: &[u8]) -> Self {
        let etag = sha256_bytes(content);
        Self { content: content.to_vec(), etag, breaks_after: None, ranges: true, linked: true }
    }
}

#[derive(Clone, Default)]
struct StandIn {
    files: Arc<Mutex<HashMap<String, Served>>>,
    /// Method, path and the two headers of interest of each request.
    seen: Arc<Mutex<Vec<String>>>,
}

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

impl StandIn {
    /// Listens on a free port until the test process ends.
    fn start() -> (Self, String) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let stand_in = Self::default();
        let serving = stand_in.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client may hang up at any time.
                let _ = serving.answer(&stream);
            }
        });
        (stand_in, address)
    }

    /// Serves a file under both its branch and its commit.
    fn serve(&self, repo: &str, path: &str, served: &Served) {
        for revision in ["main", COMMIT] {
            self.files.lock().unwrap().insert(format!("/{repo}/resolve/{revision}/{path}"), served.clone());
        }
    }

    fn seen(&self) -> Vec<String> {
        std::mem::take(&mut self.seen.lock().unwrap())
    }

    fn answer(&self, mut stream: &TcpStream) -> io::Result<()> {
        let mut lines = BufReader::new(stream).lines();
        let request = lines.next().unwrap_or(Ok(String::new()))?;
        let headers: HashMap<String, String> = lines
            .map_while(|line| line.ok().filter(|line| !line.is_empty()))
            .filter_map(|line| {
                line.split_once(": ").map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            })
            .collect();
        let mut words = request.split(' ');
        let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let header = |name: &str| headers.get(name).map(String::as_str).unwrap_or_default();
        self.seen.lock().unwrap().push(
            format!("{method} {path} {} {}", header("range"), header("authorization")).trim_end().to_owned(),
        );
        if let Some(rest) = path.strip_prefix("/old/") {
            return write!(
                stream,
                "HTTP/1.1 307 T\r\nLocation: /new/{rest}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
        }
        let Some(served) = self.files.lock().unwrap().get(path).cloned() else {
            return write!(stream, "HTTP/1.1 404 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        };
        let common = format!("X-Repo-Commit: {COMMIT}\r\nConnection: close\r\n");
        let size = served.content.len();
        if method == "HEAD" && served.linked {
            return write!(
                stream,
                "HTTP/1.1 302 Found\r\n{common}X-Linked-Etag: \"{}\"\r\nX-Linked-Size: {size}\r\n\
                 ETag: \"other\"\r\nLocation: http://storage.invalid/x\r\nContent-Length: 9\r\n\r\n",
                served.etag
            );
        }
        let from: usize =
            header("range").trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap_or(0);
        let from = if served.ranges { from } else { 0 };
        let (status, range) = match from {
            0 => ("200 OK", String::new()),
            from if from >= size => ("416 No", String::new()),
            from => ("206 Partial", format!("Content-Range: bytes {from}-{}/{size}\r\n", size - 1)),
        };
        let body = served.content.get(from..).unwrap_or_default();
        write!(
            stream,
            "HTTP/1.1 {status}\r\n{common}{range}ETag: \"{}\"\r\nContent-Length: {}\r\n\r\n",
            served.etag,
            body.len()
        )?;
        if method == "HEAD" {
            return Ok(());
        }
        if let Some(served) = self.files.lock().unwrap().get_mut(path)
            && let Some(bytes) = served.breaks_after.take()
        {
            return stream.write_all(&body[..bytes]);
        }
        stream.write_all(body)
    }
}

struct Scene {
    _folder: tempfile::TempDir,
    cache: Cache,
    stand_in: StandIn,
    address: String,
}

fn scene() -> Scene {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path()).unwrap();
    let (stand_in, address) = StandIn::start();
    Scene { _folder: folder, cache, stand_in, address }
}

impl Scene {
    fn fetch(&self, source: &str, expect: &Expect) -> Result<Fetched, FetchError> {
        let hub = Hub::new(&self.address, Some("secret".into()));
        Fetcher::with_hub(&self.cache, hub).fetch(&source.parse().unwrap(), expect, &|_| ())
    }

    fn names(&self, source: &str) -> Vec<String> {
        let path = self.cache.path_of(&source.parse().unwrap());
        let mut names: Vec<String> = fs::read_dir(path.parent().unwrap())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }
}

fn content() -> Vec<u8> {
    (0..3_000_000_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 24) as u8).collect()
}

const SOURCE: &str = "hf:owner/repo/q/m-q8_0.gguf";

#[test]
fn a_download_that_broke_off_goes_on_where_it_did() {
    let scene = scene();
    let content = content();
    scene.stand_in.serve(
        "owner/repo",
        "q/m-q8_0.gguf",
        &Served { breaks_after: Some(1_234_567), ..Served::large(&content) },
    );
    let error = scene.fetch(SOURCE, &Expect::default()).unwrap_err();
    assert!(matches!(error, FetchError::Interrupted { got: Bytes(1_234_567), .. }), "{error}");
    assert!(error.hint().unwrap().contains("run it again"));
    assert_eq!(scene.cache.locate(&SOURCE.parse().unwrap()), None);
    scene.stand_in.seen();

    let fetched = scene.fetch(SOURCE, &Expect::default()).unwrap();
    assert_eq!(fs::read(&fetched.path).unwrap(), content);
    assert_eq!(fetched.sha256, sha256_bytes(&content));
    assert_eq!(
        scene.stand_in.seen(),
        [
            "HEAD /owner/repo/resolve/main/q/m-q8_0.gguf  Bearer secret".to_owned(),
            format!("GET /owner/repo/resolve/{COMMIT}/q/m-q8_0.gguf bytes=1234567- Bearer secret"),
        ]
    );
    assert_eq!(scene.names(SOURCE), ["m-q8_0.gguf", "m-q8_0.gguf.sha256"]);

    scene.fetch(SOURCE, &Expect { sha256: Some(fetched.sha256), ..Expect::default() }).unwrap();
    assert!(scene.stand_in.seen().is_empty(), "what is there is not asked for again");
}

#[test]
fn a_server_without_ranges_and_a_part_that_is_too_long_both_start_again() {
    let content = content();
    let served = Served::large(&content);
    for (ranges, part) in [(false, &content[..1000]), (true, &[content.as_slice(), b"more"].concat()[..])] {
        let scene = scene();
        scene.stand_in.serve("owner/repo", "q/m-q8_0.gguf", &Served { ranges, ..served.clone() });
        let path = part_path(&scene.cache.path_of(&SOURCE.parse().unwrap()), &served.etag);
        make_parent(&path).unwrap();
        fs::write(&path, part).unwrap();
        assert_eq!(scene.fetch(SOURCE, &Expect::default()).unwrap().sha256, served.etag);
    }
}

#[test]
fn a_part_that_is_already_whole_is_only_checked() {
    let scene = scene();
    let served = Served::large(&content());
    scene.stand_in.serve("owner/repo", "q/m-q8_0.gguf", &served);
    let path = part_path(&scene.cache.path_of(&SOURCE.parse().unwrap()), &served.etag);
    make_parent(&path).unwrap();
    fs::write(&path, &served.content).unwrap();
    scene.fetch(SOURCE, &Expect::default()).unwrap();
    assert_eq!(scene.stand_in.seen().len(), 1);
}

#[test]
fn what_is_not_what_the_hub_promised_is_refused_and_nothing_remains() {
    let scene = scene();
    let promised = sha256_bytes(b"something else");
    scene.stand_in.serve(
        "owner/repo",
        "q/m-q8_0.gguf",
        &Served { etag: promised.clone(), ..Served::large(&content()) },
    );
    let error = scene.fetch(SOURCE, &Expect::default()).unwrap_err();
    assert!(matches!(&error, FetchError::Checksum { expected, .. } if *expected == promised), "{error}");
    assert!(scene.names(SOURCE).is_empty());
}

#[test]
fn what_is_not_what_the_user_expects_is_not_even_downloaded() {
    let scene = scene();
    scene.stand_in.serve("owner/repo", "q/m-q8_0.gguf", &Served::large(&content()));
    let expect = Expect { sha256: Some(sha256_bytes(b"x")), ..Expect::default() };
    assert!(matches!(scene.fetch(SOURCE, &expect).unwrap_err(), FetchError::Checksum { .. }));
    assert_eq!(scene.stand_in.seen().len(), 1);
}

#[test]
fn small_files_of_data_sets_come_from_renamed_repositories_too() {
    let scene = scene();
    let small = Served {
        etag: "a94a8fe5ccb19ba61c4c0873d391e987982fbbd3".into(),
        linked: false,
        ..Served::large(b"{}")
    };
    scene.stand_in.serve("datasets/o/r", "a%20b%23.jsonl", &small);
    let fetched = scene.fetch("hf:datasets/o/r/a b#.jsonl", &Expect::default()).unwrap();
    assert_eq!((fetched.bytes, fetched.sha256), (Bytes(2), sha256_bytes(b"{}")));

    let file = |source: &str| match source.parse().unwrap() {
        Source::Hub(file) => file,
        other => panic!("{other}"),
    };
    let hub = Hub::new(&scene.address, None);
    scene.stand_in.serve("new/r", "x", &small);
    let url = hub.url(&file("hf:old/r/x"), "main").unwrap();
    assert_eq!(hub.ask(&url).unwrap().commit.as_deref(), Some(COMMIT));
    assert_eq!(scene.stand_in.seen().last().map(String::as_str), Some("HEAD /new/r/resolve/main/x"));
}

#[test]
fn all_parts_of_a_split_model_come_and_one_that_is_missing_is_named() {
    let scene = scene();
    for part in [1, 2] {
        let name = format!("m-0000{part}-of-00003.gguf");
        scene.stand_in.serve("o/r", &name, &Served::large(name.as_bytes()));
    }
    let source = "hf:o/r/m-00001-of-00003.gguf";
    let error = scene.fetch(source, &Expect::default()).unwrap_err();
    assert!(
        matches!(&error, FetchError::Refused { status: 404, url } if url.contains("m-00003-of-00003.gguf")),
        "{error}"
    );
    let last = "m-00003-of-00003.gguf";
    scene.stand_in.serve("o/r", last, &Served::large(last.as_bytes()));
    let fetched = scene.fetch(source, &Expect::default()).unwrap();
    assert_eq!(fetched.others.iter().map(|part| part.sha256.as_str()).collect::<Vec<_>>().len(), 2);
    assert_eq!(fetched.others[1].sha256, sha256_bytes(last.as_bytes()));
    assert_eq!(scene.cache.locate(&source.parse().unwrap()), Some(fetched.path));
}

#[test]
fn two_at_once_download_a_file_once() {
    let scene = scene();
    scene.stand_in.serve("owner/repo", "q/m-q8_0.gguf", &Served::large(&content()));
    std::thread::scope(|scope| {
        let both = [0, 1].map(|_| scope.spawn(|| scene.fetch(SOURCE, &Expect::default()).unwrap().sha256));
        let [one, other] = both.map(|thread| thread.join().unwrap());
        assert_eq!(one, other);
    });
    assert_eq!(scene.stand_in.seen().iter().filter(|request| request.starts_with("GET")).count(), 1);
    assert_eq!(scene.names(SOURCE), ["m-q8_0.gguf", "m-q8_0.gguf.sha256"]);
}

#[test]
fn a_hub_that_is_not_there_is_unreachable_and_the_token_stays_secret() {
    let folder = tempfile::tempdir().unwrap();
    let cache = Cache::at(folder.path()).unwrap();
    let hub = Hub::new("http://127.0.0.1:9/", Some("secret".into()));
    assert!(!format!("{hub:?}").contains("secret"));
    let error = Fetcher::with_hub(&cache, hub)
        .fetch(&SOURCE.parse().unwrap(), &Expect::default(), &|_| ())
        .unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error}");
    assert!(!error.to_string().contains("secret"));
}

#[test]
fn a_servers_words_do_not_choose_the_folder() {
    assert_eq!(part_path(Path::new("/c/x"), "../../etc/\"p"), Path::new("/c/x.etcp.part"));
    assert_eq!(origin("https://h:1/a/b"), "https://h:1");
    assert!(!is_within_host("//evil/x") && is_within_host("/x"));
}
