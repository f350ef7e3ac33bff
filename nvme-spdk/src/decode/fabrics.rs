//! Fabrics commands: opcode 7Fh on any queue, which one byte 4 says (NVMe base specification, "Fabrics Command Set").

use super::layout::{Names, Spec, bits, bytes, dw, flag};
use super::opcode::{Opcode, opcode};

/// By their Fabrics Command Type.
pub(super) const COMMANDS: &[Opcode] = &[
    opcode(0x00, "Property Set", &[SIZE, OFFSET, bytes(55, 48, "VALUE", "Value").hex()]),
    opcode(
        0x01,
        "Connect",
        &[
            dw(10, 31, 16, "QID", "Queue ID")
                .told(|qid| if qid == 0 { "admin queue".into() } else { String::new() }),
            dw(11, 15, 0, "SQSIZE", "Submission Queue Size").one_more("entries"),
            dw(12, 31, 0, "KATO", "Keep Alive Timeout").unit("ms"),
            dw(11, 17, 16, "PRIO", "Priority Class")
                .one_of(&[(0, "urgent"), (1, "high"), (2, "medium"), (3, "low")])
                .quiet(),
            flag(11, 18, "NOFLOW", "Disable SQ flow control"),
            flag(11, 19, "IOQD", "Individual I/O Queue Deletion supported"),
            dw(10, 15, 0, "RECFMT", "Record Format").quiet(),
        ],
    ),
    opcode(0x04, "Property Get", &[SIZE, OFFSET]),
    opcode(
        0x05,
        "Authentication Send",
        &[SPSP0, SPSP1, SECP, dw(11, 31, 0, "TL", "Transfer Length").unit("bytes")],
    ),
    opcode(
        0x06,
        "Authentication Receive",
        &[SPSP0, SPSP1, SECP, dw(11, 31, 0, "AL", "Allocation Length").unit("bytes")],
    ),
    opcode(0x08, "Disconnect", &[dw(10, 15, 0, "RECFMT", "Record Format").quiet()]),
];

const SIZE: Spec = bits(40, 2, 0, "ATTRIB", "Attributes").one_of(&[(0, "4 bytes"), (1, "8 bytes")]);
const OFFSET: Spec = dw(11, 31, 0, "OFST", "Offset").hex().one_of(PROPERTIES);
const SPSP0: Spec = bytes(41, 41, "SPSP0", "SP Specific 0").hex();
const SPSP1: Spec = bytes(42, 42, "SPSP1", "SP Specific 1").hex();
const SECP: Spec = bytes(43, 43, "SECP", "Security Protocol").hex();

/// Properties are the registers of a controller.
const PROPERTIES: Names = &[
    (0x00, "CAP, Controller Capabilities"),
    (0x08, "VS, Version"),
    (0x14, "CC, Controller Configuration"),
    (0x1c, "CSTS, Controller Status"),
    (0x20, "NSSR, NVM Subsystem Reset"),
    (0x64, "NSSD, NVM Subsystem Shutdown"),
    (0x68, "CRTO, Controller Ready Timeouts"),
];
