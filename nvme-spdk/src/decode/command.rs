//! A command: what all of them have, and what its opcode says about the rest.

use std::borrow::Cow;

use super::decoded::{Decoded, Field, Line, Value};
use super::layout::{Spec, bytes, covered, dw, read, read_at};
use super::opcode::{Opcode, find};
use super::{Queue, admin, fabrics, feature, nvm};
use crate::command::{Command, admin_opcode};

/// Decodes a command as the queue it was sent on has it (NVMe base specification, "Submission Queue Entry",
/// and the sections of the commands there, in the command set specifications and in NVMe over Fabrics).
///
/// Bits of dwords 2, 3 and 10 to 15 that have no name for its opcode are fields, too, where they are set; so are whole
/// dwords of opcodes that the specification does not know.
///
/// ```
/// use nvme_spdk::{Command, decode};
///
/// let read = Command::read(1, 0x1000, 8).cdw13(1 << 6);
/// let decoded = decode::command(&read, decode::Queue::Io);
/// assert_eq!(decoded.to_string(), "Read: CID 0, NSID 1, SLBA 4096, NLB 7 (8 blocks), SR");
/// assert_eq!(decoded.number("SLBA"), Some(4096));
/// ```
pub fn command(command: &Command, queue: Queue) -> Decoded {
    let known = find_opcode(command, queue);
    let name: Cow<'static, str> = match known {
        Some(opcode) => opcode.name.into(),
        None => unknown(command, queue).into(),
    };
    let (specific, feature) = known.map_or((&[] as &[Spec], &[] as &[Spec]), |opcode| {
        let feature = feature_fields(command, queue, opcode).unwrap_or(&[]);
        (opcode_fields(opcode, feature), feature)
    });
    let head = if is_fabrics(command) { FABRICS_HEAD } else { HEAD };
    let data = data_of(command);

    let mut fields = read(&data, head);
    fields.extend(read(&data, specific));
    fields.extend(read_at(&data, CDW11, feature));
    let used = covered([(0, specific), (CDW11, feature)]);
    let nameless = match known {
        Some(_) => "Bits that have no name here: reserved, or specific",
        None => "Vendor specific or unknown",
    };
    fields.extend(leftovers(command, used, nameless));
    fields.extend(read(&data, FLAGS));
    fields.extend(read(&data, if command.flags >> 6 == 0 { PRP } else { SGL }));
    Decoded::new(name, fields)
}

/// The name of a command in the words of the specification; nothing for an opcode that it reserves.
pub fn command_name(command: &Command, queue: Queue) -> Option<&'static str> {
    find_opcode(command, queue).map(|opcode| opcode.name)
}

/// Whatever bits dwords have that belong to no field.
fn leftovers(command: &Command, used: [u32; 16], title: &'static str) -> impl Iterator<Item = Field> {
    let dwords = command.dwords();
    let fabrics = is_fabrics(command);
    // The dwords 2 and 3 of a fabrics command are reserved as well, and may hold what its transport put there.
    let looked = [2, 3, 10, 11, 12, 13, 14, 15].into_iter().filter(move |index| !fabrics || *index >= 10);
    looked.filter_map(move |index| {
        let rest = dwords[index] & !used[index];
        (rest != 0).then(|| Field {
            name: format!("CDW{index}").into(),
            title: title.into(),
            value: Value::Hex(rest.into()),
            meaning: None,
            line: Line::Always,
        })
    })
}

fn find_opcode(command: &Command, queue: Queue) -> Option<&'static Opcode> {
    match queue {
        _ if is_fabrics(command) => find(fabrics::COMMANDS, command.nsid as u8),
        Queue::Admin => find(admin::COMMANDS, command.opcode),
        Queue::Io => find(nvm::COMMANDS, command.opcode),
    }
}

fn unknown(command: &Command, queue: Queue) -> String {
    let (opcode, kind) = (command.opcode, command.nsid as u8);
    let vendor = if queue == Queue::Admin { 0xc0 } else { 0x80 };
    match opcode {
        admin_opcode::FABRICS => format!("Unknown fabrics command {kind:02X}h"),
        _ if opcode >= vendor => format!("Vendor specific {opcode:02X}h"),
        _ => format!("Unknown opcode {opcode:02X}h"),
    }
}

pub(super) fn is_fabrics(command: &Command) -> bool {
    command.opcode == admin_opcode::FABRICS
}

/// Those of the opcode. Where Host Memory Buffer has an address, other features have the UUID Index, which comes last.
fn opcode_fields(opcode: &Opcode, feature: &[Spec]) -> &'static [Spec] {
    match opcode.fields {
        [fields @ .., _uuid_index] if covered([(CDW11, feature)])[14] != 0 => fields,
        fields => fields,
    }
}

fn feature_fields(command: &Command, queue: Queue, opcode: &Opcode) -> Option<&'static [Spec]> {
    if queue != Queue::Admin {
        return None;
    }
    let feature = feature::find(command.cdw10 as u8)?;
    match opcode.code {
        admin_opcode::SET_FEATURES => Some(feature.set),
        admin_opcode::GET_FEATURES => Some(feature.ask),
        _ => None,
    }
}

/// As it lies in memory.
fn data_of(command: &Command) -> [u8; 64] {
    let mut data = [0; 64];
    for (bytes, dword) in data.chunks_exact_mut(4).zip(command.dwords()) {
        bytes.copy_from_slice(&dword.to_le_bytes());
    }
    data
}

/// Where command dword 11 is.
const CDW11: usize = 44;

const HEAD: &[Spec] = &[CID, dw(1, 31, 0, "NSID", "Namespace Identifier").told(namespace).quiet()];

const FABRICS_HEAD: &[Spec] = &[CID, bytes(4, 4, "FCTYPE", "Fabrics Command Type").hex().hidden()];

const CID: Spec = dw(0, 31, 16, "CID", "Command Identifier");

const FLAGS: &[Spec] = &[
    dw(0, 9, 8, "FUSE", "Fused Operation")
        .one_of(&[(0, "none"), (1, "first command"), (2, "second command")])
        .quiet(),
    dw(0, 13, 10, "DW0", "Dword 0, reserved bits").hex().quiet(),
    dw(0, 15, 14, "PSDT", "PRP or SGL for Data Transfer")
        .one_of(&[(0, "PRP"), (1, "SGL, metadata as one buffer"), (2, "SGL, metadata by SGL")])
        .hidden(),
    bytes(23, 16, "MPTR", "Metadata Pointer").hex().hidden(),
];

const PRP: &[Spec] = &[
    bytes(31, 24, "PRP1", "PRP Entry 1").hex().hidden(),
    bytes(39, 32, "PRP2", "PRP Entry 2").hex().hidden(),
];

const SGL: &[Spec] = &[
    bytes(31, 24, "SGL1", "SGL Entry 1, address or offset").hex().hidden(),
    bytes(35, 32, "SGLLEN", "SGL Entry 1, length").unit("bytes").hidden(),
    dw(9, 31, 28, "SGLID", "SGL Entry 1, type")
        .one_of(&[
            (0, "data block"),
            (1, "bit bucket"),
            (2, "segment"),
            (3, "last segment"),
            (4, "keyed data block"),
            (5, "transport data block"),
            (15, "vendor specific"),
        ])
        .hidden(),
    dw(9, 27, 24, "SGLST", "SGL Entry 1, subtype").hidden(),
];

fn namespace(nsid: u128) -> String {
    if nsid == u128::from(u32::MAX) { "all namespaces".to_owned() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::feature::Feature;
    use super::super::layout::assert_apart;
    use super::*;

    fn line(sent: Command, queue: Queue) -> String {
        command(&sent, queue).to_string()
    }

    #[test]
    fn commands_as_people_read_them() {
        let lines = [
            (Command::flush(1), Queue::Io, "Flush: CID 0, NSID 1"),
            (
                Command::write(1, 1 << 33, 65536).cdw13(0x0002_0080).cdw15(0xffff_0007),
                Queue::Io,
                "Write: CID 0, NSID 1, SLBA 8589934592, NLB 65535 (65536 blocks), DSPEC 2, INCOM, LBAT 0x7, \
                 LBATM 0xffff",
            ),
            (
                Command { cdw12: 0xd400_0007, ..Command::read(1, 5, 1) },
                Queue::Io,
                "Read: CID 0, NSID 1, SLBA 5, NLB 7 (8 blocks), FUA, LR, PRCHK 0x5 (reference tag, guard)",
            ),
            (
                Command::io(0x09, 1).cdw10(3).cdw11(4),
                Queue::Io,
                "Dataset Management: CID 0, NSID 1, NR 3 (4 ranges), AD",
            ),
            (
                Command::io(0x79, 1).cdw13(0x104),
                Queue::Io,
                "Zone Management Send: CID 0, NSID 1, SLBA 0, ZSA 0x4 (reset), ALL",
            ),
            (
                Command::get_log_page(2, u32::MAX, 0, 512),
                Queue::Admin,
                "Get Log Page: CID 0, NSID 4294967295 (all namespaces), LID 0x2 (SMART / Health Information), \
                 NUMD 127 (512 bytes)",
            ),
            (Command::identify(1, 0), Queue::Admin, "Identify: CID 0, CNS 0x1 (Identify Controller)"),
            (
                Command::set_features(7, 0x000f_0003),
                Queue::Admin,
                "Set Features: CID 0, FID 0x7 (Number of Queues), NSQ 3 (4 submission queues), \
                 NCQ 15 (16 completion queues)",
            ),
            (
                Command::get_features(4).cdw11(1 << 20),
                Queue::Admin,
                "Get Features: CID 0, FID 0x4 (Temperature Threshold), TMPSEL 0 (composite temperature), \
                 THSEL 1 (under temperature)",
            ),
            (
                Command::admin(0x01).cdw10(0x003f_0002).cdw11(0x0003_0005),
                Queue::Admin,
                "Create I/O Submission Queue: CID 0, QID 2, QSIZE 63 (64 entries), CQID 3, PC, QPRIO 2 (medium)",
            ),
            (
                Command::property_get(0x1c, false),
                Queue::Admin,
                "Property Get: CID 0, ATTRIB 0 (4 bytes), OFST 0x1c (CSTS, Controller Status)",
            ),
            (Command::admin(0xc1).cdw12(5), Queue::Admin, "Vendor specific C1h: CID 0, CDW12 0x5"),
            (Command::io(0x03, 1), Queue::Io, "Unknown opcode 03h: CID 0, NSID 1"),
            (Command::admin(0x7f).nsid(0x20), Queue::Io, "Unknown fabrics command 20h: CID 0"),
            (Command::flush(1).cdw10(7), Queue::Io, "Flush: CID 0, NSID 1, CDW10 0x7"),
        ];
        for (command, queue, expected) in lines {
            assert_eq!(line(command, queue), expected);
        }
    }

    #[test]
    fn a_table_has_everything() {
        let mut read = Command::read(1, 4096, 8).flags(0x41);
        (read.cid, read.dptr) = (7, [0x1000, 0x0000_0000_0000_1000]);
        assert_eq!(
            format!("{:#}", command(&read, Queue::Io)).lines().take(6).collect::<Vec<_>>(),
            [
                "Read",
                "  CID     7       Command Identifier",
                "  NSID    1       Namespace Identifier",
                "  SLBA    4096    Starting LBA",
                "  NLB     7       Number of Logical Blocks: 8 blocks",
                "  FUA     0       Force Unit Access",
            ]
        );
        let decoded = command(&read, Queue::Io);
        assert_eq!((decoded.number("SGL1"), decoded.number("SGLLEN")), (Some(0x1000), Some(0x1000)));
        assert_eq!(decoded.field("FUSE").unwrap().meaning.as_deref(), Some("first command"));
        assert_eq!(decoded.number("PRP1"), None);
        assert_eq!(command(&Command::read(1, 0, 1), Queue::Io).number("PRP1"), Some(0));
    }

    #[test]
    fn tables_are_sorted_and_their_fields_do_not_overlap() {
        for set in [admin::COMMANDS, nvm::COMMANDS, fabrics::COMMANDS] {
            assert!(set.is_sorted_by(|a, b| a.code < b.code));
            for opcode in set {
                assert_apart(opcode.name, 64, &[(0, opcode.fields)]);
            }
        }
        for head in [HEAD, FABRICS_HEAD] {
            assert_apart("head", 64, &[(0, head), (0, FLAGS), (0, PRP)]);
            assert_apart("head", 64, &[(0, head), (0, FLAGS), (0, SGL)]);
        }
        assert_apart("range", 16, &[(0, nvm::RANGE)]);
    }

    #[test]
    fn features_leave_the_fields_of_their_command_alone() {
        for (code, fields) in [
            (admin_opcode::SET_FEATURES, (|feature| feature.set) as fn(&Feature) -> &'static [Spec]),
            (admin_opcode::GET_FEATURES, |feature| feature.ask),
        ] {
            let opcode = find(admin::COMMANDS, code).unwrap();
            for feature in feature::all() {
                let fields = fields(feature);
                assert_apart(feature.name, 64, &[(0, opcode_fields(opcode, fields)), (CDW11, fields)]);
            }
        }
        let buffer = Command::admin(admin_opcode::SET_FEATURES).cdw10(0x0d).cdw13(0x1000).cdw14(0x12);
        let decoded = command(&buffer, Queue::Admin);
        assert_eq!((decoded.number("HMDLA"), decoded.number("UIDX")), (Some(0x12_0000_1000), None));
        let cache = command(&Command { cdw10: 6, ..buffer }, Queue::Admin);
        assert_eq!(cache.number("UIDX"), Some(0x12));
    }

    proptest! {
        #[test]
        fn any_64_bytes_decode(words: [u64; 8], io: bool) {
            let sent = Command::from_words(words);
            let queue = if io { Queue::Io } else { Queue::Admin };
            let decoded = command(&sent, queue);
            prop_assert!(!decoded.name.is_empty());
            prop_assert_eq!(decoded.number("CID"), Some(sent.cid.into()));
            let _ = (format!("{decoded:#}"), decoded.to_string(), serde_json::to_value(&decoded).unwrap());
        }

        #[test]
        fn every_bit_of_the_specific_dwords_is_in_a_field(words: [u64; 8], io: bool, dword in 10_usize..16, bit in 0..32) {
            let sent = Command::from_words(words);
            let mut other = words;
            other[dword / 2] ^= 1 << (dword % 2 * 32 + bit as usize);
            let queue = if io { Queue::Io } else { Queue::Admin };
            prop_assert_ne!(command(&sent, queue), command(&Command::from_words(other), queue));
        }

        #[test]
        fn every_known_opcode_decodes_with_any_dwords(code: u8, dwords: [u32; 6], nsid: u32) {
            for queue in [Queue::Admin, Queue::Io] {
                let [a, b, c, d, e, f] = dwords;
                let sent = Command::io(code, nsid).cdw10(a).cdw11(b).cdw12(c).cdw13(d).cdw14(e).cdw15(f);
                let decoded = command(&sent, queue);
                let other = command(&Command { cdw13: d ^ 0x0001_0000, ..sent }, queue);
                prop_assert_ne!(&decoded.fields, &other.fields);
                prop_assert_eq!(
                    command_name(&sent, queue).is_some(),
                    !decoded.name.starts_with("Unknown") && !decoded.name.starts_with("Vendor")
                );
            }
        }
    }
}
