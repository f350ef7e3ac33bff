//! The driver's side of `make bench`: does what one line of JSON on standard input asks for, answers with one
//! line on standard output, and keeps its connection in between.
//!
//! ```text
//! bench_worker 127.0.0.1:4420 2                   namespace 2 of the target there
//! {"do": "fill"}                                  writes every block once
//! {"do": "check"}                                 reads every block once and verifies it
//! {"do": "load", "write": false, "random": true, "blocks": 8, "in_flight": 16, "verify": true, "seconds": 1}
//! ```
//!
//! With `--ordinary-memory` no hugepages are used: then all memory that is in use counts as resident. With
//! `--serve PATH` consoles can watch it.

use std::error::Error;
use std::io::{self, BufRead, Write};
use std::time::{Duration, Instant, SystemTime};

use nvme_spdk::{
    Address, ConnectOptions, Controller, Env, EnvOptions, IoSize, IoWorker, Memory, Namespace, Report,
    Workload, rpc,
};
use serde::Deserialize;
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

#[derive(Deserialize)]
#[serde(tag = "do", rename_all = "lowercase")]
enum Request {
    Fill,
    Check,
    Load(Load),
    Start { times: usize },
    Together { workers: usize, seconds: f64 },
    Memory { workers: usize },
}

#[derive(Deserialize)]
struct Load {
    write: bool,
    random: bool,
    blocks: u32,
    in_flight: u16,
    verify: bool,
    seconds: Option<f64>,
    count: Option<u64>,
}

/// The most blocks that one command of the embedded target transfers: 128 KiB.
const LARGEST: u32 = 256;

fn main() -> Result<()> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Some(at) = arguments.iter().position(|argument| argument == "--ordinary-memory") {
        arguments.remove(at);
        Env::start(EnvOptions::new().memory(Memory::Ordinary { megabytes: 1024 }))?;
    }
    // Served until the end.
    let mut _server = None;
    if let Some(at) = arguments.iter().position(|argument| argument == "--serve") {
        arguments.remove(at);
        _server = Some(rpc::Server::start(arguments.remove(at))?);
    }
    let [address, nsid] = arguments.as_slice() else {
        return Err("usage: bench_worker [--ordinary-memory] [--serve PATH] ADDRESS NSID < requests".into());
    };
    let address: Address = address.parse()?;
    let controller = Controller::connect(&address, ConnectOptions::new())?;
    // Tracked also where nothing is verified: that is how scripts have it.
    let namespace = controller.namespace(nsid.parse()?)?.track(None)?;
    for line in io::stdin().lock().lines() {
        let answer = answer(&namespace, serde_json::from_str(&line?)?)?;
        println!("{answer}");
        io::stdout().flush()?;
    }
    Ok(())
}

fn answer(namespace: &Namespace, request: Request) -> Result<Value> {
    match request {
        Request::Fill => sweep(namespace, 0),
        Request::Check => sweep(namespace, 100),
        Request::Load(load) => run(namespace, &load),
        Request::Start { times } => start_latencies(namespace, times),
        Request::Together { workers, seconds } => together(namespace, workers, seconds),
        Request::Memory { workers } => memory(namespace, workers),
    }
}

/// Every block once.
fn sweep(namespace: &Namespace, read_percentage: u8) -> Result<Value> {
    namespace.verify(true);
    // The last one ends with the namespace.
    let commands = namespace.blocks().div_ceil(u64::from(LARGEST));
    let workload = Workload::new().read_percentage(read_percentage).random_percentage(0).io_size(LARGEST);
    let report = complete(IoWorker::start(namespace, &workload.io_count(commands).queue_depth(17))?.join())?;
    let blocks = report.bytes / u64::from(namespace.lba_size());
    Ok(json!({"blocks": blocks, "verified": report.verified}))
}

fn run(namespace: &Namespace, load: &Load) -> Result<Value> {
    namespace.verify(load.verify);
    let mut workload = Workload::new()
        .read_percentage(if load.write { 0 } else { 100 })
        .random_percentage(if load.random { 100 } else { 0 })
        // As SPDK's perf: at multiples of the size.
        .io_sizes([IoSize::new(load.blocks).align(load.blocks)])
        .queue_depth(load.in_flight + 1)
        .seed(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos() as u64);
    if let Some(seconds) = load.seconds {
        workload = workload.time(Duration::from_secs_f64(seconds));
    }
    if let Some(count) = load.count {
        workload = workload.io_count(count);
    }
    let report = complete(IoWorker::start(namespace, &workload)?.join())?;
    let blocks = report.bytes / u64::from(namespace.lba_size());
    Ok(json!({
        "iops": report.iops(), "ios": report.ios, "blocks": blocks, "verified": report.verified,
        "latency": report.latency,
    }))
}

fn complete(report: Report) -> Result<Report> {
    match report.failure {
        None => Ok(report),
        Some(failure) => Err(format!("a worker ended early: {failure}").into()),
    }
}

/// From the call of `start` to the moment the worker's clock starts and its first command goes out, in
/// milliseconds; up to some microseconds too much, for the end of a worker must be seen first.
fn start_latencies(namespace: &Namespace, times: usize) -> Result<Value> {
    let mut latencies = Vec::with_capacity(times);
    for _ in 0..times {
        let called = Instant::now();
        let worker = IoWorker::start(namespace, &Workload::new().io_count(1))?;
        worker.wait(Duration::from_secs(10))?;
        let all = called.elapsed();
        latencies.push(all.saturating_sub(complete(worker.join())?.duration).as_secs_f64() * 1e3);
    }
    Ok(json!({"ms": latencies}))
}

/// Workers that run at the same time in this process.
fn together(namespace: &Namespace, workers: usize, seconds: f64) -> Result<Value> {
    let workload = Workload::new().queue_depth(17).time(Duration::from_secs_f64(seconds));
    let started: Vec<_> =
        (0..workers).map(|_| IoWorker::start(namespace, &workload)).collect::<nvme_spdk::Result<_>>()?;
    let reports: Vec<Report> =
        started.into_iter().map(|worker| complete(worker.join())).collect::<Result<_>>()?;
    Ok(json!({"ios": reports.iter().map(|report| report.ios).collect::<Vec<_>>()}))
}

/// What each of several workers takes while it runs, in KiB, and how much of that is data buffers.
fn memory(namespace: &Namespace, workers: usize) -> Result<Value> {
    let workload = Workload::new();
    // What only the first one takes.
    complete(IoWorker::start(namespace, &workload.clone().io_count(1000))?.join())?;
    let before = resident_kib()?;
    let running: Vec<_> =
        (0..workers).map(|_| IoWorker::start(namespace, &workload)).collect::<nvme_spdk::Result<_>>()?;
    // Until the command log of every one has gone round.
    while running.iter().any(|worker| worker.completed() < 2 * nvme_spdk::CMDLOG_CAPACITY as u64) {
        if running.iter().any(|worker| !worker.is_running()) {
            return Err("a worker ended early".into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let taken = resident_kib()?.saturating_sub(before) as f64 / workers as f64;
    for worker in running {
        worker.finish();
        complete(worker.join())?;
    }
    // 63 buffers of 4 KiB and a page behind them.
    Ok(json!({"kib": taken, "buffers_kib": 64 * 4}))
}

fn resident_kib() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.split_whitespace().next().unwrap_or_default().parse()?)
}
