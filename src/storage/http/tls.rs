//! Whom to trust, and as of when.
//!
//! A board without a clock battery boots in 1970, when no certificate was valid yet. Certificates are therefore
//! never checked against a time before a floor: the date of this build, or `tls-min-time`. A certificate that
//! had expired by then is still refused, and so is one that begins after it, in words that name the clock.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{
    CryptoProvider, KeyProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::sign::SigningKey;
use rustls::time_provider::TimeProvider;
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use super::roots;
use crate::sys::clock::Clock;
use crate::units::Timestamp;

pub use super::roots::Trust;

/// When this was built, in seconds since 1970, where the build says so; that makes builds repeatable.
const BUILT: Option<&str> = option_env!("SOURCE_DATE_EPOCH");
/// Else this version's month: 2026-11-01.
const VERSION_SECONDS: i64 = 1_793_491_200;

/// How the client proves to itself whom it talks to.
pub struct Tls {
    trust: Trust,
    floor: Timestamp,
    clock: Arc<dyn Clock>,
    /// Made when first needed: the usual bundle of certificates takes half a megabyte.
    config: Mutex<Option<Arc<ClientConfig>>>,
}

impl Tls {
    /// Trusts whom `trust` says, as of `clock`, but never of a time before `floor` (default: of the build).
    pub fn new(trust: Trust, floor: Option<Timestamp>, clock: Arc<dyn Clock>) -> Tls {
        let built = BUILT
            .and_then(|seconds| seconds.parse().ok())
            .unwrap_or(VERSION_SECONDS);
        Tls {
            trust,
            floor: floor.unwrap_or(Timestamp::from_millis(built * 1000)),
            clock,
            config: Mutex::default(),
        }
    }

    /// The client's side of TLS.
    ///
    /// # Errors
    /// When the certificates that were named cannot be read.
    pub fn config(&self) -> io::Result<Arc<ClientConfig>> {
        let mut made = self.config.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(config) = &*made {
            return Ok(Arc::clone(config));
        }
        let provider = Arc::new(CryptoProvider {
            key_provider: &NoKeys,
            ..ring::default_provider()
        });
        let time = Floored {
            floor: self.floor,
            clock: Arc::clone(&self.clock),
        };
        let builder = ClientConfig::builder_with_details(Arc::clone(&provider), Arc::new(time))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?;
        let config = match self.trust {
            Trust::Anybody => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Unchecked(provider)))
                .with_no_client_auth(),
            _ => builder
                .with_root_certificates(roots::load(&self.trust)?)
                .with_no_client_auth(),
        };
        Ok(Arc::clone(made.insert(Arc::new(config))))
    }
}

/// Loads no private keys, since this client has no certificate of its own: RSA, ECDSA and Ed25519 need not be there to
/// sign with.
#[derive(Debug)]
struct NoKeys;

impl KeyProvider for NoKeys {
    fn load_private_key(&self, _: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, Error> {
        Err(Error::General(
            "there are no client certificates".to_owned(),
        ))
    }
}

/// The clock's time, or the floor if that is later.
struct Floored {
    floor: Timestamp,
    clock: Arc<dyn Clock>,
}

impl TimeProvider for Floored {
    fn current_time(&self) -> Option<UnixTime> {
        let millis = self.clock.now().max(self.floor).millis();
        let since = u64::try_from(millis).ok()?;
        Some(UnixTime::since_unix_epoch(
            std::time::Duration::from_millis(since),
        ))
    }
}

impl std::fmt::Debug for Floored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "not before {}", self.floor)
    }
}

/// What `error` means, and what to do about it.
pub(super) fn explained(host: &str, error: &Error) -> io::Error {
    let text = match error {
        Error::InvalidCertificate(CertificateError::NotValidYetContext { time, not_before }) => {
            format!(
                "the certificate of {host} is valid from {} on, but this machine's clock says {}: set the clock, or \
             set `tls-min-time` to a time that has surely passed",
                date(*not_before),
                date(*time)
            )
        }
        Error::InvalidCertificate(CertificateError::ExpiredContext { time, not_after }) => format!(
            "the certificate of {host} has expired on {} (it was checked as of {}): renew it, or set this \
             machine's clock if that is wrong",
            date(*not_after),
            date(*time)
        ),
        Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        ) => format!(
            "the certificate of {host} is from nobody this machine trusts: install ca-certificates, or name the \
             server's own authority with `ca-file`"
        ),
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => format!(
            "the certificate that came is not one of {host}: is the endpoint right? A bucket with dots in its name \
             needs `force-path-style: true`"
        ),
        Error::InvalidMessage(_) => {
            format!("{host} does not answer in TLS: is it `http` rather than `https`?")
        }
        other => format!("TLS with {host}: {other}"),
    };
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn date(time: UnixTime) -> Timestamp {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX / 1000);
    Timestamp::from_millis(seconds.saturating_mul(1000))
}

/// Takes any certificate, as `skip-verify` asks.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
