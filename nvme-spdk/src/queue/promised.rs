//! Commands that futures wait for: those that have news are listed, so that their futures can be woken.

use super::slot::{Slot, State};
use super::{Core, Token};

impl Core {
    /// From now on, a future waits for an awaited command.
    pub(crate) fn promise(&self, token: Token) {
        if let Some(slot) = self.find(token) {
            slot.promised.set(true);
        }
    }

    /// Lists the command in a slot, if a future waits for it. There is room: each is listed once.
    pub(super) fn call(&self, slot: &Slot) {
        if slot.promised.get() && !slot.called.replace(true) {
            self.called_mut().push_back(slot.index);
        }
    }

    /// The place of a command that has news, in the order they came. It may have another command by now.
    pub(crate) fn next_called(&self) -> Option<usize> {
        let index = usize::from(self.called_mut().pop_front()?);
        self.slots()[index].called.set(false);
        Some(index)
    }

    /// Whether a command that a future waits for takes longer than it may.
    pub(crate) fn is_overdue(&self, token: Token) -> bool {
        self.find(token).is_some_and(|slot| {
            slot.timed_out.get() && matches!(slot.state.get(), State::Awaited | State::Parked { .. })
        })
    }
}
