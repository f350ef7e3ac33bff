//! Keep Alive commands, sent whatever the program does meanwhile.

use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use crossbeam_channel::{RecvTimeoutError, Sender, bounded as channel};

use super::AdminHandle;
use crate::command::{Command, admin_opcode};
use crate::error::{Error, Result};
use crate::fork::Owned;
use crate::lane::Lane;
use crate::signals;

/// A thread that sends them for as long as this is held.
pub(super) struct KeepAlive {
    _stop: Owned<Sender<()>>,
}

/// Twice in a timeout at least, with time for the answer.
const PER_TIMEOUT: u32 = 3;

impl KeepAlive {
    /// Begins for a controller that was told this timeout.
    pub(super) fn start(admin: &Arc<Lane<AdminHandle>>, timeout: Duration) -> Result<Self> {
        let (stop, stopped) = channel(0);
        let admin: Weak<Lane<AdminHandle>> = Arc::downgrade(admin);
        let every = timeout / PER_TIMEOUT;
        let run = move || {
            signals::block();
            let mut before = None;
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                let Some(admin) = admin.upgrade() else { return };
                // One at a time: those that a silent controller does not answer would fill the queue.
                before = admin.send_unattended(&Command::admin(admin_opcode::KEEP_ALIVE), before);
            }
        };
        let thread = thread::Builder::new().name("nvme-keep-alive".to_owned()).spawn(run);
        thread.map_err(|e| Error::Open {
            address: "the controller".to_owned(),
            why: format!("no thread to send Keep Alive commands on ({e})"),
            remedy: "raise the limit on threads, or connect without keep-alive".to_owned(),
        })?;
        Ok(KeepAlive { _stop: Owned::new(stop) })
    }
}
