//! waitdone: where completions are counted and callbacks run.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nvme_spdk::{Completed, Error};
use pyo3::exceptions::{PyAssertionError, PyTimeoutError};
use pyo3::prelude::*;

use crate::callback::{Callbacks, dispatch, latest_cdw0};
use crate::errors;

/// A queue as waitdone sees it.
pub(crate) trait Queue: Sync {
    fn wait(&self, timeout: Duration) -> Result<usize, Error>;
    fn next(&self) -> Result<Option<Completed>, Error>;
    fn callbacks(&self) -> &Callbacks;
}

/// One wait at a time in the whole process, callbacks included.
static WAITING: AtomicBool = AtomicBool::new(false);

struct Waiting;

impl Waiting {
    fn begin() -> PyResult<Self> {
        if WAITING.swap(true, Ordering::Acquire) {
            return Err(PyAssertionError::new_err(
                "cannot re-entry waitdone() functions which may be caused by waitdone in callback functions, 1",
            ));
        }
        Ok(Waiting)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        WAITING.store(false, Ordering::Release);
    }
}

/// Delivers exactly `expected` completions of a queue; returns dword 0 of the last one.
pub(crate) fn waitdone(py: Python<'_>, queue: &impl Queue, expected: u32, timeout_ms: u64) -> PyResult<u32> {
    let _waiting = Waiting::begin()?;
    // A command may take timeout_ms; the driver gives up somewhat later.
    let timeout = Duration::from_secs(timeout_ms / 1000 + 20);
    let end = Instant::now() + timeout;
    let mut reaped = 0;
    while reaped < expected {
        if let Some(completed) = queue.next().map_err(errors::usual)? {
            reaped += 1;
            let callback = queue.callbacks().take(completed.token);
            dispatch(py, callback.as_ref(), &completed.completion)?;
            continue;
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(PyTimeoutError::new_err(format!(
                "pynvme timeout in driver: {reaped} of {expected} commands completed within {} seconds",
                timeout.as_secs()
            )));
        }
        py.detach(|| queue.wait(left)).map_err(errors::usual)?;
    }
    Ok(latest_cdw0())
}
