//! Running the tools, and the target they run on.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{LazyLock, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use nvme_spdk::{ConnectOptions, Controller, Target};
use serde_json::{Value, json};

/// Two namespaces of 64 MiB; it ends with this program.
pub fn target() -> &'static Target {
    static TARGET: OnceLock<Target> = OnceLock::new();
    TARGET.get_or_init(|| {
        Target::builder().megabytes(64).namespaces(2).start().expect("the embedded target starts")
    })
}

/// A connection of the test's own.
pub fn connect() -> Controller {
    Controller::connect(target().address(), ConnectOptions::new()).expect("it takes connections")
}

/// Reads and writes of the namespaces' memory so far.
pub fn counted() -> (u64, u64) {
    let answer = target().rpc("bdev_get_iostat", json!({})).expect("it answers");
    let bdevs = answer["bdevs"].as_array().expect("a list").clone();
    let sum = |name: &str| bdevs.iter().map(|bdev| bdev[name].as_u64().expect("a number")).sum::<u64>();
    (sum("num_read_ops"), sum("num_write_ops"))
}

/// The target as SPDK's tools are told.
pub fn id() -> String {
    let (target, nqn) = (target().address(), target().subnqn());
    let (host, port) =
        target.to_string().rsplit_once(':').map(|(h, p)| (h.to_owned(), p.to_owned())).expect("both");
    format!("trtype:TCP adrfam:IPv4 traddr:{host} trsvcid:{port} subnqn:{nqn}")
}

/// Cargo builds a package's examples for its tests, unless single tests are asked for. So it is asked here, which
/// costs nothing when they are there, and says where they are.
static BUILT: LazyLock<HashMap<String, PathBuf>> = LazyLock::new(|| {
    let me = std::env::current_exe().expect("this program");
    let release = me.components().any(|part| part.as_os_str() == "release");
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo.args(["build", "--quiet", "--examples", "--message-format=json"]);
    cargo.args(release.then_some("--release")).current_dir(env!("CARGO_MANIFEST_DIR"));
    let built = cargo.stderr(Stdio::inherit()).output().expect("cargo runs");
    assert!(built.status.success(), "the examples are built");
    let said = String::from_utf8_lossy(&built.stdout);
    let artifacts = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let examples = artifacts.filter(|one| one["target"]["kind"][0] == "example");
    let places = examples.filter_map(|one| {
        Some((one["target"]["name"].as_str()?.to_owned(), PathBuf::from(one["executable"].as_str()?)))
    });
    places.collect()
});

/// A tool to be run.
pub struct Tool(Command);

/// What it did.
#[derive(Debug)]
pub struct Done {
    pub code: i32,
    pub out: String,
    pub err: String,
}

pub fn tool(name: &str) -> Tool {
    let mut command = Command::new(BUILT.get(name).unwrap_or_else(|| panic!("there is no example {name}")));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.env_remove("NVME_RPC_SOCKET");
    Tool(command)
}

impl Tool {
    pub fn args<S: AsRef<std::ffi::OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.0.args(args);
        self
    }

    /// Starts it; dropping it ends it.
    pub fn start(mut self) -> Running {
        Running(Some(self.0.spawn().expect("it starts")))
    }

    /// Runs it to the end.
    pub fn end(self) -> Done {
        self.start().end_within(Duration::from_secs(60))
    }
}

/// A tool that runs.
pub struct Running(Option<Child>);

impl Running {
    fn pid(&self) -> u32 {
        self.0.as_ref().map(Child::id).expect("it runs")
    }

    /// The CPUs that the threads whose name begins so may run on.
    pub fn cpus_of(&self, threads: &str) -> Vec<String> {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("its threads");
        let cpus = tasks.flatten().filter_map(|task| {
            let status = std::fs::read_to_string(task.path().join("status")).ok()?;
            let name = value(&status, "Name:")?;
            name.starts_with(threads).then(|| value(&status, "Cpus_allowed_list:").map(str::to_owned))?
        });
        cpus.collect()
    }

    /// Whether it has said what is to become of Ctrl-C.
    fn catches_interrupts(&self) -> bool {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("its status");
        let caught = value(&status, "SigCgt:").and_then(|mask| u64::from_str_radix(mask, 16).ok());
        caught.is_some_and(|mask| mask >> (libc::SIGINT - 1) & 1 == 1)
    }

    /// Ctrl-C, as soon as it catches that.
    pub fn interrupt(&self) {
        eventually("it catches Ctrl-C", || self.catches_interrupts());
        // SAFETY: sending a signal touches no memory of ours, and the child is not waited for yet.
        assert_eq!(unsafe { libc::kill(self.pid() as i32, libc::SIGINT) }, 0);
    }

    /// Waits for its end.
    pub fn end_within(mut self, patience: Duration) -> Done {
        let mut child = self.0.take().expect("it runs");
        let pid = child.id();
        let ended = thread::spawn({
            let (out, err) = (child.stdout.take(), child.stderr.take());
            move || {
                let err = thread::spawn(move || std::io::read_to_string(err.expect("a pipe")));
                let out = std::io::read_to_string(out.expect("a pipe")).expect("text");
                (out, err.join().expect("no panic").expect("text"))
            }
        });
        let start = Instant::now();
        let status = loop {
            match child.try_wait().expect("it is ours") {
                Some(status) => break status,
                None if start.elapsed() < patience => thread::sleep(Duration::from_millis(10)),
                None => {
                    let _ = child.kill();
                    let _ = child.wait();
                    let (out, err) = ended.join().expect("no panic");
                    panic!("process {pid} did not end within {patience:?}:\n{out}\n{err}");
                }
            }
        };
        let (out, err) = ended.join().expect("no panic");
        Done { code: status.code().expect("no signal ended it"), out, err }
    }
}

/// What a line of a status file says.
fn value<'a>(status: &'a str, key: &str) -> Option<&'a str> {
    status.lines().find_map(|line| line.strip_prefix(key)).map(str::trim)
}

/// Waits for what is bound to happen.
pub fn eventually(what: &str, mut happened: impl FnMut() -> bool) {
    let start = Instant::now();
    while !happened() {
        assert!(start.elapsed() < Duration::from_secs(30), "never: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}
