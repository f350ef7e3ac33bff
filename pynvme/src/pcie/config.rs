//! The PCI configuration space of a device.

use nvme_spdk::pci::Function;
use pyo3::exceptions::{PyAssertionError, PyIndexError, PyTypeError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyInt, PyList, PySlice};

use super::Pcie;
use crate::admin::info;
use crate::convert::Int;
use crate::errors;

const SPACE: &str = "its configuration space";

#[pymethods]
impl Pcie {
    /// Reads a register of the PCI configuration space.
    ///
    /// Parameters
    /// ----------
    /// offset : int
    ///     Its first byte, 0 to 4095.
    /// byte_count : int
    ///     1 to 8.
    ///
    /// Returns
    /// -------
    /// int
    ///     Its bytes as a little-endian number; all ones if the device does not answer.
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     For another number of bytes, or beyond configuration space.
    /// OSError
    ///     When the device is gone.
    /// NotImplementedError
    ///     Over TCP.
    #[pyo3(signature = (offset, byte_count=Int(4)), text_signature = "($self, offset, byte_count=4)")]
    fn register(&self, py: Python<'_>, offset: Int<usize>, byte_count: Int<usize>) -> PyResult<u64> {
        let function = self.function("register()")?;
        py.detach(|| function.register(offset.0, byte_count.0)).map_err(errors::usual)
    }

    /// Looks for a capability in the PCI configuration space (PCI Local Bus Specification, Capabilities
    /// List).
    ///
    /// Parameters
    /// ----------
    /// cap_id : int
    ///     Its identifier, 8 bits.
    ///
    /// Returns
    /// -------
    /// int or None
    ///     Its offset, or None if the device has no such capability.
    ///
    /// Raises
    /// ------
    /// OSError
    ///     When the device is gone or does not answer.
    /// NotImplementedError
    ///     Over TCP.
    fn cap_offset(&self, py: Python<'_>, cap_id: Int<u8>) -> PyResult<Option<u8>> {
        let function = self.function("cap_offset()")?;
        let offset = py.detach(|| function.capability(cap_id.0)).map_err(errors::usual)?;
        if offset.is_none() {
            info(py, &format!("cannot find the capability {}", cap_id.0))?;
        }
        Ok(offset)
    }

    /// Active State Power Management Control, at the device's end of the link: 0 disabled, 1 L0s, 2 L1, 3 both
    /// (PCI Express Base Specification, Link Control Register).
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When another value is set.
    /// OSError
    ///     When the device is gone or does not answer.
    /// NotImplementedError
    ///     Over TCP, and for a device without a PCI Express capability.
    #[getter]
    fn aspm(&self, py: Python<'_>) -> PyResult<u8> {
        let function = self.function("aspm")?;
        py.detach(|| function.aspm()).map_err(errors::usual)
    }

    #[setter]
    fn set_aspm(&self, py: Python<'_>, value: Int<i64>) -> PyResult<()> {
        let function = self.function("aspm")?;
        let value = two_bits("ASPM control", value.0)?;
        py.detach(|| function.set_aspm(value)).map_err(errors::usual)
    }

    /// PCI power state, 0 (D0) to 3 (D3hot) (PCI Bus Power Management Interface Specification, PMCSR).
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When another value is set.
    /// OSError
    ///     When the device is gone or does not answer.
    /// NotImplementedError
    ///     Over TCP, and for a device without a Power Management capability.
    #[getter]
    fn power_state(&self, py: Python<'_>) -> PyResult<u8> {
        let function = self.function("power_state")?;
        py.detach(|| function.power_state()).map_err(errors::usual)
    }

    #[setter]
    fn set_power_state(&self, py: Python<'_>, value: Int<i64>) -> PyResult<()> {
        let function = self.function("power_state")?;
        let value = two_bits("power state", value.0)?;
        py.detach(|| function.set_power_state(value)).map_err(errors::usual)
    }

    fn __getitem__<'py>(&self, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = index.py();
        let function = self.function(SPACE)?;
        if let Ok(slice) = index.cast::<PySlice>() {
            let offsets = offsets(py, function, slice)?;
            let bytes = py.detach(|| read(function, &offsets)).map_err(errors::usual)?;
            return Ok(PyList::new(py, bytes)?.into_any());
        }
        let offset = offset(py, function, index)?;
        let byte = py.detach(|| function.read_byte(offset)).map_err(errors::usual)?;
        Ok(byte.into_pyobject(py)?.into_any())
    }

    fn __setitem__(&self, index: &Bound<'_, PyAny>, value: Int<u8>) -> PyResult<()> {
        let py = index.py();
        let function = self.function(SPACE)?;
        let offset = offset(py, function, index)?;
        py.detach(|| function.write_byte(offset, value.0)).map_err(errors::usual)
    }
}

fn two_bits(what: &str, value: i64) -> PyResult<u8> {
    match u8::try_from(value) {
        Ok(value @ 0..=3) => Ok(value),
        _ => Err(PyAssertionError::new_err(format!("{what} is 0 to 3, not {value}"))),
    }
}

fn size(py: Python<'_>, function: &Function) -> PyResult<usize> {
    py.detach(|| function.config_size()).map_err(errors::usual)
}

fn outside(size: usize) -> PyErr {
    PyIndexError::new_err(format!("configuration space has bytes 0 to {}", size - 1))
}

/// A single index.
fn offset(py: Python<'_>, function: &Function, index: &Bound<'_, PyAny>) -> PyResult<usize> {
    let index = index.cast::<PyInt>().map_err(|_| {
        PyTypeError::new_err("configuration space is indexed with a byte's offset, or read with a slice")
    })?;
    let size = size(py, function)?;
    index.extract().ok().filter(|offset| *offset < size).ok_or_else(|| outside(size))
}

/// The offsets of a slice, as ``range(stop)[slice]`` has them.
fn offsets(py: Python<'_>, function: &Function, slice: &Bound<'_, PySlice>) -> PyResult<Vec<usize>> {
    let stop = slice.getattr(intern!(py, "stop"))?;
    if stop.is_none() {
        return Err(PyTypeError::new_err("a slice of configuration space has an end, as in pcie[9:12]"));
    }
    let size = size(py, function)?;
    // What does not fit into an isize is outside as well.
    let stop = stop.cast::<PyInt>()?.extract::<isize>().ok().filter(|stop| *stop <= size as isize);
    let found = slice.indices(stop.ok_or_else(|| outside(size))?.max(0))?;
    Ok((0..found.slicelength as isize).map(|nth| (found.start + nth * found.step) as usize).collect())
}

/// Bytes that stand side by side are read together.
fn read(function: &Function, offsets: &[usize]) -> Result<Vec<u8>, nvme_spdk::Error> {
    let Some(&first) = offsets.first() else { return Ok(Vec::new()) };
    if offsets.windows(2).all(|pair| pair[1] == pair[0] + 1) {
        return function.read(first, offsets.len());
    }
    offsets.iter().map(|&offset| function.read_byte(offset)).collect()
}
