//! Making an I/O queue pair: a connection of its own over a fabric, two queues that the device is told on PCIe.

use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::time::Duration;

use super::{Interrupt, IoHandle, Qpair, QpairOptions};
use crate::cmdlog::CmdLog;
use crate::controller::{Inner, open};
use crate::deadline::{Deadline, bounded, timed_out};
use crate::error::{Error, Result};
use crate::lane::{Lane, Link};
use crate::observer::{self, Scope};
use crate::queue::Queue;
use crate::status::Status;
use crate::{log, transport};

/// How long a target may take to notice that the queue pair which had an identifier before is gone.
const IDENTIFIER_PATIENCE: Duration = Duration::from_secs(5);

/// Over fabrics a queue pair ends with its connection, which the target learns a little later than this host.
pub(super) fn connect_tcp(
    controller: &Arc<Inner>,
    options: QpairOptions,
    deadline: &Deadline,
) -> Result<Qpair> {
    let mut patience = None;
    loop {
        match connect(controller, options, deadline) {
            // SPDK's target says the one, Linux's the other.
            Err(Error::ConnectRefused {
                status: Status::INVALID_QUEUE_IDENTIFIER | Status::COMMAND_SEQUENCE_ERROR,
                ..
            }) if !patience.get_or_insert_with(|| deadline.within(IDENTIFIER_PATIENCE)).passed() => {
                std::thread::sleep(Duration::from_millis(5));
            }
            result => return result,
        }
    }
}

pub(super) fn connect(controller: &Arc<Inner>, options: QpairOptions, deadline: &Deadline) -> Result<Qpair> {
    let QpairOptions { depth, .. } = options;

    // The controller stays open meanwhile, also if the caller gives up before this is done.
    let _creating = controller.creating(deadline.left())?;
    controller.forget_the_dead();
    let probed = probe(controller, deadline)?;
    if probed.is_some() {
        controller.options().set_up_sockets()?;
    }
    let (mut handle, qid) = allocate(controller, options, deadline)?;

    let vector = controller.interrupts().and_then(|all| match options.interrupt {
        Interrupt::Off => Err("it was created without one".to_owned()),
        Interrupt::Vector(number) => Ok(all.vector(number)),
        Interrupt::Own => Ok(all.vector(qid)),
    });
    // IEN and IV, as in dword 11 of Create I/O Completion Queue.
    let interrupt = vector.as_ref().map_or(0, |vector| u32::from(vector.number()) << 16 | 1 << 1);

    let io_log = Arc::new(CmdLog::new(qid));
    // Where SPDK creates queues with admin commands, it polls for their completions.
    let admin = match &handle.admin {
        Some(admin) => Some(admin.lock().map_err(|e| controller.explain(e))?),
        None => None,
    };
    let scope = Scope::new(Some(controller.admin().log()), Some(&io_log));
    log::forget();
    // SAFETY: allocated just now on this controller, and known to nobody else.
    let call =
        || unsafe { spdk_sys::shim_qpair_connect(handle.ctrlr.as_ptr(), handle.qpair.as_ptr(), interrupt) };
    let (rc, ended) = log::quietly(|| bounded(deadline, call));
    drop(admin);
    // It may have been on its way when the time was over.
    handle.created = rc == 0 || ended;
    if rc != 0 {
        if let (Some(failure), Some(socket)) = (scope.failure().filter(observer::Failure::is_connect), probed)
        {
            return Err(open::connect_refused(socket, &format!("queue {qid}"), failure));
        }
        if ended || deadline.passed() {
            let what = format!("creating queue pair {qid} at {}", controller.address());
            return Err(timed_out(what, controller.options().timeout));
        }
        return Err(failed(depth, "check that the target is alive and has queues left"));
    }
    drop(scope);
    if let Some(socket) = controller.socket() {
        // SAFETY: both are alive: the queue pair was connected just now.
        let port = unsafe { spdk_sys::shim_tcp_local_port(handle.ctrlr.as_ptr(), handle.qpair.as_ptr()) };
        open::serve_as(controller.options(), port, socket)?;
    }
    let queue = Queue::new(qid, depth - 1, Arc::clone(&io_log), observer::available(), controller.tables());
    let link = |queue| Link::new(handle, queue, Arc::clone(controller.command_timeout()));
    let link = if controller.is_pcie() { link(queue.of_pcie()).watched() } else { link(queue) };
    let lane = Arc::new(Lane::new(qid, io_log, link, controller.neighbours()));
    controller.add_lane(&lane);
    Ok(Qpair { controller: Arc::clone(controller), lane, depth, vector })
}

/// On TCP, whether the target still accepts connections, and where.
fn probe(controller: &Inner, deadline: &Deadline) -> Result<Option<std::net::SocketAddr>> {
    let Some(socket) = controller.socket() else { return Ok(None) };
    transport::probe(socket, deadline)?;
    Ok(Some(socket))
}

fn allocate(controller: &Inner, options: QpairOptions, deadline: &Deadline) -> Result<(IoHandle, u16)> {
    let QpairOptions { depth, priority, .. } = options;
    let admin = controller.admin().lock().map_err(|e| controller.explain(e))?;
    let _scope = Scope::new(Some(controller.admin().log()), None);
    log::forget();
    let (mut qpair, mut qid) = (ptr::null_mut(), 0);
    let ctrlr = admin.handle.as_ptr();
    // SAFETY: the controller is open while its lane is locked; results go to locals.
    let call = || unsafe { spdk_sys::shim_qpair_alloc(ctrlr, depth, priority, &mut qpair, &mut qid) };
    let (_rc, ended) = log::quietly(|| bounded(deadline, call));
    match (NonNull::new(ctrlr), NonNull::new(qpair)) {
        // A system SPDK does not tell the identifier; it takes the lowest that is free.
        (Some(ctrlr), Some(qpair)) => {
            let qid = if qid == 0 { controller.lowest_free_qid() } else { qid };
            let admin = controller.is_pcie().then(|| Arc::clone(controller.admin()));
            Ok((IoHandle { ctrlr, qpair, admin, created: false, freed: false }, qid))
        }
        _ if ended => {
            let what = format!("creating a queue pair at {}", controller.address());
            Err(timed_out(what, controller.options().timeout))
        }
        _ => Err(failed(
            depth,
            "delete queue pairs that are no longer needed; any priority but 0 needs CC.AMS set",
        )),
    }
}

fn failed(depth: u16, remedy: &str) -> Error {
    let said = log::said();
    let why = if said.is_empty() { "SPDK does not say why".to_owned() } else { format!("SPDK says: {said}") };
    Error::QpairCreate { depth: u32::from(depth), why, remedy: remedy.to_owned() }
}
