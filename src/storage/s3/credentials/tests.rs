//! How keys are kept, renewed and forgotten, on a clock that stands still.

use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::fake::{Fake, Scratch, response, scratch, start};
use super::{Credentials, Environment};
use crate::storage::s3::{GivenKeys, GivenValue, Keys, Settings};
use crate::sys::clock::ManualClock;
use crate::units::{Secret, Timestamp};

const CONTAINER: (&str, &str) = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/c");
const MINUTE: Duration = Duration::from_secs(60);

struct Setup {
    fake: Fake,
    clock: Arc<ManualClock>,
    home: Scratch,
    credentials: Arc<Credentials>,
}

fn setup(variables: &[(&str, &str)]) -> Setup {
    configured(variables, None)
}

fn configured(variables: &[(&str, &str)], keys: Option<GivenKeys>) -> Setup {
    let fake = Fake::new();
    let clock = Arc::new(ManualClock::new(start()));
    let home = scratch("cache");
    let mut settings = Settings::new("bucket", "path");
    settings.keys = keys;
    let environment = Environment::of(variables, &home);
    let credentials = Credentials::new(&settings, fake.sources(), environment, clock.clone());
    Setup {
        fake,
        clock,
        home,
        credentials: Arc::new(credentials),
    }
}

impl Setup {
    fn id(&self) -> String {
        self.credentials.current().unwrap().access_key_id
    }

    fn asked(&self) -> usize {
        self.fake.asked().len()
    }
}

/// An answer with keys that expire so long after the server's time, which is the clock's at first.
fn keys(id: &str, minutes: u64) -> String {
    let expiration = Timestamp::from_millis(start().millis() + minutes as i64 * 60_000);
    format!(
        r#"{{"AccessKeyId": "{id}", "SecretAccessKey": "hunter2", "Token": "hunter3", "Expiration": "{expiration}"}}"#
    )
}

const DATE: &str = "Fri, 01 May 2026 12:00:00 GMT";

#[test]
fn keys_are_asked_for_once_and_renewed_before_they_expire() {
    let setup = setup(&[CONTAINER]);
    setup.fake.answer_at(200, DATE, &keys("A", 120));
    assert_eq!(setup.id(), "A");
    setup.clock.advance(113 * MINUTE);
    assert_eq!(setup.id(), "A");
    assert_eq!(setup.asked(), 1);

    setup.fake.answer_at(200, DATE, &keys("B", 60));
    setup.clock.advance(2 * MINUTE);
    assert_eq!(setup.id(), "B");
    assert_eq!(setup.id(), "B");
    assert_eq!(setup.asked(), 2);
}

#[test]
fn a_clock_set_right_changes_nothing() {
    let setup = setup(&[CONTAINER]);
    setup.clock.set(Timestamp::from_millis(0));
    setup.fake.answer_at(200, DATE, &keys("A", 60));
    assert_eq!(setup.id(), "A");
    setup.clock.set(start());
    setup.clock.advance(50 * MINUTE);
    assert_eq!(setup.id(), "A");
    setup.fake.answer_at(200, DATE, &keys("B", 60));
    setup.clock.advance(6 * MINUTE);
    assert_eq!(setup.id(), "B");
}

#[test]
fn when_renewing_fails_the_old_keys_serve_until_they_expire() {
    let setup = setup(&[CONTAINER]);
    setup.fake.answer_at(200, DATE, &keys("A", 60));
    setup.id();
    setup.clock.advance(56 * MINUTE);
    setup.fake.answer(500, "");
    assert_eq!(setup.id(), "A");
    assert_eq!(setup.id(), "A");
    assert_eq!(setup.asked(), 2);

    setup.clock.advance(MINUTE);
    setup.fake.fail(false);
    assert_eq!(setup.id(), "A");
    assert_eq!(setup.asked(), 3);

    setup.clock.advance(3 * MINUTE);
    setup.fake.fail(false);
    let error = setup.credentials.current().unwrap_err();
    assert!(error.is_transient(), "{error}");
    setup.fake.answer_at(200, DATE, &keys("B", 60));
    assert_eq!(setup.id(), "B");
}

#[test]
fn refused_keys_are_fetched_again_but_not_over_and_over() {
    let setup = setup(&[CONTAINER]);
    setup.fake.answer_at(200, DATE, &keys("A", 60));
    let used = setup.credentials.current().unwrap();
    setup.fake.answer_at(200, DATE, &keys("A", 60));
    assert!(setup.credentials.refused(&used));
    assert_eq!(setup.credentials.current().unwrap(), used);
    assert!(!setup.credentials.refused(&used));
    assert_eq!(setup.id(), "A");
    assert_eq!(setup.asked(), 2);

    setup.clock.advance(MINUTE);
    setup.fake.answer_at(200, DATE, &keys("B", 60));
    assert!(setup.credentials.refused(&used));
    assert_eq!(setup.id(), "B");
    // A request that was under way with the old ones.
    assert!(setup.credentials.refused(&used));
    assert_eq!(setup.id(), "B");
    assert_eq!(setup.asked(), 3);
}

#[test]
fn keys_of_the_environment_and_of_the_configuration_stay_refused() {
    let variables = [("AWS_ACCESS_KEY_ID", "A"), ("AWS_SECRET_ACCESS_KEY", "s")];
    let configured_keys = Keys {
        access_key_id: "A".to_owned(),
        secret_access_key: Secret::new("s"),
        session_token: None,
    };
    for setup in [
        setup(&variables),
        configured(&[], Some(configured_keys.into())),
    ] {
        let used = setup.credentials.current().unwrap();
        assert!(!setup.credentials.refused(&used));
        assert_eq!(setup.credentials.current().unwrap(), used);
    }
}

#[test]
fn keys_in_files_are_read_again_when_they_are_refused() {
    let home = scratch("exchanged");
    let file = home.join("secret");
    std::fs::write(&file, "old").unwrap();
    let mut given = GivenKeys::from(Keys {
        access_key_id: "A".to_owned(),
        secret_access_key: Secret::new(""),
        session_token: None,
    });
    given.secret_access_key = GivenValue::InFile(file.clone());
    let setup = configured(&[], Some(given));
    let used = setup.credentials.current().unwrap();
    std::fs::write(&file, "new").unwrap();
    assert_eq!(setup.credentials.current().unwrap(), used, "while it holds");
    assert!(setup.credentials.refused(&used));
    let exchanged = setup.credentials.current().unwrap();
    assert_eq!(exchanged.secret_access_key.reveal(), "new");
}

#[test]
fn configured_keys_that_fit_into_no_header_are_refused() {
    let keys = Keys {
        access_key_id: "A\r\nx: y".to_owned(),
        secret_access_key: Secret::new("hunter2"),
        session_token: None,
    };
    let error = configured(&[], Some(keys.into()))
        .credentials
        .current()
        .unwrap_err();
    assert!(
        error
            .to_string()
            .contains("the configuration: the access key id has"),
        "{error}"
    );
}

#[test]
fn files_are_read_again_when_their_keys_are_refused() {
    let setup = setup(&[]);
    std::fs::create_dir(setup.home.join(".aws")).unwrap();
    let write = |id: &str| {
        let text = format!("[default]\naws_access_key_id = {id}\naws_secret_access_key = s\n");
        std::fs::write(setup.home.join(".aws/credentials"), text).unwrap();
    };
    write("A");
    let used = setup.credentials.current().unwrap();
    write("B");
    setup.clock.advance(1000 * MINUTE);
    assert_eq!(setup.id(), "A");
    assert!(setup.credentials.refused(&used));
    assert_eq!(setup.id(), "B");
}

#[test]
fn two_threads_ask_once() {
    for succeeds in [true, false] {
        let setup = setup(&[CONTAINER]);
        let (asked, wait_asked) = channel();
        let (release, wait_release) = channel::<()>();
        setup.fake.act(move || {
            asked.send(()).unwrap();
            wait_release.recv().unwrap();
            let (status, body) = if succeeds {
                (200, keys("A", 60))
            } else {
                (503, String::new())
            };
            Ok(response(status, Vec::new(), &body))
        });
        let current = |credentials: &Arc<Credentials>| {
            let credentials = credentials.clone();
            std::thread::spawn(move || credentials.current())
        };
        let first = current(&setup.credentials);
        wait_asked.recv().unwrap();
        let second = current(&setup.credentials);
        // A second question would panic, since there is no other answer. Success is the same when the second comes
        // late; for the failure it has to be waiting.
        while !succeeds && Arc::strong_count(&setup.credentials) < 3 {
            std::thread::yield_now();
        }
        std::thread::sleep(Duration::from_millis(300));
        release.send(()).unwrap();
        let results = [first.join().unwrap(), second.join().unwrap()];
        assert_eq!(results[0], results[1]);
        assert_eq!(results[0].is_ok(), succeeds);
        assert_eq!(setup.asked(), 1);
    }
}

#[test]
fn keys_that_hold_are_given_out_while_another_thread_renews() {
    let setup = setup(&[CONTAINER]);
    setup.fake.answer_at(200, DATE, &keys("A", 60));
    setup.id();
    setup.clock.advance(56 * MINUTE);
    let (asked, wait_asked) = channel();
    let (release, wait_release) = channel::<()>();
    setup.fake.act(move || {
        asked.send(()).unwrap();
        wait_release.recv().unwrap();
        Ok(response(200, Vec::new(), &keys("B", 120)))
    });
    let credentials = setup.credentials.clone();
    let renewing = std::thread::spawn(move || credentials.current());
    wait_asked.recv().unwrap();
    assert_eq!(setup.id(), "A");
    release.send(()).unwrap();
    assert_eq!(renewing.join().unwrap().unwrap().access_key_id, "B");
    assert_eq!(setup.id(), "B");
}

#[test]
fn keys_refused_while_others_come_do_not_come_back() {
    let setup = setup(&[CONTAINER]);
    setup.fake.answer_at(200, DATE, &keys("A", 60));
    let used = setup.credentials.current().unwrap();
    setup.clock.advance(56 * MINUTE);
    let refusing = Arc::new(Mutex::new(None::<Arc<Credentials>>));
    *refusing.lock().unwrap() = Some(setup.credentials.clone());
    let refused = used.clone();
    setup.fake.act(move || {
        let credentials = refusing.lock().unwrap().take().unwrap();
        assert!(credentials.refused(&refused));
        Ok(response(503, Vec::new(), ""))
    });
    assert!(setup.credentials.current().unwrap_err().is_transient());
    setup.fake.answer_at(200, DATE, &keys("B", 60));
    assert_eq!(setup.id(), "B");
}

#[test]
fn no_secret_is_shown() {
    let setup = setup(&[CONTAINER]);
    setup.fake.answer_at(200, DATE, &keys("A", 60));
    let keys = setup.credentials.current().unwrap();
    assert_eq!(keys.secret_access_key.reveal(), "hunter2");
    assert!(!format!("{keys:?}").contains("hunter"));
    let sent = crate::storage::http::Request {
        headers: vec![("authorization", "hunter2".to_owned())],
        ..crate::storage::http::Request::new(
            crate::storage::http::Method::Get,
            "http://h/?hunter2".to_owned(),
        )
    };
    assert!(!format!("{sent:?}").contains("hunter"));
}
