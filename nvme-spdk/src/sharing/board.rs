//! Who uses a shared controller, and how its owner gets it back.
//!
//! What SPDK shares lies in memory that its owner frees when it closes or resets the controller. Before that it
//! asks all members to leave: each has a thread that does what closing there does, so that queues are deleted
//! while the controller still answers. A member that has died has nothing to say; SPDK cleans up after it.

use std::io;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use super::memory::SharedMemory;
use super::process::is_alive;
use crate::error::{Error, Result};
use crate::transport::PciAddress;
use crate::{fork, signals, wait};

/// More processes than cores are of no use.
const MOST_MEMBERS: usize = 64;

/// How long members have: as long as a worker has to let go of its queue pair, and a little.
const PATIENCE: Duration = Duration::from_secs(12);

/// How often a member looks whether its owner is alive.
const WATCH: Duration = Duration::from_millis(200);

/// What is written on it. All of it zero: nobody is there, and nobody has to leave.
#[repr(C)]
struct Notes {
    /// Above 0 while members have to leave, and none may come: how many of the owner's steps want that.
    closing: AtomicU32,
    /// The processes that use the controller; 0 is a free place.
    members: [AtomicU32; MOST_MEMBERS],
}

/// The board of one controller.
#[derive(Debug)]
struct Board(SharedMemory);

impl Board {
    fn notes(&self) -> &Notes {
        // SAFETY: the mapping is that large (checked by whoever makes a board), aligned to a page, and zeros are
        // valid atomics.
        unsafe { &*self.0.start().as_ptr().cast() }
    }

    /// A member takes its place and looks here, an owner writes here and looks at the places. One of them sees the
    /// other only if all have these four steps in the same order, hence `SeqCst`.
    fn is_closing(&self) -> bool {
        self.notes().closing.load(Ordering::SeqCst) > 0
    }

    /// The members, with their places.
    fn members(&self) -> impl Iterator<Item = (u32, &AtomicU32)> {
        let all = self.notes().members.iter().map(|place| (place.load(Ordering::SeqCst), place));
        all.filter(|(pid, _)| *pid != 0)
    }

    fn alive(&self) -> Vec<u32> {
        self.members().map(|(pid, _)| pid).filter(|pid| is_alive(*pid)).collect()
    }
}

fn name(function: PciAddress) -> String {
    format!("controller:{function}")
}

/// The owner's end.
#[derive(Debug)]
pub(crate) struct Owner {
    board: Board,
    address: String,
}

/// As long as this is held no member can come.
pub(crate) struct Closed<'a> {
    board: &'a Board,
}

impl Owner {
    pub(crate) fn new(function: PciAddress) -> io::Result<Self> {
        let memory = SharedMemory::create(&name(function), size_of::<Notes>())?;
        Ok(Owner { board: Board(memory), address: function.to_string() })
    }

    /// Whether members have died that were not [taken off](Self::take_dead).
    pub(crate) fn has_dead(&self) -> bool {
        self.board.members().any(|(pid, _)| !is_alive(pid))
    }

    /// Takes those off that have died. Nobody hears of them again, so somebody has to clean up after them now.
    pub(crate) fn take_dead(&self) -> Vec<u32> {
        let dead = self.board.members().filter(|(pid, _)| !is_alive(*pid));
        let taken = dead.filter(|(pid, place)| {
            place.compare_exchange(*pid, 0, Ordering::AcqRel, Ordering::Relaxed).is_ok()
        });
        taken.map(|(pid, _)| pid).collect()
    }

    /// Has all members leave. Those that have died stay where they are.
    ///
    /// # Errors
    /// [`Error::Busy`] when one does not; members may come again then. [`Error::Interrupted`].
    pub(crate) fn close(&self) -> Result<Closed<'_>> {
        self.close_within(PATIENCE)
    }

    fn close_within(&self, patience: Duration) -> Result<Closed<'_>> {
        let closing = &self.board.notes().closing;
        closing.fetch_add(1, Ordering::SeqCst);
        let closed = Closed { board: &self.board };
        wake(closing);
        let what = || "processes that share the controller".to_owned();
        let left = wait::until(what, patience, || Ok(self.board.alive().is_empty().then_some(())));
        match left {
            Err(Error::Timeout { .. }) => {
                let alive: Vec<String> = self.board.alive().iter().map(u32::to_string).collect();
                let what = format!("process {} shares it and does not let go", alive.join(", "));
                Err(Error::Busy { address: self.address.clone(), what })
            }
            other => other.map(|()| closed),
        }
    }
}

impl Drop for Closed<'_> {
    fn drop(&mut self) {
        self.board.notes().closing.fetch_sub(1, Ordering::AcqRel);
    }
}

/// A member's end: it uses the controller until this is dropped.
#[derive(Debug)]
pub(crate) struct Member {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    board: Board,
    place: usize,
    gone: AtomicBool,
}

impl Member {
    /// Comes to the board of a controller that the owner has open.
    ///
    /// # Errors
    /// [`Error::Open`] when it is not open, or about to be closed.
    pub(crate) fn come(owner: u32, function: PciAddress) -> Result<Self> {
        let refuse = |why: String, remedy: &str| {
            Err(Error::Open { address: function.to_string(), why, remedy: remedy.to_owned() })
        };
        let memory = SharedMemory::find(owner, &name(function));
        let Some(memory) = memory.filter(|memory| memory.len() >= size_of::<Notes>()) else {
            return refuse(
                format!("process {owner}, whose child this is, has not opened it"),
                "open it there first; for an environment of its own, start this process with NVME_SHARING=0",
            );
        };
        let board = Board(memory);
        let free = |place: &AtomicU32| {
            place.compare_exchange(0, std::process::id(), Ordering::SeqCst, Ordering::Relaxed).is_ok()
        };
        let Some(place) = board.notes().members.iter().position(free) else {
            return refuse(format!("{MOST_MEMBERS} processes share it already"), "end some of them");
        };
        let shared = Arc::new(Shared { board, place, gone: AtomicBool::new(false) });
        let member = Member { shared };
        // Looked at after the place was taken: the owner sees the one or this the other.
        if member.shared.board.is_closing() {
            return refuse(format!("process {owner} is about to reset or close it"), "try again afterwards");
        }
        Ok(member)
    }

    /// From now on `leave` is called when the owner wants the controller back or has died, until it says that
    /// nothing is left to leave.
    pub(crate) fn watch(&self, owner: u32, leave: impl Fn() -> bool + Send + 'static) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let watch = move || {
            signals::block();
            let notes = shared.board.notes();
            while !shared.gone.load(Ordering::Acquire) {
                let seen = notes.closing.load(Ordering::Acquire);
                if (seen > 0 || !is_alive(owner)) && leave() {
                    return;
                }
                sleep_while(&notes.closing, seen, WATCH);
            }
        };
        let thread = thread::Builder::new().name("nvme-sharing".to_owned()).spawn(watch);
        thread.map(drop).map_err(|e| Error::Unsupported(format!("no thread to watch process {owner} ({e})")))
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // A forked child has a copy of the member, and the place is its parent's.
        if fork::forked() {
            return;
        }
        self.shared.gone.store(true, Ordering::Release);
        self.shared.board.notes().members[self.shared.place].store(0, Ordering::Release);
    }
}

/// Waits until a word is changed and its waiters are [woken](wake), or the time is over.
fn sleep_while(word: &AtomicU32, value: u32, most: Duration) {
    let most = libc::timespec { tv_sec: 0, tv_nsec: i64::from(most.subsec_nanos()) };
    // SAFETY: the word and the time outlive the call; the kernel only reads them.
    unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, value, &raw const most) };
}

fn wake(word: &AtomicU32) {
    // SAFETY: the word outlives the call.
    unsafe {
        libc::syscall(
            libc::SYS_futex,
            word.as_ptr(),
            libc::FUTEX_WAKE,
            i32::MAX,
            ptr::null::<libc::timespec>(),
        );
    };
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    fn function(number: u8) -> PciAddress {
        format!("00ff:{number:02x}:00.0").parse().unwrap()
    }

    #[test]
    fn an_owner_gets_it_back_when_the_members_have_left() {
        let own = std::process::id();
        let function = function(1);
        assert!(Member::come(own, function).unwrap_err().to_string().contains("has not opened it"));
        let owner = Owner::new(function).unwrap();
        let member = Member::come(own, function).unwrap();
        let (asked, was_asked) = mpsc::channel();
        member.watch(own, move || asked.send(()).is_ok()).unwrap();
        let leaving = thread::spawn(move || {
            was_asked.recv_timeout(Duration::from_secs(5)).unwrap();
            drop(member);
        });
        let closed = owner.close().unwrap();
        leaving.join().unwrap();
        assert!(!owner.has_dead());
        assert!(Member::come(own, function).unwrap_err().to_string().contains("about to reset"));
        drop(closed);
        drop(Member::come(own, function).unwrap());
        // Steps have steps.
        let outer = owner.close().unwrap();
        drop(owner.close().unwrap());
        Member::come(own, function).unwrap_err();
        drop(outer);
        Member::come(own, function).unwrap();
    }

    #[test]
    fn members_that_died_are_counted_and_forgotten() {
        let function = function(2);
        let owner = Owner::new(function).unwrap();
        owner.board.notes().members[5].store(u32::MAX, Ordering::Relaxed);
        assert!(owner.has_dead());
        // One that does not let go does not make the owner forget who has died.
        let member = Member::come(std::process::id(), function).unwrap();
        let busy = owner.close_within(Duration::from_millis(20)).map(drop).unwrap_err();
        assert!(matches!(busy, Error::Busy { .. }), "{busy}");
        drop(member);
        drop(owner.close().unwrap());
        assert_eq!(owner.take_dead(), [u32::MAX]);
        assert!(!owner.has_dead() && owner.take_dead().is_empty());
    }

    #[test]
    fn a_forked_child_does_not_leave_for_its_parent() {
        let function = function(4);
        let owner = Owner::new(function).unwrap();
        let member = Member::come(std::process::id(), function).unwrap();
        fork::watch();
        // SAFETY: the child drops the member, which takes no lock, and ends without any cleaning up.
        let child = unsafe { libc::fork() };
        if child == 0 {
            drop(member);
            // SAFETY: no precondition.
            unsafe { libc::_exit(0) };
        }
        let mut status = -1;
        // SAFETY: the child is this process's, and the status outlives the call.
        assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
        assert_eq!(status, 0);
        assert_eq!(owner.board.alive(), [std::process::id()]);
        drop(member);
        assert!(owner.board.alive().is_empty());
    }

    #[test]
    fn there_are_no_more_than_places() {
        let own = std::process::id();
        let function = function(3);
        let _owner = Owner::new(function).unwrap();
        let members: Vec<Member> = (0..MOST_MEMBERS).map(|_| Member::come(own, function).unwrap()).collect();
        assert!(Member::come(own, function).unwrap_err().to_string().contains("share it already"));
        drop(members);
        Member::come(own, function).unwrap();
    }
}
