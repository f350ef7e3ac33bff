//! DMA memory.

use std::fmt;
use std::ops::Range;
use std::ptr::{self, NonNull};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::env::Env;
use crate::error::{Error, Result};
use crate::fork::forked;
use crate::shared_bytes::{self, WORD};

/// Memory a controller can read and write: 4 KiB aligned, zeroed, shared by its clones.
///
/// A command in flight holds a clone, so the memory stays until the device is done with it, whatever
/// happens to the handle it was submitted with. While anyone else holds a clone the bytes can change at any
/// moment; they are therefore copied in and out, in words of 8 bytes, and borrowed only by the sole owner:
///
/// ```no_run
/// use nvme_spdk::DmaBuf;
///
/// let mut buffer = DmaBuf::new(4096)?;
/// buffer.write(0, b"hello");
/// assert_eq!(buffer.to_vec(0..5), b"hello");
/// buffer.get_mut().expect("nobody else holds it")[0] = b'H';
/// # Ok::<(), nvme_spdk::Error>(())
/// ```
#[derive(Clone)]
pub struct DmaBuf {
    memory: Arc<Allocation>,
}

struct Allocation {
    start: NonNull<u8>,
    len: usize,
    origin: Origin,
}

/// Where memory came from, and goes back to.
enum Origin {
    Spdk {
        _env: Arc<Env>,
    },
    /// For tests of those who use buffers; Miri calls no foreign code.
    #[cfg(test)]
    Heap(std::alloc::Layout),
}

// SAFETY: the memory is not tied to a thread.
unsafe impl Send for Allocation {}
// SAFETY: shared access is atomic, word by word; what is not, needs the only handle.
unsafe impl Sync for Allocation {}

/// Behind every buffer lies one more page, which a transfer from an offset may reach into.
pub const SLACK: usize = 4096;

/// Controllers see memory in pages.
const ALIGNMENT: usize = 4096;

impl DmaBuf {
    /// `len` bytes of zeros; starts the environment if need be.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for 0 bytes, [`Error::NoMemory`], and those of [`Env::get`].
    pub fn new(len: usize) -> Result<Self> {
        let env = Env::get()?;
        if len == 0 {
            return Err(Error::InvalidArgument("0 is not valid size".to_owned()));
        }
        let no_memory = || Error::NoMemory { bytes: len, remedy: env.memory_remedy() };
        let with_slack = len.checked_add(SLACK).and_then(|bytes| bytes.checked_next_multiple_of(WORD));
        let with_slack = with_slack.ok_or_else(no_memory)?;
        // SAFETY: the environment runs; a null result is handled below.
        let start = unsafe { spdk_sys::shim_zmalloc(with_slack, ALIGNMENT) };
        let start = NonNull::new(start.cast::<u8>()).ok_or_else(no_memory)?;
        Ok(DmaBuf { memory: Arc::new(Allocation { start, len, origin: Origin::Spdk { _env: env } }) })
    }

    /// As [`new`](Self::new), without an environment: no device could find it.
    #[cfg(test)]
    pub(crate) fn on_heap(len: usize) -> Self {
        let bytes = (len + SLACK).next_multiple_of(WORD);
        let layout = std::alloc::Layout::from_size_align(bytes, ALIGNMENT).unwrap();
        // SAFETY: the layout has a size.
        let start = NonNull::new(unsafe { std::alloc::alloc_zeroed(layout) }).unwrap();
        DmaBuf { memory: Arc::new(Allocation { start, len, origin: Origin::Heap(layout) }) }
    }

    /// Its length in bytes, without the slack.
    #[expect(clippy::len_without_is_empty, reason = "a buffer is never empty")]
    pub fn len(&self) -> usize {
        self.memory.len
    }

    /// How far a transfer from the start may reach: the length and one page of slack.
    pub fn reach(&self) -> usize {
        self.memory.len + SLACK
    }

    /// Where a device finds byte `offset`, for commands that carry addresses of their own.
    pub fn physical_address(&self, offset: usize) -> Option<u64> {
        if offset >= self.reach() {
            return None;
        }
        // SAFETY: the address lies inside the allocation; SPDK only looks it up. A null size is allowed.
        let address = unsafe { spdk_sys::spdk_vtophys(self.as_ptr().add(offset).cast(), ptr::null_mut()) };
        (address != u64::MAX).then_some(address)
    }

    /// Copies bytes out; a range that ends behind the buffer is cut there.
    pub fn to_vec(&self, range: Range<usize>) -> Vec<u8> {
        let range = self.clip(range);
        let mut copy = vec![0; range.len()];
        self.read(range.start, &mut copy);
        copy
    }

    /// Copies bytes out from `offset` on.
    ///
    /// # Panics
    /// If that reaches behind the buffer.
    pub fn read(&self, offset: usize, into: &mut [u8]) {
        self.check(offset, into.len());
        shared_bytes::read(self.words(), offset, into);
    }

    /// Copies bytes in from `offset` on.
    ///
    /// # Panics
    /// If that reaches behind the buffer.
    pub fn write(&self, offset: usize, from: &[u8]) {
        self.check(offset, from.len());
        self.write_within_reach(offset, from);
    }

    /// Sets a range to one value; a range that ends behind the buffer is cut there.
    pub fn fill(&self, range: Range<usize>, value: u8) {
        let range = self.clip(range);
        shared_bytes::fill(self.words(), range, value);
    }

    /// As [`write`](Self::write), up to the [reach](Self::reach) of transfers.
    pub(crate) fn write_within_reach(&self, offset: usize, from: &[u8]) {
        shared_bytes::write(self.words(), offset, from);
    }

    /// All of it, the slack included.
    fn words(&self) -> &[AtomicU64] {
        let count = self.reach().div_ceil(WORD);
        // SAFETY: the allocation has so many words, begins at a page, and is initialised; a `&mut` to its bytes is
        // lent by `get_mut` only, as long as `self` is borrowed.
        unsafe { std::slice::from_raw_parts(self.as_ptr().cast(), count) }
    }

    /// The bytes, if this is the only handle: no clone, and no command in flight.
    pub fn get_mut(&mut self) -> Option<&mut [u8]> {
        let allocation = Arc::get_mut(&mut self.memory)?;
        // SAFETY: the allocation has `len` initialised bytes, and being unique means that neither another
        // handle nor a command in flight refers to them while the borrow of `self` lasts.
        Some(unsafe { std::slice::from_raw_parts_mut(allocation.start.as_ptr(), allocation.len) })
    }

    /// Whether two handles share their memory.
    pub fn same(&self, other: &DmaBuf) -> bool {
        Arc::ptr_eq(&self.memory, &other.memory)
    }

    /// The address of byte `offset`, which lies inside the buffer.
    #[inline]
    pub(crate) fn at(&self, offset: usize) -> *mut u8 {
        debug_assert!(offset < self.len());
        self.as_ptr().wrapping_add(offset)
    }

    pub(crate) fn as_ptr(&self) -> *mut u8 {
        self.memory.start.as_ptr()
    }

    fn clip(&self, range: Range<usize>) -> Range<usize> {
        let end = range.end.min(self.len());
        range.start.min(end)..end
    }

    fn check(&self, offset: usize, count: usize) {
        let end = offset.checked_add(count);
        assert!(
            end.is_some_and(|end| end <= self.len()),
            "bytes {offset}..{offset}+{count} of a buffer of {} bytes",
            self.len()
        );
    }
}

impl fmt::Debug for DmaBuf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DmaBuf({} bytes)", self.len())
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        if forked() {
            return;
        }
        match self.origin {
            // SAFETY: allocated by spdk_zmalloc and freed once; commands in flight hold the Arc, so none is left.
            Origin::Spdk { .. } => unsafe { spdk_sys::spdk_free(self.start.as_ptr().cast()) },
            // SAFETY: allocated with this layout, and freed once.
            #[cfg(test)]
            Origin::Heap(layout) => unsafe { std::alloc::dealloc(self.start.as_ptr(), layout) },
        }
    }
}
