//! A target that is killed, stopped or restarted under a verified load: everybody gets an error in time, reconnecting
//! works, and verification tells what is wrong from what is merely unknown.
//!
//! `NVME_OUTAGES` sets the number of rounds.

use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use nvme_spdk::{
    Address, Command, ConnectOptions, Controller, DmaBuf, Env, Error, Failure, IoWorker, Mismatch, Namespace,
    Qpair, Status, Target, Workload,
};
use support::{Stopped, connect_to, eventually, timed};

const TIMEOUT: Duration = Duration::from_secs(5);
/// After this a command counts as lost.
const COMMAND: Duration = Duration::from_secs(1);
/// What a loaded machine may take on top.
const GRACE: Duration = Duration::from_secs(3);
const WORKERS: u64 = 4;
const REGION: u64 = 1024;
const BLOCKS: u64 = WORKERS * REGION;
const BLOCK: usize = 512;
const CHUNK: u32 = 128;

#[derive(Debug, Clone, Copy)]
enum Outage {
    Killed,
    Stopped,
    Restarted,
}

fn start(folder: &std::path::Path, port: u16) -> Target {
    let builder = Target::builder().megabytes(16).folder(folder).port(port);
    builder.start().expect("the target starts")
}

/// Four workers that write and read what they wrote.
fn load(namespace: &Namespace, round: u64) -> Vec<IoWorker> {
    let worker = |number| {
        let region = number * REGION..(number + 1) * REGION;
        let workload = Workload::new()
            .read_percentage(50)
            .io_sizes([1, 8, 16])
            .region(region)
            .queue_depth(16)
            .seed(round * WORKERS + number)
            .time(Duration::from_secs(60));
        IoWorker::start(namespace, &workload).expect("a worker")
    };
    (0..WORKERS).map(worker).collect()
}

/// The blocks whose data is not what it should be; the first of each chunk.
fn wrong(namespace: &Namespace, qpair: &Qpair) -> Vec<u64> {
    let buffer = DmaBuf::new(CHUNK as usize * BLOCK).expect("a buffer");
    let mut found = Vec::new();
    for lba in (0..BLOCKS).step_by(CHUNK as usize) {
        let read = Command::read(namespace.nsid(), lba, CHUNK);
        let done = qpair.execute(&read, Some((&buffer).into())).expect("a read");
        match done.mismatch {
            None => assert!(done.completion.is_success(), "{}", done.completion),
            Some(Mismatch::Checksum { lba, .. } | Mismatch::Block { lba, .. }) => found.push(lba),
            Some(other) => panic!("{other}"),
        }
    }
    found
}

/// Without the pages of DPDK's heap, which keeps what it has grown by.
fn open_files() -> usize {
    let entries = fs::read_dir("/proc/self/fd").expect("the descriptors").flatten();
    let files = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    files.filter(|file| !file.to_string_lossy().starts_with("/memfd:seg_")).count()
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").expect("the threads").count()
}

#[test]
fn outages_under_load_leave_no_doubt_and_no_trace() {
    let rounds: u64 = std::env::var("NVME_OUTAGES").map_or(6, |text| text.parse().expect("a number"));
    let folder = tempfile::tempdir().expect("a folder");
    let mut target = start(folder.path(), 0);
    let Address::Tcp { port, .. } = *target.address() else { panic!("{target:?}") };

    let options = ConnectOptions::new().timeout(TIMEOUT).reconnect_for(Duration::from_secs(20));
    let address = Address::tcp(Ipv4Addr::LOCALHOST.to_string(), port);
    let controller = Controller::connect(&address, options).expect("the target takes connections");
    controller.set_command_timeout(Some(COMMAND));
    let namespace = controller.namespace(1).expect("namespace 1").track(None).expect("a table");
    assert!(namespace.verify(true));

    let mut before = None;
    for round in 0..rounds {
        let outage = [Outage::Killed, Outage::Stopped, Outage::Restarted][round as usize % 3];
        let workers = load(&namespace, round);
        eventually("every worker is at work", || workers.iter().all(|worker| worker.completed() > 0));
        std::thread::sleep(Duration::from_millis(50 + 50 * (round % 5)));

        let stopped = match outage {
            Outage::Killed => {
                support::signal(target.pid(), libc::SIGKILL);
                None
            }
            Outage::Stopped => Some(Stopped::new(&target)),
            Outage::Restarted => {
                target.stop();
                target = start(folder.path(), port);
                None
            }
        };
        let (reports, took) = timed(|| workers.into_iter().map(IoWorker::join).collect::<Vec<_>>());
        assert!(took < TIMEOUT + GRACE, "round {round}, {outage:?}: the workers took {took:?}");
        for report in reports {
            let false_alarm = Some(Failure::Status(Status::DATA_MISMATCH));
            assert!(report.failure.is_some(), "round {round}, {outage:?}: no error");
            assert_ne!(report.failure, false_alarm, "round {round}, {outage:?}");
        }

        // As long as it is away there is an error, in time as well.
        if let Outage::Killed = outage {
            let impatient = ConnectOptions::new().timeout(TIMEOUT);
            let (result, took) = timed(|| Controller::connect(&address, impatient));
            // While the kernel clears away what is left of it, it still accepts.
            assert!(
                matches!(result, Err(Error::Connect { .. } | Error::Open { .. })),
                "round {round}: {result:?}"
            );
            assert!(took < TIMEOUT + GRACE);
            target = start(folder.path(), port);
        }
        drop(stopped);
        controller.reset().unwrap_or_else(|why| panic!("round {round}, {outage:?}: {why}"));

        // No false alarm …
        let qpair = controller.create_qpair(16).expect("a queue pair");
        assert_eq!(wrong(&namespace, &qpair), [0_u64; 0], "round {round}, {outage:?}");
        // … and nothing is missed, in any block: half of them were doubtful a moment ago.
        rewrite(&namespace, &qpair);
        let planted = plant(target.address(), round);
        assert_eq!(wrong(&namespace, &qpair), planted, "round {round}, {outage:?}");
        rewrite(&namespace, &qpair);
        drop(qpair);

        let used = (open_files(), threads(), Env::get().expect("it runs").memory_in_use());
        // The first round warms up, the target's own start takes descriptors for a moment, and what DPDK counts
        // depends a little on where it found room.
        let before = *before.get_or_insert(used);
        assert!(
            used.0 <= before.0 + 2 && used.1 <= before.1 + 1 && used.2 <= before.2 + (16 << 10),
            "round {round}: {used:?} after {before:?}"
        );
    }
}

fn rewrite(namespace: &Namespace, qpair: &Qpair) {
    let buffer = DmaBuf::new(CHUNK as usize * BLOCK).expect("a buffer");
    for lba in (0..BLOCKS).step_by(CHUNK as usize) {
        let done = namespace.write(qpair, &buffer, lba, CHUNK).expect("a write");
        assert_eq!(done.completion.status(), Status::SUCCESS);
    }
}

/// Spoils one byte of one block in every fourth chunk, from another connection; which blocks.
fn plant(address: &Address, round: u64) -> Vec<u64> {
    let stranger = connect_to(address);
    let namespace = stranger.namespace(1).expect("namespace 1");
    let qpair = stranger.create_qpair(2).expect("a queue pair");
    let buffer = DmaBuf::new(BLOCK).expect("a buffer");
    let blocks = (0..BLOCKS).step_by(4 * CHUNK as usize).map(|lba| lba + 1 + round % 100);
    blocks
        .inspect(|lba| {
            let raw = Command::read(1, *lba, 1);
            let done = qpair.execute(&raw, Some((&buffer).into())).expect("a read");
            assert!(done.completion.is_success());
            let at = 8 + (round as usize * 37) % (BLOCK - 8);
            let mut byte = [0];
            buffer.read(at, &mut byte);
            buffer.write(at, &[byte[0] ^ 0x10]);
            let raw = Command::write(namespace.nsid(), *lba, 1);
            let done = qpair.execute(&raw, Some((&buffer).into())).expect("a write");
            assert!(done.completion.is_success());
        })
        .collect()
}
