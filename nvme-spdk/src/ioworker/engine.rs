//! The loop of a worker: send, poll, count. It allocates nothing and takes no lock per command.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::buffers::Buffers;
use super::generator::{Generator, Io};
use super::pace::Pace;
use super::report::{Failure, Report};
use super::sequence::Replay;
use super::tally::Tally;
use super::workload::Workload;
use crate::clock::{Ticks, duration};
use crate::command::{Command, nvm_opcode};
use crate::controller::Controller;
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

/// Nothing completes for so long although something is in flight, or the worker is so much over its time: that
/// is the end, unless commands may take longer.
const PATIENCE: Duration = Duration::from_secs(30);

/// With a pace, commands that were due before the end but came too late are still sent for so long.
const GRACE: Duration = Duration::from_millis(100);

/// What a worker needs to know of its namespace.
pub(crate) struct Place {
    pub controller: Controller,
    pub nsid: u32,
    pub blocks: u64,
    pub lba_size: u32,
    /// What is known of the blocks.
    pub table: Option<Arc<Table>>,
}

/// Everything a run needs, made before its clock starts.
pub(crate) struct Engine {
    place: Place,
    source: Source,
    buffers: Arc<Buffers>,
    tally: Tally,
    /// The command in each slot of the queue.
    ios: Box<[Io]>,
    /// How many commands are sent in all.
    limit: u64,
    time: Option<Duration>,
}

/// Where commands come from.
enum Source {
    Drawn(Box<Generator>, Pace),
    Given(Replay),
}

impl Source {
    fn begin(&mut self, start: Ticks) {
        match self {
            Source::Drawn(_, pace) => pace.begin(start),
            Source::Given(replay) => replay.begin(start),
        }
    }

    /// The next command, if it is due.
    #[inline]
    fn next(&mut self, now: Ticks) -> Option<Io> {
        match self {
            Source::Drawn(generator, pace) => pace.is_due(now).then(|| generator.next()),
            Source::Given(replay) => replay.next(now),
        }
    }

    fn is_paced(&self) -> bool {
        matches!(self, Source::Drawn(_, pace) if pace.is_set())
    }
}

impl Engine {
    pub(super) fn new(workload: &Workload, place: Place, largest: u32) -> Result<Self> {
        let limit = workload.limit();
        let in_flight =
            usize::from(workload.queue_depth - 1).min(usize::try_from(limit).unwrap_or(usize::MAX));
        let source = match &workload.sequence {
            Some(steps) => Source::Given(Replay::new(steps, place.blocks)),
            None => {
                let generator = Generator::new(workload, place.blocks, place.table.clone())?;
                Source::Drawn(Box::new(generator), Pace::new(workload.iops))
            }
        };
        Ok(Engine {
            source,
            buffers: Arc::new(Buffers::new(workload, in_flight.max(1), largest, place.lba_size)?),
            tally: Tally::new(workload)?,
            // Slots are taken lowest first: no more of them are used than commands are in flight.
            ios: vec![Io::default(); in_flight].into(),
            limit,
            time: workload.time,
            place,
        })
    }

    /// What commands point into: must outlive the queue pair the engine runs on.
    pub(super) fn buffers(&self) -> Arc<Buffers> {
        Arc::clone(&self.buffers)
    }

    /// Runs to the end. Commands may be in flight even then.
    pub(super) fn run(mut self, lane: &IoLane, control: &Control) -> Report {
        let Ok(mut link) = lane.lock() else { return self.tally.report(Some(Failure::Stopped)) };
        let failure = self.drive(&mut link, lane, control).err();
        Report { verified: link.queue.verified(), ..self.tally.report(failure) }
    }

    fn drive(&mut self, link: &mut Link<IoHandle>, lane: &IoLane, control: &Control) -> Result<(), Failure> {
        let start = self.tally.begin();
        self.source.begin(start);
        let end = self.time.map_or(Ticks(u64::MAX), |time| start.after(time));
        let grace = if self.source.is_paced() { GRACE } else { Duration::ZERO };
        // From when on no new command is sent; a worker that notices the end late has its grace all the same.
        let mut closing = None;
        let overdue = end.after(PATIENCE);

        let mut failure = Ok(());
        let (mut sent, mut in_flight) = (0_u64, 0_usize);
        // No new command is sent any more.
        let mut closed = false;
        let mut last_progress = start;
        loop {
            let now = Ticks::now();
            self.tally.at(now);
            if lane.should_stop() {
                return failure.and(Err(Failure::Stopped));
            }
            closed |= failure.is_err()
                || sent == self.limit
                || (now >= end && now >= *closing.get_or_insert(now.after(grace)))
                || control.finish.load(Ordering::Relaxed);

            let mut worked = false;
            while !closed && in_flight < self.ios.len() && sent < self.limit {
                let Some(io) = self.source.next(now.min(end)) else {
                    closed = now >= end;
                    break;
                };
                self.send(link, lane, io)?;
                sent += 1;
                in_flight += 1;
                worked = true;
            }
            if closed && in_flight == 0 {
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
                self.tally.count(
                    self.ios[brief.index],
                    status.is_success(),
                    self.place.lba_size,
                    brief.ticks,
                );
                if !status.is_success() && failure.is_ok() {
                    failure = Err(Failure::Status(status));
                }
            }
            if !worked && link.queue.has_parked() {
                lane.poll_neighbours();
            }
            self.tally.turn(now, worked);
            if worked {
                last_progress = now;
                control.completed.store(self.tally.ios(), Ordering::Relaxed);
                control.bytes.store(self.tally.bytes(), Ordering::Relaxed);
            } else if in_flight > 0 && self.is_silent(now.since(last_progress)) {
                return failure.and(Err(Failure::Silence));
            }
            if now >= overdue {
                return failure.and(Err(Failure::Overdue));
            }
        }
    }

    /// Whether nothing will come any more. Where commands have a time limit, that is what ends the wait.
    #[inline]
    fn is_silent(&self, idle: u64) -> bool {
        const SECOND: Duration = Duration::from_secs(1);
        idle > Ticks::of(PATIENCE)
            && self.place.controller.command_timeout().is_none_or(|limit| duration(idle) > limit + SECOND)
    }

    /// The one place where a worker's command goes out.
    #[inline]
    fn send(&mut self, link: &Link<IoHandle>, lane: &IoLane, io: Io) -> Result<(), Failure> {
        // There is one: fewer commands are in flight than the queue has slots.
        let slot = link.queue.next_index().ok_or(Failure::Disconnected)?;
        self.ios[slot] = io;
        let (address, len) = self.buffers.of(slot, &io);
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
