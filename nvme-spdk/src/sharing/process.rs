//! What part a process has, and what all processes of an environment count together.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use super::leftovers;
use super::memory::SharedMemory;
use crate::error::{Error, Result};
use crate::pci::{Bus, NVME_CLASS, USERSPACE_DRIVERS};
use crate::{cmdlog, integrity};

/// The part of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Its environment is its own: nothing is shared.
    Alone,
    /// Children that it spawns may share its controllers.
    Owner,
    /// It shares the controllers of the process with this identifier.
    Member(u32),
}

/// Under this name an owner shows that its environment runs.
const NAME: &str = "process";

/// Goes up with every change of what stands in shared memory.
const LAYOUT: u32 = 1;

/// What the processes of an environment share, whatever the controller.
#[repr(C)]
struct Common {
    /// Tells programs of another build apart: they would not agree on what is where.
    build: AtomicU64,
    /// The next token of a written block.
    tokens: AtomicU64,
}

/// As long as the process lives.
static COMMON: OnceLock<SharedMemory> = OnceLock::new();

/// What this process is going to be: a member if one of its ancestors is an owner; an owner if there is
/// something to share, and hugetlbfs, because shared hugepages are files.
pub(crate) fn part() -> Part {
    if is_switched_off() {
        return Part::Alone;
    }
    if let Some(owner) = owner_of_this() {
        return Part::Member(owner);
    }
    if leftovers::is_mounted() && has_controllers() { Part::Owner } else { Part::Alone }
}

fn is_switched_off() -> bool {
    std::env::var_os("NVME_SHARING").is_some_and(|value| value == "0")
}

/// The nearest ancestor of this process that is an owner. What was found first stays.
pub(crate) fn owner_of_this() -> Option<u32> {
    static OWNER: OnceLock<Option<u32>> = OnceLock::new();
    let ancestors = || Bus::system().ancestors(std::process::id());
    let find = || ancestors().into_iter().find(|pid| SharedMemory::exists(*pid, NAME));
    *OWNER.get_or_init(|| if is_switched_off() { None } else { find() })
}

/// Tells children that there is an environment now.
pub(crate) fn announce() {
    let common = SharedMemory::create(NAME, size_of::<Common>());
    match common {
        Ok(memory) => {
            // SAFETY: the mapping is that large, aligned to a page, and zeros are valid atomics.
            let common = unsafe { &*memory.start().as_ptr().cast::<Common>() };
            common.build.store(build(), Ordering::Relaxed);
            share_tokens(common, memory);
        }
        Err(why) => tracing::warn!("child processes cannot share controllers of this one: {why}"),
    }
}

/// Joins what the owner has announced.
///
/// # Errors
/// [`Error::Unsupported`] if it is of another build, or gone.
pub(crate) fn join(owner: u32) -> Result<()> {
    let memory = SharedMemory::find(owner, NAME).filter(|memory| memory.len() >= size_of::<Common>());
    let memory = memory
        .ok_or_else(|| Error::Unsupported(format!("process {owner}, whose child this is, has ended")))?;
    // SAFETY: as in `announce`.
    let common = unsafe { &*memory.start().as_ptr().cast::<Common>() };
    if common.build.load(Ordering::Relaxed) != build() {
        return Err(Error::Unsupported(format!(
            "process {owner}, whose child this is, runs another build of nvme-spdk, whose controllers cannot be \
             shared: use the same one, or set NVME_SHARING=0 for an environment of its own"
        )));
    }
    share_tokens(common, memory);
    // Consoles ask the owner for the logs of all, so no two have the same handle.
    cmdlog::count_handles_from(u64::from(std::process::id()) << HANDLES_OF_A_PROCESS);
    Ok(())
}

/// Below these bits of a member's handles is what it counts; above is its identifier. They go through consoles
/// that calculate in 53 bits.
const HANDLES_OF_A_PROCESS: u32 = 24;

/// The member whose log has this handle.
pub(crate) fn member_of(handle: u64) -> Option<u32> {
    u32::try_from(handle >> HANDLES_OF_A_PROCESS).ok().filter(|pid| *pid > 0)
}

fn share_tokens(common: &Common, memory: SharedMemory) {
    let tokens: *const AtomicU64 = &common.tokens;
    if COMMON.set(memory).is_ok() {
        // SAFETY: the memory stays mapped for as long as the process lives.
        integrity::share_tokens(unsafe { &*tokens });
    }
}

/// A number that other builds do not have: what SPDK keeps in shared memory may be laid out otherwise there.
fn build() -> u64 {
    let mut hasher = DefaultHasher::new();
    (env!("CARGO_PKG_VERSION"), LAYOUT, loaded_from(build as *const () as usize)).hash(&mut hasher);
    hasher.finish()
}

/// Which file the code at an address is from: device, inode, and when it was written in seconds and nanoseconds.
/// `None` if the file is gone.
fn loaded_from(address: usize) -> Option<(u64, u64, i64, i64)> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let is_here = |range: &str| {
        let (start, end) = range.split_once('-')?;
        let parse = |text| usize::from_str_radix(text, 16).ok();
        Some((parse(start)?..parse(end)?).contains(&address))
    };
    let line = maps.lines().find(|line| line.split(' ').next().and_then(is_here) == Some(true))?;
    // Nothing before the path has a slash.
    let file = fs::metadata(&line[line.find('/')?..]).ok()?;
    Some((file.dev(), file.ino(), file.mtime(), file.mtime_nsec()))
}

/// Whether a process is there and has not ended.
pub(crate) fn is_alive(pid: u32) -> bool {
    let Ok(text) = fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    let state = text.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().next());
    !matches!(state, None | Some("Z" | "X"))
}

/// Whether there is an NVMe controller that a userspace driver may have.
fn has_controllers() -> bool {
    let bus = Bus::system();
    let mut functions =
        bus.functions().unwrap_or_default().into_iter().filter_map(|at| bus.function(at).ok());
    functions.any(|function| {
        function.class().is_ok_and(|class| class == NVME_CLASS)
            && function.driver().is_some_and(|driver| USERSPACE_DRIVERS.contains(&driver.as_str()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_and_its_ancestors() {
        let own = std::process::id();
        assert!(is_alive(own));
        assert!(!is_alive(u32::MAX));
        // SAFETY: no precondition.
        let parent_of_this = unsafe { libc::getppid() };
        let ancestors = Bus::system().ancestors(own);
        // Without one that is to be seen, it is the first of a container.
        assert_eq!(ancestors.first().copied().unwrap_or(0), u32::try_from(parent_of_this).unwrap());
        assert!(!ancestors.contains(&0));
    }

    #[test]
    fn programs_are_told_apart_by_the_files_they_are_from() {
        let own = loaded_from(build as *const () as usize).unwrap();
        let exe = fs::metadata("/proc/self/exe").unwrap();
        assert_eq!((own.0, own.1), (exe.dev(), exe.ino()));
        assert_ne!(loaded_from(libc::getpid as *const () as usize), Some(own));
        let here = 0;
        assert_eq!(loaded_from(&raw const here as usize), None);
    }

    #[test]
    fn one_that_has_ended_is_not_alive_while_nobody_has_waited_for_it() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        for _ in 0..500 {
            if !is_alive(child.id()) {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        assert!(!is_alive(child.id()));
        child.wait().unwrap();
    }
}
