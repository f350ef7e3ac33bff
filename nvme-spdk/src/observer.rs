//! Sees every command that reaches a transport, SPDK's own included.
//!
//! Commands of this crate report to their queue. SPDK's own (Fabrics Connect, properties, Set Features,
//! queue creation) go to the log of the queue they travel on; which log that is, the caller of SPDK says
//! with a [`Scope`], because SPDK sends them before it hands out the object they belong to.

use std::cell::{Cell, RefCell};
use std::ffi::c_void;
use std::sync::Arc;

use crate::clock::Ticks;
use crate::cmdlog::CmdLog;
use crate::command::{Command, Completion, admin_opcode, fabrics_type};
use crate::queue;
use crate::status::Status;

thread_local! {
    static LOGS: RefCell<Logs> = const { RefCell::new(Logs { admin: None, io: None }) };
    static FAILURE: Cell<Option<Failure>> = const { Cell::new(None) };
}

#[derive(Default)]
struct Logs {
    admin: Option<Arc<CmdLog>>,
    io: Option<Arc<CmdLog>>,
}

/// A command of SPDK's own that the controller refused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Failure {
    pub command: Command,
    pub completion: Completion,
}

impl Failure {
    /// Whether it was to delete a queue, and the controller has refused.
    pub(crate) fn is_delete(&self) -> bool {
        matches!(self.command.opcode, admin_opcode::DELETE_IO_SQ | admin_opcode::DELETE_IO_CQ)
            && self.is_answer()
    }

    /// Whether it was to connect a queue, and the controller has refused.
    pub(crate) fn is_connect(&self) -> bool {
        self.command.opcode == admin_opcode::FABRICS
            && self.command.nsid & 0xff == fabrics_type::CONNECT
            && self.is_answer()
    }

    /// Whether the controller has answered: SPDK completes as aborted what one that is gone, or out of time, does not
    /// answer.
    fn is_answer(&self) -> bool {
        !matches!(self.completion.status(), Status::ABORTED_BY_REQUEST | Status::ABORTED_SQ_DELETION)
    }
}

/// Until it is dropped, SPDK's own commands on this thread go to these logs.
pub(crate) struct Scope {
    outer: Logs,
}

impl Scope {
    pub(crate) fn new(admin: Option<&Arc<CmdLog>>, io: Option<&Arc<CmdLog>>) -> Self {
        let logs = Logs { admin: admin.cloned(), io: io.cloned() };
        FAILURE.set(None);
        // At the end of a thread, when a handle of its own is dropped, there may be no place for them any more.
        let outer = LOGS.try_with(|place| place.replace(logs)).unwrap_or_default();
        Scope { outer }
    }

    /// The first command of SPDK's own that failed in this scope.
    pub(crate) fn failure(&self) -> Option<Failure> {
        FAILURE.get()
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        let outer = Logs { admin: self.outer.admin.take(), io: self.outer.io.take() };
        let _ = LOGS.try_with(|place| place.replace(outer));
    }
}

/// Whether commands are seen at all: a system SPDK does not let us.
pub(crate) fn available() -> bool {
    // SAFETY: no precondition.
    unsafe { spdk_sys::shim_has_internals() }
}

pub(crate) fn install() {
    let observer = spdk_sys::shim_observer {
        own: Some(queue::on_complete),
        submitted: Some(queue::on_submitted),
        foreign_started: Some(foreign_started),
        foreign_submitted: Some(foreign_submitted),
        foreign_completed: Some(foreign_completed),
    };
    // SAFETY: the shim copies the structure; the functions live for ever and do not unwind. That a system
    // SPDK has no observer is what available() says.
    unsafe { spdk_sys::shim_observer_install(&observer) };
}

/// A command of SPDK's own on its way; the shim holds it as a raw pointer.
struct Foreign {
    command: Command,
    started: Ticks,
    log: Option<Arc<CmdLog>>,
    sequence: Option<u64>,
}

unsafe extern "C" fn foreign_started(
    _qpair: *mut spdk_sys::spdk_nvme_qpair,
    qid: u16,
    command: *const spdk_sys::spdk_nvme_cmd,
) -> *mut c_void {
    // SAFETY: SPDK passes the command of the request it is about to submit; the layouts agree.
    let command = unsafe { *command.cast::<Command>() };
    let log = LOGS.try_with(|place| {
        let logs = place.borrow();
        if qid == 0 { logs.admin.clone() } else { logs.io.clone() }
    });
    let log = log.ok().flatten();
    let foreign = Foreign { command, started: Ticks::now(), log, sequence: None };
    Box::into_raw(Box::new(foreign)).cast()
}

unsafe extern "C" fn foreign_submitted(handle: *mut c_void, taken: bool, cid: u16) {
    let foreign = handle.cast::<Foreign>();
    if !taken {
        // SAFETY: made by foreign_started; the shim does not use it again after this call.
        drop(unsafe { Box::from_raw(foreign) });
        return;
    }
    // SAFETY: made by foreign_started, alive until foreign_completed, and used by one thread at a time.
    let foreign = unsafe { &mut *foreign };
    foreign.command.cid = cid;
    if let Some(log) = &foreign.log {
        foreign.sequence = Some(log.record(&foreign.command, foreign.started));
    }
}

unsafe extern "C" fn foreign_completed(handle: *mut c_void, completion: *const spdk_sys::spdk_nvme_cpl) {
    // SAFETY: made by foreign_started; the shim does not use it again after this call.
    let foreign = unsafe { Box::from_raw(handle.cast::<Foreign>()) };
    // SAFETY: SPDK passes a completion that is valid during the call; the layouts agree.
    let completion = queue::trusted(unsafe { *completion.cast::<Completion>() }, foreign.command.cid);
    if let (Some(log), Some(sequence)) = (&foreign.log, foreign.sequence) {
        let (command, started) = (foreign.command, foreign.started);
        log.complete(sequence, &completion, Ticks::now().since(started), || (command, started));
    }
    if !completion.is_success() && FAILURE.get().is_none() {
        FAILURE.set(Some(Failure { command: foreign.command, completion }));
    }
}
