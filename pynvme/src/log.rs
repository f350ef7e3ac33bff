//! The driver's log on standard error, in the original's format:
//! `[2020-06-07 22:57:10.123456] WARNING nvme_tcp.c(1234) nvme_tcp_read: text`.

use std::fmt::{Debug, Write};

use nvme_spdk::{CMDLOG_CAPACITY, CmdLog, Completed, Status, local_time};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::registry;

pub(crate) fn init() {
    // Somebody else may have installed a subscriber in this process: theirs stays.
    let _ = tracing::subscriber::set_global_default(registry().with(StandardError));
}

struct StandardError;

impl<S: Subscriber> Layer<S> for StandardError {
    fn enabled(&self, metadata: &tracing::Metadata<'_>, _: Context<'_, S>) -> bool {
        *metadata.level() <= Level::INFO
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut line = Line::default();
        event.record(&mut line);
        let metadata = event.metadata();
        let level = match *metadata.level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            _ if line.notice => "NOTICE",
            _ => "INFO",
        };
        if line.file.is_empty() {
            line.file = metadata.file().unwrap_or_default().to_owned();
            line.line = metadata.line().unwrap_or_default().into();
            line.function = metadata.target().to_owned();
        }
        let Line { file, line, function, text, .. } = line;
        let file = file.rsplit('/').next().unwrap_or_default();
        let time = local_time(std::time::SystemTime::now());
        write_line(&format!("[{time}] {level} {file}({line}) {function}: {text}"));
    }
}

/// The fields of an event: SPDK's own lines bring their place along.
#[derive(Default)]
struct Line {
    file: String,
    line: u64,
    function: String,
    text: String,
    notice: bool,
}

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let into = match field.name() {
            "file" => &mut self.file,
            "func" => &mut self.function,
            "message" => &mut self.text,
            _ => return,
        };
        let _ = write!(into, "{value:?}");
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        if field.name() == "line" {
            self.line = u64::try_from(value).unwrap_or_default();
        }
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        if field.name() == "notice" {
            self.notice = value;
        }
    }
}

/// The newest commands of a queue, newest first, in the lines of the original.
pub(crate) fn print_cmdlog(address: &str, log: &CmdLog, count: usize) {
    for line in log.dump(address, count) {
        notice(&line);
    }
}

/// A command that the controller answered with an error, and the answer.
pub(crate) fn print_error(qid: u16, completed: &Completed) {
    let aborted = Status::ABORTED_SQ_DELETION;
    // A read that was verified and found wrong has been reported as that.
    if completed.mismatch.is_none() && ![Status::SUCCESS, aborted].contains(&completed.completion.status()) {
        completed.describe(qid).iter().for_each(|line| notice(line));
    }
}

/// The newest commands of a queue, newest first, as dicts.
pub(crate) fn cmdlog_entries<'py>(
    py: Python<'py>,
    log: &CmdLog,
    count: usize,
) -> PyResult<Bound<'py, PyList>> {
    let count = if count == 0 { CMDLOG_CAPACITY } else { count };
    let list = PyList::empty(py);
    for entry in log.newest(count) {
        let dict = PyDict::new(py);
        dict.set_item("submitted", local_time(entry.submitted).to_string())?;
        dict.set_item("command", entry.describe_command(log.qid()))?;
        dict.set_item("sqe", entry.command.dwords())?;
        let (completion, latency) = entry.completed.unzip();
        dict.set_item("completion", entry.describe_completion(log.qid()))?;
        dict.set_item("cqe", completion.map(|completion| completion.dwords()))?;
        dict.set_item("latency_us", latency.map(|latency| latency.as_nanos() as f64 / 1000.0))?;
        list.append(dict)?;
    }
    Ok(list)
}

pub(crate) fn notice(text: &str) {
    write_line(&format!("[{}] NOTICE cmdlog: {text}", local_time(std::time::SystemTime::now())));
}

/// Nobody may read it any more, as behind `| head`; that must not end a test.
fn write_line(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{line}");
}
