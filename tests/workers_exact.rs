//! Workers do exactly what they are told: pace, places, repetition, tokens; and take little for it.

use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use nvme_spdk::{
    CmdLog, ConnectOptions, Controller, DmaBuf, Failure, Io, IoSize, IoWorker, Namespace, Pattern, Report,
    Status, Step, Target, Workload,
};
use support::{Stopped, connect, eventually, timed};

fn namespace() -> Namespace {
    connect().namespace(1).expect("namespace 1")
}

fn run(namespace: &Namespace, workload: Workload) -> Report {
    IoWorker::start(namespace, &workload).expect("a worker").join()
}

/// Stops this process for a while.
fn pause_myself(seconds: &str) {
    let me = std::process::id();
    let script = format!("kill -STOP {me}; sleep {seconds}; kill -CONT {me}");
    let status = Command::new("sh").args(["-c", &script]).status().expect("a shell");
    assert!(status.success());
}

#[test]
fn the_pace_is_exact_also_after_a_pause() {
    let namespace = namespace();
    for iops in [10, 1000, 20_000] {
        let workload = Workload::new().io_size(1).iops(iops).time(Duration::from_secs(2)).queue_depth(64);
        let before = Instant::now();
        let worker = IoWorker::start(&namespace, &workload).expect("a worker");
        thread::sleep(Duration::from_millis(300));
        pause_myself("0.4");
        while worker.is_running() {
            // Read in this order: a count, then a time that is later.
            let (count, elapsed) = (worker.completed(), before.elapsed());
            assert!(
                count as f64 <= elapsed.as_secs_f64() * f64::from(iops),
                "ahead: {count} after {elapsed:?}"
            );
            thread::sleep(Duration::from_millis(5));
        }
        let report = worker.join();
        // With what was due in the pause; all of it, however late this machine let the worker run.
        let (count, exact) = (report.ios, u64::from(iops) * 2);
        assert!(count.abs_diff(exact) <= (exact / 100).max(1), "{iops} IOPS: {count} in 2 s");
    }
}

#[test]
fn the_pace_is_exact_also_with_a_pause_at_the_end() {
    let workload = Workload::new().io_size(1).iops(1000).time(Duration::from_secs(1));
    let worker = IoWorker::start(&namespace(), &workload).expect("a worker");
    thread::sleep(Duration::from_millis(700));
    pause_myself("0.6");
    let count = worker.join().ios;
    assert!(count.abs_diff(1000) <= 10, "{count}");
}

#[test]
fn a_target_that_pauses_is_caught_up_with() {
    let target = Target::start().expect("a target");
    let controller = Controller::connect(target.address(), ConnectOptions::new()).expect("a controller");
    let namespace = controller.namespace(1).expect("namespace 1");
    let workload = Workload::new().io_size(1).iops(2000).time(Duration::from_secs(6));
    let worker = IoWorker::start(&namespace, &workload).expect("a worker");
    eventually("it is at work", || worker.completed() > 1000);
    // Wherever it begins, one second lacks three quarters or more, and another has what was missed.
    let stopped = Stopped::new(&target);
    thread::sleep(Duration::from_millis(1500));
    drop(stopped);
    let report = worker.join();
    assert!(report.ios.abs_diff(12_000) <= 120, "{}", report.ios);
    let (least, most) = (report.per_second.iter().min(), report.per_second.iter().max());
    assert!(least < Some(&1500) && most > Some(&2500), "{:?}", report.per_second);
}

#[test]
fn commands_that_take_too_long_end_it() {
    let target = Target::start().expect("a target");
    let controller = Controller::connect(target.address(), ConnectOptions::new()).expect("a controller");
    controller.set_command_timeout(Some(Duration::from_millis(300)));
    let namespace = controller.namespace(1).expect("namespace 1");
    let worker = IoWorker::start(&namespace, &Workload::new()).expect("a worker");
    eventually("it is at work", || worker.completed() > 0);
    let stopped = Stopped::new(&target);
    let (report, took) = timed(|| worker.join());
    assert_eq!(report.failure, Some(Failure::Silence));
    assert!(report.ios > 0 && took < Duration::from_secs(5), "{took:?}");
    drop(stopped);
}

#[test]
fn the_same_seed_gives_the_same_commands() {
    let namespace = namespace();
    let commands = |seed| {
        let sizes = [IoSize::new(1).weight(3), IoSize::new(20).align(4)];
        let workload = Workload::new().io_sizes(sizes).read_percentage(60).random_percentage(70);
        let mut last = run(&namespace, workload.seed(seed).io_count(3000).keep_last(3000)).last;
        // In the order of their completion, which is the device's business.
        last.sort_by_key(|io| (io.lba, io.blocks, io.opcode));
        last
    };
    let first = commands(7);
    assert_eq!(first.len(), 3000);
    assert_eq!(first, commands(7));
    assert_ne!(first, commands(8));
}

#[test]
fn a_sequence_is_replayed() {
    let namespace = namespace();
    let at = |millis, opcode, lba, blocks| Step { at: Duration::from_millis(millis), opcode, lba, blocks };
    let steps = [at(0, 1, 0, 8), at(30, 2, 3, 1), at(20, 9, 1, 1), at(60, 8, 0, 8), at(200, 0, 0, 0)];
    let worker = IoWorker::start(&namespace, &Workload::new().sequence(steps).queue_depth(2).keep_last(10))
        .expect("a worker");
    let log = Arc::clone(worker.cmdlog());
    let report = worker.join();
    let found: Vec<_> = report.last.iter().map(|io| (io.opcode, io.lba, io.blocks)).collect();
    assert_eq!(found, steps.map(|step| (step.opcode, step.lba, step.blocks)));
    assert!(report.duration >= Duration::from_millis(200) && report.failure.is_none());
    let mut sent: Vec<_> = log.newest(100).into_iter().filter(|entry| entry.command.opcode != 0x7f).collect();
    sent.reverse();
    let apart = |at: usize| sent[at].submitted.duration_since(sent[0].submitted).expect("later");
    assert!(apart(1) >= Duration::from_millis(29) && apart(2) >= apart(1), "in order");
    assert!(apart(4) >= Duration::from_millis(199));
    // Flush names no blocks, one range is deallocated.
    let words = |at: usize| [sent[at].command.cdw10, sent[at].command.cdw11, sent[at].command.cdw12];
    assert_eq!((words(4), words(2)), ([0, 0, 0], [0, 4, 0]));
}

#[test]
fn uncorrectable_blocks_are_left_out() {
    // Acceptance trace 9.
    let namespace = namespace().track(None).expect("address space");
    let qpair = namespace.controller().create_qpair(8).expect("a queue pair");
    let mark = nvme_spdk::Command::range(nvme_spdk::nvm_opcode::WRITE_UNCORRECTABLE, 1, 1000, 64);
    qpair.execute(&mark, None).expect("an answer, whichever");
    let workload = Workload::new().io_size(1).random_percentage(0).read_percentage(0).io_count(1001);
    let report = run(&namespace, workload.keep_last(2));
    let io = |lba| Io { opcode: 1, lba, blocks: 1 };
    let mut last = report.last;
    last.sort_by_key(|io| io.lba);
    assert_eq!(last, [io(999), io(1064)]);
}

#[test]
fn every_block_takes_a_token() {
    // Acceptance trace 10.
    let namespace = namespace().track(None).expect("address space");
    let qpair = namespace.controller().create_qpair(8).expect("a queue pair");
    let buffer = DmaBuf::new(512).expect("a buffer");
    let token = || {
        namespace.write(&qpair, &buffer, 0, 1).expect("a write");
        u64::from_le_bytes(buffer.to_vec(504..512).try_into().expect("eight bytes"))
    };
    let first = token();
    let report =
        run(&namespace, Workload::new().io_size(8).region(0..80_000).read_percentage(0).io_count(100));
    assert_eq!(report.last.len(), 0);
    assert!(report.bytes == 100 * 4096, "none was cut: {}", report.bytes);
    assert_eq!(token(), first + 801);
}

#[test]
fn what_it_wrote_is_verified() {
    let namespace = namespace().track(None).expect("address space");
    namespace.verify(true);
    let region = Workload::new().region(0..20_000).io_size(16);
    let fill = region.clone().random_percentage(0).read_percentage(0).io_count(1250);
    assert_eq!(run(&namespace, fill.pattern(Pattern::Dword(0x5555_5555))).failure, None);
    let mixed = region.clone().operations([(1, 30), (2, 60), (8, 5), (9, 5)]).io_count(20_000);
    assert_eq!(run(&namespace, mixed).failure, None, "its own locks keep them apart");

    // Behind the driver's back, through a connection that does not track.
    let other = connect();
    let qpair = other.create_qpair(8).expect("a queue pair");
    let data = DmaBuf::new(512).expect("a buffer");
    for lba in 0..16 {
        other.namespace(1).expect("namespace 1").write(&qpair, &data, lba, 1).expect("a write");
    }
    let write = region.clone().random_percentage(0).read_percentage(0).io_count(1);
    assert_eq!(run(&namespace, write).failure, None);
    other.namespace(1).expect("namespace 1").write(&qpair, &data, 3, 1).expect("a write");
    let read = region.random_percentage(0).io_count(1);
    assert_eq!(run(&namespace, read).failure, Some(Failure::Status(Status::DATA_MISMATCH)));
}

#[test]
fn a_reset_ends_it_and_the_next_one_runs() {
    let controller = connect();
    let namespace = controller.namespace(1).expect("namespace 1");
    for _ in 0..3 {
        let worker = IoWorker::start(&namespace, &Workload::new()).expect("a worker");
        while worker.completed() < 100 {
            thread::sleep(Duration::from_millis(1));
        }
        controller.reset().expect("a reset");
        let (report, took) = timed(|| worker.join());
        assert_eq!(report.failure, Some(Failure::Stopped));
        assert!(report.ios >= 100 && took < Duration::from_secs(3), "{took:?}");
    }
    assert_eq!(run(&namespace, Workload::new().io_count(10)).ios, 10);
}

/// When the first command of a worker went out.
fn first_sent(log: &CmdLog) -> SystemTime {
    let entries = log.newest(nvme_spdk::CMDLOG_CAPACITY);
    entries.iter().rfind(|entry| entry.command.opcode == 2).expect("a read").submitted
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

#[test]
fn a_worker_begins_at_once_and_two_begin_together() {
    let namespace = namespace();
    let workload = Workload::new().io_count(50);
    let start = || IoWorker::start(&namespace, &workload).expect("a worker");
    let alone = (0..15).map(|_| {
        let before = Instant::now();
        let worker = start();
        // Without spinning: on few cores that would take the worker's or the target's.
        while worker.completed() == 0 {
            thread::sleep(Duration::from_micros(50));
        }
        before.elapsed()
    });
    let alone = median(alone.collect());
    let apart = (0..15).map(|_| {
        let (first, second) = (start(), start());
        let logs = [Arc::clone(first.cmdlog()), Arc::clone(second.cmdlog())];
        first.join();
        second.join();
        let [first, second] = logs.map(|log| first_sent(&log));
        first.duration_since(second).unwrap_or_else(|earlier| earlier.duration())
    });
    let apart = median(apart.collect());
    println!("first completion after {alone:?}, two workers {apart:?} apart");
    // Loose, because machines are busy: the benchmark has the figures.
    assert!(alone < Duration::from_millis(200) && apart < Duration::from_millis(100), "{alone:?}, {apart:?}");
}

/// Resident memory of this process, in bytes; hugepages, where data buffers are, do not count.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("our status");
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("VmRSS");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).expect("a number") * 1024
}

#[test]
fn a_worker_takes_little_memory() {
    const WORKERS: u64 = 8;
    let namespace = namespace();
    let workload = Workload::new().queue_depth(64);
    // What the first one takes once is not what each one takes.
    run(&namespace, workload.clone().io_count(5000));
    let before = resident();
    let workers: Vec<_> =
        (0..WORKERS).map(|_| IoWorker::start(&namespace, &workload).expect("a worker")).collect();
    while workers.iter().any(|worker| worker.completed() < 3000) {
        thread::sleep(Duration::from_millis(10));
    }
    let each = resident().saturating_sub(before) / WORKERS;
    println!("{} KiB per worker", each >> 10);
    assert!(each < 1 << 20, "{each} bytes per worker");
}

#[test]
fn latencies_agree_with_the_command_log() {
    let namespace = namespace();
    let workload = Workload::new().io_count(2000).queue_depth(16).count_microseconds(true);
    let worker = IoWorker::start(&namespace, &workload).expect("a worker");
    let log = Arc::clone(worker.cmdlog());
    let report = worker.join();
    let mut raw: Vec<_> = log
        .newest(2100)
        .iter()
        .filter(|entry| entry.command.opcode == 2)
        .map(|entry| entry.completed.expect("all are complete").1)
        .collect();
    raw.sort_unstable();
    assert_eq!(raw.len(), 2000);
    for percentile in [1.0, 50.0, 90.0, 99.0, 99.9] {
        // A rounding error may decide for the neighbour.
        let rank = (percentile * 20.0_f64).round() as usize;
        let found = report.latency.percentile(percentile);
        let near = |exact: &Duration| exact.abs_diff(found) <= *exact / 1000 + Duration::from_nanos(64);
        assert!(raw[rank - 1..=rank].iter().any(near), "{percentile} %: {:?}, {found:?}", raw[rank - 1]);
    }
    // What took a second and more is in the last one.
    let last = report.by_microsecond.len() - 1;
    let counted: Vec<_> = raw.iter().map(|latency| last.min(latency.as_micros() as usize)).collect();
    for (microseconds, count) in report.by_microsecond.iter().enumerate() {
        let exact = counted.iter().filter(|&&latency| latency == microseconds).count() as u64;
        if *count > 0 || exact > 0 {
            assert_eq!(*count, exact, "{microseconds} us");
        }
        if microseconds > 2_000 + counted[counted.len() - 1] {
            break;
        }
    }
}
