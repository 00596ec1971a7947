//! Answers that come before the request is sent. A server that refuses says so, and closes the connection without
//! reading on: what was to be sent then fails, and why stands in an answer that would never be read.

use std::fmt;
use std::io;

use ureq::unversioned::transport::{Buffers, ConnectionDetails, Connector, NextTimeout, Transport};

/// Wraps connections so that such answers are heard.
#[derive(Debug)]
pub(super) struct EarlyAnswers;

impl<In: Transport> Connector<In> for EarlyAnswers {
    type Out = Listening<In>;

    fn connect(
        &self,
        _: &ConnectionDetails<'_>,
        chained: Option<In>,
    ) -> Result<Option<Listening<In>>, ureq::Error> {
        Ok(chained.map(|transport| Listening {
            transport,
            answered: false,
        }))
    }
}

/// A connection that is listened to when it takes no more.
pub(super) struct Listening<T> {
    transport: T,
    /// An answer has come, and nobody reads what is sent any more.
    answered: bool,
}

impl<T: Transport> Transport for Listening<T> {
    fn buffers(&mut self) -> &mut dyn Buffers {
        self.transport.buffers()
    }

    fn transmit_output(&mut self, amount: usize, timeout: NextTimeout) -> Result<(), ureq::Error> {
        if self.answered {
            return Ok(());
        }
        match self.transport.transmit_output(amount, timeout) {
            Err(ureq::Error::Io(error)) if is_closed(&error) => {
                self.answered = matches!(self.transport.await_input(timeout), Ok(true));
                match self.answered {
                    true => Ok(()),
                    false => Err(ureq::Error::Io(error)),
                }
            }
            result => result,
        }
    }

    fn await_input(&mut self, timeout: NextTimeout) -> Result<bool, ureq::Error> {
        self.transport.await_input(timeout)
    }

    fn is_open(&mut self) -> bool {
        !self.answered && self.transport.is_open()
    }

    fn is_tls(&self) -> bool {
        self.transport.is_tls()
    }
}

impl<T> fmt::Debug for Listening<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Listening")
    }
}

/// Whether the other side has closed the connection.
pub(super) fn is_closed(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset
    )
}
