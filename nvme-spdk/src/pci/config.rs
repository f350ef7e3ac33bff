//! Configuration space (PCI Express Base Specification, "PCI Express Configuration Space").

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;

use super::Function;
use crate::error::{Error, Result};

/// Bytes of the configuration space every function has (PCI Express Base Specification, "PCI-Compatible
/// Configuration Registers").
pub const CONFIG_SIZE: usize = 256;

/// Bytes of the configuration space of a PCI Express function (PCI Express Base Specification, "PCI Express
/// Extended Configuration Space").
pub const EXTENDED_CONFIG_SIZE: usize = 4096;

/// How far the kernel lets everybody read: the header.
const HEADER_SIZE: usize = 64;

impl Function {
    /// Bytes of its configuration space: 256, or 4096 for PCI Express.
    ///
    /// # Errors
    /// [`Error::Pci`] if the function is gone.
    pub fn config_size(&self) -> Result<usize> {
        let found = std::fs::metadata(self.path("config")).map_err(|e| self.failed(READING, e))?;
        Ok(if found.len() > CONFIG_SIZE as u64 { EXTENDED_CONFIG_SIZE } else { CONFIG_SIZE })
    }

    /// Reads bytes of configuration space, from `offset` on, in one access as far as alignment allows. A function
    /// that does not answer reads as all ones.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] beyond [`config_size`](Self::config_size); [`Error::Pci`] if the function is
    /// gone, or beyond the first 64 bytes without root.
    pub fn read(&self, offset: usize, count: usize) -> Result<Vec<u8>> {
        self.within(offset, count)?;
        let file = File::open(self.path("config")).map_err(|e| self.failed(READING, e))?;
        let mut bytes = vec![0; count];
        let mut done = 0;
        while done < count {
            match file.read_at(&mut bytes[done..], (offset + done) as u64) {
                Ok(0) => return Err(self.cut_off(offset + done)),
                Ok(some) => done += some,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.failed(READING, e)),
            }
        }
        Ok(bytes)
    }

    /// Writes bytes of configuration space, from `offset` on, in one access as far as alignment allows. What
    /// is read-only stays as it is, silently. What that does to the machine is up to the caller: see [what a
    /// device does with memory](crate::guide#what-a-device-does-with-memory).
    ///
    /// # Errors
    /// As [`read`](Self::read); always without root.
    pub fn write(&self, offset: usize, bytes: &[u8]) -> Result<()> {
        self.within(offset, bytes.len())?;
        let file = OpenOptions::new().write(true).open(self.path("config"));
        file.and_then(|file| file.write_all_at(bytes, offset as u64)).map_err(|e| self.failed(WRITING, e))
    }

    /// Reads one byte.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_byte(&self, offset: usize) -> Result<u8> {
        self.read(offset, 1).map(|bytes| bytes[0])
    }

    /// Writes one byte.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn write_byte(&self, offset: usize, value: u8) -> Result<()> {
        self.write(offset, &[value])
    }

    /// Reads a register of 1 to 8 bytes, little endian.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for another number of bytes; as [`read`](Self::read).
    pub fn register(&self, offset: usize, count: usize) -> Result<u64> {
        if !(1..=8).contains(&count) {
            // As the original of the Python module spells it.
            return Err(Error::InvalidArgument(format!(
                "support uptp 8-byte PCIe register access, not {count} bytes: read 1 to 8 at a time"
            )));
        }
        let mut bytes = [0; 8];
        bytes[..count].copy_from_slice(&self.read(offset, count)?);
        Ok(u64::from_le_bytes(bytes))
    }

    /// Changes the lowest two bits of a byte, and leaves the others as they are.
    pub(super) fn set_low_bits(&self, offset: usize, value: u8) -> Result<()> {
        let byte = self.read_byte(offset)?;
        self.write_byte(offset, byte & !0b11 | value)
    }

    fn within(&self, offset: usize, count: usize) -> Result<()> {
        let size = self.config_size()?;
        if offset.checked_add(count).is_some_and(|end| end <= size) {
            return Ok(());
        }
        Err(Error::InvalidArgument(format!(
            "the configuration space of PCI function {self} has {size} bytes; {count} from {offset:#x} on are not in it"
        )))
    }

    /// The kernel ended a read early.
    fn cut_off(&self, at: usize) -> Error {
        if at == HEADER_SIZE {
            return self.error(
                READING,
                format!("the kernel shows only the first {HEADER_SIZE} bytes to unprivileged users"),
                "run as root",
            );
        }
        self.error(READING, format!("it ends at {at:#x}"), "see the kernel's log: dmesg")
    }
}

const READING: &str = "reading its configuration space";
const WRITING: &str = "writing its configuration space";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fake::Tree;
    use super::*;

    #[test]
    fn bytes_and_registers() {
        let tree = Tree::new();
        let ssd = tree.ssd();
        assert_eq!(ssd.config_size().unwrap(), 4096);
        assert_eq!(ssd.read(9, 3).unwrap(), [2, 8, 1]);
        assert_eq!(ssd.register(0, 2).unwrap(), u64::from(ssd.vendor_id().unwrap()));
        assert_eq!(ssd.register(2, 2).unwrap(), u64::from(ssd.device_id().unwrap()));
        ssd.write_byte(4095, 0xa5).unwrap();
        assert_eq!(ssd.read_byte(4095).unwrap(), 0xa5);
        ssd.write(0x200, &[1, 2, 3, 4, 5, 6, 7, 8]).unwrap();
        assert_eq!(ssd.register(0x200, 8).unwrap(), 0x0807_0605_0403_0201);
        assert_eq!(ssd.register(0x201, 3).unwrap(), 0x04_0302);
    }

    #[test]
    fn outside_is_refused_and_nothing_is_written() {
        let tree = Tree::new();
        let ssd = tree.ssd();
        for (offset, count) in [(4096, 1), (4095, 2), (usize::MAX, 2), (0, 4097)] {
            let error = ssd.read(offset, count).unwrap_err();
            assert!(matches!(error, Error::InvalidArgument(_)), "{error}");
        }
        assert!(ssd.write(4095, &[1, 2]).is_err());
        assert_eq!(ssd.read_byte(4095).unwrap(), 0);
        assert_eq!(std::fs::metadata(ssd.path("config")).unwrap().len(), 4096);
        for count in [0, 9] {
            let error = ssd.register(0, count).unwrap_err().to_string();
            assert!(error.starts_with("support uptp 8-byte PCIe register access"), "{error}");
        }
    }

    #[test]
    fn a_conventional_function_has_256_bytes() {
        let tree = Tree::new();
        tree.cut_config(256);
        let ssd = tree.ssd();
        assert_eq!(ssd.config_size().unwrap(), 256);
        assert!(matches!(ssd.read_byte(256), Err(Error::InvalidArgument(_))));
    }

    #[test]
    fn unprivileged_reads_stop_behind_the_header() {
        let tree = Tree::new();
        tree.cut_config(64);
        let ssd = tree.ssd();
        assert_eq!(ssd.read(60, 4).unwrap().len(), 4);
        for (offset, count) in [(64, 1), (60, 8), (0, 256)] {
            let error = ssd.read(offset, count).unwrap_err().to_string();
            assert!(error.contains("first 64 bytes") && error.ends_with("run as root"), "{error}");
        }
    }

    #[test]
    fn a_function_that_is_gone_says_so() {
        let tree = Tree::new();
        let ssd = tree.ssd();
        tree.take_away();
        let error = ssd.read_byte(0).unwrap_err().to_string();
        assert!(error.contains("0000:01:00.0") && error.contains("no such PCI function"), "{error}");
        assert!(error.contains("/sys/bus/pci/rescan"), "{error}");
        assert!(ssd.write_byte(0, 0).is_err() && !ssd.exists());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(offset in 0_usize..4096, bytes in proptest::collection::vec(any::<u8>(), 1..9)) {
            let tree = Tree::new();
            let ssd = tree.ssd();
            let fits = offset + bytes.len() <= 4096;
            prop_assert_eq!(ssd.write(offset, &bytes).is_ok(), fits);
            if fits {
                let mut number = [0; 8];
                number[..bytes.len()].copy_from_slice(&bytes);
                prop_assert_eq!(ssd.register(offset, bytes.len()).unwrap(), u64::from_le_bytes(number));
            }
        }
    }
}
