//! `Namespace.ioworker`: a native worker in the original's clothes.

mod outcome;
mod plan;
mod running;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use nvme_spdk::{Error, Workload};
use parking_lot::Mutex;
use pyo3::exceptions::{PyAssertionError, PyKeyboardInterrupt};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::callback::warn;
use crate::convert::ensure;
use crate::errors;
use crate::progress::{Progress, Told};
use crate::report;
use outcome::{HostError, Outcome};
pub(crate) use plan::Request;

/// A worker. It begins with start() or `with`, and its result is there with close().
#[pyclass(frozen, module = "nvme", name = "_IOWorker")]
pub(crate) struct IoWorker {
    namespace: nvme_spdk::Namespace,
    workload: Result<Workload, String>,
    state: Arc<Mutex<State>>,
    /// Percentages before close(), counts afterwards: by opcode.
    #[pyo3(get)]
    op_counter: Py<PyDict>,
    /// The list of completions per second that was given.
    #[pyo3(get)]
    output_io_per_second: Option<Py<PyAny>>,
    /// The dict of percentiles that was given.
    #[pyo3(get)]
    output_percentile_latency: Option<Py<PyDict>>,
    /// The list of commands that was given.
    #[pyo3(get)]
    output_cmdlog_list: Option<Py<PyList>>,
    /// Whether an error ends the process at close().
    #[pyo3(get)]
    fw_debug: bool,
    /// The commands were given: all of them count for the first opcode.
    replays: bool,
    /// When it was started, in microseconds since the epoch.
    started: AtomicU64,
}

enum State {
    New,
    /// Another thread is in start().
    Starting,
    Running(nvme_spdk::IoWorker),
    /// It did not start; close() tells.
    Failed(HostError),
    /// Another thread is in close() and about to have the result.
    Closing,
    /// With its result, unless it was stopped.
    Closed(Option<Py<PyDict>>),
}

/// What close() finds once there is no need to wait.
enum Ended {
    Now(nvme_spdk::IoWorker),
    Failed(HostError),
    Before(Py<PyDict>),
}

/// How often a waiting close() looks.
const LOOK: Duration = Duration::from_millis(1);

impl IoWorker {
    pub(crate) fn new(
        py: Python<'_>,
        namespace: &nvme_spdk::Namespace,
        request: Request<'_>,
    ) -> PyResult<Self> {
        let plan = request.plan(py, namespace)?;
        Ok(IoWorker {
            namespace: namespace.clone(),
            workload: plan.workload,
            state: Arc::new(Mutex::new(State::New)),
            op_counter: plan.operations.unbind(),
            output_io_per_second: request.output_io_per_second.map(Bound::unbind),
            output_percentile_latency: request.output_percentile_latency.map(Bound::unbind),
            output_cmdlog_list: request.output_cmdlog_list.map(Bound::unbind),
            fw_debug: request.fw_debug,
            replays: request.io_sequence.is_some(),
            started: AtomicU64::new(0),
        })
    }
}

#[pymethods]
impl IoWorker {
    /// Starts the worker. If it cannot start, close() says so.
    ///
    /// Returns
    /// -------
    /// _IOWorker
    ///     Itself.
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When it was started before.
    fn start(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        let py = slf.py();
        let this = slf.get();
        {
            let mut state = this.state.lock();
            ensure(matches!(*state, State::New), "a worker starts once; make another one")?;
            *state = State::Starting;
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        this.started.store(now.as_micros() as u64, Ordering::Relaxed);
        let started = match &this.workload {
            Ok(workload) => py.detach(|| nvme_spdk::IoWorker::start(&this.namespace, workload)),
            Err(why) => Err(Error::InvalidArgument(why.clone())),
        };
        let state = match started {
            Ok(worker) => State::Running(worker),
            Err(error @ Error::Interrupted { .. }) => {
                *this.state.lock() = State::New;
                return Err(errors::usual(error));
            }
            Err(error) => {
                tracing::error!("the ioworker does not start: {error}");
                State::Failed(HostError::of(&error))
            }
        };
        *this.state.lock() = state;
        running::remember(py, &this.state)?;
        Ok(slf)
    }

    /// Whether its result is still to come; also before it is started.
    #[getter]
    fn running(&self) -> bool {
        match &*self.state.lock() {
            State::New | State::Starting | State::Closing => true,
            State::Running(worker) => worker.is_running(),
            State::Failed(_) | State::Closed(_) => false,
        }
    }

    /// Commands completed so far.
    #[getter]
    fn completed(&self) -> u64 {
        match &*self.state.lock() {
            State::Running(worker) => worker.completed(),
            _ => 0,
        }
    }

    /// Waits for its end, frees its queue pair, fills the output containers and warns about errors. Closing again
    /// returns the same result.
    ///
    /// Returns
    /// -------
    /// _DotDict
    ///     Counts, milliseconds, microseconds of latency, and the first error: items that are attributes, too.
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When it was not started.
    fn close<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        // In short steps, so that no lock is held while signal handlers run.
        let mut progress = Progress::begin();
        let ended = loop {
            if let Some(ended) = self.take_ended(py)? {
                break ended;
            }
            progress.step(py, || self.progress())?;
            py.detach(|| std::thread::sleep(LOOK));
            py.check_signals()?;
        };
        drop(progress);
        let outcome = match ended {
            Ended::Before(result) => return Ok(result.into_bound(py)),
            Ended::Failed(host) => Outcome::not_started(host),
            Ended::Now(worker) => py.detach(|| Outcome::of(worker)),
        };
        self.conclude(py, &outcome)
    }

    /// The completions of the slowest seconds, as a part of the average: 1 for a device that never varies.
    ///
    /// Parameters
    /// ----------
    /// slowest_percentage : float
    ///     Above 0 and below 100: how many of the seconds are at least so good.
    ///
    /// Returns
    /// -------
    /// float
    #[pyo3(signature = (slowest_percentage=99.9))]
    fn iops_consistency(&self, py: Python<'_>, slowest_percentage: f64) -> PyResult<f64> {
        let list = self.output_io_per_second.as_ref().map(|list| list.bind(py).extract::<Vec<u64>>());
        let Some(counts) = list.transpose()? else {
            return Err(PyAssertionError::new_err("iops consistency data is not collected"));
        };
        ensure(!counts.is_empty(), "output list is empty")?;
        ensure(slowest_percentage > 0.0, "the percentage must be larger than 0")?;
        ensure(slowest_percentage < 100.0, "the percentage must be smaller than 100")?;
        Ok(outcome::iops_consistency(counts, slowest_percentage))
    }

    /// The microseconds within which a part of the commands completed.
    ///
    /// Parameters
    /// ----------
    /// k : float
    ///     A percentile, above 0 and below 100.
    /// histogram : list of int
    ///     How many commands took so many microseconds, as `latency_distribution` of the result has it.
    ///
    /// Returns
    /// -------
    /// int
    #[staticmethod]
    fn find_percentile_latency(k: &Bound<'_, PyAny>, histogram: Vec<u64>) -> PyResult<usize> {
        outcome::find_percentile(k, &histogram)
    }

    fn __enter__(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        Self::start(slf)
    }

    fn __exit__(
        &self,
        py: Python<'_>,
        kind: &Bound<'_, PyAny>,
        value: &Bound<'_, PyAny>,
        _traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        if kind.is_none() {
            let closed = self.close(py).map(drop);
            if closed.as_ref().is_err_and(|error| error.is_instance_of::<PyKeyboardInterrupt>(py)) {
                self.stop(py);
            }
            return closed;
        }
        self.stop(py);
        let error = PyAssertionError::new_err(format!("ioworker exits with exception: {value}"));
        error.set_context(py, Some(PyErr::from_value(value.clone())));
        Err(error)
    }

    fn __repr__(&self) -> String {
        match &*self.state.lock() {
            State::New | State::Starting => "<ioworker: not started>".to_owned(),
            State::Running(worker) => format!("<ioworker: queue {}>", worker.qid()),
            State::Failed(_) => "<ioworker: failed>".to_owned(),
            State::Closing | State::Closed(_) => "<ioworker: closed>".to_owned(),
        }
    }
}

impl IoWorker {
    /// Takes the worker if it has ended; nothing if it is still to be waited for.
    fn take_ended(&self, py: Python<'_>) -> PyResult<Option<Ended>> {
        let mut state = self.state.lock();
        match &*state {
            State::New | State::Starting => {
                let text = "the worker was not started: call start() first, or use `with`";
                return Err(PyAssertionError::new_err(text));
            }
            State::Closed(None) => {
                return Err(PyAssertionError::new_err("the worker was stopped, it has no result"));
            }
            State::Closed(Some(result)) => return Ok(Some(Ended::Before(result.clone_ref(py)))),
            State::Closing => return Ok(None),
            State::Running(worker) if worker.is_running() => return Ok(None),
            State::Running(_) | State::Failed(_) => {}
        }
        Ok(match std::mem::replace(&mut *state, State::Closing) {
            State::Running(worker) => Some(Ended::Now(worker)),
            State::Failed(host) => Some(Ended::Failed(host)),
            _ => None,
        })
    }

    fn progress(&self) -> Told {
        match &*self.state.lock() {
            State::Running(worker) => Told {
                what: format!("ioworker on queue {}", worker.qid()),
                fraction: Some(worker.progress()),
                text: format!("{} commands", worker.completed()),
            },
            _ => Told { what: "ioworker".to_owned(), fraction: None, text: String::new() },
        }
    }

    /// Ends it at once and frees its queue.
    fn stop(&self, py: Python<'_>) {
        py.detach(|| running::stop(&self.state));
    }

    fn conclude<'py>(&self, py: Python<'py>, outcome: &Outcome) -> PyResult<Bound<'py, PyDict>> {
        let result = outcome
            .counts(self.op_counter.bind(py), self.replays)
            .and_then(|counts| outcome.result(py, &counts));
        *self.state.lock() = State::Closed(result.as_ref().ok().map(|result| result.clone().unbind()));
        let result = result?;
        report::tell(py, &self.namespace, self.started.load(Ordering::Relaxed), || {
            outcome.record(&self.workload)
        })?;
        if let Some(list) = &self.output_cmdlog_list {
            outcome.fill_cmdlog(list.bind(py))?;
        }
        if outcome.host != HostError::NONE {
            warn(py, &format!("ioworker host ERROR {}", outcome.host))?;
        }
        if outcome.error != 0 {
            let (sct, sc) = (outcome.error >> 8 & 0x7, outcome.error & 0xff);
            warn(py, &format!("ioworker device respond an ERROR status: {sct:02x}/{sc:02x}"))?;
        }
        if self.fw_debug && outcome.host != HostError::NONE {
            let text = "force terminate with ioworker error %d";
            py.import("logging")?.call_method1("info", (text, outcome.host.code()))?;
            py.import("os")?.call_method1("_exit", (outcome.host.code(),))?;
        }
        if let Some(list) = &self.output_io_per_second {
            outcome.fill_per_second(list.bind(py), &result)?;
        }
        if let Some(percentiles) = &self.output_percentile_latency {
            outcome.fill_percentiles(percentiles.bind(py), &result)?;
        }
        Ok(result)
    }
}
