//! The checksum of a block, and what a difference means.

use std::fmt;
use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;

use super::content::first_word;
use super::table::{UNCORRECTABLE, UNKNOWN};
use crate::shared_bytes::WORD;

/// CRC-32C with nothing inverted, in 31 bits; never one of the two values with a meaning of their own.
#[inline]
pub(super) fn of(block: &[AtomicU64]) -> u32 {
    // Copied piece by piece: others may write to the block, which the crate must not see.
    let mut piece = [0; PIECE * WORD];
    // The crate inverts before and after; so do we.
    let inverted = block.chunks(PIECE).fold(!0, |crc, words| {
        for (place, word) in piece.as_chunks_mut().0.iter_mut().zip(words) {
            *place = word.load(Relaxed).to_ne_bytes();
        }
        crc32c::crc32c_append(crc, &piece[..words.len() * WORD])
    });
    folded(!inverted)
}

/// How many words are copied at a time.
const PIECE: usize = 64;

/// How many blocks are summed at a time: the processor's CRC instruction has a result every cycle, but only after
/// three, so that a single block of 512 bytes, too short to be split, leaves it idle for most of the time.
pub(super) const LANES: usize = 4;

/// The sums of several blocks of equal size, in less than half the time.
#[inline]
pub(super) fn of_each(blocks: [&[AtomicU64]; LANES]) -> [u32; LANES] {
    #[cfg(all(target_arch = "x86_64", not(miri)))]
    if std::arch::is_x86_feature_detected!("sse4.2") {
        // SAFETY: the processor has the instruction.
        return unsafe { side_by_side(blocks) }.map(folded);
    }
    blocks.map(of)
}

#[cfg(all(target_arch = "x86_64", not(miri)))]
#[target_feature(enable = "sse4.2")]
fn side_by_side([a, b, c, d]: [&[AtomicU64]; LANES]) -> [u32; LANES] {
    let mut sums = [0_u64; LANES];
    for (((a, b), c), d) in a.iter().zip(b).zip(c).zip(d) {
        for (sum, word) in sums.iter_mut().zip([a, b, c, d]) {
            *sum = std::arch::x86_64::_mm_crc32_u64(*sum, word.load(Relaxed));
        }
    }
    sums.map(|sum| sum as u32)
}

#[inline]
fn folded(crc: u32) -> u32 {
    match crc >> 1 {
        UNKNOWN => 1,
        UNCORRECTABLE => UNCORRECTABLE - 1,
        sum => sum,
    }
}

/// How a block that was read differs from what it should hold.
///
/// Displays in the words that test logs are searched for: `crc mismatch: lba 0x10, expected crc …`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Mismatch {
    /// The block was made unreadable by Write Uncorrectable, and yet it was read.
    Uncorrectable {
        /// Its address.
        lba: u64,
    },
    /// Its data is not what was written there.
    Checksum {
        /// Its address.
        lba: u64,
        /// The checksum of what was written.
        expected: u32,
        /// The checksum of what was read.
        found: u32,
    },
    /// Its data belongs to another block.
    Block {
        /// Its address.
        lba: u64,
        /// The address its data begins with.
        found: u64,
    },
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Mismatch::Uncorrectable { lba } => write!(f, "lba uncorrectable: lba {lba:#x}"),
            Mismatch::Checksum { lba, expected, found } => {
                write!(f, "crc mismatch: lba {lba:#x}, expected crc {expected:#x}, but got: {found:#x}")
            }
            Mismatch::Block { lba, found } => write!(f, "lba mismatch: lba {lba:#x}, but got: {found:#x}"),
        }
    }
}

/// Every block that was written through this driver begins with its own address; zeros and ones are what
/// raw commands may write and deallocated blocks may read as.
fn may_belong(first: u64, lba: u64) -> bool {
    first == lba || first == 0 || first == u64::MAX
}

/// Checks the data of one block that the table knows, whose sum is `found`. `word_of` looks another block up, `None` outside the table.
#[inline]
pub(super) fn check(
    lba: u64,
    expected: u32,
    block: &[AtomicU64],
    found: u32,
    word_of: impl Fn(u64) -> Option<u32>,
) -> Result<(), Mismatch> {
    if expected == UNCORRECTABLE {
        return Err(Mismatch::Uncorrectable { lba });
    }
    let first = first_word(block);
    if may_belong(first, lba) {
        return if found == expected { Ok(()) } else { Err(Mismatch::Checksum { lba, expected, found }) };
    }
    // Wrong in any case. The data of another block as that should be, or as far as anybody knows?
    match word_of(first) {
        Some(other) if other != UNKNOWN && other != found => Err(Mismatch::Checksum { lba, expected, found }),
        _ => Err(Mismatch::Block { lba, found: first }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_checksum_is_crc32c_without_inversions() {
        // A zero register stays zero over zeros; such a sum is moved to 1.
        assert_eq!(of(&words(&[0; 512])), 1);
        // The polynomial's own value for a single one bit at the end: x^32 mod P, reflected.
        let mut block = [0; 512];
        block[511] = 0x80;
        assert_eq!(of(&words(&block)), 0x82f6_3b78 >> 1);
    }

    fn words(bytes: &[u8]) -> Vec<AtomicU64> {
        bytes.as_chunks().0.iter().map(|word| AtomicU64::new(u64::from_ne_bytes(*word))).collect()
    }

    /// As it is called, with the sum of the block.
    fn check(
        lba: u64,
        expected: u32,
        block: &[u8],
        word_of: impl Fn(u64) -> Option<u32>,
    ) -> Result<(), Mismatch> {
        let block = words(block);
        super::check(lba, expected, &block, of(&block), word_of)
    }

    /// The largest block that is tried, in words.
    const LARGEST: usize = if cfg!(miri) { 5 } else { 512 };

    proptest! {
        #[test]
        fn several_at_a_time_have_the_sums_they_have_alone(
            data in prop::collection::vec(any::<u64>(), LANES * LARGEST), size in 0..LARGEST,
        ) {
            let bytes: Vec<u8> = data.iter().flat_map(|word| word.to_ne_bytes()).collect();
            let data: Vec<_> = data.into_iter().map(AtomicU64::new).collect();
            let blocks: [&[AtomicU64]; LANES] = std::array::from_fn(|at| &data[at * size..(at + 1) * size]);
            let sums = of_each(blocks);
            prop_assert_eq!(sums, blocks.map(of));
            let whole = |at: usize| folded(!crc32c::crc32c_append(!0, &bytes[at * size * WORD..(at + 1) * size * WORD]));
            prop_assert_eq!(sums, std::array::from_fn(whole));
        }
    }

    #[test]
    fn every_kind_of_difference_is_named() {
        let mut block = [7_u8; 512];
        block[..8].copy_from_slice(&5_u64.to_le_bytes());
        let sum = of(&words(&block));
        let nothing = |_| Some(UNKNOWN);
        assert_eq!(check(5, sum, &block, nothing), Ok(()));
        let changed = check(5, sum ^ 1, &block, nothing).unwrap_err();
        assert_eq!(changed, Mismatch::Checksum { lba: 5, expected: sum ^ 1, found: sum });
        assert_eq!(check(5, UNCORRECTABLE, &block, nothing), Err(Mismatch::Uncorrectable { lba: 5 }));
        let foreign = Err(Mismatch::Block { lba: 6, found: 5 });
        // Right for the block it names, for one nothing is known of, and for one outside the table.
        for word in [Some(sum), Some(UNKNOWN), None] {
            assert_eq!(check(6, 99, &block, |_| word), foreign);
        }
        assert!(matches!(check(6, 99, &block, |_| Some(sum ^ 1)), Err(Mismatch::Checksum { .. })));
    }

    #[test]
    fn foreign_data_is_wrong_even_with_the_right_checksum() {
        let mut block = [7_u8; 512];
        block[..8].copy_from_slice(&5_u64.to_le_bytes());
        let sum = of(&words(&block));
        assert!(check(6, sum, &block, |_| Some(UNKNOWN)).is_err());
        assert!(check(6, sum, &block, |_| Some(1)).is_err());
    }

    #[test]
    fn the_texts_scripts_search_for() {
        assert_eq!(
            Mismatch::Block { lba: 0x10, found: 0x20 }.to_string(),
            "lba mismatch: lba 0x10, but got: 0x20"
        );
        assert_eq!(
            Mismatch::Checksum { lba: 1, expected: 2, found: 3 }.to_string(),
            "crc mismatch: lba 0x1, expected crc 0x2, but got: 0x3"
        );
        assert_eq!(Mismatch::Uncorrectable { lba: 9 }.to_string(), "lba uncorrectable: lba 0x9");
    }
}
