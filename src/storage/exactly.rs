//! A range of which not a byte may be missing.

use std::io::{self, Read};

/// Reads so many bytes, and no fewer.
pub(super) struct Exactly {
    reader: Box<dyn Read + Send>,
    left: u64,
}

impl Exactly {
    /// `length` bytes of `reader`.
    pub(super) fn new(reader: Box<dyn Read + Send>, length: u64) -> Exactly {
        Exactly {
            reader,
            left: length,
        }
    }
}

impl Read for Exactly {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(bytes.len(), |left| left.min(bytes.len()));
        if most == 0 {
            return Ok(0);
        }
        let count = self.reader.read(&mut bytes[..most])?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.left -= count as u64;
        Ok(count)
    }
}
