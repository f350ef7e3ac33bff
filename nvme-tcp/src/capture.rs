//! Recordings as pcapng, which Wireshark and tshark read.
//!
//! A recording has what the sockets saw. The IP and TCP headers around it are made up, with the right addresses,
//! ports, sequence numbers, acknowledgements and checksums, so that dissectors follow the streams. Wireshark takes
//! port 4420 for NVMe/TCP; for others, as those of an embedded target: `tshark -d tcp.port==N,nvme-tcp`.

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::time::{SystemTime, UNIX_EPOCH};

use etherparse::{PacketBuilder, PacketBuilderStep, TcpHeader};

use crate::record::{Direction, Event, Recording, What};

/// Packets are IP packets, without an Ethernet header.
const LINKTYPE_RAW: u16 = 101;
/// if_tsresol: nanoseconds.
const NANOSECONDS: [u8; 1] = [9];
/// Data of one segment; more than the network would carry, which dissectors take.
const SEGMENT: usize = 16 << 10;

/// Writes recordings into one file.
///
/// # Errors
/// What writing says.
pub fn write(out: &mut impl Write, recordings: &[&Recording]) -> io::Result<()> {
    section_header(out)?;
    interface(out)?;
    let mut packets: Vec<(SystemTime, Vec<u8>)> = Vec::new();
    for recording in recordings {
        let mut conversation = Conversation::new(recording);
        for event in &recording.events {
            conversation.event(event, &mut packets)?;
        }
    }
    // Stable: packets of one conversation keep their order.
    packets.sort_by_key(|(at, _)| *at);
    for (at, bytes) in packets {
        packet(out, at, &bytes)?;
    }
    Ok(())
}

/// Both sides of one connection, while its packets are made.
struct Conversation {
    local: SocketAddr,
    peer: SocketAddr,
    /// The next sequence number of either side.
    sent: u32,
    received: u32,
    /// A side that has finished says nothing more but acknowledgements.
    finished: [bool; 2],
}

#[derive(Clone, Copy, Default)]
struct Flags {
    syn: bool,
    ack: bool,
    psh: bool,
    fin: bool,
    rst: bool,
}

impl Conversation {
    fn new(recording: &Recording) -> Self {
        // Numbers that differ, so that a mixed-up direction is seen.
        Conversation {
            local: recording.local,
            peer: recording.peer,
            sent: 1000,
            received: 500_000,
            finished: [false; 2],
        }
    }

    fn event(&mut self, event: &Event, packets: &mut Vec<(SystemTime, Vec<u8>)>) -> io::Result<()> {
        let (by, ack) = (event.direction, Flags { ack: true, ..Default::default() });
        let mut add = |bytes: Vec<u8>| packets.push((event.at, bytes));
        match &event.what {
            What::Open => {
                let syn = Flags { syn: true, ..Default::default() };
                add(self.packet(by, syn, &[])?);
                add(self.packet(by.other(), Flags { syn: true, ack: true, ..Default::default() }, &[])?);
                add(self.packet(by, ack, &[])?);
            }
            What::Data(data) => {
                for segment in data.chunks(SEGMENT) {
                    add(self.packet(by, Flags { psh: true, ..ack }, segment)?);
                }
            }
            What::Forgotten(count) => {
                let next = match by {
                    Direction::Sent => &mut self.sent,
                    Direction::Received => &mut self.received,
                };
                // Sequence numbers wrap.
                *next = next.wrapping_add(*count as u32);
            }
            What::Finish => {
                let finished = &mut self.finished[by as usize];
                if !std::mem::replace(finished, true) {
                    add(self.packet(by, Flags { fin: true, ..ack }, &[])?);
                }
            }
            What::Reset => add(self.packet(by, Flags { rst: true, ..ack }, &[])?),
        }
        Ok(())
    }

    fn packet(&mut self, by: Direction, flags: Flags, data: &[u8]) -> io::Result<Vec<u8>> {
        let (from, to, next, other) = match by {
            Direction::Sent => (self.local, self.peer, &mut self.sent, self.received),
            Direction::Received => (self.peer, self.local, &mut self.received, self.sent),
        };
        let mut tcp = TcpHeader::new(from.port(), to.port(), *next, u16::MAX);
        (tcp.syn, tcp.ack, tcp.psh, tcp.fin, tcp.rst) =
            (flags.syn, flags.ack, flags.psh, flags.fin, flags.rst);
        if flags.ack {
            tcp.acknowledgment_number = other;
        }
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        *next = next.wrapping_add(length + u32::from(flags.syn) + u32::from(flags.fin));
        let packet = ip(from.ip(), to.ip())?.tcp_header(tcp);
        let mut bytes = Vec::with_capacity(packet.size(data.len()));
        packet.write(&mut bytes, data).map_err(io::Error::other)?;
        Ok(bytes)
    }
}

impl Direction {
    fn other(self) -> Self {
        match self {
            Direction::Sent => Direction::Received,
            Direction::Received => Direction::Sent,
        }
    }
}

fn ip(from: IpAddr, to: IpAddr) -> io::Result<PacketBuilderStep<etherparse::IpHeaders>> {
    const HOPS: u8 = 64;
    match (from, to) {
        (IpAddr::V4(from), IpAddr::V4(to)) => Ok(PacketBuilder::ipv4(from.octets(), to.octets(), HOPS)),
        (IpAddr::V6(from), IpAddr::V6(to)) => Ok(PacketBuilder::ipv6(from.octets(), to.octets(), HOPS)),
        _ => Err(io::Error::new(io::ErrorKind::InvalidInput, "both sides must be of one address family")),
    }
}

fn section_header(out: &mut impl Write) -> io::Result<()> {
    let mut body = Vec::new();
    body.extend(0x1A2B_3C4D_u32.to_le_bytes());
    body.extend(1u16.to_le_bytes());
    body.extend(0u16.to_le_bytes());
    // The length of the section is not given.
    body.extend(u64::MAX.to_le_bytes());
    option(&mut body, 4, concat!("nvme-tcp ", env!("CARGO_PKG_VERSION")).as_bytes());
    option(&mut body, 0, &[]);
    block(out, 0x0A0D_0D0A, &body)
}

fn interface(out: &mut impl Write) -> io::Result<()> {
    let mut body = Vec::new();
    body.extend(LINKTYPE_RAW.to_le_bytes());
    body.extend(0u16.to_le_bytes());
    // No packet is cut.
    body.extend(0u32.to_le_bytes());
    option(&mut body, 9, &NANOSECONDS);
    option(&mut body, 0, &[]);
    block(out, 1, &body)
}

fn packet(out: &mut impl Write, at: SystemTime, bytes: &[u8]) -> io::Result<()> {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    let time = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    let mut body = Vec::with_capacity(bytes.len() + 24);
    for field in [0, (time >> 32) as u32, time as u32, length, length] {
        body.extend(field.to_le_bytes());
    }
    body.extend(bytes);
    body.resize(body.len().next_multiple_of(4), 0);
    block(out, 6, &body)
}

/// Code 0 ends a list of options.
fn option(body: &mut Vec<u8>, code: u16, value: &[u8]) {
    body.extend(code.to_le_bytes());
    body.extend(u16::try_from(value.len()).unwrap_or(0).to_le_bytes());
    body.extend(value);
    body.resize(body.len().next_multiple_of(4), 0);
}

fn block(out: &mut impl Write, kind: u32, body: &[u8]) -> io::Result<()> {
    let length = u32::try_from(body.len() + 12).map_err(io::Error::other)?.to_le_bytes();
    out.write_all(&kind.to_le_bytes())?;
    out.write_all(&length)?;
    out.write_all(body)?;
    out.write_all(&length)
}
