//! Small text files from outside: read up to a bound, and again each time, since somebody may have changed them.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Reads a text file of at most 1 MiB.
///
/// # Errors
/// When it cannot be read, is longer, or is not UTF-8.
pub(super) fn read_text(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(MOST_BYTES + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(io::Error::other("the file is longer than 1 MiB"));
    }
    Ok(text)
}

const MOST_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::super::fake::scratch;
    use super::*;

    #[test]
    fn what_is_too_long_is_refused() {
        let home = scratch("long");
        let path = home.join("file");
        std::fs::write(&path, vec![b'a'; 1 << 20]).unwrap();
        assert_eq!(read_text(&path).unwrap().len(), 1 << 20);
        std::fs::write(&path, vec![b'a'; (1 << 20) + 1]).unwrap();
        assert!(read_text(&path).is_err());
    }
}
