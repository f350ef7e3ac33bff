//! A worker's counters.

use std::time::Duration;

use super::report::{Failure, Latency, Report};
use super::workload::Io;
use crate::clock::{Ticks, duration, nanoseconds, ticks_per_second};

pub(crate) struct Tally {
    ios: u64,
    by_opcode: Box<[u64; 256]>,
    bytes: u64,
    latency: Latency,
    per_second: Vec<u64>,
    /// Counted when the running second began.
    before_second: u64,
    next_second: Ticks,
    start: Ticks,
    last: Ticks,
    busy: u64,
}

/// Room for an hour of seconds; longer runs grow it now and then.
const SECONDS: u64 = 3600;

impl Tally {
    pub(crate) fn new(time: Option<Duration>) -> Self {
        let seconds = time.map_or(SECONDS, |time| time.as_secs().min(SECONDS)) + 2;
        Tally {
            ios: 0,
            by_opcode: Box::new([0; 256]),
            bytes: 0,
            latency: Latency::default(),
            per_second: Vec::with_capacity(seconds as usize),
            before_second: 0,
            next_second: Ticks::default(),
            start: Ticks::default(),
            last: Ticks::default(),
            busy: 0,
        }
    }

    /// Starts the clock.
    pub(crate) fn begin(&mut self) -> Ticks {
        let now = Ticks::now();
        (self.start, self.last) = (now, now);
        self.next_second = Ticks(now.0 + ticks_per_second());
        now
    }

    #[inline]
    pub(crate) fn count(&mut self, io: Io, lba_size: u32, ticks: u64) {
        self.ios += 1;
        self.by_opcode[usize::from(io.opcode)] += 1;
        self.bytes += u64::from(io.blocks) * u64::from(lba_size);
        self.latency.record(nanoseconds(ticks));
    }

    /// Once per turn of the loop: the time, and whether there was anything to do.
    #[inline]
    pub(crate) fn at(&mut self, now: Ticks, worked: bool) {
        if worked {
            self.busy += now.since(self.last);
        }
        self.last = now;
        while now >= self.next_second {
            self.per_second.push(self.ios - self.before_second);
            self.before_second = self.ios;
            self.next_second = Ticks(self.next_second.0 + ticks_per_second());
        }
    }

    pub(crate) fn ios(&self) -> u64 {
        self.ios
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn report(mut self, failure: Option<Failure>) -> Report {
        let now = if self.start == Ticks::default() { self.last } else { Ticks::now() };
        self.at(now, false);
        let ticks = now.since(self.start);
        let counts = self.by_opcode.iter().enumerate().filter(|(_, count)| **count > 0);
        Report {
            ios: self.ios,
            by_opcode: counts.map(|(opcode, count)| (opcode as u8, *count)).collect(),
            bytes: self.bytes,
            duration: duration(ticks),
            per_second: self.per_second,
            latency: self.latency,
            busy: if ticks == 0 { 0.0 } else { self.busy as f64 / ticks as f64 },
            failure,
        }
    }
}
