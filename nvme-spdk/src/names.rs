//! Opcode names as scripts and logs know them; [`decode::command_name`] has those of the
//! specification.

use crate::command::Command;
use crate::decode::{self, Queue};

/// The name of an admin command, as test scripts print it; `Unknown` for reserved opcodes.
pub fn admin_command(opcode: u8) -> &'static str {
    match opcode {
        // Capacity Management, Lockdown and Get LBA Status are newer than the table that scripts know.
        0x20 | 0x24 | 0x86 => "Unknown",
        0x7f => "Fabrics Command",
        0xc0.. => "Vendor specific",
        _ => decode::command_name(&Command::admin(opcode), Queue::Admin).unwrap_or("Unknown"),
    }
}

/// The name of a command of the NVM and zoned command sets; `Unknown command` for reserved opcodes.
pub fn io_command(opcode: u8) -> &'static str {
    match opcode {
        // So are Verify, Cancel, Copy and I/O Management.
        0x0c | 0x12 | 0x18 | 0x19 | 0x1d => "Unknown command",
        0x7d => "Zone Management Append",
        0x7f => "Fabrics Connect",
        0x80.. => "Vendor specific",
        _ => decode::command_name(&Command::io(opcode, 0), Queue::Io).unwrap_or("Unknown command"),
    }
}

/// The name of an admin command as it stands in command logs; `ADMIN COMMAND` for reserved and vendor specific
/// opcodes.
pub fn admin_command_in_logs(opcode: u8) -> &'static str {
    match opcode {
        0x00 => "DELETE IO SQ",
        0x01 => "CREATE IO SQ",
        0x02 => "GET LOG PAGE",
        0x04 => "DELETE IO CQ",
        0x05 => "CREATE IO CQ",
        0x06 => "IDENTIFY",
        0x08 => "ABORT",
        0x09 => "SET FEATURES",
        0x0a => "GET FEATURES",
        0x0c => "ASYNC EVENT REQUEST",
        0x0d => "NAMESPACE MANAGEMENT",
        0x10 => "FIRMWARE COMMIT",
        0x11 => "FIRMWARE IMAGE DOWNLOAD",
        0x14 => "DEVICE SELF-TEST",
        0x15 => "NAMESPACE ATTACHMENT",
        0x18 => "KEEP ALIVE",
        0x19 => "DIRECTIVE SEND",
        0x1a => "DIRECTIVE RECEIVE",
        0x1c => "VIRTUALIZATION MANAGEMENT",
        0x1d => "NVME-MI SEND",
        0x1e => "NVME-MI RECEIVE",
        0x7c => "DOORBELL BUFFER CONFIG",
        0x7f => "FABRICS COMMAND",
        0x80 => "FORMAT NVM",
        0x81 => "SECURITY SEND",
        0x82 => "SECURITY RECEIVE",
        0x84 => "SANITIZE",
        0x86 => "GET LBA STATUS",
        _ => "ADMIN COMMAND",
    }
}

/// The name of a command of the NVM and zoned command sets as it stands in command logs; `IO COMMAND` for
/// reserved and vendor specific opcodes.
pub fn io_command_in_logs(opcode: u8) -> &'static str {
    match opcode {
        0x00 => "FLUSH",
        0x01 => "WRITE",
        0x02 => "READ",
        0x04 => "WRITE UNCORRECTABLE",
        0x05 => "COMPARE",
        0x08 => "WRITE ZEROES",
        0x09 => "DATASET MANAGEMENT",
        0x0c => "VERIFY",
        0x0d => "RESERVATION REGISTER",
        0x0e => "RESERVATION REPORT",
        0x11 => "RESERVATION ACQUIRE",
        0x15 => "RESERVATION RELEASE",
        0x79 => "ZONE MANAGEMENT SEND",
        0x7a => "ZONE MANAGEMENT RECEIVE",
        0x7d => "ZONE APPEND",
        0x7f => "FABRICS CONNECT",
        _ => "IO COMMAND",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_scripts_print_and_what_logs_say_know_the_same_opcodes() {
        for opcode in 0..=u8::MAX {
            let vendor = opcode >= 0xc0;
            let known = !["Unknown", "Vendor specific"].contains(&admin_command(opcode));
            // Get LBA Status is newer than the table that scripts know.
            let logged = admin_command_in_logs(opcode) != "ADMIN COMMAND" && opcode != 0x86;
            assert_eq!(known, logged, "admin opcode {opcode:#04x}");
            assert!(!(vendor && known), "admin opcode {opcode:#04x}");

            let known = !["Unknown command", "Vendor specific"].contains(&io_command(opcode));
            // So is Verify.
            let logged = io_command_in_logs(opcode) != "IO COMMAND" && opcode != 0x0c;
            assert_eq!(known, logged, "I/O opcode {opcode:#04x}");
        }
    }

    #[test]
    fn the_names_that_scripts_match() {
        assert_eq!(admin_command(0x06), "Identify");
        assert_eq!(admin_command(0x03), "Unknown");
        assert_eq!(admin_command(0xc0), "Vendor specific");
        assert_eq!(io_command(0x03), "Unknown command");
        assert_eq!(io_command(0x80), "Vendor specific");
        assert_eq!(admin_command_in_logs(0x0c), "ASYNC EVENT REQUEST");
        assert_eq!(admin_command_in_logs(0x01), "CREATE IO SQ");
        assert_eq!(admin_command_in_logs(0xff), "ADMIN COMMAND");
        assert_eq!(io_command_in_logs(0xff), "IO COMMAND");
    }
}
