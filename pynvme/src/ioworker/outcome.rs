//! What close() returns, and what it leaves in the containers it was given.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use nvme_spdk::{Error, Failure, Record, Report, Workload};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::convert::{Int, ensure};

/// What went wrong on this side, by the numbers of the original.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct HostError(i32);

impl HostError {
    pub(super) const NONE: Self = HostError(0);
    const INIT: Self = HostError(-1);
    const TOO_LARGE: Self = HostError(-2);
    const IO_TIMEOUT: Self = HostError(-3);
    const OVERDUE: Self = HostError(-4);
    const NO_MEMORY: Self = HostError(-5);
    const COMMAND: Self = HostError(-6);
    const TERMINATED: Self = HostError(-7);

    /// Why a worker did not start.
    pub(super) fn of(error: &Error) -> Self {
        match error {
            Error::NoMemory { .. } => Self::NO_MEMORY,
            Error::TransferTooLarge { .. } => Self::TOO_LARGE,
            _ => Self::INIT,
        }
    }

    pub(super) fn code(self) -> i32 {
        self.0
    }
}

impl fmt::Display for HostError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self.0 {
            0 => "no error",
            -1 => "init fail in pyx",
            -2 => "io_size is larger than MDTS",
            -3 => "io timeout",
            -4 => "ioworker timeout",
            -5 => "buffer pool alloc fail",
            -6 => "io cmd error",
            -7 => "sudden terminated",
            _ => "illegal error code",
        };
        write!(f, "{}: {text}", self.0)
    }
}

/// How a worker ended.
pub(super) struct Outcome {
    pub host: HostError,
    /// The status of the first command that failed: status code type in bits 10:8, status code in bits 7:0.
    pub error: u32,
    report: Report,
}

/// The status of a transfer that no command can have: Invalid Field in Command.
const INVALID_FIELD: u32 = 0x002;
/// The status that commands get which take too long.
const ALL_ONES: u32 = 0x7ff;

impl Outcome {
    pub(super) fn not_started(host: HostError) -> Self {
        let error = if host == HostError::TOO_LARGE { INVALID_FIELD } else { 0 };
        Outcome { host, error, report: Report::default() }
    }

    /// Waits for the end of a worker.
    pub(super) fn of(worker: nvme_spdk::IoWorker) -> Self {
        // Workers do not panic. If one does, the panic is on the log, and the script gets a result all the same.
        let Ok(report) = catch_unwind(AssertUnwindSafe(|| worker.join())) else {
            return Outcome::not_started(HostError::INIT);
        };
        let (host, error) = match report.failure {
            None | Some(Failure::Stopped) => (HostError::NONE, 0),
            Some(Failure::Status(status)) => {
                (HostError::COMMAND, u32::from(status.sct) << 8 | u32::from(status.sc))
            }
            Some(Failure::Silence) => (HostError::IO_TIMEOUT, ALL_ONES),
            Some(Failure::Overdue) => (HostError::OVERDUE, 0),
            // Disconnected, and what later versions add.
            Some(_) => (HostError::TERMINATED, 0),
        };
        Outcome { host, error, report }
    }

    /// What is kept of it for reports.
    pub(super) fn record(&self, workload: &Result<Workload, String>) -> Record {
        let mut record = Record::new(workload.as_ref().unwrap_or(&Workload::new()), &self.report);
        if let Err(why) = workload {
            record.workload = "refused".to_owned();
            record.failure = Some(why.clone());
        } else if self.host != HostError::NONE && record.failure.is_none() {
            record.failure = Some(self.host.to_string());
        }
        record
    }

    /// Replaces percentages by counts of completed commands. Those of a replay all belong to the first opcode.
    pub(super) fn counts(&self, operations: &Bound<'_, PyDict>, replays: bool) -> PyResult<Counts> {
        let mut counts = Counts { all: self.report.ios, reads: 0, writes: 0 };
        for (place, key) in operations.keys().iter().enumerate() {
            let Int(opcode) = key.extract::<Int<u8>>()?;
            let count = match (replays, place) {
                (false, _) => self.report.count(opcode),
                (true, 0) => self.report.ios,
                (true, _) => 0,
            };
            match opcode {
                2 => counts.reads += count,
                1 => counts.writes += count,
                _ => {}
            }
            operations.set_item(key, count)?;
        }
        Ok(counts)
    }

    fn milliseconds(&self) -> u64 {
        let rounded = (self.report.duration + Duration::from_micros(500)).as_millis() as u64;
        if self.report.duration.is_zero() { 0 } else { rounded + 1 }
    }

    pub(super) fn result<'py>(&self, py: Python<'py>, counts: &Counts) -> PyResult<Bound<'py, PyDict>> {
        let report = &self.report;
        let microseconds = |span: Duration| span.as_micros() as u64;
        let result = py.import("nvme._result")?.getattr("_DotDict")?.call0()?.cast_into::<PyDict>()?;
        result.set_item("io_count_read", counts.reads)?;
        result.set_item("io_count_nonread", counts.all - counts.reads)?;
        result.set_item("io_count_write", counts.writes)?;
        result.set_item("mseconds", self.milliseconds())?;
        result.set_item("latency_max_us", microseconds(report.latency.max()))?;
        result.set_item("latency_average_us", microseconds(report.latency.mean()))?;
        result.set_item("cpu_usage", report.busy)?;
        result.set_item("error", self.error)?;
        // More than the original tells: for people, not for scripts of its time.
        result.set_item("iops", report.iops())?;
        result.set_item("bytes_per_second", report.bytes_per_second())?;
        let octaves = report.latency.octaves().into_iter();
        let octaves = octaves.map(|(bound, count)| (bound.as_nanos() as f64 / 1000.0, count));
        result.set_item("latency_octaves_us", PyList::new(py, octaves.collect::<Vec<_>>())?)?;
        Ok(result)
    }

    /// The last commands as tuples (slba, number of blocks, opcode), newest at the end; places in front that were
    /// not needed become zeros.
    pub(super) fn fill_cmdlog(&self, list: &Bound<'_, PyList>) -> PyResult<()> {
        let last = &self.report.last;
        let missing = list.len().saturating_sub(last.len());
        for place in 0..list.len() {
            let row = match place.checked_sub(missing).and_then(|at| last.get(at)) {
                Some(io) => (io.lba, io.blocks, io.opcode),
                None => (0, 0, 0),
            };
            list.set_item(place, row)?;
        }
        Ok(())
    }

    /// The completions of each second: as many of them as the run has lasted, rounded.
    pub(super) fn fill_per_second(
        &self,
        list: &Bound<'_, PyAny>,
        result: &Bound<'_, PyDict>,
    ) -> PyResult<()> {
        let list = list.cast::<PyList>()?;
        ensure(list.is_empty(), "output_io_per_second is an empty list")?;
        let mut counts = self.report.per_second.clone();
        let seconds = (self.milliseconds() / 1000) as usize;
        if counts.len() < seconds {
            // The last second lacks the fraction of a millisecond.
            counts.push(self.report.ios - counts.iter().sum::<u64>());
        }
        counts.truncate(seconds);
        for count in &counts {
            list.append(count)?;
        }
        if !counts.is_empty() {
            result.set_item("iops_consistency", iops_consistency(counts, 99.9))?;
        }
        Ok(())
    }

    pub(super) fn fill_percentiles(
        &self,
        percentiles: &Bound<'_, PyDict>,
        result: &Bound<'_, PyDict>,
    ) -> PyResult<()> {
        for key in percentiles.keys() {
            percentiles.set_item(&key, find_percentile(&key, &self.report.by_microsecond)?)?;
        }
        result.set_item("latency_distribution", &self.report.by_microsecond)
    }
}

pub(super) struct Counts {
    all: u64,
    reads: u64,
    writes: u64,
}

/// The count of the second that so many percent of the seconds are at least as good as, divided by the average.
pub(super) fn iops_consistency(mut counts: Vec<u64>, percentage: f64) -> f64 {
    counts.sort_unstable_by_key(|count| std::cmp::Reverse(*count));
    let mean = counts.iter().sum::<u64>() as f64 / counts.len() as f64;
    let place = (counts.len() as f64 * percentage) as usize / 100;
    if mean == 0.0 { 0.0 } else { counts[place] as f64 / mean }
}

/// The smallest number of microseconds within which a percentile of the commands completed.
pub(super) fn find_percentile(percentile: &Bound<'_, PyAny>, by_microsecond: &[u64]) -> PyResult<usize> {
    let value: f64 = percentile.extract()?;
    ensure(value > 0.0 && value < 100.0, "percentile should be in (0, 100)")?;
    // In Python's arithmetic, where a percentile that is an int stays one.
    let sum: u64 = by_microsecond.iter().sum();
    let enough: u64 = percentile.mul(sum)?.floor_div(100)?.extract::<Int<u64>>()?.0;
    let cumulative = by_microsecond.iter().scan(0_u64, |sum, count| {
        *sum += count;
        Some(*sum)
    });
    Ok(cumulative.take_while(|sum| *sum < enough).count())
}
