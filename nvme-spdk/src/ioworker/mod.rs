//! Workers: load on a namespace from a thread of its own, as fast as SPDK goes.

mod buffers;
mod engine;
mod gate;
mod generator;
mod latency;
mod pace;
mod record;
mod report;
mod sequence;
mod tally;
mod workload;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

pub use generator::Io;
pub use latency::Latency;
pub use record::Record;
pub use report::{Failure, Report};
pub use sequence::Step;
pub use workload::{IoSize, Workload};

use crate::controller::Controller;
use crate::cpu::{self, Core};
use crate::error::{Error, Result};
use crate::fork::forked;
use crate::namespace::Namespace;
use crate::qpair::{Qpair, QpairOptions};
use crate::queue::MOST_PAGES;
use crate::signals;
use crate::transport::Address;
use crate::wait;
use buffers::Buffers;
use engine::{Control, Engine, Place};
use gate::GATE;

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
#[must_use = "it is stopped when it is dropped; its report comes from join()"]
pub struct IoWorker {
    control: Arc<Control>,
    thread: Option<JoinHandle<Report>>,
    started: Instant,
    time: Option<Duration>,
    /// How many commands are sent in all.
    limit: u64,
    // Commands may be in flight when the thread has ended, however it ended: the queue pair is freed before the
    // buffers are.
    qpair: Qpair,
    buffers: Arc<Buffers>,
}

impl IoWorker {
    /// Creates a queue pair and starts the load on it, from a thread with a core of its own if there is one left.
    /// Workers that are started one right after the other begin together.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a workload out of range or a CPU this process may not use,
    /// [`Error::TransferTooLarge`] for commands larger than the controller takes, [`Error::NoMemory`] for the
    /// buffers, [`Error::Unsupported`] if the system has no thread left, and those of
    /// [`Controller::create_qpair_with`](crate::Controller::create_qpair_with).
    pub fn start(namespace: &Namespace, workload: &Workload) -> Result<Self> {
        let starting = GATE.starting();
        workload.check()?;
        namespace.refuse_metadata()?;
        // Once: a format by another handle would have commands that are larger than their buffers.
        let (blocks, lba_size) = namespace.extent();
        let largest = workload.largest(workload.region.end.min(blocks).saturating_sub(workload.region.start));
        let controller = namespace.controller();
        check_size(controller, largest, lba_size)?;
        let place = Place {
            controller: controller.clone(),
            nsid: namespace.nsid(),
            blocks,
            lba_size,
            table: namespace.table(),
        };
        let engine = Engine::new(workload, place, largest)?;
        let buffers = engine.buffers();
        let qpair = controller
            .create_qpair_with(QpairOptions::new(workload.queue_depth).priority(workload.priority))?;
        let control = Arc::new(Control::default());
        let allowed = cpu::allowed().unwrap_or_default();
        let core = match workload.core {
            Some(cpu) => Some(Core::given(cpu, &allowed)?),
            None => Core::claim(),
        };
        let cores = allowed.len().max(1);
        let thread = thread::Builder::new().name(format!("ioworker-{}", qpair.qid())).spawn({
            let (lane, control) = (Arc::clone(qpair.lane()), Arc::clone(&control));
            move || {
                signals::block();
                core.iter().for_each(Core::pin);
                GATE.pass(starting, cores);
                engine.run(&lane, &control)
            }
        });
        let thread = thread.map_err(|e| {
            Error::Unsupported(format!("no thread for a worker ({e}): raise the limit on threads"))
        })?;
        Ok(IoWorker {
            control,
            thread: Some(thread),
            started: Instant::now(),
            time: workload.time,
            limit: workload.limit(),
            qpair,
            buffers,
        })
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

    /// How far it is, 0 to 1: by its time or by its number of commands, whichever ends it first.
    pub fn progress(&self) -> f64 {
        let by_time = self.time.map_or(0.0, |time| self.started.elapsed().as_secs_f64() / time.as_secs_f64());
        let by_count = self.completed() as f64 / self.limit as f64;
        by_time.max(by_count).clamp(0.0, 1.0)
    }

    /// Whether it still sends or waits.
    pub fn is_running(&self) -> bool {
        // The thread did not come along into a fork.
        !forked() && self.thread.as_ref().is_some_and(|thread| !thread.is_finished())
    }

    /// Asks it to end: it sends nothing more and waits for what is in flight. Returns at once.
    pub fn finish(&self) {
        self.control.finish.store(true, Ordering::Relaxed);
    }

    /// Waits for its end and returns what it found.
    ///
    /// This waits for as long as the worker runs, without a bound, and an [interrupt](crate::interrupt) does
    /// not end it. A workload without [`time`](Workload::time), [`io_count`](Workload::io_count) or
    /// [`sequence`](Workload::sequence) runs until [`finish`](Self::finish), or until something
    /// [fails](Report::failure). [`wait`](Self::wait) has a bound.
    ///
    /// # Panics
    /// If the worker has panicked, with the same. Nothing in it does; a subscriber of `tracing` could.
    pub fn join(mut self) -> Report {
        let thread = self.thread.take().expect("only join and drop take it, and both end the worker");
        if forked() {
            std::mem::forget(thread);
            return Report { failure: Some(Failure::Disconnected), ..Report::default() };
        }
        // A worker does not panic; if one does, its panic is not swallowed.
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// Waits for its end, at most `timeout`; the report is then there without waiting.
    ///
    /// # Errors
    /// [`Error::Timeout`] when it still runs, [`Error::Interrupted`].
    pub fn wait(&self, timeout: Duration) -> Result<()> {
        wait::until(|| "the worker".to_owned(), timeout, || Ok((!self.is_running()).then_some(())))
    }
}

/// What does not fit into one command is refused here and not by every single command.
fn check_size(controller: &Controller, blocks: u32, lba_size: u32) -> Result<()> {
    let bytes = u64::from(blocks) * u64::from(lba_size);
    let by_transport = match controller.address() {
        Address::Pcie(_) => MOST_PAGES as u64 * 4096,
        // A command's length is a 32-bit number.
        Address::Tcp { .. } => u64::from(u32::MAX),
    };
    let most = controller.max_transfer().unwrap_or(u64::MAX).min(by_transport);
    if bytes > most { Err(Error::TransferTooLarge { blocks, bytes, most }) } else { Ok(()) }
}

impl Drop for IoWorker {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            if forked() {
                std::mem::forget(thread);
                return;
            }
            // Nobody wants the report: end at once, with commands in flight.
            self.qpair.lane().ask_to_stop();
            let _ = thread.join();
        }
        if let Err(why) = self.qpair.delete() {
            tracing::error!("{why}");
        }
        let lane = self.qpair.lane();
        if !lane.is_freed() || lane.is_in_doubt() {
            // The device may still use them: a leak is the lesser evil.
            std::mem::forget(Arc::clone(&self.buffers));
        }
    }
}

impl fmt::Debug for IoWorker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "IoWorker(queue {}, {} completed)", self.qid(), self.completed())
    }
}
