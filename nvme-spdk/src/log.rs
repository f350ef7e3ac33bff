//! SPDK's log as `tracing` events, and the recent part of it for error texts.
//!
//! SPDK reports why something failed in its log and returns a bare -1. So the errors of the last call on
//! a thread are kept: an [`Error`](crate::Error) can say what SPDK said.

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_char, c_int};
use std::panic;

thread_local! {
    static ERRORS: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// How many lines an error text can do with.
const KEPT: usize = 4;

pub(crate) fn init() {
    // SAFETY: line() is a plain function and stays valid; it does not unwind.
    unsafe { spdk_sys::shim_log_open(Some(line)) };
}

/// Forgets what SPDK said so far on this thread: what follows belongs to the next call.
pub(crate) fn forget() {
    // At the end of a thread, when a handle of its own is dropped, there may be no place for them any more.
    let _ = ERRORS.try_with(|lines| lines.borrow_mut().clear());
}

/// The errors SPDK logged on this thread since [`forget`], as one sentence; empty if there were none.
pub(crate) fn said() -> String {
    ERRORS.try_with(|lines| lines.borrow().join("; ")).unwrap_or_default()
}

/// Runs `call` with what SPDK says on this thread as debug output only: what fails there is expected to, or
/// becomes an error of ours.
pub(crate) fn quietly<T>(call: impl FnOnce() -> T) -> T {
    let before = QUIET.replace(true);
    let result = call();
    QUIET.set(before);
    result
}

unsafe extern "C" fn line(
    level: c_int,
    file: *const c_char,
    line: c_int,
    func: *const c_char,
    text: *const c_char,
) {
    // A panic must not cross into C; logging is not worth more than losing the line.
    let _ = panic::catch_unwind(|| {
        // SAFETY: the shim passes NUL-terminated strings that live until this returns.
        let (file, func, text) =
            unsafe { (CStr::from_ptr(file), CStr::from_ptr(func), CStr::from_ptr(text)) };
        let (file, func, text) = (file.to_string_lossy(), func.to_string_lossy(), text.to_string_lossy());
        if level == 0 {
            let _ = ERRORS.try_with(|lines| {
                let mut lines = lines.borrow_mut();
                if lines.len() < KEPT {
                    lines.push(text.clone().into_owned());
                }
            });
        }
        match if QUIET.get() { 3 } else { level } {
            0 => tracing::error!(target: "spdk", file = %file, line, func = %func, "{text}"),
            1 => tracing::warn!(target: "spdk", file = %file, line, func = %func, "{text}"),
            2 => tracing::info!(target: "spdk", notice = true, file = %file, line, func = %func, "{text}"),
            3 => tracing::debug!(target: "spdk", file = %file, line, func = %func, "{text}"),
            _ => tracing::trace!(target: "spdk", file = %file, line, func = %func, "{text}"),
        }
    });
}
