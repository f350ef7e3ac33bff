//! SPDK's side of an I/O queue pair: submitting, polling, and giving it back to the device.

use std::ffi::{c_int, c_void};
use std::ptr::NonNull;
use std::sync::Arc;
use std::time::Duration;

use crate::controller::AdminHandle;
use crate::deadline::{Deadline, bounded};
use crate::fork::forked;
use crate::lane::{Handle, Lane};
use crate::observer::Scope;
use crate::{log, queue};

/// SPDK's queue pair. Dropping it completes what is outstanding and frees it.
pub(crate) struct IoHandle {
    pub(super) ctrlr: NonNull<spdk_sys::spdk_nvme_ctrlr>,
    pub(super) qpair: NonNull<spdk_sys::spdk_nvme_qpair>,
    /// Where SPDK deletes queues with admin commands, and polls for their completions: the queue they go out on.
    pub(super) admin: Option<Arc<Lane<AdminHandle>>>,
    /// Whether the device knows it.
    pub(super) created: bool,
    pub(super) freed: bool,
}

impl IoHandle {
    pub(crate) fn as_ptrs(&self) -> (NonNull<spdk_sys::spdk_nvme_ctrlr>, NonNull<spdk_sys::spdk_nvme_qpair>) {
        (self.ctrlr, self.qpair)
    }
}

// SAFETY: SPDK ties a queue pair to no thread, only to one at a time, which the lane's lock sees to. The
// controller outlives it: it is not closed before its lanes are freed (Inner::close).
unsafe impl Send for IoHandle {}

impl Handle for IoHandle {
    fn submit(
        &self,
        command: *mut spdk_sys::spdk_nvme_cmd,
        data: *mut c_void,
        len: u32,
        argument: *mut c_void,
    ) -> c_int {
        if self.admin.is_some() && !queue::fits_prp_list(data, len) {
            return -libc::EFAULT;
        }
        // SAFETY: both handles are alive; the data stays in the slot that the argument points to until SPDK
        // has called back; SPDK copies the command.
        unsafe {
            spdk_sys::spdk_nvme_ctrlr_cmd_io_raw(
                self.ctrlr.as_ptr(),
                self.qpair.as_ptr(),
                command,
                data,
                len,
                queue::ON_COMPLETE,
                argument,
            )
        }
    }

    fn poll(&self, most: u32) -> i32 {
        // SAFETY: the queue pair is alive.
        unsafe { spdk_sys::spdk_nvme_qpair_process_completions(self.qpair.as_ptr(), most) }
    }

    fn abort(&self) {
        // SAFETY: the queue pair is alive; SPDK does nothing if it is disconnected already.
        unsafe { spdk_sys::spdk_nvme_ctrlr_disconnect_io_qpair(self.qpair.as_ptr()) };
    }

    fn is_gone(&self) -> bool {
        // SAFETY: the controller outlives its queue pairs.
        unsafe { spdk_sys::shim_ctrlr_is_gone(self.ctrlr.as_ptr()) }
    }

    fn free(&mut self) -> bool {
        if std::mem::replace(&mut self.freed, true) || forked() {
            return true;
        }
        // The admin queue is driven by one thread at a time. Not interrupted: a queue that is freed although another
        // thread does not let go of it in half a minute is the lesser evil, but only then.
        let admin = self.admin.as_ref().map(|admin| admin.hold());
        let _scope = self.admin.as_ref().map(|admin| Scope::new(Some(admin.log()), None));
        // SAFETY: allocated once and freed once; the controller is still open, and the queue that callbacks
        // go to is dropped after this.
        let free = || unsafe { spdk_sys::shim_qpair_free(self.qpair.as_ptr(), self.created) };
        // SPDK reports every command it aborts.
        let (rc, _) = log::quietly(|| bounded(&Deadline::after(GOODBYE), free));
        drop(admin);
        let pcie = self.admin.is_some();
        if pcie && rc != 0 {
            tracing::error!(
                "the device has not deleted a queue pair: the memory of its commands stays allocated, as it may still be used"
            );
        }
        // Over a fabric the device sees no memory.
        !pcie || rc == 0
    }
}

impl Drop for IoHandle {
    fn drop(&mut self) {
        self.free();
    }
}

/// How long a device may take to delete a queue pair.
const GOODBYE: Duration = Duration::from_secs(2);
