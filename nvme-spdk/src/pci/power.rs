//! Power of the link and of the function.

use std::thread;
use std::time::Duration;

use super::{Function, capability_id};
use crate::error::{Error, Result};

/// Link Control Register, from the PCI Express capability on.
const LINK_CONTROL: usize = 0x10;
/// Power Management Control/Status Register, from the Power Management capability on.
const PMCSR: usize = 0x04;

/// D3hot, the deepest state that software can set.
const D3HOT: u8 = 3;
/// How long a function may not be touched after it was told to enter or leave D3hot.
const RECOVERY: Duration = Duration::from_millis(10);

impl Function {
    /// Active State Power Management Control: 0 disabled, 1 L0s, 2 L1, 3 both (PCI Express Base Specification,
    /// "Link Control Register").
    ///
    /// # Errors
    /// [`Error::Unsupported`] without a PCI Express capability; those of [`read`](Self::read).
    pub fn aspm(&self) -> Result<u8> {
        Ok(self.read_byte(self.link_control()?)? & 0b11)
    }

    /// Sets it, at this end of the link. L0s and L1 need the same at the upstream port to take effect; a
    /// function may refuse what its Link Capabilities do not list.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] above 3; as [`aspm`](Self::aspm).
    pub fn set_aspm(&self, control: u8) -> Result<()> {
        at_most_3("ASPM control", control)?;
        self.set_low_bits(self.link_control()?, control)
    }

    /// Power state: 0 (D0) to 3 (D3hot) (PCI Express Base Specification, "Power Management Control/Status
    /// Register").
    ///
    /// # Errors
    /// [`Error::Unsupported`] without a Power Management capability; those of [`read`](Self::read).
    pub fn power_state(&self) -> Result<u8> {
        Ok(self.read_byte(self.power_control()?)? & 0b11)
    }

    /// Sets it. Of the states between D0 and D3hot a function may support none, and then stays where it is. Into
    /// and out of D3hot this takes 10 ms longer, as the specification wants. A function that does not say
    /// No_Soft_Reset has lost its registers when it comes back to D0.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] above 3; as [`power_state`](Self::power_state).
    pub fn set_power_state(&self, state: u8) -> Result<()> {
        at_most_3("power state", state)?;
        let register = self.power_control()?;
        let before = self.read_byte(register)? & 0b11;
        self.set_low_bits(register, state)?;
        if before != state && (before == D3HOT || state == D3HOT) {
            thread::sleep(RECOVERY);
        }
        Ok(())
    }

    fn link_control(&self) -> Result<usize> {
        Ok(self.need(capability_id::PCI_EXPRESS, "PCI Express")? + LINK_CONTROL)
    }

    fn power_control(&self) -> Result<usize> {
        Ok(self.need(capability_id::POWER_MANAGEMENT, "Power Management")? + PMCSR)
    }
}

fn at_most_3(what: &str, value: u8) -> Result<()> {
    if value <= 3 { Ok(()) } else { Err(Error::InvalidArgument(format!("{what} is 0 to 3, not {value}"))) }
}

#[cfg(test)]
mod tests {
    use super::super::fake::{EXPRESS, POWER, Tree};
    use super::*;

    #[test]
    fn the_link() {
        let tree = Tree::new();
        let ssd = tree.ssd();
        // Read Completion Boundary and Common Clock Configuration are not ASPM's.
        tree.set_config(EXPRESS + 0x10, &[0x48, 0x01]);
        assert_eq!(ssd.aspm().unwrap(), 0);
        for control in [1, 2, 3, 0] {
            ssd.set_aspm(control).unwrap();
            assert_eq!(ssd.aspm().unwrap(), control);
            assert_eq!(ssd.read(EXPRESS + 0x10, 2).unwrap(), [0x48 | control, 0x01]);
        }
        assert!(matches!(ssd.set_aspm(4), Err(Error::InvalidArgument(_))));
    }

    #[test]
    fn the_function() {
        let tree = Tree::new();
        let ssd = tree.ssd();
        // PME_Status in the second byte is cleared by writing it: it must not be written.
        tree.set_config(POWER + 4, &[0x08, 0x80]);
        for state in [3, 0, 1, 2, 3, 0] {
            ssd.set_power_state(state).unwrap();
            assert_eq!(ssd.power_state().unwrap(), state);
            assert_eq!(ssd.read(POWER + 4, 2).unwrap(), [0x08 | state, 0x80]);
        }
        assert!(matches!(ssd.set_power_state(4), Err(Error::InvalidArgument(_))));
    }

    #[test]
    fn without_the_capability_the_error_names_it() {
        let tree = Tree::new();
        tree.set_config(0x34, &[0]);
        let error = tree.ssd().aspm().unwrap_err().to_string();
        assert!(error.contains("no PCI Express capability (ID 10h)") && error.contains("lspci"), "{error}");
        let error = tree.ssd().set_power_state(0).unwrap_err().to_string();
        assert!(error.contains("no Power Management capability (ID 01h)"), "{error}");
    }
}
