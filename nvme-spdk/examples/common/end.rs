//! How the tools end: by themselves, by Ctrl-C, or with an error.

use std::error::Error;
use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};

pub type Result<T, E = Box<dyn Error>> = std::result::Result<T, E>;

/// Could not do what was asked; 2 is for a command line that cannot be understood.
#[allow(dead_code, reason = "some tools have nothing to go on with")]
pub const FAILED: u8 = 3;
/// What a shell says of a program that Ctrl-C has ended.
const INTERRUPTED: u8 = 130;

static ASKED: AtomicBool = AtomicBool::new(false);

/// Whether Ctrl-C was pressed, or the program asked to end.
pub fn asked() -> bool {
    ASKED.load(Ordering::Relaxed)
}

/// Runs a tool: Ctrl-C ends every wait of the crate, and the second one the process; errors are printed.
pub fn run(tool: impl FnOnce() -> Result<ExitCode>) -> ExitCode {
    for signal in [SIGINT, SIGTERM] {
        let pressed = || {
            if ASKED.swap(true, Ordering::Relaxed) {
                signal_hook::low_level::exit(INTERRUPTED.into());
            }
        };
        // SAFETY: a signal handler may set an atomic, and end the process without what is done at its end.
        if let Err(why) = unsafe { signal_hook::low_level::register(signal, pressed) } {
            eprintln!("Ctrl-C will not end this cleanly: {why}");
        }
    }
    nvme_spdk::interrupt::set_check(asked);
    match tool() {
        Ok(_) if asked() => ExitCode::from(INTERRUPTED),
        Ok(code) => code,
        Err(_) if asked() => ExitCode::from(INTERRUPTED),
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::from(FAILED)
        }
    }
}

/// Prints; a reader that has enough, as `head`, is no error.
pub fn print(text: &str) -> Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(why) if why.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}
