//! The bytes of an LTX file in order: every read is for a named part of known size, and a file that ends
//! within one is truncated there.

use std::io::{self, BufRead, BufReader, Read};

use super::error::{Error, Fault};

/// Reads from `input` and counts the bytes. Holds 8 KiB.
pub(super) struct Source<R> {
    input: BufReader<R>,
    position: u64,
}

impl<R: Read> Source<R> {
    pub(super) fn new(input: R) -> Source<R> {
        Source {
            input: BufReader::with_capacity(BUFFER_BYTES, input),
            position: 0,
        }
    }

    /// The same for an input that begins at byte `position` of the file.
    pub(super) fn at(input: R, position: u64) -> Source<R> {
        Source {
            position,
            ..Source::new(input)
        }
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Fills all of `buffer`.
    pub(super) fn fill(&mut self, buffer: &mut [u8], part: &'static str) -> Result<(), Error> {
        match self.input.read_exact(buffer) {
            Ok(()) => {
                self.position += buffer.len() as u64;
                Ok(())
            }
            Err(error) => Err(self.classify(error, part)),
        }
    }

    /// Reads `N` bytes.
    pub(super) fn array<const N: usize>(&mut self, part: &'static str) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        self.fill(&mut bytes, part)?;
        Ok(bytes)
    }

    /// Whether no byte is left.
    pub(super) fn is_at_end(&mut self) -> Result<bool, Error> {
        loop {
            match self.input.fill_buf() {
                Ok(rest) => return Ok(rest.is_empty()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.classify(error, "the end of the file")),
            }
        }
    }

    /// Storage backends report a file cut short as an unexpected end, too.
    fn classify(&self, error: io::Error, part: &'static str) -> Error {
        if error.kind() != io::ErrorKind::UnexpectedEof {
            return Error::Io(error);
        }
        let offset = self.position;
        Error::Invalid(Fault::Truncated { part, offset })
    }
}

/// Enough that small pages do not cost a system call each; larger reads go past it.
const BUFFER_BYTES: usize = 8 << 10;
