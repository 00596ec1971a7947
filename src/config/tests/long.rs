//! Long lists of databases.

use std::time::Instant;

use super::*;

#[test]
fn thousands_of_databases_are_checked_against_each_other_in_no_time() {
    let mut text = String::from("dbs:\n");
    for number in 0..5000 {
        text += &format!(" - path: /srv/{number}.db\n   replicas: [{{path: /backup/{number}}}]\n");
    }
    let begin = Instant::now();
    assert_eq!(quiet(&text).databases.len(), 5000);
    assert!(
        begin.elapsed() < Duration::from_secs(3),
        "{:?}",
        begin.elapsed()
    );
    text += " - path: /srv/new.db\n   replica: {path: /backup/500/ltx/1}\n";
    let error = error_of(&text);
    assert!(
        error.contains("is also that of /srv/500.db (line 1003)"),
        "{error}"
    );
}
