//! Submission and completion queue entries.

use std::fmt;
use std::mem;

use crate::status::Status;

/// A submission queue entry: 64 bytes (NVMe base specification, "Submission Queue Entry").
///
/// Any command can be written; the driver fills in the command identifier and the data pointer. Values are
/// cut to the width of their field, as a test may want it; nothing is refused here. Fields that are one less
/// than what they stand for wrap around: 0 blocks are 65536, and 65537 are 1.
///
/// ```
/// use nvme_spdk::Command;
///
/// let identify = Command::admin(0x06).cdw10(0x01);
/// let read = Command::read(1, 0x1000, 8);
/// assert_eq!((read.opcode, read.nsid, read.slba(), read.nlb()), (0x02, 1, 0x1000, 8));
/// assert_eq!(identify.cdw10, 1);
/// ```
#[repr(C, align(8))]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[must_use = "it does nothing until it is sent; setters return a changed copy"]
pub struct Command {
    /// Opcode.
    pub opcode: u8,
    /// FUSE in bits 1:0, PSDT in bits 7:6; the driver sets PSDT for [`Data`](crate::Data), and always over
    /// NVMe/TCP.
    pub flags: u8,
    /// Command identifier; the driver chooses it.
    pub cid: u16,
    /// Namespace identifier.
    pub nsid: u32,
    /// Command dword 2.
    pub cdw2: u32,
    /// Command dword 3.
    pub cdw3: u32,
    /// Metadata pointer: a bus address, sent as it is. This driver transfers no metadata of its own.
    pub mptr: u64,
    /// Data pointer: PRP entry 1 and 2, or an SGL descriptor. The driver fills it in for
    /// [`Data`](crate::Data), and always over NVMe/TCP. On PCIe, without data, it is sent as it is: bus
    /// addresses, as [`DmaBuf::physical_address`](crate::DmaBuf::physical_address) tells them.
    pub dptr: [u64; 2],
    /// Command dword 10.
    pub cdw10: u32,
    /// Command dword 11.
    pub cdw11: u32,
    /// Command dword 12.
    pub cdw12: u32,
    /// Command dword 13.
    pub cdw13: u32,
    /// Command dword 14.
    pub cdw14: u32,
    /// Command dword 15.
    pub cdw15: u32,
}

const _: () = assert!(size_of::<Command>() == size_of::<spdk_sys::spdk_nvme_cmd>());
const _: () = assert!(align_of::<Command>() == align_of::<spdk_sys::spdk_nvme_cmd>());

/// Opcodes of the admin command set.
pub mod admin_opcode {
    /// Get Log Page.
    pub const GET_LOG_PAGE: u8 = 0x02;
    /// Delete I/O Submission Queue.
    pub const DELETE_IO_SQ: u8 = 0x00;
    /// Create I/O Submission Queue.
    pub const CREATE_IO_SQ: u8 = 0x01;
    /// Delete I/O Completion Queue.
    pub const DELETE_IO_CQ: u8 = 0x04;
    /// Create I/O Completion Queue.
    pub const CREATE_IO_CQ: u8 = 0x05;
    /// Identify.
    pub const IDENTIFY: u8 = 0x06;
    /// Abort.
    pub const ABORT: u8 = 0x08;
    /// Set Features.
    pub const SET_FEATURES: u8 = 0x09;
    /// Get Features.
    pub const GET_FEATURES: u8 = 0x0a;
    /// Asynchronous Event Request.
    pub const ASYNC_EVENT_REQUEST: u8 = 0x0c;
    /// Namespace Management.
    pub const NAMESPACE_MANAGEMENT: u8 = 0x0d;
    /// Firmware Commit.
    pub const FIRMWARE_COMMIT: u8 = 0x10;
    /// Firmware Image Download.
    pub const FIRMWARE_IMAGE_DOWNLOAD: u8 = 0x11;
    /// Device Self-test.
    pub const DEVICE_SELF_TEST: u8 = 0x14;
    /// Namespace Attachment.
    pub const NAMESPACE_ATTACHMENT: u8 = 0x15;
    /// Keep Alive.
    pub const KEEP_ALIVE: u8 = 0x18;
    /// Format NVM.
    pub const FORMAT_NVM: u8 = 0x80;
    /// Sanitize.
    pub const SANITIZE: u8 = 0x84;
    /// Doorbell Buffer Config.
    pub const DOORBELL_BUFFER_CONFIG: u8 = 0x7c;
    /// Fabrics commands.
    pub const FABRICS: u8 = 0x7f;
}

/// Opcodes of the NVM command set, and of the zoned namespace command set.
pub mod nvm_opcode {
    /// Flush.
    pub const FLUSH: u8 = 0x00;
    /// Write.
    pub const WRITE: u8 = 0x01;
    /// Read.
    pub const READ: u8 = 0x02;
    /// Write Uncorrectable.
    pub const WRITE_UNCORRECTABLE: u8 = 0x04;
    /// Compare.
    pub const COMPARE: u8 = 0x05;
    /// Write Zeroes.
    pub const WRITE_ZEROES: u8 = 0x08;
    /// Dataset Management.
    pub const DATASET_MANAGEMENT: u8 = 0x09;
    /// Verify.
    pub const VERIFY: u8 = 0x0c;
    /// Copy.
    pub const COPY: u8 = 0x19;
    /// Zone Management Send.
    pub const ZONE_MANAGEMENT_SEND: u8 = 0x79;
    /// Zone Management Receive.
    pub const ZONE_MANAGEMENT_RECEIVE: u8 = 0x7a;
    /// Zone Append.
    pub const ZONE_APPEND: u8 = 0x7d;
}

/// What byte 4 of a fabrics command says: which one it is (NVMe over Fabrics specification, "Fabrics Commands").
pub(crate) mod fabrics_type {
    pub const PROPERTY_SET: u32 = 0x00;
    pub const CONNECT: u32 = 0x01;
    pub const PROPERTY_GET: u32 = 0x04;
}

/// A fabrics command, of which the type is missing.
const FABRICS: Command = Command::admin(admin_opcode::FABRICS);

impl Command {
    /// An I/O command with everything but opcode and namespace zero.
    pub const fn io(opcode: u8, nsid: u32) -> Self {
        Command { nsid, ..Command::admin(opcode) }
    }

    /// An admin command with everything but the opcode zero.
    pub const fn admin(opcode: u8) -> Self {
        Command {
            opcode,
            flags: 0,
            cid: 0,
            nsid: 0,
            cdw2: 0,
            cdw3: 0,
            mptr: 0,
            dptr: [0; 2],
            cdw10: 0,
            cdw11: 0,
            cdw12: 0,
            cdw13: 0,
            cdw14: 0,
            cdw15: 0,
        }
    }

    /// Read `blocks` logical blocks, 1 to 65536, from `lba` on (NVM command set specification, "Read
    /// command").
    pub const fn read(nsid: u32, lba: u64, blocks: u32) -> Self {
        Command::range(nvm_opcode::READ, nsid, lba, blocks)
    }

    /// Write `blocks` logical blocks, 1 to 65536, from `lba` on (NVM command set specification, "Write
    /// command").
    pub const fn write(nsid: u32, lba: u64, blocks: u32) -> Self {
        Command::range(nvm_opcode::WRITE, nsid, lba, blocks)
    }

    /// Commit what was written to the medium (NVMe base specification, "Flush command").
    pub const fn flush(nsid: u32) -> Self {
        Command::io(nvm_opcode::FLUSH, nsid)
    }

    /// Any command that names a range of blocks the way Read does: SLBA in dwords 10 and 11, the number
    /// of blocks minus one in dword 12, 16 bits of it.
    pub const fn range(opcode: u8, nsid: u32, lba: u64, blocks: u32) -> Self {
        let mut command = Command::io(opcode, nsid);
        command.cdw10 = lba as u32;
        command.cdw11 = (lba >> 32) as u32;
        command.cdw12 = blocks.wrapping_sub(1) & 0xffff;
        command
    }

    /// Identify with a Controller or Namespace Structure (CNS) value, for a namespace or 0 (NVMe base
    /// specification, "Identify command").
    pub const fn identify(cns: u8, nsid: u32) -> Self {
        Command::admin(admin_opcode::IDENTIFY).nsid(nsid).cdw10(cns as u32)
    }

    /// Get Features: the current value of a feature (NVMe base specification, "Get Features command").
    pub const fn get_features(fid: u8) -> Self {
        Command::admin(admin_opcode::GET_FEATURES).cdw10(fid as u32)
    }

    /// Set Features: a feature and its value in dword 11 (NVMe base specification, "Set Features command").
    pub const fn set_features(fid: u8, value: u32) -> Self {
        Command::admin(admin_opcode::SET_FEATURES).cdw10(fid as u32).cdw11(value)
    }

    /// Get Log Page: `bytes` of log `lid` from `offset` on (NVMe base specification, "Get Log Page command");
    /// both are multiples of 4. 0 bytes, less one dword, ask for 16 GiB.
    pub const fn get_log_page(lid: u8, nsid: u32, offset: u64, bytes: u32) -> Self {
        let dwords = (bytes / 4).wrapping_sub(1);
        Command::admin(admin_opcode::GET_LOG_PAGE)
            .nsid(nsid)
            .cdw10(lid as u32 | (dwords & 0xffff) << 16)
            .cdw11(dwords >> 16)
            .cdw12(offset as u32)
            .cdw13((offset >> 32) as u32)
    }

    /// Property Get of a 4 or 8 byte property; its value is in dwords 0 and 1 of the completion (NVMe over
    /// Fabrics specification, "Property Get Command").
    pub const fn property_get(offset: u32, wide: bool) -> Self {
        Command { nsid: fabrics_type::PROPERTY_GET, cdw10: wide as u32, cdw11: offset, ..FABRICS }
    }

    /// Property Set of a 4 byte property (NVMe over Fabrics specification, "Property Set Command").
    pub const fn property_set(offset: u32, value: u32) -> Self {
        Command { nsid: fabrics_type::PROPERTY_SET, cdw11: offset, cdw12: value, ..FABRICS }
    }

    /// The starting LBA of a command that names a range.
    pub const fn slba(&self) -> u64 {
        self.cdw10 as u64 | (self.cdw11 as u64) << 32
    }

    /// The number of logical blocks of a command that names a range (NLB + 1), 1 to 65536.
    pub const fn nlb(&self) -> u32 {
        (self.cdw12 & 0xffff) + 1
    }

    /// Its place in a fused operation.
    pub(crate) const fn fuse(&self) -> Fuse {
        match self.flags & 0x3 {
            1 => Fuse::First,
            2 => Fuse::Second,
            _ => Fuse::None,
        }
    }

    /// The entry as sixteen dwords, as a controller sees it.
    pub fn dwords(&self) -> [u32; 16] {
        // SAFETY: both are 64 bytes of plain integers without padding, and any bit pattern is valid.
        unsafe { mem::transmute(*self) }
    }

    /// The entry as its bytes, as a controller sees them.
    ///
    /// ```
    /// use nvme_spdk::Command;
    ///
    /// let write = Command::write(1, 0x10, 8);
    /// assert_eq!(write.to_bytes()[40..44], [0x10, 0, 0, 0]);
    /// assert_eq!(Command::from_bytes(&write.to_bytes()), write);
    /// ```
    pub fn to_bytes(&self) -> [u8; 64] {
        let mut bytes = [0; 64];
        for (place, word) in bytes.chunks_exact_mut(8).zip(self.words()) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// The entry from its bytes, as a controller sees them; zeros stand for what is missing, and more is ignored.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Command::from_words(little_endian(bytes))
    }

    pub(crate) fn words(&self) -> [u64; 8] {
        // SAFETY: both are 64 bytes of plain integers without padding, and any bit pattern is valid.
        unsafe { mem::transmute(*self) }
    }

    pub(crate) fn from_words(words: [u64; 8]) -> Self {
        // SAFETY: both are 64 bytes of plain integers without padding, and any bit pattern is valid.
        unsafe { mem::transmute(words) }
    }
}

/// FUSE (NVMe base specification, "Fused Operations"): the two commands of an operation follow each other in the
/// queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fuse {
    None,
    First,
    Second,
}

macro_rules! setters {
    ($($(#[$doc:meta])* $name:ident: $type:ty),* $(,)?) => {
        impl Command {
            $(
                $(#[$doc])*
                pub const fn $name(mut self, value: $type) -> Self {
                    self.$name = value;
                    self
                }
            )*
        }
    };
}

setters! {
    /// Sets FUSE (bits 1:0) and PSDT (bits 7:6).
    flags: u8,
    /// Sets the namespace identifier.
    nsid: u32,
    /// Sets command dword 2.
    cdw2: u32,
    /// Sets command dword 3.
    cdw3: u32,
    /// Sets the metadata pointer.
    mptr: u64,
    /// Sets the data pointer; the driver fills it in for commands that are sent with data, and over fabrics for all.
    dptr: [u64; 2],
    /// Sets command dword 10.
    cdw10: u32,
    /// Sets command dword 11.
    cdw11: u32,
    /// Sets command dword 12.
    cdw12: u32,
    /// Sets command dword 13.
    cdw13: u32,
    /// Sets command dword 14.
    cdw14: u32,
    /// Sets command dword 15.
    cdw15: u32,
}

/// A completion queue entry: 16 bytes (NVMe base specification, "Completion Queue Entry").
#[repr(C, align(8))]
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Completion {
    /// Command specific dword 0.
    pub cdw0: u32,
    /// Command specific dword 1.
    pub cdw1: u32,
    /// Submission queue head pointer.
    pub sqhd: u16,
    /// Submission queue identifier; reserved, and 0, over fabrics.
    pub sqid: u16,
    /// Command identifier.
    pub cid: u16,
    /// Phase tag in bit 0, status field above it: SC 8:1, SCT 11:9, CRD 13:12, M 14, DNR 15.
    pub status_and_phase: u16,
}

const _: () = assert!(size_of::<Completion>() == size_of::<spdk_sys::spdk_nvme_cpl>());
const _: () = assert!(align_of::<Completion>() == align_of::<spdk_sys::spdk_nvme_cpl>());

impl Completion {
    /// Status code type and code.
    pub const fn status(&self) -> Status {
        Status::new((self.status_and_phase >> 9) as u8 & 0x7, (self.status_and_phase >> 1) as u8)
    }

    /// Whether the command completed with success.
    pub const fn is_success(&self) -> bool {
        self.status().is_success()
    }

    /// The same completion with another status code type and code.
    pub(crate) const fn with_status(self, status: Status) -> Self {
        let others = self.status_and_phase & !0x0ffe;
        let field = (status.sct as u16 & 0x7) << 9 | (status.sc as u16) << 1;
        Completion { status_and_phase: others | field, ..self }
    }

    /// What stands for the completion of a command that was not answered in time: all bits set.
    pub(crate) const TIMED_OUT: Completion = Completion {
        cdw0: u32::MAX,
        cdw1: u32::MAX,
        sqhd: u16::MAX,
        sqid: u16::MAX,
        cid: u16::MAX,
        status_and_phase: u16::MAX,
    };

    /// Command Retry Delay (CRD): 0 for none, 1 to 3 for the time that Identify Controller has in CRDT1 to
    /// CRDT3, in units of 100 ms.
    pub const fn crd(&self) -> u8 {
        (self.status_and_phase >> 12) as u8 & 0x3
    }

    /// More: the error log has more about this.
    pub const fn more(&self) -> bool {
        self.status_and_phase & 1 << 14 != 0
    }

    /// Do not retry.
    pub const fn dnr(&self) -> bool {
        self.status_and_phase & 1 << 15 != 0
    }

    /// Phase tag.
    pub const fn phase(&self) -> bool {
        self.status_and_phase & 1 != 0
    }

    /// The entry as four dwords.
    pub const fn dwords(&self) -> [u32; 4] {
        [
            self.cdw0,
            self.cdw1,
            self.sqhd as u32 | (self.sqid as u32) << 16,
            self.cid as u32 | (self.status_and_phase as u32) << 16,
        ]
    }

    /// The entry from its bytes; zeros stand for what is missing, and more is ignored.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Completion::from_words(little_endian(bytes))
    }

    pub(crate) fn words(&self) -> [u64; 2] {
        let [a, b, c, d] = self.dwords().map(u64::from);
        [a | b << 32, c | d << 32]
    }

    pub(crate) fn from_words([low, high]: [u64; 2]) -> Self {
        Completion {
            cdw0: low as u32,
            cdw1: (low >> 32) as u32,
            sqhd: high as u16,
            sqid: (high >> 16) as u16,
            cid: (high >> 32) as u16,
            status_and_phase: (high >> 48) as u16,
        }
    }
}

fn little_endian<const N: usize>(bytes: &[u8]) -> [u64; N] {
    let mut words = [0; N];
    for (word, bytes) in words.iter_mut().zip(bytes.chunks(8)) {
        let mut whole = [0; 8];
        whole[..bytes.len()].copy_from_slice(bytes);
        *word = u64::from_le_bytes(whole);
    }
    words
}

/// `SUCCESS (00/00) sqid:1 cid:7 cdw0:0 sqhd:0008 p:1 m:0 dnr:0`
impl fmt::Display for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} sqid:{} cid:{} cdw0:{:x} sqhd:{:04x} p:{} m:{} dnr:{}",
            self.status(),
            self.sqid,
            self.cid,
            self.cdw0,
            self.sqhd,
            u8::from(self.phase()),
            u8::from(self.more()),
            u8::from(self.dnr())
        )
    }
}

impl fmt::Debug for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Completion({self})")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_command_lies_in_memory_as_the_specification_has_it() {
        let command =
            Command::range(0x02, 0x11223344, 0x0102_0304_0506_0708, 65536).flags(0x41).cdw15(0xdead_beef);
        let command = command.mptr(0x1716_1514_1312_1110).dptr([0x27, 0x2f]);
        let dwords = command.dwords();
        assert_eq!(dwords[0], 0x0000_4102);
        assert_eq!(dwords[1], 0x1122_3344);
        assert_eq!(dwords[4..10], [0x1312_1110, 0x1716_1514, 0x27, 0, 0x2f, 0]);
        assert_eq!((dwords[10], dwords[11]), (0x0506_0708, 0x0102_0304));
        assert_eq!(dwords[12], 0xffff);
        assert_eq!(dwords[15], 0xdead_beef);
    }

    #[test]
    fn log_page_lengths_use_both_halves() {
        let command = Command::get_log_page(0x70, 0, 1 << 33, 4 << 16);
        assert_eq!((command.cdw10, command.cdw11), (0xffff_0070, 0));
        assert_eq!((command.cdw12, command.cdw13), (0, 2));
        assert_eq!(Command::get_log_page(2, 0, 0, (4 << 16) + 4).cdw11, 1);
    }

    #[test]
    fn a_completion_prints_as_in_every_log() {
        let completion = Completion {
            cid: 3,
            sqid: 1,
            status_and_phase: 0x8000 | 2 << 9 | 0x81 << 1 | 1,
            ..Default::default()
        };
        assert_eq!(
            completion.to_string(),
            "UNRECOVERED READ ERROR (02/81) sqid:1 cid:3 cdw0:0 sqhd:0000 p:1 m:0 dnr:1"
        );
    }

    proptest! {
        #[test]
        fn entries_survive_the_way_through_words(words: [u64; 8], cpl: [u64; 2]) {
            prop_assert_eq!(Command::from_words(words).words(), words);
            prop_assert_eq!(Completion::from_words(cpl).words(), cpl);
        }

        #[test]
        fn entries_are_read_from_bytes(words: [u64; 8], cut in 0_usize..70) {
            let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_le_bytes()).chain([9; 6]).collect();
            prop_assert_eq!(Command::from_bytes(&bytes), Command::from_words(words));
            prop_assert_eq!(&Command::from_words(words).to_bytes()[..], &bytes[..64]);
            prop_assert_eq!(Completion::from_bytes(&bytes), Completion::from_words([words[0], words[1]]));
            let short = Command::from_bytes(&bytes[..cut]);
            prop_assert_eq!(short.opcode, if cut == 0 { 0 } else { words[0] as u8 });
        }

        #[test]
        fn a_range_reads_back(lba: u64, blocks in 1_u32..=65536) {
            let command = Command::read(1, lba, blocks);
            prop_assert_eq!((command.slba(), command.nlb()), (lba, blocks));
        }
    }
}
