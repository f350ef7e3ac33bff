//! Message signalled interrupts: the capabilities MSI and MSI-X.
//!
//! Their layouts are read from the bytes of configuration space, so that they can be tested without a device. A
//! function may not have both enabled at once.

use super::{Function, capability_id};
use crate::error::{Error, Result};

/// Message Control of both capabilities.
const CONTROL: usize = 2;

/// A place in the memory of a Base Address Register.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BarOffset {
    /// BAR Indicator Register (BIR): which Base Address Register, 0 to 5.
    pub bar: u8,
    /// Bytes from the beginning of its memory, a multiple of 8.
    pub offset: u32,
}

/// Where the MSI-X table is: entries of 16 bytes each (PCI Express Base Specification, "MSI-X Table Structure").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct MsixTable {
    /// Which Base Address Register, 0 to 5.
    pub bar: u8,
    /// Bytes from the beginning of its memory, a multiple of 8.
    pub offset: u32,
    /// How many entries there are, 1 to 2048.
    pub entries: u16,
}

/// The MSI-X capability (PCI Express Base Specification, "MSI-X Capability and Table Structure").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MsiX {
    offset: u8,
    control: u16,
    table: u32,
    pending: u32,
}

/// The MSI capability (PCI Express Base Specification, "MSI Capability Structure").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Msi {
    offset: u8,
    control: u16,
}

/// What a function writes to memory to interrupt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Message {
    /// Where to, a multiple of 4.
    pub address: u64,
    /// What; of several messages the lowest bits tell which it is.
    pub data: u16,
}

impl Message {
    /// One that writes `data` to `address`.
    pub const fn new(address: u64, data: u16) -> Self {
        Message { address, data }
    }
}

fn field<const N: usize>(config: &[u8], at: usize) -> Option<[u8; N]> {
    config.get(at..at + N)?.try_into().ok()
}

fn place(register: u32) -> BarOffset {
    BarOffset { bar: (register & 0b111) as u8, offset: register & !0b111 }
}

impl MsixTable {
    /// Bytes of an entry: message address, upper address, data, vector control.
    pub const ENTRY_SIZE: usize = 16;

    /// Bytes from the beginning of the BAR's memory to an entry.
    pub fn entry(&self, index: u16) -> Option<u64> {
        (index < self.entries).then(|| u64::from(self.offset) + u64::from(index) * Self::ENTRY_SIZE as u64)
    }
}

impl MsiX {
    const ENABLE: u16 = 1 << 15;
    const FUNCTION_MASK: u16 = 1 << 14;
    const TABLE_SIZE: u16 = 0x7ff;

    /// Reads the capability that begins at `offset` of configuration space; `None` if the bytes end before it does.
    pub fn parse(config: &[u8], offset: u8) -> Option<Self> {
        let at = usize::from(offset);
        Some(MsiX {
            offset,
            control: u16::from_le_bytes(field(config, at + CONTROL)?),
            table: u32::from_le_bytes(field(config, at + 4)?),
            pending: u32::from_le_bytes(field(config, at + 8)?),
        })
    }

    /// Where the capability begins.
    pub fn offset(&self) -> u8 {
        self.offset
    }

    /// How many messages the function has, 1 to 2048.
    pub fn entries(&self) -> u16 {
        (self.control & Self::TABLE_SIZE) + 1
    }

    /// Where its table is.
    pub fn table(&self) -> MsixTable {
        let BarOffset { bar, offset } = place(self.table);
        MsixTable { bar, offset, entries: self.entries() }
    }

    /// Where its Pending Bit Array is: one bit per entry.
    pub fn pending_bits(&self) -> BarOffset {
        place(self.pending)
    }

    /// MSI-X Enable.
    pub fn is_enabled(&self) -> bool {
        self.control & Self::ENABLE != 0
    }

    /// Function Mask: no message is sent whatever the masks of the entries are.
    pub fn is_masked(&self) -> bool {
        self.control & Self::FUNCTION_MASK != 0
    }

    /// Message Control with other flags.
    fn with(&self, enable: bool, mask: bool) -> u16 {
        let kept = self.control & !(Self::ENABLE | Self::FUNCTION_MASK);
        kept | if enable { Self::ENABLE } else { 0 } | if mask { Self::FUNCTION_MASK } else { 0 }
    }
}

impl Msi {
    const ENABLE: u16 = 1;
    const MULTIPLE_ENABLE: u16 = 0b111 << 4;
    const ADDRESS_64: u16 = 1 << 7;
    const PER_VECTOR_MASKING: u16 = 1 << 8;

    /// Reads the capability that begins at `offset` of configuration space; `None` if the bytes end before it does.
    pub fn parse(config: &[u8], offset: u8) -> Option<Self> {
        let msi = Msi { offset, control: u16::from_le_bytes(field(config, usize::from(offset) + CONTROL)?) };
        (usize::from(offset) + msi.size() <= config.len()).then_some(msi)
    }

    /// Where the capability begins.
    pub fn offset(&self) -> u8 {
        self.offset
    }

    /// Bytes of the capability: 10, 14, 20 or 24.
    pub fn size(&self) -> usize {
        let data = if self.is_64bit() { 0xe } else { 0xa };
        if self.has_masks() { data + 10 } else { data }
    }

    /// MSI Enable.
    pub fn is_enabled(&self) -> bool {
        self.control & Self::ENABLE != 0
    }

    /// Multiple Message Capable: how many messages the function asks for, 1 to 32. The encodings above 32 are
    /// reserved and count as 32.
    pub fn capable(&self) -> u8 {
        1 << (self.control >> 1 & 0b111).min(5)
    }

    /// Multiple Message Enable: how many it is granted, 1 to 32.
    pub fn granted(&self) -> u8 {
        1 << (self.control >> 4 & 0b111).min(5)
    }

    /// 64-bit Address Capable.
    pub fn is_64bit(&self) -> bool {
        self.control & Self::ADDRESS_64 != 0
    }

    /// Per-Vector Masking Capable.
    pub fn has_masks(&self) -> bool {
        self.control & Self::PER_VECTOR_MASKING != 0
    }

    /// Offset in configuration space of the Mask Bits, 32 bits, one per message.
    pub fn mask_bits(&self) -> Option<usize> {
        self.has_masks().then(|| self.data() + 4)
    }

    /// Offset in configuration space of the Pending Bits, 32 bits, one per message.
    pub fn pending_bits(&self) -> Option<usize> {
        self.has_masks().then(|| self.data() + 8)
    }

    /// Offset in configuration space of Message Data, 16 bits.
    fn data(&self) -> usize {
        usize::from(self.offset) + if self.is_64bit() { 0xc } else { 0x8 }
    }

    /// What to write where, in this order, for so many messages.
    fn program(&self, message: Message, count: u8) -> Result<Vec<(usize, Vec<u8>)>> {
        let wrong = |why: String| Err(Error::InvalidArgument(why));
        if !count.is_power_of_two() || count > self.capable() {
            return wrong(format!(
                "MSI: {count} messages; the function takes a power of two up to {}",
                self.capable()
            ));
        }
        if !message.address.is_multiple_of(4) {
            return wrong(format!("MSI: the address {:#x} is no multiple of 4", message.address));
        }
        if !self.is_64bit() && message.address > u64::from(u32::MAX) {
            return wrong(format!(
                "MSI: the function addresses 32 bits, {:#x} does not fit; use memory below 4 GiB",
                message.address
            ));
        }
        if message.data & u16::from(count - 1) != 0 {
            return wrong(format!(
                "MSI: the function changes the lowest bits of the data to tell {count} messages apart; they are 0 in \
                 it, not {:#x}",
                message.data
            ));
        }
        let at = usize::from(self.offset);
        let address = message.address.to_le_bytes();
        let mut writes = vec![(at + 4, address[..4].to_vec())];
        if self.is_64bit() {
            writes.push((at + 8, address[4..].to_vec()));
        }
        writes.push((self.data(), message.data.to_le_bytes().to_vec()));
        let granted = self.control & !Self::MULTIPLE_ENABLE | (count.trailing_zeros() as u16) << 4;
        writes.push((at + CONTROL, granted.to_le_bytes().to_vec()));
        Ok(writes)
    }
}

impl Function {
    /// Its MSI-X capability; `None` if it has none.
    ///
    /// # Errors
    /// Those of [`capabilities`](Self::capabilities).
    pub fn msix(&self) -> Result<Option<MsiX>> {
        let Some(offset) = self.capability(capability_id::MSI_X)? else { return Ok(None) };
        Ok(MsiX::parse(&self.answering(super::CONFIG_SIZE)?, offset))
    }

    /// Sets MSI-X Enable and Function Mask. Enable it before the controller (CC.EN): some do not interrupt
    /// otherwise. Under vfio-pci the kernel keeps the bits for itself.
    ///
    /// # Errors
    /// [`Error::Unsupported`] without the capability; those of [`write`](Self::write).
    pub fn set_msix(&self, enable: bool, mask: bool) -> Result<()> {
        let at = self.need(capability_id::MSI_X, "MSI-X")?;
        let msix = self.msix()?.ok_or_else(|| self.truncated("MSI-X"))?;
        self.write(at + CONTROL, &msix.with(enable, mask).to_le_bytes())
    }

    /// Its MSI capability; `None` if it has none.
    ///
    /// # Errors
    /// Those of [`capabilities`](Self::capabilities).
    pub fn msi(&self) -> Result<Option<Msi>> {
        let Some(offset) = self.capability(capability_id::MSI)? else { return Ok(None) };
        Ok(Msi::parse(&self.answering(super::CONFIG_SIZE)?, offset))
    }

    /// Tells what to write for an interrupt, and grants so many messages: a power of two up to [`Msi::capable`].
    /// To be done while MSI is disabled.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] for a message or a number the function cannot take; [`Error::Unsupported`]
    /// without the capability; those of [`write`](Self::write).
    pub fn program_msi(&self, message: Message, count: u8) -> Result<()> {
        self.need(capability_id::MSI, "MSI")?;
        let msi = self.msi()?.ok_or_else(|| self.truncated("MSI"))?;
        for (offset, bytes) in msi.program(message, count)? {
            self.write(offset, &bytes)?;
        }
        Ok(())
    }

    /// Sets MSI Enable.
    ///
    /// # Errors
    /// [`Error::Unsupported`] without the capability; those of [`write`](Self::write).
    pub fn set_msi(&self, enable: bool) -> Result<()> {
        let at = self.need(capability_id::MSI, "MSI")?;
        let control = self.read_byte(at + CONTROL)? & !(Msi::ENABLE as u8);
        self.write_byte(at + CONTROL, control | u8::from(enable))
    }

    fn truncated(&self, name: &str) -> Error {
        Error::Unsupported(format!(
            "PCI function {self}: its {name} capability reaches beyond configuration space"
        ))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fake::{MSIX, Tree};
    use super::*;

    #[test]
    fn msix_of_a_function() {
        let tree = Tree::new();
        let ssd = tree.ssd();
        let msix = ssd.msix().unwrap().unwrap();
        assert_eq!(usize::from(msix.offset()), MSIX);
        // As QEMU's controller has it: 65 entries in BAR 0, at 8 KiB.
        assert_eq!(msix.table(), MsixTable { bar: 0, offset: 0x2000, entries: 65 });
        assert_eq!(msix.pending_bits(), BarOffset { bar: 0, offset: 0x3000 });
        assert_eq!((msix.table().entry(64), msix.table().entry(65)), (Some(0x2400), None));
        assert!(!msix.is_enabled() && !msix.is_masked());
        for (enable, mask, control) in
            [(true, true, 0xc040_u16), (true, false, 0x8040), (false, true, 0x4040), (false, false, 0x0040)]
        {
            ssd.set_msix(enable, mask).unwrap();
            assert_eq!(ssd.register(MSIX + 2, 2).unwrap(), u64::from(control));
            let now = ssd.msix().unwrap().unwrap();
            assert_eq!((now.is_enabled(), now.is_masked(), now.entries()), (enable, mask, 65));
        }
    }

    #[test]
    fn no_capability_is_none_and_setting_it_says_so() {
        let tree = Tree::new();
        assert_eq!(tree.ssd().msi().unwrap(), None);
        let error = tree.ssd().set_msi(true).unwrap_err();
        assert!(matches!(error, Error::Unsupported(_)), "{error}");
        assert_eq!(Tree::with_msi(0).ssd().msix().unwrap(), None);
        assert!(Tree::with_msi(0).ssd().set_msix(true, false).is_err());
    }

    #[test]
    fn msi_with_everything() {
        // 64-bit, masks, asks for 8 messages.
        let tree = Tree::with_msi(0b1_1000_0110);
        let ssd = tree.ssd();
        let msi = ssd.msi().unwrap().unwrap();
        assert_eq!((msi.offset(), msi.size(), msi.capable(), msi.granted()), (0x50, 24, 8, 1));
        assert!(msi.is_64bit() && msi.has_masks() && !msi.is_enabled());
        assert_eq!((msi.mask_bits(), msi.pending_bits()), (Some(0x60), Some(0x64)));
        ssd.program_msi(Message { address: 0x12_3456_7890, data: 0xabc8 }, 8).unwrap();
        assert_eq!(ssd.register(0x54, 8).unwrap(), 0x12_3456_7890);
        assert_eq!(ssd.register(0x5c, 2).unwrap(), 0xabc8);
        assert_eq!(ssd.msi().unwrap().unwrap().granted(), 8);
        ssd.set_msi(true).unwrap();
        assert_eq!(ssd.register(0x52, 2).unwrap(), 0b1_1011_0111);
        ssd.set_msi(false).unwrap();
        assert!(!ssd.msi().unwrap().unwrap().is_enabled());
    }

    #[test]
    fn msi_of_the_simplest_kind() {
        let tree = Tree::with_msi(0);
        let ssd = tree.ssd();
        let msi = ssd.msi().unwrap().unwrap();
        assert_eq!((msi.size(), msi.capable(), msi.mask_bits(), msi.pending_bits()), (10, 1, None, None));
        ssd.program_msi(Message { address: 0xfee0_0000, data: 0x41 }, 1).unwrap();
        assert_eq!(ssd.register(0x54, 4).unwrap(), 0xfee0_0000);
        // The data follows a 32-bit address at once, and nothing else is written.
        assert_eq!(ssd.register(0x58, 8).unwrap(), 0x41);
    }

    #[test]
    fn msi_messages_that_cannot_be() {
        let tree = Tree::with_msi(0b10);
        let ssd = tree.ssd();
        for (address, data, count, why) in [
            (0x1000, 0, 4, "up to 2"),
            (0x1000, 0, 0, "up to 2"),
            (0x1001, 0, 1, "multiple of 4"),
            (1 << 32, 0, 1, "below 4 GiB"),
            (0x1000, 1, 2, "lowest bits"),
        ] {
            let error = ssd.program_msi(Message { address, data }, count).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        }
        assert_eq!(ssd.register(0x54, 8).unwrap(), 0);
    }

    proptest! {
        #[test]
        fn whatever_the_bytes_are_parsing_ends(config in proptest::collection::vec(any::<u8>(), 0..257), offset: u8) {
            if let Some(msix) = MsiX::parse(&config, offset) {
                prop_assert!(usize::from(offset) + 12 <= config.len());
                prop_assert!((1..=2048).contains(&msix.entries()) && msix.table().offset % 8 == 0);
                prop_assert_eq!(msix.with(msix.is_enabled(), msix.is_masked()), msix.control);
            }
            if let Some(msi) = Msi::parse(&config, offset) {
                prop_assert!(usize::from(offset) + msi.size() <= config.len());
                prop_assert!(msi.capable().is_power_of_two() && msi.capable() <= 32);
                let end = usize::from(offset) + msi.size();
                let writes = msi.program(Message { address: 0x1000, data: 0 }, msi.capable()).unwrap();
                prop_assert!(writes.iter().all(|(at, bytes)| *at > offset.into() && at + bytes.len() <= end));
            }
        }
    }
}
