//! One function per command of the specifications, beside those of [`Command`] itself that this crate sends.

use crate::command::{Command, admin_opcode, nvm_opcode};

/// FUA, in dword 12 of commands that access blocks.
const FORCE_UNIT_ACCESS: u32 = 1 << 30;
/// LR, likewise.
const LIMITED_RETRY: u32 = 1 << 31;
/// DEAC of Write Zeroes.
const DEALLOCATE: u32 = 1 << 25;
/// AD of Dataset Management.
const ATTRIBUTE_DEALLOCATE: u32 = 1 << 2;
/// Select of Namespace Management and Namespace Attachment.
const SECOND: u32 = 1;

/// The NVM command set. Sections named here are those of the NVM command set specification, but for "Fused
/// Operations", which is in the NVMe base specification.
impl Command {
    /// Compare `blocks` logical blocks, 1 to 65536, from `lba` on with the data ("Compare command").
    pub const fn compare(nsid: u32, lba: u64, blocks: u32) -> Self {
        Command::range(nvm_opcode::COMPARE, nsid, lba, blocks)
    }

    /// Write Zeroes to `blocks` logical blocks, 1 to 65536, from `lba` on ("Write Zeroes command"); the
    /// controller may deallocate them if `deallocate` (DEAC). Transfers nothing.
    pub const fn write_zeroes(nsid: u32, lba: u64, blocks: u32, deallocate: bool) -> Self {
        let command = Command::range(nvm_opcode::WRITE_ZEROES, nsid, lba, blocks);
        command.cdw12(command.cdw12 | if deallocate { DEALLOCATE } else { 0 })
    }

    /// Write Uncorrectable: reads of `blocks` logical blocks, 1 to 65536, from `lba` on fail until they are
    /// written again ("Write Uncorrectable command"). Transfers nothing.
    pub const fn write_uncorrectable(nsid: u32, lba: u64, blocks: u32) -> Self {
        Command::range(nvm_opcode::WRITE_UNCORRECTABLE, nsid, lba, blocks)
    }

    /// Verify that `blocks` logical blocks, 1 to 65536, from `lba` on can be read, without transferring them
    /// ("Verify command").
    pub const fn verify(nsid: u32, lba: u64, blocks: u32) -> Self {
        Command::range(nvm_opcode::VERIFY, nsid, lba, blocks)
    }

    /// Dataset Management, Deallocate ("Dataset Management command"): the data is 1 to 256 ranges, as
    /// [`DsmRange::list`] makes it.
    pub const fn deallocate(nsid: u32, ranges: u32) -> Self {
        Command::dataset_management(nsid, ranges, ATTRIBUTE_DEALLOCATE)
    }

    /// Dataset Management of 1 to 256 ranges ("Dataset Management command"); `attributes` are those of dword
    /// 11: 1 integral dataset for read, 2 integral dataset for write, 4 deallocate.
    pub const fn dataset_management(nsid: u32, ranges: u32, attributes: u32) -> Self {
        let command = Command::io(nvm_opcode::DATASET_MANAGEMENT, nsid);
        command.cdw10(ranges.wrapping_sub(1) & 0xff).cdw11(attributes)
    }

    /// Copy 1 to 256 ranges of the same namespace to `lba`, one after the other ("Copy command"); the data is
    /// the ranges, as [`CopyRange::list`] makes it.
    pub const fn copy(nsid: u32, lba: u64, ranges: u32) -> Self {
        let command = Command::range(nvm_opcode::COPY, nsid, lba, 1);
        command.cdw12(ranges.wrapping_sub(1) & 0xff)
    }

    /// Force Unit Access, of a command that reads or writes blocks: nothing is left in a volatile cache.
    pub const fn force_unit_access(self) -> Self {
        self.cdw12(self.cdw12 | FORCE_UNIT_ACCESS)
    }

    /// Limited Retry, likewise: the controller gives up early.
    pub const fn limited_retry(self) -> Self {
        self.cdw12(self.cdw12 | LIMITED_RETRY)
    }

    /// The first of two fused commands (FUSE 01b, "Fused Operations"); the second is submitted right behind
    /// it.
    pub const fn fused_first(self) -> Self {
        self.flags(self.flags & !0x3 | 0x1)
    }

    /// The second of two fused commands (FUSE 10b, "Fused Operations").
    pub const fn fused_second(self) -> Self {
        self.flags(self.flags & !0x3 | 0x2)
    }
}

/// Zones. Sections named here are those of the zoned namespace command set specification.
impl Command {
    /// Zone Management Send: an action on the zone that begins at `lba` ("Zone Management Send command").
    pub const fn zone_send(nsid: u32, lba: u64, action: ZoneAction) -> Self {
        let command = Command::range(nvm_opcode::ZONE_MANAGEMENT_SEND, nsid, lba, 1);
        command.cdw12(0).cdw13(action as u32)
    }

    /// Zone Management Send: an action on all zones ("Zone Management Send command", Select All).
    pub const fn zone_send_all(nsid: u32, action: ZoneAction) -> Self {
        Command::io(nvm_opcode::ZONE_MANAGEMENT_SEND, nsid).cdw13(action as u32 | 1 << 8)
    }

    /// Zone Management Receive, Report Zones ("Zone Management Receive command"): `bytes` bytes, a multiple
    /// of 4, of the report on all zones from the one at `lba` on; its count is that of the zones which exist.
    pub const fn report_zones(nsid: u32, lba: u64, bytes: u32) -> Self {
        let command = Command::range(nvm_opcode::ZONE_MANAGEMENT_RECEIVE, nsid, lba, 1);
        command.cdw12((bytes / 4).wrapping_sub(1))
    }

    /// Zone Append `blocks` logical blocks, 1 to 65536, to the zone that begins at `lba` ("Zone Append
    /// command"); dwords 0 and 1 of the completion are where they were written.
    pub const fn zone_append(nsid: u32, lba: u64, blocks: u32) -> Self {
        Command::range(nvm_opcode::ZONE_APPEND, nsid, lba, blocks)
    }
}

/// The admin command set. Sections named here are those of the NVMe base specification.
impl Command {
    /// Abort the command with identifier `cid` of submission queue `sqid` ("Abort command"); bit 0 of dword 0
    /// of the completion is 0 if it was aborted.
    pub const fn abort(sqid: u16, cid: u16) -> Self {
        Command::admin(admin_opcode::ABORT).cdw10(sqid as u32 | (cid as u32) << 16)
    }

    /// Asynchronous Event Request: completes when an event occurs ("Asynchronous Event Request command").
    pub const fn async_event_request() -> Self {
        Command::admin(admin_opcode::ASYNC_EVENT_REQUEST)
    }

    /// Format NVM with LBA format `format`, 0 to 63, and a secure erase ("Format NVM command"); see
    /// [`Namespace::format_nvm`](crate::Namespace::format_nvm), which waits as long as it is told.
    pub const fn format_nvm(nsid: u32, format: u8, erase: SecureErase) -> Self {
        let format = (format & 0xf) as u32 | ((format >> 4 & 0x3) as u32) << 12;
        Command::admin(admin_opcode::FORMAT_NVM).nsid(nsid).cdw10(format | (erase as u32) << 9)
    }

    /// Sanitize the subsystem ("Sanitize command"). The operation goes on after the command has completed:
    /// see [`Controller::sanitize_log`](crate::Controller::sanitize_log).
    pub const fn sanitize(action: SanitizeAction) -> Self {
        Command::admin(admin_opcode::SANITIZE).cdw10(action as u32)
    }

    /// Firmware Image Download: `bytes` bytes of the image, from byte `offset` of it on ("Firmware Image
    /// Download command"); both are multiples of 4.
    pub const fn firmware_download(offset: u32, bytes: u32) -> Self {
        Command::admin(admin_opcode::FIRMWARE_IMAGE_DOWNLOAD)
            .cdw10((bytes / 4).wrapping_sub(1))
            .cdw11(offset / 4)
    }

    /// Firmware Commit of what was downloaded to a slot, 1 to 7 ("Firmware Commit command"); 0 leaves the
    /// choice to the controller.
    pub const fn firmware_commit(slot: u8, action: CommitAction) -> Self {
        Command::admin(admin_opcode::FIRMWARE_COMMIT).cdw10((slot & 0x7) as u32 | (action as u32) << 3)
    }

    /// Device Self-test of the controller and of namespace `nsid` ("Device Self-test command"): 0 for none,
    /// [`ALL_NAMESPACES`](crate::ALL_NAMESPACES) for all. See
    /// [`Controller::self_test_log`](crate::Controller::self_test_log).
    pub const fn self_test(nsid: u32, test: SelfTest) -> Self {
        Command::admin(admin_opcode::DEVICE_SELF_TEST).nsid(nsid).cdw10(test as u32)
    }

    /// Namespace Management, Create ("Namespace Management command"): the data is 4096 bytes laid out as
    /// Identify Namespace. Dword 0 of the completion is the identifier of the new namespace, which is
    /// attached to no controller yet.
    pub const fn create_namespace() -> Self {
        Command::admin(admin_opcode::NAMESPACE_MANAGEMENT)
    }

    /// Namespace Management, Delete ("Namespace Management command").
    pub const fn delete_namespace(nsid: u32) -> Self {
        Command::admin(admin_opcode::NAMESPACE_MANAGEMENT).nsid(nsid).cdw10(SECOND)
    }

    /// Namespace Attachment, Attach ("Namespace Attachment command"): the data is 4096 bytes, a list of
    /// controller identifiers with their number in front, 2 bytes each.
    pub const fn attach_namespace(nsid: u32) -> Self {
        Command::admin(admin_opcode::NAMESPACE_ATTACHMENT).nsid(nsid)
    }

    /// Namespace Attachment, Detach ("Namespace Attachment command"): the data is as that of
    /// [`attach_namespace`](Self::attach_namespace).
    pub const fn detach_namespace(nsid: u32) -> Self {
        Command::admin(admin_opcode::NAMESPACE_ATTACHMENT).nsid(nsid).cdw10(SECOND)
    }

    /// Keep Alive ("Keep Alive command").
    pub const fn keep_alive() -> Self {
        Command::admin(admin_opcode::KEEP_ALIVE)
    }
}

/// What Zone Management Send does to a zone (ZSA).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ZoneAction {
    /// Close Zone.
    Close = 1,
    /// Finish Zone.
    Finish = 2,
    /// Open Zone.
    Open = 3,
    /// Reset Zone: its blocks are deallocated.
    Reset = 4,
    /// Offline Zone.
    Offline = 5,
}

/// Secure Erase Settings of Format NVM (SES).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum SecureErase {
    /// None is asked for.
    #[default]
    None = 0,
    /// User Data Erase.
    UserData = 1,
    /// Cryptographic Erase.
    Cryptographic = 2,
}

/// What Sanitize does (SANACT).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SanitizeAction {
    /// Exit Failure Mode.
    ExitFailureMode = 1,
    /// Start a block erase.
    BlockErase = 2,
    /// Start an overwrite.
    Overwrite = 3,
    /// Start a crypto erase.
    CryptoErase = 4,
}

/// What Firmware Commit does (CA).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CommitAction {
    /// The image replaces the one in the slot; it is not activated.
    Replace = 0,
    /// The image replaces the one in the slot, and is activated at the next controller level reset.
    ReplaceAndActivate = 1,
    /// The image in the slot is activated at the next controller level reset.
    Activate = 2,
    /// The image in the slot is activated at once, without a reset.
    ActivateNow = 3,
}

/// What Device Self-test does (STC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SelfTest {
    /// Start a short test.
    Short = 1,
    /// Start an extended test.
    Extended = 2,
    /// Abort the one that is running.
    Abort = 0xf,
}

/// A range of Dataset Management ("Dataset Management – Range Definition").
///
/// ```
/// use nvme_spdk::{Command, DsmRange};
///
/// let ranges = [DsmRange { lba: 0, blocks: 8, ..Default::default() }, DsmRange { lba: 64, blocks: 1, attributes: 0 }];
/// let trim = Command::deallocate(1, ranges.len() as u32);
/// let data = DsmRange::list(&ranges);
/// assert_eq!((trim.cdw10, data.len()), (1, 32));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct DsmRange {
    /// Context Attributes.
    pub attributes: u32,
    /// Its length in logical blocks.
    pub blocks: u32,
    /// Its first logical block.
    pub lba: u64,
}

impl DsmRange {
    /// The ranges as the command transfers them, 16 bytes each.
    pub fn list(ranges: &[DsmRange]) -> Vec<u8> {
        let entries = ranges.iter().map(|range| {
            let low = u64::from(range.attributes) | u64::from(range.blocks) << 32;
            [low.to_le_bytes(), range.lba.to_le_bytes()].concat()
        });
        entries.flatten().collect()
    }
}

/// A range of Copy ("Copy – Source Range Entries Copy Descriptor Format 0h").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct CopyRange {
    /// Its first logical block.
    pub lba: u64,
    /// Its length in logical blocks, 1 to 65536.
    pub blocks: u32,
}

impl CopyRange {
    /// The ranges as the command transfers them, 32 bytes each.
    pub fn list(ranges: &[CopyRange]) -> Vec<u8> {
        let mut list = vec![0; 32 * ranges.len()];
        for (entry, range) in list.chunks_exact_mut(32).zip(ranges) {
            entry[8..16].copy_from_slice(&range.lba.to_le_bytes());
            entry[16..18].copy_from_slice(&(range.blocks.wrapping_sub(1) as u16).to_le_bytes());
        }
        list
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::{Queue, command};

    /// As the decoder, which has its own tables, reads them.
    #[test]
    fn commands_are_what_the_decoder_reads() {
        let io = |sent: Command| command(&sent, Queue::Io).to_string();
        for (sent, read) in [
            (Command::compare(1, 2, 8), "Compare: NSID 1, SLBA 2, NLB 7 (8 blocks)"),
            (Command::write_zeroes(1, 2, 1, false), "Write Zeroes: NSID 1, SLBA 2, NLB 0 (1 block)"),
            (Command::write_uncorrectable(1, 2, 65536), "Write Uncorrectable: NSID 1, SLBA 2, NLB 65535"),
            (Command::verify(1, 1 << 40, 1), "Verify: NSID 1, SLBA 1099511627776, NLB 0 (1 block)"),
            (Command::deallocate(1, 256), "Dataset Management: NSID 1, NR 255 (256 ranges), AD"),
            (Command::copy(1, 5, 3), "Copy: NSID 1, SDLBA 5, NR 2 (3 ranges)"),
            (Command::zone_append(1, 64, 4), "Zone Append: NSID 1, ZSLBA 64, NLB 3 (4 blocks)"),
        ] {
            let (name, fields) = read.split_once(": ").unwrap();
            let shown = io(sent);
            assert!(shown.starts_with(name) && shown.contains(fields), "{shown} is not {read}");
        }
        let field = |sent: Command, queue, name| command(&sent, queue).number(name);
        let zeroes = Command::write_zeroes(1, 0, 1, true).force_unit_access().limited_retry();
        for (name, queue, sent, value) in [
            ("DEAC", Queue::Io, zeroes, 1),
            ("FUA", Queue::Io, zeroes, 1),
            ("LR", Queue::Io, zeroes, 1),
            ("FUSE", Queue::Io, Command::write(1, 0, 1).fused_second(), 2),
            ("ZSA", Queue::Io, Command::zone_send(1, 7, ZoneAction::Reset), 4),
            ("SLBA", Queue::Io, Command::zone_send(1, 7, ZoneAction::Open), 7),
            ("NDW", Queue::Io, Command::report_zones(1, 0, 4096), 1023),
            ("SQID", Queue::Admin, Command::abort(3, 9), 3),
            ("LBAFL", Queue::Admin, Command::format_nvm(1, 0x12, SecureErase::UserData), 2),
            ("LBAFU", Queue::Admin, Command::format_nvm(1, 0x12, SecureErase::UserData), 1),
            ("SES", Queue::Admin, Command::format_nvm(1, 0x12, SecureErase::UserData), 1),
            ("SANACT", Queue::Admin, Command::sanitize(SanitizeAction::BlockErase), 2),
            ("NUMD", Queue::Admin, Command::firmware_download(8192, 4096), 1023),
            ("OFST", Queue::Admin, Command::firmware_download(8192, 4096), 2048),
            ("FS", Queue::Admin, Command::firmware_commit(2, CommitAction::ActivateNow), 2),
            ("CA", Queue::Admin, Command::firmware_commit(2, CommitAction::ActivateNow), 3),
            ("STC", Queue::Admin, Command::self_test(1, SelfTest::Abort), 15),
            ("SEL", Queue::Admin, Command::create_namespace(), 0),
            ("SEL", Queue::Admin, Command::delete_namespace(1), 1),
            ("SEL", Queue::Admin, Command::attach_namespace(1), 0),
            ("SEL", Queue::Admin, Command::detach_namespace(1), 1),
        ] {
            assert_eq!(field(sent, queue, name), Some(value), "{name} of {}", command(&sent, queue));
        }
        // Its own identifier has the same name as that of the command to abort.
        assert_eq!(Command::abort(3, 9).cdw10, 9 << 16 | 3);
        let all = command(&Command::zone_send_all(1, ZoneAction::Finish), Queue::Io);
        assert!(all.to_string().contains("finish") && all.to_string().contains("ALL"), "{all}");
        for (sent, name) in [
            (Command::async_event_request(), "Asynchronous Event Request"),
            (Command::keep_alive(), "Keep Alive"),
        ] {
            assert_eq!(command(&sent, Queue::Admin).name, name);
        }
    }

    #[test]
    fn ranges_lie_in_memory_as_the_specification_has_it() {
        let list = DsmRange::list(&[DsmRange { attributes: 1, blocks: 0x0203, lba: 4 }]);
        assert_eq!(list, [1, 0, 0, 0, 3, 2, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0]);
        let list = CopyRange::list(&[CopyRange { lba: 9, blocks: 65536 }, CopyRange { lba: 1, blocks: 1 }]);
        assert_eq!(
            (list.len(), list[8], &list[16..18], list[40], list[48]),
            (64, 9, &[0xff, 0xff][..], 1, 0)
        );
    }
}
