//! Features: what Set Features sends, Get Features returns, and what is in their data structures (NVMe base
//! specification, "Feature Values").

use super::decoded::Decoded;
use super::layout::{Names, Spec, bytes, dw, entries, flag, read};

/// What the specification says about a feature.
pub(super) struct Feature {
    pub fid: u8,
    pub name: &'static str,
    /// From dword 11 of Set Features on.
    pub set: &'static [Spec],
    /// From dword 11 of Get Features on.
    pub ask: &'static [Spec],
    /// Dword 0 of the completion.
    pub got: &'static [Spec],
    /// The data structure, of a feature that has one.
    pub data: &'static [Spec],
}

/// A feature whose value is one dword: what is set is what is returned.
const fn feature(fid: u8, name: &'static str, fields: &'static [Spec]) -> Feature {
    Feature { fid, name, set: fields, ask: &[], got: fields, data: &[] }
}

/// A feature whose value is a data structure.
const fn structure(fid: u8, name: &'static str, data: &'static [Spec]) -> Feature {
    Feature { data, ..feature(fid, name, &[]) }
}

/// All of them.
#[cfg(test)]
pub(super) fn all() -> &'static [Feature] {
    FEATURES
}

pub(super) fn find(fid: u8) -> Option<&'static Feature> {
    FEATURES.iter().find(|feature| feature.fid == fid)
}

pub(super) fn name(fid: u8) -> &'static str {
    match (find(fid), fid) {
        (Some(feature), _) => feature.name,
        (None, 0xc0..) => "vendor specific",
        (None, _) => "reserved",
    }
}

/// Decodes the value of a feature: dword 0 of the completion of Get Features, or dword 11 of Set Features
/// (NVMe base specification, "Set Features command", Feature Identifiers).
///
/// ```
/// use nvme_spdk::decode;
///
/// let queues = decode::feature_value(0x07, 0x000f_000f);
/// assert_eq!(queues.to_string(), "Number of Queues: NSQ 15 (16 submission queues), NCQ 15 (16 completion queues)");
/// ```
pub fn feature_value(fid: u8, value: u32) -> Decoded {
    let fields = find(fid).map_or(&[] as &[Spec], |feature| feature.got);
    let fields = if fields.is_empty() { ANY } else { fields };
    Decoded::new(title(fid), read(&value.to_le_bytes(), fields))
}

/// Decodes what Get Features with the selection "supported capabilities" returns.
pub(super) fn capabilities(fid: u8, value: u32) -> Decoded {
    Decoded::new(format!("{}, capabilities", title(fid)), read(&value.to_le_bytes(), CAPABILITIES))
}

/// Decodes the data structure of a feature that has one: a timestamp, a host identifier, LBA ranges (NVMe
/// base specification, "Set Features command", Feature Identifiers).
pub fn feature_data(fid: u8, data: &[u8]) -> Decoded {
    let fields = find(fid).map_or(&[] as &[Spec], |feature| feature.data);
    let parts = match fid {
        0x03 => entries(data, 0, 64, 64, |index, entry| {
            Some(Decoded::new(format!("Range {index}"), read(entry, LBA_RANGE))).filter(|_| in_use(entry))
        }),
        0x0c => entries(data, 0, 8, 32, |index, entry| {
            Some(Decoded::new(format!("Power State {index}"), read(entry, TRANSITION)))
                .filter(|_| in_use(entry))
        }),
        _ => Vec::new(),
    };
    Decoded::new(title(fid), read(data, fields)).with_parts(parts)
}

fn title(fid: u8) -> String {
    match find(fid) {
        Some(feature) => feature.name.to_owned(),
        None => format!("Feature {fid:02X}h, {}", name(fid)),
    }
}

fn in_use(entry: &[u8]) -> bool {
    entry.iter().any(|byte| *byte != 0)
}

const ANY: &[Spec] = &[dw(0, 31, 0, "VALUE", "Value").hex()];

const CAPABILITIES: &[Spec] = &[
    flag(0, 0, "SAVE", "Saveable"),
    flag(0, 1, "NSSPEC", "Namespace Specific"),
    flag(0, 2, "CHANG", "Changeable"),
];

const FEATURES: &[Feature] = &[
    feature(
        0x01,
        "Arbitration",
        &[
            dw(0, 2, 0, "AB", "Arbitration Burst").told(|burst| match burst {
                7 => "no limit".to_owned(),
                _ => format!("{} commands", 1_u32 << burst),
            }),
            dw(0, 15, 8, "LPW", "Low Priority Weight").one_more("commands"),
            dw(0, 23, 16, "MPW", "Medium Priority Weight").one_more("commands"),
            dw(0, 31, 24, "HPW", "High Priority Weight").one_more("commands"),
        ],
    ),
    feature(
        0x02,
        "Power Management",
        &[
            dw(0, 4, 0, "PS", "Power State"),
            dw(0, 7, 5, "WH", "Workload Hint")
                .one_of(&[
                    (0, "none"),
                    (1, "extended idle with bursts of random writes"),
                    (2, "heavy sequential writes"),
                ])
                .quiet(),
        ],
    ),
    feature(0x03, "LBA Range Type", &[dw(0, 5, 0, "NUM", "Number of LBA Ranges").one_more("ranges")]),
    Feature {
        ask: &[TMPSEL, THSEL],
        ..feature(
            0x04,
            "Temperature Threshold",
            &[dw(0, 15, 0, "TMPTH", "Temperature Threshold").told(kelvin), TMPSEL, THSEL],
        )
    },
    feature(
        0x05,
        "Error Recovery",
        &[
            dw(0, 15, 0, "TLER", "Time Limited Error Recovery").told(|time| match time {
                0 => "no limit".to_owned(),
                _ => format!("{} ms", time * 100),
            }),
            flag(0, 16, "DULBE", "Deallocated or Unwritten Logical Block Error Enable"),
        ],
    ),
    feature(0x06, "Volatile Write Cache", &[WCE]),
    feature(
        0x07,
        "Number of Queues",
        &[
            dw(0, 15, 0, "NSQ", "Number of I/O Submission Queues").one_more("submission queues"),
            dw(0, 31, 16, "NCQ", "Number of I/O Completion Queues").one_more("completion queues"),
        ],
    ),
    feature(
        0x08,
        "Interrupt Coalescing",
        &[
            dw(0, 7, 0, "THR", "Aggregation Threshold").one_more("completions"),
            dw(0, 15, 8, "TIME", "Aggregation Time").told(|time| match time {
                0 => "no delay".to_owned(),
                _ => format!("{} us", time * 100),
            }),
        ],
    ),
    Feature {
        ask: &[IV],
        ..feature(0x09, "Interrupt Vector Configuration", &[IV, flag(0, 16, "CD", "Coalescing Disable")])
    },
    feature(0x0a, "Write Atomicity Normal", &[flag(0, 0, "DN", "Disable Normal")]),
    feature(
        0x0b,
        "Asynchronous Event Configuration",
        &[
            dw(0, 7, 0, "SHCW", "SMART / Health Critical Warnings").set_of(CRITICAL_WARNINGS),
            flag(0, 8, "NAN", "Attached Namespace Attribute Notices"),
            flag(0, 9, "FAN", "Firmware Activation Notices"),
            flag(0, 10, "TLN", "Telemetry Log Notices"),
            flag(0, 11, "ANACN", "Asymmetric Namespace Access Change Notices"),
            flag(0, 12, "PLEALCN", "Predictable Latency Event Aggregate Log Change Notices"),
            flag(0, 13, "LSIAN", "LBA Status Information Alert Notices"),
            flag(0, 14, "EGEALCN", "Endurance Group Event Aggregate Log Change Notices"),
            flag(0, 15, "NNSSHDN", "Normal NVM Subsystem Shutdown"),
            flag(0, 16, "TTHRY", "Temperature Threshold Hysteresis Recovery"),
            flag(0, 17, "RASSN", "Reachability Association Notices"),
            flag(0, 18, "RGRP0", "Reachability Group Notices"),
            flag(0, 19, "ANSAN", "Allocated Namespace Attribute Notices"),
            flag(0, 27, "ZDCN", "Zone Descriptor Changed Notices"),
            flag(0, 31, "DLPCN", "Discovery Log Page Change Notification"),
        ],
    ),
    feature(
        0x0c,
        "Autonomous Power State Transition",
        &[flag(0, 0, "APSTE", "Autonomous Power State Transition Enable")],
    ),
    Feature {
        set: &[
            EHM,
            flag(0, 1, "MR", "Memory Return"),
            dw(1, 31, 0, "HSIZE", "Host Memory Buffer Size").unit("pages of memory"),
            bytes(15, 8, "HMDLA", "Host Memory Descriptor List Address").hex(),
            dw(4, 31, 0, "HMDLEC", "Host Memory Descriptor List Entry Count").unit("entries"),
        ],
        data: &[
            dw(0, 31, 0, "HSIZE", "Host Memory Buffer Size").unit("pages of memory"),
            bytes(11, 4, "HMDLA", "Host Memory Descriptor List Address").hex(),
            dw(3, 31, 0, "HMDLEC", "Host Memory Descriptor List Entry Count").unit("entries"),
        ],
        ..feature(0x0d, "Host Memory Buffer", &[EHM])
    },
    structure(
        0x0e,
        "Timestamp",
        &[
            bytes(5, 0, "TS", "Timestamp").unit("ms"),
            super::layout::bits(6, 0, 0, "SYNC", "Whether the controller may have stopped counting"),
            super::layout::bits(6, 3, 1, "TO", "Timestamp Origin")
                .one_of(&[(0, "cleared by a controller level reset"), (1, "set by Set Features")]),
        ],
    ),
    feature(0x0f, "Keep Alive Timer", &[dw(0, 31, 0, "KATO", "Keep Alive Timeout").unit("ms")]),
    feature(
        0x10,
        "Host Controlled Thermal Management",
        &[
            dw(0, 15, 0, "TMT2", "Thermal Management Temperature 2").told(kelvin),
            dw(0, 31, 16, "TMT1", "Thermal Management Temperature 1").told(kelvin),
        ],
    ),
    feature(
        0x11,
        "Non-Operational Power State Config",
        &[flag(0, 0, "NOPPME", "Non-Operational Power State Permissive Mode Enable")],
    ),
    Feature {
        set: &[NVMSETID, dw(1, 3, 0, "RRL", "Read Recovery Level")],
        ask: &[NVMSETID],
        ..feature(0x12, "Read Recovery Level Config", &[dw(0, 3, 0, "RRL", "Read Recovery Level")])
    },
    Feature {
        set: &[NVMSETID, flag(1, 0, "LPE", "Predictable Latency Enable")],
        ask: &[NVMSETID],
        ..feature(0x13, "Predictable Latency Mode Config", &[flag(0, 0, "LPE", "Predictable Latency Enable")])
    },
    Feature {
        set: &[NVMSETID, dw(1, 2, 0, "WS", "Window Select").one_of(WINDOWS)],
        ask: &[NVMSETID],
        ..feature(
            0x14,
            "Predictable Latency Mode Window",
            &[dw(0, 2, 0, "WS", "Window Select").one_of(WINDOWS)],
        )
    },
    feature(
        0x15,
        "LBA Status Information Attributes",
        &[
            dw(0, 15, 0, "LSIRI", "LBA Status Information Report Interval").unit("× 100 ms"),
            dw(0, 31, 16, "LSIPI", "LBA Status Information Poll Interval").unit("× 100 ms"),
        ],
    ),
    structure(
        0x16,
        "Host Behavior Support",
        &[
            bytes(0, 0, "ACRE", "Advanced Command Retry Enable"),
            bytes(1, 1, "ETDAS", "Extended Telemetry Data Area 4 Supported"),
            bytes(2, 2, "LBAFEE", "LBA Format Extension Enable"),
            bytes(3, 3, "HDISNS", "Host Dispersed Namespace Support"),
            bytes(5, 4, "CDFE", "Copy Descriptor Formats Enable").hex(),
        ],
    ),
    feature(
        0x17,
        "Sanitize Config",
        &[flag(0, 0, "NODRM", "No-Deallocate Response Mode: finish with a warning")],
    ),
    Feature {
        ask: &[dw(0, 15, 0, "ENDGID", "Endurance Group Identifier")],
        ..feature(
            0x18,
            "Endurance Group Event Configuration",
            &[
                dw(0, 15, 0, "ENDGID", "Endurance Group Identifier"),
                dw(0, 23, 16, "EGCW", "Endurance Group Critical Warnings").set_of(CRITICAL_WARNINGS),
            ],
        )
    },
    feature(0x19, "I/O Command Set Profile", &[dw(0, 8, 0, "IOCSCI", "I/O Command Set Combination Index")]),
    feature(0x1a, "Spinup Control", &[flag(0, 0, "SPNUPEN", "Spinup Enable")]),
    feature(0x1b, "Power Loss Signaling Config", &[dw(0, 1, 0, "PLSM", "Power Loss Signaling Mode")]),
    Feature {
        set: &[
            dw(0, 15, 0, "ENDGID", "Endurance Group Identifier"),
            flag(1, 0, "FDPE", "Flexible Data Placement Enable"),
            dw(1, 15, 8, "FDPCIDX", "Configuration Index"),
        ],
        ask: &[dw(0, 15, 0, "ENDGID", "Endurance Group Identifier")],
        ..feature(
            0x1d,
            "Flexible Data Placement",
            &[
                flag(0, 0, "FDPE", "Flexible Data Placement Enable"),
                dw(0, 15, 8, "FDPCIDX", "Configuration Index"),
            ],
        )
    },
    feature(0x1e, "Flexible Data Placement Events", &[]),
    feature(0x1f, "Namespace Admin Label", &[]),
    feature(0x20, "Key Value Configuration", &[]),
    feature(0x21, "Controller Data Queue", &[]),
    feature(0x78, "Embedded Management Controller Address", &[]),
    feature(0x79, "Host Management Agent Address", &[]),
    feature(0x7d, "Enhanced Controller Metadata", &[]),
    feature(0x7e, "Controller Metadata", &[]),
    feature(0x7f, "Namespace Metadata", &[]),
    feature(0x80, "Software Progress Marker", &[dw(0, 7, 0, "PBSLC", "Pre-boot Software Load Count")]),
    Feature {
        set: EXTENDED_ID,
        got: EXTENDED_ID,
        ..structure(0x81, "Host Identifier", &[bytes(7, 0, "HOSTID", "Host Identifier, first 8 bytes").hex()])
    },
    feature(
        0x82,
        "Reservation Notification Mask",
        &[
            flag(0, 1, "REGPRE", "Mask Registration Preempted Notification"),
            flag(0, 2, "RESREL", "Mask Reservation Released Notification"),
            flag(0, 3, "RESPRE", "Mask Reservation Preempted Notification"),
        ],
    ),
    feature(0x83, "Reservation Persistence", &[flag(0, 0, "PTPL", "Persist Through Power Loss")]),
    feature(
        0x84,
        "Namespace Write Protection Config",
        &[dw(0, 2, 0, "WPS", "Write Protection State").one_of(&[
            (0, "not protected"),
            (1, "protected"),
            (2, "protected until power cycle"),
            (3, "permanently protected"),
        ])],
    ),
];

const WCE: Spec =
    dw(0, 0, 0, "WCE", "Volatile Write Cache Enable").one_of(&[(0, "disabled"), (1, "enabled")]);
const EHM: Spec = flag(0, 0, "EHM", "Enable Host Memory");
const IV: Spec = dw(0, 15, 0, "IV", "Interrupt Vector");
const NVMSETID: Spec = dw(0, 15, 0, "NVMSETID", "NVM Set Identifier");
const EXTENDED_ID: &[Spec] = &[flag(0, 0, "EXHID", "Enable Extended Host Identifier: 128 bits")];
const WINDOWS: Names = &[(1, "deterministic"), (2, "non-deterministic")];

const TMPSEL: Spec = dw(0, 19, 16, "TMPSEL", "Threshold Temperature Select").told(|sensor| match sensor {
    0 => "composite temperature".to_owned(),
    1..=8 => format!("sensor {sensor}"),
    15 => "all sensors".to_owned(),
    _ => "reserved".to_owned(),
});
const THSEL: Spec = dw(0, 21, 20, "THSEL", "Threshold Type Select")
    .one_of(&[(0, "over temperature"), (1, "under temperature")]);

const LBA_RANGE: &[Spec] = &[
    bytes(0, 0, "TYPE", "Type").one_of(&[
        (0, "general purpose"),
        (1, "filesystem"),
        (2, "RAID"),
        (3, "cache"),
        (4, "page or swap file"),
    ]),
    bytes(1, 1, "ATTRB", "Attributes").set_of(&[(0, "may be overwritten"), (1, "hidden from the OS")]),
    bytes(23, 16, "SLBA", "Starting LBA"),
    bytes(31, 24, "NLB", "Number of Logical Blocks").one_more("blocks"),
    bytes(47, 32, "GUID", "Unique Identifier").raw(),
];

const TRANSITION: &[Spec] = &[
    dw(0, 7, 3, "ITPS", "Idle Transition Power State"),
    dw(0, 31, 8, "ITPT", "Idle Time Prior to Transition").unit("ms"),
];

/// Bits of SMART's critical warning, and of features and events about it.
pub(super) const CRITICAL_WARNINGS: Names = &[
    (0, "available spare below threshold"),
    (1, "temperature beyond threshold"),
    (2, "reliability degraded"),
    (3, "media read only"),
    (4, "volatile memory backup failed"),
    (5, "persistent memory region read only or unreliable"),
];

/// A temperature.
pub(super) fn kelvin(kelvin: u128) -> String {
    match i64::try_from(kelvin) {
        Ok(kelvin @ 1..) => format!("{} °C", kelvin - 273),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::layout::{ANY_LENGTH, assert_apart};
    use super::*;

    #[test]
    fn values_as_people_read_them() {
        let lines = [
            (
                0x01,
                0x0a05_0303,
                "Arbitration: AB 3 (8 commands), LPW 3 (4 commands), MPW 5 (6 commands), HPW 10 (11 commands)",
            ),
            (
                0x04,
                343,
                "Temperature Threshold: TMPTH 343 (70 °C), TMPSEL 0 (composite temperature), THSEL 0 (over temperature)",
            ),
            (0x06, 1, "Volatile Write Cache: WCE 1 (enabled)"),
            (
                0x0b,
                0x21f,
                "Asynchronous Event Configuration: SHCW 0x1f (available spare below threshold, temperature \
              beyond threshold, reliability degraded, media read only, volatile memory backup failed), FAN",
            ),
            (0x05, 0, "Error Recovery: TLER 0 (no limit)"),
            (0x12, 15, "Read Recovery Level Config: RRL 15"),
            (0x21, 1, "Controller Data Queue: VALUE 0x1"),
            (0xd0, 5, "Feature D0h, vendor specific: VALUE 0x5"),
        ];
        for (fid, value, expected) in lines {
            assert_eq!(feature_value(fid, value).to_string(), expected);
        }
        assert_eq!(capabilities(6, 5).to_string(), "Volatile Write Cache, capabilities: SAVE, CHANG");
    }

    #[test]
    fn data_structures() {
        let mut data = 1_600_000_000_000_u64.to_le_bytes();
        data[6] = 2;
        let timestamp = feature_data(0x0e, &data);
        assert_eq!(
            timestamp.to_string(),
            "Timestamp: TS 1600000000000 (ms), SYNC 0, TO 1 (set by Set Features)"
        );

        let mut transitions = [0; 256];
        transitions[0..4].copy_from_slice(&(100_u32 << 8 | 3 << 3).to_le_bytes());
        let decoded = feature_data(0x0c, &transitions);
        assert_eq!(decoded.parts.len(), 1);
        assert_eq!(decoded.parts[0].to_string(), "Power State 0: ITPS 3, ITPT 100 (ms)");
    }

    #[test]
    fn sorted() {
        assert!(FEATURES.is_sorted_by(|a, b| a.fid < b.fid));
    }

    #[test]
    fn fields_do_not_overlap_and_end_in_their_structure() {
        for feature in FEATURES {
            // Dwords 11 to 15 of a command, dword 0 of a completion.
            for (fields, size) in
                [(feature.set, 20), (feature.ask, 20), (feature.got, 4), (feature.data, 4096)]
            {
                assert_apart(feature.name, size, &[(0, fields)]);
            }
        }
        assert_apart("LBA Range", 64, &[(0, LBA_RANGE)]);
        assert_apart("Transition", 8, &[(0, TRANSITION)]);
        assert_apart("Capabilities", 4, &[(0, CAPABILITIES)]);
    }

    proptest! {
        #[test]
        fn any_value_and_any_data_decode(fid: u8, value: u32, data in prop::collection::vec(any::<u8>(), ANY_LENGTH)) {
            for decoded in [feature_value(fid, value), capabilities(fid, value), feature_data(fid, &data)] {
                prop_assert!(!decoded.name.is_empty());
                let _ = (format!("{decoded:#}"), decoded.to_string(), serde_json::to_value(&decoded).unwrap());
            }
        }
    }
}
