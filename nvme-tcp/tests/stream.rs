//! Connections: every end and every wait is told, and none lasts.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use nvme_tcp::{Closed, Connection, Direction, Error, Layout, Options, Pdu, R2T, Received, What};
use support::{SOON, with_peer};

/// PDUs.
const MOST_COLLECTED: usize = 1 << 16;

const R2T_BYTES: [u8; 24] = [9, 0, 24, 0, 24, 0, 0, 0, 5, 0, 6, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0];

fn r2t() -> Pdu {
    Pdu::R2T(R2T { cccid: 5, ttag: 6, r2to: 256, r2tl: 512 })
}

#[test]
fn pdus_split_and_joined_come_whole() {
    let (mut connection, peer) = with_peer("127.0.0.1", Options::default(), |mut stream| {
        for byte in R2T_BYTES {
            stream.write_all(&[byte]).unwrap();
            std::thread::sleep(Duration::from_millis(1));
        }
        stream.write_all(&R2T_BYTES.repeat(2)).unwrap();
    });
    for _ in 0..3 {
        let received = connection.receive(SOON).unwrap();
        assert_eq!(received, Received::Pdu { pdu: r2t(), bytes: R2T_BYTES.to_vec() });
    }
    assert_eq!(connection.receive(SOON).unwrap(), Received::Closed(Closed::Cleanly));
    peer.join().unwrap();
}

#[test]
fn a_timeout_keeps_what_has_come() {
    let (mut connection, peer) = with_peer("127.0.0.1", Options::default(), |mut stream| {
        stream.write_all(&R2T_BYTES[..20]).unwrap();
        // Until the other side has waited in vain.
        stream.read_exact(&mut [0]).unwrap();
        stream.write_all(&R2T_BYTES[20..]).unwrap();
    });
    let begin = Instant::now();
    assert_eq!(connection.receive(Duration::from_millis(250)).unwrap(), Received::Timeout);
    assert!((250..10_000).contains(&begin.elapsed().as_millis()), "{:?}", begin.elapsed());
    connection.send_bytes(&[1]).unwrap();
    assert!(matches!(connection.receive(SOON).unwrap(), Received::Pdu { .. }));
    peer.join().unwrap();
}

#[test]
fn the_ways_to_close_are_told_apart() {
    let (mut connection, _peer) = with_peer("127.0.0.1", Options::default(), |mut stream| {
        stream.write_all(&R2T_BYTES[..20]).unwrap();
    });
    assert_eq!(connection.receive(SOON).unwrap(), Received::Closed(Closed::Midway));
    // And it stays so.
    assert_eq!(connection.receive(SOON).unwrap(), Received::Closed(Closed::Midway));

    let (mut connection, _peer) = with_peer("127.0.0.1", Options::default(), |mut stream| {
        // Not before the other side has its connection.
        stream.read_exact(&mut [0]).unwrap();
        Connection::over(stream, Options::default()).unwrap().reset().unwrap();
    });
    connection.send_bytes(&[1]).unwrap();
    assert_eq!(connection.receive(SOON).unwrap(), Received::Closed(Closed::Reset));
}

#[test]
fn half_closed_it_still_receives() {
    let (mut connection, peer) = with_peer("127.0.0.1", Options::default(), |mut stream| {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).unwrap();
        stream.write_all(&R2T_BYTES).unwrap();
        all
    });
    connection.send_in_pieces(b"in pieces", 2, Duration::from_millis(1)).unwrap();
    connection.finish().unwrap();
    assert!(matches!(connection.receive(SOON).unwrap(), Received::Pdu { .. }));
    assert_eq!(peer.join().unwrap(), b"in pieces");
}

#[test]
fn a_reset_is_one_for_the_peer() {
    let (mut connection, peer) = with_peer("127.0.0.1", Options::default(), |mut stream| {
        stream.read_to_end(&mut Vec::new()).unwrap_err().kind()
    });
    connection.send_bytes(b"a").unwrap();
    connection.reset().unwrap();
    assert_eq!(peer.join().unwrap(), std::io::ErrorKind::ConnectionReset);
}

#[test]
fn a_peer_that_does_not_read_stops_sending_in_time() {
    let options = Options {
        send_timeout: Duration::from_millis(300),
        send_buffer: Some(16 << 10),
        ..Default::default()
    };
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let (mut connection, _peer) = with_peer("127.0.0.1", options, move |stream| {
        let _ = wait.recv();
        drop(stream);
    });
    let begin = Instant::now();
    let error = connection.send_bytes(&vec![0; 64 << 20]).unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(5));
    drop(done);
}

#[test]
fn waits_can_be_ended() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let check = || ASKED.fetch_add(1, Ordering::Relaxed) >= 2;
    let options = Options { check: Some(check), ..Default::default() };
    let (done, wait) = std::sync::mpsc::channel::<()>();
    let (mut connection, _peer) = with_peer("127.0.0.1", options, move |stream| {
        let _ = wait.recv();
        drop(stream);
    });
    let begin = Instant::now();
    let error = connection.receive(Duration::from_secs(60)).unwrap_err();
    assert!(matches!(error, Error::Interrupted { .. }), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(10));
    drop(done);
}

/// A PDU of a MiB, a byte at a time, for as long as the other side is there.
fn drip(mut stream: TcpStream) {
    let mut header = [0; 8];
    header[0] = 7;
    header[4..].copy_from_slice(&(1u32 << 20).to_le_bytes());
    stream.write_all(&header).unwrap();
    while stream.write_all(&[0]).is_ok() {
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_pdu_that_never_ends_is_not_waited_for() {
    let (mut connection, _peer) = with_peer("127.0.0.1", Options::default(), drip);
    let begin = Instant::now();
    assert_eq!(connection.receive(Duration::from_millis(250)).unwrap(), Received::Timeout);
    let all = connection.receive_until_closed(Duration::from_millis(250)).unwrap();
    assert_eq!(all, [Received::Timeout]);
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
}

#[test]
fn waits_for_a_pdu_that_never_ends_can_be_ended() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let check = || ASKED.fetch_add(1, Ordering::Relaxed) >= 2;
    let (mut connection, _peer) =
        with_peer("127.0.0.1", Options { check: Some(check), ..Default::default() }, drip);
    let begin = Instant::now();
    let error = connection.receive(Duration::from_secs(60)).unwrap_err();
    assert!(matches!(error, Error::Interrupted { .. }), "{error}");
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
}

#[test]
fn sending_to_a_peer_that_takes_everything_can_be_ended() {
    static ASKED: AtomicUsize = AtomicUsize::new(0);
    let check = || ASKED.fetch_add(1, Ordering::Relaxed) >= 1;
    let options = Options { check: Some(check), send_timeout: Duration::from_secs(60), ..Default::default() };
    let (mut connection, _peer) = with_peer("127.0.0.1", options, |mut stream| {
        let mut bytes = vec![0; 1 << 20];
        while stream.read(&mut bytes).is_ok_and(|count| count > 0) {}
    });
    let (begin, bytes) = (Instant::now(), vec![0; 64 << 10]);
    let in_time = |_: &_| begin.elapsed() < SOON;
    let sends = std::iter::repeat_with(|| connection.send_bytes(&bytes));
    let error = sends.take_while(in_time).find_map(Result::err);
    assert!(matches!(error, Some(Error::Interrupted { .. })), "{error:?}");
}

#[test]
fn a_peer_that_never_stops_is_not_collected_for_ever() {
    for timeout in [Duration::from_millis(250), Duration::from_secs(600), Duration::MAX] {
        let (mut connection, _peer) = with_peer("127.0.0.1", Options::default(), |mut stream| {
            while stream.write_all(&R2T_BYTES.repeat(1000)).is_ok() {}
        });
        let begin = Instant::now();
        let all = connection.receive_until_closed(timeout).unwrap();
        assert_eq!(all.last(), Some(&Received::Timeout));
        assert!(all.len() > 1 && all.len() <= 1 + MOST_COLLECTED, "{}", all.len());
        assert!(begin.elapsed() < 3 * SOON, "{:?}", begin.elapsed());
    }
}

#[test]
fn lengths_that_make_no_sense_are_not_waited_for() {
    for plen in [0u32, 7, u32::MAX] {
        let (mut connection, _peer) = with_peer("127.0.0.1", Options::default(), move |mut stream| {
            let mut bytes = R2T_BYTES;
            bytes[4..8].copy_from_slice(&plen.to_le_bytes());
            stream.write_all(&bytes).unwrap();
            // Open until the other side has seen it.
            let _ = stream.read(&mut [0]);
        });
        let Received::Malformed { error, .. } = connection.receive(SOON).unwrap() else { panic!("{plen}") };
        assert_eq!((error.field, error.value), ("PLEN", plen.into()));
    }
}

#[test]
fn malformed_pdus_do_not_end_what_follows() {
    let (mut connection, _peer) = with_peer("127.0.0.1", Options::default(), |mut stream| {
        let mut frame = r2t().frame(&Layout::default());
        frame.hlen = 23;
        stream.write_all(&frame.to_bytes()).unwrap();
        stream.write_all(&R2T_BYTES).unwrap();
    });
    let all = connection.receive_until_closed(SOON).unwrap();
    assert!(matches!(&all[0], Received::Malformed { error, .. } if error.field == "HLEN"), "{all:?}");
    assert!(matches!(&all[1], Received::Pdu { .. }), "{all:?}");
    assert_eq!(all[2..], [Received::Closed(Closed::Cleanly)]);
}

#[test]
fn nobody_there_is_said_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let error = Connection::open("127.0.0.1", port, Options::default()).unwrap_err();
    assert!(matches!(error, Error::Connect { .. }), "{error}");
    let error = Connection::open("no such host.invalid", port, Options::default()).unwrap_err();
    assert!(matches!(error, Error::Resolve { .. } | Error::Timeout { .. }), "{error}");
}

#[test]
fn names_and_both_families_work() {
    for address in ["localhost", "127.0.0.1", "::1"] {
        let Ok(listener) = TcpListener::bind((address, 0)) else {
            assert_eq!(address, "::1", "only IPv6 may be absent");
            continue;
        };
        let port = listener.local_addr().unwrap().port();
        Connection::open(address, port, Options::default()).unwrap();
    }
}

#[test]
fn everything_is_recorded_in_order() {
    let (mut connection, peer) = with_peer("127.0.0.1", Options::default(), |mut stream| {
        stream.read_exact(&mut [0; 3]).unwrap();
        stream.write_all(&R2T_BYTES).unwrap();
    });
    connection.send_bytes(b"abc").unwrap();
    connection.receive_until_closed(SOON).unwrap();
    peer.join().unwrap();
    let recording = connection.close().unwrap();
    let whats: Vec<_> = recording.events.iter().map(|event| (event.direction, event.what.clone())).collect();
    assert_eq!(
        whats,
        [
            (Direction::Sent, What::Open),
            (Direction::Sent, What::Data(b"abc".to_vec())),
            (Direction::Received, What::Data(R2T_BYTES.to_vec())),
            (Direction::Received, What::Finish),
            (Direction::Sent, What::Finish),
        ]
    );
    assert!(recording.events.is_sorted_by_key(|event| event.at));
    assert_eq!(recording.bytes(Direction::Received), R2T_BYTES);
}
