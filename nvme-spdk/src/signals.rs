//! Signals belong to the program: threads of this crate take none of them.

/// What a thread brings upon itself: SPDK handles SIGBUS where a device is pulled out, Rust SIGSEGV, profilers SIGPROF.
const OWN: [libc::c_int; 7] =
    [libc::SIGBUS, libc::SIGSEGV, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGABRT, libc::SIGPROF];

/// Blocks all signals from outside on the calling thread, and on threads it starts.
pub(crate) fn block() {
    // Which knows no signals.
    if cfg!(miri) {
        return;
    }
    // SAFETY: a zeroed sigset_t is valid to fill, and the mask of this thread only is changed.
    unsafe {
        let mut all: libc::sigset_t = std::mem::zeroed();
        libc::sigfillset(&mut all);
        for own in OWN {
            libc::sigdelset(&mut all, own);
        }
        libc::pthread_sigmask(libc::SIG_BLOCK, &all, std::ptr::null_mut());
    }
}
