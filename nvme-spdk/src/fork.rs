//! Forked children: what the parent opened stays the parent's.
//!
//! A child has a copy of every object but of no thread, while DMA memory and connections are the very same as its
//! parent's. So every use fails with [`Error::Forked`], and what a child drops is left alone: a lock that another
//! thread held when the process was forked is held in the child for ever, so nothing that is dropped there may take
//! one.

use std::mem::ManuallyDrop;
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

/// Something that only its own process drops: in a forked child it is left as it is.
pub(crate) struct Owned<T>(ManuallyDrop<T>);

impl<T> Owned<T> {
    pub(crate) fn new(value: T) -> Self {
        Owned(ManuallyDrop::new(value))
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        if !forked() {
            // SAFETY: dropped here only, once, and not accessible afterwards.
            unsafe { ManuallyDrop::drop(&mut self.0) };
        }
    }
}

/// An error in a forked child. Cheap enough for every command.
pub(crate) fn check() -> Result<()> {
    match PARENT.load(Ordering::Relaxed) {
        0 => Ok(()),
        parent => Err(Error::Forked { parent }),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::rc::Rc;

    use super::*;

    /// Whether a forked child of this process does something without a panic, and within 5 seconds.
    pub(crate) fn a_child_can(act: impl FnOnce()) -> bool {
        watch();
        // SAFETY: the child allocates, which the C library allows there, and leaves without running anything else.
        let child = unsafe { libc::fork() };
        assert!(child >= 0, "{}", std::io::Error::last_os_error());
        if child == 0 {
            // SAFETY: the signal ends the child if it hangs.
            unsafe { libc::alarm(5) };
            let code = i32::from(catch_unwind(AssertUnwindSafe(act)).is_err());
            // SAFETY: nothing is to be cleaned up.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        // SAFETY: the call writes to the status only.
        let ended = unsafe { libc::waitpid(child, &raw mut status, 0) };
        assert_eq!(ended, child);
        status == 0
    }

    #[test]
    #[cfg_attr(miri, ignore = "forks")]
    fn only_the_owner_drops() {
        let held = Rc::new(());
        let owned = Owned::new(Rc::clone(&held));
        assert!(a_child_can(|| {
            drop(owned);
            assert_eq!(Rc::strong_count(&held), 2);
        }));
        assert!(!a_child_can(|| panic!("seen")));
        let owned = Owned::new(Rc::clone(&held));
        let before = Rc::strong_count(&held);
        drop(owned);
        assert_eq!(Rc::strong_count(&held), before - 1);
    }
}
