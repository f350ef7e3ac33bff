//! `nvme.Pcie` and `nvme.Tcp`: the device under test.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nvme_spdk::{Address, ConnectOptions, Controller, DEFAULT_TCP_PORT};
use parking_lot::Mutex;
use pyo3::exceptions::{PyAssertionError, PyNotImplementedError};
use pyo3::prelude::*;

use crate::admin::Admin;
use crate::convert::Int;
use crate::errors;

/// A device: a PCIe address, or the address of an NVMe/TCP target.
///
/// Over TCP the controller is connected and initialised here, through discovery: the last I/O subsystem it
/// lists.
///
/// Parameters
/// ----------
/// addr : str
///     "0000:01:00.0", "01:00.0", "192.168.1.7", "192.168.1.7:4420" or a host name. An empty string stands for
///     the embedded target, where somebody provides one (the pytest plugin does).
/// port : int
///     TCP port; 0 is 4420.
/// nqn : str, optional
///     The subsystem to connect to; found by discovery if left out.
/// timeout : float
///     Seconds that connecting may take.
///
/// Raises
/// ------
/// NvmeEnumerateError
///     When the controller cannot be had; the text says why and what to do.
#[pyclass(frozen, subclass, module = "nvme")]
pub(crate) struct Pcie {
    text: String,
    admin: Arc<Admin>,
}

/// The address of an NVMe/TCP target: Pcie with the port it usually has.
///
/// Parameters
/// ----------
/// addr : str
///     "192.168.1.7", "192.168.1.7:4420" or a host name.
/// port : int
///     TCP port.
/// nqn : str, optional
///     The subsystem to connect to; found by discovery if left out.
/// timeout : float
///     Seconds that connecting may take.
///
/// Raises
/// ------
/// NvmeEnumerateError
///     When the controller cannot be had; the text says why and what to do.
#[pyclass(frozen, subclass, extends = Pcie, module = "nvme")]
pub(crate) struct Tcp;

/// Where to go for an empty address.
static DEFAULT_ADDRESS: OnceLock<Mutex<Option<Py<PyAny>>>> = OnceLock::new();

/// Says what an empty address stands for.
///
/// Parameters
/// ----------
/// provider : callable or None
///     Returns an address, without arguments; None removes it.
#[pyfunction]
pub(crate) fn set_default_address(provider: Option<Py<PyAny>>) {
    let before = std::mem::replace(&mut *DEFAULT_ADDRESS.get_or_init(Mutex::default).lock(), provider);
    // Outside the lock: dropping it may run Python code.
    drop(before);
}

/// Seconds that connecting may take unless told otherwise.
const TIMEOUT: f64 = 10.0;

#[pymethods]
impl Pcie {
    #[new]
    #[pyo3(
        signature = (addr, port=Int(0), *, nqn=None, timeout=TIMEOUT),
        text_signature = "(addr, port=0, *, nqn=None, timeout=10.0)"
    )]
    fn new(
        py: Python<'_>,
        addr: String,
        port: Int<u16>,
        nqn: Option<String>,
        timeout: f64,
    ) -> PyResult<Self> {
        connect(py, addr, port.0, nqn, timeout)
    }

    /// Closes the device: queue pairs that are left are deleted, outstanding commands aborted. Over TCP the
    /// association ends. Closing again does nothing; other uses of what belongs to the device raise
    /// AssertionError afterwards.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.controller().close());
        self.admin.forget();
    }

    /// Resets the device through its slot: a hot reset (PCI Express Base Specification, Hot Reset).
    /// Controller.reset() has to follow.
    ///
    /// Parameters
    /// ----------
    /// rst_fn : callable, optional
    ///     Does the reset instead, without arguments.
    ///
    /// Returns
    /// -------
    /// bool
    ///     True.
    ///
    /// Raises
    /// ------
    /// NotImplementedError
    ///     Over TCP: there is no slot.
    #[pyo3(signature = (rst_fn=None))]
    fn reset(&self, rst_fn: Option<Py<PyAny>>) -> PyResult<bool> {
        drop(rst_fn);
        Err(no_slot("reset()"))
    }

    /// Resets the function (PCI Express Base Specification, Function Level Reset). Controller.reset() has to
    /// follow.
    ///
    /// Returns
    /// -------
    /// bool
    ///     True.
    ///
    /// Raises
    /// ------
    /// NotImplementedError
    ///     Over TCP.
    fn flr(&self) -> PyResult<bool> {
        Err(no_slot("flr()"))
    }

    /// Reads a register of the PCI configuration space.
    ///
    /// Parameters
    /// ----------
    /// offset : int
    ///     Its first byte.
    /// byte_count : int
    ///     1 to 8.
    ///
    /// Returns
    /// -------
    /// int
    ///     Its bytes as a little-endian number.
    ///
    /// Raises
    /// ------
    /// NotImplementedError
    ///     Over TCP.
    #[pyo3(signature = (offset, byte_count=Int(4)), text_signature = "($self, offset, byte_count=4)")]
    fn register(&self, offset: Int<u32>, byte_count: Int<u32>) -> PyResult<u64> {
        let _ = (offset, byte_count);
        Err(no_slot("register()"))
    }

    /// Looks for a capability in the PCI configuration space (PCI Local Bus Specification, Capabilities
    /// List).
    ///
    /// Parameters
    /// ----------
    /// cap_id : int
    ///     Its identifier, 8 bits.
    ///
    /// Returns
    /// -------
    /// int or None
    ///     Its offset, or None if the device has no such capability.
    ///
    /// Raises
    /// ------
    /// NotImplementedError
    ///     Over TCP.
    fn cap_offset(&self, cap_id: Int<u8>) -> PyResult<Option<u8>> {
        let _ = cap_id;
        Err(no_slot("cap_offset()"))
    }

    /// Active State Power Management Control, 0 to 3 (PCI Express Base Specification, Link Control Register).
    ///
    /// Raises
    /// ------
    /// NotImplementedError
    ///     Over TCP.
    #[getter]
    fn aspm(&self) -> PyResult<u8> {
        Err(no_slot("aspm"))
    }

    #[setter]
    fn set_aspm(&self, value: Int<u8>) -> PyResult<()> {
        let _ = value;
        Err(no_slot("aspm"))
    }

    /// PCI power state, 0 (D0) to 3 (D3hot) (PCI Bus Power Management Interface Specification, PMCSR).
    ///
    /// Raises
    /// ------
    /// NotImplementedError
    ///     Over TCP.
    #[getter]
    fn power_state(&self) -> PyResult<u8> {
        Err(no_slot("power_state"))
    }

    #[setter]
    fn set_power_state(&self, value: Int<u8>) -> PyResult<()> {
        let _ = value;
        Err(no_slot("power_state"))
    }

    fn __getitem__(&self, index: &Bound<'_, PyAny>) -> PyResult<u8> {
        let _ = index;
        Err(no_slot("its configuration space"))
    }

    fn __setitem__(&self, index: &Bound<'_, PyAny>, value: Int<u8>) -> PyResult<()> {
        let _ = (index, value);
        Err(no_slot("its configuration space"))
    }

    fn __repr__(&self) -> String {
        format!("<device: {}>", self.text)
    }
}

#[pymethods]
impl Tcp {
    #[new]
    #[pyo3(
        signature = (addr, port=Int(DEFAULT_TCP_PORT), *, nqn=None, timeout=TIMEOUT),
        text_signature = "(addr, port=4420, *, nqn=None, timeout=10.0)"
    )]
    fn new(
        py: Python<'_>,
        addr: String,
        port: Int<u16>,
        nqn: Option<String>,
        timeout: f64,
    ) -> PyResult<PyClassInitializer<Self>> {
        let pcie = connect(py, addr, port.0, nqn, timeout)?;
        Ok(PyClassInitializer::from(pcie).add_subclass(Tcp))
    }
}

fn no_slot(what: &str) -> PyErr {
    PyNotImplementedError::new_err(format!("{what} belongs to PCIe; this device is connected over TCP"))
}

fn connect(py: Python<'_>, addr: String, port: u16, nqn: Option<String>, timeout: f64) -> PyResult<Pcie> {
    crate::rpc::serve()?;
    let text = if addr.is_empty() { default_address(py)? } else { addr };
    let mut address: Address =
        text.parse().map_err(|e: nvme_spdk::AddressError| errors::enumerate(e.of(&text)))?;
    // A port that stands in the address is the one meant.
    if let Address::Tcp { port: parsed, .. } = &mut address
        && *parsed == DEFAULT_TCP_PORT
        && port != 0
    {
        *parsed = port;
    }
    let timeout = Duration::try_from_secs_f64(timeout)
        .map_err(|_| PyAssertionError::new_err(format!("timeout is a number of seconds, not {timeout}")))?;
    let mut options = ConnectOptions::new().timeout(timeout);
    if let Some(nqn) = nqn {
        options = options.subnqn(nqn);
    }
    let controller = py.detach(|| Controller::attach(&address, options)).map_err(errors::enumerate)?;
    // As the original has it: the host alone.
    Ok(Pcie { text: address.traddr(), admin: Arc::new(Admin::new(controller)) })
}

fn default_address(py: Python<'_>) -> PyResult<String> {
    let provider =
        DEFAULT_ADDRESS.get_or_init(Mutex::default).lock().as_ref().map(|provider| provider.clone_ref(py));
    match provider {
        Some(provider) => provider.call0(py)?.extract(py),
        None => Err(errors::NvmeEnumerateError::new_err(
            "fail to create the controller: the address is empty; give the PCIe address of an SSD, the host of an \
             NVMe/TCP target, or run under pytest, whose plugin starts the embedded target",
        )),
    }
}

impl Pcie {
    pub(crate) fn controller(&self) -> &Controller {
        self.admin.controller()
    }

    pub(crate) fn admin(&self) -> &Arc<Admin> {
        &self.admin
    }

    pub(crate) fn address(&self) -> &str {
        &self.text
    }
}
