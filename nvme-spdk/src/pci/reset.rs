//! Resets that the bus does: of one function, and of all behind a port.

use std::thread;
use std::time::Duration;

use super::{Function, capability_id, sysfs};
use crate::error::{Error, Result};
use crate::transport::PciAddress;

/// Bridge Control Register of a port, its low byte.
const BRIDGE_CONTROL: usize = 0x3e;
/// Secondary Bus Reset: holds everything behind the port in reset while it is set.
const SECONDARY_BUS_RESET: u8 = 1 << 6;
/// How long it is set; the specification wants 1 ms at least. The imitated kernel of the tests needs longer to see it
/// where others have the processor.
const PULSE: Duration = Duration::from_millis(if cfg!(test) { 1000 } else { 10 });
/// How long what is behind it may take to come up; the specification wants 100 ms at least.
const SETTLE: Duration = Duration::from_millis(500);

/// Header Type Register, and what a bridge has there.
const HEADER_TYPE: usize = 0x0e;
const BRIDGE: u8 = 1;

/// Device Capabilities Register, from the PCI Express capability on: the byte with bit 28.
const DEVICE_CAPABILITIES_3: usize = 0x04 + 3;
const FUNCTION_LEVEL_RESET: u8 = 1 << 4;

impl Function {
    /// The port it is connected to: the root port of its slot, or a switch's downstream port.
    ///
    /// # Errors
    /// [`Error::Unsupported`] if there is none: the function is part of the root complex; [`Error::Pci`] if it is
    /// gone.
    pub fn upstream_port(&self) -> Result<Function> {
        let what = "looking for its upstream port";
        // The folder itself, not the link to it, lies below its port's.
        let folder = self.folder().canonicalize().map_err(|e| self.failed(what, e))?;
        let parent = folder.parent().and_then(|parent| parent.file_name()?.to_str()?.parse().ok());
        let none = || {
            Error::Unsupported(format!(
                "PCI function {self} has no upstream port, it is part of the root complex: reset it with flr, or \
                 put the device into a slot"
            ))
        };
        let port = self.bus.function(parent.ok_or_else(none)?)?;
        // Bit 7 tells whether the device has several functions.
        if port.read_byte(HEADER_TYPE)? & 0x7f == BRIDGE { Ok(port) } else { Err(none()) }
    }

    /// Whether it can be reset alone (PCI Express Base Specification, "Device Capabilities Register",
    /// Function Level Reset Capability).
    ///
    /// # Errors
    /// Those of [`capabilities`](Self::capabilities).
    pub fn has_flr(&self) -> Result<bool> {
        let Some(at) = self.capability(capability_id::PCI_EXPRESS)? else { return Ok(false) };
        Ok(self.read_byte(usize::from(at) + DEVICE_CAPABILITIES_3)? & FUNCTION_LEVEL_RESET != 0)
    }

    /// Resets the function (PCI Express Base Specification, "Function Level Reset"), and waits until it can be
    /// used; at most 20 seconds. The kernel keeps its configuration space; registers and queues of a controller
    /// are lost.
    ///
    /// # Errors
    /// [`Error::InUse`] if something on this host uses what is stored there, or another process, which is no child
    /// of this one, has the function open; [`Error::Unsupported`] if it cannot do it; [`Error::Pci`] if the kernel refuses; [`Error::Timeout`].
    pub fn flr(&self) -> Result<()> {
        self.refuse_in_other_process()?;
        let _claims = self.claim()?;
        if !self.has_flr()? {
            return Err(Error::Unsupported(format!(
                "PCI function {self} has no Function Level Reset (Device Capabilities, bit 28): use a hot reset"
            )));
        }
        // Left to itself the kernel takes the first of several ways, which need not be this one.
        let method = self.path("reset_method");
        let methods = sysfs::text(&method).ok();
        if methods.is_some() {
            self.order(&method, "flr", "choosing the Function Level Reset")?;
        }
        let result = self.order(&self.path("reset"), "1", "the Function Level Reset");
        if let Some(methods) = methods {
            self.order(&method, &methods, "restoring the reset method")?;
        }
        result
    }

    /// Of a port: resets everything behind it, by Secondary Bus Reset for 10 ms, then waits 500 ms (PCI Express Base
    /// Specification, "Bridge Control Register" and "Conventional Reset"). Configuration space behind it is lost:
    /// the kernel should not have the functions there meanwhile, see [`hot_reset`](Self::hot_reset).
    ///
    /// # Errors
    /// [`Error::Unsupported`] if it is no port; those of [`write`](Self::write).
    pub fn reset_secondary_bus(&self) -> Result<()> {
        if self.read_byte(HEADER_TYPE)? & 0x7f != BRIDGE {
            return Err(Error::Unsupported(format!(
                "PCI function {self} is no port, there is no bus behind it"
            )));
        }
        let control = self.read_byte(BRIDGE_CONTROL)? & !SECONDARY_BUS_RESET;
        self.write_byte(BRIDGE_CONTROL, control | SECONDARY_BUS_RESET)?;
        thread::sleep(PULSE);
        self.write_byte(BRIDGE_CONTROL, control)?;
        thread::sleep(SETTLE);
        Ok(())
    }

    /// Of a port: refuses to reset what is behind it along with `but`, if a driver has it.
    pub(super) fn refuse_neighbours(&self, but: PciAddress) -> Result<()> {
        let what = "looking behind the port";
        let names = sysfs::names(&self.folder()).map_err(|e| self.failed(what, e))?;
        let others = names.iter().filter_map(|name| name.parse().ok()).filter(|&other| other != but);
        for other in others {
            let other = Function { bus: self.bus.clone(), address: other };
            if let Some(driver) = other.driver() {
                return Err(self.error(
                    "resetting what is behind the port",
                    format!("{other} is there, too, and bound to {driver}"),
                    format!("unbind it first, as root: echo {other} > /sys/bus/pci/drivers/{driver}/unbind"),
                ));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{EXPRESS, PORT, Tree};
    use super::*;

    #[test]
    fn the_port_of_a_slot() {
        let tree = Tree::new();
        let port = tree.ssd().upstream_port().unwrap();
        assert_eq!(port.to_string(), PORT);
        let error = port.upstream_port().unwrap_err();
        assert!(matches!(error, Error::Unsupported(_)) && error.to_string().contains("flr"), "{error}");
        assert!(matches!(tree.ssd().reset_secondary_bus(), Err(Error::Unsupported(_))));
    }

    #[test]
    fn a_function_level_reset() {
        let tree = Tree::with_kernel();
        let ssd = tree.ssd();
        assert!(ssd.has_flr().unwrap());
        ssd.flr().unwrap();
        tree.wait_for_events(["reset"]);
    }

    #[test]
    fn it_is_that_reset_and_no_other() {
        let tree = Tree::new();
        let ssd = tree.impatient_ssd();
        // A reset that never ends, so that there is time to look.
        let reset = ssd.path("reset");
        std::fs::remove_file(&reset).unwrap();
        assert!(std::process::Command::new("mkfifo").arg(&reset).status().unwrap().success());
        let method = || tree.text_of(&ssd.path("reset_method"));
        let before = method();
        let result = thread::scope(|scope| {
            let resetting = scope.spawn(|| ssd.flr());
            while method() != "flr" && !resetting.is_finished() {
                thread::sleep(Duration::from_millis(1));
            }
            assert_eq!(method(), "flr");
            resetting.join().unwrap()
        });
        assert!(matches!(result, Err(Error::Timeout { .. })), "{result:?}");
        assert_eq!((before.as_str(), method().as_str()), ("pm flr bus", "pm flr bus"));
        // A reader lets the writing thread end.
        assert_eq!(tree.text_of(&reset), "1");
    }

    #[test]
    fn a_function_that_has_none() {
        let tree = Tree::with_kernel();
        tree.set_config(EXPRESS + 4, &[0; 4]);
        let error = tree.ssd().flr().unwrap_err();
        assert!(matches!(error, Error::Unsupported(_)) && error.to_string().contains("bit 28"), "{error}");
        assert_eq!(tree.events(), Vec::<String>::new());
    }

    #[test]
    fn no_reset_of_what_is_in_use() {
        let tree = Tree::with_kernel();
        tree.disk("nvme0n1", "259:0");
        tree.swap("/dev/nvme0n1");
        let ssd = tree.ssd();
        assert!(matches!(ssd.flr(), Err(Error::InUse { .. })));
        assert!(matches!(ssd.hot_reset(), Err(Error::InUse { .. })));
        assert!(ssd.exists());
        assert_eq!(tree.events(), Vec::<String>::new());
    }

    #[test]
    fn the_bit_is_set_and_cleared_and_the_others_stay() {
        let tree = Tree::with_kernel();
        let port = tree.ssd().upstream_port().unwrap();
        let start = std::time::Instant::now();
        port.reset_secondary_bus().unwrap();
        assert!(start.elapsed() >= PULSE + SETTLE);
        tree.wait_for_events(["bus reset begins", "bus reset ends"]);
        assert_eq!(port.register(BRIDGE_CONTROL, 2).unwrap(), 0x0003);
    }
}
