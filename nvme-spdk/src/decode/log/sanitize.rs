//! Sanitize Status (NVMe base specification, "Sanitize Status Log Page").

use super::super::admin::SANITIZE_ACTIONS;
use super::super::layout::{Spec, bits, bytes};

pub(super) const FIELDS: &[Spec] = &[
    bytes(1, 0, "SPROG", "Sanitize Progress").told(progress),
    bits(2, 2, 0, "SOS", "Sanitize Operation Status").one_of(&[
        (0, "never sanitized"),
        (1, "sanitized"),
        (2, "in progress"),
        (3, "failed"),
        (4, "sanitized, with unexpected deallocation"),
    ]),
    bits(2, 7, 3, "OPC", "Overwrite Passes Completed").quiet(),
    bits(3, 0, 0, "GDE", "Global Data Erased: nothing was written since"),
    bits(4, 2, 0, "SANACT", "Sanitize Action of the latest operation").one_of(SANITIZE_ACTIONS).quiet(),
    bytes(11, 8, "ETO", "Estimated Time For Overwrite").told(seconds),
    bytes(15, 12, "ETBE", "Estimated Time For Block Erase").told(seconds),
    bytes(19, 16, "ETCE", "Estimated Time For Crypto Erase").told(seconds),
    bytes(23, 20, "ETOND", "Estimated Time For Overwrite With No-Deallocate").told(seconds),
    bytes(27, 24, "ETBEND", "Estimated Time For Block Erase With No-Deallocate").told(seconds),
    bytes(31, 28, "ETCEND", "Estimated Time For Crypto Erase With No-Deallocate").told(seconds),
];

fn progress(part: u128) -> String {
    if part == 0xffff { "not running".to_owned() } else { format!("{} percent", part * 100 / 65536) }
}

fn seconds(time: u128) -> String {
    if time == 0xffff_ffff { "not told".to_owned() } else { format!("{time} s") }
}

#[cfg(test)]
mod tests {
    use super::super::log_page;

    #[test]
    fn status() {
        let mut data = [0xff; 512];
        data[..8].copy_from_slice(&[0x00, 0x80, 2, 0, 0x02, 0, 0, 0]);
        assert_eq!(
            log_page(0x81, &data).to_string(),
            "Sanitize Status: SPROG 32768 (50 percent), SOS 2 (in progress), GDE 0, SANACT 2 (block erase), \
             ETO 4294967295 (not told), ETBE 4294967295 (not told), ETCE 4294967295 (not told), \
             ETOND 4294967295 (not told), ETBEND 4294967295 (not told), ETCEND 4294967295 (not told)"
        );
    }
}
