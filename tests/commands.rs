//! Commands, their completions, and the log of them.

use std::time::Duration;

use nvme_spdk::{Command, Data, DmaBuf, DsmRange, Error, QpairOptions, Status};
use support::{connect, target};

#[test]
fn hello_world() {
    let controller = connect();
    assert_eq!(controller.identify().model_number(), "nvme-spdk embedded target");
    assert!(controller.max_io_queues() >= 17);
    assert_eq!(controller.max_transfer(), Some(128 << 10));
    assert_eq!(controller.max_queue_entries(), 1024);

    let namespace = controller.namespace(1).expect("namespace 1");
    assert_eq!((namespace.lba_size(), namespace.blocks()), (512, 524_296));
    let qpair = controller.create_qpair(64).expect("a queue pair");
    let buffer = DmaBuf::new(4096).expect("a buffer");
    buffer.write(0, b"hello world");
    namespace.write(&qpair, &buffer, 0, 8).expect("a write");
    buffer.fill(0..4096, 0xee);
    let done = namespace.read(&qpair, &buffer, 0, 8).expect("a read");
    assert!(done.latency() > Duration::ZERO && done.latency() < Duration::from_secs(10));
    assert_eq!(buffer.to_vec(0..12), b"hello world\0");
}

#[test]
fn admin_commands_and_registers() {
    let controller = connect();
    let features = controller.execute(&Command::get_features(7), None).expect("Get Features");
    assert!(features.completion.is_success());
    assert!(features.completion.cdw0 & 0xffff >= 16);

    let bad = controller.execute(&Command::admin(0xff), None).expect("an answer");
    assert_eq!(bad.completion.status(), Status::new(0, 0x01));

    assert_eq!(controller.read_register64(0).expect("CAP"), controller.cap());
    assert_eq!(controller.read_register(8).expect("VS"), controller.version());
    assert_eq!(controller.read_register(0x1c).expect("CSTS") & 1, 1);
    assert!(matches!(controller.read_register(2), Err(Error::InvalidArgument(_))));
    let refused = controller.read_register(0x7ff0).unwrap_err();
    assert!(matches!(refused, Error::Command { .. } | Error::Unsupported(_)), "{refused}");
    controller.execute(&Command::get_features(7), None).expect("a refused register does no harm");
}

#[test]
fn a_namespace_takes_no_queue_pair_of_another_controller() {
    let (controller, other) = (connect(), connect());
    let namespace = controller.namespace(1).expect("namespace 1").track(Some(64)).expect("address space");
    let foreign = other.create_qpair(4).expect("a queue pair");
    let buffer = DmaBuf::new(512).expect("a buffer");
    buffer.fill(0..512, 0x5a);
    let sent = foreign.cmdlog().newest(8);
    let read = Command::read(1, 0, 1);
    let data = || Data::from(&buffer);
    let range = [DsmRange { blocks: 1, ..Default::default() }];
    let refused = [
        ("read", namespace.read(&foreign, &buffer, 0, 1).err()),
        ("write", namespace.write(&foreign, &buffer, 0, 1).err()),
        ("flush", namespace.flush(&foreign).err()),
        ("write_zeroes", namespace.write_zeroes(&foreign, 0, 1, false).err()),
        ("deallocate", namespace.deallocate(&foreign, &range).err()),
        ("submit_read", namespace.submit_read(&foreign, &buffer, 0, 0, 1).err()),
        ("submit_write", namespace.submit_write(&foreign, &buffer, 0, 0, 1).err()),
        ("submit", namespace.submit(&foreign, &read, data()).err()),
        ("start_read", namespace.start_read(&foreign, &buffer, 0, 0, 1).err()),
        ("start_write", namespace.start_write(&foreign, &buffer, 0, 0, 1).err()),
        ("start", namespace.start(&foreign, &read, data()).err()),
    ];
    for (call, error) in refused {
        let Some(Error::InvalidArgument(why)) = error else { panic!("{call}: {error:?}") };
        assert!(why.contains("another controller") && why.contains("Namespace::controller"), "{why}");
    }
    assert_eq!(foreign.outstanding(), 0);
    assert_eq!(foreign.cmdlog().newest(8), sent, "nothing was sent");
    assert_eq!(buffer.to_vec(0..512), [0x5a; 512], "nothing was stamped");

    // Clones are the same controller.
    let own = namespace.controller().clone().create_qpair(4).expect("a queue pair");
    namespace.read(&own, &buffer, 0, 1).expect("a read");
}

#[test]
fn an_error_status_is_in_the_completion_and_helpers_make_it_an_error() {
    let controller = connect();
    let namespace = controller.namespace(1).expect("namespace 1");
    let qpair = controller.create_qpair(4).expect("a queue pair");
    let buffer = DmaBuf::new(512).expect("a buffer");
    let behind = Command::read(1, namespace.blocks(), 1);
    let completed = qpair.execute(&behind, Some(Data::from(&buffer))).expect("an answer");
    assert_eq!(completed.completion.status(), Status::new(0, 0x80));
    let error = namespace.read(&qpair, &buffer, namespace.blocks(), 1).unwrap_err();
    assert!(error.to_string().contains("LBA OUT OF RANGE (00/80)"), "{error}");
}

#[test]
fn bad_arguments_are_errors() {
    let controller = connect();
    let namespace = controller.namespace(1).expect("namespace 1");
    let qpair = controller.create_qpair(4).expect("a queue pair");
    let buffer = DmaBuf::new(512).expect("a buffer");
    assert!(matches!(
        namespace.read(&qpair, &buffer, 0, 2),
        Err(Error::BufferTooSmall { needed: 1024, available: 512, .. })
    ));
    assert!(matches!(namespace.read(&qpair, &buffer, 0, 0), Err(Error::InvalidArgument(_))));
    assert!(matches!(namespace.read(&qpair, &buffer, 0, 65537), Err(Error::InvalidArgument(_))));
    assert!(matches!(Data::new(&buffer, 4000, 1000), Err(Error::BufferTooSmall { .. })));
    assert!(matches!(Data::new(&buffer, usize::MAX, 2), Err(Error::BufferTooSmall { .. })));
    for nsid in [0, 2, u32::MAX] {
        assert!(matches!(controller.namespace(nsid), Err(Error::NoNamespace { .. })), "{nsid}");
    }
    for depth in [0, 1, 1025, u16::MAX] {
        assert!(matches!(controller.create_qpair(depth), Err(Error::InvalidArgument(_))), "{depth}");
    }
    let error = controller.create_qpair_with(QpairOptions::new(8).priority(1)).unwrap_err();
    assert!(matches!(error, Error::QpairCreate { .. }), "{error}");
    assert!(error.to_string().contains("CC.AMS"), "{error}");
}

#[test]
fn many_in_flight_and_one_too_many() {
    let controller = connect();
    let qpair = controller.create_qpair(4).expect("a queue pair");
    let buffer = DmaBuf::new(4096).expect("a buffer");
    let tokens: Vec<_> = (0..3)
        .map(|lba| qpair.submit(&Command::read(1, lba, 1), Some(Data::from(&buffer))).expect("room"))
        .collect();
    let full = qpair.submit(&Command::read(1, 3, 1), Some(Data::from(&buffer))).unwrap_err();
    assert!(matches!(full, Error::QueueFull { outstanding: 3, .. }), "{full}");
    let mut seen = Vec::new();
    while seen.len() < 3 {
        qpair.wait(Duration::from_secs(5)).expect("completions");
        while let Some(done) = qpair.next_completion().expect("the queue is alive") {
            assert!(done.completion.is_success());
            seen.push(done.token);
        }
    }
    assert_eq!(qpair.outstanding(), 0);
    assert!(tokens.iter().all(|token| seen.contains(token)));
}

#[test]
fn the_deepest_queue_takes_what_it_says() {
    let controller = connect();
    let qpair = controller.create_qpair(1024).expect("a queue pair");
    let buffer = DmaBuf::new(512).expect("a buffer");
    for lba in 0..1023 {
        qpair.submit(&Command::read(1, lba, 1), Some(Data::from(&buffer))).expect("room");
    }
    assert!(matches!(qpair.submit(&Command::flush(1), None), Err(Error::QueueFull { .. })));
    let mut done = 0;
    while done < 1023 {
        qpair.wait(Duration::from_secs(5)).expect("completions");
        while let Some(completed) = qpair.next_completion().expect("the queue is alive") {
            assert!(completed.completion.is_success(), "{}", completed.completion);
            done += 1;
        }
    }
}

#[test]
fn seventeen_queues_and_fifty_in_turn() {
    let controller = connect();
    let buffer = DmaBuf::new(512).expect("a buffer");
    let qpairs: Vec<_> = (0..17).map(|_| controller.create_qpair(16).expect("a queue pair")).collect();
    let mut qids: Vec<_> = qpairs.iter().map(nvme_spdk::Qpair::qid).collect();
    qids.sort_unstable();
    assert_eq!(qids, (1..=17).collect::<Vec<_>>());
    for qpair in &qpairs {
        let done = qpair.execute(&Command::read(1, 0, 1), Some(Data::from(&buffer))).expect("a read");
        assert!(done.completion.is_success());
    }
    drop(qpairs);
    for _ in 0..50 {
        let qpair = controller.create_qpair(16).expect("the identifier is free again");
        assert_eq!(qpair.qid(), 1);
        qpair.execute(&Command::read(1, 0, 1), Some(Data::from(&buffer))).expect("a read");
    }
}

#[test]
fn every_transfer_size_up_to_the_limit() {
    let controller = connect();
    let namespace = controller.namespace(1).expect("namespace 1");
    let qpair = controller.create_qpair(16).expect("a queue pair");
    let out = DmaBuf::new(128 << 10).expect("a buffer");
    let back = DmaBuf::new(128 << 10).expect("a buffer");
    // Below and above 8 KiB data travels inside and behind the command.
    for blocks in [1, 2, 7, 8, 9, 15, 16, 17, 31, 64, 100, 255, 256] {
        let len = 512 * blocks as usize;
        let pattern: Vec<u8> = (0..len).map(|i| (i * 7 + i / 512 + blocks as usize) as u8).collect();
        out.write(0, &pattern);
        back.fill(0..len, 0);
        namespace.write(&qpair, &out, 1000, blocks).expect("a write");
        namespace.read(&qpair, &back, 1000, blocks).expect("a read");
        assert!(back.to_vec(0..len) == pattern, "{blocks} blocks");
    }
    let large = DmaBuf::new(256 << 10).expect("a buffer");
    let error = namespace.write(&qpair, &large, 0, 512).unwrap_err();
    assert!(matches!(error, Error::Command { .. }), "above MDTS the controller refuses: {error}");
}

#[cfg(spdk_internals)]
#[test]
fn the_log_has_every_command_of_spdk_too() {
    let controller = connect();
    let qpair = controller.create_qpair(8).expect("a queue pair");
    let buffer = DmaBuf::new(512).expect("a buffer");
    qpair.execute(&Command::read(1, 11, 1), Some(Data::from(&buffer))).expect("a read");
    qpair.execute(&Command::flush(1), None).expect("a flush");

    let entries = qpair.cmdlog().newest(10);
    let lines: Vec<_> = entries.iter().rev().map(|entry| entry.describe_command(1)).collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].starts_with("FABRICS CONNECT (7f) sqid:1"), "{lines:?}");
    assert!(lines[1].starts_with("READ sqid:1") && lines[1].ends_with("lba:11 len:1"), "{lines:?}");
    assert!(lines[2].starts_with("FLUSH sqid:1"), "{lines:?}");
    for entry in &entries {
        let (completion, latency) = entry.completed.expect("all have completed");
        assert_eq!(completion.cid, entry.command.cid);
        assert!(latency > Duration::ZERO);
    }

    let admin: Vec<_> = controller.cmdlog().newest(100).iter().map(|entry| entry.command.opcode).collect();
    for opcode in [0x7f, 0x06, 0x09] {
        assert!(admin.contains(&opcode), "opcode {opcode:#x} is missing in {admin:x?}");
    }
    assert!(!admin.contains(&0x0c), "no event request may be posted but by the test");
}

#[test]
fn a_target_of_another_shape() {
    let target = nvme_spdk::Target::builder()
        .megabytes(16)
        .namespaces(3)
        .block_size(4096)
        .io_queues(2)
        .start()
        .expect("a target");
    let controller = nvme_spdk::Controller::connect(target.address(), nvme_spdk::ConnectOptions::new())
        .expect("a controller");
    let sizes: Vec<_> =
        (1..=3).map(|nsid| controller.namespace(nsid).expect("it is there").lba_size()).collect();
    assert_eq!(sizes, [4096; 3]);
    let first = controller.create_qpair(8).expect("queue 1");
    let _second = controller.create_qpair(8).expect("queue 2");
    let third = controller.create_qpair(8).unwrap_err();
    assert!(third.to_string().contains("No free I/O queue IDs"), "{third}");
    drop(first);
    controller.create_qpair(8).expect("queue 1 again");
}

#[test]
fn discovery_lists_the_subsystem() {
    let entries = nvme_spdk::discover(target().address(), &nvme_spdk::ConnectOptions::new()).expect("a list");
    let names: Vec<_> = entries.iter().map(|entry| entry.subnqn.as_str()).collect();
    assert!(names.contains(&target().subnqn()), "{names:?}");
}

#[test]
fn the_target_answers_rpc_calls() {
    let devices = target().rpc("bdev_get_bdevs", serde_json::Value::Null).expect("a list");
    assert_eq!(devices[0]["name"], "ram1");
    let error = target().rpc("no_such_method", serde_json::Value::Null).unwrap_err();
    assert!(error.to_string().contains("no_such_method"), "{error}");
}
