//! Reaching a host: from its name to a socket that somebody listens at.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use socket2::{Domain, Protocol, Socket, Type};

use crate::deadline::{Deadline, timed_out};
use crate::error::{Error, Result};

/// The first address of a host at which somebody listens. SPDK takes numbers only.
pub(crate) fn reach(host: &str, port: u16, deadline: &Deadline) -> Result<SocketAddr> {
    let failed = |why: String, source| Error::Resolve { host: host.to_owned(), why, source };
    let found = (host, port).to_socket_addrs().map_err(|e| failed(e.to_string(), Some(e)))?;
    first_that_listens(&found.collect::<Vec<_>>(), deadline)
        .unwrap_or_else(|| Err(failed("it has no address".to_owned(), None)))
}

/// Of no addresses, none; otherwise the first where somebody listens, or what is wrong with the last.
fn first_that_listens(addresses: &[SocketAddr], deadline: &Deadline) -> Option<Result<SocketAddr>> {
    let mut last = None;
    for (at, address) in addresses.iter().enumerate() {
        // One that is silent leaves time for the others.
        let share = deadline.left() / (addresses.len() - at) as u32;
        match probe(*address, &deadline.within(share)) {
            Ok(()) => return Some(Ok(*address)),
            Err(why) => last = Some(Err(why)),
        }
    }
    last
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

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, TcpListener};

    use super::*;

    #[test]
    fn the_first_that_listens_whatever_the_others_do() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let open = listener.local_addr().unwrap();
        let closed = {
            let gone = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            gone.local_addr().unwrap()
        };
        // TEST-NET-1: refused at once, or silent.
        let silent = "192.0.2.1:4420".parse().unwrap();
        let deadline = Deadline::after(Duration::from_secs(2));
        let found = first_that_listens(&[closed, silent, open], &deadline);
        assert_eq!(found.unwrap().unwrap(), open);
        let found = first_that_listens(&[silent, closed], &Deadline::after(Duration::from_millis(200)));
        assert!(matches!(found.unwrap(), Err(Error::Connect { .. })));
        assert!(first_that_listens(&[], &deadline).is_none());
    }
}
