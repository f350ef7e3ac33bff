//! Commands that a controller has more to say about.

use super::structure;
use crate::status::Status;

structure! {
    /// An entry of the Error Information log, LID 01h (NVMe base specification, "Error Information Log Page").
    ErrorLogEntry, 64 bytes {
        /// Error Count: numbers the errors of the controller's life; 0 in an entry that is not used.
        error_count: u64 = 0, "ECNT";
        /// Submission Queue ID of the command.
        sqid: u16 = 8, "SQID";
        /// Command ID.
        cid: u16 = 10, "CID";
        /// Status Field of its completion, with the Phase Tag in bit 0; see [`status`](Self::status).
        status_field: u16 = 12, "STATUS";
        /// Parameter Error Location: the byte of the command that is wrong.
        parameter_byte: u8 = 14, "PELBYTE";
        /// LBA: the first one with the error.
        lba: u64 = 16, "LBA";
        /// Namespace.
        nsid: u32 = 24, "NSID";
        /// Command Specific Information.
        command_specific: u64 = 32, "CSINFO";
    }
}

impl ErrorLogEntry {
    /// Whether it is in use.
    pub fn is_used(&self) -> bool {
        self.error_count() != 0
    }

    /// The status of the command's completion.
    pub fn status(&self) -> Status {
        Status::new((self.status_field() >> 9) as u8 & 0x7, (self.status_field() >> 1) as u8)
    }

    /// Parameter Error Location: the bit in that byte, 0 to 7.
    pub fn parameter_bit(&self) -> u8 {
        self.bytes[15] & 0x7
    }
}
