//! Callbacks of commands: kept while the command is outstanding, called where the script waits.

use std::sync::atomic::{AtomicU32, Ordering};

use nvme_spdk::{Completion, Error, Token};
use parking_lot::Mutex;
use pyo3::exceptions::{PyAssertionError, PyTypeError, PyUserWarning};
use pyo3::ffi::c_str;
use pyo3::prelude::*;
use pyo3::types::PyTuple;

use crate::errors;

/// The callbacks of one queue, by the place of their command in it.
#[derive(Default)]
pub(crate) struct Callbacks {
    slots: Mutex<Vec<Option<Py<PyAny>>>>,
}

/// dword 0 of the completion that was dispatched last, of whichever queue.
static LATEST_CDW0: AtomicU32 = AtomicU32::new(0);

pub(crate) fn latest_cdw0() -> u32 {
    LATEST_CDW0.load(Ordering::Relaxed)
}

/// A callback argument: None or something to call.
pub(crate) fn check(callback: Option<Bound<'_, PyAny>>) -> PyResult<Option<Py<PyAny>>> {
    match callback {
        Some(callback) if !callback.is_callable() => Err(PyAssertionError::new_err(format!(
            "cb is called with the completion, so it cannot be {callback}"
        ))),
        callback => Ok(callback.map(Bound::unbind)),
    }
}

impl Callbacks {
    pub(crate) fn keep(&self, token: Token, callback: Option<Py<PyAny>>) {
        let mut slots = self.slots.lock();
        if slots.len() <= token.index() {
            if callback.is_none() {
                return;
            }
            slots.resize_with(token.index() + 1, || None);
        }
        let before = std::mem::replace(&mut slots[token.index()], callback);
        drop(slots);
        // Outside the lock, here and below: dropping a callback may run Python code.
        drop(before);
    }

    pub(crate) fn take(&self, token: Token) -> Option<Py<PyAny>> {
        self.slots.lock().get_mut(token.index()).and_then(Option::take)
    }

    /// Forgets all of them, for a queue that is gone.
    pub(crate) fn clear(&self) {
        let callbacks = std::mem::take(&mut *self.slots.lock());
        drop(callbacks);
    }
}

/// Delivers what stands for the completion of a command that was not taken because its data cannot be pointed
/// to: to its callback, as a warning, and then as the exception of its call.
pub(crate) fn refuse(
    py: Python<'_>,
    error: Error,
    callback: Option<&Py<PyAny>>,
    kind: &'static str,
) -> PyErr {
    if matches!(error, Error::DataPointer { .. }) {
        let completion = Completion { status_and_phase: 0x02 << 1, ..Default::default() };
        if let Err(raised) = dispatch(py, callback, &completion) {
            return raised;
        }
    }
    errors::submission(kind)(error)
}

/// Delivers a completion: calls the callback, then warns about an error status.
pub(crate) fn dispatch(
    py: Python<'_>,
    callback: Option<&Py<PyAny>>,
    completion: &Completion,
) -> PyResult<()> {
    LATEST_CDW0.store(completion.cdw0, Ordering::Relaxed);
    if let Some(callback) = callback {
        call(py, callback.bind(py), completion)?;
    }
    let status = completion.status();
    if !status.is_success() {
        warn(py, &format!("ERROR status: {:02x}/{:02x}", status.sct, status.sc))?;
    }
    Ok(())
}

/// First with the whole completion, then, if it does not take that, with dword 0 and the status.
fn call(py: Python<'_>, callback: &Bound<'_, PyAny>, completion: &Completion) -> PyResult<()> {
    let mut result = callback.call1((PyTuple::new(py, completion.dwords())?,));
    if result.as_ref().is_err_and(|error| error.is_instance_of::<PyTypeError>(py)) {
        result = callback.call1((completion.cdw0, completion.status_and_phase));
    }
    let Err(error) = result else { return Ok(()) };
    if error.is_instance_of::<PyAssertionError>(py) {
        warn(py, &format!("ASSERT: {}", error.value(py)))
    } else if error.is_instance_of::<PyTypeError>(py) {
        warn(py, &format!("callback: {}", error.value(py)))
    } else if error.is_instance_of::<pyo3::exceptions::PyException>(py) {
        // As in the original: reported, and the wait goes on.
        error.write_unraisable(py, Some(callback));
        Ok(())
    } else {
        // KeyboardInterrupt and SystemExit are not the callback's to swallow.
        Err(error)
    }
}

pub(crate) fn warn(py: Python<'_>, message: &str) -> PyResult<()> {
    let text =
        std::ffi::CString::new(message.replace('\0', " ")).unwrap_or_else(|_| c_str!("warning").to_owned());
    PyErr::warn(py, &py.get_type::<PyUserWarning>(), &text, 1)
}
