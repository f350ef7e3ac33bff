//! What Identify returns.

use std::fmt;
use std::sync::Arc;

/// The Identify Controller data structure, CNS 01h (NVMe base specification, "Identify Controller Data
/// Structure").
#[derive(Clone, PartialEq, Eq)]
pub struct IdentifyController {
    bytes: Arc<[u8]>,
}

/// The Identify Namespace data structure of the NVM command set, CNS 00h (NVM command set specification,
/// "Identify Namespace Data Structure").
#[derive(Clone, PartialEq, Eq)]
pub struct IdentifyNamespace {
    bytes: Arc<[u8]>,
}

/// How blocks of a namespace look: one entry of its LBA format table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct LbaFormat {
    /// Bytes of data per block.
    pub data_size: u32,
    /// Bytes of metadata per block.
    pub metadata_size: u16,
    /// 0 best to 3 degraded.
    pub relative_performance: u8,
}

/// What every Identify data structure takes.
pub const IDENTIFY_SIZE: usize = 4096;

macro_rules! integers {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $offset:literal),* $(,)?) => {
        $(
            $(#[$doc])*
            pub fn $name(&self) -> $type {
                let mut field = [0; size_of::<$type>()];
                field.copy_from_slice(&self.bytes[$offset..$offset + size_of::<$type>()]);
                <$type>::from_le_bytes(field)
            }
        )*
    };
}

impl IdentifyController {
    /// Reads the structure from the bytes of the Identify command's buffer.
    ///
    /// # Panics
    /// If there are fewer than 4096.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        IdentifyController { bytes: bytes[..IDENTIFY_SIZE].into() }
    }

    /// All 4096 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Serial Number (SN).
    pub fn serial_number(&self) -> String {
        self.text(4, 20)
    }

    /// Model Number (MN).
    pub fn model_number(&self) -> String {
        self.text(24, 40)
    }

    /// Firmware Revision (FR).
    pub fn firmware_revision(&self) -> String {
        self.text(64, 8)
    }

    /// NVM Subsystem NVMe Qualified Name (SUBNQN).
    pub fn subnqn(&self) -> String {
        self.text(768, 256)
    }

    integers! {
        /// PCI Vendor ID (VID).
        vendor_id: u16 = 0,
        /// PCI Subsystem Vendor ID (SSVID).
        subsystem_vendor_id: u16 = 2,
        /// Maximum Data Transfer Size (MDTS): a power of two of the minimum memory page size, 0 for no limit.
        mdts: u8 = 77,
        /// Controller ID (CNTLID).
        controller_id: u16 = 78,
        /// Version (VER): major in bits 31:16, minor 15:8, tertiary 7:0.
        version: u32 = 80,
        /// RTD3 Resume Latency (RTD3R), in microseconds, 0 if not reported.
        rtd3_resume_latency: u32 = 84,
        /// RTD3 Entry Latency (RTD3E), in microseconds, 0 if not reported.
        rtd3_entry_latency: u32 = 88,
        /// Optional Asynchronous Events Supported (OAES).
        oaes: u32 = 92,
        /// Controller Attributes (CTRATT).
        ctratt: u32 = 96,
        /// Controller Type (CNTRLTYPE): 1 I/O, 2 discovery, 3 administrative, 0 if not reported.
        controller_type: u8 = 111,
        /// Optional Admin Command Support (OACS).
        oacs: u16 = 256,
        /// Abort Command Limit (ACL), 0's based.
        abort_limit: u8 = 258,
        /// Asynchronous Event Request Limit (AERL), 0's based.
        aerl: u8 = 259,
        /// Log Page Attributes (LPA).
        lpa: u8 = 261,
        /// Error Log Page Entries (ELPE), 0's based.
        error_log_entries: u8 = 262,
        /// Number of Power States Support (NPSS), 0's based.
        power_states: u8 = 263,
        /// Warning Composite Temperature Threshold (WCTEMP), in kelvins, 0 if not reported.
        warning_temperature: u16 = 266,
        /// Critical Composite Temperature Threshold (CCTEMP), in kelvins, 0 if not reported.
        critical_temperature: u16 = 268,
        /// Total NVM Capacity (TNVMCAP), in bytes.
        total_capacity: u128 = 280,
        /// Unallocated NVM Capacity (UNVMCAP), in bytes.
        unallocated_capacity: u128 = 296,
        /// Extended Device Self-test Time (EDSTT), in minutes.
        extended_self_test_minutes: u16 = 316,
        /// Keep Alive Support (KAS): the granularity of the timeout, in units of 100 ms, 0 if there is none.
        keep_alive_granularity: u16 = 320,
        /// Sanitize Capabilities (SANICAP).
        sanitize_capabilities: u32 = 328,
        /// Submission Queue Entry Size (SQES): the smallest in bits 3:0, the largest in bits 7:4, both as
        /// powers of two in bytes. 6, for 64 bytes, is what there is.
        sqes: u8 = 512,
        /// Completion Queue Entry Size (CQES): the smallest in bits 3:0, the largest in bits 7:4, both as
        /// powers of two in bytes. 4, for 16 bytes, is what there is.
        cqes: u8 = 513,
        /// Maximum Outstanding Commands (MAXCMD), 0 if not reported.
        max_outstanding_commands: u16 = 514,
        /// Number of Namespaces (NN): the highest namespace identifier.
        number_of_namespaces: u32 = 516,
        /// Optional NVM Command Support (ONCS).
        oncs: u16 = 520,
        /// Atomic Write Unit Normal (AWUN), in logical blocks, 0's based.
        atomic_write_blocks: u16 = 526,
        /// Atomic Write Unit Power Fail (AWUPF), in logical blocks, 0's based.
        atomic_write_blocks_power_fail: u16 = 528,
    }

    /// Firmware Updates (FRMW): the number of firmware slots, 1 to 7.
    pub fn firmware_slots(&self) -> u8 {
        self.bytes[260] >> 1 & 0x7
    }

    /// Volatile Write Cache (VWC): whether there is one.
    pub fn has_volatile_write_cache(&self) -> bool {
        self.bytes[525] & 1 != 0
    }

    /// ASCII fields are padded with spaces; anything else in them is shown as it can be.
    fn text(&self, offset: usize, len: usize) -> String {
        let bytes = &self.bytes[offset..offset + len];
        let end = bytes.iter().position(|&b| b == 0).unwrap_or(len);
        String::from_utf8_lossy(&bytes[..end]).trim().to_owned()
    }
}

impl IdentifyNamespace {
    /// Reads the structure from the bytes of the Identify command's buffer.
    ///
    /// # Panics
    /// If there are fewer than 4096.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        IdentifyNamespace { bytes: bytes[..IDENTIFY_SIZE].into() }
    }

    /// All 4096 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    integers! {
        /// Namespace Size (NSZE), in logical blocks; 0 for a namespace that is not active.
        size: u64 = 0,
        /// Namespace Capacity (NCAP), in logical blocks.
        capacity: u64 = 8,
        /// Namespace Utilization (NUSE), in logical blocks.
        utilization: u64 = 16,
        /// Namespace Features (NSFEAT).
        features: u8 = 24,
        /// Number of LBA Formats (NLBAF), 0's based.
        number_of_formats: u8 = 25,
        /// Formatted LBA Size (FLBAS).
        flbas: u8 = 26,
        /// Metadata Capabilities (MC).
        metadata_capabilities: u8 = 27,
        /// End-to-end Data Protection Capabilities (DPC).
        protection_capabilities: u8 = 28,
        /// Reservation Capabilities (RESCAP).
        reservation_capabilities: u8 = 31,
        /// Namespace Optimal I/O Boundary (NOIOB), in logical blocks, 0 if not reported.
        optimal_io_boundary: u16 = 46,
        /// NVM Capacity (NVMCAP), in bytes, 0 if not reported.
        nvm_capacity: u128 = 48,
        /// Namespace Preferred Write Granularity (NPWG), in logical blocks, 0's based. It means something if
        /// bit 4 of [`features`](Self::features) (OPTPERF of NSFEAT) is set.
        preferred_write_granularity: u16 = 64,
        /// Maximum Single Source Range Length (MSSRL) of Copy, in logical blocks.
        max_copy_range: u16 = 74,
        /// Maximum Copy Length (MCL), in logical blocks.
        max_copy_length: u32 = 76,
    }

    /// End-to-end Data Protection Type Settings (DPS): 0 for none, or type 1 to 3.
    pub fn protection_type(&self) -> u8 {
        self.bytes[29] & 0x7
    }

    /// Namespace Globally Unique Identifier (NGUID), if there is one.
    pub fn nguid(&self) -> Option<[u8; 16]> {
        Some(std::array::from_fn(|at| self.bytes[104 + at])).filter(|nguid| *nguid != [0; 16])
    }

    /// IEEE Extended Unique Identifier (EUI64), if there is one.
    pub fn eui64(&self) -> Option<[u8; 8]> {
        Some(std::array::from_fn(|at| self.bytes[120 + at])).filter(|eui64| *eui64 != [0; 8])
    }

    /// The format the namespace has now.
    pub fn format(&self) -> LbaFormat {
        let flbas = self.flbas();
        // Bits 6:5 extend the index of namespaces with more than 16 formats.
        self.format_at(usize::from(flbas & 0xf | (flbas >> 5 & 0x3) << 4))
    }

    /// An entry of the LBA format table, 0 to 63; of a larger index the lowest 6 bits count. Entries behind
    /// [`number_of_formats`](Self::number_of_formats) are no formats.
    pub fn format_at(&self, index: usize) -> LbaFormat {
        let entry = &self.bytes[128 + 4 * (index & 0x3f)..][..4];
        LbaFormat {
            data_size: 1_u32.checked_shl(u32::from(entry[2])).unwrap_or(0),
            metadata_size: u16::from_le_bytes([entry[0], entry[1]]),
            relative_performance: entry[3] & 0x3,
        }
    }

    /// The lowest index of an LBA format with so many bytes of data and metadata per block.
    pub fn find_format(&self, data_size: u32, metadata_size: u16) -> Option<u8> {
        let formats = 0..=self.number_of_formats().min(63);
        formats.into_iter().find(|&index| {
            let format = self.format_at(index.into());
            (format.data_size, format.metadata_size) == (data_size, metadata_size)
        })
    }

    /// Whether metadata travels at the end of each block's data instead of in a buffer of its own.
    pub fn extended_lba(&self) -> bool {
        self.flbas() & 1 << 4 != 0
    }
}

impl fmt::Debug for IdentifyController {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentifyController")
            .field("model_number", &self.model_number())
            .field("serial_number", &self.serial_number())
            .field("firmware_revision", &self.firmware_revision())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for IdentifyNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IdentifyNamespace")
            .field("size", &self.size())
            .field("format", &self.format())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decode;

    proptest! {
        /// The decoder has tables of its own.
        #[test]
        fn fields_are_where_the_decoder_finds_them(bytes in prop::collection::vec(any::<u8>(), IDENTIFY_SIZE)) {
            let (it, decoded) = (IdentifyController::from_bytes(&bytes), decode::identify(0x01, &bytes));
            for (name, number) in [
                ("VID", it.vendor_id().into()),
                ("MDTS", it.mdts().into()),
                ("CNTLID", it.controller_id().into()),
                ("VER", it.version().into()),
                ("RTD3R", it.rtd3_resume_latency().into()),
                ("RTD3E", it.rtd3_entry_latency().into()),
                ("OAES", it.oaes().into()),
                ("CTRATT", it.ctratt().into()),
                ("CNTRLTYPE", it.controller_type().into()),
                ("OACS", it.oacs().into()),
                ("ACL", it.abort_limit().into()),
                ("AERL", it.aerl().into()),
                ("FRMW", it.firmware_slots().into()),
                ("LPA", it.lpa().into()),
                ("ELPE", it.error_log_entries().into()),
                ("NPSS", it.power_states().into()),
                ("WCTEMP", it.warning_temperature().into()),
                ("CCTEMP", it.critical_temperature().into()),
                ("TNVMCAP", it.total_capacity()),
                ("UNVMCAP", it.unallocated_capacity()),
                ("EDSTT", it.extended_self_test_minutes().into()),
                ("KAS", it.keep_alive_granularity().into()),
                ("SANICAP", it.sanitize_capabilities().into()),
                ("MAXCMD", it.max_outstanding_commands().into()),
                ("NN", it.number_of_namespaces().into()),
                ("ONCS", it.oncs().into()),
                ("AWUN", it.atomic_write_blocks().into()),
                ("AWUPF", it.atomic_write_blocks_power_fail().into()),
            ] {
                prop_assert_eq!(decoded.number(name), Some(number), "{}", name);
            }
            let (it, decoded) = (IdentifyNamespace::from_bytes(&bytes), decode::identify(0x00, &bytes));
            for (name, number) in [
                ("NSZE", it.size().into()),
                ("NCAP", it.capacity().into()),
                ("NUSE", it.utilization().into()),
                ("NSFEAT", it.features().into()),
                ("NLBAF", it.number_of_formats().into()),
                ("MC", it.metadata_capabilities().into()),
                ("DPC", it.protection_capabilities().into()),
                ("DPS", it.protection_type().into()),
                ("RESCAP", it.reservation_capabilities().into()),
                ("NOIOB", it.optimal_io_boundary().into()),
                ("NVMCAP", it.nvm_capacity()),
                ("NPWG", it.preferred_write_granularity().into()),
                ("MSSRL", it.max_copy_range().into()),
                ("MCL", it.max_copy_length().into()),
            ] {
                prop_assert_eq!(decoded.number(name), Some(number), "{}", name);
            }
            prop_assert_eq!(it.nguid().unwrap().to_vec(), bytes[104..120].to_vec());
            prop_assert_eq!(it.eui64().unwrap().to_vec(), bytes[120..128].to_vec());
        }
    }

    #[test]
    fn controller_fields() {
        let mut bytes = vec![0; IDENTIFY_SIZE];
        bytes[0..2].copy_from_slice(&0x1e95_u16.to_le_bytes());
        bytes[4..24].copy_from_slice(b"S123                ");
        bytes[24..64].copy_from_slice(format!("{:40}", "A model").as_bytes());
        bytes[77] = 5;
        bytes[516..520].copy_from_slice(&3_u32.to_le_bytes());
        let identify = IdentifyController::from_bytes(&bytes);
        assert_eq!(identify.vendor_id(), 0x1e95);
        assert_eq!(identify.serial_number(), "S123");
        assert_eq!(identify.model_number(), "A model");
        assert_eq!((identify.mdts(), identify.number_of_namespaces()), (5, 3));
    }

    #[test]
    fn namespace_formats() {
        let mut bytes = vec![0; IDENTIFY_SIZE];
        bytes[0..8].copy_from_slice(&1000_u64.to_le_bytes());
        bytes[26] = 1;
        bytes[128..132].copy_from_slice(&[0, 0, 9, 0]);
        bytes[132..136].copy_from_slice(&[8, 0, 12, 2]);
        let identify = IdentifyNamespace::from_bytes(&bytes);
        assert_eq!(
            identify.format(),
            LbaFormat { data_size: 4096, metadata_size: 8, relative_performance: 2 }
        );
        assert_eq!(identify.format_at(0).data_size, 512);
        assert!(!identify.extended_lba());
    }
}
