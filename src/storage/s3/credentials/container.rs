//! Keys of the role of a container, from the server that ECS, EKS (Pod Identity) and Greengrass put beside it and
//! name in variables. Over plain HTTP only this machine or an address known to be such a server is asked, since
//! who answers gets our trust and the authorization token.

use std::net::{IpAddr, ToSocketAddrs};

use super::CredentialsError;
use super::ask::{ask, host, words};
use super::chain::Chain;
use super::document::Document;
use super::environment::Environment;
use super::files::read_text;
use super::found::Found;
use crate::storage::http::{Method, Request};

/// The container's keys; none when no variable names a server.
pub(super) fn fetch(chain: &Chain) -> Result<Option<Found>, CredentialsError> {
    let Some((variable, url)) = url(&chain.environment) else {
        return Ok(None);
    };
    let place = format!(
        "the container's server at {} (named by {variable})",
        host(&url)
    );
    let unusable = |reason: String| CredentialsError::unusable(&place, reason);
    let is_plain = allow(&url).map_err(unusable)?;

    let mut request = Request::new(Method::Get, url);
    request
        .headers
        .push(("accept", "application/json".to_owned()));
    if let Some(token) = authorization(&chain.environment)? {
        request.headers.push(("authorization", token));
    }
    let exchange = if is_plain {
        &chain.sources.metadata
    } else {
        &chain.sources.remote
    };
    let answer = ask(&**exchange, &request, &place)?;

    let document = Document::parse(&answer.body);
    if !(200..300).contains(&answer.status) {
        let code = document
            .ok()
            .and_then(|document| document.text("code").map(words));
        let code = code.map(|code| format!(" ({code})")).unwrap_or_default();
        return Err(unusable(format!(
            "it answered with status {}{code}",
            answer.status
        )));
    }
    let found =
        document.and_then(|document| document.found("Token", answer.time, chain.clock.now()));
    found.map(Some).map_err(unusable)
}

/// The URL to ask, and the variable that says so. AWS says: the relative one goes first.
fn url(environment: &Environment) -> Option<(&'static str, String)> {
    if let Some(path) = environment.get(RELATIVE) {
        let slash = if path.starts_with('/') { "" } else { "/" };
        return Some((RELATIVE, format!("http://169.254.170.2{slash}{path}")));
    }
    environment.get(FULL).map(|url| (FULL, url))
}

/// Whether `url` goes over plain HTTP.
///
/// # Errors
/// When it may not, or is no URL.
fn allow(url: &str) -> Result<bool, String> {
    if url.starts_with("https://") {
        return Ok(false);
    }
    if !url.starts_with("http://") {
        return Err("the URL must begin with http:// or https://".to_owned());
    }
    let host = host(url);
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let addresses: Vec<IpAddr> = match name.parse() {
        Ok(address) => vec![address],
        Err(_) => (name, 80)
            .to_socket_addrs()
            .map_err(|error| format!("cannot find the address of {name}: {error}"))?
            .map(|address| address.ip())
            .collect(),
    };
    if addresses.is_empty() || !addresses.iter().all(is_container_server) {
        return Err(format!(
            "{name} is neither this machine nor a known address of such a server; use https://"
        ));
    }
    Ok(true)
}

/// This machine, or one of the addresses of ECS (first) and EKS.
fn is_container_server(address: &IpAddr) -> bool {
    const KNOWN: [IpAddr; 3] = [
        IpAddr::V4(std::net::Ipv4Addr::new(169, 254, 170, 2)),
        IpAddr::V4(std::net::Ipv4Addr::new(169, 254, 170, 23)),
        IpAddr::V6(std::net::Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    ];
    address.is_loopback() || KNOWN.contains(address)
}

/// The value of the header that tells the server who asks. A file is read each time, since its content changes.
fn authorization(environment: &Environment) -> Result<Option<String>, CredentialsError> {
    let (variable, token) = match environment.get(TOKEN_FILE) {
        Some(path) => {
            let path = environment.path(&path);
            let text = read_text(&path).map_err(|error| {
                CredentialsError::unusable(
                    TOKEN_FILE,
                    format!("cannot read {}: {error}", path.display()),
                )
            })?;
            (TOKEN_FILE, text)
        }
        None => match environment.get(TOKEN) {
            Some(token) => (TOKEN, token),
            None => return Ok(None),
        },
    };
    let token = token.trim_end();
    if token.is_empty() || token.chars().any(char::is_control) {
        let reason = "the token must be one line of text and no more";
        return Err(CredentialsError::unusable(variable, reason));
    }
    Ok(Some(token.to_owned()))
}

const RELATIVE: &str = "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI";
const FULL: &str = "AWS_CONTAINER_CREDENTIALS_FULL_URI";
const TOKEN: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN";
const TOKEN_FILE: &str = "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE";

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, chain, scratch};
    use super::*;

    const KEYS: &str = r#"{"AccessKeyId": "ASIA1", "SecretAccessKey": "s", "Token": "t"}"#;

    #[test]
    fn the_relative_uri_goes_first_and_the_token_along() {
        let fake = Fake::new();
        fake.answer(200, KEYS);
        let variables = [
            (RELATIVE, "/v2/credentials/id"),
            (FULL, "http://localhost/other"),
            (TOKEN, "hunter2"),
        ];
        let found = fetch(&chain(&variables, &scratch("relative"), &fake))
            .unwrap()
            .unwrap();
        assert_eq!(found.keys.access_key_id, "ASIA1");
        assert!(found.lifetime.is_none());
        assert_eq!(
            fake.asked()[0].line,
            "GET http://169.254.170.2/v2/credentials/id"
        );
        assert_eq!(fake.asked()[0].header("authorization"), Some("hunter2"));
    }

    #[test]
    fn a_token_file_goes_before_a_token_and_is_read_each_time() {
        let home = scratch("tokenfile");
        let fake = Fake::new();
        fake.answer(200, KEYS).answer(200, KEYS);
        let variables = [
            (FULL, "http://169.254.170.23/v1/credentials"),
            (TOKEN, "other"),
            (TOKEN_FILE, "~/token"),
        ];
        let chain = chain(&variables, &home, &fake);
        for token in ["one", "two"] {
            std::fs::write(home.join("token"), format!("{token}\n")).unwrap();
            fetch(&chain).unwrap();
            assert_eq!(
                fake.asked().last().unwrap().header("authorization"),
                Some(token)
            );
        }
        std::fs::write(home.join("token"), "hunter2\nx: y").unwrap();
        let error = fetch(&chain).err().unwrap();
        assert!(error.to_string().contains(TOKEN_FILE) && !error.is_transient());
        assert!(!error.to_string().contains("hunter2"), "{error}");
    }

    #[test]
    fn plain_http_stays_on_this_machine_or_goes_to_known_addresses() {
        for url in [
            "http://127.0.0.1:8080/a",
            "http://[::1]/a",
            "http://localhost:1/a",
            "http://169.254.170.2/a",
            "http://[fd00:ec2::23]/a",
        ] {
            assert_eq!(allow(url), Ok(true), "{url}");
        }
        assert_eq!(allow("https://example.com/a"), Ok(false));
        for url in [
            "http://192.0.2.1/a",
            "http://169.254.169.254/a",
            "http://localhost@192.0.2.1/a",
            "ftp://127.0.0.1/",
            "/a",
            "http://",
        ] {
            assert!(allow(url).is_err(), "{url}");
        }
    }

    #[test]
    fn refusals_name_host_and_variable() {
        let fake = Fake::new();
        fake.answer(400, r#"{"code": "InvalidToken", "message": "hunter2"}"#)
            .answer(502, "");
        let chain = chain(
            &[(FULL, "http://127.0.0.1/a?hunter2")],
            &scratch("refusal"),
            &fake,
        );
        let error = fetch(&chain).err().unwrap();
        assert!(!error.is_transient());
        for part in ["127.0.0.1", FULL, "status 400 (InvalidToken)"] {
            assert!(error.to_string().contains(part), "{error}");
        }
        assert!(!error.to_string().contains("hunter2"), "{error}");
        assert!(fetch(&chain).err().unwrap().is_transient());
    }

    #[test]
    fn without_variables_nobody_is_asked() {
        let fake = Fake::new();
        assert!(
            fetch(&chain(&[], &scratch("none"), &fake))
                .unwrap()
                .is_none()
        );
        assert!(fake.asked().is_empty());
    }
}
