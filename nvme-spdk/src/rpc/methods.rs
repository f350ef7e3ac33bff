//! What consoles can ask.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::live::{self, Counts, News, Question};
use super::members::{self, Members};
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
#[derive(Debug)]
pub(super) struct Methods {
    /// The traffic that was told already.
    told: Amount,
    members: Members,
}

impl Default for Methods {
    fn default() -> Self {
        Methods { told: Amount::default(), members: Members::of_this() }
    }
}

impl Methods {
    pub(super) fn call(&mut self, method: &str, params: &Value) -> Result<Answer, Fault> {
        match method {
            "list_all_qpair" => {
                no_params(params)?;
                let theirs = self.members.ask::<Vec<QueueRow>>(method, params);
                let theirs = theirs.into_iter().flatten().filter(|row| row.qid != ADMIN);
                Ok(Answer::Queues(fitting(queues(&registry::list()).into_iter().chain(theirs)).collect()))
            }
            "get_iostat" => {
                no_params(params)?;
                let theirs = self.members.ask::<[u64; 2]>(method, params);
                let sum = |sum: [u64; 2], one: [u64; 2]| [sum[0] + one[0], sum[1] + one[1]];
                Ok(Answer::Traffic(theirs.into_iter().fold(self.traffic(traffic::total()), sum)))
            }
            "get_cmdlog" => {
                let handle = one_number(params)?;
                let theirs = || self.members.with(handle)?.ask(method, params);
                let texts = commands(&registry::list(), handle).or_else(theirs);
                Ok(Answer::Commands(texts.ok_or(INVALID_PARAMS)?))
            }
            "nvme_queues" => {
                no_params(params)?;
                let theirs = self.members.ask::<Counts>(method, params);
                Ok(Answer::Counts(
                    theirs.into_iter().fold(live::counts(&registry::list()), Counts::and).fitting(),
                ))
            }
            "nvme_cmdlog_since" => {
                let question = Question::parse(params)?;
                let news = live::news(&registry::list(), &question);
                Ok(Answer::News(self.news_of_members(method, &question, news).fitting()))
            }
            _ => Err(METHOD_NOT_FOUND),
        }
    }

    /// With what members say about the queues that are not here.
    fn news_of_members(&self, method: &str, question: &Question, mut news: News) -> News {
        if !news.lacks_some() {
            return news;
        }
        let theirs = self.members.list().into_iter();
        let asked = theirs.map(|member| (question.only(|handle| member.has(handle)), member));
        let (questions, members): (Vec<_>, Vec<_>) =
            asked.filter(|(question, _)| !question.is_empty()).unzip();
        let params = questions.iter().map(Question::params);
        let answers = members::ask_each(method, members.into_iter().zip(params).collect());
        for (asked, answer) in questions.iter().zip(answers) {
            news.add(question, asked, answer);
        }
        news
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
    Some(fitting(log.show(MOST_COMMANDS)).flatten().collect())
}

/// As many of the first items as one answer can hold.
pub(super) fn fitting<T: Serialize>(items: impl IntoIterator<Item = T>) -> impl Iterator<Item = T> {
    fitting_in(LONGEST_LIST, items)
}

/// As many of the first items as there is room for.
pub(super) fn fitting_in<T: Serialize>(
    mut room: usize,
    items: impl IntoIterator<Item = T>,
) -> impl Iterator<Item = T> {
    items.into_iter().take_while(move |item| {
        let taken = serialized_len(item).saturating_add(1);
        let fits = taken <= room;
        room = room.saturating_sub(taken);
        fits
    })
}

pub(super) fn serialized_len<T: Serialize>(item: &T) -> usize {
    serde_json::to_string(item).map_or(usize::MAX, |text| text.len())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixListener;
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

    #[test]
    fn members_are_asked_as_well() {
        let folder = tempfile::tempdir().unwrap();
        // Init is always there.
        let listener = UnixListener::bind(folder.path().join("rpc-1.sock")).unwrap();
        let handle = 1 << 24 | 1;
        let results = [
            json!({"now": 1, "controllers": [{"address": "a", "model": "m"}],
                   "queues": [{"queue": handle, "controller": 0, "qid": 4, "depth": 8, "in_flight": 1,
                               "completed": 2, "failed": 3, "bytes": 4}]}),
            json!({"queues": [{"next": 7, "unseen": 0, "in_flight": [], "commands": []}]}),
        ];
        let member = std::thread::spawn(move || {
            results.map(|result| {
                let (mut stream, _) = listener.accept().unwrap();
                let mut request = [0; 4096];
                let len = stream.read(&mut request).unwrap();
                writeln!(stream, "{}", json!({"jsonrpc": "2.0", "id": 1, "result": result})).unwrap();
                serde_json::from_slice::<Value>(&request[..len]).unwrap()
            })
        });
        let mut methods = Methods { told: Amount::default(), members: Members::at(folder.path()) };
        let mut call = |method, params| serde_json::to_value(methods.call(method, &params).unwrap()).unwrap();
        let counts = call("nvme_queues", json!(null));
        assert!(
            counts["queues"].as_array().unwrap().iter().any(|queue| queue["queue"] == handle),
            "{counts}"
        );
        let gone = 2 << 24;
        let news = call("nvme_cmdlog_since", json!({"queues": [[gone, 0, []], [handle, 5, [4]]]}));
        assert_eq!((&news["queues"][0], &news["queues"][1]["next"]), (&json!(null), &json!(7)));
        let [_, asked] = member.join().unwrap();
        assert_eq!(asked["params"]["queues"], json!([[handle, 5, [4]]]));
    }
}
