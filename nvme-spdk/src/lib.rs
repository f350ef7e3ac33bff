//! An NVMe test driver: any command, any register, full speed, every command logged.
//!
//! The data path is SPDK's polled, zero-copy NVMe driver. Around it this crate puts what a test needs: raw
//! commands with everything under your control, a log of every command that goes out (SPDK's own included),
//! native I/O workers, and an NVMe/TCP target on the loopback for machines without an SSD.
//!
//! ```no_run
//! use nvme_spdk::{ConnectOptions, Controller, DmaBuf, Target};
//!
//! let target = Target::start()?;                       // or any address: "192.168.1.7:4420".parse()?
//! let controller = Controller::connect(target.address(), ConnectOptions::new())?;
//! let namespace = controller.namespace(1)?;
//! let qpair = controller.create_qpair(64)?;
//!
//! let buffer = DmaBuf::new(8 * namespace.lba_size() as usize)?;
//! namespace.write(&qpair, &buffer, 0, 8)?;
//! for entry in qpair.cmdlog().newest(10) {
//!     println!("{}", entry.describe_command(qpair.qid()));
//! }
//! # Ok::<(), nvme_spdk::Error>(())
//! ```
//!
//! The [`guide`] says how it all goes together, from getting SPDK to many commands at a time.
//!
//! # Ownership
//!
//! * A command in flight owns its buffer: dropping a [`DmaBuf`] never frees memory under DMA.
//! * Handles keep what they depend on: a [`Namespace`] or [`Qpair`] keeps its [`Controller`] open.
//! * [`Controller::close`] deletes queue pairs that are left; their handles then answer with an error.
//! * Completions are records. Nothing of yours runs inside SPDK's callbacks: whoever polls takes them.
//!
//! # Threads
//!
//! Every handle is `Send` and `Sync`, which the compiler checks. A queue pair is driven by one thread at a
//! time, under a lock that is held for single calls; different queue pairs do not touch each other.
//!
//! # Time
//!
//! Calls that wait have a bound: connecting, creating queues and registers end with [`Error::Timeout`] after
//! [`ConnectOptions::timeout`], blocking commands after theirs, and [`interrupt`] lets a program end such
//! waits. One call has none, [`IoWorker::join`]: a worker runs for as long as its [`Workload`] says.
//!
//! # Memory
//!
//! Functions here are safe as far as the memory of the program is concerned. What a *device* does with memory
//! is up to the commands it is sent, and this is a test driver, which sends any: see [the
//! guide](guide#what-a-device-does-with-memory).
#![deny(missing_docs)]

#[cfg(not(any(target_os = "linux", docsrs)))]
compile_error!(
    "nvme-spdk runs on Linux only: it uses SPDK's hugepages, PCI functions in sysfs and file locks as Linux has them; \
     build for a Linux target, for example in a virtual machine or a container"
);

mod buffer;
mod clock;
mod cmdlog;
mod command;
mod constructors;
mod controller;
mod cpu;
mod deadline;
pub mod decode;
mod discovery;
mod env;
mod error;
mod features;
mod fork;
pub mod guide;
mod handles;
mod identify;
mod integrity;
pub mod interrupt;
mod ioworker;
mod lane;
mod log;
mod log_page;
pub mod names;
mod namespace;
mod observer;
mod pattern;
pub mod pci;
mod pending;
mod qpair;
mod queue;
pub mod raw;
mod referral;
mod registry;
pub mod rpc;
mod secret;
mod shared_bytes;
mod sharing;
mod signals;
mod status;
mod target;
mod traffic;
mod transport;
mod transport_id;
mod wait;
mod waiting;

pub use buffer::{DmaBuf, SLACK};
pub use clock::local_time;
pub use cmdlog::{CAPACITY as CMDLOG_CAPACITY, CmdLog, Entry as CmdLogEntry};
pub use command::{Command, Completion, admin_opcode, nvm_opcode};
pub use constructors::{
    CommitAction, CopyRange, DsmRange, SanitizeAction, SecureErase, SelfTest, ZoneAction,
};
pub use controller::{ADMIN_QUEUE_SIZE, ALL_NAMESPACES, ConnectOptions, Controller};
pub use discovery::{DISCOVERY_NQN, DiscoveryEntry, SubsystemKind, discover};
pub use env::{Env, EnvOptions, Hugepages, Memory};
pub use error::{Error, Result};
pub use features::Feature;
pub use identify::{IDENTIFY_SIZE, IdentifyController, IdentifyNamespace, LbaFormat};
pub use integrity::Mismatch;
pub use ioworker::{Failure, Io, IoSize, IoWorker, Latency, Record, Report, Step, Workload};
pub use log_page::{
    ErrorLogEntry, FirmwareSlotLog, SanitizeLog, SanitizeState, SelfTestLog, SelfTestResult, SmartLog,
};
pub use namespace::{MOST_BLOCKS, Namespace};
pub use pattern::{Pattern, hex_dump, hex_dump_from};
pub use pending::Pending;
pub use qpair::{Qpair, QpairOptions};
pub use queue::{Completed, Data, Outcome, Token};
pub use referral::{Discovered, discover_with_referrals};
pub use registry::{OpenController, open_controllers};
pub use status::Status;
pub use target::{Target, TargetBuilder};
pub use transport::{Address, AddressError, DEFAULT_TCP_PORT, PciAddress};
pub use transport_id::TransportId;

/// Whether SPDK has a transport, by its name (`PCIE`, `TCP`); starts nothing.
pub fn transport_available(name: &str) -> bool {
    let Ok(name) = std::ffi::CString::new(name) else { return false };
    // SAFETY: the list of transports is filled by constructors before main and not changed afterwards; the
    // string outlives the call.
    unsafe { spdk_sys::spdk_nvme_transport_available_by_name(name.as_ptr()) }
}

/// The SPDK this crate was built with, as `SPDK v20.07`.
pub fn spdk_version() -> &'static str {
    // SAFETY: the shim returns a static string.
    let text = unsafe { std::ffi::CStr::from_ptr(spdk_sys::shim_spdk_version()) };
    text.to_str().unwrap_or("SPDK")
}

/// Its program compiles.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
