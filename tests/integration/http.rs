//! What servers of the tests' own are asked.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpStream;

/// A request.
pub struct Request {
    lines: Vec<String>,
    pub body: Vec<u8>,
}

impl Request {
    /// Reads one whole.
    pub fn read(stream: &TcpStream) -> std::io::Result<Self> {
        let mut reader = BufReader::new(stream);
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            match line.trim() {
                "" => break,
                line => lines.push(line.to_owned()),
            }
        }
        let mut request = Self { lines, body: Vec::new() };
        request.body = vec![0; request.header("content-length").parse().unwrap_or(0)];
        reader.read_exact(&mut request.body)?;
        Ok(request)
    }

    /// A header by its name in small letters; empty if it has none.
    pub fn header(&self, name: &str) -> &str {
        let named = |line: &&String| line.to_lowercase().starts_with(&format!("{name}: "));
        self.lines.iter().find(named).and_then(|line| line.split_once(": ")).map_or("", |(_, value)| value)
    }

    /// What is asked for.
    pub fn path(&self) -> &str {
        self.lines.first().and_then(|line| line.split(' ').nth(1)).unwrap_or_default()
    }
}
