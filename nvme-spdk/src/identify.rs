//! What Identify returns.

use std::fmt;
use std::sync::Arc;

/// The Identify Controller data structure, CNS 01h (NVMe base specification, "Identify Controller Data
/// Structure").
#[derive(Clone, PartialEq, Eq)]
pub struct IdentifyController {
    bytes: Arc<[u8]>,
}

/// The Identify Namespace data structure of the NVM command set, CNS 00h.
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
        /// Optional Admin Command Support (OACS).
        oacs: u16 = 256,
        /// Asynchronous Event Request Limit (AERL), 0's based.
        aerl: u8 = 259,
        /// Submission Queue Entry Size (SQES).
        sqes: u8 = 512,
        /// Completion Queue Entry Size (CQES).
        cqes: u8 = 513,
        /// Maximum Outstanding Commands (MAXCMD), 0 if not reported.
        max_outstanding_commands: u16 = 514,
        /// Number of Namespaces (NN): the highest namespace identifier.
        number_of_namespaces: u32 = 516,
        /// Optional NVM Command Support (ONCS).
        oncs: u16 = 520,
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
        /// Number of LBA Formats (NLBAF), 0's based.
        number_of_formats: u8 = 25,
        /// Formatted LBA Size (FLBAS).
        flbas: u8 = 26,
    }

    /// The format the namespace has now.
    pub fn format(&self) -> LbaFormat {
        let flbas = self.flbas();
        // Bits 6:5 extend the index of namespaces with more than 16 formats.
        self.format_at(usize::from(flbas & 0xf | (flbas >> 5 & 0x3) << 4))
    }

    /// An entry of the LBA format table, 0 to 63.
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
    use super::*;

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
