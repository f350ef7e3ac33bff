//! How a controller is, and what it has done so far.

use super::{celsius, structure};

structure! {
    /// The SMART / Health Information log, LID 02h (NVMe base specification, "SMART / Health Information Log Page").
    SmartLog, 512 bytes {
        /// Critical Warning: bit 0 spare below threshold, 1 temperature, 2 reliability degraded, 3 read only, 4 volatile
        /// memory backup failed, 5 persistent memory region unreliable.
        critical_warning: u8 = 0, "CW";
        /// Composite Temperature in kelvins, 0 if not reported; see [`temperature`](Self::temperature).
        temperature_kelvins: u16 = 1, "CTEMP";
        /// Available Spare, in percent.
        available_spare: u8 = 3, "AVSP";
        /// Available Spare Threshold, in percent.
        available_spare_threshold: u8 = 4, "AVSPT";
        /// Percentage Used of its life, as the vendor estimates it; may exceed 100, and ends at 255.
        percentage_used: u8 = 5, "PUSED";
        /// Endurance Group Critical Warning Summary, in bits as [`critical_warning`](Self::critical_warning).
        endurance_group_warnings: u8 = 6, "EGCWS";
        /// Data Units Read, in thousands of 512 bytes, rounded up; see [`bytes_read`](Self::bytes_read).
        data_units_read: u128 = 32, "DUR";
        /// Data Units Written, in thousands of 512 bytes, rounded up; see [`bytes_written`](Self::bytes_written).
        data_units_written: u128 = 48, "DUW";
        /// Host Read Commands that completed.
        host_reads: u128 = 64, "HRC";
        /// Host Write Commands that completed.
        host_writes: u128 = 80, "HWC";
        /// Controller Busy Time, in minutes.
        busy_minutes: u128 = 96, "CBT";
        /// Power Cycles.
        power_cycles: u128 = 112, "PWRC";
        /// Power On Hours.
        power_on_hours: u128 = 128, "POH";
        /// Unexpected Power Losses, which older specifications call Unsafe Shutdowns.
        unsafe_shutdowns: u128 = 144, "UPL";
        /// Media and Data Integrity Errors.
        media_errors: u128 = 160, "MDIE";
        /// Number of Error Information Log Entries over its life.
        error_log_entries: u128 = 176, "NEILE";
        /// Warning Composite Temperature Time, in minutes.
        warning_temperature_minutes: u32 = 192, "WCTT";
        /// Critical Composite Temperature Time, in minutes.
        critical_temperature_minutes: u32 = 196, "CCTT";
    }
}

/// The size of a data unit, in bytes.
const DATA_UNIT: u128 = 512_000;

impl SmartLog {
    /// Composite Temperature in degrees Celsius, if it is reported.
    pub fn temperature(&self) -> Option<i16> {
        celsius(self.temperature_kelvins())
    }

    /// Temperature Sensor 1 to 8, in degrees Celsius, if it is there.
    pub fn sensor(&self, number: usize) -> Option<i16> {
        let at = 200 + 2 * number.checked_sub(1).filter(|index| *index < 8)?;
        celsius(u16::from_le_bytes([self.bytes[at], self.bytes[at + 1]]))
    }

    /// Data Units Read, in bytes.
    pub fn bytes_read(&self) -> u128 {
        self.data_units_read().saturating_mul(DATA_UNIT)
    }

    /// Data Units Written, in bytes.
    pub fn bytes_written(&self) -> u128 {
        self.data_units_written().saturating_mul(DATA_UNIT)
    }
}
