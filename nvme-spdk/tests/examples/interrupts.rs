//! Ctrl-C ends every tool at once, and cleanly.

use std::net::{Ipv4Addr, TcpListener};
use std::thread;
use std::time::Duration;

use crate::tool::{Done, Running, counted, eventually, id, tool};

/// What a shell says of a program that Ctrl-C has ended.
const INTERRUPTED: i32 = 130;

fn interrupted(running: Running, after: Duration) -> Done {
    thread::sleep(after);
    running.interrupt();
    let done = running.end_within(Duration::from_secs(15));
    assert_eq!(done.code, INTERRUPTED, "{done:?}");
    assert!(!done.err.contains("panic"), "{done:?}");
    done
}

const BUSY: Duration = Duration::from_millis(1500);

#[test]
fn perf_prints_what_it_has() {
    let run = ["-q", "4", "-o", "4096", "-w", "randread", "-t", "60"];
    let perf = tool("perf").args(run).args(["-r", &id()]).start();
    eventually("it is at work", || !perf.cpus_of("ioworker-").is_empty());
    let done = interrupted(perf, BUSY);
    assert!(done.out.lines().any(|line| line.starts_with("Total ")), "{done:?}");
}

#[test]
fn verify_says_nothing_it_does_not_know() {
    let before = counted();
    // A block at a time takes a while.
    let verify = tool("verify").args(["-o", "512", "-q", "1", "-r", &id()]).start();
    eventually("it is at work", || counted() != before);
    let done = interrupted(verify, Duration::ZERO);
    assert!(done.out.starts_with("seed ") && !done.out.contains("right"), "{done:?}");
}

#[test]
fn top_ends_between_two_looks() {
    let folder = tempfile::tempdir().expect("a folder");
    let socket = folder.path().join("nvme.sock");
    let server = nvme_spdk::rpc::Server::start(&socket).expect("nobody serves there");
    let top = tool("top").args(["--interval", "60", "--socket"]).args([&socket]).start();
    interrupted(top, Duration::from_millis(300));
    drop(server);
}

#[test]
fn a_target_that_is_silent_holds_nobody() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("its address").to_string();
    // Accepted and never answered, as long as the listener is there.
    for name in ["identify", "hello_world"] {
        interrupted(tool(name).args(["--timeout", "60", "-r", &address]).start(), BUSY);
    }
}
