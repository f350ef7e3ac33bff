//! What makes every block that is written one of its kind: its address, and a number never used before.

use std::ptr;
use std::sync::atomic::{AtomicPtr, AtomicU64, Ordering};

/// The next token, where only this process counts.
static OWN: AtomicU64 = AtomicU64::new(1);

/// The counter for the whole process: its own, or one that it shares with others.
static NEXT: AtomicPtr<AtomicU64> = AtomicPtr::new(ptr::addr_of!(OWN).cast_mut());

/// Takes the tokens of so many blocks; returns the first.
#[inline]
pub(crate) fn skip_tokens(blocks: u32) -> u64 {
    // SAFETY: it points to a counter that is there for ever, and is only ever shared.
    let next = unsafe { &*NEXT.load(Ordering::Relaxed) };
    next.fetch_add(u64::from(blocks), Ordering::Relaxed)
}

/// From now on this process counts there, from where it is or was.
pub(crate) fn share_tokens(counter: &'static AtomicU64) {
    counter.fetch_max(OWN.load(Ordering::Relaxed), Ordering::Relaxed);
    NEXT.store(ptr::from_ref(counter).cast_mut(), Ordering::Relaxed);
}

const WORD: usize = size_of::<u64>();

/// What is to be written into each block of data: its address (first 8 bytes) and its token (last 8 bytes), both
/// little-endian, as `put` is told with the place in the data. Takes a token per block.
#[inline]
pub(crate) fn stamps(lba: u64, blocks: u32, lba_size: u32, mut put: impl FnMut(usize, [u8; WORD])) {
    let lba_size = lba_size as usize;
    let token = skip_tokens(blocks);
    for at in 0..u64::from(blocks) {
        let block = at as usize * lba_size;
        put(block, lba.wrapping_add(at).to_le_bytes());
        put(block + lba_size - WORD, token.wrapping_add(at).to_le_bytes());
    }
}

/// Writes them.
///
/// # Safety
/// `data` points to `blocks * lba_size` bytes that nobody else uses, and `lba_size` is at least 16.
#[inline]
pub(crate) unsafe fn stamp(data: *mut u8, lba: u64, blocks: u32, lba_size: u32) {
    stamps(lba, blocks, lba_size, |at, word| {
        // SAFETY: the word lies inside a block of the data.
        unsafe { data.add(at).copy_from_nonoverlapping(word.as_ptr(), WORD) };
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_block_gets_its_address_and_a_token_of_its_own() {
        let mut data = [0xaa_u8; 4 * 512];
        // SAFETY: four blocks of 512 bytes.
        unsafe { stamp(data.as_mut_ptr(), 0x1000, 4, 512) };
        let word = |at: usize| u64::from_le_bytes(data[at..at + 8].try_into().unwrap());
        let first = word(504);
        for block in 0..4 {
            assert_eq!(word(block * 512), 0x1000 + block as u64);
            assert_eq!(word(block * 512 + 504), first + block as u64);
            assert!(data[block * 512 + 8..block * 512 + 504].iter().all(|byte| *byte == 0xaa));
        }
        // SAFETY: one block of 512 bytes.
        unsafe { stamp(data.as_mut_ptr(), 0, 1, 512) };
        let again = u64::from_le_bytes(data[504..512].try_into().unwrap());
        assert!(again >= first + 4);
    }
}
