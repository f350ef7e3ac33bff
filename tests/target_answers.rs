//! The embedded target answers as an SSD does, in hugepages and in ordinary memory.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use nvme_spdk::{
    Command, ConnectOptions, Controller, Data, DmaBuf, IdentifyController, IdentifyNamespace, SecureErase,
    Status, Target, admin_opcode, nvm_opcode,
};
use support::{connect_to, target};

const SUCCESS: Status = Status::SUCCESS;
const INVALID_OPCODE: Status = Status::new(0, 0x01);
const INVALID_NAMESPACE: Status = Status::new(0, 0x0b);
const INVALID_QUEUE: Status = Status::new(1, 0x01);
const INVALID_FORMAT: Status = Status::new(1, 0x0a);
const COMPARE_FAILURE: Status = Status::new(2, 0x85);

/// MDTS of the target.
const LARGEST: usize = 128 << 10;

/// The program's target takes hugepages where there are some; the other one never does.
fn in_both_memories(test: impl Fn(&Controller)) {
    test(&connect_to(target().address()));

    let program = std::fs::read_link(format!("/proc/{}/exe", target().pid())).expect("it runs");
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("without-hugepages");
    let text = format!("#!/bin/sh\nNVMF_TGT_HUGEPAGES=0 exec {} \"$@\"\n", program.display());
    std::fs::write(&script, text).expect("a script");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o700)).expect("it may run");
    let ordinary = Target::builder().program(script).start().expect("a target");
    test(&connect_to(ordinary.address()));
}

fn admin(controller: &Controller, command: &Command, buffer: Option<&DmaBuf>) -> Status {
    controller.execute(command, buffer.map(Data::from)).expect("an answer").completion.status()
}

#[test]
fn identify_is_that_of_a_vendor_and_says_what_works() {
    in_both_memories(|controller| {
        let identify = controller.identify();
        assert_ne!((identify.vendor_id() & 0xff, identify.subsystem_vendor_id()), (0, 0));
        assert_eq!(controller.max_transfer(), Some(LARGEST as u64));
        assert_eq!(identify.mdts(), 5);
        // It takes four event requests, and says so.
        assert_eq!(identify.aerl(), 3);
        // Compare, Dataset Management, Write Zeroes; not Verify.
        assert_eq!(identify.oncs() & 0x8d, 0x0d, "{:#x}", identify.oncs());
        assert_eq!(identify.oacs() & 0x02, 0x02, "Format NVM: {:#x}", identify.oacs());

        // The command itself answers as the controller did at the start.
        let buffer = DmaBuf::new(4096).expect("a buffer");
        assert_eq!(admin(controller, &Command::identify(1, 0), Some(&buffer)), SUCCESS);
        assert_eq!(IdentifyController::from_bytes(&buffer.to_vec(0..4096)).vendor_id(), identify.vendor_id());
        assert_eq!(admin(controller, &Command::identify(0, 1), Some(&buffer)), SUCCESS);
        let namespace = IdentifyNamespace::from_bytes(&buffer.to_vec(0..4096));
        assert_ne!(namespace.size() % 256, 0);
        assert_eq!((namespace.size(), namespace.utilization()), (namespace.capacity(), namespace.capacity()));
        for command in
            [Command::identify(0, 0), Command::identify(0, 0xff_ffff), Command::identify(2, u32::MAX)]
        {
            assert_eq!(admin(controller, &command, Some(&buffer)), INVALID_NAMESPACE, "{command:?}");
        }
        // What is not ours is left to SPDK.
        assert_eq!(admin(controller, &Command::identify(0x7e, 1), Some(&buffer)), Status::INVALID_FIELD);
        assert_eq!(admin(controller, &Command::identify(1, 0), None), Status::INVALID_FIELD);
    });
}

#[test]
fn every_block_can_be_used_the_last_one_too() {
    in_both_memories(|controller| {
        let namespace = controller.namespace(1).expect("namespace 1");
        let qpair = controller.create_qpair(8).expect("a queue pair");
        let buffer = DmaBuf::new(4096).expect("a buffer");
        buffer.write(0, b"the end");
        let last = namespace.blocks() - 8;
        namespace.write(&qpair, &buffer, last, 8).expect("a write");
        buffer.fill(0..4096, 0);
        namespace.read(&qpair, &buffer, last, 8).expect("a read");
        assert_eq!(buffer.to_vec(0..7), b"the end");
        let status = |command: &Command| {
            qpair.execute(command, Some(Data::from(&buffer))).expect("an answer").completion.status()
        };
        assert_eq!(status(&Command::read(1, last + 1, 8)), Status::new(0, 0x80));
    });
}

#[test]
fn compare_and_deallocate_do_what_oncs_says() {
    in_both_memories(|controller| {
        let namespace = controller.namespace(1).expect("namespace 1");
        let qpair = controller.create_qpair(8).expect("a queue pair");
        let (data, zeros) = (DmaBuf::new(4096).expect("a buffer"), DmaBuf::new(4096).expect("a buffer"));
        data.fill(0..4096, 0x5a);
        namespace.write(&qpair, &data, 64, 8).expect("a write");
        let compare = |buffer: &DmaBuf| {
            let command = Command::range(nvm_opcode::COMPARE, 1, 64, 8);
            qpair.execute(&command, Some(Data::from(buffer))).expect("an answer").completion.status()
        };
        assert_eq!((compare(&data), compare(&zeros)), (SUCCESS, COMPARE_FAILURE));

        let range = DmaBuf::new(4096).expect("a buffer");
        range.write(4, &8_u32.to_le_bytes());
        range.write(8, &64_u64.to_le_bytes());
        let deallocate = Command::io(nvm_opcode::DATASET_MANAGEMENT, 1).cdw11(4);
        let done = qpair.execute(&deallocate, Some(Data::from(&range))).expect("an answer");
        assert!(done.completion.is_success());
        assert_eq!((compare(&data), compare(&zeros)), (COMPARE_FAILURE, SUCCESS));
    });
}

#[test]
fn the_effects_log_names_what_is_executed() {
    in_both_memories(|controller| {
        let buffer = DmaBuf::new(4096).expect("a buffer");
        let log = Command::get_log_page(5, u32::MAX, 0, 4096);
        assert_eq!(admin(controller, &log, Some(&buffer)), SUCCESS);
        let page = buffer.to_vec(0..4096);
        let supported = |half: usize| -> Vec<usize> {
            (0..256).filter(|opcode| page[half * 1024 + opcode * 4] & 1 == 1).collect()
        };
        assert_eq!(supported(0), [0x00, 0x02, 0x06, 0x08, 0x09, 0x0a, 0x0c, 0x18, 0x80]);
        assert_eq!(supported(1), [0x00, 0x01, 0x02, 0x05, 0x08, 0x09]);
        assert!(page[2048..].iter().all(|&byte| byte == 0));

        // From an offset on, and what is behind its end.
        let tail = DmaBuf::new(4096).expect("a buffer");
        tail.fill(0..4096, 0xee);
        let log = Command::get_log_page(5, u32::MAX, 1024, 4096);
        assert_eq!(admin(controller, &log, Some(&tail)), SUCCESS);
        assert_eq!(tail.to_vec(0..3072), page[1024..]);
        assert_eq!(tail.to_vec(3072..4096), [0; 1024]);
        let behind = Command::get_log_page(5, u32::MAX, 1 << 33, 4096);
        assert_eq!(admin(controller, &behind, Some(&tail)), SUCCESS);
        assert_eq!(tail.to_vec(0..4096), [0; 4096]);

        // Other logs are SPDK's, and so are mistakes.
        assert_eq!(admin(controller, &Command::get_log_page(3, 0, 0, 512), Some(&tail)), SUCCESS);
        assert_eq!(tail.to_vec(0..1), [1], "the active firmware slot");
        let odd = Command::get_log_page(5, 0, 2, 512);
        assert_eq!(admin(controller, &odd, Some(&tail)), Status::INVALID_FIELD);

        // Opcode 0 is known, though no queue is to be deleted with it.
        assert_eq!(admin(controller, &Command::admin(0).cdw10(1), None), INVALID_QUEUE);
    });
}

#[test]
fn reserved_opcodes_are_invalid_opcodes() {
    in_both_memories(|controller| {
        let qpair = controller.create_qpair(8).expect("a queue pair");
        let io = |command: &Command| qpair.execute(command, None).expect("an answer").completion.status();
        for opcode in [0x03, 0x14, 0x74, 0xc0, 0xff] {
            assert_eq!(io(&Command::io(opcode, 1)), INVALID_OPCODE, "I/O {opcode:#x}");
        }
        for opcode in [0x03, 0x1e, 0x7c, 0xc0, 0xff] {
            let status = admin(controller, &Command::admin(opcode), None);
            assert_eq!(status, INVALID_OPCODE, "admin {opcode:#x}");
        }
        assert_eq!(io(&Command::flush(0)), INVALID_NAMESPACE);
        assert_eq!(io(&Command::flush(1)), SUCCESS);
    });
}

#[test]
fn transfers_above_mdts_are_refused_and_the_queue_lives() {
    in_both_memories(|controller| {
        let namespace = controller.namespace(1).expect("namespace 1");
        let qpair = controller.create_qpair(64).expect("a queue pair");
        let buffer = DmaBuf::new(2 << 20).expect("a buffer");
        let at = |opcode: u8, bytes: usize| {
            let command = Command::range(opcode, 1, 0, (bytes / 512) as u32);
            let data = Data::new(&buffer, 0, bytes).expect("it is large enough");
            qpair.execute(&command, Some(data)).expect("an answer").completion.status()
        };
        buffer.fill(0..LARGEST, 0x11);
        assert_eq!(at(nvm_opcode::WRITE, LARGEST), SUCCESS);
        buffer.fill(0..2 << 20, 0x22);
        for bytes in [LARGEST + 512, 2 * LARGEST, 1 << 20, 2 << 20] {
            for opcode in [nvm_opcode::WRITE, nvm_opcode::READ, nvm_opcode::COMPARE] {
                assert_eq!(at(opcode, bytes), Status::INVALID_FIELD, "{bytes} bytes by opcode {opcode}");
            }
        }
        // Nothing was written, and nothing read.
        assert_eq!(buffer.to_vec(0..4), [0x22; 4]);
        assert_eq!(at(nvm_opcode::READ, LARGEST), SUCCESS);
        assert_eq!(buffer.to_vec(0..LARGEST), [0x11; LARGEST]);

        // Many at once want more buffers than the target has: they wait for each other.
        for _ in 0..60 {
            let command = Command::range(nvm_opcode::WRITE, 1, 0, 4096);
            qpair.submit(&command, Some(Data::from(&buffer))).expect("there is room");
        }
        let mut refused = 0;
        while qpair.outstanding() > 0 {
            qpair.wait(Duration::from_secs(10)).expect("an answer");
            while let Some(done) = qpair.next_completion().expect("the queue lives") {
                assert_eq!(done.completion.status(), Status::INVALID_FIELD);
                refused += 1;
            }
        }
        assert_eq!(refused, 60);
        namespace.read(&qpair, &buffer, 0, 256).expect("a read");

        // Admin commands obey it as well.
        let log = Command::get_log_page(2, u32::MAX, 0, 512);
        let large = Data::new(&buffer, 0, LARGEST + 4096).expect("it is large enough");
        let done = controller.execute(&log, Some(large)).expect("an answer");
        assert_eq!(done.completion.status(), Status::INVALID_FIELD);
        assert_eq!(admin(controller, &log, Some(&DmaBuf::new(LARGEST).expect("a buffer"))), SUCCESS);
    });
}

fn format(nsid: u32, lbaf: u32, secure_erase: u32) -> Command {
    Command::admin(admin_opcode::FORMAT_NVM).nsid(nsid).cdw10(secure_erase << 9 | lbaf)
}

#[test]
fn format_zeroes_every_block() {
    in_both_memories(|controller| {
        let namespace = controller.namespace(1).expect("namespace 1");
        let qpair = controller.create_qpair(8).expect("a queue pair");
        let buffer = DmaBuf::new(4096).expect("a buffer");
        let marks = [0, 2040, 2048, namespace.blocks() / 2, namespace.blocks() - 8];
        for erase in [SecureErase::None, SecureErase::UserData, SecureErase::Cryptographic] {
            buffer.fill(0..4096, 0x77);
            for lba in marks {
                namespace.write(&qpair, &buffer, lba, 8).expect("a write");
            }
            namespace.format_nvm(0, erase, Duration::from_secs(10)).expect("it formats");
            for lba in marks {
                buffer.fill(0..4096, 0x77);
                namespace.read(&qpair, &buffer, lba, 8).expect("a read");
                assert_eq!(buffer.to_vec(0..4096), [0; 4096], "LBA {lba}");
            }
        }

        namespace.write(&qpair, &buffer, 0, 8).expect("a write");
        buffer.fill(0..4096, 0x77);
        namespace.write(&qpair, &buffer, 8, 8).expect("a write");
        assert_eq!(admin(controller, &format(1, 0, 3), None), Status::INVALID_FIELD);
        assert_eq!(admin(controller, &format(1, 1, 0), None), INVALID_FORMAT);
        for nsid in [0, 2, 0xffff_fffe] {
            assert_eq!(admin(controller, &format(nsid, 0, 0), None), INVALID_NAMESPACE);
        }
        buffer.fill(0..4096, 0);
        namespace.read(&qpair, &buffer, 8, 8).expect("a read");
        assert_eq!(buffer.to_vec(0..4), [0x77; 4], "what was refused has changed nothing");
    });
}

#[test]
fn one_format_is_for_one_namespace_or_for_all() {
    let target = Target::builder().megabytes(16).namespaces(3).block_size(4096).start().expect("a target");
    let controller = connect_to(target.address());
    let qpair = controller.create_qpair(8).expect("a queue pair");
    let buffer = DmaBuf::new(4096).expect("a buffer");
    let first_bytes = || -> Vec<u8> {
        (1..=3)
            .map(|nsid| {
                controller
                    .namespace(nsid)
                    .expect("it is there")
                    .read(&qpair, &buffer, 4096, 1)
                    .expect("a read");
                buffer.to_vec(0..1)[0]
            })
            .collect()
    };
    for nsid in 1..=3 {
        buffer.fill(0..4096, nsid as u8);
        let namespace = controller.namespace(nsid).expect("it is there");
        assert_eq!(namespace.blocks(), 4097);
        namespace.write(&qpair, &buffer, 4096, 1).expect("a write");
    }
    assert_eq!(admin(&controller, &format(2, 0, 1), None), SUCCESS);
    assert_eq!(first_bytes(), [1, 0, 3]);
    assert_eq!(admin(&controller, &format(u32::MAX, 0, 1), None), SUCCESS);
    assert_eq!(first_bytes(), [0, 0, 0]);
}

#[test]
fn io_goes_on_during_a_format_and_a_connection_may_end_in_it() {
    let target = Target::builder().megabytes(512).start().expect("a target");
    let (formatting, working) = (connect_to(target.address()), connect_to(target.address()));
    let namespace = working.namespace(1).expect("namespace 1");
    let qpair = working.create_qpair(8).expect("a queue pair");
    let buffer = DmaBuf::new(4096).expect("a buffer");
    let reads = || {
        formatting.submit(&format(1, 0, 0), None).expect("it is under way");
        let mut reads = 0;
        while formatting.poll().expect("it lives") == 0 {
            namespace.read(&qpair, &buffer, 0, 8).expect("a read");
            reads += 1;
        }
        let done = formatting.next_completion().expect("it lives").expect("it is done");
        assert!(done.completion.is_success());
        reads
    };
    // This test may have to wait for its turn during one of them, but hardly each.
    assert!((0..5).any(|_| reads() > 10), "hardly any read while it was formatted");

    formatting.submit(&format(1, 0, 0), None).expect("it is under way");
    formatting.close();
    namespace.read(&qpair, &buffer, 0, 8).expect("a read");
    assert_eq!(connect_to(target.address()).namespace(1).expect("namespace 1").nsid(), 1);
    assert!(target.is_running());
}

#[test]
fn discovery_controllers_obey_the_limit_too() {
    let options = ConnectOptions::new().subnqn("nqn.2014-08.org.nvmexpress.discovery");
    let controller = Controller::connect(target().address(), options).expect("a discovery controller");
    let buffer = DmaBuf::new(4096).expect("a buffer");
    assert_eq!(admin(&controller, &Command::identify(1, 0), Some(&buffer)), SUCCESS);
    let identify = IdentifyController::from_bytes(&buffer.to_vec(0..4096));
    assert_eq!((identify.mdts(), identify.oncs(), identify.oacs()), (5, 0, 0));
    assert_eq!(admin(&controller, &Command::admin(0), None), INVALID_OPCODE);
}
