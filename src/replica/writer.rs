//! Who writes a replica: a number in the header of every file of ours, where Litestream leaves zeros.
//!
//! It is made of the machine and of the database's very file, so nothing has to be remembered for it: a run that has
//! lost its state knows the files of earlier runs for its own, and a database that was copied, restored or made anew
//! is another writer, on the same machine and on a copy of its memory card.

use std::fmt;
use std::num::NonZeroU64;

use crate::ltx::Header;
use crate::sqlite::FileMark;
use crate::sys::machine;

/// One database file on one machine.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct WriterId(NonZeroU64);

impl WriterId {
    /// That of the database file with this mark.
    pub fn of(mark: FileMark) -> WriterId {
        let both = [
            machine::fingerprint().to_be_bytes(),
            mark.number.to_be_bytes(),
        ]
        .concat();
        let number = NonZeroU64::new(machine::number_of(&both));
        WriterId(number.unwrap_or(NonZeroU64::MAX))
    }

    /// Who wrote the file with this header; none where it does not say, as those of Litestream.
    pub fn in_header(header: &Header) -> Option<WriterId> {
        NonZeroU64::new(header.node_id).map(WriterId)
    }

    /// As it stands in a header.
    pub fn number(self) -> u64 {
        self.0.get()
    }
}

impl fmt::Display for WriterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}
