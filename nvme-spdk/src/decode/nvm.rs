//! The NVM command set, reservations, and the zoned namespace command set (NVMe NVM command set and zoned namespace
//! command set specifications; base specification, "I/O Command Set").

use super::admin::dwords;
use super::layout::{Names, Spec, bytes, dw, flag};
use super::opcode::{Opcode, opcode};

pub(super) const COMMANDS: &[Opcode] = &[
    opcode(0x00, "Flush", &[]),
    opcode(
        0x01,
        "Write",
        &[
            SLBA,
            NLB,
            FUA,
            LR,
            PRACT,
            PRCHK,
            STC,
            DTYPE,
            DSPEC,
            FREQUENCY,
            LATENCY,
            SEQUENTIAL,
            INCOMPRESSIBLE,
            ILBRT,
            LBAT,
            LBATM,
        ],
    ),
    opcode(
        0x02,
        "Read",
        &[
            SLBA,
            NLB,
            FUA,
            LR,
            PRACT,
            PRCHK,
            STC,
            FREQUENCY,
            LATENCY,
            SEQUENTIAL,
            INCOMPRESSIBLE,
            EILBRT,
            ELBAT,
            ELBATM,
        ],
    ),
    opcode(0x04, "Write Uncorrectable", &[SLBA, NLB, DTYPE, DSPEC]),
    opcode(0x05, "Compare", &[SLBA, NLB, FUA, LR, PRACT, PRCHK, STC, EILBRT, ELBAT, ELBATM]),
    opcode(
        0x08,
        "Write Zeroes",
        &[
            SLBA,
            NLB,
            flag(12, 25, "DEAC", "Deallocate"),
            FUA,
            LR,
            PRACT,
            PRCHK,
            STC,
            DTYPE,
            DSPEC,
            ILBRT,
            LBAT,
            LBATM,
        ],
    ),
    opcode(
        0x09,
        "Dataset Management",
        &[
            dw(10, 7, 0, "NR", "Number of Ranges").one_more("ranges"),
            flag(11, 0, "IDR", "Integral Dataset for Read"),
            flag(11, 1, "IDW", "Integral Dataset for Write"),
            flag(11, 2, "AD", "Deallocate"),
        ],
    ),
    opcode(0x0c, "Verify", &[SLBA, NLB, FUA, LR, PRACT, PRCHK, STC, EILBRT, ELBAT, ELBATM]),
    opcode(
        0x0d,
        "Reservation Register",
        &[
            dw(10, 2, 0, "RREGA", "Reservation Register Action").one_of(&[
                (0, "register"),
                (1, "unregister"),
                (2, "replace"),
            ]),
            IEKEY,
            dw(10, 31, 30, "CPTPL", "Change Persist Through Power Loss")
                .one_of(&[(0, "no change"), (2, "clear"), (3, "set")])
                .quiet(),
        ],
    ),
    opcode(
        0x0e,
        "Reservation Report",
        &[
            dw(10, 31, 0, "NUMD", "Number of Dwords").told(dwords),
            flag(11, 0, "EDS", "Extended Data Structure"),
        ],
    ),
    opcode(
        0x11,
        "Reservation Acquire",
        &[
            dw(10, 2, 0, "RACQA", "Reservation Acquire Action").one_of(&[
                (0, "acquire"),
                (1, "preempt"),
                (2, "preempt and abort"),
            ]),
            IEKEY,
            RTYPE,
        ],
    ),
    opcode(
        0x12,
        "I/O Management Receive",
        &[
            dw(10, 7, 0, "MO", "Management Operation").hex(),
            dw(10, 31, 16, "MOS", "Management Operation Specific").hex().quiet(),
            dw(11, 31, 0, "NUMD", "Number of Dwords").told(dwords),
        ],
    ),
    opcode(
        0x15,
        "Reservation Release",
        &[
            dw(10, 2, 0, "RRELA", "Reservation Release Action").one_of(&[(0, "release"), (1, "clear")]),
            IEKEY,
            RTYPE,
        ],
    ),
    opcode(
        0x18,
        "Cancel",
        &[
            dw(10, 15, 0, "SQID", "Submission Queue Identifier"),
            dw(10, 31, 16, "CID", "Command Identifier of the command to cancel"),
            dw(11, 1, 0, "ACODE", "Action Code").one_of(&[(0, "single command"), (1, "multiple commands")]),
        ],
    ),
    opcode(
        0x19,
        "Copy",
        &[
            bytes(47, 40, "SDLBA", "Starting Destination LBA"),
            dw(12, 7, 0, "NR", "Number of Ranges").one_more("ranges"),
            dw(12, 11, 8, "CDFE", "Copy Descriptor Format").quiet(),
            dw(12, 15, 12, "PRINFOR", "Protection Information of the read part").hex().quiet(),
            dw(12, 29, 26, "PRINFOW", "Protection Information of the write part").hex().quiet(),
            DTYPE,
            flag(12, 24, "STCW", "Storage Tag Check Write"),
            flag(12, 25, "STCR", "Storage Tag Check Read"),
            FUA,
            LR,
            DSPEC,
            ILBRT,
            LBAT,
            LBATM,
        ],
    ),
    opcode(
        0x1d,
        "I/O Management Send",
        &[
            dw(10, 7, 0, "MO", "Management Operation").hex(),
            dw(10, 31, 16, "MOS", "Management Operation Specific").hex().quiet(),
        ],
    ),
    opcode(
        0x79,
        "Zone Management Send",
        &[
            SLBA,
            dw(13, 7, 0, "ZSA", "Zone Send Action").hex().one_of(&[
                (0x01, "close"),
                (0x02, "finish"),
                (0x03, "open"),
                (0x04, "reset"),
                (0x05, "offline"),
                (0x10, "set zone descriptor extension"),
                (0x11, "flush zone random write area"),
            ]),
            flag(13, 8, "ALL", "Select All"),
            dw(13, 31, 16, "ZM", "Zone Management bits").hex().quiet(),
        ],
    ),
    opcode(
        0x7a,
        "Zone Management Receive",
        &[
            SLBA,
            dw(12, 31, 0, "NDW", "Number of Dwords").told(dwords),
            dw(13, 7, 0, "ZRA", "Zone Receive Action")
                .one_of(&[(0, "report zones"), (1, "extended report zones")]),
            dw(13, 15, 8, "ZRAS", "Zone Receive Action Specific").one_of(&[
                (0, "all zones"),
                (1, "empty"),
                (2, "implicitly opened"),
                (3, "explicitly opened"),
                (4, "closed"),
                (5, "full"),
                (6, "read only"),
                (7, "offline"),
            ]),
            flag(13, 16, "PR", "Partial Report"),
        ],
    ),
    opcode(
        0x7d,
        "Zone Append",
        &[
            bytes(47, 40, "ZSLBA", "Zone Starting LBA"),
            NLB,
            flag(12, 25, "PIREMAP", "Protection Information Remap"),
            FUA,
            LR,
            PRACT,
            PRCHK,
            STC,
            DTYPE,
            DSPEC,
            ILBRT,
            LBAT,
            LBATM,
        ],
    ),
];

/// A range of a Dataset Management command's data.
pub(super) const RANGE: &[Spec] = &[
    dw(0, 31, 0, "CATTR", "Context Attributes").hex().quiet(),
    dw(1, 31, 0, "LLB", "Length in Logical Blocks").unit("blocks"),
    bytes(15, 8, "SLBA", "Starting LBA"),
];

const SLBA: Spec = bytes(47, 40, "SLBA", "Starting LBA");
const NLB: Spec = dw(12, 15, 0, "NLB", "Number of Logical Blocks").one_more("blocks");
const FUA: Spec = flag(12, 30, "FUA", "Force Unit Access");
const LR: Spec = flag(12, 31, "LR", "Limited Retry");
const PRACT: Spec = flag(12, 29, "PRACT", "Protection Information Action");
const PRCHK: Spec = dw(12, 28, 26, "PRCHK", "Protection Information Check")
    .set_of(&[(0, "reference tag"), (1, "application tag"), (2, "guard")])
    .quiet();
const STC: Spec = flag(12, 24, "STC", "Storage Tag Check");
const DTYPE: Spec = dw(12, 23, 20, "DTYPE", "Directive Type")
    .one_of(&[(0, "none"), (1, "streams"), (2, "data placement")])
    .quiet();
const DSPEC: Spec = dw(13, 31, 16, "DSPEC", "Directive Specific").quiet();
const FREQUENCY: Spec = dw(13, 3, 0, "AF", "Access Frequency")
    .one_of(&[
        (0, "not told"),
        (1, "typical"),
        (2, "infrequent writes and reads"),
        (3, "infrequent writes, frequent reads"),
        (4, "frequent writes, infrequent reads"),
        (5, "frequent writes and reads"),
        (6, "one time read"),
        (7, "speculative read"),
        (8, "likely to be overwritten soon"),
    ])
    .quiet();
const LATENCY: Spec = dw(13, 5, 4, "AL", "Access Latency")
    .one_of(&[(0, "not told"), (1, "longer is acceptable"), (2, "typical"), (3, "as small as possible")])
    .quiet();
const SEQUENTIAL: Spec = flag(13, 6, "SR", "Sequential Request");
const INCOMPRESSIBLE: Spec = flag(13, 7, "INCOM", "Incompressible");
const ILBRT: Spec = dw(14, 31, 0, "ILBRT", "Initial Logical Block Reference Tag").hex().quiet();
const LBAT: Spec = dw(15, 15, 0, "LBAT", "Logical Block Application Tag").hex().quiet();
const LBATM: Spec = dw(15, 31, 16, "LBATM", "Logical Block Application Tag Mask").hex().quiet();
const EILBRT: Spec = dw(14, 31, 0, "EILBRT", "Expected Initial Logical Block Reference Tag").hex().quiet();
const ELBAT: Spec = dw(15, 15, 0, "ELBAT", "Expected Logical Block Application Tag").hex().quiet();
const ELBATM: Spec = dw(15, 31, 16, "ELBATM", "Expected Logical Block Application Tag Mask").hex().quiet();
const IEKEY: Spec = flag(10, 3, "IEKEY", "Ignore Existing Key");
const RTYPE: Spec = dw(10, 15, 8, "RTYPE", "Reservation Type").one_of(RESERVATIONS);

const RESERVATIONS: Names = &[
    (0, "none"),
    (1, "write exclusive"),
    (2, "exclusive access"),
    (3, "write exclusive, registrants only"),
    (4, "exclusive access, registrants only"),
    (5, "write exclusive, all registrants"),
    (6, "exclusive access, all registrants"),
];
