//! What SFTP servers answer: packets of every kind, one after the other.

#![no_main]

use libfuzzer_sys::fuzz_target;
use walbrook::storage::sftp::read_anything;

fuzz_target!(|bytes: &[u8]| read_anything(bytes));
