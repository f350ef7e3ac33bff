//! Waits that can be ended from outside.
//!
//! The calls of this crate that wait with a bound do so in slices, and ask between them whether to give up, as they
//! do between calls that are over at once. A
//! program says so with [`set_check`]; the Python module answers with pending signals, so that Ctrl-C ends
//! such a wait at once. [`IoWorker::join`](crate::IoWorker::join) does not ask.

use std::cell::Cell;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use crate::error::{Error, Result};

static CHECK: OnceLock<fn() -> bool> = OnceLock::new();

/// Installs the question asked between slices of every wait, from the waiting thread: `true` ends the wait
/// with [`Error::Interrupted`]. The first call wins; later ones return `false`: it
/// can neither be replaced nor removed.
///
/// It is asked once in a millisecond at most, and mostly less often: every 20 ms while connecting. Waits that
/// are over sooner ask before they begin, and before their command is sent, if their thread has not asked so
/// for 50 ms: a loop of short commands ends as well. So an answer that stays `true` also ends what is done to
/// clean up. The waiting thread may hold locks of this crate meanwhile, so the function must return soon, and
/// must not call into this crate.
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

/// How often a thread asks whose waits are all short. In Python asking takes the interpreter's lock, for which a
/// thread may have to wait 5 ms.
const BETWEEN: Duration = Duration::from_millis(50);

thread_local! {
    static ASKED: Cell<Option<Instant>> = const { Cell::new(None) };
}

/// Before a wait that may be over before anybody asks in it.
pub(crate) fn before(what: impl FnOnce() -> String) -> Result<()> {
    if CHECK.get().is_none() {
        return Ok(());
    }
    let now = Instant::now();
    let asked = ASKED.get();
    if asked.is_none_or(|asked| now - asked >= BETWEEN) {
        ASKED.set(Some(now));
        // The first one only begins to count.
        if asked.is_some() && pending() {
            return Err(Error::Interrupted { what: what() });
        }
    }
    Ok(())
}
