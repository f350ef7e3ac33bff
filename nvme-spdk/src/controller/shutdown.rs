//! Telling a controller that power will go, and resetting its subsystem.

use std::time::Duration;

use super::Controller;
use super::registers::{CC, CSTS, NSSR};
use crate::error::Result;
use crate::wait;

/// CC.SHN, the kind of shutdown, and CSTS.SHST, how far it is.
const SHN_NORMAL: u32 = 1 << 14;
const SHN_ABRUPT: u32 = 2 << 14;
const SHST: u32 = 3 << 2;
const SHST_COMPLETE: u32 = 2 << 2;

/// CAP.NSSRS: NVM Subsystem Reset Supported.
const CAP_NSSRS: u64 = 1 << 36;
/// "NVMe" in ASCII, which is what resets a subsystem.
const NSSR_MAGIC: u32 = 0x4e56_4d65;

/// How long a controller may take beyond what it says itself.
const PATIENCE: Duration = Duration::from_secs(10);

impl Controller {
    /// Notifies the controller of a shutdown and waits until it says that it is complete (NVMe base specification,
    /// "Controller Shutdown"): CC.SHN, then CSTS.SHST. It has RTD3 Entry Latency for it, a second if it does not
    /// say, and then 10 seconds more.
    ///
    /// # Errors
    /// [`Error::Timeout`](crate::Error::Timeout), [`Error::Interrupted`](crate::Error::Interrupted), those of
    /// [`read_register`](Self::read_register).
    pub fn shutdown(&self, abrupt: bool) -> Result<()> {
        let notice = if abrupt { SHN_ABRUPT } else { SHN_NORMAL };
        let control = self.read_register(CC)?;
        self.write_register(CC, control & !(SHN_NORMAL | SHN_ABRUPT) | notice)?;
        let timeout = self.shutdown_time() + PATIENCE;
        let what = || format!("the shutdown of {} (CSTS.SHST)", self.address());
        wait::until(what, timeout, || Ok((self.read_register(CSTS)? & SHST == SHST_COMPLETE).then_some(())))
    }

    fn shutdown_time(&self) -> Duration {
        match self.identify().rtd3_entry_latency() {
            0 => Duration::from_secs(1),
            microseconds => Duration::from_micros(microseconds.into()),
        }
    }

    /// Whether the subsystem can be reset with [`reset_subsystem`](Self::reset_subsystem): CAP.NSSRS.
    pub fn can_reset_subsystem(&self) -> bool {
        self.cap() & CAP_NSSRS != 0
    }

    /// Resets the NVM subsystem, with all its controllers (NVMe base specification, "NVM Subsystem Reset"): register
    /// NSSR. Afterwards the controller is attached to anew, on PCIe after its function was found again.
    ///
    /// # Errors
    /// Those of [`write_register`](Self::write_register).
    pub fn reset_subsystem(&self) -> Result<()> {
        self.write_register(NSSR, NSSR_MAGIC)
    }
}
