//! One command in flight, and what SPDK calls when something happens to it.

use std::cell::Cell;
use std::ffi::c_void;
use std::ptr::NonNull;

use super::Core;
use crate::buffer::DmaBuf;
use crate::clock::Ticks;
use crate::command::{Command, Completion, admin_opcode};
use crate::integrity::{Claim, Mismatch};
use crate::queue::{Note, Outcome};
use crate::status::Status;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Free,
    /// Waits for blocks that another command has locked; not yet sent.
    Parked {
        awaited: bool,
    },
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

/// The place of one command in a queue. SPDK holds its address while the command is in flight.
pub(super) struct Slot {
    pub queue: NonNull<Core>,
    pub index: u16,
    pub generation: Cell<u64>,
    pub state: Cell<State>,
    pub command: Cell<Command>,
    pub started: Cell<Ticks>,
    /// Its entry in the command log, once the transport has taken it.
    pub logged: Cell<Option<u64>>,
    pub completion: Cell<Completion>,
    pub ticks: Cell<u64>,
    pub buffer: Cell<Option<DmaBuf>>,
    /// What the command transfers.
    pub address: Cell<*mut c_void>,
    pub len: Cell<u32>,
    /// The blocks it has locked.
    pub claim: Cell<Claim>,
    pub mismatch: Cell<Option<Mismatch>>,
    /// Its submitter was told that it takes too long.
    pub timed_out: Cell<bool>,
    /// Who waits for it is to be called: it is awaited by a future.
    pub promised: Cell<bool>,
    /// It is among those whose futures are called.
    pub called: Cell<bool>,
}

impl Slot {
    pub(super) fn new(queue: NonNull<Core>, index: u16, generation: u64) -> Self {
        Slot {
            queue,
            index,
            generation: Cell::new(generation),
            state: Cell::new(State::Free),
            command: Cell::new(Command::default()),
            started: Cell::new(Ticks::default()),
            logged: Cell::new(None),
            completion: Cell::new(Completion::default()),
            ticks: Cell::new(0),
            buffer: Cell::new(None),
            address: Cell::new(std::ptr::null_mut()),
            len: Cell::new(0),
            claim: Cell::default(),
            mismatch: Cell::new(None),
            timed_out: Cell::new(false),
            promised: Cell::new(false),
            called: Cell::new(false),
        }
    }

    fn queue(&self) -> &Core {
        // SAFETY: a queue outlives its slots, of which this is one.
        unsafe { self.queue.as_ref() }
    }

    /// When its command was completed.
    pub(super) fn completed_at(&self) -> Ticks {
        Ticks(self.started.get().0.wrapping_add(self.ticks.get()))
    }

    /// Whether SPDK holds its address.
    pub(super) fn is_with_spdk(&self) -> bool {
        matches!(self.state.get(), State::InFlight | State::Awaited | State::Abandoned)
    }

    /// The transport took the command under this identifier.
    pub(super) fn sent(&self, cid: u16) {
        if !self.is_with_spdk() {
            return;
        }
        let mut command = self.command.get();
        command.cid = cid;
        self.command.set(command);
        let queue = self.queue();
        if !self.is_register_access() {
            queue.latest_cid.set(cid);
        }
        self.logged.set(Some(queue.log.record(&command, self.started.get())));
    }

    /// A register is a command over fabrics only: on no transport does reading one change which command was the
    /// latest.
    fn is_register_access(&self) -> bool {
        let own = matches!(self.state.get(), State::Awaited | State::Abandoned);
        own && self.queue().qid == 0 && self.command.get().opcode == admin_opcode::FABRICS
    }

    fn completed(&self, completion: Completion) {
        let queue = self.queue();
        let ticks = Ticks::now().since(self.started.get());
        let completion = trusted(completion, self.command.get().cid);
        // A command that took too long stays in the log as that.
        if let Some(sequence) = self.logged.get()
            && !self.timed_out.get()
        {
            queue.log.complete(sequence, &completion, ticks, || (self.command.get(), self.started.get()));
        }
        if !self.is_register_access() {
            queue.latest_ticks.set(ticks);
        }
        self.ticks.set(ticks);
        self.completion.set(self.settle(completion));
        match self.state.get() {
            State::InFlight => {
                let outcome = if self.timed_out.get() { Outcome::Late } else { Outcome::Answered };
                self.state.set(State::Done { awaited: false });
                queue.done_mut().push_back(Note { index: self.index, outcome });
            }
            State::Awaited => {
                self.state.set(State::Done { awaited: true });
                queue.call(self);
            }
            State::Abandoned => queue.release(self),
            State::Free | State::Parked { .. } | State::Done { .. } => {}
        }
    }

    /// Unlocks its blocks and compares what was read with what should be there; the completion as its
    /// submitter is to see it.
    fn settle(&self, completion: Completion) -> Completion {
        let claim = self.claim.take();
        let opcode = self.command.get().opcode;
        if self.queue().qid == 0 {
            self.queue().guard.admin_completed(opcode, &completion);
            return completion;
        }
        let (data, len) = (self.address.get().cast::<u8>(), self.len.get() as usize);
        // SAFETY: the data is alive: until now the command was with SPDK.
        let mismatch = unsafe { self.queue().guard.settle(&claim, opcode, &completion, data, len) };
        if mismatch.is_none() {
            return completion;
        }
        self.mismatch.set(mismatch);
        completion.with_status(Status::DATA_MISMATCH)
    }
}

/// A completion as far as it can be trusted: for commands it aborts itself SPDK fills in nothing but the
/// status, and the rest is whatever was on its stack.
pub(crate) fn trusted(completion: Completion, cid: u16) -> Completion {
    if completion.status() == Status::ABORTED_SQ_DELETION {
        // SCT, SC and DNR.
        return Completion {
            cid,
            status_and_phase: completion.status_and_phase & 0x8ffe,
            ..Default::default()
        };
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
