//! The I/O commands of the NVM command set, and any other.

use nvme_spdk::{Command, Data, Error, MOST_BLOCKS, nvm_opcode};
use pyo3::prelude::*;

use super::Namespace;
use crate::buffer::Buffer;
use crate::convert::{Int, ensure};
use crate::qpair::Qpair;

const VERIFY: u8 = 0x0c;

#[pymethods]
impl Namespace {
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
}

fn range_command(opcode: u8, nsid: u32, lba: u64, blocks: u32, flags: u64) -> PyResult<Command> {
    ensure(blocks > 0, "lba_count is at least 1")?;
    ensure(blocks <= MOST_BLOCKS, "exceed lba count limit")?;
    let command = Command::range(opcode, nsid, lba, blocks);
    Ok(command.cdw12(command.cdw12 | (flags as u16 as u32) << 16))
}

pub(super) fn no_buffer(text: &'static str) -> PyErr {
    pyo3::exceptions::PyAssertionError::new_err(text)
}

impl Namespace {
    pub(super) fn transfer<'py>(
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

    pub(super) fn submit<'py>(
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
