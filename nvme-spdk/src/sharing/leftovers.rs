//! The files that make an environment one that others can join, and their end.
//!
//! DPDK keeps them in /run/dpdk and on hugetlbfs, under a prefix that has the process in it. They are removed
//! when the process ends. What one leaves that is killed, hugepages above all, the next one removes.

use std::ffi::CString;
use std::fs::{self, File};
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

use super::process::is_alive;

/// Where DPDK keeps what is not memory, as root.
const RUNTIME: &str = "/run/dpdk";

/// Hugepages of 2 MiB, whatever size is the machine's default.
const PAGE: u64 = 2 << 20;

/// What the names of an owner's files begin with.
pub(crate) fn prefix(owner: u32) -> String {
    format!("nvme-{owner}-")
}

/// Where an owner's files are that are not memory.
pub(crate) fn folder(owner: u32) -> PathBuf {
    Path::new(RUNTIME).join(prefix(owner))
}

/// The owner in a name.
fn owner(name: &str) -> Option<u32> {
    name.strip_prefix("nvme-")?.split_once('-')?.0.parse().ok()
}

/// Removes what is left of owners that have ended.
pub(crate) fn sweep() {
    for (path, name) in entries(Path::new(RUNTIME)) {
        if owner(&name).is_some_and(|owner| !is_alive(owner)) {
            let _ = fs::remove_dir_all(path);
        }
    }
    for (path, name) in mounts().iter().flat_map(|mount| entries(mount)) {
        // Another container may have processes of its own, under the same identifiers; but who has a page holds
        // a lock of its file.
        if owner(&name).is_some_and(|owner| !is_alive(owner)) && nobody_has(&path) {
            let _ = fs::remove_file(path);
        }
    }
}

fn nobody_has(path: &Path) -> bool {
    let Ok(file) = File::open(path) else { return false };
    // SAFETY: the descriptor is open.
    unsafe { libc::flock(file.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) == 0 }
}

/// The process whose files are removed when it ends.
static OWNER: AtomicU32 = AtomicU32::new(0);

/// Removes the files of this process when it ends by itself.
pub(crate) fn remove_at_exit() {
    static HANDLER: Once = Once::new();
    OWNER.store(std::process::id(), Ordering::Relaxed);
    HANDLER.call_once(|| {
        // SAFETY: the function is plain and never goes away.
        unsafe { libc::atexit(at_exit) };
    });
}

extern "C" fn at_exit() {
    let own = std::process::id();
    // Forks end, too.
    if OWNER.load(Ordering::Relaxed) == own {
        // A panic would end the process with another status.
        let _ = std::panic::catch_unwind(|| remove_files_of(own));
    }
}

fn remove_files_of(pid: u32) {
    let _ = fs::remove_dir_all(folder(pid));
    for (path, name) in mounts().iter().flat_map(|mount| entries(mount)) {
        if owner(&name) == Some(pid) {
            let _ = fs::remove_file(path);
        }
    }
}

/// Where hugetlbfs is mounted.
pub(super) fn mounts() -> Vec<PathBuf> {
    let text = fs::read_to_string("/proc/mounts").unwrap_or_default();
    let fields = text.lines().map(|line| line.split_ascii_whitespace().collect::<Vec<_>>());
    fields.filter(|fields| fields.get(2) == Some(&"hugetlbfs")).map(|fields| fields[1].into()).collect()
}

/// Whether one is that DPDK takes for the pages that are used here; others it skips.
pub(super) fn is_mounted() -> bool {
    mounts().iter().any(|mount| page_size(mount) == Some(PAGE))
}

/// Of the pages of a file system.
fn page_size(mount: &Path) -> Option<u64> {
    let path = CString::new(mount.as_os_str().as_bytes()).ok()?;
    let mut found = MaybeUninit::<libc::statfs>::uninit();
    // SAFETY: the path is a string, and there is room for the answer.
    if unsafe { libc::statfs(path.as_ptr(), found.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: the kernel has filled it in.
    u64::try_from(unsafe { found.assume_init() }.f_bsize).ok()
}

fn entries(folder: &Path) -> Vec<(PathBuf, String)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| (entry.path(), entry.file_name().to_string_lossy().into_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_owner() {
        assert_eq!(owner(&prefix(1234)), Some(1234));
        assert_eq!(owner("nvme-1234-map_0"), Some(1234));
        for other in
            ["spdk0map_0", "nvme-", "nvme-map_0", "nvme-x-map_0", "rtemap_0", "nvme-99999999999-map_0"]
        {
            assert_eq!(owner(other), None, "{other}");
        }
    }

    #[test]
    fn mounts_of_other_pages_do_not_count() {
        assert!(page_size(Path::new("/proc")).is_some_and(|size| size != PAGE));
        assert_eq!(page_size(Path::new("/nowhere")), None);
        // The kernel says it in the options, too.
        let text = fs::read_to_string("/proc/mounts").unwrap();
        for line in text.lines().filter(|line| line.contains(" hugetlbfs ")) {
            let mount = line.split(' ').nth(1).unwrap();
            let is_ours = page_size(Path::new(mount)) == Some(PAGE);
            assert_eq!(is_ours, line.contains("pagesize=2M"), "{line}");
        }
    }
}
