//! What a page carries inside, packed: gzip, then base64. In that alphabet nothing can end a script or begin a comment, and
//! a browser unpacks it by itself when it is needed.

use std::io::{self, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::{Compression, GzBuilder};

/// The same bytes give the same text: it carries neither a time nor a name.
pub(super) fn pack(plain: &[u8]) -> io::Result<String> {
    // 255 says "unknown system": the same byte wherever it is written.
    let mut packer = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::new(6));
    packer.write_all(plain)?;
    Ok(STANDARD.encode(packer.finish()?))
}

#[cfg(test)]
pub(super) fn unpack(packed: &str) -> String {
    use std::io::Read as _;
    let bytes = STANDARD.decode(packed).unwrap();
    let mut text = String::new();
    flate2::read::GzDecoder::new(bytes.as_slice()).read_to_string(&mut text).unwrap();
    text
}
