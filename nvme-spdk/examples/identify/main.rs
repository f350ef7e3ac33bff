//! Everything controllers and their namespaces say about themselves: registers, Identify, features and log pages.
//!
//! ```text
//! cargo run --release --example identify -- -r 0000:01:00.0
//! cargo run --release --example identify -- -r 192.168.1.7 --json | jq '.controllers[].namespaces'
//! cargo run --release --example identify -- -r 192.168.1.7 --log 0xc0:512 --hex
//! ```
//!
//! Nothing is changed: asynchronous events are retained, and no telemetry is created. A controller that does not list
//! the features it has is asked for each of them; what it refuses may count in its error log.

#[path = "../common/connect.rs"]
mod connect;
#[path = "../common/end.rs"]
mod end;

mod ask;
mod features;
mod logs;
mod report;

use std::process::ExitCode;

use clap::Parser;
use nvme_spdk::{Address, DISCOVERY_NQN, SubsystemKind, TransportId, discover};

use connect::{Place, Where};
use end::Result;
use logs::Extra;
use report::ControllerReport;

/// Show everything that controllers and their namespaces say about themselves
///
/// A TCP address without a subsystem (subnqn) means the discovery controller there and every I/O subsystem it lists.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110)]
struct Arguments {
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,

    /// The bytes as well
    #[arg(short = 'x', long, conflicts_with = "json")]
    hex: bool,

    /// One more log page, as 0xc0 or, if it has not 512 bytes, 0xc0:4096. Can be given several times
    #[arg(short, long, value_name = "LID[:BYTES]")]
    log: Vec<Extra>,

    #[command(flatten)]
    place: Where,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    end::run(|| {
        let place = arguments.place.prepare()?;
        let (mut reports, mut code) = (Vec::new(), ExitCode::SUCCESS);
        for id in place.ids.iter().map(|id| expand(&place, id)).collect::<Result<Vec<_>>>()?.concat() {
            // One that does not answer does not hide the others.
            match ControllerReport::gather(&place.connect(&id)?, &id, &arguments.log) {
                Ok(report) if arguments.json => reports.push(report),
                Ok(report) => end::print(&report.text(arguments.hex))?,
                Err(why) if place.ids.len() == 1 || end::asked() => return Err(why),
                Err(why) => {
                    eprintln!("error: {id}: {why}");
                    code = ExitCode::from(end::FAILED);
                }
            }
        }
        if arguments.json {
            let all = serde_json::json!({ "spdk": nvme_spdk::spdk_version(), "controllers": reports });
            end::print(&format!("{all:#}\n"))?;
        }
        Ok(code)
    })
}

/// Transport Type (TRTYPE) of a discovery entry.
const TCP: u8 = 3;

/// What stands behind an address: itself, or the discovery controller and what that lists.
fn expand(place: &Place, id: &TransportId) -> Result<Vec<TransportId>> {
    if !id.address.is_tcp() || id.subnqn.is_some() {
        return Ok(vec![id.clone()]);
    }
    let with = |address: Address, nqn: &str| {
        let mut id = id.clone();
        id.address = address;
        id.subnqn = Some(nqn.to_owned());
        id
    };
    let mut found = vec![with(id.address.clone(), DISCOVERY_NQN)];
    for entry in discover(&id.address, &id.options(place.options.clone()))? {
        if entry.kind != SubsystemKind::Nvme {
            continue;
        }
        // A target that listens everywhere is where it was found, and other transports are not for us.
        let here = entry.address.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_unspecified());
        match entry.service.parse() {
            Ok(_) if here => found.push(with(id.address.clone(), &entry.subnqn)),
            Ok(port) if entry.transport == TCP => {
                found.push(with(Address::tcp(entry.address, port), &entry.subnqn))
            }
            _ => eprintln!("skipped: {} is listed for another transport than TCP", entry.subnqn),
        }
    }
    Ok(found)
}
