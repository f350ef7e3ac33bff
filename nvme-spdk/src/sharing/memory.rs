//! Memory that another process can map: it has a name, and no file.
//!
//! Processes find each other's by looking at the links of /proc/PID/fd, so nothing is left behind, whichever way
//! they end.

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::PathBuf;
use std::ptr::{self, NonNull};

/// The whole name: a process keeps copies of the descriptors of the one it was forked from, hence the identifier.
fn full_name(pid: u32, name: &str) -> String {
    format!("nvme-spdk:{pid}:{name}")
}

/// A mapping that others share. New memory reads as zeros, and takes pages when they are touched.
#[derive(Debug)]
pub(crate) struct SharedMemory {
    file: File,
    address: NonNull<u8>,
    len: usize,
}

// SAFETY: a mapping is not tied to a thread; whoever reads and writes it does so through atomics.
unsafe impl Send for SharedMemory {}
// SAFETY: as above.
unsafe impl Sync for SharedMemory {}

impl SharedMemory {
    /// Memory of this process that others find under the name for as long as it is held.
    pub(crate) fn create(name: &str, len: usize) -> io::Result<Self> {
        let name = CString::new(full_name(std::process::id(), name))?;
        // SAFETY: the name is a string; the descriptor is checked.
        let descriptor = unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) };
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: just opened, and nobody else knows of it.
        let file = unsafe { File::from_raw_fd(descriptor) };
        file.set_len(u64::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?)?;
        Self::map(file, len)
    }

    /// The memory of another process that has this name; `None` if that process has none, or is gone.
    pub(crate) fn find(pid: u32, name: &str) -> Option<Self> {
        let file = OpenOptions::new().read(true).write(true).open(place(pid, name)?).ok()?;
        let len = usize::try_from(file.metadata().ok()?.len()).ok()?;
        Self::map(file, len).ok()
    }

    /// Whether that process has memory of this name.
    pub(crate) fn exists(pid: u32, name: &str) -> bool {
        place(pid, name).is_some()
    }

    fn map(file: File, len: usize) -> io::Result<Self> {
        if len == 0 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        // SAFETY: a mapping at an address of the kernel's choice touches nothing that exists.
        let address = unsafe {
            libc::mmap(
                ptr::null_mut(),
                len,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED | libc::MAP_NORESERVE,
                file.as_raw_fd(),
                0,
            )
        };
        if address == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        let address = NonNull::new(address.cast()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(SharedMemory { file, address, len })
    }

    /// Its first byte, at the beginning of a page.
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.address
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The first page that was ever touched, from a byte on; `None` behind the last one.
    pub(crate) fn next_page(&self, from: usize) -> Option<usize> {
        let from = libc::off_t::try_from(from).ok()?;
        // SAFETY: the descriptor is open; its position means nothing to anybody.
        let found = unsafe { libc::lseek(self.file.as_raw_fd(), from, libc::SEEK_DATA) };
        usize::try_from(found).ok()
    }
}

impl Drop for SharedMemory {
    fn drop(&mut self) {
        // SAFETY: mapped in `map` with this length, unmapped once.
        unsafe { libc::munmap(self.address.as_ptr().cast(), self.len) };
    }
}

/// The descriptor in /proc that leads to it.
fn place(pid: u32, name: &str) -> Option<PathBuf> {
    let target = format!("/memfd:{} (deleted)", full_name(pid, name));
    let entries = fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
    entries
        .flatten()
        .map(|entry| entry.path())
        .find(|path| fs::read_link(path).is_ok_and(|link| link.as_os_str() == target.as_str()))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    fn word(memory: &SharedMemory, at: usize) -> &AtomicU32 {
        assert!(4 * at + 4 <= memory.len());
        // SAFETY: inside the mapping, aligned, and zeros are a valid AtomicU32.
        unsafe { &*memory.start().as_ptr().cast::<AtomicU32>().add(at) }
    }

    #[test]
    fn what_one_writes_the_other_reads() {
        let name = format!("test:{}", std::process::id());
        let pid = std::process::id();
        assert!(!SharedMemory::exists(pid, &name));
        let ours = SharedMemory::create(&name, 1 << 20).unwrap();
        let theirs = SharedMemory::find(pid, &name).unwrap();
        assert_eq!(theirs.len(), 1 << 20);
        word(&ours, 7).store(42, Ordering::Relaxed);
        assert_eq!(word(&theirs, 7).load(Ordering::Relaxed), 42);
        drop((ours, theirs));
        assert!(!SharedMemory::exists(pid, &name));
        assert!(SharedMemory::find(u32::MAX, &name).is_none());
    }

    #[test]
    fn only_what_is_touched_takes_memory() {
        let memory = SharedMemory::create("test:sparse", 1 << 40).unwrap();
        assert_eq!(memory.next_page(0), None);
        word(&memory, 10 << 20).store(1, Ordering::Relaxed);
        assert_eq!(memory.next_page(0), Some(40 << 20));
        assert_eq!(memory.next_page((40 << 20) + 4096), None);
    }
}
