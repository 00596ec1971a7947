//! Listings, page by page.

use std::io;

use roxmltree::Node;

use super::answer::{called, children, text};
use super::bucket::{Ask, Bucket};
use crate::storage::StorageError;
use crate::storage::http::Method;
use crate::units::Timestamp;

/// A page of 1,000 objects takes half a megabyte; some servers give more of them at once.
const PAGE_BYTES_MAX: u64 = 64 << 20;

/// One object of a listing.
#[derive(Debug)]
pub(super) struct Object {
    pub(super) key: String,
    pub(super) size: u64,
    pub(super) modified: Timestamp,
}

/// How a listing goes on.
#[derive(Debug, Eq, PartialEq)]
enum Next {
    /// With this token.
    Token(String),
    /// After this key, with servers that only know the first version of listings.
    After(String),
}

#[derive(Debug)]
pub(super) struct Page {
    objects: Vec<Object>,
    /// What keys begin with that have a slash later on, where they were asked to be told together.
    prefixes: Vec<String>,
    next: Option<Next>,
}

/// All objects whose key begins with `prefix`, in the order of their keys.
pub(super) fn list(bucket: &Bucket, prefix: &str) -> Result<Vec<Object>, StorageError> {
    list_after(bucket, prefix, None)
}

/// The same without those up to the key `after`, if the server heeds that.
pub(super) fn list_after(
    bucket: &Bucket,
    prefix: &str,
    after: Option<String>,
) -> Result<Vec<Object>, StorageError> {
    let mut objects = Vec::new();
    pages(bucket, prefix, false, after, &mut |page| {
        objects.extend(page.objects);
    })?;
    // Where the first version serves as the second, keys may come in another order.
    objects.sort_by(|a, b| a.key.cmp(&b.key));
    objects.dedup_by(|a, b| a.key == b.key);
    Ok(objects)
}

/// What stands directly below `prefix`, which is empty or ends with a slash: what keys begin with up to the next
/// slash, in order. `see` is shown the other keys.
pub(super) fn prefixes(
    bucket: &Bucket,
    prefix: &str,
    see: &mut dyn FnMut(&str),
) -> Result<Vec<String>, StorageError> {
    let mut prefixes = Vec::new();
    pages(bucket, prefix, true, None, &mut |page| {
        prefixes.extend(page.prefixes);
        page.objects.iter().for_each(|object| see(&object.key));
    })?;
    prefixes.sort_unstable();
    prefixes.dedup();
    Ok(prefixes)
}

fn pages(
    bucket: &Bucket,
    prefix: &str,
    is_flat: bool,
    after: Option<String>,
    take: &mut dyn FnMut(Page),
) -> Result<(), StorageError> {
    let mut next = after.map(Next::After);
    loop {
        let mut page = page(bucket, prefix, is_flat, next.as_ref())?;
        let next_page = page.next.take();
        take(page);
        match next_page {
            None => return Ok(()),
            // Or it would never end.
            again if again == next => {
                return Err(StorageError::Unreachable {
                    operation: "list",
                    location: bucket.location(prefix),
                    source: io::Error::other("the server gives the same page again and again"),
                    sent: false,
                });
            }
            next_page => next = next_page,
        }
    }
}

fn page(
    bucket: &Bucket,
    prefix: &str,
    is_flat: bool,
    next: Option<&Next>,
) -> Result<Page, StorageError> {
    let mut query = vec![("list-type", "2"), ("prefix", prefix)];
    if is_flat {
        query.push(("delimiter", "/"));
    }
    match next {
        Some(Next::Token(token)) => query.push(("continuation-token", token)),
        Some(Next::After(key)) => query.extend([("start-after", key.as_str()), ("marker", key)]),
        None => {}
    }
    let ask = Ask {
        query: &query,
        ..Ask::new(Method::Get, "")
    };
    bucket.ask_document("list", &ask, PAGE_BYTES_MAX, read)
}

pub(super) fn read(root: Node<'_, '_>) -> Option<Page> {
    called(root, "ListBucketResult")?;
    let objects: Vec<Object> = children(root, "Contents")
        .map(object)
        .collect::<Option<_>>()?;
    let prefixes: Vec<String> = children(root, "CommonPrefixes")
        .map(|common| text(common, "Prefix").map(str::to_owned))
        .collect::<Option<_>>()?;
    let next = match text(root, "IsTruncated") {
        Some("true") => match text(root, "NextContinuationToken") {
            Some(token) => Some(Next::Token(token.to_owned())),
            None => {
                let objects = objects.iter().map(|object| object.key.as_str());
                let last = objects.chain(prefixes.iter().map(String::as_str)).max();
                // Without anything to go on from, a part would be taken for the whole.
                let after = text(root, "NextMarker").or(last)?;
                Some(Next::After(after.to_owned()))
            }
        },
        _ => None,
    };
    Some(Page {
        objects,
        prefixes,
        next,
    })
}

fn object(contents: Node<'_, '_>) -> Option<Object> {
    Some(Object {
        key: text(contents, "Key")?.to_owned(),
        size: text(contents, "Size")?.trim().parse().ok()?,
        modified: Timestamp::parse(text(contents, "LastModified")?.trim()).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(document: &str) -> Option<Page> {
        crate::storage::s3::answer::parse(document.as_bytes(), read)
    }

    #[test]
    fn pages_of_both_versions_are_read() {
        let page = parse(
            r#"<?xml version="1.0"?><ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">
            <IsTruncated>true</IsTruncated><NextContinuationToken>a+b/=</NextContinuationToken>
            <Contents><Key>x/0000/1.ltx</Key>
            <LastModified>2026-11-22T23:52:55.980Z</LastModified><Size>17</Size></Contents>
            </ListBucketResult>"#,
        )
        .unwrap();
        assert_eq!(page.objects[0].key, "x/0000/1.ltx");
        assert_eq!(page.objects[0].size, 17);
        assert_eq!(
            page.objects[0].modified.to_string(),
            "2026-11-22T23:52:55.98Z"
        );
        assert!(matches!(page.next, Some(Next::Token(token)) if token == "a+b/="));
        let page = parse(
            "<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>k</Key>\
             <LastModified>2026-11-22T23:52:55Z</LastModified><Size>1</Size></Contents></ListBucketResult>",
        );
        assert!(matches!(page.unwrap().next, Some(Next::After(key)) if key == "k"));
        assert!(parse("<html/>").is_none());
    }

    #[test]
    fn what_is_told_together_is_read() {
        let page = parse(
            "<ListBucketResult><IsTruncated>true</IsTruncated><Contents><Key>a/k</Key>\
             <LastModified>2026-11-22T23:52:55Z</LastModified><Size>1</Size></Contents>\
             <CommonPrefixes><Prefix>a/x/</Prefix></CommonPrefixes>\
             <CommonPrefixes><Prefix>a/b/</Prefix></CommonPrefixes></ListBucketResult>",
        )
        .unwrap();
        assert_eq!(page.prefixes, ["a/x/", "a/b/"]);
        assert!(matches!(page.next, Some(Next::After(key)) if key == "a/x/"));
    }

    #[test]
    fn a_part_is_not_taken_for_the_whole() {
        let page = "<ListBucketResult><IsTruncated>true</IsTruncated></ListBucketResult>";
        assert!(parse(page).is_none());
        assert!(parse(&page.replace("true", "false")).is_some());
        assert!(parse(&page[..page.len() - 5]).is_none());
    }
}
