//! Bounds on what would otherwise wait for ever.
//!
//! SPDK waits in loops of its own while it connects, reads properties and creates queues, and `connect(2)`
//! waits in the kernel. The first kind is bounded by [`bounded`], which makes SPDK's polling fail past a
//! deadline; the second by [`on_helper`], which leaves the waiting to a thread of its own.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crossbeam_channel::{RecvTimeoutError, bounded as channel};

use crate::clock::Ticks;
use crate::error::{Error, Result};
use crate::{interrupt, signals};

/// A moment that a call must not outlive, and a flag that ends it earlier.
#[derive(Debug, Clone)]
pub(crate) struct Deadline {
    until: Instant,
    cancelled: Arc<AtomicU8>,
}

impl Deadline {
    pub(crate) fn after(timeout: Duration) -> Self {
        let now = Instant::now();
        // A century stands for "never": Instant cannot hold every Duration.
        let until = now.checked_add(timeout).unwrap_or(now + Duration::from_secs(3_000_000_000));
        Deadline { until, cancelled: Arc::default() }
    }

    /// One that is over after `timeout` at the latest, and with this one.
    pub(crate) fn within(&self, timeout: Duration) -> Self {
        let until = Self::after(timeout).until.min(self.until);
        Deadline { until, cancelled: Arc::clone(&self.cancelled) }
    }

    pub(crate) fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    pub(crate) fn passed(&self) -> bool {
        self.left().is_zero() || self.cancelled.load(Ordering::Relaxed) != 0
    }
}

/// Runs `call` with every wait inside SPDK bounded on this thread; also says whether the bound ended one.
pub(crate) fn bounded<T>(deadline: &Deadline, call: impl FnOnce() -> T) -> (T, bool) {
    struct Guard;
    impl Drop for Guard {
        fn drop(&mut self) {
            // SAFETY: removing the bound has no precondition.
            unsafe { spdk_sys::shim_deadline_clear() };
        }
    }
    let at = Ticks::now().after(deadline.left());
    // SAFETY: the flag outlives the bound: `deadline` is borrowed until the guard has removed it.
    unsafe { spdk_sys::shim_deadline_set(at.0, deadline.cancelled.as_ptr()) };
    let guard = Guard;
    let result = call();
    std::mem::forget(guard);
    // SAFETY: as above; this time the answer is wanted.
    let ended = unsafe { spdk_sys::shim_deadline_clear() };
    (result, ended)
}

/// How often a waiting caller looks up.
const SLICE: Duration = Duration::from_millis(20);

/// Runs `call` on a thread of its own and waits for it until the deadline, or until interrupted.
///
/// If the caller gives up first, the helper is told through the deadline, and what it still brings about
/// is dropped there: a connection that comes too late is closed, not leaked.
pub(crate) fn on_helper<T: Send + 'static>(
    what: impl Fn() -> String,
    timeout: Duration,
    call: impl FnOnce(&Deadline) -> Result<T> + Send + 'static,
) -> Result<T> {
    interrupt::before(&what)?;
    let deadline = Deadline::after(timeout);
    let (sender, receiver) = channel(1);
    let helper = thread::Builder::new().name("nvme-connect".to_owned()).spawn({
        let deadline = deadline.clone();
        move || {
            signals::block();
            // A caller that gave up has dropped the receiver: the value comes back and is dropped here.
            drop(sender.send(call(&deadline)));
        }
    });
    helper.map_err(|e| Error::Open {
        address: what(),
        why: format!("no thread to connect on ({e})"),
        remedy: "raise the limit on threads".to_owned(),
    })?;
    loop {
        match receiver.recv_timeout(SLICE.min(deadline.left())) {
            Ok(result) => return result,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(Error::Open {
                    address: what(),
                    why: "connecting panicked".to_owned(),
                    remedy: "please report this".to_owned(),
                });
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
        let interrupted = interrupt::pending();
        if interrupted || deadline.left().is_zero() {
            deadline.cancelled.store(1, Ordering::Relaxed);
            // What arrived at the last moment still counts.
            if let Ok(result) = receiver.try_recv() {
                return result;
            }
            let what = what();
            return Err(if interrupted { Error::Interrupted { what } } else { timed_out(what, timeout) });
        }
    }
}

pub(crate) fn timed_out(what: String, timeout: Duration) -> Error {
    Error::Timeout {
        what,
        timeout,
        remedy: "check that the target is alive and not stopped, or allow more time",
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        static STOP: Cell<bool> = const { Cell::new(false) };
    }

    #[test]
    fn what_is_over_at_once_can_be_ended_as_well() {
        interrupt::set_check(|| STOP.get());
        STOP.set(true);
        let start = Instant::now();
        let call = || on_helper(|| "a call".to_owned(), Duration::from_secs(60), |_| Ok(()));
        let in_time = |_: &_| start.elapsed() < Duration::from_secs(5);
        let error = std::iter::repeat_with(call).take_while(in_time).find_map(Result::err);
        assert!(matches!(error, Some(Error::Interrupted { .. })), "{error:?}");
    }
}
