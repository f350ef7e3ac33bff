//! A completion: its status, and what the command it answers puts into dwords 0 and 1.

use super::command::is_fabrics;
use super::decoded::Decoded;
use super::layout::{Names, Spec, bytes, dw, flag, name_of, read};
use super::{Queue, feature};
use crate::command::{Command, Completion, admin_opcode, fabrics_type};
use crate::status::Status;

/// Decodes a completion of which the command is not known (NVMe base specification, "Completion Queue
/// Entry").
///
/// ```
/// use nvme_spdk::{Completion, decode};
///
/// let completion = Completion { cid: 7, sqid: 1, status_and_phase: 0x8000 | 0x80 << 1, ..Default::default() };
/// let text = decode::completion(&completion).to_string();
/// assert!(text.starts_with("LBA Out of Range: SCT 0 (Generic Command Status), SC 0x80"), "{text}");
/// ```
pub fn completion(completion: &Completion) -> Decoded {
    decode(completion, false, DWORDS)
}

/// Decodes a completion as the answer to a command: values of features, events, limits, addresses (NVMe base
/// specification, "Completion Queue Entry", and "Command Completion" of the command).
pub fn completion_of(command: &Command, queue: Queue, completion: &Completion) -> Decoded {
    let status = completion.status();
    let fabrics = is_fabrics(command);
    let answer = if status.is_success() { answer(command, queue) } else { refusal(command, status) };
    let mut decoded = decode(completion, fabrics, answer.unwrap_or(DWORDS));
    if status.is_success() && queue == Queue::Admin {
        decoded.parts.extend(feature_of(command, completion.cdw0));
    }
    decoded
}

fn decode(completion: &Completion, fabrics: bool, answer: &[Spec]) -> Decoded {
    let status = completion.status();
    let mut data = [0; 16];
    for (bytes, dword) in data.chunks_exact_mut(4).zip(completion.dwords()) {
        bytes.copy_from_slice(&dword.to_le_bytes());
    }
    let mut fields = read(&data, STATUS);
    fields.extend(read(&data, answer));
    fields.extend(read(&data, REST));
    for field in &mut fields {
        match &*field.name {
            "SC" => {
                field.meaning =
                    status.meaning_for(fabrics).map(|sentence| sentence.trim_end_matches('.').to_owned());
            }
            // What it says depends on the type.
            "AEI" => field.meaning = event(completion.cdw0),
            _ => {}
        }
    }
    Decoded::new(status.title_for(fabrics), fields)
}

/// Dwords 0 and 1 of a success, where the command has something to say there.
fn answer(command: &Command, queue: Queue) -> Option<&'static [Spec]> {
    if is_fabrics(command) {
        return match command.nsid & 0xff {
            fabrics_type::CONNECT => Some(CONNECTED),
            fabrics_type::PROPERTY_GET => Some(PROPERTY),
            _ => None,
        };
    }
    match (queue, command.opcode) {
        (Queue::Admin, admin_opcode::ABORT) => Some(ABORTED),
        (Queue::Admin, admin_opcode::ASYNC_EVENT_REQUEST) => Some(EVENT),
        // A namespace was created.
        (Queue::Admin, 0x0d) if command.cdw10 & 0xf == 0 => Some(CREATED),
        (Queue::Io, 0x7d) => Some(APPENDED),
        _ => None,
    }
}

/// The same of a failure.
fn refusal(command: &Command, status: Status) -> Option<&'static [Spec]> {
    let connect = is_fabrics(command) && command.nsid & 0xff == fabrics_type::CONNECT;
    (connect && status == Status::CONNECT_INVALID_PARAMETERS).then_some(NOT_CONNECTED)
}

/// The value that Get Features returns, or that Set Features really set.
fn feature_of(command: &Command, value: u32) -> Option<Decoded> {
    /// Select: supported capabilities.
    const SUPPORTED: u32 = 3;
    let fid = command.cdw10 as u8;
    match command.opcode {
        admin_opcode::GET_FEATURES if command.cdw10 >> 8 & 0x7 == SUPPORTED => {
            Some(feature::capabilities(fid, value))
        }
        admin_opcode::GET_FEATURES => Some(feature::feature_value(fid, value)),
        // Number of Queues is the feature of which not what was asked for is set, but what there is.
        admin_opcode::SET_FEATURES if fid == 0x07 => Some(feature::feature_value(fid, value)),
        _ => None,
    }
}

const STATUS: &[Spec] = &[
    dw(3, 27, 25, "SCT", "Status Code Type").one_of(STATUS_CODE_TYPES),
    dw(3, 24, 17, "SC", "Status Code").hex(),
    flag(3, 31, "DNR", "Do Not Retry"),
    flag(3, 30, "M", "More: the error log has more about this"),
    dw(3, 29, 28, "CRD", "Command Retry Delay").quiet(),
];

const DWORDS: &[Spec] = &[
    dw(0, 31, 0, "DW0", "Command specific dword 0").hex().quiet(),
    dw(1, 31, 0, "DW1", "Command specific dword 1").hex().quiet(),
];

const REST: &[Spec] = &[
    dw(3, 15, 0, "CID", "Command Identifier"),
    dw(2, 31, 16, "SQID", "Submission Queue Identifier"),
    dw(2, 15, 0, "SQHD", "Submission Queue Head Pointer"),
    flag(3, 16, "P", "Phase Tag").hidden(),
];

const STATUS_CODE_TYPES: Names = &[
    (0, "Generic Command Status"),
    (1, "Command Specific Status"),
    (2, "Media and Data Integrity Errors"),
    (3, "Path Related Status"),
    (7, "Vendor Specific"),
];

const CONNECTED: &[Spec] = &[
    dw(0, 15, 0, "CNTLID", "Controller ID"),
    dw(0, 31, 16, "AUTHREQ", "Authentication and Security Requirements").hex().quiet(),
];

const NOT_CONNECTED: &[Spec] = &[
    dw(0, 15, 0, "IPO", "Invalid Parameter Offset"),
    dw(0, 16, 16, "IATTR", "Invalid Attributes").one_of(&[(0, "in the command"), (1, "in its data")]),
];

const PROPERTY: &[Spec] = &[bytes(7, 0, "VALUE", "Value of the property").hex()];

const ABORTED: &[Spec] =
    &[dw(0, 0, 0, "IANP", "Immediate Abort Not Performed").one_of(&[(0, "aborted"), (1, "not aborted")])];

const CREATED: &[Spec] = &[dw(0, 31, 0, "NSID", "Namespace Identifier of what was created")];

const APPENDED: &[Spec] = &[bytes(7, 0, "ALBA", "Assigned LBA")];

const EVENT: &[Spec] = &[
    dw(0, 2, 0, "AET", "Asynchronous Event Type").one_of(&[
        (0, "error status"),
        (1, "SMART / health status"),
        (2, "notice"),
        (3, "immediate"),
        (4, "one shot"),
        (6, "I/O command specific status"),
        (7, "vendor specific"),
    ]),
    dw(0, 15, 8, "AEI", "Asynchronous Event Information").hex(),
    dw(0, 23, 16, "LID", "Log Page Identifier").hex().told(|lid| super::log::name(lid as u8).to_owned()),
];

fn event(cdw0: u32) -> Option<String> {
    name_of(EVENTS, (cdw0 & 0xff07).into()).map(str::to_owned)
}

/// By information in bits 15:8, and type in bits 2:0.
const EVENTS: Names = &[
    (0x0000, "write to invalid doorbell register"),
    (0x0100, "invalid doorbell write value"),
    (0x0200, "diagnostic failure"),
    (0x0300, "persistent internal error"),
    (0x0400, "transient internal error"),
    (0x0500, "firmware image load error"),
    (0x0001, "NVM subsystem reliability"),
    (0x0101, "temperature threshold"),
    (0x0201, "spare below threshold"),
    (0x0002, "attached namespace attribute changed"),
    (0x0102, "firmware activation starting"),
    (0x0202, "telemetry log changed"),
    (0x0302, "asymmetric namespace access change"),
    (0x0402, "predictable latency event aggregate log change"),
    (0x0502, "LBA status information alert"),
    (0x0602, "endurance group event aggregate log page change"),
    (0x0702, "reachability group change"),
    (0x0802, "reachability association change"),
    (0x0902, "allocated namespace attribute changed"),
    (0xef02, "zone descriptor changed"),
    (0xf002, "discovery log page change"),
    (0x0003, "normal NVM subsystem shutdown"),
    (0x0103, "temperature threshold hysteresis recovery"),
    (0x0006, "reservation log page available"),
    (0x0106, "sanitize operation completed"),
    (0x0206, "sanitize operation completed with unexpected deallocation"),
    (0x0306, "sanitize operation entered media verification state"),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::layout::assert_apart;
    use super::*;

    fn answered(command: Command, queue: Queue, cdw0: u32, status: Status) -> String {
        let completion = Completion { cdw0, cid: 3, ..Default::default() }.with_status(status);
        completion_of(&command, queue, &completion).to_string()
    }

    #[test]
    fn answers_as_people_read_them() {
        let ok = "Successful Completion: SCT 0 (Generic Command Status), SC 0x0";
        let rest = "CID 3, SQID 0, SQHD 0";
        let success = Status::SUCCESS;
        assert_eq!(answered(Command::flush(1), Queue::Io, 0, success), format!("{ok}, {rest}"));
        assert_eq!(
            answered(Command::get_features(6), Queue::Admin, 1, success),
            format!("{ok}, DW0 0x1, {rest}; Volatile Write Cache")
        );
        assert_eq!(
            answered(Command::admin(0x08), Queue::Admin, 1, success),
            format!("{ok}, IANP 1 (not aborted), {rest}")
        );
        assert_eq!(
            answered(Command::admin(0x0c), Queue::Admin, 0x0002_0101, success),
            format!(
                "{ok}, AET 1 (SMART / health status), AEI 0x1 (temperature threshold), \
                 LID 0x2 (SMART / Health Information), {rest}"
            )
        );
        let connect = Command::admin(0x7f).nsid(1);
        assert_eq!(
            answered(connect, Queue::Io, 0x0001_0004, Status::CONNECT_INVALID_PARAMETERS),
            format!(
                "Connect Invalid Parameters: SCT 1 (Command Specific Status), SC 0x82 \
                 (A parameter of Connect is wrong: IPO says which), IPO 4, \
                 IATTR 1 (in its data), {rest}"
            )
        );
    }

    #[test]
    fn only_wrong_parameters_have_an_offset() {
        let connect = Command::admin(0x7f).nsid(1);
        let completion = Completion { cdw0: 4, ..Default::default() }.with_status(Status::new(0, 0x06));
        let decoded = completion_of(&connect, Queue::Admin, &completion);
        assert_eq!((decoded.number("IPO"), decoded.number("DW0")), (None, Some(4)));
    }

    #[test]
    fn fields_do_not_overlap() {
        for answer in [DWORDS, CONNECTED, NOT_CONNECTED, PROPERTY, ABORTED, CREATED, APPENDED, EVENT] {
            assert_apart("completion", 16, &[(0, STATUS), (0, answer), (0, REST)]);
        }
    }

    #[test]
    fn a_status_says_why() {
        let completion = Completion::default().with_status(Status::new(0, 0x80));
        let decoded = super::completion(&completion);
        let why = decoded.field("SC").unwrap().meaning.as_deref();
        assert_eq!(why, Some("The command reaches beyond the end of the namespace"));
    }

    proptest! {
        #[test]
        fn anything_decodes(words: [u64; 8], answer: [u64; 2], io: bool) {
            let queue = if io { Queue::Io } else { Queue::Admin };
            let answer = Completion::from_words(answer);
            let decoded = completion_of(&Command::from_words(words), queue, &answer);
            prop_assert_eq!(decoded.number("SC"), Some(answer.status().sc.into()));
            for decoded in [decoded, completion(&answer)] {
                let _ = (format!("{decoded:#}"), decoded.to_string(), serde_json::to_value(&decoded).unwrap());
            }
        }
    }
}
