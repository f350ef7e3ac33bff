//! `nvme.Pcie` and `nvme.Tcp`: the device under test.

mod config;

use std::sync::{Arc, OnceLock};

use nvme_spdk::pci::Function;
use nvme_spdk::{Address, ConnectOptions, Controller, DEFAULT_TCP_PORT};
use parking_lot::Mutex;
use pyo3::exceptions::{PyNotImplementedError, PyTypeError};
use pyo3::prelude::*;

use crate::admin::{Admin, info};
use crate::convert::{Flag, Int, OptionalInt, seconds};
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
    /// `None` over TCP.
    function: Option<Function>,
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
/// hostnqn : str, optional
///     The name this host gives itself; by default one made from a random UUID.
/// hdgst, ddgst : bool
///     Digests over PDU headers and data (NVMe/TCP Transport Specification, Digests). A target that does not do
///     them is refused.
/// kato : float
///     Keep-alive timeout in seconds that the controller is told, in steps of a millisecond; 0 switches it off.
///     Keep Alive commands are sent whatever the script does meanwhile.
/// queues : int
///     How many I/O queues the controller is asked for; 0 asks for 1024. It may grant less.
/// tos : int, optional
///     Type of service of the packets that go out, 0 to 255: DSCP in the upper six bits.
/// reconnect : float
///     Seconds that connecting and Controller.reset() go on trying while the target is not there.
/// timeout : float
///     Seconds that connecting may take; each try, if there are several.
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
pub(crate) const TIMEOUT: f64 = 10.0;

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
        connect(py, addr, port.0, options(nqn, timeout)?)
    }

    /// Closes the device: queue pairs that are left are deleted, outstanding commands aborted. Over TCP the
    /// association ends. Closing again does nothing; other uses of what belongs to the device raise
    /// AssertionError afterwards.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        py.detach(|| self.controller().close());
        self.admin.forget();
        errors::settle()
    }

    /// Resets the device in its slot: a hot reset (PCI Express Base Specification, Conventional Reset).
    /// Controller.reset() has to follow.
    ///
    /// The device is unbound from its driver and removed, its upstream port holds it in reset for 10 ms, and
    /// after 500 ms the bus is scanned and the device bound again. Workers end, queue pairs are gone.
    ///
    /// Parameters
    /// ----------
    /// rst_fn : callable, optional
    ///     Does the reset instead of the port, without arguments. What it raises is raised when the device is back.
    ///
    /// Returns
    /// -------
    /// bool
    ///     True.
    ///
    /// Raises
    /// ------
    /// OSError
    ///     When the kernel refuses a step; the text says which, and how to get the device back.
    /// TimeoutError
    ///     When a step takes more than 20 seconds.
    /// NotImplementedError
    ///     Over TCP, and for a device without an upstream port.
    #[pyo3(signature = (rst_fn=None))]
    fn reset(&self, py: Python<'_>, rst_fn: Option<Bound<'_, PyAny>>) -> PyResult<bool> {
        let function = self.function("reset()")?;
        if rst_fn.as_ref().is_some_and(|rst_fn| !rst_fn.is_callable()) {
            return Err(PyTypeError::new_err("rst_fn is None or a function without arguments"));
        }
        self.let_go(py)?;
        match rst_fn.map(Bound::unbind) {
            None => py.detach(|| function.hot_reset()).map_err(errors::usual)?,
            Some(rst_fn) => {
                let call = || Python::attach(|py| rst_fn.call0(py).map(drop));
                py.detach(|| function.hot_reset_with(call)).map_err(errors::usual)??;
            }
        }
        info(py, "reset controller to use it after pcie reset")?;
        Ok(true)
    }

    /// Resets the function (PCI Express Base Specification, Function Level Reset). Controller.reset() has to
    /// follow.
    ///
    /// Afterwards the device is unbound from its driver, removed, found again and bound again. Workers end, queue
    /// pairs are gone.
    ///
    /// Returns
    /// -------
    /// bool
    ///     True.
    ///
    /// Raises
    /// ------
    /// OSError
    ///     When the kernel refuses a step; the text says which, and how to get the device back.
    /// TimeoutError
    ///     When a step takes more than 20 seconds.
    /// NotImplementedError
    ///     Over TCP, and for a device without Function Level Reset.
    fn flr(&self, py: Python<'_>) -> PyResult<bool> {
        let function = self.function("flr()")?;
        self.let_go(py)?;
        py.detach(|| function.flr().and_then(|()| function.reenumerate())).map_err(errors::usual)?;
        info(py, "reset controller to use it after function level reset")?;
        Ok(true)
    }

    /// Binds the device to a driver of the kernel; close it before.
    fn _bind_driver(&self, py: Python<'_>, name: &str) -> PyResult<()> {
        let function = self.function("_bind_driver()")?;
        py.detach(|| function.bind(name)).map(drop).map_err(errors::usual)
    }

    /// Makes the kernel look for new devices on the PCI bus.
    fn _rescan(&self, py: Python<'_>) -> PyResult<()> {
        let function = self.function("_rescan()")?;
        py.detach(|| function.bus().rescan()).map_err(errors::usual)
    }

    fn __repr__(&self) -> String {
        format!("<device: {}>", self.text)
    }
}

#[pymethods]
impl Tcp {
    #[new]
    #[pyo3(
        signature = (
            addr, port=Int(DEFAULT_TCP_PORT), *, nqn=None, hostnqn=None, hdgst=Flag(false), ddgst=Flag(false),
            kato=0.0, queues=Int(0), tos=None, reconnect=0.0, timeout=TIMEOUT
        ),
        text_signature = "(addr, port=4420, *, nqn=None, hostnqn=None, hdgst=False, ddgst=False, kato=0.0, \
                          queues=0, tos=None, reconnect=0.0, timeout=10.0)"
    )]
    // The signature that scripts see.
    #[expect(clippy::too_many_arguments)]
    fn new(
        py: Python<'_>,
        addr: String,
        port: Int<u16>,
        nqn: Option<String>,
        hostnqn: Option<String>,
        hdgst: Flag,
        ddgst: Flag,
        kato: f64,
        queues: Int<u16>,
        tos: OptionalInt<u8>,
        reconnect: f64,
        timeout: f64,
    ) -> PyResult<PyClassInitializer<Self>> {
        let mut options = options(nqn, timeout)?
            .header_digest(hdgst.0)
            .data_digest(ddgst.0)
            .keep_alive(seconds("kato", kato)?)
            .io_queues(queues.0)
            .reconnect_for(seconds("reconnect", reconnect)?);
        if let Some(hostnqn) = hostnqn {
            options = options.hostnqn(hostnqn);
        }
        if let Some(tos) = tos {
            options = options.type_of_service(tos.0);
        }
        let pcie = connect(py, addr, port.0, options)?;
        Ok(PyClassInitializer::from(pcie).add_subclass(Tcp))
    }
}

fn options(nqn: Option<String>, timeout: f64) -> PyResult<ConnectOptions> {
    let options = ConnectOptions::new().timeout(seconds("timeout", timeout)?);
    Ok(match nqn {
        Some(nqn) => options.subnqn(nqn),
        None => options,
    })
}

fn no_slot(what: &str) -> PyErr {
    PyNotImplementedError::new_err(format!("{what} belongs to PCIe; this device is connected over TCP"))
}

/// The address that a text and a port mean, and its text.
pub(crate) fn parse(py: Python<'_>, addr: String, port: u16) -> PyResult<(String, Address)> {
    crate::rpc::serve()?;
    let text = if addr.is_empty() { default_address(py)? } else { addr };
    let mut address: Address =
        text.parse().map_err(|e: nvme_spdk::AddressError| errors::enumerate(e.into()))?;
    // A port that stands in the address is the one meant.
    if let Address::Tcp { port: parsed, .. } = &mut address
        && *parsed == DEFAULT_TCP_PORT
        && port != 0
    {
        *parsed = port;
    }
    Ok((text, address))
}

fn connect(py: Python<'_>, addr: String, port: u16, options: ConnectOptions) -> PyResult<Pcie> {
    let (_, address) = parse(py, addr, port)?;
    let controller = py.detach(|| Controller::attach(&address, options)).map_err(errors::enumerate)?;
    let function = match &address {
        Address::Pcie(function) => Some(Function::open(*function).map_err(errors::enumerate)?),
        _ => None,
    };
    // As the original has it: the host alone.
    Ok(Pcie { text: address.traddr(), admin: Arc::new(Admin::new(controller)), function })
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
    /// The PCI function, for what only that has.
    fn function(&self, what: &str) -> PyResult<&Function> {
        self.function.as_ref().ok_or_else(|| no_slot(what))
    }

    /// Ends workers and the use of the device, so that it can be reset or removed.
    pub(crate) fn let_go(&self, py: Python<'_>) -> PyResult<()> {
        self.admin.let_go(py)
    }

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
