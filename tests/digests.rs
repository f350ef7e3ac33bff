//! Whatever the wire spoils is found: no command that met it ends well, and no other suffers.

use std::time::Duration;

use nvme_spdk::{Command, ConnectOptions, Controller, Data, DmaBuf, Status};
use support::proxy::{C2H_DATA, CAPSULE_CMD, CAPSULE_RESP, H2C_DATA, Proxy, Spoil};
use support::{connect, target};

const BLOCK: usize = 512;

/// A connection with both digests through a proxy.
fn through(proxy: &Proxy) -> Controller {
    let options = ConnectOptions::new()
        // Discovery would name the target itself.
        .subnqn(target().subnqn())
        .header_digest(true)
        .data_digest(true)
        .timeout(Duration::from_secs(5));
    Controller::connect(proxy.address(), options).expect("the proxy passes on")
}

fn pattern(lba: u64, blocks: u32) -> Vec<u8> {
    (0..blocks as usize * BLOCK).map(|at| (at as u64 / 3 + lba * 7) as u8).collect()
}

/// Sends a command, of which the proxy spoils something, on a queue pair of its own.
fn met_a_spoiled_wire(proxy: &Proxy, controller: &Controller, spoil: Spoil, command: &Command, data: Data) {
    let before = proxy.spoiled();
    let qpair = controller.create_qpair(4).expect("a queue pair");
    proxy.spoil(spoil);
    let result = qpair.execute_within(command, Some(data), Duration::from_secs(5));
    assert_eq!(proxy.spoiled(), before + 1, "{spoil:?}: nothing was spoiled: {result:?}");
    if let Ok(done) = result {
        assert_ne!(done.completion.status(), Status::SUCCESS, "{spoil:?} was not noticed");
    }
}

#[test]
fn every_spoiled_byte_of_data_that_is_read() {
    let proxy = Proxy::new(target().address());
    let controller = through(&proxy);
    let buffer = DmaBuf::new(64 * BLOCK).expect("a buffer");
    let healthy = controller.create_qpair(4).expect("a queue pair");
    for (round, blocks) in [1_u32, 2, 7, 8, 9, 64].into_iter().enumerate() {
        let lba = 100 * round as u64;
        buffer.write(0, &pattern(lba, blocks));
        let data = || Data::new(&buffer, 0, blocks as usize * BLOCK).expect("inside");
        let done = healthy.execute(&Command::write(1, lba, blocks), Some(data())).expect("a write");
        assert!(done.completion.is_success());
        let last = blocks as usize * BLOCK - 1;
        for at in [0, 1, BLOCK / 2, last] {
            let read = Command::read(1, lba, blocks);
            met_a_spoiled_wire(&proxy, &controller, Spoil::Data(C2H_DATA, at), &read, data());
        }
        // The others go on, and read what was written.
        buffer.fill(0..64 * BLOCK, 0);
        let done = healthy.execute(&Command::read(1, lba, blocks), Some(data())).expect("a read");
        assert!(done.completion.is_success());
        assert_eq!(buffer.to_vec(0..blocks as usize * BLOCK), pattern(lba, blocks));
    }
}

#[test]
fn every_spoiled_byte_of_data_that_is_written() {
    let proxy = Proxy::new(target().address());
    let controller = through(&proxy);
    let direct = connect().create_qpair(4).expect("a queue pair");
    let buffer = DmaBuf::new(64 * BLOCK).expect("a buffer");
    // Small ones travel with their command, larger ones are asked for.
    for (kind, blocks) in [(CAPSULE_CMD, 1_u32), (CAPSULE_CMD, 8), (H2C_DATA, 32), (H2C_DATA, 64)] {
        let lba = 5000 + 100 * u64::from(blocks);
        let data = || Data::new(&buffer, 0, blocks as usize * BLOCK).expect("inside");
        for at in [0, 3, BLOCK, blocks as usize * BLOCK - 1] {
            buffer.write(0, &pattern(lba + at as u64, blocks));
            let write = Command::write(1, lba, blocks);
            met_a_spoiled_wire(&proxy, &controller, Spoil::Data(kind, at), &write, data());
        }
        let done = direct.execute(&Command::write(1, lba, blocks), Some(data())).expect("the target lives");
        assert!(done.completion.is_success());
    }
}

#[test]
fn every_spoiled_header() {
    let proxy = Proxy::new(target().address());
    let controller = through(&proxy);
    let buffer = DmaBuf::new(64 * BLOCK).expect("a buffer");
    let large = || Data::new(&buffer, 0, 64 * BLOCK).expect("inside");
    for at in [0, 5, 11, 15] {
        let (read, write) = (Command::read(1, 0, 64), Command::write(1, 9000, 64));
        met_a_spoiled_wire(&proxy, &controller, Spoil::Header(C2H_DATA, at), &read, large());
        met_a_spoiled_wire(&proxy, &controller, Spoil::Header(CAPSULE_CMD, at), &read, large());
        met_a_spoiled_wire(&proxy, &controller, Spoil::Header(H2C_DATA, at), &write, large());
        met_a_spoiled_wire(&proxy, &controller, Spoil::Header(CAPSULE_RESP, at), &write, large());
    }
}

#[test]
fn without_digests_verification_finds_it() {
    let proxy = Proxy::new(target().address());
    let options = ConnectOptions::new().subnqn(target().subnqn());
    let controller = Controller::connect(proxy.address(), options).expect("the proxy passes on");
    let namespace = controller.namespace(1).expect("namespace 1").track(None).expect("a table");
    namespace.verify(true);
    let qpair = controller.create_qpair(4).expect("a queue pair");
    let buffer = DmaBuf::new(8 * BLOCK).expect("a buffer");
    for (lba, at) in [(20_000, 0), (20_008, 700), (20_016, 8 * BLOCK - 9)] {
        namespace.write(&qpair, &buffer, lba, 8).expect("a write");
        proxy.spoil(Spoil::Data(C2H_DATA, at));
        let done = qpair.execute(&Command::read(1, lba, 8), Some((&buffer).into())).expect("a read");
        assert_eq!(done.completion.status(), Status::DATA_MISMATCH, "{at}");
    }
    assert_eq!(proxy.spoiled(), 3);
}
