//! What a controller tells about itself, typed, from the embedded target; and SPDK's own handles.

use nvme_spdk::{
    ALL_NAMESPACES, Command, CopyRange, Data, DmaBuf, DsmRange, Error, Status, Target, Token, raw,
};
use support::{connect, connect_to};

#[test]
fn log_pages_are_structures() {
    let controller = connect();
    let qpair = controller.create_qpair(4).expect("a queue pair");
    let before = controller.smart_log(ALL_NAMESPACES).expect("SMART");
    assert!(before.percentage_used() <= 100 && before.critical_warning() == 0, "{before:?}");
    assert_eq!(before.as_bytes().len(), 512);

    let refused =
        qpair.execute(&Command::read(1, u64::MAX - 8, 1), Some(Data::from(&DmaBuf::new(512).unwrap())));
    assert!(!refused.expect("an answer").completion.is_success());
    let errors = controller.error_log(usize::MAX).expect("the error log");
    assert!(errors.iter().all(|entry| entry.is_used()), "{errors:?}");
    assert!(controller.error_log(0).expect("the error log").is_empty());

    let firmware = controller.firmware_log().expect("the firmware log");
    let running = firmware.revision(firmware.active_slot().into());
    assert_eq!(running, Some(controller.identify().firmware_revision()), "{firmware:?}");
    controller.changed_namespaces().expect("a list");
    // What the target does not have is an error with its status.
    for missing in [controller.sanitize_log().err(), controller.self_test_log().err()] {
        assert!(matches!(missing, Some(Error::Command { .. })), "{missing:?}");
    }
}

#[test]
fn a_log_page_comes_in_as_many_commands_as_it_takes() {
    let controller = connect();
    let effects = controller.log_page(0x05, ALL_NAMESPACES, 4096).expect("a page");
    assert_eq!(effects.len(), 4096);
    assert_eq!(controller.log_page(0x05, ALL_NAMESPACES, 8).expect("its beginning"), effects[..8]);
    let sent = controller.cmdlog().newest(1)[0].command;
    assert_eq!((sent.opcode, sent.cdw10), (0x02, 0x0001_0005));
    for bytes in [0, 6, 1 << 60, usize::MAX & !3] {
        assert!(matches!(controller.log_page(0x05, 0, bytes), Err(Error::InvalidArgument(_))));
    }
}

#[test]
fn active_namespaces_are_listed() {
    let target = Target::builder().namespaces(3).megabytes(16).start().expect("the embedded target starts");
    let controller = connect_to(target.address());
    assert_eq!(controller.active_namespaces().expect("a list"), [1, 2, 3]);
    assert_eq!(controller.identify_bytes(0x01, 0).expect("Identify"), controller.identify().as_bytes());
    let refused = controller.identify_bytes(0x7f, 0).unwrap_err();
    assert!(matches!(refused, Error::Command { status: Status::INVALID_FIELD, .. }), "{refused}");
}

#[test]
fn features_are_read_and_set() {
    let controller = connect();
    let queues = controller.get_feature(0x07, 0).expect("Number of Queues");
    assert!(queues & 0xffff >= 15 && queues >> 16 >= 15, "{queues:#x}");
    // Asynchronous Event Configuration: namespace attribute notices.
    let before = controller.get_feature(0x0b, 0).expect("Get Features");
    for notices in [0x100, 0, before] {
        controller.set_feature(0x0b, 0, notices).expect("Set Features");
        assert_eq!(controller.get_feature(0x0b, 0).expect("Get Features") & 0x100, notices & 0x100);
    }
    let refused = controller.get_feature(0xff, 0).unwrap_err();
    assert!(refused.to_string().starts_with("Get Features FFh failed"), "{refused}");
}

#[test]
fn commands_of_their_own_names_do_what_they_say() {
    let controller = connect();
    let namespace = controller.namespace(1).expect("namespace 1");
    let qpair = controller.create_qpair(8).expect("a queue pair");
    let run = |command: &Command, data: Option<Data>| qpair.execute(command, data).expect("an answer");
    let buffer = DmaBuf::new(4096).expect("a buffer");
    buffer.fill(0..4096, 0x77);
    namespace.write(&qpair, &buffer, 6000, 8).expect("a write");
    run(&Command::compare(1, 6000, 8), Some(Data::from(&buffer))).success().expect("they are the same");
    buffer.fill(100..101, 0);
    let differs = run(&Command::compare(1, 6000, 8), Some(Data::from(&buffer)));
    assert_eq!(differs.completion.status(), Status::new(2, 0x85), "Compare Failure");

    run(&Command::write_zeroes(1, 6002, 1, false).force_unit_access(), None).success().expect("Write Zeroes");
    namespace.write_zeroes(&qpair, 6003, 1, false).expect("Write Zeroes");
    namespace.flush(&qpair).expect("Flush");
    assert!(matches!(namespace.write_zeroes(&qpair, 0, 0, false), Err(Error::InvalidArgument(_))));
    let behind = namespace.write_zeroes(&qpair, namespace.blocks(), 1, false).unwrap_err();
    assert!(matches!(behind, Error::Command { .. }), "{behind}");
    namespace.read(&qpair, &buffer, 6000, 8).expect("a read");
    let expected = [[0x77; 1024], [0; 1024], [0x77; 1024], [0x77; 1024]].concat();
    assert_eq!(buffer.to_vec(0..4096), expected);

    let ranges = DmaBuf::new(4096).expect("a buffer");
    let eight = DsmRange { lba: 6000, blocks: 8, ..DsmRange::default() };
    ranges.write(0, &DsmRange::list(&[eight]));
    run(&Command::deallocate(1, 1), Some(Data::new(&ranges, 0, 16).unwrap())).success().expect("Deallocate");
    namespace
        .deallocate(&qpair, &[eight, DsmRange { lba: 0, blocks: 1, attributes: 0 }])
        .expect("Deallocate");
    assert!(matches!(namespace.deallocate(&qpair, &[]), Err(Error::InvalidArgument(_))));
    ranges.write(0, &CopyRange::list(&[CopyRange { lba: 0, blocks: 1 }]));
    // Newer targets have Copy.
    run(&Command::copy(1, 6000, 1), Some(Data::new(&ranges, 0, 32).unwrap()));
    controller.execute(&Command::keep_alive(), None).expect("an answer").success().expect("Keep Alive");
}

#[test]
fn spdks_own_handles_are_lent() {
    let controller = connect();
    let qpair = controller.create_qpair(8).expect("a queue pair");
    let token: Token = qpair.submit(&Command::flush(1), None).expect("room");
    // SAFETY: completions are processed, which is allowed; nothing is kept.
    let processed = unsafe {
        raw::with_controller(&controller, |ctrlr| {
            raw::sys::spdk_nvme_ctrlr_process_admin_completions(ctrlr.as_ptr())
        })
    };
    assert_eq!(processed.expect("it is open"), 0);
    support::eventually("SPDK polls", || {
        // SAFETY: completions are processed, which is allowed; nothing is kept.
        let processed = unsafe {
            raw::with_qpair(&qpair, |_, qpair| {
                raw::sys::spdk_nvme_qpair_process_completions(qpair.as_ptr(), 0)
            })
        };
        processed.expect("it is there") > 0
    });
    assert_eq!(qpair.poll().expect("it is noted"), 1);
    assert_eq!(qpair.next_completion().expect("alive").expect("a completion").token, token);
    qpair.delete().expect("it goes");
    // SAFETY: not called.
    let gone = unsafe { raw::with_qpair::<()>(&qpair, |_, _| unreachable!("it is deleted")) };
    assert!(matches!(gone, Err(Error::QpairDead { .. })));
    controller.close();
    // SAFETY: not called.
    let gone = unsafe { raw::with_controller::<()>(&controller, |_| unreachable!("it is closed")) };
    assert!(matches!(gone, Err(Error::Dead { .. })));
}
