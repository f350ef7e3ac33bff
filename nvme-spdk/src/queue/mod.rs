//! Commands in flight: who owns their buffers, and where their completions go.
//!
//! A queue has one slot per command that may be outstanding, made once. A slot owns the command's buffer
//! from submission until SPDK has called back, so nothing the user drops can be under DMA; the callback
//! itself only writes the completion down. Whoever waits takes it from there and runs the user's code on
//! his own thread.
//!
//! A queue is driven by one thread at a time. The types say so by being `!Sync`; their owners put them
//! behind a lock.

mod expiry;
mod lent;
mod parked;
mod promised;
mod slot;
#[cfg(test)]
mod tests;
mod transfer;

use std::cell::{Cell, UnsafeCell};
use std::collections::VecDeque;
use std::ffi::{c_int, c_void};
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

pub(crate) use slot::{ON_COMPLETE, on_complete, on_submitted, trusted};
pub use transfer::{Completed, Data, Outcome, Token};
pub(crate) use transfer::{MOST_PAGES, fits_prp_list};

use crate::buffer::DmaBuf;
use crate::clock::Ticks;
use crate::cmdlog::CmdLog;
use crate::command::{Command, Completion};
use crate::error::{Error, Result};
use crate::fork::forked;
use crate::integrity::{Guard, Mismatch, Tables};
use crate::status::Status;
use lent::Lent;
use slot::{Slot, State};

/// A completion in brief: of which slot, what it says, and how long it took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Brief {
    pub index: usize,
    pub completion: Completion,
    pub ticks: u64,
    pub outcome: Outcome,
}

/// That something happened to the command in a slot.
#[derive(Debug, Clone, Copy)]
struct Note {
    index: u16,
    outcome: Outcome,
}

/// Tokens of one queue mean nothing to another, not even to its successor: each begins to count elsewhere.
static GENERATIONS: AtomicU64 = AtomicU64::new(0);
const GENERATIONS_PER_QUEUE: u64 = 1 << 24;

/// A queue's slots at an address that never changes, because SPDK holds pointers to them.
///
/// Not a `Box`: moving one would claim that nobody else points into it.
pub(crate) struct Queue {
    core: NonNull<Core>,
}

// SAFETY: a queue is used by one thread at a time (it is !Sync) and everything it points to is its own; which
// thread that is may change between calls.
unsafe impl Send for Queue {}

impl Queue {
    /// A queue with room for `outstanding` commands. `observed`: the observer reports when they are sent.
    pub(crate) fn new(
        qid: u16,
        outstanding: u16,
        log: Arc<CmdLog>,
        observed: bool,
        tables: &Arc<Tables>,
    ) -> Self {
        log.set_depth(u32::from(outstanding) + 1);
        let core = Box::new(Core {
            qid,
            log,
            slots: UnsafeCell::new(Vec::with_capacity(usize::from(outstanding))),
            // The lowest slot first.
            free: UnsafeCell::new((0..outstanding).rev().collect()),
            // A command may time out and be answered before anybody looks.
            done: UnsafeCell::new(VecDeque::with_capacity(2 * usize::from(outstanding))),
            parked: UnsafeCell::new(VecDeque::with_capacity(usize::from(outstanding))),
            called: UnsafeCell::new(VecDeque::with_capacity(usize::from(outstanding))),
            reaches_memory: Cell::new(false),
            kept: UnsafeCell::default(),
            lent: UnsafeCell::default(),
            guard: Guard::new(Arc::clone(tables)),
            latest_cid: Cell::new(0),
            latest_ticks: Cell::new(0),
            observed,
        });
        let queue = NonNull::from(Box::leak(core));
        // SAFETY: just made, and nobody else knows of it yet.
        let slots = unsafe { &mut *queue.as_ref().slots.get() };
        let generation = GENERATIONS.fetch_add(GENERATIONS_PER_QUEUE, Ordering::Relaxed);
        slots.extend((0..outstanding).map(|index| Slot::new(queue, index, generation)));
        Queue { core: queue }
    }

    /// For a device that accesses memory itself.
    pub(crate) fn of_pcie(self) -> Self {
        self.reaches_memory.set(true);
        self
    }
}

impl Deref for Queue {
    type Target = Core;

    fn deref(&self) -> &Core {
        // SAFETY: made in `new`, freed in `drop`, and only ever borrowed shared in between.
        unsafe { self.core.as_ref() }
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        if forked() {
            return;
        }
        if self.is_held() {
            // SPDK would call back into freed memory; a leak is the lesser evil. Not seen to happen: owners
            // free SPDK's queue pair first, which completes what is outstanding.
            tracing::error!("queue {} still has commands with SPDK; its memory is left to them", self.qid);
            return;
        }
        // SAFETY: made by Box::leak, dropped once, and no slot is with SPDK.
        drop(unsafe { Box::from_raw(self.core.as_ptr()) });
    }
}

/// What a queue is made of.
pub(crate) struct Core {
    qid: u16,
    log: Arc<CmdLog>,
    slots: UnsafeCell<Vec<Slot>>,
    free: UnsafeCell<Vec<u16>>,
    done: UnsafeCell<VecDeque<Note>>,
    /// Commands that wait for locked blocks, in the order they came.
    parked: UnsafeCell<VecDeque<u16>>,
    /// Commands whose futures are to be woken.
    called: UnsafeCell<VecDeque<u16>>,
    /// Whether the device has the addresses of buffers.
    reaches_memory: Cell<bool>,
    /// Buffers of commands that were aborted before the device was told.
    kept: UnsafeCell<Vec<DmaBuf>>,
    /// Of an admin queue.
    lent: UnsafeCell<Lent>,
    guard: Guard,
    latest_cid: Cell<u16>,
    latest_ticks: Cell<u64>,
    /// Without the observer nobody tells when and how a command was sent.
    observed: bool,
}

/// What SPDK takes: the function that submits, given the command, the data and the callback's argument.
pub(crate) type Submitter<'a> =
    &'a dyn Fn(*mut spdk_sys::spdk_nvme_cmd, *mut c_void, u32, *mut c_void) -> c_int;

/// Whether SPDK has made this completion itself, of a command that the device still has: SPDK aborts commands before it
/// tells the device that their queue is gone. Such a completion has nothing but a status.
fn is_by_spdk(completion: &Completion) -> bool {
    matches!(completion.status(), Status::ABORTED_BY_REQUEST | Status::ABORTED_SQ_DELETION)
        && (completion.sqhd, completion.cdw0, completion.phase()) == (0, 0, false)
}

impl Core {
    pub(crate) fn latest_cid(&self) -> u16 {
        self.latest_cid.get()
    }

    pub(crate) fn latest_ticks(&self) -> u64 {
        self.latest_ticks.get()
    }

    /// How many commands are submitted whose completion was not taken.
    pub(crate) fn outstanding(&self) -> usize {
        self.slots().len() - self.free().len()
    }

    /// How many blocks its reads found as they were written.
    pub(crate) fn verified(&self) -> u64 {
        self.guard.verified()
    }

    /// How many completions wait to be taken by [`next`](Self::next).
    pub(crate) fn ready(&self) -> usize {
        self.done().len()
    }

    /// Hands a command to SPDK. With `awaited`, only [`take`](Self::take) gets its completion.
    pub(crate) fn submit(
        &self,
        command: &Command,
        data: Option<Data>,
        awaited: bool,
        send: Submitter<'_>,
    ) -> Result<Token> {
        let Some(index) = self.next_index() else {
            return Err(Error::QueueFull { qid: self.qid, outstanding: self.slots().len() as u32 });
        };
        let (address, len) = match data {
            Some(data) => {
                let len = data.transferred()?;
                // SAFETY: Data::new checked that the offset lies inside the allocation.
                let address = unsafe { data.buffer.as_ptr().add(data.offset) };
                self.slots()[index].buffer.set(Some(data.buffer));
                (address.cast::<c_void>(), len)
            }
            None => (std::ptr::null_mut(), 0),
        };
        let state = if awaited { State::Awaited } else { State::InFlight };
        // SAFETY: the slot holds the buffer until SPDK has called back.
        unsafe { self.submit_raw(command, address, len, state, send) }
    }

    /// The slot the next command takes; `None` when the queue is full.
    #[inline]
    pub(crate) fn next_index(&self) -> Option<usize> {
        self.free().last().map(|index| usize::from(*index))
    }

    /// As [`submit`](Self::submit), without keeping the buffer; for commands that nobody awaits.
    ///
    /// # Safety
    /// The data must stay valid until the command's completion is taken or SPDK's queue pair is freed.
    #[inline]
    pub(crate) unsafe fn submit_unowned(
        &self,
        command: &Command,
        address: *mut u8,
        len: u32,
        send: Submitter<'_>,
    ) -> Result<Token> {
        // SAFETY: as the caller promises.
        unsafe { self.submit_raw(command, address.cast(), len, State::InFlight, send) }
    }

    /// # Safety
    /// The data must stay valid until the command's completion is taken or SPDK's queue pair is freed.
    #[inline]
    unsafe fn submit_raw(
        &self,
        command: &Command,
        address: *mut c_void,
        len: u32,
        state: State,
        send: Submitter<'_>,
    ) -> Result<Token> {
        let Some(index) = self.free_mut().pop() else {
            return Err(Error::QueueFull { qid: self.qid, outstanding: self.slots().len() as u32 });
        };
        let slot = &self.slots()[usize::from(index)];
        slot.command.set(*command);
        slot.address.set(address);
        slot.len.set(len);
        slot.state.set(state);
        if self.follows_parked(slot, self.parked_mut().len()) || !self.claim(slot) {
            self.park(slot);
        } else if let Some(error) = self.dispatch(slot, send) {
            self.discard(slot);
            return Err(error);
        }
        Ok(Token::new(index, slot.generation.get()))
    }

    /// Locks the blocks of the command in a slot, unless another command holds one of them.
    #[inline]
    fn claim(&self, slot: &Slot) -> bool {
        if self.qid == 0 {
            return true;
        }
        let (data, len) = (slot.address.get().cast::<u8>(), slot.len.get() as usize);
        // SAFETY: whoever submitted the command keeps its data until it is taken.
        let claim = unsafe { self.guard.claim(&slot.command.get(), data, len) };
        claim.map(|claim| slot.claim.set(claim)).is_some()
    }

    /// Hands the command in a slot to SPDK. After an error it is not there, and its blocks are unlocked.
    #[inline]
    fn dispatch(&self, slot: &Slot, send: Submitter<'_>) -> Option<Error> {
        slot.started.set(Ticks::now());
        slot.logged.set(None);
        let command = slot.command.get();
        let mut entry = command;
        let argument: *const Slot = slot;
        let rc =
            send((&raw mut entry).cast(), slot.address.get(), slot.len.get(), argument.cast_mut().cast());

        // A failing connection may have completed the command before SPDK returned: then it counts as sent.
        if rc != 0 && slot.is_with_spdk() {
            self.guard.release(&slot.claim.take());
            return Some(self.refused(&command, rc));
        }
        if !self.observed {
            slot.sent(command.cid);
        }
        None
    }

    fn refused(&self, command: &Command, rc: c_int) -> Error {
        let why = match -rc {
            libc::ENXIO => return Error::QpairDead { qid: self.qid, state: "disconnected" },
            libc::ENOMEM => "SPDK has no request left for it".to_owned(),
            code => format!("SPDK returned -{code} ({})", std::io::Error::from_raw_os_error(code)),
        };
        Error::Submit { opcode: command.opcode, qid: self.qid, why }
    }

    /// As [`next`](Self::next), reduced to what a worker needs.
    #[inline]
    pub(crate) fn next_brief(&self) -> Option<Brief> {
        let note = self.done_mut().pop_front()?;
        let slot = &self.slots()[usize::from(note.index)];
        let (completion, outcome) = (self.delivered(slot, note.outcome), note.outcome);
        let brief = Brief { index: usize::from(note.index), completion, ticks: slot.ticks.get(), outcome };
        if outcome != Outcome::TimedOut {
            if let Some(mismatch) = slot.mismatch.get() {
                report(slot, mismatch);
            }
            self.release(slot);
        }
        Some(brief)
    }

    /// The next completion that nobody waits for in particular, oldest first.
    pub(crate) fn next(&self) -> Option<Completed> {
        let note = self.done_mut().pop_front()?;
        Some(self.collect(&self.slots()[usize::from(note.index)], note.outcome))
    }

    /// The completion of an awaited command, if it has come.
    pub(crate) fn take(&self, token: Token) -> Option<Completed> {
        let slot = self.find(token)?;
        (slot.state.get() == State::Done { awaited: true }).then(|| self.collect(slot, Outcome::Answered))
    }

    /// Whether a token names a command of this queue, and not one of a queue that was here before.
    pub(crate) fn knows(&self, token: Token) -> bool {
        self.find(token).is_some()
    }

    /// Gives up on an awaited command. Its buffer stays with it until the controller is done.
    pub(crate) fn abandon(&self, token: Token) {
        if let Some(slot) = self.find(token) {
            match slot.state.get() {
                State::Awaited => slot.state.set(State::Abandoned),
                State::Parked { .. } => self.unpark(slot),
                State::Done { awaited: true } => drop(self.collect(slot, Outcome::Answered)),
                _ => {}
            }
        }
    }

    /// Whether SPDK still holds a slot: its memory must not be freed then.
    pub(crate) fn is_held(&self) -> bool {
        self.slots().iter().any(Slot::is_with_spdk)
    }

    fn find(&self, token: Token) -> Option<&Slot> {
        self.slots().get(token.index()).filter(|slot| Token::new(slot.index, slot.generation.get()) == token)
    }

    fn collect(&self, slot: &Slot, outcome: Outcome) -> Completed {
        let completed = Completed {
            token: Token::new(slot.index, slot.generation.get()),
            command: slot.command.get(),
            completion: self.delivered(slot, outcome),
            ticks: slot.ticks.get(),
            outcome,
            mismatch: slot.mismatch.get(),
        };
        if outcome != Outcome::TimedOut {
            if let Some(mismatch) = completed.mismatch {
                report(slot, mismatch);
            }
            self.release(slot);
        }
        completed
    }

    fn delivered(&self, slot: &Slot, outcome: Outcome) -> Completion {
        if outcome == Outcome::TimedOut { Completion::TIMED_OUT } else { slot.completion.get() }
    }

    /// The completion in a slot was taken: gives it back, with its buffer.
    fn release(&self, slot: &Slot) {
        let buffer = slot.buffer.take();
        if self.reaches_memory.get() {
            self.keep_what_is_used(slot, buffer);
        }
        self.vacate(slot);
    }

    fn keep_what_is_used(&self, slot: &Slot, buffer: Option<DmaBuf>) {
        let completion = slot.completion.get();
        match buffer {
            Some(buffer) if is_by_spdk(&completion) => self.kept_mut().push(buffer),
            buffer if self.qid == 0 => {
                self.lent_mut().settle(&slot.command.get(), &completion, slot.completed_at(), buffer);
            }
            _ => {}
        }
    }

    /// The device may go on using what it has, and nothing can be done about that: it is never given back.
    pub(crate) fn leave_buffers(&self) {
        self.slots().iter().for_each(|slot| std::mem::forget(slot.buffer.take()));
        std::mem::forget(std::mem::take(self.kept_mut()));
        std::mem::forget(std::mem::take(self.lent_mut()));
    }

    /// Gives back a slot whose command was never sent.
    fn discard(&self, slot: &Slot) {
        slot.buffer.set(None);
        self.vacate(slot);
    }

    fn vacate(&self, slot: &Slot) {
        slot.mismatch.set(None);
        slot.timed_out.set(false);
        slot.promised.set(false);
        slot.state.set(State::Free);
        slot.generation.set(slot.generation.get() + 1);
        self.free_mut().push(slot.index);
    }

    // The collections below are reached through a shared reference because SPDK calls back into the
    // queue while a method of it runs. No reference into them is held across such a call.

    fn slots(&self) -> &[Slot] {
        // SAFETY: filled in `new` and never changed in length or place afterwards; slots are made of cells.
        unsafe { &*self.slots.get() }
    }

    fn free(&self) -> &Vec<u16> {
        // SAFETY: single-threaded, and the reference does not live across a call into SPDK.
        unsafe { &*self.free.get() }
    }

    #[expect(clippy::mut_from_ref, reason = "see above")]
    fn free_mut(&self) -> &mut Vec<u16> {
        // SAFETY: single-threaded, and used for one push or pop at a time.
        unsafe { &mut *self.free.get() }
    }

    fn done(&self) -> &VecDeque<Note> {
        // SAFETY: single-threaded, and the reference does not live across a call into SPDK.
        unsafe { &*self.done.get() }
    }

    #[expect(clippy::mut_from_ref, reason = "see above")]
    fn done_mut(&self) -> &mut VecDeque<Note> {
        // SAFETY: single-threaded, and used for one push or pop at a time.
        unsafe { &mut *self.done.get() }
    }

    #[expect(clippy::mut_from_ref, reason = "see above")]
    fn kept_mut(&self) -> &mut Vec<DmaBuf> {
        // SAFETY: single-threaded, and the reference does not live across a call into SPDK.
        unsafe { &mut *self.kept.get() }
    }

    #[expect(clippy::mut_from_ref, reason = "see above")]
    fn lent_mut(&self) -> &mut Lent {
        // SAFETY: single-threaded, and the reference does not live across a call into SPDK.
        unsafe { &mut *self.lent.get() }
    }

    #[expect(clippy::mut_from_ref, reason = "see above")]
    fn called_mut(&self) -> &mut VecDeque<u16> {
        // SAFETY: single-threaded, and used for one push or pop at a time.
        unsafe { &mut *self.called.get() }
    }

    #[expect(clippy::mut_from_ref, reason = "see above")]
    fn parked_mut(&self) -> &mut VecDeque<u16> {
        // SAFETY: single-threaded, and the reference does not live across a call into SPDK.
        unsafe { &mut *self.parked.get() }
    }
}

/// Says on the log what was wrong with the data of a read, beside the completion as the controller sent it.
#[cold]
fn report(slot: &Slot, mismatch: Mismatch) {
    let sent = slot.completion.get().with_status(Status::SUCCESS);
    tracing::error!("{mismatch}");
    tracing::error!("original cpl: {sent}");
}
