//! Files of the hub, over HTTP.
//!
//! The crate `hf-hub` says which address a file has and which token the user is logged in with. The transfer is our
//! own, because as of hf-hub 0.5.0 (1.0.0 brings tokio, reqwest and some 200 crates more) the crate's blocking client
//! can do harm to a download of many gigabytes: it appends whatever comes to a half file, even if the server ignored
//! the range and sent the beginning again; it never compares size or checksum with what the hub promised; a half file
//! that is already whole makes it fail forever; it sends the token on to the storage that the hub redirects to; and
//! it has no time-outs.

use super::cache::{Cache, Expect, Fetched, make_parent};
use super::checksum::{is_sha256, same};
use super::error::FetchError;
use super::event::FetchEvent;
use super::source::{HubFile, RepoKind, Source};
use crate::units::Bytes;
use hf_hub::api::sync::ApiBuilder;
use hf_hub::{Repo, RepoType};
use std::fmt;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;
use ureq::http::{HeaderMap, Response};
use ureq::{Agent, Body};

const DEFAULT_ENDPOINT: &str = "https://huggingface.co";
/// A server that says nothing for so long is gone.
const PATIENCE: Duration = Duration::from_mins(1);
/// How often the hub may send us to another name of the same repository.
const MOST_REDIRECTS: usize = 5;
const BUFFER_BYTES: usize = 1 << 18;

/// A hub and the right to read from it.
pub struct Hub {
    endpoint: String,
    token: Option<String>,
    agent: Agent,
}

impl fmt::Debug for Hub {
    /// Without the token, which must not reach a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// What the hub promises of a file before it is downloaded.
#[derive(Debug, Default, PartialEq, Eq)]
struct Promise {
    /// Names the content: the SHA-256 of a large file, else a git hash.
    etag: String,
    /// The commit that the revision stands for at this moment.
    commit: Option<String>,
    bytes: Option<u64>,
}

impl Promise {
    fn sha256(&self) -> Option<&str> {
        Some(self.etag.as_str()).filter(|etag| is_sha256(etag))
    }
}

impl Hub {
    /// The hub at `$HF_ENDPOINT`, else the public one; with `$HF_TOKEN`, else the token that `hf auth login` left.
    pub fn from_env() -> Self {
        let variable = |name| std::env::var(name).ok().filter(|value| !value.trim().is_empty());
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        // hf-hub panics where there is neither HF_HOME nor a home folder, as in some containers.
        let has_home =
            variable("HF_HOME").is_some() || std::env::home_dir().is_some_and(|home| home.is_absolute());
        let logged_in = || has_home.then(|| hf_hub::Cache::from_env().token())?;
        Self::new(&endpoint, variable("HF_TOKEN").or_else(logged_in))
    }

    /// The hub at an address, such as a mirror or a stand-in.
    pub fn new(endpoint: &str, token: Option<String>) -> Self {
        let agent = Agent::config_builder()
            .user_agent(concat!("bitfrontier/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            // Ranges and sizes are those of the file only if nobody compresses it on the way.
            .accept_encoding("identity")
            .timeout_connect(Some(PATIENCE))
            .timeout_recv_response(Some(PATIENCE))
            .timeout_per_read(Some(PATIENCE))
            .redirect_auth_headers(ureq::config::RedirectAuthHeaders::SameHost)
            .build()
            .into();
        let token = token.map(|token| token.trim().to_owned());
        Self { endpoint: endpoint.trim().trim_end_matches('/').to_owned(), token, agent }
    }

    /// Its address.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The HTTP status with which it answers at its address; the token stays here.
    ///
    /// # Errors
    /// [`FetchError::Unreachable`] if there is no answer.
    pub fn status(&self) -> Result<u16, FetchError> {
        let answer = self.agent.head(&self.endpoint).call();
        answer.map(|answer| answer.status().as_u16()).map_err(|error| unreachable_url(&self.endpoint, &error))
    }

    fn url(&self, file: &HubFile, revision: &str) -> Result<String, FetchError> {
        let kind = match file.kind() {
            RepoKind::Model => RepoType::Model,
            RepoKind::Dataset => RepoType::Dataset,
        };
        // Only to write the address; this cache is never used.
        let unused = hf_hub::Cache::new(PathBuf::new());
        let api =
            ApiBuilder::from_cache(unused).with_endpoint(self.endpoint.clone()).build().map_err(|error| {
                FetchError::Unreachable { url: self.endpoint.clone(), reason: error.to_string() }
            })?;
        let repo = Repo::with_revision(file.repo().to_owned(), kind, revision.to_owned());
        Ok(api.repo(repo).url(&escaped(file.path())))
    }

    /// Asks what the hub promises of a file. Redirects within the hub (a repository that was renamed) are followed;
    /// one to the storage is not, because only the hub's own answer carries the promise.
    fn ask(&self, url: &str) -> Result<Promise, FetchError> {
        let mut at = url.to_owned();
        for _ in 0..MOST_REDIRECTS {
            let request = self.agent.head(&at).config().max_redirects(0).build();
            let request = match &self.token {
                Some(token) => request.header("Authorization", format!("Bearer {token}")),
                None => request,
            };
            let response = request.call().map_err(|error| unreachable_url(&at, &error))?;
            let headers = response.headers();
            match response.status().as_u16() {
                200..=299 => return Ok(promise(headers, "content-length")),
                300..=399 => match header(headers, "location").filter(|to| is_within_host(to)) {
                    Some(to) => at = format!("{}{to}", origin(&at)),
                    None => return Ok(promise(headers, "x-linked-size")),
                },
                status => return Err(FetchError::Refused { url: at, status }),
            }
        }
        Err(FetchError::Unreachable { url: url.to_owned(), reason: "it redirects in circles".into() })
    }

    /// Asks for the file from a byte on.
    fn get(&self, url: &str, from: u64) -> Result<Response<Body>, FetchError> {
        let mut request = self.agent.get(url);
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        if from > 0 {
            request = request.header("Range", format!("bytes={from}-"));
        }
        request.call().map_err(|error| unreachable_url(url, &error))
    }
}

/// Downloads one file, going on from where an earlier attempt broke off, checks it and files it.
///
/// The file grows in `<file>.<etag>.part` beside its place, so that a new version at the hub never continues an old
/// one. It is locked while it grows: two processes that want the same model download it once.
pub(super) fn download(
    hub: &Hub,
    cache: &Cache,
    source: &Source,
    file: &HubFile,
    expect: &Expect,
    progress: &dyn Fn(FetchEvent<'_>),
) -> Result<Fetched, FetchError> {
    let promise = hub.ask(&hub.url(file, file.revision())?)?;
    refuse_unexpected(source, &promise, expect)?;
    // From the commit just promised, whatever is pushed meanwhile.
    let url = hub.url(file, promise.commit.as_deref().unwrap_or(file.revision()))?;
    let path = part_path(&cache.path_of(source), &promise.etag);
    let mut part = open_alone(&path, || progress(FetchEvent::Waiting { source }))?;
    if let Some(present) = cache.find(source, expect)? {
        // Another process was faster.
        fs::remove_file(&path).map_err(FetchError::io("remove", &path))?;
        return Ok(present);
    }
    transfer(hub, &url, &mut part, promise.bytes, source, progress)
        .map_err(|error| error.into_fetch(&path))?;
    cache.settle(&path, source, expect.sha256.as_deref().or(promise.sha256()))
}

/// A large file that will not be the expected one need not be downloaded to know it.
fn refuse_unexpected(source: &Source, promise: &Promise, expect: &Expect) -> Result<(), FetchError> {
    match (&expect.sha256, promise.sha256()) {
        (Some(expected), Some(found)) if !same(expected, found) => Err(FetchError::Checksum {
            file: source.to_string(),
            expected: expected.clone(),
            found: found.to_owned(),
        }),
        _ => Ok(()),
    }
}

/// What can go wrong in a transfer: on the way, or while writing here.
enum TransferError {
    Fetch(FetchError),
    Disk(io::Error),
}

impl TransferError {
    fn into_fetch(self, path: &Path) -> FetchError {
        match self {
            Self::Fetch(error) => error,
            Self::Disk(error) => FetchError::io("write", path)(error),
        }
    }
}

impl From<FetchError> for TransferError {
    fn from(error: FetchError) -> Self {
        Self::Fetch(error)
    }
}

impl From<io::Error> for TransferError {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// Brings what a part still lacks.
fn transfer(
    hub: &Hub,
    url: &str,
    part: &mut File,
    promised: Option<u64>,
    source: &Source,
    progress: &dyn Fn(FetchEvent<'_>),
) -> Result<(), TransferError> {
    let kept = part.seek(SeekFrom::End(0))?;
    if promised == Some(kept) {
        return Ok(());
    }
    let (response, mut got) = go_on(hub, url, part, kept)?;
    let total = promised.or_else(|| Some(got + response.body().content_length()?));
    let broke_off =
        |got, reason: String| FetchError::Interrupted { file: source.to_string(), got: Bytes(got), reason };
    let mut body = response.into_body().into_reader();
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        progress(FetchEvent::Downloading { source, got: Bytes(got), total: total.map(Bytes) });
        let read = body.read(&mut buffer).map_err(|error| broke_off(got, error.to_string()))?;
        if read == 0 {
            break;
        }
        part.write_all(buffer.get(..read).unwrap_or_default())?;
        got += read as u64;
    }
    match total {
        Some(total) if total != got => {
            Err(broke_off(got, format!("the whole file has {}", Bytes(total))).into())
        }
        _ => Ok(()),
    }
}

/// An answer whose body continues the part, and the length at which it does: what is kept if the server goes on from
/// there, else 0 with the part emptied.
fn go_on(hub: &Hub, url: &str, part: &mut File, kept: u64) -> Result<(Response<Body>, u64), TransferError> {
    let mut response = hub.get(url, kept)?;
    if kept > 0 && continues_at(&response, kept) {
        return Ok((response, kept));
    }
    if matches!(response.status().as_u16(), 206 | 416) {
        // Another range than the one asked for, or none because the part is longer than the file.
        response = hub.get(url, 0)?;
    }
    match response.status().as_u16() {
        200 => {
            part.set_len(0)?;
            part.seek(SeekFrom::Start(0))?;
            Ok((response, 0))
        }
        status => Err(FetchError::Refused { url: url.to_owned(), status }.into()),
    }
}

/// Whether an answer holds the file's bytes from this one on.
fn continues_at(response: &Response<Body>, from: u64) -> bool {
    response.status().as_u16() == 206
        && header(response.headers(), "content-range")
            .and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.parse().ok())
            == Some(from)
}

/// Opens a part for appending, when no other process has it.
fn open_alone(path: &Path, waiting: impl Fn()) -> Result<File, FetchError> {
    make_parent(path)?;
    loop {
        let part = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(FetchError::io("write", path))?;
        match part.try_lock() {
            // A file system without locks: the checksum is then what protects the file.
            Ok(()) | Err(TryLockError::Error(_)) => {}
            Err(TryLockError::WouldBlock) => {
                waiting();
                part.lock().map_err(FetchError::io("lock", path))?;
            }
        }
        // If the other process finished, what was opened has its final name by now and must not be written to.
        if path.exists() {
            return Ok(part);
        }
    }
}

fn part_path(path: &Path, etag: &str) -> PathBuf {
    // The etag is the server's word and must not lead to another folder.
    let tag: String = etag.chars().filter(char::is_ascii_alphanumeric).take(64).collect();
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{tag}.part"));
    PathBuf::from(name)
}

fn promise(headers: &HeaderMap, size: &str) -> Promise {
    let etag = header(headers, "x-linked-etag").or_else(|| header(headers, "etag")).unwrap_or_default();
    let commit = header(headers, "x-repo-commit").filter(|it| it.bytes().all(|b| b.is_ascii_hexdigit()));
    let bytes = header(headers, "x-linked-size").or_else(|| header(headers, size));
    Promise {
        etag: etag.trim_start_matches("W/").trim_matches('"').to_ascii_lowercase(),
        commit: commit.filter(|it| !it.is_empty()).map(str::to_owned),
        bytes: bytes.and_then(|bytes| bytes.parse().ok()),
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

fn is_within_host(location: &str) -> bool {
    location.starts_with('/') && !location.starts_with("//")
}

/// `https://host:port` of an address.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url.get(host..).and_then(|rest| rest.find('/')).map_or(url.len(), |at| host + at);
    url.get(..end).unwrap_or(url)
}

/// A path as it stands in an address: hf-hub takes names as they are, and `#`, `?` or a space would end the address.
fn escaped(path: &str) -> String {
    use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
    const KEPT: &AsciiSet =
        &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'_').remove(b'.').remove(b'~');
    utf8_percent_encode(path, KEPT).to_string()
}

fn unreachable_url(url: &str, error: &ureq::Error) -> FetchError {
    FetchError::Unreachable { url: url.to_owned(), reason: error.to_string() }
}

#[cfg(test)]
mod tests;
