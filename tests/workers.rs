//! Workers end when they should, whatever happens to them, and count right.

use std::time::Duration;

use nvme_spdk::{ConnectOptions, Controller, Error, Failure, IoWorker, Status, Target, Workload};
use support::{connect, timed};

#[test]
fn a_worker_ends_after_its_time() {
    let namespace = connect().namespace(1).expect("namespace 1");
    let workload = Workload::new().read_percentage(50).time(Duration::from_millis(1200));
    let (report, took) = timed(|| IoWorker::start(&namespace, &workload).expect("a worker").join());
    assert!(report.failure.is_none(), "{report:?}");
    assert!(took >= Duration::from_millis(1200) && took < Duration::from_secs(6), "{took:?}");
    assert_eq!(report.per_second.len() as u64, report.duration.as_secs(), "{:?}", report.duration);
    assert_eq!(report.count(1) + report.count(2), report.ios);
    // A command at the very end of the namespace is shorter.
    assert!(report.bytes <= report.ios * 4096 && report.bytes > report.ios * 4000);
    assert_eq!(report.latency.count(), report.ios);
    assert!(report.latency.min() <= report.latency.mean() && report.latency.mean() <= report.latency.max());
    assert!(report.busy > 0.0 && report.busy <= 1.0);
}

#[test]
fn a_worker_ends_after_its_count() {
    let namespace = connect().namespace(1).expect("namespace 1");
    for (count, depth) in [(1, 64), (7, 2), (1000, 1024)] {
        let workload = Workload::new().io_count(count).queue_depth(depth).random_percentage(0).io_size(1);
        let worker = IoWorker::start(&namespace, &workload).expect("a worker");
        let log = std::sync::Arc::clone(worker.cmdlog());
        let report = worker.join();
        assert_eq!((report.ios, report.failure), (count, None));
        let mut lbas: Vec<_> =
            log.newest(2000).iter().filter(|e| e.command.opcode == 2).map(|e| e.command.slba()).collect();
        lbas.reverse();
        assert_eq!(lbas, (0..count).collect::<Vec<_>>(), "sequential from block 0");
    }
}

#[test]
fn the_pace_is_kept() {
    let namespace = connect().namespace(1).expect("namespace 1");
    let workload = Workload::new().iops(1000).time(Duration::from_secs(2)).io_size(1);
    let report = IoWorker::start(&namespace, &workload).expect("a worker").join();
    assert!(report.ios.abs_diff(2000) <= 20, "{} commands", report.ios);
}

#[test]
fn other_commands_than_read_and_write() {
    let namespace = connect().namespace(1).expect("namespace 1");
    let shares = [(0x00, 25), (0x08, 25), (0x09, 25), (0x02, 25)];
    let workload = Workload::new().operations(shares).io_count(2000).io_size(4).region(0..10_000);
    let report = IoWorker::start(&namespace, &workload).expect("a worker").join();
    assert_eq!((report.ios, report.failure), (2000, None));
    for (opcode, _) in shares {
        assert!(report.count(opcode) > 300, "opcode {opcode:#x}: {:?}", report.by_opcode);
    }
}

#[test]
fn an_error_of_the_device_ends_it_and_is_reported() {
    let namespace = connect().namespace(1).expect("namespace 1");
    let workload = Workload::new().operations([(0x80, 100)]).time(Duration::from_secs(60));
    let report = IoWorker::start(&namespace, &workload).expect("a worker").join();
    let Some(Failure::Status(status)) = report.failure else { panic!("{report:?}") };
    // Invalid Opcode, or Internal Device Error where the target's device refuses it.
    assert!([Status::new(0, 0x01), Status::new(0, 0x06)].contains(&status), "{status}");
    // A completion is a completion, with whatever status.
    assert!(report.errors > 0 && report.errors == report.ios && report.bytes == 0, "{report:?}");
}

#[test]
fn it_can_be_asked_to_finish_and_it_can_be_dropped() {
    let namespace = connect().namespace(1).expect("namespace 1");
    let worker = IoWorker::start(&namespace, &Workload::new()).expect("a worker");
    while worker.completed() < 100 {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(worker.is_running() && worker.transferred() >= 100 * 4096);
    worker.finish();
    let (report, took) = timed(|| worker.join());
    assert!(report.ios >= 100 && took < Duration::from_secs(4), "{took:?}");

    let worker = IoWorker::start(&namespace, &Workload::new().queue_depth(1024)).expect("a worker");
    let ((), took) = timed(|| drop(worker));
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[test]
fn closing_the_controller_ends_its_workers() {
    let controller = connect();
    let namespace = controller.namespace(1).expect("namespace 1");
    let workers: Vec<_> =
        (0..4).map(|_| IoWorker::start(&namespace, &Workload::new()).expect("a worker")).collect();
    let ((), took) = timed(|| controller.close());
    assert!(took < Duration::from_secs(4), "{took:?}");
    for worker in workers {
        assert_eq!(worker.join().failure, Some(Failure::Stopped));
    }
}

#[test]
fn a_killed_target_ends_its_workers() {
    let target = Target::start().expect("a target");
    let controller = Controller::connect(target.address(), ConnectOptions::new()).expect("a controller");
    let namespace = controller.namespace(1).expect("namespace 1");
    let workers: Vec<_> =
        (0..2).map(|_| IoWorker::start(&namespace, &Workload::new()).expect("a worker")).collect();
    std::thread::sleep(Duration::from_millis(100));
    target.stop();
    for worker in workers {
        let (report, took) = timed(|| worker.join());
        assert_eq!(report.failure, Some(Failure::Disconnected));
        assert!(took < Duration::from_secs(4), "{took:?}");
    }
}

#[test]
fn what_does_not_fit_is_refused_before_the_start() {
    let controller = connect();
    let namespace = controller.namespace(1).expect("namespace 1");
    let too_large = Workload::new().io_size(257);
    assert!(matches!(
        IoWorker::start(&namespace, &too_large),
        Err(Error::TransferTooLarge { blocks: 257, .. })
    ));
    let nowhere = Workload::new().region(1 << 40..1 << 41);
    assert!(matches!(IoWorker::start(&namespace, &nowhere), Err(Error::InvalidArgument(_))));
    assert_eq!(controller.create_qpair(4).expect("nothing was kept").qid(), 1);
}

#[test]
fn sixteen_workers_at_once() {
    let namespace = connect().namespace(1).expect("namespace 1");
    let workload = Workload::new().time(Duration::from_millis(500)).queue_depth(16);
    let workers: Vec<_> =
        (0..16).map(|_| IoWorker::start(&namespace, &workload).expect("a worker")).collect();
    for worker in workers {
        let report = worker.join();
        assert!(report.failure.is_none() && report.ios > 0, "{report:?}");
    }
}
