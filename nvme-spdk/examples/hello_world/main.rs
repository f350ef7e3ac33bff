//! Writes a string to a namespace, reads it back and prints it: the smallest program that does I/O.
//!
//! ```text
//! cargo run --release --example hello_world                                # on an embedded target
//! cargo run --release --example hello_world -- -r 0000:01:00.0 --lba 100   # overwrites block 100
//! ```

#[path = "../common/connect.rs"]
mod connect;
#[path = "../common/end.rs"]
mod end;

use std::process::ExitCode;

use clap::Parser;
use nvme_spdk::{DmaBuf, TransportId};

use connect::{Place, Where};
use end::Result;

/// Write a string to every namespace and read it back
///
/// One block of each namespace is overwritten.
#[derive(Debug, Parser)]
#[command(version, max_term_width = 110)]
struct Arguments {
    /// The string; cut at the size of a block
    #[arg(default_value = "Hello world!")]
    text: String,

    /// The block that is overwritten
    #[arg(long, default_value_t = 0)]
    lba: u64,

    #[command(flatten)]
    place: Where,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    end::run(|| {
        let place = arguments.place.prepare()?;
        for id in &place.ids {
            greet(&place, id, arguments.text.as_bytes(), arguments.lba)?;
        }
        Ok(ExitCode::SUCCESS)
    })
}

fn greet(place: &Place, id: &TransportId, text: &[u8], lba: u64) -> Result<()> {
    let controller = place.connect(id)?;
    let identify = controller.identify();
    let (model, serial) = (identify.model_number(), identify.serial_number());
    end::print(&format!("{}: {model} ({serial})\n", connect::name(&controller)))?;
    for namespace in connect::namespaces(&controller, id)? {
        // Whatever the block size is, a buffer of one block holds it.
        let size = namespace.lba_size() as usize;
        let (ours, read) = (DmaBuf::new(size)?, DmaBuf::new(size)?);
        let text = &text[..text.len().min(size)];
        ours.write(0, text);

        let qpair = controller.create_qpair(2)?;
        namespace.write(&qpair, &ours, lba, 1)?;
        namespace.read(&qpair, &read, lba, 1)?;

        let back = read.to_vec(0..text.len());
        let gigabytes = (namespace.blocks() as f64 * size as f64) / 1e9;
        let (nsid, told) = (namespace.nsid(), String::from_utf8_lossy(&back));
        end::print(&format!("  namespace {nsid}, {gigabytes:.3} GB: {told}\n"))?;
        if back != text {
            return Err(format!("block {lba} of namespace {nsid} is not what was written").into());
        }
    }
    Ok(())
}
