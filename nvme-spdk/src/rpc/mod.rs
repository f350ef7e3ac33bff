//! A JSON-RPC server on a Unix socket: consoles and editors see the queues of this process and what goes on in
//! them, without disturbing it.
//!
//! ```no_run
//! use nvme_spdk::rpc;
//!
//! let server = rpc::Server::start(rpc::default_path().expect("not switched off"))?;
//! println!("listening at {}", server.path().display());
//! # Ok::<(), nvme_spdk::Error>(())
//! ```
//!
//! | method | parameters | result |
//! |---|---|---|
//! | `list_all_qpair` | none | an array of `{"ctrlr", "qid", "outstanding", "qpair", "model"}`; `qid` is one higher than the queue's |
//! | `get_iostat` | none | `[bytes, commands]` of reads and writes since the previous call |
//! | `get_cmdlog` | `[qpair]` | an array of texts, two per command, the newest of at most 128 commands first |
//! | `nvme_queues` | none | controllers, and queues with what they counted so far: see below |
//! | `nvme_cmdlog_since` | which queues and commands | the commands that are new in their logs: see below |
//!
//! Queues of processes that share this one's controllers (see [`Env::owner`](crate::Env::owner)) are in all answers,
//! but for their admin queues, which are this one's.
//!
//! The first three are what editors made for pynvme know; their answers never change. The others are for consoles
//! that come back every second, and cost the queues nothing: they read counters and logs that are kept anyway.
//!
//! ```json
//! {"method": "nvme_queues"}
//! {"now": 1795400000000000,
//!  "controllers": [{"address": "127.0.0.1", "model": "nvme-spdk embedded target"}],
//!  "queues": [{"queue": 2, "controller": 0, "qid": 1, "depth": 64, "in_flight": 63,
//!              "completed": 302123, "failed": 0, "bytes": 1237753856}]}
//! ```
//!
//! `now` is the time in microseconds since 1970, so that rates can be told from two answers. `queue` is what the other
//! methods take. `bytes` are those of reads and writes of a namespace, counted when they are sent, as in `get_iostat`.
//!
//! ```json
//! {"method": "nvme_cmdlog_since", "params": {"queues": [[2, 1800, [1700]]], "most": 100,
//!                                            "opcode": 2, "status": "failed", "lba": [0, 4095]}}
//! {"queues": [{"next": 302186, "unseen": 298336, "in_flight": [302185],
//!              "commands": [[2040, 1795400000000000, "0200…", 81000, "0000…"]]}]}
//! ```
//!
//! Each queue comes with the number of the first command that is wanted, and the numbers of earlier ones that were in
//! flight. `most`, 100 at first and at most 200, `opcode`, `status` (`"in flight"`, `"failed"` or `[type, code]`) and
//! `lba` (first and last) are optional. The answer has as many of the queues as fit, in the same order (ask for the
//! rest again), null for one that is gone: the number of the next command, how many nobody could look at because there were too many, those
//! that were seen in flight, and the newest ones that are wanted. A command is its number, its time of submission in
//! microseconds since 1970, its 64 bytes, and, unless it is in flight, its latency in nanoseconds and the 16 bytes of
//! its completion. The last 64 commands of a queue that failed are found also when its log has long gone over them.
//!
//! Requests follow each other without framing: each is complete when its JSON value is. Every answer is one line,
//! sent at once, and shorter than 64 KiB.

mod live;
mod members;
mod methods;
mod protocol;
mod serve;
mod socket;

use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use crate::error::{Error, Result};
use crate::signals;
use socket::{Place, Problem};

/// Where consoles look.
pub const DEFAULT_PATH: &str = "/var/tmp/pynvme.sock";

/// The path to serve at: [`DEFAULT_PATH`], or what the environment variable `NVME_RPC_SOCKET` says; `None` if
/// that is set and empty. A process that shares another's [environment](crate::Env::owner) serves where that one
/// finds it, whose server shows the queues of both.
pub fn default_path() -> Option<PathBuf> {
    let said = std::env::var_os("NVME_RPC_SOCKET");
    if said.as_ref().is_some_and(|path| path.is_empty()) {
        return None;
    }
    Some(members::path_of_this().or(said.map(PathBuf::from)).unwrap_or_else(|| PathBuf::from(DEFAULT_PATH)))
}

/// A running server. Dropping it ends it and removes the socket; a fork of the process leaves it alone.
#[derive(Debug)]
#[must_use = "it serves until it is dropped"]
pub struct Server {
    parts: Option<Parts>,
    pid: u32,
    path: PathBuf,
}

#[derive(Debug)]
struct Parts {
    thread: JoinHandle<()>,
    /// The thread ends when this is closed.
    life: UnixStream,
    place: Place,
}

impl Server {
    /// Serves at a path, until it is dropped. Only the owner of the socket can connect: the user who runs this
    /// process, or under sudo the one who called it.
    ///
    /// A socket that a dead process has left is replaced; `<path>.lock` tells whether its process lives.
    ///
    /// # Errors
    /// [`Error::Rpc`] when another process serves there, or nothing can be created there.
    pub fn start(path: impl AsRef<Path>) -> Result<Server> {
        let path = path.as_ref();
        let failed = |problem: Problem| {
            let Problem { why, remedy, source } = problem;
            Error::Rpc { path: path.display().to_string(), why, remedy, source }
        };
        let (place, listener) = Place::take(path).map_err(failed)?;
        let start = || {
            let (life, ended) = UnixStream::pair()?;
            let thread = thread::Builder::new().name("nvme-rpc".to_owned()).spawn(move || {
                signals::block();
                serve::run(&listener, &ended);
            })?;
            Ok((life, thread))
        };
        let (life, thread) = start().map_err(|e: std::io::Error| {
            let remedy = "raise the limits on threads and open files";
            failed(Problem { why: e.to_string(), remedy, source: Some(e) })
        })?;
        let parts = Some(Parts { thread, life, place });
        Ok(Server { parts, pid: std::process::id(), path: path.to_owned() })
    }

    /// As [`start`](Self::start) at a path of this process alone, where consoles look as well: `<path>.<pid>`. Sockets
    /// that dead processes have left at such paths are removed. Where the path is this process's alone already, as that
    /// of one that shares another's environment is, this is [`start`](Self::start).
    ///
    /// # Errors
    /// [`Error::Rpc`] when nothing can be created there.
    pub fn start_beside(path: impl AsRef<Path>) -> Result<Server> {
        if members::path_of_this().is_some_and(|own| own == path.as_ref()) {
            return Server::start(path);
        }
        socket::sweep(path.as_ref());
        Server::start(socket::beside(path.as_ref(), std::process::id()))
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(parts) = self.parts.take() else { return };
        if self.pid != std::process::id() {
            // A fork: the thread did not come along, and the files are the parent's.
            std::mem::forget(parts);
            return;
        }
        let Parts { thread, life, place } = parts;
        // Consoles that find the socket find somebody who answers.
        drop(place);
        // A fork may have a copy, so closing alone might not be noticed.
        let _ = life.shutdown(Shutdown::Both);
        // It does not panic; if it did, there is nobody to tell.
        let _ = thread.join();
    }
}
