//! Which firmware is where.

use super::{structure, text};

structure! {
    /// The Firmware Slot Information log, LID 03h (NVMe base specification, "Firmware Slot Information Log Page").
    FirmwareSlotLog, 512 bytes {
        /// Active Firmware Info (AFI): see [`active_slot`](Self::active_slot) and [`next_slot`](Self::next_slot).
        active_firmware_info: u8 = 0, "AFI";
    }
}

impl FirmwareSlotLog {
    /// The slot that the running firmware was loaded from, 1 to 7.
    pub fn active_slot(&self) -> u8 {
        self.active_firmware_info() & 0x7
    }

    /// The slot that is activated at the next controller level reset, if the controller says so.
    pub fn next_slot(&self) -> Option<u8> {
        Some(self.active_firmware_info() >> 4 & 0x7).filter(|slot| *slot != 0)
    }

    /// Firmware Revision for Slot 1 to 7 (FRSn); `None` if the slot is empty, or not there.
    pub fn revision(&self, slot: usize) -> Option<String> {
        let at = 8 * Some(slot).filter(|slot| (1..=7).contains(slot))?;
        Some(text(&self.bytes[at..at + 8])).filter(|revision| !revision.is_empty())
    }
}
