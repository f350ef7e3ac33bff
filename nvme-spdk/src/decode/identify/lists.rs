//! Lists that Identify returns.

use super::super::admin::COMMAND_SETS;
use super::super::decoded::Decoded;
use super::super::layout::{Spec, bits, bytes, entries, name_of, number_at, read};

const NAMESPACE: &[Spec] = &[bytes(3, 0, "NSID", "Namespace Identifier")];

/// Namespace identifiers, until the first that is 0.
pub(super) fn namespaces(data: &[u8]) -> Vec<Decoded> {
    let listed = data.chunks_exact(4).take_while(|entry| number_at(entry, 0, 4) != 0).count();
    entries(data, 0, 4, listed, |_, entry| Some(Decoded::new("Namespace", read(entry, NAMESPACE))))
}

const CONTROLLER: &[Spec] = &[bytes(1, 0, "CNTLID", "Controller Identifier")];

/// Controller identifiers, of which the first two bytes say how many there are.
pub(super) fn controllers(data: &[u8]) -> Vec<Decoded> {
    let listed = number_at(data, 0, 2) as usize;
    entries(data, 2, 2, listed, |_, entry| Some(Decoded::new("Controller", read(entry, CONTROLLER))))
}

pub(super) const SECONDARY: &[Spec] = &[
    bytes(1, 0, "SCID", "Secondary Controller Identifier"),
    bytes(3, 2, "PCID", "Primary Controller Identifier"),
    bits(4, 0, 0, "SCS", "Secondary Controller State").one_of(&[(0, "offline"), (1, "online")]),
    bytes(9, 8, "VFN", "Virtual Function Number"),
    bytes(11, 10, "NVQ", "Number of VQ Flexible Resources Assigned"),
    bytes(13, 12, "NVI", "Number of VI Flexible Resources Assigned"),
];

pub(super) fn secondary_controllers(data: &[u8]) -> Vec<Decoded> {
    let listed = number_at(data, 0, 1) as usize;
    entries(data, 32, 32, listed, |_, entry| {
        Some(Decoded::new("Secondary Controller", read(entry, SECONDARY)))
    })
}

/// Namespace Identification Descriptors follow each other, each as long as it says, until one of type 0.
pub(super) fn descriptors(data: &[u8]) -> Vec<Decoded> {
    let mut found = Vec::new();
    let mut rest = data;
    while let [kind, length, _, _, behind @ ..] = rest {
        if *kind == 0 || *length == 0 {
            break;
        }
        let length = usize::from(*length);
        let Some(identifier) = behind.get(..length) else { break };
        found.push(Decoded::new(
            match kind {
                1 => "IEEE Extended Unique Identifier",
                2 => "Namespace Globally Unique Identifier",
                3 => "Namespace UUID",
                4 => "Command Set Identifier",
                _ => "Reserved descriptor",
            },
            descriptor(rest, *kind, identifier),
        ));
        rest = &behind[length..];
    }
    found
}

fn descriptor(data: &[u8], kind: u8, identifier: &[u8]) -> Vec<super::super::Field> {
    const HEAD: &[Spec] = &[
        bytes(0, 0, "NIDT", "Namespace Identifier Type").hidden(),
        bytes(1, 1, "NIDL", "Namespace Identifier Length").hidden(),
    ];
    const SET: &[Spec] = &[bytes(0, 0, "CSI", "Command Set Identifier").one_of(COMMAND_SETS)];
    const EUI64: &[Spec] = &[bytes(7, 0, "EUI64", "IEEE Extended Unique Identifier").raw()];
    const LONG: &[Spec] = &[bytes(15, 0, "NID", "Namespace Identifier").raw()];
    let specs = match kind {
        1 => EUI64,
        4 => SET,
        _ => LONG,
    };
    let mut fields = read(data, HEAD);
    fields.extend(read(identifier, specs));
    fields
}

pub(super) const UUID: &[Spec] = &[
    bits(0, 1, 0, "IDASS", "Identifier Association").one_of(&[
        (0, "none reported"),
        (1, "PCI Vendor ID"),
        (2, "PCI Subsystem Vendor ID"),
    ]),
    bytes(31, 16, "UUID", "UUID").raw(),
];

/// UUIDs in entries of 32 bytes, the first of which is reserved, until one that is 0.
pub(super) fn uuids(data: &[u8]) -> Vec<Decoded> {
    let rest = data.get(32..).unwrap_or_default();
    let listed = rest.chunks_exact(32).take_while(|entry| number_at(entry, 16, 16) != 0).count();
    entries(data, 32, 32, listed, |index, entry| {
        Some(Decoded::new(format!("UUID {}", index + 1), read(entry, UUID)))
    })
}

/// Combinations of command sets, each a vector of bits.
pub(super) fn command_sets(data: &[u8]) -> Vec<Decoded> {
    const VECTOR: &[Spec] = &[bytes(7, 0, "IOCSC", "I/O Command Set Combination").hex().told(|sets| {
        let told = (0..64).filter(|bit| sets >> bit & 1 == 1).map(|bit| name_of(COMMAND_SETS, bit));
        told.map(|name| name.unwrap_or("reserved")).collect::<Vec<_>>().join(", ")
    })];
    entries(data, 0, 8, 512, |index, entry| {
        let used = number_at(entry, 0, 8) != 0;
        used.then(|| Decoded::new(format!("Combination {index}"), read(entry, VECTOR)))
    })
}

#[cfg(test)]
mod tests {
    use super::super::identify;

    #[test]
    fn namespaces_until_zero() {
        let mut data = [0; 4096];
        data[..12].copy_from_slice(&[1, 0, 0, 0, 7, 0, 0, 0, 0xff, 0xff, 0, 0]);
        let list = identify(0x02, &data);
        let ids: Vec<_> = list.parts.iter().map(|part| part.number("NSID").unwrap()).collect();
        assert_eq!(ids, [1, 7, 0xffff]);
        assert_eq!(identify(0x02, &data[..7]).parts.len(), 1);
    }

    #[test]
    fn controllers_as_many_as_it_says() {
        let list = identify(0x13, &[2, 0, 5, 0, 6, 0, 7, 0]);
        assert_eq!(
            list.parts.iter().map(ToString::to_string).collect::<Vec<_>>(),
            ["Controller: CNTLID 5", "Controller: CNTLID 6"]
        );
    }

    #[test]
    fn descriptors_follow_each_other() {
        let mut data = vec![1, 8, 0, 0, 0xa0, 1, 2, 3, 4, 5, 6, 7];
        data.extend([3, 16, 0, 0]);
        data.extend(0x10..0x20);
        data.extend([4, 1, 0, 0, 2]);
        data.extend([0; 64]);
        let list = identify(0x03, &data);
        assert_eq!(
            list.parts.iter().map(ToString::to_string).collect::<Vec<_>>(),
            [
                "IEEE Extended Unique Identifier: EUI64 a001020304050607",
                "Namespace UUID: NID 101112131415161718191a1b1c1d1e1f",
                "Command Set Identifier: CSI 2 (zoned namespaces)",
            ]
        );
        // One that says it is longer than the data ends the list.
        assert_eq!(identify(0x03, &[3, 16, 0, 0, 1]).parts, []);
    }
}
