//! The memory behind a Base Address Register, as far as it is mapped.

use std::fs::OpenOptions;
use std::io::{Error as IoError, ErrorKind};
use std::os::fd::AsRawFd;
use std::ptr::{self, NonNull};

use super::{BarOffset, Function};
use crate::error::Result;

/// The kernel maps whole pages.
const PAGE: usize = 4096;

/// Registers of a function. When the function is removed they are gone, and whoever touches them dies of SIGBUS: look
/// before whether it still answers.
#[derive(Debug)]
pub(crate) struct BarMemory {
    start: NonNull<u8>,
    /// How far into the first page they begin, and where they end.
    first: usize,
    end: usize,
}

// SAFETY: the mapping belongs to no thread, and registers are read and written whole.
unsafe impl Send for BarMemory {}

impl Function {
    /// Maps `len` bytes behind one of its Base Address Registers.
    ///
    /// # Errors
    /// [`Error::Pci`](crate::Error::Pci) if the memory ends before, or cannot be had.
    pub(crate) fn map_bar(&self, from: BarOffset, len: usize) -> Result<BarMemory> {
        let what = format!("mapping the memory of its BAR {}", from.bar);
        let failed = |e| self.failed(&what, e);
        let path = self.path(&format!("resource{}", from.bar));
        let file = OpenOptions::new().read(true).write(true).open(path).map_err(failed)?;
        let size = file.metadata().map_err(failed)?.len();
        let first = from.offset as usize % PAGE;
        let end = first + len;
        if u64::from(from.offset) + len as u64 > size {
            let why = format!("{len} bytes at {:#x} end behind its {size:#x} bytes", from.offset);
            return Err(failed(IoError::new(ErrorKind::InvalidData, why)));
        }
        // SAFETY: a shared mapping of a file at an address of the kernel's choice touches nothing that exists.
        let start = unsafe {
            libc::mmap(
                ptr::null_mut(),
                end,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_SHARED,
                file.as_raw_fd(),
                (from.offset as usize - first) as libc::off_t,
            )
        };
        match NonNull::new(start.cast::<u8>()) {
            Some(mapped) if start != libc::MAP_FAILED => Ok(BarMemory { start: mapped, first, end }),
            _ => Err(failed(IoError::last_os_error())),
        }
    }
}

impl BarMemory {
    /// Writes 32 bits.
    ///
    /// # Panics
    /// If they are not all inside, or `offset` is no multiple of 4.
    pub(crate) fn write(&self, offset: usize, value: u32) {
        let at = self.first + offset;
        assert!(offset.is_multiple_of(4) && at + 4 <= self.end, "a register at {offset:#x}");
        // SAFETY: inside the mapping and aligned, as the beginning of a table is a multiple of 8.
        unsafe { self.start.add(at).cast::<u32>().write_volatile(value.to_le()) };
    }
}

impl Drop for BarMemory {
    fn drop(&mut self) {
        // SAFETY: mapped with this length, and nothing refers to it any more.
        unsafe { libc::munmap(self.start.as_ptr().cast(), self.end) };
    }
}
