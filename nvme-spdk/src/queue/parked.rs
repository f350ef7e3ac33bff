//! Commands that wait in their queue for blocks another command has locked.

use super::slot::{Slot, State};
use super::{Core, Note, Outcome, Submitter};
use crate::clock::Ticks;
use crate::command::{Completion, Fuse};
use crate::status::Status;

impl Core {
    /// Puts a command aside until its blocks are free. It counts as outstanding.
    #[cold]
    pub(super) fn park(&self, slot: &Slot) {
        slot.state.set(State::Parked { awaited: slot.state.get() == State::Awaited });
        slot.started.set(Ticks::now());
        slot.logged.set(None);
        self.parked_mut().push_back(slot.index);
    }

    /// Gives up a command that was never sent.
    pub(super) fn unpark(&self, slot: &Slot) {
        self.parked_mut().retain(|index| *index != slot.index);
        self.discard(slot);
    }

    #[inline]
    pub(crate) fn has_parked(&self) -> bool {
        !self.parked_mut().is_empty()
    }

    /// Sends the parked commands whose blocks are free now. Those that stay keep their order: of two commands
    /// on the same blocks the one submitted first is sent first.
    #[cold]
    pub(crate) fn retry(&self, send: Submitter<'_>) {
        let mut at = 0;
        while let Some(&index) = self.parked_mut().get(at) {
            let slot = &self.slots()[usize::from(index)];
            if !self.follows_parked(slot, at) && self.claim(slot) {
                self.parked_mut().remove(at);
                self.resume(slot, send);
            } else {
                at += 1;
            }
        }
    }

    /// Whether a command belongs behind the parked one in front of place `at`: the second of two fused commands
    /// goes out after the first, and nothing in between.
    #[inline]
    pub(super) fn follows_parked(&self, slot: &Slot, at: usize) -> bool {
        slot.command.get().fuse() == Fuse::Second
            && at
                .checked_sub(1)
                .and_then(|before| self.parked_mut().get(before))
                .is_some_and(|&index| self.slots()[usize::from(index)].command.get().fuse() == Fuse::First)
    }

    fn resume(&self, slot: &Slot, send: Submitter<'_>) {
        let State::Parked { awaited } = slot.state.get() else { return };
        slot.state.set(if awaited { State::Awaited } else { State::InFlight });
        if self.dispatch(slot, send).is_some() {
            // Its submitter was told that it is on its way: it comes back as what SPDK makes of commands on a
            // queue that is gone.
            slot.completion.set(Completion::default().with_status(Status::ABORTED_SQ_DELETION));
            slot.state.set(State::Done { awaited });
            if awaited {
                self.call(slot);
            } else {
                self.done_mut().push_back(Note { index: slot.index, outcome: Outcome::Answered });
            }
        }
    }
}
