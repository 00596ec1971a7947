//! TLS over what the client has connected, with our own trust and our own idea of the time.

use std::fmt;
use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};
use ureq::unversioned::transport::{
    Buffers, ConnectionDetails, Connector, Either, LazyBuffers, NextTimeout, Transport,
    TransportAdapter,
};

use super::early::is_closed;
use super::tls::{Tls, explained};

/// Wraps connections to `https` URLs in TLS; others pass.
pub(super) struct TlsConnector {
    tls: Arc<Tls>,
}

impl TlsConnector {
    pub(super) fn new(tls: Arc<Tls>) -> TlsConnector {
        TlsConnector { tls }
    }
}

impl<In: Transport> Connector<In> for TlsConnector {
    type Out = Either<In, TlsTransport>;

    fn connect(
        &self,
        details: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Self::Out>, ureq::Error> {
        let Some(transport) = chained else {
            return Ok(None);
        };
        if !details.needs_tls() || transport.is_tls() {
            return Ok(Some(Either::A(transport)));
        }
        let host = details.uri.host().unwrap_or_default();
        // An IPv6 address stands in brackets in a URL, and without them in a certificate.
        let bare = host.trim_start_matches('[').trim_end_matches(']');
        let name = ServerName::try_from(bare.to_owned())
            .map_err(|_| ureq::Error::BadUri(format!("{host} can be no name in a certificate")))?;
        let config = self
            .tls
            .config()
            .map_err(|error| ureq::Error::Other(error.into()))?;
        let mut connection = ClientConnection::new(config, name)
            .map_err(|error| ureq::Error::Other(explained(host, &error).into()))?;
        let mut socket =
            TransportAdapter::new(transport.boxed(), Arc::clone(&details.current_time));
        socket.set_timeout(details.timeout);
        connection.complete_io(&mut socket).map_err(|error| {
            let of_tls = error
                .get_ref()
                .and_then(|inner| inner.downcast_ref::<rustls::Error>());
            match of_tls {
                Some(inner) => ureq::Error::Other(explained(host, inner).into()),
                None => ureq::Error::from(error),
            }
        })?;
        Ok(Some(Either::B(TlsTransport {
            buffers: LazyBuffers::new(
                details.config.input_buffer_size(),
                details.config.output_buffer_size(),
            ),
            stream: StreamOwned::new(connection, socket),
        })))
    }
}

/// An encrypted connection.
pub(super) struct TlsTransport {
    buffers: LazyBuffers,
    stream: StreamOwned<ClientConnection, TransportAdapter>,
}

impl Transport for TlsTransport {
    fn buffers(&mut self) -> &mut dyn Buffers {
        &mut self.buffers
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        self.stream.write_all(&self.buffers.output()[..amount])?;
        Ok(())
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.stream.get_mut().set_timeout(timeout);
        let input = self.buffers.input_append_buf();
        let amount = match self.stream.read(input) {
            // It may be that something else could not be sent before.
            Err(error) if is_closed(&error) => receive(&mut self.stream, input)?,
            result => result?,
        };
        self.buffers.input_appended(amount);
        Ok(amount > 0)
    }

    fn is_open(&mut self) -> bool {
        self.stream.get_mut().get_mut().is_open()
    }

    fn is_tls(&self) -> bool {
        true
    }
}

/// Reads without sending anything.
fn receive(
    stream: &mut StreamOwned<ClientConnection, TransportAdapter>,
    out: &mut [u8],
) -> io::Result<usize> {
    loop {
        match stream.conn.reader().read(out) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                if stream.conn.read_tls(&mut stream.sock)? == 0 {
                    return Ok(0);
                }
                let received = stream.conn.process_new_packets();
                received.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            }
            result => return result,
        }
    }
}

impl fmt::Debug for TlsConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsConnector")
    }
}

impl fmt::Debug for TlsTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsTransport")
    }
}
