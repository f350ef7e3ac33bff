//! The command log: what was sent on a queue and what came back, without slowing the queue down.
//!
//! A ring per queue pair, written by whoever drives the queue, read by anyone at any time. An entry is
//! guarded by a version that is odd while it is written; a reader that meets one simply tries again or
//! leaves it out. The writer never waits.
//!
//! A queue at full speed goes round its ring in milliseconds, so the last commands that failed are kept in a
//! small ring of their own.

mod look;
mod text;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering, fence};
use std::time::{Duration, SystemTime};

use crate::clock::{Ticks, duration};
use crate::command::{Command, Completion};
use crate::traffic::Traffic;

pub(crate) use look::{Filter, Recent, Wanted};

/// How many commands a queue remembers. (Under Miri, which takes seconds to make so many, fewer.)
pub const CAPACITY: usize = if cfg!(miri) { 64 } else { 2050 };

/// How many of those that failed it remembers beyond that.
const FAILURES: usize = 64;

/// One command of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry {
    /// Counts the commands of this queue from 0.
    pub sequence: u64,
    /// The command as it was sent, with its identifier.
    pub command: Command,
    /// When it was handed to the transport.
    pub submitted: SystemTime,
    /// Its completion and how long that took; `None` as long as the command is outstanding.
    pub completed: Option<(Completion, Duration)>,
}

/// The handle of the next log.
static HANDLES: AtomicU64 = AtomicU64::new(1);

/// From now on handles are above this.
pub(crate) fn count_handles_from(first: u64) {
    HANDLES.fetch_max(first + 1, Ordering::Relaxed);
}

/// The log of one queue pair.
pub struct CmdLog {
    qid: u16,
    handle: u64,
    /// How many commands were recorded so far.
    next: AtomicU64,
    /// How many of them completed.
    completed: AtomicU64,
    /// How many of those failed.
    failed: AtomicU64,
    /// How many entries the queue has; 0 as long as that is not known.
    depth: AtomicU32,
    traffic: Arc<Traffic>,
    ring: Box<[Slot]>,
    failures: Box<[Slot]>,
}

#[derive(Default)]
struct Slot {
    /// Odd while the writer is at it.
    version: AtomicU64,
    sequence: AtomicU64,
    command: [AtomicU64; 8],
    submitted: AtomicU64,
    completion: [AtomicU64; 2],
    /// In ticks, plus one: 0 means outstanding.
    latency: AtomicU64,
}

impl CmdLog {
    pub(crate) fn new(qid: u16) -> Self {
        CmdLog {
            qid,
            handle: HANDLES.fetch_add(1, Ordering::Relaxed),
            next: AtomicU64::new(0),
            completed: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            depth: AtomicU32::new(0),
            traffic: Traffic::begin(),
            ring: slots(CAPACITY),
            failures: slots(FAILURES),
        }
    }

    /// The identifier of the queue, 0 for the admin queue.
    pub fn qid(&self) -> u16 {
        self.qid
    }

    /// A number above 0 that no other queue of this process has or had.
    pub fn handle(&self) -> u64 {
        self.handle
    }

    /// How many commands are with the controller.
    pub fn outstanding(&self) -> u64 {
        let mut completed = self.completed.load(Ordering::Acquire);
        for _ in 0..8 {
            let total = self.total();
            let again = self.completed.load(Ordering::Acquire);
            if again == completed {
                return total.saturating_sub(completed);
            }
            completed = again;
        }
        // Busy: this may be off by what completed in the last nanoseconds, but is never more than there is room for.
        let most = match self.depth() {
            0 => u64::MAX,
            depth => u64::from(depth - 1),
        };
        self.total().saturating_sub(completed).min(most)
    }

    /// How many entries the queue has, one more than commands that may be outstanding.
    pub fn depth(&self) -> u32 {
        self.depth.load(Ordering::Relaxed)
    }

    pub(crate) fn set_depth(&self, depth: u32) {
        self.depth.store(depth, Ordering::Relaxed);
    }

    /// How many commands have completed, or were given up.
    pub fn completed(&self) -> u64 {
        self.completed.load(Ordering::Relaxed)
    }

    /// How many of those that completed did so with an error.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Where reads and writes of this queue are counted, by its driver, when they are sent.
    pub(crate) fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// How many commands the queue has sent since it exists.
    pub fn total(&self) -> u64 {
        self.next.load(Ordering::Acquire)
    }

    /// Notes a command; only the queue's driver calls this, one thread at a time.
    #[inline]
    pub(crate) fn record(&self, command: &Command, submitted: Ticks) -> u64 {
        let sequence = self.next.load(Ordering::Relaxed);
        let slot = self.slot(sequence);
        slot.write(|slot| slot.note_command(sequence, command, submitted));
        self.next.store(sequence + 1, Ordering::Release);
        sequence
    }

    /// Notes the completion of the command with that sequence number, unless it was overwritten since. `sent` tells
    /// the command and when it was sent, should it have failed.
    #[inline]
    pub(crate) fn complete(
        &self,
        sequence: u64,
        completion: &Completion,
        latency: u64,
        sent: impl FnOnce() -> (Command, Ticks),
    ) {
        // One writer: no need to lock the bus for an addition.
        self.completed.store(self.completed.load(Ordering::Relaxed) + 1, Ordering::Release);
        if !completion.is_success() {
            self.keep_failure(sequence, completion, latency, sent());
        }
        let slot = self.slot(sequence);
        if slot.sequence.load(Ordering::Relaxed) == sequence {
            slot.write(|slot| slot.note_completion(completion, latency));
        }
    }

    #[cold]
    fn keep_failure(&self, sequence: u64, completion: &Completion, latency: u64, sent: (Command, Ticks)) {
        let number = self.failed.load(Ordering::Relaxed);
        self.failures[(number % FAILURES as u64) as usize].write(|slot| {
            slot.note_command(sequence, &sent.0, sent.1);
            slot.note_completion(completion, latency);
        });
        self.failed.store(number + 1, Ordering::Relaxed);
    }

    /// [`complete`](Self::complete) for a command that the log still has.
    #[cfg(test)]
    pub(crate) fn answer(&self, sequence: u64, completion: &Completion, latency: u64) {
        let entry = self.slot(sequence).read(sequence).expect("just recorded");
        self.complete(sequence, completion, latency, || (entry.command, Ticks(0)));
    }

    /// The newest commands, newest first, at most `count` of them.
    pub fn newest(&self, count: usize) -> Vec<Entry> {
        let total = self.total();
        let oldest = total.saturating_sub(CAPACITY.min(count) as u64);
        (oldest..total).rev().filter_map(|sequence| self.slot(sequence).read(sequence)).collect()
    }

    /// The newest command that has completed.
    pub fn last_completed(&self) -> Option<Entry> {
        let total = self.total();
        let oldest = total.saturating_sub(CAPACITY as u64);
        (oldest..total)
            .rev()
            .filter_map(|sequence| self.slot(sequence).read(sequence))
            .find(|entry| entry.completed.is_some())
    }

    #[inline]
    fn slot(&self, sequence: u64) -> &Slot {
        &self.ring[(sequence % CAPACITY as u64) as usize]
    }
}

fn slots(count: usize) -> Box<[Slot]> {
    (0..count).map(|_| Slot::default()).collect()
}

impl Slot {
    #[inline]
    fn note_command(&self, sequence: u64, command: &Command, submitted: Ticks) {
        self.sequence.store(sequence, Ordering::Relaxed);
        for (cell, word) in self.command.iter().zip(command.words()) {
            cell.store(word, Ordering::Relaxed);
        }
        self.submitted.store(submitted.0, Ordering::Relaxed);
        self.latency.store(0, Ordering::Relaxed);
    }

    #[inline]
    fn note_completion(&self, completion: &Completion, latency: u64) {
        for (cell, word) in self.completion.iter().zip(completion.words()) {
            cell.store(word, Ordering::Relaxed);
        }
        self.latency.store(latency + 1, Ordering::Relaxed);
    }

    #[inline]
    fn write(&self, change: impl FnOnce(&Self)) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version + 1, Ordering::Relaxed);
        fence(Ordering::Release);
        change(self);
        self.version.store(version + 2, Ordering::Release);
    }

    /// The command with that number, if the slot holds it whole.
    fn read(&self, sequence: u64) -> Option<Entry> {
        self.entry().filter(|entry| entry.sequence == sequence)
    }

    /// What the slot holds, if anything; a few tries, since the writer is done in nanoseconds.
    fn entry(&self) -> Option<Entry> {
        for _ in 0..8 {
            let before = self.version.load(Ordering::Acquire);
            if before % 2 == 1 {
                std::hint::spin_loop();
                continue;
            }
            let sequence = self.sequence.load(Ordering::Relaxed);
            let command = self.command.each_ref().map(|cell| cell.load(Ordering::Relaxed));
            let submitted = self.submitted.load(Ordering::Relaxed);
            let completion = self.completion.each_ref().map(|cell| cell.load(Ordering::Relaxed));
            let latency = self.latency.load(Ordering::Relaxed);
            fence(Ordering::Acquire);
            if self.version.load(Ordering::Relaxed) != before {
                continue;
            }
            // Version 0: nothing was written yet.
            return (before > 0).then(|| Entry {
                sequence,
                command: Command::from_words(command),
                submitted: Ticks(submitted).wall_clock(),
                completed: latency
                    .checked_sub(1)
                    .map(|ticks| (Completion::from_words(completion), duration(ticks))),
            });
        }
        None
    }
}

impl fmt::Debug for CmdLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CmdLog(queue {}, {} commands)", self.qid, self.total())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::thread;
    use std::time::Instant;

    use super::*;

    fn completion(cid: u16) -> Completion {
        Completion { cid, status_and_phase: 1, ..Default::default() }
    }

    #[test]
    fn newest_first_and_pairs_stay_together() {
        let log = CmdLog::new(1);
        for lba in 0..10 {
            let sequence = log.record(&Command::read(1, lba, 1), Ticks(lba));
            if lba < 9 {
                log.answer(sequence, &completion(lba as u16), 1000);
            }
        }
        let entries = log.newest(3);
        assert_eq!(entries.iter().map(|e| e.command.slba()).collect::<Vec<_>>(), [9, 8, 7]);
        assert_eq!(entries[0].completed, None);
        assert_eq!(entries[1].completed.unwrap().0.cid, 8);
        assert_eq!(log.last_completed().unwrap().command.slba(), 8);
        assert_eq!((log.total(), log.outstanding()), (10, 1));
    }

    #[test]
    fn the_ring_forgets_the_oldest_and_ignores_their_late_completions() {
        let log = CmdLog::new(1);
        let first = log.record(&Command::read(1, 0, 1), Ticks(0));
        for lba in 1..=CAPACITY as u64 {
            log.record(&Command::read(1, lba, 1), Ticks(0));
        }
        log.complete(first, &completion(7), 1, || unreachable!("it succeeded"));
        let entries = log.newest(usize::MAX);
        assert_eq!(entries.len(), CAPACITY);
        assert_eq!(entries.last().unwrap().command.slba(), 1);
        assert!(entries.iter().all(|entry| entry.completed.is_none()));
        assert_eq!(log.outstanding(), CAPACITY as u64);
        assert_ne!(log.handle(), CmdLog::new(1).handle());
    }

    #[test]
    fn a_latency_of_nothing_is_not_outstanding() {
        let log = CmdLog::new(0);
        let sequence = log.record(&Command::identify(1, 0), Ticks(0));
        log.answer(sequence, &completion(0), 0);
        assert_eq!(log.newest(1)[0].completed.unwrap().1, Duration::ZERO);
    }

    #[test]
    fn readers_never_see_half_an_entry() {
        let log = Arc::new(CmdLog::new(1));
        let stop = Arc::new(AtomicBool::new(false));
        let seen = Arc::new(AtomicU64::new(0));
        let reader = thread::spawn({
            let (log, stop, seen) = (Arc::clone(&log), Arc::clone(&stop), Arc::clone(&seen));
            move || {
                while !stop.load(Ordering::Relaxed) {
                    for entry in log.newest(64) {
                        // The writer keeps these equal; a torn entry would not.
                        assert_eq!(entry.command.slba(), u64::from(entry.command.nsid));
                        assert_eq!(entry.command.slba(), entry.sequence);
                        if let Some((completion, _)) = entry.completed {
                            assert_eq!(u64::from(completion.cdw0), entry.sequence);
                        }
                        seen.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        });
        // On a busy machine the reader may begin late.
        let (rounds, enough) = if cfg!(miri) { (200, 0) } else { (300_000, 10_000) };
        let begin = Instant::now();
        for sequence in 0.. {
            log.record(&Command::read(sequence, u64::from(sequence), 1), Ticks(0));
            let completion = Completion { cdw0: sequence, ..Default::default() };
            log.complete(u64::from(sequence), &completion, 5, || unreachable!("it succeeded"));
            let done = sequence >= rounds && seen.load(Ordering::Relaxed) >= enough;
            if done || reader.is_finished() || begin.elapsed() > Duration::from_secs(20) {
                break;
            }
        }
        stop.store(true, Ordering::Relaxed);
        reader.join().unwrap();
        assert!(seen.load(Ordering::Relaxed) >= enough);
    }
}
