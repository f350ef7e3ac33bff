//! What a worker does: which commands, where, how large, how often, how long.

use std::fmt;
use std::ops::Range;
use std::time::Duration;

use super::sequence::Step;
use crate::command::nvm_opcode;
use crate::error::{Error, Result};
use crate::names;
use crate::namespace::MOST_BLOCKS;
use crate::pattern::Pattern;

/// The load one worker puts on a namespace.
///
/// The functions take any value; [`IoWorker::start`](super::IoWorker::start) checks them, and ends with
/// [`Error::InvalidArgument`] for one that is out of range.
///
/// ```
/// use std::time::Duration;
/// use nvme_spdk::{IoSize, Workload};
///
/// // 4 KiB of 512-byte blocks, 70 % reads, random all over the namespace.
/// let simple = Workload::new().io_size(8).read_percentage(70).queue_depth(32).time(Duration::from_secs(10));
/// // Small commands on every fourth block, now and then a large one at a multiple of 64.
/// let mixed = Workload::new()
///     .io_sizes([IoSize::new(1).weight(9).align(4), IoSize::new(64).align(64)])
///     .iops(5000)
///     .io_count(100_000)
///     .seed(1);
/// # let _ = (simple, mixed);
/// ```
#[derive(Debug, Clone)]
#[must_use = "it does nothing until it is used"]
pub struct Workload {
    pub(crate) sizes: Vec<IoSize>,
    pub(crate) step: Option<i64>,
    pub(crate) random_percentage: u8,
    pub(crate) operations: Vec<(u8, u8)>,
    pub(crate) distribution: Vec<u32>,
    pub(crate) sequence: Option<Vec<Step>>,
    pub(crate) queue_depth: u16,
    pub(crate) priority: u8,
    pub(crate) core: Option<usize>,
    pub(crate) region: Range<u64>,
    pub(crate) start: u64,
    pub(crate) time: Option<Duration>,
    pub(crate) io_count: Option<u64>,
    pub(crate) iops: Option<u32>,
    pub(crate) pattern: Pattern,
    pub(crate) seed: u64,
    pub(crate) keep_last: usize,
    pub(crate) count_microseconds: bool,
}

/// One of the sizes that commands of a workload have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use = "it does nothing until a workload has it; setters return a changed copy"]
pub struct IoSize {
    pub(crate) blocks: u32,
    pub(crate) align: u32,
    pub(crate) weight: u32,
}

impl IoSize {
    /// `blocks` blocks, 1 to 65536; at any address, and as likely as any other size.
    pub const fn new(blocks: u32) -> Self {
        IoSize { blocks, align: 1, weight: 1 }
    }

    /// How many blocks.
    pub const fn blocks(&self) -> u32 {
        self.blocks
    }

    /// How likely it is.
    pub const fn relative_weight(&self) -> u32 {
        self.weight
    }

    /// Commands of this size begin at multiples of this many blocks.
    pub const fn align(mut self, blocks: u32) -> Self {
        self.align = blocks;
        self
    }

    /// How likely this size is, compared with the others.
    pub const fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }
}

impl From<u32> for IoSize {
    fn from(blocks: u32) -> Self {
        IoSize::new(blocks)
    }
}

impl Default for Workload {
    fn default() -> Self {
        Workload {
            sizes: vec![IoSize::new(8)],
            step: None,
            random_percentage: 100,
            operations: vec![(nvm_opcode::READ, 100)],
            distribution: Vec::new(),
            sequence: None,
            queue_depth: 64,
            priority: 0,
            core: None,
            region: 0..u64::MAX,
            start: 0,
            time: None,
            io_count: None,
            iops: None,
            pattern: Pattern::Random { percent: 100 },
            seed: 0,
            keep_last: 0,
            count_microseconds: false,
        }
    }
}

impl Workload {
    /// Random reads of 8 blocks on the whole namespace, 63 in flight, until stopped: without
    /// [`time`](Self::time), [`io_count`](Self::io_count) or [`sequence`](Self::sequence) it has no end.
    pub fn new() -> Self {
        Self::default()
    }

    /// Blocks per command, 1 to 65536.
    pub fn io_size(self, blocks: u32) -> Self {
        self.io_sizes([blocks])
    }

    /// Several sizes; each command has one of them, by weight.
    pub fn io_sizes(mut self, sizes: impl IntoIterator<Item = impl Into<IoSize>>) -> Self {
        self.sizes = sizes.into_iter().map(Into::into).collect();
        self
    }

    /// How far from the beginning of a sequential command the next one begins, in blocks; may be 0 or negative.
    /// Without it they follow each other without a gap.
    ///
    /// Behind the end of the [region](Self::region) they begin again at its start. Downwards its start is no
    /// bound: with a negative step they leave the region, and begin again at its start below block 0.
    pub fn step(mut self, blocks: i64) -> Self {
        self.step = Some(blocks);
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

    /// Opcodes and their shares, 100 in sum. Opcodes whose lowest two bits are zero carry no data, all others
    /// that of their blocks. Dataset Management commands deallocate one range.
    pub fn operations(mut self, shares: impl IntoIterator<Item = (u8, u8)>) -> Self {
        self.operations = shares.into_iter().collect();
        self
    }

    /// Random commands are not equally likely everywhere: the region is divided into as many equal sections as
    /// there are weights, and each section gets its share.
    pub fn distribution(mut self, weights: impl IntoIterator<Item = u32>) -> Self {
        self.distribution = weights.into_iter().collect();
        self
    }

    /// Sends exactly these commands, in this order, each not before its time, instead of drawn ones. The depth of
    /// the queue still bounds how many are in flight; sizes, places, operations and pace are not looked at.
    pub fn sequence(mut self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.sequence = Some(steps.into_iter().collect());
        self
    }

    /// The depth of the worker's queue pair, 2 to 1024; one command less is in flight.
    pub fn queue_depth(mut self, depth: u16) -> Self {
        self.queue_depth = depth;
        self
    }

    /// The priority of the worker's queue pair, as with
    /// [`QpairOptions::priority`](crate::QpairOptions::priority).
    pub fn priority(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }

    /// The CPU the worker runs on; several may run on the same one and take turns. Without this it gets one that no
    /// other worker of the process has, if there is one left.
    pub fn core(mut self, cpu: usize) -> Self {
        self.core = Some(cpu);
        self
    }

    /// The blocks the commands stay in; its end is clipped to the namespace, its start rounded up to the
    /// largest alignment. Only a negative [`step`](Self::step) leaves it, downwards.
    pub fn region(mut self, region: Range<u64>) -> Self {
        self.region = region;
        self
    }

    /// Where sequential commands begin; by default, and behind the end of the region, at the start of the
    /// region.
    pub fn start_at(mut self, lba: u64) -> Self {
        self.start = lba;
        self
    }

    /// Ends after this time, and when what is in flight then has completed: half a minute later at the
    /// latest.
    pub fn time(mut self, time: Duration) -> Self {
        self.time = Some(time);
        self
    }

    /// Ends after this many commands.
    pub fn io_count(mut self, count: u64) -> Self {
        self.io_count = Some(count);
        self
    }

    /// Sends this many commands per second at most, 1 or more, evenly spaced; what a pause delayed is caught
    /// up.
    pub fn iops(mut self, iops: u32) -> Self {
        self.iops = Some(iops);
        self
    }

    /// What is written, beside the address and the token that make every block unique. Random bytes come from the
    /// seed.
    pub fn pattern(mut self, pattern: Pattern) -> Self {
        self.pattern = pattern;
        self
    }

    /// The same seed gives the same commands.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = seed;
        self
    }

    /// Keeps the last so many completed commands for the report.
    pub fn keep_last(mut self, commands: usize) -> Self {
        self.keep_last = commands;
        self
    }

    /// Counts latencies per microsecond for the report, beside the histogram; takes 8 MB.
    pub fn count_microseconds(mut self, on: bool) -> Self {
        self.count_microseconds = on;
        self
    }

    /// The most blocks a command of it can have in a region of `blocks` blocks.
    pub(crate) fn largest(&self, blocks: u64) -> u32 {
        match &self.sequence {
            Some(steps) => steps.iter().map(|step| step.blocks).max().unwrap_or(0),
            None => {
                let largest = self.sizes.iter().map(|size| size.blocks).max().unwrap_or(0);
                largest.min(u32::try_from(blocks).unwrap_or(u32::MAX))
            }
        }
    }

    /// How many commands there will be at most.
    pub(crate) fn limit(&self) -> u64 {
        let steps = self.sequence.as_ref().map_or(u64::MAX, |steps| steps.len() as u64);
        self.io_count.unwrap_or(u64::MAX).min(steps)
    }

    /// Whether commands with this property occur.
    pub(crate) fn uses(&self, test: impl Fn(u8) -> bool) -> bool {
        match &self.sequence {
            Some(steps) => steps.iter().any(|step| test(step.opcode)),
            None => self.operations.iter().any(|&(opcode, share)| share > 0 && test(opcode)),
        }
    }

    /// Checks the ranges of everything that does not depend on the namespace.
    pub(crate) fn check(&self) -> Result<()> {
        let sum: u32 = self.operations.iter().map(|(_, share)| u32::from(*share)).sum();
        let percent = match self.pattern {
            Pattern::Random { percent } => percent,
            _ => 0,
        };
        let rules = [
            (
                !self.sizes.is_empty()
                    && self.sizes.iter().all(|size| (1..=MOST_BLOCKS).contains(&size.blocks)),
                format!("io_size is 1 to {MOST_BLOCKS} blocks, not {:?}", self.blocks()),
            ),
            (
                self.sizes.iter().all(|size| size.align > 0),
                "an io_size is aligned to at least 1 block, not 0".to_owned(),
            ),
            (
                total(self.sizes.iter().map(|size| size.weight)) > 0,
                "the weights of the io_sizes add up to a 32-bit number above 0".to_owned(),
            ),
            (
                self.random_percentage <= 100,
                format!("random_percentage is 0 to 100, not {}", self.random_percentage),
            ),
            (sum == 100, format!("the shares of the operations add up to 100, not {sum}")),
            (
                self.distribution.is_empty() || total(self.distribution.iter().copied()) > 0,
                "the weights of the distribution add up to a 32-bit number above 0".to_owned(),
            ),
            (
                (2..=1024).contains(&self.queue_depth),
                format!("queue_depth is 2 to 1024, not {}", self.queue_depth),
            ),
            (self.region.start < self.region.end, format!("the region {:?} is empty", self.region)),
            (self.iops != Some(0), "iops is at least 1; leave it out for full speed".to_owned()),
            (percent <= 100, format!("{percent} percent of a buffer cannot be random")),
        ];
        if let Some((_, why)) = rules.into_iter().find(|(good, _)| !good) {
            return Err(Error::InvalidArgument(why));
        }
        self.sequence.iter().flatten().enumerate().try_for_each(|(at, step)| step.check(at))
    }

    fn blocks(&self) -> Vec<u32> {
        self.sizes.iter().map(|size| size.blocks).collect()
    }
}

/// In a line: `70 % Read, 30 % Write, 8 blocks, random, queue depth 64, 10 s`.
impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.sequence {
            Some(steps) => write!(f, "sequence of {} commands", steps.len())?,
            None => self.drawn(f)?,
        }
        write!(f, ", queue depth {}", self.queue_depth)?;
        if let Some(iops) = self.iops {
            write!(f, ", {iops} IOPS at most")?;
        }
        if let Some(count) = self.io_count {
            write!(f, ", {count} commands")?;
        }
        match self.time {
            // Of those that something else ends, it is a mere precaution.
            Some(time) if self.io_count.is_none() && self.sequence.is_none() => {
                write!(f, ", {} s", time.as_secs_f64())
            }
            _ => Ok(()),
        }
    }
}

impl Workload {
    /// What the drawn commands are like.
    fn drawn(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operations = self.operations.iter().filter(|(_, share)| *share > 0);
        for (opcode, share) in operations {
            if *share < 100 {
                write!(f, "{share} % ")?;
            }
            write!(f, "{}, ", names::io_command(*opcode))?;
        }
        match self.blocks().as_slice() {
            [1] => f.write_str("1 block")?,
            [blocks] => write!(f, "{blocks} blocks")?,
            sizes => {
                let bounds = (sizes.iter().min().unwrap_or(&0), sizes.iter().max().unwrap_or(&0));
                write!(f, "{} to {} blocks", bounds.0, bounds.1)?;
            }
        }
        match self.random_percentage {
            0 => f.write_str(", sequential"),
            100 if self.distribution.is_empty() => f.write_str(", random"),
            100 => f.write_str(", random by a distribution"),
            percentage => write!(f, ", {percentage} % random"),
        }
    }
}

/// The sum of weights; 0 if that is too large to draw from.
fn total(mut weights: impl Iterator<Item = u32>) -> u32 {
    weights.try_fold(0_u32, |sum, weight| sum.checked_add(weight)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_values_are_named() {
        let step = |opcode, blocks| Step { at: Duration::ZERO, opcode, lba: 0, blocks };
        for (workload, word) in [
            (Workload::new().io_size(0), "io_size"),
            (Workload::new().io_size(65537), "io_size"),
            (Workload::new().io_sizes([0_u32; 0]), "io_size"),
            (Workload::new().io_sizes([IoSize::new(1).align(0)]), "aligned"),
            (Workload::new().io_sizes([IoSize::new(1).weight(0)]), "weights of the io_sizes"),
            (Workload::new().random_percentage(101), "random_percentage"),
            (Workload::new().operations([(2, 99)]), "99"),
            (Workload::new().distribution([0; 100]), "distribution"),
            (Workload::new().distribution([u32::MAX; 2]), "distribution"),
            (Workload::new().queue_depth(1), "queue_depth"),
            (Workload::new().queue_depth(1025), "queue_depth"),
            (Workload::new().region(5..5), "region"),
            (Workload::new().iops(0), "iops"),
            (Workload::new().pattern(Pattern::Random { percent: 101 }), "101"),
            (Workload::new().sequence([step(0, 0), step(2, 0)]), "step 1"),
            (Workload::new().sequence([step(2, 65537)]), "step 0"),
        ] {
            assert!(workload.check().unwrap_err().to_string().contains(word), "{word}");
        }
        Workload::new().sequence([step(0, 0), step(9, 65536)]).check().unwrap();
    }

    #[test]
    fn a_workload_in_a_line() {
        let mixed = Workload::new().read_percentage(70).random_percentage(0).time(Duration::from_secs(10));
        assert_eq!(mixed.to_string(), "70 % Read, 30 % Write, 8 blocks, sequential, queue depth 64, 10 s");
        let counted = Workload::new().io_sizes([8_u32, 1, 32]).iops(500).io_count(7).queue_depth(2);
        assert_eq!(
            counted.to_string(),
            "Read, 1 to 32 blocks, random, queue depth 2, 500 IOPS at most, 7 commands"
        );
        let replay = Workload::new().sequence([Step { at: Duration::ZERO, opcode: 0, lba: 0, blocks: 0 }]);
        assert_eq!(replay.to_string(), "sequence of 1 commands, queue depth 64");
    }

    #[test]
    fn the_largest_command_decides() {
        assert_eq!(Workload::new().io_sizes([3_u32, 100, 8]).largest(1 << 40), 100);
        assert_eq!(Workload::new().io_size(100).largest(7), 7, "no command is larger than the region");
    }
}
