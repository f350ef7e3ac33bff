//! Controllers: connecting, admin commands, registers.

mod ask;
mod inner;
mod interrupts;
mod keep_alive;
mod namespaces;
pub(crate) mod open;
mod options;
mod pcie;
mod registers;
mod sharing;
mod shutdown;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use ask::ALL_NAMESPACES;
pub(crate) use inner::{AdminHandle, Inner};
pub(crate) use interrupts::{Available, Interrupts, Vector};
pub use options::ConnectOptions;

use crate::buffer::DmaBuf;
use crate::cmdlog::CmdLog;
use crate::command::Command;
use crate::error::{Error, Result};
use crate::identify::{IDENTIFY_SIZE, IdentifyController};
use crate::integrity::Tables;
use crate::lane::Kind;
use crate::namespace::Namespace;
use crate::pending::Pending;
use crate::qpair::{Qpair, QpairOptions};
use crate::queue::{Completed, Data, Token};
use crate::transport::Address;

/// The number of entries of the admin queue; one less may be outstanding.
pub const ADMIN_QUEUE_SIZE: u16 = 128;

/// How long a command of this crate's own may take.
const OWN_COMMAND: Duration = Duration::from_secs(10);

/// A connected controller. Clones are handles to the same one.
///
/// It stays connected until [`close`](Self::close), or until the last handle, queue pair and namespace of it
/// is dropped. It can be used from several threads; admin commands of one do not wait for those of another.
///
/// Any call that talks to the controller may end with [`Error::Forked`]; one that finds the admin queue in
/// use by another thread waits at most 30 seconds, then ends with [`Error::Timeout`] or
/// [`Error::Interrupted`]. The lists below do not repeat that.
///
/// ```no_run
/// use nvme_spdk::{Command, ConnectOptions, Controller};
///
/// let controller = Controller::connect(&"127.0.0.1:4420".parse()?, ConnectOptions::new())?;
/// println!("{}", controller.identify().model_number());
/// let features = controller.execute(&Command::get_features(7), None)?;
/// println!("{:#x}", features.completion.cdw0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Controller {
    inner: Arc<Inner>,
}

impl Controller {
    /// Connects to a controller and initialises it: CC.EN, Identify, Number of Queues.
    ///
    /// Over NVMe/TCP without a [subsystem name](ConnectOptions::subnqn), the discovery controller at the
    /// address is asked and the last I/O subsystem it lists is taken.
    ///
    /// Over NVMe/TCP this ends after [`timeout`](ConnectOptions::timeout), or that and
    /// [`reconnect_for`](ConnectOptions::reconnect_for); on PCIe each step of it has a bound of its own:
    /// CSTS.RDY that of [`wait_ready`](Self::wait_ready), commands 10 seconds, Identify and registers the
    /// timeout.
    ///
    /// # Errors
    /// * [`Error::InvalidArgument`] for a name or key that is none, and for keys without the names they
    ///   belong to; [`Error::Unsupported`] for what this SPDK cannot do.
    /// * Over NVMe/TCP [`Error::Resolve`], [`Error::Connect`], [`Error::NothingDiscovered`] and
    ///   [`Error::ConnectRefused`]; on PCIe [`Error::InUse`] and [`Error::Pci`], see
    ///   [`attach`](Self::attach).
    /// * [`Error::Open`], [`Error::Timeout`], [`Error::Interrupted`]; [`Error::Command`] if the controller
    ///   refuses a command on the way.
    /// * Those of [`Env::get`](crate::Env::get) and [`DmaBuf::new`](crate::DmaBuf::new).
    pub fn connect(address: &Address, options: ConnectOptions) -> Result<Self> {
        open::connect(address, options)
    }

    /// The address it was connected with.
    pub fn address(&self) -> &Address {
        self.inner.address()
    }

    /// The NVMe Qualified Name it was connected under; empty on PCIe.
    pub fn subnqn(&self) -> String {
        self.inner.facts().subnqn.clone()
    }

    /// The options it was connected with.
    pub fn options(&self) -> &ConnectOptions {
        self.inner.options()
    }

    /// Identify Controller data as of connecting.
    pub fn identify(&self) -> IdentifyController {
        self.inner.facts().identify.clone()
    }

    /// Controller Capabilities (CAP) as of connecting (NVMe base specification, "Controller Properties").
    /// [`decode::register`](crate::decode::register) names its fields.
    pub fn cap(&self) -> u64 {
        self.inner.cap()
    }

    /// Version (VS) as of connecting: major in bits 31:16, minor 15:8, tertiary 7:0 (NVMe base specification,
    /// "Controller Properties").
    pub fn version(&self) -> u32 {
        self.inner.facts().version
    }

    /// The most entries an I/O queue may have: CAP.MQES + 1.
    pub fn max_queue_entries(&self) -> u32 {
        (self.cap() as u16 as u32) + 1
    }

    /// How many I/O queue pairs the controller has granted.
    pub fn max_io_queues(&self) -> u16 {
        self.inner.facts().max_io_queues
    }

    /// The most bytes one command may transfer (MDTS); `None` if the controller sets no limit.
    pub fn max_transfer(&self) -> Option<u64> {
        transfer_limit(self.cap(), self.identify().mdts())
    }

    /// Opens a namespace.
    ///
    /// # Errors
    /// [`Error::NoNamespace`] for an identifier that is not active, and if the controller refuses Identify;
    /// those of [`execute`](Self::execute) and [`DmaBuf::new`](crate::DmaBuf::new).
    pub fn namespace(&self, nsid: u32) -> Result<Namespace> {
        Namespace::open(self, nsid)
    }

    /// Creates an I/O queue pair of `depth` entries, of which `depth - 1` commands may be outstanding.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] outside 2 to [`max_queue_entries`](Self::max_queue_entries),
    /// [`Error::QpairCreate`] if SPDK or the controller refuses, [`Error::Timeout`] after [the
    /// controller's](ConnectOptions::timeout), [`Error::Dead`], [`Error::Unsupported`] of a discovery
    /// controller. Over NVMe/TCP also [`Error::Connect`],
    /// [`Error::ConnectRefused`], [`Error::Interrupted`], and [`Error::Unsupported`] where this SPDK cannot
    /// do what the [options](Self::options) ask of its connection.
    pub fn create_qpair(&self, depth: u16) -> Result<Qpair> {
        self.create_qpair_with(QpairOptions::new(depth))
    }

    /// As [`create_qpair`](Self::create_qpair), with more to say about it.
    ///
    /// # Errors
    /// As [`create_qpair`](Self::create_qpair); [`Error::QpairCreate`] also for a priority that is out of
    /// range, or not 0 without CC.AMS set accordingly.
    pub fn create_qpair_with(&self, options: QpairOptions) -> Result<Qpair> {
        Qpair::create(&self.inner, options)
    }

    /// Sends an admin command and waits for its completion, at most 10 seconds. An error status is no error
    /// here: it is in the completion.
    ///
    /// The command goes out as it is: see [what a device does with
    /// memory](crate::guide#what-a-device-does-with-memory).
    ///
    /// # Errors
    /// [`Error::QueueFull`], [`Error::Submit`], [`Error::Timeout`], [`Error::Interrupted`], [`Error::Dead`].
    pub fn execute(&self, command: &Command, data: Option<Data>) -> Result<Completed> {
        self.execute_within(command, data, OWN_COMMAND)
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
        self.inner.admin().execute(Kind::Raw, command, data, timeout).map_err(|e| self.inner.explain(e))
    }

    /// Whether the data of a command is where a queue is to be, and is no transfer: on PCIe, a controller is
    /// told only its beginning by Create I/O Submission Queue and Create I/O Completion Queue. Such data is
    /// one contiguous piece of memory, and yours to keep for as long as the queue exists.
    pub fn is_for_queue(&self, command: &Command) -> bool {
        self.inner.is_pcie() && inner::makes_queue(command.opcode)
    }

    /// Sends an admin command without waiting. Its completion comes through [`poll`](Self::poll) and
    /// [`next_completion`](Self::next_completion).
    ///
    /// The command goes out as it is: see [what a device does with
    /// memory](crate::guide#what-a-device-does-with-memory).
    ///
    /// # Errors
    /// [`Error::QueueFull`] when 127 are outstanding, [`Error::Submit`], [`Error::Dead`].
    pub fn submit(&self, command: &Command, data: Option<Data>) -> Result<Token> {
        self.inner.admin().submit(Kind::Raw, command, data).map_err(|e| self.inner.explain(e))
    }

    /// Sends an admin command now; its completion comes through the future. See [`Qpair::start`] for what holds for
    /// it. The controller stays open as long as the future is there.
    ///
    /// # Errors
    /// As [`submit`](Self::submit); the future's are those of [`execute`](Self::execute), but for
    /// [`Error::Interrupted`].
    pub fn start(&self, command: &Command, data: Option<Data>) -> Result<Pending> {
        let token = self.inner.admin().start(Kind::Raw, command, data).map_err(|e| self.inner.explain(e))?;
        Ok(Pending::new(Arc::clone(&self.inner) as _, token))
    }

    /// Looks for completions once, without waiting; returns how many can be taken. Futures whose completions have
    /// come are woken, too.
    ///
    /// # Errors
    /// [`Error::Dead`] when none can be taken and none will come.
    pub fn poll(&self) -> Result<usize> {
        self.inner.admin().poll().map_err(|e| self.inner.explain(e))
    }

    /// Polls until a completion can be taken, at most `timeout`; returns how many can, 0 when the time is over.
    ///
    /// # Errors
    /// [`Error::Dead`] when none can be taken and none will come, [`Error::Interrupted`].
    pub fn wait(&self, timeout: Duration) -> Result<usize> {
        self.inner.admin().wait(timeout).map_err(|e| self.inner.explain(e))
    }

    /// Takes the completion of a command that was sent with [`submit`](Self::submit), oldest first.
    ///
    /// # Errors
    /// [`Error::Dead`] after [`close`](Self::close), and as long as it is [detached](Self::detach).
    pub fn next_completion(&self) -> Result<Option<Completed>> {
        self.inner.admin().next().map_err(|e| self.inner.explain(e))
    }

    /// How many admin commands are submitted whose completion was not taken; 0 as well where other calls end
    /// with an error: after [`close`](Self::close), in a fork, and when another thread does not let go of the
    /// queue.
    pub fn outstanding(&self) -> usize {
        self.inner.admin().outstanding()
    }

    /// The log of the admin queue.
    pub fn cmdlog(&self) -> &Arc<CmdLog> {
        self.inner.admin().log()
    }

    /// The identifier of the admin command that was sent last.
    ///
    /// # Errors
    /// [`Error::Dead`] after [`close`](Self::close).
    pub fn latest_cid(&self) -> Result<u16> {
        self.inner.admin().latest_cid().map_err(|e| self.inner.explain(e))
    }

    /// How long the admin command took that completed last.
    ///
    /// # Errors
    /// [`Error::Dead`] after [`close`](Self::close).
    pub fn latest_latency(&self) -> Result<Duration> {
        self.inner.admin().latest_latency().map_err(|e| self.inner.explain(e))
    }

    /// How long a command may take that was sent with `submit` or `start`, or by a worker, on any queue of
    /// this controller; `None`, the default, for ever. See [`Outcome::TimedOut`](crate::Outcome::TimedOut)
    /// for what happens then. Holds for outstanding commands, too; Asynchronous Event Requests never time
    /// out.
    pub fn set_command_timeout(&self, timeout: Option<Duration>) {
        self.inner.command_timeout().set(timeout);
    }

    /// How long a command may take.
    pub fn command_timeout(&self) -> Option<Duration> {
        self.inner.command_timeout().get()
    }

    /// Disconnects and connects again, which resets the controller: I/O queue pairs are deleted, whatever is
    /// outstanding is aborted, workers end. Namespaces stay valid with what is known of their data; queue pairs
    /// do not.
    ///
    /// # Errors
    /// Those of [`connect`](Self::connect), then the controller stays disconnected and can be reset again;
    /// [`Error::Busy`] when a worker or another thread does not let go of a queue within 10 seconds;
    /// [`Error::Dead`] after [`close`](Self::close). In a process that shares its
    /// [owner's](crate::Env::owner) controller [`Error::Unsupported`].
    pub fn reset(&self) -> Result<()> {
        open::reset(&self.inner)
    }

    /// Disconnects: I/O queue pairs that are left are deleted, their outstanding commands and those of the
    /// admin queue complete as aborted. Afterwards every use of the controller fails with [`Error::Dead`].
    /// Closing again does nothing, and so does closing it in a fork.
    ///
    /// A thread that does not let go of a queue is waited for, 10 seconds for each queue. If that was not
    /// enough the controller stays open, which is said [on the log](crate::guide#logging).
    pub fn close(&self) {
        self.inner.close();
    }

    /// Whether it was closed, or is detached since [`detach`](Self::detach) or a reset that failed. Never
    /// waits: false while another thread uses the admin queue.
    pub fn is_closed(&self) -> bool {
        self.inner.admin().is_freed()
    }

    pub(crate) fn inner(&self) -> &Arc<Inner> {
        &self.inner
    }

    pub(crate) fn tables(&self) -> &Arc<Tables> {
        self.inner.tables()
    }

    /// Identify into a fresh buffer.
    pub(crate) fn identify_data(&self, cns: u8, nsid: u32, timeout: Duration) -> Result<Vec<u8>> {
        let buffer = DmaBuf::new(IDENTIFY_SIZE)?;
        let completed =
            self.execute_within(&Command::identify(cns, nsid), Some(Data::from(&buffer)), timeout)?;
        if !completed.completion.is_success() {
            let what = format!("Identify (CNS {cns:#04x}, NSID {nsid})");
            return Err(Error::Command { what, status: completed.completion.status() });
        }
        Ok(buffer.to_vec(0..IDENTIFY_SIZE))
    }
}

impl fmt::Debug for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Controller")
            .field("address", self.address())
            .field("model", &self.identify().model_number())
            .finish_non_exhaustive()
    }
}

/// MDTS in bytes, its unit being the smallest page (CAP.MPSMIN); `None` for no limit, or one beyond all numbers.
fn transfer_limit(cap: u64, mdts: u8) -> Option<u64> {
    let page = 4096_u64 << (cap >> 48 & 0xf);
    match mdts {
        0 => None,
        power => 1_u64.checked_shl(power.into())?.checked_mul(page),
    }
}

#[cfg(test)]
mod tests {
    use super::transfer_limit;

    #[test]
    fn a_transfer_is_limited_by_a_power_of_two_pages() {
        assert_eq!(transfer_limit(0, 0), None);
        assert_eq!(transfer_limit(0, 5), Some(128 << 10));
        assert_eq!(transfer_limit(4 << 48, 5), Some(2 << 20));
        assert_eq!(transfer_limit(0, 51), Some(1 << 63));
        for power in 52..=255 {
            assert_eq!(transfer_limit(0, power), None, "{power}");
        }
    }
}
