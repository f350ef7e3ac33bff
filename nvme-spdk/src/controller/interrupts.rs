//! Interrupts of a PCIe controller that nobody is interrupted by: their messages are written to memory, where a
//! test looks whether they have come.

use std::sync::{Arc, Weak};

use super::{Controller, Inner};
use crate::buffer::DmaBuf;
use crate::error::{Error, Result};
use crate::pci::{Function, MsixTable};
use crate::transport::{Address, PciAddress};

/// Bytes of what a message is written to.
const WORD: usize = 4;
/// What every message writes.
const MESSAGE: u32 = 1;
/// In an entry of the table (PCI Express Base Specification, "MSI-X Table Structure"): message address, its upper
/// half, message data, vector control.
const UPPER_ADDRESS: u32 = 4;
const DATA: u32 = 8;
const CONTROL: u32 = 12;
const MASK: u32 = 1;

/// The vectors of a controller, each with a word of memory.
#[derive(Debug)]
pub(crate) struct Interrupts {
    controller: Weak<Inner>,
    table: MsixTable,
    words: DmaBuf,
}

/// One vector, as the queue pair that uses it sees it.
#[derive(Debug, Clone)]
pub(crate) struct Vector {
    all: Arc<Interrupts>,
    index: u16,
}

impl Interrupts {
    /// Points every entry of the table to a word of its own and enables MSI-X, which has to happen before the
    /// controller is enabled. `None` where there is no MSI-X, where the table is not in BAR0, or where an IOMMU stands
    /// between messages and memory.
    pub(super) fn set_up(controller: &Controller, function: PciAddress) -> Result<Option<Arc<Self>>> {
        let function = Function::open(function)?;
        let Some(table) = function.msix()?.map(|msix| msix.table()).filter(|table| table.bar == 0) else {
            return Ok(None);
        };
        if function.iommu_group()?.is_some() {
            return Ok(None);
        }
        let words = DmaBuf::new(WORD * usize::from(table.entries))?;
        let interrupts = Interrupts { controller: Arc::downgrade(&controller.inner), table, words };
        for index in 0..table.entries {
            let Some(address) = interrupts.words.physical_address(WORD * usize::from(index)) else {
                return Ok(None);
            };
            interrupts.write(controller, index, 0, address as u32)?;
            interrupts.write(controller, index, UPPER_ADDRESS, (address >> 32) as u32)?;
            interrupts.write(controller, index, DATA, MESSAGE)?;
            interrupts.write(controller, index, CONTROL, 0)?;
        }
        function.set_msix(true, false)?;
        Ok(Some(Arc::new(interrupts)))
    }

    /// Ends them, before the words are given back; a function that is gone sends none.
    pub(super) fn end(&self, address: &Address) {
        if let Address::Pcie(function) = address
            && let Ok(function) = Function::open(*function)
        {
            let _ = function.set_msix(false, false);
        }
    }

    /// The vector of this number; those behind the last one begin again with the first.
    pub(crate) fn vector(self: &Arc<Self>, number: u16) -> Vector {
        Vector { all: Arc::clone(self), index: number % self.table.entries }
    }

    fn write(&self, controller: &Controller, index: u16, field: u32, value: u32) -> Result<()> {
        controller.write_register(self.place(index) + field, value)
    }

    /// Where an entry is in BAR0.
    fn place(&self, index: u16) -> u32 {
        self.table.offset + u32::from(index) * MsixTable::ENTRY_SIZE as u32
    }
}

impl Vector {
    pub(crate) fn number(&self) -> u16 {
        self.index
    }

    /// Whether its message has come since it was cleared.
    pub(crate) fn is_set(&self) -> bool {
        let mut word = [0; WORD];
        self.all.words.read(WORD * usize::from(self.index), &mut word);
        word != [0; WORD]
    }

    pub(crate) fn clear(&self) {
        self.all.words.write(WORD * usize::from(self.index), &[0; WORD]);
    }

    /// Masks it, or lets the message come that has waited.
    pub(crate) fn mask(&self, mask: bool) -> Result<()> {
        let inner = self.all.controller.upgrade();
        let inner = inner.ok_or_else(|| Error::Unsupported("the controller is closed".to_owned()))?;
        let control = if mask { MASK } else { 0 };
        self.all.write(&Controller { inner }, self.index, CONTROL, control)
    }
}
