//! PCI functions as the kernel shows them: configuration space, drivers, who uses them, resets.
//!
//! Everything goes through sysfs and needs root where it changes something or looks beyond the first 64 bytes of
//! configuration space. Nothing here knows NVMe beyond its class code: a controller that is open has to be
//! closed by its owner before its function is unbound, removed or reset.
//!
//! ```no_run
//! use nvme_spdk::pci::{Function, capability_id};
//!
//! let function = Function::open("0000:01:00.0".parse()?)?;
//! let before = function.bind("uio_pci_generic")?;
//! println!("{:04x}:{:04x}", function.vendor_id()?, function.device_id()?);
//! println!("PCI Express capability at {:?}", function.capability(capability_id::PCI_EXPRESS)?);
//! function.hot_reset()?;
//! function.restore_driver(before.as_deref())?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Sections named here are those of the PCI Express Base Specification 4.0, which took over what the PCI Local Bus
//! Specification 3.0 says about configuration space.

mod bar;
mod capability;
mod check;
mod config;
mod delivery;
mod driver;
#[cfg(test)]
mod fake;
mod iommu;
mod message;
mod power;
mod process;
mod reset;
mod slot;
mod sysfs;
mod usage;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

pub use capability::{
    Capability, ExtendedCapability, capabilities, capability_id, extended_capabilities,
    extended_capability_id,
};
pub(crate) use check::check;
pub use config::{CONFIG_SIZE, EXTENDED_CONFIG_SIZE};
pub(crate) use delivery::Messages;
pub use driver::USERSPACE_DRIVERS;
pub use iommu::IommuGroup;
pub use message::{BarOffset, Message, Msi, MsiX, MsixTable};
pub use process::Process;
pub use slot::Slot;
pub use usage::Usage;

use crate::error::{Error, Result};
use crate::transport::PciAddress;

/// Class code of an NVM Express I/O controller: mass storage, non-volatile memory, NVMe.
pub const NVME_CLASS: u32 = 0x01_0802;

/// How long one request to the kernel may take: binding, removing, scanning the bus. A function that is slow to
/// answer after a reset holds up a scan, and a driver may wait for whoever has the function open.
const PATIENCE: Duration = Duration::from_secs(20);

/// The PCI functions of a host.
#[derive(Clone)]
pub struct Bus {
    /// Where `sys`, `proc` and `dev` are.
    root: Arc<Path>,
    patience: Duration,
}

/// One PCI function: its address, and the bus it is looked for on. It may go and come back under the same address;
/// every call looks anew.
#[derive(Clone)]
pub struct Function {
    bus: Bus,
    address: PciAddress,
}

impl Bus {
    /// Those of this host.
    pub fn system() -> Self {
        Bus::at("/")
    }

    /// Those of the host whose `sys`, `proc` and `dev` are in a folder: for a container that sees its host's
    /// somewhere else, and for tests with an imitation.
    pub fn at(root: impl AsRef<Path>) -> Self {
        Bus { root: root.as_ref().into(), patience: PATIENCE }
    }

    /// Bounds how long one request to the kernel may take; 20 seconds otherwise.
    #[must_use]
    pub fn patience(self, patience: Duration) -> Self {
        Bus { patience, ..self }
    }

    /// The addresses of all functions, in order.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where there is no PCI.
    pub fn functions(&self) -> Result<Vec<PciAddress>> {
        let folder = self.pci("devices");
        let names = sysfs::names(&folder).map_err(|e| {
            Error::Unsupported(format!("{} cannot be read ({e}): this system has no PCI", folder.display()))
        })?;
        let mut found: Vec<PciAddress> = names.iter().filter_map(|name| name.parse().ok()).collect();
        found.sort();
        Ok(found)
    }

    /// A function that is there.
    ///
    /// # Errors
    /// [`Error::Pci`] if it is not.
    pub fn function(&self, address: PciAddress) -> Result<Function> {
        let function = Function { bus: self.clone(), address };
        if function.exists() { Ok(function) } else { Err(function.gone("looking for it")) }
    }

    /// Makes the kernel look for functions that are new (PCI Express Base Specification, "Configuration Space
    /// Access"); drivers that are loaded take those they are made for.
    ///
    /// # Errors
    /// [`Error::Pci`] without root, [`Error::Timeout`].
    pub fn rescan(&self) -> Result<()> {
        sysfs::order(&self.pci("rescan"), "1", self.patience)
            .map_err(|e| sysfs::explain("the PCI bus".to_owned(), "scanning it", e, self.patience))
    }

    /// A path below /sys/bus/pci.
    fn pci(&self, path: &str) -> PathBuf {
        self.root.join("sys/bus/pci").join(path)
    }
}

impl Default for Bus {
    fn default() -> Self {
        Bus::system()
    }
}

impl Function {
    /// A function of this host.
    ///
    /// # Errors
    /// [`Error::Pci`] if it is not there.
    pub fn open(address: PciAddress) -> Result<Self> {
        Bus::system().function(address)
    }

    /// Its address.
    pub fn address(&self) -> PciAddress {
        self.address
    }

    /// The bus it was found on.
    pub fn bus(&self) -> &Bus {
        &self.bus
    }

    /// Whether the kernel has it: it goes when it is removed, unplugged, or lost in a reset.
    pub fn exists(&self) -> bool {
        self.path("config").exists()
    }

    /// Vendor ID, 16 bits, as of the last scan (PCI Express Base Specification, "Vendor ID Register").
    ///
    /// # Errors
    /// [`Error::Pci`] if the function is gone.
    pub fn vendor_id(&self) -> Result<u16> {
        self.number("vendor").map(|id| id as u16)
    }

    /// Device ID, 16 bits, as of the last scan (PCI Express Base Specification, "Device ID Register").
    ///
    /// # Errors
    /// [`Error::Pci`] if the function is gone.
    pub fn device_id(&self) -> Result<u16> {
        self.number("device").map(|id| id as u16)
    }

    /// Class Code, 24 bits, as of the last scan: base class in bits 23:16, sub-class 15:8, programming interface
    /// 7:0 (PCI Express Base Specification, "Class Code Register"). [`NVME_CLASS`] for an NVMe controller.
    ///
    /// # Errors
    /// [`Error::Pci`] if the function is gone.
    pub fn class(&self) -> Result<u32> {
        self.number("class")
    }

    /// A number in a file of the function.
    fn number(&self, file: &str) -> Result<u32> {
        let what = format!("reading its {file}");
        let text = sysfs::text(&self.path(file)).map_err(|e| self.failed(&what, e))?;
        u32::from_str_radix(text.trim_start_matches("0x"), 16).map_err(|_| Error::Pci {
            function: self.to_string(),
            what,
            why: format!("{text:?} is no number"),
            remedy: "please report this".to_owned(),
            source: None,
        })
    }

    /// The function's folder.
    fn folder(&self) -> PathBuf {
        self.bus.pci("devices").join(self.address.to_string())
    }

    fn path(&self, file: &str) -> PathBuf {
        self.folder().join(file)
    }

    /// Has the kernel do something by writing to one of its files.
    fn order(&self, path: &Path, text: &str, what: &str) -> Result<()> {
        sysfs::order(path, text, self.bus.patience).map_err(|e| self.failed(what, e))
    }

    /// The error for what could not be done to the function.
    fn failed(&self, what: &str, error: std::io::Error) -> Error {
        if error.kind() == std::io::ErrorKind::NotFound && !self.exists() {
            return self.gone(what);
        }
        sysfs::explain(format!("PCI function {self}"), what, error, self.bus.patience)
    }

    fn gone(&self, what: &str) -> Error {
        Error::Pci {
            function: format!("PCI function {self}"),
            what: what.to_owned(),
            why: "there is no such PCI function".to_owned(),
            remedy: "list the NVMe controllers with: lspci -D -d ::0108; look for one that was removed with, as root: \
                     echo 1 > /sys/bus/pci/rescan"
                .to_owned(),
            source: None,
        }
    }

    fn error(&self, what: &str, why: impl Into<String>, remedy: impl Into<String>) -> Error {
        Error::Pci {
            function: format!("PCI function {self}"),
            what: what.to_owned(),
            why: why.into(),
            remedy: remedy.into(),
            source: None,
        }
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.address.fmt(f)
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Function")
            .field("address", &self.to_string())
            .field("driver", &self.driver())
            .finish()
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bus").field("root", &self.root).finish_non_exhaustive()
    }
}
