//! Commands in flight: who owns their buffers, and where their completions go.
//!
//! A queue has one slot per command that may be outstanding, made once. A slot owns the command's buffer
//! from submission until SPDK has called back, so nothing the user drops can be under DMA; the callback
//! itself only writes the completion down. Whoever waits takes it from there and runs the user's code on
//! his own thread.
//!
//! A queue is driven by one thread at a time. The types say so by being `!Sync`; their owners put them
//! behind a lock.

use std::cell::{Cell, UnsafeCell};
use std::collections::VecDeque;
use std::ffi::{c_int, c_void};
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

use crate::buffer::DmaBuf;
use crate::clock::Ticks;
use crate::cmdlog::CmdLog;
use crate::command::{Command, Completion};
use crate::error::{Error, Result};
use crate::status::Status;

/// Names a submitted command until its completion is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Token(u64);

impl Token {
    fn new(slot: u16, generation: u64) -> Self {
        Token(generation << 16 | u64::from(slot))
    }

    fn slot(self) -> u16 {
        self.0 as u16
    }

    /// The place of the command among those that may be outstanding: below the depth of its queue, and
    /// free again once the completion is taken. Good as an index for data kept per command.
    pub fn index(self) -> usize {
        usize::from(self.slot())
    }
}

/// What a command transfers: a part of a buffer.
#[derive(Debug, Clone)]
pub struct Data {
    buffer: DmaBuf,
    offset: usize,
    len: u32,
}

impl Data {
    /// `len` bytes of `buffer` from `offset` on.
    ///
    /// # Errors
    /// [`Error::BufferTooSmall`] if they reach further than one page behind the buffer, [`Error::InvalidArgument`]
    /// beyond 4 GiB.
    pub fn new(buffer: &DmaBuf, offset: usize, len: usize) -> Result<Self> {
        let end = offset.checked_add(len);
        if end.is_none_or(|end| end > buffer.reach()) {
            return Err(Error::BufferTooSmall {
                needed: len as u64,
                available: buffer.len().saturating_sub(offset) as u64,
            });
        }
        let len = u32::try_from(len)
            .map_err(|_| Error::InvalidArgument(format!("a command transfers less than 4 GiB, not {len} bytes")))?;
        Ok(Data { buffer: buffer.clone(), offset, len })
    }

    /// How many bytes.
    #[expect(clippy::len_without_is_empty, reason = "an empty transfer is a transfer")]
    pub fn len(&self) -> usize {
        self.len as usize
    }
}

impl From<&DmaBuf> for Data {
    /// The whole buffer.
    fn from(buffer: &DmaBuf) -> Self {
        let len = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
        Data { buffer: buffer.clone(), offset: 0, len }
    }
}

/// A command whose completion has come.
#[derive(Debug)]
pub struct Completed {
    /// What `submit` returned for it.
    pub token: Token,
    /// The command, with the identifier it was sent under.
    pub command: Command,
    /// The completion queue entry.
    pub completion: Completion,
    /// From submission until its completion was seen, in ticks; see [`Completed::latency`].
    pub ticks: u64,
}

impl Completed {
    /// From submission until its completion was seen.
    pub fn latency(&self) -> std::time::Duration {
        crate::clock::duration(self.ticks)
    }
}

/// A completion in brief: of which slot, what it says, and how long it took.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Brief {
    pub index: usize,
    pub completion: Completion,
    pub ticks: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Free,
    /// With SPDK; its completion goes to whoever takes the next one.
    InFlight,
    /// With SPDK; its submitter waits for this very command.
    Awaited,
    /// With SPDK; nobody waits any more.
    Abandoned,
    /// Its completion is noted and not yet taken.
    Done {
        awaited: bool,
    },
}

struct Slot {
    queue: NonNull<Core>,
    index: u16,
    generation: Cell<u64>,
    state: Cell<State>,
    command: Cell<Command>,
    started: Cell<Ticks>,
    /// Its entry in the command log, once the transport has taken it.
    logged: Cell<Option<u64>>,
    completion: Cell<Completion>,
    ticks: Cell<u64>,
    buffer: Cell<Option<DmaBuf>>,
}

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
    pub(crate) fn new(qid: u16, outstanding: u16, log: Arc<CmdLog>, observed: bool) -> Self {
        let core = Box::new(Core {
            qid,
            log,
            slots: UnsafeCell::new(Vec::with_capacity(usize::from(outstanding))),
            // The lowest slot first.
            free: UnsafeCell::new((0..outstanding).rev().collect()),
            done: UnsafeCell::new(VecDeque::with_capacity(usize::from(outstanding))),
            latest_cid: Cell::new(0),
            latest_ticks: Cell::new(0),
            observed,
        });
        let queue = NonNull::from(Box::leak(core));
        // SAFETY: just made, and nobody else knows of it yet.
        let slots = unsafe { &mut *queue.as_ref().slots.get() };
        slots.extend((0..outstanding).map(|index| Slot::new(queue, index)));
        Queue { core: queue }
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
    done: UnsafeCell<VecDeque<u16>>,
    latest_cid: Cell<u16>,
    latest_ticks: Cell<u64>,
    /// Without the observer nobody tells when and how a command was sent.
    observed: bool,
}

/// What SPDK takes: the function that submits, given the command, the data and the callback's argument.
pub(crate) type Submitter<'a> = &'a dyn Fn(*mut spdk_sys::spdk_nvme_cmd, *mut c_void, u32, *mut c_void) -> c_int;

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
                // SAFETY: Data::new checked that the offset lies inside the allocation.
                let address = unsafe { data.buffer.as_ptr().add(data.offset) };
                self.slots()[index].buffer.set(Some(data.buffer));
                (address.cast::<c_void>(), data.len)
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
        slot.started.set(Ticks::now());
        slot.logged.set(None);
        slot.state.set(state);

        let mut entry = *command;
        let argument: *const Slot = slot;
        let rc = send((&raw mut entry).cast(), address, len, argument.cast_mut().cast());

        // A failing connection may have completed the command before SPDK returned: then it counts as sent.
        if rc != 0 && matches!(slot.state.get(), State::InFlight | State::Awaited) {
            self.release(slot);
            return Err(self.refused(command, rc));
        }
        if !self.observed {
            slot.sent(command.cid);
        }
        Ok(Token::new(index, slot.generation.get()))
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
        let index = self.done_mut().pop_front()?;
        let slot = &self.slots()[usize::from(index)];
        let brief = Brief { index: usize::from(index), completion: slot.completion.get(), ticks: slot.ticks.get() };
        self.release(slot);
        Some(brief)
    }

    /// The next completion that nobody waits for in particular, oldest first.
    pub(crate) fn next(&self) -> Option<Completed> {
        let index = self.done_mut().pop_front()?;
        Some(self.collect(&self.slots()[usize::from(index)]))
    }

    /// The completion of an awaited command, if it has come.
    pub(crate) fn take(&self, token: Token) -> Option<Completed> {
        let slot = self.find(token)?;
        (slot.state.get() == State::Done { awaited: true }).then(|| self.collect(slot))
    }

    /// Gives up on an awaited command. Its buffer stays with it until the controller is done.
    pub(crate) fn abandon(&self, token: Token) {
        if let Some(slot) = self.find(token) {
            match slot.state.get() {
                State::Awaited => slot.state.set(State::Abandoned),
                State::Done { awaited: true } => drop(self.collect(slot)),
                _ => {}
            }
        }
    }

    /// Whether SPDK still holds a slot: its memory must not be freed then.
    pub(crate) fn is_held(&self) -> bool {
        self.slots().iter().any(|slot| matches!(slot.state.get(), State::InFlight | State::Awaited | State::Abandoned))
    }

    fn find(&self, token: Token) -> Option<&Slot> {
        self.slots().get(token.index()).filter(|slot| Token::new(slot.index, slot.generation.get()) == token)
    }

    fn collect(&self, slot: &Slot) -> Completed {
        let completed = Completed {
            token: Token::new(slot.index, slot.generation.get()),
            command: slot.command.get(),
            completion: slot.completion.get(),
            ticks: slot.ticks.get(),
        };
        self.release(slot);
        completed
    }

    fn release(&self, slot: &Slot) {
        slot.buffer.set(None);
        slot.state.set(State::Free);
        slot.generation.set(slot.generation.get() + 1);
        self.free_mut().push(slot.index);
    }

    // The three collections below are reached through a shared reference because SPDK calls back into the
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

    fn done(&self) -> &VecDeque<u16> {
        // SAFETY: single-threaded, and the reference does not live across a call into SPDK.
        unsafe { &*self.done.get() }
    }

    #[expect(clippy::mut_from_ref, reason = "see above")]
    fn done_mut(&self) -> &mut VecDeque<u16> {
        // SAFETY: single-threaded, and used for one push or pop at a time.
        unsafe { &mut *self.done.get() }
    }
}

impl Slot {
    fn new(queue: NonNull<Core>, index: u16) -> Self {
        Slot {
            queue,
            index,
            generation: Cell::new(0),
            state: Cell::new(State::Free),
            command: Cell::new(Command::default()),
            started: Cell::new(Ticks::default()),
            logged: Cell::new(None),
            completion: Cell::new(Completion::default()),
            ticks: Cell::new(0),
            buffer: Cell::new(None),
        }
    }

    fn queue(&self) -> &Core {
        // SAFETY: a queue outlives its slots, of which this is one.
        unsafe { self.queue.as_ref() }
    }

    /// The transport took the command under this identifier.
    fn sent(&self, cid: u16) {
        if !matches!(self.state.get(), State::InFlight | State::Awaited | State::Abandoned) {
            return;
        }
        let mut command = self.command.get();
        command.cid = cid;
        self.command.set(command);
        let queue = self.queue();
        queue.latest_cid.set(cid);
        self.logged.set(Some(queue.log.record(&command, self.started.get())));
    }

    fn completed(&self, completion: Completion) {
        let queue = self.queue();
        let ticks = Ticks::now().since(self.started.get());
        let completion = trusted(completion, self.command.get().cid);
        if let Some(sequence) = self.logged.get() {
            queue.log.complete(sequence, &completion, ticks);
        }
        queue.latest_ticks.set(ticks);
        self.completion.set(completion);
        self.ticks.set(ticks);
        match self.state.get() {
            State::InFlight => {
                self.state.set(State::Done { awaited: false });
                queue.done_mut().push_back(self.index);
            }
            State::Awaited => self.state.set(State::Done { awaited: true }),
            State::Abandoned => queue.release(self),
            State::Free | State::Done { .. } => {}
        }
    }
}

/// A completion as far as it can be trusted: for commands it aborts itself SPDK fills in nothing but the
/// status, and the rest is whatever was on its stack.
pub(crate) fn trusted(completion: Completion, cid: u16) -> Completion {
    if completion.status() == Status::ABORTED_SQ_DELETION {
        // SCT, SC and DNR.
        return Completion { cid, status_and_phase: completion.status_and_phase & 0x8ffe, ..Default::default() };
    }
    Completion { cid, ..completion }
}

/// What SPDK calls when a command of ours is complete. Only writes it down: nothing here can panic, allocate
/// or call back into SPDK (but for giving back an abandoned buffer).
pub(crate) unsafe extern "C" fn on_complete(slot: *mut c_void, completion: *const spdk_sys::spdk_nvme_cpl) {
    // SAFETY: the argument is a slot of a queue that exists as long as SPDK holds the command, and SPDK calls
    // on the thread that drives the queue; the completion is valid during the call and the layouts agree.
    let (slot, completion) = unsafe { (&*slot.cast::<Slot>(), *completion.cast::<Completion>()) };
    slot.completed(completion);
}

/// What the observer calls when the transport has taken a command of ours.
pub(crate) unsafe extern "C" fn on_submitted(slot: *mut c_void, cid: u16) {
    // SAFETY: as in on_complete.
    let slot = unsafe { &*slot.cast::<Slot>() };
    slot.sent(cid);
}

/// The callback in the form SPDK's functions want it.
pub(crate) const ON_COMPLETE: spdk_sys::spdk_nvme_cmd_cb = Some(on_complete);

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// Stands for SPDK: keeps the callback's arguments until told to complete them.
    #[derive(Default)]
    struct Device {
        held: RefCell<Vec<*mut c_void>>,
        refuse: Cell<c_int>,
    }

    impl Device {
        fn submit(&self, queue: &Queue, command: &Command, awaited: bool) -> Result<Token> {
            queue.submit(command, None, awaited, &|_, _, _, slot| {
                if self.refuse.get() == 0 {
                    self.held.borrow_mut().push(slot);
                }
                self.refuse.get()
            })
        }

        fn complete(&self, nth: usize, completion: Completion) {
            let slot = self.held.borrow_mut().remove(nth);
            // SAFETY: the queue of the test is alive, and the pointer came from it.
            unsafe { on_complete(slot, (&raw const completion).cast()) };
        }
    }

    fn queue(outstanding: u16) -> Queue {
        Queue::new(1, outstanding, Arc::new(CmdLog::new(1)), false)
    }

    fn failed(sct: u16, sc: u16) -> Completion {
        Completion { status_and_phase: sct << 9 | sc << 1, ..Default::default() }
    }

    #[test]
    fn completions_come_in_the_order_of_the_device() {
        let (queue, device) = (queue(4), Device::default());
        let tokens: Vec<_> = (0..4).map(|lba| device.submit(&queue, &Command::read(1, lba, 1), false).unwrap()).collect();
        assert!(matches!(device.submit(&queue, &Command::flush(1), false), Err(Error::QueueFull { outstanding: 4, .. })));
        device.complete(2, Completion::default());
        device.complete(0, failed(2, 0x81));
        assert_eq!(queue.ready(), 2);
        let first = queue.next().unwrap();
        assert_eq!((first.token, first.command.slba()), (tokens[2], 2));
        let second = queue.next().unwrap();
        assert_eq!((second.token, second.completion.status()), (tokens[0], Status::new(2, 0x81)));
        assert!(queue.next().is_none());
        assert_eq!(queue.outstanding(), 2);
        device.complete(0, Completion::default());
        device.complete(0, Completion::default());
    }

    #[test]
    fn an_awaited_command_is_for_its_submitter_alone() {
        let (queue, device) = (queue(2), Device::default());
        let awaited = device.submit(&queue, &Command::read(1, 0, 1), true).unwrap();
        let other = device.submit(&queue, &Command::read(1, 1, 1), false).unwrap();
        assert!(queue.take(awaited).is_none());
        device.complete(0, Completion::default());
        device.complete(0, Completion::default());
        assert_eq!(queue.next().unwrap().token, other);
        assert!(queue.next().is_none());
        assert_eq!(queue.take(awaited).unwrap().token, awaited);
        assert!(queue.take(awaited).is_none(), "a token is good for one completion");
    }

    #[test]
    fn an_abandoned_command_frees_its_slot_when_it_completes() {
        let (queue, device) = (queue(1), Device::default());
        let token = device.submit(&queue, &Command::read(1, 0, 1), true).unwrap();
        queue.abandon(token);
        assert!(device.submit(&queue, &Command::flush(1), false).is_err());
        device.complete(0, Completion::default());
        assert_eq!(queue.outstanding(), 0);
        let again = device.submit(&queue, &Command::flush(1), false).unwrap();
        assert_ne!(again, token);
        assert_eq!(again.index(), token.index());
        device.complete(0, Completion::default());
        queue.abandon(token);
        assert_eq!(queue.ready(), 1, "an old token touches nothing");
    }

    #[test]
    fn a_refused_command_leaves_nothing() {
        let (queue, device) = (queue(1), Device::default());
        device.refuse.set(-libc::ENOMEM);
        assert!(matches!(device.submit(&queue, &Command::flush(1), false), Err(Error::Submit { .. })));
        device.refuse.set(-libc::ENXIO);
        assert!(matches!(device.submit(&queue, &Command::flush(1), false), Err(Error::QpairDead { .. })));
        assert_eq!(queue.outstanding(), 0);
    }

    #[test]
    fn a_command_completed_while_it_is_refused_counts_as_sent() {
        let queue = queue(1);
        let token = queue
            .submit(&Command::flush(1), None, false, &|_, _, _, slot| {
                let completion = failed(0, 8);
                // SAFETY: the queue is alive, and the pointer came from it.
                unsafe { on_complete(slot, (&raw const completion).cast()) };
                -libc::ENXIO
            })
            .unwrap();
        assert_eq!(queue.next().unwrap().token, token);
    }

    #[test]
    fn of_an_aborted_command_only_the_status_counts() {
        let garbage = Completion { cdw0: 77, sqhd: 5, status_and_phase: 0xffff & !(0x7ff << 1) | 8 << 1, ..Default::default() };
        let completion = trusted(garbage, 3);
        assert_eq!((completion.cdw0, completion.sqhd, completion.cid), (0, 0, 3));
        assert_eq!(completion.status(), Status::ABORTED_SQ_DELETION);
        assert!(completion.dnr() && !completion.more() && !completion.phase());
    }

    #[test]
    fn a_queue_may_move_while_commands_are_outstanding() {
        let device = Device::default();
        let queue = queue(2);
        device.submit(&queue, &Command::read(1, 7, 1), false).unwrap();
        let moved = Box::new(queue);
        device.complete(0, Completion::default());
        assert_eq!(moved.next().unwrap().command.slba(), 7);
    }
}
