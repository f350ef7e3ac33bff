//! How far a sanitize operation is.

use std::time::Duration;

use super::structure;

structure! {
    /// The Sanitize Status log, LID 81h (NVMe base specification, "Sanitize Status Log Page").
    SanitizeLog, 512 bytes {
        /// Sanitize Progress (SPROG), in parts of 65536; ffffh when nothing is running. See [`percent`](Self::percent).
        progress: u16 = 0, "SPROG";
        /// Estimated Time For Overwrite (ETO) in seconds, ffffffffh if not told.
        overwrite_seconds: u32 = 8, "ETO";
        /// Estimated Time For Block Erase (ETBE) in seconds, ffffffffh if not told.
        block_erase_seconds: u32 = 12, "ETBE";
        /// Estimated Time For Crypto Erase (ETCE) in seconds, ffffffffh if not told.
        crypto_erase_seconds: u32 = 16, "ETCE";
    }
}

/// Sanitize Operation Status (SOS).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SanitizeState {
    /// The subsystem was never sanitized.
    Never,
    /// The latest operation has completed.
    Completed,
    /// An operation is in progress.
    InProgress,
    /// The latest operation has failed.
    Failed,
    /// The latest operation has completed, and deallocated although it was not to.
    CompletedDeallocated,
    /// Reserved; its number.
    Other(u8),
}

impl SanitizeLog {
    /// Where the latest operation is.
    pub fn state(&self) -> SanitizeState {
        match self.bytes[2] & 0x7 {
            0 => SanitizeState::Never,
            1 => SanitizeState::Completed,
            2 => SanitizeState::InProgress,
            3 => SanitizeState::Failed,
            4 => SanitizeState::CompletedDeallocated,
            other => SanitizeState::Other(other),
        }
    }

    /// How much of the operation in progress is done, in percent.
    pub fn percent(&self) -> Option<f32> {
        (self.state() == SanitizeState::InProgress).then(|| f32::from(self.progress()) * 100.0 / 65536.0)
    }

    /// Global Data Erased (GDE): nothing was written since the latest operation.
    pub fn is_erased(&self) -> bool {
        self.bytes[3] & 1 != 0
    }

    /// Estimated Time For Overwrite, if the controller tells it.
    pub fn overwrite_time(&self) -> Option<Duration> {
        (self.overwrite_seconds() != u32::MAX).then(|| Duration::from_secs(self.overwrite_seconds().into()))
    }
}
