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
    /// So many bytes, of which the recording had too many to keep them.
    Forgotten(usize),
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
    /// How many bytes are kept, and the first event that may have some.
    kept: usize,
    oldest: usize,
}

/// How many bytes a recording keeps, at most: the newest. Connections that go on for long would fill the memory.
pub const KEPT: usize = 64 << 20;

impl Recording {
    /// Nothing has happened yet.
    pub fn new(local: SocketAddr, peer: SocketAddr) -> Self {
        Recording { local, peer, events: Vec::new(), kept: 0, oldest: 0 }
    }

    /// Adds something that happens now.
    pub fn add(&mut self, direction: Direction, what: What) {
        if let What::Data(data) = &what {
            self.kept += data.len();
        }
        self.events.push(Event { at: SystemTime::now(), direction, what });
        while self.kept > KEPT
            && let Some(event) = self.events.get_mut(self.oldest)
        {
            if let What::Data(data) = &event.what {
                self.kept = self.kept.saturating_sub(data.len());
                event.what = What::Forgotten(data.len());
            }
            self.oldest += 1;
        }
    }

    /// The bytes that went in one direction, but for the oldest beyond [`KEPT`].
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_bytes_are_kept() {
        let address = SocketAddr::from(([127, 0, 0, 1], 4420));
        let mut recording = Recording::new(address, address);
        recording.add(Direction::Sent, What::Open);
        for byte in 0..=65 {
            recording.add(Direction::Received, What::Data(vec![byte; 1 << 20]));
            recording.add(Direction::Sent, What::Data(vec![byte]));
        }
        let received = recording.bytes(Direction::Received);
        // The 66 bytes that were sent count as well.
        assert_eq!((received.len(), received[0]), (63 << 20, 3));
        assert_eq!(recording.bytes(Direction::Sent).len(), 64);
        let forgotten = recording.events.iter().filter(|event| matches!(event.what, What::Forgotten(_)));
        assert_eq!(forgotten.count(), 5);
    }
}
