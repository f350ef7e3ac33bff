//! Data structures of Identify (NVMe base specification, "Identify Command").

mod command_set;
mod controller;
mod lists;
mod namespace;

use super::decoded::Decoded;
use super::layout::{Spec, read};

/// A data structure, by the value of CNS that asks for it.
struct Structure {
    cns: u8,
    name: &'static str,
    fields: &'static [Spec],
    parts: fn(&[u8]) -> Vec<Decoded>,
}

/// Decodes what Identify returned for a value of CNS; as much as there is of it (NVMe base specification,
/// "Identify command", and the command set specifications).
///
/// ```
/// use nvme_spdk::decode;
///
/// let mut data = [0; 4096];
/// data[4..24].copy_from_slice(b"SN 1                ");
/// data[77] = 5;
/// let identified = decode::identify(0x01, &data);
/// assert_eq!(identified.name, "Identify Controller");
/// assert_eq!(identified.field("SN").unwrap().value.to_string(), "SN 1");
/// assert_eq!(identified.number("MDTS"), Some(5));
/// ```
pub fn identify(cns: u8, data: &[u8]) -> Decoded {
    match find(cns) {
        Some(structure) => {
            Decoded::new(structure.name, read(data, structure.fields)).with_parts((structure.parts)(data))
        }
        None => Decoded::new(format!("Identify, CNS {cns:02X}h"), Vec::new()),
    }
}

/// As [`identify`], of what was asked for with a Command Set Identifier (CSI, dword 11): structures that each I/O
/// command set has of its own.
pub fn identify_of(csi: u8, cns: u8, data: &[u8]) -> Decoded {
    command_set::structure(csi, cns, data).unwrap_or_else(|| identify(cns, data))
}

pub(super) fn name(cns: u8) -> &'static str {
    match (find(cns), cns) {
        (Some(structure), _) => structure.name,
        (None, 0xc0..) => "vendor specific",
        (None, _) => "",
    }
}

fn find(cns: u8) -> Option<&'static Structure> {
    STRUCTURES.iter().find(|structure| structure.cns == cns)
}

fn no_parts(_: &[u8]) -> Vec<Decoded> {
    Vec::new()
}

const fn structure(
    cns: u8,
    name: &'static str,
    fields: &'static [Spec],
    parts: fn(&[u8]) -> Vec<Decoded>,
) -> Structure {
    Structure { cns, name, fields, parts }
}

const STRUCTURES: &[Structure] = &[
    structure(0x00, "Identify Namespace", namespace::FIELDS, namespace::formats),
    structure(0x01, "Identify Controller", controller::FIELDS, controller::power_states),
    structure(0x02, "Active Namespace ID list", &[], lists::namespaces),
    structure(0x03, "Namespace Identification Descriptor list", &[], lists::descriptors),
    structure(0x04, "NVM Set list", &[], no_parts),
    structure(0x05, "I/O Command Set specific Identify Namespace", &[], no_parts),
    structure(0x06, "I/O Command Set specific Identify Controller", &[], no_parts),
    structure(0x07, "I/O Command Set specific Active Namespace ID list", &[], lists::namespaces),
    structure(0x08, "I/O Command Set Independent Identify Namespace", namespace::INDEPENDENT, no_parts),
    structure(0x10, "Allocated Namespace ID list", &[], lists::namespaces),
    structure(0x11, "Identify Namespace, allocated", namespace::FIELDS, namespace::formats),
    structure(0x12, "Controller list, attached to the namespace", &[], lists::controllers),
    structure(0x13, "Controller list", &[], lists::controllers),
    structure(0x14, "Primary Controller Capabilities", controller::PRIMARY, no_parts),
    structure(0x15, "Secondary Controller list", &[], lists::secondary_controllers),
    structure(0x16, "Namespace Granularity list", &[], no_parts),
    structure(0x17, "UUID list", &[], lists::uuids),
    structure(0x18, "Domain list", &[], no_parts),
    structure(0x19, "Endurance Group list", &[], no_parts),
    structure(0x1a, "I/O Command Set specific Allocated Namespace ID list", &[], lists::namespaces),
    structure(0x1c, "I/O Command Set data structure", &[], lists::command_sets),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::layout::{ANY_LENGTH, assert_apart};
    use super::*;

    #[test]
    fn sorted() {
        assert!(STRUCTURES.is_sorted_by(|a, b| a.cns < b.cns));
    }

    #[test]
    fn fields_do_not_overlap_and_end_in_the_structure() {
        for structure in STRUCTURES {
            assert_apart(structure.name, 4096, &[(0, structure.fields)]);
        }
        for (entry, size) in
            [(controller::POWER_STATE, 32), (namespace::FORMAT, 4), (lists::SECONDARY, 32), (lists::UUID, 32)]
        {
            assert_apart("entry", size, &[(0, entry)]);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_decode(cns: u8, data in prop::collection::vec(any::<u8>(), ANY_LENGTH)) {
            let decoded = identify(cns, &data);
            prop_assert!(!decoded.name.is_empty());
            let _ = (format!("{decoded:#}"), decoded.to_string(), serde_json::to_value(&decoded).unwrap());
        }
    }
}
