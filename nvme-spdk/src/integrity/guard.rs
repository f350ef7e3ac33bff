//! What a queue does for integrity: locks blocks when a command goes out, settles when it comes back.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use super::content::Content;
use super::{Mismatch, Table, Tables};
use crate::command::{Command, Completion, Fuse, admin_opcode, nvm_opcode};
use crate::status::Status;

/// The blocks that a command holds locked.
#[derive(Debug, Default)]
pub(crate) enum Claim {
    #[default]
    Nothing,
    /// Those of a command that names one range, in the table with this place.
    Range { table: usize, lba: u64, blocks: u32 },
    /// Those of a Dataset Management command, without overlaps.
    Ranges { table: usize, ranges: Ranges },
}

/// A queue's view of the tables. Used by the thread that drives the queue.
pub(crate) struct Guard {
    tables: Arc<Tables>,
    version: Cell<u32>,
    known: RefCell<Vec<Known>>,
    /// Claims that refer to places in `known`.
    claims: Cell<usize>,
    /// Blocks that were read and found as they were written.
    verified: Cell<u64>,
}

struct Known {
    nsid: u32,
    table: Arc<Table>,
    /// False once the namespace let go of it; commands in flight still refer to it.
    current: bool,
}

/// A range of a Dataset Management command: attributes, length in blocks, starting LBA.
const DSM_RANGE: usize = 16;

impl Guard {
    pub(crate) fn new(tables: Arc<Tables>) -> Self {
        Guard {
            tables,
            version: Cell::new(0),
            known: RefCell::default(),
            claims: Cell::new(0),
            verified: Cell::new(0),
        }
    }

    /// How many blocks were read by this queue and found as they were written.
    pub(crate) fn verified(&self) -> u64 {
        self.verified.get()
    }

    /// Locks the blocks of an I/O command; `None` if another command holds one of them.
    ///
    /// # Safety
    /// `data` points to `len` bytes in a [`DmaBuf`](crate::DmaBuf), or is null.
    #[inline]
    pub(crate) unsafe fn claim(&self, command: &Command, data: *const u8, len: usize) -> Option<Claim> {
        if self.version.get() != self.tables.version() {
            self.refresh();
        }
        let known = self.known.borrow();
        let Some(place) = known.iter().position(|known| known.nsid == command.nsid && known.current) else {
            return Some(Claim::Nothing);
        };
        let table = &known[place].table;
        let claim = match command.opcode {
            nvm_opcode::WRITE
            | nvm_opcode::READ
            | nvm_opcode::WRITE_UNCORRECTABLE
            | nvm_opcode::COMPARE
            | nvm_opcode::WRITE_ZEROES => {
                let (lba, blocks) = (command.slba(), command.nlb());
                // The first of two fused commands holds the blocks for both.
                if command.fuse() != Fuse::Second && !table.lock(lba, u64::from(blocks)) {
                    return None;
                }
                Claim::Range { table: place, lba, blocks }
            }
            nvm_opcode::DATASET_MANAGEMENT => {
                let count = (command.cdw10 as usize & 0xff) + 1;
                // SAFETY: as the caller promises.
                let ranges = Ranges::read(&unsafe { Content::new(data, len) }, count);
                let locked = ranges.iter().take_while(|(lba, blocks)| table.lock(*lba, *blocks)).count();
                if locked < ranges.len() {
                    ranges[..locked].iter().for_each(|(lba, blocks)| table.unlock(*lba, *blocks));
                    return None;
                }
                Claim::Ranges { table: place, ranges }
            }
            _ => return Some(Claim::Nothing),
        };
        self.claims.set(self.claims.get() + 1);
        Some(claim)
    }

    /// Gives up what a command that was never sent has claimed.
    pub(crate) fn release(&self, claim: &Claim) {
        self.finish(claim, |table, lba, blocks| table.unlock(lba, blocks));
    }

    /// Notes what a completed command did to its blocks, unlocks them, and says what is wrong with the data
    /// it has read.
    ///
    /// # Safety
    /// `data` points to the `len` bytes that the command transferred, in a [`DmaBuf`](crate::DmaBuf), or is null.
    #[inline]
    pub(crate) unsafe fn settle(
        &self,
        claim: &Claim,
        opcode: u8,
        completion: &Completion,
        data: *const u8,
        len: usize,
    ) -> Option<Mismatch> {
        let success = completion.is_success();
        let mut mismatch = None;
        // SAFETY: as the caller promises.
        let content = || unsafe { Content::new(data, len) };
        self.finish(claim, |table, lba, blocks| match opcode {
            nvm_opcode::WRITE if success => table.written(lba, blocks, &content()),
            nvm_opcode::WRITE if is_open(completion.status()) => {
                table.maybe_written(lba, blocks, &content());
            }
            nvm_opcode::WRITE_ZEROES | nvm_opcode::DATASET_MANAGEMENT
                if success || is_open(completion.status()) =>
            {
                table.unmapped(lba, blocks);
            }
            // Also when the controller refuses: that is how scripts mark blocks which workers are to leave out.
            nvm_opcode::WRITE_UNCORRECTABLE if completion.status() != Status::ABORTED_SQ_DELETION => {
                table.uncorrectable(lba, blocks);
            }
            _ => {
                if opcode == nvm_opcode::READ && success && table.is_enabled() {
                    match table.verify(lba, blocks, &content()) {
                        Ok(compared) => self.verified.set(self.verified.get() + compared),
                        Err(found) => mismatch = Some(found),
                    }
                }
                table.unlock(lba, blocks);
            }
        });
        mismatch
    }

    /// Notes what a completed admin command did to the data of all namespaces.
    pub(crate) fn admin_completed(&self, opcode: u8, completion: &Completion) {
        // Success means that it has started, and nothing that was there can be expected any more.
        if opcode == admin_opcode::SANITIZE && completion.is_success() {
            self.tables.clear();
        }
    }

    #[inline]
    fn finish(&self, claim: &Claim, mut each: impl FnMut(&Table, u64, u64)) {
        let known = self.known.borrow();
        match claim {
            Claim::Nothing => return,
            Claim::Range { table, lba, blocks } => each(&known[*table].table, *lba, u64::from(*blocks)),
            Claim::Ranges { table, ranges } => {
                ranges.iter().for_each(|(lba, blocks)| each(&known[*table].table, *lba, *blocks));
            }
        }
        self.claims.set(self.claims.get() - 1);
    }

    #[cold]
    fn refresh(&self) {
        let mut known = self.known.borrow_mut();
        let list = self.tables.list.lock();
        self.version.set(self.tables.version());
        if self.claims.get() == 0 {
            known.clear();
        }
        for old in &mut *known {
            old.current = list.iter().any(|entry| Arc::ptr_eq(&entry.table, &old.table));
        }
        for entry in &*list {
            if !known.iter().any(|known| Arc::ptr_eq(&known.table, &entry.table)) {
                known.push(Known { nsid: entry.nsid, table: Arc::clone(&entry.table), current: true });
            }
        }
    }
}

/// Whether a command with this status may have been executed or not: it was aborted, or its connection is lost.
fn is_open(status: Status) -> bool {
    matches!(
        status,
        Status::ABORTED_BY_REQUEST | Status::ABORTED_SQ_DELETION | Status::TRANSIENT_TRANSPORT_ERROR
    )
}

/// The ranges of a Dataset Management command, as first block and number of blocks: sorted, and those that touch
/// or overlap joined, because none may meet a lock of its own command.
#[derive(Debug)]
pub(crate) enum Ranges {
    /// The usual case, which workers send many of, takes no memory.
    One((u64, u64)),
    Many(Box<[(u64, u64)]>),
}

impl Ranges {
    fn read(data: &Content<'_>, count: usize) -> Self {
        let range = |at: usize| {
            let bytes: [u8; DSM_RANGE] = data.bytes(at * DSM_RANGE)?;
            let [_, blocks, low, high] = std::array::from_fn(|at| {
                u32::from_le_bytes([bytes[4 * at], bytes[4 * at + 1], bytes[4 * at + 2], bytes[4 * at + 3]])
            });
            Some((u64::from(low) | u64::from(high) << 32, u64::from(blocks)))
        };
        match range(0) {
            Some(one) if count == 1 => Ranges::One(one),
            _ => Ranges::Many(joined((0..count).map_while(range).collect()).into()),
        }
    }
}

impl std::ops::Deref for Ranges {
    type Target = [(u64, u64)];

    fn deref(&self) -> &Self::Target {
        match self {
            Ranges::One(range) => std::slice::from_ref(range),
            Ranges::Many(ranges) => ranges,
        }
    }
}

fn joined(mut ranges: Vec<(u64, u64)>) -> Vec<(u64, u64)> {
    ranges.sort_unstable();
    ranges.dedup_by(|next, first| {
        let joined = next.0 <= first.0.saturating_add(first.1);
        if joined {
            first.1 = first.1.max((next.0 - first.0).saturating_add(next.1));
        }
        joined
    });
    ranges
}

#[cfg(test)]
mod tests;
