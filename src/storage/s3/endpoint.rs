//! The server in front of the buckets, as a URL: `http[s]://HOST[:PORT][/PATH]`. A path is rare; Supabase has one.
//! A port that is the scheme's own is left out, as it is in the `Host` that gets signed.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Where requests go, unless the bucket's name stands in front.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Endpoint {
    /// Whether it is `https`.
    pub tls: bool,
    /// Name or address; an IPv6 address stands between brackets. In lower case.
    pub host: String,
    /// The port, where it is not the usual one.
    pub port: Option<u16>,
    /// What stands before the bucket in paths: nothing, or a slash and more without one at its end.
    pub path: String,
}

impl Endpoint {
    /// Reads a URL of an endpoint.
    ///
    /// # Errors
    /// What is wrong with it. It never repeats the text, which may hold keys.
    pub fn parse(text: &str) -> Result<Endpoint, &'static str> {
        let (scheme, rest) = text.split_once("://").ok_or(FORM)?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return Err(FORM),
        };
        if rest.contains('@') {
            return Err(
                "keys do not belong into an endpoint; write them as `access-key-id` and `secret-access-key`",
            );
        }
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let (host, port) = host_and_port(authority)?;
        let path = path.trim_end_matches('/');
        if !path
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._~/".contains(&b))
        {
            return Err("the path of an endpoint has letters, digits and -._~/ alone");
        }
        Ok(Endpoint {
            tls,
            host,
            port: port.filter(|&port| port != if tls { 443 } else { 80 }),
            path: path.to_owned(),
        })
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    /// `HOST[:PORT]`.
    pub fn authority(&self) -> String {
        match self.port {
            Some(port) => format!("{}:{port}", self.host),
            None => self.host.clone(),
        }
    }

    /// Whether it is on this machine or in its own network, where plain HTTP is usual.
    pub fn is_local(&self) -> bool {
        match self.address() {
            Some(IpAddr::V4(v4)) => is_local_v4(v4),
            Some(IpAddr::V6(v6)) => match v6.to_ipv4_mapped() {
                Some(v4) => is_local_v4(v4),
                None => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
            },
            None => {
                self.host == "localhost"
                    || self.host.ends_with(".localhost")
                    || self.host.ends_with(".local")
            }
        }
    }

    /// The address, where the host is one.
    pub fn address(&self) -> Option<IpAddr> {
        match self.host.strip_prefix('[') {
            Some(rest) => rest
                .strip_suffix(']')?
                .parse::<Ipv6Addr>()
                .ok()
                .map(IpAddr::V6),
            None => self.host.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme(), self.authority(), self.path)
    }
}

const FORM: &str = "an endpoint is http://HOST[:PORT] or https://HOST[:PORT]";

fn host_and_port(authority: &str) -> Result<(String, Option<u16>), &'static str> {
    let after_address = authority.rfind(']').map_or(0, |at| at + 1);
    let (host, port) = match authority[after_address..].rfind(':') {
        Some(at) => {
            let (host, port) = authority.split_at(after_address + at);
            (host, Some(&port[1..]))
        }
        None => (authority, None),
    };
    let port = match port {
        None | Some("") => None,
        Some(port) => match port.parse::<u16>() {
            Ok(number) if number > 0 && !port.starts_with('+') => Some(number),
            _ => return Err("the port is not a number from 1 to 65535"),
        },
    };
    let host = host.to_ascii_lowercase();
    let is_address = match host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        Some(address) => address.parse::<Ipv6Addr>().is_ok(),
        None => false,
    };
    let is_name = !host.is_empty()
        && !host.starts_with(['.', '-'])
        && !host.contains("..")
        && host
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    match is_address || is_name {
        true => Ok((host, port)),
        false => Err(FORM),
    }
}

fn is_local_v4(address: Ipv4Addr) -> bool {
    address.is_loopback() || address.is_private() || address.is_link_local()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_an_endpoint() {
        for (text, written) in [
            ("http://localhost:9000", "http://localhost:9000"),
            ("HTTPS://S3.Example.COM", "https://s3.example.com"),
            ("https://h:443/", "https://h"),
            ("http://h:80", "http://h"),
            ("https://h:80", "https://h:80"),
            ("http://h:", "http://h"),
            ("http://[::1]:9000", "http://[::1]:9000"),
            ("https://[2001:DB8::1]", "https://[2001:db8::1]"),
            (
                "https://x.supabase.co/storage/v1/s3/",
                "https://x.supabase.co/storage/v1/s3",
            ),
            ("http://minio_1:9000", "http://minio_1:9000"),
        ] {
            assert_eq!(
                Endpoint::parse(text).unwrap().to_string(),
                written,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_none() {
        for text in [
            "",
            "localhost:9000",
            "ftp://h",
            "http://",
            "http:///p",
            "http://:9000",
            "http://h:0",
            "http://h:65536",
            "http://h:+80",
            "http://h:hunter2",
            "http://key:hunter2@h",
            "http://h?hunter2",
            "http://h/a?hunter2",
            "http://h/a b",
            "http://h#hunter2",
            "http://[::1",
            "http://::1",
            "http://[hunter2]",
            "http://.h",
            "http://a..b",
        ] {
            let error = Endpoint::parse(text).unwrap_err();
            assert!(!error.contains("hunter2"), "{text}");
        }
    }

    #[test]
    fn what_is_local() {
        for local in [
            "localhost",
            "a.localhost",
            "nas.local",
            "127.0.0.1",
            "127.8.0.1",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.0.1",
            "169.254.1.1",
            "[::1]",
            "[fd00::1]",
            "[fe80::1]",
            "[::ffff:10.0.0.1]",
        ] {
            assert!(
                Endpoint::parse(&format!("http://{local}:1"))
                    .unwrap()
                    .is_local(),
                "{local}"
            );
        }
        for far in [
            "example.com",
            "10.example.com",
            "172.32.0.1",
            "172.2.0.1",
            "8.8.8.8",
            "[2001:db8::1]",
            "minio",
        ] {
            assert!(
                !Endpoint::parse(&format!("http://{far}"))
                    .unwrap()
                    .is_local(),
                "{far}"
            );
        }
    }
}
