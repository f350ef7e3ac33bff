//! A worker's counters.

use super::buffers::carries_data;
use super::generator::Io;
use super::latency::Latency;
use super::report::{Failure, Report};
use super::workload::Workload;
use crate::clock::{Ticks, duration, nanoseconds, ticks_per_second};
use crate::command::nvm_opcode;
use crate::error::{Error, Result};

pub(crate) struct Tally {
    ios: u64,
    errors: u64,
    by_opcode: Box<[u64; 256]>,
    bytes: u64,
    latency: Latency,
    /// Empty unless asked for.
    by_microsecond: Vec<u64>,
    last: Last,
    per_second: Vec<u64>,
    /// Counted when the running second began.
    before_second: u64,
    next_second: Ticks,
    start: Ticks,
    looked: Ticks,
    busy: u64,
}

/// Room for an hour of seconds; longer runs grow it now and then.
const SECONDS: u64 = 3600;

/// Latencies are counted up to a second; the last counter has those that are longer.
const MICROSECONDS: usize = 1_000_000;

impl Tally {
    pub(super) fn new(workload: &Workload) -> Result<Self> {
        let seconds = workload.time.map_or(SECONDS, |time| time.as_secs().min(SECONDS)) + 2;
        Ok(Tally {
            ios: 0,
            errors: 0,
            by_opcode: Box::new([0; 256]),
            bytes: 0,
            latency: Latency::default(),
            by_microsecond: if workload.count_microseconds { vec![0; MICROSECONDS] } else { Vec::new() },
            last: Last::new(workload.keep_last, workload.limit())?,
            per_second: Vec::with_capacity(seconds as usize),
            before_second: 0,
            next_second: Ticks::default(),
            start: Ticks::default(),
            looked: Ticks::default(),
            busy: 0,
        })
    }

    /// Starts the clock.
    pub(super) fn begin(&mut self) -> Ticks {
        let now = Ticks::now();
        (self.start, self.looked) = (now, now);
        self.next_second = Ticks(now.0 + ticks_per_second());
        now
    }

    /// Once per turn of the loop, before completions are counted: seconds that are over get no more of them.
    #[inline]
    pub(super) fn at(&mut self, now: Ticks) {
        while now >= self.next_second {
            self.per_second.push(self.ios - self.before_second);
            self.before_second = self.ios;
            self.next_second = Ticks(self.next_second.0 + ticks_per_second());
        }
    }

    #[inline]
    pub(super) fn count(&mut self, io: Io, success: bool, lba_size: u32, ticks: u64) {
        self.ios += 1;
        self.by_opcode[usize::from(io.opcode)] += 1;
        if !success {
            self.errors += 1;
        } else if transfers(io.opcode) {
            self.bytes += u64::from(io.blocks) * u64::from(lba_size);
        }
        let nanoseconds = nanoseconds(ticks);
        self.latency.record(nanoseconds);
        if let Some(last) = self.by_microsecond.len().checked_sub(1) {
            let microseconds = usize::try_from(nanoseconds / 1000).unwrap_or(usize::MAX);
            self.by_microsecond[microseconds.min(last)] += 1;
        }
        self.last.push(io);
    }

    /// Once per turn of the loop, at its end: whether there was anything to do since the turn before.
    #[inline]
    pub(super) fn turn(&mut self, now: Ticks, worked: bool) {
        if worked {
            self.busy += now.since(self.looked);
        }
        self.looked = now;
    }

    pub(super) fn ios(&self) -> u64 {
        self.ios
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn report(mut self, failure: Option<Failure>) -> Report {
        let now = if self.start == Ticks::default() { self.start } else { Ticks::now() };
        let ticks = now.since(self.start);
        if ticks > 0 {
            self.at(now);
        }
        let counts = self.by_opcode.iter().enumerate().filter(|(_, count)| **count > 0);
        Report {
            ios: self.ios,
            errors: self.errors,
            by_opcode: counts.map(|(opcode, count)| (opcode as u8, *count)).collect(),
            bytes: self.bytes,
            duration: duration(ticks),
            per_second: self.per_second,
            verified: 0,
            latency: self.latency,
            by_microsecond: self.by_microsecond,
            last: self.last.into_vec(),
            busy: if ticks == 0 { 0.0 } else { self.busy as f64 / ticks as f64 },
            failure,
        }
    }
}

/// Whether commands with this opcode carry the data of their blocks.
#[inline]
fn transfers(opcode: u8) -> bool {
    carries_data(opcode) && opcode != nvm_opcode::DATASET_MANAGEMENT
}

/// The last so many of many.
struct Last {
    ring: Vec<Io>,
    size: usize,
    next: usize,
}

impl Last {
    /// There will be no more than `limit`.
    fn new(size: usize, limit: u64) -> Result<Self> {
        let size = size.min(usize::try_from(limit).unwrap_or(usize::MAX));
        let mut ring = Vec::new();
        ring.try_reserve_exact(size).map_err(|e| {
            Error::InvalidArgument(format!(
                "no memory to keep the last {size} commands ({e}): keep fewer, or limit their number with io_count"
            ))
        })?;
        Ok(Last { ring, size, next: 0 })
    }

    #[inline]
    fn push(&mut self, io: Io) {
        if self.ring.len() < self.size {
            self.ring.push(io);
        } else if self.size > 0 {
            self.ring[self.next] = io;
            self.next = if self.next + 1 == self.size { 0 } else { self.next + 1 };
        }
    }

    /// Oldest first.
    fn into_vec(mut self) -> Vec<Io> {
        self.ring.rotate_left(self.next);
        self.ring
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn io(lba: u64) -> Io {
        Io { opcode: 2, lba, blocks: 1 }
    }

    #[test]
    fn the_last_ones_are_kept_in_order() {
        for (size, pushed, kept) in [(0, 5, 5..5), (3, 2, 0..2), (3, 3, 0..3), (3, 10, 7..10), (1, 4, 3..4)] {
            let mut last = Last::new(size, u64::MAX).unwrap();
            (0..pushed).for_each(|lba| last.push(io(lba)));
            let lbas: Vec<_> = last.into_vec().iter().map(|io| io.lba).collect();
            assert_eq!(lbas, kept.collect::<Vec<_>>(), "{pushed} into {size}");
        }
    }

    #[test]
    fn more_than_memory_holds_is_kept_only_of_fewer_commands() {
        let keep = |workload: Workload| Tally::new(&workload.keep_last(usize::MAX)).err();
        assert!(keep(Workload::new().io_count(7)).is_none());
        let error = keep(Workload::new()).expect("no memory is that large").to_string();
        assert!(error.contains("keep fewer"), "{error}");
    }

    #[test]
    fn every_second_has_its_count_also_an_idle_one() {
        let mut tally = Tally::new(&Workload::new()).unwrap();
        let start = tally.begin();
        let hz = ticks_per_second();
        for tenths in [1, 9, 10, 35, 35, 49] {
            tally.at(Ticks(start.0 + hz / 10 * tenths));
            tally.count(io(0), true, 512, 1);
        }
        tally.at(Ticks(start.0 + 5 * hz));
        assert_eq!(tally.per_second, [2, 1, 0, 2, 1]);
    }

    #[test]
    #[cfg_attr(miri, ignore = "a million counters, all of safe code")]
    fn microseconds_are_counted_each() {
        let mut tally = Tally::new(&Workload::new().count_microseconds(true)).unwrap();
        // Ticks are nanoseconds as long as nothing is measured.
        for ticks in [0, 999, 1000, 7_500, 999_998_999, 999_999_000, u64::MAX] {
            tally.count(io(0), true, 512, ticks);
        }
        let report = tally.report(None);
        let found: Vec<_> =
            report.by_microsecond.iter().enumerate().filter(|(_, count)| **count > 0).collect();
        assert_eq!(found, [(0, &2), (1, &1), (7, &1), (999_998, &1), (999_999, &2)]);
        assert_eq!((report.ios, report.latency.count()), (7, 7));
    }
}
