//! The process's JSON-RPC server: it starts with the first call into the module that does something, and ends with
//! the interpreter.

use std::sync::atomic::{AtomicBool, Ordering};

use nvme_spdk::rpc::{self, Server};
use parking_lot::Mutex;
use pyo3::prelude::*;

static ASKED: AtomicBool = AtomicBool::new(false);
static SERVER: Mutex<Option<Server>> = Mutex::new(None);

/// Starts the server unless that was tried before. Where another process serves already, this one does so beside
/// it; one warning says so, or that it cannot serve at all, and everything else works.
#[pyfunction]
pub(crate) fn serve() -> PyResult<()> {
    if ASKED.load(Ordering::Relaxed) || ASKED.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let Some(path) = rpc::default_path() else { return Ok(()) };
    let server = match Server::start(&path) {
        Ok(server) => server,
        // Editors know only the one path; our console finds this process beside it, unless it shares another's
        // environment: then nobody would look there.
        Err(why) => match Server::start_beside(&path) {
            Ok(server) => {
                tracing::warn!("{why}; until then this process serves at {}", server.path().display());
                server
            }
            Err(_) => {
                tracing::warn!("{why}");
                return Ok(());
            }
        },
    };
    *SERVER.lock() = Some(server);
    Python::attach(|py| {
        let end = wrap_pyfunction!(end, py)?;
        py.import("atexit")?.call_method1("register", (end,))?;
        Ok(())
    })
}

/// Ends the server; in a fork it is the parent's and goes on.
#[pyfunction]
fn end() {
    let server = SERVER.lock().take();
    drop(server);
}
