//! Identify Namespace (NVM command set specification, "Identify Namespace Data Structure").

use super::super::decoded::Decoded;
use super::super::layout::{Spec, bits, bytes, entries, number_at, read};

pub(super) const FIELDS: &[Spec] = &[
    bytes(7, 0, "NSZE", "Namespace Size").unit("blocks"),
    bytes(15, 8, "NCAP", "Namespace Capacity").unit("blocks"),
    bytes(23, 16, "NUSE", "Namespace Utilization").unit("blocks"),
    bytes(24, 24, "NSFEAT", "Namespace Features")
        .set_of(&[
            (0, "thin provisioning"),
            (1, "atomic write units of its own"),
            (2, "deallocated block error"),
            (3, "identifiers are never reused"),
            (4, "preferred sizes are told"),
        ])
        .quiet(),
    bytes(25, 25, "NLBAF", "Number of LBA Formats").one_more("formats"),
    bits(26, 3, 0, "FLBAS", "Formatted LBA Size, index of the format"),
    bits(26, 4, 4, "MDEXT", "Metadata at the end of the data").quiet(),
    bits(26, 6, 5, "FIDXU", "Formatted LBA Size, upper bits of the index").quiet(),
    bytes(27, 27, "MC", "Metadata Capabilities")
        .set_of(&[(0, "at the end of the data"), (1, "in a buffer of its own")])
        .quiet(),
    bytes(28, 28, "DPC", "Data Protection Capabilities")
        .set_of(&[
            (0, "type 1"),
            (1, "type 2"),
            (2, "type 3"),
            (3, "first bytes of metadata"),
            (4, "last bytes of metadata"),
        ])
        .quiet(),
    bits(29, 2, 0, "DPS", "Data Protection Type")
        .one_of(&[(0, "none"), (1, "type 1"), (2, "type 2"), (3, "type 3")])
        .quiet(),
    bits(29, 3, 3, "DPSP", "Protection information in the first bytes").quiet(),
    bits(30, 0, 0, "NMIC", "Multi-path I/O: may be shared").quiet(),
    bytes(31, 31, "RESCAP", "Reservation Capabilities")
        .set_of(&[
            (0, "persist through power loss"),
            (1, "write exclusive"),
            (2, "exclusive access"),
            (3, "write exclusive, registrants only"),
            (4, "exclusive access, registrants only"),
            (5, "write exclusive, all registrants"),
            (6, "exclusive access, all registrants"),
            (7, "ignore existing key"),
        ])
        .quiet(),
    bits(32, 6, 0, "FPI", "Format Progress Indicator, percent left").quiet(),
    bits(33, 2, 0, "DLFEAT", "Deallocated blocks read as")
        .one_of(&[(0, "not told"), (1, "zeroes"), (2, "ones")])
        .quiet(),
    bits(33, 3, 3, "DLWZ", "Deallocate bit in Write Zeroes").quiet(),
    bytes(35, 34, "NAWUN", "Namespace Atomic Write Unit Normal").quiet(),
    bytes(37, 36, "NAWUPF", "Namespace Atomic Write Unit Power Fail").quiet(),
    bytes(39, 38, "NACWU", "Namespace Atomic Compare & Write Unit").quiet(),
    bytes(41, 40, "NABSN", "Namespace Atomic Boundary Size Normal").quiet(),
    bytes(43, 42, "NABO", "Namespace Atomic Boundary Offset").quiet(),
    bytes(45, 44, "NABSPF", "Namespace Atomic Boundary Size Power Fail").quiet(),
    bytes(47, 46, "NOIOB", "Namespace Optimal I/O Boundary").quiet(),
    bytes(63, 48, "NVMCAP", "NVM Capacity").unit("bytes").quiet(),
    bytes(65, 64, "NPWG", "Namespace Preferred Write Granularity").quiet(),
    bytes(67, 66, "NPWA", "Namespace Preferred Write Alignment").quiet(),
    bytes(69, 68, "NPDG", "Namespace Preferred Deallocate Granularity").quiet(),
    bytes(71, 70, "NPDA", "Namespace Preferred Deallocate Alignment").quiet(),
    bytes(73, 72, "NOWS", "Namespace Optimal Write Size").quiet(),
    bytes(75, 74, "MSSRL", "Maximum Single Source Range Length of Copy").quiet(),
    bytes(79, 76, "MCL", "Maximum Copy Length").quiet(),
    bytes(80, 80, "MSRC", "Maximum Source Range Count of Copy").quiet(),
    bytes(95, 92, "ANAGRPID", "ANA Group Identifier").quiet(),
    bits(99, 0, 0, "NSATTR", "Namespace Attributes: write protected").quiet(),
    bytes(101, 100, "NVMSETID", "NVM Set Identifier").quiet(),
    bytes(103, 102, "ENDGID", "Endurance Group Identifier").quiet(),
    bytes(119, 104, "NGUID", "Namespace Globally Unique Identifier").raw().quiet(),
    bytes(127, 120, "EUI64", "IEEE Extended Unique Identifier").raw().quiet(),
];

/// What all command sets have in common.
pub(super) const INDEPENDENT: &[Spec] = &[
    bytes(0, 0, "NSFEAT", "Common Namespace Features").hex(),
    bits(1, 0, 0, "NMIC", "Multi-path I/O: may be shared"),
    bytes(2, 2, "RESCAP", "Reservation Capabilities").hex(),
    bits(3, 6, 0, "FPI", "Format Progress Indicator, percent left"),
    bytes(7, 4, "ANAGRPID", "ANA Group Identifier"),
    bits(8, 0, 0, "NSATTR", "Namespace Attributes: write protected"),
    bytes(11, 10, "NVMSETID", "NVM Set Identifier"),
    bytes(13, 12, "ENDGID", "Endurance Group Identifier"),
    bits(14, 0, 0, "NSTAT", "Namespace Status: ready"),
];

pub(super) const FORMAT: &[Spec] = &[
    bytes(2, 2, "LBADS", "LBA Data Size").told(|power| match power {
        0 => "not available".to_owned(),
        9..=31 => format!("{} bytes", 1_u64 << power),
        _ => "reserved".to_owned(),
    }),
    bytes(1, 0, "MS", "Metadata Size").unit("bytes"),
    bits(3, 1, 0, "RP", "Relative Performance").one_of(&[
        (0, "best"),
        (1, "better"),
        (2, "good"),
        (3, "degraded"),
    ]),
];

/// The formats that NLBAF says there are.
pub(super) fn formats(data: &[u8]) -> Vec<Decoded> {
    let listed = number_at(data, 25, 1) as usize + 1;
    let index = number_at(data, 26, 1) as usize;
    let current = index & 0xf | (index >> 5 & 0x3) << 4;
    entries(data, 128, 4, listed.min(64), |index, entry| {
        let mark = if index == current { ", in use" } else { "" };
        Some(Decoded::new(format!("LBA Format {index}{mark}"), read(entry, FORMAT)))
    })
}

#[cfg(test)]
mod tests {
    use super::super::identify;

    #[test]
    fn a_namespace() {
        let mut data = [0; 4096];
        data[0..8].copy_from_slice(&1000_u64.to_le_bytes());
        (data[25], data[26]) = (1, 1);
        data[128..136].copy_from_slice(&[0, 0, 9, 2, 8, 0, 12, 0]);
        let namespace = identify(0x00, &data);
        assert_eq!(
            namespace.to_string(),
            "Identify Namespace: NSZE 1000 (blocks), NCAP 0, NUSE 0, NLBAF 1 (2 formats), FLBAS 1; \
             LBA Format 0 and 1 more"
        );
        assert_eq!(namespace.parts[0].to_string(), "LBA Format 0: LBADS 9 (512 bytes), MS 0, RP 2 (good)");
        assert_eq!(
            namespace.parts[1].to_string(),
            "LBA Format 1, in use: LBADS 12 (4096 bytes), MS 8 (bytes), RP 0 (best)"
        );
    }
}
