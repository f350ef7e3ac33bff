//! `nvme.Qpair`.

use std::sync::Arc;
use std::time::Duration;

use nvme_spdk::{CmdLog, Completed, Error, QpairOptions, Token};
use pyo3::exceptions::{PyAssertionError, PyNotImplementedError};
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::callback::{self, Callbacks};
use crate::controller::Controller;
use crate::convert::{Flag, Int, ensure};
use crate::errors;
use crate::wait::{self, Queue};

/// An I/O queue pair.
///
/// Parameters
/// ----------
/// nvme : Controller
///     Its controller.
/// depth : int
///     Entries, 2 to 1024; one command less may be outstanding.
/// prio : int
///     Priority class for weighted round robin: 0 urgent, 1 high, 2 medium, 3 low.
/// ien : bool
///     Interrupts enabled (PCIe only).
/// iv : int
///     Interrupt vector (PCIe only).
///
/// Raises
/// ------
/// QpairCreationError
///     When the controller does not grant it.
#[pyclass(frozen, subclass, module = "nvme")]
pub(crate) struct Qpair {
    inner: nvme_spdk::Qpair,
    controller: Py<Controller>,
    callbacks: Callbacks,
}

impl Queue for Qpair {
    fn qid(&self) -> u16 {
        self.inner.qid()
    }

    fn wait(&self, timeout: Duration) -> Result<usize, Error> {
        self.inner.wait(timeout)
    }

    fn next(&self) -> Result<Option<Completed>, Error> {
        self.inner.next_completion()
    }

    fn callbacks(&self) -> &Callbacks {
        &self.callbacks
    }

    fn log(&self) -> Arc<CmdLog> {
        Arc::clone(self.inner.cmdlog())
    }
}

#[pymethods]
impl Qpair {
    #[new]
    #[pyo3(
        signature = (nvme, depth, prio=Int(0), ien=Flag(true), iv=Int(0xffff)),
        text_signature = "(nvme, depth, prio=0, ien=True, iv=0xffff)"
    )]
    fn new(
        py: Python<'_>,
        nvme: &Bound<'_, Controller>,
        depth: Int<i64>,
        prio: Int<u8>,
        ien: Flag,
        iv: Int<u16>,
    ) -> PyResult<Self> {
        ensure((2..=1024).contains(&depth.0), "qdepth should be in [2, 1024]")?;
        let controller = nvme.get().inner();
        let most = i64::from(controller.max_queue_entries());
        ensure(depth.0 <= most, "qpair depth is larger than specification")?;
        let options = QpairOptions::new(u16::try_from(depth.0)?).priority(prio.0);
        let options = match (ien.0, iv.0) {
            (false, _) => options,
            (true, OWN_VECTOR) => options.own_interrupt(),
            (true, vector) => options.interrupt(vector),
        };
        let inner = py.detach(|| controller.create_qpair_with(options)).map_err(errors::qpair_creation)?;
        Ok(Qpair { inner, controller: nvme.clone().unbind(), callbacks: Callbacks::default() })
    }

    /// Its identifier, 1 or more; 0 once it is deleted.
    #[getter]
    fn sqid(&self) -> u16 {
        if self.inner.is_deleted() { 0 } else { self.inner.qid() }
    }

    /// The identifier of the command that was sent last.
    #[getter]
    fn latest_cid(&self) -> PyResult<u16> {
        self.inner.latest_cid().map_err(errors::usual)
    }

    /// Microseconds that the command took which completed last.
    #[getter]
    fn latest_latency(&self) -> PyResult<u128> {
        Ok(self.inner.latest_latency().map_err(errors::usual)?.as_micros())
    }

    /// Waits for commands of this queue and runs their callbacks.
    ///
    /// Parameters
    /// ----------
    /// expected : int
    ///     How many commands to wait for; 0 returns at once.
    ///
    /// Returns
    /// -------
    /// int
    ///     Dword 0 of the completion that was dispatched last, on whichever queue.
    ///
    /// Raises
    /// ------
    /// TimeoutError
    ///     After 20 seconds more than Controller.timeout.
    /// ConnectionError
    ///     When the device is gone.
    /// AssertionError
    ///     When the queue is deleted, when called from a callback.
    #[pyo3(
        signature = (expected=Int(1)),
        text_signature = "($self, expected=1)"
    )]
    fn waitdone(&self, py: Python<'_>, expected: Int<u32>) -> PyResult<u32> {
        wait::waitdone(py, self, expected.0, self.controller.get().timeout())
    }

    /// Prints the newest commands of the queue on standard error, newest first.
    ///
    /// Parameters
    /// ----------
    /// count : int
    ///     How many; 0 prints all that are recorded, at most 2050.
    #[pyo3(
        signature = (count=Int(0)),
        text_signature = "($self, count=0)"
    )]
    fn cmdlog(&self, count: Int<usize>) {
        crate::log::print_cmdlog(self.controller.get().address(), self.inner.cmdlog(), count.0);
    }

    /// The newest commands of the queue, newest first.
    ///
    /// Parameters
    /// ----------
    /// count : int
    ///     How many; 0 returns all that are recorded, at most 2050.
    ///
    /// Returns
    /// -------
    /// list of dict
    ///     ``submitted`` (local time), ``command`` (text), ``sqe`` (16 dwords), ``completion`` (text),
    ///     ``cqe`` (4 dwords) and ``latency_us``; the last three are None for an outstanding command.
    #[pyo3(
        signature = (count=Int(0)),
        text_signature = "($self, count=0)"
    )]
    fn cmdlog_entries<'py>(&self, py: Python<'py>, count: Int<usize>) -> PyResult<Bound<'py, PyList>> {
        crate::log::cmdlog_entries(py, self.inner.cmdlog(), count.0)
    }

    /// Deletes it (NVMe Base Specification, Delete I/O Submission Queue command). Outstanding commands are
    /// dropped, their callbacks do not run. Deleting again does nothing.
    ///
    /// Raises
    /// ------
    /// QpairDeletionError
    ///     When the controller refuses; the host has given it up all the same.
    fn delete(&self, py: Python<'_>) -> PyResult<()> {
        let deleted = py.detach(|| self.inner.delete());
        self.callbacks.clear();
        deleted.map_err(errors::qpair_deletion).and_then(|()| errors::settle())
    }

    /// Queue pairs are deleted, not closed.
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     Always: use delete().
    fn close(&self) -> PyResult<()> {
        Err(PyAssertionError::new_err("use Qpair.delete()"))
    }

    /// Whether the interrupt of the queue's vector has come since it was cleared (PCI Express Base
    /// Specification, MSI-X).
    ///
    /// Returns
    /// -------
    /// bool
    ///
    /// Raises
    /// ------
    /// NotImplementedError
    ///     Over TCP: there are no interrupts.
    fn msix_isset(&self) -> PyResult<bool> {
        self.interrupt("msix_isset()", |qpair| qpair.interrupted())
    }

    /// Forgets the interrupt that has come (PCI Express Base Specification, MSI-X).
    ///
    /// Raises
    /// ------
    /// NotImplementedError
    ///     Over TCP: there are no interrupts.
    fn msix_clear(&self) -> PyResult<()> {
        self.interrupt("msix_clear()", |qpair| qpair.clear_interrupt())
    }

    /// Masks the queue's vector: its interrupt waits (PCI Express Base Specification, MSI-X).
    ///
    /// Raises
    /// ------
    /// NotImplementedError
    ///     Over TCP: there are no interrupts.
    fn msix_mask(&self) -> PyResult<()> {
        self.interrupt("msix_mask()", |qpair| qpair.mask_interrupt(true))
    }

    /// Unmasks the queue's vector: an interrupt that has waited comes (PCI Express Base Specification, MSI-X).
    ///
    /// Raises
    /// ------
    /// NotImplementedError
    ///     Over TCP: there are no interrupts.
    fn msix_unmask(&self) -> PyResult<()> {
        self.interrupt("msix_unmask()", |qpair| qpair.mask_interrupt(false))
    }

    fn __repr__(&self) -> String {
        format!("<qpair: {}>", self.sqid())
    }
}

/// The vector that has the number of the queue.
const OWN_VECTOR: u16 = 0xffff;

impl Qpair {
    fn interrupt<T>(
        &self,
        what: &str,
        call: impl FnOnce(&nvme_spdk::Qpair) -> Result<T, Error>,
    ) -> PyResult<T> {
        call(&self.inner).map_err(|error| match error {
            Error::Unsupported(why) => PyNotImplementedError::new_err(format!("{what}: {why}")),
            error => errors::usual(error),
        })
    }

    pub(crate) fn submit(
        &self,
        py: Python<'_>,
        cb: Option<Bound<'_, PyAny>>,
        kind: &'static str,
        send: impl FnOnce(&nvme_spdk::Qpair) -> Result<Token, Error>,
    ) -> PyResult<()> {
        let callback = callback::check(cb)?;
        match send(&self.inner) {
            Ok(token) => self.callbacks.keep(token, callback),
            Err(error) => return Err(callback::refuse(py, error, callback.as_ref(), kind)),
        }
        Ok(())
    }
}
