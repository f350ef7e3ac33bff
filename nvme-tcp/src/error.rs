//! What can go wrong, and what to do about it.

use std::io;
use std::time::Duration;

use crate::completion::Completion;
use crate::pdu::ParseError;

/// Every error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The host of an address cannot be resolved.
    #[error("cannot resolve {host:?}: {source}; check the spelling, or give the IP address")]
    Resolve {
        /// The host as given.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },

    /// Nothing accepts the connection.
    #[error("no connection to {address}: {source}; check that the target listens there")]
    Connect {
        /// Host and port.
        address: String,
        /// What the network said.
        source: io::Error,
    },

    /// A wait took too long.
    #[error("{what} did not finish within {timeout:?}; the target may be stopped, or wait for something")]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long.
        timeout: Duration,
    },

    /// [`Options::check`](crate::Options::check) asked to end a wait.
    #[error("{what} was interrupted")]
    Interrupted {
        /// What was waited for.
        what: String,
    },

    /// The peer does not take what is sent: it has closed the connection, as a rule.
    #[error("only {sent} of {total} bytes could be sent: {source}; see what was received last")]
    Send {
        /// Bytes the network took.
        sent: usize,
        /// Bytes there were.
        total: usize,
        /// What the network said.
        source: io::Error,
    },

    /// The network failed in another way.
    #[error("{what} failed: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the network said.
        source: io::Error,
    },

    /// The other side closed where an answer was due.
    #[error("the target closed the connection ({how}) where {expected} was expected")]
    Closed {
        /// Cleanly or by a reset.
        how: String,
        /// What was waited for.
        expected: String,
    },

    /// The other side ends the connection, and says why.
    #[error(
        "the target ended the connection (C2HTermReq, FES {fes}, FEI {fei:#x}) where {expected} was expected"
    )]
    Terminated {
        /// Fatal Error Status; see [`FatalError`](crate::FatalError).
        fes: u16,
        /// Fatal Error Information.
        fei: u32,
        /// What was waited for.
        expected: String,
    },

    /// A PDU that is none.
    #[error("malformed PDU received: {0}")]
    Malformed(#[from] ParseError),

    /// A PDU that does not belong here.
    #[error("{received} was received where {expected} was expected")]
    Unexpected {
        /// It.
        received: String,
        /// What was waited for.
        expected: String,
    },

    /// A command of a conversation that should be well-formed failed.
    #[error(
        "{what} failed with status {completion}; check the name of the subsystem and what the host may do"
    )]
    Status {
        /// Which command.
        what: String,
        /// Its completion.
        completion: Completion,
    },
}

/// A result of this crate.
pub type Result<T> = std::result::Result<T, Error>;
