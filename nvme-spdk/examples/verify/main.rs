//! Writes a region of a namespace, reads it back and checks every byte.
//!
//! ```text
//! cargo run --release --example verify -- -r 192.168.1.7                    # the whole namespace
//! cargo run --release --example verify -- -r 0000:01:00.0 --lba 4096 --blocks 1000000 -o 131072 -q 32
//! cargo run --release --example verify -- -r 0000:01:00.0 --seed 7 --only write
//! ... power cycle, move the disk, whatever is to be survived ...
//! cargo run --release --example verify -- -r 0000:01:00.0 --seed 7 --only check
//! ```
//!
//! What a block holds follows from the seed and its address, so nothing has to be remembered between writing and
//! checking. Exit status: 0 all right, 1 blocks are wrong, 2 the command line is, 3 it could not be done, 130 Ctrl-C.

#[path = "../common/connect.rs"]
mod connect;
#[path = "../common/end.rs"]
mod end;

mod content;
mod mismatch;
mod sweep;

use std::process::ExitCode;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use clap::{Parser, ValueEnum};
use nvme_spdk::{Command, Namespace};

use connect::Where;
use content::{Content, Pattern};
use end::Result;
use mismatch::Mismatches;
use sweep::{Order, Sweep};

/// Write a region of every namespace, read it back and check every byte
///
/// What was in the region is overwritten.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110)]
struct Arguments {
    /// The first block of the region
    #[arg(long, default_value_t = 0)]
    lba: u64,

    /// How many blocks; by default all that follow
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    blocks: Option<u64>,

    /// Bytes per command
    #[arg(short = 'o', long = "io-size", value_name = "BYTES", default_value_t = 65536)]
    size: u32,

    /// Commands in flight
    #[arg(short = 'q', long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=1023))]
    depth: u16,

    /// What is written: random bytes, the address of the block (lba), zeros, ones, or a dword as 0xdeadbeef. With
    /// the first two a block that is in the wrong place is found as well
    #[arg(long, default_value = "random")]
    pattern: Pattern,

    /// The seed of what is written; a new one for each run without it
    #[arg(long, required_if_eq("only", "check"))]
    seed: Option<u64>,

    /// Only one half of the work, the other one with the same seed and pattern another time
    #[arg(long)]
    only: Option<Phase>,

    /// In random order instead of from the beginning to the end
    #[arg(long)]
    random: bool,

    /// How many wrong blocks are shown
    #[arg(long, value_name = "COUNT", default_value_t = 5)]
    show: usize,

    #[command(flatten)]
    place: Where,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Phase {
    Write,
    Check,
}

/// There are wrong blocks.
const WRONG: u8 = 1;

fn main() -> ExitCode {
    let mut arguments = Arguments::parse();
    end::run(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let seed = *arguments.seed.get_or_insert(now.as_micros() as u64);
        end::print(&format!("seed {seed}\n"))?;
        let place = std::mem::take(&mut arguments.place).prepare()?;
        let mut wrong = 0;
        for id in &place.ids {
            let controller = place.connect(id)?;
            for namespace in connect::namespaces(&controller, id)? {
                wrong += verify(&namespace, &arguments, seed)?;
            }
        }
        Ok(if wrong == 0 { ExitCode::SUCCESS } else { ExitCode::from(WRONG) })
    })
}

/// Returns how many blocks are wrong.
fn verify(namespace: &Namespace, arguments: &Arguments, seed: u64) -> Result<u64> {
    let name = format!("{} NSID {}", connect::name(namespace.controller()), namespace.nsid());
    let all = namespace.blocks();
    let end = arguments.blocks.map_or(Some(all), |count| arguments.lba.checked_add(count));
    let region = match end {
        Some(end) if end <= all && arguments.lba < end => arguments.lba..end,
        _ => {
            let last = all.saturating_sub(1);
            return Err(
                format!("the region begins or ends outside of {name}, which has blocks 0 to {last}").into()
            );
        }
    };
    let block = namespace.lba_size();
    if arguments.size == 0 || !arguments.size.is_multiple_of(block) {
        return Err(
            format!("-o {} is no multiple of the blocks of {name}, {block} bytes", arguments.size).into()
        );
    }
    let most = namespace.controller().max_transfer().unwrap_or(u64::MAX);
    if u64::from(arguments.size) > most {
        return Err(format!(
            "-o {} is more than {name} transfers at a time, {most} bytes (MDTS)",
            arguments.size
        )
        .into());
    }
    let content = Content::new(arguments.pattern, seed, block);
    let order = Order::new(region.clone(), arguments.size / block, arguments.random.then_some(seed));
    let sweep = Sweep::new(namespace, order, arguments.depth, arguments.size)?;

    let done = |what: &str, started: Instant| {
        let megabytes = (region.end - region.start) as f64 * f64::from(block) / 1e6;
        let seconds = started.elapsed().as_secs_f64();
        let blocks = region.end - region.start;
        end::print(&format!("{name}: {what} {blocks} blocks, {:.0} MB/s\n", megabytes / seconds))
    };
    if arguments.only != Some(Phase::Check) {
        let started = Instant::now();
        sweep.write(&content)?;
        // Where there is a volatile write cache, the medium is what is meant.
        sweep.qpair().execute(&Command::flush(namespace.nsid()), None)?;
        done("wrote", started)?;
    }
    if arguments.only == Some(Phase::Write) {
        return Ok(0);
    }
    let started = Instant::now();
    let mut mismatches = Mismatches::new(arguments.show);
    sweep.check(&content, &mut mismatches)?;
    done("checked", started)?;
    if mismatches.count() == 0 {
        end::print(&format!("{name}: every byte is right\n"))?;
    } else {
        end::print(&mismatches.text(&name))?;
    }
    Ok(mismatches.count())
}
