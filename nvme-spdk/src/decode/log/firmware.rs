//! Firmware Slot Information (NVMe base specification, "Firmware Slot Information Log Page").

use super::super::layout::{Spec, bits, bytes};

pub(super) const FIELDS: &[Spec] = &[
    bits(0, 2, 0, "AFI", "Active Firmware Info: active slot"),
    bits(0, 6, 4, "AFINEXT", "Active Firmware Info: slot at the next reset").quiet(),
    bytes(15, 8, "FRS1", "Firmware Revision for Slot 1").text(),
    bytes(23, 16, "FRS2", "Firmware Revision for Slot 2").text().quiet(),
    bytes(31, 24, "FRS3", "Firmware Revision for Slot 3").text().quiet(),
    bytes(39, 32, "FRS4", "Firmware Revision for Slot 4").text().quiet(),
    bytes(47, 40, "FRS5", "Firmware Revision for Slot 5").text().quiet(),
    bytes(55, 48, "FRS6", "Firmware Revision for Slot 6").text().quiet(),
    bytes(63, 56, "FRS7", "Firmware Revision for Slot 7").text().quiet(),
];

#[cfg(test)]
mod tests {
    use super::super::log_page;

    #[test]
    fn slots() {
        let mut data = [0; 512];
        data[0] = 0x21;
        data[8..16].copy_from_slice(b"1.0     ");
        data[16..24].copy_from_slice(b"1.1-rc2 ");
        let log = log_page(3, &data);
        assert_eq!(log.to_string(), "Firmware Slot Information: AFI 1, AFINEXT 2, FRS1 1.0, FRS2 1.1-rc2");
    }
}
