//! Which driver has a function: the kernel's, or one that leaves it to a user's process.

use std::thread;
use std::time::{Duration, Instant};

use super::{Bus, Function, NVME_CLASS, sysfs};
use crate::error::{Error, Result};
use crate::transport::PciAddress;
use crate::wait;

/// Drivers that leave a function to a process, the best first.
pub const USERSPACE_DRIVERS: [&str; 3] = ["vfio-pci", "uio_pci_generic", "igb_uio"];

pub(super) const VFIO: &str = "vfio-pci";

/// How long the kernel may take to get ready a function that it already shows, and how often to try.
const NEW: Duration = Duration::from_secs(1);
const LOOK: Duration = Duration::from_millis(20);

/// What gives a function to a userspace driver, together with all else that is needed.
pub(super) fn setup_command(function: PciAddress) -> String {
    format!("as root: scripts/setup bind {function}")
}

impl Function {
    /// The driver it is bound to; `None` if there is none.
    pub fn driver(&self) -> Option<String> {
        sysfs::link_name(&self.path("driver"))
    }

    /// The driver it is bound to, if a process can have the function through it.
    ///
    /// # Errors
    /// [`Error::InUse`] if the kernel has it and uses it; [`Error::Pci`] if it is bound to another driver or to
    /// none, or if an IOMMU is in the way of its DMA.
    pub fn userspace_driver(&self) -> Result<String> {
        let what = "using it from this process";
        if !self.exists() {
            return Err(self.gone(what));
        }
        let setup = setup_command(self.address);
        let give = format!("give it to uio_pci_generic or vfio-pci, {setup}");
        let Some(driver) = self.driver() else {
            return Err(self.error(what, "it is bound to no driver", give));
        };
        if !USERSPACE_DRIVERS.contains(&driver.as_str()) {
            self.refuse_in_use()?;
            return Err(self.error(what, format!("it is bound to the kernel's driver {driver}"), give));
        }
        if driver != VFIO && self.iommu_group()?.is_some_and(|group| group.translates) {
            return Err(self.error(
                what,
                format!("the IOMMU translates its addresses, and with {driver} its DMA would fail"),
                format!("bind it to {VFIO}, {setup} --driver {VFIO}; or boot the kernel with iommu=pt"),
            ));
        }
        if driver == VFIO {
            self.check_vfio(what)?;
        }
        Ok(driver)
    }

    /// Binds it to a driver, and to no other until [`restore_driver`](Self::restore_driver); returns the one it
    /// had before. Bound to that driver already, it is left alone.
    ///
    /// # Errors
    /// [`Error::InUse`] if something on this host uses what is stored there, or another process, which is no child
    /// of this one, has the function open; [`Error::InvalidArgument`] for what
    /// is no name; [`Error::Pci`] if the driver is not loaded or does not take the function, which then gets
    /// its old driver back; [`Error::Timeout`] if whoever has the function does not let go of it.
    pub fn bind(&self, driver: &str) -> Result<Option<String>> {
        let before = self.driver();
        if before.as_deref() == Some(driver) {
            return Ok(before);
        }
        self.refuse_in_other_process()?;
        let _claims = self.claim()?;
        self.bind_even_if_used(driver)
    }

    /// As [`bind`](Self::bind), and takes the function from under its users: they lose their data.
    ///
    /// # Errors
    /// As [`bind`](Self::bind), but for [`Error::InUse`].
    pub fn bind_even_if_used(&self, driver: &str) -> Result<Option<String>> {
        let what = format!("binding it to {driver}");
        let before = self.driver();
        if before.as_deref() == Some(driver) {
            return Ok(before);
        }
        self.check_driver(driver, &what)?;
        self.unbind_from(before.as_deref())?;
        let bound = self.attach(driver, &what);
        if let Err(error) = bound {
            // Best effort: the error to report is the first.
            let undone =
                before.as_deref().map_or(Ok(()), |before| self.attach(before, "restoring its driver"));
            if let Err(undoing) = undone.and_then(|()| self.set_override("")) {
                tracing::warn!("{undoing}");
            }
            return Err(error);
        }
        Ok(before)
    }

    /// Takes it from its driver; returns which that was. Without a driver it stays without.
    ///
    /// # Errors
    /// [`Error::InUse`] if something on this host uses what is stored there, or another process, which is no child
    /// of this one, has the function open; [`Error::Pci`], [`Error::Timeout`] if whoever has the function does not
    /// let go of it.
    pub fn unbind(&self) -> Result<Option<String>> {
        self.refuse_in_other_process()?;
        let _claims = self.claim()?;
        let before = self.driver();
        self.unbind_from(before.as_deref())?;
        Ok(before)
    }

    /// Undoes [`bind`](Self::bind): gives the function back to the driver it had, or to none, and lets the kernel
    /// choose again from now on.
    ///
    /// # Errors
    /// As [`bind`](Self::bind).
    pub fn restore_driver(&self, before: Option<&str>) -> Result<()> {
        match before {
            Some(driver) => {
                self.bind(driver)?;
            }
            None => {
                self.unbind()?;
            }
        }
        self.set_override("")
    }

    /// Whether the driver can take it at all, asked while it still has its old one.
    fn check_driver(&self, driver: &str, what: &str) -> Result<()> {
        if driver.is_empty() || driver.starts_with('.') || driver.contains(['/', '\n', '\0']) {
            return Err(Error::InvalidArgument(format!(
                "{driver:?} is no name of a driver, as uio_pci_generic is"
            )));
        }
        if !self.exists() {
            return Err(self.gone(what));
        }
        if !self.bus.pci("drivers").join(driver).exists() {
            let how = format!("as root: modprobe {driver}");
            return Err(self.error(what, "this driver is not loaded", how));
        }
        if driver == VFIO { self.check_vfio(what) } else { Ok(()) }
    }

    /// VFIO wants an IOMMU, and the whole group.
    fn check_vfio(&self, what: &str) -> Result<()> {
        let Some(group) = self.iommu_group()? else {
            if self.bus.vfio_without_iommu() {
                return Ok(());
            }
            return Err(self.error(
                what,
                "vfio-pci needs an IOMMU, and the function is in no IOMMU group",
                "switch the IOMMU on in the firmware (VT-d, AMD-Vi) and boot with intel_iommu=on, or use \
                 uio_pci_generic",
            ));
        };
        for &other in group.functions.iter().filter(|&&other| other != self.address) {
            let other = Function { bus: self.bus.clone(), address: other };
            let Some(driver) =
                other.driver().filter(|name| !matches!(name.as_str(), VFIO | "pcieport" | "pci-stub"))
            else {
                continue;
            };
            // Controllers refuse each other, so both go at once.
            let remedy = match other.class() {
                Ok(NVME_CLASS) => format!("bind both to vfio-pci, {} {other}", setup_command(self.address)),
                _ => format!("unbind it, as root: echo {other} > /sys/bus/pci/drivers/{driver}/unbind"),
            };
            let instead = if group.translates { "" } else { "; or use uio_pci_generic" };
            return Err(self.error(
                what,
                format!("{other} is in the same IOMMU group {} and bound to {driver}", group.number),
                format!("{remedy}{instead}"),
            ));
        }
        Ok(())
    }

    pub(super) fn unbind_from(&self, driver: Option<&str>) -> Result<()> {
        let Some(driver) = driver else { return Ok(()) };
        let what = format!("unbinding it from {driver}");
        let file = self.bus.driver_file(driver, "unbind");
        self.order(&file, &self.to_string(), &what)?;
        self.settle(&what, || self.driver().is_none())
    }

    /// Binds a function that has no driver.
    pub(super) fn attach(&self, driver: &str, what: &str) -> Result<()> {
        self.set_override(driver)?;
        let file = self.bus.driver_file(driver, "bind");
        let begun = Instant::now();
        while let Err(error) = sysfs::order(&file, &self.to_string(), self.bus.patience) {
            // A function that was just plugged in can be seen before the kernel is ready to bind it.
            let new = error.raw_os_error() == Some(libc::ENODEV) && begun.elapsed() < NEW;
            if !new || !self.exists() {
                return Err(self.failed(what, error));
            }
            thread::sleep(LOOK);
        }
        self.settle(what, || self.driver().as_deref() == Some(driver))
    }

    /// Which driver alone may have the function; an empty name lets the kernel choose.
    fn set_override(&self, driver: &str) -> Result<()> {
        // The line's end alone is how the kernel wants nothing written.
        self.order(&self.path("driver_override"), &format!("{driver}\n"), "choosing its driver")
    }

    /// Waits for what an order brings about. The kernel has mostly done it by then.
    pub(super) fn settle(&self, what: &str, done: impl Fn() -> bool) -> Result<()> {
        let settled = wait::until(
            || format!("PCI function {self}: {what}"),
            self.bus.patience,
            || Ok(done().then_some(())),
        );
        settled.map_err(|error| match error {
            Error::Timeout { what, timeout, .. } => {
                Error::Timeout { what, timeout, remedy: "see the kernel's log: dmesg" }
            }
            other => other,
        })
    }
}

impl Bus {
    fn driver_file(&self, driver: &str, file: &str) -> std::path::PathBuf {
        self.pci("drivers").join(driver).join(file)
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Tree;
    use super::*;

    #[test]
    fn to_userspace_and_back() {
        let tree = Tree::with_kernel();
        let ssd = tree.ssd();
        assert_eq!(ssd.driver().as_deref(), Some("nvme"));
        assert_eq!(ssd.bind("uio_pci_generic").unwrap().as_deref(), Some("nvme"));
        assert_eq!(ssd.userspace_driver().unwrap(), "uio_pci_generic");
        // Again: nothing to do.
        assert_eq!(ssd.bind("uio_pci_generic").unwrap().as_deref(), Some("uio_pci_generic"));
        ssd.restore_driver(Some("nvme")).unwrap();
        assert_eq!(ssd.driver().as_deref(), Some("nvme"));
        assert_eq!(tree.text_of(&ssd.path("driver_override")), "");
        assert_eq!(
            tree.events(),
            ["unbind nvme", "bind uio_pci_generic", "unbind uio_pci_generic", "bind nvme"]
        );
    }

    #[test]
    fn to_none_and_back() {
        let tree = Tree::with_kernel();
        let ssd = tree.ssd();
        assert_eq!(ssd.unbind().unwrap().as_deref(), Some("nvme"));
        assert_eq!(ssd.unbind().unwrap(), None);
        assert_eq!(ssd.bind("uio_pci_generic").unwrap(), None);
        ssd.restore_driver(None).unwrap();
        assert_eq!(ssd.driver(), None);
    }

    fn refusal(result: Result<Option<String>>) -> String {
        result.unwrap_err().to_string()
    }

    #[test]
    fn a_driver_that_is_not_loaded() {
        let tree = Tree::with_kernel();
        let error = refusal(tree.ssd().bind("igb_uio"));
        assert!(error.contains("not loaded") && error.contains("modprobe igb_uio"), "{error}");
        assert_eq!(tree.ssd().driver().as_deref(), Some("nvme"));
        for name in ["", "..", "a/b", "x\n"] {
            assert!(matches!(tree.ssd().bind(name), Err(Error::InvalidArgument(_))), "{name:?}");
        }
        assert_eq!(tree.events(), Vec::<String>::new());
    }

    #[test]
    fn vfio_without_an_iommu() {
        let tree = Tree::with_kernel();
        let error = refusal(tree.ssd().bind("vfio-pci"));
        assert!(error.contains("IOMMU") && error.contains("uio_pci_generic"), "{error}");
        assert_eq!(tree.ssd().driver().as_deref(), Some("nvme"));
        tree.file("sys/module/vfio/parameters/enable_unsafe_noiommu_mode", "Y\n");
        tree.ssd().bind("vfio-pci").unwrap();
    }

    #[test]
    fn vfio_takes_whole_groups() {
        let tree = Tree::with_kernel();
        tree.group(7, "DMA-FQ", &["0000:01:00.0", "0000:01:00.1"]);
        let group = tree.ssd().iommu_group().unwrap().unwrap();
        assert_eq!((group.number, group.functions.len(), group.translates), (7, 2, true));
        let neighbour = tree.neighbour("nvme");
        let error = refusal(tree.ssd().bind("vfio-pci"));
        assert!(
            error.contains("0000:01:00.1") && error.contains("group 7") && error.contains("nvme"),
            "{error}"
        );
        assert!(error.ends_with("as root: scripts/setup bind 0000:01:00.0 0000:01:00.1"), "{error}");
        neighbour.bind("vfio-pci").unwrap_err();
        neighbour.unbind().unwrap();
        tree.ssd().bind("vfio-pci").unwrap();
        assert_eq!(tree.ssd().userspace_driver().unwrap(), "vfio-pci");
        // The kernel's driver comes back, and VFIO opens no group that it has a part of.
        neighbour.bind("nvme").unwrap();
        let error = tree.ssd().userspace_driver().unwrap_err().to_string();
        assert!(error.contains("0000:01:00.1 is in the same IOMMU group 7 and bound to nvme"), "{error}");
    }

    #[test]
    fn uio_behind_an_iommu_that_translates() {
        let tree = Tree::with_kernel();
        tree.group(3, "DMA", &["0000:01:00.0"]);
        let ssd = tree.ssd();
        ssd.bind("uio_pci_generic").unwrap();
        let error = ssd.userspace_driver().unwrap_err().to_string();
        assert!(error.contains("DMA would fail") && error.contains("iommu=pt"), "{error}");
        assert!(error.contains("as root: scripts/setup bind 0000:01:00.0 --driver vfio-pci;"), "{error}");
        tree.group(3, "identity", &["0000:01:00.0"]);
        ssd.userspace_driver().unwrap();
    }

    #[test]
    fn the_kernels_driver_is_named_with_what_to_do() {
        let tree = Tree::with_kernel();
        let ssd = tree.ssd();
        let error = ssd.userspace_driver().unwrap_err().to_string();
        assert!(
            error.contains("kernel's driver nvme") && error.contains("scripts/setup bind 0000:01:00.0"),
            "{error}"
        );
        ssd.unbind().unwrap();
        let error = ssd.userspace_driver().unwrap_err().to_string();
        assert!(error.contains("no driver") && error.contains("scripts/setup bind 0000:01:00.0"), "{error}");
        tree.take_away();
        let error = ssd.userspace_driver().unwrap_err().to_string();
        assert!(error.contains("no such PCI function"), "{error}");
    }

    #[test]
    fn a_driver_that_refuses_leaves_the_old_one() {
        let tree = Tree::with_kernel();
        tree.refuse("uio_pci_generic");
        let error = tree.impatient_ssd().bind("uio_pci_generic").unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{error}");
        assert!(error.to_string().contains("binding it to uio_pci_generic"), "{error}");
        assert_eq!(tree.ssd().driver().as_deref(), Some("nvme"));
        assert_eq!(tree.text_of(&tree.ssd().path("driver_override")), "");
    }

    #[test]
    fn what_another_process_drives_is_not_taken_from_it() {
        let tree = Tree::with_kernel();
        let ssd = tree.ssd();
        ssd.bind("uio_pci_generic").unwrap();
        std::fs::create_dir_all(ssd.path("uio/uio0")).unwrap();
        tree.process(41, "perf", &["/dev/uio0"]);
        tree.forget_events();
        for result in [
            ssd.bind("nvme").map(drop),
            ssd.unbind().map(drop),
            ssd.flr(),
            ssd.hot_reset(),
            ssd.reenumerate(),
        ] {
            let error = result.unwrap_err();
            assert!(matches!(error, Error::InUse { .. }) && error.to_string().contains("kill 41"), "{error}");
        }
        assert_eq!(tree.events(), Vec::<String>::new());
        // Its own child may have a copy of what this process had open.
        let me = std::process::id();
        tree.file("proc/41/status", &format!("Name:\tx\nPPid:\t{me}\n"));
        ssd.flr().unwrap();
        ssd.bind("nvme").unwrap();
    }

    #[test]
    fn what_is_in_use_is_not_taken_by_accident() {
        let tree = Tree::with_kernel();
        tree.disk("nvme0n1", "259:0");
        tree.mount("259:0", "/dev/nvme0n1", "/home");
        let ssd = tree.ssd();
        for error in
            [ssd.bind("uio_pci_generic").map(drop), ssd.unbind().map(drop), ssd.userspace_driver().map(drop)]
        {
            let error = error.unwrap_err();
            assert!(matches!(error, Error::InUse { .. }) && error.to_string().contains("/home"), "{error}");
        }
        assert_eq!(ssd.driver().as_deref(), Some("nvme"));
        ssd.bind_even_if_used("uio_pci_generic").unwrap();
        assert_eq!(ssd.driver().as_deref(), Some("uio_pci_generic"));
    }
}
