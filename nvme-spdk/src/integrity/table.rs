//! What every block of a namespace should hold: one word per block, in memory that is taken when it is used.
//!
//! The word has the checksum of the block in its low 31 bits and a lock in the highest. A 16 TB namespace
//! has a table of 128 GiB of address space, of which only the pages exist that were used. Processes that share a
//! controller share the memory of its tables.

use std::io;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::checksum::{self, LANES, Mismatch};
use super::content::Content;
use super::doubt::Doubts;
use crate::sharing::memory::SharedMemory;

/// The lock bit: a command that touches the block is with the controller.
const LOCKED: u32 = 1 << 31;
/// The block's data is not known: never written here, or deallocated.
pub(super) const UNKNOWN: u32 = 0;
/// The block was made unreadable.
pub(super) const UNCORRECTABLE: u32 = 0x7fff_ffff;

/// The table of one namespace.
pub(crate) struct Table {
    memory: Memory,
    head: NonNull<Head>,
    words: NonNull<AtomicU32>,
    blocks: u64,
    /// Of commands of this process.
    doubts: Doubts,
}

/// What stands before the words, on pages of its own.
#[repr(C)]
struct Head {
    blocks: AtomicU64,
    /// Changes when the namespace is formatted.
    lba_size: AtomicU32,
    enabled: AtomicBool,
}

const PAGE: usize = 4096;
const HEAD_PAGES: usize = PAGE;

/// What keeps a mapping of zeros.
pub(super) enum Memory {
    /// Of this process alone: the address and length of the mapping.
    Private(NonNull<u8>, usize),
    Shared(SharedMemory),
}

// SAFETY: the memory is not tied to a thread and is accessed through atomics only.
unsafe impl Send for Table {}
// SAFETY: as above.
unsafe impl Sync for Table {}

impl Table {
    /// A table of `blocks` blocks whose data has `lba_size` bytes; takes milliseconds and no memory.
    pub(crate) fn new(blocks: u64, lba_size: u32) -> io::Result<Self> {
        let memory = Memory::private(bytes_for(blocks)?)?;
        Ok(Self::begin(memory, blocks, lba_size))
    }

    /// As [`new`](Self::new), where other processes [find](Self::find) it.
    pub(crate) fn shared(name: &str, blocks: u64, lba_size: u32) -> io::Result<Self> {
        let memory = Memory::Shared(SharedMemory::create(name, bytes_for(blocks)?)?);
        Ok(Self::begin(memory, blocks, lba_size))
    }

    /// The table of another process, if it has one of that name.
    pub(crate) fn find(pid: u32, name: &str) -> Option<Self> {
        let memory = SharedMemory::find(pid, name).filter(|memory| memory.len() > HEAD_PAGES)?;
        let mut table = Self::over(Memory::Shared(memory), 0);
        let blocks = table.head().blocks.load(Ordering::Acquire);
        // What the other process is about to set up is not there yet.
        if blocks == 0 || bytes_for(blocks).ok()? > table.memory.len() {
            return None;
        }
        table.blocks = blocks;
        Some(table)
    }

    fn begin(memory: Memory, blocks: u64, lba_size: u32) -> Self {
        let table = Self::over(memory, blocks);
        table.head().lba_size.store(lba_size, Ordering::Relaxed);
        table.head().blocks.store(blocks, Ordering::Release);
        table
    }

    fn over(memory: Memory, blocks: u64) -> Self {
        let start = memory.start();
        // SAFETY: the head has pages of its own before the words.
        let words = unsafe { start.add(HEAD_PAGES) }.cast();
        Table { memory, head: start.cast(), words, blocks, doubts: Doubts::default() }
    }

    fn head(&self) -> &Head {
        // SAFETY: the mapping begins with it, at a page, and zeros are a valid one.
        unsafe { self.head.as_ref() }
    }

    #[inline]
    fn lba_size(&self) -> usize {
        self.head().lba_size.load(Ordering::Relaxed) as usize
    }

    /// The namespace was formatted: nothing that was there can be expected any more.
    pub(crate) fn formatted(&self, lba_size: u32) {
        self.head().lba_size.store(lba_size, Ordering::Relaxed);
        self.clear();
    }

    /// Whether reads are verified.
    #[inline]
    pub(crate) fn is_enabled(&self) -> bool {
        self.head().enabled.load(Ordering::Relaxed)
    }

    pub(crate) fn enable(&self, on: bool) {
        self.head().enabled.store(on, Ordering::Relaxed);
    }

    /// Forgets everything, locks included.
    pub(crate) fn clear(&self) {
        self.doubts.clear();
        // Zeros are UNKNOWN.
        self.memory.forget(HEAD_PAGES);
    }

    /// Gives back all locks, where a process may have died with some: nobody's commands are in flight.
    pub(crate) fn unlock_all(&self) {
        let Memory::Shared(memory) = &self.memory else { return };
        let words_per_page = (PAGE / size_of::<AtomicU32>()) as u64;
        let mut at = HEAD_PAGES;
        while let Some(page) = memory.next_page(at) {
            self.unlock(((page - HEAD_PAGES) / size_of::<AtomicU32>()) as u64, words_per_page);
            at = page + PAGE;
        }
    }

    /// The words of those blocks of a range that it covers.
    #[inline]
    fn words(&self, lba: u64, count: u64) -> &[AtomicU32] {
        let start = lba.min(self.blocks);
        let end = lba.saturating_add(count).min(self.blocks);
        // SAFETY: start <= end <= blocks, the length of the mapping; zeroed memory is a valid AtomicU32.
        unsafe { std::slice::from_raw_parts(self.words.as_ptr().add(start as usize), (end - start) as usize) }
    }

    /// Takes the locks of a range, all or none.
    #[inline]
    pub(super) fn lock(&self, lba: u64, count: u64) -> bool {
        let words = self.words(lba, count);
        for (at, word) in words.iter().enumerate() {
            if word.fetch_or(LOCKED, Ordering::Acquire) & LOCKED != 0 {
                unlock(&words[..at]);
                return false;
            }
        }
        true
    }

    /// Gives the locks of a range back.
    #[inline]
    pub(super) fn unlock(&self, lba: u64, count: u64) {
        unlock(self.words(lba, count));
    }

    /// Notes what was written to a range, and unlocks it. Of blocks that the data does not have nothing is
    /// known.
    #[inline]
    pub(super) fn written(&self, lba: u64, count: u64, data: &Content<'_>) {
        let size = self.lba_size();
        self.doubts.settle(lba, count);
        for (group, words) in self.words(lba, count).chunks(LANES).enumerate() {
            let blocks = data.blocks(group * LANES, words.len(), size);
            for (word, sum) in words.iter().zip(sums(blocks)) {
                word.store(sum, Ordering::Release);
            }
        }
    }

    /// Notes that a write to a range was aborted, executed or not, and unlocks it.
    #[cold]
    pub(super) fn maybe_written(&self, lba: u64, count: u64, data: &Content<'_>) {
        let size = self.lba_size();
        for (at, word) in self.words(lba, count).iter().enumerate() {
            match data.block(at, size) {
                Some(block)
                    if word.load(Ordering::Relaxed) & !LOCKED != UNKNOWN
                        && self.doubts.add(self.blocks, lba + at as u64, checksum::of(block)) =>
                {
                    word.fetch_and(!LOCKED, Ordering::Release);
                }
                _ => word.store(UNKNOWN, Ordering::Release),
            }
        }
    }

    /// Notes that a range's data is not known any more, and unlocks it.
    pub(super) fn unmapped(&self, lba: u64, count: u64) {
        self.set(lba, count, UNKNOWN);
    }

    /// Notes that a range cannot be read any more, and unlocks it.
    pub(crate) fn uncorrectable(&self, lba: u64, count: u64) {
        self.set(lba, count, UNCORRECTABLE);
    }

    fn set(&self, lba: u64, count: u64, value: u32) {
        self.doubts.settle(lba, count);
        for word in self.words(lba, count) {
            word.store(value, Ordering::Release);
        }
    }

    /// Whether a block was made unreadable.
    #[inline]
    pub(crate) fn is_uncorrectable(&self, lba: u64) -> bool {
        self.words(lba, 1).first().is_some_and(|word| word.load(Ordering::Acquire) & !LOCKED == UNCORRECTABLE)
    }

    /// Compares what was read from a range with what should be there; how many blocks that is known of.
    #[inline]
    pub(super) fn verify(&self, lba: u64, count: u64, data: &Content<'_>) -> Result<u64, Mismatch> {
        let mut compared = 0;
        let size = self.lba_size();
        let word_of = |lba| self.words(lba, 1).first().map(|word| word.load(Ordering::Acquire) & !LOCKED);
        for (group, words) in self.words(lba, count).chunks(LANES).enumerate() {
            let expected = |at: usize| words.get(at).map_or(UNKNOWN, |w| w.load(Ordering::Acquire) & !LOCKED);
            let expected: [u32; LANES] = std::array::from_fn(expected);
            if expected == [UNKNOWN; LANES] {
                continue;
            }
            let blocks = data.blocks(group * LANES, words.len(), size);
            let first = lba + (group * LANES) as u64;
            for (at, found) in sums(blocks).into_iter().enumerate() {
                let lba = first + at as u64;
                if let (Some(block), true) = (blocks[at], expected[at] != UNKNOWN) {
                    if expected[at] == found || !self.doubts.allow(lba, found) {
                        checksum::check(lba, expected[at], block, found, word_of)?;
                    }
                    compared += 1;
                }
            }
        }
        Ok(compared)
    }
}

/// Bytes of a table: whole pages.
pub(super) fn bytes_for(blocks: u64) -> io::Result<usize> {
    usize::try_from(blocks)
        .ok()
        .and_then(|blocks| blocks.checked_mul(size_of::<AtomicU32>()))
        .and_then(|bytes| bytes.checked_next_multiple_of(PAGE))
        .filter(|bytes| *bytes > 0)
        .and_then(|bytes| bytes.checked_add(HEAD_PAGES))
        .ok_or_else(|| io::ErrorKind::InvalidInput.into())
}

/// Memory that is taken when it is used; Miri knows no such thing.
const ANONYMOUS: libc::c_int =
    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | if cfg!(miri) { 0 } else { libc::MAP_NORESERVE };

impl Memory {
    pub(super) fn private(len: usize) -> io::Result<Self> {
        // SAFETY: an anonymous mapping at an address of the kernel's choice touches nothing that exists.
        let memory =
            unsafe { libc::mmap(ptr::null_mut(), len, libc::PROT_READ | libc::PROT_WRITE, ANONYMOUS, -1, 0) };
        if memory == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        Ok(Memory::Private(NonNull::new(memory.cast()).ok_or(io::ErrorKind::OutOfMemory)?, len))
    }

    /// Makes zeros of everything from a place on, which is at a page.
    pub(super) fn forget(&self, from: usize) {
        let len = self.len() - from;
        // SAFETY: inside the mapping.
        let start = unsafe { self.start().add(from) };
        if cfg!(miri) {
            // SAFETY: the mapping has as many words, which are accessed as atomics only.
            let words = unsafe { std::slice::from_raw_parts(start.cast::<AtomicU32>().as_ptr(), len / 4) };
            return words.iter().for_each(|word| word.store(0, Ordering::Release));
        }
        let advice = match self {
            Memory::Private(..) => libc::MADV_DONTNEED,
            Memory::Shared(_) => libc::MADV_REMOVE,
        };
        // SAFETY: the mapping is ours; its pages read as zero afterwards.
        let rc = unsafe { libc::madvise(start.as_ptr().cast(), len, advice) };
        debug_assert_eq!(rc, 0, "{}", io::Error::last_os_error());
    }

    pub(super) fn start(&self) -> NonNull<u8> {
        match self {
            Memory::Private(start, _) => *start,
            Memory::Shared(memory) => memory.start(),
        }
    }

    fn len(&self) -> usize {
        match self {
            Memory::Private(_, len) => *len,
            Memory::Shared(memory) => memory.len(),
        }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if let Memory::Private(start, len) = self {
            // SAFETY: mapped in `private` with this length, unmapped once.
            unsafe { libc::munmap(start.as_ptr().cast(), *len) };
        }
    }
}

/// The checksums of blocks; [`UNKNOWN`] for those that are not there.
#[inline]
fn sums(blocks: [Option<&[AtomicU64]>; LANES]) -> [u32; LANES] {
    match blocks {
        [Some(a), Some(b), Some(c), Some(d)] => checksum::of_each([a, b, c, d]),
        _ => blocks.map(|block| block.map_or(UNKNOWN, checksum::of)),
    }
}

#[inline]
fn unlock(words: &[AtomicU32]) {
    for word in words {
        word.fetch_and(!LOCKED, Ordering::Release);
    }
}
