//! Workers: load on a namespace from a thread of its own, as fast as SPDK goes.

mod engine;
mod report;
mod tally;
mod workload;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};

pub use report::{Failure, Latency, Report};
pub use workload::Workload;

use crate::error::{Error, Result};
use crate::namespace::Namespace;
use crate::qpair::Qpair;
use crate::wait;
use engine::{Buffers, Control, Engine, Place};

/// A running worker. It has a queue pair of its own and keeps it until it is joined or dropped.
///
/// ```no_run
/// # use std::time::Duration;
/// # use nvme_spdk::{ConnectOptions, Controller, IoWorker, Workload};
/// # let controller = Controller::connect(&"127.0.0.1".parse()?, ConnectOptions::new())?;
/// let namespace = controller.namespace(1)?;
/// let workload = Workload::new().read_percentage(70).time(Duration::from_secs(10));
/// let worker = IoWorker::start(&namespace, &workload)?;
/// println!("{} so far", worker.completed());
/// let report = worker.join();
/// println!("{:.0} IOPS, 99.9 % within {:?}", report.iops(), report.latency.percentile(99.9));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct IoWorker {
    control: Arc<Control>,
    thread: Option<JoinHandle<Report>>,
    // Commands may be in flight when the thread has ended, however it ended: the queue pair is dropped before
    // the buffers.
    qpair: Qpair,
    _buffers: Arc<Buffers>,
}

impl IoWorker {
    /// Creates a queue pair and starts the load on it.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a workload out of range, [`Error::NoMemory`] for its buffers, and those of
    /// [`Controller::create_qpair`](crate::Controller::create_qpair).
    pub fn start(namespace: &Namespace, workload: &Workload) -> Result<Self> {
        workload.check()?;
        check_size(namespace, workload)?;
        let place = Place {
            nsid: namespace.nsid(),
            blocks: namespace.blocks(),
            lba_size: namespace.lba_size(),
            table: namespace.table(),
        };
        let engine = Engine::new(workload, place)?;
        let buffers = engine.buffers();
        let qpair = namespace.controller().create_qpair(workload.queue_depth)?;
        let control = Arc::new(Control::default());
        let thread = thread::Builder::new().name(format!("ioworker-{}", qpair.qid())).spawn({
            let (lane, control) = (Arc::clone(qpair.lane()), Arc::clone(&control));
            move || engine.run(&lane, &control)
        });
        let thread = thread.map_err(|e| {
            Error::Unsupported(format!("no thread for a worker ({e}): raise the limit on threads"))
        })?;
        Ok(IoWorker { control, thread: Some(thread), qpair, _buffers: buffers })
    }

    /// The identifier of its queue pair.
    pub fn qid(&self) -> u16 {
        self.qpair.qid()
    }

    /// The log of its commands.
    pub fn cmdlog(&self) -> &Arc<crate::CmdLog> {
        self.qpair.cmdlog()
    }

    /// Commands completed so far.
    pub fn completed(&self) -> u64 {
        self.control.completed.load(Ordering::Relaxed)
    }

    /// Bytes transferred so far.
    pub fn transferred(&self) -> u64 {
        self.control.bytes.load(Ordering::Relaxed)
    }

    /// Whether it still sends or waits.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Asks it to end: it sends nothing more and waits for what is in flight.
    pub fn finish(&self) {
        self.control.finish.store(true, Ordering::Relaxed);
    }

    /// Waits for its end and returns what it found.
    pub fn join(mut self) -> Report {
        let thread = self.thread.take().expect("only join and drop take it, and both end the worker");
        // A worker does not panic; if one does, its panic is not swallowed.
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Waits for its end, at most `timeout`; the report is then there without waiting.
    ///
    /// # Errors
    /// [`Error::Timeout`] when it still runs, [`Error::Interrupted`].
    pub fn wait(&self, timeout: std::time::Duration) -> Result<()> {
        wait::until(|| "the worker".to_owned(), timeout, || Ok((!self.is_running()).then_some(())))
    }
}

/// What does not fit into one command is refused here and not by every single command.
fn check_size(namespace: &Namespace, workload: &Workload) -> Result<()> {
    let bytes = u64::from(workload.io_size) * u64::from(namespace.lba_size());
    match namespace.controller().max_transfer() {
        Some(most) if bytes > most => Err(Error::InvalidArgument(format!(
            "io_size of {} blocks is {bytes} bytes, the controller transfers at most {most} at a time (MDTS)",
            workload.io_size
        ))),
        _ => Ok(()),
    }
}

impl Drop for IoWorker {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            // Nobody wants the report: end at once, with commands in flight.
            self.qpair.lane().ask_to_stop();
            let _ = thread.join();
        }
    }
}

impl fmt::Debug for IoWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IoWorker(queue {}, {} completed)", self.qid(), self.completed())
    }
}
