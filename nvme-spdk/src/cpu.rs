//! The CPUs this process may run on, and which of them belong to a worker.

use parking_lot::Mutex;

/// Their numbers, ascending; of the calling thread.
pub(crate) fn allowed() -> std::io::Result<Vec<usize>> {
    // SAFETY: a zeroed cpu_set_t is an empty set; the kernel fills at most its size.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        if libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) != 0 {
            return Err(std::io::Error::last_os_error());
        }
        set
    };
    let limit = usize::try_from(libc::CPU_SETSIZE).unwrap_or(0);
    // SAFETY: the index is below CPU_SETSIZE.
    Ok((0..limit).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect())
}

/// The first of them; 0 if the kernel does not say.
pub(crate) fn first_allowed() -> usize {
    allowed().ok().and_then(|cpus| cpus.first().copied()).unwrap_or(0)
}

/// A CPU that no other worker of this process has.
#[derive(Debug)]
pub(crate) struct Core(usize);

static TAKEN: Mutex<Vec<usize>> = Mutex::new(Vec::new());

impl Core {
    /// One of those the calling thread may run on. `None` when all are taken: then the scheduler knows better.
    /// The first one is left to everybody else, the embedded target among them.
    pub(crate) fn claim() -> Option<Core> {
        let allowed = allowed().ok()?;
        let mut taken = TAKEN.lock();
        let free = allowed.into_iter().skip(1).rev().find(|cpu| !taken.contains(cpu))?;
        taken.push(free);
        Some(Core(free))
    }

    /// Binds the calling thread to it. That is a matter of speed; where the system refuses nothing is lost.
    pub(crate) fn pin(&self) {
        // SAFETY: a zeroed cpu_set_t is an empty set; the number came from such a set, so it is in range; the
        // call concerns the calling thread and reads at most the size of the set.
        unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(self.0, &mut set);
            libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        TAKEN.lock().retain(|cpu| *cpu != self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg_attr(miri, ignore = "asks the kernel")]
    fn there_is_one_at_least() {
        assert!(allowed().unwrap().contains(&first_allowed()));
    }

    #[test]
    #[cfg_attr(miri, ignore = "asks the kernel")]
    fn every_worker_has_another_core() {
        let all = allowed().unwrap();
        let cores: Vec<Core> = std::iter::from_fn(Core::claim).collect();
        let mut numbers: Vec<_> = cores.iter().map(|core| core.0).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, all[1..], "each once, and the first never");
        if let Some(core) = cores.last() {
            std::thread::scope(|scope| {
                let pinned = scope.spawn(|| {
                    core.pin();
                    allowed().unwrap()
                });
                assert_eq!(pinned.join().unwrap(), [core.0]);
            });
        }
        assert_eq!(allowed().unwrap(), all, "this thread stays where it was");
        drop(cores);
        assert_eq!(Core::claim().is_some(), all.len() > 1, "given back");
    }
}
