//! Arguments as the original takes them.

use std::time::Duration;

use pyo3::exceptions::PyAssertionError;
use pyo3::intern;
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
        // By the type, as Python itself does: int() would take strings as well.
        match object.get_type().getattr(intern!(object.py(), "__int__")) {
            Ok(convert) => convert.call1((object,))?.extract().map(Int),
            Err(_) => object.extract().map(Int),
        }
    }
}

/// A flag: anything that is true or false, 0 and 1 among it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag(pub bool);

impl<'a, 'py> FromPyObject<'a, 'py> for Flag {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        object.is_truthy().map(Flag)
    }
}

/// An argument that may be left out.
pub(crate) type OptionalInt<T> = Option<Int<T>>;

/// A number of seconds.
pub(crate) fn seconds(name: &str, value: f64) -> PyResult<Duration> {
    Duration::try_from_secs_f64(value)
        .map_err(|_| PyAssertionError::new_err(format!("{name} is a number of seconds, not {value}")))
}

/// AssertionError with a message, unless a condition holds.
pub(crate) fn ensure(condition: bool, message: impl Into<String>) -> PyResult<()> {
    if condition { Ok(()) } else { Err(PyAssertionError::new_err(message.into())) }
}
