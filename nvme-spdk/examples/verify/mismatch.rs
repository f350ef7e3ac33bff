//! Blocks that are not what was written: how many there are, and the first of them byte by byte.

use std::fmt::Write;

use nvme_spdk::hex_dump;

use crate::content::Content;

pub struct Mismatches {
    count: u64,
    most: usize,
    shown: Vec<Mismatch>,
}

struct Mismatch {
    lba: u64,
    /// The first wrong byte, and how many are wrong.
    at: usize,
    wrong: usize,
    guess: Option<String>,
    expected: Vec<u8>,
    found: Vec<u8>,
}

impl Mismatches {
    pub fn new(most: usize) -> Self {
        Mismatches { count: 0, most, shown: Vec::new() }
    }

    pub fn count(&self) -> u64 {
        self.count
    }

    pub fn compare(&mut self, content: &Content, lba: u64, expected: &[u8], found: &[u8]) {
        if expected == found {
            return;
        }
        let size = content.block();
        for ((expected, found), lba) in expected.chunks_exact(size).zip(found.chunks_exact(size)).zip(lba..) {
            let differs = || expected.iter().zip(found).enumerate().filter(|(_, (a, b))| a != b);
            let Some((at, _)) = differs().next() else { continue };
            self.count += 1;
            if self.shown.len() < self.most {
                let (wrong, guess) = (differs().count(), content.guess(lba, found));
                let (expected, found) = (expected.to_vec(), found.to_vec());
                self.shown.push(Mismatch { lba, at, wrong, guess, expected, found });
            }
        }
    }

    pub fn text(&self, name: &str) -> String {
        let mut text = format!("{name}: {} blocks are wrong\n", self.count);
        // They came in the order in which commands completed.
        let mut shown: Vec<_> = self.shown.iter().collect();
        shown.sort_by_key(|mismatch| mismatch.lba);
        shown.into_iter().for_each(|mismatch| mismatch.tell(&mut text));
        if self.count > self.shown.len() as u64 {
            let _ = writeln!(text, "and {} more", self.count - self.shown.len() as u64);
        }
        text
    }
}

impl Mismatch {
    fn tell(&self, text: &mut String) {
        let Mismatch { lba, at, wrong, .. } = self;
        let _ = write!(
            text,
            "LBA {lba} ({lba:#x}): {wrong} of {} bytes are wrong, from byte {at} on",
            self.found.len()
        );
        if let Some(guess) = &self.guess {
            let _ = write!(text, "; {guess}");
        }
        text.push('\n');
        for (what, bytes) in [("expected", &self.expected), ("found", &self.found)] {
            let first = at / 16 * 16;
            let lines = hex_dump(&bytes[first..(first + 64).min(bytes.len())]);
            for (line, offset) in lines.lines().zip((first..).step_by(16)) {
                // The dump counts from its own beginning.
                let _ = writeln!(
                    text,
                    "  {what:8}  [{offset:#06x}]{}",
                    line.split_once(']').map_or("", |(_, rest)| rest).trim_end()
                );
            }
        }
    }
}
