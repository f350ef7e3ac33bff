//! Completion status: what it means, in the words of the specification.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Status code type and status code of a completion (NVMe base specification, "Status Field Definition").
///
/// Displays as in every NVMe log: `LBA OUT OF RANGE (00/80)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Status {
    /// Status code type, 0 to 7.
    pub sct: u8,
    /// Status code.
    pub sc: u8,
}

impl Status {
    /// Successful completion, 00/00.
    pub const SUCCESS: Status = Status::new(0, 0);
    /// Invalid Field in Command, 00/02.
    pub const INVALID_FIELD: Status = Status::new(0, 0x02);
    /// Command Abort Requested, 00/07; also what SPDK completes commands of a PCIe controller with that is gone.
    pub const ABORTED_BY_REQUEST: Status = Status::new(0, 0x07);
    /// Command Aborted due to SQ Deletion, 00/08; also what SPDK completes commands with when their
    /// queue pair goes away.
    pub const ABORTED_SQ_DELETION: Status = Status::new(0, 0x08);
    /// Connect Invalid Parameters of NVMe over Fabrics, 01/82.
    pub const CONNECT_INVALID_PARAMETERS: Status = Status::new(1, 0x82);

    /// 07/81, given by this driver and not by the controller: the data that was read is not what was written
    /// there. See [`Namespace::verify`](crate::Namespace::verify).
    pub const DATA_MISMATCH: Status = Status::new(7, 0x81);
    /// 07/ff, given by this driver and not by the controller: no answer in time.
    pub const TIMED_OUT: Status = Status::new(7, 0xff);

    /// A status from its two parts.
    pub const fn new(sct: u8, sc: u8) -> Self {
        Status { sct, sc }
    }

    /// Neither part says that anything is wrong.
    pub const fn is_success(self) -> bool {
        self.sct == 0 && self.sc == 0
    }

    /// Its name in capitals; the name of the status code type where the code has none.
    pub fn name(self) -> &'static str {
        let table = match self.sct {
            0 => GENERIC,
            1 => COMMAND_SPECIFIC,
            2 => MEDIA,
            3 => PATH,
            7 => return "VENDOR SPECIFIC",
            _ => return "RESERVED",
        };
        let fallback = ["GENERIC", "COMMAND SPECIFIC", "MEDIA ERROR", "PATH ERROR"][usize::from(self.sct)];
        table.iter().find(|(code, _)| *code == self.sc).map_or(fallback, |(_, name)| name)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:02x}/{:02x})", self.name(), self.sct, self.sc)
    }
}

type Names = &'static [(u8, &'static str)];

const GENERIC: Names = &[
    (0x00, "SUCCESS"),
    (0x01, "INVALID OPCODE"),
    (0x02, "INVALID FIELD"),
    (0x03, "COMMAND ID CONFLICT"),
    (0x04, "DATA TRANSFER ERROR"),
    (0x05, "ABORTED - POWER LOSS"),
    (0x06, "INTERNAL DEVICE ERROR"),
    (0x07, "ABORTED - BY REQUEST"),
    (0x08, "ABORTED - SQ DELETION"),
    (0x09, "ABORTED - FAILED FUSED"),
    (0x0a, "ABORTED - MISSING FUSED"),
    (0x0b, "INVALID NAMESPACE OR FORMAT"),
    (0x0c, "COMMAND SEQUENCE ERROR"),
    (0x0d, "INVALID SGL SEGMENT DESCRIPTOR"),
    (0x0e, "INVALID NUMBER OF SGL DESCRIPTORS"),
    (0x0f, "DATA SGL LENGTH INVALID"),
    (0x10, "METADATA SGL LENGTH INVALID"),
    (0x11, "SGL DESCRIPTOR TYPE INVALID"),
    (0x12, "INVALID CONTROLLER MEMORY BUFFER"),
    (0x13, "INVALID PRP OFFSET"),
    (0x14, "ATOMIC WRITE UNIT EXCEEDED"),
    (0x15, "OPERATION DENIED"),
    (0x16, "INVALID SGL OFFSET"),
    (0x18, "HOST IDENTIFIER INCONSISTENT FORMAT"),
    (0x19, "KEEP ALIVE EXPIRED"),
    (0x1a, "KEEP ALIVE INVALID"),
    (0x1b, "ABORTED - PREEMPT AND ABORT"),
    (0x1c, "SANITIZE FAILED"),
    (0x1d, "SANITIZE IN PROGRESS"),
    (0x1e, "SGL DATA BLOCK GRANULARITY INVALID"),
    (0x1f, "COMMAND NOT SUPPORTED FOR QUEUE IN CMB"),
    (0x20, "NAMESPACE IS WRITE PROTECTED"),
    (0x21, "COMMAND INTERRUPTED"),
    (0x22, "TRANSIENT TRANSPORT ERROR"),
    (0x80, "LBA OUT OF RANGE"),
    (0x81, "CAPACITY EXCEEDED"),
    (0x82, "NAMESPACE NOT READY"),
    (0x83, "RESERVATION CONFLICT"),
    (0x84, "FORMAT IN PROGRESS"),
];

const COMMAND_SPECIFIC: Names = &[
    (0x00, "INVALID COMPLETION QUEUE"),
    (0x01, "INVALID QUEUE IDENTIFIER"),
    (0x02, "INVALID QUEUE SIZE"),
    (0x03, "ABORT CMD LIMIT EXCEEDED"),
    (0x05, "ASYNC LIMIT EXCEEDED"),
    (0x06, "INVALID FIRMWARE SLOT"),
    (0x07, "INVALID FIRMWARE IMAGE"),
    (0x08, "INVALID INTERRUPT VECTOR"),
    (0x09, "INVALID LOG PAGE"),
    (0x0a, "INVALID FORMAT"),
    (0x0b, "FIRMWARE REQUIRES CONVENTIONAL RESET"),
    (0x0c, "INVALID QUEUE DELETION"),
    (0x0d, "FEATURE ID NOT SAVEABLE"),
    (0x0e, "FEATURE NOT CHANGEABLE"),
    (0x0f, "FEATURE NOT NAMESPACE SPECIFIC"),
    (0x10, "FIRMWARE REQUIRES NVM RESET"),
    (0x11, "FIRMWARE REQUIRES RESET"),
    (0x12, "FIRMWARE REQUIRES MAX TIME VIOLATION"),
    (0x13, "FIRMWARE ACTIVATION PROHIBITED"),
    (0x14, "OVERLAPPING RANGE"),
    (0x15, "NAMESPACE INSUFFICIENT CAPACITY"),
    (0x16, "NAMESPACE ID UNAVAILABLE"),
    (0x18, "NAMESPACE ALREADY ATTACHED"),
    (0x19, "NAMESPACE IS PRIVATE"),
    (0x1a, "NAMESPACE NOT ATTACHED"),
    (0x1b, "THIN PROVISIONING NOT SUPPORTED"),
    (0x1c, "CONTROLLER LIST INVALID"),
    (0x1d, "DEVICE SELF-TEST IN PROGRESS"),
    (0x1e, "BOOT PARTITION WRITE PROHIBITED"),
    (0x1f, "INVALID CONTROLLER ID"),
    (0x20, "INVALID SECONDARY CONTROLLER STATE"),
    (0x21, "INVALID NUMBER OF CONTROLLER RESOURCES"),
    (0x22, "INVALID RESOURCE IDENTIFIER"),
    // Of the NVM command set; 0x82 is also Connect Invalid Parameters of NVMe over Fabrics.
    (0x80, "CONFLICTING ATTRIBUTES"),
    (0x81, "INVALID PROTECTION INFO"),
    (0x82, "WRITE TO RO RANGE"),
    // Of NVMe over Fabrics.
    (0x83, "CONNECT RESTART DISCOVERY"),
    (0x84, "CONNECT INVALID HOST"),
    // Of zoned namespaces.
    (0xb8, "ZONE BOUNDARY ERROR"),
    (0xb9, "ZONE IS FULL"),
    (0xba, "ZONE IS READ ONLY"),
    (0xbb, "ZONE IS OFFLINE"),
    (0xbc, "ZONE INVALID WRITE"),
    (0xbd, "TOO MANY ACTIVE ZONES"),
    (0xbe, "TOO MANY OPEN ZONES"),
    (0xbf, "INVALID ZONE STATE TRANSITION"),
];

const MEDIA: Names = &[
    (0x80, "WRITE FAULTS"),
    (0x81, "UNRECOVERED READ ERROR"),
    (0x82, "GUARD CHECK ERROR"),
    (0x83, "APPLICATION TAG CHECK ERROR"),
    (0x84, "REFERENCE TAG CHECK ERROR"),
    (0x85, "COMPARE FAILURE"),
    (0x86, "ACCESS DENIED"),
    (0x87, "DEALLOCATED OR UNWRITTEN BLOCK"),
];

const PATH: Names = &[
    (0x00, "INTERNAL PATH ERROR"),
    (0x01, "ASYMMETRIC ACCESS PERSISTENT LOSS"),
    (0x02, "ASYMMETRIC ACCESS INACCESSIBLE"),
    (0x03, "ASYMMETRIC ACCESS TRANSITION"),
    (0x60, "CONTROLLER PATH ERROR"),
    (0x70, "HOST PATH ERROR"),
    (0x71, "ABORTED BY HOST"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_fallbacks() {
        assert_eq!(Status::SUCCESS.to_string(), "SUCCESS (00/00)");
        assert_eq!(Status::new(2, 0x81).to_string(), "UNRECOVERED READ ERROR (02/81)");
        assert_eq!(Status::new(0, 0x7f).name(), "GENERIC");
        assert_eq!(Status::new(1, 0xff).name(), "COMMAND SPECIFIC");
        assert_eq!(Status::new(2, 0).name(), "MEDIA ERROR");
        assert_eq!(Status::new(3, 0xff).name(), "PATH ERROR");
        assert_eq!(Status::new(7, 0x81).name(), "VENDOR SPECIFIC");
        assert_eq!(Status::new(5, 0).name(), "RESERVED");
    }

    #[test]
    fn tables_are_sorted_and_without_repetition() {
        for table in [GENERIC, COMMAND_SPECIFIC, MEDIA, PATH] {
            assert!(table.is_sorted_by(|a, b| a.0 < b.0));
        }
    }
}
