//! Namespaces: blocks to read and write.

mod geometry;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::buffer::DmaBuf;
use crate::command::{Command, nvm_opcode};
use crate::constructors::{DsmRange, SecureErase};
use crate::controller::Controller;
use crate::error::{Error, Result};
use crate::identify::{IdentifyNamespace, LbaFormat};
use crate::integrity::{Attachment, Table, skip_tokens, stamps};
use crate::lane::Kind;
use crate::pending::Pending;
use crate::qpair::Qpair;
use crate::queue::{Completed, Data, Token};
use crate::status::Status;
use crate::transport::Address;
use geometry::Geometry;

/// A namespace of a controller.
///
/// Numbers of blocks are those of its [LBA size](Self::lba_size), offsets into buffers are in bytes. The
/// lengths of transfers are made of the LBA size as far as it is known here: see [what a device does with
/// memory](crate::guide#what-a-device-does-with-memory) for formats with metadata, and after a format.
///
/// ```no_run
/// # use nvme_spdk::{ConnectOptions, Controller, DmaBuf};
/// # let controller = Controller::connect(&"127.0.0.1".parse()?, ConnectOptions::new())?;
/// let namespace = controller.namespace(1)?;
/// let qpair = controller.create_qpair(16)?;
/// let buffer = DmaBuf::new(8 * namespace.lba_size() as usize)?;
/// buffer.write(0, b"hello world");
/// namespace.write(&qpair, &buffer, 0, 8)?;
/// namespace.read(&qpair, &buffer, 0, 8)?;
/// assert_eq!(buffer.to_vec(0..11), b"hello world");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use = "what it tracks is forgotten with its last handle"]
pub struct Namespace {
    controller: Controller,
    nsid: u32,
    geometry: Arc<Geometry>,
    attachment: Option<Arc<Attachment>>,
}

/// The most blocks one command can name: NLB is a 16-bit field, 0's based.
pub const MOST_BLOCKS: u32 = 65536;

/// The last LBA format there can be: Format NVM has 6 bits for it.
const LAST_FORMAT: u8 = 63;

const TRANSFER_TIMEOUT: Duration = Duration::from_secs(10);

impl Namespace {
    pub(crate) fn open(controller: &Controller, nsid: u32) -> Result<Self> {
        let geometry = Arc::new(Geometry::read(controller, nsid)?);
        Ok(Namespace { controller: controller.clone(), nsid, geometry, attachment: None })
    }

    /// Its identifier.
    pub fn nsid(&self) -> u32 {
        self.nsid
    }

    /// The controller it belongs to.
    pub fn controller(&self) -> &Controller {
        &self.controller
    }

    /// Identify Namespace data as of opening, or of the last [`refresh`](Self::refresh).
    pub fn identify(&self) -> IdentifyNamespace {
        self.geometry.identify()
    }

    /// Metadata is not in the lengths that are computed here. Over a fabric the target notices; a PCIe device would
    /// access memory that is not the command's.
    #[inline]
    pub(crate) fn refuse_metadata(&self) -> Result<()> {
        self.refuse(self.geometry.block().1)
    }

    #[inline]
    fn refuse(&self, metadata_size: u16) -> Result<()> {
        match metadata_size {
            0 => Ok(()),
            _ if !matches!(self.controller.address(), Address::Pcie(_)) => Ok(()),
            size => Err(Error::Unsupported(format!(
                "blocks of namespace {} have {size} bytes of metadata, which reads, writes and workers do not move: \
                 format it without, or send commands of your own, with data or a metadata pointer for it",
                self.nsid
            ))),
        }
    }

    /// Its number of logical blocks and their size, of one and the same format.
    pub(crate) fn extent(&self) -> (u64, u32) {
        self.geometry.extent()
    }

    /// Its number of logical blocks (NSZE), as of opening, or of the last [`refresh`](Self::refresh).
    pub fn blocks(&self) -> u64 {
        self.geometry.blocks()
    }

    /// Bytes of data per logical block, without metadata (LBADS).
    pub fn lba_size(&self) -> u32 {
        self.geometry.block().0
    }

    /// The LBA format it has.
    pub fn format(&self) -> LbaFormat {
        self.identify().format()
    }

    /// Reads its Identify data again, after something has changed it.
    ///
    /// # Errors
    /// As [`Controller::namespace`].
    pub fn refresh(&self) -> Result<()> {
        self.geometry.refresh(&self.controller, self.nsid)
    }

    /// Remembers a checksum of every block that is written from now on, by whatever command on whichever
    /// queue of this controller, so that reads can be [verified](Self::verify). Only the first `blocks`
    /// blocks if that is given; `Some(0)` is all of them, as is `None`. Takes address space for so many
    /// blocks at once, and memory as blocks are used: 4 bytes each.
    ///
    /// Commands that touch a block which another command is at wait in their queue until it is done. Writes of
    /// [`write`](Self::write) and of workers make each block unique, as [`stamp`](Self::stamp) says.
    ///
    /// This lasts as long as a tracked handle to the namespace; a second one shares the first one's memory,
    /// and with it the first one's number of blocks, whatever it asks for.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if the system refuses the address space.
    pub fn track(mut self, blocks: Option<u64>) -> Result<Self> {
        let count = blocks.filter(|blocks| *blocks > 0).unwrap_or(u64::MAX).min(self.blocks());
        let attached = self.controller.tables().attach(self.nsid, count, self.lba_size());
        self.attachment = Some(attached.map_err(|e| {
            Error::Unsupported(format!(
                "no address space for the checksums of {count} blocks ({e}): raise the limit on virtual memory, or \
                 track fewer blocks"
            ))
        })?);
        Ok(self)
    }

    /// Whether it is tracked.
    pub fn is_tracked(&self) -> bool {
        self.attachment.is_some()
    }

    /// Switches the verification of reads on or off, for all handles and queues; returns whether the namespace is
    /// [tracked](Self::track), without which there is nothing to compare with.
    ///
    /// A read whose data is not what was written completes with [`Status::DATA_MISMATCH`], and says on the log
    /// which block is wrong. The command log keeps the completion of the controller. Blocks that were never
    /// written, or were deallocated, can hold anything.
    pub fn verify(&self, on: bool) -> bool {
        if let Some(attachment) = &self.attachment {
            attachment.table().enable(on);
            tracing::info!("enable inline data verify: {}", u8::from(on));
        }
        self.is_tracked()
    }

    /// Whether reads are verified.
    pub fn is_verifying(&self) -> bool {
        self.attachment.as_ref().is_some_and(|attachment| attachment.table().is_enabled())
    }

    /// Makes each of the blocks in `data` unique before it is written from `lba` on: its first 8 bytes become its
    /// address, its last 8 bytes a token, a number that no other block written by this process has (both
    /// little-endian). Takes a token for each of the `blocks` blocks, even if the data has less.
    pub fn stamp(&self, data: &Data, lba: u64, blocks: u32) {
        let lba_size = self.lba_size();
        let there = (data.len() / lba_size as usize) as u32;
        stamps(lba, blocks.min(there), lba_size, |at, word| data.write(at, &word));
        skip_tokens(blocks.saturating_sub(there));
    }

    /// Formats it with one of its LBA formats, 0 to 63 (NVM command set specification, "Format NVM command"): waits,
    /// refreshes what is known of it and forgets its checksums. A format that the controller refuses changes none of
    /// that; after one that has taken too long, or was ended in the middle, call [`formatted`](Self::formatted).
    ///
    /// ```no_run
    /// # use std::time::Duration;
    /// # use nvme_spdk::{Namespace, SecureErase};
    /// # fn format(namespace: &Namespace) -> Result<(), Box<dyn std::error::Error>> {
    /// let format = namespace.identify().find_format(4096, 0).ok_or("no blocks of 4 KiB")?;
    /// namespace.format_nvm(format, SecureErase::None, Duration::from_secs(100))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a format above 63, [`Error::Command`] with the status if the controller refuses,
    /// and those of [`Controller::execute_within`] and [`refresh`](Self::refresh).
    pub fn format_nvm(&self, format: u8, erase: SecureErase, timeout: Duration) -> Result<()> {
        if format > LAST_FORMAT {
            return Err(Error::InvalidArgument(format!(
                "a namespace has LBA formats 0 to {LAST_FORMAT}, not {format}; IdentifyNamespace::find_format finds \
                 the one of a block size"
            )));
        }
        let command = Command::format_nvm(self.nsid, format, erase);
        let completed = self.controller.execute_within(&command, None, timeout)?;
        match completed.completion.status() {
            Status::SUCCESS => self.formatted(),
            status => Err(Error::Command { what: format!("Format NVM of namespace {}", self.nsid), status }),
        }
    }

    /// After a Format NVM command that was sent by other means: refreshes what is known of the namespace and
    /// forgets its checksums.
    ///
    /// # Errors
    /// As [`refresh`](Self::refresh).
    pub fn formatted(&self) -> Result<()> {
        let refreshed = self.refresh();
        if let Some(attachment) = &self.attachment {
            attachment.table().formatted(self.lba_size());
        }
        refreshed
    }

    /// What is known of its blocks, for a worker.
    pub(crate) fn table(&self) -> Option<Arc<Table>> {
        self.attachment.as_ref().map(|attachment| Arc::clone(attachment.table()))
    }

    /// Reads `blocks` blocks from `lba` on into the start of a buffer (NVM command set specification, "Read
    /// command"), and waits, at most 10 seconds.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`], [`Error::InvalidArgument`] outside 1 to 65536 blocks and for a queue pair of another
    /// controller, [`Error::Command`] with the status if the controller refuses, and those of [`Qpair::execute`].
    pub fn read(&self, qpair: &Qpair, buffer: &DmaBuf, lba: u64, blocks: u32) -> Result<Completed> {
        self.transfer(nvm_opcode::READ, "Read", qpair, buffer, lba, blocks)
    }

    /// Writes `blocks` blocks from `lba` on from the start of a buffer (NVM command set specification, "Write
    /// command"), and waits, at most 10 seconds. If the namespace is [tracked](Self::track), the buffer is
    /// [stamped](Self::stamp) first.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn write(&self, qpair: &Qpair, buffer: &DmaBuf, lba: u64, blocks: u32) -> Result<Completed> {
        self.transfer(nvm_opcode::WRITE, "Write", qpair, buffer, lba, blocks)
    }

    /// Commits what was written to the medium (NVMe base specification, "Flush command"), and waits, at most
    /// 10 seconds.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a queue pair of another controller, [`Error::Command`] with the status if the
    /// controller refuses, and those of [`Qpair::execute`].
    pub fn flush(&self, qpair: &Qpair) -> Result<Completed> {
        self.run(qpair, &Command::flush(self.nsid), None, "Flush")
    }

    /// Writes zeros to `blocks` blocks from `lba` on, without transferring them (NVM command set
    /// specification, "Write Zeroes command"), and waits, at most 10 seconds. The controller may deallocate
    /// them, if `deallocate`.
    ///
    /// # Errors
    /// As [`flush`](Self::flush); [`Error::InvalidArgument`] outside 1 to 65536 blocks.
    pub fn write_zeroes(&self, qpair: &Qpair, lba: u64, blocks: u32, deallocate: bool) -> Result<Completed> {
        check_blocks(blocks)?;
        self.run(qpair, &Command::write_zeroes(self.nsid, lba, blocks, deallocate), None, "Write Zeroes")
    }

    /// Tells the controller that 1 to 256 ranges are no longer needed (NVM command set specification,
    /// "Dataset Management command", Deallocate), and waits, at most 10 seconds.
    ///
    /// # Errors
    /// As [`flush`](Self::flush); [`Error::InvalidArgument`] for another number of ranges; those of [`DmaBuf::new`].
    pub fn deallocate(&self, qpair: &Qpair, ranges: &[DsmRange]) -> Result<Completed> {
        let count = ranges.len();
        if !(1..=256).contains(&count) {
            return Err(Error::InvalidArgument(format!("a command names 1 to 256 ranges, not {count}")));
        }
        let list = DsmRange::list(ranges);
        let buffer = DmaBuf::new(list.len())?;
        buffer.write(0, &list);
        let command = Command::deallocate(self.nsid, count as u32);
        self.run(qpair, &command, Some(Data::from(&buffer)), "Dataset Management")
    }

    fn run(&self, qpair: &Qpair, command: &Command, data: Option<Data>, name: &str) -> Result<Completed> {
        let completed = self.ours(qpair)?.lane().execute(Kind::Raw, command, data, TRANSFER_TIMEOUT)?;
        match completed.completion.status() {
            Status::SUCCESS => Ok(completed),
            status => Err(Error::Command { what: format!("{name} of namespace {}", self.nsid), status }),
        }
    }

    fn transfer(
        &self,
        opcode: u8,
        name: &str,
        qpair: &Qpair,
        buffer: &DmaBuf,
        lba: u64,
        blocks: u32,
    ) -> Result<Completed> {
        let qpair = self.ours(qpair)?;
        let command = Command::range(opcode, self.nsid, lba, blocks);
        let data = self.data(buffer, 0, buffer.len(), blocks)?;
        if opcode == nvm_opcode::WRITE && self.is_tracked() {
            self.stamp(&data, lba, blocks);
        }
        let completed = qpair.lane().execute(Kind::Transfer, &command, Some(data), TRANSFER_TIMEOUT)?;
        match completed.completion.status() {
            Status::SUCCESS => Ok(completed),
            status => Err(Error::Command { what: format!("{name} of {blocks} blocks at LBA {lba}"), status }),
        }
    }

    fn reading(&self, buffer: &DmaBuf, offset: usize, lba: u64, blocks: u32) -> Result<(Command, Data)> {
        let data = self.data(buffer, offset, buffer.len().saturating_sub(offset), blocks)?;
        Ok((Command::read(self.nsid, lba, blocks), data))
    }

    fn writing(&self, buffer: &DmaBuf, offset: usize, lba: u64, blocks: u32) -> Result<(Command, Data)> {
        let data = self.data(buffer, offset, buffer.len().saturating_sub(offset), blocks)?;
        if self.is_tracked() {
            self.stamp(&data, lba, blocks);
        }
        Ok((Command::write(self.nsid, lba, blocks), data))
    }

    /// Sends a Read (NVM command set specification, "Read command") without waiting, into a buffer from byte
    /// `offset` on.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`], [`Error::InvalidArgument`] outside 1 to 65536 blocks and for a queue pair of another
    /// controller, and those of [`Qpair::submit`].
    pub fn submit_read(
        &self,
        qpair: &Qpair,
        buffer: &DmaBuf,
        offset: usize,
        lba: u64,
        blocks: u32,
    ) -> Result<Token> {
        let (command, data) = self.reading(buffer, offset, lba, blocks)?;
        self.submit(qpair, &command, data)
    }

    /// Sends a Write (NVM command set specification, "Write command") without waiting, from a buffer from
    /// byte `offset` on, [stamped](Self::stamp) as with [`write`](Self::write).
    ///
    /// # Errors
    /// As [`submit_read`](Self::submit_read).
    pub fn submit_write(
        &self,
        qpair: &Qpair,
        buffer: &DmaBuf,
        offset: usize,
        lba: u64,
        blocks: u32,
    ) -> Result<Token> {
        let qpair = self.ours(qpair)?;
        let (command, data) = self.writing(buffer, offset, lba, blocks)?;
        qpair.lane().submit(Kind::Transfer, &command, Some(data))
    }

    /// Sends a Read or Write of any form without waiting. What goes through here and the functions above counts
    /// as traffic in [consoles](crate::rpc); what goes to the queue pair directly does not. The command is sent as it
    /// is: if it names another namespace of the controller, it goes there.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a queue pair of another controller, and those of [`Qpair::submit`].
    pub fn submit(&self, qpair: &Qpair, command: &Command, data: Data) -> Result<Token> {
        self.ours(qpair)?.lane().submit(Kind::Transfer, command, Some(data))
    }

    /// Sends a Read (NVM command set specification, "Read command") now, into a buffer from byte `offset` on;
    /// its completion comes through the future, a [`Mismatch`](crate::Mismatch) of a [verified](Self::verify)
    /// read with it.
    ///
    /// # Errors
    /// As [`submit_read`](Self::submit_read); for the future's see [`Qpair::start`].
    pub fn start_read(
        &self,
        qpair: &Qpair,
        buffer: &DmaBuf,
        offset: usize,
        lba: u64,
        blocks: u32,
    ) -> Result<Pending> {
        let (command, data) = self.reading(buffer, offset, lba, blocks)?;
        self.start(qpair, &command, data)
    }

    /// Sends a Write (NVM command set specification, "Write command") now, from a buffer from byte `offset`
    /// on, [stamped](Self::stamp) as with [`write`](Self::write); its completion comes through the future.
    ///
    /// # Errors
    /// As [`start_read`](Self::start_read).
    pub fn start_write(
        &self,
        qpair: &Qpair,
        buffer: &DmaBuf,
        offset: usize,
        lba: u64,
        blocks: u32,
    ) -> Result<Pending> {
        let qpair = self.ours(qpair)?;
        let (command, data) = self.writing(buffer, offset, lba, blocks)?;
        qpair.start_as(Kind::Transfer, &command, Some(data))
    }

    /// As [`submit`](Self::submit), with a future for the completion.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a queue pair of another controller, and those of [`Qpair::start`].
    pub fn start(&self, qpair: &Qpair, command: &Command, data: Data) -> Result<Pending> {
        self.ours(qpair)?.start_as(Kind::Transfer, command, Some(data))
    }

    /// The queue pair, if it is of the same controller: with another one, the identifier stands for something else.
    #[inline]
    fn ours<'q>(&self, qpair: &'q Qpair) -> Result<&'q Qpair> {
        if Arc::ptr_eq(self.controller.inner(), qpair.controller()) {
            Ok(qpair)
        } else {
            Err(self.foreign(qpair))
        }
    }

    #[cold]
    fn foreign(&self, qpair: &Qpair) -> Error {
        Error::InvalidArgument(format!(
            "queue pair {} was created on another controller ({}) than the one that namespace {} is of ({}): each \
             connect makes a controller of its own, also to the same address; use create_qpair of \
             Namespace::controller, or of a clone of it",
            qpair.qid(),
            qpair.controller().address(),
            self.nsid,
            self.controller.address()
        ))
    }

    /// The part of a buffer that `blocks` blocks take, from byte `offset` on, checked against the `available`
    /// bytes behind it.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`], [`Error::InvalidArgument`] outside 1 to 65536 blocks, and [`Error::Unsupported`]
    /// on PCIe if blocks have metadata.
    pub fn data(&self, buffer: &DmaBuf, offset: usize, available: usize, blocks: u32) -> Result<Data> {
        check_blocks(blocks)?;
        let (lba_size, metadata_size) = self.geometry.block();
        self.refuse(metadata_size)?;
        let needed = u64::from(blocks) * u64::from(lba_size);
        if needed > available as u64 {
            return Err(Error::BufferTooSmall { needed, available: available as u64 });
        }
        Data::new(buffer, offset, needed as usize)
    }
}

fn check_blocks(blocks: u32) -> Result<()> {
    match (1..=MOST_BLOCKS).contains(&blocks) {
        true => Ok(()),
        false => Err(Error::InvalidArgument(format!(
            "a command transfers 1 to {MOST_BLOCKS} blocks, not {blocks}"
        ))),
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Namespace({}, {} blocks of {} bytes)", self.nsid, self.blocks(), self.lba_size())
    }
}
