//! Arguments as the original takes them.

use pyo3::exceptions::PyAssertionError;
use pyo3::prelude::*;
use pyo3::types::PyInt;

/// An integer argument: anything with `__int__`, so that a float is truncated and not refused.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Int<T>(pub T);

impl<'a, 'py, T> FromPyObject<'a, 'py> for Int<T>
where
    T: for<'b> FromPyObject<'b, 'py, Error = PyErr>,
{
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if object.is_instance_of::<PyInt>() {
            return object.extract().map(Int);
        }
        let py = object.py();
        py.get_type::<PyInt>().call1((object,))?.extract().map(Int)
    }
}

/// An argument that may be left out.
pub(crate) type OptionalInt<T> = Option<Int<T>>;

/// AssertionError with a message, unless a condition holds.
pub(crate) fn ensure(condition: bool, message: impl Into<String>) -> PyResult<()> {
    if condition { Ok(()) } else { Err(PyAssertionError::new_err(message.into())) }
}
