//! What a controller supports: commands and their effects, features, log pages.

use crate::command::{Command, admin_opcode};

use super::super::command::command_name;
use super::super::decoded::Decoded;
use super::super::layout::{Spec, bits, dw, entries, flag, number_at, read};
use super::super::{Queue, feature};

pub(super) const EFFECTS: &[Spec] = &[
    bits(0, 0, 0, "CSUPP", "Command Supported").hidden(),
    flag(0, 1, "LBCC", "Logical Block Content Change"),
    flag(0, 2, "NCC", "Namespace Capability Change"),
    flag(0, 3, "NIC", "Namespace Inventory Change"),
    flag(0, 4, "CCC", "Controller Capability Change"),
    bits(2, 2, 0, "CSE", "Command Submission and Execution")
        .one_of(&[
            (0, "no restriction"),
            (1, "one at a time in the namespace"),
            (2, "one at a time in the subsystem"),
        ])
        .quiet(),
    flag(0, 19, "UUIDSS", "UUID Selection Supported"),
];

/// The commands that are supported: 256 admin commands, then 256 I/O commands.
pub(super) fn effects(data: &[u8]) -> Vec<Decoded> {
    supported(data, 512, EFFECTS, |index| {
        let (queue, kind) = if index < 256 { (Queue::Admin, "Admin") } else { (Queue::Io, "I/O") };
        let opcode = index as u8;
        // Without more than the opcode, a fabrics command is any of them.
        let name = match opcode {
            admin_opcode::FABRICS => "Fabrics Command",
            _ => command_name(&Command::admin(opcode), queue).unwrap_or("unknown"),
        };
        format!("{kind} {opcode:02X}h {name}")
    })
}

pub(super) const FEATURE: &[Spec] = &[
    bits(0, 0, 0, "FSUPP", "Feature Supported").hidden(),
    flag(0, 1, "UDCC", "User Data Content Change"),
    flag(0, 2, "NCC", "Namespace Capability Change"),
    flag(0, 3, "NIC", "Namespace Inventory Change"),
    flag(0, 4, "CCC", "Controller Capability Change"),
    flag(0, 19, "UUIDSS", "UUID Selection Supported"),
];

/// The features that are supported.
pub(super) fn features(data: &[u8]) -> Vec<Decoded> {
    supported(data, 256, FEATURE, |index| format!("Feature {index:02X}h {}", feature::name(index as u8)))
}

pub(super) const LOG_PAGE: &[Spec] = &[
    bits(0, 0, 0, "LSUPP", "Log Page Supported").hidden(),
    flag(0, 1, "IOS", "Index Offset Supported"),
    dw(0, 31, 16, "LIDSP", "LID Specific Parameter").hex().quiet(),
];

/// The log pages that are supported.
pub(super) fn log_pages(data: &[u8]) -> Vec<Decoded> {
    supported(data, 256, LOG_PAGE, |index| format!("Log page {index:02X}h {}", super::name(index as u8)))
}

/// The entries of which bit 0 says that what they are about is supported.
fn supported(data: &[u8], most: usize, specs: &[Spec], name: impl Fn(usize) -> String) -> Vec<Decoded> {
    entries(data, 0, 4, most, |index, entry| {
        let supported = number_at(entry, 0, 4) & 1 == 1;
        supported.then(|| Decoded::new(name(index), read(entry, specs)))
    })
}

#[cfg(test)]
mod tests {
    use super::super::log_page;

    #[test]
    fn what_is_supported() {
        let mut data = vec![0; 4096];
        data[4 * 0x80..][..4].copy_from_slice(&[0x03, 0, 2, 0]);
        data[4 * (256 + 1)] = 0x03;
        let names: Vec<_> = log_page(5, &data).parts.iter().map(ToString::to_string).collect();
        assert_eq!(
            names,
            ["Admin 80h Format NVM: LBCC, CSE 2 (one at a time in the subsystem)", "I/O 01h Write: LBCC"]
        );
        data[4 * 2] = 1;
        data[4 * 0x0d..][..4].copy_from_slice(&[1, 0, 1, 0]);
        assert_eq!(log_page(0, &data).parts[0].to_string(), "Log page 02h SMART / Health Information");
        assert_eq!(log_page(0, &data).parts[1].to_string(), "Log page 0Dh Persistent Event Log: LIDSP 0x1");
        assert_eq!(log_page(0x12, &data).parts[0].to_string(), "Feature 02h Power Management");
    }
}
