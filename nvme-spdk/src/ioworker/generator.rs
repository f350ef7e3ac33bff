//! Draws the commands of a workload, one after the other: opcode, size, place.

use std::ops::Range;
use std::sync::Arc;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};
use serde::Serialize;

use super::workload::{IoSize, Workload};
use crate::error::{Error, Result};
use crate::integrity::Table;

/// One command of a worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Io {
    /// Its opcode.
    pub opcode: u8,
    /// Its first block.
    pub lba: u64,
    /// How many blocks.
    pub blocks: u32,
}

pub(crate) struct Generator {
    rng: Xoshiro256PlusPlus,
    /// One opcode per percent.
    operations: [u8; 100],
    sizes: Box<[IoSize]>,
    /// Which size, if there are several.
    size: Choice,
    random_percentage: u8,
    /// Which section of the region, if they are not equally likely.
    section: Choice,
    region: Range<u64>,
    /// Between the beginnings of sequential commands, unless they follow each other.
    step: Option<i64>,
    cursor: u64,
    table: Option<Arc<Table>>,
}

impl Generator {
    /// For a namespace of `blocks` blocks. Sequential commands do not begin at blocks that the table has as
    /// uncorrectable.
    pub(super) fn new(workload: &Workload, blocks: u64, table: Option<Arc<Table>>) -> Result<Self> {
        let align = workload.sizes.iter().map(|size| size.align).max().unwrap_or(1);
        let end = workload.region.end.min(blocks);
        let start = workload.region.start.checked_next_multiple_of(u64::from(align)).unwrap_or(end);
        if start >= end {
            return Err(Error::InvalidArgument(format!(
                "the region {:?} has no block at a multiple of {align} within the {blocks} blocks of the namespace",
                workload.region
            )));
        }
        let mut operations = [0; 100];
        let shares =
            workload.operations.iter().flat_map(|&(opcode, share)| std::iter::repeat_n(opcode, share.into()));
        for (place, opcode) in operations.iter_mut().zip(shares) {
            *place = opcode;
        }
        let most = u32::try_from(end - start).unwrap_or(u32::MAX);
        let clipped = workload.sizes.iter().map(|size| IoSize { blocks: size.blocks.min(most), ..*size });
        Ok(Generator {
            rng: Xoshiro256PlusPlus::seed_from_u64(workload.seed),
            operations,
            sizes: clipped.collect(),
            size: Choice::new(workload.sizes.iter().map(|size| size.weight)),
            random_percentage: workload.random_percentage,
            section: Choice::new(workload.distribution.iter().copied()),
            region: start..end,
            step: workload.step,
            cursor: workload.start.max(start),
            table,
        })
    }

    /// The next command. It never reaches behind the region: the last one of a pass may be shorter.
    #[inline]
    pub(super) fn next(&mut self) -> Io {
        let opcode = self.operations[below(&mut self.rng, 100) as usize];
        let size = self.sizes[self.size.draw(&mut self.rng)];
        let random = match self.random_percentage {
            100 => true,
            0 => false,
            percentage => below(&mut self.rng, 100) < u64::from(percentage),
        };
        let lba = if random { self.anywhere() } else { self.continued() };
        let lba = self.aligned(lba, u64::from(size.align));
        if !random {
            self.cursor = match self.step {
                None => lba.saturating_add(u64::from(size.blocks)),
                Some(step) if step < 0 => lba.checked_sub(step.unsigned_abs()).unwrap_or(self.region.start),
                Some(step) => lba.saturating_add(step.unsigned_abs()),
            };
        }
        let left = self.region.end - lba;
        let blocks = if left < u64::from(size.blocks) { left as u32 } else { size.blocks };
        Io { opcode, lba, blocks }
    }

    /// A place in the region, or in the section that is drawn first.
    #[inline]
    fn anywhere(&mut self) -> u64 {
        let Range { start, end } = self.region;
        if self.section.is_certain() {
            return start + below(&mut self.rng, end - start);
        }
        let section = self.section.draw(&mut self.rng) as u64;
        let width = (end - start) / self.section.len();
        if width == 0 {
            return start + section.min(end - start - 1);
        }
        let first = start + section * width;
        let last = if section + 1 == self.section.len() { end } else { first + width };
        first + below(&mut self.rng, last - first)
    }

    /// Where the last sequential command ended, behind blocks that cannot be read.
    #[inline]
    fn continued(&mut self) -> u64 {
        let Range { start, end } = self.region;
        let lba = if self.cursor >= end { start } else { self.cursor };
        let Some(table) = &self.table else { return lba };
        if !table.is_uncorrectable(lba) {
            return lba;
        }
        (lba..end).find(|lba| !table.is_uncorrectable(*lba)).unwrap_or(start)
    }

    /// The next multiple of the alignment, or the last one in the region.
    #[inline]
    fn aligned(&self, lba: u64, align: u64) -> u64 {
        if align == 1 {
            return lba;
        }
        let rest = lba % align;
        if rest == 0 {
            return lba;
        }
        let up = lba - rest + align;
        // Smaller alignments may not have a multiple in a region that begins at one of the largest.
        if up < self.region.end { up } else { (lba - rest).max(self.region.start) }
    }
}

/// A choice between alternatives of different weights.
struct Choice {
    /// For each alternative the sum of the weights up to it; empty for a single one.
    bounds: Box<[u32]>,
}

impl Choice {
    fn new(weights: impl Iterator<Item = u32>) -> Self {
        let sums = weights.scan(0_u32, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        let bounds: Box<[u32]> = sums.collect();
        Choice { bounds: if bounds.len() > 1 { bounds } else { Box::default() } }
    }

    fn len(&self) -> u64 {
        self.bounds.len() as u64
    }

    #[inline]
    fn is_certain(&self) -> bool {
        self.bounds.is_empty()
    }

    #[inline]
    fn draw(&self, rng: &mut Xoshiro256PlusPlus) -> usize {
        let Some(total) = self.bounds.last() else { return 0 };
        let drawn = below(rng, u64::from(*total)) as u32;
        self.bounds.partition_point(|bound| *bound <= drawn)
    }
}

/// Uniform in 0..limit, by multiplication.
#[inline]
fn below(rng: &mut Xoshiro256PlusPlus, limit: u64) -> u64 {
    ((u128::from(rng.next_u64()) * u128::from(limit)) >> 64) as u64
}

#[cfg(test)]
mod tests;
