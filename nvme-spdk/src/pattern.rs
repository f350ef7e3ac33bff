//! Filling buffers with patterns, and printing them.

use std::fmt::Write;
use std::fs::File;
use std::io::Read;

use crate::buffer::DmaBuf;
use crate::error::{Error, Result};
use crate::interrupt;

/// What to fill a buffer with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Pattern {
    /// All bits zero.
    Zeros,
    /// All bits one.
    Ones,
    /// A dword, little-endian, over and over; what does not make a whole one at the end is zero.
    Dword(u32),
    /// The first so many percent random bytes, the rest zero.
    Random {
        /// 0 to 100.
        percent: u8,
    },
}

/// Bytes written at a time.
const CHUNK: usize = 64 << 10;

impl DmaBuf {
    /// Fills the buffer, its slack excepted.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for more than 100 percent, [`Error::Unsupported`] for random bytes where
    /// there is no /dev/urandom, [`Error::Interrupted`]: gigabytes take seconds.
    pub fn fill_with(&self, pattern: Pattern) -> Result<()> {
        match pattern {
            Pattern::Zeros => self.fill(0..self.len(), 0),
            Pattern::Ones => self.fill(0..self.len(), 0xff),
            Pattern::Dword(dword) => {
                let whole = self.len() & !3;
                self.write_chunks(0..whole, |chunk| {
                    for place in chunk.chunks_exact_mut(4) {
                        place.copy_from_slice(&dword.to_le_bytes());
                    }
                })?;
                self.fill(whole..self.len(), 0);
            }
            Pattern::Random { percent } => {
                if percent > 100 {
                    return Err(Error::InvalidArgument(format!(
                        "{percent} percent of a buffer cannot be random"
                    )));
                }
                let random = self.len() * usize::from(percent) / 100;
                let mut source = File::open("/dev/urandom").map_err(|e| {
                    Error::Unsupported(format!("no source of random bytes: /dev/urandom: {e}"))
                })?;
                self.write_chunks(0..random, |chunk| {
                    // Reading from it does not fail once it is open.
                    let _ = source.read_exact(chunk);
                })?;
                self.fill(random..self.len(), 0);
            }
        }
        Ok(())
    }

    fn write_chunks(&self, range: std::ops::Range<usize>, mut produce: impl FnMut(&mut [u8])) -> Result<()> {
        let mut chunk = vec![0; CHUNK.min(range.len())];
        let mut at = range.start;
        while at < range.end {
            interrupt::before(|| format!("filling a buffer of {} bytes", self.len()))?;
            let len = chunk.len().min(range.end - at);
            produce(&mut chunk[..len]);
            self.write(at, &chunk[..len]);
            at += len;
        }
        Ok(())
    }
}

/// Bytes as sixteen per line: offset, hexadecimal in two groups of eight, and characters where printable.
///
/// ```
/// assert_eq!(
///     nvme_spdk::hex_dump(b"hello world!\x00\x01"),
///     "[0x00000000]  68 65 6c 6c 6f 20 77 6f  72 6c 64 21 00 01        hello world!..  \n",
/// );
/// ```
pub fn hex_dump(bytes: &[u8]) -> String {
    hex_dump_from(0, bytes)
}

/// As [`hex_dump`], of a part of something: its first byte has the offset `first`.
pub fn hex_dump_from(first: usize, bytes: &[u8]) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let lines = bytes.len().div_ceil(16);
    let mut text = String::with_capacity(lines * 82);
    for (number, line) in bytes.chunks(16).enumerate() {
        let _ = write!(text, "[0x{:08x}]  ", first + number * 16);
        for place in 0..16 {
            match line.get(place) {
                Some(&byte) => {
                    text.push(char::from(HEX[usize::from(byte >> 4)]));
                    text.push(char::from(HEX[usize::from(byte & 0xf)]));
                    text.push(' ');
                }
                None => text.push_str("   "),
            }
            if place == 7 || place == 15 {
                text.push(' ');
            }
        }
        for place in 0..16 {
            text.push(match line.get(place) {
                Some(&byte @ 0x20..=0x7e) => char::from(byte),
                Some(_) => '.',
                None => ' ',
            });
        }
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_dump_shows_every_byte(bytes: Vec<u8>) {
            let text = hex_dump(&bytes);
            prop_assert_eq!(text.lines().count(), bytes.len().div_ceil(16));
            let shown: Vec<u8> = text
                .lines()
                .flat_map(|line| line[14..63].split_whitespace().map(|hex| u8::from_str_radix(hex, 16).unwrap()).collect::<Vec<_>>())
                .collect();
            prop_assert_eq!(shown, bytes);
        }

        #[test]
        fn a_dump_is_that_of_its_parts(bytes: Vec<u8>, lines in 0_usize..4) {
            let (head, tail) = bytes.split_at(bytes.len().min(16 * lines));
            prop_assert_eq!(hex_dump(&bytes), hex_dump(head) + &hex_dump_from(head.len(), tail));
        }
    }
}
