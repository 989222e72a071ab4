//! Brings models and data into the cache, and says where they lie.
//!
//! This is the only room that touches the network, and only when a user asks for it: a sweep merely calls
//! [`Cache::locate`], which opens no socket. Packages come through the user's own `pip` and `npm`, files of the hub
//! over HTTP; whatever comes is checked by its SHA-256 before it gets its final name.

mod archive;
mod cache;
mod checksum;
mod error;
mod event;
mod fetcher;
mod hub;
mod noted;
mod npm;
mod pypi;
mod source;
mod tool;

pub use archive::extract;
pub use cache::{Cache, Expect, Fetched};
pub use checksum::{sha256_bytes, sha256_file};
pub use error::FetchError;
pub use event::FetchEvent;
pub use fetcher::{Fetcher, fetch};
pub use hub::Hub;
pub use source::{CachedName, HubFile, PackageFile, Registry, RepoKind, Source};
