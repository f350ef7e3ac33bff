//! The admin queue of a device as scripts see it: shared by all Controller objects of the device.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use nvme_spdk::{
    CmdLog, Command, Completed, Completion, Controller, Data, Error, Status, Token, admin_opcode,
};
use parking_lot::Mutex;
use pyo3::prelude::*;

use crate::callback::{Callbacks, dispatch, refuse, warn};
use crate::errors;
use crate::progress::Watched;
use crate::wait::{self, Queue};

/// As the original's texts name it, with its comma.
const SUBMITTING: &str = "admin commands,";

pub(crate) struct Admin {
    controller: Controller,
    callbacks: Callbacks,
    /// What the next Asynchronous Event Request calls: the callback that was registered last.
    event_callback: Mutex<Option<Py<PyAny>>>,
    /// Events that were delivered, for each of which another request is to be sent.
    events: AtomicU32,
    resets: AtomicU32,
    /// One request is sent on behalf of every script.
    listening: AtomicBool,
    watched: Watched,
}

impl Admin {
    pub(crate) fn new(controller: Controller) -> Self {
        Admin {
            controller,
            callbacks: Callbacks::default(),
            event_callback: Mutex::default(),
            events: AtomicU32::new(0),
            resets: AtomicU32::new(0),
            listening: AtomicBool::new(false),
            watched: Watched::default(),
        }
    }

    pub(crate) fn watched(&self) -> &Watched {
        &self.watched
    }

    pub(crate) fn controller(&self) -> &Controller {
        &self.controller
    }

    pub(crate) fn submit(
        &self,
        py: Python<'_>,
        command: &Command,
        data: Result<Option<Data>, Error>,
        callback: Option<Py<PyAny>>,
    ) -> PyResult<Token> {
        let is_transfer = !self.controller.is_for_queue(command);
        let describe = |data: Data| if is_transfer { data.within_prp_list() } else { Ok(data) };
        let data = data.and_then(|data| data.map(describe).transpose());
        match data.and_then(|data| self.controller.submit(command, data)) {
            Ok(token) => {
                self.callbacks.keep(token, callback);
                Ok(token)
            }
            Err(error) => Err(refuse(py, error, callback.as_ref(), SUBMITTING)),
        }
    }

    /// Sends an Asynchronous Event Request; a callback stays for those that follow it.
    pub(crate) fn request_event(&self, py: Python<'_>, callback: Option<Py<PyAny>>) -> PyResult<()> {
        if let Some(callback) = &callback {
            let before = self.event_callback.lock().replace(callback.clone_ref(py));
            // Outside the lock: dropping it may run Python code.
            drop(before);
        }
        self.submit(py, &Command::admin(admin_opcode::ASYNC_EVENT_REQUEST), Ok(None), callback).map(drop)
    }

    /// Sends the one that every initialisation leaves outstanding.
    pub(crate) fn listen(&self, py: Python<'_>) -> PyResult<()> {
        if self.listening.swap(true, Ordering::Relaxed) {
            return Ok(());
        }
        self.request_event(py, None)
    }

    /// waitdone of the admin queue: events do not count, and each makes room for the next.
    pub(crate) fn waitdone(&self, py: Python<'_>, expected: u32, timeout_ms: u64) -> PyResult<u32> {
        let result = wait::waitdone(py, self, expected, timeout_ms);
        let renewed = self.renew_event_requests(py);
        // What ended the wait comes first.
        result.and_then(|cdw0| renewed.map(|()| cdw0))
    }

    fn renew_event_requests(&self, py: Python<'_>) -> PyResult<()> {
        for _ in 0..self.events.swap(0, Ordering::Relaxed) {
            let callback = self.event_callback.lock().as_ref().map(|callback| callback.clone_ref(py));
            self.submit(py, &Command::admin(admin_opcode::ASYNC_EVENT_REQUEST), Ok(None), callback)?;
            info(py, "process one more command in lieu of aer completion")?;
        }
        Ok(())
    }

    /// Sends a command and waits for this very one; other completions are left for waitdone().
    pub(crate) fn execute(
        &self,
        py: Python<'_>,
        command: &Command,
        data: Option<Data>,
        timeout_ms: u64,
    ) -> PyResult<Completion> {
        let _waiting = wait::Waiting::begin()?;
        let timeout = wait::driver_timeout(timeout_ms);
        let completed = py.detach(|| self.controller.execute_within(command, data, timeout));
        let completed = completed.map_err(|error| match error {
            Error::Timeout { .. } => wait::timed_out(py, &error.to_string()),
            error => errors::submission(SUBMITTING)(error),
        })?;
        crate::log::print_error(0, &completed);
        dispatch(py, None, &completed.completion)?;
        Ok(completed.completion)
    }

    /// Connects anew, which resets the controller, or attaches anew on PCIe, where it is to be initialised then; what
    /// was outstanding is forgotten.
    pub(crate) fn reset(&self, py: Python<'_>) -> PyResult<()> {
        let result = py.detach(|| match self.controller.address().is_tcp() {
            true => self.controller.reset(),
            false => self.controller.reattach(),
        });
        self.forget();
        result.map_err(errors::enumerate)
    }

    /// Ends the use of a PCIe device, until the next reset.
    pub(crate) fn let_go(&self, py: Python<'_>) -> PyResult<()> {
        let result = py.detach(|| self.controller.detach());
        self.forget();
        result.map_err(errors::usual)
    }

    /// Forgets what was outstanding, after the connection has ended.
    pub(crate) fn forget(&self) {
        self.resets.fetch_add(1, Ordering::Relaxed);
        self.callbacks.clear();
        self.events.store(0, Ordering::Relaxed);
        self.listening.store(false, Ordering::Relaxed);
    }

    /// An event, or the end of the request for one.
    fn event(&self, py: Python<'_>, completed: &Completed) -> PyResult<()> {
        let callback = self.callbacks.take(completed.token);
        let completion = &completed.completion;
        match completion.status() {
            // The queue is gone; nobody needs to know.
            Status::ABORTED_SQ_DELETION => return Ok(()),
            Status::SUCCESS => {
                self.events.fetch_add(1, Ordering::Relaxed);
                let event = completion.cdw0;
                log(py, "warning", &format!("AER triggered, dword0: 0x{event:x}"))?;
                warn(py, &format!("AER notification is triggered: 0x{event:x}"))?;
            }
            _ => {}
        }
        dispatch(py, callback.as_ref(), completion)
    }
}

impl Queue for Admin {
    fn qid(&self) -> u16 {
        0
    }

    fn wait(&self, timeout: Duration) -> Result<usize, Error> {
        self.controller.wait(timeout)
    }

    fn next(&self) -> Result<Option<Completed>, Error> {
        self.controller.next_completion()
    }

    fn callbacks(&self) -> &Callbacks {
        &self.callbacks
    }

    fn resets(&self) -> u32 {
        self.resets.load(Ordering::Relaxed)
    }

    fn log(&self) -> Arc<CmdLog> {
        Arc::clone(self.controller.cmdlog())
    }

    fn answered(&self, py: Python<'_>, completed: &Completed) -> PyResult<bool> {
        self.watched.completed(py, || self.controller.address().to_string(), completed)?;
        if completed.command.opcode == admin_opcode::ASYNC_EVENT_REQUEST {
            return self.event(py, completed).map(|()| false);
        }
        let callback = self.callbacks.take(completed.token);
        dispatch(py, callback.as_ref(), &completed.completion)?;
        Ok(true)
    }
}

/// A line of Python's log.
pub(crate) fn log(py: Python<'_>, level: &str, text: &str) -> PyResult<()> {
    // The text may hold a percent sign.
    py.import("logging")?.call_method1(level, ("%s", text)).map(drop)
}

pub(crate) fn info(py: Python<'_>, text: &str) -> PyResult<()> {
    log(py, "info", text)
}
