//! Error Information (NVMe base specification, "Error Information Log Page").

use crate::status::Status;

use super::super::decoded::Decoded;
use super::super::layout::{Spec, bits, bytes, entries, number_at, read};

pub(super) const ENTRY: &[Spec] = &[
    bytes(7, 0, "ECNT", "Error Count"),
    bytes(9, 8, "SQID", "Submission Queue ID"),
    bytes(11, 10, "CID", "Command ID").hex(),
    bytes(13, 12, "STATUS", "Status Field with Phase Tag").hex().told(status),
    bytes(14, 14, "PELBYTE", "Parameter Error Location, byte of the command"),
    bits(15, 2, 0, "PELBIT", "Parameter Error Location, bit in that byte"),
    bytes(23, 16, "LBA", "First LBA of the error"),
    bytes(27, 24, "NSID", "Namespace"),
    bytes(28, 28, "VSIA", "Vendor Specific Information Available: log page").hex().quiet(),
    bytes(29, 29, "TRTYPE", "Transport Type")
        .one_of(&[(0, "not told"), (1, "RDMA"), (2, "Fibre Channel"), (3, "TCP"), (254, "intra-host")])
        .quiet(),
    bytes(39, 32, "CSINFO", "Command Specific Information").hex().quiet(),
    bytes(41, 40, "TTSI", "Transport Type Specific Information").hex().quiet(),
];

/// Those that are in use: their error count is not 0.
pub(super) fn entries_of(data: &[u8]) -> Vec<Decoded> {
    entries(data, 0, 64, 256, |index, entry| {
        let used = number_at(entry, 0, 8) != 0;
        used.then(|| Decoded::new(format!("Error {index}"), read(entry, ENTRY)))
    })
}

fn status(field: u128) -> String {
    let status = Status::new((field >> 9) as u8 & 0x7, (field >> 1) as u8);
    status.title().to_owned()
}

#[cfg(test)]
mod tests {
    use super::super::log_page;

    #[test]
    fn entries_in_use() {
        let mut data = [0; 192];
        data[0] = 9;
        data[8..16].copy_from_slice(&[1, 0, 7, 0, 0x01, 0x01, 40, 2]);
        data[64] = 8;
        let log = log_page(1, &data);
        assert_eq!(log.parts.len(), 2);
        assert_eq!(
            log.parts[0].to_string(),
            "Error 0: ECNT 9, SQID 1, CID 0x7, STATUS 0x101 (LBA Out of Range), PELBYTE 40, PELBIT 2, LBA 0, NSID 0"
        );
    }
}
