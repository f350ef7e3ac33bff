//! Commands that are given one by one, each with its time: the replay of a trace.

use std::time::Duration;

use super::generator::Io;
use crate::clock::Ticks;
use crate::command::nvm_opcode;
use crate::error::{Error, Result};
use crate::namespace::MOST_BLOCKS;

/// One command of a sequence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Step {
    /// When it is due, from the start of the worker on.
    pub at: Duration,
    /// Its opcode.
    pub opcode: u8,
    /// Its first block.
    pub lba: u64,
    /// How many blocks; a Flush has none.
    pub blocks: u32,
}

impl Step {
    pub(super) fn check(&self, at: usize) -> Result<()> {
        let least = u32::from(self.opcode != nvm_opcode::FLUSH);
        if (least..=MOST_BLOCKS).contains(&self.blocks) {
            return Ok(());
        }
        Err(Error::InvalidArgument(format!(
            "step {at} of the sequence: opcode {:#04x} takes {least} to {MOST_BLOCKS} blocks, not {}",
            self.opcode, self.blocks
        )))
    }
}

/// A sequence while it is sent.
pub(crate) struct Replay {
    steps: Box<[(u64, Io)]>,
    next: usize,
    start: Ticks,
}

impl Replay {
    /// For a namespace of `blocks` blocks: what would reach behind its end is cut there.
    pub(super) fn new(steps: &[Step], blocks: u64) -> Self {
        let cut = |step: &Step| {
            let left = blocks.checked_sub(step.lba).filter(|left| *left > 0).unwrap_or(u64::MAX);
            let blocks = step.blocks.min(u32::try_from(left).unwrap_or(u32::MAX));
            (Ticks::of(step.at), Io { opcode: step.opcode, lba: step.lba, blocks })
        };
        Replay { steps: steps.iter().map(cut).collect(), next: 0, start: Ticks::default() }
    }

    pub(super) fn begin(&mut self, start: Ticks) {
        self.start = start;
    }

    /// The next command, if its time has come.
    #[inline]
    pub(super) fn next(&mut self, now: Ticks) -> Option<Io> {
        let (at, io) = *self.steps.get(self.next)?;
        if now.since(self.start) < at {
            return None;
        }
        self.next += 1;
        Some(io)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_order_and_not_before_their_time() {
        let step = |millis, lba| Step { at: Duration::from_millis(millis), opcode: 2, lba, blocks: 1 };
        // The third is due before the second and still waits for it.
        let mut replay = Replay::new(&[step(0, 0), step(20, 1), step(10, 2), step(30, 3)], 100);
        let start = Ticks(1 << 40);
        replay.begin(start);
        let mut seen = Vec::new();
        for millis in [0, 19, 20, 29, 30, 31] {
            let now = start.after(Duration::from_millis(millis));
            while let Some(io) = replay.next(now) {
                seen.push((millis, io.lba));
            }
        }
        assert_eq!(seen, [(0, 0), (20, 1), (20, 2), (30, 3)]);
    }

    #[test]
    fn commands_are_cut_at_the_end_of_the_namespace() {
        let step = |lba, blocks| Step { at: Duration::ZERO, opcode: 2, lba, blocks };
        let mut replay = Replay::new(&[step(0, 8), step(96, 8), step(100, 8), step(u64::MAX, 8)], 100);
        replay.begin(Ticks(0));
        let found: Vec<_> = std::iter::from_fn(|| replay.next(Ticks(0))).map(|io| io.blocks).collect();
        // What begins behind the end is for the controller to refuse.
        assert_eq!(found, [8, 4, 8, 8]);
    }
}
