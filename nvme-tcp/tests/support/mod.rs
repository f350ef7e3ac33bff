//! A peer on the loopback, without a target.
#![allow(dead_code, reason = "not every test uses all of it")]

use std::net::{TcpListener, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use nvme_tcp::{Connection, Options, Pdu, Received};

/// Long enough for a loaded machine; nothing that works takes as long.
pub const SOON: Duration = Duration::from_secs(10);

/// A connection and what the other side of it returns.
pub fn with_peer<T: Send + 'static>(
    address: &str,
    options: Options,
    peer: impl FnOnce(TcpStream) -> T + Send + 'static,
) -> (Connection, JoinHandle<T>) {
    let listener = TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let peer = std::thread::spawn(move || peer(listener.accept().unwrap().0));
    (Connection::open(address, port, options).unwrap(), peer)
}

/// The next PDU, which has to come.
pub fn pdu(connection: &mut Connection) -> Pdu {
    match connection.receive(SOON).unwrap() {
        Received::Pdu { pdu, .. } => pdu,
        other => panic!("{other:?}"),
    }
}
