//! What takes long says how far it is; nvme/_progress.py shows it to whoever watches.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use nvme_spdk::{CmdLog, Command, Completed, DmaBuf, admin_opcode, decode};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// What is over by then shows nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// How often it is shown.
const PERIOD: Duration = Duration::from_millis(250);

/// How far something is.
pub(crate) struct Told {
    pub what: String,
    /// 0 to 1, if anybody knows.
    pub fraction: Option<f64>,
    pub text: String,
}

/// A wait that may take long.
pub(crate) struct Progress {
    begin: Instant,
    next: Instant,
    shown: Option<Py<PyAny>>,
}

impl Progress {
    pub(crate) fn begin() -> Self {
        let begin = Instant::now();
        Progress { begin, next: begin + PATIENCE, shown: None }
    }

    /// To be called several times a second.
    pub(crate) fn step(&mut self, py: Python<'_>, tell: impl FnOnce() -> Told) -> PyResult<()> {
        let now = Instant::now();
        if now < self.next {
            return Ok(());
        }
        self.next = now + PERIOD;
        let Told { what, fraction, text } = tell();
        let shown = match &self.shown {
            Some(shown) => shown,
            None => {
                let task = py.import("nvme._progress")?.call_method0("Task")?;
                self.shown.insert(task.unbind())
            }
        };
        let seconds = now.duration_since(self.begin).as_secs_f64();
        shown.call_method1(py, "update", (what, seconds, fraction, text)).map(drop)
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(shown) = self.shown.take() {
            // A bar that cannot be removed harms nobody.
            Python::attach(|py| shown.call_method0(py, "end").map(drop).unwrap_or_default());
        }
    }
}

/// The command that has been in flight for longest, but for requests for events, which may stay for ever.
pub(crate) fn awaited(log: &CmdLog) -> String {
    let queue = decode::Queue::of(log.qid());
    let event = |command: &Command| log.qid() == 0 && command.opcode == admin_opcode::ASYNC_EVENT_REQUEST;
    let entries = log.newest(usize::MAX);
    let in_flight = entries.iter().rev().find(|entry| entry.completed.is_none() && !event(&entry.command));
    let name = in_flight.and_then(|entry| decode::command_name(&entry.command, queue));
    name.unwrap_or("waitdone").to_owned()
}

/// Log pages that say how far an operation is which goes on when its command has completed: whoever polls them sees
/// it. Nothing is sent that the script has not sent itself.
#[derive(Default)]
pub(crate) struct Watched {
    /// By the place of the command in its queue.
    logs: Mutex<HashMap<usize, (u8, DmaBuf, usize)>>,
}

const SELF_TEST: u8 = 0x06;
const SANITIZE: u8 = 0x81;

impl Watched {
    /// Notes a command that asks for one of these logs from its beginning, into a buffer at an offset.
    pub(crate) fn note(&self, index: usize, command: &Command, (buffer, offset): (&DmaBuf, usize)) {
        let lid = command.cdw10 as u8;
        let asks = command.opcode == admin_opcode::GET_LOG_PAGE && matches!(lid, SELF_TEST | SANITIZE);
        if asks && command.cdw12 == 0 {
            self.logs.lock().insert(index, (lid, buffer.clone(), offset));
        }
    }

    /// Shows what such a command has brought from the controller at an address.
    pub(crate) fn completed(
        &self,
        py: Python<'_>,
        controller: impl FnOnce() -> String,
        completed: &Completed,
    ) -> PyResult<()> {
        let Some((lid, buffer, offset)) = self.logs.lock().remove(&completed.token.index()) else {
            return Ok(());
        };
        // It may be from a command that a reset has forgotten.
        let this =
            completed.command.opcode == admin_opcode::GET_LOG_PAGE && completed.command.cdw10 as u8 == lid;
        if !this || !completed.completion.is_success() {
            return Ok(());
        }
        // A transfer may begin behind the buffer, up to the end of its last page.
        let head = buffer.to_vec(offset..offset + 4);
        if head.len() < 4 {
            return Ok(());
        }
        let data = PyBytes::new(py, &head);
        py.import("nvme._progress")?.call_method1("observe", (controller(), lid, data)).map(drop)
    }
}
