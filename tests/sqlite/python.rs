//! The application in another process, which does as it is told, in Python.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// A process that runs snippets of Python on a database.
pub(crate) struct Python {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Python {
    /// One for the database at `path`, not opened yet.
    pub(crate) fn start(path: &Path) -> Python {
        Python::start_script("sq_shell.py", &[path.to_str().unwrap()])
    }

    /// One that runs another script.
    pub(crate) fn start_script(script: &str, arguments: &[&str]) -> Python {
        let scripts = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/writers/");
        let mut child = Command::new("python3")
            .arg(format!("{scripts}{script}"))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Python {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
        }
    }

    /// Runs `code` and gives its value, if it is an expression.
    pub(crate) fn run(&mut self, code: &str) -> String {
        self.send(code);
        self.answer()
    }

    /// Runs `code` and gives the error it raised.
    pub(crate) fn fail(&mut self, code: &str) -> String {
        self.send(code);
        let answer = self.line();
        let error = answer.strip_prefix("error ");
        error
            .unwrap_or_else(|| panic!("{code} gave {answer}"))
            .to_string()
    }

    /// Lets `code` run; its answer is to be taken later.
    pub(crate) fn send(&mut self, code: &str) {
        let hex: String = code.bytes().map(|byte| format!("{byte:02x}")).collect();
        writeln!(self.input, "{hex}").unwrap();
    }

    /// Waits for the answer to what was sent.
    pub(crate) fn answer(&mut self) -> String {
        let answer = self.line();
        match answer.strip_prefix("ok") {
            Some(value) => value.trim().to_string(),
            None => panic!("Python: {answer}"),
        }
    }

    /// Waits for the next line of a script.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim_end().to_string()
    }

    /// Ends it at once, as a crash of the application would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Python {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
