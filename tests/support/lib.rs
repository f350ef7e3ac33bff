//! What the integration tests share: one target per test program, and targets that do not behave.

pub mod proxy;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use nvme_spdk::{Address, ConnectOptions, Controller, Target};

/// The target of this test program; it ends with the program.
pub fn target() -> &'static Target {
    static TARGET: OnceLock<Target> = OnceLock::new();
    TARGET.get_or_init(|| Target::start().expect("the embedded target starts"))
}

/// A connection of one's own to it.
pub fn connect() -> Controller {
    connect_to(target().address())
}

/// A connection to another target.
pub fn connect_to(address: &Address) -> Controller {
    Controller::connect(address, ConnectOptions::new()).expect("the embedded target takes connections")
}

/// How long a call took, with its result.
pub fn timed<T>(call: impl FnOnce() -> T) -> (T, Duration) {
    let start = Instant::now();
    let result = call();
    (result, start.elapsed())
}

/// A process that is stopped until this is dropped.
#[derive(Debug)]
pub struct Stopped(u32);

impl Stopped {
    /// Stops a target: its sockets accept, nothing answers.
    pub fn new(target: &Target) -> Self {
        signal(target.pid(), libc::SIGSTOP);
        Stopped(target.pid())
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        signal(self.0, libc::SIGCONT);
    }
}

/// Sends a signal to a process.
pub fn signal(pid: u32, number: i32) {
    let pid = i32::try_from(pid).expect("a process identifier");
    // SAFETY: sending a signal touches no memory of ours.
    let rc = unsafe { libc::kill(pid, number) };
    assert_eq!(rc, 0, "signal {number} to {pid}: {}", std::io::Error::last_os_error());
}

/// Whether a process exists and is not a zombie.
pub fn is_alive(pid: u32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'),
        Err(_) => false,
    }
}

/// A port where connections are accepted and never answered, until the program ends.
pub fn silent_port() -> Address {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = address_of(listener.local_addr().expect("its address"));
    thread::spawn(move || {
        let mut kept: Vec<TcpStream> = Vec::new();
        for stream in listener.incoming().flatten() {
            kept.push(stream);
        }
    });
    address
}

/// A port where nothing listens.
pub fn closed_port() -> Address {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    address_of(listener.local_addr().expect("its address"))
}

fn address_of(socket: SocketAddr) -> Address {
    Address::tcp(socket.ip().to_string(), socket.port())
}

/// Runs one ignored test of this very program in a process of its own.
pub fn child(test: &str) -> Child {
    Command::new(std::env::current_exe().expect("this program"))
        .args([test, "--exact", "--ignored", "--nocapture"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the program runs again")
}

/// Waits until something holds, at most as long as a machine with other work may take.
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < Duration::from_secs(30), "not after 30 s: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}
