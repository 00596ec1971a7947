//! A server that one of tests/servers' programs has started: what it says of itself, and what can be done to it.

use tinyjson::JsonValue;

use super::helper::{Helper, field, number, string};

/// The server. It ends when this is dropped.
pub(crate) struct Running {
    helper: Helper,
    shared: bool,
    facts: JsonValue,
}

impl Running {
    /// Starts `script` with these arguments. Nothing may be done to a server that is `shared` by several tests.
    #[track_caller]
    pub(crate) fn start(script: &str, arguments: &[&str], shared: bool) -> Running {
        let (helper, facts) = Helper::start(script, arguments);
        Running {
            helper,
            shared,
            facts,
        }
    }

    /// What it says of itself.
    pub(crate) fn facts(&self) -> &JsonValue {
        &self.facts
    }

    /// A text of that.
    pub(crate) fn fact(&self, name: &str) -> String {
        string(field(&self.facts, name).unwrap())
    }

    /// A number of that.
    pub(crate) fn count(&self, name: &str) -> u64 {
        number(field(&self.facts, name).unwrap())
    }

    /// The process of the helper, which holds the server.
    pub(crate) fn helper_pid(&self) -> u32 {
        self.helper.pid()
    }

    /// The process of the server as it was first started.
    pub(crate) fn pid(&self) -> u32 {
        self.count("pid") as u32
    }

    /// Kills it and all its sessions, without warning.
    #[track_caller]
    pub(crate) fn kill(&self) {
        self.handle("kill");
    }

    /// Ends it in order.
    #[track_caller]
    pub(crate) fn stop(&self) {
        self.handle("stop");
    }

    /// Starts it again over the same data, and waits until it works.
    #[track_caller]
    pub(crate) fn start_again(&self) {
        self.handle("start");
    }

    /// Lets it hang, and all its sessions: connections are made, and nothing is ever answered.
    #[track_caller]
    pub(crate) fn freeze(&self) {
        self.handle("freeze");
    }

    /// Lets it go on.
    #[track_caller]
    pub(crate) fn thaw(&self) {
        self.handle("thaw");
    }

    /// Does something to it.
    #[track_caller]
    pub(crate) fn handle(&self, command: &str) -> JsonValue {
        assert!(!self.shared, "other tests use this server");
        self.ask(command, &[])
    }

    /// Asks its helper for something.
    #[track_caller]
    pub(crate) fn ask(&self, command: &str, parameters: &[(&str, JsonValue)]) -> JsonValue {
        let answer = self.helper.ask(command, parameters);
        answer.unwrap_or_else(|error| panic!("{command}: {error}"))
    }
}
