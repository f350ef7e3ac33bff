//! NVMe/TCP on the wire, for tests of targets: what a well-behaved host sends, and everything it never would.
//!
//! * [`Pdu`] has every PDU of the specification as a typed value. [`Pdu::frame`] lays it out as a [`Frame`], whose
//!   fields (type, flags, lengths, offsets, digests) can all be changed before it becomes bytes.
//! * [`Pdu::parse`] is the strict way back: a [`ParseError`] names the field, its value, what was expected, and the
//!   part of the specification that says so.
//! * [`Connection`] sends and receives bytes and PDUs with a bound on every wait, and can record both directions
//!   for [`capture`], which writes them for Wireshark.
//! * [`Host`] holds well-formed conversations to build misbehaviour upon: do it right up to here, then send this.
//!
//! ```no_run
//! use nvme_tcp::{Connection, Host, HostOptions, Options, Pdu, Received};
//!
//! let connection = Connection::open("192.168.1.7", 4420, Options::default())?;
//! let mut host = Host::new(connection, HostOptions::new("nqn.2026-01.org.example:disk"));
//! host.initialise()?;
//!
//! // A command capsule whose header claims to be one byte longer than it is.
//! let mut frame = host.keep_alive_pdu(7).frame(&host.connection.layout());
//! frame.hlen += 1;
//! host.connection.send_bytes(&frame.to_bytes())?;
//! match host.connection.receive(std::time::Duration::from_secs(5))? {
//!     Received::Pdu { pdu: Pdu::C2HTermReq(reason), .. } => println!("refused: {reason:?}"),
//!     other => println!("{other:?}"),
//! }
//! # Ok::<(), nvme_tcp::Error>(())
//! ```
//!
//! Parts of the specifications are named by their titles: the numbers differ between NVMe over Fabrics 1.1, where
//! the transport was defined first, and the NVMe/TCP Transport Specification.
#![forbid(unsafe_code)]
#![deny(missing_docs)]

pub mod capture;
mod command;
mod completion;
pub mod digest;
mod error;
mod host;
mod pdu;
mod record;
mod stream;

pub use command::{Command, ConnectData, Sgl};
pub use completion::Completion;
pub use error::{Error, Result};
pub use host::{Data, Host, HostOptions, Outcome};
pub use pdu::{
    CapsuleCmd, CapsuleResp, CommonHeader, DataPdu, Digest, FatalError, Frame, ICReq, ICResp, Layout,
    ParseError, Pdu, R2T, TermReq, flag, pdu_type,
};
pub use record::{Direction, Event, KEPT, Recording, What};
pub use stream::{Closed, Connection, Options, Received};

/// The port of NVMe/TCP.
pub const DEFAULT_PORT: u16 = 4420;
