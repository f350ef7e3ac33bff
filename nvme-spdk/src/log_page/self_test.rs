//! What a controller found when it tested itself.

use super::structure;
use crate::status::Status;

structure! {
    /// The Device Self-test log, LID 06h (NVMe base specification, "Device Self-test Log Page").
    SelfTestLog, 564 bytes {}
}

structure! {
    /// One of the results in it, of a test that has ended ("Self-test Result Data Structure").
    SelfTestResult, 28 bytes {
        /// Segment Number (SEGNUM) where the first failure occurred, if the [result](Self::result) is 7.
        segment: u8 = 1, "SEGNUM";
        /// Power On Hours (POH) when it ended.
        power_on_hours: u64 = 4, "POH";
    }
}

impl SelfTestLog {
    /// Current Device Self-test Operation: 0 none, 1 short, 2 extended.
    pub fn operation(&self) -> u8 {
        self.bytes[0] & 0xf
    }

    /// Current Device Self-test Completion, in percent.
    pub fn percent_complete(&self) -> u8 {
        self.bytes[1] & 0x7f
    }

    /// The results of the last 20 tests, the newest first.
    pub fn results(&self) -> Vec<SelfTestResult> {
        let entries = self.bytes[4..].chunks_exact(SelfTestResult::SIZE).map(SelfTestResult::from_bytes);
        entries.filter(SelfTestResult::is_used).collect()
    }
}

impl SelfTestResult {
    fn is_used(&self) -> bool {
        self.result() != 0xf && self.bytes[0] != 0
    }

    /// Device Self-test Result: 0 without error, 1 to 4, 8 and 9 aborted, 5 a fatal error, 6 and 7 failed.
    pub fn result(&self) -> u8 {
        self.bytes[0] & 0xf
    }

    /// Self-test Code: 1 short, 2 extended, Eh vendor specific.
    pub fn code(&self) -> u8 {
        self.bytes[0] >> 4
    }

    /// Whether the test completed without an error.
    pub fn has_passed(&self) -> bool {
        self.result() == 0
    }

    /// Namespace Identifier of the failing LBA, if there is one.
    pub fn nsid(&self) -> Option<u32> {
        self.if_valid(0, u32::from_le_bytes(self.word(12)))
    }

    /// Failing LBA, if there is one.
    pub fn failing_lba(&self) -> Option<u64> {
        self.if_valid(1, u64::from_le_bytes(self.word(16)))
    }

    /// What a command on that LBA is answered with, if it is told.
    pub fn status(&self) -> Option<Status> {
        let sct = self.if_valid(2, self.bytes[24] & 0x7)?;
        self.if_valid(3, Status::new(sct, self.bytes[25]))
    }

    /// Valid Diagnostic Information: a bit for each of the fields that may be missing.
    fn if_valid<T>(&self, bit: u8, value: T) -> Option<T> {
        (self.bytes[2] >> bit & 1 == 1).then_some(value)
    }

    fn word<const N: usize>(&self, at: usize) -> [u8; N] {
        std::array::from_fn(|byte| self.bytes[at + byte])
    }
}
