//! What consoles can ask.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::live::{self, Counts, News};
use super::members;
use super::protocol::{Fault, INVALID_PARAMS, METHOD_NOT_FOUND};
use crate::registry::{self, Listed};
use crate::traffic::{self, Amount};

/// Consoles take what one read of the socket returns for a whole answer, and read 64 KiB at most.
pub(super) const LONGEST_ANSWER: usize = 64 << 10;

/// What is left of that for a list, next to the members around it.
pub(super) const LONGEST_LIST: usize = LONGEST_ANSWER - 1024;

/// The most commands of a queue that are shown.
const MOST_COMMANDS: usize = 128;

/// Outstanding commands above this show as this.
const MOST_OUTSTANDING: u64 = 100;

/// The result of a method.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub(super) enum Answer {
    Queues(Vec<QueueRow>),
    /// Bytes and commands.
    Traffic([u64; 2]),
    Commands(Vec<String>),
    Counts(Counts),
    News(News),
}

/// The admin queue's identifier in a row. All processes that share a controller have the same.
const ADMIN: u32 = 1;

/// A queue pair; the members go out in this order.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct QueueRow {
    /// The transport address of its controller.
    ctrlr: String,
    /// Its identifier and one: consoles take 0 for none.
    qid: u32,
    outstanding: u64,
    /// What get_cmdlog takes.
    qpair: u64,
    /// The model number of its controller, in 40 characters.
    model: String,
}

/// Answers consoles.
#[derive(Debug, Default)]
pub(super) struct Methods {
    /// The traffic that was told already.
    told: Amount,
}

impl Methods {
    pub(super) fn call(&mut self, method: &str, params: &Value) -> Result<Answer, Fault> {
        match method {
            "list_all_qpair" => {
                no_params(params)?;
                let theirs =
                    members::list().into_iter().filter_map(|one| one.ask::<Vec<QueueRow>>(method, params));
                let theirs = theirs.flatten().filter(|row| row.qid != ADMIN);
                Ok(Answer::Queues(fitting(queues(&registry::list()).into_iter().chain(theirs)).collect()))
            }
            "get_iostat" => {
                no_params(params)?;
                let theirs =
                    members::list().into_iter().filter_map(|one| one.ask::<[u64; 2]>(method, params));
                let [bytes, commands] = self.traffic(traffic::total());
                let sum = |sum: [u64; 2], one: [u64; 2]| [sum[0] + one[0], sum[1] + one[1]];
                Ok(Answer::Traffic(theirs.fold([bytes, commands], sum)))
            }
            "get_cmdlog" => {
                let handle = one_number(params)?;
                let theirs = || members::with(handle)?.ask(method, params);
                let texts = commands(&registry::list(), handle).or_else(theirs);
                Ok(Answer::Commands(texts.ok_or(INVALID_PARAMS)?))
            }
            "nvme_queues" => {
                no_params(params)?;
                Ok(Answer::Counts(live::counts(&registry::list())))
            }
            "nvme_cmdlog_since" => Ok(Answer::News(live::news(&registry::list(), params)?)),
            _ => Err(METHOD_NOT_FOUND),
        }
    }

    /// What came on top since the last time.
    fn traffic(&mut self, total: Amount) -> [u64; 2] {
        let news = total.since(self.told);
        self.told = total;
        [news.bytes, news.commands]
    }
}

fn no_params(params: &Value) -> Result<(), Fault> {
    let none = match params {
        Value::Null => true,
        Value::Array(params) => params.is_empty(),
        Value::Object(params) => params.is_empty(),
        _ => false,
    };
    if none { Ok(()) } else { Err(INVALID_PARAMS) }
}

fn one_number(params: &Value) -> Result<u64, Fault> {
    match params.as_array().map(Vec::as_slice) {
        Some([number]) => number.as_u64().ok_or(INVALID_PARAMS),
        _ => Err(INVALID_PARAMS),
    }
}

fn queues(controllers: &[Listed]) -> Vec<QueueRow> {
    let rows = controllers.iter().flat_map(|controller| {
        controller.queues.iter().map(|log| QueueRow {
            ctrlr: controller.traddr.clone(),
            qid: u32::from(log.qid()) + 1,
            outstanding: log.outstanding().min(MOST_OUTSTANDING),
            qpair: log.handle(),
            model: format!("{:<40}", controller.model),
        })
    });
    fitting(rows).collect()
}

/// Two texts per command, the newest first; `None` if no live queue has that handle.
fn commands(controllers: &[Listed], handle: u64) -> Option<Vec<String>> {
    let log = controllers.iter().flat_map(|c| &c.queues).find(|log| log.handle() == handle)?;
    Some(fitting(log.show(MOST_COMMANDS).into_iter()).flatten().collect())
}

/// As many of the first items as one answer can hold.
pub(super) fn fitting<T: Serialize>(items: impl Iterator<Item = T>) -> impl Iterator<Item = T> {
    let mut room = LONGEST_LIST;
    items.take_while(move |item| {
        let taken = serde_json::to_string(item).map_or(usize::MAX, |text| text.len() + 1);
        let fits = taken <= room;
        room = room.saturating_sub(taken);
        fits
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::clock::Ticks;
    use crate::cmdlog::CmdLog;
    use crate::command::{Command, Completion};
    use crate::rpc::protocol::answer;

    fn controller(traddr: &str, qids: &[u16]) -> Listed {
        Listed {
            traddr: traddr.to_owned(),
            model: "Model".to_owned(),
            queues: qids.iter().map(|&qid| Arc::new(CmdLog::new(qid))).collect(),
        }
    }

    #[test]
    fn queues_as_clients_know_them() {
        let listed = [controller("127.0.0.1", &[0, 1]), controller("0000:01:00.0", &[0])];
        for lba in 0..150 {
            listed[0].queues[1].record(&Command::read(1, lba, 1), Ticks(0));
        }
        let handles: Vec<_> = listed.iter().flat_map(|c| &c.queues).map(|log| log.handle()).collect();
        let text = serde_json::to_string(&Answer::Queues(queues(&listed))).unwrap();
        let model = format!("Model{}", " ".repeat(35));
        let row = |traddr, qid, outstanding, handle| {
            format!(
                r#"{{"ctrlr":"{traddr}","qid":{qid},"outstanding":{outstanding},"qpair":{handle},"model":"{model}"}}"#
            )
        };
        assert_eq!(
            text,
            format!(
                "[{},{},{}]",
                row("127.0.0.1", 1, 0, handles[0]),
                row("127.0.0.1", 2, 100, handles[1]),
                row("0000:01:00.0", 1, 0, handles[2])
            )
        );
        assert_eq!(queues(&[]), []);
    }

    #[test]
    fn answers_fit_whatever_there_is_to_tell() {
        let many: Vec<_> = (0..=1024).collect();
        let listed = [controller(&"h".repeat(253), &many)];
        let rows = queues(&listed);
        assert!(rows.len() > 100);
        let line = answer(&json!(u64::MAX), Ok(Answer::Queues(rows)));
        assert!(line.len() <= LONGEST_ANSWER, "{}", line.len());

        // A typical setup: two controllers with sixteen queues each.
        let many: Vec<_> = (0..=16).collect();
        let listed = [controller("192.168.100.100", &many), controller("0000:01:00.0", &many[..8])];
        let rows = queues(&listed);
        assert_eq!(rows.len(), 25);
        let line = answer(&json!(1), Ok(Answer::Queues(rows)));
        assert!(line.len() < 4096, "{}", line.len());
    }

    #[test]
    fn a_full_log_of_long_names_is_shown_whole() {
        let listed = [controller("127.0.0.1", &[0])];
        let log = &listed[0].queues[0];
        for _ in 0..200 {
            let sequence = log.record(&Command::admin(0x0c), Ticks(0));
            // INVALID NUMBER OF CONTROLLER RESOURCES
            let completion = Completion { status_and_phase: 1 << 9 | 0x21 << 1, ..Default::default() };
            log.answer(sequence, &completion, 0);
        }
        let texts = commands(&listed, log.handle()).unwrap();
        assert_eq!(texts.len(), 2 * MOST_COMMANDS);
        assert!(texts[254].contains("[cmd128: Asynchronous Event Request]"), "{}", texts[254]);
        let line = answer(&json!(1), Ok(Answer::Commands(texts)));
        assert!(line.len() < LONGEST_ANSWER, "{}", line.len());
        assert_eq!(commands(&listed, 0), None);
        assert_eq!(commands(&listed, u64::MAX), None);
    }

    #[test]
    fn traffic_is_told_once() {
        let mut methods = Methods::default();
        assert_eq!(methods.traffic(Amount { bytes: 4096, commands: 1 }), [4096, 1]);
        assert_eq!(methods.traffic(Amount { bytes: 5120, commands: 3 }), [1024, 2]);
        assert_eq!(methods.traffic(Amount { bytes: 5120, commands: 3 }), [0, 0]);
    }

    #[test]
    fn parameters_are_checked() {
        let mut methods = Methods::default();
        for params in [json!(null), json!([]), json!({})] {
            assert!(methods.call("list_all_qpair", &params).is_ok());
            assert!(methods.call("get_iostat", &params).is_ok());
            assert_eq!(methods.call("get_cmdlog", &params), Err(INVALID_PARAMS));
        }
        for params in [json!([0]), json!([-1]), json!([1.5]), json!(["1"]), json!([1, 2]), json!([u64::MAX])]
        {
            assert_eq!(methods.call("get_cmdlog", &params), Err(INVALID_PARAMS), "{params}");
        }
        assert_eq!(methods.call("list_all_qpair", &json!([1])), Err(INVALID_PARAMS));
        assert_eq!(methods.call("reboot", &json!(null)), Err(METHOD_NOT_FOUND));
    }
}
