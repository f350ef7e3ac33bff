//! The host, against a controller made of a few lines: what it sends, and what it does not put up with.

mod support;

use std::io::Read;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use nvme_tcp::{
    CapsuleCmd, CapsuleResp, Closed, Command, Connection, Data, DataPdu, Error, Host, HostOptions, ICReq,
    ICResp, Options, Pdu, R2T, Received, Sgl, TermReq,
};
use support::{SOON, pdu, with_peer};

const MAXH2CDATA: u32 = 4096;
/// Data that takes a minute, a PDU at a time.
const SLOWLY: usize = 24 << 20;

/// The controller's side, after ICReq and ICResp with what the host asked for.
fn controller(stream: TcpStream) -> Connection {
    let mut connection = Connection::over(stream, Options::default()).unwrap();
    let Pdu::ICReq(request) = pdu(&mut connection) else { panic!("no ICReq") };
    let response = ICResp { pfv: 0, cpda: 7, dgst: request.dgst, maxh2cdata: MAXH2CDATA };
    connection.send(&Pdu::ICResp(response)).unwrap();
    let layout = |alignment| nvme_tcp::Layout {
        header_digest: request.dgst & 1 != 0,
        data_digest: request.dgst & 2 != 0,
        alignment,
    };
    connection.set_layouts(layout(request.hpda), layout(response.cpda));
    connection
}

fn host(digests: u8, peer: impl FnOnce(Connection) + Send + 'static) -> Host {
    host_that_waits(SOON, digests, peer)
}

fn host_that_waits(timeout: Duration, digests: u8, peer: impl FnOnce(Connection) + Send + 'static) -> Host {
    host_over(timeout, digests, |stream| peer(controller(stream)))
}

fn host_over(timeout: Duration, digests: u8, peer: impl FnOnce(TcpStream) + Send + 'static) -> Host {
    let (connection, _) = with_peer("127.0.0.1", Options::default(), peer);
    let icreq = ICReq { hpda: 3, dgst: digests, ..Default::default() };
    let options = HostOptions { icreq, timeout, ..HostOptions::new("nqn.2026-01.org.example:a") };
    let mut host = Host::new(connection, options);
    assert_eq!(host.initialise().unwrap().maxh2cdata, MAXH2CDATA);
    host
}

fn response(cid: u16, result: u64, status: u16) -> Pdu {
    let mut cqe = [0; 16];
    cqe[..8].copy_from_slice(&result.to_le_bytes());
    cqe[12..14].copy_from_slice(&cid.to_le_bytes());
    cqe[14..].copy_from_slice(&(status << 1).to_le_bytes());
    Pdu::CapsuleResp(CapsuleResp { cqe })
}

fn command(connection: &mut Connection) -> CapsuleCmd {
    let Pdu::CapsuleCmd(capsule) = pdu(connection) else { panic!("no command") };
    capsule
}

#[test]
fn connect_says_who_and_what() {
    for digests in 0..4 {
        let mut host = host(digests, |mut connection| {
            let capsule = command(&mut connection);
            assert_eq!(capsule.sqe[..5], [0x7F, 0x40, 11, 0, 1]);
            // Queue 1 of 32 entries.
            assert_eq!(capsule.sqe[42..46], [1, 0, 31, 0]);
            assert_eq!(capsule.data.len(), 1024);
            assert_eq!(capsule.data[16..18], [9, 0]);
            assert!(capsule.data[256..].starts_with(b"nqn.2026-01.org.example:a\0"));
            connection.send(&response(11, 9, 0)).unwrap();
        });
        assert_eq!(host.connect(11, 1, 32, Some(9)).unwrap(), 9);
    }
}

#[test]
fn a_refusal_has_its_status() {
    let mut host = host(0, |mut connection| {
        command(&mut connection);
        connection.send(&response(1, 0, 0x0182)).unwrap();
    });
    let Error::Status { completion, .. } = host.connect(1, 0, 32, None).unwrap_err() else { panic!() };
    assert_eq!(completion.to_string(), "01/82");
}

#[test]
fn the_largest_queue_has_65536_entries() {
    let mut host = host(0, |mut connection| {
        assert_eq!(command(&mut connection).sqe[42..46], [1, 0, 0xFF, 0xFF]);
        connection.send(&response(1, 9, 0)).unwrap();
    });
    host.connect(1, 1, 65536, Some(9)).unwrap();
}

#[test]
fn a_controller_may_take_as_long_as_cap_to_to_become_ready() {
    let (timeout, slow) = (Duration::from_secs(2), Duration::from_secs(4));
    // CAP.TO in half seconds: the first says how slow it is, the second does not.
    for (to, ready) in [(20, true), (0, false)] {
        let mut host = host_that_waits(timeout, 0, move |mut connection| {
            let begin = Instant::now();
            for first in [to << 24, 0] {
                command(&mut connection);
                connection.send(&response(3, first, 0)).unwrap();
            }
            while let Received::Pdu { .. } = connection.receive(SOON).unwrap() {
                connection.send(&response(3, u64::from(begin.elapsed() > slow), 0)).unwrap();
            }
        });
        let enabled = host.enable(3);
        assert_eq!(enabled.is_ok(), ready, "{enabled:?}");
        assert!(ready || matches!(enabled, Err(Error::Timeout { .. })));
    }
}

#[test]
fn r2ts_are_answered_in_pieces() {
    let bytes: Vec<u8> = (0..10_000u32).map(|i| (i % 251) as u8).collect();
    let expected = bytes.clone();
    let mut host = host(3, move |mut connection| {
        let capsule = command(&mut connection);
        assert!(capsule.data.is_empty());
        assert_eq!(capsule.sqe[39], 0x5A);
        let mut received: Vec<u8> = Vec::new();
        for (ttag, r2to, r2tl) in [(1, 0, 6000), (2, 6000, 4000)] {
            connection.send(&Pdu::R2T(R2T { cccid: 3, ttag, r2to, r2tl })).unwrap();
            let end = (r2to + r2tl) as usize;
            while received.len() < end {
                let Pdu::H2CData(data) = pdu(&mut connection) else { panic!("no data") };
                assert_eq!((data.ttag, data.datao as usize), (ttag, received.len()));
                assert!(data.data.len() <= MAXH2CDATA as usize);
                received.extend(&data.data);
                assert_eq!(data.last, received.len() == end);
            }
        }
        assert_eq!(received, expected);
        connection.send(&response(3, 0, 0)).unwrap();
    });
    let write = Command::write(3, 1, 0, 20, Sgl::Transport { length: 0 });
    let outcome = host.execute(write, Data::OnRequest(&bytes)).unwrap();
    assert!(outcome.completion.is_success());
    assert_eq!(outcome.r2ts.len(), 2);
}

#[test]
fn data_comes_with_and_without_the_success_flag() {
    for success in [true, false] {
        let mut host = host(2, move |mut connection| {
            command(&mut connection);
            let data = |datao, byte, last| DataPdu {
                cccid: 4,
                datao,
                data: vec![byte; 512],
                last,
                success: last && success,
                ttag: 0,
            };
            connection.send(&Pdu::C2HData(data(0, 1, false))).unwrap();
            connection.send(&Pdu::C2HData(data(512, 2, true))).unwrap();
            if !success {
                connection.send(&response(4, 0, 0)).unwrap();
            }
        });
        let outcome =
            host.execute(Command::read(4, 1, 0, 2, Sgl::Transport { length: 1024 }), Data::None).unwrap();
        assert_eq!(outcome.data, [[1; 512], [2; 512]].concat());
        assert_eq!((outcome.success_flag, outcome.completion.cid()), (success, 4));
    }
}

#[test]
fn violations_of_the_controller_are_errors() {
    let beyond = Pdu::R2T(R2T { cccid: 5, ttag: 0, r2to: 512, r2tl: 512 });
    let gap = Pdu::C2HData(DataPdu { cccid: 5, datao: 8, data: vec![0; 8], ..Default::default() });
    for pdu in [beyond, gap, response(6, 0, 0)] {
        let name = format!("{pdu} was received where ");
        let mut host = host(0, move |mut connection| {
            command(&mut connection);
            connection.send(&pdu).unwrap();
            let _ = connection.receive(SOON);
        });
        let write = Command::write(5, 1, 0, 1, Sgl::Transport { length: 0 });
        let error = host.execute(write, Data::OnRequest(&[0; 512])).unwrap_err();
        assert!(matches!(error, Error::Unexpected { .. }), "{error}");
        assert!(error.to_string().starts_with(&name), "{error}");
    }
}

#[test]
fn a_controller_that_never_completes_a_command_is_an_error_in_time() {
    let again = Pdu::R2T(R2T { cccid: 5, ttag: 0, r2to: 0, r2tl: 512 });
    let nothing = Pdu::C2HData(DataPdu { cccid: 5, ..Default::default() });
    for pdu in [again, nothing] {
        let mut host = host_that_waits(Duration::from_secs(2), 0, move |mut connection| {
            command(&mut connection);
            while connection.send(&pdu).is_ok() {
                let _ = connection.receive(Duration::from_millis(1));
            }
        });
        let begin = Instant::now();
        let write = Command::write(5, 1, 0, 1, Sgl::Transport { length: 0 });
        let error = host.execute(write, Data::OnRequest(&[0; 512])).unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{error}");
        assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
    }
}

#[test]
fn a_controller_that_takes_data_slowly_is_an_error_in_time() {
    let mut host = host_over(Duration::from_millis(500), 0, |stream| {
        let mut connection = controller(stream.try_clone().unwrap());
        command(&mut connection);
        let asked = R2T { cccid: 5, ttag: 0, r2to: 0, r2tl: SLOWLY as u32 };
        connection.send(&Pdu::R2T(asked)).unwrap();
        let (mut stream, mut bytes) = (stream, vec![0; MAXH2CDATA as usize]);
        while stream.read(&mut bytes).is_ok_and(|count| count > 0) {
            std::thread::sleep(Duration::from_millis(10));
        }
    });
    let begin = Instant::now();
    let write = Command::write(5, 1, 0, 1, Sgl::Transport { length: 0 });
    let error = host.execute(write, Data::OnRequest(&vec![0; SLOWLY])).unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
    assert!(begin.elapsed() < SOON, "{:?}", begin.elapsed());
}

#[test]
fn the_reason_of_a_controller_that_ends_it_is_told() {
    let mut host = host(0, |mut connection| {
        command(&mut connection);
        let data = vec![0; 24];
        connection.send(&Pdu::C2HTermReq(TermReq { fes: 1, fei: 2, data })).unwrap();
    });
    let error = host.property_get(1, 0, true).unwrap_err();
    assert!(matches!(error, Error::Terminated { fes: 1, fei: 2, .. }), "{error}");
}

#[test]
fn errors_tell_pdus_apart() {
    assert_eq!(response(6, 0, 0x0F).to_string(), "CapsuleResp (CID 6, status 00/0f)");
    let r2t = R2T { cccid: 5, ttag: 0, r2to: 512, r2tl: 8 };
    assert_eq!(Pdu::R2T(r2t).to_string(), "R2T (CCCID 5, R2TO 512, R2TL 8)");
}

#[test]
fn a_controller_that_closes_or_is_silent_is_an_error_in_time() {
    let mut closing = host(0, |mut connection| {
        command(&mut connection);
    });
    let error = closing.property_get(1, 0, true).unwrap_err();
    assert!(matches!(error, Error::Closed { .. }), "{error}");

    let (connection, _peer) = with_peer("127.0.0.1", Options::default(), |stream| {
        let mut connection = Connection::over(stream, Options::default()).unwrap();
        pdu(&mut connection);
        assert_eq!(connection.receive(SOON).unwrap(), Received::Closed(Closed::Cleanly));
    });
    let options = HostOptions { timeout: Duration::from_millis(200), ..HostOptions::new("nqn.a") };
    let error = Host::new(connection, options).initialise().unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
}
