//! `nvme.Controller`.

mod commands;
mod initialise;
mod media;

use std::sync::Arc;
use std::time::Duration;

use nvme_spdk::{Address, Command, DEFAULT_TCP_PORT, Data, Error, IDENTIFY_SIZE, names};
use pyo3::exceptions::{PyIndexError, PySystemError};
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::admin::Admin;
use crate::buffer::Buffer;
use crate::callback;
use crate::convert::{Int, ensure};
use crate::errors;
use crate::pcie::{Pcie, Tcp};
use initialise::Initialisation;

/// A controller: admin commands and registers.
///
/// Over NVMe/TCP connecting has initialised it: CC.EN, Identify, Number of Queues. One Asynchronous Event
/// Request is left outstanding.
///
/// Parameters
/// ----------
/// pcie : Pcie or Tcp
///     The device.
/// nvme_init_func : None, True or callable
///     How a PCIe controller is initialised: as usual, not at all (it runs already), or by a function that gets
///     the controller. Over TCP this is ignored.
///
/// Raises
/// ------
/// NvmeEnumerateError
///     When the device is closed or does not answer.
///
/// Notes
/// -----
/// All command methods return the controller and do not wait; call waitdone(), where the callbacks run. A
/// callback is called as ``cb(cpl)`` with the four dwords of the completion, or as ``cb(cdw0, status)``. A
/// completion with an error status is a warning, ``ERROR status: sct/sc``. At most 127 commands may be
/// outstanding. ``nvme0[offset]`` is a 32-bit register (NVMe Base Specification, Controller Properties).
#[pyclass(frozen, subclass, module = "nvme")]
pub(crate) struct Controller {
    admin: Arc<Admin>,
    address: String,
    /// It was attached to as it ran, so it cannot be reset from here.
    initialisation: Initialisation,
}

/// Milliseconds a command may take, unless set.
const TIMEOUT: u64 = 10_000;

/// The most that mdts tells, whatever the controller says.
const MOST_TRANSFER: u64 = 1 << 20;

/// Bytes of the controller registers that exist over fabrics (NVMe over Fabrics, "Property Get Command").
const PROPERTIES: u32 = 0x1000;

#[pymethods]
impl Controller {
    #[new]
    #[pyo3(signature = (pcie, nvme_init_func=None))]
    fn new(pcie: &Bound<'_, PyAny>, nvme_init_func: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let device = pcie.cast::<Pcie>()?;
        let exact = pcie.is_exact_instance_of::<Pcie>() || pcie.is_exact_instance_of::<Tcp>();
        ensure(exact, "a controller is made of a Pcie or Tcp object, not of a subclass")?;
        let initialisation = Initialisation::of(nvme_init_func)?;
        let pcie = device.get();
        if pcie.controller().is_closed() {
            return Err(errors::NvmeEnumerateError::new_err(
                "fail to create the controller: the device was closed; make a new Pcie object",
            ));
        }
        let controller = Controller {
            admin: Arc::clone(pcie.admin()),
            address: pcie.address().to_owned(),
            initialisation,
        };
        controller.set_timeout(Int(TIMEOUT));
        Ok(controller)
    }

    /// Here and not earlier: an initialisation of the script's own gets the controller.
    #[pyo3(signature = (pcie, nvme_init_func=None))]
    fn __init__(
        slf: &Bound<'_, Self>,
        pcie: &Bound<'_, PyAny>,
        nvme_init_func: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let _ = (pcie, nvme_init_func);
        slf.get().initialisation.run(slf)
    }

    /// The address of the device, good for another Pcie object: of a target at an unusual port with that port.
    #[getter]
    fn addr(&self) -> String {
        match self.inner().address() {
            Address::Tcp { port, .. } if *port != DEFAULT_TCP_PORT => self.inner().address().to_string(),
            _ => self.address.clone(),
        }
    }

    /// The 64-bit register at offset 0 (NVMe Base Specification, Controller Capabilities).
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When the device is closed.
    #[getter]
    fn cap(&self, py: Python<'_>) -> PyResult<u64> {
        py.detach(|| self.inner().read_register64(0)).map_err(errors::usual)
    }

    /// Milliseconds a command may take on any queue of the controller, 10000 unless set; holds for
    /// outstanding commands, too. 0 is no limit.
    ///
    /// A command that takes longer is a warning, ``drive timeout: qpair: %d, cid: %d``, and its callback gets
    /// a completion of all ones; it stays outstanding, and waitdone() goes on waiting for it, for 20 seconds
    /// more than this.
    #[getter]
    pub(crate) fn timeout(&self) -> u64 {
        self.inner()
            .command_timeout()
            .map_or(0, |timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX))
    }

    #[setter]
    pub(crate) fn set_timeout(&self, milliseconds: Int<u64>) {
        let timeout = (milliseconds.0 > 0).then(|| Duration::from_millis(milliseconds.0));
        self.inner().set_command_timeout(timeout);
    }

    /// Bytes of the largest transfer, at most 1 MiB: what Identify says now (NVMe Base Specification,
    /// Identify Controller data structure, MDTS; in units of CAP.MPSMIN).
    #[getter]
    fn mdts(&self, py: Python<'_>) -> PyResult<u64> {
        let power = self.identify_data(py, &Command::identify(1, 0))?.1[77];
        let page = 4096_u64 << (self.inner().cap() >> 48 & 0xf);
        Ok(match power {
            0 => MOST_TRANSFER,
            power => page.checked_shl(power.into()).map_or(MOST_TRANSFER, |most| most.min(MOST_TRANSFER)),
        })
    }

    /// Resets the controller and initialises it again (NVMe Base Specification, Controller Level Reset); over
    /// TCP by connecting anew.
    ///
    /// Queue pairs are gone afterwards and what was outstanding is forgotten; workers end with what they
    /// have. Namespaces and the timeout stay.
    ///
    /// Raises
    /// ------
    /// NvmeEnumerateError
    ///     When the device does not come back; reset() may be tried again.
    /// AssertionError
    ///     For a controller that was attached to as it ran (nvme_init_func=True).
    fn reset(slf: &Bound<'_, Self>) -> PyResult<()> {
        let (py, this) = (slf.py(), slf.get());
        ensure(
            !matches!(this.initialisation, Initialisation::Attached),
            "this controller was attached to as it ran; reset it where it was initialised",
        )?;
        this.admin.reset(py)?;
        this.initialisation.run(slf)
    }

    /// The identifier of the admin command that was sent last, also when the driver sent it.
    #[getter]
    fn latest_cid(&self) -> PyResult<u16> {
        self.inner().latest_cid().map_err(errors::usual)
    }

    /// Microseconds that the admin command took which completed last.
    #[getter]
    fn latest_latency(&self) -> PyResult<u128> {
        Ok(self.inner().latest_latency().map_err(errors::usual)?.as_micros())
    }

    /// Waits for admin commands and runs their callbacks. Asynchronous events are reported and do not count;
    /// each is followed by another request with the callback that aer() got last.
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
    ///     After 20 seconds more than ``timeout``.
    /// ConnectionError
    ///     When the device is gone.
    /// AssertionError
    ///     When called from a callback.
    #[pyo3(
        signature = (expected=Int(1)),
        text_signature = "($self, expected=1)"
    )]
    fn waitdone(&self, py: Python<'_>, expected: Int<u32>) -> PyResult<u32> {
        self.admin.waitdone(py, expected.0, self.timeout())
    }

    /// The name of an admin command (NVMe Base Specification, Opcodes for Admin Commands).
    ///
    /// Parameters
    /// ----------
    /// opcode : int
    ///     8 bits.
    ///
    /// Returns
    /// -------
    /// str
    ///     "Unknown" where the specification has none.
    #[staticmethod]
    fn cmdname(opcode: Int<u32>) -> PyResult<&'static str> {
        ensure(opcode.0 < 256, "an opcode has 8 bits")?;
        Ok(names::admin_command(opcode.0 as u8))
    }

    /// Whether the controller supports a command: bit 0 of its entry in the log page 05h (NVMe Base
    /// Specification, Commands Supported and Effects).
    ///
    /// Parameters
    /// ----------
    /// opcode : int
    ///     An admin opcode, or 256 + an I/O opcode.
    ///
    /// Returns
    /// -------
    /// bool
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When the opcode is 512 or more.
    pub(crate) fn supports(&self, py: Python<'_>, opcode: Int<u32>) -> PyResult<bool> {
        ensure(opcode.0 < 512, "an opcode is less than 256; I/O opcodes are asked for with 256 added")?;
        let (_, log) = self.fetch(py, &Command::get_log_page(5, u32::MAX, 0, 4096), 4096)?;
        Ok(log[4 * opcode.0 as usize] & 1 != 0)
    }

    /// Prints the newest commands of the admin queue on standard error, newest first.
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
        crate::log::print_cmdlog(&self.address, self.inner().cmdlog(), count.0);
    }

    /// The newest commands of the admin queue, newest first.
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
        crate::log::cmdlog_entries(py, self.inner().cmdlog(), count.0)
    }

    /// A 32-bit controller register: a property over fabrics, BAR0 on PCIe.
    fn __getitem__(&self, py: Python<'_>, offset: Int<u32>) -> PyResult<u32> {
        self.check_register(offset.0, "read")?;
        match py.detach(|| self.inner().read_register(offset.0)) {
            // What a register reads when nobody answers.
            Ok(u32::MAX) => Err(PySystemError::new_err(())),
            Ok(value) => Ok(value),
            Err(error) => Err(no_register(error)),
        }
    }

    fn __setitem__(&self, py: Python<'_>, offset: Int<u32>, value: Int<u32>) -> PyResult<()> {
        self.check_register(offset.0, "write")?;
        py.detach(|| self.inner().write_register(offset.0, value.0)).map_err(no_register)
    }

    fn __repr__(&self) -> String {
        format!("<controller: {}>", self.address)
    }
}

impl Controller {
    /// Ends the use of a PCIe device, until the next reset.
    pub(crate) fn let_go(&self, py: Python<'_>) -> PyResult<()> {
        self.admin.let_go(py)
    }

    fn check_register(&self, offset: u32, access: &str) -> PyResult<()> {
        ensure(offset.is_multiple_of(4), format!("only support 4-byte aligned NVMe register {access}"))?;
        if self.over_fabrics() && offset >= PROPERTIES {
            return Err(PyIndexError::new_err(format!(
                "there is no register at {offset:#x}: over fabrics they end at {PROPERTIES:#x}"
            )));
        }
        Ok(())
    }
}

fn no_register(error: Error) -> PyErr {
    match error {
        Error::Command { what, status, .. } => PyIndexError::new_err(format!("{what} failed: {status}")),
        Error::InvalidArgument(why) => PyIndexError::new_err(why),
        error => errors::usual(error),
    }
}

fn send<'py>(
    slf: Bound<'py, Controller>,
    command: &Command,
    buffer: Option<Bound<'py, Buffer>>,
    size: Option<usize>,
    cb: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, Controller>> {
    let callback = callback::check(cb)?;
    let data = buffer.as_ref().map(|buffer| data_of(buffer.get(), size)).transpose();
    let token = slf.get().admin.submit(slf.py(), command, data, callback)?;
    if let Some(buffer) = buffer {
        let place = (buffer.get().memory(), buffer.get().offset());
        slf.get().admin.watched().note(token.index(), command, place);
    }
    Ok(slf)
}

fn data_of(buffer: &Buffer, size: Option<usize>) -> Result<Data, Error> {
    match size {
        Some(size) => Data::new(buffer.memory(), buffer.offset(), size),
        None => buffer.raw_data(),
    }
}

impl Controller {
    pub(crate) fn inner(&self) -> &nvme_spdk::Controller {
        self.admin.controller()
    }

    pub(crate) fn admin(&self) -> &Admin {
        &self.admin
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }

    /// Sends a command that returns data, and waits for it; dword 0 and the data.
    pub(crate) fn fetch(&self, py: Python<'_>, command: &Command, len: usize) -> PyResult<(u32, Vec<u8>)> {
        let buffer = nvme_spdk::DmaBuf::new(len).map_err(errors::usual)?;
        let completion = self.admin.execute(py, command, Some(Data::from(&buffer)), self.timeout())?;
        Ok((completion.cdw0, buffer.to_vec(0..len)))
    }

    pub(crate) fn identify_data(&self, py: Python<'_>, command: &Command) -> PyResult<(u32, Vec<u8>)> {
        self.fetch(py, command, IDENTIFY_SIZE)
    }
}
