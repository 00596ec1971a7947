//! Times as people write them, and what is said of the state that was chosen.

use super::{Answer, of_url, replicated};
use crate::ltx::vectors::{list, text};
use crate::support::rig::{Rig, sqlite};

/// Restores as of `time`.
fn restore(rig: &Rig, time: &str, name: &str) -> Answer {
    let output = rig.path(name);
    let output = output.to_str().unwrap();
    of_url(rig, &["restore", "-timestamp", time, "-o", output])
}

#[test]
fn a_state_is_found_by_a_time_as_people_write_it() {
    let rig = Rig::new();
    replicated(&rig, 3);
    let history = of_url(&rig, &["history", "-json"]).json();
    let points = list(&history[0]["points"]);
    let [.., before, newest] = points else {
        panic!("{history:?}");
    };
    let [first, last] = ["earliest", "latest"].map(|end| text(&history[0][end]));
    let window = format!("; what can be restored is from {first} to {last}\n");

    // Just when the newest began to be, in other words: the one before it, since a time names the state before it.
    let time = text(&newest["timestamp"]).replace('T', " ");
    let answer = restore(&rig, time.trim_end_matches('Z'), "a.db");
    assert_eq!(answer.code, 0, "{answer:?}");
    let (txid, of) = (text(&before["txid"]), text(&before["timestamp"]));
    let chosen = format!("to txid {txid} of {of}: ");
    assert!(answer.said.contains(&chosen), "{chosen} {answer:?}");
    assert!(answer.said.ends_with(&window), "{window} {answer:?}");
    assert_eq!(
        sqlite(&rig.path("a.db"), "SELECT count(*) FROM t").trim(),
        "20"
    );

    let answer = restore(&rig, "0s ago", "b.db");
    assert_eq!(answer.code, 0, "{answer:?}");
    assert!(answer.said.contains(text(&newest["txid"])), "{answer:?}");
    assert_eq!(
        sqlite(&rig.path("b.db"), "SELECT count(*) FROM t").trim(),
        "30"
    );

    for early in ["1d ago", "2001-01-01", "2001-01-01 10:30", first] {
        let answer = restore(&rig, early, "c.db");
        assert_ne!(answer.code, 0, "{answer:?}");
        let earliest = format!("of {first}: -txid {}", text(&points[0]["txid"]));
        assert!(
            answer.said.contains(&earliest),
            "{early}: {earliest} {answer:?}"
        );
        assert!(!rig.path("c.db").exists());
    }
    let answer = restore(&rig, "a week ago", "c.db");
    assert!(answer.said.contains("invalid -timestamp"), "{answer:?}");
}

#[test]
fn json_says_of_when_the_state_is() {
    let rig = Rig::new();
    replicated(&rig, 2);
    let history = of_url(&rig, &["history", "-json"]).json();
    for (index, point) in list(&history[0]["points"]).iter().enumerate() {
        let output = rig.path(&format!("{index}.db"));
        let output = output.to_str().unwrap();
        let line = [
            "restore",
            "-json",
            "-txid",
            text(&point["txid"]),
            "-o",
            output,
        ];
        let report = of_url(&rig, &line).json();
        assert_eq!(report["timestamp"], point["timestamp"]);
    }
}
