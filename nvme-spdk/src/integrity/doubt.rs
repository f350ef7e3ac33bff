//! Blocks of writes that nobody answered: they hold what was there before, or what was to be written.
//!
//! A write that is aborted with its connection or its queue may have been executed or not. The table keeps the checksum
//! of what the block held before; that of what it may hold as well stands here until the block is written anew.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::table::{Memory, UNKNOWN, bytes_for};

/// Per block, the checksum of the write that was aborted since it was last written; 0 for none.
#[derive(Default)]
pub(super) struct Doubts {
    /// Made with the first of them, which is all that is looked at as long as nothing goes wrong. Like the table it takes
    /// memory where it is used. `None` if there was none.
    words: OnceLock<Option<Words>>,
}

struct Words {
    memory: Memory,
    blocks: u64,
}

// SAFETY: the memory is not tied to a thread and is accessed through atomics only.
unsafe impl Send for Words {}
// SAFETY: as above.
unsafe impl Sync for Words {}

impl Words {
    fn range(&self, lba: u64, count: u64) -> &[AtomicU32] {
        let start = lba.min(self.blocks);
        let end = lba.saturating_add(count).min(self.blocks);
        let first = self.memory.start().cast::<AtomicU32>();
        // SAFETY: start <= end <= blocks, and the mapping has a word for each; zeroed memory is a valid AtomicU32.
        unsafe { std::slice::from_raw_parts(first.as_ptr().add(start as usize), (end - start) as usize) }
    }
}

impl Doubts {
    fn words(&self) -> Option<&Words> {
        self.words.get().and_then(Option::as_ref)
    }

    /// A block of a table of `blocks` blocks may hold data with this checksum as well; false if that cannot be
    /// remembered, because it may hold a third.
    #[cold]
    pub(super) fn add(&self, blocks: u64, lba: u64, sum: u32) -> bool {
        let make = || Some(Words { memory: bytes_for(blocks).and_then(Memory::private).ok()?, blocks });
        let words = self.words.get_or_init(make).as_ref();
        let Some(word) = words.and_then(|words| words.range(lba, 1).first()) else { return false };
        let before = word.swap(sum, Ordering::AcqRel);
        before == UNKNOWN || before == sum
    }

    /// Whether a block may hold data with this checksum.
    #[inline]
    pub(super) fn allow(&self, lba: u64, sum: u32) -> bool {
        let word = self.words().and_then(|words| words.range(lba, 1).first());
        word.is_some_and(|word| word.load(Ordering::Acquire) == sum)
    }

    /// What a range holds is known again, or not at all.
    #[inline]
    pub(super) fn settle(&self, lba: u64, count: u64) {
        if let Some(words) = self.words() {
            let doubtful =
                words.range(lba, count).iter().filter(|word| word.load(Ordering::Relaxed) != UNKNOWN);
            doubtful.for_each(|word| word.store(UNKNOWN, Ordering::Release));
        }
    }

    /// There is no doubt about anything any more.
    pub(super) fn clear(&self) {
        if let Some(words) = self.words() {
            words.memory.forget(0);
        }
    }
}
