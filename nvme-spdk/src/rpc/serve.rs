//! The server's loop: one thread for all connections. None of them can hold up another, but for the moment that
//! [members](super::members) are given to answer.

use std::io::{self, Read};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::thread;
use std::time::Duration;

use serde_json::Value;
use socket2::SockRef;

use super::methods::Methods;
use super::protocol::{Incoming, PARSE_ERROR, Refusal, Request, answer};

/// The most connections at a time. One more, and the one that was silent for longest is dropped.
const MOST_CLIENTS: usize = 64;

/// How much is read at a time.
const CHUNK: usize = 64 << 10;

/// Serves until the other end of `ended` is closed.
pub(super) fn run(listener: &UnixListener, ended: &UnixStream) {
    let mut methods = Methods::default();
    let mut clients: Vec<Client> = Vec::new();
    loop {
        let waits = clients.iter().map(|client| (client.stream.as_raw_fd(), client.waits_for()));
        let waits = [(ended.as_raw_fd(), libc::POLLIN), (listener.as_raw_fd(), libc::POLLIN)]
            .into_iter()
            .chain(waits);
        let ready = match wait(waits) {
            Ok(ready) => ready,
            Err(e) => {
                tracing::error!("the JSON-RPC server ends: {e}");
                return;
            }
        };
        if ready[0] {
            return;
        }
        // Those that speak move behind those that are silent.
        let mut ready_clients = ready[2..].iter();
        let (spoke, silent): (Vec<_>, Vec<_>) =
            std::mem::take(&mut clients).into_iter().partition(|_| ready_clients.next() == Some(&true));
        clients = silent;
        clients
            .extend(spoke.into_iter().filter_map(|mut client| client.serve(&mut methods).then_some(client)));
        if ready[1] {
            accept(listener, &mut clients);
        }
    }
}

/// Waits until something can be done with any of these descriptors; says with which.
fn wait(waits: impl Iterator<Item = (RawFd, i16)>) -> io::Result<Vec<bool>> {
    let mut polled: Vec<_> = waits.map(|(fd, events)| libc::pollfd { fd, events, revents: 0 }).collect();
    loop {
        // SAFETY: the array is as long as said, and the descriptors are open during the call.
        let rc = unsafe { libc::poll(polled.as_mut_ptr(), polled.len() as libc::nfds_t, -1) };
        if rc >= 0 {
            return Ok(polled.iter().map(|entry| entry.revents != 0).collect());
        }
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
}

/// Takes those who wait to be let in, oldest first.
fn accept(listener: &UnixListener, clients: &mut Vec<Client>) {
    for _ in 0..MOST_CLIENTS {
        match listener.accept() {
            Ok((stream, _)) => {
                if clients.len() >= MOST_CLIENTS {
                    clients.remove(0);
                }
                if stream.set_nonblocking(true).is_ok() {
                    clients.push(Client::new(stream));
                }
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
            Err(e) if matches!(e.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted) => {}
            Err(_) => {
                // Out of descriptors, most likely: without a pause this would spin.
                thread::sleep(Duration::from_millis(100));
                return;
            }
        }
    }
}

/// A connection. It is asked nothing more as long as it has not taken its answer.
struct Client {
    stream: UnixStream,
    incoming: Incoming,
    /// What could not be sent yet.
    outgoing: Vec<u8>,
    /// To be closed once everything is sent.
    ending: bool,
}

impl Client {
    fn new(stream: UnixStream) -> Self {
        Client { stream, incoming: Incoming::default(), outgoing: Vec::new(), ending: false }
    }

    fn waits_for(&self) -> i16 {
        if self.outgoing.is_empty() { libc::POLLIN } else { libc::POLLOUT }
    }

    /// Does what can be done without waiting; false when the connection is over.
    fn serve(&mut self, methods: &mut Methods) -> bool {
        let served = if self.outgoing.is_empty() { self.receive() } else { self.send() };
        served.is_ok() && self.answer(methods).is_ok() && !(self.ending && self.outgoing.is_empty())
    }

    fn receive(&mut self) -> io::Result<()> {
        let mut chunk = [0; CHUNK];
        match self.stream.read(&mut chunk) {
            Ok(0) => {
                self.ending = true;
                Ok(())
            }
            Ok(len) => {
                self.incoming.push(&chunk[..len]);
                Ok(())
            }
            Err(e) if would_block(&e) => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Answers what has arrived, until an answer cannot be sent at once.
    fn answer(&mut self, methods: &mut Methods) -> io::Result<()> {
        while self.outgoing.is_empty() && !self.ending {
            let Some(request) = self.incoming.next() else { break };
            let line = match request {
                Ok(Request { method, params, id }) => {
                    let result = methods.call(&method, &params);
                    let Some(id) = id else { continue };
                    answer(&id, result)
                }
                Err(Refusal { id, fault }) => {
                    self.ending = fault == PARSE_ERROR;
                    answer::<Value>(&id, Err(fault))
                }
            };
            self.outgoing = line;
            self.send()?;
        }
        Ok(())
    }

    fn send(&mut self) -> io::Result<()> {
        // The program may not ignore SIGPIPE.
        match SockRef::from(&self.stream).send_with_flags(&self.outgoing, libc::MSG_NOSIGNAL) {
            Ok(sent) => {
                self.outgoing.drain(..sent);
                Ok(())
            }
            Err(e) if would_block(&e) => Ok(()),
            Err(e) => Err(e),
        }
    }
}

fn would_block(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted)
}

impl Drop for Client {
    fn drop(&mut self) {
        // What was not read would make the kernel report a reset in place of the end.
        let mut rest = [0; CHUNK];
        for _ in 0..16 {
            if !matches!(self.stream.read(&mut rest), Ok(1..)) {
                break;
            }
        }
        // A fork of this process may have a copy: closing alone would not tell the other side.
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}
