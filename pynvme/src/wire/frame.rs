//! `nvme.wire.Frame`.

use nvme_tcp::{self as wire, Digest};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyInt, PyString};

/// A PDU laid out, before it becomes bytes: see Pdu.frame(). Changing one field leaves the others as they are.
///
/// A digest is "right" (computed from the bytes as they go out), "wrong", a number, or None: there is none.
#[pyclass(module = "nvme.wire")]
pub(crate) struct Frame {
    pub(super) inner: wire::Frame,
}

fn to_python(py: Python<'_>, digest: Digest) -> Option<Bound<'_, PyAny>> {
    match digest {
        Digest::Absent => None,
        Digest::Right => Some(PyString::new(py, "right").into_any()),
        Digest::Wrong => Some(PyString::new(py, "wrong").into_any()),
        Digest::Value(value) => Some(PyInt::new(py, value).into_any()),
    }
}

fn to_digest(value: Option<&Bound<'_, PyAny>>) -> PyResult<Digest> {
    let Some(value) = value else { return Ok(Digest::Absent) };
    if let Ok(number) = value.extract() {
        return Ok(Digest::Value(number));
    }
    match value.extract::<String>().as_deref() {
        Ok("right") => Ok(Digest::Right),
        Ok("wrong") => Ok(Digest::Wrong),
        _ => Err(PyValueError::new_err(format!(
            "{value} is no digest: use \"right\", \"wrong\", a number of 32 bits, or None"
        ))),
    }
}

#[pymethods]
impl Frame {
    /// PDU-Type.
    #[getter]
    fn pdu_type(&self) -> u8 {
        self.inner.pdu_type
    }

    #[setter]
    fn set_pdu_type(&mut self, value: u8) {
        self.inner.pdu_type = value;
    }

    /// FLAGS.
    #[getter]
    fn flags(&self) -> u8 {
        self.inner.flags
    }

    #[setter]
    fn set_flags(&mut self, value: u8) {
        self.inner.flags = value;
    }

    /// Header Length (HLEN).
    #[getter]
    fn hlen(&self) -> u8 {
        self.inner.hlen
    }

    #[setter]
    fn set_hlen(&mut self, value: u8) {
        self.inner.hlen = value;
    }

    /// PDU Data Offset (PDO).
    #[getter]
    fn pdo(&self) -> u8 {
        self.inner.pdo
    }

    #[setter]
    fn set_pdo(&mut self, value: u8) {
        self.inner.pdo = value;
    }

    /// PDU Length (PLEN).
    #[getter]
    fn plen(&self) -> u32 {
        self.inner.plen
    }

    #[setter]
    fn set_plen(&mut self, value: u32) {
        self.inner.plen = value;
    }

    /// The PDU specific header, which follows the eight bytes above.
    #[getter]
    fn specific<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.specific)
    }

    #[setter]
    fn set_specific(&mut self, value: Vec<u8>) {
        self.inner.specific = value;
    }

    /// Header digest (HDGST).
    #[getter]
    fn header_digest<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        to_python(py, self.inner.header_digest)
    }

    #[setter]
    fn set_header_digest(&mut self, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.inner.header_digest = to_digest(value)?;
        Ok(())
    }

    /// What fills the gap between header and data (PAD).
    #[getter]
    fn padding<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.padding)
    }

    #[setter]
    fn set_padding(&mut self, value: Vec<u8>) {
        self.inner.padding = value;
    }

    /// The data.
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.data)
    }

    #[setter]
    fn set_data(&mut self, value: Vec<u8>) {
        self.inner.data = value;
    }

    /// Data digest (DDGST).
    #[getter]
    fn data_digest<'py>(&self, py: Python<'py>) -> Option<Bound<'py, PyAny>> {
        to_python(py, self.inner.data_digest)
    }

    #[setter]
    fn set_data_digest(&mut self, value: Option<&Bound<'_, PyAny>>) -> PyResult<()> {
        self.inner.data_digest = to_digest(value)?;
        Ok(())
    }

    fn __bytes__<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.inner.to_bytes())
    }

    fn __repr__(&self) -> String {
        format!("{:?}", self.inner)
    }
}
