//! PCI functions as the kernel shows them.

use std::path::Path;

use crate::env::Env;
use crate::error::{Error, Result};
use crate::transport::PciAddress;

const DEVICES: &str = "/sys/bus/pci/devices";

/// Whether the kernel knows the function.
pub(crate) fn exists(function: PciAddress) -> bool {
    Path::new(DEVICES).join(function.to_string()).exists()
}

/// What stands between this process and an NVMe function.
pub(crate) fn check(env: &Env, function: PciAddress) -> Result<()> {
    if !exists(function) {
        return Err(Error::Open {
            address: function.to_string(),
            why: "there is no such PCI function".to_owned(),
            remedy: "list what there is with: lspci -D -d ::0108".to_owned(),
        });
    }
    if !env.pci() {
        return Err(Error::Unsupported(format!(
            "{function} cannot be used: PCIe needs root and hugepages, and they must be there when the program \
             starts; as root: echo 512 > /proc/sys/vm/nr_hugepages, then start it again"
        )));
    }
    Ok(())
}
