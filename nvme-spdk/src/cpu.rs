//! The CPUs this process may run on, and which of them belong to a worker.

use parking_lot::Mutex;

use crate::error::{Error, Result};

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

/// A CPU for a worker.
#[derive(Debug)]
pub(crate) struct Core {
    cpu: usize,
    /// No other worker of this process has it, and it is given back.
    claimed: bool,
}

static TAKEN: Mutex<Vec<usize>> = Mutex::new(Vec::new());

impl Core {
    /// One of those the calling thread may run on. `None` when all are taken: then the scheduler knows better.
    /// The first one is left to everybody else, the embedded target among them.
    pub(crate) fn claim() -> Option<Core> {
        let allowed = allowed().ok()?;
        let mut taken = TAKEN.lock();
        let free = allowed.into_iter().skip(1).rev().find(|cpu| !taken.contains(cpu))?;
        taken.push(free);
        Some(Core { cpu: free, claimed: true })
    }

    /// The one that was asked for, whoever else has it.
    pub(crate) fn given(cpu: usize, allowed: &[usize]) -> Result<Core> {
        if !allowed.contains(&cpu) {
            return Err(Error::InvalidArgument(format!(
                "this process may not use CPU {cpu}, only {allowed:?}: choose one of those, or widen its affinity"
            )));
        }
        Ok(Core { cpu, claimed: false })
    }

    /// Binds the calling thread to it. That is a matter of speed; where the system refuses nothing is lost.
    pub(crate) fn pin(&self) {
        // SAFETY: a zeroed cpu_set_t is an empty set; the number came from such a set, so it is in range; the
        // call concerns the calling thread and reads at most the size of the set.
        unsafe {
            let mut set: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(self.cpu, &mut set);
            libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set);
        }
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        if self.claimed {
            TAKEN.lock().retain(|cpu| *cpu != self.cpu);
        }
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
        let mut numbers: Vec<_> = cores.iter().map(|core| core.cpu).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, all[1..], "each once, and the first never");
        if let Some(core) = cores.last() {
            std::thread::scope(|scope| {
                let pinned = scope.spawn(|| {
                    core.pin();
                    allowed().unwrap()
                });
                assert_eq!(pinned.join().unwrap(), [core.cpu]);
            });
        }
        assert_eq!(allowed().unwrap(), all, "this thread stays where it was");
        drop(Core::given(all[0], &all).unwrap());
        assert!(Core::claim().is_none(), "one that was asked for is not given back");
        assert!(Core::given(all.len() + 4096, &all).unwrap_err().to_string().contains("may not use CPU"));
        drop(cores);
        assert_eq!(Core::claim().is_some(), all.len() > 1, "given back");
    }
}
