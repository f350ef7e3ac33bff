//! Waits that can be ended from outside.
//!
//! The calls of this crate that wait with a bound do so in slices, and ask between them whether to give up. A
//! program says so with [`set_check`]; the Python module answers with pending signals, so that Ctrl-C ends
//! such a wait at once. [`IoWorker::join`](crate::IoWorker::join) does not ask.

use std::sync::OnceLock;

static CHECK: OnceLock<fn() -> bool> = OnceLock::new();

/// Installs the question asked between slices of every wait, from the waiting thread: `true` ends the wait
/// with [`Error::Interrupted`](crate::Error::Interrupted). The first call wins; later ones return `false`: it
/// can neither be replaced nor removed.
///
/// It is asked once in a millisecond at most, and mostly less often: every 20 ms while connecting. Waits that
/// are over sooner do not ask. The waiting thread may hold locks of this crate meanwhile, so the function
/// must return soon, and must not call into this crate.
///
/// ```
/// use std::sync::atomic::{AtomicBool, Ordering};
///
/// // Set by a signal handler, for example.
/// static STOP: AtomicBool = AtomicBool::new(false);
/// nvme_spdk::interrupt::set_check(|| STOP.load(Ordering::Relaxed));
/// ```
pub fn set_check(check: fn() -> bool) -> bool {
    CHECK.set(check).is_ok()
}

pub(crate) fn pending() -> bool {
    CHECK.get().is_some_and(|check| check())
}
