//! `nvme.Target`: the embedded target.

use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::convert::Int;

/// An NVMe/TCP target on the loopback whose namespaces live in memory. It ends with stop(), and with this
/// process.
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
///     Bytes: a power of two from 512 to 65536.
/// io_queues : int
///     I/O queues per controller, 1 to 65534.
/// listen : str
///     The IP address it listens on, one of this host's.
/// folder : path, optional
///     Keeps the namespaces in files of this folder, so that what was written survives the target.
#[pyclass(frozen, module = "nvme")]
pub(crate) struct Target {
    inner: Mutex<Option<Arc<nvme_spdk::Target>>>,
    address: String,
}

#[pymethods]
impl Target {
    #[new]
    #[pyo3(
        signature = (
            port=Int(0), megabytes=Int(256), namespaces=Int(1), block_size=Int(512), io_queues=Int(32),
            listen="127.0.0.1", folder=None
        ),
        text_signature = "(port=0, megabytes=256, namespaces=1, block_size=512, io_queues=32, listen='127.0.0.1', \
                          folder=None)"
    )]
    // The signature that scripts see.
    #[expect(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        port: Int<u16>,
        megabytes: Int<u32>,
        namespaces: Int<u32>,
        block_size: Int<u32>,
        io_queues: Int<u16>,
        listen: &str,
        folder: Option<std::path::PathBuf>,
    ) -> PyResult<Self> {
        let listen = listen.parse().map_err(|_| {
            PyValueError::new_err(format!("listen is an IP address of this host, not {listen:?}"))
        })?;
        let mut builder = nvme_spdk::Target::builder()
            .port(port.0)
            .megabytes(megabytes.0)
            .namespaces(namespaces.0)
            .block_size(block_size.0)
            .io_queues(io_queues.0)
            .listen(listen);
        if let Some(folder) = folder {
            builder = builder.folder(folder);
        }
        let target = py.detach(|| builder.start()).map_err(|error| match error {
            nvme_spdk::Error::Interrupted { .. } => crate::errors::usual(error),
            nvme_spdk::Error::InvalidArgument(why) => PyValueError::new_err(why),
            _ => PyRuntimeError::new_err(error.to_string()),
        })?;
        Ok(Target { address: target.address().to_string(), inner: Mutex::new(Some(Arc::new(target))) })
    }

    /// Where it listens, as "127.0.0.1:4420".
    #[getter]
    fn address(&self) -> &str {
        &self.address
    }

    /// The NVMe Qualified Name of its subsystem (NVMe Base Specification, NVMe Qualified Names); None once it
    /// is stopped.
    #[getter]
    fn subnqn(&self) -> Option<String> {
        self.inner.lock().as_ref().map(|target| target.subnqn().to_owned())
    }

    /// Calls a method of its JSON-RPC server, which is SPDK's: namespaces come and go, devices slow down or
    /// fail.
    ///
    /// Parameters
    /// ----------
    /// method : str
    ///     As SPDK's documentation names it.
    /// params : dict, optional
    ///     Its parameters.
    ///
    /// Returns
    /// -------
    /// object
    ///     The result, from JSON.
    ///
    /// Raises
    /// ------
    /// RuntimeError
    ///     With what the target says about it.
    #[pyo3(signature = (method, params=None))]
    fn rpc<'py>(
        &self,
        py: Python<'py>,
        method: &str,
        params: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let json = py.import("json")?;
        let params = match params {
            Some(params) => {
                let text: String = json.call_method1("dumps", (params,))?.extract()?;
                serde_json::from_str(&text).map_err(|e| PyRuntimeError::new_err(e.to_string()))?
            }
            None => serde_json::Value::Null,
        };
        // Not under the lock: an answer may take seconds.
        let target = self.inner.lock().clone();
        let result = py.detach(|| match target {
            Some(target) => target.rpc(method, params).map_err(|error| match error {
                nvme_spdk::Error::Interrupted { .. } => crate::errors::usual(error),
                _ => PyRuntimeError::new_err(error.to_string()),
            }),
            None => Err(PyRuntimeError::new_err("the target was stopped")),
        });
        let result = result?;
        json.call_method1("loads", (result.to_string(),))
    }

    /// Its process identifier; None once it is stopped.
    #[getter]
    fn pid(&self) -> Option<u32> {
        self.inner.lock().as_ref().map(|target| target.pid())
    }

    /// Whether it still runs.
    #[getter]
    fn running(&self) -> bool {
        self.inner.lock().as_ref().is_some_and(|target| target.is_running())
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
