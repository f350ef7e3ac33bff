//! `nvme.Subsystem`.

use std::process::Command;

use nvme_spdk::Error;
use nvme_spdk::pci::{Function, Slot};
use parking_lot::Mutex;
use pyo3::exceptions::{PyNotImplementedError, PyOSError};
use pyo3::prelude::*;

use crate::admin::{info, log};
use crate::controller::Controller;
use crate::convert::{Flag, Int};
use crate::errors::{self, NvmeShutdownStatusTimeoutError};

/// Power and resets of an NVM subsystem (NVMe Base Specification, NVM Subsystem Reset): a matter of PCIe.
/// Controller.reset() has to follow each of them.
///
/// Parameters
/// ----------
/// nvme : Controller
///     A controller of it.
/// poweron_cb, poweroff_cb : callable, optional
///     Switch the power of the device, without arguments.
///
/// Raises
/// ------
/// NotImplementedError
///     For a device that is connected over TCP.
#[pyclass(frozen, subclass, module = "nvme")]
pub(crate) struct Subsystem {
    nvme: Py<Controller>,
    function: Function,
    /// Where it is to come back, once its power is off.
    slot: Mutex<Option<Slot>>,
    poweron: Option<Py<PyAny>>,
    poweroff: Option<Py<PyAny>>,
}

/// Whether the host can sleep and wake by itself (the kernel's documentation of power/mem_sleep).
const MEM_SLEEP: &str = "/sys/power/mem_sleep";

/// Seconds the host sleeps when a script only says that power is to go.
const OFF: u32 = 15;

#[pymethods]
impl Subsystem {
    #[new]
    #[pyo3(signature = (nvme, poweron_cb=None, poweroff_cb=None))]
    fn new(
        nvme: &Bound<'_, Controller>,
        poweron_cb: Option<Py<PyAny>>,
        poweroff_cb: Option<Py<PyAny>>,
    ) -> PyResult<Self> {
        let nvme_spdk::Address::Pcie(function) = nvme.get().inner().address() else {
            return Err(PyNotImplementedError::new_err(format!(
                "power and subsystem resets belong to PCIe; {} is connected over TCP",
                nvme.get().inner().address()
            )));
        };
        Ok(Subsystem {
            function: Function::open(*function).map_err(errors::usual)?,
            nvme: nvme.clone().unbind(),
            slot: Mutex::default(),
            poweron: poweron_cb,
            poweroff: poweroff_cb,
        })
    }

    /// Switches the power off with poweroff_cb, while I/O goes on, and takes the device off the bus. Without a
    /// function for that the host sleeps for 15 seconds, if it can.
    ///
    /// Returns
    /// -------
    /// bool
    ///     True.
    ///
    /// Raises
    /// ------
    /// OSError
    ///     When the kernel refuses a step; the text says which, and how to get the device back.
    fn poweroff(&self, py: Python<'_>) -> PyResult<bool> {
        let slot = self.function.slot().map_err(errors::usual)?;
        if let Some(poweroff) = &self.poweroff {
            poweroff.call0(py)?;
        }
        self.nvme.get().let_go(py)?;
        py.detach(|| slot.remove()).map_err(errors::usual)?;
        *self.slot.lock() = Some(slot);
        if self.poweroff.is_none() {
            self.power_cycle(py, Int(OFF))?;
        }
        Ok(true)
    }

    /// Switches the power on with poweron_cb, finds the device and binds it to the driver it had.
    ///
    /// Returns
    /// -------
    /// bool
    ///     True.
    ///
    /// Raises
    /// ------
    /// TimeoutError
    ///     When the device does not come back within 20 seconds.
    /// OSError
    ///     When the kernel refuses a step.
    fn poweron(&self, py: Python<'_>) -> PyResult<bool> {
        if let Some(poweron) = &self.poweron {
            poweron.call0(py)?;
        }
        let slot = self.slot.lock().take();
        let slot = match slot {
            Some(slot) => slot,
            // It was never off.
            None => self.function.slot().map_err(errors::usual)?,
        };
        py.detach(|| slot.restore()).map_err(errors::usual)?;
        info(py, "reset controller to use it after power on")?;
        Ok(true)
    }

    /// Puts the host to sleep (S3), which takes the device's power away, and wakes it again.
    ///
    /// Parameters
    /// ----------
    /// sec : int
    ///     Seconds to sleep.
    ///
    /// Returns
    /// -------
    /// bool or None
    ///     True, or None on a host that cannot sleep.
    ///
    /// Raises
    /// ------
    /// OSError
    ///     When rtcwake fails.
    #[pyo3(signature = (sec=Int(10)), text_signature = "($self, sec=10)")]
    fn power_cycle(&self, py: Python<'_>, sec: Int<u32>) -> PyResult<Option<bool>> {
        if !std::fs::read_to_string(MEM_SLEEP).is_ok_and(|modes| modes.contains("deep")) {
            log(py, "warning", "S3 is not supported on this platform")?;
            return Ok(None);
        }
        self.nvme.get().let_go(py)?;
        let seconds = sec.0.to_string();
        let ended = py.detach(|| Command::new("rtcwake").args(["-m", "mem", "-s", &seconds]).output());
        match ended {
            Ok(ended) if ended.status.success() => Ok(Some(true)),
            Ok(ended) => Err(PyOSError::new_err(format!(
                "rtcwake could not put the host to sleep: {}",
                String::from_utf8_lossy(&ended.stderr).trim()
            ))),
            Err(why) => Err(PyOSError::new_err(format!("cannot run rtcwake: {why}; install util-linux"))),
        }
    }

    /// Notifies the controller of a shutdown and waits until it is complete (NVMe Base Specification, Controller
    /// Shutdown).
    ///
    /// Parameters
    /// ----------
    /// abrupt : bool
    ///     An abrupt shutdown instead of a normal one.
    ///
    /// Raises
    /// ------
    /// NvmeShutdownStatusTimeoutError
    ///     When CSTS.SHST does not say so within RTD3E and 10 seconds more.
    #[pyo3(signature = (abrupt=Flag(false)), text_signature = "($self, abrupt=False)")]
    fn shutdown_notify(&self, py: Python<'_>, abrupt: Flag) -> PyResult<()> {
        let controller = self.nvme.get().inner();
        match py.detach(|| controller.shutdown(abrupt.0)) {
            Err(Error::Timeout { .. }) => {
                tracing::error!("csts.shst timeout");
                Err(NvmeShutdownStatusTimeoutError::new_err("csts.shst timeout"))
            }
            other => other.map_err(errors::usual),
        }
    }

    /// Resets the subsystem with register NSSR, and finds the device again.
    ///
    /// Returns
    /// -------
    /// bool
    ///     False for a controller that does not support it (CAP.NSSRS).
    ///
    /// Raises
    /// ------
    /// OSError, TimeoutError
    ///     When the device does not come back.
    fn reset(&self, py: Python<'_>) -> PyResult<bool> {
        let controller = self.nvme.get().inner();
        if !controller.can_reset_subsystem() {
            log(py, "warning", "the controller has no subsystem reset (CAP.NSSRS)")?;
            return Ok(false);
        }
        py.detach(|| controller.reset_subsystem()).map_err(errors::usual)?;
        self.nvme.get().let_go(py)?;
        py.detach(|| self.function.reenumerate()).map_err(errors::usual)?;
        info(py, "reset controller to use it after subsystem reset")?;
        Ok(true)
    }
}
