//! Starting SPDK leaves the process as it was.

use nvme_spdk::{DmaBuf, Env, EnvOptions, Error, Hugepages, Memory};

fn affinity() -> Vec<u8> {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("procfs");
    let line =
        status.lines().find(|line| line.starts_with("Cpus_allowed_list")).expect("the affinity is listed");
    line.as_bytes().to_vec()
}

fn blocked_signals() -> String {
    let status = std::fs::read_to_string("/proc/thread-self/status").expect("procfs");
    status.lines().find(|line| line.starts_with("SigBlk")).expect("the mask is listed").to_owned()
}

#[test]
fn it_starts_once_and_leaves_the_caller_alone() {
    let before = (affinity(), blocked_signals());
    let files = files_of_dpdk();
    // Of those that are there others may hold some.
    let free = Hugepages::read().free;

    let buffer = DmaBuf::new(100).expect("the first buffer starts the environment");
    assert_eq!(buffer.to_vec(0..200), vec![0; 100]);
    assert!(Env::is_running());
    let env = Env::get().expect("it runs");
    // SAFETY: it only returns a number.
    if free > 64 && unsafe { libc::geteuid() } == 0 {
        assert!(env.hugepages(), "there are hugepages and this is root");
        assert!(env.pci());
    }

    let again = Env::start(EnvOptions::new().memory(Memory::Ordinary { megabytes: 64 })).unwrap_err();
    assert!(matches!(again, Error::EnvRunning { .. }), "{again}");
    assert!(again.to_string().contains("start it once"), "{again}");

    assert_eq!((affinity(), blocked_signals()), before);
    assert_eq!(files_of_dpdk(), files, "nothing may be left behind when the process is killed");
}

#[test]
fn memory_that_is_not_there_is_an_error_with_a_remedy() {
    for bytes in [1 << 45, usize::MAX] {
        let error = DmaBuf::new(bytes).unwrap_err();
        assert!(matches!(error, Error::NoMemory { .. }), "{error}");
        assert!(
            error.to_string().contains("nr_hugepages") || error.to_string().contains("EnvOptions"),
            "{error}"
        );
    }
    assert!(matches!(DmaBuf::new(0), Err(Error::InvalidArgument(_))));
}

#[test]
fn freed_memory_can_be_had_again() {
    for _ in 0..100 {
        DmaBuf::new(64 << 20).expect("the previous one was freed");
    }
}

#[test]
fn a_fork_is_told_that_it_cannot_use_it() {
    Env::get().expect("it runs");
    // SAFETY: the child calls into this crate only as far as the check of its process, and leaves with _exit.
    let pid = unsafe { libc::fork() };
    if pid == 0 {
        let forked = matches!(Env::get(), Err(Error::Forked { .. }))
            && matches!(DmaBuf::new(1), Err(Error::Forked { .. }));
        // SAFETY: ends the child without running what belongs to the parent.
        unsafe { libc::_exit(if forked { 0 } else { 1 }) };
    }
    let mut status = 0;
    // SAFETY: waits for the child made above.
    unsafe { libc::waitpid(pid, &mut status, 0) };
    assert_eq!(status, 0);
}

/// What DPDK leaves in the file system where it is let.
fn files_of_dpdk() -> Vec<String> {
    let mut found = Vec::new();
    for folder in ["/dev/hugepages", "/var/run/dpdk", "/dev/shm"] {
        if let Ok(entries) = std::fs::read_dir(folder) {
            found.extend(entries.flatten().map(|entry| entry.path().display().to_string()));
        }
    }
    found.sort();
    found
}
