//! Waits that can be ended from outside.
//!
//! Every blocking call of this crate waits in slices and asks between them whether it should give up. A
//! program says so with [`set_check`]; the Python module answers with pending signals, so that Ctrl-C ends
//! any wait at once.

use std::sync::OnceLock;

static CHECK: OnceLock<fn() -> bool> = OnceLock::new();

/// Installs the question asked between slices of every wait, from the waiting thread: `true` ends the wait
/// with [`Error::Interrupted`](crate::Error::Interrupted). The first call wins; later ones return `false`.
pub fn set_check(check: fn() -> bool) -> bool {
    CHECK.set(check).is_ok()
}

pub(crate) fn pending() -> bool {
    CHECK.get().is_some_and(|check| check())
}
