//! The contract on real S3 servers, in every way that they can be talked to.

use walbrook::storage::Storage;
use walbrook::storage::s3::Settings;

use super::{Times, conforms, ignores_foreign_names};
use crate::s3::{network, open};
use crate::support::s3::{Kind, S3Server, Tls};

/// How a server is talked to.
#[derive(Clone, Copy, Debug)]
enum Style {
    Path,
    VirtualHost,
}

/// A replica at `path` on the server.
fn settings(server: &S3Server, style: Style, path: String) -> Settings {
    Settings {
        endpoint: Some(match style {
            Style::Path => server.endpoint(),
            Style::VirtualHost => server.vhost_endpoint(),
        }),
        path_style: Some(matches!(style, Style::Path)),
        ..crate::s3::settings(server, &path)
    }
}

fn conforming(kind: Kind, tls: Tls, style: Style) {
    let server = S3Server::shared(kind, tls);
    let network = network();
    let parent = server.fresh_path();
    let new = || {
        let path = format!("{parent}/{}", server.fresh_path());
        let settings = settings(&server, style, path);
        Box::new(open(settings, &network)) as Box<dyn Storage>
    };
    conforms(Times::Stored, new);
    println!("{kind:?} {tls:?} {style:?}: {}", network.traffic().counts());
    let path = server.fresh_path();
    let storage = open(settings(&server, style, path.clone()), &network);
    ignores_foreign_names(&storage, |name| {
        server.put(&format!("{path}/0000/{name}"), b"x");
    });
}

#[test]
fn seaweedfs() {
    conforming(Kind::SeaweedFs, Tls::Off, Style::Path);
}

#[test]
fn seaweedfs_tls() {
    conforming(Kind::SeaweedFs, Tls::On, Style::Path);
}

#[test]
fn seaweedfs_virtual_host() {
    conforming(Kind::SeaweedFs, Tls::Off, Style::VirtualHost);
}

#[test]
fn seaweedfs_virtual_host_tls() {
    conforming(Kind::SeaweedFs, Tls::On, Style::VirtualHost);
}

#[test]
fn juicefs() {
    conforming(Kind::JuiceFs, Tls::Off, Style::Path);
}

#[test]
fn juicefs_virtual_host() {
    conforming(Kind::JuiceFs, Tls::Off, Style::VirtualHost);
}

#[test]
fn rclone() {
    conforming(Kind::Rclone, Tls::Off, Style::Path);
}

#[test]
fn rclone_tls() {
    conforming(Kind::Rclone, Tls::On, Style::Path);
}

#[test]
fn garage_if_asked_for() {
    for style in [Style::Path, Style::VirtualHost] {
        if let Some(kind) = Kind::garage_if_asked_for() {
            conforming(kind, Tls::Off, style);
        }
    }
}
