//! Interrupts of a PCIe controller that nobody is interrupted by: their messages are written to memory, where a
//! test looks whether they have come.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::registers::{INTMC, INTMS};
use super::{Controller, Inner};
use crate::buffer::DmaBuf;
use crate::error::{Error, Result};
use crate::pci::{Function, Messages};
use crate::transport::PciAddress;

/// Bytes of what a message is written to.
const WORD: usize = 4;

/// The vectors of a controller, each with a word of memory.
#[derive(Debug)]
pub(crate) struct Interrupts {
    controller: Weak<Inner>,
    /// Until they end.
    messages: Mutex<Option<Messages>>,
    count: u16,
    words: DmaBuf,
}

/// One vector, as the queue pair that uses it sees it.
#[derive(Debug, Clone)]
pub(crate) struct Vector {
    all: Arc<Interrupts>,
    index: u16,
}

/// The interrupts of a controller, or why there are none.
pub(crate) type Available = std::result::Result<Arc<Interrupts>, String>;

impl Interrupts {
    /// Points every message to a word of its own and enables them, which has to happen before the controller is
    /// enabled. That they cannot be had is no error: few need them.
    pub(super) fn set_up(controller: &Controller, function: PciAddress) -> Result<Available> {
        match Self::start(controller, function) {
            Ok(interrupts) => Ok(Ok(Arc::new(interrupts))),
            Err(Error::NoMemory { bytes, remedy }) => Err(Error::NoMemory { bytes, remedy }),
            Err(why) => Ok(Err(why.to_string())),
        }
    }

    fn start(controller: &Controller, function: PciAddress) -> Result<Self> {
        let messages = Messages::of(Function::open(function)?)?;
        let count = messages.count();
        let words = DmaBuf::new(WORD * usize::from(count))?;
        let addresses = (0..count).map(|index| words.physical_address(WORD * usize::from(index)));
        let addresses = addresses.collect::<Option<Vec<u64>>>().ok_or_else(|| {
            Error::Unsupported("the bus addresses of the memory for its messages are unknown".to_owned())
        })?;
        messages.start(|index| addresses[usize::from(index)])?;
        let controller = Arc::downgrade(&controller.inner);
        Ok(Interrupts { controller, messages: Mutex::new(Some(messages)), count, words })
    }

    /// Ends them, before the words are given back.
    pub(super) fn end(&self) {
        drop(self.messages.lock().take());
    }

    /// The vector of this number; those behind the last one begin again with the first.
    pub(crate) fn vector(self: &Arc<Self>, number: u16) -> Vector {
        Vector { all: Arc::clone(self), index: number % self.count }
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

    /// Masks it, or lets the message come that has waited: in the table of MSI-X, in INTMS and INTMC with MSI (NVMe base
    /// specification, "Interrupt Mask Set").
    pub(crate) fn mask(&self, mask: bool) -> Result<()> {
        let inner = self.all.controller.upgrade();
        let inner = inner.ok_or_else(|| Error::Unsupported("the controller is closed".to_owned()))?;
        // Nobody may touch the table of a function that was pulled out.
        if inner.is_gone()? {
            return Err(inner.dead("failed"));
        }
        let masked = self.all.messages.lock().as_ref().map(|messages| messages.mask(self.index, mask));
        match masked {
            Some(true) => return Ok(()),
            Some(false) => {}
            None => return Err(Error::Unsupported("the controller was detached or reset since".to_owned())),
        }
        Controller { inner }.write_register(if mask { INTMS } else { INTMC }, 1 << self.index)
    }
}
