//! PCIe controllers. In the lab: `make test-pcie`.

use std::time::Duration;

use nvme_spdk::{
    Address, Command, ConnectOptions, Controller, Data, DmaBuf, Error, IoWorker, QpairOptions, Status,
    Workload,
};

/// The lab's plain controller.
fn address() -> Address {
    std::env::var("NVME_PCIE").unwrap_or_else(|_| "0000:01:00.0".to_owned()).parse().expect("a PCI address")
}

fn connect() -> Controller {
    Controller::connect(&address(), ConnectOptions::new()).expect("a PCIe controller")
}

const CC: u32 = 0x14;
const CSTS: u32 = 0x1c;

#[test]
#[ignore = "needs the lab: make test-pcie"]
fn attaching_changes_nothing_and_initialising_is_the_callers() {
    let controller = Controller::attach(&address(), ConnectOptions::new()).expect("a controller");
    assert_eq!(controller.read_register(CC).expect("CC") & 1, 0, "a fresh device");
    assert_ne!(controller.version(), 0);
    controller.write_register(CC, 0).expect("CC");
    controller.wait_ready(false).expect("not ready");
    controller.enable_admin_queue().expect("an admin queue");
    controller.write_register(CC, 0x46_0001).expect("CC");
    controller.wait_ready(true).expect("ready");
    controller.read_identify().expect("Identify");
    assert_ne!(controller.identify().model_number(), "");
    controller.set_io_queues(0).expect("one queue");
    let _first = controller.create_qpair(2).expect("a queue pair");
    let error = controller.create_qpair(2).unwrap_err();
    assert!(matches!(error, Error::QpairCreate { .. }), "{error}");
    controller.close();
    let again = Controller::attach(&address(), ConnectOptions::new()).expect("it was let go");
    assert_eq!(again.read_register(CC).expect("CC") & 1, 0, "disabled by close");
    assert_eq!(again.read_register(CSTS).expect("CSTS") & 0xc, 0, "without a shutdown notification");
}

#[test]
#[ignore = "needs the lab: make test-pcie"]
fn what_is_written_is_read() {
    let controller = connect();
    let namespace = controller.namespace(1).expect("a namespace");
    let qpair = controller.create_qpair(16).expect("a queue pair");
    let buffer = DmaBuf::new(128 << 10).expect("a buffer");
    for (lba, blocks) in [(0, 1), (1, 8), (100, 256), (7, 255)] {
        let bytes = (blocks * namespace.lba_size()) as usize;
        let pattern: Vec<u8> = (0..bytes).map(|i| (i * 7 + blocks as usize) as u8).collect();
        buffer.write(0, &pattern);
        namespace.write(&qpair, &buffer, lba, blocks).expect("a write");
        let written = buffer.to_vec(0..bytes);
        buffer.fill(0..bytes, 0);
        namespace.read(&qpair, &buffer, lba, blocks).expect("a read");
        assert_eq!(buffer.to_vec(0..bytes), written);
    }
}

#[test]
#[ignore = "needs the lab: make test-pcie"]
fn queues_take_one_command_less_than_they_have_entries() {
    let controller = connect();
    let buffer = DmaBuf::new(512).expect("a buffer");
    for depth in [2, 3, 4, 5, 16, 64, 127, 128, 129, 512, 1024] {
        let qpair = controller.create_qpair(depth).expect("a queue pair");
        assert_eq!(qpair.qid(), 1, "the lowest that is free");
        let mut cids = Vec::new();
        // More than once around the ring.
        for _ in 0..3 {
            cids.clear();
            for lba in 0..u64::from(depth) - 1 {
                qpair.submit(&Command::read(1, lba, 1), Some(Data::from(&buffer))).expect("a read");
                cids.push(qpair.latest_cid().expect("its CID"));
            }
            let more = qpair.submit(&Command::read(1, 0, 1), Some(Data::from(&buffer)));
            assert!(matches!(more, Err(Error::QueueFull { .. })), "{depth}: {more:?}");
            for _ in 1..depth {
                assert_ne!(qpair.wait(Duration::from_secs(5)).expect("a completion"), 0);
                let completed = qpair.next_completion().expect("a completion").expect("one");
                assert!(completed.completion.is_success());
            }
        }
        cids.sort_unstable();
        assert_eq!(cids, (0..depth - 1).collect::<Vec<_>>());
        let first = controller.create_qpair(depth).expect("a second queue pair");
        first.submit(&Command::flush(1), None).expect("a flush");
        assert_eq!(first.latest_cid().expect("its CID"), depth - 2, "the highest comes first");
    }
}

#[test]
#[ignore = "needs the lab: make test-pcie"]
fn a_reset_ends_workers_and_queues_and_keeps_the_rest() {
    let controller = connect();
    let namespace = controller.namespace(1).expect("a namespace");
    let admin = controller.submit(&Command::admin(0x0c), None).expect("an Asynchronous Event Request");
    let _ = admin;
    for _ in 0..5 {
        let qpair = controller.create_qpair(8).expect("a queue pair");
        let workload = Workload::new().time(Duration::from_secs(60)).queue_depth(17);
        let workers: Vec<_> =
            (0..4).map(|_| IoWorker::start(&namespace, &workload).expect("a worker")).collect();
        std::thread::sleep(Duration::from_millis(200));
        controller.reset().expect("a reset");
        for worker in workers {
            assert!(worker.join().ios > 0);
        }
        assert!(qpair.is_deleted());
        let again = controller.create_qpair(8).expect("a queue pair");
        let buffer = DmaBuf::new(4096).expect("a buffer");
        namespace.read(&again, &buffer, 0, 8).expect("a read");
    }
    let features = controller.execute(&Command::get_features(7), None).expect("Get Features");
    assert_eq!(features.completion.status(), Status::SUCCESS);
}

#[test]
#[ignore = "needs the lab: make test-pcie"]
fn registers_end_where_bar0_ends() {
    let controller = connect();
    assert_eq!(controller.read_register64(0).expect("CAP"), controller.cap());
    let beyond = controller.read_register(0x1000_0000).unwrap_err();
    assert!(matches!(beyond, Error::InvalidArgument(_)), "{beyond}");
    let options = QpairOptions::new(8).priority(1);
    let error = controller.create_qpair_with(options).unwrap_err();
    assert!(matches!(error, Error::QpairCreate { .. }), "{error}");
}

#[test]
#[ignore = "needs the lab: make test-pcie"]
fn a_queue_pair_the_device_refuses_to_delete() {
    const DELETE_SQ: u8 = 0x00;
    const DELETE_CQ: u8 = 0x04;
    let controller = connect();
    for behind in [&[DELETE_SQ][..], &[DELETE_SQ, DELETE_CQ]] {
        let qpair = controller.create_qpair(8).expect("a queue pair");
        for &opcode in behind {
            let deleted = controller.execute(&Command::admin(opcode).cdw10(qpair.qid().into()), None);
            assert!(deleted.expect("Delete I/O Queue").completion.is_success());
        }
        let error = qpair.delete().unwrap_err();
        assert!(
            matches!(error, Error::QpairDelete { qid: 1, .. }) && error.to_string().contains("01/01"),
            "{error}"
        );
        assert!(qpair.is_deleted());
        qpair.delete().expect("nothing is left to do");
        // Nothing is left of it on the device either.
        assert_eq!(controller.create_qpair(8).expect("a queue pair").qid(), 1);
    }
}
