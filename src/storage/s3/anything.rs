//! Every reader of what a server sends, on bytes of any kind: for tests that it ends, and without a panic.

use super::answer::{Complaint, parse};
use super::{delete, get, list, parts};

/// Reads `bytes` as each of the answers there are.
pub fn read_anything(bytes: &[u8]) {
    let _ = Complaint::parse(bytes);
    let _ = parse(bytes, list::read);
    let _ = parse(bytes, delete::failures);
    let _ = parse(bytes, parts::unfinished);
    let _ = parse(bytes, parts::upload_id);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = get::content_range(text);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::read_anything;

    /// Documents that are nearly those of S3.
    fn nearly() -> impl Strategy<Value = String> {
        let name = prop::sample::select(vec![
            "ListBucketResult",
            "ListMultipartUploadsResult",
            "DeleteResult",
            "Error",
            "Contents",
            "Upload",
            "Key",
            "Size",
            "LastModified",
            "Initiated",
            "IsTruncated",
            "NextContinuationToken",
            "UploadId",
            "Code",
            "Message",
        ]);
        let text = prop_oneof![
            "[0-9]{0,25}",
            "[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(\\.[0-9]{0,12})?Z?",
            Just("true".to_owned()),
            Just("&amp;&#x0;<![CDATA[x]]>".to_owned()),
            any::<String>(),
        ];
        let leaf = (name.clone(), text).prop_map(|(name, text)| format!("<{name}>{text}</{name}>"));
        leaf.prop_recursive(4, 64, 8, move |inner| {
            (name.clone(), prop::collection::vec(inner, 0..8))
                .prop_map(|(name, inside)| format!("<{name}>{}</{name}>", inside.concat()))
        })
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            read_anything(&bytes);
        }

        #[test]
        fn any_document_is_read(text in nearly(), cut in any::<prop::sample::Index>()) {
            read_anything(text.as_bytes());
            read_anything(&text.as_bytes()[..cut.index(text.len() + 1)]);
        }

        #[test]
        fn any_range_is_read(text in "(bytes )?[0-9]{0,25}-[0-9]{0,25}/([0-9]{0,25}|\\*)") {
            read_anything(text.as_bytes());
        }
    }

    /// On the stack of the threads that send parts.
    #[test]
    fn documents_as_deep_as_they_can_be_fit_on_the_stack() {
        let deep = "<a>".repeat(80_000);
        let closed = deep.clone() + &"</a>".repeat(80_000);
        let thread = std::thread::Builder::new().stack_size(256 << 10);
        let read = move || [deep, closed].map(|text| read_anything(text.as_bytes()));
        thread.spawn(read).unwrap().join().unwrap();
    }

    #[test]
    fn entities_do_not_grow() {
        let bomb = "<!DOCTYPE a [<!ENTITY x 'xxxxxxxxxx'><!ENTITY y '&x;&x;&x;&x;'>]><Error><Code>&y;</Code></Error>";
        assert_eq!(super::Complaint::parse(bomb.as_bytes()).code, "");
    }
}
