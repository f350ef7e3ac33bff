//! The lists of capabilities in configuration space.
//!
//! The walks are functions of bytes, so that a device that lies about its lists can be imitated: they end whatever
//! the bytes are.

use super::{CONFIG_SIZE, EXTENDED_CONFIG_SIZE, Function};
use crate::error::Result;

/// Identifiers of capabilities (PCI Code and ID Assignment Specification, "Capability IDs").
pub mod capability_id {
    /// PCI Power Management Interface.
    pub const POWER_MANAGEMENT: u8 = 0x01;
    /// Message Signaled Interrupts.
    pub const MSI: u8 = 0x05;
    /// Vendor Specific.
    pub const VENDOR_SPECIFIC: u8 = 0x09;
    /// PCI Express.
    pub const PCI_EXPRESS: u8 = 0x10;
    /// MSI-X: message signaled interrupts with a table.
    pub const MSI_X: u8 = 0x11;
}

/// Identifiers of extended capabilities (PCI Code and ID Assignment Specification, "Extended Capability IDs").
pub mod extended_capability_id {
    /// Advanced Error Reporting (AER).
    pub const ADVANCED_ERROR_REPORTING: u16 = 0x0001;
    /// Device Serial Number.
    pub const DEVICE_SERIAL_NUMBER: u16 = 0x0003;
    /// Alternative Routing-ID Interpretation (ARI).
    pub const ALTERNATIVE_ROUTING_ID: u16 = 0x000e;
    /// Single Root I/O Virtualization (SR-IOV).
    pub const SINGLE_ROOT_IO_VIRTUALIZATION: u16 = 0x0010;
    /// Latency Tolerance Reporting (LTR).
    pub const LATENCY_TOLERANCE_REPORTING: u16 = 0x0018;
    /// Secondary PCI Express.
    pub const SECONDARY_PCI_EXPRESS: u16 = 0x0019;
    /// L1 PM Substates.
    pub const L1_PM_SUBSTATES: u16 = 0x001e;
}

/// An entry of the list of capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Capability {
    /// Capability ID.
    pub id: u8,
    /// Where it begins: a multiple of 4 from 0x40 on.
    pub offset: u8,
}

/// An entry of the list of extended capabilities.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExtendedCapability {
    /// PCI Express Extended Capability ID.
    pub id: u16,
    /// Capability Version, 4 bits.
    pub version: u8,
    /// Where it begins: a multiple of 4 from 0x100 on.
    pub offset: u16,
}

/// Status Register, bit 4: there is a list.
const STATUS: usize = 0x06;
const CAPABILITIES_LIST: u8 = 1 << 4;
/// Capabilities Pointer.
const POINTER: usize = 0x34;

/// Walks the list of capabilities (PCI Express Base Specification, "Capabilities Pointer"). It ends at a null
/// pointer, at one into the header, at an entry that reads as all ones, and where it would come around.
///
/// `config` is configuration space from its beginning; what is not there counts as zeros.
pub fn capabilities(config: &[u8]) -> Vec<Capability> {
    let byte = |offset: usize| config.get(offset).copied().unwrap_or(0);
    let mut found: Vec<Capability> = Vec::new();
    if byte(STATUS) & CAPABILITIES_LIST == 0 {
        return found;
    }
    let mut next = byte(POINTER);
    loop {
        // The lowest two bits are reserved, to be ignored.
        let offset = next & !0b11;
        let id = byte(offset.into());
        if offset < 0x40 || id == 0xff || found.iter().any(|earlier| earlier.offset == offset) {
            return found;
        }
        found.push(Capability { id, offset });
        next = byte(usize::from(offset) + 1);
    }
}

/// Walks the list of extended capabilities (PCI Express Base Specification, "PCI Express Extended Capability
/// Header"). It ends as [`capabilities`] does, and at an empty first header, which stands for no list.
///
/// `config` is configuration space from its beginning; what is not there counts as zeros.
pub fn extended_capabilities(config: &[u8]) -> Vec<ExtendedCapability> {
    let mut found: Vec<ExtendedCapability> = Vec::new();
    let mut offset = CONFIG_SIZE as u16;
    loop {
        let at = usize::from(offset);
        let header = match config.get(at..at + 4) {
            Some(&[a, b, c, d]) => u32::from_le_bytes([a, b, c, d]),
            _ => 0,
        };
        if header == 0 || header == u32::MAX || found.iter().any(|earlier| earlier.offset == offset) {
            return found;
        }
        found.push(ExtendedCapability { id: header as u16, version: (header >> 16 & 0xf) as u8, offset });
        offset = (header >> 20 & 0xffc) as u16;
        if usize::from(offset) < CONFIG_SIZE {
            return found;
        }
    }
}

impl Function {
    /// Its capabilities, in the order of the list.
    ///
    /// # Errors
    /// [`Error::Pci`](crate::Error::Pci) if the function is gone or does not answer, and without root.
    pub fn capabilities(&self) -> Result<Vec<Capability>> {
        Ok(capabilities(&self.answering(CONFIG_SIZE)?))
    }

    /// Where the first capability with an identifier begins; `None` if it has none.
    ///
    /// # Errors
    /// As [`capabilities`](Self::capabilities).
    pub fn capability(&self, id: u8) -> Result<Option<u8>> {
        Ok(self.capabilities()?.into_iter().find(|found| found.id == id).map(|found| found.offset))
    }

    /// Its extended capabilities, in the order of the list; none if it is no PCI Express function.
    ///
    /// # Errors
    /// As [`capabilities`](Self::capabilities).
    pub fn extended_capabilities(&self) -> Result<Vec<ExtendedCapability>> {
        if self.config_size()? < EXTENDED_CONFIG_SIZE {
            return Ok(Vec::new());
        }
        Ok(extended_capabilities(&self.answering(EXTENDED_CONFIG_SIZE)?))
    }

    /// Where the first extended capability with an identifier begins; `None` if it has none.
    ///
    /// # Errors
    /// As [`capabilities`](Self::capabilities).
    pub fn extended_capability(&self, id: u16) -> Result<Option<u16>> {
        Ok(self.extended_capabilities()?.into_iter().find(|found| found.id == id).map(|found| found.offset))
    }

    /// The first bytes of configuration space, of a function that is not all ones.
    pub(super) fn answering(&self, count: usize) -> Result<Vec<u8>> {
        let bytes = self.read(0, count)?;
        // No vendor has the ID FFFFh: it is what reads return that nobody answers.
        if bytes.starts_with(&[0xff, 0xff]) {
            return Err(self.error(
                "reading its capabilities",
                "it does not answer: its configuration space reads as all ones",
                "it was unplugged, has no power, or its link is down: bring it back and scan the bus, as root: \
                 echo 1 > /sys/bus/pci/rescan",
            ));
        }
        Ok(bytes)
    }

    /// Where a capability begins that is needed for something.
    pub(super) fn need(&self, id: u8, name: &str) -> Result<usize> {
        self.capability(id)?.map(usize::from).ok_or_else(|| {
            crate::Error::Unsupported(format!(
                "PCI function {self} has no {name} capability (ID {id:02x}h); see what it has with: lspci -vv -s {self}"
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::super::fake::Tree;
    use super::*;

    #[test]
    fn those_of_a_function() {
        let tree = Tree::new();
        let ssd = tree.ssd();
        // As QEMU's controller has them.
        assert_eq!(
            ssd.capabilities().unwrap(),
            [(0x11, 0x40), (0x10, 0x80), (0x01, 0x60)].map(|(id, offset)| Capability { id, offset })
        );
        assert_eq!(ssd.capability(0x10).unwrap(), Some(0x80));
        assert_eq!(ssd.capability(0x02).unwrap(), None);
        assert_eq!(
            ssd.extended_capabilities().unwrap(),
            [(1, 2, 0x100), (0xe, 1, 0x180)].map(|(id, version, offset)| ExtendedCapability {
                id,
                version,
                offset
            })
        );
        assert_eq!(ssd.extended_capability(0xe).unwrap(), Some(0x180));
        assert_eq!(ssd.extended_capability(0x1e).unwrap(), None);
        tree.cut_config(256);
        assert_eq!(ssd.extended_capabilities().unwrap(), []);
    }

    #[test]
    fn a_function_that_does_not_answer_has_no_list_to_be_trusted() {
        let tree = Tree::new();
        tree.set_config(0, &[0xff; 4096]);
        let error = tree.ssd().capability(1).unwrap_err().to_string();
        assert!(error.contains("does not answer") && error.contains("rescan"), "{error}");
    }

    #[test]
    fn without_the_status_bit_there_is_no_list() {
        let mut config = [0; 256];
        config[POINTER] = 0x40;
        config[0x40] = 1;
        assert_eq!(capabilities(&config), []);
        config[STATUS] = CAPABILITIES_LIST;
        assert_eq!(capabilities(&config), [Capability { id: 1, offset: 0x40 }]);
    }

    #[test]
    fn lists_that_come_around_end() {
        let mut config = [0; 4096];
        config[STATUS] = CAPABILITIES_LIST;
        config[POINTER] = 0x40;
        config[0x40..0x42].copy_from_slice(&[1, 0x50]);
        config[0x50..0x52].copy_from_slice(&[5, 0x41]);
        assert_eq!(capabilities(&config).len(), 2);
        config[0x100..0x104].copy_from_slice(&0x2001_0001_u32.to_le_bytes());
        config[0x200..0x204].copy_from_slice(&0x1001_0002_u32.to_le_bytes());
        assert_eq!(extended_capabilities(&config).len(), 2);
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_are_the_walk_ends(mut config in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Some(status) = config.get_mut(STATUS) {
                *status |= CAPABILITIES_LIST;
            }
            let found = capabilities(&config);
            let offsets: BTreeSet<_> = found.iter().map(|one| one.offset).collect();
            prop_assert_eq!(offsets.len(), found.len());
            prop_assert!(offsets.iter().all(|&offset| offset >= 0x40 && offset % 4 == 0));
            let found = extended_capabilities(&config);
            let offsets: BTreeSet<_> = found.iter().map(|one| one.offset).collect();
            prop_assert_eq!(offsets.len(), found.len());
            prop_assert!(offsets.iter().all(|&offset| offset >= 0x100 && offset % 4 == 0));
        }

        #[test]
        fn every_entry_of_a_list_is_found(
            places in proptest::sample::subsequence((16_u8..64).collect::<Vec<_>>(), 0..48).prop_shuffle(),
            ids in proptest::collection::vec(0_u8..0xff, 48),
            reserved in 0_u8..4,
        ) {
            let mut config = [0; 256];
            config[STATUS] = CAPABILITIES_LIST;
            let mut pointer = POINTER;
            let mut expected = Vec::new();
            for (place, id) in places.into_iter().zip(ids) {
                let offset = place * 4;
                config[pointer] = offset | reserved;
                config[usize::from(offset)] = id;
                expected.push(Capability { id, offset });
                pointer = usize::from(offset) + 1;
            }
            prop_assert_eq!(capabilities(&config), expected);
        }

        #[test]
        fn every_entry_of_an_extended_list_is_found(
            places in proptest::sample::subsequence((0x104_u16 / 4..0x400).collect::<Vec<_>>(), 0..60).prop_shuffle(),
            ids in proptest::collection::vec((1_u16..0xffff, 1_u8..16), 61),
        ) {
            let offsets: Vec<u16> = std::iter::once(0x100).chain(places.into_iter().map(|place| place * 4)).collect();
            let mut config = vec![0; 4096];
            let mut expected = Vec::new();
            for (index, (&offset, (id, version))) in offsets.iter().zip(ids).enumerate() {
                let next = offsets.get(index + 1).copied().unwrap_or(0);
                let header = u32::from(id) | u32::from(version) << 16 | u32::from(next) << 20;
                config[usize::from(offset)..][..4].copy_from_slice(&header.to_le_bytes());
                expected.push(ExtendedCapability { id, version, offset });
            }
            prop_assert_eq!(extended_capabilities(&config), expected);
        }
    }
}
