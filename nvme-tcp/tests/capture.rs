//! Captures, read back with libraries that did not write them.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use etherparse::{NetSlice, SlicedPacket, TransportSlice};
use nvme_tcp::capture;
use nvme_tcp::{Direction, Event, Recording, What};
use pcap_parser::traits::PcapReaderIterator;
use pcap_parser::{Block, Linktype, PcapBlockOwned, PcapError, PcapNGReader};

/// Time in nanoseconds and the packet.
fn read(file: &[u8]) -> Vec<(u64, Vec<u8>)> {
    let mut reader = PcapNGReader::new(1 << 20, file).unwrap();
    let mut packets = Vec::new();
    loop {
        match reader.next() {
            Ok((offset, block)) => {
                match block {
                    PcapBlockOwned::NG(Block::InterfaceDescription(interface)) => {
                        assert_eq!(interface.linktype, Linktype(101));
                        assert_eq!(interface.ts_resolution(), Some(1_000_000_000));
                    }
                    PcapBlockOwned::NG(Block::EnhancedPacket(packet)) => {
                        assert_eq!(packet.caplen, packet.origlen);
                        let at = u64::from(packet.ts_high) << 32 | u64::from(packet.ts_low);
                        packets.push((at, packet.data[..packet.caplen as usize].to_vec()));
                    }
                    PcapBlockOwned::NG(Block::SectionHeader(_)) => {}
                    _ => panic!("a block that was not written"),
                }
                reader.consume(offset);
            }
            Err(PcapError::Eof) => return packets,
            Err(PcapError::Incomplete(_)) => reader.refill().unwrap(),
            Err(error) => panic!("{error:?}"),
        }
    }
}

/// Follows both streams as a dissector does: numbers, acknowledgements, checksums.
fn follow(packets: &[(u64, Vec<u8>)]) -> HashMap<(u16, u16), Vec<u8>> {
    let mut next: HashMap<(u16, u16), u32> = HashMap::new();
    let mut streams: HashMap<(u16, u16), Vec<u8>> = HashMap::new();
    for (_, bytes) in packets {
        let packet = SlicedPacket::from_ip(bytes).unwrap();
        let Some(TransportSlice::Tcp(tcp)) = packet.transport else { panic!("no TCP") };
        let checksum = match packet.net {
            Some(NetSlice::Ipv4(ip)) => {
                let header = ip.header().to_header();
                assert_eq!(header.header_checksum, header.calc_header_checksum());
                tcp.to_header().calc_checksum_ipv4(&header, tcp.payload()).unwrap()
            }
            Some(NetSlice::Ipv6(ip)) => {
                tcp.to_header().calc_checksum_ipv6(&ip.header().to_header(), tcp.payload()).unwrap()
            }
            other => panic!("{other:?}"),
        };
        assert_eq!(tcp.checksum(), checksum);
        let (us, them) =
            ((tcp.source_port(), tcp.destination_port()), (tcp.destination_port(), tcp.source_port()));
        if !tcp.syn() {
            assert_eq!(tcp.sequence_number(), next[&us]);
        }
        if tcp.ack() {
            assert_eq!(tcp.acknowledgment_number(), next[&them]);
        }
        let length = u32::try_from(tcp.payload().len()).unwrap();
        let end = tcp.sequence_number() + length + u32::from(tcp.syn()) + u32::from(tcp.fin());
        next.insert(us, end);
        streams.entry(us).or_default().extend(tcp.payload());
    }
    streams
}

fn conversation(local: &str, peer: &str, start: SystemTime) -> (Recording, Vec<u8>) {
    let (local, peer): (SocketAddr, SocketAddr) = (local.parse().unwrap(), peer.parse().unwrap());
    // More than fits into one packet.
    let long: Vec<u8> = (0..100_000u32).map(|i| i as u8).collect();
    let mut recording = Recording::new(local, peer);
    let whats = [
        (Direction::Sent, What::Open),
        (Direction::Sent, What::Data(long.clone())),
        (Direction::Received, What::Data(b"answer".to_vec())),
        (Direction::Sent, What::Data(b"!".to_vec())),
        (Direction::Received, What::Finish),
        (Direction::Sent, What::Finish),
    ];
    for (index, (direction, what)) in whats.into_iter().enumerate() {
        let at = start + Duration::from_nanos(1_000_003 * index as u64);
        recording.events.push(Event { at, direction, what });
    }
    (recording, [long, b"!".to_vec()].concat())
}

#[test]
fn other_readers_find_both_streams() {
    let start = SystemTime::UNIX_EPOCH + Duration::new(1_800_000_000, 123_456_789);
    for (local, peer) in [("10.0.0.1:50000", "10.0.0.2:4420"), ("[fe80::1]:50000", "[fe80::2]:4420")] {
        let (recording, sent) = conversation(local, peer, start);
        let mut file = Vec::new();
        capture::write(&mut file, &[&recording]).unwrap();
        let packets = read(&file);
        assert_eq!(packets[0].0, 1_800_000_000_123_456_789);
        let streams = follow(&packets);
        assert_eq!(streams[&(50000, 4420)], sent);
        assert_eq!(streams[&(4420, 50000)], b"answer");
    }
}

#[test]
fn several_connections_are_in_the_order_of_time() {
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let (first, _) = conversation("10.0.0.1:50000", "10.0.0.2:4420", start);
    let (second, _) = conversation("10.0.0.1:50001", "10.0.0.2:4420", start + Duration::from_nanos(17));
    let mut file = Vec::new();
    capture::write(&mut file, &[&second, &first]).unwrap();
    let packets = read(&file);
    assert!(packets.is_sorted_by_key(|(at, _)| *at));
    assert_eq!(follow(&packets).len(), 4);
}

#[test]
fn a_reset_is_a_packet() {
    let mut recording = Recording::new("10.0.0.1:5".parse().unwrap(), "10.0.0.2:4420".parse().unwrap());
    recording.add(Direction::Sent, What::Open);
    recording.add(Direction::Received, What::Reset);
    let mut file = Vec::new();
    capture::write(&mut file, &[&recording]).unwrap();
    let packets = read(&file);
    let last = SlicedPacket::from_ip(&packets.last().unwrap().1).unwrap();
    let Some(TransportSlice::Tcp(tcp)) = last.transport else { panic!("no TCP") };
    assert!(tcp.rst() && tcp.source_port() == 4420);
}
