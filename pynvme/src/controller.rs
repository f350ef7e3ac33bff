//! `nvme.Controller`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use nvme_spdk::{Command, Completed, Data, Error, IDENTIFY_SIZE, names};
use pyo3::exceptions::{PyIndexError, PySystemError};
use pyo3::prelude::*;
use pyo3::types::PyList;

use crate::buffer::Buffer;
use crate::callback::{self, Callbacks};
use crate::convert::{Int, OptionalInt, ensure};
use crate::errors;
use crate::pcie::{Pcie, Tcp};
use crate::wait::{self, Queue};

/// A controller: admin commands and registers.
///
/// Parameters
/// ----------
/// pcie : Pcie or Tcp
///     The device.
/// nvme_init_func : None, True or callable
///     How a PCIe controller is initialised. Over TCP connecting has done it already and this is ignored.
#[pyclass(frozen, subclass, module = "nvme")]
pub(crate) struct Controller {
    inner: nvme_spdk::Controller,
    address: String,
    callbacks: Callbacks,
    timeout: AtomicU64,
}

/// Milliseconds a command may take, unless set.
const TIMEOUT: u64 = 10_000;

/// The most that mdts tells, whatever the controller says.
const MOST_TRANSFER: u64 = 1 << 20;

impl Queue for Controller {
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
impl Controller {
    #[new]
    #[pyo3(signature = (pcie, nvme_init_func=None))]
    fn new(pcie: &Bound<'_, PyAny>, nvme_init_func: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        let exact = pcie.is_exact_instance_of::<Pcie>() || pcie.is_exact_instance_of::<Tcp>();
        if !exact {
            return Err(pyo3::exceptions::PyTypeError::new_err(
                "a controller is made of a Pcie or Tcp object",
            ));
        }
        let good = nvme_init_func.is_none_or(|f| f.is_callable() || f.is_truthy().unwrap_or(false));
        ensure(good, "nvme_init_func is None, True or a function of the controller")?;
        let pcie = pcie.cast::<Pcie>()?.get();
        if pcie.controller().is_closed() {
            return Err(errors::NvmeEnumerateError::new_err(
                "fail to create the controller: the device was closed; make a new Pcie object",
            ));
        }
        Ok(Controller {
            inner: pcie.controller().clone(),
            address: pcie.address().to_owned(),
            callbacks: Callbacks::default(),
            timeout: AtomicU64::new(TIMEOUT),
        })
    }

    /// The address of the device.
    #[getter]
    fn addr(&self) -> &str {
        &self.address
    }

    /// Controller Capabilities, the 64-bit register at offset 0.
    #[getter]
    fn cap(&self, py: Python<'_>) -> PyResult<u64> {
        py.detach(|| self.inner.read_register64(0)).map_err(errors::usual)
    }

    /// Milliseconds a command may take.
    #[getter]
    fn timeout(&self) -> u64 {
        self.timeout.load(Ordering::Relaxed)
    }

    #[setter]
    fn set_timeout(&self, milliseconds: Int<u64>) {
        self.timeout.store(milliseconds.0, Ordering::Relaxed);
    }

    /// The largest transfer in bytes, at most 1 MiB.
    #[getter]
    fn mdts(&self) -> u64 {
        self.inner.max_transfer().unwrap_or(MOST_TRANSFER).min(MOST_TRANSFER)
    }

    /// The identifier of the admin command that was sent last.
    #[getter]
    fn latest_cid(&self) -> PyResult<u16> {
        self.inner.latest_cid().map_err(errors::usual)
    }

    /// Microseconds that the admin command took which completed last.
    #[getter]
    fn latest_latency(&self) -> PyResult<u128> {
        Ok(self.inner.latest_latency().map_err(errors::usual)?.as_micros())
    }

    /// Waits for admin commands and runs their callbacks.
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
        wait::waitdone(py, self, expected.0, self.timeout())
    }

    /// Any admin command.
    #[pyo3(signature = (
        opcode, buf=None, nsid=Int(0), cdw10=Int(0), cdw11=Int(0), cdw12=Int(0), cdw13=Int(0), cdw14=Int(0),
        cdw15=Int(0), cb=None
    ))]
    #[expect(clippy::too_many_arguments, reason = "the signature of the original")]
    fn send_cmd<'py>(
        slf: Bound<'py, Self>,
        opcode: Int<u16>,
        buf: Option<Bound<'py, Buffer>>,
        nsid: Int<u32>,
        cdw10: Int<u32>,
        cdw11: Int<u32>,
        cdw12: Int<u32>,
        cdw13: Int<u32>,
        cdw14: Int<u32>,
        cdw15: Int<u32>,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        let command = Command::admin(opcode.0 as u8)
            .flags((opcode.0 >> 8) as u8)
            .nsid(nsid.0)
            .cdw10(cdw10.0)
            .cdw11(cdw11.0)
            .cdw12(cdw12.0)
            .cdw13(cdw13.0)
            .cdw14(cdw14.0)
            .cdw15(cdw15.0);
        send(slf, &command, buf, None, cb)
    }

    /// Identify.
    #[pyo3(signature = (buf, nsid=Int(0), cns=Int(1), cntid=Int(0), csi=Int(0), nvmsetid=Int(0), cb=None))]
    #[expect(clippy::too_many_arguments, reason = "the signature of the original")]
    fn identify<'py>(
        slf: Bound<'py, Self>,
        buf: Bound<'py, Buffer>,
        nsid: Int<u32>,
        cns: Int<u8>,
        cntid: Int<u16>,
        csi: Int<u8>,
        nvmsetid: Int<u16>,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        ensure(
            buf.get().memory().len() >= IDENTIFY_SIZE,
            "identify data takes 4096 bytes, the buffer has less",
        )?;
        let command = identify_command(nsid.0, cns.0, cntid.0, csi.0, nvmsetid.0);
        send(slf, &command, Some(buf), Some(IDENTIFY_SIZE), cb)
    }

    /// One field of what Identify returns.
    #[pyo3(signature = (
        byte_end, byte_begin=None, r#type=None, nsid=Int(0), cns=Int(1), cntid=Int(0), csi=Int(0), nvmsetid=Int(0)
    ))]
    #[expect(clippy::too_many_arguments, reason = "the signature of the original")]
    fn id_data<'py>(
        slf: Bound<'py, Self>,
        byte_end: Int<usize>,
        byte_begin: OptionalInt<usize>,
        r#type: Option<Bound<'py, PyAny>>,
        nsid: Int<u32>,
        cns: Int<u8>,
        cntid: Int<u16>,
        csi: Int<u8>,
        nvmsetid: Int<u16>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let command = identify_command(nsid.0, cns.0, cntid.0, csi.0, nvmsetid.0);
        let buffer = Bound::new(py, Buffer::plain(IDENTIFY_SIZE)?)?;
        send(slf.clone(), &command, Some(buffer.clone()), None, None)?;
        let this = slf.get();
        wait::waitdone(py, this, 1, this.timeout())?;
        buffer.get().data(py, byte_end, byte_begin, r#type.as_ref())
    }

    /// Get Features.
    #[pyo3(signature = (
        fid, sel=Int(0), buf=None, cdw11=Int(0), cdw12=Int(0), cdw13=Int(0), cdw14=Int(0), cdw15=Int(0), cb=None
    ))]
    #[expect(clippy::too_many_arguments, reason = "the signature of the original")]
    fn getfeatures<'py>(
        slf: Bound<'py, Self>,
        fid: Int<u32>,
        sel: Int<u32>,
        buf: Option<Bound<'py, Buffer>>,
        cdw11: Int<u32>,
        cdw12: Int<u32>,
        cdw13: Int<u32>,
        cdw14: Int<u32>,
        cdw15: Int<u32>,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        let command = Command::admin(0x0a).nsid(1).cdw10(sel.0 << 8 | fid.0);
        let command = command.cdw11(cdw11.0).cdw12(cdw12.0).cdw13(cdw13.0).cdw14(cdw14.0).cdw15(cdw15.0);
        send(slf, &command, buf, None, cb)
    }

    /// Set Features.
    #[pyo3(signature = (
        fid, sv=Int(0), buf=None, cdw11=Int(0), cdw12=Int(0), cdw13=Int(0), cdw14=Int(0), cdw15=Int(0), cb=None
    ))]
    #[expect(clippy::too_many_arguments, reason = "the signature of the original")]
    fn setfeatures<'py>(
        slf: Bound<'py, Self>,
        fid: Int<u32>,
        sv: Int<u32>,
        buf: Option<Bound<'py, Buffer>>,
        cdw11: Int<u32>,
        cdw12: Int<u32>,
        cdw13: Int<u32>,
        cdw14: Int<u32>,
        cdw15: Int<u32>,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        let command = Command::admin(0x09).nsid(0xffff_ffff).cdw10(sv.0 << 31 | fid.0);
        let command = command.cdw11(cdw11.0).cdw12(cdw12.0).cdw13(cdw13.0).cdw14(cdw14.0).cdw15(cdw15.0);
        send(slf, &command, buf, None, cb)
    }

    /// Get Log Page.
    #[pyo3(signature = (lid, buf, size=None, offset=Int(0), nsid=Int(0xffff_ffff), cb=None))]
    fn getlogpage<'py>(
        slf: Bound<'py, Self>,
        lid: Int<u8>,
        buf: Bound<'py, Buffer>,
        size: OptionalInt<usize>,
        offset: Int<u64>,
        nsid: Int<u32>,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        let len = buf.get().memory().len();
        let size = size.map_or(len, |size| size.0);
        ensure(size.is_multiple_of(4), "size must be dword aligned")?;
        ensure(offset.0.is_multiple_of(4), "offset must be dword aligned")?;
        ensure(size > 0 && size <= len, format!("{size} bytes of a log do not fit into a buffer of {len}"))?;
        let command = Command::get_log_page(lid.0, nsid.0, offset.0, u32::try_from(size)?);
        send(slf, &command, Some(buf), Some(size), cb)
    }

    /// Abort.
    #[pyo3(signature = (cid, sqid=Int(0), cb=None))]
    fn abort<'py>(
        slf: Bound<'py, Self>,
        cid: Int<u16>,
        sqid: Int<u16>,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Self>> {
        let command = Command::admin(0x08).cdw10(u32::from(cid.0) << 16 | u32::from(sqid.0));
        send(slf, &command, None, None, cb)
    }

    /// The name of an admin command.
    #[staticmethod]
    fn cmdname(opcode: Int<u32>) -> PyResult<&'static str> {
        ensure(opcode.0 < 256, "an opcode has 8 bits")?;
        Ok(names::admin_command(opcode.0 as u8))
    }

    /// Prints the newest commands of the admin queue on standard error; 0 prints all of them.
    #[pyo3(signature = (count=Int(0)))]
    fn cmdlog(&self, count: Int<usize>) {
        crate::log::print_cmdlog(&self.address, self.inner.cmdlog(), count.0);
    }

    /// The newest commands as dicts, newest first; 0 returns all of them. Keys: submitted, command, sqe,
    /// completion, cqe, latency_us; the last three are None for an outstanding command.
    #[pyo3(signature = (count=Int(0)))]
    fn cmdlog_entries<'py>(&self, py: Python<'py>, count: Int<usize>) -> PyResult<Bound<'py, PyList>> {
        crate::log::cmdlog_entries(py, self.inner.cmdlog(), count.0)
    }

    /// A 32-bit controller register.
    fn __getitem__(&self, py: Python<'_>, offset: Int<u32>) -> PyResult<u32> {
        ensure(offset.0.is_multiple_of(4), "only support 4-byte aligned NVMe register read")?;
        match py.detach(|| self.inner.read_register(offset.0)) {
            // What a register reads when nobody answers.
            Ok(u32::MAX) => Err(PySystemError::new_err(())),
            Ok(value) => Ok(value),
            Err(Error::Command { what, status }) => {
                Err(PyIndexError::new_err(format!("{what} failed: {status}")))
            }
            Err(error) => Err(errors::usual(error)),
        }
    }

    fn __setitem__(&self, py: Python<'_>, offset: Int<u32>, value: Int<u32>) -> PyResult<()> {
        ensure(offset.0.is_multiple_of(4), "only support 4-byte aligned NVMe register write")?;
        match py.detach(|| self.inner.write_register(offset.0, value.0)) {
            Err(Error::Command { what, status }) => {
                Err(PyIndexError::new_err(format!("{what} failed: {status}")))
            }
            other => other.map_err(errors::usual),
        }
    }

    fn __repr__(&self) -> String {
        format!("<controller: {}>", self.address)
    }
}

fn identify_command(nsid: u32, cns: u8, cntid: u16, csi: u8, nvmsetid: u16) -> Command {
    Command::identify(cns, nsid)
        .cdw10(u32::from(cntid) << 16 | u32::from(cns))
        .cdw11(u32::from(csi) << 24 | u32::from(nvmsetid))
}

fn send<'py>(
    slf: Bound<'py, Controller>,
    command: &Command,
    buffer: Option<Bound<'py, Buffer>>,
    size: Option<usize>,
    cb: Option<Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, Controller>> {
    let callback = callback::check(cb)?;
    let data = buffer.map(|buffer| data_of(buffer.get(), size)).transpose();
    let this = slf.get();
    let token = data
        .and_then(|data| this.inner.submit(command, data))
        .map_err(errors::submission("admin commands"))?;
    this.callbacks.keep(token, callback);
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
        &self.inner
    }

    pub(crate) fn milliseconds(&self) -> u64 {
        self.timeout()
    }

    pub(crate) fn address(&self) -> &str {
        &self.address
    }
}
