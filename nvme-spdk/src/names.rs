//! Opcode names.

/// The name of an admin command, as test scripts print it; `Unknown` for reserved opcodes.
pub fn admin_command(opcode: u8) -> &'static str {
    match opcode {
        0x00 => "Delete I/O Submission Queue",
        0x01 => "Create I/O Submission Queue",
        0x02 => "Get Log Page",
        0x04 => "Delete I/O Completion Queue",
        0x05 => "Create I/O Completion Queue",
        0x06 => "Identify",
        0x08 => "Abort",
        0x09 => "Set Features",
        0x0a => "Get Features",
        0x0c => "Asynchronous Event Request",
        0x0d => "Namespace Management",
        0x10 => "Firmware Commit",
        0x11 => "Firmware Image Download",
        0x14 => "Device Self-test",
        0x15 => "Namespace Attachment",
        0x18 => "Keep Alive",
        0x19 => "Directive Send",
        0x1a => "Directive Receive",
        0x1c => "Virtualization Management",
        0x1d => "NVMe-MI Send",
        0x1e => "NVMe-MI Receive",
        0x7c => "Doorbell Buffer Config",
        0x7f => "Fabrics Command",
        0x80 => "Format NVM",
        0x81 => "Security Send",
        0x82 => "Security Receive",
        0x84 => "Sanitize",
        0xc0.. => "Vendor specific",
        _ => "Unknown",
    }
}

/// The name of a command of the NVM and zoned command sets; `Unknown command` for reserved opcodes.
pub fn io_command(opcode: u8) -> &'static str {
    match opcode {
        0x00 => "Flush",
        0x01 => "Write",
        0x02 => "Read",
        0x04 => "Write Uncorrectable",
        0x05 => "Compare",
        0x08 => "Write Zeroes",
        0x09 => "Dataset Management",
        0x0d => "Reservation Register",
        0x0e => "Reservation Report",
        0x11 => "Reservation Acquire",
        0x15 => "Reservation Release",
        0x79 => "Zone Management Send",
        0x7a => "Zone Management Receive",
        0x7d => "Zone Management Append",
        0x7f => "Fabrics Connect",
        0x80.. => "Vendor specific",
        _ => "Unknown command",
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
