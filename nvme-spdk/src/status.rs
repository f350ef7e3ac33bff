//! Completion status: what it means, in the words of the specification.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Status code type and status code of a completion (NVMe base specification, "Status Field Definition").
///
/// Displays as in every NVMe log: `LBA OUT OF RANGE (00/80)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Status {
    /// Status code type, 0 to 7.
    pub sct: u8,
    /// Status code.
    pub sc: u8,
}

impl Status {
    /// Successful completion, 00/00.
    pub const SUCCESS: Status = Status::new(0, 0);
    /// Invalid Field in Command, 00/02.
    pub const INVALID_FIELD: Status = Status::new(0, 0x02);
    /// Command Abort Requested, 00/07; also what SPDK completes commands of a PCIe controller with that is gone.
    pub const ABORTED_BY_REQUEST: Status = Status::new(0, 0x07);
    /// Command Aborted due to SQ Deletion, 00/08; also what SPDK completes commands with when their
    /// queue pair goes away.
    pub const ABORTED_SQ_DELETION: Status = Status::new(0, 0x08);
    /// Transient Transport Error, 00/22; also what SPDK completes a command with whose data did not arrive as it was
    /// sent.
    pub const TRANSIENT_TRANSPORT_ERROR: Status = Status::new(0, 0x22);
    /// Command Sequence Error, 00/0c: a command out of order, as a Connect for a queue that is connected.
    pub const COMMAND_SEQUENCE_ERROR: Status = Status::new(0, 0x0c);
    /// Invalid Queue Identifier, 01/01.
    pub const INVALID_QUEUE_IDENTIFIER: Status = Status::new(1, 0x01);
    /// Connect Invalid Parameters of NVMe over Fabrics, 01/82.
    pub const CONNECT_INVALID_PARAMETERS: Status = Status::new(1, 0x82);

    /// 07/81, given by this driver and not by the controller: the data that was read is not what was written
    /// there. See [`Namespace::verify`](crate::Namespace::verify).
    pub const DATA_MISMATCH: Status = Status::new(7, 0x81);
    /// 07/ff, given by this driver and not by the controller: no answer in time.
    pub const TIMED_OUT: Status = Status::new(7, 0xff);

    /// A status from its two parts.
    pub const fn new(sct: u8, sc: u8) -> Self {
        Status { sct, sc }
    }

    /// Neither part says that anything is wrong.
    pub const fn is_success(self) -> bool {
        self.sct == 0 && self.sc == 0
    }

    /// Its name in capitals, as logs have it; the name of the status code type where the code has none.
    pub fn name(self) -> &'static str {
        match (self.code(false), self.sct) {
            (Some(code), _) => code.name,
            (None, 0) => "GENERIC",
            (None, 1) => "COMMAND SPECIFIC",
            (None, 2) => "MEDIA ERROR",
            (None, 3) => "PATH ERROR",
            (None, 7) => "VENDOR SPECIFIC",
            (None, _) => "RESERVED",
        }
    }

    /// As it displays for a command of NVMe over Fabrics.
    pub(crate) fn of_fabrics(self) -> String {
        let name = self.code(true).map_or(self.name(), |code| code.name);
        format!("{name} ({:02x}/{:02x})", self.sct, self.sc)
    }

    /// Its name in the words of the specification.
    pub fn title(self) -> &'static str {
        self.title_for(false)
    }

    /// The same for a command of which it is known whether it is one of NVMe over Fabrics: those have meanings of
    /// their own for some codes.
    pub(crate) fn title_for(self, fabrics: bool) -> &'static str {
        match (self, self.code(fabrics)) {
            (Status::DATA_MISMATCH, _) => "Data Mismatch, found by this driver",
            (Status::TIMED_OUT, _) => "No Answer in Time, found by this driver",
            (_, Some(code)) => code.title,
            (Status { sct: 7, .. }, _) => "Vendor Specific",
            (Status { sc: 0xc0.., .. }, _) => "Vendor Specific Status Code",
            _ => "Reserved Status Code",
        }
    }

    /// What it says, in a sentence, where its name is not enough.
    pub fn meaning(self) -> Option<&'static str> {
        self.meaning_for(false)
    }

    pub(crate) fn meaning_for(self, fabrics: bool) -> Option<&'static str> {
        match self {
            Status::DATA_MISMATCH => Some("The data that was read is not what was written there."),
            Status::TIMED_OUT => {
                Some("The controller did not answer within the time that commands may take.")
            }
            _ => self.code(fabrics).map(|code| code.meaning).filter(|meaning| !meaning.is_empty()),
        }
    }

    fn code(self, fabrics: bool) -> Option<&'static Code> {
        let table = match self.sct {
            1 if fabrics && FABRICS.iter().any(|code| code.sc == self.sc) => FABRICS,
            0 => GENERIC,
            1 => COMMAND_SPECIFIC,
            2 => MEDIA,
            3 => PATH,
            _ => return None,
        };
        table.iter().find(|code| code.sc == self.sc)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({:02x}/{:02x})", self.name(), self.sct, self.sc)
    }
}

/// A status code.
struct Code {
    sc: u8,
    /// As logs have it.
    name: &'static str,
    /// As the specification has it.
    title: &'static str,
    /// A sentence, or nothing where the title says it.
    meaning: &'static str,
}

const fn code(sc: u8, name: &'static str, title: &'static str, meaning: &'static str) -> Code {
    Code { sc, name, title, meaning }
}

const GENERIC: &[Code] = &[
    code(0x00, "SUCCESS", "Successful Completion", ""),
    code(0x01, "INVALID OPCODE", "Invalid Command Opcode", "The opcode is reserved or not supported."),
    code(
        0x02,
        "INVALID FIELD",
        "Invalid Field in Command",
        "A field of the command has a value that is reserved or not supported.",
    ),
    code(0x03, "COMMAND ID CONFLICT", "Command ID Conflict", "The command identifier is in use already."),
    code(0x04, "DATA TRANSFER ERROR", "Data Transfer Error", "Data or metadata could not be transferred."),
    code(
        0x05,
        "ABORTED - POWER LOSS",
        "Commands Aborted due to Power Loss Notification",
        "The command was aborted because power is going away.",
    ),
    code(
        0x06,
        "INTERNAL DEVICE ERROR",
        "Internal Error",
        "The command failed because of an error inside the device.",
    ),
    code(0x07, "ABORTED - BY REQUEST", "Command Abort Requested", "An Abort command asked for this."),
    code(
        0x08,
        "ABORTED - SQ DELETION",
        "Command Aborted due to SQ Deletion",
        "Its submission queue was deleted.",
    ),
    code(
        0x09,
        "ABORTED - FAILED FUSED",
        "Command Aborted due to Failed Fused Command",
        "The other command of the fused operation failed.",
    ),
    code(
        0x0a,
        "ABORTED - MISSING FUSED",
        "Command Aborted due to Missing Fused Command",
        "The other command of the fused operation did not come next.",
    ),
    code(
        0x0b,
        "INVALID NAMESPACE OR FORMAT",
        "Invalid Namespace or Format",
        "The namespace does not exist or its format does not allow the command.",
    ),
    code(
        0x0c,
        "COMMAND SEQUENCE ERROR",
        "Command Sequence Error",
        "The command came where the protocol does not allow it.",
    ),
    code(0x0d, "INVALID SGL SEGMENT DESCRIPTOR", "Invalid SGL Segment Descriptor", ""),
    code(0x0e, "INVALID NUMBER OF SGL DESCRIPTORS", "Invalid Number of SGL Descriptors", ""),
    code(
        0x0f,
        "DATA SGL LENGTH INVALID",
        "Data SGL Length Invalid",
        "The SGL does not describe as much data as the command transfers.",
    ),
    code(
        0x10,
        "METADATA SGL LENGTH INVALID",
        "Metadata SGL Length Invalid",
        "The SGL does not describe as much metadata as the command transfers.",
    ),
    code(0x11, "SGL DESCRIPTOR TYPE INVALID", "SGL Descriptor Type Invalid", ""),
    code(0x12, "INVALID CONTROLLER MEMORY BUFFER", "Invalid Use of Controller Memory Buffer", ""),
    code(
        0x13,
        "INVALID PRP OFFSET",
        "PRP Offset Invalid",
        "A PRP entry has an offset into its page that is not allowed.",
    ),
    code(
        0x14,
        "ATOMIC WRITE UNIT EXCEEDED",
        "Atomic Write Unit Exceeded",
        "The command is longer than what the controller writes atomically.",
    ),
    code(0x15, "OPERATION DENIED", "Operation Denied", "The host lacks the access rights."),
    code(0x16, "INVALID SGL OFFSET", "SGL Offset Invalid", ""),
    code(
        0x18,
        "HOST IDENTIFIER INCONSISTENT FORMAT",
        "Host Identifier Inconsistent Format",
        "Hosts use identifiers of 64 and of 128 bits at once.",
    ),
    code(0x19, "KEEP ALIVE EXPIRED", "Keep Alive Timer Expired", "The host did not send Keep Alive in time."),
    code(0x1a, "KEEP ALIVE INVALID", "Keep Alive Timeout Invalid", ""),
    code(
        0x1b,
        "ABORTED - PREEMPT AND ABORT",
        "Command Aborted due to Preempt and Abort",
        "Another host preempted the reservation.",
    ),
    code(
        0x1c,
        "SANITIZE FAILED",
        "Sanitize Failed",
        "The latest sanitize operation failed and none succeeded since.",
    ),
    code(
        0x1d,
        "SANITIZE IN PROGRESS",
        "Sanitize In Progress",
        "The command is not allowed while a sanitize operation runs.",
    ),
    code(0x1e, "SGL DATA BLOCK GRANULARITY INVALID", "SGL Data Block Granularity Invalid", ""),
    code(0x1f, "COMMAND NOT SUPPORTED FOR QUEUE IN CMB", "Command Not Supported for Queue in CMB", ""),
    code(0x20, "NAMESPACE IS WRITE PROTECTED", "Namespace is Write Protected", ""),
    code(
        0x21,
        "COMMAND INTERRUPTED",
        "Command Interrupted",
        "The controller could not complete it in time; it may be sent again.",
    ),
    code(
        0x22,
        "TRANSIENT TRANSPORT ERROR",
        "Transient Transport Error",
        "An error of the transport; the command may be sent again.",
    ),
    code(
        0x23,
        "COMMAND PROHIBITED BY COMMAND AND FEATURE LOCKDOWN",
        "Command Prohibited by Command and Feature Lockdown",
        "",
    ),
    code(
        0x24,
        "ADMIN COMMAND MEDIA NOT READY",
        "Admin Command Media Not Ready",
        "The command needs the media, which are not ready yet.",
    ),
    code(0x25, "INVALID KEY TAG", "Invalid Key Tag", ""),
    code(
        0x26,
        "HOST DISPERSED NAMESPACE SUPPORT NOT ENABLED",
        "Host Dispersed Namespace Support Not Enabled",
        "",
    ),
    code(0x27, "HOST IDENTIFIER NOT INITIALIZED", "Host Identifier Not Initialized", ""),
    code(0x28, "INCORRECT KEY", "Incorrect Key", ""),
    code(0x29, "FDP DISABLED", "FDP Disabled", ""),
    code(0x2a, "INVALID PLACEMENT HANDLE LIST", "Invalid Placement Handle List", ""),
    code(
        0x80,
        "LBA OUT OF RANGE",
        "LBA Out of Range",
        "The command reaches beyond the end of the namespace.",
    ),
    code(
        0x81,
        "CAPACITY EXCEEDED",
        "Capacity Exceeded",
        "Writing would exceed the capacity of the namespace.",
    ),
    code(
        0x82,
        "NAMESPACE NOT READY",
        "Namespace Not Ready",
        "The namespace cannot be accessed for now; the command may be sent again unless DNR is set.",
    ),
    code(0x83, "RESERVATION CONFLICT", "Reservation Conflict", "Another host holds a reservation."),
    code(
        0x84,
        "FORMAT IN PROGRESS",
        "Format In Progress",
        "The command is not allowed while the namespace is formatted.",
    ),
    code(0x85, "INVALID VALUE SIZE", "Invalid Value Size", ""),
    code(0x86, "INVALID KEY SIZE", "Invalid Key Size", ""),
    code(0x87, "KV KEY DOES NOT EXIST", "KV Key Does Not Exist", ""),
    code(0x88, "UNRECOVERED ERROR", "Unrecovered Error", ""),
    code(0x89, "KEY EXISTS", "Key Exists", ""),
];

const COMMAND_SPECIFIC: &[Code] = &[
    code(
        0x00,
        "INVALID COMPLETION QUEUE",
        "Completion Queue Invalid",
        "The completion queue does not exist.",
    ),
    code(
        0x01,
        "INVALID QUEUE IDENTIFIER",
        "Invalid Queue Identifier",
        "The queue identifier is in use, 0, or higher than there are queues.",
    ),
    code(
        0x02,
        "INVALID QUEUE SIZE",
        "Invalid Queue Size",
        "The queue size is 0 or larger than the controller supports.",
    ),
    code(
        0x03,
        "ABORT CMD LIMIT EXCEEDED",
        "Abort Command Limit Exceeded",
        "More Abort commands are outstanding than the controller takes.",
    ),
    code(
        0x05,
        "ASYNC LIMIT EXCEEDED",
        "Asynchronous Event Request Limit Exceeded",
        "More of these requests are outstanding than the controller takes.",
    ),
    code(0x06, "INVALID FIRMWARE SLOT", "Invalid Firmware Slot", ""),
    code(0x07, "INVALID FIRMWARE IMAGE", "Invalid Firmware Image", ""),
    code(0x08, "INVALID INTERRUPT VECTOR", "Invalid Interrupt Vector", ""),
    code(0x09, "INVALID LOG PAGE", "Invalid Log Page", "The log page is not supported."),
    code(0x0a, "INVALID FORMAT", "Invalid Format", "The LBA format, or what goes with it, is not supported."),
    code(
        0x0b,
        "FIRMWARE REQUIRES CONVENTIONAL RESET",
        "Firmware Activation Requires Conventional Reset",
        "The image becomes active with a conventional reset.",
    ),
    code(
        0x0c,
        "INVALID QUEUE DELETION",
        "Invalid Queue Deletion",
        "The completion queue still has submission queues.",
    ),
    code(0x0d, "FEATURE ID NOT SAVEABLE", "Feature Identifier Not Saveable", ""),
    code(0x0e, "FEATURE NOT CHANGEABLE", "Feature Not Changeable", ""),
    code(0x0f, "FEATURE NOT NAMESPACE SPECIFIC", "Feature Not Namespace Specific", ""),
    code(
        0x10,
        "FIRMWARE REQUIRES NVM RESET",
        "Firmware Activation Requires NVM Subsystem Reset",
        "The image becomes active with an NVM subsystem reset.",
    ),
    code(
        0x11,
        "FIRMWARE REQUIRES RESET",
        "Firmware Activation Requires Controller Level Reset",
        "The image becomes active with a controller level reset.",
    ),
    code(
        0x12,
        "FIRMWARE REQUIRES MAX TIME VIOLATION",
        "Firmware Activation Requires Maximum Time Violation",
        "Activation at once takes longer than MTFA; use a reset.",
    ),
    code(0x13, "FIRMWARE ACTIVATION PROHIBITED", "Firmware Activation Prohibited", ""),
    code(0x14, "OVERLAPPING RANGE", "Overlapping Range", "Ranges of the image, or of the command, overlap."),
    code(0x15, "NAMESPACE INSUFFICIENT CAPACITY", "Namespace Insufficient Capacity", ""),
    code(0x16, "NAMESPACE ID UNAVAILABLE", "Namespace Identifier Unavailable", ""),
    code(0x18, "NAMESPACE ALREADY ATTACHED", "Namespace Already Attached", ""),
    code(0x19, "NAMESPACE IS PRIVATE", "Namespace Is Private", ""),
    code(0x1a, "NAMESPACE NOT ATTACHED", "Namespace Not Attached", ""),
    code(0x1b, "THIN PROVISIONING NOT SUPPORTED", "Thin Provisioning Not Supported", ""),
    code(0x1c, "CONTROLLER LIST INVALID", "Controller List Invalid", ""),
    code(0x1d, "DEVICE SELF-TEST IN PROGRESS", "Device Self-test In Progress", ""),
    code(0x1e, "BOOT PARTITION WRITE PROHIBITED", "Boot Partition Write Prohibited", ""),
    code(0x1f, "INVALID CONTROLLER ID", "Invalid Controller Identifier", ""),
    code(0x20, "INVALID SECONDARY CONTROLLER STATE", "Invalid Secondary Controller State", ""),
    code(0x21, "INVALID NUMBER OF CONTROLLER RESOURCES", "Invalid Number of Controller Resources", ""),
    code(0x22, "INVALID RESOURCE IDENTIFIER", "Invalid Resource Identifier", ""),
    code(
        0x23,
        "SANITIZE PROHIBITED WHILE PERSISTENT MEMORY REGION IS ENABLED",
        "Sanitize Prohibited While Persistent Memory Region is Enabled",
        "",
    ),
    code(0x24, "ANA GROUP IDENTIFIER INVALID", "ANA Group Identifier Invalid", ""),
    code(0x25, "ANA ATTACH FAILED", "ANA Attach Failed", ""),
    code(0x26, "INSUFFICIENT CAPACITY", "Insufficient Capacity", ""),
    code(0x27, "NAMESPACE ATTACHMENT LIMIT EXCEEDED", "Namespace Attachment Limit Exceeded", ""),
    code(
        0x28,
        "PROHIBITION OF COMMAND EXECUTION NOT SUPPORTED",
        "Prohibition of Command Execution Not Supported",
        "",
    ),
    code(0x29, "I/O COMMAND SET NOT SUPPORTED", "I/O Command Set Not Supported", ""),
    code(0x2a, "I/O COMMAND SET NOT ENABLED", "I/O Command Set Not Enabled", ""),
    code(0x2b, "I/O COMMAND SET COMBINATION REJECTED", "I/O Command Set Combination Rejected", ""),
    code(0x2c, "INVALID I/O COMMAND SET", "Invalid I/O Command Set", ""),
    code(0x2d, "IDENTIFIER UNAVAILABLE", "Identifier Unavailable", ""),
    code(
        0x80,
        "CONFLICTING ATTRIBUTES",
        "Conflicting Attributes",
        "The attributes of the command contradict each other.",
    ),
    code(
        0x81,
        "INVALID PROTECTION INFO",
        "Invalid Protection Information",
        "The protection information settings do not fit the namespace's format.",
    ),
    code(0x82, "WRITE TO RO RANGE", "Attempted Write to Read Only Range", ""),
    code(
        0x83,
        "CONNECT RESTART DISCOVERY",
        "Command Size Limit Exceeded",
        "Or, of Connect: use another controller of the discovery log.",
    ),
    code(
        0x84,
        "CONNECT INVALID HOST",
        "Invalid Command ID",
        "Or, of Connect: the host may not use this subsystem.",
    ),
    code(0x85, "INCOMPATIBLE NAMESPACE OR FORMAT", "Incompatible Namespace or Format", ""),
    code(0x86, "FAST COPY NOT POSSIBLE", "Fast Copy Not Possible", ""),
    code(0x87, "OVERLAPPING I/O RANGE", "Overlapping I/O Range", ""),
    code(0x89, "INSUFFICIENT RESOURCES", "Insufficient Resources", ""),
    code(
        0xb8,
        "ZONE BOUNDARY ERROR",
        "Zone Boundary Error",
        "The command reaches across the end of its zone.",
    ),
    code(0xb9, "ZONE IS FULL", "Zone Is Full", ""),
    code(0xba, "ZONE IS READ ONLY", "Zone Is Read Only", ""),
    code(0xbb, "ZONE IS OFFLINE", "Zone Is Offline", ""),
    code(
        0xbc,
        "ZONE INVALID WRITE",
        "Zone Invalid Write",
        "The write does not begin at the zone's write pointer.",
    ),
    code(0xbd, "TOO MANY ACTIVE ZONES", "Too Many Active Zones", ""),
    code(0xbe, "TOO MANY OPEN ZONES", "Too Many Open Zones", ""),
    code(0xbf, "INVALID ZONE STATE TRANSITION", "Invalid Zone State Transition", ""),
];

/// Command specific codes that mean something else for commands of NVMe over Fabrics.
const FABRICS: &[Code] = &[
    code(
        0x80,
        "CONNECT INCOMPATIBLE FORMAT",
        "Connect Incompatible Format",
        "The record format is not supported.",
    ),
    code(
        0x81,
        "CONNECT CONTROLLER BUSY",
        "Connect Controller Busy",
        "The controller is associated with a host already.",
    ),
    code(
        0x82,
        "CONNECT INVALID PARAMETERS",
        "Connect Invalid Parameters",
        "A parameter of Connect is wrong: IPO says which.",
    ),
    code(
        0x83,
        "CONNECT RESTART DISCOVERY",
        "Connect Restart Discovery",
        "The subsystem is not here any more.",
    ),
    code(0x84, "CONNECT INVALID HOST", "Connect Invalid Host", "The host may not use this subsystem."),
    code(
        0x85,
        "INVALID QUEUE TYPE",
        "Invalid Queue Type",
        "The command is not allowed on this kind of queue.",
    ),
    code(0x90, "DISCOVER RESTART", "Discover Restart", "The discovery log changed while it was read."),
    code(0x91, "AUTHENTICATION REQUIRED", "Authentication Required", "The host has to authenticate first."),
];

const MEDIA: &[Code] = &[
    code(0x80, "WRITE FAULTS", "Write Fault", "Data could not be written to the media."),
    code(0x81, "UNRECOVERED READ ERROR", "Unrecovered Read Error", "Data could not be read from the media."),
    code(0x82, "GUARD CHECK ERROR", "End-to-end Guard Check Error", ""),
    code(0x83, "APPLICATION TAG CHECK ERROR", "End-to-end Application Tag Check Error", ""),
    code(0x84, "REFERENCE TAG CHECK ERROR", "End-to-end Reference Tag Check Error", ""),
    code(
        0x85,
        "COMPARE FAILURE",
        "Compare Failure",
        "The data differs from what was sent to compare it with.",
    ),
    code(
        0x86,
        "ACCESS DENIED",
        "Access Denied",
        "The host lacks the access rights, as with a locked security range.",
    ),
    code(
        0x87,
        "DEALLOCATED OR UNWRITTEN BLOCK",
        "Deallocated or Unwritten Logical Block",
        "A block was never written, and error recovery is set to say so.",
    ),
    code(0x88, "END-TO-END STORAGE TAG CHECK ERROR", "End-to-End Storage Tag Check Error", ""),
];

const PATH: &[Code] = &[
    code(0x00, "INTERNAL PATH ERROR", "Internal Path Error", ""),
    code(0x01, "ASYMMETRIC ACCESS PERSISTENT LOSS", "Asymmetric Access Persistent Loss", ""),
    code(0x02, "ASYMMETRIC ACCESS INACCESSIBLE", "Asymmetric Access Inaccessible", ""),
    code(0x03, "ASYMMETRIC ACCESS TRANSITION", "Asymmetric Access Transition", ""),
    code(0x60, "CONTROLLER PATH ERROR", "Controller Pathing Error", ""),
    code(0x70, "HOST PATH ERROR", "Host Pathing Error", ""),
    code(0x71, "ABORTED BY HOST", "Command Aborted By Host", ""),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_fallbacks() {
        assert_eq!(Status::SUCCESS.to_string(), "SUCCESS (00/00)");
        assert_eq!(Status::new(2, 0x81).to_string(), "UNRECOVERED READ ERROR (02/81)");
        assert_eq!(Status::new(0, 0x7f).name(), "GENERIC");
        assert_eq!(Status::new(1, 0xff).name(), "COMMAND SPECIFIC");
        assert_eq!(Status::new(2, 0).name(), "MEDIA ERROR");
        assert_eq!(Status::new(3, 0xff).name(), "PATH ERROR");
        assert_eq!(Status::new(7, 0x81).name(), "VENDOR SPECIFIC");
        assert_eq!(Status::new(5, 0).name(), "RESERVED");
    }

    #[test]
    fn tables_are_sorted_and_without_repetition() {
        for table in [GENERIC, COMMAND_SPECIFIC, FABRICS, MEDIA, PATH] {
            assert!(table.is_sorted_by(|a, b| a.sc < b.sc));
            assert!(
                table.iter().all(|code| code.name == code.name.to_uppercase() && code.title != code.name)
            );
        }
    }
}
