//! Forked children: what the parent opened stays the parent's.
//!
//! A child has a copy of every object but of no thread, while DMA memory and connections are the very same as its
//! parent's. So every use fails with [`Error::Forked`], and what a child drops is left alone.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::error::{Error, Result};

/// The process in which SPDK runs.
static OWNER: AtomicU32 = AtomicU32::new(0);

/// In a forked child, the process in which SPDK runs; 0 elsewhere.
static PARENT: AtomicU32 = AtomicU32::new(0);

/// From now on this process's children are told apart from it.
pub(crate) fn watch() {
    static HANDLER: Once = Once::new();
    OWNER.store(std::process::id(), Ordering::Relaxed);
    HANDLER.call_once(|| {
        // SAFETY: the function is plain, never goes away, and does in the child only what is allowed there.
        unsafe { libc::pthread_atfork(None, None, Some(in_child)) };
    });
}

extern "C" fn in_child() {
    PARENT.store(OWNER.load(Ordering::Relaxed), Ordering::Relaxed);
}

/// Whether this is a forked child of the process in which SPDK runs.
pub(crate) fn forked() -> bool {
    PARENT.load(Ordering::Relaxed) != 0
}

/// An error in a forked child. Cheap enough for every command.
pub(crate) fn check() -> Result<()> {
    match PARENT.load(Ordering::Relaxed) {
        0 => Ok(()),
        parent => Err(Error::Forked { parent }),
    }
}
