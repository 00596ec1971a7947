//! Proxies, as the environment names them: `https_proxy`, `http_proxy`, `all_proxy` and `no_proxy`, in either case.
//! A connection goes through a proxy with CONNECT, whatever it then carries.

use std::env;
use std::io;

use ureq::{Proxy, ProxyProtocol};

/// The proxy for `url`, if one is to be used.
pub(super) fn for_url(url: &str) -> Option<Proxy> {
    let names: &[&str] = match url.starts_with("https:") {
        true => &["https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"],
        // Upper case is left out as everywhere: a web server sets it for its scripts from a header.
        false => &["http_proxy", "all_proxy", "ALL_PROXY"],
    };
    let (_, text) = first(names)?;
    let without = first(&["no_proxy", "NO_PROXY"]).map(|(_, text)| text);
    parse(&text, without.as_deref()).ok()
}

/// Whether what the environment names can be used.
///
/// # Errors
/// When it cannot, naming the variable but not its value, which may hold a password.
pub(super) fn check() -> io::Result<()> {
    for name in [
        "https_proxy",
        "HTTPS_PROXY",
        "http_proxy",
        "all_proxy",
        "ALL_PROXY",
    ] {
        if let Some((_, text)) = first(&[name]) {
            parse(&text, None).map_err(|reason| {
                io::Error::new(
                    io::ErrorKind::InvalidInput,
                    format!("the proxy in ${name} cannot be used: {reason}"),
                )
            })?;
        }
    }
    Ok(())
}

fn first<'a>(names: &[&'a str]) -> Option<(&'a str, String)> {
    names.iter().find_map(|name| {
        let text = env::var(name).ok()?.trim().to_owned();
        (!text.is_empty()).then_some((*name, text))
    })
}

fn parse(text: &str, without: Option<&str>) -> Result<Proxy, &'static str> {
    let proxy = Proxy::new(text).map_err(|_| "write http://HOST:PORT")?;
    if !matches!(proxy.protocol(), ProxyProtocol::Http | ProxyProtocol::Https) {
        return Err("only proxies of the kinds http and https are supported");
    }
    let mut builder = Proxy::builder(proxy.protocol())
        .host(proxy.host())
        .port(proxy.port());
    if let Some(user) = proxy.username() {
        builder = builder.username(user);
    }
    if let Some(password) = proxy.password() {
        builder = builder.password(password);
    }
    for host in without
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|host| !host.is_empty())
    {
        builder = builder.no_proxy(host);
    }
    builder.build().map_err(|_| "write http://HOST:PORT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_excepted() {
        let proxy = parse(
            "http://ada:pass@proxy.lan:3128",
            Some("localhost, .lan,10.0.0.1"),
        )
        .unwrap();
        assert_eq!((proxy.host(), proxy.port()), ("proxy.lan", 3128));
        assert_eq!(
            (proxy.username(), proxy.password()),
            (Some("ada"), Some("pass"))
        );
        for (url, excepted) in [
            ("http://localhost:9000/b", true),
            ("http://nas.lan/b", true),
            ("http://10.0.0.1/b", true),
            ("https://s3.amazonaws.com/b", false),
        ] {
            assert_eq!(proxy.is_no_proxy(&url.parse().unwrap()), excepted, "{url}");
        }
    }

    #[test]
    fn other_kinds_are_refused() {
        assert!(parse("socks5://proxy.lan:1080", None).is_err());
        assert!(parse("proxy.lan:3128", None).is_ok());
    }
}
