//! What the queues of a running process do, live: controllers and queues, commands in flight, IOPS and MB/s.
//!
//! ```text
//! cargo run --release --example top                  # of the process that serves at the usual path
//! cargo run --release --example top -- --once        # one look, for scripts
//! cargo run --release --example top -- --socket /run/disk.sock --interval 5
//! ```
//!
//! It asks the process over JSON-RPC ([`nvme_spdk::rpc`]), which costs its queues nothing. Python scripts serve by
//! themselves, Rust programs with `nvme_spdk::rpc::Server`, the tool perf with `--serve`.

#[path = "../common/end.rs"]
mod end;

mod counts;
mod socket;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use nvme_spdk::rpc;

use counts::{Counts, Rates};
use end::Result;
use socket::Socket;

/// Show what the queues of a running process do
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110)]
struct Arguments {
    /// Where the process serves JSON-RPC; by default what NVME_RPC_SOCKET names, or /var/tmp/pynvme.sock
    #[arg(short, long, value_name = "PATH")]
    socket: Option<PathBuf>,

    /// Between two looks
    #[arg(short, long, value_name = "SECONDS", default_value = "1", value_parser = interval)]
    interval: Duration,

    /// One interval is enough
    #[arg(long)]
    once: bool,

    /// One JSON object per interval
    #[arg(long)]
    json: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.05..=3600.0).contains(seconds));
    seconds.map(Duration::from_secs_f64).ok_or_else(|| "a number of seconds from 0.05 to 3600".to_owned())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    end::run(|| watch(&arguments))
}

fn watch(arguments: &Arguments) -> Result<ExitCode> {
    let path = arguments.socket.clone().or_else(rpc::default_path);
    let path = path.ok_or("NVME_RPC_SOCKET is empty: say with --socket where the process serves")?;
    let mut socket = Socket::connect(&path)?;
    let mut before: Counts = socket.call("nvme_queues")?;
    let clear = !arguments.once && !arguments.json && std::io::stdout().is_terminal();
    while pause(arguments.interval) {
        let now: Counts = socket.call("nvme_queues")?;
        let rates = Rates::between(&before, now.clone());
        let text = match arguments.json {
            true => format!("{}\n", serde_json::to_string(&rates)?),
            false => rates.text(&path),
        };
        // The whole screen anew: queues come and go.
        end::print(&if clear { format!("\x1b[H\x1b[2J{text}") } else { text })?;
        if arguments.once {
            break;
        }
        before = now;
    }
    Ok(ExitCode::SUCCESS)
}

/// Waits; false if Ctrl-C ended it.
fn pause(interval: Duration) -> bool {
    const SLICE: Duration = Duration::from_millis(50);
    let start = Instant::now();
    while start.elapsed() < interval && !end::asked() {
        std::thread::sleep(SLICE.min(interval.saturating_sub(start.elapsed())));
    }
    !end::asked()
}
