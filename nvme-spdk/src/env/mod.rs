//! The process's one SPDK environment: DPDK's memory, started once, on our terms.
//!
//! DPDK does not get the process: it starts on a thread of its own, so that the caller's CPU affinity and
//! signal mask are never touched, and leaves no file when the process ends. One that shares PCIe controllers and is
//! killed leaves some, which the next one removes.

mod eal;
mod memory;

use std::sync::Arc;

use parking_lot::Mutex;

pub use memory::Hugepages;
pub(crate) use memory::is_root;

use crate::error::{Error, Result};
use crate::sharing::leftovers;
use crate::sharing::process::{self, Part};
use crate::{clock, fork, log, observer};

/// Where DMA memory comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Memory {
    /// Hugepages if this process is root and can have them, ordinary memory otherwise (said once on the log):
    /// 1024 MiB at most, or what the environment variable `NVME_MEMORY_MB` says.
    #[default]
    Auto,
    /// 2 MiB hugepages, taken and given back as needed. PCIe needs them.
    Hugepages,
    /// Ordinary memory: needs no preparation and no privileges, and does for NVMe/TCP.
    Ordinary {
        /// The most that will ever be used, in MiB; pages are taken when they are first touched.
        megabytes: u32,
    },
}

/// How the environment starts.
#[derive(Debug, Clone, Default)]
#[must_use = "it does nothing until it is used"]
pub struct EnvOptions {
    memory: Memory,
}

impl EnvOptions {
    /// The defaults: [`Memory::Auto`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Where DMA memory comes from.
    pub fn memory(mut self, memory: Memory) -> Self {
        self.memory = memory;
        self
    }
}

/// The running environment. It starts with the first buffer or controller, or explicitly with options:
///
/// ```no_run
/// use nvme_spdk::{Env, EnvOptions, Memory};
///
/// let env = Env::start(EnvOptions::new().memory(Memory::Ordinary { megabytes: 512 }))?;
/// assert!(!env.hugepages());
/// # Ok::<(), nvme_spdk::Error>(())
/// ```
#[derive(Debug)]
pub struct Env {
    hugepages: bool,
    pci: bool,
    part: Part,
}

enum State {
    NotStarted,
    Running(Arc<Env>),
    /// DPDK cannot be started again after a failure; the reason stays.
    Failed {
        why: String,
        remedy: String,
    },
}

static STATE: Mutex<State> = Mutex::new(State::NotStarted);

/// What memory is used when hugepages are not to be had. Far more than tests need, and free until touched.
const ORDINARY_MEGABYTES: u32 = 1024;

impl Env {
    /// Starts the environment with options of your own, before the first buffer or controller.
    ///
    /// # Errors
    /// [`Error::EnvRunning`] when it runs already, [`Error::Forked`] in a forked child,
    /// [`Error::EnvStart`] with what is missing when it cannot start.
    pub fn start(options: EnvOptions) -> Result<Arc<Env>> {
        fork::check()?;
        let mut state = STATE.lock();
        match &*state {
            State::Running(env) => Err(Error::EnvRunning { how: env.describe().to_owned() }),
            State::Failed { why, remedy } => {
                Err(Error::EnvStart { why: why.clone(), remedy: remedy.clone() })
            }
            State::NotStarted => start(&mut state, &options),
        }
    }

    /// The environment, started with the defaults if it does not run yet.
    ///
    /// # Errors
    /// As [`start`](Self::start), but for [`Error::EnvRunning`].
    pub fn get() -> Result<Arc<Env>> {
        fork::check()?;
        let mut state = STATE.lock();
        match &*state {
            State::Running(env) => Ok(Arc::clone(env)),
            State::Failed { why, remedy } => {
                Err(Error::EnvStart { why: why.clone(), remedy: remedy.clone() })
            }
            State::NotStarted => start(&mut state, &EnvOptions::default()),
        }
    }

    /// Whether it runs in this process; never starts it.
    pub fn is_running() -> bool {
        !fork::forked() && matches!(&*STATE.lock(), State::Running(_))
    }

    /// Whether DMA memory is in hugepages.
    pub fn hugepages(&self) -> bool {
        self.hugepages
    }

    /// Whether PCIe controllers can be used: as root, with hugepages.
    pub fn pci(&self) -> bool {
        self.pci
    }

    /// The process whose environment this is, when that is another one.
    ///
    /// A process that is spawned by one with PCIe controllers shares its environment, and can connect to the
    /// controllers that are open there, while those are in use. What it does there is as if the owner did it: I/O
    /// queue pairs come from the same set, checksums and locks of blocks are the same. Resetting, reattaching
    /// and detaching are the owner's; members leave when it does that. Only with the vendored SPDK, as root, and
    /// with hugetlbfs mounted; NVME_SHARING=0 in its environment has a process start one of its own.
    pub fn owner(&self) -> Option<u32> {
        match self.part {
            Part::Member(owner) => Some(owner),
            Part::Alone | Part::Owner => None,
        }
    }

    pub(crate) fn part(&self) -> Part {
        self.part
    }

    /// Bytes of DMA memory that are in use: buffers, queues, and what SPDK keeps for itself. It says whether something
    /// is left behind.
    pub fn memory_in_use(&self) -> u64 {
        // SAFETY: the environment runs.
        unsafe { spdk_sys::shim_env_memory_in_use() }
    }

    fn describe(&self) -> &'static str {
        if self.hugepages { "with hugepages" } else { "with ordinary memory" }
    }

    /// What to do about exhausted memory in this environment.
    pub(crate) fn memory_remedy(&self) -> String {
        if self.hugepages {
            let pages = Hugepages::read();
            format!(
                "{} of {} hugepages are free; as root: echo {} > /proc/sys/vm/nr_hugepages",
                pages.free,
                pages.total,
                pages.total + 256
            )
        } else {
            "drop buffers that are no longer needed, or start the environment with more memory \
             (EnvOptions::memory, or NVME_MEMORY_MB=… for the default)"
                .to_owned()
        }
    }
}

fn start(state: &mut State, options: &EnvOptions) -> Result<Arc<Env>> {
    match try_start(options) {
        Ok(env) => {
            fork::watch();
            let env = Arc::new(env);
            *state = State::Running(Arc::clone(&env));
            Ok(env)
        }
        Err(Failure { why, remedy, retry }) => {
            if !retry {
                *state = State::Failed { why: why.clone(), remedy: remedy.clone() };
            }
            Err(Error::EnvStart { why, remedy })
        }
    }
}

/// Why it did not start; `retry` as long as DPDK was not touched.
struct Failure {
    why: String,
    remedy: String,
    retry: bool,
}

fn try_start(options: &EnvOptions) -> std::result::Result<Env, Failure> {
    let root = is_root();
    // A member takes its memory from its owner, which may have all there is.
    let is_member = || root && observer::available() && process::owner_of_this().is_some();
    let (hugepages, megabytes) = match options.memory {
        Memory::Auto | Memory::Hugepages if is_member() => (true, 0),
        Memory::Hugepages => {
            memory::can_use_hugepages().map_err(|why| Failure {
                why,
                remedy: "as root: echo 512 > /proc/sys/vm/nr_hugepages, or use Memory::Ordinary for NVMe/TCP"
                    .to_owned(),
                retry: true,
            })?;
            (true, 0)
        }
        Memory::Ordinary { megabytes } => (false, megabytes),
        Memory::Auto => match memory::can_use_hugepages() {
            Ok(()) if root => (true, 0),
            other => {
                let why = other.err().unwrap_or_else(|| "not root".to_owned());
                tracing::warn!(
                    "running with ordinary memory ({why}): NVMe/TCP works, PCIe does not; \
                     for PCIe run as root after: echo 512 > /proc/sys/vm/nr_hugepages"
                );
                let text = std::env::var_os("NVME_MEMORY_MB").map(|text| text.to_string_lossy().into_owned());
                (false, ordinary_megabytes(text.as_deref())?)
            }
        },
    };
    let pci = hugepages && root;
    let part = if pci && observer::available() { process::part() } else { Part::Alone };
    log::init();
    leftovers::sweep();
    eal::start(hugepages, megabytes, pci, part).map_err(|said| Failure {
        why: said,
        remedy: match part {
            Part::Member(owner) => format!(
                "this process shares the environment of its ancestor {owner}: end it and start both again, or set \
                 NVME_SHARING=0 for an environment of its own"
            ),
            _ if hugepages => "free hugepages and start the program again".to_owned(),
            _ => format!("free memory, or start the program again with less than {megabytes} MiB of it"),
        },
        retry: false,
    })?;
    // SAFETY: the environment runs, so SPDK has measured the counter.
    clock::init(unsafe { spdk_sys::spdk_get_ticks_hz() });
    observer::install();
    share(part)?;
    Ok(Env { hugepages, pci, part })
}

/// Lets others join, or joins.
fn share(part: Part) -> std::result::Result<(), Failure> {
    if part == Part::Alone {
        return Ok(());
    }
    if part == Part::Owner {
        leftovers::remove_at_exit();
    }
    // SAFETY: the environment runs.
    let rc = unsafe { spdk_sys::shim_share_driver() };
    let failure = |why, remedy: &str| Failure { why, remedy: remedy.to_owned(), retry: false };
    match part {
        _ if rc != 0 => Err(failure(format!("SPDK's driver returned {rc}"), "start the program again")),
        Part::Member(owner) => {
            process::join(owner).map_err(|e| failure(e.to_string(), "start the program again"))
        }
        _ => {
            process::announce();
            Ok(())
        }
    }
}

/// As the environment variable has it; an empty one is none.
fn ordinary_megabytes(text: Option<&str>) -> std::result::Result<u32, Failure> {
    let Some(text) = text.filter(|text| !text.is_empty()) else { return Ok(ORDINARY_MEGABYTES) };
    text.parse().map_err(|_| Failure {
        why: format!("NVME_MEMORY_MB={text} in the environment is no number of MiB"),
        remedy: "set it to one such as 512, or unset it".to_owned(),
        retry: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_of_memory_that_is_no_number_is_told() {
        for (text, size) in
            [(None, 1024), (Some(""), 1024), (Some("512"), 512), (Some("4294967295"), u32::MAX)]
        {
            assert_eq!(ordinary_megabytes(text).ok(), Some(size), "{text:?}");
        }
        for text in ["1G", "-1", "512 ", "4294967296", "0x200"] {
            let failure = ordinary_megabytes(Some(text)).expect_err("it is no number");
            assert!(failure.why.contains(text) && failure.retry);
        }
    }
}
