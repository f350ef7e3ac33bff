//! What can go wrong, and what to do about it.

use std::io;
use std::time::Duration;

use crate::status::Status;

/// Every error of this crate. The text says what was tried, what happened and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text that is no address of a controller.
    #[error(
        "{input:?} is no address of an NVMe controller: {why}; write a PCIe address such as 0000:01:00.0, \
         or the host of an NVMe/TCP target such as 192.168.1.7, 192.168.1.7:4420 or [2001:db8::1]:4420"
    )]
    #[non_exhaustive]
    Address {
        /// What was given, shortened if it is long.
        input: String,
        /// What is wrong with it.
        why: String,
    },

    /// DPDK and SPDK could not be started in this process.
    #[error("cannot start SPDK in this process: {why}; {remedy}")]
    #[non_exhaustive]
    EnvStart {
        /// What DPDK or the check before it said.
        why: String,
        /// The way out.
        remedy: String,
    },

    /// The environment runs already; it starts once per process and never stops.
    #[error(
        "SPDK runs in this process already ({how}), so other options cannot take effect; start it once, \
         before the first buffer or controller, or use Env::get()"
    )]
    #[non_exhaustive]
    EnvRunning {
        /// How it was started.
        how: String,
    },

    /// This process is a fork of one in which SPDK runs; its threads and memory did not come along.
    #[error(
        "this process was forked from process {parent}, in which SPDK runs, and cannot use it: start children \
         with exec (in Python: multiprocessing.get_context('spawn'))"
    )]
    #[non_exhaustive]
    Forked {
        /// The process that started SPDK.
        parent: u32,
    },

    /// DMA memory ran out.
    #[error("no DMA memory for {bytes} bytes: {remedy}")]
    #[non_exhaustive]
    NoMemory {
        /// How much was asked for.
        bytes: usize,
        /// The way out.
        remedy: String,
    },

    /// The host of an address cannot be resolved.
    #[error("cannot resolve {host:?}: {why}; check the spelling, or give the IP address")]
    #[non_exhaustive]
    Resolve {
        /// The host as given.
        host: String,
        /// What the resolver said.
        why: String,
        /// What the system said, if it was asked.
        source: Option<io::Error>,
    },

    /// Nothing accepts connections there.
    #[error("no connection to {address}: {source}; {remedy}")]
    #[non_exhaustive]
    Connect {
        /// Host and port.
        address: String,
        /// What the network said.
        source: io::Error,
        /// The way out.
        remedy: &'static str,
    },

    /// The target, or a step of opening it, did not answer in time.
    #[error("{what} did not finish within {timeout:?}: {remedy}")]
    #[non_exhaustive]
    Timeout {
        /// What was waited for.
        what: String,
        /// How long it was waited for.
        timeout: Duration,
        /// The way out.
        remedy: &'static str,
    },

    /// The target refused the Fabrics Connect command.
    #[error("the target at {address} refused to connect {what}: {status}; {remedy}")]
    #[non_exhaustive]
    ConnectRefused {
        /// Host and port.
        address: String,
        /// Which queue of which subsystem.
        what: String,
        /// The status it answered with.
        status: Status,
        /// The way out.
        remedy: String,
    },

    /// The controller could not be opened.
    #[error("cannot open the controller at {address}: {why}; {remedy}")]
    #[non_exhaustive]
    Open {
        /// Its address.
        address: String,
        /// Where it stopped, with what SPDK said.
        why: String,
        /// The way out.
        remedy: String,
    },

    /// Discovery listed no subsystem to connect to.
    #[error("discovery at {address} lists no I/O subsystem{why}; create one on the target, or name its NQN")]
    #[non_exhaustive]
    NothingDiscovered {
        /// Host and port of the discovery controller.
        address: String,
        /// What it listed instead.
        why: String,
    },

    /// The controller was closed, or failed and was not reset.
    #[error("the controller at {address} is {state}; {remedy}")]
    #[non_exhaustive]
    Dead {
        /// Its address.
        address: String,
        /// Closed or failed.
        state: &'static str,
        /// The way out.
        remedy: &'static str,
    },

    /// Something holds on to the controller.
    #[error("the controller at {address} cannot be disconnected: {what}; end it first, or try again")]
    #[non_exhaustive]
    Busy {
        /// Its address.
        address: String,
        /// What holds on to it.
        what: String,
    },

    /// An I/O queue pair could not be created.
    #[error("cannot create a queue pair of {depth} entries: {why}; {remedy}")]
    #[non_exhaustive]
    QpairCreate {
        /// Its depth.
        depth: u32,
        /// What happened.
        why: String,
        /// The way out.
        remedy: String,
    },

    /// An I/O queue pair could not be deleted.
    #[error("cannot delete queue pair {qid}: {why}; {remedy}")]
    #[non_exhaustive]
    QpairDelete {
        /// Its identifier.
        qid: u16,
        /// What happened.
        why: String,
        /// The way out.
        remedy: &'static str,
    },

    /// The queue pair was deleted, or its connection is gone.
    #[error("queue pair {qid} is {state}; create a new one")]
    #[non_exhaustive]
    QpairDead {
        /// Its identifier.
        qid: u16,
        /// Deleted or disconnected.
        state: &'static str,
    },

    /// As many commands are outstanding as the queue holds.
    #[error("queue {qid} is full: {outstanding} commands are outstanding; wait for some of them first")]
    #[non_exhaustive]
    QueueFull {
        /// Its identifier, 0 for the admin queue.
        qid: u16,
        /// How many there are.
        outstanding: u32,
    },

    /// A command that SPDK would not take.
    #[error("cannot submit opcode {opcode:#04x} to queue {qid}: {why}")]
    #[non_exhaustive]
    Submit {
        /// Its opcode.
        opcode: u8,
        /// Its queue, 0 for the admin queue.
        qid: u16,
        /// What is wrong.
        why: String,
    },

    /// The buffer cannot hold what the command transfers.
    #[error(
        "the command transfers {needed} bytes, the buffer has {available}: use a larger buffer or fewer blocks"
    )]
    #[non_exhaustive]
    BufferTooSmall {
        /// What the command transfers.
        needed: u64,
        /// What the buffer has from its offset on.
        available: u64,
    },

    /// Data that a controller cannot be pointed to.
    #[error(
        "a controller cannot be pointed to these {bytes} bytes: {why}; use another offset or a shorter transfer"
    )]
    #[non_exhaustive]
    DataPointer {
        /// How many.
        bytes: usize,
        /// What is wrong with them.
        why: String,
    },

    /// A worker's commands are larger than the controller takes.
    #[error(
        "a command of {blocks} blocks has {bytes} bytes, the controller transfers at most {most} at a time (MDTS): \
         use smaller commands"
    )]
    #[non_exhaustive]
    TransferTooLarge {
        /// How many blocks it has.
        blocks: u32,
        /// How many bytes that are.
        bytes: u64,
        /// The controller's limit.
        most: u64,
    },

    /// An argument outside its range.
    #[error("{0}")]
    InvalidArgument(String),

    /// The controller answered with an error status.
    #[error("{what} failed: {status}")]
    #[non_exhaustive]
    Command {
        /// What was sent.
        what: String,
        /// The status of its completion.
        status: Status,
    },

    /// The namespace does not exist on the controller.
    #[error("there is no namespace {nsid}: {why}")]
    #[non_exhaustive]
    NoNamespace {
        /// Its identifier.
        nsid: u32,
        /// What the controller has.
        why: String,
    },

    /// What this controller or this SPDK cannot do.
    #[error("{0}")]
    Unsupported(String),

    /// The embedded target did not start, or did not do what it was told.
    #[error("the embedded target failed: {why}; {remedy}")]
    #[non_exhaustive]
    Target {
        /// What happened, with the end of its log.
        why: String,
        /// The way out.
        remedy: String,
        /// What the system said, if it was asked.
        source: Option<io::Error>,
    },

    /// A PCI function, or the kernel, did not do what was asked.
    #[error("{function}: {what}: {why}; {remedy}")]
    #[non_exhaustive]
    Pci {
        /// Which one.
        function: String,
        /// What was tried.
        what: String,
        /// What happened.
        why: String,
        /// The way out.
        remedy: String,
        /// What the system said, if it was asked.
        source: Option<io::Error>,
    },

    /// Something on this host uses a PCI function, or what is stored behind it.
    #[error("PCI function {function} is in use: {by}; {remedy}")]
    #[non_exhaustive]
    InUse {
        /// Its address.
        function: String,
        /// By what.
        by: String,
        /// The way out.
        remedy: String,
    },

    /// The JSON-RPC server for consoles did not start.
    #[error("rpc fail to get the sock {path}: {why}; {remedy}")]
    #[non_exhaustive]
    Rpc {
        /// Where it was to listen.
        path: String,
        /// What happened.
        why: String,
        /// The way out.
        remedy: &'static str,
        /// What the system said, if it was asked.
        source: Option<io::Error>,
    },

    /// The wait was ended from outside, for example by Ctrl-C.
    #[error("{what} was interrupted")]
    #[non_exhaustive]
    Interrupted {
        /// What was waited for.
        what: String,
    },
}

/// Short for results of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Keeps error texts readable whatever was put in.
pub(crate) fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let head: String = text.chars().take(most).collect();
    format!("{head}… ({} characters)", text.chars().count())
}
