//! What went over a connection, in both directions, with the time.

use std::net::SocketAddr;
use std::time::SystemTime;

/// Who sent something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// This side.
    Sent,
    /// The peer.
    Received,
}

/// What was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// The connection, made by this side or accepted.
    Open,
    /// Bytes.
    Data(Vec<u8>),
    /// The end of what one side sends.
    Finish,
    /// The end of the connection, at once.
    Reset,
}

/// One thing that happened, as the sockets saw it: what one call sent or received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: SystemTime,
    /// Who.
    pub direction: Direction,
    /// What.
    pub what: What,
}

/// All that happened on a connection.
#[derive(Debug, Clone)]
pub struct Recording {
    /// This side.
    pub local: SocketAddr,
    /// The other.
    pub peer: SocketAddr,
    /// In order.
    pub events: Vec<Event>,
}

impl Recording {
    /// Nothing has happened yet.
    pub fn new(local: SocketAddr, peer: SocketAddr) -> Self {
        Recording { local, peer, events: Vec::new() }
    }

    /// Adds something that happens now.
    pub fn add(&mut self, direction: Direction, what: What) {
        self.events.push(Event { at: SystemTime::now(), direction, what });
    }

    /// All bytes that went in one direction.
    pub fn bytes(&self, direction: Direction) -> Vec<u8> {
        let mut bytes = Vec::new();
        for event in self.events.iter().filter(|event| event.direction == direction) {
            if let What::Data(data) = &event.what {
                bytes.extend(data);
            }
        }
        bytes
    }
}
