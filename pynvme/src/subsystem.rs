//! `nvme.Subsystem`.

use pyo3::exceptions::PyNotImplementedError;
use pyo3::prelude::*;

use crate::controller::Controller;

/// Power and resets of an NVM subsystem (NVMe Base Specification, NVM Subsystem Reset): a matter of PCIe.
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
pub(crate) struct Subsystem;

#[pymethods]
impl Subsystem {
    #[new]
    #[pyo3(signature = (nvme, poweron_cb=None, poweroff_cb=None))]
    fn new(
        nvme: &Bound<'_, Controller>,
        poweron_cb: Option<Bound<'_, PyAny>>,
        poweroff_cb: Option<Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let _ = (poweron_cb, poweroff_cb);
        Err(PyNotImplementedError::new_err(format!(
            "power and subsystem resets belong to PCIe; {} is connected over TCP",
            nvme.get().address()
        )))
    }
}
