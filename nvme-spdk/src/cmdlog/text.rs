//! The command log as text: what test logs and consoles show.

use std::fmt::Write;
use std::time::UNIX_EPOCH;

use super::{CmdLog, Entry};
use crate::clock::local_time;
use crate::names;
use crate::queue::Completed;

impl Entry {
    /// The command in one line, as test logs show it: `READ sqid:1 cid:3 nsid:1 lba:11 len:1`.
    pub fn describe_command(&self, qid: u16) -> String {
        let command = &self.command;
        let head = format!("sqid:{qid} cid:{} nsid:{}", command.cid, command.nsid);
        if qid == 0 {
            return format!(
                "{} ({:02x}) {head} cdw10:{:08x} cdw11:{:08x}",
                names::admin_command_in_logs(command.opcode),
                command.opcode,
                command.cdw10,
                command.cdw11
            );
        }
        let name = names::io_command_in_logs(command.opcode);
        match command.opcode {
            0x01 | 0x02 | 0x04 | 0x05 => {
                format!("{name} {head} lba:{} len:{}", command.slba(), command.nlb())
            }
            0x00 | 0x09 => format!("{name} {head}"),
            opcode => format!("{name} ({opcode:02x}) {head}"),
        }
    }

    /// The completion in one line, as test logs show it; `None` as long as the command is outstanding.
    ///
    /// `SUCCESS (00/00) sqid:1 cid:27 cdw0:0 sqhd:0000 p:0 m:0 dnr:0`
    pub fn describe_completion(&self, qid: u16) -> Option<String> {
        // Over fabrics a completion does not say which queue it came on.
        self.completed.map(|(mut completion, _)| {
            completion.sqid = qid;
            completion.to_string()
        })
    }

    /// What a console shows of the `position`th newest command: the command, and its completion.
    fn show(&self, position: usize, qid: u16) -> [String; 2] {
        let opcode = self.command.opcode;
        let name = if qid == 0 { names::admin_command(opcode) } else { names::io_command(opcode) };
        let mut sent = format!("{} [cmd{position:03}: {name}]", local_time(self.submitted));
        for dwords in self.command.dwords().chunks(4) {
            sent.push('\n');
            push_dwords(&mut sent, dwords);
        }
        let Some((completion, latency)) = self.completed else {
            return [sent, "not completed\n...\n".to_owned()];
        };
        let mut answer =
            format!("{}: [cpl: {}] \n", local_time(self.submitted + latency), completion.status().name());
        push_dwords(&mut answer, &completion.dwords());
        answer.push('\n');
        [sent, answer]
    }
}

fn push_dwords(text: &mut String, dwords: &[u32]) {
    for (index, dword) in dwords.iter().enumerate() {
        let comma = if index > 0 { ", " } else { "" };
        // Writing to a string cannot fail.
        let _ = write!(text, "{comma}0x{dword:08x}");
    }
}

impl Completed {
    /// The command and its completion in a line each, as the command log shows them; `qid` is the queue's.
    pub fn describe(&self, qid: u16) -> [String; 2] {
        let completed = Some((self.completion, self.latency()));
        let entry = Entry { sequence: 0, command: self.command, submitted: UNIX_EPOCH, completed };
        [entry.describe_command(qid), entry.describe_completion(qid).unwrap_or_default()]
    }
}

impl CmdLog {
    /// The newest commands, newest first, as lines for a test's log; `traddr` names the controller. At most
    /// `count` of them, 0 for all.
    pub fn dump(&self, traddr: &str, count: usize) -> Vec<String> {
        let (qid, total) = (self.qid(), self.total());
        let entries = self.newest(if count == 0 { usize::MAX } else { count });
        let tail = entries.last().map_or(total, |oldest| oldest.sequence);
        let mut lines = vec![format!(
            "dump ctrlr {traddr}, qpair {qid}, from {tail} to {total}, count {}",
            entries.len()
        )];
        for (index, entry) in entries.iter().enumerate() {
            let at = |moment| format!("index {index}, {}", local_time(moment));
            lines.extend([at(entry.submitted), entry.describe_command(qid)]);
            match (entry.completed, entry.describe_completion(qid)) {
                (Some((_, latency)), Some(line)) => lines.extend([at(entry.submitted + latency), line]),
                _ => lines.push("not completed".to_owned()),
            }
        }
        lines
    }

    /// The newest commands, newest first, as consoles show them: two texts per command.
    pub(crate) fn show(&self, count: usize) -> Vec<[String; 2]> {
        let entries = self.newest(count);
        entries.iter().zip(1..).map(|(entry, position)| entry.show(position, self.qid())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Ticks;
    use crate::command::{Command, Completion};

    fn log_of(qid: u16, command: Command, completion: Option<Completion>) -> CmdLog {
        let log = CmdLog::new(qid);
        let sequence = log.record(&command, Ticks(0));
        if let Some(completion) = completion {
            log.answer(sequence, &completion, 0);
        }
        log
    }

    #[test]
    fn lines_as_in_the_original() {
        let line = |command, qid| log_of(qid, command, None).newest(1)[0].describe_command(qid);
        let mut identify = Command::identify(1, 0);
        identify.cid = 27;
        assert_eq!(line(identify, 0), "IDENTIFY (06) sqid:0 cid:27 nsid:0 cdw10:00000001 cdw11:00000000");
        assert_eq!(
            line(Command::admin(0xc1), 0),
            "ADMIN COMMAND (c1) sqid:0 cid:0 nsid:0 cdw10:00000000 cdw11:00000000"
        );
        assert_eq!(line(Command::read(1, 11, 1), 1), "READ sqid:1 cid:0 nsid:1 lba:11 len:1");
        assert_eq!(line(Command::flush(1), 1), "FLUSH sqid:1 cid:0 nsid:1");
        assert_eq!(line(Command::range(0x08, 1, 0, 1), 1), "WRITE ZEROES (08) sqid:1 cid:0 nsid:1");
        assert_eq!(line(Command::io(0xff, 1), 1), "IO COMMAND (ff) sqid:1 cid:0 nsid:1");
    }

    #[test]
    fn a_dump_has_a_headline_and_four_lines_per_command() {
        let completion = Completion { cid: 27, ..Default::default() };
        let log = log_of(2, Command::read(1, 11, 1), Some(completion));
        log.record(&Command::flush(1), Ticks(0));
        let lines = log.dump("127.0.0.1", 0);
        assert_eq!(lines[0], "dump ctrlr 127.0.0.1, qpair 2, from 0 to 2, count 2");
        assert!(lines[1].starts_with("index 0, ") && lines[4].starts_with("index 1, "), "{lines:#?}");
        assert_eq!(lines[2..4], ["FLUSH sqid:2 cid:0 nsid:1", "not completed"]);
        assert_eq!(lines[5], "READ sqid:2 cid:0 nsid:1 lba:11 len:1");
        assert!(lines[6].starts_with("index 1, "));
        assert_eq!(lines[7], "SUCCESS (00/00) sqid:2 cid:27 cdw0:0 sqhd:0000 p:0 m:0 dnr:0");
        assert_eq!(lines.len(), 8);
        assert_eq!(log.dump("x", 1)[0], "dump ctrlr x, qpair 2, from 1 to 2, count 1");
        assert_eq!(CmdLog::new(0).dump("x", 0), ["dump ctrlr x, qpair 0, from 0 to 0, count 0"]);
    }

    #[test]
    fn what_consoles_show() {
        let mut read = Command::read(1, 11, 1);
        read.cid = 7;
        let completion =
            Completion { cid: 7, sqhd: 3, status_and_phase: 2 << 9 | 0x81 << 1 | 1, ..Default::default() };
        let log = log_of(1, read, Some(completion));
        let [sent, answer] = &log.show(128)[0];
        // 2020-06-07 22:57:10.123456
        let (time, sent) = sent.split_at(26);
        assert!(time.bytes().filter(u8::is_ascii_digit).count() == 20, "{time}");
        assert_eq!(
            sent,
            " [cmd001: Read]\n\
             0x00070002, 0x00000001, 0x00000000, 0x00000000\n\
             0x00000000, 0x00000000, 0x00000000, 0x00000000\n\
             0x00000000, 0x00000000, 0x0000000b, 0x00000000\n\
             0x00000000, 0x00000000, 0x00000000, 0x00000000"
        );
        assert_eq!(
            answer[26..],
            *": [cpl: UNRECOVERED READ ERROR] \n0x00000000, 0x00000000, 0x00000003, 0x05030007\n"
        );

        log.record(&Command::flush(1), Ticks(0));
        let shown = log.show(128);
        assert!(shown[0][0].contains("[cmd001: Flush]") && shown[1][0].contains("[cmd002: Read]"));
        assert_eq!(shown[0][1], "not completed\n...\n");
        assert_eq!(log_of(0, Command::admin(0x06), None).show(1)[0][0][26..44], *" [cmd001: Identify");
    }
}
