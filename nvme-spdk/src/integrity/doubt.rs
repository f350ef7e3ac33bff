//! Blocks of writes that nobody answered: they hold what was there before, or what was to be written.
//!
//! A write that is aborted with its connection or its queue may have been executed or not. The table keeps what the
//! block held before; what it may hold as well stands here until the block is written anew.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

/// Per block, the checksums of the writes that were aborted since it was last written.
#[derive(Default)]
pub(super) struct Doubts {
    /// Whether there are any, which is all that is looked at as long as nothing goes wrong.
    any: AtomicBool,
    sums: Mutex<HashMap<u64, Vec<u32>>>,
}

impl Doubts {
    /// A block may hold data with this checksum.
    #[cold]
    pub(super) fn add(&self, lba: u64, sum: u32) {
        let mut sums = self.sums.lock();
        let of_block = sums.entry(lba).or_default();
        if !of_block.contains(&sum) {
            of_block.push(sum);
        }
        self.any.store(true, Ordering::Release);
    }

    /// Whether a block may hold data with this checksum.
    #[inline]
    pub(super) fn allow(&self, lba: u64, sum: u32) -> bool {
        self.any.load(Ordering::Acquire) && self.listed(lba, sum)
    }

    #[cold]
    fn listed(&self, lba: u64, sum: u32) -> bool {
        self.sums.lock().get(&lba).is_some_and(|sums| sums.contains(&sum))
    }

    /// What a range holds is known again, or not at all.
    #[inline]
    pub(super) fn settle(&self, lba: u64, count: u64) {
        if self.any.load(Ordering::Acquire) {
            self.forget(lba, count);
        }
    }

    #[cold]
    fn forget(&self, lba: u64, count: u64) {
        let mut sums = self.sums.lock();
        let range = lba..lba.saturating_add(count);
        // Whatever is smaller: a trim of the whole namespace, or a write among many doubts.
        if count > sums.len() as u64 {
            sums.retain(|lba, _| !range.contains(lba));
        } else {
            range.for_each(|lba| drop(sums.remove(&lba)));
        }
        self.any.store(!sums.is_empty(), Ordering::Release);
    }

    pub(super) fn clear(&self) {
        self.settle(0, u64::MAX);
    }
}
