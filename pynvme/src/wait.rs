//! waitdone: where completions are counted and callbacks run.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

use nvme_spdk::{CmdLog, Completed, Error, Outcome};
use pyo3::exceptions::{PyAssertionError, PyTimeoutError};
use pyo3::prelude::*;

use crate::callback::{Callbacks, dispatch, latest_cdw0, warn};
use crate::errors;
use crate::progress::{self, Progress, Told};

/// A queue as waitdone sees it.
pub(crate) trait Queue: Sync {
    /// 0 for the admin queue.
    fn qid(&self) -> u16;
    fn wait(&self, timeout: Duration) -> Result<usize, Error>;
    fn next(&self) -> Result<Option<Completed>, Error>;
    fn callbacks(&self) -> &Callbacks;
    fn log(&self) -> Arc<CmdLog>;
    /// How often what was outstanding has been forgotten.
    fn resets(&self) -> u32 {
        0
    }
    /// Delivers an answer of the controller; whether it counts.
    fn answered(&self, py: Python<'_>, completed: &Completed) -> PyResult<bool> {
        let callback = self.callbacks().take(completed.token);
        dispatch(py, callback.as_ref(), &completed.completion)?;
        Ok(true)
    }
}

thread_local! {
    /// One wait at a time in a thread, of whichever queue, callbacks included. Other threads may wait meanwhile.
    static WAITING: Cell<bool> = const { Cell::new(false) };
}

/// Not to be sent: it ends in the thread it began in.
pub(crate) struct Waiting(PhantomData<*const ()>);

impl Waiting {
    pub(crate) fn begin() -> PyResult<Self> {
        if WAITING.replace(true) {
            return Err(PyAssertionError::new_err(
                "cannot re-entry waitdone() functions which may be caused by waitdone in callback functions, 1",
            ));
        }
        Ok(Waiting(PhantomData))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.set(false);
    }
}

/// How often a wait looks whether there is still something to wait for.
const SLICE: Duration = Duration::from_millis(200);

/// How long a wait may take for commands that may take `timeout_ms`: the driver gives up somewhat later.
pub(crate) fn driver_timeout(timeout_ms: u64) -> Duration {
    Duration::from_secs((timeout_ms / 1000).saturating_add(20))
}

/// Delivers completions of a queue until `expected` of them count; returns dword 0 of the last one.
pub(crate) fn waitdone(py: Python<'_>, queue: &impl Queue, expected: u32, timeout_ms: u64) -> PyResult<u32> {
    let _waiting = Waiting::begin()?;
    let timeout = driver_timeout(timeout_ms);
    // A century stands for "never": Instant cannot hold every Duration.
    let end = Instant::now() + timeout.min(Duration::from_secs(3_000_000_000));
    let resets = queue.resets();
    let mut progress = Progress::begin();
    let mut reaped = 0;
    while reaped < expected {
        if let Some(completed) = queue.next().map_err(errors::usual)? {
            reaped += u32::from(deliver(py, queue, &completed)?);
            continue;
        }
        if queue.resets() != resets {
            return Err(PyAssertionError::new_err(
                "the controller was reset during the wait: what was outstanding is gone; send it again",
            ));
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            let note = format!(
                "{reaped} of {expected} commands completed within {} seconds; allow more with Controller.timeout, \
                 and see cmdlog() for what is outstanding",
                timeout.as_secs()
            );
            return Err(timed_out(py, &note));
        }
        progress.step(py, || Told {
            what: progress::awaited(&queue.log()),
            fraction: (expected > 1).then(|| f64::from(reaped) / f64::from(expected)),
            text: if expected > 1 { format!("{reaped} of {expected} completed") } else { String::new() },
        })?;
        py.detach(|| queue.wait(left.min(SLICE))).map_err(errors::usual)?;
    }
    Ok(latest_cdw0())
}

/// Delivers one completion; whether it counts.
fn deliver(py: Python<'_>, queue: &impl Queue, completed: &Completed) -> PyResult<bool> {
    match completed.outcome {
        Outcome::Answered => {
            crate::log::print_error(queue.qid(), completed);
            queue.answered(py, completed)
        }
        Outcome::TimedOut => {
            warn(py, &format!("drive timeout: qpair: {}, cid: {}", queue.qid(), completed.command.cid))?;
            let callback = queue.callbacks().take(completed.token);
            dispatch(py, callback.as_ref(), &completed.completion)?;
            Ok(false)
        }
        // Late: its callback has run.
        _ => Ok(true),
    }
}

/// The exception of a wait that took too long. Scripts compare its text, so advice goes beside it, to where
/// Python 3.11 and newer print it.
pub(crate) fn timed_out(py: Python<'_>, note: &str) -> PyErr {
    let error = PyTimeoutError::new_err("pynvme timeout in driver");
    // Older ones have no such method.
    let _ = error.value(py).call_method1("add_note", (note,));
    error
}
