//! What the plugin's report asks for: workers as they end, and what is open when a test fails.

use std::time::UNIX_EPOCH;

use nvme_spdk::decode::{self, Decoded, Queue};
use nvme_spdk::{CmdLogEntry, Namespace, Record, local_time};
use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList};

use crate::callback::check;

/// Called with the record of every worker that is closed.
static OBSERVER: Mutex<Option<Py<PyAny>>> = Mutex::new(None);

/// Calls something with JSON, a str, for every worker whose result is there: what it was to do and what came of
/// it, in a few kilobytes. Nothing is recorded while it runs that would not be anyway.
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
    let mut told = serde_json::to_value(record()).unwrap_or_default();
    told["address"] = namespace.controller().address().to_string().into();
    told["nsid"] = namespace.nsid().into();
    told["started"] = (started as f64 / 1e6).into();
    observer.call1(py, (told.to_string(),)).map(drop)
}

/// The controllers that this process has open: what they say about themselves, also as the bytes of Identify
/// Controller.
///
/// Returns
/// -------
/// list of dict
#[pyfunction]
pub(crate) fn survey(py: Python<'_>) -> PyResult<Bound<'_, PyList>> {
    let list = PyList::empty(py);
    for controller in nvme_spdk::open_controllers() {
        let identify = &controller.identify;
        let dict = PyDict::new(py);
        dict.set_item("address", controller.address.to_string())?;
        dict.set_item("model", identify.model_number())?;
        dict.set_item("serial", identify.serial_number())?;
        dict.set_item("firmware", identify.firmware_revision())?;
        dict.set_item("subnqn", identify.subnqn())?;
        dict.set_item("identify", PyBytes::new(py, identify.as_bytes()))?;
        list.append(dict)?;
    }
    Ok(list)
}

/// How many of the commands that went well come with all fields: the newest.
const WITH_FIELDS: usize = 4;

/// The same of those that did not.
const FAILURES_WITH_FIELDS: usize = 16;

/// What was sent last on all queues of all controllers that are open, the newest last. The newest few commands,
/// and more of those that did not go well, come field by field.
///
/// Parameters
/// ----------
/// most : int
///     How many commands.
///
/// Returns
/// -------
/// list of dict
#[pyfunction]
pub(crate) fn last_commands(py: Python<'_>, most: usize) -> PyResult<Bound<'_, PyList>> {
    let mut sent = Vec::new();
    for controller in nvme_spdk::open_controllers() {
        let address = controller.address.to_string();
        for log in &controller.queues {
            // The newest come first.
            let newest = log.newest(most).into_iter().rev();
            sent.extend(newest.map(|entry| Sent { device: address.clone(), qid: log.qid(), entry }));
        }
    }
    sent.sort_by_key(|one| one.entry.submitted);
    sent.drain(..sent.len().saturating_sub(most));
    let dicts = PyList::empty(py);
    let mut failures = 0;
    for (age, one) in sent.iter().rev().enumerate() {
        failures += usize::from(!one.went_well());
        let wanted = age < WITH_FIELDS || !one.went_well() && failures <= FAILURES_WITH_FIELDS;
        dicts.append(one.dict(py, wanted)?)?;
    }
    dicts.reverse()?;
    Ok(dicts)
}

/// A command, and where it was sent.
struct Sent {
    device: String,
    qid: u16,
    entry: CmdLogEntry,
}

impl Sent {
    fn went_well(&self) -> bool {
        self.entry.completed.is_some_and(|(completion, _)| completion.is_success())
    }

    /// The command and its completion, in lines; field by field if that is wanted.
    fn dict<'py>(&self, py: Python<'py>, fields: bool) -> PyResult<Bound<'py, PyDict>> {
        let Sent { device, qid, entry } = self;
        let queue = Queue::of(*qid);
        let as_dict = |decoded: &Decoded| fields.then(|| crate::decode::as_dict(py, decoded)).transpose();
        let sent = decode::command(&entry.command, queue);
        let dict = PyDict::new(py);
        let at = entry.submitted.duration_since(UNIX_EPOCH).unwrap_or_default();
        dict.set_item("device", device)?;
        dict.set_item("at", at.as_secs_f64())?;
        dict.set_item("submitted", local_time(entry.submitted).to_string())?;
        dict.set_item("qid", qid)?;
        dict.set_item("line", sent.to_string())?;
        dict.set_item("command", as_dict(&sent)?)?;
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
        dict.set_item("completion", as_dict(&answer)?)?;
        dict.set_item("cqe", completion.dwords())?;
        dict.set_item("latency_us", latency.as_nanos() as f64 / 1000.0)?;
        Ok(dict)
    }
}
