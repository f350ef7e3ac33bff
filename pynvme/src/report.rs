//! What the plugin's report asks for: workers as they end, and what is open when a test fails.

use std::time::UNIX_EPOCH;

use nvme_spdk::decode::{self, Queue};
use nvme_spdk::{CmdLogEntry, Namespace, OpenController, Record, local_time};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::callback::check;

/// Called with the record of every worker that is closed.
static OBSERVER: Mutex<Option<Py<PyAny>>> = Mutex::new(None);

/// Calls something with a dict for every worker whose result is there: what it was to do and what came of it, in
/// a few kilobytes. Nothing is recorded while it runs that would not be anyway.
///
/// Parameters
/// ----------
/// observer : callable, optional
///     None ends it.
#[pyfunction]
#[pyo3(signature = (observer=None))]
pub(crate) fn observe_workers(observer: Option<Bound<'_, PyAny>>) -> PyResult<()> {
    let observer = check(observer)?;
    let before = std::mem::replace(&mut *OBSERVER.lock(), observer);
    // Outside the lock: dropping it may run Python code.
    drop(before);
    Ok(())
}

/// Tells the observer, if there is one, about a worker; `started` is in microseconds since the epoch.
pub(crate) fn tell(
    py: Python<'_>,
    namespace: &Namespace,
    started: u64,
    record: impl FnOnce() -> Record,
) -> PyResult<()> {
    let Some(observer) = OBSERVER.lock().as_ref().map(|observer| observer.clone_ref(py)) else {
        return Ok(());
    };
    let json = serde_json::to_string(&record()).unwrap_or_default();
    let dict = py.import("json")?.call_method1("loads", (json,))?.cast_into::<PyDict>()?;
    dict.set_item("address", namespace.controller().address().to_string())?;
    dict.set_item("nsid", namespace.nsid())?;
    dict.set_item("started", started as f64 / 1e6)?;
    observer.call1(py, (dict,)).map(drop)
}

/// The controllers that this process has open: what they say about themselves, and what was sent to them last.
///
/// Parameters
/// ----------
/// commands : int
///     How many commands of each queue, 0 for none; the newest is the last one.
///
/// Returns
/// -------
/// list of dict
#[pyfunction]
#[pyo3(signature = (commands=0))]
pub(crate) fn survey(py: Python<'_>, commands: usize) -> PyResult<Bound<'_, PyList>> {
    let list = PyList::empty(py);
    for controller in nvme_spdk::open_controllers() {
        list.append(device(py, &controller, commands)?)?;
    }
    Ok(list)
}

fn device<'py>(
    py: Python<'py>,
    controller: &OpenController,
    commands: usize,
) -> PyResult<Bound<'py, PyDict>> {
    let identify = &controller.identify;
    let dict = PyDict::new(py);
    dict.set_item("address", controller.address.to_string())?;
    dict.set_item("model", identify.model_number())?;
    dict.set_item("serial", identify.serial_number())?;
    dict.set_item("firmware", identify.firmware_revision())?;
    dict.set_item("subnqn", identify.subnqn())?;
    dict.set_item("identify", crate::decode::as_dict(py, &decode::identify(0x01, identify.as_bytes()))?)?;
    let sent = PyList::empty(py);
    for log in &controller.queues {
        for entry in log.newest(commands).iter().rev() {
            sent.append(command(py, log.qid(), entry)?)?;
        }
    }
    dict.set_item("commands", sent)?;
    Ok(dict)
}

/// A command and its completion: in lines, and field by field.
fn command<'py>(py: Python<'py>, qid: u16, entry: &CmdLogEntry) -> PyResult<Bound<'py, PyDict>> {
    let queue = Queue::of(qid);
    let sent = decode::command(&entry.command, queue);
    let dict = PyDict::new(py);
    let at = entry.submitted.duration_since(UNIX_EPOCH).unwrap_or_default();
    dict.set_item("at", at.as_secs_f64())?;
    dict.set_item("submitted", local_time(entry.submitted).to_string())?;
    dict.set_item("qid", qid)?;
    dict.set_item("line", sent.to_string())?;
    dict.set_item("command", crate::decode::as_dict(py, &sent)?)?;
    dict.set_item("sqe", entry.command.dwords())?;
    let Some((completion, latency)) = entry.completed else {
        for key in ["status", "success", "completion", "cqe", "latency_us"] {
            dict.set_item(key, py.None())?;
        }
        return Ok(dict);
    };
    let answer = decode::completion_of(&entry.command, queue, &completion);
    dict.set_item("status", completion.status().to_string())?;
    dict.set_item("success", completion.is_success())?;
    dict.set_item("completion", crate::decode::as_dict(py, &answer)?)?;
    dict.set_item("cqe", completion.dwords())?;
    dict.set_item("latency_us", latency.as_nanos() as f64 / 1000.0)?;
    Ok(dict)
}
