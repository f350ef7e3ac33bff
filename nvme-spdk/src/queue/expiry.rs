//! Commands that take longer than they may.

use super::slot::{Slot, State};
use super::{Core, Note, Outcome};
use crate::clock::Ticks;
use crate::command::{Completion, admin_opcode};

impl Core {
    /// Notes the commands that were sent, or parked, more than `limit` ticks ago. They keep their place. Commands
    /// that somebody waits for in a call have a limit of their own.
    pub(crate) fn expire(&self, now: Ticks, limit: u64) {
        for slot in self.slots() {
            let limited = match slot.state.get() {
                State::InFlight | State::Parked { awaited: false } => true,
                State::Awaited | State::Parked { awaited: true } => slot.promised.get(),
                State::Free | State::Abandoned | State::Done { .. } => false,
            };
            if limited
                && !slot.timed_out.get()
                && now.since(slot.started.get()) > limit
                && !self.is_event_request(slot)
            {
                slot.timed_out.set(true);
                if let Some(sequence) = slot.logged.get() {
                    let started = slot.started.get();
                    self.log.complete(sequence, &Completion::TIMED_OUT, now.since(started), || {
                        (slot.command.get(), started)
                    });
                }
                match slot.promised.get() {
                    true => self.call(slot),
                    false => {
                        self.done_mut().push_back(Note { index: slot.index, outcome: Outcome::TimedOut });
                    }
                }
            }
        }
    }

    /// An Asynchronous Event Request is outstanding until an event occurs, however long that takes.
    fn is_event_request(&self, slot: &Slot) -> bool {
        self.qid == 0 && slot.command.get().opcode == admin_opcode::ASYNC_EVENT_REQUEST
    }
}
