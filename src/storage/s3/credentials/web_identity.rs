//! Keys for a role, given by AWS's token service (STS) to whoever shows a token of an identity provider it trusts:
//! what Kubernetes (IRSA) and CI services offer. The token is in a file that somebody else keeps fresh. The
//! request needs no signature; the token goes only to AWS over TLS, or to where the user says.

use std::path::PathBuf;

use roxmltree::{Document, Node};

use super::CredentialsError;
use super::ask::{Answer, ask, host, words};
use super::chain::Chain;
use super::environment::Environment;
use super::files::read_text;
use super::found::{Found, Lifetime, keys};
use crate::storage::http::{Method, Request};
use crate::storage::s3::sign::encode_query;
use crate::units::{Secret, Timestamp};

/// Who to be for AWS.
pub(super) struct Identity {
    /// Where this is said, for messages.
    pub(super) place: String,
    /// Where the token is.
    pub(super) token_file: PathBuf,
    /// The role's ARN.
    pub(super) role: String,
    /// What AWS's logs shall call us.
    pub(super) session: Option<String>,
}

impl Identity {
    /// That which variables describe, if any do.
    pub(super) fn of(environment: &Environment) -> Result<Option<Identity>, CredentialsError> {
        let Some(file) = environment.get(TOKEN_FILE) else {
            return Ok(None);
        };
        let place = format!("the web identity (named by {TOKEN_FILE})");
        let Some(role) = environment.get("AWS_ROLE_ARN") else {
            return Err(CredentialsError::unusable(
                &place,
                "AWS_ROLE_ARN must be set too",
            ));
        };
        Ok(Some(Identity {
            place,
            token_file: environment.path(&file),
            role,
            session: environment.get("AWS_ROLE_SESSION_NAME"),
        }))
    }

    /// Takes on the role. `region` is where to ask for it, where nothing else says so.
    pub(super) fn assume(
        &self,
        chain: &Chain,
        region: Option<&str>,
    ) -> Result<Found, CredentialsError> {
        let unusable = |reason: String| CredentialsError::unusable(&self.place, reason);
        let token = read_text(&self.token_file).map_err(|error| {
            unusable(format!(
                "cannot read {}: {error}",
                self.token_file.display()
            ))
        })?;
        let token = Secret::new(token.trim());
        if token.reveal().is_empty() {
            return Err(unusable(format!("{} is empty", self.token_file.display())));
        }

        let url = endpoint(chain, region).map_err(unusable)?;
        let place = format!("{} at {}", self.place, host(&url));
        let body = self.form(&token);
        let request = Request {
            headers: vec![(
                "content-type",
                "application/x-www-form-urlencoded".to_owned(),
            )],
            body: body.reveal().as_bytes(),
            ..Request::new(Method::Post, url)
        };
        let answer = ask(&*chain.sources.remote, &request, &place)?;
        if (200..300).contains(&answer.status) {
            found(&answer, chain.clock.now())
                .map_err(|reason| CredentialsError::unusable(&place, reason))
        } else {
            Err(refused(&answer, &place, &token))
        }
    }

    fn form(&self, token: &Secret) -> Secret {
        let session = self.session.as_deref().unwrap_or("walbrook");
        let fields = [
            ("Action", "AssumeRoleWithWebIdentity"),
            ("Version", "2011-06-15"),
            ("RoleArn", &self.role),
            ("RoleSessionName", session),
            ("WebIdentityToken", token.reveal()),
        ];
        let fields = fields.map(|(name, value)| format!("{name}={}", encode_query(value)));
        Secret::new(fields.join("&"))
    }
}

/// Where to ask: what the user says, else the service of the region, else the one for all.
fn endpoint(chain: &Chain, region: Option<&str>) -> Result<String, String> {
    if let Some(url) = chain.environment.get(ENDPOINT) {
        if !url.starts_with("http://") && !url.starts_with("https://") {
            return Err(format!("{ENDPOINT} must begin with http:// or https://"));
        }
        return Ok(format!("{}/", url.trim_end_matches('/')));
    }
    let named = || {
        chain
            .environment
            .first(&["AWS_REGION", "AWS_DEFAULT_REGION"])
    };
    let region = chain
        .region
        .clone()
        .or_else(named)
        .or_else(|| region.map(str::to_owned));
    let Some(region) = region else {
        return Ok("https://sts.amazonaws.com/".to_owned());
    };
    // It becomes part of a host name.
    if !region
        .bytes()
        .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    {
        return Err(format!("{} is not the name of a region", words(&region)));
    }
    let china = if region.starts_with("cn-") { ".cn" } else { "" };
    Ok(format!("https://sts.{region}.amazonaws.com{china}/"))
}

/// The keys in an answer.
fn found(answer: &Answer, ours: Timestamp) -> Result<Found, String> {
    let text = std::str::from_utf8(&answer.body).map_err(|_| "the answer is not UTF-8 text")?;
    // The parser's own message quotes what it found, which may be part of a key.
    let document = Document::parse(text)
        .map_err(|error| format!("the answer is not XML (line {})", error.pos().row))?;
    let credentials =
        child(document.root(), "Credentials").ok_or("the answer has no Credentials")?;
    let field = |name| {
        child(credentials, name)
            .and_then(|node| node.text())
            .map(|text| text.trim().to_owned())
    };
    let needed = |name| field(name).ok_or_else(|| format!("the answer has no {name}"));
    let keys = keys(
        needed("AccessKeyId")?,
        needed("SecretAccessKey")?,
        Some(needed("SessionToken")?),
    )?;
    let expiration = Timestamp::parse(&needed("Expiration")?)
        .map_err(|error| format!("Expiration is {error}"))?;
    let lifetime = Lifetime::new(expiration, answer.time, ours);
    Ok(Found::changing(keys, Some(lifetime)))
}

/// What an answer that gives none says.
fn refused(answer: &Answer, place: &str, token: &Secret) -> CredentialsError {
    let text = String::from_utf8_lossy(&answer.body);
    let document = Document::parse(&text).ok();
    let said = |name| {
        let node = child(document.as_ref()?.root(), name)?;
        let text = node.text()?;
        // Nobody sends a token back, but who knows.
        (!text.contains(token.reveal())).then(|| words(text))
    };
    let code = said("Code").unwrap_or_default();
    let reason = match said("Message") {
        Some(message) => format!(
            "it answered with status {} ({code}): {message}",
            answer.status
        ),
        None => format!("it answered with status {}", answer.status),
    };
    if code.starts_with("IDPCommunicationError") || code.starts_with("Throttling") {
        CredentialsError::unavailable(place, reason)
    } else {
        CredentialsError::unusable(place, reason)
    }
}

/// The first element with this name below a node, in whatever namespace: not all servers have AWS's.
fn child<'a, 'input>(node: Node<'a, 'input>, name: &str) -> Option<Node<'a, 'input>> {
    node.descendants()
        .find(|node| node.tag_name().name() == name)
}

const TOKEN_FILE: &str = "AWS_WEB_IDENTITY_TOKEN_FILE";
const ENDPOINT: &str = "AWS_ENDPOINT_URL_STS";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fake::{Fake, chain, scratch};
    use super::*;

    const ANSWER: &str = r#"<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
        <AssumeRoleWithWebIdentityResult><AssumedRoleUser><Arn>a</Arn></AssumedRoleUser><Credentials>
        <SessionToken>tok==</SessionToken><SecretAccessKey>hunter3</SecretAccessKey>
        <Expiration>2026-05-01T13:00:00Z</Expiration><AccessKeyId>ASIA1</AccessKeyId>
        </Credentials></AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"#;

    fn variables<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
        let mut variables = vec![
            (TOKEN_FILE, "~/token"),
            ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
        ];
        variables.extend(more);
        variables
    }

    fn assume(fake: &Fake, more: &[(&str, &str)]) -> Result<Found, CredentialsError> {
        let home = scratch("identity");
        std::fs::write(home.join("token"), "hunter2\n").unwrap();
        let chain = chain(&variables(more), &home, fake);
        Identity::of(&chain.environment)?
            .unwrap()
            .assume(&chain, None)
    }

    #[test]
    fn the_token_goes_into_the_form_and_keys_come_back() {
        let fake = Fake::new();
        fake.answer_at(200, "Fri, 01 May 2026 12:00:00 GMT", ANSWER);
        let found = assume(&fake, &[("AWS_ROLE_SESSION_NAME", "a b")]).unwrap();
        assert_eq!(found.keys.access_key_id, "ASIA1");
        assert_eq!(found.keys.session_token.unwrap().reveal(), "tok==");
        assert_eq!(found.lifetime.unwrap().holds.as_secs(), 3600);
        let asked = &fake.asked()[0];
        assert_eq!(asked.line, "POST https://sts.amazonaws.com/");
        assert_eq!(
            asked.body,
            "Action=AssumeRoleWithWebIdentity&Version=2011-06-15&RoleArn=arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr&\
             RoleSessionName=a%20b&WebIdentityToken=hunter2"
        );
    }

    #[test]
    fn the_endpoint_follows_region_and_variable() {
        for (variable, value, url) in [
            (
                "AWS_REGION",
                "eu-west-1",
                "https://sts.eu-west-1.amazonaws.com/",
            ),
            (
                "AWS_DEFAULT_REGION",
                "cn-north-1",
                "https://sts.cn-north-1.amazonaws.com.cn/",
            ),
            (ENDPOINT, "http://minio:9000", "http://minio:9000/"),
        ] {
            let fake = Fake::new();
            fake.answer(200, ANSWER);
            assume(&fake, &[(variable, value)]).unwrap();
            assert_eq!(fake.asked()[0].line, format!("POST {url}"));
        }
        for (variable, value) in [("AWS_REGION", "evil.example/"), (ENDPOINT, "minio")] {
            assert!(
                !assume(&Fake::new(), &[(variable, value)])
                    .err()
                    .unwrap()
                    .is_transient()
            );
        }
    }

    #[test]
    fn refusals_say_what_the_server_says_but_no_secret() {
        let cases = [
            (
                400,
                "<E><Code>ExpiredTokenException</Code><Message>Token expired</Message></E>",
                false,
                "Token expired",
            ),
            (
                400,
                "<E><Code>IDPCommunicationError</Code><Message>later</Message></E>",
                true,
                "later",
            ),
            (
                400,
                "<E><Code>X</Code><Message>bad hunter2</Message></E>",
                false,
                "status 400",
            ),
            (403, "hunter2", false, "status 403"),
            (503, "", true, "status 503"),
            (200, "<a>hunter3", false, "not XML"),
            (200, "<a/>", false, "no Credentials"),
            (
                200,
                "<Credentials><AccessKeyId>A</AccessKeyId></Credentials>",
                false,
                "no SecretAccessKey",
            ),
        ];
        for (status, body, transient, said) in cases {
            let fake = Fake::new();
            fake.answer(status, body);
            let error = assume(&fake, &[]).err().unwrap();
            assert_eq!(error.is_transient(), transient, "{error}");
            let shown = format!("{error} {error:?}");
            assert!(
                shown.contains(said) && shown.contains("sts.amazonaws.com"),
                "{shown}"
            );
            assert!(!shown.contains("hunter"), "{shown}");
        }
    }

    #[test]
    fn file_and_role_must_both_be_there() {
        let home = scratch("nofile");
        let environment = Environment::of(&[(TOKEN_FILE, "/t")], &home);
        let error = Identity::of(&environment).err().unwrap();
        assert!(error.to_string().contains("AWS_ROLE_ARN"), "{error}");
        let environment = Environment::of(&[("AWS_ROLE_ARN", "r")], &home);
        assert!(Identity::of(&environment).unwrap().is_none());

        let chain = chain(&variables(&[]), &home, &Fake::new());
        let identity = Identity::of(&chain.environment).unwrap().unwrap();
        let error = identity.assume(&chain, None).err().unwrap();
        assert!(error.to_string().contains("token: No such file"), "{error}");
    }

    proptest! {
        #[test]
        fn no_answer_panics(body in "[<>/a-c=\"&;!?\\[\\]CredntialsAkyI -]{0,80}", status in 200u16..500) {
            let answer = Answer { status, body: body.into_bytes(), time: None };
            let _ = found(&answer, Timestamp::from_millis(0));
            let _ = refused(&answer, "place", &Secret::new("t"));
        }
    }
}
