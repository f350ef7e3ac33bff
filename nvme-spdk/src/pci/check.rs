//! What stands between this process and an NVMe function, each with the command that clears it away.

use super::driver::setup_command;
use super::{Bus, Function, NVME_CLASS};
use crate::env::{Env, Hugepages, is_root};
use crate::error::{Error, Result};
use crate::transport::PciAddress;

/// Whether this process can take the function. Nothing is changed: a function that the kernel has, with whatever is
/// stored behind it, is left to `scripts/setup`, which is told so explicitly. `again` if this process had it open until
/// now.
pub(crate) fn check(env: &Env, address: PciAddress, again: bool) -> Result<()> {
    let function = Function { bus: Bus::system(), address };
    function.refuse_other_classes()?;
    if !env.pci() {
        let (why, remedy) = no_pci(&Hugepages::read(), is_root(), address);
        return Err(function.cannot_be_opened(why, remedy));
    }
    function.userspace_driver()?;
    // Where environments are shared, so is what the owner has open.
    match env.owner() {
        Some(_) => Ok(()),
        None if again => function.refuse_in_other_process(),
        None => function.refuse_in_process(),
    }
}

impl Function {
    fn refuse_other_classes(&self) -> Result<()> {
        let why = match self.class() {
            Ok(NVME_CLASS) => return Ok(()),
            Ok(class) => format!(
                "the PCI function has class {class:06x} and not {NVME_CLASS:06x}, it is no NVMe controller"
            ),
            Err(_) => "there is no such PCI function".to_owned(),
        };
        let list = "list the NVMe controllers with: lspci -D -d ::0108";
        Err(self.cannot_be_opened(why, list.to_owned()))
    }

    fn cannot_be_opened(&self, why: String, remedy: String) -> Error {
        Error::Open { address: self.to_string(), why, remedy }
    }
}

/// Why this process's environment has no PCI, and what gives it to the next.
fn no_pci(pages: &Hugepages, root: bool, address: PciAddress) -> (String, String) {
    if !root {
        let how = "start this program as root, with sudo";
        return ("PCIe needs root, and this process is not".to_owned(), how.to_owned());
    }
    let why = format!(
        "PCIe needs hugepages, and this process started without ({} of {} are free now)",
        pages.free, pages.total
    );
    let setup = setup_command(address);
    (why, format!("{setup}, or echo 512 > /proc/sys/vm/nr_hugepages; then start this program again"))
}

#[cfg(test)]
mod tests {
    use super::super::fake::{PORT, Tree};
    use super::*;

    #[test]
    fn what_is_no_controller() {
        let tree = Tree::new();
        tree.ssd().refuse_other_classes().unwrap();
        let port = tree.bus().function(PORT.parse().unwrap()).unwrap();
        let error = port.refuse_other_classes().unwrap_err().to_string();
        assert!(error.contains("class 060400") && error.contains("lspci -D -d ::0108"), "{error}");
        let ssd = tree.ssd();
        tree.take_away();
        let error = ssd.refuse_other_classes().unwrap_err().to_string();
        assert!(error.contains("no such PCI function") && error.contains("lspci -D -d ::0108"), "{error}");
    }

    #[test]
    fn privileges_and_memory() {
        let none = Hugepages { total: 0, free: 0 };
        let address: PciAddress = "0000:01:00.0".parse().unwrap();
        assert!(no_pci(&none, false, address).1.contains("sudo"));
        let (why, remedy) = no_pci(&none, true, address);
        assert!(
            why.contains("0 of 0") && remedy.contains("echo 512 > /proc/sys/vm/nr_hugepages"),
            "{remedy}"
        );
        // Without its address all the others would be taken along.
        assert!(remedy.starts_with("as root: scripts/setup bind 0000:01:00.0, or"), "{remedy}");
    }
}
