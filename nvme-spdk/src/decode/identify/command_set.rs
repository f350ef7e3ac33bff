//! What Identify returns for one I/O command set (NVM command set specification, Zoned Namespace command set
//! specification: "I/O Command Set specific Identify Namespace data structure" and the same of controllers).

use super::super::decoded::Decoded;
use super::super::layout::{Spec, bits, bytes, entries, number_at, read};

/// I/O command sets that have data structures of their own.
const NVM: u8 = 0x00;
const ZONED: u8 = 0x02;

/// The fields and parts of a structure that depends on the command set; `None` for those that do not.
pub(super) fn structure(csi: u8, cns: u8, data: &[u8]) -> Option<Decoded> {
    Some(match (csi, cns) {
        (NVM, 0x05) => Decoded::new("Identify Namespace, NVM command set", read(data, NVM_NAMESPACE))
            .with_parts(extended_formats(data)),
        (NVM, 0x06) => Decoded::new("Identify Controller, NVM command set", read(data, NVM_CONTROLLER)),
        (ZONED, 0x05) => Decoded::new("Identify Namespace, zoned namespaces", read(data, ZONED_NAMESPACE))
            .with_parts(zones(data)),
        (ZONED, 0x06) => Decoded::new("Identify Controller, zoned namespaces", read(data, ZONED_CONTROLLER)),
        _ => return None,
    })
}

const NVM_NAMESPACE: &[Spec] = &[
    bytes(7, 0, "LBSTM", "Logical Block Storage Tag Mask").hex(),
    bytes(8, 8, "PIC", "Protection Information Capabilities")
        .set_of(&[
            (0, "16b guard storage tag"),
            (1, "16b guard storage tag mask"),
            (2, "storage tag check read"),
        ])
        .quiet(),
];

/// Limits of single commands, as powers of two of the smallest page.
const NVM_CONTROLLER: &[Spec] = &[
    bytes(0, 0, "VSL", "Verify Size Limit").told(limit),
    bytes(1, 1, "WZSL", "Write Zeroes Size Limit").told(limit),
    bytes(2, 2, "WUSL", "Write Uncorrectable Size Limit").told(limit),
    bytes(3, 3, "DMRL", "Dataset Management Ranges Limit"),
    bytes(7, 4, "DMRSL", "Dataset Management Range Size Limit").unit("blocks"),
    bytes(15, 8, "DMSL", "Dataset Management Size Limit").unit("blocks"),
];

const ZONED_CONTROLLER: &[Spec] =
    &[bytes(0, 0, "ZASL", "Zone Append Size Limit").told(|power| match power {
        0 => "as MDTS".to_owned(),
        power => limit(power),
    })];

const ZONED_NAMESPACE: &[Spec] = &[
    bytes(1, 0, "ZOC", "Zone Operation Characteristics")
        .set_of(&[(0, "variable zone capacity"), (1, "zone active excursions")])
        .quiet(),
    bytes(3, 2, "OZCS", "Optional Zoned Command Support")
        .set_of(&[(0, "read across zone boundaries"), (1, "zone random write area")])
        .quiet(),
    bytes(7, 4, "MAR", "Maximum Active Resources").told(resources),
    bytes(11, 8, "MOR", "Maximum Open Resources").told(resources),
    bytes(15, 12, "RRL", "Reset Recommended Limit").unit("s"),
    bytes(19, 16, "FRL", "Finish Recommended Limit").unit("s"),
    bytes(47, 44, "NUMZRWA", "Number of ZRWA Resources").told(resources).quiet(),
    bytes(49, 48, "ZRWAFG", "ZRWA Flush Granularity").unit("blocks").quiet(),
    bytes(51, 50, "ZRWASZ", "ZRWA Size").unit("blocks").quiet(),
    bytes(52, 52, "ZRWACAP", "ZRWA Capability").set_of(&[(0, "explicit flush")]).quiet(),
];

fn limit(power: u128) -> String {
    match power {
        0 => "no limit".to_owned(),
        1..=63 => format!("{} of the smallest pages", 1_u64 << power),
        _ => String::new(),
    }
}

/// 0's based, all bits set for no limit.
fn resources(number: u128) -> String {
    if number == u128::from(u32::MAX) { "no limit".to_owned() } else { format!("{} zones", number + 1) }
}

/// How the LBA formats are extended; only those that are.
fn extended_formats(data: &[u8]) -> Vec<Decoded> {
    const FORMAT: &[Spec] = &[
        bits(0, 6, 0, "STS", "Storage Tag Size").unit("bits"),
        bytes(3, 0, "ELBAF", "Extended LBA Format").told(|format| {
            let names = ["16b guard", "32b guard", "64b guard", "as qualified"];
            names[(format >> 7 & 0x3) as usize].to_owned()
        }),
    ];
    entries(data, 12, 4, 64, |index, entry| {
        let used = number_at(entry, 0, 4) != 0;
        used.then(|| Decoded::new(format!("Extended LBA Format {index}"), read(entry, FORMAT)))
    })
}

/// What zones look like with each LBA format.
fn zones(data: &[u8]) -> Vec<Decoded> {
    const FORMAT: &[Spec] = &[
        bytes(7, 0, "ZSZE", "Zone Size").unit("blocks"),
        bytes(8, 8, "ZDES", "Zone Descriptor Extension Size").told(|size| match size {
            0 => String::new(),
            size => format!("{} bytes", size * 64),
        }),
    ];
    entries(data, 2816, 16, 64, |index, entry| {
        let used = number_at(entry, 0, 8) != 0;
        used.then(|| Decoded::new(format!("LBA Format Extension {index}"), read(entry, FORMAT)))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::layout::ANY_LENGTH;
    use super::super::identify_of;

    #[test]
    fn a_zoned_namespace() {
        let mut data = [0; 4096];
        data[2] = 1;
        data[4..8].copy_from_slice(&13_u32.to_le_bytes());
        data[8..12].copy_from_slice(&u32::MAX.to_le_bytes());
        data[2816..2824].copy_from_slice(&0x8000_u64.to_le_bytes());
        data[2832..2840].copy_from_slice(&0x1000_u64.to_le_bytes());
        data[2840] = 2;
        let zoned = identify_of(2, 0x05, &data);
        assert_eq!(
            zoned.to_string(),
            "Identify Namespace, zoned namespaces: OZCS 0x1 (read across zone boundaries), MAR 13 (14 zones), \
             MOR 4294967295 (no limit), RRL 0, FRL 0; LBA Format Extension 0 and 1 more"
        );
        assert_eq!(
            zoned.parts[1].to_string(),
            "LBA Format Extension 1: ZSZE 4096 (blocks), ZDES 2 (128 bytes)"
        );
        assert_eq!(
            identify_of(2, 0x06, &[5]).to_string(),
            "Identify Controller, zoned namespaces: ZASL 5 (32 of the smallest pages)"
        );
    }

    #[test]
    fn the_nvm_command_set() {
        let mut data = [0; 4096];
        data[16..20].copy_from_slice(&(2_u32 << 7 | 32).to_le_bytes());
        let found = identify_of(0, 0x05, &data);
        assert_eq!(found.parts[0].to_string(), "Extended LBA Format 1: STS 32 (bits), ELBAF 288 (64b guard)");
        assert_eq!(identify_of(0, 0x06, &[1; 16]).number("DMRSL"), Some(0x0101_0101));
    }

    #[test]
    fn others_are_the_same_for_every_command_set() {
        assert_eq!(identify_of(2, 0x01, &[0; 4096]).name, "Identify Controller");
        assert_eq!(identify_of(3, 0x05, &[0; 4096]).fields, []);
    }

    proptest! {
        #[test]
        fn any_bytes_decode(csi in 0_u8..4, cns in 0_u8..8, data in prop::collection::vec(any::<u8>(), ANY_LENGTH)) {
            let decoded = identify_of(csi, cns, &data);
            let _ = (format!("{decoded:#}"), serde_json::to_value(&decoded).unwrap());
        }
    }
}
