//! Whether this process can have hugepages.

use std::fs;
use std::path::Path;

/// The machine's 2 MiB pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hugepages {
    /// Reserved for use as hugepages.
    pub total: u64,
    /// Of these, not in use.
    pub free: u64,
}

/// Below this an NVMe test does not get far: SPDK's own queues, a few buffers, a worker.
const NEEDED_PAGES: u64 = 32;

impl Hugepages {
    /// Reads the kernel's count; zeros where it has none.
    pub fn read() -> Self {
        let folder = Path::new("/sys/kernel/mm/hugepages/hugepages-2048kB");
        let read = |name: &str| {
            fs::read_to_string(folder.join(name)).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
        };
        Hugepages { total: read("nr_hugepages"), free: read("free_hugepages") }
    }
}

/// Whether this process runs as root.
pub(crate) fn is_root() -> bool {
    // SAFETY: geteuid has no precondition and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Ok if there are enough and a control group lets this process have one; the reason otherwise.
pub(crate) fn can_use_hugepages() -> Result<(), String> {
    let pages = Hugepages::read();
    if pages.total == 0 {
        return Err("no hugepages are reserved".to_owned());
    }
    if pages.free < NEEDED_PAGES {
        return Err(format!("only {} of {} hugepages are free", pages.free, pages.total));
    }
    let length = 2 << 20;
    // SAFETY: an anonymous mapping at an address of the kernel's choice touches nothing that exists.
    let page = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            length,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_HUGETLB,
            -1,
            0,
        )
    };
    if page == libc::MAP_FAILED {
        return Err(format!("this process may not use hugepages ({})", std::io::Error::last_os_error()));
    }
    // SAFETY: the mapping was just made with this length and nothing refers to it.
    unsafe { libc::munmap(page, length) };
    Ok(())
}
