//! What is kept of a worker: small, however long it ran.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::report::Report;
use super::workload::Workload;
use crate::names;

/// A worker in a few kilobytes, for reports that are kept and compared. Times are in microseconds.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Record {
    /// What it was to do.
    pub workload: String,
    /// How long it ran.
    pub seconds: f64,
    /// Commands that completed, with whatever status.
    pub ios: u64,
    /// Those of them that completed with an error.
    pub errors: u64,
    /// Completed commands by name.
    pub commands: BTreeMap<String, u64>,
    /// Commands per second, over the whole run.
    pub iops: f64,
    /// Bytes per second, over the whole run.
    pub bytes_per_second: f64,
    /// The part of the time in which there was something to do, 0 to 1.
    pub busy: f64,
    /// Seconds from one value of `iops_over_time` to the next.
    pub interval: u64,
    /// Commands per second, interval by interval.
    pub iops_over_time: Vec<f64>,
    /// The shortest latency.
    pub latency_min: f64,
    /// The average latency.
    pub latency_mean: f64,
    /// The longest latency.
    pub latency_max: f64,
    /// Percentiles and their latencies, closer and closer to 100.
    pub percentiles: Vec<(f64, f64)>,
    /// How many commands took from one latency to the next: lower bound, upper bound, count.
    pub histogram: Vec<(f64, f64, u64)>,
    /// Why it ended before its time, if it did.
    pub failure: Option<String>,
}

/// The most values over time; a run with more seconds has several of them in each.
const MOST_POINTS: usize = 1200;

/// Steps per halving of what is left to 100 percent.
const PERCENTILE_STEPS: u32 = 4;

/// Steps per factor of two.
const HISTOGRAM_STEPS: u32 = 6;

impl Record {
    /// Puts together what a worker was to do and what came of it.
    pub fn new(workload: &Workload, report: &Report) -> Self {
        let (interval, iops_over_time) = thin_out(&report.per_second);
        let latency = &report.latency;
        let name = |opcode| match names::io_command(opcode) {
            "Unknown command" | "Vendor specific" => format!("opcode {opcode:02X}h"),
            name => name.to_owned(),
        };
        let percentiles = latency.percentiles(PERCENTILE_STEPS).into_iter();
        let histogram = latency.histogram(HISTOGRAM_STEPS).into_iter();
        Record {
            workload: workload.to_string(),
            seconds: report.duration.as_secs_f64(),
            ios: report.ios,
            errors: report.errors,
            commands: report.by_opcode.iter().map(|(opcode, count)| (name(*opcode), *count)).collect(),
            iops: report.iops(),
            bytes_per_second: report.bytes_per_second(),
            busy: report.busy,
            interval,
            iops_over_time,
            latency_min: microseconds(latency.min()),
            latency_mean: microseconds(latency.mean()),
            latency_max: microseconds(latency.max()),
            percentiles: percentiles.map(|(percentile, span)| (percentile, microseconds(span))).collect(),
            histogram: histogram
                .map(|(from, to, count)| (microseconds(from), microseconds(to), count))
                .collect(),
            failure: report.failure.map(|failure| failure.to_string()),
        }
    }
}

/// Averages of equal spans; the last one may be shorter.
fn thin_out(per_second: &[u64]) -> (u64, Vec<f64>) {
    let span = per_second.len().div_ceil(MOST_POINTS).max(1);
    let mean = |counts: &[u64]| counts.iter().sum::<u64>() as f64 / counts.len() as f64;
    (span as u64, per_second.chunks(span).map(mean).collect())
}

fn microseconds(span: Duration) -> f64 {
    span.as_nanos() as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ioworker::{Failure, Latency};
    use crate::status::Status;

    #[test]
    fn a_record_has_what_the_report_has() {
        let mut latency = Latency::default();
        [10_000, 20_000, 90_000].into_iter().for_each(|nanoseconds| latency.record(nanoseconds));
        let report = Report {
            ios: 3,
            errors: 1,
            by_opcode: BTreeMap::from([(2, 2), (0x0c, 1)]),
            bytes: 8192,
            duration: Duration::from_secs(2),
            per_second: vec![1, 2],
            latency,
            failure: Some(Failure::Status(Status::new(2, 0x81))),
            ..Report::default()
        };
        let record = Record::new(&Workload::new(), &report);
        assert_eq!((record.ios, record.errors, record.iops, record.bytes_per_second), (3, 1, 1.5, 4096.0));
        assert_eq!(record.commands, BTreeMap::from([("Read".to_owned(), 2), ("opcode 0Ch".to_owned(), 1)]));
        assert_eq!((record.interval, record.iops_over_time), (1, vec![1.0, 2.0]));
        assert_eq!(record.histogram.iter().map(|(_, _, count)| count).sum::<u64>(), 3);
        assert!(record.failure.unwrap().contains("UNRECOVERED READ ERROR"));
        assert_eq!(record.percentiles.last().unwrap().0, 100.0);
    }

    #[test]
    fn long_runs_stay_small() {
        let seconds = if cfg!(miri) { 3600 } else { 3_600_000 };
        let (interval, iops) = thin_out(&vec![5; seconds]);
        assert_eq!((interval as usize, iops.len()), (seconds / 1200, 1200));
        assert!(iops.iter().all(|iops| *iops == 5.0));
        assert_eq!(thin_out(&[]), (1, vec![]));
        assert_eq!(thin_out(&[7; 600]).1.len(), 600);
    }
}
