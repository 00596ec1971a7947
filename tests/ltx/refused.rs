//! Broken files and chains: each is refused with an error class that names what is wrong.

use walbrook::ltx::{Class, PageIndex};

use super::vectors::{decode, field, manifest, read, rebuild, text, texts};

#[test]
fn every_malformed_file_is_refused_with_a_fitting_class() {
    let mut failures = Vec::new();
    let (mut files, mut chains) = (0, 0);
    for vector in manifest("malformed") {
        let path = text(&vector["path"]);
        let result = if text(&vector["scope"]) == "file" {
            files += 1;
            decode(&read(path)).map(drop).map_err(|error| error.class())
        } else {
            chains += 1;
            let chain: Vec<_> = texts(&vector["chain"]).into_iter().map(read).collect();
            rebuild(&chain).map(drop)
        };
        let any_class = field(&vector, "any_class").is_some_and(|any| *any.get().unwrap());
        let fits =
            |class: Class| any_class || texts(&vector["classes"]).contains(&&*class.to_string());
        if !result.is_err_and(fits) {
            failures.push(format!("{path}: {result:?}, not {:?}", vector["classes"]));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    assert_eq!((files, chains), (176, 7));
}

#[test]
fn a_file_on_which_an_other_program_crashes_is_truncated() {
    let bytes = read("malformed/support/base.ltx");
    assert!(decode(&bytes).is_ok());
    for length in 0..bytes.len() {
        let error = decode(&bytes[..length]).unwrap_err();
        assert_eq!(error.class(), Class::Truncated, "cut to {length} bytes");
    }
}

#[test]
fn an_index_damaged_in_the_tail_is_refused_or_that_of_a_valid_layout() {
    for vector in manifest("malformed") {
        let bytes = read(text(&vector["path"]));
        let result = PageIndex::parse_tail(&bytes, bytes.len() as u64);
        let must_fail = text(&vector["name"]).starts_with("index-");
        assert!(result.is_err() || !must_fail, "{:?}", vector["name"]);
    }
}
