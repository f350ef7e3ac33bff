//! Data integrity, timeouts and resets through the Rust API, on the embedded target.

use std::time::Duration;

use nvme_spdk::{
    Command, Controller, Data, DmaBuf, Error, IoWorker, Mismatch, Namespace, Outcome, Qpair, SecureErase,
    Status, Workload,
};
use support::{Stopped, connect, target};

const SECONDS: Duration = Duration::from_secs(5);

fn tracked(controller: &Controller) -> Namespace {
    let namespace = controller.namespace(1).expect("namespace 1").track(None).expect("address space");
    assert!(namespace.verify(true));
    namespace
}

/// Writes a block's bytes as they are.
fn raw_write(qpair: &Qpair, lba: u64, fill: u8) {
    let buffer = DmaBuf::new(512).expect("a buffer");
    buffer.fill(0..512, fill);
    let done = qpair.execute(&Command::write(1, lba, 1), Some(Data::from(&buffer))).expect("a completion");
    assert!(done.completion.is_success());
}

#[test]
fn data_changed_by_others_is_a_mismatch() {
    let (controller, other) = (connect(), connect());
    let (qpair, others) = (controller.create_qpair(8).unwrap(), other.create_qpair(8).unwrap());
    let namespace = tracked(&controller);
    let buffer = DmaBuf::new(8 * 512).unwrap();
    namespace.write(&qpair, &buffer, 100, 8).unwrap();
    namespace.read(&qpair, &buffer, 100, 8).unwrap();
    raw_write(&others, 103, 0xff);
    let failed = namespace.read(&qpair, &buffer, 100, 8).unwrap_err();
    assert!(matches!(failed, Error::Command { status: Status::DATA_MISMATCH, .. }), "{failed}");
    let done = qpair.execute(&Command::read(1, 103, 1), Some(Data::new(&buffer, 0, 512).unwrap())).unwrap();
    assert!(matches!(done.mismatch, Some(Mismatch::Checksum { lba: 103, .. })), "{done:?}");
    assert_eq!(done.completion.status(), Status::DATA_MISMATCH);
    let logged = qpair.cmdlog().newest(1)[0].completed.unwrap().0;
    assert_eq!(logged.status(), Status::SUCCESS, "the log has what the controller said");
    namespace.verify(false);
    namespace.read(&qpair, &buffer, 100, 8).unwrap();
}

#[test]
fn checksums_outlive_a_format_that_is_refused() {
    let (controller, other) = (connect(), connect());
    let (qpair, others) = (controller.create_qpair(8).unwrap(), other.create_qpair(8).unwrap());
    let namespace = tracked(&controller);
    let buffer = DmaBuf::new(512).unwrap();
    namespace.write(&qpair, &buffer, 300, 1).unwrap();
    raw_write(&others, 300, 0xff);
    let is_known_wrong = || {
        let read = namespace.read(&qpair, &buffer, 300, 1);
        matches!(read, Err(Error::Command { status: Status::DATA_MISMATCH, .. }))
    };

    let error = namespace.format_nvm(64, SecureErase::None, SECONDS).unwrap_err();
    assert!(matches!(&error, Error::InvalidArgument(why) if why.contains("0 to 63, not 64")), "{error}");
    let error = namespace.format_nvm(1, SecureErase::None, SECONDS).unwrap_err();
    let Error::Command { status, .. } = error else { panic!("{error}") };
    assert_eq!(status, Status::new(1, 0x0a), "Invalid Format");
    assert!(is_known_wrong());

    namespace.format_nvm(0, SecureErase::None, SECONDS).unwrap();
    raw_write(&others, 300, 0xff);
    assert!(!is_known_wrong(), "nothing is expected any more");
}

#[test]
fn stamps_make_blocks_unique() {
    let controller = connect();
    let namespace = controller.namespace(1).unwrap();
    let buffer = DmaBuf::new(4 * 512).unwrap();
    let word = |at: usize| u64::from_le_bytes(buffer.to_vec(at..at + 8).try_into().unwrap());
    namespace.stamp(&Data::from(&buffer), 50, 4);
    let first = word(504);
    for block in 0..4_usize {
        assert_eq!((word(block * 512), word(block * 512 + 504)), (50 + block as u64, first + block as u64));
    }
    // Fewer bytes than blocks: what is there is stamped, and the tokens are taken all the same.
    namespace.stamp(&Data::new(&buffer, 0, 512).unwrap(), 0, 100);
    namespace.stamp(&Data::new(&buffer, 512, 512).unwrap(), 0, 1);
    assert!(word(1016) >= word(504) + 100);
}

#[test]
fn commands_on_the_same_block_go_one_after_the_other() {
    let controller = connect();
    let qpair = controller.create_qpair(256).unwrap();
    let namespace = tracked(&controller);
    for _ in 0..255 {
        // Each from a buffer of its own: the last one's data must be what stays.
        let buffer = DmaBuf::new(512).unwrap();
        namespace.submit_write(&qpair, &buffer, 0, 7, 1).unwrap();
    }
    assert!(matches!(
        namespace.submit_write(&qpair, &DmaBuf::new(512).unwrap(), 0, 7, 1),
        Err(Error::QueueFull { outstanding: 255, .. })
    ));
    let mut latest = 0;
    for _ in 0..255 {
        assert!(qpair.wait(SECONDS).unwrap() > 0);
        let done = qpair.next_completion().unwrap().unwrap();
        assert!(done.completion.is_success());
        latest = latest.max(done.command.cid);
    }
    // One at a time: a single identifier was ever in use.
    let cids: Vec<_> = qpair.cmdlog().newest(255).iter().map(|entry| entry.command.cid).collect();
    assert!(cids.iter().all(|cid| *cid == cids[0]), "{cids:?}");
    namespace.read(&qpair, &DmaBuf::new(512).unwrap(), 7, 1).unwrap();
}

#[test]
fn workers_that_mix_reads_and_writes_verify() {
    let controller = connect();
    let namespace = tracked(&controller);
    let workload = Workload::new().region(0..64).read_percentage(50).io_count(20_000).queue_depth(33);
    let report = IoWorker::start(&namespace, &workload).unwrap().join();
    assert_eq!((report.ios, report.failure), (20_000, None));
}

#[test]
fn a_report_says_how_many_blocks_were_verified() {
    let controller = connect();
    let namespace = tracked(&controller);
    let sequential = Workload::new().random_percentage(0).io_size(7).region(1000..1700).queue_depth(9);
    // Only the first half is known.
    let write = sequential.clone().read_percentage(0).io_count(50);
    let written = IoWorker::start(&namespace, &write).unwrap().join();
    assert_eq!((written.ios, written.verified, written.failure), (50, 0, None));
    let read = sequential.io_count(100);
    let verified = || IoWorker::start(&namespace, &read).unwrap().join().verified;
    assert_eq!(verified(), 350);
    namespace.verify(false);
    assert_eq!(verified(), 0);
}

#[test]
fn a_command_that_takes_too_long_is_reported_and_keeps_its_place() {
    let controller = connect();
    let qpair = controller.create_qpair(4).unwrap();
    let buffer = DmaBuf::new(512).unwrap();
    controller.set_command_timeout(Some(Duration::from_millis(20)));
    assert_eq!(controller.command_timeout(), Some(Duration::from_millis(20)));
    let stopped = Stopped::new(target());
    let token = qpair.submit(&Command::read(1, 0, 1), Some(Data::from(&buffer))).unwrap();
    drop(buffer);
    qpair.wait(SECONDS).unwrap();
    let done = qpair.next_completion().unwrap().expect("a report");
    assert_eq!((done.token, done.outcome), (token, Outcome::TimedOut));
    assert_eq!(done.completion.dwords(), [u32::MAX; 4]);
    assert_eq!(qpair.outstanding(), 1, "it is still with the controller");
    assert_eq!(qpair.wait(Duration::from_millis(100)).unwrap(), 0, "it is reported once");
    drop(stopped);
    qpair.wait(SECONDS).unwrap();
    let done = qpair.next_completion().unwrap().expect("the answer");
    assert_eq!((done.token, done.outcome), (token, Outcome::Late));
    assert_eq!(qpair.outstanding(), 0);
}

#[test]
fn a_reset_connects_anew_in_place() {
    let controller = connect();
    let namespace = tracked(&controller);
    let old = controller.create_qpair(8).unwrap();
    let buffer = DmaBuf::new(512).unwrap();
    namespace.write(&old, &buffer, 9, 1).unwrap();
    controller.submit(&Command::admin(0x0c), None).unwrap();
    let worker = IoWorker::start(&namespace, &Workload::new().time(Duration::from_secs(100))).unwrap();
    controller.reset().unwrap();
    let report = worker.join();
    assert_eq!(report.failure, Some(nvme_spdk::Failure::Stopped));
    assert!(old.is_deleted());
    assert!(matches!(namespace.read(&old, &buffer, 9, 1), Err(Error::QpairDead { .. })));
    assert!(controller.next_completion().unwrap().is_none(), "what was outstanding is forgotten");
    for _ in 0..20 {
        controller.reset().unwrap();
    }
    let new = controller.create_qpair(8).unwrap();
    assert_eq!(new.qid(), 1);
    namespace.read(&new, &buffer, 9, 1).unwrap();
    assert!(namespace.is_verifying());
    controller.close();
    assert!(matches!(controller.reset(), Err(Error::Dead { state: "closed", .. })));
}

#[test]
fn a_reset_while_the_target_is_silent_fails_in_time_and_can_be_repeated() {
    let target = nvme_spdk::Target::builder().megabytes(16).start().unwrap();
    let options = nvme_spdk::ConnectOptions::new().timeout(Duration::from_secs(3));
    let controller = Controller::connect(target.address(), options).unwrap();
    let stopped = Stopped::new(&target);
    let (result, took) = support::timed(|| controller.reset());
    assert!(matches!(result, Err(Error::Timeout { .. })), "{result:?}");
    assert!(took < Duration::from_secs(6), "{took:?}");
    drop(stopped);
    // What was given up may still be going on for a moment.
    controller.reset().unwrap();
    assert!(controller.execute(&Command::get_features(7), None).unwrap().completion.is_success());
}

#[test]
fn fused_commands_hold_their_blocks_together() {
    let controller = connect();
    let qpair = controller.create_qpair(16).unwrap();
    let namespace = tracked(&controller);
    let (old, new) = (DmaBuf::new(512).unwrap(), DmaBuf::new(512).unwrap());
    namespace.write(&qpair, &old, 9, 1).unwrap();
    namespace.stamp(&Data::from(&new), 9, 1);
    // A read holds the block when they come; another command comes in behind them.
    namespace.submit_read(&qpair, &DmaBuf::new(512).unwrap(), 0, 9, 1).unwrap();
    let compare = Command::range(0x05, 1, 9, 1).flags(1);
    qpair.submit(&compare, Some(Data::from(&old))).unwrap();
    qpair.submit(&Command::write(1, 9, 1).flags(2), Some(Data::from(&new))).unwrap();
    namespace.submit_read(&qpair, &DmaBuf::new(512).unwrap(), 0, 9, 1).unwrap();
    let mut opcodes = Vec::new();
    while opcodes.len() < 4 {
        assert!(qpair.wait(SECONDS).unwrap() > 0, "{opcodes:?}");
        while let Some(done) = qpair.next_completion().unwrap() {
            assert!(done.completion.is_success(), "{done:?}");
            opcodes.push(done.command.opcode);
        }
    }
    assert_eq!(opcodes, [2, 5, 1, 2]);
}

#[test]
fn a_closed_controller_stays_closed_whatever_resets_it_meanwhile() {
    for round in 0..30 {
        let controller = connect();
        let resetting = std::thread::spawn({
            let controller = controller.clone();
            move || drop(controller.reset())
        });
        std::thread::sleep(Duration::from_micros(round * 100));
        controller.close();
        resetting.join().unwrap();
        assert!(controller.is_closed(), "round {round}");
        assert!(controller.execute(&Command::get_features(7), None).is_err());
    }
}

#[test]
fn handles_of_a_thread_may_go_with_it() {
    thread_local! {
        static KEPT: std::cell::RefCell<Vec<(Controller, Qpair)>> = const { std::cell::RefCell::new(Vec::new()) };
    }
    let thread = std::thread::spawn(|| {
        KEPT.with_borrow_mut(|kept| {
            let controller = connect();
            let qpair = controller.create_qpair(4).unwrap();
            qpair.submit(&Command::flush(1), None).unwrap();
            kept.push((controller, qpair));
        });
    });
    thread.join().expect("no panic at the end of the thread");
}
