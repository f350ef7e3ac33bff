//! Memory that a device goes on using after the command that has named it.

use crate::buffer::DmaBuf;
use crate::clock::Ticks;
use crate::command::{Command, Completion, admin_opcode};

/// The memory of I/O queues that commands have created, and of shadow doorbells: until the command that undoes it has
/// succeeded, or the admin queue ends, after its controller was disabled.
#[derive(Debug, Default)]
pub(super) struct Lent(Vec<Loan>);

#[derive(Debug)]
struct Loan {
    purpose: Purpose,
    since: Ticks,
    _buffer: DmaBuf,
}

/// What a device has the memory for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    SubmissionQueue(u16),
    CompletionQueue(u16),
    Doorbells,
}

/// What a successful command does to such memory.
enum Effect {
    Takes(Purpose),
    GivesBack(Purpose),
}

impl Effect {
    fn of(command: &Command) -> Option<Self> {
        // QID stands in the lower half of dword 10.
        let qid = command.cdw10 as u16;
        Some(match command.opcode {
            admin_opcode::CREATE_IO_SQ => Effect::Takes(Purpose::SubmissionQueue(qid)),
            admin_opcode::CREATE_IO_CQ => Effect::Takes(Purpose::CompletionQueue(qid)),
            admin_opcode::DELETE_IO_SQ => Effect::GivesBack(Purpose::SubmissionQueue(qid)),
            admin_opcode::DELETE_IO_CQ => Effect::GivesBack(Purpose::CompletionQueue(qid)),
            admin_opcode::DOORBELL_BUFFER_CONFIG => Effect::Takes(Purpose::Doorbells),
            _ => return None,
        })
    }
}

impl Lent {
    /// An admin command was completed at some time; its buffer, if it had one. Commands come here in the order in which
    /// their completions are taken, which is another one.
    pub(super) fn settle(
        &mut self,
        command: &Command,
        completion: &Completion,
        at: Ticks,
        buffer: Option<DmaBuf>,
    ) {
        if !completion.is_success() {
            return;
        }
        match (Effect::of(command), buffer) {
            (Some(Effect::Takes(purpose)), Some(buffer)) => {
                // What it had before is gone, or it would have refused.
                self.give_back(purpose, at);
                self.0.push(Loan { purpose, since: at, _buffer: buffer });
            }
            (Some(Effect::GivesBack(purpose)), _) => self.give_back(purpose, at),
            _ => {}
        }
    }

    fn give_back(&mut self, purpose: Purpose, at: Ticks) {
        self.0.retain(|loan| loan.purpose != purpose || loan.since > at);
    }
}
