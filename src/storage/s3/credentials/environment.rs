//! What the process was started with: variables and the home directory, behind a type, so that tests give their
//! own. And the keys that stand in variables.

use std::path::PathBuf;

use super::CredentialsError;
use super::found::{Found, keys};

/// Variables and the home directory.
pub(in crate::storage) struct Environment {
    variable: Box<Lookup>,
    home: Option<PathBuf>,
    /// Where the kernel tells who made this machine.
    vendor_file: PathBuf,
}

/// Gives the value of a variable.
type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

impl Environment {
    /// That of this process.
    pub(in crate::storage) fn system() -> Environment {
        Environment {
            variable: Box::new(|name| std::env::var(name).ok()),
            home: std::env::home_dir(),
            vendor_file: PathBuf::from("/sys/class/dmi/id/sys_vendor"),
        }
    }

    /// One with these variables alone, and this home directory.
    #[cfg(test)]
    pub(super) fn of(variables: &[(&str, &str)], home: &std::path::Path) -> Environment {
        let variables: std::collections::HashMap<String, String> = variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Environment {
            variable: Box::new(move |name| variables.get(name).cloned()),
            home: Some(home.to_owned()),
            vendor_file: home.join("sys_vendor"),
        }
    }

    /// The value of a variable. An empty one is as good as none, as AWS's programs have it.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        (self.variable)(name).filter(|value| !value.is_empty())
    }

    /// The first of several variables that is set.
    pub(super) fn first(&self, names: &[&str]) -> Option<String> {
        names.iter().find_map(|name| self.get(name))
    }

    /// Whether a variable says `true`.
    pub(super) fn says_true(&self, name: &str) -> bool {
        self.get(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true"))
    }

    /// The file that `variable` names, else `usual` in the home directory.
    pub(super) fn file(&self, variable: &str, usual: &str) -> PathBuf {
        match self.get(variable) {
            Some(path) => self.path(&path),
            None => self.path(&format!("~/{usual}")),
        }
    }

    /// A path, in which a leading `~/` is the home directory.
    pub(super) fn path(&self, path: &str) -> PathBuf {
        match (path.strip_prefix("~/"), &self.home) {
            (Some(below), Some(home)) => home.join(below),
            _ => PathBuf::from(path),
        }
    }

    /// Whether this machine is known to be one of EC2. Older types, which run on Xen, do not say so here.
    pub(super) fn is_ec2(&self) -> bool {
        std::fs::read_to_string(&self.vendor_file).is_ok_and(|vendor| vendor.trim() == "Amazon EC2")
    }

    /// The keys in variables. Litestream's names fill in where AWS's are unset, as Litestream copies them; AWS's
    /// old names come last. One key without the other is left alone, as AWS's SDK does, but noted.
    pub(super) fn keys(&self, notes: &mut Vec<String>) -> Result<Option<Found>, CredentialsError> {
        match (self.first(&ID), self.first(&SECRET)) {
            (Some(id), Some(secret)) => {
                let keys = keys(id, secret, self.get("AWS_SESSION_TOKEN"))
                    .map_err(|reason| CredentialsError::unusable("the environment", reason))?;
                Ok(Some(Found::fixed(keys)))
            }
            (Some(_), None) => {
                notes.push(format!(
                    "the environment has an access key id, but {} is not set",
                    SECRET[0]
                ));
                Ok(None)
            }
            (None, Some(_)) => {
                notes.push(format!(
                    "the environment has a secret access key, but {} is not set",
                    ID[0]
                ));
                Ok(None)
            }
            (None, None) => Ok(None),
        }
    }
}

const ID: [&str; 3] = [
    "AWS_ACCESS_KEY_ID",
    "LITESTREAM_ACCESS_KEY_ID",
    "AWS_ACCESS_KEY",
];
const SECRET: [&str; 3] = [
    "AWS_SECRET_ACCESS_KEY",
    "LITESTREAM_SECRET_ACCESS_KEY",
    "AWS_SECRET_KEY",
];

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn found(variables: &[(&str, &str)]) -> (Option<Found>, Vec<String>) {
        let mut notes = Vec::new();
        let environment = Environment::of(variables, Path::new("/home/a"));
        (environment.keys(&mut notes).unwrap(), notes)
    }

    #[test]
    fn litestreams_names_fill_in_one_by_one() {
        let both = [
            ("AWS_ACCESS_KEY_ID", "AKIA1"),
            ("LITESTREAM_ACCESS_KEY_ID", "AKIA2"),
            ("AWS_SECRET_ACCESS_KEY", ""),
            ("LITESTREAM_SECRET_ACCESS_KEY", "s2"),
            ("AWS_SESSION_TOKEN", "t1"),
        ];
        let keys = found(&both).0.unwrap().keys;
        assert_eq!(keys.access_key_id, "AKIA1");
        assert_eq!(keys.secret_access_key.reveal(), "s2");
        assert_eq!(keys.session_token.unwrap().reveal(), "t1");
    }

    #[test]
    fn one_key_alone_is_noted_by_what_is_missing() {
        let (none, notes) = found(&[("AWS_ACCESS_KEY_ID", "AKIA1")]);
        assert!(none.is_none() && notes[0].contains("AWS_SECRET_ACCESS_KEY is not set"));
        let (none, notes) = found(&[("LITESTREAM_SECRET_ACCESS_KEY", "s")]);
        assert!(none.is_none() && notes[0].contains("AWS_ACCESS_KEY_ID is not set"));
        assert!(found(&[]).1.is_empty());
    }

    #[test]
    fn a_line_break_in_a_key_is_refused_without_showing_it() {
        let variables = [
            ("AWS_ACCESS_KEY_ID", "AKIA1"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2\n"),
        ];
        let environment = Environment::of(&variables, Path::new("/home/a"));
        let error = environment.keys(&mut Vec::new()).err().unwrap();
        assert!(!error.is_transient());
        assert!(
            error
                .to_string()
                .contains("secret access key has a line break"),
            "{error}"
        );
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    #[test]
    fn paths_begin_at_home() {
        let environment = Environment::of(&[("A", "~/x"), ("B", "y")], Path::new("/home/a"));
        assert_eq!(environment.file("A", "z"), Path::new("/home/a/x"));
        assert_eq!(environment.file("B", "z"), Path::new("y"));
        assert_eq!(environment.file("C", ".aws/z"), Path::new("/home/a/.aws/z"));
    }
}
