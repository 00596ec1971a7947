//! `litestream.yml`, and the times and durations in it and on the command line.

#![no_main]

use libfuzzer_sys::fuzz_target;
use walbrook::config::{Config, ReplicaLocation};
use walbrook::units::{Timestamp, parse_duration, parse_size};

fuzz_target!(|text: &str| {
    let _ = Config::from_text(text, false);
    let _ = ReplicaLocation::parse_url(text);
    let _ = parse_duration(text);
    let _ = parse_size(text);
    if let Ok(time) = Timestamp::parse(text) {
        assert_eq!(Timestamp::parse(&time.to_string()), Ok(time));
    }
});
