//! Log pages (NVMe base specification, "Get Log Page Command").

mod ana;
mod commands;
mod discovery;
mod endurance;
mod error;
mod firmware;
mod lists;
mod sanitize;
mod self_test;
mod smart;
mod telemetry;

use super::decoded::Decoded;
use super::layout::{Spec, read};

/// A log page, by its identifier.
struct Page {
    lid: u8,
    name: &'static str,
    fields: &'static [Spec],
    parts: fn(&[u8]) -> Vec<Decoded>,
}

/// Decodes a log page from its beginning on; as much as there is of it (NVMe base specification, "Get Log
/// Page command", Log Page Identifiers).
///
/// ```
/// use nvme_spdk::decode;
///
/// let mut data = [0; 512];
/// data[1..3].copy_from_slice(&300_u16.to_le_bytes());
/// let smart = decode::log_page(0x02, &data);
/// assert_eq!(smart.name, "SMART / Health Information");
/// assert_eq!(smart.field("CTEMP").unwrap().meaning.as_deref(), Some("27 °C"));
/// ```
pub fn log_page(lid: u8, data: &[u8]) -> Decoded {
    match find(lid) {
        Some(page) => Decoded::new(page.name, read(data, page.fields)).with_parts((page.parts)(data)),
        None => Decoded::new(format!("Log page {lid:02X}h, {}", name(lid)), Vec::new()),
    }
}

pub(super) fn name(lid: u8) -> &'static str {
    match (find(lid), lid) {
        (Some(page), _) => page.name,
        (None, 0xc0..) => "vendor specific",
        (None, _) => "reserved",
    }
}

fn find(lid: u8) -> Option<&'static Page> {
    PAGES.iter().find(|page| page.lid == lid)
}

fn no_parts(_: &[u8]) -> Vec<Decoded> {
    Vec::new()
}

const fn page(
    lid: u8,
    name: &'static str,
    fields: &'static [Spec],
    parts: fn(&[u8]) -> Vec<Decoded>,
) -> Page {
    Page { lid, name, fields, parts }
}

const PAGES: &[Page] = &[
    page(0x00, "Supported Log Pages", &[], commands::log_pages),
    page(0x01, "Error Information", &[], error::entries_of),
    page(0x02, "SMART / Health Information", smart::FIELDS, no_parts),
    page(0x03, "Firmware Slot Information", firmware::FIELDS, no_parts),
    page(0x04, "Changed Attached Namespace List", &[], lists::namespaces),
    page(0x05, "Commands Supported and Effects", &[], commands::effects),
    page(0x06, "Device Self-test", self_test::FIELDS, self_test::results),
    page(0x07, "Telemetry Host-Initiated", telemetry::HOST_INITIATED, no_parts),
    page(0x08, "Telemetry Controller-Initiated", telemetry::CONTROLLER_INITIATED, no_parts),
    page(0x09, "Endurance Group Information", endurance::FIELDS, no_parts),
    page(0x0a, "Predictable Latency Per NVM Set", &[], no_parts),
    page(0x0b, "Predictable Latency Event Aggregate", &[], no_parts),
    page(0x0c, "Asymmetric Namespace Access", ana::FIELDS, ana::groups),
    page(0x0d, "Persistent Event Log", telemetry::PERSISTENT_EVENTS, no_parts),
    page(0x0e, "LBA Status Information", lists::LBA_STATUS, no_parts),
    page(0x0f, "Endurance Group Event Aggregate", &[], no_parts),
    page(0x10, "Media Unit Status", &[], no_parts),
    page(0x11, "Supported Capacity Configuration List", &[], no_parts),
    page(0x12, "Feature Identifiers Supported and Effects", &[], commands::features),
    page(0x13, "NVMe-MI Commands Supported and Effects", &[], no_parts),
    page(0x14, "Command and Feature Lockdown", &[], no_parts),
    page(0x15, "Boot Partition", &[], no_parts),
    page(0x16, "Rotational Media Information", &[], no_parts),
    page(0x17, "Dispersed Namespace Participating NVM Subsystems", &[], no_parts),
    page(0x18, "Management Address List", &[], no_parts),
    page(0x19, "Physical Interface Receiver Eye Opening Measurement", &[], no_parts),
    page(0x1a, "Reachability Groups", &[], no_parts),
    page(0x1b, "Reachability Associations", &[], no_parts),
    page(0x1c, "Changed Allocated Namespace List", &[], lists::namespaces),
    page(0x20, "FDP Configurations", &[], no_parts),
    page(0x21, "Reclaim Unit Handle Usage", &[], no_parts),
    page(0x22, "FDP Statistics", endurance::FDP_STATISTICS, no_parts),
    page(0x23, "FDP Events", &[], no_parts),
    page(0x70, "Discovery", discovery::FIELDS, discovery::entries_of),
    page(0x71, "Host Discovery", &[], no_parts),
    page(0x72, "AVE Discovery", &[], no_parts),
    page(0x73, "Pull Model DDC Request", &[], no_parts),
    page(0x80, "Reservation Notification", lists::RESERVATION, no_parts),
    page(0x81, "Sanitize Status", sanitize::FIELDS, no_parts),
    page(0xbf, "Changed Zone List", lists::CHANGED_ZONES, lists::zones),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::layout::{ANY_LENGTH, assert_apart};
    use super::*;

    #[test]
    fn sorted() {
        assert!(PAGES.is_sorted_by(|a, b| a.lid < b.lid));
    }

    #[test]
    fn fields_do_not_overlap_and_end_in_their_structure() {
        for page in PAGES {
            // Of those with entries behind them, the head.
            let size = match page.lid {
                0x06 => 4,
                0x0c | 0x0e => 16,
                0x22 | 0x80 => 64,
                0x70 => 1024,
                0xbf => 8,
                _ => 512,
            };
            assert_apart(page.name, size, &[(0, page.fields)]);
        }
        for (entry, size) in [
            (ana::GROUP, 32),
            (commands::EFFECTS, 4),
            (commands::FEATURE, 4),
            (commands::LOG_PAGE, 4),
            (discovery::ENTRY, 1024),
            (error::ENTRY, 64),
            (self_test::RESULT, 28),
        ] {
            assert_apart("entry", size, &[(0, entry)]);
        }
    }

    proptest! {
        #[test]
        fn any_bytes_of_any_length_decode(lid in 0_u8..=0x24, data in prop::collection::vec(any::<u8>(), ANY_LENGTH)) {
            for lid in [lid, lid | 0x80, lid | 0x70, 0xbf] {
                let decoded = log_page(lid, &data);
                prop_assert!(!decoded.name.is_empty());
                let _ = (format!("{decoded:#}"), decoded.to_string(), serde_json::to_value(&decoded).unwrap());
            }
        }

        #[test]
        fn more_bytes_never_take_a_field_away(lid: u8, data in prop::collection::vec(any::<u8>(), 0..600), cut in 0_usize..600) {
            let (short, long) = (log_page(lid, &data[..cut.min(data.len())]), log_page(lid, &data));
            prop_assert!(short.fields.iter().all(|field| long.fields.contains(field)));
        }
    }
}
