//! I/O queue pairs.

mod create;
mod handle;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::cmdlog::CmdLog;
use crate::command::Command;
use crate::controller::{Inner, Vector};
use crate::deadline::{Deadline, on_helper};
use crate::discovery::DISCOVERY_NQN;
use crate::error::{Error, Result};
use crate::fork::forked;
use crate::lane::{Kind, Lane};
use crate::names;
use crate::observer::{self, Scope};
use crate::pending::Pending;
use crate::queue::{Completed, Data, Token};
use crate::transport::Address;
use create::{connect, connect_tcp};
pub(crate) use handle::IoHandle;

/// An I/O queue pair: commands go out on it and completions come back.
///
/// It is deleted when dropped. Several threads may use it; SPDK sees one at a time, under a lock that is held
/// for single calls and never while a caller waits.
///
/// Any call may end with [`Error::Forked`]; one that finds the queue in use by another thread waits at most
/// 30 seconds, then ends with [`Error::Timeout`] or [`Error::Interrupted`]. The lists below do not repeat
/// that.
///
/// ```no_run
/// # use nvme_spdk::{Command, ConnectOptions, Controller, Data, DmaBuf};
/// # let controller = Controller::connect(&"127.0.0.1".parse()?, ConnectOptions::new())?;
/// let qpair = controller.create_qpair(64)?;
/// let buffer = DmaBuf::new(4096)?;
/// // One command at a time …
/// let read = qpair.execute(&Command::read(1, 0, 8), Some(Data::from(&buffer)))?;
/// println!("{} after {:?}", read.completion, read.latency());
/// // … or many in flight.
/// for lba in 0..32 {
///     qpair.submit(&Command::read(1, lba, 1), Some(Data::new(&buffer, 0, 512)?))?;
/// }
/// while qpair.outstanding() > 0 {
///     qpair.poll()?;
///     while let Some(done) = qpair.next_completion()? {
///         assert!(done.completion.is_success());
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct Qpair {
    controller: Arc<Inner>,
    lane: Arc<IoLane>,
    depth: u16,
    /// Or why it has none.
    vector: std::result::Result<Vector, String>,
}

/// What an I/O queue pair is to be like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "it does nothing until it is used"]
pub struct QpairOptions {
    depth: u16,
    priority: u8,
    interrupt: Interrupt,
}

/// Which interrupt announces the completions of a queue pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Interrupt {
    Off,
    Vector(u16),
    /// That of its own identifier.
    Own,
}

impl QpairOptions {
    /// `depth` entries, of which one less may be outstanding; priority 0, no interrupts. The range is 2 to
    /// [`Controller::max_queue_entries`](crate::Controller::max_queue_entries), which is checked when the
    /// queue pair is created.
    pub const fn new(depth: u16) -> Self {
        QpairOptions { depth, priority: 0, interrupt: Interrupt::Off }
    }

    /// Its priority class for weighted round robin arbitration: 0 urgent, 1 high, 2 medium, 3 low (NVMe base
    /// specification, "Create I/O Submission Queue command"). Creating a queue pair ends with
    /// [`Error::QpairCreate`] for other numbers, and for any but 0 unless CC.AMS was set accordingly.
    pub const fn priority(self, priority: u8) -> Self {
        QpairOptions { priority, ..self }
    }

    /// The interrupt vector that announces its completions, on PCIe: IEN and IV (NVMe base specification, "Create I/O
    /// Completion Queue command"). Vectors behind the last one of the controller begin again with 0. Completions are
    /// found by polling all the same; see [`Qpair::interrupted`].
    pub const fn interrupt(self, vector: u16) -> Self {
        QpairOptions { interrupt: Interrupt::Vector(vector), ..self }
    }

    /// As [`interrupt`](Self::interrupt) with the vector that has the number of the queue pair.
    pub const fn own_interrupt(self) -> Self {
        QpairOptions { interrupt: Interrupt::Own, ..self }
    }
}

pub(crate) type IoLane = Lane<IoHandle>;

impl Qpair {
    pub(crate) fn create(controller: &Arc<Inner>, options: QpairOptions) -> Result<Self> {
        let depth = options.depth;
        // SPDK has prepared none, and would look for one all the same.
        if controller.facts().subnqn == DISCOVERY_NQN {
            return Err(Error::Unsupported(
                "a discovery controller has no I/O queues: connect to a subsystem that discover() lists"
                    .to_owned(),
            ));
        }
        let most = (controller.cap() as u16 as u32) + 1;
        if depth < 2 || u32::from(depth) > most {
            return Err(Error::InvalidArgument(format!(
                "a queue pair of this controller has 2 to {most} entries (CAP.MQES), not {depth}"
            )));
        }
        let timeout = controller.options().timeout;
        match controller.address() {
            // connect(2) may stall in the kernel, where no deadline reaches. A queue pair that comes too late is
            // deleted where it is dropped.
            Address::Tcp { .. } => {
                let what = format!("creating a queue pair at {}", controller.address());
                let inner = Arc::clone(controller);
                on_helper(
                    move || what.clone(),
                    timeout,
                    move |deadline| connect_tcp(&inner, options, deadline),
                )
            }
            Address::Pcie(_) => connect(controller, options, &Deadline::after(timeout)),
        }
    }

    /// Its identifier, 1 or higher.
    pub fn qid(&self) -> u16 {
        self.lane.qid()
    }

    /// Its number of entries; one less may be outstanding.
    pub fn depth(&self) -> u16 {
        self.depth
    }

    /// The log of its commands.
    pub fn cmdlog(&self) -> &Arc<CmdLog> {
        self.lane.log()
    }

    /// Sends a command and waits for its completion, at most 10 seconds. An error status is no error here: it
    /// is in the completion.
    ///
    /// The command goes out as it is: see [what a device does with
    /// memory](crate::guide#what-a-device-does-with-memory).
    ///
    /// # Errors
    /// [`Error::QueueFull`], [`Error::Submit`], [`Error::Timeout`], [`Error::Interrupted`], [`Error::QpairDead`].
    pub fn execute(&self, command: &Command, data: Option<Data>) -> Result<Completed> {
        self.execute_within(command, data, Duration::from_secs(10))
    }

    /// As [`execute`](Self::execute), with a timeout. A command that takes longer stays with the controller,
    /// together with its buffer.
    ///
    /// # Errors
    /// As [`execute`](Self::execute).
    pub fn execute_within(
        &self,
        command: &Command,
        data: Option<Data>,
        timeout: Duration,
    ) -> Result<Completed> {
        self.lane.execute(Kind::Raw, command, data, timeout)
    }

    /// Sends a command without waiting. It is on its way with the next [`poll`](Self::poll) at the latest,
    /// and holds its buffer until its completion is taken.
    ///
    /// The command goes out as it is: see [what a device does with
    /// memory](crate::guide#what-a-device-does-with-memory).
    ///
    /// # Errors
    /// [`Error::QueueFull`] when `depth - 1` are outstanding, [`Error::Submit`], [`Error::QpairDead`].
    pub fn submit(&self, command: &Command, data: Option<Data>) -> Result<Token> {
        self.lane.submit(Kind::Raw, command, data)
    }

    /// Sends a command now; its completion comes through the future, which any executor can drive. See [`Pending`]
    /// for what it does when it is polled and when it is dropped.
    ///
    /// ```no_run
    /// # use nvme_spdk::{Command, Data, DmaBuf, Qpair};
    /// # async fn read_twice(qpair: &Qpair) -> nvme_spdk::Result<()> {
    /// let (one, two) = (DmaBuf::new(4096)?, DmaBuf::new(4096)?);
    /// let first = qpair.start(&Command::read(1, 0, 8), Some(Data::from(&one)))?;
    /// let second = qpair.start(&Command::read(1, 8, 8), Some(Data::from(&two)))?;
    /// // Both are on their way.
    /// first.await?.success()?;
    /// second.await?.success()?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The command goes out as it is: see [what a device does with
    /// memory](crate::guide#what-a-device-does-with-memory).
    ///
    /// # Errors
    /// As [`submit`](Self::submit); the future's are those of [`execute`](Self::execute), but for
    /// [`Error::Interrupted`]. [`Error::Timeout`] comes only after the
    /// [command timeout](crate::Controller::set_command_timeout) of the controller.
    pub fn start(&self, command: &Command, data: Option<Data>) -> Result<Pending> {
        self.start_as(Kind::Raw, command, data)
    }

    pub(crate) fn start_as(&self, kind: Kind, command: &Command, data: Option<Data>) -> Result<Pending> {
        Ok(Pending::new(Arc::clone(&self.lane) as _, self.lane.start(kind, command, data)?))
    }

    /// Looks for completions once, without waiting; returns how many can be taken. Futures whose completions have
    /// come are woken, too.
    ///
    /// # Errors
    /// [`Error::QpairDead`] when none can be taken and none will come.
    pub fn poll(&self) -> Result<usize> {
        self.lane.poll()
    }

    /// Polls until a completion can be taken, at most `timeout`; returns how many can, 0 when the time is over.
    ///
    /// # Errors
    /// [`Error::QpairDead`] when none can be taken and none will come, [`Error::Interrupted`].
    pub fn wait(&self, timeout: Duration) -> Result<usize> {
        self.lane.wait(timeout)
    }

    /// Takes the completion of a command that was sent with [`submit`](Self::submit), oldest first.
    ///
    /// # Errors
    /// [`Error::QpairDead`] after [`delete`](Self::delete).
    pub fn next_completion(&self) -> Result<Option<Completed>> {
        self.lane.next()
    }

    /// How many commands are submitted whose completion was not taken; 0 as well where other calls end with
    /// an error: after [`delete`](Self::delete), in a fork, and when another thread does not let go of the
    /// queue.
    pub fn outstanding(&self) -> usize {
        self.lane.outstanding()
    }

    /// The identifier of the command that was sent last.
    ///
    /// # Errors
    /// [`Error::QpairDead`] after [`delete`](Self::delete).
    pub fn latest_cid(&self) -> Result<u16> {
        self.lane.latest_cid()
    }

    /// How long the command took that completed last.
    ///
    /// # Errors
    /// [`Error::QpairDead`] after [`delete`](Self::delete).
    pub fn latest_latency(&self) -> Result<Duration> {
        self.lane.latest_latency()
    }

    /// Whether its interrupt has come since [`clear_interrupt`](Self::clear_interrupt), or since the controller was
    /// attached to: every message of a vector is written to a word of memory.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a queue pair without an interrupt.
    pub fn interrupted(&self) -> Result<bool> {
        Ok(self.vector()?.is_set())
    }

    /// Forgets the interrupt that has come.
    ///
    /// # Errors
    /// As [`interrupted`](Self::interrupted).
    pub fn clear_interrupt(&self) -> Result<()> {
        self.vector()?.clear();
        Ok(())
    }

    /// Masks its interrupt, or unmasks it: one that has waited comes then (PCI Express Base Specification, "MSI-X Table
    /// Structure", Vector Control).
    ///
    /// # Errors
    /// As [`interrupted`](Self::interrupted), and those of
    /// [`Controller::write_register`](crate::Controller::write_register).
    pub fn mask_interrupt(&self, mask: bool) -> Result<()> {
        self.vector()?.mask(mask)
    }

    fn vector(&self) -> Result<&Vector> {
        self.vector
            .as_ref()
            .map_err(|why| Error::Unsupported(format!("queue pair {} has no interrupt: {why}", self.qid())))
    }

    /// Deletes it: Delete I/O Submission Queue, Delete I/O Completion Queue. Outstanding commands are
    /// aborted, their completions are not delivered. Deleting again, or after the controller was closed, does
    /// nothing, and so does deleting it in a fork.
    ///
    /// # Errors
    /// [`Error::QpairDelete`] if the controller refuses, or another thread does not let go of it within 10
    /// seconds. In the first case it is gone all the same, as far as this host is concerned.
    pub fn delete(&self) -> Result<()> {
        if forked() {
            return Ok(());
        }
        let refuse = |why, remedy| Err(Error::QpairDelete { qid: self.qid(), why, remedy });
        // What fails while SPDK frees it, is reported here.
        let scope = Scope::new(None, None);
        // Freed first: as long as it is listed, closing the controller waits for that.
        if !self.lane.free(DELETE_PATIENCE) {
            let why = "it is in use by another thread".to_owned();
            return refuse(why, "end that first, and delete it then");
        }
        self.controller.remove_lane(&self.lane);
        match scope.failure().filter(observer::Failure::is_delete) {
            None => Ok(()),
            Some(refused) => refuse(
                format!(
                    "the controller answered {} to {}",
                    refused.completion.status(),
                    names::admin_command(refused.command.opcode)
                ),
                "the host has given it up; if the controller has not, reset it before this identifier is used again",
            ),
        }
    }

    /// Whether it was deleted, by itself or with its controller. Never waits: false while another thread uses
    /// the queue.
    pub fn is_deleted(&self) -> bool {
        self.lane.is_freed()
    }

    pub(crate) fn controller(&self) -> &Arc<Inner> {
        &self.controller
    }

    pub(crate) fn lane(&self) -> &Arc<IoLane> {
        &self.lane
    }
}

/// How long another thread may take to let go of a queue pair that is deleted.
const DELETE_PATIENCE: Duration = Duration::from_secs(10);

impl Drop for Qpair {
    fn drop(&mut self) {
        if let Err(why) = self.delete() {
            tracing::error!("{why}");
        }
    }
}

impl fmt::Debug for Qpair {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Qpair({}, depth {})", self.qid(), self.depth)
    }
}
