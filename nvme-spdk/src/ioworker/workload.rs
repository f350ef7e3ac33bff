//! What a worker does: which commands, where, how large, how long.

use std::ops::Range;
use std::time::Duration;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use crate::command::nvm_opcode;
use crate::error::{Error, Result};
use crate::namespace::MOST_BLOCKS;

/// The load one worker puts on a namespace.
///
/// ```
/// use std::time::Duration;
/// use nvme_spdk::Workload;
///
/// // 4 KiB of 512-byte blocks, 70 % reads, random all over the namespace.
/// let workload = Workload::new().io_size(8).read_percentage(70).queue_depth(32).time(Duration::from_secs(10));
/// # let _ = workload;
/// ```
#[derive(Debug, Clone)]
pub struct Workload {
    pub(crate) io_size: u32,
    pub(crate) random_percentage: u8,
    pub(crate) operations: Vec<(u8, u8)>,
    pub(crate) queue_depth: u16,
    pub(crate) region: Range<u64>,
    pub(crate) start: u64,
    pub(crate) time: Option<Duration>,
    pub(crate) io_count: Option<u64>,
    pub(crate) iops: Option<u32>,
    pub(crate) seed: u64,
}

impl Default for Workload {
    fn default() -> Self {
        Workload {
            io_size: 8,
            random_percentage: 100,
            operations: vec![(nvm_opcode::READ, 100)],
            queue_depth: 64,
            region: 0..u64::MAX,
            start: 0,
            time: None,
            io_count: None,
            iops: None,
            seed: 0,
        }
    }
}

impl Workload {
    /// Random reads of 8 blocks on the whole namespace, 63 in flight, until stopped.
    pub fn new() -> Self {
        Self::default()
    }

    /// Blocks per command, 1 to 65536.
    pub fn io_size(mut self, blocks: u32) -> Self {
        self.io_size = blocks;
        self
    }

    /// How many of the commands go to a random place, 0 to 100; the others go on where the last of them ended.
    pub fn random_percentage(mut self, percentage: u8) -> Self {
        self.random_percentage = percentage;
        self
    }

    /// How many of the commands read, 0 to 100; the others write.
    pub fn read_percentage(self, percentage: u8) -> Self {
        let write = 100_u8.saturating_sub(percentage);
        self.operations([(nvm_opcode::READ, percentage), (nvm_opcode::WRITE, write)])
    }

    /// Opcodes and their shares, 100 in sum. Opcodes whose lowest two bits are zero carry no data.
    pub fn operations(mut self, shares: impl IntoIterator<Item = (u8, u8)>) -> Self {
        self.operations = shares.into_iter().collect();
        self
    }

    /// The depth of the worker's queue pair, 2 to 1024; one command less is in flight.
    pub fn queue_depth(mut self, depth: u16) -> Self {
        self.queue_depth = depth;
        self
    }

    /// The blocks the commands stay in; its end is clipped to the namespace.
    pub fn region(mut self, region: Range<u64>) -> Self {
        self.region = region;
        self
    }

    /// Where sequential commands begin.
    pub fn start_at(mut self, lba: u64) -> Self {
        self.start = lba;
        self
    }

    /// Ends after this time.
    pub fn time(mut self, time: Duration) -> Self {
        self.time = Some(time);
        self
    }

    /// Ends after this many commands.
    pub fn io_count(mut self, count: u64) -> Self {
        self.io_count = Some(count);
        self
    }

    /// Sends this many commands per second at most, evenly spaced; what a pause delayed is caught up.
    pub fn iops(mut self, iops: u32) -> Self {
        self.iops = Some(iops);
        self
    }

    /// The same seed gives the same commands.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Checks the ranges of everything that does not depend on the namespace.
    pub(crate) fn check(&self) -> Result<()> {
        let sum: u32 = self.operations.iter().map(|(_, share)| u32::from(*share)).sum();
        let rules = [
            (
                (1..=MOST_BLOCKS).contains(&self.io_size),
                format!("io_size is 1 to {MOST_BLOCKS} blocks, not {}", self.io_size),
            ),
            (
                self.random_percentage <= 100,
                format!("random_percentage is 0 to 100, not {}", self.random_percentage),
            ),
            (sum == 100, format!("the shares of the operations add up to 100, not {sum}")),
            (
                (2..=1024).contains(&self.queue_depth),
                format!("queue_depth is 2 to 1024, not {}", self.queue_depth),
            ),
            (self.region.start < self.region.end, format!("the region {:?} is empty", self.region)),
            (self.iops != Some(0), "iops is at least 1; leave it out for full speed".to_owned()),
        ];
        match rules.into_iter().find(|(good, _)| !good) {
            Some((_, why)) => Err(Error::InvalidArgument(why)),
            None => Ok(()),
        }
    }
}

/// One command of a workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Io {
    pub opcode: u8,
    pub lba: u64,
    pub blocks: u32,
}

/// Draws the commands of a workload, one after the other.
pub(crate) struct Generator {
    rng: Xoshiro256PlusPlus,
    /// One opcode per percent.
    operations: [u8; 100],
    random_percentage: u8,
    io_size: u32,
    region: Range<u64>,
    cursor: u64,
}

impl Generator {
    /// For a namespace of `blocks` blocks.
    pub(crate) fn new(workload: &Workload, blocks: u64) -> Result<Self> {
        let region = workload.region.start..workload.region.end.min(blocks);
        if region.is_empty() {
            return Err(Error::InvalidArgument(format!(
                "the region {:?} lies behind the {blocks} blocks of the namespace",
                workload.region
            )));
        }
        let mut operations = [0; 100];
        let shares =
            workload.operations.iter().flat_map(|&(opcode, share)| std::iter::repeat_n(opcode, share.into()));
        for (place, opcode) in operations.iter_mut().zip(shares) {
            *place = opcode;
        }
        let cursor = workload.start.max(region.start);
        Ok(Generator {
            rng: Xoshiro256PlusPlus::seed_from_u64(workload.seed),
            operations,
            random_percentage: workload.random_percentage,
            io_size: workload.io_size,
            cursor: if cursor >= region.end { region.start } else { cursor },
            region,
        })
    }

    /// The next command. It never reaches behind the region: the last one of a pass may be shorter.
    #[inline]
    pub(crate) fn next(&mut self) -> Io {
        let opcode = self.operations[self.below(100) as usize];
        let random = match self.random_percentage {
            100 => true,
            0 => false,
            percentage => self.below(100) < u64::from(percentage),
        };
        let lba = if random {
            self.region.start + self.below(self.region.end - self.region.start)
        } else {
            let lba = self.cursor;
            let next = lba.saturating_add(u64::from(self.io_size));
            self.cursor = if next >= self.region.end { self.region.start } else { next };
            lba
        };
        let left = self.region.end - lba;
        let blocks = if left < u64::from(self.io_size) { left as u32 } else { self.io_size };
        Io { opcode, lba, blocks }
    }

    /// Uniform in 0..limit, by multiplication.
    #[inline]
    fn below(&mut self, limit: u64) -> u64 {
        ((u128::from(self.rng.next_u64()) * u128::from(limit)) >> 64) as u64
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ios(workload: &Workload, blocks: u64, count: usize) -> Vec<Io> {
        let mut generator = Generator::new(workload, blocks).unwrap();
        (0..count).map(|_| generator.next()).collect()
    }

    #[test]
    fn sequential_commands_wrap_and_the_last_is_cut() {
        let workload = Workload::new().random_percentage(0).io_size(8).region(0..20);
        let found: Vec<_> = ios(&workload, 1000, 4).iter().map(|io| (io.lba, io.blocks)).collect();
        assert_eq!(found, [(0, 8), (8, 8), (16, 4), (0, 8)]);
    }

    #[test]
    fn a_start_behind_the_region_is_its_start() {
        let workload = Workload::new().random_percentage(0).region(10..20).start_at(25).io_size(1);
        assert_eq!(ios(&workload, 1000, 1)[0].lba, 10);
    }

    #[test]
    fn shares_are_kept() {
        let workload = Workload::new().operations([(2, 30), (1, 70)]);
        let ios = ios(&workload, 1 << 20, 20_000);
        let reads = ios.iter().filter(|io| io.opcode == 2).count() as f64 / ios.len() as f64;
        assert!((reads - 0.3).abs() < 0.02, "{reads}");
    }

    #[test]
    fn wrong_values_are_named() {
        for (workload, word) in [
            (Workload::new().io_size(0), "io_size"),
            (Workload::new().io_size(65537), "io_size"),
            (Workload::new().random_percentage(101), "random_percentage"),
            (Workload::new().operations([(2, 99)]), "99"),
            (Workload::new().queue_depth(1), "queue_depth"),
            (Workload::new().queue_depth(1025), "queue_depth"),
            (Workload::new().region(5..5), "region"),
            (Workload::new().iops(0), "iops"),
        ] {
            assert!(workload.check().unwrap_err().to_string().contains(word), "{word}");
        }
        assert!(Generator::new(&Workload::new().region(100..200), 100).is_err());
    }

    proptest! {
        #[test]
        fn commands_stay_in_the_region(
            start in 0_u64..1000, len in 1_u64..1000, blocks in 1_u64..1500, size in 1_u32..100, random in 0_u8..=100, seed: u64,
        ) {
            prop_assume!(start < blocks);
            let workload = Workload::new().region(start..start + len).io_size(size).random_percentage(random).seed(seed);
            for io in ios(&workload, blocks, 200) {
                prop_assert!(io.blocks >= 1 && io.lba >= start);
                prop_assert!(io.lba + u64::from(io.blocks) <= (start + len).min(blocks));
            }
        }

        #[test]
        fn a_seed_decides_everything(seed: u64) {
            let workload = Workload::new().read_percentage(50).random_percentage(50).seed(seed);
            prop_assert_eq!(ios(&workload, 1 << 30, 100), ios(&workload, 1 << 30, 100));
        }
    }
}
