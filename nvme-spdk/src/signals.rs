//! Signals belong to the program: threads of this crate take none of them.

/// Blocks all signals on the calling thread, and on threads it starts.
pub(crate) fn block() {
    // SAFETY: a zeroed sigset_t is valid to fill, and the mask of this thread only is changed.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &all, std::ptr::null_mut());
    }
}
