//! Short logs: what changed, and what waits to be looked at.

use super::super::decoded::Decoded;
use super::super::layout::{Spec, bytes, entries, number_at, read};

const NAMESPACE: &[Spec] = &[bytes(3, 0, "NSID", "Namespace Identifier").hex()];

/// Namespaces that changed, until the first that is 0; FFFFFFFFh alone stands for more than the list can hold.
pub(super) fn namespaces(data: &[u8]) -> Vec<Decoded> {
    let listed = data.chunks_exact(4).take_while(|entry| number_at(entry, 0, 4) != 0).count();
    entries(data, 0, 4, listed.min(1024), |_, entry| {
        let more = number_at(entry, 0, 4) == 0xffff_ffff;
        let name = if more { "More than 1024 namespaces" } else { "Namespace" };
        Some(Decoded::new(name, read(entry, NAMESPACE)))
    })
}

pub(super) const RESERVATION: &[Spec] = &[
    bytes(7, 0, "LPC", "Log Page Count"),
    bytes(8, 8, "RNLPT", "Reservation Notification Log Page Type").one_of(&[
        (0, "empty"),
        (1, "registration preempted"),
        (2, "reservation released"),
        (3, "reservation preempted"),
    ]),
    bytes(9, 9, "NALP", "Number of Available Log Pages"),
    bytes(15, 12, "NSID", "Namespace ID"),
];

pub(super) const LBA_STATUS: &[Spec] = &[
    bytes(3, 0, "LSLPLEN", "LBA Status Log Page Length").unit("bytes"),
    bytes(7, 4, "NLSLNE", "Number of LBA Status Log Namespace Elements"),
    bytes(11, 8, "ESTULB", "Estimate of Unrecoverable Logical Blocks"),
    bytes(15, 14, "LSGC", "LBA Status Generation Counter"),
];

pub(super) const CHANGED_ZONES: &[Spec] = &[bytes(1, 0, "NRZID", "Number of Zone Identifiers")];

/// Zones that changed, by their first LBA.
pub(super) fn zones(data: &[u8]) -> Vec<Decoded> {
    const ZONE: &[Spec] = &[bytes(7, 0, "ZSLBA", "Zone Starting LBA")];
    let listed = match number_at(data, 0, 2) as usize {
        // More than the list can hold.
        0xffff => 0,
        listed => listed,
    };
    entries(data, 8, 8, listed.min(511), |_, entry| Some(Decoded::new("Zone", read(entry, ZONE))))
}

#[cfg(test)]
mod tests {
    use super::super::log_page;

    #[test]
    fn changes() {
        let log = log_page(4, &[2, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0]);
        assert_eq!(log.parts.len(), 2);
        let log = log_page(4, &[0xff; 4]);
        assert_eq!(log.parts[0].name, "More than 1024 namespaces");
        let mut zones = vec![2, 0, 0, 0, 0, 0, 0, 0];
        zones.extend([0x1000_u64, 0x2000].iter().flat_map(|lba| lba.to_le_bytes()));
        assert_eq!(log_page(0xbf, &zones).parts[1].number("ZSLBA"), Some(0x2000));
    }
}
