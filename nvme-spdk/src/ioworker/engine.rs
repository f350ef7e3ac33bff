//! The loop of a worker: send, poll, count. It allocates nothing and takes no lock per command.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rand_xoshiro::Xoshiro256PlusPlus;
use rand_xoshiro::rand_core::{Rng, SeedableRng};

use super::report::{Failure, Report};
use super::tally::Tally;
use super::workload::{Generator, Io, Workload};
use crate::buffer::DmaBuf;
use crate::clock::{Ticks, ticks_per_second};
use crate::command::{Command, nvm_opcode};
use crate::error::{Error, Result};
use crate::integrity::{Table, stamp};
use crate::lane::Link;
use crate::qpair::{IoHandle, IoLane};
use crate::queue::Outcome;

/// What a worker and its owner tell each other while it runs.
#[derive(Debug, Default)]
pub(crate) struct Control {
    /// Ends the run: no new command is sent, those in flight are waited for.
    pub finish: AtomicBool,
    /// Completed so far.
    pub completed: AtomicU64,
    /// Transferred so far.
    pub bytes: AtomicU64,
}

/// Nothing completed for so long although something is in flight: it never will.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a worker needs to know of its namespace.
pub(crate) struct Place {
    pub nsid: u32,
    pub blocks: u64,
    pub lba_size: u32,
    /// What is known of the blocks.
    pub table: Option<Arc<Table>>,
}

/// Everything a run needs, made before its clock starts.
pub(crate) struct Engine {
    place: Place,
    generator: Generator,
    buffers: Arc<Buffers>,
    /// The command in each slot of the queue.
    ios: Box<[Io]>,
    in_flight: usize,
    limit: u64,
    time: Option<Duration>,
    iops: Option<u32>,
}

impl Engine {
    pub(crate) fn new(workload: &Workload, place: Place) -> Result<Self> {
        let slots = usize::from(workload.queue_depth - 1);
        let limit = workload.io_count.unwrap_or(u64::MAX);
        Ok(Engine {
            generator: Generator::new(workload, place.blocks)?,
            buffers: Arc::new(Buffers::new(workload, slots, place.lba_size)?),
            ios: vec![Io::default(); slots].into(),
            in_flight: slots.min(usize::try_from(limit).unwrap_or(usize::MAX)),
            limit,
            time: workload.time,
            iops: workload.iops,
            place,
        })
    }

    /// What commands point into: must outlive the queue pair the engine runs on.
    pub(crate) fn buffers(&self) -> Arc<Buffers> {
        Arc::clone(&self.buffers)
    }

    /// Runs to the end. Commands may be in flight even then.
    pub(crate) fn run(mut self, lane: &IoLane, control: &Control) -> Report {
        let mut tally = Tally::new(self.time);
        let failure = match lane.lock() {
            Ok(mut link) => self.drive(&mut link, lane, control, &mut tally).err(),
            Err(_) => Some(Failure::Stopped),
        };
        tally.report(failure)
    }

    fn drive(
        &mut self,
        link: &mut Link<IoHandle>,
        lane: &IoLane,
        control: &Control,
        tally: &mut Tally,
    ) -> Result<(), Failure> {
        let start = tally.begin();
        let end = self.time.map_or(Ticks(u64::MAX), |time| start.after(time));
        let patience = Ticks::of(PATIENCE);
        let mut pace = Pace::new(self.iops, start);
        let mut failure = Ok(());
        let (mut sent, mut in_flight) = (0_u64, 0_usize);
        let mut last_progress = start;
        loop {
            let now = Ticks::now();
            if lane.should_stop() {
                return Err(Failure::Stopped);
            }
            let finishing = failure.is_err()
                || now >= end
                || sent == self.limit
                || control.finish.load(Ordering::Relaxed);

            let mut worked = false;
            while !finishing && in_flight < self.in_flight && sent < self.limit && pace.is_due(now) {
                self.send(link, lane)?;
                sent += 1;
                in_flight += 1;
                worked = true;
            }
            if finishing && in_flight == 0 {
                return failure;
            }

            link.poll(0);
            if link.broken {
                return failure.and(Err(Failure::Disconnected));
            }
            while let Some(brief) = link.queue.next_brief() {
                if brief.outcome == Outcome::TimedOut {
                    return failure.and(Err(Failure::Silence));
                }
                in_flight -= 1;
                worked = true;
                let status = brief.completion.status();
                if status.is_success() {
                    tally.count(self.ios[brief.index], self.place.lba_size, brief.ticks);
                } else if failure.is_ok() {
                    failure = Err(Failure::Status(status));
                }
            }
            if !worked && link.queue.has_parked() {
                lane.poll_neighbours();
            }
            tally.at(now, worked);
            if worked {
                last_progress = now;
                control.completed.store(tally.ios(), Ordering::Relaxed);
                control.bytes.store(tally.bytes(), Ordering::Relaxed);
            } else if in_flight > 0 && now.since(last_progress) > patience {
                return failure.and(Err(Failure::Silence));
            }
        }
    }

    #[inline]
    fn send(&mut self, link: &Link<IoHandle>, lane: &IoLane) -> Result<(), Failure> {
        let io = self.generator.next();
        // There is one: fewer commands are in flight than the queue has slots.
        let slot = link.queue.next_index().ok_or(Failure::Disconnected)?;
        self.ios[slot] = io;
        let (address, len) = self.buffers.of(slot, &io, self.place.lba_size);
        if io.opcode == nvm_opcode::WRITE {
            // SAFETY: the slot's write buffer has room for the command's blocks, and nobody else uses it.
            unsafe { stamp(address, io.lba, io.blocks, self.place.lba_size) };
        }
        let command = match io.opcode {
            nvm_opcode::FLUSH => Command::flush(self.place.nsid),
            // One range, to be deallocated; it stands in the buffer.
            nvm_opcode::DATASET_MANAGEMENT => Command::io(io.opcode, self.place.nsid).cdw11(4),
            opcode => Command::range(opcode, self.place.nsid, io.lba, io.blocks),
        };
        // SAFETY: the worker holds the buffers until its queue pair is freed.
        match unsafe { link.send_unowned(&command, address, len) } {
            Ok(_) => {
                lane.log().traffic().count(u64::from(len));
                Ok(())
            }
            Err(Error::QpairDead { .. }) => Err(Failure::Disconnected),
            Err(why) => {
                tracing::error!("a worker cannot send: {why}");
                Err(Failure::Disconnected)
            }
        }
    }
}

/// One read and one write buffer per slot of the queue.
pub(crate) struct Buffers {
    read: Option<DmaBuf>,
    write: Option<DmaBuf>,
    stride: usize,
}

impl Buffers {
    fn new(workload: &Workload, slots: usize, lba_size: u32) -> Result<Self> {
        let stride = workload.io_size as usize * lba_size as usize;
        let used = |test: fn(u8) -> bool| {
            workload.operations.iter().any(|&(opcode, share)| share > 0 && test(opcode))
        };
        let pool = |needed: bool| needed.then(|| DmaBuf::new(stride * slots)).transpose();
        let write = pool(used(|opcode| opcode == nvm_opcode::WRITE))?;
        if let Some(buffer) = &write {
            fill_with_noise(buffer, workload.seed);
        }
        let read = pool(used(|opcode| opcode != nvm_opcode::WRITE && carries_data(opcode)))?;
        Ok(Buffers { read, write, stride })
    }

    /// What the command in a slot transfers.
    #[inline]
    fn of(&self, slot: usize, io: &Io, lba_size: u32) -> (*mut u8, u32) {
        let pool = match io.opcode {
            nvm_opcode::WRITE => &self.write,
            opcode if carries_data(opcode) => &self.read,
            _ => &None,
        };
        let Some(pool) = pool else { return (std::ptr::null_mut(), 0) };
        let offset = slot * self.stride;
        if io.opcode == nvm_opcode::DATASET_MANAGEMENT {
            pool.write(offset, &deallocate(io));
            return (pool.at(offset), lba_size);
        }
        (pool.at(offset), io.blocks * lba_size)
    }
}

/// Bits 1:0 of an opcode say how data is transferred; 00b is not at all.
fn carries_data(opcode: u8) -> bool {
    opcode & 0x3 != 0
}

/// A Dataset Management range: context attributes, length in blocks, starting LBA.
fn deallocate(io: &Io) -> [u8; 16] {
    let mut range = [0; 16];
    range[4..8].copy_from_slice(&io.blocks.to_le_bytes());
    range[8..16].copy_from_slice(&io.lba.to_le_bytes());
    range
}

/// Data that no controller can compress or recognise.
fn fill_with_noise(buffer: &DmaBuf, seed: u64) {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut chunk = [0; 4096];
    for offset in (0..buffer.len()).step_by(chunk.len()) {
        rng.fill_bytes(&mut chunk);
        let len = chunk.len().min(buffer.len() - offset);
        buffer.write(offset, &chunk[..len]);
    }
}

/// Commands at even intervals. A late one does not move the schedule.
struct Pace {
    /// In ticks, with 32 bits behind the point; none for full speed.
    interval: Option<u128>,
    due: u128,
}

impl Pace {
    fn new(iops: Option<u32>, start: Ticks) -> Self {
        let interval = iops.map(|iops| (u128::from(ticks_per_second()) << 32) / u128::from(iops));
        Pace { interval, due: (u128::from(start.0) << 32) + interval.unwrap_or(0) }
    }

    /// Whether the next command is due; if so, the one after it is asked about next.
    #[inline]
    fn is_due(&mut self, now: Ticks) -> bool {
        let Some(interval) = self.interval else { return true };
        if u128::from(now.0) << 32 < self.due {
            return false;
        }
        self.due += interval;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pace_is_exact_and_catches_up() {
        let hz = ticks_per_second();
        for iops in [1, 7, 1000, 333_333] {
            let start = Ticks(1 << 40);
            let mut pace = Pace::new(Some(iops), start);
            let mut sent = 0_u64;
            // Looks at uneven moments, once after a long pause.
            for moment in [hz / 3, hz / 2, hz, 5 * hz, 7 * hz] {
                while pace.is_due(Ticks(start.0 + moment)) {
                    sent += 1;
                }
                let exact = u128::from(moment) * u128::from(iops) / u128::from(hz);
                assert!(u128::from(sent).abs_diff(exact) <= 1, "{iops} IOPS after {moment} ticks: {sent}");
            }
        }
    }

    #[test]
    fn a_range_as_the_specification_has_it() {
        let range = deallocate(&Io { opcode: 9, lba: 0x0102_0304_0506_0708, blocks: 0x0a0b });
        assert_eq!(range, [0, 0, 0, 0, 0x0b, 0x0a, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1]);
    }
}
