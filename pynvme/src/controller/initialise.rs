//! How a PCIe controller comes up: as usual, by a function of the script, or not at all.

use nvme_spdk::Error;
use pyo3::exceptions::{PyAssertionError, PyNotImplementedError};
use pyo3::prelude::*;
use pyo3::types::PyBool;

use super::Controller;
use crate::admin::info;
use crate::callback::warn;
use crate::convert::Int;
use crate::errors::{self, NvmeEnumerateError};

const CC: u32 = 0x14;

/// What the script said about initialisation.
pub(super) enum Initialisation {
    Usual,
    /// It runs already.
    Attached,
    Function(Py<PyAny>),
}

impl Initialisation {
    pub(super) fn of(argument: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let Some(argument) = argument else { return Ok(Initialisation::Usual) };
        match argument.cast::<PyBool>() {
            Ok(flag) if flag.is_true() => Ok(Initialisation::Attached),
            Err(_) if argument.is_callable() => Ok(Initialisation::Function(argument.clone().unbind())),
            _ => {
                Err(PyAssertionError::new_err("nvme_init_func is None, True or a function of the controller"))
            }
        }
    }

    /// Runs it; over TCP, connecting has done that.
    pub(super) fn run(&self, controller: &Bound<'_, Controller>) -> PyResult<()> {
        let (py, this) = (controller.py(), controller.get());
        match self {
            Initialisation::Attached => Ok(()),
            _ if this.over_fabrics() => this.admin.listen(py),
            Initialisation::Usual => {
                this.admin.forget();
                this.initialise(py)?;
                this.admin.listen(py)
            }
            Initialisation::Function(function) => {
                info(py, "user defined nvme init")?;
                function.call1(py, (controller,)).map(drop)
            }
        }
    }
}

impl Controller {
    pub(super) fn over_fabrics(&self) -> bool {
        self.inner().address().is_tcp()
    }

    fn initialise(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.inner().initialise()).map_err(|error| self.not_ready(error))?;
        for attempt in ["first", "retry"] {
            if self.find_namespaces(py)? {
                return Ok(());
            }
            if attempt == "first" {
                warn(py, "init namespaces first warning")?;
                py.import("time")?.call_method1("sleep", (1,))?;
            }
        }
        Err(NvmeEnumerateError::new_err("retry init namespaces failed"))
    }

    /// Whether there are any, from Identify Controller as it is now.
    fn find_namespaces(&self, py: Python<'_>) -> PyResult<bool> {
        py.detach(|| self.inner().read_identify()).map_err(errors::usual)?;
        Ok(self.inner().identify().number_of_namespaces() > 0)
    }

    /// As the original says it: after which of the two steps CSTS.RDY did not follow.
    fn not_ready(&self, error: Error) -> PyErr {
        match error {
            Error::Timeout { .. } => {
                let enabled = self.inner().read_register(CC).is_ok_and(|cc| cc & 1 == 1);
                let step = if enabled { "setting" } else { "clearing" };
                NvmeEnumerateError::new_err(format!("csts.rdy timeout after {step} cc.en"))
            }
            error => errors::enumerate(error),
        }
    }
}

#[pymethods]
impl Controller {
    /// Sets up the admin queue: registers AQA, ASQ and ACQ (NVMe Base Specification, Memory-Based Controller
    /// Initialization). A step of a PCIe initialisation of one's own.
    ///
    /// Returns
    /// -------
    /// int
    ///     0, or a negative number.
    ///
    /// Raises
    /// ------
    /// NotImplementedError
    ///     Over TCP: connecting has done this.
    fn init_adminq(&self, py: Python<'_>) -> PyResult<i32> {
        self.only_pcie("init_adminq()")?;
        self.admin.forget();
        py.detach(|| self.inner().enable_admin_queue()).map(|()| 0).map_err(errors::usual)
    }

    /// Finds the namespaces, from Identify Controller (NVMe Base Specification, Identify command). A step of a PCIe
    /// initialisation of one's own.
    ///
    /// Returns
    /// -------
    /// int
    ///     0, or a negative number: -1 when the controller has none.
    ///
    /// Raises
    /// ------
    /// NotImplementedError
    ///     Over TCP: connecting has done this.
    fn init_ns(&self, py: Python<'_>) -> PyResult<i32> {
        self.only_pcie("init_ns()")?;
        if self.find_namespaces(py)? {
            return Ok(0);
        }
        tracing::error!("controller has no namespace");
        Ok(-1)
    }

    /// Takes the answer to Set Features, Number of Queues (NVMe Base Specification, Set Features command). A
    /// step of a PCIe initialisation of one's own.
    ///
    /// Parameters
    /// ----------
    /// cdw0 : int
    ///     Dword 0 of the completion.
    ///
    /// Raises
    /// ------
    /// NotImplementedError
    ///     Over TCP: connecting has done this.
    fn init_queues(&self, cdw0: Int<u32>) -> PyResult<()> {
        self.only_pcie("init_queues()")?;
        self.inner().set_io_queues(cdw0.0).map_err(errors::usual)
    }
}

impl Controller {
    fn only_pcie(&self, what: &str) -> PyResult<()> {
        if !self.over_fabrics() {
            return Ok(());
        }
        Err(PyNotImplementedError::new_err(format!(
            "{what} belongs to the initialisation of a PCIe controller; this one was initialised when it was connected"
        )))
    }
}
