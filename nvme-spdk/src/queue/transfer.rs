//! What goes in with a command and comes out with its completion.

use std::ffi::c_void;

use crate::buffer::DmaBuf;
use crate::command::{Command, Completion};
use crate::error::{Error, Result};
use crate::integrity::Mismatch;
use crate::status::Status;

/// Names a submitted command until its completion is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(u64);

impl Token {
    pub(super) fn new(slot: u16, generation: u64) -> Self {
        Token(generation << 16 | u64::from(slot))
    }

    fn slot(self) -> u16 {
        self.0 as u16
    }

    /// The place of the command among those that may be outstanding: below the depth of its queue less one,
    /// and free again once the completion is taken. Good as an index for data kept per command. A command
    /// that [`TimedOut`](Outcome::TimedOut) keeps its place until it comes [`Late`](Outcome::Late).
    pub fn index(self) -> usize {
        usize::from(self.slot())
    }
}

/// The smallest page a controller may be enabled with (CC.MPS); with larger ones data reaches into fewer.
const PAGE: usize = 4096;
/// PRP1, and as many entries as SPDK has in one list.
pub(crate) const MOST_PAGES: usize = spdk_sys::SHIM_PCIE_MOST_PAGES as usize;

/// What a command transfers: a part of a buffer.
#[derive(Debug, Clone)]
pub struct Data {
    pub(super) buffer: DmaBuf,
    pub(super) offset: usize,
    len: usize,
}

/// How far into a page data begins, and into how many pages it reaches.
#[inline]
fn span(address: usize, len: usize) -> (usize, usize) {
    let into_page = address % PAGE;
    (into_page, (into_page + len).div_ceil(PAGE))
}

/// Whether data can be described as [`Data::within_prp_list`] says. SPDK frees a request twice if not.
#[inline]
pub(crate) fn fits_prp_list(address: *const c_void, len: u32) -> bool {
    let (into_page, pages) = span(address as usize, len as usize);
    into_page.is_multiple_of(4) && pages <= MOST_PAGES
}

impl Data {
    /// `len` bytes of `buffer` from `offset` on.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`] if they reach further than one page behind the buffer, [`Error::InvalidArgument`]
    /// beyond 4 GiB.
    pub fn new(buffer: &DmaBuf, offset: usize, len: usize) -> Result<Self> {
        let end = offset.checked_add(len);
        if end.is_none_or(|end| end > buffer.reach()) {
            return Err(Error::BufferTooSmall {
                needed: len as u64,
                available: buffer.len().saturating_sub(offset) as u64,
            });
        }
        let data = Data { buffer: buffer.clone(), offset, len };
        data.transferred()?;
        Ok(data)
    }

    /// How many bytes, as SPDK takes it: a whole buffer may be too large.
    #[inline]
    pub(super) fn transferred(&self) -> Result<u32> {
        u32::try_from(self.len).map_err(|_| {
            Error::InvalidArgument(format!(
                "a command transfers less than 4 GiB, not {} bytes: name a part of the buffer with Data::new",
                self.len
            ))
        })
    }

    /// The same data, if a controller can be told where it is with two PRP entries and one page of a PRP list
    /// (NVMe base specification, "Physical Region Page Entry and List"): it begins at a multiple of 4 bytes
    /// and reaches into at most 504 pages of 4 KiB.
    ///
    /// # Errors
    /// [`Error::DataPointer`].
    pub fn within_prp_list(self) -> Result<Self> {
        let (into_page, pages) = span(self.address() as usize, self.len());
        let why = if !into_page.is_multiple_of(4) {
            format!("it begins {into_page} bytes into a page, which is no multiple of 4")
        } else if pages > MOST_PAGES {
            format!("it reaches into {pages} pages, a PRP list describes at most {MOST_PAGES}")
        } else {
            return Ok(self);
        };
        Err(Error::DataPointer { bytes: self.len(), why })
    }

    /// Where it begins.
    pub(crate) fn address(&self) -> *mut u8 {
        self.buffer.as_ptr().wrapping_add(self.offset)
    }

    /// Copies bytes in, `at` so many of its own.
    pub(crate) fn write(&self, at: usize, from: &[u8]) {
        self.buffer.write_within_reach(self.offset + at, from);
    }

    /// How many bytes.
    #[expect(clippy::len_without_is_empty, reason = "an empty transfer is a transfer")]
    pub fn len(&self) -> usize {
        self.len
    }
}

impl From<&DmaBuf> for Data {
    /// The whole buffer. If that is 4 GiB or more, no command takes it: submitting it ends with
    /// [`Error::InvalidArgument`].
    fn from(buffer: &DmaBuf) -> Self {
        Data { buffer: buffer.clone(), offset: 0, len: buffer.len() }
    }
}

/// How a command came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The controller completed it.
    Answered,
    /// The controller has not completed it in time (see
    /// [`Controller::set_command_timeout`](crate::Controller::set_command_timeout)); it keeps its place and
    /// its buffer, and counts as outstanding. The completion has all bits set. The same token comes once
    /// more, as [`Late`](Self::Late), if the controller completes it after all.
    TimedOut,
    /// It was reported as timed out before; now the controller has completed it.
    Late,
}

/// A command whose completion has come.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Completed {
    /// What `submit` returned for it.
    pub token: Token,
    /// The command, with the identifier it was sent under.
    pub command: Command,
    /// The completion queue entry.
    pub completion: Completion,
    /// From submission until its completion was seen, in ticks; see [`Completed::latency`].
    pub ticks: u64,
    /// Whether it is the answer of the controller.
    pub outcome: Outcome,
    /// What is wrong with the data it has read, if that was verified; the status of the completion is then
    /// [`Status::DATA_MISMATCH`](crate::Status::DATA_MISMATCH).
    pub mismatch: Option<Mismatch>,
}

impl Completed {
    /// The same, if its status is success.
    ///
    /// # Errors
    /// [`Error::Command`] with the status otherwise.
    pub fn success(self) -> Result<Self> {
        match self.completion.status() {
            Status::SUCCESS => Ok(self),
            status => {
                let Command { opcode, nsid, .. } = self.command;
                Err(Error::Command { what: format!("opcode {opcode:#04x} for namespace {nsid}"), status })
            }
        }
    }

    /// From submission until its completion was seen.
    pub fn latency(&self) -> std::time::Duration {
        crate::clock::duration(self.ticks)
    }
}
