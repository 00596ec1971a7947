//! Helpers of `tests/servers`: Python programs that run as long as we hold their standard input open, and answer each
//! line of JSON with a line of JSON. They end with us, even when we are killed.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use tinyjson::JsonValue;

use super::rig::required;

/// What it says when something has failed.
const ERROR: &str = "error";

/// A running helper.
pub(crate) struct Helper {
    child: Child,
    name: String,
    /// None once it has been told to end.
    talk: Mutex<Option<(ChildStdin, BufReader<ChildStdout>)>>,
}

impl Helper {
    /// Starts a script of `tests/servers`, and gives what it says first.
    #[track_caller]
    pub(crate) fn start(script: &str, arguments: &[&str]) -> (Helper, JsonValue) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/servers");
        let mut child = Command::new(required("WALBROOK_TEST_PYTHON"))
            .arg(path.join(script))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{script}: {error}"));
        let talk = (
            child.stdin.take().unwrap(),
            BufReader::new(child.stdout.take().unwrap()),
        );
        let helper = Helper {
            child,
            name: format!("{script} {}", arguments.join(" ")),
            talk: Mutex::new(Some(talk)),
        };
        let first = helper.hear().unwrap_or_else(|error| panic!("{error}"));
        (helper, first)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Gives a command with its parameters, and the answer.
    pub(crate) fn ask(
        &self,
        command: &str,
        parameters: &[(&str, JsonValue)],
    ) -> Result<JsonValue, String> {
        let mut order: HashMap<String, JsonValue> = parameters
            .iter()
            .map(|(name, value)| ((*name).to_string(), value.clone()))
            .collect();
        order.insert("do".to_string(), text(command));
        let order = JsonValue::from(order).stringify().unwrap();
        // What one test has got wrong with it is not another's concern.
        let mut talk = self.talk.lock().unwrap_or_else(PoisonError::into_inner);
        let (input, output) = talk.as_mut().unwrap();
        writeln!(input, "{order}").map_err(|error| format!("{}: {error}", self.name))?;
        answer(&self.name, output)
    }

    fn hear(&self) -> Result<JsonValue, String> {
        let mut talk = self.talk.lock().unwrap();
        answer(&self.name, &mut talk.as_mut().unwrap().1)
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        let talk = self.talk.lock().unwrap_or_else(PoisonError::into_inner);
        // Its end of input, at which it ends.
        { talk }.take();
        let _ = self.child.wait();
    }
}

fn answer(name: &str, output: &mut BufReader<ChildStdout>) -> Result<JsonValue, String> {
    let mut line = String::new();
    let read = output.read_line(&mut line);
    match read {
        Ok(length) if length > 0 => {}
        _ => return Err(format!("{name} has ended, see what it said on stderr")),
    }
    let value: JsonValue = line.parse().map_err(|_| format!("{name}: {line}"))?;
    match field(&value, ERROR) {
        Some(error) => Err(format!("{name}: {}", string(error))),
        None => Ok(value),
    }
}

/// A text, for a parameter.
pub(crate) fn text(value: &str) -> JsonValue {
    JsonValue::from(value.to_string())
}

/// Names and texts, for a parameter.
pub(crate) fn texts(values: &[(&str, &str)]) -> JsonValue {
    let pairs = values
        .iter()
        .map(|(name, value)| ((*name).to_string(), text(value)));
    JsonValue::from(pairs.collect::<HashMap<_, _>>())
}

/// A field of an answer, if it is there.
pub(crate) fn field<'a>(value: &'a JsonValue, name: &str) -> Option<&'a JsonValue> {
    value.get::<HashMap<String, JsonValue>>()?.get(name)
}

/// A text of an answer.
#[track_caller]
pub(crate) fn string(value: &JsonValue) -> String {
    let text: Option<&String> = value.get();
    text.unwrap_or_else(|| panic!("{value:?} is no text"))
        .clone()
}

/// A number of an answer.
#[track_caller]
pub(crate) fn number(value: &JsonValue) -> u64 {
    let number: Option<&f64> = value.get();
    *number.unwrap_or_else(|| panic!("{value:?} is no number")) as u64
}
