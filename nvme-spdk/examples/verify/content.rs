//! What a block is to hold: it follows from its address and the seed.

use std::str::FromStr;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    Random,
    Lba,
    Zeros,
    Ones,
    Dword(u32),
}

impl FromStr for Pattern {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Ok(match text {
            "random" => Pattern::Random,
            "lba" => Pattern::Lba,
            "zeros" => Pattern::Zeros,
            "ones" => Pattern::Ones,
            _ => {
                let dword = text.strip_prefix("0x").and_then(|digits| u32::from_str_radix(digits, 16).ok());
                Pattern::Dword(dword.ok_or("there are random, lba, zeros, ones, and a dword as 0xdeadbeef")?)
            }
        })
    }
}

#[derive(Debug, Clone, Copy)]
pub struct Content {
    pattern: Pattern,
    seed: u64,
    block: usize,
}

impl Content {
    pub fn new(pattern: Pattern, seed: u64, block: u32) -> Self {
        Content { pattern, seed, block: block as usize }
    }

    /// Bytes per block.
    pub fn block(&self) -> usize {
        self.block
    }

    /// Fills whole blocks, the first of which is `lba`.
    pub fn fill(&self, lba: u64, bytes: &mut [u8]) {
        for (block, lba) in bytes.chunks_exact_mut(self.block).zip(lba..) {
            match self.pattern {
                Pattern::Random => random(block, lba, self.seed),
                Pattern::Lba => words(block, || lba),
                Pattern::Zeros => block.fill(0),
                Pattern::Ones => block.fill(0xff),
                Pattern::Dword(dword) => words(block, || u64::from(dword) << 32 | u64::from(dword)),
            }
        }
    }

    /// What the data of a block that is wrong looks like instead, if it says.
    pub fn guess(&self, lba: u64, found: &[u8]) -> Option<String> {
        if found.iter().all(|byte| *byte == 0) {
            return Some("it is all zeros: lost, or deallocated".to_owned());
        }
        let word = |at: usize| {
            found.get(at..at + 8).map(|raw| raw.iter().rev().fold(0, |n, b| n << 8 | u64::from(*b)))
        };
        let (other, seed) = (word(0)?, word(8)?);
        let mut whole = vec![0; self.block];
        match self.pattern {
            Pattern::Random => random(&mut whole, other, seed),
            Pattern::Lba => words(&mut whole, || other),
            _ => return None,
        }
        if whole != found {
            return None;
        }
        match (other == lba, seed == self.seed || self.pattern == Pattern::Lba) {
            (false, true) => Some(format!("it is what block {other} is to hold")),
            (true, false) => {
                Some(format!("it is what seed {seed} wrote here: an old write, or another one's"))
            }
            _ => Some(format!("it is what block {other} is to hold with seed {seed}")),
        }
    }
}

/// The address, the seed, and then what cannot be told from random.
fn random(block: &mut [u8], lba: u64, seed: u64) {
    let mut state = mix(lba ^ mix(seed));
    let mut head = [lba, seed].into_iter();
    words(block, || {
        state = state.wrapping_add(STEP);
        head.next().unwrap_or_else(|| mix(state))
    });
}

fn words(block: &mut [u8], mut next: impl FnMut() -> u64) {
    for word in block.chunks_exact_mut(8) {
        word.copy_from_slice(&next().to_le_bytes());
    }
}

/// SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number generators".
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

pub fn mix(state: u64) -> u64 {
    let mixed = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ mixed >> 31
}
