//! What consoles ask for every second: counters, and what is new in the command logs. Both are kept anyway and read
//! without stopping whoever drives the queue.

use std::fmt::Write;
use std::ops::RangeInclusive;
use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::methods::fitting;
use super::protocol::{Fault, INVALID_PARAMS};
use crate::clock::Ticks;
use crate::cmdlog::{CmdLog, Entry, Filter, Recent, Wanted};
use crate::registry::Listed;
use crate::status::Status;

/// The most commands in an answer, not counting failures that were kept.
const MOST_COMMANDS: usize = 200;

/// The most queues in a question.
const MOST_QUEUES: usize = 64;

/// What the queues of this process have counted so far.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Counts {
    now: u64,
    controllers: Vec<ControllerRow>,
    queues: Vec<QueueCounts>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct ControllerRow {
    address: String,
    model: String,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
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
        queues: fitting(queues).collect(),
    }
}

/// What is new in the logs that were asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct News {
    queues: Vec<Option<QueueNews>>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
struct QueueNews {
    next: u64,
    unseen: u64,
    in_flight: Vec<u64>,
    commands: Vec<Row>,
}

/// A command: its number, when it was sent, its bytes, its latency, the bytes of its completion.
type Row = (u64, u64, String, Option<u64>, Option<String>);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    /// The queue, the first command, and earlier ones that were in flight.
    queues: Vec<(u64, u64, Vec<u64>)>,
    most: Option<usize>,
    opcode: Option<u8>,
    status: Option<StatusWanted>,
    lba: Option<(u64, u64)>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum StatusWanted {
    Word(Word),
    Code(u8, u8),
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    #[serde(rename = "in flight")]
    InFlight,
    Failed,
}

pub(super) fn news(listed: &[Listed], params: &Value) -> Result<News, Fault> {
    let question = Question::deserialize(params).map_err(|_| INVALID_PARAMS)?;
    if question.queues.len() > MOST_QUEUES {
        return Err(INVALID_PARAMS);
    }
    let filter = Filter {
        opcode: question.opcode,
        wanted: question.status.map(|wanted| match wanted {
            StatusWanted::Word(Word::InFlight) => Wanted::InFlight,
            StatusWanted::Word(Word::Failed) => Wanted::Failed,
            StatusWanted::Code(sct, sc) => Wanted::Status(Status::new(sct, sc)),
        }),
        lbas: question.lba.map(|(first, last)| RangeInclusive::new(first, last)),
    };
    let logs = || listed.iter().flat_map(|one| &one.queues);
    let mut room = question.most.unwrap_or(100).min(MOST_COMMANDS);
    let mut left = question.queues.len();
    let queues = question.queues.iter().map(|(handle, since, watched)| {
        // What one queue does not need, those behind it may have.
        let share = room.div_ceil(left);
        left -= 1;
        let log = logs().find(|log| log.handle() == *handle)?;
        let news = look(log, *since, watched, share, &filter);
        room -= news.commands.len().min(share).min(room);
        Some(news)
    });
    Ok(News { queues: fitting(queues).collect() })
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
        let ask = |params: Value| news(&listed, &params).map(|found| serde_json::to_value(found).unwrap());
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
        let found = news(&listed, &json!({"queues": queues, "most": 20})).unwrap();
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
        let line = answer(&json!(u64::MAX), Ok(counts(&listed)));
        assert!((40_000..=LONGEST_ANSWER).contains(&line.len()), "{}", line.len());
        let queues: Vec<_> =
            listed[0].queues[..MOST_QUEUES].iter().map(|log| (log.handle(), 0, [0; 0])).collect();
        let line = answer(&json!(u64::MAX), Ok(news(&listed, &json!({"queues": queues})).unwrap()));
        assert!((40_000..=LONGEST_ANSWER).contains(&line.len()), "{}", line.len());
    }
}
