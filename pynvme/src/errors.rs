//! Exceptions: which of Python's stands for which error, with the texts scripts match on in front.

use std::cell::RefCell;

use nvme_spdk::Error;
use pyo3::create_exception;
use pyo3::exceptions::{
    PyAssertionError, PyConnectionError, PyException, PyKeyboardInterrupt, PyMemoryError,
    PyNotImplementedError, PyOSError, PyTimeoutError,
};
use pyo3::prelude::*;

create_exception!(nvme, NvmeEnumerateError, PyException, "The controller could not be found or initialised.");
create_exception!(nvme, NvmeDeletionError, PyException, "The controller could not be closed.");
create_exception!(
    nvme,
    NvmeShutdownStatusTimeoutError,
    PyException,
    "The controller did not shut down in time."
);
create_exception!(nvme, QpairCreationError, PyException, "A queue pair could not be created.");
create_exception!(nvme, QpairDeletionError, PyException, "A queue pair could not be deleted.");
create_exception!(nvme, NamespaceCreationError, PyException, "A namespace could not be opened.");
create_exception!(nvme, NamespaceDeletionError, PyException, "A namespace could not be closed.");

pub(crate) fn register(module: &Bound<'_, PyModule>) -> PyResult<()> {
    let py = module.py();
    module.add("NvmeEnumerateError", py.get_type::<NvmeEnumerateError>())?;
    module.add("NvmeDeletionError", py.get_type::<NvmeDeletionError>())?;
    module.add("NvmeShutdownStatusTimeoutError", py.get_type::<NvmeShutdownStatusTimeoutError>())?;
    module.add("QpairCreationError", py.get_type::<QpairCreationError>())?;
    module.add("QpairDeletionError", py.get_type::<QpairDeletionError>())?;
    module.add("NamespaceCreationError", py.get_type::<NamespaceCreationError>())?;
    module.add("NamespaceDeletionError", py.get_type::<NamespaceDeletionError>())?;
    Ok(())
}

thread_local! {
    /// What a signal handler raised while this thread waited in Rust.
    static RAISED: RefCell<Option<PyErr>> = const { RefCell::new(None) };
}

/// Asked by nvme-spdk between slices of every wait: runs Python's signal handlers.
pub(crate) fn interrupted() -> bool {
    // A daemon thread may wait here when the interpreter ends: then there is nobody left to wait for.
    let Some(checked) = Python::try_attach(|py| py.check_signals()) else { return true };
    let raised = checked.err();
    let any = raised.is_some();
    if any {
        RAISED.set(raised);
    }
    any
}

/// The exception for an error where no other rule applies.
pub(crate) fn usual(error: Error) -> PyErr {
    let text = error.to_string();
    match error {
        Error::Interrupted { .. } => raised(text),
        Error::NoMemory { .. } => PyMemoryError::new_err(text),
        Error::Timeout { .. } => PyTimeoutError::new_err(text),
        Error::Unsupported(_) => PyNotImplementedError::new_err(text),
        Error::Pci { .. } | Error::InUse { .. } => PyOSError::new_err(text),
        Error::Dead { state: "failed", .. } | Error::QpairDead { state: "disconnected", .. } => {
            PyConnectionError::new_err(text)
        }
        Error::EnvStart { .. } | Error::EnvRunning { .. } | Error::Forked { .. } => {
            NvmeEnumerateError::new_err(text)
        }
        _ => PyAssertionError::new_err(text),
    }
}

/// What a signal handler raised during a wait that was interrupted.
pub(crate) fn raised(text: String) -> PyErr {
    RAISED.take().unwrap_or_else(|| PyKeyboardInterrupt::new_err(text))
}

/// Raises what a signal handler raised during a wait of which nobody has told: closing goes on without.
pub(crate) fn settle() -> PyResult<()> {
    RAISED.take().map_or(Ok(()), Err)
}

/// The exception for a controller that cannot be had.
pub(crate) fn enumerate(error: Error) -> PyErr {
    match error {
        Error::Interrupted { .. } => usual(error),
        Error::EnvStart { .. } | Error::EnvRunning { .. } | Error::Forked { .. } => {
            NvmeEnumerateError::new_err(format!("driver initialization fail: {error}"))
        }
        _ => NvmeEnumerateError::new_err(format!("fail to create the controller: {error}")),
    }
}

/// The exception for a queue pair that cannot be had.
pub(crate) fn qpair_creation(error: Error) -> PyErr {
    match error {
        Error::Interrupted { .. } => usual(error),
        _ => QpairCreationError::new_err(format!("qpair create fail: {error}")),
    }
}

/// The exception for a queue pair that cannot be deleted.
pub(crate) fn qpair_deletion(error: Error) -> PyErr {
    match error {
        Error::QpairDelete { .. } => QpairDeletionError::new_err(format!("qpair delete fail: {error}")),
        _ => usual(error),
    }
}

/// The exception for a namespace that cannot be had.
pub(crate) fn namespace_creation(error: Error) -> PyErr {
    match error {
        Error::NoNamespace { .. } => NamespaceCreationError::new_err(error.to_string()),
        _ => usual(error),
    }
}

/// The exception for a command that was not taken: the original's text with its error number first. `kind` ends
/// as there, in a comma or a colon.
pub(crate) fn submission(kind: &'static str) -> impl Fn(Error) -> PyErr {
    move |error| match error {
        Error::QueueFull { .. }
        | Error::Submit { .. }
        | Error::BufferTooSmall { .. }
        | Error::DataPointer { .. } => {
            PyAssertionError::new_err(format!("error in submitting {kind} -22: {error}"))
        }
        _ => usual(error),
    }
}
