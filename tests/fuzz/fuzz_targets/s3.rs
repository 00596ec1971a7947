//! What S3 servers answer: listings, errors, the steps of uploads in parts, header lines about ranges.

#![no_main]

use libfuzzer_sys::fuzz_target;
use walbrook::storage::s3::read_anything;

fuzz_target!(|bytes: &[u8]| read_anything(bytes));
