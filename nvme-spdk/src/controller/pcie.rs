//! PCIe controllers: attaching to one, and its initialisation step by step.

use std::ffi::CString;
use std::ptr::{self, NonNull};
use std::sync::{Arc, Weak};
use std::time::Duration;

use super::inner::Facts;
use super::open::Parts;
use super::registers::{CAP, CC, CSTS, VS};
use super::sharing::Sharing;
use super::{ADMIN_QUEUE_SIZE, AdminHandle, ConnectOptions, Controller, Inner, Interrupts};
use crate::cmdlog::CmdLog;
use crate::command::{Command, Completion};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::identify::IdentifyController;
use crate::lane::{Lane, Link};
use crate::observer::{self, Scope};
use crate::pci::Function;
use crate::queue::Queue;
use crate::transport::{Address, PciAddress};
use crate::{log, pci, wait};

/// CC: entry sizes of 64 and 16 bytes, pages of 4 KiB, round robin, the NVM command set.
const CC_USUAL: u32 = 0x0046_0000;
const CC_ENABLE: u32 = 1;
pub(super) const CSTS_READY: u32 = 1;

/// Feature identifier of Number of Queues.
const NUMBER_OF_QUEUES: u8 = 7;
/// As many queues as there are to be had.
const ALL_QUEUES: u32 = 0xfffe_fffe;

/// More are of no use to anybody.
const MOST_IO_QUEUES: u16 = 1024;

impl Controller {
    /// Attaches to a PCIe controller as it is: the function is taken and its registers are mapped, CC is not
    /// touched. What follows is up to the caller: [`initialise`](Self::initialise), or an initialisation of its
    /// own of [`write_register`](Self::write_register), [`enable_admin_queue`](Self::enable_admin_queue) and
    /// [`set_io_queues`](Self::set_io_queues). Over fabrics it is the same as [`connect`](Self::connect).
    ///
    /// A function that the kernel's driver has is never taken from it: that is what `scripts/setup` is for.
    ///
    /// # Errors
    /// All with what to do: [`Error::Open`] for what is no NVMe controller, and without hugepages or
    /// privileges; [`Error::InUse`] if something is mounted from it, or a process has it open; [`Error::Pci`]
    /// if it is bound to the kernel's driver or to none, and for an IOMMU that is in the way of its DMA;
    /// [`Error::Unsupported`] with an SPDK that was installed, as PCIe needs one built from source; those of
    /// [`read_register`](Self::read_register), [`Env::get`](crate::Env::get) and
    /// [`DmaBuf::new`](crate::DmaBuf::new).
    pub fn attach(address: &Address, options: ConnectOptions) -> Result<Self> {
        match address {
            Address::Pcie(function) => attach(Env::get()?, address, *function, options),
            Address::Tcp { .. } => Self::connect(address, options),
        }
    }

    /// Initialises a PCIe controller (NVMe base specification, "Controller Initialization"): it is disabled, gets
    /// its admin queue, is enabled with 4 KiB pages and round robin arbitration, and is asked for I/O queues.
    /// I/O queue pairs from before are gone afterwards. Over fabrics nothing is left to do, nor in a process that
    /// shares its [owner's](crate::Env::owner).
    ///
    /// # Errors
    /// [`Error::Timeout`] when CSTS.RDY does not follow CC.EN within CAP.TO, [`Error::Busy`] when a worker,
    /// another thread or process does not let go, [`Error::Command`] if the controller refuses a command, and
    /// those of [`wait_ready`](Self::wait_ready), [`execute`](Self::execute) and
    /// [`DmaBuf::new`](crate::DmaBuf::new).
    pub fn initialise(&self) -> Result<()> {
        if self.inner.socket().is_some() || self.inner.owner().is_some() {
            return Ok(());
        }
        let _closed = self.inner.close_to_others()?;
        let _guard = self.inner.free_queues()?;
        self.write_register(CC, 0)?;
        self.wait_ready(false)?;
        self.enable_admin_queue()?;
        self.write_register(CC, CC_USUAL)?;
        self.write_register(CC, CC_USUAL | CC_ENABLE)?;
        self.wait_ready(true)?;
        self.read_identify()?;
        let what = |name| format!("{name} (Number of Queues)");
        self.must(&Command::set_features(NUMBER_OF_QUEUES, ALL_QUEUES), || what("Set Features"))?;
        let granted = self.must(&Command::get_features(NUMBER_OF_QUEUES), || what("Get Features"))?;
        self.set_io_queues(granted.cdw0)
    }

    /// Waits until CSTS.RDY is as said, at most CAP.TO: units of 500 ms, of which a controller that says 0
    /// gets one (NVMe base specification, "Controller Properties").
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::Interrupted`], those of [`read_register`](Self::read_register);
    /// [`Error::Dead`] if all bits of CSTS are set, which is a device that does not answer any more.
    pub fn wait_ready(&self, ready: bool) -> Result<()> {
        // In units of 500 ms; a controller that says 0 gets one.
        let timeout = Duration::from_millis(500 * (self.cap() >> 24 & 0xff).max(1));
        let what = || format!("CSTS.RDY = {} of {}", u8::from(ready), self.address());
        wait::until(what, timeout, || {
            let status = self.read_register(CSTS)?;
            if status == u32::MAX {
                return Err(self.inner.dead("failed"));
            }
            Ok((status & CSTS_READY == u32::from(ready)).then_some(()))
        })
    }

    /// Gives a PCIe controller its admin queue: registers AQA, ASQ and ACQ, 128 entries each. CC.EN is 0 before,
    /// and set afterwards. What was outstanding on the admin queue is aborted.
    ///
    /// # Errors
    /// [`Error::Unsupported`] over fabrics and in a process that shares its [owner's](crate::Env::owner),
    /// [`Error::Busy`] when another process does not let go, [`Error::Dead`].
    pub fn enable_admin_queue(&self) -> Result<()> {
        self.only_pcie("its admin queue is there from the connection on")?;
        self.only_owner("setting up its admin queue")?;
        let _closed = self.inner.close_to_others()?;
        let link = self.inner.admin().lock().map_err(|e| self.inner.explain(e))?;
        let _scope = Scope::new(Some(self.inner.admin().log()), None);
        // SAFETY: the controller is open while its lane is locked.
        let rc = log::quietly(|| unsafe { spdk_sys::shim_ctrlr_enable_admin(link.handle.as_ptr()) });
        // Nobody is to wait for what was aborted here.
        while link.queue.next().is_some() {}
        match rc {
            0 => Ok(()),
            rc if rc == -libc::ENOTSUP => Err(no_internals()),
            _ => Err(self.inner.dead("failed")),
        }
    }

    /// Says how many I/O queues a PCIe controller has granted: dword 0 of the completion of Set Features or Get
    /// Features, Number of Queues (NVMe base specification, "Number of Queues"): NSQA in bits 15:0, NCQA in 31:16,
    /// both less one. At most 1024 are used.
    ///
    /// # Errors
    /// [`Error::Unsupported`] over fabrics and in a process that shares its [owner's](crate::Env::owner),
    /// [`Error::Dead`].
    pub fn set_io_queues(&self, granted: u32) -> Result<()> {
        self.only_pcie("its I/O queues were negotiated when it was connected")?;
        self.only_owner("setting the number of I/O queues")?;
        let least = (granted as u16).min((granted >> 16) as u16);
        let count = least.saturating_add(1).min(MOST_IO_QUEUES);
        let link = self.inner.admin().lock().map_err(|e| self.inner.explain(e))?;
        // SAFETY: the controller is open while its lane is locked.
        unsafe { spdk_sys::shim_ctrlr_set_io_queues(link.handle.as_ptr(), u32::from(count)) };
        drop(link);
        self.inner.set_facts(Facts { max_io_queues: count, ..(*self.inner.facts()).clone() });
        Ok(())
    }

    /// Reads Identify Controller anew, for [`identify`](Self::identify).
    ///
    /// # Errors
    /// [`Error::Command`], those of [`execute`](Self::execute) and [`DmaBuf::new`](crate::DmaBuf::new).
    pub fn read_identify(&self) -> Result<()> {
        let data = self.identify_data(0x01, 0, self.inner.options().timeout)?;
        let identify = IdentifyController::from_bytes(&data);
        self.inner.set_facts(Facts { identify, ..(*self.inner.facts()).clone() });
        Ok(())
    }

    /// Detaches from a PCIe controller, which disables it, and attaches to it again, as it is then: after a reset
    /// of its function, or for an initialisation of one's own. I/O queue pairs are deleted, whatever is outstanding
    /// is aborted, workers end; namespaces stay valid with what is known of their data.
    ///
    /// # Errors
    /// Those of [`attach`](Self::attach), then the controller stays detached and can be attached again; those
    /// of [`detach`](Self::detach); [`Error::Dead`] after [`close`](Self::close), [`Error::Unsupported`] over
    /// fabrics.
    pub fn reattach(&self) -> Result<()> {
        let function = self.only_pcie("reset() connects it anew")?;
        self.only_owner("a reset")?;
        let inner = &self.inner;
        if inner.is_closed() {
            return Err(inner.dead("closed"));
        }
        let env = Env::get()?;
        let _guard = inner.disconnect()?;
        let log = Arc::clone(inner.admin().log());
        let link = establish(&env, function, inner.options(), &log, &Parts::of(inner), true)?;
        inner.reconnected(link, (*inner.facts()).clone());
        self.read_registers()?;
        inner.set_interrupts(Interrupts::set_up(self, function)?);
        Ok(())
    }

    /// Ends the use of the function, which disables the controller, until [`reattach`](Self::reattach) or
    /// [`reset`](Self::reset): it can be reset, powered off or removed meanwhile. As for reset, queue pairs are
    /// deleted, and workers end.
    ///
    /// # Errors
    /// [`Error::Busy`] when a worker, another thread or process does not let go; [`Error::Unsupported`] in a
    /// process that shares its [owner's](crate::Env::owner).
    pub fn detach(&self) -> Result<()> {
        self.only_owner("detaching")?;
        self.inner.disconnect().map(drop)
    }

    /// Sends a command without data that has to succeed.
    fn must(&self, command: &Command, what: impl Fn() -> String) -> Result<Completion> {
        let completion = self.execute(command, None)?.completion;
        match completion.is_success() {
            true => Ok(completion),
            false => Err(Error::Command { what: what(), status: completion.status() }),
        }
    }

    /// What is known without asking anything.
    fn read_registers(&self) -> Result<()> {
        let (cap, version) = (self.read_register64(CAP)?, self.read_register(VS)?);
        self.inner.set_facts(Facts { cap, version, ..(*self.inner.facts()).clone() });
        Ok(())
    }

    fn only_pcie(&self, why: &str) -> Result<PciAddress> {
        match self.address() {
            Address::Pcie(function) => Ok(*function),
            Address::Tcp { .. } => {
                Err(Error::Unsupported(format!("{} is connected over NVMe/TCP: {why}", self.address())))
            }
        }
    }
}

/// Takes the function and maps its registers.
fn attach(
    env: Arc<Env>,
    address: &Address,
    function: PciAddress,
    options: ConnectOptions,
) -> Result<Controller> {
    let log = Arc::new(CmdLog::new(0));
    let sharing = Sharing::of(&env, function)?;
    let parts = Parts { tables: Arc::new(sharing.tables(function)), ..Parts::default() };
    let link = establish(&env, function, &options, &log, &parts, false)?;
    let facts = Facts {
        socket: None,
        subnqn: String::new(),
        cap: 0,
        version: 0,
        max_io_queues: MOST_IO_QUEUES,
        identify: IdentifyController::from_bytes(&[0; 4096]),
    };
    let admin = Lane::new(0, log, link, Weak::new());
    let inner = Inner::new(env, address.clone(), options, facts, admin, parts, sharing);
    let controller = Controller { inner: Arc::new(inner) };
    controller.read_registers()?;
    match controller.inner.owner() {
        Some(owner) => {
            controller
                .inner
                .set_interrupts(Err(format!("interrupts are process {owner}'s, which opened it")));
            controller.join(owner)?;
        }
        None => controller.inner.set_interrupts(Interrupts::set_up(&controller, function)?),
    }
    controller.inner.list();
    Ok(controller)
}

/// Takes the function; `again` if this process had it open until now.
fn establish(
    env: &Env,
    function: PciAddress,
    options: &ConnectOptions,
    admin_log: &Arc<CmdLog>,
    parts: &Parts,
    again: bool,
) -> Result<Link<AdminHandle>> {
    pci::check(env, function, again)?;
    if !observer::available() {
        return Err(no_internals());
    }
    let traddr = CString::new(function.to_string()).map_err(|e| Error::InvalidArgument(e.to_string()))?;
    let raw = spdk_sys::shim_ctrlr_opts {
        transport: spdk_sys::shim_transport::SHIM_TRANSPORT_PCIE,
        ipv6: false,
        discovery: false,
        header_digest: false,
        data_digest: false,
        admin_queue_size: ADMIN_QUEUE_SIZE,
        keep_alive_ms: 0,
        io_queues: 0,
        priority: i32::from(options.priority),
        traddr: traddr.as_ptr(),
        trsvcid: ptr::null(),
        subnqn: ptr::null(),
        hostnqn: ptr::null(),
        hostid: ptr::null(),
        tls_psk: ptr::null(),
        dhchap_key: ptr::null(),
        dhchap_ctrlr_key: ptr::null(),
        timeout_ms: 0,
    };
    let _scope = Scope::new(Some(admin_log), None);
    log::forget();
    let mut ctrlr = ptr::null_mut();
    let mut failed_at = spdk_sys::shim_step::SHIM_STEP_NONE;
    // SAFETY: the environment runs; the string outlives the call; results go to locals.
    log::quietly(|| unsafe { spdk_sys::shim_ctrlr_open(&raw, &mut ctrlr, &mut failed_at) });
    let Some(ctrlr) = NonNull::new(ctrlr) else {
        return Err(not_taken(function));
    };
    let queue = Queue::new(0, ADMIN_QUEUE_SIZE - 1, Arc::clone(admin_log), true, &parts.tables).of_pcie();
    Ok(Link::new(AdminHandle::new(ctrlr, true), queue, Arc::clone(&parts.command_timeout)).watched())
}

/// The error for a function that SPDK does not take although nothing seems to be in its way.
fn not_taken(function: PciAddress) -> Error {
    let said = log::said();
    let why =
        if said.is_empty() { "SPDK could not take it".to_owned() } else { format!("SPDK says: {said}") };
    let here = Function::open(function).is_ok_and(|function| function.is_open_here());
    let (why, remedy) = if here {
        ("this process has it open already".to_owned(), "close it there first")
    } else {
        (why, "end the process that uses it, and see who that is with: scripts/setup status")
    };
    Error::Open { address: function.to_string(), why, remedy: remedy.to_owned() }
}

fn no_internals() -> Error {
    Error::Unsupported(
        "this SPDK has no internal headers, and PCIe controllers are initialised with their help; use the \
         vendored SPDK (unset SPDK_DIR)"
            .to_owned(),
    )
}

/// Resets a PCIe controller in place: detached, attached to, and initialised.
pub(super) fn reset(inner: &Arc<Inner>) -> Result<()> {
    let controller = Controller { inner: Arc::clone(inner) };
    controller.reattach()?;
    controller.initialise()
}

/// Attaches and initialises.
pub(super) fn connect(
    env: Arc<Env>,
    address: &Address,
    function: PciAddress,
    options: ConnectOptions,
) -> Result<Controller> {
    let controller = attach(env, address, function, options)?;
    controller.initialise()?;
    Ok(controller)
}
