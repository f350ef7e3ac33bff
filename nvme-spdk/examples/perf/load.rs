//! The load: workers on namespaces, and what they measured.

use std::io::{IsTerminal, Write};
use std::thread;
use std::time::{Duration, Instant};

use nvme_spdk::{Failure, IoSize, IoWorker, Latency, Namespace, Report, Workload};

use crate::connect;
use crate::end::{self, Result};

#[derive(Debug)]
pub struct Load {
    pub depth: u16,
    pub queues: u16,
    pub size: u32,
    pub reads: u8,
    pub random: bool,
    pub seed: u64,
}

/// A namespace on a core.
pub struct Seat {
    namespace: Namespace,
    core: usize,
    name: String,
}

/// What was measured on a seat, all of its queues together.
pub struct Row {
    pub name: String,
    pub core: usize,
    pub iops: f64,
    pub bytes_per_second: f64,
    pub ios: u64,
    pub latency: Latency,
    pub failure: Option<Failure>,
}

impl Seat {
    pub fn new(namespace: &Namespace, core: usize) -> Self {
        let name = format!("{} NSID {}", connect::name(namespace.controller()), namespace.nsid());
        Seat { namespace: namespace.clone(), core, name }
    }
}

/// A queue pair of a worker has at most so many entries, of which one stays free.
const MOST_IN_FLIGHT: u16 = 1023;

impl Load {
    pub fn check(&self) -> Result<()> {
        if self.depth < self.queues {
            return Err(format!(
                "-q {} is not enough for -P {} queues: each has at least one command",
                self.depth, self.queues
            )
            .into());
        }
        let each = self.depth.div_ceil(self.queues);
        if each > MOST_IN_FLIGHT {
            let queues = self.depth.div_ceil(MOST_IN_FLIGHT);
            return Err(
                format!("a queue has at most {MOST_IN_FLIGHT} commands in flight: add -P {queues}").into()
            );
        }
        Ok(())
    }

    /// Whether a namespace can take it.
    pub fn fits(&self, namespace: &Namespace) -> Result<()> {
        let (size, block) = (u64::from(self.size), u64::from(namespace.lba_size()));
        if !size.is_multiple_of(block) {
            return Err(format!("-o {size} is no multiple of its blocks of {block} bytes").into());
        }
        if namespace.blocks() < size / block {
            return Err(format!("-o {size} is more than it has").into());
        }
        let most = namespace.controller().max_queue_entries().saturating_sub(1);
        let each = u32::from(self.depth.div_ceil(self.queues));
        if each > most {
            let queues = u32::from(self.depth).div_ceil(most.max(1));
            return Err(format!(
                "a queue of its controller has at most {most} commands in flight: add -P {queues}"
            )
            .into());
        }
        Ok(())
    }

    /// Runs it on all seats at once. Ctrl-C ends it early, with what was measured until then.
    pub fn run(&self, seats: &[Seat], time: Duration) -> Result<Vec<Row>> {
        let mut running: Vec<(&Seat, Vec<IoWorker>)> = Vec::new();
        for seat in seats {
            let workers: nvme_spdk::Result<Vec<_>> = (0..self.queues)
                .map(|queue| IoWorker::start(&seat.namespace, &self.workload(seat, queue, time)))
                .collect();
            running.push((seat, workers?));
        }
        watch(&running);
        Ok(running.into_iter().map(|(seat, workers)| row(seat, workers)).collect())
    }

    fn workload(&self, seat: &Seat, queue: u16, time: Duration) -> Workload {
        let blocks = self.size / seat.namespace.lba_size();
        // What does not fill a command at the end is left out, so that all are of one size.
        let end = seat.namespace.blocks() / u64::from(blocks) * u64::from(blocks);
        // The depth is shared: the first ones take what does not divide.
        let depth = self.depth / self.queues + u16::from(queue < self.depth % self.queues);
        Workload::new()
            .io_sizes([IoSize::new(blocks).align(blocks)])
            .region(0..end)
            .read_percentage(self.reads)
            .random_percentage(if self.random { 100 } else { 0 })
            .queue_depth(depth + 1)
            .core(seat.core)
            .seed(self.seed.wrapping_add((seat.core as u64) << 32 | u64::from(queue)))
            .time(time)
    }
}

/// Waits for the end, and says meanwhile how it goes.
fn watch(running: &[(&Seat, Vec<IoWorker>)]) {
    // The cores belong to the workers.
    const PAUSE: Duration = Duration::from_millis(20);
    const SECOND: Duration = Duration::from_secs(1);
    let workers = || running.iter().flat_map(|(_, workers)| workers);
    let count =
        || workers().fold((0, 0), |(ios, bytes), one| (ios + one.completed(), bytes + one.transferred()));
    let terminal = std::io::stderr().is_terminal();
    let (mut told, mut before) = (Instant::now(), (0, 0));
    while workers().any(IoWorker::is_running) {
        if end::asked() {
            workers().for_each(IoWorker::finish);
        }
        if terminal && told.elapsed() >= SECOND {
            let (now, span) = (count(), told.elapsed().as_secs_f64());
            let iops = (now.0 - before.0) as f64 / span;
            let mib = (now.1 - before.1) as f64 / span / f64::from(1 << 20);
            eprint!("{iops:9.0} IOPS, {mib:8.2} MiB/s\r");
            let _ = std::io::stderr().flush();
            (told, before) = (Instant::now(), now);
        }
        thread::sleep(PAUSE);
    }
    if terminal {
        eprint!("\x1b[K");
    }
}

fn row(seat: &Seat, workers: Vec<IoWorker>) -> Row {
    let reports: Vec<Report> = workers.into_iter().map(IoWorker::join).collect();
    let mut latency = Latency::default();
    reports.iter().for_each(|report| latency.merge(&report.latency));
    Row {
        name: seat.name.clone(),
        core: seat.core,
        iops: reports.iter().map(Report::iops).sum(),
        bytes_per_second: reports.iter().map(Report::bytes_per_second).sum(),
        ios: reports.iter().map(|report| report.ios).sum(),
        failure: reports.iter().find_map(|report| report.failure),
        latency,
    }
}
