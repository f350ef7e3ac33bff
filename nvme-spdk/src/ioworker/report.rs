//! What a worker found.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

use crate::status::Status;

/// The result of a worker.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Commands that completed.
    pub ios: u64,
    /// The same, per opcode.
    pub by_opcode: BTreeMap<u8, u64>,
    /// Bytes they transferred.
    pub bytes: u64,
    /// From the first command to the end of the last.
    pub duration: Duration,
    /// Completions of each full second.
    pub per_second: Vec<u64>,
    /// How long commands took.
    pub latency: Latency,
    /// The part of the time in which there was something to do, 0 to 1; the rest was polling for nothing.
    pub busy: f64,
    /// Why it ended before its time, if it did.
    pub failure: Option<Failure>,
}

/// Why a worker ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum Failure {
    /// The controller answered a command with an error; the first of them.
    Status(Status),
    /// Nothing completed for as long as a command may take.
    Silence,
    /// The connection to the controller broke.
    Disconnected,
    /// It was stopped from outside, by its controller being closed or reset.
    Stopped,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Status(status) => write!(f, "the controller answered {status}"),
            Failure::Silence => f.write_str("commands do not complete any more"),
            Failure::Disconnected => f.write_str("the connection to the controller broke"),
            Failure::Stopped => f.write_str("it was stopped"),
        }
    }
}

impl Report {
    /// The result of a worker that never ran.
    pub fn empty() -> Self {
        Report {
            ios: 0,
            by_opcode: BTreeMap::new(),
            bytes: 0,
            duration: Duration::ZERO,
            per_second: Vec::new(),
            latency: Latency::default(),
            busy: 0.0,
            failure: None,
        }
    }

    /// Commands per second, over the whole run.
    pub fn iops(&self) -> f64 {
        self.ios as f64 / self.duration.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Bytes per second, over the whole run.
    pub fn bytes_per_second(&self) -> f64 {
        self.bytes as f64 / self.duration.as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// Completed commands of an opcode.
    pub fn count(&self, opcode: u8) -> u64 {
        self.by_opcode.get(&opcode).copied().unwrap_or(0)
    }
}

/// Latencies of many commands, to three significant digits.
#[derive(Clone)]
pub struct Latency {
    histogram: Histogram<u64>,
}

const MICROSECOND: u64 = 1000;

/// Anything slower is counted as this.
const SLOWEST: u64 = 3_600_000_000_000;

impl Default for Latency {
    fn default() -> Self {
        let histogram = Histogram::new_with_bounds(1, SLOWEST, 3).expect("the bounds are in range");
        Latency { histogram }
    }
}

impl Latency {
    #[inline]
    pub(crate) fn record(&mut self, nanoseconds: u64) {
        self.histogram.saturating_record(nanoseconds);
    }

    /// How many were counted.
    pub fn count(&self) -> u64 {
        self.histogram.len()
    }

    /// The shortest; zero if none was counted.
    pub fn min(&self) -> Duration {
        Duration::from_nanos(self.histogram.min())
    }

    /// The longest.
    pub fn max(&self) -> Duration {
        Duration::from_nanos(self.histogram.max())
    }

    /// The average; zero if none was counted.
    pub fn mean(&self) -> Duration {
        Duration::from_nanos(self.histogram.mean() as u64)
    }

    /// That within which `percentile` percent of the commands completed, 0 to 100.
    pub fn percentile(&self, percentile: f64) -> Duration {
        Duration::from_nanos(self.histogram.value_at_percentile(percentile))
    }

    /// Adds what another worker counted.
    pub fn merge(&mut self, other: &Latency) {
        self.histogram.add(&other.histogram).expect("all have the same bounds");
    }

    /// How many took from one power of two of microseconds to the next: pairs of the upper bound and the
    /// count, from the shortest to the longest.
    pub fn octaves(&self) -> Vec<(Duration, u64)> {
        let steps = self.histogram.iter_log(MICROSECOND, 2.0);
        let counts = steps.map(|step| {
            (Duration::from_nanos(step.value_iterated_to() + 1), step.count_since_last_iteration())
        });
        let all: Vec<_> = counts.collect();
        let first = all.iter().position(|(_, count)| *count > 0).unwrap_or(0);
        let last = all.iter().rposition(|(_, count)| *count > 0).map_or(0, |at| at + 1);
        all[first..last].to_vec()
    }
}

impl fmt::Debug for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Latency({} commands, mean {:?}, max {:?})", self.count(), self.mean(), self.max())
    }
}

impl Serialize for Latency {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let microseconds = |span: Duration| span.as_nanos() as f64 / 1000.0;
        let mut map = BTreeMap::from([
            ("min_us".to_owned(), microseconds(self.min())),
            ("mean_us".to_owned(), microseconds(self.mean())),
            ("max_us".to_owned(), microseconds(self.max())),
        ]);
        for percentile in [50.0, 90.0, 99.0, 99.9, 99.99] {
            map.insert(format!("p{percentile}_us"), microseconds(self.percentile(percentile)));
        }
        map.serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_counted_is_zero_everywhere() {
        let latency = Latency::default();
        assert_eq!((latency.min(), latency.mean(), latency.max()), Default::default());
        assert_eq!(latency.percentile(99.0), Duration::ZERO);
        assert!(latency.octaves().iter().all(|(_, count)| *count == 0));
    }

    #[test]
    fn octaves_hold_every_command_once() {
        let mut latency = Latency::default();
        for nanoseconds in [500, 1500, 1600, 3000, 1_000_000, u64::MAX] {
            latency.record(nanoseconds);
        }
        let octaves = latency.octaves();
        assert_eq!(octaves.iter().map(|(_, count)| count).sum::<u64>(), 6);
        assert!(octaves.first().unwrap().1 > 0 && octaves.last().unwrap().1 > 0);
    }
}
