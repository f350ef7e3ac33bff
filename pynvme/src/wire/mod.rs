//! `nvme.wire`: the crate nvme-tcp.

mod command;
mod connection;
mod frame;
mod pdu;

use nvme_tcp::Error;
use pyo3::create_exception;
use pyo3::exceptions::{PyConnectionError, PyException, PyOSError, PyTimeoutError};
use pyo3::prelude::*;

create_exception!(
    nvme.wire,
    ProtocolError,
    PyException,
    "The target did not keep to the protocol, or refused a command that has to succeed."
);

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("ProtocolError", module.py().get_type::<ProtocolError>())?;
    module.add_class::<command::Command>()?;
    module.add_class::<connection::Closed>()?;
    module.add_class::<connection::Connection>()?;
    module.add_class::<connection::Outcome>()?;
    module.add_class::<frame::Frame>()?;
    module.add_class::<pdu::Malformed>()?;
    module.add_class::<pdu::Pdu>()?;
    module.add_function(wrap_pyfunction!(connection::write_capture, module)?)
}

/// The exception for an error.
fn error(error: Error) -> PyErr {
    let text = error.to_string();
    match error {
        Error::Interrupted { .. } => crate::errors::raised(text),
        Error::Timeout { .. } => PyTimeoutError::new_err(text),
        Error::Resolve { .. }
        | Error::Connect { .. }
        | Error::Send { .. }
        | Error::Closed { .. }
        | Error::Terminated { .. } => PyConnectionError::new_err(text),
        Error::Malformed(_) | Error::Unexpected { .. } | Error::Status { .. } => ProtocolError::new_err(text),
        _ => PyOSError::new_err(text),
    }
}
