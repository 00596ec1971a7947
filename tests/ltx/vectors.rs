//! The test vectors and their manifest.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::PathBuf;

use flate2::read::GzDecoder;
use sha2::{Digest, Sha256};
use tinyjson::JsonValue;
use walbrook::ltx::{Class, Decoder, Error, MergeError, Verified, merge};
use walbrook::units::PageNumber;

/// What the manifest says under `key`, one value an entry.
pub(crate) fn manifest(key: &str) -> Vec<JsonValue> {
    let text = fs::read_to_string(root().join("manifest.json")).unwrap();
    let manifest: JsonValue = text.parse().unwrap();
    list(&manifest[key]).to_vec()
}

/// The bytes of an LTX file of the vectors, gunzipped where it is stored so.
pub(crate) fn read(path: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let plain = root().join(path);
    if plain.exists() && !path.ends_with(".gz") {
        return fs::read(plain).unwrap();
    }
    let zipped = File::open(root().join(format!("{}.gz", path.trim_end_matches(".gz")))).unwrap();
    GzDecoder::new(zipped).read_to_end(&mut bytes).unwrap();
    bytes
}

/// The bytes of a file of the vectors as stored.
pub(crate) fn read_stored(path: &str) -> Vec<u8> {
    fs::read(root().join(path)).unwrap()
}

pub(crate) fn list(value: &JsonValue) -> &[JsonValue] {
    value.get::<Vec<JsonValue>>().unwrap()
}

pub(crate) fn text(value: &JsonValue) -> &str {
    value.get::<String>().unwrap()
}

pub(crate) fn number(value: &JsonValue) -> u64 {
    *value.get::<f64>().unwrap() as u64
}

pub(crate) fn texts(value: &JsonValue) -> Vec<&str> {
    list(value).iter().map(text).collect()
}

/// The field `key` of an object; none when it has no such field.
pub(crate) fn field<'a>(object: &'a JsonValue, key: &str) -> Option<&'a JsonValue> {
    object
        .get::<std::collections::HashMap<String, JsonValue>>()?
        .get(key)
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex(Sha256::digest(bytes).as_slice())
}

/// Reads a whole file and drops its pages.
pub(crate) fn decode(bytes: &[u8]) -> Result<Verified, Error> {
    let mut decoder = Decoder::open(bytes)?;
    while decoder.next_page()?.is_some() {}
    decoder.finish()
}

/// Reads a whole file and sums up its pages as the manifest does.
pub(crate) fn content_sha256(bytes: &[u8]) -> Result<(Verified, String), Error> {
    let mut hash = Sha256::new();
    let mut decoder = Decoder::open(bytes)?;
    while let Some(page) = decoder.next_page()? {
        hash.update(page.number().value().to_be_bytes());
        hash.update(page.data());
    }
    Ok((decoder.finish()?, hex(hash.finalize().as_slice())))
}

/// Opens the files of a chain for merging.
pub(crate) fn open(files: &[Vec<u8>]) -> Result<Vec<Decoder<&[u8]>>, Class> {
    files
        .iter()
        .map(|bytes| Decoder::open(&bytes[..]).map_err(|error| error.class()))
        .collect()
}

/// Merges a chain as a restore does and gives the SHA-256 of the database.
pub(crate) fn rebuild(files: &[Vec<u8>]) -> Result<String, Class> {
    let inputs = open(files)?;
    if !inputs[0].header().txids.is_snapshot() {
        return Err(Class::NoSnapshot);
    }
    let class = |error: MergeError| error.class();
    let (header, merged, bytes) = merge(inputs, Vec::new()).map_err(class)?;
    assert_eq!(bytes, merged.len() as u64);
    let mut decoder = Decoder::open(&merged[..]).unwrap();
    assert_eq!(*decoder.header(), header);
    let mut hash = Sha256::new();
    let mut next = PageNumber::FIRST;
    let zeros = vec![0; header.page_size.bytes() as usize];
    while let Some(page) = decoder.next_page().unwrap() {
        if page.number() != next {
            assert_eq!(next, header.page_size.lock_page());
            hash.update(&zeros);
        }
        hash.update(page.data());
        next = PageNumber::new(page.number().value() + 1).unwrap();
    }
    decoder.finish().unwrap();
    Ok(hex(hash.finalize().as_slice()))
}

fn hex(bytes: &[u8]) -> String {
    let mut text = Vec::new();
    for byte in bytes {
        write!(text, "{byte:02x}").unwrap();
    }
    String::from_utf8(text).unwrap()
}

fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/ltx"))
}
