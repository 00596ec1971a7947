//! Keys of a profile in the files that AWS's programs share: `~/.aws/credentials`, where profiles are `[NAME]`,
//! and `~/.aws/config`, where they are `[profile NAME]` or `[default]`. Together they are one profile; what the
//! first file says goes before the second. Both are read again each time, since an administrator may have put
//! new keys there.

use std::io;
use std::path::PathBuf;

use super::CredentialsError;
use super::chain::Chain;
use super::environment::Environment;
use super::files::read_text;
use super::found::{Found, keys};
use super::ini::{Section, Sections, unquoted};
use super::process;
use super::web_identity::Identity;

/// The keys that the profile leads to; none when it has nothing to do with keys. `notes` gets what may explain
/// why there are none.
pub(super) fn fetch(
    chain: &Chain,
    notes: &mut Vec<String>,
) -> Result<Option<Found>, CredentialsError> {
    let environment = &chain.environment;
    let name = name(environment);
    let profile = Profile::read(environment, &name, notes);
    let Some(place) = profile.place(&name) else {
        return match environment.first(&NAME) {
            Some(_) => Err(missing(environment, &name, notes)),
            None => Ok(None),
        };
    };
    let unusable = |reason: String| CredentialsError::unusable(&place, reason);

    if let Some(role) = profile.get("role_arn")
        && profile.get("web_identity_token_file").is_none()
    {
        return Err(unusable(format!(
            "it takes on the role {role} with other keys, {UNSUPPORTED}"
        )));
    }
    if let Some(file) = profile.get("web_identity_token_file") {
        let Some(role) = profile.get("role_arn") else {
            return Err(unusable(
                "it has a web_identity_token_file, but no role_arn".to_owned(),
            ));
        };
        let identity = Identity {
            place,
            token_file: environment.path(file),
            role: role.to_owned(),
            session: profile.get("role_session_name").map(str::to_owned),
        };
        return identity.assume(chain, profile.get("region")).map(Some);
    }
    if let Some(found) = profile.keys(&name)? {
        return Ok(Some(found));
    }
    if let Some(sign_on) = SIGN_ON.into_iter().find(|key| profile.get(key).is_some()) {
        return Err(unusable(format!(
            "it signs on with a browser ({sign_on}), {UNSUPPORTED}"
        )));
    }
    if let Some(command) = profile.raw("credential_process") {
        return process::fetch(command, &place, chain.clock.now()).map(Some);
    }
    Ok(None)
}

/// The name of the profile to use.
pub(super) fn name(environment: &Environment) -> String {
    environment
        .first(&NAME)
        .unwrap_or_else(|| "default".to_owned())
}

/// The file in which keys would stand.
pub(super) fn credentials_file(environment: &Environment) -> PathBuf {
    environment.file("AWS_SHARED_CREDENTIALS_FILE", ".aws/credentials")
}

fn config_file(environment: &Environment) -> PathBuf {
    environment.file("AWS_CONFIG_FILE", ".aws/config")
}

const NAME: [&str; 2] = ["AWS_PROFILE", "AWS_DEFAULT_PROFILE"];
const SIGN_ON: [&str; 4] = [
    "sso_session",
    "sso_start_url",
    "sso_account_id",
    "login_session",
];
const UNSUPPORTED: &str = "which is not supported; give it aws_access_key_id and aws_secret_access_key, or a \
                           credential_process (which can be `aws configure export-credentials`), or role_arn \
                           with web_identity_token_file";

/// What both files say about a profile: the credentials first.
struct Profile(Vec<(PathBuf, Section)>);

impl Profile {
    fn read(environment: &Environment, name: &str, notes: &mut Vec<String>) -> Profile {
        let (credentials, config) = (credentials_file(environment), config_file(environment));
        let in_credentials = read(&credentials, notes).get(name).cloned();
        let sections = read(&config, notes);
        let in_config = sections.get(&format!("profile {name}"));
        let plain = sections.get(name);
        if in_config.is_none() && plain.is_some() && name != "default" {
            notes.push(format!(
                "{} has [{name}], which must be [profile {name}]",
                config.display()
            ));
        }
        let in_config = in_config.or(plain.filter(|_| name == "default")).cloned();
        let parts = [(credentials, in_credentials), (config, in_config)];
        Profile(
            parts
                .into_iter()
                .filter_map(|(path, section)| Some((path, section?)))
                .collect(),
        )
    }

    /// The profile for messages; none when no file has it.
    fn place(&self, name: &str) -> Option<String> {
        let paths: Vec<String> = self
            .0
            .iter()
            .map(|(path, _)| path.display().to_string())
            .collect();
        (!paths.is_empty()).then(|| format!("the profile {name} in {}", paths.join(" and ")))
    }

    /// The value of a key.
    fn get(&self, key: &str) -> Option<&str> {
        self.raw(key).map(unquoted)
    }

    /// The value of a key with its quotes, which for a command line are part of it.
    fn raw(&self, key: &str) -> Option<&str> {
        self.0.iter().find_map(|(_, section)| section.get(key))
    }

    /// The keys that stand in it. All parts come from the same file: those of different ones are those of
    /// different keys.
    fn keys(&self, name: &str) -> Result<Option<Found>, CredentialsError> {
        let mut incomplete = None;
        for (path, section) in &self.0 {
            let get = |key| section.get(key).map(|value| unquoted(value).to_owned());
            let place = format!("the profile {name} in {}", path.display());
            let missing = match (get(ID), get(SECRET)) {
                (None, None) => continue,
                (Some(id), Some(secret)) => {
                    let keys = keys(id, secret, get("aws_session_token"))
                        .map_err(|reason| CredentialsError::unusable(&place, reason))?;
                    return Ok(Some(Found::changing(keys, None)));
                }
                (Some(_), None) => SECRET,
                (None, Some(_)) => ID,
            };
            incomplete = incomplete.or(Some((place, missing)));
        }
        match incomplete {
            Some((place, missing)) => {
                let reason = format!("it has no {missing}, which must stand in the same file");
                Err(CredentialsError::unusable(&place, reason))
            }
            None => Ok(None),
        }
    }
}

const ID: &str = "aws_access_key_id";
const SECRET: &str = "aws_secret_access_key";

/// Reads one of the files. That it is not there is normal; when it cannot be read, the search goes on elsewhere
/// as with AWS's programs, but that is noted.
fn read(path: &std::path::Path, notes: &mut Vec<String>) -> Sections {
    match read_text(path) {
        Ok(text) => Sections::parse(&text),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Sections::default(),
        Err(error) => {
            notes.push(format!("cannot read {}: {error}", path.display()));
            Sections::default()
        }
    }
}

fn missing(environment: &Environment, name: &str, notes: &mut Vec<String>) -> CredentialsError {
    let mut reason = format!(
        "there is no [{name}] in {} and no [profile {name}] in {}",
        credentials_file(environment).display(),
        config_file(environment).display()
    );
    for note in notes.drain(..) {
        reason.push_str("; ");
        reason.push_str(&note);
    }
    CredentialsError::unusable(
        &format!("the profile {name} (named by AWS_PROFILE or AWS_DEFAULT_PROFILE)"),
        reason,
    )
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, Scratch, chain, scratch};
    use super::*;

    fn home(credentials: &str, config: &str) -> Scratch {
        let home = scratch("profile");
        std::fs::create_dir(home.join(".aws")).unwrap();
        std::fs::write(home.join(".aws/credentials"), credentials).unwrap();
        std::fs::write(home.join(".aws/config"), config).unwrap();
        home
    }

    fn fetched(
        variables: &[(&str, &str)],
        credentials: &str,
        config: &str,
    ) -> (Result<Option<Found>, CredentialsError>, Vec<String>) {
        let home = home(credentials, config);
        let mut notes = Vec::new();
        let result = fetch(&chain(variables, &home, &Fake::new()), &mut notes);
        (result, notes)
    }

    fn id(variables: &[(&str, &str)], credentials: &str, config: &str) -> String {
        let found = fetched(variables, credentials, config).0.unwrap().unwrap();
        found.keys.access_key_id
    }

    fn refusal(variables: &[(&str, &str)], credentials: &str, config: &str) -> String {
        let error = fetched(variables, credentials, config).0.err().unwrap();
        assert!(!error.is_transient(), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error}");
        error.to_string()
    }

    const TWO: &str = "[two]\naws_access_key_id = AKIA2\naws_secret_access_key = s\n";

    #[test]
    fn the_default_profile_and_the_named_one() {
        let credentials =
            format!("[default]\naws_access_key_id=AKIA1\naws_secret_access_key=s\n{TWO}");
        assert_eq!(id(&[], &credentials, ""), "AKIA1");
        assert_eq!(id(&[("AWS_PROFILE", "two")], &credentials, ""), "AKIA2");
        assert_eq!(
            id(&[("AWS_DEFAULT_PROFILE", "two")], &credentials, ""),
            "AKIA2"
        );
    }

    #[test]
    fn credentials_go_before_config_and_are_never_mixed() {
        let config = "[profile two]\naws_access_key_id = AKIA3\naws_secret_access_key = s\n\
                      aws_session_token = stale\n";
        let (result, _) = fetched(&[("AWS_PROFILE", "two")], TWO, config);
        let keys = result.unwrap().unwrap().keys;
        assert_eq!(keys.access_key_id, "AKIA2");
        assert_eq!(keys.session_token, None);

        let half = "[two]\naws_access_key_id = AKIA2\n";
        assert_eq!(id(&[("AWS_PROFILE", "two")], half, config), "AKIA3");
    }

    #[test]
    fn files_can_be_named() {
        let home = home("", "");
        std::fs::write(home.join("mine"), TWO).unwrap();
        let variables = [
            ("AWS_SHARED_CREDENTIALS_FILE", "~/mine"),
            ("AWS_PROFILE", "two"),
        ];
        let found = fetch(&chain(&variables, &home, &Fake::new()), &mut Vec::new());
        assert_eq!(found.unwrap().unwrap().keys.access_key_id, "AKIA2");
    }

    #[test]
    fn one_key_without_the_other_is_an_error_that_names_the_file() {
        let said = refusal(&[], "[default]\naws_secret_access_key = hunter2\n", "");
        assert!(
            said.contains("no aws_access_key_id") && said.contains(".aws/credentials"),
            "{said}"
        );
    }

    #[test]
    fn a_named_profile_must_be_there_and_the_default_need_not() {
        let said = refusal(&[("AWS_PROFILE", "two")], "[one]\nx = hunter2\n", TWO);
        assert!(
            said.contains("no [two]") && said.contains("must be [profile two]"),
            "{said}"
        );
        let (result, notes) = fetched(&[], TWO, TWO);
        assert!(result.unwrap().is_none() && notes.is_empty());
    }

    #[test]
    fn what_is_not_supported_says_what_is() {
        for (profile, word) in [
            (
                "role_arn = arn:r\nsource_profile = two\naws_secret_access_key = hunter2\n",
                "role arn:r",
            ),
            (
                "role_arn = arn:r\ncredential_source = Ec2InstanceMetadata\n",
                "role arn:r",
            ),
            ("sso_session = s\n", "sso_session"),
            ("sso_start_url = u\n", "sso_start_url"),
        ] {
            let said = refusal(&[], "", &format!("[default]\n{profile}"));
            for part in [
                word,
                "profile default",
                "credential_process",
                "aws_access_key_id",
            ] {
                assert!(said.contains(part), "{said}");
            }
        }
        let said = refusal(&[], "[default]\nweb_identity_token_file = /t\n", "");
        assert!(said.contains("no role_arn"), "{said}");
    }

    #[test]
    fn keys_go_before_single_sign_on() {
        let credentials = "[default]\naws_access_key_id = \"AKIA1\"\naws_secret_access_key = 's'\n";
        assert_eq!(
            id(&[], credentials, "[default]\nsso_session = s\n"),
            "AKIA1"
        );
    }

    #[test]
    fn a_command_is_run() {
        let config = "[default]\ncredential_process = printf '{\"Version\": 1, \"AccessKeyId\": \"AKIA9\", \
                      \"SecretAccessKey\": \"%s\"}' \"hunter2\"\n";
        assert_eq!(id(&[], "", config), "AKIA9");
    }

    #[test]
    fn a_file_that_cannot_be_read_is_noted() {
        let home = home("", "");
        std::fs::remove_file(home.join(".aws/credentials")).unwrap();
        std::fs::create_dir(home.join(".aws/credentials")).unwrap();
        let mut notes = Vec::new();
        assert!(
            fetch(&chain(&[], &home, &Fake::new()), &mut notes)
                .unwrap()
                .is_none()
        );
        assert!(notes[0].contains("cannot read") && notes[0].contains(".aws/credentials"));
    }

    #[test]
    fn a_web_identity_is_taken_on_in_the_profiles_region() {
        let home = home(
            "",
            "[default]\nweb_identity_token_file = ~/token\nrole_arn = arn:r\nregion = eu-west-3\n",
        );
        std::fs::write(home.join("token"), "jwt").unwrap();
        let fake = Fake::new();
        fake.answer(500, "");
        assert!(
            fetch(&chain(&[], &home, &fake), &mut Vec::new())
                .err()
                .unwrap()
                .is_transient()
        );
        assert_eq!(
            fake.asked()[0].line,
            "POST https://sts.eu-west-3.amazonaws.com/"
        );
    }
}
