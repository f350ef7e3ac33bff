//! `nvme.wire.Pdu` and what is none.

use nvme_tcp::{self as wire, CapsuleCmd, CapsuleResp, DataPdu, ICReq, ICResp, Layout, R2T, TermReq};
use pyo3::exceptions::{PyKeyError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use super::frame::Frame;

/// A PDU of NVMe/TCP; the fields bear the names of the specification, in lower case: ``pdu["ttag"]``.
#[pyclass(frozen, eq, module = "nvme.wire")]
#[derive(PartialEq)]
pub(crate) struct Pdu {
    pub(super) inner: wire::Pdu,
}

impl From<wire::Pdu> for Pdu {
    fn from(inner: wire::Pdu) -> Self {
        Pdu { inner }
    }
}

fn entry<const N: usize>(what: &str, bytes: &[u8]) -> PyResult<[u8; N]> {
    bytes.try_into().map_err(|_| PyValueError::new_err(format!("{what} has {N} bytes, not {}", bytes.len())))
}

fn data(cccid: u16, ttag: u16, datao: u32, data: Vec<u8>, last: bool, success: bool) -> DataPdu {
    DataPdu { cccid, ttag, datao, data, last, success }
}

#[pymethods]
impl Pdu {
    /// Initialize Connection Request.
    #[staticmethod]
    #[pyo3(signature = (pfv=0, hpda=0, dgst=0, maxr2t=0))]
    fn icreq(pfv: u16, hpda: u8, dgst: u8, maxr2t: u32) -> Self {
        wire::Pdu::ICReq(ICReq { pfv, hpda, dgst, maxr2t }).into()
    }

    /// Initialize Connection Response.
    #[staticmethod]
    #[pyo3(signature = (pfv=0, cpda=0, dgst=0, maxh2cdata=131_072))]
    fn icresp(pfv: u16, cpda: u8, dgst: u8, maxh2cdata: u32) -> Self {
        wire::Pdu::ICResp(ICResp { pfv, cpda, dgst, maxh2cdata }).into()
    }

    /// Host to Controller Terminate Connection Request.
    #[staticmethod]
    #[pyo3(signature = (fes, fei=0, data=Vec::new()), text_signature = "(fes, fei=0, data=b'')")]
    fn h2c_term_req(fes: u16, fei: u32, data: Vec<u8>) -> Self {
        wire::Pdu::H2CTermReq(TermReq { fes, fei, data }).into()
    }

    /// Controller to Host Terminate Connection Request.
    #[staticmethod]
    #[pyo3(signature = (fes, fei=0, data=Vec::new()), text_signature = "(fes, fei=0, data=b'')")]
    fn c2h_term_req(fes: u16, fei: u32, data: Vec<u8>) -> Self {
        wire::Pdu::C2HTermReq(TermReq { fes, fei, data }).into()
    }

    /// Command Capsule: 64 bytes of Command, and data.
    #[staticmethod]
    #[pyo3(signature = (sqe, data=Vec::new()), text_signature = "(sqe, data=b'')")]
    fn capsule_cmd(sqe: Vec<u8>, data: Vec<u8>) -> PyResult<Self> {
        let sqe = entry("a submission queue entry", &sqe)?;
        Ok(wire::Pdu::CapsuleCmd(CapsuleCmd { sqe, data }).into())
    }

    /// Response Capsule: 16 bytes.
    #[staticmethod]
    fn capsule_resp(cqe: Vec<u8>) -> PyResult<Self> {
        let cqe = entry("a completion queue entry", &cqe)?;
        Ok(wire::Pdu::CapsuleResp(CapsuleResp { cqe }).into())
    }

    /// Host To Controller Data Transfer.
    #[staticmethod]
    #[pyo3(name = "h2c_data", signature = (cccid, ttag, datao, data, last=true))]
    fn h2c(cccid: u16, ttag: u16, datao: u32, data: Vec<u8>, last: bool) -> Self {
        wire::Pdu::H2CData(self::data(cccid, ttag, datao, data, last, false)).into()
    }

    /// Controller To Host Data Transfer.
    #[staticmethod]
    #[pyo3(name = "c2h_data", signature = (cccid, datao, data, last=true, success=false))]
    fn c2h(cccid: u16, datao: u32, data: Vec<u8>, last: bool, success: bool) -> Self {
        wire::Pdu::C2HData(self::data(cccid, 0, datao, data, last, success)).into()
    }

    /// Ready to Transfer.
    #[staticmethod]
    fn r2t(cccid: u16, ttag: u16, r2to: u32, r2tl: u32) -> Self {
        wire::Pdu::R2T(R2T { cccid, ttag, r2to, r2tl }).into()
    }

    /// Reads a PDU from its bytes, strictly.
    ///
    /// Raises
    /// ------
    /// ProtocolError
    ///     With the field, its value, what was expected and where the specification says so.
    #[staticmethod]
    #[pyo3(signature = (data, header_digest=false, data_digest=false, alignment=0))]
    fn parse(data: Vec<u8>, header_digest: bool, data_digest: bool, alignment: u8) -> PyResult<Self> {
        let layout = Layout { header_digest, data_digest, alignment };
        let parsed = wire::Pdu::parse(&data, &layout);
        parsed.map(Pdu::from).map_err(|error| super::error(error.into()))
    }

    /// Lays it out as the specification wants it, for changes; Connection.frame() does so as agreed with the
    /// target.
    #[pyo3(signature = (header_digest=false, data_digest=false, alignment=0))]
    fn frame(&self, header_digest: bool, data_digest: bool, alignment: u8) -> Frame {
        Frame { inner: self.inner.frame(&Layout { header_digest, data_digest, alignment }) }
    }

    /// The name of its type, as "CapsuleCmd".
    #[getter]
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    /// Its PDU-Type.
    #[getter]
    fn code(&self) -> u8 {
        self.inner.code()
    }

    /// The data it carries.
    #[getter]
    fn data<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, self.inner.data())
    }

    /// Its own fields and their values.
    #[getter]
    fn fields<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let fields = PyDict::new(py);
        match &self.inner {
            wire::Pdu::ICReq(request) => {
                fields.set_item("pfv", request.pfv)?;
                fields.set_item("hpda", request.hpda)?;
                fields.set_item("dgst", request.dgst)?;
                fields.set_item("maxr2t", request.maxr2t)?;
            }
            wire::Pdu::ICResp(response) => {
                fields.set_item("pfv", response.pfv)?;
                fields.set_item("cpda", response.cpda)?;
                fields.set_item("dgst", response.dgst)?;
                fields.set_item("maxh2cdata", response.maxh2cdata)?;
            }
            wire::Pdu::H2CTermReq(term) | wire::Pdu::C2HTermReq(term) => {
                fields.set_item("fes", term.fes)?;
                fields.set_item("fei", term.fei)?;
            }
            wire::Pdu::CapsuleCmd(capsule) => fields.set_item("sqe", PyBytes::new(py, &capsule.sqe))?,
            wire::Pdu::CapsuleResp(capsule) => {
                let completion = wire::Completion::from(capsule.cqe);
                fields.set_item("cqe", PyBytes::new(py, &capsule.cqe))?;
                fields.set_item("cid", completion.cid())?;
                fields.set_item("sct", completion.sct())?;
                fields.set_item("sc", completion.sc())?;
            }
            wire::Pdu::H2CData(data) | wire::Pdu::C2HData(data) => {
                fields.set_item("cccid", data.cccid)?;
                if matches!(self.inner, wire::Pdu::H2CData(_)) {
                    fields.set_item("ttag", data.ttag)?;
                } else {
                    fields.set_item("success", data.success)?;
                }
                fields.set_item("datao", data.datao)?;
                fields.set_item("last", data.last)?;
            }
            wire::Pdu::R2T(r2t) => {
                fields.set_item("cccid", r2t.cccid)?;
                fields.set_item("ttag", r2t.ttag)?;
                fields.set_item("r2to", r2t.r2to)?;
                fields.set_item("r2tl", r2t.r2tl)?;
            }
            _ => {}
        }
        Ok(fields)
    }

    fn __getitem__<'py>(&self, py: Python<'py>, key: &str) -> PyResult<Bound<'py, PyAny>> {
        let none = || PyKeyError::new_err(format!("{} has no field {key:?}", self.inner.name()));
        self.fields(py)?.get_item(key)?.ok_or_else(none)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let fields = self.fields(py)?;
        let mut text = format!("<{}", self.inner.name());
        for (name, value) in fields.iter() {
            match value.cast::<PyBytes>() {
                Ok(bytes) => text += &format!(" {name}={}", bytes.call_method0("hex")?),
                Err(_) => text += &format!(" {name}={value}"),
            }
        }
        if !self.inner.data().is_empty() {
            text += &format!(", {} bytes", self.inner.data().len());
        }
        Ok(text + ">")
    }
}

/// Bytes that should have been a PDU.
#[pyclass(frozen, get_all, module = "nvme.wire")]
pub(crate) struct Malformed {
    /// The field that is wrong.
    field: &'static str,
    /// What it holds.
    value: u64,
    /// What it should hold.
    expected: String,
    /// The title of the part of the specification that says so.
    section: &'static str,
    /// The whole sentence.
    message: String,
    /// What came.
    data: Py<PyBytes>,
}

impl Malformed {
    pub(super) fn new(py: Python<'_>, error: &wire::ParseError, bytes: &[u8]) -> Self {
        Malformed {
            field: error.field,
            value: error.value,
            expected: error.expected.clone(),
            section: error.section,
            message: error.to_string(),
            data: PyBytes::new(py, bytes).unbind(),
        }
    }
}

#[pymethods]
impl Malformed {
    fn __repr__(&self) -> String {
        format!("<malformed {}>", self.message)
    }
}
