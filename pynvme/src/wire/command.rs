//! `nvme.wire.Command`.

use nvme_tcp::{self as wire, Sgl};
use pyo3::prelude::*;
use pyo3::types::PyBytes;

/// Submission queue entries, as bytes.
#[pyclass(frozen, module = "nvme.wire")]
pub(crate) struct Command;

fn sgl(length: u32, in_capsule: bool) -> Sgl {
    if in_capsule { Sgl::InCapsule { offset: 0, length } } else { Sgl::Transport { length } }
}

fn bytes(py: Python<'_>, command: wire::Command) -> Bound<'_, PyBytes> {
    PyBytes::new(py, &command.bytes())
}

#[pymethods]
impl Command {
    /// Any opcode, without data.
    #[staticmethod]
    #[pyo3(signature = (opcode, cid, nsid=0))]
    fn of(py: Python<'_>, opcode: u8, cid: u16, nsid: u32) -> Bound<'_, PyBytes> {
        bytes(py, wire::Command::new(opcode, cid).nsid(nsid))
    }

    /// Property Get of 4 or 8 bytes.
    #[staticmethod]
    #[pyo3(signature = (cid, offset, eight_bytes=false))]
    fn property_get(py: Python<'_>, cid: u16, offset: u32, eight_bytes: bool) -> Bound<'_, PyBytes> {
        bytes(py, wire::Command::property_get(cid, offset, eight_bytes))
    }

    /// Property Set of 4 bytes.
    #[staticmethod]
    fn property_set(py: Python<'_>, cid: u16, offset: u32, value: u32) -> Bound<'_, PyBytes> {
        bytes(py, wire::Command::property_set(cid, offset, value))
    }

    /// Identify: 4096 bytes.
    #[staticmethod]
    #[pyo3(signature = (cid, cns, nsid=0))]
    fn identify(py: Python<'_>, cid: u16, cns: u8, nsid: u32) -> Bound<'_, PyBytes> {
        bytes(py, wire::Command::identify(cid, cns, nsid))
    }

    /// Keep Alive.
    #[staticmethod]
    fn keep_alive(py: Python<'_>, cid: u16) -> Bound<'_, PyBytes> {
        bytes(py, wire::Command::keep_alive(cid))
    }

    /// Read of ``blocks`` blocks, which are ``length`` bytes.
    #[staticmethod]
    fn read(py: Python<'_>, cid: u16, nsid: u32, lba: u64, blocks: u16, length: u32) -> Bound<'_, PyBytes> {
        bytes(py, wire::Command::read(cid, nsid, lba, blocks, sgl(length, false)))
    }

    /// Write of ``blocks`` blocks, which are ``length`` bytes, in the capsule or when the controller asks for them.
    #[staticmethod]
    #[pyo3(signature = (cid, nsid, lba, blocks, length, in_capsule=false))]
    fn write(
        py: Python<'_>,
        cid: u16,
        nsid: u32,
        lba: u64,
        blocks: u16,
        length: u32,
        in_capsule: bool,
    ) -> Bound<'_, PyBytes> {
        bytes(py, wire::Command::write(cid, nsid, lba, blocks, sgl(length, in_capsule)))
    }
}
