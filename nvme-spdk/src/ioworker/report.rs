//! What a worker found.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::generator::Io;
use super::latency::Latency;
use crate::status::Status;

/// The result of a worker.
#[derive(Debug, Clone, Default, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Commands that completed, with whatever status.
    pub ios: u64,
    /// Those of them that completed with an error.
    pub errors: u64,
    /// Completed commands per opcode.
    pub by_opcode: BTreeMap<u8, u64>,
    /// Bytes they transferred.
    pub bytes: u64,
    /// From the start of the clock to the end of the last command.
    pub duration: Duration,
    /// Completions of each full second.
    pub per_second: Vec<u64>,
    /// Blocks that were read, compared with what was written there, and found right.
    pub verified: u64,
    /// How long commands took.
    pub latency: Latency,
    /// How many commands took so many microseconds: a counter for each up to the last, which has all that took
    /// longer. Empty unless [asked for](super::Workload::count_microseconds).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub by_microsecond: Vec<u64>,
    /// The commands that completed last, as many as were [asked for](super::Workload::keep_last) at most, oldest
    /// first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub last: Vec<Io>,
    /// The part of the time in which there was something to do, 0 to 1; the rest was polling for nothing.
    pub busy: f64,
    /// Why it ended before its time, if it did.
    pub failure: Option<Failure>,
}

/// Why a worker ended before its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[non_exhaustive]
pub enum Failure {
    /// The controller answered a command with an error; the first of them.
    Status(Status),
    /// A command took longer than it may (see
    /// [`Controller::set_command_timeout`](crate::Controller::set_command_timeout)), or nothing completed for half
    /// a minute where there is no such limit.
    Silence,
    /// Commands were still in flight half a minute after its time.
    Overdue,
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
            Failure::Overdue => f.write_str("commands were still in flight long after its time"),
            Failure::Disconnected => f.write_str("the connection to the controller broke"),
            Failure::Stopped => f.write_str("it was stopped"),
        }
    }
}

impl std::error::Error for Failure {}

impl Report {
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
