//! `Namespace.ioworker`: a native worker in the original's clothes.

use std::ops::Range;
use std::time::Duration;

use nvme_spdk::{Error, Failure, Report, Workload};
use parking_lot::Mutex;
use pyo3::exceptions::PyAssertionError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use crate::callback::warn;
use crate::convert::ensure;
use crate::errors;

/// What a script asks for.
pub(crate) struct Request<'py> {
    pub io_size: u32,
    pub random: Option<Bound<'py, PyAny>>,
    pub read_percentage: u32,
    pub op_percentage: Option<Bound<'py, PyDict>>,
    pub time: u64,
    pub qdepth: i64,
    pub region: Range<u64>,
    pub iops: u32,
    pub io_count: u64,
    pub lba_start: u64,
    pub output_io_per_second: Option<Bound<'py, PyAny>>,
    pub output_percentile_latency: Option<Bound<'py, PyDict>>,
}

/// A worker. It begins with start() or `with`, and its result is there with close().
#[pyclass(frozen, module = "nvme", name = "_IOWorker")]
pub(crate) struct IoWorker {
    namespace: nvme_spdk::Namespace,
    workload: Workload,
    state: Mutex<State>,
    op_percentage: Option<Py<PyDict>>,
    per_second: Option<Py<PyAny>>,
    percentiles: Option<Py<PyDict>>,
}

enum State {
    New,
    Running(nvme_spdk::IoWorker),
    /// It did not start; close() tells.
    Failed,
    Closed,
}

/// Longer than this a script does not mean; the original counts it as for ever.
const LONGEST: u64 = 1000 * 3600;

/// How often a waiting close() looks.
const LOOK: Duration = Duration::from_millis(1);

impl IoWorker {
    pub(crate) fn new(
        py: Python<'_>,
        namespace: &nvme_spdk::Namespace,
        request: Request<'_>,
    ) -> PyResult<Self> {
        let workload = check(py, namespace, &request)?;
        Ok(IoWorker {
            namespace: namespace.clone(),
            workload,
            state: Mutex::new(State::New),
            op_percentage: request.op_percentage.map(Bound::unbind),
            per_second: request.output_io_per_second.map(Bound::unbind),
            percentiles: request.output_percentile_latency.map(Bound::unbind),
        })
    }
}

/// The checks of the original, in its order and words.
fn check(py: Python<'_>, namespace: &nvme_spdk::Namespace, request: &Request<'_>) -> PyResult<Workload> {
    let most = i64::from(namespace.controller().max_queue_entries());
    ensure((2..=1024).contains(&request.qdepth), "qdepth should be in [2, 1024]")?;
    ensure(request.qdepth <= most, "qdepth is larger than specification")?;
    ensure(request.region.start < request.region.end, "region end is not included")?;
    ensure(request.time <= LONGEST, "worker needs a rest :)")?;
    ensure(request.read_percentage <= 100, "read percentage is less than 100")?;
    ensure(
        request.iops == 0 || i64::from(request.iops) >= request.qdepth,
        "iops must be larger than qdepth",
    )?;
    let operations = match &request.op_percentage {
        Some(shares) => shares
            .iter()
            .map(|(k, v)| Ok((k.extract()?, v.extract()?)))
            .collect::<PyResult<Vec<(u8, u8)>>>()?,
        None => vec![(2, request.read_percentage as u8), (1, 100 - request.read_percentage as u8)],
    };
    let sum: u32 = operations.iter().map(|(_, share)| u32::from(*share)).sum();
    ensure(sum == 100, "op_percentage definition error")?;
    let random: i64 = match &request.random {
        None => 100,
        Some(value) if value.is(pyo3::types::PyBool::new(py, true)) => 100,
        Some(value) if value.is(pyo3::types::PyBool::new(py, false)) => 0,
        Some(value) => {
            value.extract().map_err(|_| PyAssertionError::new_err("lba_random is a percentage, int"))?
        }
    };
    ensure((0..=100).contains(&random), "lba_random is a percentage, 0-100")?;

    let endless = request.time == 0 && request.io_count == 0;
    let mut io_count = request.io_count;
    let mut io_size = request.io_size;
    ensure(io_size > 0, "io_size cannot be 0")?;
    let region_given = request.region.end != u64::MAX;
    if random == 0 && region_given && endless {
        // Fill the region once.
        io_count = (request.region.end - request.region.start).div_ceil(u64::from(io_size));
        tracing::info!("fill region with io count: {io_count}");
    } else {
        ensure(!endless, "when to stop the ioworker?")?;
    }
    let region = request.region.end.min(namespace.blocks()).saturating_sub(request.region.start);
    io_size = io_size.min(u32::try_from(region.max(1)).unwrap_or(u32::MAX));

    let seed: f64 = py.import("random")?.call_method0("random")?.extract()?;
    let mut workload = Workload::new()
        .io_size(io_size)
        .random_percentage(random as u8)
        .operations(operations)
        .queue_depth(request.qdepth as u16)
        .region(request.region.clone())
        .start_at(request.lba_start)
        .seed((seed * f64::from(u32::MAX)) as u64);
    if request.time > 0 {
        workload = workload.time(Duration::from_secs(request.time));
    }
    if io_count > 0 {
        workload = workload.io_count(io_count);
    }
    if request.iops > 0 {
        workload = workload.iops(request.iops);
    }
    Ok(workload)
}

#[pymethods]
impl IoWorker {
    /// Starts the worker; if that fails, close() says so.
    fn start(slf: Bound<'_, Self>) -> PyResult<Bound<'_, Self>> {
        let py = slf.py();
        let this = slf.get();
        ensure(matches!(*this.state.lock(), State::New), "a worker starts once")?;
        let started = py.detach(|| nvme_spdk::IoWorker::start(&this.namespace, &this.workload));
        *this.state.lock() = match started {
            Ok(worker) => State::Running(worker),
            Err(error @ Error::Interrupted { .. }) => return Err(errors::usual(error)),
            Err(error) => {
                tracing::error!("the ioworker does not start: {error}");
                State::Failed
            }
        };
        Ok(slf)
    }

    /// Whether its result is still to come.
    #[getter]
    fn running(&self) -> bool {
        match &*self.state.lock() {
            State::New => true,
            State::Running(worker) => worker.is_running(),
            State::Failed | State::Closed => false,
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

    /// Waits for its end, frees its queue pair and returns the result.
    fn close<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        // In short steps, so that no lock is held while signal handlers run.
        while self.is_busy() {
            py.detach(|| std::thread::sleep(LOOK));
            py.check_signals()?;
        }
        let state = std::mem::replace(&mut *self.state.lock(), State::Closed);
        match state {
            State::New => {
                *self.state.lock() = State::New;
                Err(PyAssertionError::new_err(
                    "the worker was not started: call start() first, or use `with`",
                ))
            }
            State::Closed => {
                Err(PyAssertionError::new_err("the worker was closed before, its result is gone"))
            }
            State::Failed => {
                warn(py, "ioworker host ERROR -1: init fail in pyx")?;
                self.result(py, &Report::empty(), 0)
            }
            State::Running(worker) => {
                let report = py.detach(|| worker.join());
                self.conclude(py, &report)
            }
        }
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
            return self.close(py).map(drop);
        }
        // Ends it at once and frees its queue.
        let state = std::mem::replace(&mut *self.state.lock(), State::Closed);
        py.detach(|| drop(state));
        let error = PyAssertionError::new_err(format!("ioworker exits with exception: {value}"));
        error.set_context(py, Some(PyErr::from_value(value.clone())));
        Err(error)
    }
}

impl IoWorker {
    fn is_busy(&self) -> bool {
        matches!(&*self.state.lock(), State::Running(worker) if worker.is_running())
    }

    fn conclude<'py>(&self, py: Python<'py>, report: &Report) -> PyResult<Bound<'py, PyAny>> {
        let error = match report.failure {
            None | Some(Failure::Stopped) => 0,
            Some(Failure::Status(status)) => {
                let code = u32::from(status.sct) << 8 | u32::from(status.sc);
                warn(py, "ioworker host ERROR -6: io cmd error")?;
                warn(
                    py,
                    &format!("ioworker device respond an ERROR status: {:02x}/{:02x}", status.sct, status.sc),
                )?;
                code
            }
            Some(Failure::Silence) => {
                warn(py, "ioworker host ERROR -3: io timeout")?;
                warn(py, "ioworker device respond an ERROR status: 07/ff")?;
                0x7ff
            }
            Some(Failure::Disconnected) => {
                warn(py, "ioworker host ERROR -7: sudden terminated")?;
                0
            }
        };
        if let Some(dict) = &self.op_percentage {
            let dict = dict.bind(py);
            for (opcode, _) in dict.iter() {
                let count = report.count(opcode.extract()?);
                dict.set_item(opcode, count)?;
            }
        }
        self.result(py, report, error)
    }

    fn result<'py>(&self, py: Python<'py>, report: &Report, error: u32) -> PyResult<Bound<'py, PyAny>> {
        let microseconds = |span: Duration| span.as_micros() as u64;
        let result = py.import("nvme._result")?.getattr("_DotDict")?.call0()?;
        let reads = report.count(2);
        result.set_item("io_count_read", reads)?;
        result.set_item("io_count_nonread", report.ios - reads)?;
        result.set_item("io_count_write", report.count(1))?;
        let milliseconds = report.duration.as_millis() as u64 + u64::from(report.ios > 0);
        result.set_item("mseconds", milliseconds)?;
        result.set_item("latency_max_us", microseconds(report.latency.max()))?;
        result.set_item("latency_average_us", microseconds(report.latency.mean()))?;
        result.set_item("cpu_usage", report.busy)?;
        result.set_item("error", error)?;
        // More than the original tells: for people, not for scripts of its time.
        result.set_item("iops", report.iops())?;
        result.set_item("bytes_per_second", report.bytes_per_second())?;
        let octaves = report
            .latency
            .octaves()
            .into_iter()
            .map(|(bound, count)| (bound.as_nanos() as f64 / 1000.0, count));
        result.set_item("latency_octaves_us", PyList::new(py, octaves.collect::<Vec<_>>())?)?;
        if let Some(list) = &self.per_second {
            let list = list.bind(py).cast::<PyList>()?;
            ensure(list.is_empty(), "output_io_per_second is an empty list")?;
            for count in &report.per_second {
                list.append(count)?;
            }
        }
        if let Some(dict) = &self.percentiles {
            let dict = dict.bind(py);
            for (percentile, _) in dict.iter() {
                let value: f64 = percentile.extract()?;
                ensure(value > 0.0 && value < 100.0, "percentile should be in (0, 100)")?;
                dict.set_item(percentile, microseconds(report.latency.percentile(value)))?;
            }
        }
        Ok(result)
    }
}
