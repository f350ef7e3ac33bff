//! The target's process: found, started, and gone with its owner.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use parking_lot::Mutex;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::signals;

/// What the vendored tree calls it; its own `nvmf_tgt` does as well, with hugepages.
const NAMES: [&str; 2] = ["embedded_nvmf_tgt", "nvmf_tgt"];

/// The program: `NVMF_TGT`, else what was built with the SPDK this crate was built with, else one in `PATH`.
pub(super) fn find_program() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("NVMF_TGT") {
        return Ok(PathBuf::from(path));
    }
    let tree = std::env::var_os("SPDK_DIR").or_else(|| option_env!("NVME_SPDK_TREE").map(OsString::from));
    let in_tree = tree.map(|root| PathBuf::from(root).join("build/bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = in_tree.into_iter().chain(std::env::split_paths(&path));
    let mut candidates = folders.flat_map(|folder| NAMES.map(|name| folder.join(name)));
    candidates.find(|file| file.is_file()).ok_or_else(|| Error::Target {
        why: "its program, nvmf_tgt, is neither in the SPDK tree this was built with nor in PATH".to_owned(),
        remedy: "in a checkout run `make setup`; elsewhere set NVMF_TGT to an nvmf_tgt of SPDK".to_owned(),
        source: None,
    })
}

/// Where a target keeps its configuration, log and RPC socket; removed when dropped by its owner.
pub(super) struct Folder {
    owner: u32,
    folder: tempfile::TempDir,
}

const PREFIX: &str = "nvme-target-";

impl Folder {
    pub(super) fn new() -> Result<Self> {
        // The owner's identifier tells sweep() later whether anybody still needs it.
        let folder = tempfile::Builder::new().prefix(&format!("{PREFIX}{}-", std::process::id())).tempdir();
        let owner = std::process::id();
        folder.map(|folder| Folder { owner, folder }).map_err(|e| cannot("make a folder for it", e))
    }

    pub(super) fn write_config(&self, config: &Value) -> Result<()> {
        fs::write(self.config(), config.to_string()).map_err(|e| cannot("write its configuration", e))
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("config.json")
    }

    pub(super) fn socket(&self) -> PathBuf {
        self.folder.path().join("rpc.sock")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// The errors in its log as one line; the end of it if there are none.
    pub(super) fn complaint(&self) -> String {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let errors: Vec<_> =
            text.lines().filter_map(|line| Some(line.split_once("*ERROR*: ")?.1.trim())).collect();
        let last = || text.lines().map(str::trim).rfind(|line| !line.is_empty()).unwrap_or("nothing");
        if errors.is_empty() { last().to_owned() } else { errors[..errors.len().min(4)].join("; ") }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // In a fork it is not ours to remove.
        self.folder.disable_cleanup(std::process::id() != self.owner);
    }
}

fn cannot(what: &str, why: io::Error) -> Error {
    Error::Target {
        why: format!("cannot {what} ({why})"),
        remedy: "free space in the temporary folder".to_owned(),
        source: Some(why),
    }
}

/// Removes the folders of targets whose owners were killed; those cannot do it themselves.
pub(super) fn sweep() {
    let Ok(entries) = fs::read_dir(std::env::temp_dir()) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let Some(rest) = name.to_str().and_then(|name| name.strip_prefix(PREFIX)) else { continue };
        let owner = rest.split('-').next().and_then(|pid| pid.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new("/proc").join(pid.to_string()).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

/// A child process that dies with this one.
///
/// The kernel can send a child a signal when the *thread* that started it ends. So a thread is made for
/// it, which starts the child and then waits: it ends when the target is stopped, and with the process,
/// whatever ends that.
pub(super) struct Process {
    owner: u32,
    pid: u32,
    status: Arc<Mutex<Option<ExitStatus>>>,
    /// The thread, and what ends it.
    keeper: Option<(Sender<()>, JoinHandle<()>)>,
}

/// How often the keeper looks whether the target still runs.
const LOOK: Duration = Duration::from_millis(20);

impl Process {
    pub(super) fn spawn(
        program: &Path,
        folder: &Folder,
        cpu: Option<usize>,
        hugepages: bool,
        megabytes: u32,
    ) -> Result<Self> {
        let log = File::create(folder.log()).map_err(|e| cannot("create its log", e))?;
        let log_too = log.try_clone().map_err(|e| cannot("create its log", e))?;
        let mut command = Command::new(program);
        command
            .arg("--json")
            .arg(folder.config())
            .arg("--rpc-socket")
            .arg(folder.socket())
            .arg("--cpumask")
            .arg(format!("[{}]", cpu.unwrap_or_else(crate::cpu::first_allowed)))
            // SPDK would allow itself core files of any size, in whatever folder the owner runs.
            .args(["--no-pci", "--huge-unlink", "--limit-coredump"])
            // Nobody reads its traces, for which it would lock 160 MiB of /dev/shm.
            .args(["--num-trace-entries", "1"])
            .env("NVMF_TGT_HUGEPAGES", if hugepages { "1" } else { "0" })
            .env("NVMF_TGT_MEM_MB", megabytes.to_string())
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(log_too)
            // Ctrl-C at the terminal is for the owner, who stops the target when done.
            .process_group(0);
        let owner = std::process::id();
        // SAFETY: between fork and exec it makes async-signal-safe system calls only.
        unsafe { command.pre_exec(move || prepare_child(owner)) };
        Self::keep(command, owner).map_err(|why| Error::Target {
            why: format!("{} cannot be run ({why})", program.display()),
            remedy: "run `make setup`, or set NVMF_TGT to an nvmf_tgt of SPDK".to_owned(),
            source: Some(why),
        })
    }

    fn keep(mut command: Command, owner: u32) -> io::Result<Self> {
        let status = Arc::new(Mutex::new(None));
        let (started, when_started) = bounded(1);
        let (stop, when_to_stop) = bounded(1);
        let noted = Arc::clone(&status);
        let keeper = thread::Builder::new().name("nvme-target".to_owned()).spawn(move || {
            let mut child = match command.spawn() {
                Ok(child) => child,
                Err(e) => return drop(started.send(Err(e))),
            };
            // Not before: the target is to get signals.
            signals::block();
            drop(started.send(Ok(child.id())));
            *noted.lock() = Some(wait_or_kill(&mut child, &when_to_stop));
        })?;
        let pid = when_started.recv().unwrap_or_else(|_| Err(io::Error::other("its keeper panicked")))?;
        Ok(Process { owner, pid, status, keeper: Some((stop, keeper)) })
    }

    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    pub(super) fn exited(&self) -> Option<ExitStatus> {
        *self.status.lock()
    }

    pub(super) fn is_running(&self) -> bool {
        self.exited().is_none()
    }
}

fn wait_or_kill(child: &mut Child, when_to_stop: &Receiver<()>) -> ExitStatus {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status,
            Ok(None) => {}
            // Somebody else has reaped it: it is gone.
            Err(_) => return ExitStatus::default(),
        }
        if !matches!(when_to_stop.recv_timeout(LOOK), Err(RecvTimeoutError::Timeout)) {
            // It has nothing to clean up, and SIGKILL also ends one that was stopped.
            let _ = child.kill();
            return child.wait().unwrap_or_default();
        }
    }
}

/// In the child: to be killed when the thread that started it ends, and to hold nothing of its owner's.
fn prepare_child(owner: u32) -> io::Result<()> {
    // SAFETY: plain system calls with constant arguments.
    unsafe {
        if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
            return Err(io::Error::last_os_error());
        }
        // The owner may have died before that took effect.
        if libc::getppid() as u32 != owner {
            libc::_exit(1);
        }
        // Sockets and hugepages of the owner must not live as long as the target does. Kernels before 5.11
        // do not know the call.
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
    Ok(())
}

impl Drop for Process {
    fn drop(&mut self) {
        let Some((stop, keeper)) = self.keeper.take() else { return };
        if std::process::id() != self.owner {
            // A fork: the thread and the target belong to the process it was forked from. Even the channel has a lock
            // that the thread may have held.
            std::mem::forget((stop, keeper));
            return;
        }
        let _ = stop.send(());
        let _ = keeper.join();
    }
}
