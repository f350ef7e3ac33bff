//! Controller registers: properties over fabrics, which are admin commands, and BAR0 on PCIe.

use std::ffi::c_int;
use std::sync::Arc;

use super::{Controller, Inner};
use crate::command::Command;
use crate::deadline::{Deadline, bounded, on_helper, timed_out};
use crate::error::{Error, Result};
use crate::observer::Scope;

/// Register offsets (NVMe base specification, "Controller Properties").
pub(super) const CAP: u32 = 0x00;
pub(super) const VS: u32 = 0x08;
pub(super) const INTMS: u32 = 0x0c;
pub(super) const INTMC: u32 = 0x10;
pub(super) const CC: u32 = 0x14;
pub(super) const CSTS: u32 = 0x1c;
pub(super) const NSSR: u32 = 0x20;

impl Controller {
    /// Reads a 32-bit controller register: a property over fabrics, BAR0 on PCIe. `offset` is a multiple of 4
    /// (NVMe base specification, "Controller Properties").
    ///
    /// # Errors
    /// [`Error::Command`] if the controller refuses, [`Error::InvalidArgument`] for another offset or one
    /// behind the end of BAR0, [`Error::Timeout`] after [the controller's](crate::ConnectOptions::timeout),
    /// [`Error::Interrupted`], [`Error::Dead`], [`Error::Submit`]; [`Error::Unsupported`] if the admin queue
    /// is full and this SPDK has no other way.
    pub fn read_register(&self, offset: u32) -> Result<u32> {
        aligned(offset)?;
        if let Some(answer) = self.property(offset, &Command::property_get(offset, false)) {
            return Ok(answer?[0]);
        }
        self.through_spdk(offset, move |ctrlr| {
            let mut value = 0;
            // SAFETY: the controller is open while its lane is locked, and the result is written to a local.
            let rc = unsafe { spdk_sys::shim_ctrlr_get_reg_4(ctrlr, offset, &mut value) };
            (rc, value)
        })
    }

    /// Reads a 64-bit controller register; `offset` is a multiple of 4.
    ///
    /// # Errors
    /// As [`read_register`](Self::read_register).
    pub fn read_register64(&self, offset: u32) -> Result<u64> {
        aligned(offset)?;
        if let Some(answer) = self.property(offset, &Command::property_get(offset, true)) {
            let [low, high] = answer?;
            return Ok(u64::from(low) | u64::from(high) << 32);
        }
        self.through_spdk(offset, move |ctrlr| {
            let mut value = 0;
            // SAFETY: as in read_register.
            let rc = unsafe { spdk_sys::shim_ctrlr_get_reg_8(ctrlr, offset, &mut value) };
            (rc, value)
        })
    }

    /// Writes a 32-bit controller register. What that does to the controller is up to the caller: see [what a
    /// device does with memory](crate::guide#what-a-device-does-with-memory).
    ///
    /// # Errors
    /// As [`read_register`](Self::read_register).
    pub fn write_register(&self, offset: u32, value: u32) -> Result<()> {
        aligned(offset)?;
        if let Some(answer) = self.property(offset, &Command::property_set(offset, value)) {
            return answer.map(drop);
        }
        self.through_spdk(offset, move |ctrlr| {
            // SAFETY: as in read_register.
            (unsafe { spdk_sys::shim_ctrlr_set_reg_4(ctrlr, offset, value) }, ())
        })
    }

    /// Accesses a property as any other admin command, so that nobody else is held up by it; dwords 0 and 1 of
    /// the answer. `None` where registers are no commands, and while the queue is full: SPDK has requests of its
    /// own for that.
    fn property(&self, offset: u32, command: &Command) -> Option<Result<[u32; 2]>> {
        self.inner.socket()?;
        let completion = match self.execute_within(command, None, self.inner.options().timeout) {
            Ok(completed) => completed.completion,
            Err(Error::QueueFull { .. }) => return None,
            Err(error) => return Some(Err(error)),
        };
        Some(match completion.is_success() {
            true => Ok([completion.cdw0, completion.cdw1]),
            false => Err(Error::Command { what: accessing(offset), status: completion.status() }),
        })
    }

    fn through_spdk<T: Send + 'static>(
        &self,
        offset: u32,
        call: impl FnOnce(*mut spdk_sys::spdk_nvme_ctrlr) -> (c_int, T) + Send + 'static,
    ) -> Result<T> {
        let timeout = self.inner.options().timeout;
        if self.inner.is_pcie() {
            return self.inner.access(offset, &Deadline::after(timeout), call);
        }
        // SPDK waits for the answer.
        let what = || format!("{} of {}", accessing(offset), self.inner.address());
        let inner = Arc::clone(&self.inner);
        on_helper(what, timeout, move |deadline| inner.access(offset, deadline, call))
    }
}

impl Inner {
    fn access<T>(
        &self,
        offset: u32,
        deadline: &Deadline,
        call: impl FnOnce(*mut spdk_sys::spdk_nvme_ctrlr) -> (c_int, T),
    ) -> Result<T> {
        let link = self.admin().lock().map_err(|e| self.explain(e))?;
        let scope = Scope::new(Some(self.admin().log()), None);
        let ((rc, value), ended) = bounded(deadline, || call(link.handle.as_ptr()));
        match (rc, scope.failure()) {
            (0, _) => Ok(value),
            _ if ended => {
                let what = format!("{} of {}", accessing(offset), self.address());
                Err(timed_out(what, self.options().timeout))
            }
            (_, Some(failure)) => {
                Err(Error::Command { what: accessing(offset), status: failure.completion.status() })
            }
            (rc, None) if rc == -libc::ERANGE => {
                // SAFETY: the controller is open while its lane is locked.
                let size = unsafe { spdk_sys::shim_ctrlr_bar_size(link.handle.as_ptr()) };
                Err(Error::InvalidArgument(format!(
                    "BAR0 has {size:#x} bytes; {offset:#x} is no register in it"
                )))
            }
            (rc, None) if rc == -libc::ENOTSUP => {
                Err(Error::Unsupported(format!("this SPDK gives no access to register {offset:#x}")))
            }
            _ => Err(self.dead("failed")),
        }
    }
}

fn accessing(offset: u32) -> String {
    format!("accessing register {offset:#x}")
}

fn aligned(offset: u32) -> Result<()> {
    match offset.is_multiple_of(4) {
        true => Ok(()),
        false => Err(Error::InvalidArgument(format!("register offsets are multiples of 4, not {offset:#x}"))),
    }
}
