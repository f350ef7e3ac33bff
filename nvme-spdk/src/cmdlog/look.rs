//! What is new in a command log, for consoles that come back for more.

use std::cmp::Reverse;
use std::ops::RangeInclusive;

use super::{CAPACITY, CmdLog, Entry, Slot};
use crate::command::nvm_opcode;
use crate::status::Status;

/// Which commands are wanted; all of them by default.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Filter {
    pub opcode: Option<u8>,
    pub wanted: Option<Wanted>,
    /// Commands that name logical blocks, at least one of these among them.
    pub lbas: Option<RangeInclusive<u64>>,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wanted {
    InFlight,
    Failed,
    Status(Status),
}

/// The most commands in flight that are watched.
const WATCHED: usize = 128;

/// A part of a log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Recent {
    /// The number of the command that comes next.
    pub next: u64,
    /// How many commands nobody looked at: there were too many of them.
    pub unseen: u64,
    /// Commands that were seen in flight, to be looked at again.
    pub in_flight: Vec<u64>,
    /// What was found, the newest first.
    pub entries: Vec<Entry>,
}

impl CmdLog {
    /// The commands with this number and higher ones that pass the filter, at most so many of them, the newest ones.
    /// Those that failed are among them also where there are too many to look at all. `watched` are commands with lower
    /// numbers that may have completed since.
    pub(crate) fn since(&self, sequence: u64, watched: &[u64], most: usize, filter: &Filter) -> Recent {
        let next = self.total();
        let oldest = sequence.max(next.saturating_sub(CAPACITY as u64)).min(next);
        let (mut seen, mut reached) = (Vec::new(), next);
        let mut found = 0;
        while reached > oldest && found < most {
            reached -= 1;
            let Some(entry) = self.slot(reached).read(reached) else { continue };
            found += usize::from(filter.passes(&entry, self.qid));
            seen.push(entry);
        }
        let failures =
            self.failures(|number| (sequence..reached).contains(&number) || watched.contains(&number));
        let watched = watched.iter().filter(|number| **number < reached);
        seen.extend(watched.filter_map(|&number| self.slot(number).read(number)));
        seen.extend(failures);
        seen.sort_unstable_by_key(|entry| Reverse(entry.sequence));
        seen.dedup_by_key(|entry| entry.sequence);

        let in_flight = seen.iter().rev().filter(|entry| entry.completed.is_none());
        let in_flight = in_flight.map(|entry| entry.sequence).take(WATCHED).collect();
        seen.retain(|entry| filter.passes(entry, self.qid));
        Recent { next, unseen: reached - sequence.min(reached), in_flight, entries: seen }
    }

    fn failures(&self, wanted: impl Fn(u64) -> bool) -> Vec<Entry> {
        // Most queues have none.
        let kept = if self.failed() > 0 { &self.failures[..] } else { &[] };
        kept.iter().filter_map(Slot::entry).filter(|entry| wanted(entry.sequence)).collect()
    }
}

impl Filter {
    fn passes(&self, entry: &Entry, qid: u16) -> bool {
        let status = entry.completed.map(|(completion, _)| completion.status());
        self.opcode.is_none_or(|opcode| opcode == entry.command.opcode)
            && self.wanted.is_none_or(|wanted| wanted.fits(status))
            && self.lbas.as_ref().is_none_or(|wanted| {
                let named = (qid > 0).then(|| entry.blocks()).flatten();
                named.is_some_and(|named| named.start() <= wanted.end() && wanted.start() <= named.end())
            })
    }
}

impl Wanted {
    fn fits(self, status: Option<Status>) -> bool {
        match self {
            Wanted::InFlight => status.is_none(),
            Wanted::Failed => status.is_some_and(|status| !status.is_success()),
            Wanted::Status(wanted) => status == Some(wanted),
        }
    }
}

impl Entry {
    /// The logical blocks that a command of an I/O queue names in its dwords 10 to 12 (NVM and Zoned Namespace
    /// command set specifications). Dataset Management names its own in its data, which no log has.
    fn blocks(&self) -> Option<RangeInclusive<u64>> {
        let first = self.command.slba();
        let count = match self.command.opcode {
            nvm_opcode::WRITE
            | nvm_opcode::READ
            | nvm_opcode::WRITE_UNCORRECTABLE
            | nvm_opcode::COMPARE
            | nvm_opcode::WRITE_ZEROES
            | nvm_opcode::VERIFY
            // Zone Append: the zone it goes to.
            | 0x7d => u64::from(self.command.nlb()),
            // Zone Management Send and Receive.
            0x79 | 0x7a => 1,
            _ => return None,
        };
        Some(first..=first.saturating_add(count - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Ticks;
    use crate::command::{Command, Completion};

    fn lbas(recent: &Recent) -> Vec<u64> {
        recent.entries.iter().map(|entry| entry.command.slba()).collect()
    }

    /// Reads of 8 blocks at 0, 8, 16 …; those whose number `failing` names fail with 02/81.
    fn log_of(count: u64, failing: impl Fn(u64) -> bool) -> CmdLog {
        let log = CmdLog::new(1);
        for number in 0..count {
            let sequence = log.record(&Command::read(1, 8 * number, 8), Ticks(0));
            let status_and_phase = if failing(number) { 2 << 9 | 0x81 << 1 } else { 0 };
            log.answer(sequence, &Completion { status_and_phase, ..Default::default() }, 0);
        }
        log
    }

    #[test]
    fn only_what_is_new_and_not_more_than_asked_for() {
        let log = log_of(10, |_| false);
        let all = Filter::default();
        let recent = log.since(7, &[], 100, &all);
        assert_eq!((recent.next, recent.unseen, lbas(&recent)), (10, 0, vec![72, 64, 56]));
        let recent = log.since(0, &[], 2, &all);
        assert_eq!((recent.next, recent.unseen, lbas(&recent)), (10, 8, vec![72, 64]));
        assert_eq!(log.since(10, &[], 100, &all), Recent { next: 10, ..Recent::default() });
        // A number from a log that was longer.
        assert_eq!(log.since(u64::MAX, &[], 100, &all), Recent { next: 10, ..Recent::default() });
        assert_eq!(log.since(0, &[], 0, &all).unseen, 10);
        assert_eq!(CmdLog::new(1).since(0, &[], 100, &all), Recent::default());
    }

    #[test]
    fn failures_survive_the_ring() {
        let count = 3 * CAPACITY as u64;
        let log = log_of(count, |number| number == 5 || number == 7 || number == count - 1);
        assert_eq!((log.completed(), log.failed()), (count, 3));
        let recent = log.since(0, &[], 2, &Filter::default());
        assert_eq!(lbas(&recent), [8 * (count - 1), 8 * (count - 2), 56, 40]);
        assert_eq!(recent.unseen, count - 2);
        let failed = Filter { wanted: Some(Wanted::Failed), ..Filter::default() };
        let recent = log.since(6, &[], 100, &failed);
        assert_eq!(lbas(&recent), [8 * (count - 1), 56], "each once");
        assert_eq!(recent.unseen, count - CAPACITY as u64 - 6);

        let many = if cfg!(miri) { 100 } else { 1000 };
        let log = log_of(many, |_| true);
        let kept = log.since(0, &[], 0, &failed);
        assert_eq!(
            lbas(&kept),
            (many - super::super::FAILURES as u64..many).rev().map(|n| 8 * n).collect::<Vec<_>>()
        );
    }

    #[test]
    fn what_was_in_flight_is_looked_at_again() {
        let log = log_of(3, |_| false);
        let slow = log.record(&Command::read(1, 1000, 8), Ticks(0));
        let stuck = log.record(&Command::read(1, 2000, 8), Ticks(0));
        let failed = Filter { wanted: Some(Wanted::Failed), ..Filter::default() };
        let first = log.since(0, &[], 100, &failed);
        assert_eq!((first.entries.len(), &first.in_flight), (0, &vec![slow, stuck]));
        log.answer(slow, &Completion { status_and_phase: 2, ..Default::default() }, 0);
        let second = log.since(first.next, &first.in_flight, 100, &failed);
        assert_eq!((lbas(&second), &second.in_flight), (vec![1000], &vec![stuck]));
        // By now the ring has long gone over it.
        (0..2 * CAPACITY as u64).for_each(|lba| {
            let sequence = log.record(&Command::read(1, lba, 1), Ticks(0));
            log.answer(sequence, &Completion::default(), 0);
        });
        let sent = Command::read(1, 2000, 8);
        log.complete(stuck, &Completion::TIMED_OUT, 0, || (sent, Ticks(0)));
        let third = log.since(second.next, &second.in_flight, 100, &failed);
        assert_eq!((lbas(&third), &third.in_flight), (vec![2000], &vec![]));
        assert_eq!(log.since(0, &[u64::MAX], 1, &Filter::default()).in_flight, [0; 0]);
    }

    #[test]
    fn filters() {
        let log = log_of(4, |number| number == 1);
        log.record(&Command::flush(1), Ticks(0));
        let found = |filter: Filter| -> Vec<u64> {
            log.since(0, &[], 100, &filter).entries.iter().map(|entry| entry.sequence).collect()
        };
        let by = Filter::default;
        assert_eq!(found(Filter { opcode: Some(0), ..by() }), [4]);
        assert_eq!(found(Filter { opcode: Some(2), ..by() }), [3, 2, 1, 0]);
        assert_eq!(found(Filter { wanted: Some(Wanted::InFlight), ..by() }), [4]);
        assert_eq!(found(Filter { wanted: Some(Wanted::Failed), ..by() }), [1]);
        assert_eq!(found(Filter { wanted: Some(Wanted::Status(Status::new(2, 0x81))), ..by() }), [1]);
        assert_eq!(found(Filter { wanted: Some(Wanted::Status(Status::SUCCESS)), ..by() }), [3, 2, 0]);
        assert_eq!(found(Filter { lbas: Some(15..=15), ..by() }), [1]);
        assert_eq!(found(Filter { lbas: Some(15..=16), ..by() }), [2, 1]);
        assert_eq!(found(Filter { lbas: Some(32..=u64::MAX), ..by() }), [0; 0]);
        assert_eq!(found(Filter { lbas: Some(0..=u64::MAX), opcode: Some(0), ..by() }), [0; 0]);

        // What dword 10 of an admin command says is no block.
        let admin = CmdLog::new(0);
        admin.record(&Command::get_log_page(2, 1, 0, 512), Ticks(0));
        assert_eq!(admin.since(0, &[], 1, &Filter { lbas: Some(0..=u64::MAX), ..by() }).entries, []);
    }
}
