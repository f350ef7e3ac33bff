//! `nvme.Qpair`.

use std::time::Duration;

use nvme_spdk::{Completed, Error, Token};
use pyo3::exceptions::PyAssertionError;
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::callback::{self, Callbacks};
use crate::controller::Controller;
use crate::convert::{Int, ensure};
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
}

#[pymethods]
impl Qpair {
    #[new]
    #[pyo3(signature = (nvme, depth, prio=Int(0), ien=true, iv=Int(0xffff)))]
    fn new(
        py: Python<'_>,
        nvme: &Bound<'_, Controller>,
        depth: Int<i64>,
        prio: Int<u8>,
        ien: bool,
        iv: Int<u16>,
    ) -> PyResult<Self> {
        // Interrupts are a matter of PCIe.
        let _ = (ien, iv);
        ensure((2..=1024).contains(&depth.0), "qdepth should be in [2, 1024]")?;
        let controller = nvme.get().inner();
        let most = i64::from(controller.max_queue_entries());
        ensure(depth.0 <= most, "qpair depth is larger than specification")?;
        let depth = u16::try_from(depth.0)?;
        let inner = py
            .detach(|| controller.create_qpair_with_priority(depth, prio.0))
            .map_err(errors::qpair_creation)?;
        Ok(Qpair { inner, controller: nvme.clone().unbind(), callbacks: Callbacks::default() })
    }

    /// Its identifier; 0 once it is deleted.
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
    ///     How many commands to wait for.
    ///
    /// Returns
    /// -------
    /// int
    ///     Dword 0 of the completion that was dispatched last.
    #[pyo3(signature = (expected=Int(1)))]
    fn waitdone(&self, py: Python<'_>, expected: Int<u32>) -> PyResult<u32> {
        wait::waitdone(py, self, expected.0, self.controller.get().timeout())
    }

    /// Prints the newest commands of the queue on standard error; 0 prints all of them.
    #[pyo3(signature = (count=Int(0)))]
    fn cmdlog(&self, count: Int<usize>) {
        crate::log::print_cmdlog(self.controller.get().address(), self.inner.cmdlog(), count.0);
    }

    /// The newest commands as dicts, newest first; 0 returns all of them. Keys: submitted, command, sqe,
    /// completion, cqe, latency_us; the last three are None for an outstanding command.
    #[pyo3(signature = (count=Int(0)))]
    fn cmdlog_entries<'py>(&self, py: Python<'py>, count: Int<usize>) -> PyResult<Bound<'py, PyList>> {
        crate::log::cmdlog_entries(py, self.inner.cmdlog(), count.0)
    }

    /// Deletes it. Outstanding commands are dropped, their callbacks do not run. Deleting again does nothing.
    fn delete(&self, py: Python<'_>) {
        py.detach(|| self.inner.delete());
        self.callbacks.clear();
    }

    /// Queue pairs are deleted, not closed.
    fn close(&self) -> PyResult<()> {
        Err(PyAssertionError::new_err("use Qpair.delete()"))
    }

    fn __repr__(&self) -> String {
        format!("<qpair: {}>", self.sqid())
    }
}

impl Qpair {
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
