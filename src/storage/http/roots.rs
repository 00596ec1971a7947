//! The certificate authorities: those the user names, else those the machine has, else the ones built in.

use std::env;
use std::io;
use std::path::{Path, PathBuf};

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// Where distributions keep their bundle: Debian, Alpine and OpenWrt's `ca-bundle`; OpenWrt and BSDs; Fedora.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
];

/// Whom to trust.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Trust {
    /// The usual authorities, or what the environment names.
    Usual,
    /// Those in this PEM file alone.
    File(PathBuf),
    /// Anybody.
    Anybody,
}

/// The authorities that `trust` means.
pub(super) fn load(trust: &Trust) -> io::Result<RootCertStore> {
    if let Trust::File(path) = trust {
        return named("ca-file", path);
    }
    for name in ["AWS_CA_BUNDLE", "SSL_CERT_FILE"] {
        if let Some(path) = env::var_os(name).filter(|path| !path.is_empty()) {
            return named(name, Path::new(&path));
        }
    }
    for path in BUNDLES {
        if let Ok(store) = read(Path::new(path)) {
            return Ok(store);
        }
    }
    Ok(RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    })
}

fn named(by: &str, path: &Path) -> io::Result<RootCertStore> {
    read(path).map_err(|error| {
        let text = format!(
            "the certificates in {} (named by {by}) cannot be used: {error}",
            path.display()
        );
        io::Error::new(error.kind(), text)
    })
}

fn read(path: &Path) -> io::Result<RootCertStore> {
    let certificates = CertificateDer::pem_file_iter(path).map_err(io_error)?;
    let mut store = RootCertStore::empty();
    for certificate in certificates {
        // One of a hundred that this library cannot read must not cost the others.
        let _ = store.add(certificate.map_err(io_error)?);
    }
    match store.is_empty() {
        true => Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "there is no certificate in it",
        )),
        false => Ok(store),
    }
}

fn io_error(error: rustls::pki_types::pem::Error) -> io::Error {
    match error {
        rustls::pki_types::pem::Error::Io(error) => error,
        other => io::Error::new(io::ErrorKind::InvalidData, other.to_string()),
    }
}
