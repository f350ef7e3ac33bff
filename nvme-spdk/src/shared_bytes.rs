//! Copies from and to memory that others may access at the same time: threads with a clone of the same buffer, and
//! devices.
//!
//! To copy bytes that another thread writes is undefined behaviour, unless every access is atomic. So all of them
//! are, each of one whole aligned word, since atomics of different sizes must not meet either. What is read
//! while somebody writes is a mix of words from before and after.

use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

pub(crate) const WORD: usize = size_of::<u64>();

/// The parts of a range that lie in different words: the number of the word, and the bytes in it.
fn parts(offset: usize, len: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
    let (mut at, end) = (offset, offset + len);
    std::iter::from_fn(move || {
        let (word, first) = (at / WORD, at % WORD);
        let last = (first + end.checked_sub(at)?).min(WORD);
        at = (word + 1) * WORD;
        (first < last).then_some((word, first..last))
    })
}

/// Copies bytes out, from `offset` on.
pub(crate) fn read(words: &[AtomicU64], offset: usize, into: &mut [u8]) {
    let mut rest = into;
    for (word, bytes) in parts(offset, rest.len()) {
        let (place, behind) = rest.split_at_mut(bytes.len());
        place.copy_from_slice(&words[word].load(Relaxed).to_ne_bytes()[bytes]);
        rest = behind;
    }
}

/// Copies bytes in, from `offset` on.
pub(crate) fn write(words: &[AtomicU64], offset: usize, from: &[u8]) {
    let mut rest = from;
    for (word, bytes) in parts(offset, rest.len()) {
        let (piece, behind) = rest.split_at(bytes.len());
        change(&words[word], bytes, piece);
        rest = behind;
    }
}

/// Sets bytes to one value.
pub(crate) fn fill(words: &[AtomicU64], range: Range<usize>, value: u8) {
    for (word, bytes) in parts(range.start, range.len()) {
        let piece = &[value; WORD][bytes.clone()];
        change(&words[word], bytes, piece);
    }
}

/// Bytes of the same word that are not meant stay what others make of them.
#[inline]
fn change(word: &AtomicU64, bytes: Range<usize>, piece: &[u8]) {
    if let Ok(whole) = piece.try_into() {
        word.store(u64::from_ne_bytes(whole), Relaxed);
        return;
    }
    let _always_succeeds = word.fetch_update(Relaxed, Relaxed, |old| {
        let mut changed = old.to_ne_bytes();
        changed[bytes.clone()].copy_from_slice(piece);
        Some(u64::from_ne_bytes(changed))
    });
}

#[cfg(test)]
mod tests {
    use std::thread;

    use proptest::prelude::*;

    use super::*;

    const WORDS: usize = 5;

    fn words() -> [AtomicU64; WORDS] {
        Default::default()
    }

    fn all(words: &[AtomicU64]) -> Vec<u8> {
        let mut bytes = vec![0; words.len() * WORD];
        read(words, 0, &mut bytes);
        bytes
    }

    proptest! {
        #[test]
        fn as_a_plain_copy(
            first in 0..=WORDS * WORD, second in 0..=WORDS * WORD, content in prop::array::uniform32(any::<u8>()),
        ) {
            let (words, range) = (words(), first.min(second)..first.max(second));
            let mut plain = [0xaa; WORDS * WORD];
            fill(&words, 0..plain.len(), 0xaa);
            let content = content.repeat(2);
            write(&words, range.start, &content[..range.len()]);
            plain[range.clone()].copy_from_slice(&content[..range.len()]);
            prop_assert_eq!(all(&words), plain);
            let mut part = vec![0; range.len()];
            read(&words, range.start, &mut part);
            prop_assert_eq!(&part, &plain[range.clone()]);
            fill(&words, range.clone(), 7);
            plain[range].fill(7);
            prop_assert_eq!(all(&words), plain);
        }
    }

    /// Miri finds the race if there is one.
    #[test]
    fn threads_may_read_and_write_the_same_bytes() {
        let words = words();
        thread::scope(|scope| {
            for (thread, start) in [0, 3, 5].into_iter().enumerate() {
                let words = &words;
                scope.spawn(move || {
                    let bytes = [thread as u8 + 1; 19];
                    for _ in 0..if cfg!(miri) { 3 } else { 1000 } {
                        write(words, start, &bytes);
                        let mut back = [0; 19];
                        read(words, start, &mut back);
                        assert!(back.iter().all(|byte| (1..=3).contains(byte)), "{back:?}");
                    }
                });
            }
        });
        assert_eq!(all(&words)[24..], [0; 16], "nothing was written there");
    }
}
