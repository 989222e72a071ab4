//! The beginning of what a program writes; the rest is read and forgotten, so that it is not held up.

use std::io::Read;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use super::job::Bytes;

/// How long a stream may stay open behind the program.
const PATIENCE: Duration = Duration::from_secs(1);

/// A stream that is being read.
pub(super) struct Output {
    kept: Arc<Mutex<(Vec<u8>, bool)>>,
    reader: JoinHandle<()>,
}

impl Output {
    /// Reads a stream to its end and keeps its first bytes.
    pub(super) fn of(mut stream: impl Read + Send + 'static, most: u64) -> Self {
        let kept = Arc::new(Mutex::new((Vec::new(), false)));
        let shared = Arc::clone(&kept);
        let most = usize::try_from(most).unwrap_or(usize::MAX);
        let reader = thread::spawn(move || {
            let mut block = [0; 16 << 10];
            while let Ok(read @ 1..) = stream.read(&mut block) {
                let mut kept = shared.lock().unwrap_or_else(PoisonError::into_inner);
                let room = most.saturating_sub(kept.0.len()).min(read);
                kept.0.extend(block.iter().take(room));
                kept.1 |= room < read;
            }
        });
        Self { kept, reader }
    }

    /// What was kept, and whether there was more. A process that got away may still hold the stream.
    pub(super) fn end(self) -> (Bytes, bool) {
        let begun = Instant::now();
        while !self.reader.is_finished() && begun.elapsed() < PATIENCE {
            thread::sleep(Duration::from_millis(1));
        }
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        (Bytes(std::mem::take(&mut kept.0)), kept.1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_beginning_is_kept() {
        let read = |most| Output::of(&b"abcdef"[..], most).end();
        assert_eq!(read(6), (Bytes(b"abcdef".to_vec()), false));
        assert_eq!(read(4), (Bytes(b"abcd".to_vec()), true));
    }
}
