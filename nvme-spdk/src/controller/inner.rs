//! What all handles to a controller share, and how it comes to an end.

use std::ffi::{c_int, c_void};
use std::net::SocketAddr;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::keep_alive::KeepAlive;
use super::open::Parts;
use super::sharing::Sharing;
use super::{Available, ConnectOptions};
use crate::cmdlog::CmdLog;
use crate::command::{Command, admin_opcode};
use crate::deadline::{Deadline, bounded};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::fork::forked;
use crate::identify::IdentifyController;
use crate::integrity::Tables;
use crate::lane::{CommandTimeout, Handle, Lane, Link};
use crate::log;
use crate::observer::Scope;
use crate::pending::Drive;
use crate::qpair::IoLane;
use crate::queue::{self, Completed, Token};
use crate::registry::{self, Lanes};
use crate::transport::Address;
use crate::waiting::Watch;

pub(crate) struct Inner {
    _env: Arc<Env>,
    address: Address,
    options: ConnectOptions,
    facts: Arc<RwLock<Arc<Facts>>>,
    admin: Arc<Lane<AdminHandle>>,
    lanes: Arc<Lanes>,
    /// Held for reading while a queue pair is being created, for writing while the controller is closed or reset.
    creating: RwLock<()>,
    closed: AtomicBool,
    tables: Arc<Tables>,
    command_timeout: Arc<CommandTimeout>,
    interrupts: Mutex<Available>,
    sharing: Sharing,
    keep_alive: OnceLock<KeepAlive>,
}

/// What does not change as long as the controller is connected.
#[derive(Clone)]
pub(crate) struct Facts {
    /// Where discovery led to; `None` on PCIe.
    pub socket: Option<SocketAddr>,
    pub subnqn: String,
    pub cap: u64,
    pub version: u32,
    pub max_io_queues: u16,
    pub identify: IdentifyController,
}

/// SPDK's controller. Freeing it disconnects, or clears CC.EN on PCIe.
pub(crate) struct AdminHandle {
    ctrlr: NonNull<spdk_sys::spdk_nvme_ctrlr>,
    pcie: bool,
    freed: bool,
}

// SPDK guards the controller with a lock of its own; requests of the admin queue are submitted and polled
// under the lane's lock, by one thread at a time.
// SAFETY: as said, so the handle may move between threads.
unsafe impl Send for AdminHandle {}

impl AdminHandle {
    /// Takes over a controller that was just opened.
    pub(super) fn new(ctrlr: NonNull<spdk_sys::spdk_nvme_ctrlr>, pcie: bool) -> Self {
        AdminHandle { ctrlr, pcie, freed: false }
    }

    pub(crate) fn as_ptr(&self) -> *mut spdk_sys::spdk_nvme_ctrlr {
        self.ctrlr.as_ptr()
    }
}

/// Whether the data pointer of a command is a queue's memory.
pub(super) fn makes_queue(opcode: u8) -> bool {
    matches!(opcode, admin_opcode::CREATE_IO_SQ | admin_opcode::CREATE_IO_CQ)
}

impl Handle for AdminHandle {
    fn submit(
        &self,
        command: *mut spdk_sys::spdk_nvme_cmd,
        data: *mut c_void,
        len: u32,
        argument: *mut c_void,
    ) -> c_int {
        let (mut data, mut len) = (data, len);
        if self.pcie {
            // SAFETY: the caller's command, which is its own to change; the layouts agree.
            let entry = unsafe { &mut *command.cast::<Command>() };
            if makes_queue(entry.opcode) && !data.is_null() {
                // Not what is transferred but where the queue is to be: its first entry alone is named.
                // SAFETY: translating an address reads no memory behind it.
                entry.dptr[0] = unsafe { spdk_sys::spdk_vtophys(data, ptr::null_mut()) };
                (data, len) = (ptr::null_mut(), 0);
            }
            if !queue::fits_prp_list(data, len) {
                return -libc::EFAULT;
            }
        }
        // SAFETY: the controller is open; the data stays in the slot that the argument points to until SPDK
        // has called back; SPDK copies the command.
        unsafe {
            spdk_sys::spdk_nvme_ctrlr_cmd_admin_raw(
                self.as_ptr(),
                command,
                data,
                len,
                queue::ON_COMPLETE,
                argument,
            )
        }
    }

    fn poll(&self, _most: u32) -> i32 {
        // SAFETY: the controller is open.
        unsafe { spdk_sys::spdk_nvme_ctrlr_process_admin_completions(self.as_ptr()) }
    }

    fn abort(&self) {
        // SAFETY: the controller is open; SPDK does nothing if its admin queue is disconnected already.
        unsafe { spdk_sys::shim_ctrlr_abort_admin(self.as_ptr()) };
    }

    fn is_gone(&self) -> bool {
        // SAFETY: the controller is open.
        unsafe { spdk_sys::shim_ctrlr_is_gone(self.as_ptr()) }
    }

    fn free(&mut self) -> bool {
        if std::mem::replace(&mut self.freed, true) || forked() {
            return true;
        }
        // SAFETY: opened once and closed once; its queue pairs were freed before (Inner::disconnect), and the
        // queue that callbacks go to is dropped after this.
        let close = || unsafe { spdk_sys::shim_ctrlr_close(self.as_ptr(), self.is_gone()) };
        // That a target which is gone does not answer is nothing to report.
        log::quietly(|| bounded(&Deadline::after(GOODBYE), close));
        true
    }

    fn scope(log: &Arc<CmdLog>) -> Option<Scope> {
        Some(Scope::new(Some(log), None))
    }
}

impl Drop for AdminHandle {
    fn drop(&mut self) {
        self.free();
    }
}

/// How long to wait for a controller that is told goodbye.
const GOODBYE: Duration = Duration::from_secs(2);

/// How long a worker may take to let go of its queue pair.
pub(super) const WORKER_PATIENCE: Duration = Duration::from_secs(10);

impl Inner {
    pub(super) fn new(
        env: Arc<Env>,
        address: Address,
        options: ConnectOptions,
        facts: Facts,
        admin: Lane<AdminHandle>,
        parts: Parts,
        sharing: Sharing,
    ) -> Self {
        let Parts { tables, command_timeout } = parts;
        Inner {
            _env: env,
            address,
            options,
            facts: Arc::new(RwLock::new(Arc::new(facts))),
            admin: Arc::new(admin),
            lanes: Arc::default(),
            creating: RwLock::new(()),
            closed: AtomicBool::new(false),
            tables,
            command_timeout,
            interrupts: Mutex::new(Err("interrupts belong to PCIe".to_owned())),
            sharing,
            keep_alive: OnceLock::new(),
        }
    }

    /// Shows it to consoles, until it is closed.
    pub(super) fn list(&self) {
        let facts = Arc::clone(&self.facts);
        let identity = Box::new(move || facts.read().identify.clone());
        registry::add(self.address.clone(), identity, self.admin.log(), &self.lanes);
    }

    /// From now on sends Keep Alive commands, if the controller was told to expect them.
    pub(super) fn keep_alive(&self) -> Result<()> {
        if !self.options.keep_alive.is_zero() {
            let started = KeepAlive::start(&self.admin, self.options.keep_alive)?;
            // A controller is opened once.
            self.keep_alive.get_or_init(|| started);
        }
        Ok(())
    }

    pub(crate) fn address(&self) -> &Address {
        &self.address
    }

    pub(crate) fn facts(&self) -> Arc<Facts> {
        Arc::clone(&self.facts.read())
    }

    pub(super) fn set_facts(&self, facts: Facts) {
        *self.facts.write() = Arc::new(facts);
    }

    /// Whether nobody answers at its registers.
    pub(crate) fn is_gone(&self) -> Result<bool> {
        Ok(self.admin.lock().map_err(|e| self.explain(e))?.handle.is_gone())
    }

    pub(crate) fn interrupts(&self) -> Available {
        self.interrupts.lock().clone()
    }

    pub(super) fn set_interrupts(&self, interrupts: Available) {
        *self.interrupts.lock() = interrupts;
    }

    pub(crate) fn is_pcie(&self) -> bool {
        matches!(self.address, Address::Pcie(_))
    }

    /// Where its connections go; `None` on PCIe.
    pub(crate) fn socket(&self) -> Option<SocketAddr> {
        self.facts.read().socket
    }

    pub(crate) fn cap(&self) -> u64 {
        self.facts.read().cap
    }

    pub(crate) fn options(&self) -> &ConnectOptions {
        &self.options
    }

    pub(crate) fn admin(&self) -> &Arc<Lane<AdminHandle>> {
        &self.admin
    }

    pub(super) fn sharing(&self) -> &Sharing {
        &self.sharing
    }

    pub(crate) fn tables(&self) -> &Arc<Tables> {
        &self.tables
    }

    pub(crate) fn command_timeout(&self) -> &Arc<CommandTimeout> {
        &self.command_timeout
    }

    /// Keeps the controller from being closed while a queue pair is created.
    pub(crate) fn creating(&self, patience: Duration) -> Result<RwLockReadGuard<'_, ()>> {
        self.creating.try_read_for(patience).ok_or_else(|| self.dead("closed"))
    }

    pub(crate) fn add_lane(&self, lane: &Arc<IoLane>) {
        self.lanes.lock().push(Arc::clone(lane));
    }

    pub(crate) fn neighbours(&self) -> Weak<Lanes> {
        Arc::downgrade(&self.lanes)
    }

    /// The lowest identifier that no live queue pair has.
    pub(crate) fn lowest_free_qid(&self) -> u16 {
        let lanes = self.lanes.lock();
        let taken: Vec<_> = lanes.iter().map(|lane| lane.qid()).collect();
        (1..u16::MAX).find(|qid| !taken.contains(qid)).unwrap_or(u16::MAX)
    }

    pub(crate) fn remove_lane(&self, lane: &Arc<IoLane>) {
        self.lanes.lock().retain(|other| !Arc::ptr_eq(other, lane));
    }

    pub(super) fn close(&self) {
        self.closed.store(true, Ordering::Relaxed);
        if forked() {
            return;
        }
        match self.disconnect() {
            Ok(_guard) => registry::remove(&self.lanes),
            Err(why) => tracing::error!("{} stays open: {why}", self.address),
        }
    }

    /// Ends workers, frees the queue pairs and closes SPDK's controller. As long as the guard is held no queue
    /// pair appears.
    pub(super) fn disconnect(&self) -> Result<RwLockWriteGuard<'_, ()>> {
        let closed = self.close_to_others()?;
        let guard = self.free_queues()?;
        self.unlock_for_the_dead();
        if let Ok(interrupts) = &*self.interrupts.lock() {
            interrupts.end();
        }
        if !self.admin.free(WORKER_PATIENCE) {
            return Err(self.busy("another thread waits for an answer on the admin queue"));
        }
        // Not earlier: the controller, which could write there, is disabled now.
        *self.interrupts.lock() = Err("the controller is detached".to_owned());
        self.sharing.end();
        drop(closed);
        Ok(guard)
    }

    /// Ends workers and frees the queue pairs.
    pub(super) fn free_queues(&self) -> Result<RwLockWriteGuard<'_, ()>> {
        for lane in &*self.lanes.lock() {
            lane.ask_to_stop();
        }
        // From here on no queue pair appears: those being created are waited for, later ones find no admin
        // queue. Without this lock one could be left behind when the controller goes.
        let guard = self.creating.try_write_for(WORKER_PATIENCE);
        let guard = guard.ok_or_else(|| self.busy("a queue pair is still being created"))?;
        let lanes = std::mem::take(&mut *self.lanes.lock());
        if !lanes.iter().all(|lane| lane.free(WORKER_PATIENCE)) {
            self.lanes.lock().extend(lanes.into_iter().filter(|lane| !lane.is_freed()));
            return Err(self.busy("a worker does not let go of its queue pair"));
        }
        Ok(guard)
    }

    pub(super) fn busy(&self, what: &str) -> Error {
        Error::Busy { address: self.address.to_string(), what: what.to_owned() }
    }

    /// Goes on with a controller that was opened anew.
    pub(super) fn reconnected(&self, link: Link<AdminHandle>, facts: Facts) {
        // What is read from the controller itself is as before until it has been read again.
        let Facts { cap, version, identify, .. } = (*self.facts()).clone();
        self.set_facts(Facts { cap, version, identify, ..facts });
        self.admin.install(link);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    pub(crate) fn dead(&self, state: &'static str) -> Error {
        let remedy = match state {
            "closed" => "connect again",
            _ => "reset it, or close it and connect again; check that the target is alive",
        };
        Error::Dead { address: self.address.to_string(), state, remedy }
    }

    /// The admin queue has no life of its own: what happened to it happened to the controller.
    pub(crate) fn explain(&self, error: Error) -> Error {
        match error {
            Error::QpairDead { qid: 0, state: "deleted" } if self.is_closed() => self.dead("closed"),
            Error::QpairDead { qid: 0, .. } => self.dead("failed"),
            other => other,
        }
    }
}

/// Futures of admin commands keep the controller open.
impl Drive for Inner {
    fn drive(&self, token: Token, watch: &mut Watch, context: &mut Context<'_>) -> Poll<Result<Completed>> {
        self.admin.drive(token, watch, context).map_err(|e| self.explain(e))
    }

    fn give_up(&self, token: Token) {
        self.admin.give_up(token);
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // Queue pairs hold the controller, so none is left.
        self.close();
        if !self.admin.is_freed() {
            // Another process still uses what would be freed here with the last handle: it stays where it is.
            std::mem::forget(Arc::clone(&self.admin));
        }
        if !forked() {
            registry::remove(&self.lanes);
        }
    }
}
