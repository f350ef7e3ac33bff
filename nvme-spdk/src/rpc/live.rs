//! What consoles ask for every second: counters, and what is new in the command logs. Both are kept anyway and read
//! without stopping whoever drives the queue.

use std::fmt::Write;
use std::ops::RangeInclusive;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::methods::{LONGEST_LIST, fitting, fitting_in, serialized_len};
use super::protocol::{Fault, INVALID_PARAMS};
use crate::clock::Ticks;
use crate::cmdlog::{CmdLog, Entry, Filter, Recent, Wanted};
use crate::registry::Listed;
use crate::sharing::process::member_of;
use crate::status::Status;

/// The most commands in an answer, not counting failures that were kept.
const MOST_COMMANDS: usize = 200;

/// The most queues in a question.
const MOST_QUEUES: usize = 64;

/// What the queues of this process have counted so far.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Counts {
    now: u64,
    controllers: Vec<ControllerRow>,
    queues: Vec<QueueCounts>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct ControllerRow {
    address: String,
    model: String,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct QueueCounts {
    queue: u64,
    /// Its place in the list of controllers.
    controller: usize,
    qid: u16,
    depth: u32,
    in_flight: u64,
    completed: u64,
    failed: u64,
    bytes: u64,
}

pub(super) fn counts(listed: &[Listed]) -> Counts {
    let controllers =
        listed.iter().map(|one| ControllerRow { address: one.traddr.clone(), model: one.model.clone() });
    let queues = listed.iter().zip(0..).flat_map(|(one, controller)| {
        one.queues.iter().map(move |log| QueueCounts {
            queue: log.handle(),
            controller,
            qid: log.qid(),
            depth: log.depth(),
            in_flight: log.outstanding(),
            completed: log.completed(),
            failed: log.failed(),
            bytes: log.traffic().amount().bytes,
        })
    });
    Counts {
        now: microseconds(Ticks::now().wall_clock()),
        controllers: controllers.take(MOST_QUEUES).collect(),
        queues: queues.collect(),
    }
}

impl Counts {
    /// With those of a process that shares this one's controllers. The admin queues are the same.
    pub(super) fn and(mut self, theirs: Counts) -> Counts {
        let places: Vec<usize> = theirs.controllers.into_iter().map(|one| self.place(one)).collect();
        let queues = theirs.queues.into_iter().filter(|queue| queue.qid != 0);
        self.queues.extend(
            queues.filter_map(|queue| {
                Some(QueueCounts { controller: *places.get(queue.controller)?, ..queue })
            }),
        );
        self
    }

    fn place(&mut self, controller: ControllerRow) -> usize {
        let known = self.controllers.iter().position(|one| *one == controller);
        known.unwrap_or_else(|| {
            self.controllers.push(controller);
            self.controllers.len() - 1
        })
    }

    /// As many queues as one answer can hold.
    pub(super) fn fitting(self) -> Counts {
        Counts { queues: fitting(self.queues).collect(), ..self }
    }
}

/// What is new in the logs that were asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct News {
    queues: Vec<Option<QueueNews>>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct QueueNews {
    next: u64,
    unseen: u64,
    in_flight: Vec<u64>,
    commands: Vec<Row>,
}

/// A command: its number, when it was sent, its bytes, its latency, the bytes of its completion.
type Row = (u64, u64, String, Option<u64>, Option<String>);

/// What to look for in which logs.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Question {
    /// The queue, the first command, and earlier ones that were in flight.
    queues: Vec<(u64, u64, Vec<u64>)>,
    most: Option<usize>,
    opcode: Option<u8>,
    status: Option<StatusWanted>,
    lba: Option<(u64, u64)>,
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(untagged)]
enum StatusWanted {
    Word(Word),
    Code(u8, u8),
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    #[serde(rename = "in flight")]
    InFlight,
    Failed,
}

impl Question {
    pub(super) fn parse(params: &Value) -> Result<Question, Fault> {
        let question = Question::deserialize(params).map_err(|_| INVALID_PARAMS)?;
        if question.queues.len() > MOST_QUEUES { Err(INVALID_PARAMS) } else { Ok(question) }
    }

    /// As it is asked.
    pub(super) fn params(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.queues.is_empty()
    }

    /// The part of it about some of the queues, which get their share of the commands.
    pub(super) fn only(&self, wanted: impl Fn(u64) -> bool) -> Question {
        let mut part = Question { queues: self.queues.clone(), ..*self };
        part.queues.retain(|(handle, ..)| wanted(*handle));
        part.most = Some((self.most() * part.queues.len()).div_ceil(self.queues.len().max(1)));
        part
    }

    fn most(&self) -> usize {
        self.most.unwrap_or(100).min(MOST_COMMANDS)
    }

    fn filter(&self) -> Filter {
        Filter {
            opcode: self.opcode,
            wanted: self.status.map(|wanted| match wanted {
                StatusWanted::Word(Word::InFlight) => Wanted::InFlight,
                StatusWanted::Word(Word::Failed) => Wanted::Failed,
                StatusWanted::Code(sct, sc) => Wanted::Status(Status::new(sct, sc)),
            }),
            lbas: self.lba.map(|(first, last)| RangeInclusive::new(first, last)),
        }
    }
}

pub(super) fn news(listed: &[Listed], question: &Question) -> News {
    let filter = question.filter();
    let find = |handle| listed.iter().flat_map(|one| &one.queues).find(|log| log.handle() == handle);
    let elsewhere = |handle| find(handle).is_none() && member_of(handle).is_some();
    let here = question.only(|handle| !elsewhere(handle));
    let mut room = here.most();
    let mut left = here.queues.len();
    let queues = question.queues.iter().map(|(handle, since, watched)| {
        if elsewhere(*handle) {
            return None;
        }
        // What one queue does not need, those behind it may have.
        let share = room.div_ceil(left);
        left -= 1;
        let news = look(find(*handle)?, *since, watched, share, &filter);
        room -= news.commands.len().min(share).min(room);
        Some(news)
    });
    News { queues: queues.collect() }
}

impl News {
    /// Whether there are queues that are not here.
    pub(super) fn lacks_some(&self) -> bool {
        self.queues.contains(&None)
    }

    /// Takes in what a process answered to its part of the question, if it did in time. What it did not come to is
    /// as it was.
    pub(super) fn add(&mut self, question: &Question, asked: &Question, answer: Option<News>) {
        let mut told = answer.map_or_else(Vec::new, |answer| answer.queues).into_iter();
        for (handle, since, watched) in &asked.queues {
            let unchanged =
                || QueueNews { next: *since, unseen: 0, in_flight: watched.clone(), commands: Vec::new() };
            let news = told.next().unwrap_or_else(|| Some(unchanged()));
            let place = question.queues.iter().position(|(queue, ..)| queue == handle);
            if let Some(place) = place.and_then(|place| self.queues.get_mut(place)) {
                *place = news;
            }
        }
    }

    /// As many queues as one answer can hold, but at least the first one.
    pub(super) fn fitting(mut self) -> News {
        if let Some(Some(first)) = self.queues.first_mut() {
            first.trim();
        }
        News { queues: fitting(self.queues).collect() }
    }
}

impl QueueNews {
    /// Leaves out what does not fit into an answer even alone: the oldest commands.
    fn trim(&mut self) {
        // Around the commands: numbers, and names.
        let around = serialized_len(&self.in_flight) + 128;
        let kept = fitting_in(LONGEST_LIST.saturating_sub(around), &self.commands).count();
        self.unseen += (self.commands.len() - kept) as u64;
        self.commands.truncate(kept);
    }
}

fn look(log: &CmdLog, since: u64, watched: &[u64], most: usize, filter: &Filter) -> QueueNews {
    let Recent { next, unseen, in_flight, entries } = log.since(since, watched, most, filter);
    QueueNews { next, unseen, in_flight, commands: entries.iter().map(row).collect() }
}

fn row(entry: &Entry) -> Row {
    let (latency, completion) = match entry.completed {
        Some((completion, latency)) => {
            let nanoseconds = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
            (Some(nanoseconds), Some(hex(&completion.dwords())))
        }
        None => (None, None),
    };
    (entry.sequence, microseconds(entry.submitted), hex(&entry.command.dwords()), latency, completion)
}

/// The bytes of dwords as they lie in memory.
fn hex(dwords: &[u32]) -> String {
    let mut text = String::with_capacity(8 * dwords.len());
    for dword in dwords {
        // Writing to a string cannot fail.
        let _ = write!(text, "{:08x}", dword.swap_bytes());
    }
    text
}

fn microseconds(moment: SystemTime) -> u64 {
    moment.duration_since(UNIX_EPOCH).map_or(0, |span| u64::try_from(span.as_micros()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::super::methods::LONGEST_ANSWER;
    use super::super::protocol::answer;
    use super::*;
    use crate::command::{Command, Completion};

    fn controller(qids: &[u16]) -> Listed {
        Listed {
            traddr: "127.0.0.1".to_owned(),
            model: "Model".to_owned(),
            queues: qids.iter().map(|&qid| Arc::new(CmdLog::new(qid))).collect(),
        }
    }

    /// Twenty reads, the last one of which is in flight and the first one of which failed.
    fn busy(listed: &Listed, index: usize) -> u64 {
        let log = &listed.queues[index];
        for lba in 0..20 {
            let sequence = log.record(&Command::read(1, lba, 1), Ticks(0));
            let status_and_phase = if lba == 0 { 2 << 9 | 0x81 << 1 } else { 0 };
            if lba < 19 {
                log.answer(sequence, &Completion { status_and_phase, ..Default::default() }, 1000);
            }
        }
        log.handle()
    }

    fn ask(listed: &[Listed], params: Value) -> Result<News, Fault> {
        Question::parse(&params).map(|question| news(listed, &question).fitting())
    }

    #[test]
    fn counters_of_every_queue() {
        let listed = [controller(&[0]), controller(&[0, 3])];
        let handle = busy(&listed[1], 1);
        listed[1].queues[1].traffic().count(4096);
        listed[1].queues[1].set_depth(64);
        let found = serde_json::to_value(counts(&listed)).unwrap();
        assert_eq!(
            found["queues"][2],
            json!({"queue": handle, "controller": 1, "qid": 3, "depth": 64, "in_flight": 1, "completed": 19,
                   "failed": 1, "bytes": 4096})
        );
        assert_eq!(found["queues"].as_array().unwrap().len(), 3);
        assert_eq!(found["controllers"][1], json!({"address": "127.0.0.1", "model": "Model"}));
    }

    #[test]
    fn commands_since() {
        let listed = [controller(&[0, 1])];
        let handle = busy(&listed[0], 1);
        let ask = |params: Value| ask(&listed, params).map(|found| serde_json::to_value(found).unwrap());
        let found = ask(json!({"queues": [[handle, 17, []], [u64::MAX, 0, []]]})).unwrap();
        assert_eq!((&found["queues"][0]["next"], &found["queues"][0]["unseen"]), (&json!(20), &json!(0)));
        assert_eq!(found["queues"][1], json!(null));
        let commands = found["queues"][0]["commands"].as_array().unwrap();
        assert_eq!(commands.len(), 3);
        let sqe = format!("02000000{}13000000{}", "01000000".to_owned() + &"00".repeat(32), "00".repeat(20));
        assert_eq!(commands[0], json!([19, commands[0][1], sqe, null, null]));
        assert_eq!((&commands[1][3], &commands[1][4]), (&json!(1000), &json!("00".repeat(16))));

        let numbers = |more: Value| {
            let mut params = json!({"queues": [[handle, 0, []]]});
            params.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            let found = ask(params).unwrap();
            let rows = found["queues"][0]["commands"].as_array().unwrap().clone();
            rows.iter().map(|row| row[0].as_u64().unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(numbers(json!({"status": "failed"})), [0]);
        assert_eq!(numbers(json!({"status": [2, 0x81]})), [0]);
        assert_eq!(numbers(json!({"status": "in flight"})), [19]);
        assert_eq!(numbers(json!({"lba": [3, 4]})), [4, 3]);
        assert_eq!(numbers(json!({"opcode": 1})), [0; 0]);
        // One of those that failed is always told.
        assert_eq!(numbers(json!({"most": 2, "opcode": 2})), [19, 18, 0]);

        for wrong in [
            json!(null),
            json!([]),
            json!({}),
            json!({"queues": [handle]}),
            json!({"queues": [[handle, 0]]}),
            json!({"queues": [[handle, -1, []]]}),
            json!({"queues": [[handle, 0, []]], "status": "bad"}),
            json!({"queues": [[handle, 0, []]], "opcode": 256}),
            json!({"queues": [[handle, 0, []]], "most": -1}),
            json!({"queues": [[handle, 0, []]], "colour": 1}),
            json!({"queues": vec![(handle, 0, [0; 0]); MOST_QUEUES + 1]}),
        ] {
            assert_eq!(ask(wrong.clone()), Err(INVALID_PARAMS), "{wrong}");
        }
    }

    #[test]
    fn what_a_quiet_queue_leaves_a_busy_one_takes() {
        let listed = [controller(&[0, 1, 2])];
        let handles = [listed[0].queues[0].handle(), busy(&listed[0], 1), busy(&listed[0], 2)];
        let queues: Vec<_> = handles.iter().map(|handle| (*handle, 1, [0; 0])).collect();
        let found = ask(&listed, json!({"queues": queues, "most": 20})).unwrap();
        let told: Vec<_> = found.queues.iter().flatten().map(|queue| queue.commands.len()).collect();
        assert_eq!(told, [0, 10, 10]);
    }

    #[test]
    fn answers_fit_whatever_there_is_to_tell() {
        let all: Vec<_> = (0..=1024).collect();
        let listed = [controller(&all)];
        for log in &listed[0].queues {
            for _ in 0..100 {
                let sequence = log.record(&Command::read(u32::MAX, u64::MAX, 1), Ticks(u64::MAX / 2));
                log.answer(sequence, &Completion { status_and_phase: 2, ..Default::default() }, u64::MAX / 8);
            }
        }
        let line = answer(&json!(u64::MAX), Ok(counts(&listed).fitting()));
        assert!((40_000..=LONGEST_ANSWER).contains(&line.len()), "{}", line.len());
        let queues: Vec<_> =
            listed[0].queues[..MOST_QUEUES].iter().map(|log| (log.handle(), 0, [0; 0])).collect();
        let line = answer(&json!(u64::MAX), Ok(ask(&listed, json!({"queues": queues})).unwrap()));
        assert!((40_000..=LONGEST_ANSWER).contains(&line.len()), "{}", line.len());
    }

    #[test]
    fn a_queue_that_no_answer_can_hold_is_told_in_part() {
        let listed = [controller(&[1, 2])];
        let log = &listed[0].queues[0];
        // Failures are told beyond the 200 that were asked for; what is in flight takes room as well.
        for number in 0..464 {
            let sequence = log.record(&Command::read(u32::MAX, u64::MAX, 1), Ticks(u64::MAX / 2));
            if number >= 128 {
                let status_and_phase = if number < 192 { 2 } else { 0 };
                let completion = Completion { status_and_phase, ..Default::default() };
                log.answer(sequence, &completion, u64::MAX / 8);
            }
        }
        let watched: Vec<u64> = (0..128).collect();
        let found = ask(&listed, json!({"queues": [[log.handle(), 128, watched]], "most": 200})).unwrap();
        let queue = found.queues[0].clone().unwrap();
        let (found_of_it, passed_by) = (200 + 64 + 128, 464 - 128 - 200);
        assert!((200..found_of_it).contains(&queue.commands.len()), "{}", queue.commands.len());
        assert_eq!(queue.commands[0].0, 463);
        assert_eq!((queue.next, queue.in_flight.len()), (464, 128));
        assert_eq!(queue.unseen as usize + queue.commands.len(), passed_by + found_of_it);
        let line = answer(&json!(u64::MAX), Ok(found));
        assert!((60_000..=LONGEST_ANSWER).contains(&line.len()), "{}", line.len());
    }

    #[test]
    fn counters_of_other_processes_come_on_top() {
        let (own, theirs) = ([controller(&[0, 1])], [controller(&[0, 5]), controller(&[0, 6])]);
        let mut theirs = counts(&theirs);
        theirs.controllers[1].address = "0000:01:00.0".to_owned();
        let (theirs, handle) = (serde_json::to_value(&theirs).unwrap(), theirs.queues[3].queue);
        let all = counts(&own).and(serde_json::from_value(theirs).unwrap());
        let places: Vec<_> = all.queues.iter().map(|queue| (queue.controller, queue.qid)).collect();
        assert_eq!(places, [(0, 0), (0, 1), (0, 5), (1, 6)]);
        assert_eq!(all.queues[3].queue, handle);
        assert_eq!(all.controllers.len(), 2);
    }

    #[test]
    fn news_of_other_processes_are_put_where_they_were_asked_for() {
        let listed = [controller(&[1])];
        let own = busy(&listed[0], 0);
        let [first, second, third] = [1 << 24 | 7, 2 << 24 | 7, 1 << 24 | 8];
        let queues = json!([[first, 3, [2]], [own, 0, []], [second, 4, [1]], [third, 5, []]]);
        let question = Question::parse(&json!({"queues": queues, "most": 8, "opcode": 2})).unwrap();
        let mut news = news(&listed, &question);
        assert_eq!(news.queues[1].as_ref().unwrap().commands.len(), 3, "its share, and the one that failed");

        let asked = question.only(|handle| handle >> 24 == 1);
        let params = asked.params();
        assert_eq!(
            (&params["queues"], &params["most"]),
            (&json!([[first, 3, [2]], [third, 5, []]]), &json!(4))
        );
        assert_eq!(Question::parse(&params).unwrap().opcode, Some(2));
        let told = json!({"queues": [{"next": 9, "unseen": 0, "in_flight": [], "commands": []}, null]});
        news.add(&question, &asked, serde_json::from_value(told).unwrap());
        news.add(&question, &question.only(|handle| handle >> 24 == 2), None);
        let next: Vec<_> = news.queues.iter().map(|queue| queue.as_ref().map(|queue| queue.next)).collect();
        assert_eq!(next, [Some(9), Some(20), Some(4), None]);
        assert_eq!(news.queues[2].as_ref().unwrap().in_flight, [1]);
    }
}
