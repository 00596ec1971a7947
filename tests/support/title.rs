//! A title to any replica, for tests that are about something else.

use walbrook::replica::{Title, Voucher, WriterId};
use walbrook::sqlite::FileMark;

/// That of a database which a person vouches for.
pub(crate) fn adopted() -> Title {
    let mark = FileMark {
        number: 7,
        lasting: true,
    };
    Title {
        writer: WriterId::of(mark),
        voucher: Voucher::Adopted,
    }
}
