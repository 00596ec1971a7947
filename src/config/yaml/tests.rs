//! What the YAML reader makes of texts, and where it stops.

use proptest::prelude::*;

use super::*;

/// The tree in one line, with the position of each scalar.
fn shown(node: &Node) -> String {
    let place = |text: &str, at: Position| format!("{text}@{at}");
    match &node.value {
        Value::Null => "~".to_owned(),
        Value::Scalar(text) => place(text, node.position),
        Value::Sequence(items) => {
            let items: Vec<String> = items.iter().map(|item| shown(item)).collect();
            format!("[{}]", items.join(" "))
        }
        Value::Mapping(entries) => {
            let entries: Vec<String> = entries
                .iter()
                .map(|e| format!("{}: {}", place(&e.key, e.position), shown(&e.value)))
                .collect();
            format!("{{{}}}", entries.join(" "))
        }
    }
}

fn read(text: &str) -> Result<String, String> {
    match parse(text) {
        Ok(node) => Ok(shown(&node)),
        Err(error) => Err(format!("{} {}", error.position, error.message)),
    }
}

#[test]
fn positions_count_from_one_in_characters() {
    assert_eq!(
        read("a: 1\nä:\n  - x\n  - {b: 'é', c: \"d\"}\n"),
        Ok("{a@1:1: 1@1:4 ä@2:1: [x@3:5 {b@4:6: é@4:9 c@4:14: d@4:17}]}".to_owned())
    );
}

#[test]
fn nulls_anchors_and_tags() {
    for (text, expected) in [
        ("", "~"),
        ("# only a comment\n", "~"),
        ("\u{feff}a:", "{a@1:1: ~}"),
        ("a: ~", "{a@1:1: ~}"),
        ("a: ''", "{a@1:1: @1:4}"),
        ("a: 'null'", "{a@1:1: null@1:4}"),
        ("a: !!str 5", "{a@1:1: 5@1:4}"),
        ("a: &x [1]\nb: *x", "{a@1:1: [1@1:8] b@2:1: [1@1:8]}"),
        ("a: '<<'", "{a@1:1: <<@1:4}"),
        ("---\na: 1\n...\n", "{a@2:1: 1@2:4}"),
    ] {
        assert_eq!(read(text), Ok(expected.to_owned()), "{text}");
    }
}

#[test]
fn what_means_something_else_than_it_seems_is_refused() {
    for (text, expected) in [
        (
            "a: 1\nb: 2\na: 3\n",
            "3:1 the key `a` stands here twice (first in line 1)",
        ),
        (
            "a: &x {b: 1}\nc:\n  <<: *x\n",
            "3:3 merge keys (`<<`) are not supported; write the settings out, or put those that all \
             replicas share at the top level",
        ),
        (
            "a: 1\n---\nb: 1\n",
            "2:1 a second YAML document begins here; only one is read",
        ),
        (
            "a: !secret x",
            "1:4 tags (`!…`) are not supported; take the tag out",
        ),
        (
            "[a]: 1",
            "1:1 a key must be a word, not a list or a mapping",
        ),
        ("a: &x [*x]", "1:8 this alias is inside its own anchor"),
    ] {
        assert_eq!(read(text), Err(expected.to_owned()), "{text}");
    }
    assert!(read("a: b: c").unwrap_err().contains("not valid YAML"));
    assert!(read("a: [1").unwrap_err().contains("not valid YAML"));
}

#[test]
fn limits_hold() {
    let deep = "[".repeat(DEPTH_MAX + 1);
    assert!(read(&deep).unwrap_err().contains("nested more than"));
    let long = "#".repeat(FILE_BYTES_MAX + 1);
    assert!(read(&long).unwrap_err().contains("larger than"));
    let many = format!("[{}]", "a,".repeat(NODES_MAX + 1));
    assert!(read(&many).unwrap_err().contains("too much"));
    // Nine levels of nine aliases each: billions of nodes, were they made.
    let mut laughs = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n".to_owned();
    for level in 1..9 {
        let aliases = vec![format!("*a{}", level - 1); 9].join(",");
        laughs.push_str(&format!("a{level}: &a{level} [{aliases}]\n"));
    }
    assert!(read(&laughs).unwrap_err().contains("too much"));
    let copies = format!("a: &a {}\nb: [{}]", "x".repeat(100_000), "*a,".repeat(1000));
    assert!(read(&copies).unwrap_err().contains("too much"));
}

proptest! {
    #[test]
    fn no_text_panics(text in "[-a-c:&*<{}\\[\\],!|>?'\"#%@~$ \t\r\n.\u{feff}\u{0}é]{0,60}") {
        let _ = parse(&text);
    }
}
