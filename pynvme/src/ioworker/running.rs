//! Workers that run: they end before the interpreter does, whoever forgot to close them.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

use super::State;

static STARTED: Mutex<Vec<Weak<Mutex<State>>>> = Mutex::new(Vec::new());

/// Notes a worker that was started.
pub(super) fn remember(py: Python<'_>, state: &Arc<Mutex<State>>) -> PyResult<()> {
    static REGISTERED: PyOnceLock<()> = PyOnceLock::new();
    REGISTERED.get_or_try_init(py, || {
        let stop = wrap_pyfunction!(stop_all, py)?;
        py.import("atexit")?.call_method1("register", (stop,)).map(drop)
    })?;
    let mut started = STARTED.lock();
    started.retain(|other| other.strong_count() > 0);
    started.push(Arc::downgrade(state));
    Ok(())
}

/// Ends a worker at once, if it runs.
pub(super) fn stop(state: &Mutex<State>) {
    let mut held = state.lock();
    // Another state, and its result, stays.
    if matches!(&*held, State::Running(_)) {
        let running = std::mem::replace(&mut *held, State::Closed(None));
        // Outside the lock: the worker ends first.
        drop(held);
        drop(running);
    }
}

/// Ends all workers that run.
#[pyfunction]
fn stop_all(py: Python<'_>) {
    let started: Vec<_> = STARTED.lock().drain(..).filter_map(|state| state.upgrade()).collect();
    py.detach(|| started.iter().for_each(|state| stop(state)));
}
