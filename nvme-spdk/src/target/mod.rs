//! The embedded target: SPDK's own NVMe/TCP target on the loopback, for machines without an SSD.

mod config;
mod process;
mod rpc;

use std::fmt;
use std::net::{IpAddr, TcpListener};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::env::Hugepages;
use crate::error::{Error, Result};
use crate::transport::Address;

use config::Shape;
use process::{Folder, Process};

/// A running target with one subsystem, whose namespaces live in memory.
///
/// It belongs to this process: it ends when the value is dropped, and the kernel kills it when this process
/// dies, however it dies. Nothing of it is left behind.
///
/// ```no_run
/// use nvme_spdk::{ConnectOptions, Controller, Target};
///
/// let target = Target::builder().megabytes(64).namespaces(2).start()?;
/// let controller = Controller::connect(target.address(), ConnectOptions::new())?;
/// assert_eq!(controller.namespace(2)?.lba_size(), 512);
/// # Ok::<(), nvme_spdk::Error>(())
/// ```
#[must_use = "it is stopped when it is dropped"]
pub struct Target {
    address: Address,
    subnqn: String,
    // Dropped in this order: the folder goes when nothing writes to it any more.
    process: Process,
    folder: Folder,
}

/// What a target is like; see [`Target::builder`].
#[derive(Debug, Clone)]
#[must_use = "it does nothing until it is used"]
pub struct TargetBuilder {
    shape: Shape,
    port: u16,
    program: Option<PathBuf>,
    cpu: Option<usize>,
}

/// How long a target may take to be ready. Half a second is usual.
const START: Duration = Duration::from_secs(30);

/// What SPDK logs when the port is taken.
const BIND_FAILED: &str = "bind() failed";

/// With fewer free hugepages it runs in ordinary memory: what it takes at the start and what a dozen
/// controllers with their queues add.
const HUGEPAGES: u64 = 640;

impl Target {
    /// Starts a target with the defaults.
    ///
    /// # Errors
    /// As [`TargetBuilder::start`].
    pub fn start() -> Result<Self> {
        Self::builder().start()
    }

    /// A target to be: one namespace of 256 MiB in 512-byte blocks, 32 I/O queues per controller of up to 1024
    /// entries, transfers up to 128 KiB, a free port.
    pub fn builder() -> TargetBuilder {
        TargetBuilder { shape: Shape::default(), port: 0, program: None, cpu: None }
    }

    /// Where it listens.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// The name of its subsystem.
    pub fn subnqn(&self) -> &str {
        &self.subnqn
    }

    /// Its process identifier.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Whether it still runs.
    pub fn is_running(&self) -> bool {
        self.process.is_running()
    }

    /// Calls a method of SPDK's JSON-RPC interface on it, as `bdev_get_bdevs`.
    ///
    /// # Errors
    /// [`Error::Target`] if it does not answer within 10 seconds, or answers with an error;
    /// [`Error::Interrupted`].
    pub fn rpc(&self, method: &str, params: Value) -> Result<Value> {
        rpc::call(&self.folder.socket(), method, params)
    }

    /// Stops it.
    pub fn stop(self) {}
}

impl TargetBuilder {
    /// The TCP port; 0, the default, takes a free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// The size of each namespace in MiB, 256 by default; 4 KiB more are added, so that 0 is a small one. All
    /// namespaces, and 1280 MiB that the target has for itself, are memory that is taken as it is touched.
    pub fn megabytes(mut self, megabytes: u32) -> Self {
        self.shape.megabytes = megabytes;
        self
    }

    /// The number of namespaces, up to 1024, 1 by default; 0 is a subsystem without any. Their identifiers count from 1.
    pub fn namespaces(mut self, count: u32) -> Self {
        self.shape.namespaces = count;
        self
    }

    /// Bytes per block: a power of two from 512 to 65536, 512 by default.
    pub fn block_size(mut self, bytes: u32) -> Self {
        self.shape.block_size = bytes;
        self
    }

    /// The address it listens on: one of this host's. By default 127.0.0.1.
    pub fn listen(mut self, address: IpAddr) -> Self {
        self.shape.listen = address;
        self
    }

    /// Keeps the namespaces in files of this folder, `ns1` and so on, instead of in memory: what was written survives
    /// the target, however it ends. Files that are there are used as they are, missing ones made.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.shape.folder = Some(folder.into());
        self
    }

    /// I/O queues per controller, 1 to 65534, 32 by default; a host asks for
    /// [1024](crate::ConnectOptions::io_queues).
    pub fn io_queues(mut self, count: u16) -> Self {
        self.shape.io_queues = count;
        self
    }

    /// The program to run instead of the one found: any `nvmf_tgt` of SPDK. It is looked for in the
    /// environment variable `NVMF_TGT`, in the SPDK tree that this was built with, and in `PATH`.
    pub fn program(mut self, path: impl Into<PathBuf>) -> Self {
        self.program = Some(path.into());
        self
    }

    /// The CPU it polls on, all of the time; by default the first this process may use.
    pub fn cpu(mut self, cpu: usize) -> Self {
        self.cpu = Some(cpu);
        self
    }

    /// Starts it and waits until it is ready, at most 30 seconds.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a size or a number out of range. [`Error::Target`] if there is no program to run, if it ends, or is not ready in time, with what its
    /// log says: for want of memory, for example. [`Error::Interrupted`].
    pub fn start(self) -> Result<Target> {
        self.shape.check()?;
        let program = match &self.program {
            Some(path) => path.clone(),
            None => process::find_program()?,
        };
        process::sweep();
        // Between finding a free port and listening on it somebody else may take it.
        let mut tries = if self.port == 0 { 3 } else { 1 };
        loop {
            tries -= 1;
            match self.try_start(&program) {
                Err(Error::Target { why, .. }) if tries > 0 && why.contains(BIND_FAILED) => {}
                result => return result,
            }
        }
    }

    fn try_start(&self, program: &std::path::Path) -> Result<Target> {
        let port = if self.port == 0 { free_port(self.shape.listen)? } else { self.port };
        let folder = Folder::new()?;
        self.shape.make_files().map_err(|e| Error::Target {
            why: format!("the files of its namespaces cannot be made ({e})"),
            remedy: "check that the folder is there, and the space left on its disk".to_owned(),
            source: Some(e),
        })?;
        folder.write_config(&self.shape.to_json(port))?;
        let hugepages = Hugepages::read().free >= HUGEPAGES;
        let process = Process::spawn(program, &folder, self.cpu, hugepages, self.shape.memory_megabytes())?;
        let address = Address::tcp(self.shape.listen.to_string(), port);
        let target = Target { address, subnqn: config::SUBNQN.to_owned(), process, folder };
        target.wait_until_ready()?;
        Ok(target)
    }
}

impl Target {
    /// It takes RPC calls once its configuration is complete, the listener included. That somebody accepts
    /// connections at the port would prove less: it could be somebody else.
    fn wait_until_ready(&self) -> Result<()> {
        let start = Instant::now();
        loop {
            if let Some(status) = self.process.exited() {
                let why = format!("it ended with {status}; its log says: {}", self.folder.complaint());
                let remedy = if why.contains(BIND_FAILED) {
                    format!("another program listens on {}: choose another port", self.address)
                } else {
                    "see the log; with little memory choose a smaller target".to_owned()
                };
                return Err(Error::Target { why, remedy, source: None });
            }
            match self.rpc("spdk_get_version", Value::Null) {
                Ok(_) => return Ok(()),
                Err(Error::Interrupted { .. }) => {
                    return Err(Error::Interrupted { what: "starting the embedded target".to_owned() });
                }
                // Not yet.
                Err(_) => {}
            }
            if start.elapsed() > START {
                return Err(Error::Target {
                    why: format!(
                        "it is not ready after {START:?}; its log says: {}",
                        self.folder.complaint()
                    ),
                    remedy: "see whether the machine is overloaded".to_owned(),
                    source: None,
                });
            }
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

fn free_port(listen: IpAddr) -> Result<u16> {
    let found = TcpListener::bind((listen, 0)).and_then(|listener| listener.local_addr());
    found.map(|address| address.port()).map_err(|e| Error::Target {
        why: format!("no free port at {listen} ({e})"),
        remedy: "check that this is an address of this host, and that its interface is up".to_owned(),
        source: Some(e),
    })
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("address", &self.address)
            .field("pid", &self.pid())
            .finish_non_exhaustive()
    }
}
