//! Where keys are looked for, in the order of AWS's programs: the configuration, variables, a web identity, the
//! shared files, the container's server, the instance's. The first that has anything decides: that it cannot be
//! used is an error, and not a reason to go on with other keys than were meant.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::environment::Environment;
use super::found::{Found, check};
use super::web_identity::Identity;
use super::{CredentialsError, Sources, container, instance, profile};
use crate::storage::s3::GivenKeys;
use crate::sys::clock::Clock;

/// All that keys may come from.
pub(super) struct Chain {
    pub(super) configured: Option<GivenKeys>,
    pub(super) region: Option<String>,
    pub(super) environment: Environment,
    pub(super) sources: Sources,
    pub(super) clock: Arc<dyn Clock>,
    /// Whether the metadata service gave keys before, so that its silence is trouble.
    pub(super) instance_known: AtomicBool,
}

impl Chain {
    /// The keys that go first.
    pub(super) fn find(&self) -> Result<Found, CredentialsError> {
        if let Some(given) = &self.configured {
            return configured(given)
                .map_err(|reason| CredentialsError::unusable("the configuration", reason));
        }
        let mut notes = Vec::new();
        if let Some(found) = self.environment.keys(&mut notes)? {
            return Ok(found);
        }
        if let Some(identity) = Identity::of(&self.environment)? {
            return identity.assume(self, None);
        }
        if let Some(found) = profile::fetch(self, &mut notes)? {
            return Ok(found);
        }
        if let Some(found) = container::fetch(self)? {
            return Ok(found);
        }
        if let Some(found) = self.of_instance(&mut notes)? {
            return Ok(found);
        }
        Err(CredentialsError::NothingFound {
            profile: profile::name(&self.environment),
            file: profile::credentials_file(&self.environment)
                .display()
                .to_string(),
            notes,
        })
    }

    /// The keys of the instance. Most machines are none, and nobody there answers: no more than a note. Where
    /// there must be a metadata service, its silence is trouble that passes.
    fn of_instance(&self, notes: &mut Vec<String>) -> Result<Option<Found>, CredentialsError> {
        if instance::is_disabled(&self.environment) {
            return Ok(None);
        }
        let known = self.instance_known.load(Ordering::Relaxed);
        match instance::fetch(self) {
            Ok(Some(found)) => {
                self.instance_known.store(true, Ordering::Relaxed);
                Ok(Some(found))
            }
            Ok(None) => {
                notes.push("this instance of EC2 has no role".to_owned());
                Ok(None)
            }
            Err(error) if known || instance::is_expected(&self.environment) => Err(error),
            Err(error) => {
                notes.push(error.to_string());
                Ok(None)
            }
        }
    }
}

fn configured(given: &GivenKeys) -> Result<Found, String> {
    let keys = given.read()?;
    check(&keys)?;
    Ok(match given.may_change() {
        true => Found::changing(keys, None),
        false => Found::fixed(keys),
    })
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, chain, scratch};
    use super::*;
    use crate::storage::s3::{GivenValue, Keys};
    use crate::units::Secret;

    const CONTAINER: (&str, &str) = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/c");
    const IDENTITY: (&str, &str) = ("AWS_WEB_IDENTITY_TOKEN_FILE", "/nonexistent");

    #[test]
    fn the_order_is_that_of_aws() {
        let home = scratch("order");
        std::fs::create_dir(home.join(".aws")).unwrap();
        let file = home.join(".aws/credentials");
        std::fs::write(
            &file,
            "[default]\naws_access_key_id=FILE\naws_secret_access_key=s\n",
        )
        .unwrap();
        let fake = Fake::new();
        let environment = [
            ("AWS_ACCESS_KEY_ID", "ENV"),
            ("AWS_SECRET_ACCESS_KEY", "s"),
            IDENTITY,
            CONTAINER,
        ];

        let mut all = chain(&environment, &home, &fake);
        assert_eq!(all.find().unwrap().keys.access_key_id, "ENV");
        let keys = Keys {
            access_key_id: "CONFIG".to_owned(),
            secret_access_key: Secret::new("s"),
            session_token: None,
        };
        all.configured = Some(keys.into());
        assert_eq!(all.find().unwrap().keys.access_key_id, "CONFIG");
        let error = chain(&environment[2..], &home, &fake).find().err().unwrap();
        assert!(error.to_string().contains("AWS_ROLE_ARN"), "{error}");
        assert_eq!(
            chain(&environment[3..], &home, &fake)
                .find()
                .unwrap()
                .keys
                .access_key_id,
            "FILE"
        );

        std::fs::remove_file(&file).unwrap();
        fake.answer(
            200,
            r#"{"AccessKeyId": "CONTAINER", "SecretAccessKey": "s"}"#,
        );
        assert_eq!(
            chain(&environment[3..], &home, &fake)
                .find()
                .unwrap()
                .keys
                .access_key_id,
            "CONTAINER"
        );
        fake.answer(200, "t")
            .answer(200, "r")
            .answer(200, r#"{"AccessKeyId": "EC2", "SecretAccessKey": "s"}"#);
        assert_eq!(
            chain(&[], &home, &fake).find().unwrap().keys.access_key_id,
            "EC2"
        );
    }

    #[test]
    fn files_that_the_configuration_names_are_read_anew() {
        let home = scratch("files");
        let file = home.join("id");
        std::fs::write(&file, "ONE\n").unwrap();
        let mut chain = chain(&[], &home, &Fake::new());
        chain.configured = Some(GivenKeys {
            access_key_id: GivenValue::InFile(file.clone()),
            secret_access_key: GivenValue::Here(Secret::new("hunter2")),
            session_token: None,
        });
        assert_eq!(chain.find().unwrap().keys.access_key_id, "ONE");
        std::fs::write(&file, "TWO\n").unwrap();
        let found = chain.find().unwrap();
        assert_eq!(found.keys.access_key_id, "TWO");
        assert!(found.may_change);
        std::fs::remove_file(&file).unwrap();
        let said = chain.find().err().unwrap().to_string();
        assert!(said.contains(&file.display().to_string()), "{said}");
        assert!(!said.contains("hunter2"));
    }

    #[test]
    fn nothing_found_says_what_to_set() {
        let home = scratch("nothing");
        let variables = [
            ("AWS_EC2_METADATA_DISABLED", "TRUE"),
            ("AWS_SECRET_ACCESS_KEY", "hunter2"),
        ];
        let fake = Fake::new();
        let error = chain(&variables, &home, &fake).find().err().unwrap();
        assert!(fake.asked().is_empty());
        assert!(!error.is_transient());
        let said = error.to_string();
        for part in [
            "access-key-id",
            "AWS_ACCESS_KEY_ID",
            "LITESTREAM",
            "[default]",
            ".aws/credentials",
            "AWS_ACCESS_KEY_ID is not set",
        ] {
            assert!(said.contains(part), "{part}: {said}");
        }
        assert!(!said.contains("hunter2"));
    }

    #[test]
    fn a_silent_metadata_service_is_trouble_only_where_there_must_be_one() {
        let home = scratch("silent");
        let fake = Fake::new();
        let chain = chain(&[], &home, &fake);
        fake.fail(false);
        let error = chain.find().err().unwrap();
        assert!(
            !error.is_transient() && error.to_string().contains("169.254.169.254"),
            "{error}"
        );

        std::fs::write(home.join("sys_vendor"), "Amazon EC2\n").unwrap();
        fake.fail(false);
        assert!(chain.find().err().unwrap().is_transient());
        std::fs::remove_file(home.join("sys_vendor")).unwrap();

        fake.answer(200, "t")
            .answer(200, "r")
            .answer(200, r#"{"AccessKeyId": "A", "SecretAccessKey": "s"}"#);
        chain.find().unwrap();
        fake.fail(false);
        assert!(chain.find().err().unwrap().is_transient());
    }
}
