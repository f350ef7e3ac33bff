//! Every block of a region once, with many commands in flight.

use std::ops::Range;
use std::time::{Duration, Instant};

use nvme_spdk::{DmaBuf, Namespace, Qpair};

use crate::content::{Content, mix};
use crate::end::Result;
use crate::mismatch::Mismatches;

/// Commands of equal size that cover a region, in an order of which each occurs once.
#[derive(Debug, Clone)]
pub struct Order {
    region: Range<u64>,
    blocks: u32,
    count: u64,
    /// From one command to the next; has no factor in common with their number.
    stride: u64,
}

impl Order {
    /// From the beginning to the end, or with a seed in another order.
    pub fn new(region: Range<u64>, blocks: u32, seed: Option<u64>) -> Self {
        let count = (region.end - region.start).div_ceil(blocks.into());
        let coprime = |stride: &u64| gcd(*stride, count) == 1;
        let stride = seed.map_or(1, |seed| (mix(seed) % count.max(1)..).find(coprime).unwrap_or(1));
        Order { region, blocks, count, stride }
    }

    /// Where a command begins, and how many blocks it has: the one at the end of the region may be shorter.
    fn at(&self, turn: u64) -> (u64, u32) {
        let place = (u128::from(turn) * u128::from(self.stride) % u128::from(self.count)) as u64;
        let lba = self.region.start + place * u64::from(self.blocks);
        (lba, u64::from(self.blocks).min(self.region.end - lba) as u32)
    }
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}

pub struct Sweep<'a> {
    namespace: &'a Namespace,
    qpair: Qpair,
    order: Order,
    /// One for each command in flight.
    buffers: Vec<DmaBuf>,
}

/// Nothing completes for so long: that is the end.
const PATIENCE: Duration = Duration::from_secs(30);

impl<'a> Sweep<'a> {
    pub fn new(namespace: &'a Namespace, order: Order, depth: u16, size: u32) -> Result<Self> {
        let qpair = namespace.controller().create_qpair(depth + 1)?;
        let buffers = (0..depth).map(|_| DmaBuf::new(size as usize)).collect::<nvme_spdk::Result<_>>()?;
        Ok(Sweep { namespace, qpair, order, buffers })
    }

    pub fn qpair(&self) -> &Qpair {
        &self.qpair
    }

    pub fn write(&self, content: &Content) -> Result<()> {
        let mut bytes = vec![0; self.buffers[0].len()];
        self.run(
            |buffer, lba, blocks| {
                content.fill(lba, &mut bytes);
                buffer.write(0, &bytes);
                self.namespace.submit_write(&self.qpair, buffer, 0, lba, blocks)
            },
            |_, _, _| (),
        )
    }

    pub fn check(&self, content: &Content, mismatches: &mut Mismatches) -> Result<()> {
        let mut bytes = (vec![0; self.buffers[0].len()], vec![0; self.buffers[0].len()]);
        self.run(
            |buffer, lba, blocks| self.namespace.submit_read(&self.qpair, buffer, 0, lba, blocks),
            |buffer, lba, blocks| {
                let len = blocks as usize * content.block();
                let (expected, found) = (&mut bytes.0[..len], &mut bytes.1[..len]);
                content.fill(lba, expected);
                buffer.read(0, found);
                mismatches.compare(content, lba, expected, found);
            },
        )
    }

    /// Sends all commands, and takes each when it is done.
    fn run(
        &self,
        mut send: impl FnMut(&DmaBuf, u64, u32) -> nvme_spdk::Result<nvme_spdk::Token>,
        mut done: impl FnMut(&DmaBuf, u64, u32),
    ) -> Result<()> {
        let mut free: Vec<usize> = (0..self.buffers.len()).collect();
        // What is in flight, by the index of its token: the buffer, and where.
        let mut in_flight = vec![(0, 0, 0); usize::from(self.qpair.depth())];
        let (mut turn, mut taken) = (0, 0);
        let mut last_progress = Instant::now();
        while taken < self.order.count {
            while turn < self.order.count
                && let Some(buffer) = free.pop()
            {
                let (lba, blocks) = self.order.at(turn);
                let token = send(&self.buffers[buffer], lba, blocks)?;
                in_flight[token.index()] = (buffer, lba, blocks);
                turn += 1;
            }
            if self.qpair.wait(Duration::from_secs(1))? == 0 {
                if last_progress.elapsed() >= PATIENCE {
                    return Err(format!("no command has completed for {PATIENCE:?}").into());
                }
                continue;
            }
            while let Some(completed) = self.qpair.next_completion()? {
                let (buffer, lba, blocks) = in_flight[completed.token.index()];
                let status = completed.completion.status();
                if !status.is_success() {
                    return Err(
                        format!("the command for {blocks} blocks at LBA {lba} failed: {status}").into()
                    );
                }
                done(&self.buffers[buffer], lba, blocks);
                free.push(buffer);
                taken += 1;
            }
            last_progress = Instant::now();
        }
        Ok(())
    }
}
