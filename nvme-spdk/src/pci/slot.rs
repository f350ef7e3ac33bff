//! Taking a function away and bringing it back: hot reset, power off and on.

use std::thread;
use std::time::{Duration, Instant};

use super::Function;
use super::usage::Claims;
use crate::error::{Error, Result};
use crate::{interrupt, wait};

/// A function's place, which outlasts the function: its address, and the driver it is to have when it is back.
#[derive(Debug, Clone)]
pub struct Slot {
    function: Function,
    driver: Option<String>,
}

/// How long to wait for a function before the bus is scanned again: links take their time.
const AGAIN: Duration = Duration::from_secs(1);
/// Between looks.
const LOOK: Duration = Duration::from_millis(5);

/// What brings everything back by hand.
const RECOVER: &str = "bring it back with, as root: echo 1 > /sys/bus/pci/rescan, then bind it again with scripts/setup; \
                       if it does not appear, switch the power of the host off and on";

impl Function {
    /// Its place with the driver it has now, for [`Slot::remove`] and [`Slot::restore`].
    ///
    /// # Errors
    /// [`Error::Pci`] if the function is gone.
    pub fn slot(&self) -> Result<Slot> {
        if !self.exists() {
            return Err(self.gone("remembering its place"));
        }
        Ok(Slot { function: self.clone(), driver: self.driver() })
    }

    /// Resets the device in its slot (PCI Express Base Specification, "Conventional Reset", Hot Reset): unbinds
    /// and removes the function, pulses Secondary Bus Reset of its upstream port, scans the bus, waits until the
    /// function is back, and binds it to the driver it had. Whoever has a controller open there closes it before.
    ///
    /// It takes about 600 ms; no step takes more than 20 seconds.
    ///
    /// # Errors
    /// [`Error::InUse`] if something on this host uses what is stored there, or another process, which is no child
    /// of this one, has the function open; [`Error::Unsupported`] without an upstream port; [`Error::Pci`] if a
    /// driver has another function behind the same port, or when the kernel refuses; [`Error::Timeout`],
    /// [`Error::Interrupted`]. Of what went wrong halfway the text names the step, and how to get the function
    /// back.
    pub fn hot_reset(&self) -> Result<()> {
        let port = self.upstream_port()?;
        port.refuse_neighbours(self.address)?;
        self.slot()?.cycle("hot reset", || port.reset_secondary_bus())?
    }

    /// As [`hot_reset`](Self::hot_reset), with something else between removing the function and scanning the bus: a
    /// reset line, a switch of the power supply. The function is brought back whatever it returns, and that is
    /// returned then.
    ///
    /// # Errors
    /// As [`hot_reset`](Self::hot_reset); nothing depends on the port.
    pub fn hot_reset_with<T>(&self, reset: impl FnOnce() -> T) -> Result<T> {
        self.slot()?.cycle("reset", reset)
    }

    /// Has the kernel forget the function and find it again, with the driver it has: after a reset of which the
    /// kernel knows nothing.
    ///
    /// # Errors
    /// As [`hot_reset`](Self::hot_reset); nothing depends on the port.
    pub fn reenumerate(&self) -> Result<()> {
        self.slot()?.cycle("finding it anew", || ())
    }
}

impl Slot {
    /// The function that is, or was, in it.
    pub fn function(&self) -> &Function {
        &self.function
    }

    /// The driver it is to have; `None` if it had none.
    pub fn driver(&self) -> Option<&str> {
        self.driver.as_deref()
    }

    /// Unbinds the function and has the kernel forget it, as before its power is switched off. A function that is
    /// gone already, unplugged, is left at that.
    ///
    /// # Errors
    /// [`Error::InUse`] as for [`unbind`](Function::unbind); [`Error::Pci`] when the kernel refuses;
    /// [`Error::Timeout`] if whoever has the function does not let go of it.
    pub fn remove(&self) -> Result<()> {
        let function = &self.function;
        if !function.exists() {
            return Ok(());
        }
        let gone_anyway = |result: Result<()>| if function.exists() { result } else { Ok(()) };
        gone_anyway(function.unbind().map(drop))?;
        let what = "removing it";
        gone_anyway(function.order(&function.path("remove"), "1", what))?;
        function.settle(what, || !function.exists())
    }

    /// Scans the bus until the function is back, at most 20 seconds, and binds it to the driver it had, whichever
    /// the kernel has given it meanwhile. The kernel's own driver makes disks, which others look at first: that they
    /// are done is waited for, at most as long again.
    ///
    /// # Errors
    /// [`Error::InUse`] if something uses one of these disks then; [`Error::Pci`] when the kernel refuses;
    /// [`Error::Timeout`] if the function does not come back; [`Error::Interrupted`].
    pub fn restore(&self) -> Result<()> {
        self.find()?;
        let now = self.function.driver();
        if now == self.driver {
            return Ok(());
        }
        let _claims = self.claim()?;
        match &self.driver {
            Some(driver) => self.function.bind_even_if_used(driver).map(drop),
            // Nobody has it unless it was so before.
            None => self.function.unbind_from(now.as_deref()),
        }
    }

    /// Waits until nobody uses what is found again.
    fn claim(&self) -> Result<Claims> {
        let function = &self.function;
        let mut last = None;
        let what = || format!("PCI function {function}: waiting for who looks at its disks");
        let claimed = wait::until(what, function.bus.patience, || match function.claim_again() {
            Err(error @ Error::InUse { .. }) => {
                last = Some(error);
                thread::sleep(LOOK);
                Ok(None)
            }
            other => other.map(Some),
        });
        match (claimed, last) {
            // Who it is says more than how long it took.
            (Err(Error::Timeout { .. }), Some(in_use)) => Err(in_use),
            (other, _) => other,
        }
    }

    /// Scans, and waits until the function is there and answers.
    fn find(&self) -> Result<()> {
        let function = &self.function;
        function.bus.rescan()?;
        let mut scanned = Instant::now();
        let what = || format!("PCI function {function}: waiting for it to come back");
        wait::until(what, function.bus.patience, || {
            if function.exists() && function.register(0, 2).is_ok_and(|vendor| vendor != 0xffff) {
                return Ok(Some(()));
            }
            if scanned.elapsed() > AGAIN {
                function.bus.rescan()?;
                scanned = Instant::now();
            }
            thread::sleep(LOOK);
            Ok(None)
        })
    }

    /// Removes the function, does something, and brings it back.
    fn cycle<T>(&self, name: &str, between: impl FnOnce() -> T) -> Result<T> {
        // The last moment at which nothing is lost yet.
        if interrupt::pending() {
            return Err(Error::Interrupted { what: format!("PCI function {}: {name}", self.function) });
        }
        self.function.refuse_in_other_process()?;
        self.function.refuse_in_use()?;
        let stopped = |error| self.stopped(name, error);
        self.remove().map_err(stopped)?;
        let result = between();
        self.restore().map_err(stopped)?;
        Ok(result)
    }

    /// The error of a step, with what it was a step of, and the way back.
    fn stopped(&self, name: &str, error: Error) -> Error {
        let function = &self.function;
        match error {
            Error::Interrupted { what } => Error::Interrupted { what: format!("{name}: {what} ({RECOVER})") },
            Error::Timeout { what, timeout, .. } => {
                Error::Timeout { what: format!("{name}: {what}"), timeout, remedy: RECOVER }
            }
            error => function.error(&format!("{name} stopped halfway"), error.to_string(), RECOVER),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::fake::Tree;
    use super::*;

    #[test]
    fn a_hot_reset_does_its_steps_in_order() {
        let tree = Tree::with_kernel();
        let ssd = tree.ssd();
        ssd.bind("uio_pci_generic").unwrap();
        tree.forget_events();
        ssd.hot_reset().unwrap();
        assert_eq!(ssd.driver().as_deref(), Some("uio_pci_generic"));
        // The kernel's own driver comes first when the function is found again.
        assert_eq!(
            tree.events(),
            [
                "unbind uio_pci_generic",
                "remove",
                "bus reset begins",
                "bus reset ends",
                "rescan",
                "unbind nvme",
                "bind uio_pci_generic",
            ]
        );
    }

    #[test]
    fn something_else_instead_of_the_port() {
        let tree = Tree::with_kernel();
        let ssd = tree.ssd();
        ssd.bind("uio_pci_generic").unwrap();
        let there = ssd.hot_reset_with(|| ssd.exists()).unwrap();
        assert!(!there && ssd.exists());
        assert_eq!(ssd.driver().as_deref(), Some("uio_pci_generic"));
        // What goes wrong in it is returned, and the function is back all the same.
        let result = ssd.hot_reset_with(|| Err::<(), _>("no power supply")).unwrap();
        assert_eq!(result, Err("no power supply"));
        assert!(ssd.exists() && !tree.events().contains(&"bus reset begins".to_owned()));
        ssd.reenumerate().unwrap();
        assert_eq!(ssd.driver().as_deref(), Some("uio_pci_generic"));
    }

    #[test]
    fn who_looks_at_a_new_disk_is_waited_for() {
        let tree = Tree::with_kernel();
        let ssd = tree.ssd();
        tree.disk("nvme0n1", "259:0");
        ssd.bind("uio_pci_generic").unwrap();
        let looks = || tree.process(41, "systemd-udevd", &["/dev/nvme0n1"]);
        thread::scope(|scope| {
            ssd.hot_reset_with(|| {
                looks();
                scope.spawn(|| {
                    thread::sleep(Duration::from_millis(100));
                    tree.end_process(41);
                });
            })
            .unwrap();
        });
        assert_eq!(ssd.driver().as_deref(), Some("uio_pci_generic"));
        // Who stays is named.
        let error = tree.impatient_ssd().hot_reset_with(looks).unwrap_err().to_string();
        assert!(error.contains("process 41 (systemd-udevd) has nvme0n1 open"), "{error}");
        // What it had anyway it keeps.
        assert_eq!(ssd.driver().as_deref(), Some("nvme"));
        tree.end_process(41);
        ssd.hot_reset_with(looks).unwrap();
    }

    #[test]
    fn power_off_and_on() {
        let tree = Tree::with_kernel();
        let ssd = tree.ssd();
        ssd.bind("uio_pci_generic").unwrap();
        let slot = ssd.slot().unwrap();
        slot.remove().unwrap();
        assert!(!ssd.exists() && ssd.slot().is_err());
        // Again: it is gone already.
        slot.remove().unwrap();
        slot.restore().unwrap();
        assert_eq!(ssd.driver().as_deref(), slot.driver());
        // Without a driver it stays without.
        ssd.unbind().unwrap();
        let slot = ssd.slot().unwrap();
        slot.remove().unwrap();
        slot.restore().unwrap();
        assert_eq!(ssd.driver(), None);
    }

    #[test]
    fn a_function_that_does_not_come_back() {
        let tree = Tree::with_kernel();
        let ssd = tree.impatient_ssd();
        tree.take_away_for_good();
        let start = Instant::now();
        let error = ssd.hot_reset_with(|| ()).unwrap_err();
        assert!(matches!(error, Error::Timeout { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains("0000:01:00.0: waiting for it to come back"), "{text}");
        assert!(text.contains("echo 1 > /sys/bus/pci/rescan") && text.contains("scripts/setup"), "{text}");
        assert!(start.elapsed() < Duration::from_secs(10));
    }

    #[test]
    fn a_driver_that_does_not_take_it_again() {
        let tree = Tree::with_kernel();
        let ssd = tree.ssd();
        ssd.bind("uio_pci_generic").unwrap();
        tree.refuse("uio_pci_generic");
        let error = tree.impatient_ssd().hot_reset().unwrap_err().to_string();
        assert!(error.contains("hot reset") && error.contains("binding it to uio_pci_generic"), "{error}");
        assert!(error.contains("scripts/setup") && ssd.exists(), "{error}");
    }

    #[test]
    fn neighbours_behind_the_port_are_not_reset_along() {
        let tree = Tree::with_kernel();
        let neighbour = tree.neighbour("nvme");
        let error = tree.ssd().hot_reset().unwrap_err().to_string();
        assert!(error.contains("0000:01:00.1 is there, too, and bound to nvme"), "{error}");
        assert!(tree.ssd().exists());
        assert_eq!(tree.events(), Vec::<String>::new());
        neighbour.unbind().unwrap();
        tree.ssd().hot_reset().unwrap();
    }
}
