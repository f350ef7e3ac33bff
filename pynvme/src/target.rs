//! `nvme.Target`: the embedded target.

use parking_lot::Mutex;
use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::convert::Int;

/// An NVMe/TCP target on the loopback whose namespaces live in memory. It ends with stop(), and with this process.
///
/// Parameters
/// ----------
/// port : int
///     TCP port; 0 takes a free one.
/// megabytes : int
///     The size of each namespace.
/// namespaces : int
///     How many.
/// block_size : int
///     512 or 4096 bytes.
/// io_queues : int
///     I/O queues per controller.
#[pyclass(frozen, module = "nvme")]
pub(crate) struct Target {
    inner: Mutex<Option<nvme_spdk::Target>>,
    address: String,
}

#[pymethods]
impl Target {
    #[new]
    #[pyo3(signature = (port=Int(0), megabytes=Int(256), namespaces=Int(1), block_size=Int(512), io_queues=Int(32)))]
    fn new(
        py: Python<'_>,
        port: Int<u16>,
        megabytes: Int<u32>,
        namespaces: Int<u32>,
        block_size: Int<u32>,
        io_queues: Int<u16>,
    ) -> PyResult<Self> {
        let builder = nvme_spdk::Target::builder()
            .port(port.0)
            .megabytes(megabytes.0)
            .namespaces(namespaces.0)
            .block_size(block_size.0)
            .io_queues(io_queues.0);
        let target = py.detach(|| builder.start()).map_err(|error| match error {
            nvme_spdk::Error::Interrupted { .. } => crate::errors::usual(error),
            _ => PyRuntimeError::new_err(error.to_string()),
        })?;
        Ok(Target { address: target.address().to_string(), inner: Mutex::new(Some(target)) })
    }

    /// Where it listens, as "127.0.0.1:4420".
    #[getter]
    fn address(&self) -> &str {
        &self.address
    }

    /// Its process identifier; None once it is stopped.
    #[getter]
    fn pid(&self) -> Option<u32> {
        self.inner.lock().as_ref().map(nvme_spdk::Target::pid)
    }

    /// Whether it still runs.
    #[getter]
    fn running(&self) -> bool {
        self.inner.lock().as_ref().is_some_and(nvme_spdk::Target::is_running)
    }

    /// Stops it; stopping again does nothing.
    fn stop(&self, py: Python<'_>) {
        py.detach(|| drop(self.inner.lock().take()));
    }

    fn __enter__(slf: Bound<'_, Self>) -> Bound<'_, Self> {
        slf
    }

    #[pyo3(signature = (*_exception))]
    fn __exit__(&self, py: Python<'_>, _exception: &Bound<'_, pyo3::types::PyTuple>) {
        self.stop(py);
    }

    fn __repr__(&self) -> String {
        format!("<target: {}>", self.address)
    }
}
