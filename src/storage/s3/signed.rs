//! Signs every request as it goes out, so that one tried again is signed anew: with the time of then, and with the
//! keys of then.

use std::io::{self, Cursor};
use std::sync::Arc;

use super::answer::{self, ANSWER_BYTES_MAX};
use super::credentials::Credentials;
use super::sign::{Payload, sign};
use super::time::SigningTime;
use crate::storage::http::{Exchange, HttpError, Request, Response};

/// An exchange whose requests are signed for one region.
pub(super) struct Signed {
    pub(super) inner: Arc<dyn Exchange>,
    pub(super) credentials: Arc<Credentials>,
    pub(super) time: Arc<SigningTime>,
    pub(super) region: String,
    pub(super) payload: Payload,
}

impl Signed {
    fn send(&self, request: &Request<'_>) -> Result<(Response, super::Keys), HttpError> {
        let keys = self.credentials.current().map_err(|error| HttpError {
            source: io::Error::other(error),
            sent: false,
        })?;
        let mut signed = request.clone();
        let now = self.time.now();
        sign(&mut signed, &keys, &self.region, "s3", now, self.payload);
        Ok((self.inner.exchange(&signed)?, keys))
    }
}

impl Exchange for Signed {
    fn exchange(&self, request: &Request<'_>) -> Result<Response, HttpError> {
        let (response, keys) = self.send(request)?;
        let time_was_wrong = self.time.learn(&response);
        if !matches!(response.status, 400 | 401 | 403) {
            return Ok(response);
        }
        let response = at_hand(response)?;
        let keys_may_be_others =
            || answer::is_about_keys(&response) && self.credentials.refused(&keys);
        if time_was_wrong || keys_may_be_others() {
            return self.send(request).map(|(response, _)| response);
        }
        Ok(response.into())
    }
}

/// Reads the body of a refusal, which is short.
fn at_hand(response: Response) -> Result<Refusal, HttpError> {
    let (status, headers) = (response.status, response.headers.clone());
    let body = response
        .into_bytes(ANSWER_BYTES_MAX)
        .map_err(|source| HttpError { source, sent: true })?;
    Ok(Refusal {
        status,
        headers,
        body,
    })
}

/// An answer whose body was read.
pub(super) struct Refusal {
    status: u16,
    headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
}

impl From<Refusal> for Response {
    fn from(refusal: Refusal) -> Response {
        Response {
            status: refusal.status,
            headers: refusal.headers,
            body: Box::new(Cursor::new(refusal.body)),
        }
    }
}
