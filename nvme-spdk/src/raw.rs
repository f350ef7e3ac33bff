//! The escape hatch: SPDK's own handles, for what this crate has no call for.
//!
//! Everything here is `unsafe`, and the only place where SPDK's types appear. They are those of [`sys`], whose version
//! goes with the SPDK that was built against: what is written with them is not covered by the promises of this crate's
//! version number. [`sys`] binds the few functions that this crate itself needs: cast the pointers for bindings of
//! your own, made from the headers of the same SPDK.
//!
//! ```no_run
//! # use nvme_spdk::{Controller, Qpair, Result, raw};
//! # fn lend(controller: &Controller, qpair: &Qpair) -> Result<()> {
//! // SAFETY: the handles are looked at, and not kept.
//! let handle = unsafe { raw::with_controller(controller, |ctrlr| ctrlr.addr())? };
//! // SAFETY: as above.
//! let same = unsafe { raw::with_qpair(qpair, |ctrlr, _| ctrlr.addr() == handle)? };
//! # let _ = same;
//! # Ok(())
//! # }
//! ```
//!
//! None of it without saying so:
//!
//! ```compile_fail,E0133
//! # use nvme_spdk::{Controller, Result, raw};
//! # fn lend(controller: &Controller) -> Result<()> {
//! let handle = raw::with_controller(controller, |ctrlr| ctrlr.addr())?;
//! # Ok(())
//! # }
//! ```
//!
//! ```compile_fail,E0133
//! # use nvme_spdk::{Qpair, Result, raw};
//! # fn lend(qpair: &Qpair) -> Result<()> {
//! let handle = raw::with_qpair(qpair, |ctrlr, _| ctrlr.addr())?;
//! # Ok(())
//! # }
//! ```

use std::ptr::NonNull;

use crate::controller::Controller;
use crate::error::Result;
use crate::qpair::Qpair;

pub use spdk_sys as sys;

/// Calls a function with SPDK's handle of a controller, while nobody else uses the controller's admin queue.
///
/// # Errors
/// [`Error::Dead`](crate::Error::Dead) if the controller is closed, or failed to reset; the function is not called then.
///
/// # Safety
/// The function
/// * does not keep the pointer: it may be invalid as soon as the function has returned;
/// * does not free, detach, reset or fail the controller, and frees no queue pair or process of it;
/// * does not call into this crate for the same controller or a queue pair of it, which would wait for ever;
/// * does not unwind through SPDK.
///
/// What it submits completes while any thread polls the admin queue through this crate, at the latest when the
/// controller is closed. Until then the arguments and buffers of its callbacks must stay valid, from any thread, and
/// for the callbacks the same rules hold.
///
/// The function may let SPDK process completions: commands of this crate among them are noted, and delivered by the
/// next poll.
pub unsafe fn with_controller<R>(
    controller: &Controller,
    call: impl FnOnce(NonNull<sys::spdk_nvme_ctrlr>) -> R,
) -> Result<R> {
    let inner = controller.inner();
    let link = inner.admin().lock().map_err(|e| inner.explain(e))?;
    let pointer = NonNull::new(link.handle.as_ptr()).ok_or_else(|| inner.dead("failed"))?;
    Ok(call(pointer))
}

/// Calls a function with SPDK's handles of a queue pair and of its controller, while nobody else uses the queue pair.
///
/// # Errors
/// [`Error::QpairDead`](crate::Error::QpairDead) if the queue pair is deleted; the function is not called then.
///
/// # Safety
/// As for [`with_controller`], of the queue pair as well as of the controller; what needs the controller's admin queue
/// does not belong here, as that may be in use by another thread.
pub unsafe fn with_qpair<R>(
    qpair: &Qpair,
    call: impl FnOnce(NonNull<sys::spdk_nvme_ctrlr>, NonNull<sys::spdk_nvme_qpair>) -> R,
) -> Result<R> {
    let link = qpair.lane().lock()?;
    let (controller, pointer) = link.handle.as_ptrs();
    Ok(call(controller, pointer))
}
