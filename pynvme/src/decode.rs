//! `nvme.decode`: bytes of the specification as names and values.

use nvme_spdk::decode::{self as spec, Kind, Queue, Value};
use nvme_spdk::{Command, Completion};
use pyo3::exceptions::{PyAssertionError, PyKeyError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyInt, PyList};

use crate::buffer::Buffer;
use crate::convert::{Int, ensure};

/// A structure of the specification, field by field, as decode() returns it. str() is a table of all fields,
/// repr() a line of those that say something; ``decoded["SLBA"]`` is the value of a field.
#[pyclass(frozen, module = "nvme")]
pub(crate) struct Decoded {
    inner: spec::Decoded,
}

/// A field of a structure.
#[pyclass(frozen, module = "nvme")]
pub(crate) struct Field {
    inner: spec::Field,
}

#[pymethods]
impl Decoded {
    /// What it is, as the specification calls it: "Get Log Page".
    #[getter]
    fn name(&self) -> &str {
        &self.inner.name
    }

    /// Its fields, in the order of the specification.
    #[getter]
    fn fields(&self) -> Vec<Field> {
        self.inner.fields.iter().map(|field| Field { inner: field.clone() }).collect()
    }

    /// What it holds more of than one: the entries of a log, the formats of a namespace.
    #[getter]
    fn parts(&self) -> Vec<Decoded> {
        self.inner.parts.iter().map(|part| Decoded { inner: part.clone() }).collect()
    }

    /// All of it in dicts and lists, as JSON has it: name, fields and parts.
    ///
    /// Returns
    /// -------
    /// dict
    fn as_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        as_dict(py, &self.inner)
    }

    fn __getitem__<'py>(&self, py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
        match self.inner.field(name) {
            Some(field) => value(py, &field.value),
            None => {
                let names: Vec<_> = self.inner.fields.iter().map(|field| &*field.name).collect();
                Err(PyKeyError::new_err(format!("no field {name:?}; there are {}", names.join(", "))))
            }
        }
    }

    fn __contains__(&self, name: &str) -> bool {
        self.inner.field(name).is_some()
    }

    fn __str__(&self) -> String {
        format!("{:#}", self.inner)
    }

    fn __repr__(&self) -> String {
        format!("<{}>", self.inner)
    }
}

#[pymethods]
impl Field {
    /// Its abbreviation: "NLB".
    #[getter]
    fn name(&self) -> &str {
        &self.inner.name
    }

    /// Its name in full: "Number of Logical Blocks".
    #[getter]
    fn title(&self) -> &str {
        &self.inner.title
    }

    /// What it holds: int, str or bytes.
    #[getter]
    fn value<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        value(py, &self.inner.value)
    }

    /// What that value says, where it is not obvious: "8 blocks".
    #[getter]
    fn meaning(&self) -> Option<&str> {
        self.inner.meaning.as_deref()
    }

    fn __repr__(&self) -> String {
        format!("<{}>", self.inner)
    }
}

/// Decodes what a device was sent or what it answered, by the names of the specification (NVM Express Base
/// Specification, Admin Command Set, and the command sets that go with it).
///
/// Parameters
/// ----------
/// data : Buffer, bytes, list, tuple or int
///     Bytes, or dwords as ints: 4 of a completion as callbacks get it, 16 of a command as cmdlog_entries() has
///     it, one of a feature.
/// kind : str, optional
///     What it is: "admin command", "io command", "completion", "identify controller", "identify namespace",
///     "namespace descriptors", "smart", "error information", "firmware slot", "self test", "sanitize" and more,
///     which the error of an unknown name lists; "log N", "identify N", "feature N" and "feature data N" with a
///     number. If left out, 16 bytes are a completion and 64 bytes a command.
/// qid : int
///     The queue of a command: 0 is the admin queue.
/// command : Buffer, bytes, list or tuple, optional
///     The command that a completion answers: then its dwords 0 and 1 have names, too.
///
/// Returns
/// -------
/// Decoded
///     Fields that the data does not reach are left out.
///
/// Raises
/// ------
/// AssertionError
///     When there is no such kind, or none is given and the length does not tell.
///
/// Examples
/// --------
/// >>> decode([0x70002, 1, 0, 0, 0, 0, 0, 0, 0, 0, 4096, 0, 7, 0, 0, 0])
/// <Read: CID 7, NSID 1, SLBA 4096, NLB 7 (8 blocks)>
#[pyfunction]
#[pyo3(
    signature = (data, kind=None, qid=Int(1), command=None),
    text_signature = "(data, kind=None, qid=1, command=None)"
)]
pub(crate) fn decode(
    data: &Bound<'_, PyAny>,
    kind: Option<&str>,
    qid: Int<u16>,
    command: Option<&Bound<'_, PyAny>>,
) -> PyResult<Decoded> {
    let queue = Queue::of(qid.0);
    let data = bytes(data)?;
    let unknown = |error: spec::UnknownKind| PyAssertionError::new_err(error.to_string());
    let kind = match kind {
        Some(kind) => kind.parse().map_err(unknown)?,
        None => by_length(data.len(), queue)?,
    };
    let inner = match (kind, command) {
        (Kind::Completion, Some(command)) => {
            let command = Command::from_bytes(&bytes(command)?);
            spec::completion_of(&command, queue, &Completion::from_bytes(&data))
        }
        (_, Some(_)) => {
            return Err(PyAssertionError::new_err("command is what a completion answers; data is none"));
        }
        (kind, None) => kind.decode(&data),
    };
    Ok(Decoded { inner })
}

fn by_length(len: usize, queue: Queue) -> PyResult<Kind> {
    match (len, queue) {
        (16, _) => Ok(Kind::Completion),
        (64, Queue::Admin) => Ok(Kind::AdminCommand),
        (64, Queue::Io) => Ok(Kind::IoCommand),
        _ => Err(PyAssertionError::new_err(format!(
            "{len} bytes are neither a completion (16) nor a command (64): say what they are, as in \
             decode(buf, \"identify controller\")"
        ))),
    }
}

/// The most dwords: no structure has more, and an iterable may have no end.
const MOST_DWORDS: usize = 1 << 20;

/// Bytes as they are, numbers as little-endian dwords.
fn bytes(data: &Bound<'_, PyAny>) -> PyResult<Vec<u8>> {
    if let Ok(buffer) = data.cast::<Buffer>() {
        let memory = buffer.get().memory();
        let mut bytes = vec![0; memory.len()];
        memory.read(0, &mut bytes);
        return Ok(bytes);
    }
    if let Ok(bytes) = data.cast::<PyBytes>() {
        return Ok(bytes.as_bytes().to_vec());
    }
    if let Ok(bytes) = data.cast::<PyByteArray>() {
        return Ok(bytes.to_vec());
    }
    if data.is_instance_of::<PyInt>() {
        return Ok(data.extract::<u32>()?.to_le_bytes().to_vec());
    }
    let dwords = data.try_iter().map_err(|_| {
        PyTypeError::new_err(format!("data is a Buffer, bytes, or dwords in a list, not {}", data.get_type()))
    })?;
    let mut bytes = Vec::new();
    for dword in dwords {
        ensure(bytes.len() < MOST_DWORDS * 4, "data has more dwords than any structure")?;
        bytes.extend(dword?.extract::<Int<u32>>()?.0.to_le_bytes());
    }
    Ok(bytes)
}

fn value<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Number(number) | Value::Hex(number) => number.into_pyobject(py)?.into_any(),
        Value::Text(text) => text.into_pyobject(py)?.into_any(),
        Value::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
        other => other.to_string().into_pyobject(py)?.into_any(),
    })
}

/// Python's types for what JSON has: bytes as hexadecimal digits.
pub(crate) fn as_dict<'py>(py: Python<'py>, decoded: &spec::Decoded) -> PyResult<Bound<'py, PyDict>> {
    let fields = PyList::empty(py);
    for field in &decoded.fields {
        let dict = PyDict::new(py);
        dict.set_item("name", &*field.name)?;
        dict.set_item("title", &*field.title)?;
        match &field.value {
            Value::Bytes(_) => dict.set_item("value", field.value.to_string())?,
            other => dict.set_item("value", value(py, other)?)?,
        }
        dict.set_item("meaning", field.meaning.as_deref())?;
        fields.append(dict)?;
    }
    let parts = PyList::empty(py);
    for part in &decoded.parts {
        parts.append(as_dict(py, part)?)?;
    }
    let dict = PyDict::new(py);
    dict.set_item("name", &*decoded.name)?;
    dict.set_item("fields", fields)?;
    dict.set_item("parts", parts)?;
    Ok(dict)
}
