//! The data of a command, as it is looked at: others may change it meanwhile.

use std::ops::Deref;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::checksum::LANES;
use crate::shared_bytes::{self, WORD};

/// What a command transfers, word by word. Threads that have the same buffer, and the device, may write to it at any
/// time: then it is neither the old nor the new, and sums of it are wrong, but no more than that.
pub(super) struct Content<'a> {
    words: Words<'a>,
}

enum Words<'a> {
    There(&'a [AtomicU64]),
    /// Data that begins within a word; rare.
    Copied(Box<[AtomicU64]>),
}

impl Deref for Words<'_> {
    type Target = [AtomicU64];

    #[inline]
    fn deref(&self) -> &[AtomicU64] {
        match self {
            Words::There(words) => words,
            Words::Copied(words) => words,
        }
    }
}

impl<'a> Content<'a> {
    /// The data of a command; none for null. A last part of a word is left out.
    ///
    /// # Safety
    /// `data` is null, or points to `len` bytes in a [`DmaBuf`](crate::DmaBuf), which outlives this.
    #[inline]
    pub(super) unsafe fn new(data: *const u8, len: usize) -> Self {
        if data.is_null() {
            return Content { words: Words::There(&[]) };
        }
        if data.addr().is_multiple_of(WORD) {
            // SAFETY: buffers are initialised, and shared as atomic words only.
            let words = unsafe { std::slice::from_raw_parts(data.cast(), len / WORD) };
            return Content { words: Words::There(words) };
        }
        // SAFETY: as the caller promises.
        Content { words: Words::Copied(unsafe { copied(data, len) }) }
    }

    /// The block at a place, if the transfer has that much. Blocks of a size that is no number of words do not exist.
    #[inline]
    pub(super) fn block(&self, at: usize, size: usize) -> Option<&[AtomicU64]> {
        if !size.is_multiple_of(WORD) {
            return None;
        }
        let words = size / WORD;
        self.words.get(at * words..(at + 1) * words)
    }

    /// Up to `count` blocks from a place on.
    #[inline]
    pub(super) fn blocks(&self, from: usize, count: usize, size: usize) -> [Option<&[AtomicU64]>; LANES] {
        std::array::from_fn(|at| if at < count { self.block(from + at, size) } else { None })
    }

    /// `N` bytes from byte `offset` on.
    pub(super) fn bytes<const N: usize>(&self, offset: usize) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        (offset + N <= self.words.len() * WORD)
            .then(|| shared_bytes::read(&self.words, offset, &mut bytes))?;
        Some(bytes)
    }
}

/// # Safety
/// As [`Content::new`].
#[cold]
unsafe fn copied(data: *const u8, len: usize) -> Box<[AtomicU64]> {
    let before = data.addr() % WORD;
    let count = (before + len).div_ceil(WORD);
    // SAFETY: buffers begin and end with whole words, so those around the data belong to it as well.
    let around = unsafe { std::slice::from_raw_parts(data.sub(before).cast::<AtomicU64>(), count) };
    let mut bytes = vec![0; len / WORD * WORD];
    shared_bytes::read(around, before, &mut bytes);
    bytes.as_chunks().0.iter().map(|word| AtomicU64::new(u64::from_ne_bytes(*word))).collect()
}

/// The first word of a block.
#[inline]
pub(super) fn first_word(block: &[AtomicU64]) -> u64 {
    block.first().map_or(0, |word| u64::from_le(word.load(Relaxed)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::buffer::DmaBuf;

    proptest! {
        #[test]
        fn wherever_data_begins_its_blocks_are_found(offset in 0..64_usize, len in 0..256_usize, size in 0..40_usize) {
            let buffer = DmaBuf::on_heap(512);
            let bytes: Vec<u8> = (0..512).map(|at| at as u8).collect();
            buffer.write(0, &bytes);
            // SAFETY: both lie inside the buffer.
            let content = unsafe { Content::new(buffer.at(offset), len) };
            for at in 0..10 {
                let found = content.block(at, size).map(|words| {
                    words.iter().flat_map(|word| word.load(Relaxed).to_ne_bytes()).collect::<Vec<_>>()
                });
                let there = size % WORD == 0 && (at + 1) * size <= len;
                let expected = there.then(|| bytes[offset + at * size..][..size].to_vec());
                prop_assert_eq!(found, expected);
            }
            let expected = (16 + 3 <= len / WORD * WORD).then(|| bytes[offset + 3..][..16].to_vec());
            prop_assert_eq!(content.bytes::<16>(3).map(Vec::from), expected);
        }
    }

    /// Miri finds the race if there is one.
    #[test]
    fn somebody_may_write_to_the_buffer_meanwhile() {
        let buffer = DmaBuf::on_heap(512);
        std::thread::scope(|scope| {
            scope.spawn(|| buffer.fill(0..512, 7));
            for offset in [0, 3] {
                // SAFETY: it lies inside the buffer.
                let content = unsafe { Content::new(buffer.at(offset), 256) };
                let words = content.block(0, 256).expect("a block");
                assert!(
                    words.iter().all(|word| word
                        .load(Relaxed)
                        .to_ne_bytes()
                        .iter()
                        .all(|byte| [0, 7].contains(byte)))
                );
            }
        });
    }
}
