//! Keys of the role of an EC2 instance, from the metadata service that each instance reaches under one fixed
//! address (IMDS, version 2): a token, then the name of the role, then its keys. Version 1, without the token,
//! is not spoken; a service that asks for none serves those who bring one as well.

use super::CredentialsError;
use super::ask::{Answer, ask, host, words};
use super::chain::Chain;
use super::document::Document;
use super::environment::Environment;
use super::found::Found;
use crate::storage::http::{Method, Request};
use crate::storage::s3::sign::encode_query;

/// Whether the metadata service is not to be asked.
pub(super) fn is_disabled(environment: &Environment) -> bool {
    environment.says_true("AWS_EC2_METADATA_DISABLED")
}

/// Whether there should be a metadata service, so that its silence is trouble and not the usual thing.
pub(super) fn is_expected(environment: &Environment) -> bool {
    environment.get(ENDPOINT).is_some() || environment.is_ec2()
}

/// The keys of the instance's role; none when it has no role.
pub(super) fn fetch(chain: &Chain) -> Result<Option<Found>, CredentialsError> {
    let endpoint = endpoint(&chain.environment)?;
    let place = format!("EC2's metadata service at {}", host(&endpoint));
    let token = token(chain, &endpoint, &place)?;
    let get = |path: &str| {
        let mut request = Request::new(Method::Get, format!("{endpoint}{ROLES}{path}"));
        request
            .headers
            .push(("x-aws-ec2-metadata-token", token.clone()));
        ask(&*chain.sources.metadata, &request, &place)
    };

    let roles = get("")?;
    if roles.status == 404 {
        return Ok(None);
    }
    let roles = succeeded(roles, "role", &place)?;
    let role = words(&String::from_utf8_lossy(&roles.body));
    if role.is_empty() {
        return Ok(None);
    }
    let answer = succeeded(get(&encode_query(&role))?, "keys", &place)?;
    let unusable = |reason: String| CredentialsError::unusable(&place, reason);
    let document = Document::parse(&answer.body).map_err(unusable)?;
    if let Some(code) = document.text("Code").filter(|code| *code != "Success") {
        return Err(unusable(format!(
            "it gives no keys for the role {role}: {}",
            words(code)
        )));
    }
    let found = document.found("Token", answer.time, chain.clock.now());
    found.map(Some).map_err(unusable)
}

fn token(chain: &Chain, endpoint: &str, place: &str) -> Result<String, CredentialsError> {
    let mut request = Request::new(Method::Put, format!("{endpoint}/latest/api/token"));
    // For the questions that follow now, and no others.
    let lifetime = ("x-aws-ec2-metadata-token-ttl-seconds", "60".to_owned());
    request.headers.push(lifetime);
    let answer = succeeded(
        ask(&*chain.sources.metadata, &request, place)?,
        "token",
        place,
    )?;
    let token = String::from_utf8(answer.body).unwrap_or_default();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(CredentialsError::unusable(
            place,
            "what it gives as a token is none",
        ));
    }
    Ok(token)
}

fn succeeded(answer: Answer, what: &str, place: &str) -> Result<Answer, CredentialsError> {
    match answer.status {
        200..300 => Ok(answer),
        // The token ran out on the way.
        401 => Err(CredentialsError::unavailable(
            place,
            "it no longer knows the token it gave",
        )),
        status => {
            let advice = "; see whether the instance's metadata options allow version 2";
            let reason =
                format!("it answered with status {status} when asked for its {what}{advice}");
            Err(CredentialsError::unusable(place, reason))
        }
    }
}

/// Where the service is, without a slash at its end.
fn endpoint(environment: &Environment) -> Result<String, CredentialsError> {
    if let Some(endpoint) = environment.get(ENDPOINT) {
        if !endpoint.starts_with("http://") && !endpoint.starts_with("https://") {
            return Err(CredentialsError::unusable(
                ENDPOINT,
                "it must begin with http:// or https://",
            ));
        }
        return Ok(endpoint.trim_end_matches('/').to_owned());
    }
    match environment.get(MODE) {
        Some(mode) if mode.eq_ignore_ascii_case("ipv6") => Ok("http://[fd00:ec2::254]".to_owned()),
        Some(mode) if !mode.eq_ignore_ascii_case("ipv4") => {
            Err(CredentialsError::unusable(MODE, "it must be IPv4 or IPv6"))
        }
        _ => Ok("http://169.254.169.254".to_owned()),
    }
}

const ENDPOINT: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT";
const MODE: &str = "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE";
const ROLES: &str = "/latest/meta-data/iam/security-credentials/";

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, chain, scratch};
    use super::*;

    const KEYS: &str = r#"{"Code": "Success", "AccessKeyId": "ASIA1", "SecretAccessKey": "hunter2", "Token": "t",
                           "Expiration": "2026-05-01T13:00:00Z"}"#;

    #[test]
    fn token_then_role_then_keys() {
        let fake = Fake::new();
        fake.answer(200, "tok==").answer(200, "backup role\n");
        fake.answer_at(200, "Fri, 01 May 2026 12:30:00 GMT", KEYS);
        let chain = chain(&[], &scratch("instance"), &fake);
        let found = fetch(&chain).unwrap().unwrap();
        assert_eq!(found.keys.access_key_id, "ASIA1");
        assert_eq!(found.lifetime.unwrap().holds.as_secs(), 1800);

        let asked = fake.asked();
        assert_eq!(asked[0].line, "PUT http://169.254.169.254/latest/api/token");
        assert_eq!(asked[1].line, format!("GET http://169.254.169.254{ROLES}"));
        assert_eq!(
            asked[2].line,
            format!("GET http://169.254.169.254{ROLES}backup%20role")
        );
        for asked in &asked[1..] {
            assert_eq!(asked.header("x-aws-ec2-metadata-token"), Some("tok=="));
        }
    }

    #[test]
    fn the_endpoint_can_be_given() {
        for (variable, value, host) in [
            (
                ENDPOINT,
                "http://imds.local:1338/",
                "http://imds.local:1338",
            ),
            (MODE, "IPv6", "http://[fd00:ec2::254]"),
            (MODE, "ipv4", "http://169.254.169.254"),
        ] {
            let environment = Environment::of(&[(variable, value)], &scratch("endpoint"));
            assert_eq!(endpoint(&environment).unwrap(), host);
        }
        for (variable, value) in [(ENDPOINT, "169.254.169.254"), (MODE, "both")] {
            let environment = Environment::of(&[(variable, value)], &scratch("endpoint"));
            let error = endpoint(&environment).unwrap_err();
            assert!(
                error.to_string().contains(variable) && !error.is_transient(),
                "{error}"
            );
        }
    }

    #[test]
    fn no_role_is_no_keys() {
        for (status, role) in [(404, "<html>"), (200, "")] {
            let fake = Fake::new();
            fake.answer(200, "tok").answer(status, role);
            assert!(
                fetch(&chain(&[], &scratch("norole"), &fake))
                    .unwrap()
                    .is_none()
            );
        }
    }

    #[test]
    fn what_may_pass_is_told_from_what_does_not() {
        type Answers<'a> = &'a [(u16, &'a str)];
        let cases: &[(Answers<'_>, bool, &str)] = &[
            (&[(503, "")], true, "status 503"),
            (&[(403, "")], false, "metadata options"),
            (&[(200, "a\nb")], false, "token"),
            (&[(200, "tok"), (401, "")], true, "no longer knows"),
            (&[(200, "tok"), (200, "r"), (500, "")], true, "status 500"),
            (
                &[
                    (200, "tok"),
                    (200, "r"),
                    (200, r#"{"Code": "AssumeRoleUnauthorizedAccess"}"#),
                ],
                false,
                "role r",
            ),
            (
                &[(200, "tok"), (200, "r"), (200, "hunter2")],
                false,
                "not JSON",
            ),
        ];
        for (answers, transient, said) in cases {
            let fake = Fake::new();
            for (status, body) in *answers {
                fake.answer(*status, body);
            }
            let error = fetch(&chain(&[], &scratch("imds"), &fake)).err().unwrap();
            assert_eq!(error.is_transient(), *transient, "{error}");
            assert!(error.to_string().contains(said), "{error}");
            assert!(error.to_string().contains("169.254.169.254"), "{error}");
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
