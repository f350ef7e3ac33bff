//! PCI functions as the kernel shows them.

use std::fs;
use std::path::Path;

use crate::env::Env;
use crate::error::{Error, Result};
use crate::transport::PciAddress;

const DEVICES: &str = "/sys/bus/pci/devices";

/// Class code of an NVM Express I/O controller: mass storage, non-volatile memory, NVMe.
const NVME_CLASS: u32 = 0x01_0802;

/// The class code of a function; `None` if the kernel does not know it.
fn class_of(function: PciAddress) -> Option<u32> {
    let text = fs::read_to_string(Path::new(DEVICES).join(function.to_string()).join("class")).ok()?;
    u32::from_str_radix(text.trim().trim_start_matches("0x"), 16).ok()
}

/// What stands between this process and an NVMe function.
pub(crate) fn check(env: &Env, function: PciAddress) -> Result<()> {
    let why = match class_of(function) {
        Some(NVME_CLASS) => None,
        Some(class) => Some(format!(
            "the PCI function has class {class:06x} and not {NVME_CLASS:06x}, it is no NVMe controller"
        )),
        None => Some("there is no such PCI function".to_owned()),
    };
    if let Some(why) = why {
        let remedy = "list the NVMe controllers with: lspci -D -d ::0108".to_owned();
        return Err(Error::Open { address: function.to_string(), why, remedy });
    }
    if !env.pci() {
        return Err(Error::Unsupported(format!(
            "{function} cannot be used: PCIe needs root and hugepages, and they must be there when the program \
             starts; as root: echo 512 > /proc/sys/vm/nr_hugepages, then start it again"
        )));
    }
    Ok(())
}
