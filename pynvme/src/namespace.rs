//! `nvme.Namespace`.

use nvme_spdk::{Command, Data, Error, MOST_BLOCKS, admin_opcode, names, nvm_opcode};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::buffer::Buffer;
use crate::controller::Controller;
use crate::convert::{Flag, Int, OptionalInt, ensure};
use crate::errors;
use crate::ioworker::IoWorker;
use crate::qpair::Qpair;

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
        py.detach(|| namespace.formatted()).map_err(errors::usual)?;
        Ok(result?.cdw0)
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

    /// Reads blocks into a buffer (NVM Command Set Specification, Read command).
    ///
    /// Parameters
    /// ----------
    /// qpair : Qpair
    ///     The queue pair the command goes out on.
    /// buf : Buffer
    ///     Where the data goes, at least as long as the blocks.
    /// lba : int
    ///     The first block, 64 bits.
    /// lba_count : int
    ///     How many blocks, 1 to 65536.
    /// io_flags : int
    ///     Bits 31:16 of dword 12: 1<<14 Force Unit Access, 1<<15 Limited Retry.
    /// dword13, dword14, dword15 : int
    ///     The rest of the command.
    /// cb : callable, optional
    ///     Called with the completion, where the script waits.
    ///
    /// Returns
    /// -------
    /// Qpair
    ///     The queue pair, for ``.waitdone()``.
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When it cannot be submitted: the queue is full or deleted, or an argument is out of range.
    #[pyo3(
        signature = (
            qpair, buf, lba, lba_count=Int(1), io_flags=Int(0), dword13=Int(0), dword14=Int(0),
            dword15=Int(0), cb=None
        ),
        text_signature = "($self, qpair, buf, lba, lba_count=1, io_flags=0, dword13=0, dword14=0, dword15=0, cb=None)"
    )]
    #[expect(clippy::too_many_arguments, reason = "the signature of the original")]
    fn read<'py>(
        &self,
        qpair: Bound<'py, Qpair>,
        buf: Option<Bound<'py, Buffer>>,
        lba: Int<u64>,
        lba_count: Int<u32>,
        io_flags: Int<u64>,
        dword13: Int<u32>,
        dword14: Int<u32>,
        dword15: Int<u32>,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Qpair>> {
        let command = range_command(nvm_opcode::READ, self.nsid(), lba.0, lba_count.0, io_flags.0)?;
        let command = command.cdw13(dword13.0).cdw14(dword14.0).cdw15(dword15.0);
        self.transfer(qpair, buf, &command, lba_count.0, cb)
    }

    /// Writes blocks from a buffer (NVM Command Set Specification, Write command).
    ///
    /// Each block is made unique in the buffer first: its first 8 bytes become its address, its last 8 bytes
    /// a number no other block has (both little-endian).
    ///
    /// Parameters
    /// ----------
    /// qpair : Qpair
    ///     The queue pair the command goes out on.
    /// buf : Buffer
    ///     The data, at least as long as the blocks.
    /// lba : int
    ///     The first block, 64 bits.
    /// lba_count : int
    ///     How many blocks, 1 to 65536.
    /// io_flags : int
    ///     Bits 31:16 of dword 12: 1<<14 Force Unit Access, 1<<15 Limited Retry.
    /// dword13, dword14, dword15 : int
    ///     The rest of the command.
    /// cb : callable, optional
    ///     Called with the completion, where the script waits.
    ///
    /// Returns
    /// -------
    /// Qpair
    ///     The queue pair, for ``.waitdone()``.
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When it cannot be submitted: the queue is full or deleted, or an argument is out of range.
    #[pyo3(
        signature = (
            qpair, buf, lba, lba_count=Int(1), io_flags=Int(0), dword13=Int(0), dword14=Int(0),
            dword15=Int(0), cb=None
        ),
        text_signature = "($self, qpair, buf, lba, lba_count=1, io_flags=0, dword13=0, dword14=0, dword15=0, cb=None)"
    )]
    #[expect(clippy::too_many_arguments, reason = "the signature of the original")]
    fn write<'py>(
        &self,
        qpair: Bound<'py, Qpair>,
        buf: Option<Bound<'py, Buffer>>,
        lba: Int<u64>,
        lba_count: Int<u32>,
        io_flags: Int<u64>,
        dword13: Int<u32>,
        dword14: Int<u32>,
        dword15: Int<u32>,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Qpair>> {
        let command = range_command(nvm_opcode::WRITE, self.nsid(), lba.0, lba_count.0, io_flags.0)?;
        let command = command.cdw13(dword13.0).cdw14(dword14.0).cdw15(dword15.0);
        self.transfer(qpair, buf, &command, lba_count.0, cb)
    }

    /// Compares blocks with a buffer (NVM Command Set Specification, Compare command); a difference is status
    /// 02/85.
    ///
    /// Parameters
    /// ----------
    /// qpair : Qpair
    ///     The queue pair the command goes out on.
    /// buf : Buffer
    ///     What the blocks are to be.
    /// lba : int
    ///     The first block, 64 bits.
    /// lba_count : int
    ///     How many blocks, 1 to 65536.
    /// io_flags : int
    ///     Bits 31:16 of dword 12: 1<<14 Force Unit Access, 1<<15 Limited Retry.
    /// cb : callable, optional
    ///     Called with the completion, where the script waits.
    ///
    /// Returns
    /// -------
    /// Qpair
    ///     The queue pair, for ``.waitdone()``.
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When it cannot be submitted: the queue is full or deleted, or an argument is out of range.
    #[pyo3(
        signature = (qpair, buf, lba, lba_count=Int(1), io_flags=Int(0), cb=None),
        text_signature = "($self, qpair, buf, lba, lba_count=1, io_flags=0, cb=None)"
    )]
    fn compare<'py>(
        &self,
        qpair: Bound<'py, Qpair>,
        buf: Option<Bound<'py, Buffer>>,
        lba: Int<u64>,
        lba_count: Int<u32>,
        io_flags: Int<u16>,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Qpair>> {
        let Some(buf) = buf else { return Err(no_buffer("no buffer allocated")) };
        let command = range_command(nvm_opcode::COMPARE, self.nsid(), lba.0, lba_count.0, io_flags.0.into())?;
        let buffer = buf.get();
        let len = buffer.size().min(lba_count.0 as usize * self.inner.lba_size() as usize);
        self.submit(qpair, &command, Data::new(buffer.memory(), buffer.offset(), len).map(Some), cb)
    }

    /// Verifies that blocks can be read, without transferring them (NVM Command Set Specification, Verify
    /// command).
    ///
    /// Parameters
    /// ----------
    /// qpair : Qpair
    ///     The queue pair the command goes out on.
    /// lba : int
    ///     The first block, 64 bits.
    /// lba_count : int
    ///     How many blocks, 1 to 65536.
    /// io_flags : int
    ///     Bits 31:16 of dword 12: 1<<14 Force Unit Access, 1<<15 Limited Retry.
    /// cb : callable, optional
    ///     Called with the completion, where the script waits.
    ///
    /// Returns
    /// -------
    /// Qpair
    ///     The queue pair, for ``.waitdone()``.
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When it cannot be submitted: the queue is full or deleted, or an argument is out of range.
    #[pyo3(
        signature = (qpair, lba, lba_count=Int(1), io_flags=Int(0), cb=None),
        text_signature = "($self, qpair, lba, lba_count=1, io_flags=0, cb=None)"
    )]
    fn verify<'py>(
        &self,
        qpair: Bound<'py, Qpair>,
        lba: Int<u64>,
        lba_count: Int<u32>,
        io_flags: Int<u16>,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Qpair>> {
        let command = range_command(VERIFY, self.nsid(), lba.0, lba_count.0, io_flags.0.into())?;
        self.submit(qpair, &command, Ok(None), cb)
    }

    /// Makes blocks unreadable until they are written again (NVM Command Set Specification, Write
    /// Uncorrectable command). Whatever the controller answers, workers leave them out from then on.
    ///
    /// Parameters
    /// ----------
    /// qpair : Qpair
    ///     The queue pair the command goes out on.
    /// lba : int
    ///     The first block, 64 bits.
    /// lba_count : int
    ///     How many blocks, 1 to 65536.
    /// cb : callable, optional
    ///     Called with the completion, where the script waits.
    ///
    /// Returns
    /// -------
    /// Qpair
    ///     The queue pair, for ``.waitdone()``.
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When it cannot be submitted: the queue is full or deleted, or an argument is out of range.
    #[pyo3(
        signature = (qpair, lba, lba_count=Int(1), cb=None),
        text_signature = "($self, qpair, lba, lba_count=1, cb=None)"
    )]
    fn write_uncorrectable<'py>(
        &self,
        qpair: Bound<'py, Qpair>,
        lba: Int<u64>,
        lba_count: Int<u32>,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Qpair>> {
        let command = range_command(nvm_opcode::WRITE_UNCORRECTABLE, self.nsid(), lba.0, lba_count.0, 0)?;
        self.submit(qpair, &command, Ok(None), cb)
    }

    /// Writes zeros to blocks (NVM Command Set Specification, Write Zeroes command).
    ///
    /// Parameters
    /// ----------
    /// qpair : Qpair
    ///     The queue pair the command goes out on.
    /// lba : int
    ///     The first block, 64 bits.
    /// lba_count : int
    ///     How many blocks, 1 to 65536.
    /// io_flags : int
    ///     Bits 31:16 of dword 12: 1<<14 Force Unit Access, 1<<15 Limited Retry.
    /// cb : callable, optional
    ///     Called with the completion, where the script waits.
    ///
    /// Returns
    /// -------
    /// Qpair
    ///     The queue pair, for ``.waitdone()``.
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When it cannot be submitted: the queue is full or deleted, or an argument is out of range.
    #[pyo3(
        signature = (qpair, lba, lba_count=Int(1), io_flags=Int(0), cb=None),
        text_signature = "($self, qpair, lba, lba_count=1, io_flags=0, cb=None)"
    )]
    fn write_zeroes<'py>(
        &self,
        qpair: Bound<'py, Qpair>,
        lba: Int<u64>,
        lba_count: Int<u32>,
        io_flags: Int<u16>,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Qpair>> {
        let command =
            range_command(nvm_opcode::WRITE_ZEROES, self.nsid(), lba.0, lba_count.0, io_flags.0.into())?;
        self.submit(qpair, &command, Ok(None), cb)
    }

    /// Says how ranges of blocks are used, or deallocates them (NVM Command Set Specification, Dataset
    /// Management command).
    ///
    /// Parameters
    /// ----------
    /// qpair : Qpair
    ///     The queue pair the command goes out on.
    /// buf : Buffer
    ///     The ranges, as Buffer.set_dsm_range() has written them; at most 4096 bytes.
    /// range_count : int
    ///     How many, 1 to 256.
    /// attribute : int
    ///     Dword 11: 1 integral read, 2 integral write, 4 deallocate.
    /// cb : callable, optional
    ///     Called with the completion, where the script waits.
    ///
    /// Returns
    /// -------
    /// Qpair
    ///     The queue pair, for ``.waitdone()``.
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When it cannot be submitted: the queue is full or deleted, or an argument is out of range.
    #[pyo3(
        signature = (qpair, buf, range_count, attribute=Int(4), cb=None),
        text_signature = "($self, qpair, buf, range_count, attribute=4, cb=None)"
    )]
    fn dsm<'py>(
        &self,
        qpair: Bound<'py, Qpair>,
        buf: Option<Bound<'py, Buffer>>,
        range_count: Int<u32>,
        attribute: Int<u32>,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Qpair>> {
        let Some(buf) = buf else { return Err(no_buffer("no range prepared")) };
        ensure(buf.get().memory().len() <= 4096, "the ranges of a command take at most 4096 bytes")?;
        ensure(
            (1..=256).contains(&range_count.0),
            format!("{} ranges: a command has 1 to 256", range_count.0),
        )?;
        let command = Command::io(nvm_opcode::DATASET_MANAGEMENT, self.nsid())
            .cdw10(range_count.0 - 1)
            .cdw11(attribute.0);
        self.submit(qpair, &command, buf.get().raw_data().map(Some), cb)
    }

    /// Commits what was written to the medium (NVMe Base Specification, Flush command).
    ///
    /// Parameters
    /// ----------
    /// qpair : Qpair
    ///     The queue pair the command goes out on.
    /// cb : callable, optional
    ///     Called with the completion, where the script waits.
    ///
    /// Returns
    /// -------
    /// Qpair
    ///     The queue pair, for ``.waitdone()``.
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When it cannot be submitted: the queue is full or deleted, or an argument is out of range.
    #[pyo3(signature = (qpair, cb=None))]
    fn flush<'py>(
        &self,
        qpair: Bound<'py, Qpair>,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Qpair>> {
        self.submit(qpair, &Command::flush(self.nsid()), Ok(None), cb)
    }

    /// Reports zones (Zoned Namespace Command Set Specification, Zone Management Receive command).
    ///
    /// Parameters
    /// ----------
    /// qpair : Qpair
    ///     The queue pair the command goes out on.
    /// buf : Buffer
    ///     Where the report goes.
    /// slba : int
    ///     The first block of the first zone to report.
    /// dwords : int, optional
    ///     Dwords to read; the whole buffer if left out.
    /// extended : bool
    ///     Report Zones with its extended data structure, or without.
    /// state : int
    ///     Zone state to report; 0 for all.
    /// partial : bool
    ///     Count only the zones that the buffer has room for.
    /// cb : callable, optional
    ///     Called with the completion, where the script waits.
    ///
    /// Returns
    /// -------
    /// Qpair
    ///     The queue pair, for ``.waitdone()``.
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When it cannot be submitted: the queue is full or deleted, or an argument is out of range.
    #[pyo3(
        signature = (
            qpair, buf, slba=Int(0), dwords=None, extended=Flag(true), state=Int(0), partial=Flag(true), cb=None
        ),
        text_signature = "($self, qpair, buf, slba=0, dwords=None, extended=True, state=0, partial=True, cb=None)"
    )]
    #[expect(clippy::too_many_arguments, reason = "the signature of the original")]
    fn zns_mgmt_receive<'py>(
        &self,
        qpair: Bound<'py, Qpair>,
        buf: Option<Bound<'py, Buffer>>,
        slba: Int<u64>,
        dwords: OptionalInt<u32>,
        extended: Flag,
        state: Int<u8>,
        partial: Flag,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Qpair>> {
        let Some(buf) = buf else { return Err(no_buffer("no buffer allocated")) };
        let dwords = dwords.map_or((buf.get().memory().len() / 4) as u32, |dwords| dwords.0);
        ensure(dwords > 0, "cannot read empty data")?;
        let command = zone_command(ZONE_MANAGEMENT_RECEIVE, self.nsid(), slba.0)
            .cdw12(dwords - 1)
            .cdw13(u32::from(partial.0) << 16 | u32::from(state.0) << 8 | u32::from(extended.0));
        self.submit(qpair, &command, buf.get().raw_data().map(Some), cb)
    }

    /// Changes the state of zones (Zoned Namespace Command Set Specification, Zone Management Send command).
    ///
    /// Parameters
    /// ----------
    /// qpair : Qpair
    ///     The queue pair the command goes out on.
    /// buf : Buffer or None
    ///     Data, where the action has some.
    /// slba : int
    ///     The first block of the zone.
    /// action : int
    ///     1 close, 2 finish, 3 open, 4 reset, 5 offline, 0x10 set zone descriptor extension.
    /// all : bool
    ///     All zones instead of one.
    /// cb : callable, optional
    ///     Called with the completion, where the script waits.
    ///
    /// Returns
    /// -------
    /// Qpair
    ///     The queue pair, for ``.waitdone()``.
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When it cannot be submitted: the queue is full or deleted, or an argument is out of range.
    #[pyo3(
        signature = (qpair, buf, slba=Int(0), action=Int(0), all=Flag(false), cb=None),
        text_signature = "($self, qpair, buf, slba=0, action=0, all=False, cb=None)"
    )]
    fn zns_mgmt_send<'py>(
        &self,
        qpair: Bound<'py, Qpair>,
        buf: Option<Bound<'py, Buffer>>,
        slba: Int<u64>,
        action: Int<u8>,
        all: Flag,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Qpair>> {
        let command = zone_command(ZONE_MANAGEMENT_SEND, self.nsid(), slba.0)
            .cdw13(u32::from(all.0) << 8 | u32::from(action.0));
        let data = buf.map(|buf| buf.get().raw_data()).transpose();
        self.submit(qpair, &command, data, cb)
    }

    /// Sends any I/O command (NVMe Base Specification, I/O Commands).
    ///
    /// Parameters
    /// ----------
    /// opcode : int
    ///     The opcode in bits 7:0, FUSE in 9:8: ``5 | 1 << 8`` is the first of two fused commands.
    /// qpair : Qpair
    ///     The queue pair the command goes out on.
    /// buf : Buffer, optional
    ///     Its data: ``buf.size`` bytes from ``buf.offset`` on.
    /// nsid : int
    ///     The namespace; 1 unless given, whatever this one is.
    /// cdw10, cdw11, cdw12, cdw13, cdw14, cdw15 : int
    ///     The dwords of the command.
    /// cb : callable, optional
    ///     Called with the completion, where the script waits.
    ///
    /// Returns
    /// -------
    /// Qpair
    ///     The queue pair, for ``.waitdone()``.
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When it cannot be submitted: the queue is full or deleted, or an argument is out of range.
    #[pyo3(
        signature = (
            opcode, qpair, buf=None, nsid=Int(1), cdw10=Int(0), cdw11=Int(0), cdw12=Int(0), cdw13=Int(0),
            cdw14=Int(0), cdw15=Int(0), cb=None
        ),
        text_signature = "($self, opcode, qpair, buf=None, nsid=1, cdw10=0, cdw11=0, cdw12=0, cdw13=0, cdw14=0, cdw15=0, \
            cb=None)"
    )]
    #[expect(clippy::too_many_arguments, reason = "the signature of the original")]
    fn send_cmd<'py>(
        &self,
        opcode: Int<u16>,
        qpair: Bound<'py, Qpair>,
        buf: Option<Bound<'py, Buffer>>,
        nsid: Int<u32>,
        cdw10: Int<u32>,
        cdw11: Int<u32>,
        cdw12: Int<u32>,
        cdw13: Int<u32>,
        cdw14: Int<u32>,
        cdw15: Int<u32>,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Qpair>> {
        let command = Command::io(opcode.0 as u8, nsid.0)
            .flags((opcode.0 >> 8) as u8)
            .cdw10(cdw10.0)
            .cdw11(cdw11.0)
            .cdw12(cdw12.0)
            .cdw13(cdw13.0)
            .cdw14(cdw14.0)
            .cdw15(cdw15.0);
        let data = buf.map(|buf| buf.get().raw_data()).transpose();
        self.submit(qpair, &command, data, cb)
    }

    /// Makes a worker that loads the namespace from a thread of its own; start it with start() or `with`.
    ///
    /// Parameters
    /// ----------
    /// io_size : int, range, list or dict
    ///     Blocks per command. Of a range or list, all sizes are equally likely; a dict has their weights.
    /// lba_step : int, optional
    ///     Blocks between the beginnings of sequential commands, also 0 or negative. Without it, they follow each
    ///     other.
    /// lba_align : int or list, optional
    ///     Commands begin at multiples of this, for each size in turn; 1 by default.
    /// lba_random : bool or int
    ///     Percentage of commands at random places.
    /// read_percentage : int
    ///     Percentage of reads; the others write.
    /// op_percentage : dict, optional
    ///     Opcodes and their percentages; replaced by the counts when the worker is closed.
    /// time : int
    ///     Seconds after which it ends.
    /// qdepth : int
    ///     Depth of its queue pair, 2 to 1024; one command less is in flight.
    /// region_start, region_end : int
    ///     The blocks it stays in, region_end excluded. A sequential worker that nothing else ends fills them once.
    /// iops : int
    ///     Commands per second at most; 0 for full speed.
    /// io_count : int
    ///     Commands after which it ends.
    /// lba_start : int
    ///     Where sequential commands begin.
    /// qprio : int
    ///     Priority class of its queue: 0 urgent, 1 high, 2 medium, 3 low.
    /// distribution : list, optional
    ///     Of 10000 random commands, how many go to each of 100 equal sections of the namespace.
    /// ptype, pvalue : int
    ///     What is written, as in Buffer().
    /// io_sequence : list, optional
    ///     Rows of (microseconds, opcode, first block, number of blocks): exactly these commands are sent, in this
    ///     order and not before their time.
    /// fw_debug : bool
    ///     On an error close() ends the process at once, so that nothing disturbs the device.
    /// output_io_per_second : list, optional
    ///     An empty list, filled with the completions of each second.
    /// output_percentile_latency : dict, optional
    ///     Percentiles, filled with the microseconds within which so many commands completed.
    /// output_cmdlog_list : list, optional
    ///     Its places are filled with the commands that completed last, as (first block, number of blocks, opcode),
    ///     newest at the end.
    ///
    /// Returns
    /// -------
    /// _IOWorker
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     For arguments out of range. What is only found when the worker starts is a warning of close().
    #[pyo3(
        signature = (
            io_size=None, lba_step=None, lba_align=None, lba_random=None, read_percentage=Int(100),
            op_percentage=None, time=Int(0), qdepth=Int(64), region_start=Int(0), region_end=Int(u64::MAX),
            iops=Int(0), io_count=Int(0), lba_start=Int(0), qprio=Int(0), distribution=None, ptype=Int(0xbeef),
            pvalue=Int(100), io_sequence=None, fw_debug=false, output_io_per_second=None,
            output_percentile_latency=None, output_cmdlog_list=None
        ),
        text_signature = "($self, io_size=8, lba_step=None, lba_align=None, lba_random=True, read_percentage=100, \
            op_percentage=None, time=0, qdepth=64, region_start=0, region_end=0xffffffffffffffff, iops=0, \
            io_count=0, lba_start=0, qprio=0, distribution=None, ptype=0xbeef, pvalue=100, io_sequence=None, \
            fw_debug=False, output_io_per_second=None, output_percentile_latency=None, output_cmdlog_list=None)"
    )]
    #[expect(clippy::too_many_arguments, reason = "the signature of the original")]
    fn ioworker<'py>(
        &self,
        py: Python<'py>,
        io_size: Option<Bound<'py, PyAny>>,
        lba_step: Option<Int<i64>>,
        lba_align: Option<Bound<'py, PyAny>>,
        lba_random: Option<Bound<'py, PyAny>>,
        read_percentage: Int<u32>,
        op_percentage: Option<Bound<'py, PyDict>>,
        time: Int<u64>,
        qdepth: Int<i64>,
        region_start: Int<u64>,
        region_end: Int<u64>,
        iops: Int<u32>,
        io_count: Int<u64>,
        lba_start: Int<u64>,
        qprio: Int<u8>,
        distribution: Option<Bound<'py, PyAny>>,
        ptype: Int<u32>,
        pvalue: Int<u32>,
        io_sequence: Option<Bound<'py, PyAny>>,
        fw_debug: bool,
        output_io_per_second: Option<Bound<'py, PyAny>>,
        output_percentile_latency: Option<Bound<'py, PyDict>>,
        output_cmdlog_list: Option<Bound<'py, PyList>>,
    ) -> PyResult<Bound<'py, IoWorker>> {
        let request = crate::ioworker::Request {
            io_size,
            step: lba_step,
            align: lba_align,
            random: lba_random,
            read_percentage: read_percentage.0,
            op_percentage,
            time: time.0,
            qdepth: qdepth.0,
            region: region_start.0..region_end.0,
            iops: iops.0,
            io_count: io_count.0,
            lba_start: lba_start.0,
            qprio: qprio.0,
            distribution,
            ptype: ptype.0,
            pvalue: pvalue.0,
            io_sequence,
            fw_debug,
            output_io_per_second,
            output_percentile_latency,
            output_cmdlog_list,
        };
        let namespace = self.tracked.lock().as_ref().unwrap_or(&self.inner).clone();
        Bound::new(py, IoWorker::new(py, &namespace, request)?)
    }

    fn __repr__(&self) -> String {
        format!("<namespace: {}>", self.nsid())
    }
}

const VERIFY: u8 = 0x0c;
const ZONE_MANAGEMENT_SEND: u8 = 0x79;
const ZONE_MANAGEMENT_RECEIVE: u8 = 0x7a;

fn zone_command(opcode: u8, nsid: u32, slba: u64) -> Command {
    Command::io(opcode, nsid).cdw10(slba as u32).cdw11((slba >> 32) as u32)
}

fn range_command(opcode: u8, nsid: u32, lba: u64, blocks: u32, flags: u64) -> PyResult<Command> {
    ensure(blocks > 0, "lba_count is at least 1")?;
    ensure(blocks <= MOST_BLOCKS, "exceed lba count limit")?;
    let command = Command::range(opcode, nsid, lba, blocks);
    Ok(command.cdw12(command.cdw12 | (flags as u16 as u32) << 16))
}

fn no_buffer(text: &'static str) -> PyErr {
    pyo3::exceptions::PyAssertionError::new_err(text)
}

impl Namespace {
    fn identify(&self, py: Python<'_>) -> PyResult<Vec<u8>> {
        Ok(self.controller.get().identify_data(py, &Command::identify(0, self.nsid()))?.1)
    }

    fn transfer<'py>(
        &self,
        qpair: Bound<'py, Qpair>,
        buf: Option<Bound<'py, Buffer>>,
        command: &Command,
        blocks: u32,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Qpair>> {
        let Some(buf) = buf else { return Err(no_buffer("no buffer allocated")) };
        let buffer = buf.get();
        let data = self.inner.data(buffer.memory(), buffer.offset(), buffer.size(), blocks);
        if let Ok(data) = &data
            && command.opcode == nvm_opcode::WRITE
        {
            self.inner.stamp(data, command.slba(), blocks);
        }
        if !matches!(command.opcode, nvm_opcode::READ | nvm_opcode::WRITE) {
            return self.submit(qpair, command, data.map(Some), cb);
        }
        let send = |qpair: &nvme_spdk::Qpair| self.inner.submit(qpair, command, data?.within_prp_list()?);
        qpair.get().submit(qpair.py(), cb, "read write commands:", send)?;
        Ok(qpair)
    }

    fn submit<'py>(
        &self,
        qpair: Bound<'py, Qpair>,
        command: &Command,
        data: Result<Option<Data>, Error>,
        cb: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, Qpair>> {
        qpair.get().submit(qpair.py(), cb, "io commands,", |qpair| {
            qpair.submit(command, data?.map(Data::within_prp_list).transpose()?)
        })?;
        Ok(qpair)
    }
}
