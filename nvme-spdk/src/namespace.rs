//! Namespaces: blocks to read and write.

use std::fmt;
use std::time::Duration;

use crate::buffer::DmaBuf;
use crate::command::{Command, nvm_opcode};
use crate::controller::Controller;
use crate::error::{Error, Result};
use crate::identify::{IdentifyNamespace, LbaFormat};
use crate::lane::Kind;
use crate::qpair::Qpair;
use crate::queue::{Completed, Data, Token};
use crate::status::Status;

/// A namespace of a controller.
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
pub struct Namespace {
    controller: Controller,
    nsid: u32,
    identify: IdentifyNamespace,
}

/// The most blocks one command can name: NLB is a 16-bit field, 0's based.
pub const MOST_BLOCKS: u32 = 65536;

const IDENTIFY_TIMEOUT: Duration = Duration::from_secs(10);
const TRANSFER_TIMEOUT: Duration = Duration::from_secs(10);

impl Namespace {
    pub(crate) fn open(controller: &Controller, nsid: u32) -> Result<Self> {
        let most = controller.identify().number_of_namespaces();
        let missing = |why: String| Err(Error::NoNamespace { nsid, why });
        if nsid == 0 || nsid > most {
            return missing(format!("the controller has identifiers 1 to {most}"));
        }
        let bytes = match controller.identify_data(0x00, nsid, IDENTIFY_TIMEOUT) {
            Err(Error::Command { status, .. }) => return missing(format!("Identify answers {status}")),
            other => other?,
        };
        let identify = IdentifyNamespace::from_bytes(&bytes);
        if identify.size() == 0 {
            return missing("it is not active".to_owned());
        }
        if identify.format().data_size < 512 {
            return missing(format!("its LBA format says blocks of {} bytes", identify.format().data_size));
        }
        Ok(Namespace { controller: controller.clone(), nsid, identify })
    }

    /// Its identifier.
    pub fn nsid(&self) -> u32 {
        self.nsid
    }

    /// The controller it belongs to.
    pub fn controller(&self) -> &Controller {
        &self.controller
    }

    /// Identify Namespace data as of opening.
    pub fn identify(&self) -> &IdentifyNamespace {
        &self.identify
    }

    /// Its number of logical blocks (NSZE).
    pub fn blocks(&self) -> u64 {
        self.identify.size()
    }

    /// Bytes of data per logical block.
    pub fn lba_size(&self) -> u32 {
        self.identify.format().data_size
    }

    /// The LBA format it has.
    pub fn format(&self) -> LbaFormat {
        self.identify.format()
    }

    /// Reads `blocks` blocks from `lba` on into the start of a buffer, and waits.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`], [`Error::InvalidArgument`] outside 1 to 65536 blocks, [`Error::Command`] with
    /// the status if the controller refuses, and those of [`Qpair::execute`].
    pub fn read(&self, qpair: &Qpair, buffer: &DmaBuf, lba: u64, blocks: u32) -> Result<Completed> {
        self.transfer(nvm_opcode::READ, "Read", qpair, buffer, lba, blocks)
    }

    /// Writes `blocks` blocks from `lba` on from the start of a buffer, and waits.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn write(&self, qpair: &Qpair, buffer: &DmaBuf, lba: u64, blocks: u32) -> Result<Completed> {
        self.transfer(nvm_opcode::WRITE, "Write", qpair, buffer, lba, blocks)
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
        let command = Command::range(opcode, self.nsid, lba, blocks);
        let data = self.data(buffer, 0, buffer.len(), blocks)?;
        let completed = qpair.lane().execute(Kind::Transfer, &command, Some(data), TRANSFER_TIMEOUT)?;
        match completed.completion.status() {
            Status::SUCCESS => Ok(completed),
            status => Err(Error::Command { what: format!("{name} of {blocks} blocks at LBA {lba}"), status }),
        }
    }

    /// Sends a Read without waiting, into a buffer from `offset` on.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`], [`Error::InvalidArgument`] outside 1 to 65536 blocks, and those of
    /// [`Qpair::submit`].
    pub fn submit_read(
        &self,
        qpair: &Qpair,
        buffer: &DmaBuf,
        offset: usize,
        lba: u64,
        blocks: u32,
    ) -> Result<Token> {
        let data = self.data(buffer, offset, buffer.len().saturating_sub(offset), blocks)?;
        self.submit(qpair, &Command::read(self.nsid, lba, blocks), data)
    }

    /// Sends a Write without waiting, from a buffer from `offset` on.
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
        let data = self.data(buffer, offset, buffer.len().saturating_sub(offset), blocks)?;
        self.submit(qpair, &Command::write(self.nsid, lba, blocks), data)
    }

    /// Sends a Read or Write of any form without waiting. What goes through here and the functions above counts
    /// as traffic in [consoles](crate::rpc); what goes to the queue pair directly does not.
    ///
    /// # Errors
    /// Those of [`Qpair::submit`].
    pub fn submit(&self, qpair: &Qpair, command: &Command, data: Data) -> Result<Token> {
        qpair.lane().submit(Kind::Transfer, command, Some(data))
    }

    /// The part of a buffer that `blocks` blocks take, checked against the `available` bytes behind `offset`.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`], and [`Error::InvalidArgument`] outside 1 to 65536 blocks.
    pub fn data(&self, buffer: &DmaBuf, offset: usize, available: usize, blocks: u32) -> Result<Data> {
        if !(1..=MOST_BLOCKS).contains(&blocks) {
            return Err(Error::InvalidArgument(format!(
                "a command transfers 1 to {MOST_BLOCKS} blocks, not {blocks}"
            )));
        }
        let needed = u64::from(blocks) * u64::from(self.lba_size());
        if needed > available as u64 {
            return Err(Error::BufferTooSmall { needed, available: available as u64 });
        }
        Data::new(buffer, offset, needed as usize)
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Namespace({}, {} blocks of {} bytes)", self.nsid, self.blocks(), self.lba_size())
    }
}
