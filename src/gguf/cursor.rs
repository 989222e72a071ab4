//! Reading forward through a header without trusting it: before any byte is read or any memory asked for, the cursor
//! checks that the file still holds that much and that the header stays within a sane length.

use super::error::GgufError;
use crate::units::Bytes;
use std::io::{self, BufRead, Read};
use std::path::Path;

/// No model's header comes near this (a vocabulary of 262,144 tokens takes about 15 MiB). Without a limit, a sparse
/// file of a terabyte would keep the reader busy for hours at no cost to whoever made it.
pub(super) const HEADER_LIMIT: u64 = 256 << 20;

/// A position in a header, with the file's length known beforehand.
pub(super) struct Cursor<'a, R> {
    source: R,
    path: &'a Path,
    position: u64,
    file_bytes: u64,
}

impl<'a, R: BufRead> Cursor<'a, R> {
    pub fn new(source: R, path: &'a Path, file_bytes: u64) -> Self {
        Self { source, path, position: 0, file_bytes }
    }

    pub fn position(&self) -> u64 {
        self.position
    }

    pub fn path(&self) -> &'a Path {
        self.path
    }

    /// Refuses a count of things of at least `each` bytes that the rest of the file cannot hold.
    pub fn check_count(&self, what: &'static str, count: u64, each: u64) -> Result<(), GgufError> {
        let most = (self.file_bytes - self.position) / each;
        if count > most {
            return Err(GgufError::Count { path: self.path.into(), what, count, most });
        }
        Ok(())
    }

    pub fn u8(&mut self, what: &'static str) -> Result<u8, GgufError> {
        Ok(u8::from_le_bytes(self.array(what)?))
    }

    pub fn u32(&mut self, what: &'static str) -> Result<u32, GgufError> {
        Ok(u32::from_le_bytes(self.array(what)?))
    }

    pub fn u64(&mut self, what: &'static str) -> Result<u64, GgufError> {
        Ok(u64::from_le_bytes(self.array(what)?))
    }

    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], GgufError> {
        self.claim(what, N as u64)?;
        let mut bytes = [0; N];
        self.source.read_exact(&mut bytes).map_err(|error| self.failed(what, N as u64, error))?;
        self.position += N as u64;
        Ok(bytes)
    }

    /// Appends the next `length` bytes to `kept`. Memory grows with what is read, never with what is claimed.
    pub fn append(&mut self, what: &'static str, length: u64, kept: &mut Vec<u8>) -> Result<(), GgufError> {
        self.claim(what, length)?;
        let read = (&mut self.source).take(length).read_to_end(kept);
        match read {
            Ok(read) if read as u64 == length => self.position += length,
            Ok(_) => return Err(self.failed(what, length, io::ErrorKind::UnexpectedEof.into())),
            Err(error) => return Err(self.failed(what, length, error)),
        }
        Ok(())
    }

    /// Passes over `length` bytes; tells where among them the first zero byte stands (`length` if nowhere).
    pub fn skip(&mut self, what: &'static str, length: u64) -> Result<u64, GgufError> {
        self.claim(what, length)?;
        let mut first_zero = None;
        let mut passed = 0;
        while passed < length {
            let chunk = match self.source.fill_buf() {
                Ok([]) => return Err(self.failed(what, length, io::ErrorKind::UnexpectedEof.into())),
                Ok(chunk) => chunk,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(self.failed(what, length, error)),
            };
            let wanted = usize::try_from(length - passed).unwrap_or(usize::MAX).min(chunk.len());
            if first_zero.is_none() {
                first_zero = chunk.iter().take(wanted).position(|&b| b == 0).map(|at| passed + at as u64);
            }
            self.source.consume(wanted);
            passed += wanted as u64;
        }
        self.position += length;
        Ok(first_zero.unwrap_or(length))
    }

    /// A key or tensor name: a length and that many bytes. Longer than `limit`, not UTF-8, or holding a zero byte (at
    /// which llama.cpp would cut it) is refused, because then names would not mean the same here and there.
    pub fn name(&mut self, what: &'static str, limit: u64) -> Result<String, GgufError> {
        let length = self.u64(what)?;
        if length > limit {
            return Err(self.bad_name(what, format!("{length} bytes long, {limit} being the most")));
        }
        let mut bytes = Vec::new();
        self.append(what, length, &mut bytes)?;
        if bytes.contains(&0) {
            return Err(self.bad_name(what, "cut by a zero byte".into()));
        }
        String::from_utf8(bytes).map_err(|_| self.bad_name(what, "not UTF-8".into()))
    }

    fn bad_name(&self, what: &'static str, wrong: String) -> GgufError {
        GgufError::Name { path: self.path.into(), what, wrong }
    }

    fn claim(&self, what: &'static str, needed: u64) -> Result<(), GgufError> {
        let left = self.file_bytes - self.position;
        if needed > left {
            return Err(self.truncated(what, needed, left));
        }
        if needed > HEADER_LIMIT.saturating_sub(self.position) {
            return Err(GgufError::HeaderTooLong { path: self.path.into(), limit: Bytes(HEADER_LIMIT) });
        }
        Ok(())
    }

    /// A file that shrinks while it is read ends like one that was short from the start.
    fn failed(&self, what: &'static str, needed: u64, source: io::Error) -> GgufError {
        if source.kind() == io::ErrorKind::UnexpectedEof {
            self.truncated(what, needed, 0)
        } else {
            GgufError::Io { path: self.path.into(), source }
        }
    }

    fn truncated(&self, what: &'static str, needed: u64, left: u64) -> GgufError {
        GgufError::HeaderTruncated { path: self.path.into(), what, position: self.position, needed, left }
    }
}
