//! The admin command set (NVMe base specification, "Admin Command Set").

use super::layout::{Names, Spec, bytes, dw, flag};
use super::opcode::{Opcode, opcode};
use super::{feature, identify, log};

pub(super) const COMMANDS: &[Opcode] = &[
    opcode(0x00, "Delete I/O Submission Queue", &[dw(10, 15, 0, "QID", "Queue Identifier")]),
    opcode(
        0x01,
        "Create I/O Submission Queue",
        &[
            dw(10, 15, 0, "QID", "Queue Identifier"),
            dw(10, 31, 16, "QSIZE", "Queue Size").one_more("entries"),
            dw(11, 31, 16, "CQID", "Completion Queue Identifier"),
            flag(11, 0, "PC", "Physically Contiguous"),
            dw(11, 2, 1, "QPRIO", "Queue Priority").one_of(PRIORITIES).quiet(),
            dw(12, 15, 0, "NVMSETID", "NVM Set Identifier").quiet(),
        ],
    ),
    opcode(
        0x02,
        "Get Log Page",
        &[
            dw(10, 7, 0, "LID", "Log Page Identifier").hex().told(log_name),
            // Both halves, NUMDL and NUMDU, lie side by side.
            bytes(45, 42, "NUMD", "Number of Dwords").told(dwords),
            dw(10, 14, 8, "LSP", "Log Specific Parameter").quiet(),
            flag(10, 15, "RAE", "Retain Asynchronous Event"),
            dw(11, 31, 16, "LSI", "Log Specific Identifier").quiet(),
            bytes(55, 48, "LPO", "Log Page Offset").hex().quiet(),
            UUID_INDEX,
            flag(14, 23, "OT", "Offset Type: an index"),
            dw(14, 31, 24, "CSI", "Command Set Identifier").one_of(COMMAND_SETS).quiet(),
        ],
    ),
    opcode(0x04, "Delete I/O Completion Queue", &[dw(10, 15, 0, "QID", "Queue Identifier")]),
    opcode(
        0x05,
        "Create I/O Completion Queue",
        &[
            dw(10, 15, 0, "QID", "Queue Identifier"),
            dw(10, 31, 16, "QSIZE", "Queue Size").one_more("entries"),
            flag(11, 0, "PC", "Physically Contiguous"),
            flag(11, 1, "IEN", "Interrupts Enabled"),
            dw(11, 31, 16, "IV", "Interrupt Vector"),
        ],
    ),
    opcode(
        0x06,
        "Identify",
        &[
            dw(10, 7, 0, "CNS", "Controller or Namespace Structure").hex().told(cns_name),
            dw(10, 31, 16, "CNTID", "Controller Identifier").quiet(),
            dw(11, 15, 0, "CNSSID", "CNS Specific Identifier").quiet(),
            dw(11, 31, 24, "CSI", "Command Set Identifier").one_of(COMMAND_SETS).quiet(),
            UUID_INDEX,
        ],
    ),
    opcode(
        0x08,
        "Abort",
        &[
            dw(10, 15, 0, "SQID", "Submission Queue Identifier of the command to abort"),
            dw(10, 31, 16, "CID", "Command Identifier of the command to abort"),
        ],
    ),
    // What is in dword 11 and behind it depends on the feature.
    opcode(0x09, "Set Features", &[FID, flag(10, 31, "SV", "Save"), UUID_INDEX]),
    opcode(
        0x0a,
        "Get Features",
        &[FID, dw(10, 10, 8, "SEL", "Select").one_of(SELECTIONS).quiet(), UUID_INDEX],
    ),
    opcode(0x0c, "Asynchronous Event Request", &[]),
    opcode(
        0x0d,
        "Namespace Management",
        &[
            dw(10, 3, 0, "SEL", "Select").one_of(&[(0, "create"), (1, "delete")]),
            dw(11, 31, 24, "CSI", "Command Set Identifier").one_of(COMMAND_SETS).quiet(),
        ],
    ),
    opcode(
        0x10,
        "Firmware Commit",
        &[
            dw(10, 2, 0, "FS", "Firmware Slot").told(slot),
            dw(10, 5, 3, "CA", "Commit Action").one_of(COMMIT_ACTIONS),
            flag(10, 31, "BPID", "Boot Partition ID"),
        ],
    ),
    opcode(
        0x11,
        "Firmware Image Download",
        &[
            dw(10, 31, 0, "NUMD", "Number of Dwords").told(dwords),
            dw(11, 31, 0, "OFST", "Offset, in dwords").told(|offset| format!("byte {}", offset * 4)),
        ],
    ),
    opcode(0x14, "Device Self-test", &[dw(10, 3, 0, "STC", "Self-test Code").one_of(SELF_TESTS)]),
    opcode(
        0x15,
        "Namespace Attachment",
        &[dw(10, 3, 0, "SEL", "Select").one_of(&[(0, "attach"), (1, "detach")])],
    ),
    opcode(0x18, "Keep Alive", &[]),
    opcode(0x19, "Directive Send", DIRECTIVE),
    opcode(0x1a, "Directive Receive", DIRECTIVE),
    opcode(
        0x1c,
        "Virtualization Management",
        &[
            dw(10, 3, 0, "ACT", "Action").one_of(&[
                (1, "primary controller flexible allocation"),
                (7, "secondary controller offline"),
                (8, "secondary controller assign"),
                (9, "secondary controller online"),
            ]),
            dw(10, 10, 8, "RT", "Resource Type").one_of(&[(0, "VQ resources"), (1, "VI resources")]),
            dw(10, 31, 16, "CNTLID", "Controller Identifier"),
            dw(11, 15, 0, "NR", "Number of Controller Resources"),
        ],
    ),
    opcode(0x1d, "NVMe-MI Send", &[]),
    opcode(0x1e, "NVMe-MI Receive", &[]),
    opcode(
        0x20,
        "Capacity Management",
        &[
            dw(10, 3, 0, "OPER", "Operation").one_of(&[
                (0, "select capacity configuration"),
                (1, "create endurance group"),
                (2, "delete endurance group"),
                (3, "create NVM set"),
                (4, "delete NVM set"),
            ]),
            dw(10, 31, 16, "ELID", "Element Identifier"),
            bytes(51, 44, "CAP", "Capacity, in bytes"),
        ],
    ),
    opcode(
        0x24,
        "Lockdown",
        &[
            dw(10, 3, 0, "SCP", "Scope").one_of(&[
                (0, "admin command opcode"),
                (2, "feature identifier"),
                (3, "Management Interface command opcode"),
                (4, "PCIe command opcode"),
            ]),
            flag(10, 4, "PRHBT", "Prohibit"),
            dw(10, 6, 5, "IFC", "Interface").quiet(),
            dw(10, 15, 8, "OFI", "Opcode or Feature Identifier").hex(),
            UUID_INDEX,
        ],
    ),
    opcode(
        0x7c,
        "Doorbell Buffer Config",
        // Shadow doorbells and event indices: the two pointers that stand where data pointers do.
        &[],
    ),
    // Which one it is, byte 4 says: see fabrics.rs.
    opcode(0x7f, "Fabrics Command", &[]),
    opcode(
        0x80,
        "Format NVM",
        &[
            dw(10, 3, 0, "LBAFL", "LBA Format, lower bits"),
            flag(10, 4, "MSET", "Metadata Settings: at the end of the data"),
            dw(10, 7, 5, "PI", "Protection Information").one_of(PROTECTION).quiet(),
            flag(10, 8, "PIL", "Protection Information Location: first bytes"),
            dw(10, 11, 9, "SES", "Secure Erase Settings").one_of(SECURE_ERASE),
            dw(10, 13, 12, "LBAFU", "LBA Format, upper bits").quiet(),
        ],
    ),
    opcode(0x81, "Security Send", &[NSSF, SPSP, SECP, dw(11, 31, 0, "TL", "Transfer Length").unit("bytes")]),
    opcode(
        0x82,
        "Security Receive",
        &[NSSF, SPSP, SECP, dw(11, 31, 0, "AL", "Allocation Length").unit("bytes")],
    ),
    opcode(
        0x84,
        "Sanitize",
        &[
            dw(10, 2, 0, "SANACT", "Sanitize Action").one_of(SANITIZE_ACTIONS),
            flag(10, 3, "AUSE", "Allow Unrestricted Sanitize Exit"),
            dw(10, 7, 4, "OWPASS", "Overwrite Pass Count").quiet(),
            flag(10, 8, "OIPBP", "Overwrite Invert Pattern Between Passes"),
            flag(10, 9, "NDAS", "No-Deallocate After Sanitize"),
            flag(10, 10, "EMVS", "Enter Media Verification State"),
            dw(11, 31, 0, "OVRPAT", "Overwrite Pattern").hex().quiet(),
        ],
    ),
    opcode(
        0x86,
        "Get LBA Status",
        &[
            bytes(47, 40, "SLBA", "Starting LBA"),
            dw(12, 31, 0, "MNDW", "Maximum Number of Dwords").told(dwords),
            dw(13, 15, 0, "RL", "Range Length").unit("blocks"),
            dw(13, 31, 24, "ATYPE", "Action Type").hex().one_of(&[
                (0x02, "tracked allocated"),
                (0x10, "scan for untracked potentially unrecoverable blocks"),
                (0x11, "tracked potentially unrecoverable blocks"),
            ]),
        ],
    ),
];

const FID: Spec = dw(10, 7, 0, "FID", "Feature Identifier").hex().told(feature_name);
const UUID_INDEX: Spec = dw(14, 6, 0, "UIDX", "UUID Index").quiet();
const NSSF: Spec = dw(10, 7, 0, "NSSF", "NVMe Security Specific Field").hex().quiet();
const SPSP: Spec = dw(10, 23, 8, "SPSP", "SP Specific").hex();
const SECP: Spec = dw(10, 31, 24, "SECP", "Security Protocol").hex().one_of(&[
    (0x00, "information"),
    (0x01, "TCG"),
    (0x02, "TCG"),
    (0xea, "NVMe"),
    (0xef, "ATA security"),
]);

const DIRECTIVE: &[Spec] = &[
    dw(10, 31, 0, "NUMD", "Number of Dwords").told(dwords),
    dw(11, 15, 8, "DTYPE", "Directive Type").one_of(&[
        (0, "identify"),
        (1, "streams"),
        (2, "data placement"),
    ]),
    dw(11, 7, 0, "DOPER", "Directive Operation"),
    dw(11, 31, 16, "DSPEC", "Directive Specific").quiet(),
];

const PRIORITIES: Names = &[(0, "urgent"), (1, "high"), (2, "medium"), (3, "low")];

/// Identifiers of I/O command sets.
pub(super) const COMMAND_SETS: Names =
    &[(0, "NVM"), (1, "key value"), (2, "zoned namespaces"), (3, "subsystem local memory"), (4, "programs")];

pub(super) const SELECTIONS: Names =
    &[(0, "current"), (1, "default"), (2, "saved"), (3, "supported capabilities")];

const COMMIT_ACTIONS: Names = &[
    (0, "replace the image in the slot"),
    (1, "replace the image in the slot, activate at the next reset"),
    (2, "activate the slot at the next reset"),
    (3, "activate immediately"),
    (6, "replace the boot partition"),
    (7, "mark the boot partition active"),
];

pub(super) const SELF_TESTS: Names =
    &[(1, "short"), (2, "extended"), (3, "host-initiated refresh"), (0xe, "vendor specific"), (0xf, "abort")];

const PROTECTION: Names = &[(0, "none"), (1, "type 1"), (2, "type 2"), (3, "type 3")];

const SECURE_ERASE: Names = &[(0, "no erase"), (1, "user data erase"), (2, "cryptographic erase")];

pub(super) const SANITIZE_ACTIONS: Names = &[
    (1, "exit failure mode"),
    (2, "block erase"),
    (3, "overwrite"),
    (4, "crypto erase"),
    (5, "exit media verification state"),
];

fn log_name(lid: u128) -> String {
    log::name(lid as u8).to_owned()
}

fn cns_name(cns: u128) -> String {
    identify::name(cns as u8).to_owned()
}

fn feature_name(fid: u128) -> String {
    feature::name(fid as u8).to_owned()
}

fn slot(slot: u128) -> String {
    if slot == 0 { "the controller chooses".to_owned() } else { String::new() }
}

/// A 0's based number of dwords.
pub(super) fn dwords(dwords: u128) -> String {
    format!("{} bytes", (dwords + 1) * 4)
}
