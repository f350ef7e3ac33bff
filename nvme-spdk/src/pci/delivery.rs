//! Messages that interrupt nobody: a function writes them to memory, where a test looks whether they have come.

use super::bar::BarMemory;
use super::driver::VFIO;
use super::{BarOffset, Function, Message, MsixTable};
use crate::error::{Error, Result};
use crate::fork::forked;

/// What every message writes.
const MESSAGE: u16 = 1;

/// In an entry of the table (PCI Express Base Specification, "MSI-X Table Structure"): message address, its upper
/// half, message data, vector control with its mask bit.
const UPPER_ADDRESS: usize = 4;
const DATA: usize = 8;
const CONTROL: usize = 12;
const MASK: u32 = 1;

/// The messages of a function. Dropping them switches them off.
#[derive(Debug)]
pub(crate) struct Messages {
    function: Function,
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    MsiX {
        table: MsixTable,
        memory: BarMemory,
    },
    /// One, which all vectors share.
    Msi,
}

impl Messages {
    /// Those of MSI-X, or else of MSI.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the function has neither, or the kernel keeps them; those of
    /// [`Function::capabilities`] and of mapping the table.
    pub(crate) fn of(function: Function) -> Result<Self> {
        if function.driver().as_deref() == Some(VFIO) {
            return Err(Error::Unsupported(format!(
                "{VFIO} keeps the interrupts of {function} for the kernel; boot the kernel with iommu=pt and bind it to \
                 uio_pci_generic, as root: scripts/setup bind {function} --driver uio_pci_generic"
            )));
        }
        let kind = if let Some(table) = function.msix()?.map(|msix| msix.table()) {
            let place = BarOffset { bar: table.bar, offset: table.offset };
            let len = usize::from(table.entries) * MsixTable::ENTRY_SIZE;
            Kind::MsiX { table, memory: function.map_bar(place, len)? }
        } else if function.msi()?.is_some() {
            Kind::Msi
        } else {
            return Err(Error::Unsupported(format!("{function} has neither MSI-X nor MSI")));
        };
        Ok(Messages { function, kind })
    }

    /// How many there are.
    pub(crate) fn count(&self) -> u16 {
        match &self.kind {
            Kind::MsiX { table, .. } => table.entries,
            Kind::Msi => 1,
        }
    }

    /// Has every message write its data to the bus address of its number, from now on.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for an address that the function cannot reach, and those of [`Function::write`].
    pub(crate) fn start(&self, address: impl Fn(u16) -> u64) -> Result<()> {
        let Kind::MsiX { table, memory } = &self.kind else {
            self.function.program_msi(Message { address: address(0), data: MESSAGE }, 1)?;
            return self.function.set_msi(true);
        };
        for index in 0..table.entries {
            let (entry, address) = (place(index), address(index));
            memory.write(entry, address as u32);
            memory.write(entry + UPPER_ADDRESS, (address >> 32) as u32);
            memory.write(entry + DATA, MESSAGE.into());
            memory.write(entry + CONTROL, 0);
        }
        self.function.set_msix(true, false)
    }

    /// Masks one in the table of MSI-X, or lets it come if it has waited; false where there is no table.
    #[must_use]
    pub(crate) fn mask(&self, index: u16, mask: bool) -> bool {
        let Kind::MsiX { memory, .. } = &self.kind else { return false };
        memory.write(place(index) + CONTROL, if mask { MASK } else { 0 });
        true
    }
}

impl Drop for Messages {
    fn drop(&mut self) {
        if forked() {
            return;
        }
        // A function that is gone sends none.
        let _ = match &self.kind {
            Kind::MsiX { .. } => self.function.set_msix(false, false),
            Kind::Msi => self.function.set_msi(false),
        };
    }
}

/// Where an entry is in the table.
fn place(index: u16) -> usize {
    usize::from(index) * MsixTable::ENTRY_SIZE
}

#[cfg(test)]
mod tests {
    use super::super::fake::{MSIX, Tree};
    use super::*;

    /// Of 64 bits.
    fn address(index: u16) -> u64 {
        0x12_0000_1000 + u64::from(index) * 4
    }

    fn entry(tree: &Tree, bar: u8, at: usize) -> Vec<u32> {
        let memory = tree.bar(bar);
        let words = memory[at..at + MsixTable::ENTRY_SIZE].chunks(4);
        words.map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect()
    }

    #[test]
    fn a_table_is_where_the_capability_says() {
        for (register, bar, offset) in [(0x2000_u32, 0, 0x2000), (0x4, 4, 0), (0x1_0c82, 2, 0x1_0c80)] {
            let tree = Tree::new();
            tree.set_config(MSIX + 4, &register.to_le_bytes());
            tree.set_bar(bar, 0x2_0000);
            let messages = Messages::of(tree.ssd()).unwrap();
            assert_eq!(messages.count(), 65);
            messages.start(address).unwrap();
            for index in [0, 1, 64] {
                let at = offset + place(index);
                assert_eq!(entry(&tree, bar, at), [0x1000 + u32::from(index) * 4, 0x12, 1, 0]);
            }
            // Nothing else is written.
            let written = tree.bar(bar).iter().filter(|byte| **byte != 0).count();
            assert!(tree.bar(bar)[..offset].iter().all(|byte| *byte == 0));
            assert!(written <= 65 * 4, "{written}");
            assert!(tree.ssd().msix().unwrap().unwrap().is_enabled());

            assert!(messages.mask(3, true));
            assert_eq!(entry(&tree, bar, offset + place(3))[3], 1);
            assert_eq!(entry(&tree, bar, offset + place(4))[3], 0);
            assert!(messages.mask(3, false));
            assert_eq!(entry(&tree, bar, offset + place(3))[3], 0);

            drop(messages);
            assert!(!tree.ssd().msix().unwrap().unwrap().is_enabled());
        }
    }

    #[test]
    fn a_table_that_is_not_there() {
        let tree = Tree::new();
        let error = Messages::of(tree.ssd()).unwrap_err().to_string();
        assert!(error.contains("mapping the memory of its BAR 0"), "{error}");
        // One byte less than the table has.
        tree.set_bar(0, 0x2000 + 65 * 16 - 1);
        let error = Messages::of(tree.ssd()).unwrap_err().to_string();
        assert!(error.contains("1040 bytes at 0x2000 end behind its 0x240f bytes"), "{error}");
        tree.set_bar(0, 0x2000 + 65 * 16);
        Messages::of(tree.ssd()).unwrap();
    }

    #[test]
    fn msi_where_there_is_no_msix() {
        // 64-bit, asks for 8 messages.
        let tree = Tree::with_msi(0b1000_0110);
        let ssd = tree.ssd();
        let messages = Messages::of(ssd.clone()).unwrap();
        assert_eq!(messages.count(), 1);
        messages.start(address).unwrap();
        let msi = ssd.msi().unwrap().unwrap();
        assert!(msi.is_enabled());
        // All vectors share the one it is granted.
        assert_eq!(msi.granted(), 1);
        assert_eq!((ssd.register(0x54, 8).unwrap(), ssd.register(0x5c, 2).unwrap()), (0x12_0000_1000, 1));
        assert!(!messages.mask(0, true));
        drop(messages);
        assert!(!ssd.msi().unwrap().unwrap().is_enabled());
    }

    #[test]
    fn msi_that_does_not_reach_the_memory() {
        let tree = Tree::with_msi(0);
        let messages = Messages::of(tree.ssd()).unwrap();
        let error = messages.start(address).unwrap_err();
        assert!(
            matches!(error, Error::InvalidArgument(_)) && error.to_string().contains("32 bits"),
            "{error}"
        );
        assert!(!tree.ssd().msi().unwrap().unwrap().is_enabled());
        messages.start(|_| 0x7fff_f000).unwrap();
        assert_eq!(tree.ssd().register(0x54, 4).unwrap(), 0x7fff_f000);
    }

    #[test]
    fn without_either() {
        let tree = Tree::new();
        tree.set_config(0x34, &[0]);
        let error = Messages::of(tree.ssd()).unwrap_err();
        assert!(matches!(error, Error::Unsupported(_)), "{error}");
        assert!(error.to_string().contains("0000:01:00.0 has neither MSI-X nor MSI"), "{error}");
    }

    #[test]
    fn vfio_keeps_them() {
        let tree = Tree::with_kernel();
        tree.group(7, "DMA", &["0000:01:00.0"]);
        tree.set_bar(0, 0x4000);
        tree.ssd().bind("vfio-pci").unwrap();
        let error = Messages::of(tree.ssd()).unwrap_err();
        assert!(matches!(error, Error::Unsupported(_)), "{error}");
        let text = error.to_string();
        assert!(text.contains("scripts/setup bind 0000:01:00.0 --driver uio_pci_generic"), "{text}");
        assert!(!tree.ssd().msix().unwrap().unwrap().is_enabled());
    }
}
