//! Reaching a host: from its name to a socket that somebody listens at.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::deadline::{Deadline, timed_out};
use crate::error::{Error, Result};

/// The first address of a host at which somebody listens. SPDK takes numbers only.
pub(crate) fn reach(host: &str, port: u16, deadline: &Deadline) -> Result<SocketAddr> {
    let failed = |why: String| Error::Resolve { host: host.to_owned(), why };
    let found = (host, port).to_socket_addrs().map_err(|e| failed(e.to_string()))?;
    let mut last = failed("it has no address".to_owned());
    let found: Vec<_> = found.collect();
    for (at, address) in found.iter().enumerate() {
        // One that is silent leaves time for the others.
        let share = deadline.left() / (found.len() - at) as u32;
        match probe(*address, &deadline.within(share)) {
            Ok(()) => return Ok(*address),
            Err(why) => last = why,
        }
    }
    Err(last)
}

/// Connects and hangs up again, within the deadline: SPDK's own connect would wait for minutes.
pub(crate) fn probe(address: SocketAddr, deadline: &Deadline) -> Result<()> {
    let failed = |source: std::io::Error| {
        let remedy = match source.kind() {
            std::io::ErrorKind::ConnectionRefused => {
                "nothing listens on that port: start the target, or check address and port"
            }
            _ => "check the address, and that the network reaches it",
        };
        Error::Connect { address: address.to_string(), source, remedy }
    };
    let socket =
        Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP)).map_err(failed)?;
    let left = deadline.left().max(Duration::from_millis(1));
    match socket.connect_timeout(&address.into(), left) {
        Ok(()) => Ok(()),
        Err(e) if matches!(e.kind(), std::io::ErrorKind::TimedOut) || e.raw_os_error().is_none() => {
            Err(timed_out(format!("connecting to {address}"), left))
        }
        Err(e) => Err(failed(e)),
    }
}
