//! `nvme.Buffer`.

use std::sync::atomic::{AtomicUsize, Ordering};

use nvme_spdk::{Data, DmaBuf, Error, Pattern, SLACK, hex_dump, hex_dump_from};
use pyo3::exceptions::{PyAssertionError, PyIndexError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyByteArray, PyBytes, PyInt, PySlice, PyString, PyType};

use crate::convert::{Int, OptionalInt, ensure};
use crate::errors;

/// DMA memory that a controller reads and writes.
///
/// Parameters
/// ----------
/// size : int
///     Bytes, at least 1.
/// name : str
///     Shown by dump() and repr().
/// pvalue, ptype : int
///     What it is filled with. ptype 0: zeros, or all ones if pvalue is not 0; ptype 32: the dword pvalue
///     over and over; ptype 0xbeef: the first pvalue percent random, the rest zero.
#[pyclass(frozen, subclass, module = "nvme")]
pub(crate) struct Buffer {
    memory: DmaBuf,
    name: String,
    size: AtomicUsize,
    offset: AtomicUsize,
}

/// Bytes between looks for Ctrl-C, where gigabytes take seconds.
const PIECE: usize = 1 << 20;

/// Values of ptype.
const PATTERN_BITS: u32 = 0;
const PATTERN_DWORD: u32 = 32;
const PATTERN_RANDOM: u32 = 0xbeef;

#[pymethods]
impl Buffer {
    #[new]
    #[pyo3(
        signature = (size=Int(4096), name="buffer".to_owned(), pvalue=Int(0), ptype=Int(PATTERN_BITS)),
        text_signature = "(size=4096, name='buffer', pvalue=0, ptype=0)"
    )]
    fn new(size: Int<i64>, name: String, pvalue: Int<u32>, ptype: Int<u32>) -> PyResult<Self> {
        crate::rpc::serve()?;
        let Int(size) = size;
        ensure(size > 0, format!("{size} is not valid size"))?;
        let size = usize::try_from(size)?;
        let pattern = match (ptype.0, pvalue.0) {
            (PATTERN_BITS, 1..) => Pattern::Ones,
            (PATTERN_DWORD, dword) => Pattern::Dword(dword),
            (PATTERN_RANDOM, percent) => {
                ensure(percent <= 100, format!("{percent} percent of a buffer cannot be random"))?;
                Pattern::Random { percent: percent as u8 }
            }
            _ => Pattern::Zeros,
        };
        let memory = DmaBuf::new(size).map_err(errors::usual)?;
        if pattern != Pattern::Zeros {
            memory.fill_with(pattern).map_err(errors::usual)?;
        }
        Ok(Buffer { memory, name, size: AtomicUsize::new(size), offset: AtomicUsize::new(0) })
    }

    /// Bytes that raw commands transfer, 0 to ``len(buf)``; the whole buffer unless set.
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When it is set to more than the buffer has.
    #[getter]
    pub(crate) fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    #[setter]
    fn set_size(&self, size: Int<usize>) -> PyResult<()> {
        ensure(size.0 <= self.memory.len(), "cannot be larger than physical size")?;
        self.size.store(size.0, Ordering::Relaxed);
        Ok(())
    }

    /// Bytes between the beginning of the buffer and where the device's access begins; 0 unless set.
    /// Indexing, data() and dump() still begin at byte 0.
    ///
    /// A transfer may reach up to one page (4096 bytes) behind the buffer, into memory that belongs to
    /// nobody.
    #[getter]
    pub(crate) fn offset(&self) -> usize {
        self.offset.load(Ordering::Relaxed)
    }

    #[setter]
    fn set_offset(&self, offset: Int<usize>) {
        self.offset.store(offset.0, Ordering::Relaxed);
    }

    /// The address at which a device finds the buffer, offset included: what goes into a data pointer (NVMe
    /// Base Specification, Physical Region Page Entry and List).
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When the offset lies more than a page behind the buffer.
    #[getter]
    fn phys_addr(&self) -> PyResult<u64> {
        let address = self.memory.physical_address(self.offset());
        address.ok_or_else(|| {
            PyAssertionError::new_err(format!(
                "the offset {} lies more than {SLACK} bytes behind a buffer of {} bytes",
                self.offset(),
                self.memory.len()
            ))
        })
    }

    /// A field of the buffer as specifications name it: from its last byte to its first.
    ///
    /// Parameters
    /// ----------
    /// byte_end : int
    ///     The last byte of the field, from 0 on; a negative number counts from the end, as an index does.
    /// byte_begin : int, optional
    ///     The first; the last one if left out. Bytes outside of the buffer are left out.
    /// type : type, optional
    ///     int, which is the default, or str.
    ///
    /// Returns
    /// -------
    /// int or str
    ///     A little-endian number, or ASCII without trailing blanks.
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     For another type.
    #[pyo3(signature = (byte_end, byte_begin=None, r#type=None))]
    pub(crate) fn data<'py>(
        &self,
        py: Python<'py>,
        byte_end: Int<isize>,
        byte_begin: OptionalInt<isize>,
        r#type: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let begin = byte_begin.map_or(byte_end.0, |begin| begin.0);
        let len = self.memory.len() as isize;
        let from_start = |byte: isize| if byte < 0 { byte.saturating_add(len) } else { byte };
        let inside = |byte: isize| usize::try_from(byte).unwrap_or(0);
        let end = from_start(byte_end.0).saturating_add(1);
        let bytes = self.memory.to_vec(inside(from_start(begin))..inside(end));
        value(py, &bytes, r#type)
    }

    /// The buffer as text: its name, then sixteen bytes per line in hexadecimal and as characters.
    ///
    /// Parameters
    /// ----------
    /// size : int, optional
    ///     Bytes, from the first on; all of them if left out or too many.
    ///
    /// Returns
    /// -------
    /// str
    ///     Lines, each with a newline at its end.
    #[pyo3(signature = (size=None))]
    fn dump(&self, py: Python<'_>, size: OptionalInt<usize>) -> PyResult<String> {
        let size = size.map_or(self.memory.len(), |size| size.0.min(self.memory.len()));
        let mut text = format!("{}\n", self.name);
        for from in (0..size).step_by(PIECE) {
            py.check_signals()?;
            let piece = self.memory.to_vec(from..size.min(from + PIECE));
            text.push_str(&hex_dump_from(from, &piece));
        }
        Ok(text)
    }

    /// The first data line of dump(), as bytes.
    #[getter]
    fn data_head<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        let text = hex_dump(&self.memory.to_vec(0..16));
        PyBytes::new(py, text.trim_end_matches('\n').as_bytes())
    }

    /// The last data line of dump(), as bytes.
    #[getter]
    fn data_tail<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        // A buffer has at least one byte.
        let from = (self.memory.len() - 1) / 16 * 16;
        let text = hex_dump_from(from, &self.memory.to_vec(from..self.memory.len()));
        PyBytes::new(py, text.trim_end_matches('\n').as_bytes())
    }

    /// Writes a range of a Dataset Management command into the buffer (NVM Command Set Specification, Dataset
    /// Management command, Range Definition).
    ///
    /// Parameters
    /// ----------
    /// index : int
    ///     Which range, from 0; each takes 16 bytes.
    /// lba, lba_count : int
    ///     The first block and the number of blocks: 64 and 32 bits. Only int will do here.
    /// attr : int
    ///     Context attributes, 32 bits.
    ///
    /// Raises
    /// ------
    /// AssertionError
    ///     When lba or lba_count is something else than an int.
    /// IndexError
    ///     When the range lies behind the buffer.
    #[pyo3(
        signature = (index, lba, lba_count, attr=Int(0)),
        text_signature = "($self, index, lba, lba_count, attr=0)"
    )]
    fn set_dsm_range(
        &self,
        index: Int<usize>,
        lba: &Bound<'_, PyAny>,
        lba_count: &Bound<'_, PyAny>,
        attr: Int<u32>,
    ) -> PyResult<()> {
        let exact = |value: &Bound<'_, PyAny>| value.is_exact_instance_of::<PyInt>();
        ensure(exact(lba) && exact(lba_count), "parameter must be integer")?;
        let (lba, lba_count) = (lba.extract::<u64>()?, lba_count.extract::<u32>()?);
        let at = index.0.saturating_mul(16);
        if at.saturating_add(16) > self.memory.len() {
            return Err(PyIndexError::new_err(format!("range {} lies behind the buffer", index.0)));
        }
        self.memory.write(at, &attr.0.to_le_bytes());
        self.memory.write(at + 4, &lba_count.to_le_bytes());
        self.memory.write(at + 8, &lba.to_le_bytes());
        Ok(())
    }

    fn __len__(&self) -> usize {
        self.memory.len()
    }

    fn __getitem__<'py>(&self, py: Python<'py>, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if let Ok(slice) = index.cast::<PySlice>() {
            let range = slice.indices(isize::try_from(self.memory.len())?)?;
            return Ok(self.slice(py, range.start, range.step, range.slicelength)?.into_any());
        }
        let at = self.index(index)?;
        let mut byte = [0];
        self.memory.read(at, &mut byte);
        Ok(byte[0].into_pyobject(py)?.into_any())
    }

    fn __setitem__(&self, index: &Bound<'_, PyAny>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        if let Ok(slice) = index.cast::<PySlice>() {
            return self.write_from(slice, value);
        }
        let at = self.index(index)?;
        self.memory.write(at, &[value.extract::<u8>()?]);
        Ok(())
    }

    fn __repr__(&self) -> String {
        format!("<buffer name: {}>", self.name)
    }
}

impl Buffer {
    fn index(&self, index: &Bound<'_, PyAny>) -> PyResult<usize> {
        if !index.is_instance_of::<PyInt>() {
            return Err(PyTypeError::new_err(format!(
                "an index is an int or a slice, not {}",
                index.get_type()
            )));
        }
        let len = self.memory.len();
        let out_of_range = || PyIndexError::new_err(format!("index {index} of a buffer of {len} bytes"));
        let index: i128 = index.extract().map_err(|_| out_of_range())?;
        let at = if index < 0 { index + len as i128 } else { index };
        usize::try_from(at).ok().filter(|&at| at < len).ok_or_else(out_of_range)
    }

    fn slice<'py>(
        &self,
        py: Python<'py>,
        start: isize,
        step: isize,
        count: usize,
    ) -> PyResult<Bound<'py, PyBytes>> {
        PyBytes::new_with(py, count, |into| {
            match usize::try_from(start) {
                Ok(start) if step == 1 && count > 0 => self.memory.read(start, into),
                _ => {
                    let mut at = start;
                    for piece in into.chunks_mut(PIECE) {
                        py.check_signals()?;
                        for byte in piece {
                            self.memory.read(usize::try_from(at)?, std::slice::from_mut(byte));
                            at += step;
                        }
                    }
                }
            }
            Ok(())
        })
    }

    /// Only the start of a slice counts when it is assigned to: the values go there one after the other.
    fn write_from(&self, slice: &Bound<'_, PySlice>, value: &Bound<'_, PyAny>) -> PyResult<()> {
        let start = slice.getattr("start")?;
        let mut at = if start.is_none() { 0 } else { self.index(&start)? };
        let len = self.memory.len();
        let behind = || PyIndexError::new_err(format!("the values reach behind the buffer of {len} bytes"));
        let mut put = |bytes: &[u8]| {
            let fits = bytes.len().min(len - at);
            self.memory.write(at, &bytes[..fits]);
            at += fits;
            if fits < bytes.len() { Err(behind()) } else { Ok(()) }
        };
        if let Ok(bytes) = value.cast::<PyBytes>() {
            return put(bytes.as_bytes());
        }
        if let Ok(bytes) = value.cast::<PyByteArray>() {
            return put(&bytes.to_vec());
        }
        for byte in value.try_iter()? {
            put(&[byte?.extract()?])?;
        }
        Ok(())
    }

    pub(crate) fn memory(&self) -> &DmaBuf {
        &self.memory
    }

    /// What a raw command transfers: `size` bytes from `offset` on.
    pub(crate) fn raw_data(&self) -> Result<Data, Error> {
        Data::new(&self.memory, self.offset(), self.size())
    }
}

/// A field of a structure, from its last byte to its first; bytes behind the structure are left out.
pub(crate) fn field<'py>(
    py: Python<'py>,
    bytes: &[u8],
    byte_end: usize,
    byte_begin: Option<usize>,
    kind: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let end = byte_end.saturating_add(1).min(bytes.len());
    let begin = byte_begin.unwrap_or(byte_end).min(end);
    value(py, &bytes[begin..end], kind)
}

/// Bytes as a little-endian integer, or as text.
fn value<'py>(
    py: Python<'py>,
    bytes: &[u8],
    kind: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    let kind = kind.map(|kind| kind.cast::<PyType>()).transpose()?;
    let is = |wanted: &Bound<'_, PyType>| kind.is_some_and(|kind| kind.is(wanted));
    if kind.is_none() || is(&py.get_type::<PyInt>()) {
        return py.get_type::<PyInt>().call_method1("from_bytes", (PyBytes::new(py, bytes), "little"));
    }
    ensure(is(&py.get_type::<PyString>()), "identify data should be int or str")?;
    let text: String = bytes.iter().map(|&byte| char::from(byte)).collect();
    Ok(PyString::new(py, text.trim_end()).into_any())
}
