//! The embedded target belongs to its owner: gone when he is, with everything it made.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;

use nvme_spdk::{Address, Error, Target};
use support::{child, eventually, is_alive, signal};

/// An owner in a process of its own, and the process of its target.
fn owner() -> (std::process::Child, u32) {
    let mut owner = child("an_owner_of_a_target");
    let mut output = BufReader::new(owner.stdout.take().expect("it is piped"));
    let pid = loop {
        let mut line = String::new();
        assert_ne!(output.read_line(&mut line).expect("text"), 0, "the owner names its target");
        if let Some((_, pid)) = line.trim().rsplit_once("pid=") {
            break pid.parse().expect("a process identifier");
        }
    };
    owner.stdout = Some(output.into_inner());
    (owner, pid)
}

#[test]
#[ignore = "run by others, as a process to be killed"]
fn an_owner_of_a_target() {
    let target = Target::start().expect("a target");
    println!("pid={}", target.pid());
    // Until standard input ends.
    std::io::stdin().lines().count();
}

fn folders_of(pid: u32) -> Vec<PathBuf> {
    let prefix = format!("nvme-target-{pid}-");
    let entries = std::fs::read_dir(std::env::temp_dir()).expect("the temporary folder");
    entries
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path())
        .collect()
}

/// The hugepages of a process that a file keeps when it is dead. Those without a name go with it. (How many the machine
/// has free says nothing: other programs take and give back some as well.)
fn named_hugepages(pid: u32) -> Vec<String> {
    let smaps = std::fs::read_to_string(format!("/proc/{pid}/smaps")).expect("it is alive");
    let mut mapping = "";
    let mut named = Vec::new();
    for line in smaps.lines() {
        match line.split_once(":  ") {
            Some(("KernelPageSize", size)) if size.trim() != "4 kB" && !mapping.ends_with("(deleted)") => {
                named.push(mapping.to_owned());
            }
            Some(_) => {}
            None if line.starts_with("VmFlags") => {}
            None => mapping = line,
        }
    }
    named
}

#[test]
fn it_ends_when_it_is_stopped() {
    let target = Target::start().expect("a target");
    let pid = target.pid();
    assert!(target.is_running() && is_alive(pid));
    assert_eq!(folders_of(std::process::id()).len(), 1);
    target.stop();
    assert!(!is_alive(pid));
    assert!(folders_of(std::process::id()).is_empty());
}

#[test]
fn it_dies_with_its_owner_however_he_dies() {
    for number in [libc::SIGKILL, libc::SIGTERM, libc::SIGSEGV] {
        let (mut owner, target) = owner();
        assert_eq!(named_hugepages(target), [""; 0]);
        signal(owner.id(), number);
        owner.wait().expect("it ends");
        eventually("the target is gone", || !is_alive(target));
    }
    // A stopped process cannot watch its owner; the kernel does.
    let (mut owner, target) = owner();
    signal(target, libc::SIGSTOP);
    owner.kill().expect("it is there");
    owner.wait().expect("it ends");
    eventually("the stopped target is gone", || !is_alive(target));

    // What a killed owner could not remove, the next one does.
    let left = folders_of(owner.id());
    assert_eq!(left.len(), 1, "{left:?}");
    Target::start().expect("a target").stop();
    assert!(!left[0].exists());
}

#[test]
fn it_outlives_the_thread_that_started_it() {
    let target = std::thread::spawn(|| Target::start().expect("a target")).join().expect("no panic");
    std::thread::sleep(std::time::Duration::from_millis(200));
    assert!(target.is_running());
}

#[test]
fn two_run_side_by_side() {
    let first = Target::start().expect("a target");
    let second = Target::start().expect("another");
    assert_ne!(first.address(), second.address());
    assert!(first.is_running() && second.is_running());
}

#[test]
fn a_port_that_is_taken_is_named() {
    let first = Target::start().expect("a target");
    let Address::Tcp { port, .. } = *first.address() else { unreachable!("it is on TCP") };
    let error = Target::builder().port(port).start().unwrap_err();
    assert!(matches!(error, Error::Target { .. }), "{error}");
    assert!(error.to_string().contains("choose another port"), "{error}");
}

#[test]
fn a_program_that_is_none_is_named() {
    let error = Target::builder().program("/no/such/nvmf_tgt").start().unwrap_err();
    assert!(
        error.to_string().contains("/no/such/nvmf_tgt") && error.to_string().contains("NVMF_TGT"),
        "{error}"
    );
    let error = Target::builder().program("/bin/false").start().unwrap_err();
    assert!(error.to_string().contains("exit status: 1"), "{error}");
}

#[test]
fn it_leaves_no_larger_cores_than_its_owner_would() {
    let limit = |pid: &str| {
        let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).expect("limits");
        limits.lines().find(|line| line.starts_with("Max core file size")).expect("a limit").to_owned()
    };
    let target = Target::builder().megabytes(16).start().expect("a target");
    assert_eq!(limit(&target.pid().to_string()), limit("self"));
}

#[test]
fn what_no_host_could_use_is_refused() {
    let target = || Target::builder().megabytes(1);
    for builder in [
        target().block_size(0),
        target().block_size(256),
        target().block_size(520),
        target().block_size(1 << 17),
        target().io_queues(0),
        target().io_queues(65535),
        target().namespaces(u32::MAX),
    ] {
        assert!(matches!(builder.start(), Err(Error::InvalidArgument(_))));
    }
    assert_eq!(
        target().block_size(4096).io_queues(1).start().map(|target| target.is_running()).ok(),
        Some(true)
    );
}
