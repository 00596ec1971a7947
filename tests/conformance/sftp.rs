//! The contract on real SSH servers, through both programs that can connect to them.

use walbrook::storage::Storage;
use walbrook::storage::sftp::SftpSettings;
use walbrook::units::Secret;

use super::{Times, conforms, ignores_foreign_names};
use crate::sftp::{dropbear, network, open, settings};
use crate::support::sftp::{Kind, SftpServer};

/// Holds the server to the contract, with the settings that `change` makes of the usual ones.
fn conforming(kind: Kind, change: impl Fn(&SftpServer, SftpSettings) -> SftpSettings) {
    let server = SftpServer::shared(kind);
    let network = network();
    let parent = server.fresh_name();
    std::fs::create_dir(server.local().join(&parent)).unwrap();
    server.give_to_user(&server.local().join(&parent));
    let at = |name: &str| change(&server, settings(&server, name));
    conforms(Times::Seconds, || {
        let name = format!("{parent}/{}", server.fresh_name());
        Box::new(open(at(&name), &network)) as Box<dyn Storage>
    });
    let name = server.fresh_name();
    ignores_foreign_names(&open(at(&name), &network), |file| {
        let level = server.local().join(&name).join("ltx/0");
        std::fs::write(level.join(file), b"x").unwrap();
    });
}

fn as_usual(_: &SftpServer, settings: SftpSettings) -> SftpSettings {
    settings
}

#[test]
fn openssh() {
    conforming(Kind::OpenSsh, as_usual);
}

#[test]
fn openssh_in_a_chroot() {
    conforming(Kind::Chrooted, as_usual);
}

#[test]
fn dropbear_s_server() {
    conforming(Kind::Dropbear, as_usual);
}

#[test]
fn asyncssh() {
    conforming(Kind::AsyncSsh, as_usual);
}

#[test]
fn by_password_and_one_write_at_a_time() {
    conforming(Kind::OpenSsh, |server, settings| SftpSettings {
        key_path: None,
        password: Some(Secret::new(server.password())),
        concurrent_writes: false,
        ..settings
    });
}

#[test]
fn below_the_login_directory() {
    conforming(Kind::OpenSsh, |server, settings| SftpSettings {
        // Logins lead to the directory above the one that is the user's.
        path: format!(
            "data{}",
            settings.path.strip_prefix(&server.place()).unwrap()
        ),
        ..settings
    });
}

#[test]
fn dropbear_on_both_sides() {
    conforming(Kind::Dropbear, dropbear);
}

#[test]
fn dropbear_s_client_with_openssh() {
    conforming(Kind::OpenSsh, dropbear);
}

#[test]
fn dropbear_s_client_with_asyncssh_by_password() {
    conforming(Kind::AsyncSsh, |server, settings| SftpSettings {
        key_path: None,
        password: Some(Secret::new(server.password())),
        ..dropbear(server, settings)
    });
}
