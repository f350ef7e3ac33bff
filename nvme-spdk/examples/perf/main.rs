//! Puts a load on namespaces and says how fast they are, with the options and the table of SPDK's perf.
//!
//! ```text
//! cargo run --release --example perf -- -q 16 -o 4096 -w randread -t 5 -r 192.168.1.7
//! cargo run --release --example perf -- -q 32 -o 131072 -w rw -M 70 -t 60 -a 10 -c 0xc -L \
//!     -r 'trtype:PCIe traddr:0000:01:00.0' -r 'trtype:PCIe traddr:0000:02:00.0'
//! ```
//!
//! Every core takes every namespace that is its turn, as SPDK's does: with more cores than namespaces several cores
//! are at one namespace, with fewer one core has several. What is different: each queue is a worker with a thread of
//! its own, so that queues that share a core take turns there. For latencies give each one a core of its own.

#[path = "../common/connect.rs"]
mod connect;
#[path = "../common/end.rs"]
mod end;

mod cores;
mod load;
mod table;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{ArgAction, Parser, ValueEnum};
use nvme_spdk::rpc;

use connect::Where;
use cores::Cores;
use end::Result;
use load::{Load, Seat};

/// Measure the performance of namespaces, with the options of SPDK's perf
///
/// Patterns that write overwrite what is on the namespaces.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110)]
struct Arguments {
    /// Commands in flight per namespace and core
    #[arg(short = 'q', long = "depth", value_name = "DEPTH", value_parser = clap::value_parser!(u16).range(1..))]
    depth: u16,

    /// Bytes per command
    #[arg(short = 'o', long = "io-size", value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..))]
    size: u32,

    /// Pattern
    #[arg(short = 'w', long = "pattern")]
    pattern: Pattern,

    /// The share of reads, in percent; for rw and randrw
    #[arg(short = 'M', long = "rwmix", value_name = "PERCENT", value_parser = clap::value_parser!(u8).range(..=100),
          required_if_eq_any([("pattern", "rw"), ("pattern", "randrw")]))]
    reads: Option<u8>,

    /// How long
    #[arg(short = 't', long = "time", value_name = "SECONDS", value_parser = seconds)]
    time: Duration,

    /// The same load before that, not counted
    #[arg(short = 'a', long = "warmup", value_name = "SECONDS", value_parser = seconds)]
    warmup: Option<Duration>,

    /// CPUs: a mask as 0x6, or a list as [1,2] or [1-2]; the last one this process may use by default
    #[arg(short = 'c', long = "cores", value_name = "MASK|LIST")]
    cores: Option<Cores>,

    /// I/O queues per namespace and core, which share the depth
    #[arg(short = 'P', long = "queues", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..))]
    queues: u16,

    /// I/O queues per controller that are created and not used
    #[arg(short = 'U', long, value_name = "QUEUES", default_value_t = 0)]
    unused: u16,

    /// Latencies: -L for a summary, -LL for a histogram as well
    #[arg(short = 'L', long = "latency", action = ArgAction::Count)]
    latency: u8,

    /// The same seed gives the same commands
    #[arg(short = 'S', long)]
    seed: Option<u64>,

    /// Let consoles look, the tool top among them; at the usual path without one
    #[arg(long, value_name = "PATH", num_args = 0..=1, require_equals = true)]
    serve: Option<Option<PathBuf>>,

    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Pattern {
    Read,
    Write,
    Rw,
    Randread,
    Randwrite,
    Randrw,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.0..=1e9).contains(seconds) && *seconds > 0.0);
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "a number of seconds above 0".to_owned())
}

impl Pattern {
    fn is_random(self) -> bool {
        matches!(self, Pattern::Randread | Pattern::Randwrite | Pattern::Randrw)
    }

    /// The share of reads, for patterns that leave no choice.
    fn reads(self) -> Option<u8> {
        match self {
            Pattern::Read | Pattern::Randread => Some(100),
            Pattern::Write | Pattern::Randwrite => Some(0),
            Pattern::Rw | Pattern::Randrw => None,
        }
    }
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    end::run(|| measure(arguments))
}

fn measure(arguments: Arguments) -> Result<ExitCode> {
    let reads = match (arguments.pattern.reads(), arguments.reads) {
        (Some(_), Some(_)) => {
            return Err("-M is for -w rw and randrw; the other patterns say it by themselves".into());
        }
        (fixed, given) => fixed.or(given).unwrap_or(50),
    };
    let load = Load {
        depth: arguments.depth,
        queues: arguments.queues,
        size: arguments.size,
        reads,
        random: arguments.pattern.is_random(),
        seed: arguments.seed.unwrap_or_else(|| u64::from(std::process::id())),
    };
    load.check()?;
    let cores = arguments.cores.map_or_else(Cores::last, Ok)?;
    let _server = match arguments.serve {
        Some(path) => {
            Some(rpc::Server::start(path.or_else(rpc::default_path).ok_or("there is no usual path")?)?)
        }
        None => None,
    };

    let place = arguments.place.prepare()?;
    let (mut namespaces, mut unused) = (Vec::new(), Vec::new());
    for id in &place.ids {
        let controller = place.connect(id)?;
        for namespace in connect::namespaces(&controller, id)? {
            match load.fits(&namespace) {
                Ok(()) => namespaces.push(namespace),
                Err(why) => eprintln!(
                    "skipped: namespace {} of {}: {why}",
                    namespace.nsid(),
                    connect::name(&controller)
                ),
            }
        }
        for _ in 0..arguments.unused {
            unused.push(controller.create_qpair(2)?);
        }
    }
    if namespaces.is_empty() {
        return Err("no namespace is left that could take this load".into());
    }
    // Both go round until every namespace and every core is there once.
    let seats: Vec<Seat> = (0..namespaces.len().max(cores.0.len()))
        .map(|turn| Seat::new(&namespaces[turn % namespaces.len()], cores.0[turn % cores.0.len()]))
        .collect();

    if let Some(time) = arguments.warmup {
        load.run(&seats, time)?;
    }
    let measured = if end::asked() { Vec::new() } else { load.run(&seats, arguments.time)? };
    end::print(&table::text(&measured, arguments.latency))?;
    let failed = measured.iter().filter_map(|row| row.failure.as_ref().map(|why| (&row.name, why)));
    let mut code = ExitCode::SUCCESS;
    for (name, why) in failed {
        eprintln!("error: {name} ended early: {why}");
        code = ExitCode::from(end::FAILED);
    }
    Ok(code)
}
