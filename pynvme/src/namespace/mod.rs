//! `nvme.Namespace`.

mod commands;
mod load;
mod zones;

use nvme_spdk::{Command, admin_opcode, names};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::controller::Controller;
use crate::convert::{Flag, Int, OptionalInt, ensure};
use crate::errors;

/// A namespace of a controller.
///
/// Every block that is written is remembered with a checksum, in memory that is taken as it is used; see
/// verify_enable().
///
/// Parameters
/// ----------
/// nvme : Controller
///     Its controller.
/// nsid : int
///     Its identifier.
/// nlba_verify : int
///     How many blocks are to be verifiable, from block 0 on; 0 for all.
///
/// Raises
/// ------
/// NamespaceCreationError
///     When there is no such namespace.
///
/// Notes
/// -----
/// The command methods return the queue pair and do not wait: ``ns.read(qpair, buf, 0).waitdone()``. They raise
/// AssertionError when a command cannot be submitted; an error status of its completion is a warning,
/// ``ERROR status: sct/sc``.
#[pyclass(frozen, subclass, module = "nvme")]
pub(crate) struct Namespace {
    inner: nvme_spdk::Namespace,
    /// The same namespace with its checksums; gone once it is closed.
    tracked: Mutex<Option<nvme_spdk::Namespace>>,
    controller: Py<Controller>,
}

/// Milliseconds that Format NVM may take at least.
const FORMAT_TIMEOUT: u64 = 100_000;

#[pymethods]
impl Namespace {
    #[new]
    #[pyo3(
        signature = (nvme, nsid=Int(1), nlba_verify=Int(0)),
        text_signature = "(nvme, nsid=1, nlba_verify=0)"
    )]
    fn new(
        py: Python<'_>,
        nvme: &Bound<'_, Controller>,
        nsid: Int<u32>,
        nlba_verify: Int<u64>,
    ) -> PyResult<Self> {
        let controller = nvme.get().inner();
        let inner = py.detach(|| controller.namespace(nsid.0)).map_err(errors::namespace_creation)?;
        let tracked = inner.clone().track(Some(nlba_verify.0));
        if let Err(why) = &tracked {
            crate::log::notice("memory is not large enough to keep CRC32 table.");
            crate::log::notice("Data verification is disabled!");
            crate::log::notice(&why.to_string());
        }
        Ok(Namespace { inner, tracked: Mutex::new(tracked.ok()), controller: nvme.clone().unbind() })
    }

    /// Its identifier.
    #[getter]
    fn nsid(&self) -> u32 {
        self.inner.nsid()
    }

    /// Bytes of the namespace: what Identify says now (NVMe Base Specification, Identify Namespace data
    /// structure, NVMCAP).
    #[getter]
    fn capacity(&self, py: Python<'_>) -> PyResult<u128> {
        let bytes = self.identify(py)?;
        Ok(u128::from_le_bytes(bytes[48..64].try_into()?))
    }

    /// Closes it: its checksums are forgotten. Closing again does nothing.
    fn close(&self) {
        drop(self.tracked.lock().take());
    }

    /// Switches the verification of read data on or off, for all queues and workers.
    ///
    /// A read of blocks whose data is not what was written to them completes with status 07/81 and says on
    /// the log which block is wrong; blocks that were never written can hold anything.
    ///
    /// Parameters
    /// ----------
    /// enable : bool
    ///     On or off.
    ///
    /// Returns
    /// -------
    /// bool
    ///     Whether there are checksums to verify with.
    #[pyo3(signature = (enable=Flag(true)), text_signature = "($self, enable=True)")]
    fn verify_enable(&self, enable: Flag) -> bool {
        self.tracked.lock().as_ref().is_some_and(|tracked| tracked.verify(enable.0))
    }

    /// Looks for an LBA format (NVM Command Set Specification, LBA Format data structure).
    ///
    /// Parameters
    /// ----------
    /// data_size, meta_size : int
    ///     Bytes of data and metadata per block.
    ///
    /// Returns
    /// -------
    /// int or None
    ///     The index of the first that fits, 0 to 15; None if there is none.
    #[pyo3(
        signature = (data_size=Int(512), meta_size=Int(0)),
        text_signature = "($self, data_size=512, meta_size=0)"
    )]
    fn get_lba_format(
        &self,
        py: Python<'_>,
        data_size: Int<u32>,
        meta_size: Int<u32>,
    ) -> PyResult<Option<u8>> {
        let identify = nvme_spdk::IdentifyNamespace::from_bytes(&self.identify(py)?);
        let found = u16::try_from(meta_size.0).ok().and_then(|meta| identify.find_format(data_size.0, meta));
        Ok(found.filter(|index| *index < 16))
    }

    /// Formats it, waits for that and brings what is known of it up to date (NVMe Base Specification, Format
    /// NVM command): nothing is expected of any block any more. After a change of the block size, close it
    /// and make a new one.
    ///
    /// Parameters
    /// ----------
    /// data_size, meta_size : int
    ///     Bytes of data and metadata per block; the LBA format is found by them.
    /// ses : int
    ///     Secure erase setting, 0 to 7: 0 none, 1 user data, 2 cryptographic.
    ///
    /// Returns
    /// -------
    /// int
    ///     Dword 0 of the completion.
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When there is no such format.
    /// TimeoutError
    ///     After 20 seconds more than Controller.timeout, or 120 seconds if that is later.
    #[pyo3(
        signature = (data_size=Int(512), meta_size=Int(0), ses=Int(0)),
        text_signature = "($self, data_size=512, meta_size=0, ses=0)"
    )]
    fn format(
        &self,
        py: Python<'_>,
        data_size: Int<u32>,
        meta_size: Int<u32>,
        ses: Int<u32>,
    ) -> PyResult<u32> {
        let format = self.get_lba_format(py, Int(data_size.0), Int(meta_size.0))?;
        let Some(format) = format else {
            return Err(pyo3::exceptions::PyAssertionError::new_err(format!(
                "no LBA format has {} bytes of data and {} of metadata; see get_lba_format()",
                data_size.0, meta_size.0
            )));
        };
        ensure(ses.0 < 8, "invalid format ses")?;
        let command =
            Command::admin(admin_opcode::FORMAT_NVM).nsid(self.nsid()).cdw10(ses.0 << 9 | u32::from(format));
        let controller = self.controller.get();
        let result = controller.admin().execute(py, &command, None, controller.timeout().max(FORMAT_TIMEOUT));
        let namespace = self.tracked.lock().as_ref().unwrap_or(&self.inner).clone();
        let refreshed = py.detach(|| namespace.formatted()).map_err(errors::usual);
        // What became of the command comes first.
        let completion = result?;
        refreshed?;
        Ok(completion.cdw0)
    }

    /// Whether the controller supports an I/O command: bit 0 of its entry in the log page 05h (NVMe Base
    /// Specification, Commands Supported and Effects).
    ///
    /// Parameters
    /// ----------
    /// opcode : int
    ///     8 bits.
    ///
    /// Returns
    /// -------
    /// bool
    fn supports(&self, py: Python<'_>, opcode: Int<u32>) -> PyResult<bool> {
        ensure(opcode.0 < 256, "an opcode has 8 bits")?;
        self.controller.get().supports(py, Int(256 + opcode.0))
    }

    /// One field of its Identify data, read now (NVMe Base Specification, Identify command).
    ///
    /// Parameters
    /// ----------
    /// byte_end : int
    ///     The last byte of the field, as the specification names it.
    /// byte_begin : int, optional
    ///     The first; the last one if left out.
    /// type : type, optional
    ///     int, which is the default, or str.
    /// cns, csi, cntid : int
    ///     As for Controller.identify().
    ///
    /// Returns
    /// -------
    /// int or str
    ///     A little-endian number, or ASCII without trailing blanks.
    #[pyo3(
        signature = (byte_end, byte_begin=None, r#type=None, cns=Int(0), csi=Int(0), cntid=Int(0)),
        text_signature = "($self, byte_end, byte_begin=None, type=None, cns=0, csi=0, cntid=0)"
    )]
    #[expect(clippy::too_many_arguments, reason = "the signature of the original")]
    fn id_data<'py>(
        &self,
        py: Python<'py>,
        byte_end: Int<usize>,
        byte_begin: OptionalInt<usize>,
        r#type: Option<Bound<'py, PyAny>>,
        cns: Int<u8>,
        csi: Int<u8>,
        cntid: Int<u16>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let arguments = PyDict::new(py);
        arguments.set_item("nsid", self.nsid())?;
        arguments.set_item("cns", cns.0)?;
        arguments.set_item("csi", csi.0)?;
        arguments.set_item("cntid", cntid.0)?;
        if let Some(kind) = r#type {
            arguments.set_item("type", kind)?;
        }
        self.controller.bind(py).call_method(
            "id_data",
            (byte_end.0, byte_begin.map(|begin| begin.0)),
            Some(&arguments),
        )
    }

    /// The name of an I/O command (NVMe Base Specification, Opcodes for I/O Commands; NVM Command Set
    /// Specification).
    ///
    /// Parameters
    /// ----------
    /// opcode : int
    ///     8 bits.
    ///
    /// Returns
    /// -------
    /// str
    ///     "Unknown command" where the specification has none.
    #[staticmethod]
    fn cmdname(opcode: Int<u32>) -> PyResult<&'static str> {
        ensure(opcode.0 < 256, "an opcode has 8 bits")?;
        Ok(names::io_command(opcode.0 as u8))
    }

    fn __repr__(&self) -> String {
        format!("<namespace: {}>", self.nsid())
    }
}

impl Namespace {
    fn identify(&self, py: Python<'_>) -> PyResult<Vec<u8>> {
        Ok(self.controller.get().identify_data(py, &Command::identify(0, self.nsid()))?.1)
    }
}
