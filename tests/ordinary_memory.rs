//! Without hugepages NVMe/TCP works all the same, and without the right to lock memory. A program of its own: the
//! environment starts once.

use nvme_spdk::{ConnectOptions, Controller, DmaBuf, Env, EnvOptions, Error, IoWorker, Memory, Workload};
use std::time::Duration;

/// What is started from here on may lock no memory, like what a plain user starts, and root in many containers.
fn lock_no_memory() {
    const CAP_IPC_LOCK: libc::c_ulong = 14;
    let none = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the limit is read from a structure that is there; prctl takes numbers.
    unsafe {
        assert_eq!(libc::setrlimit(libc::RLIMIT_MEMLOCK, &none), 0);
        // Refused to a plain user, who has no such right.
        libc::prctl(libc::PR_CAPBSET_DROP, CAP_IPC_LOCK, 0, 0, 0);
    }
}

#[test]
fn ordinary_memory_does_for_tcp() {
    lock_no_memory();
    let env = Env::start(EnvOptions::new().memory(Memory::Ordinary { megabytes: 256 })).expect("it starts");
    assert!(!env.hugepages() && !env.pci());

    let controller =
        Controller::connect(support::target().address(), ConnectOptions::new()).expect("the target is there");
    let namespace = controller.namespace(1).expect("namespace 1");
    let qpair = controller.create_qpair(8).expect("a queue pair");
    let buffer = DmaBuf::new(4096).expect("a buffer");
    buffer.write(0, b"ordinary");
    namespace.write(&qpair, &buffer, 7, 8).expect("a write");
    buffer.fill(0..4096, 0);
    namespace.read(&qpair, &buffer, 7, 8).expect("a read");
    assert_eq!(buffer.to_vec(0..8), b"ordinary");

    let workload = Workload::new().time(Duration::from_millis(300));
    let report = IoWorker::start(&namespace, &workload).expect("a worker").join();
    assert!(report.failure.is_none() && report.ios > 0, "{report:?}");

    let error = DmaBuf::new(1 << 30).unwrap_err();
    assert!(error.to_string().contains("NVME_MEMORY_MB"), "{error}");

    let error =
        Controller::connect(&"0000:ff:1f.7".parse().expect("an address"), ConnectOptions::new()).unwrap_err();
    assert!(matches!(error, Error::Open { .. }) && error.to_string().contains("lspci"), "{error}");
}
