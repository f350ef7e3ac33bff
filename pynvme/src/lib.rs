//! The Python module `nvme._nvme`: types of nvme-spdk in Python's clothes.
//!
//! This crate converts: arguments, errors, callbacks. What a Rust user would miss belongs to nvme-spdk.

mod admin;
mod buffer;
mod callback;
mod controller;
mod convert;
mod decode;
mod discovery;
mod errors;
mod ioworker;
mod log;
mod namespace;
mod pcie;
mod progress;
mod qpair;
mod report;
mod rpc;
mod subsystem;
mod target;
mod wait;
mod wire;

use pyo3::prelude::*;

/// The driver behind the module nvme.
#[pymodule]
fn _nvme(module: &Bound<'_, PyModule>) -> PyResult<()> {
    log::init();
    nvme_spdk::interrupt::set_check(errors::interrupted);

    errors::register(module)?;
    wire::register(module)?;
    module.add_class::<buffer::Buffer>()?;
    module.add_class::<pcie::Pcie>()?;
    module.add_class::<pcie::Tcp>()?;
    module.add_class::<controller::Controller>()?;
    module.add_class::<qpair::Qpair>()?;
    module.add_class::<namespace::Namespace>()?;
    module.add_class::<ioworker::IoWorker>()?;
    module.add_class::<subsystem::Subsystem>()?;
    module.add_class::<target::Target>()?;
    module.add_class::<decode::Decoded>()?;
    module.add_class::<decode::Field>()?;
    module.add_function(wrap_pyfunction!(decode::decode, module)?)?;
    module.add_class::<discovery::Entry>()?;
    module.add_function(wrap_pyfunction!(discovery::discover, module)?)?;
    module.add_function(wrap_pyfunction!(pcie::set_default_address, module)?)?;
    module.add_function(wrap_pyfunction!(transport_available, module)?)?;
    module.add_function(wrap_pyfunction!(environment, module)?)?;
    module.add_function(wrap_pyfunction!(rpc::serve, module)?)?;
    module.add_function(wrap_pyfunction!(report::observe_workers, module)?)?;
    module.add_function(wrap_pyfunction!(report::survey, module)?)?;
    module.add_function(wrap_pyfunction!(report::last_commands, module)?)?;
    module.add("spdk_version", nvme_spdk::spdk_version())?;
    Ok(())
}

/// Whether SPDK has a transport; starts nothing.
///
/// Parameters
/// ----------
/// name : str
///     "PCIE" or "TCP".
///
/// Returns
/// -------
/// bool
#[pyfunction]
fn transport_available(name: &str) -> bool {
    nvme_spdk::transport_available(name)
}

/// Starts the environment with options of your own, before the first buffer or controller.
///
/// Parameters
/// ----------
/// hugepages : bool, optional
///     Hugepages or ordinary memory; if left out, hugepages when this process can have them.
/// megabytes : int, optional
///     MiB of ordinary memory, 1024 by default.
///
/// Returns
/// -------
/// dict
///     What runs: ``hugepages`` and ``pci``, both bool, and ``memory``, the bytes of DMA memory in use.
///
/// Raises
/// ------
/// NvmeEnumerateError
///     When it cannot start, or runs already with other options.
#[pyfunction]
#[pyo3(signature = (hugepages=None, megabytes=None))]
fn environment(
    py: Python<'_>,
    hugepages: Option<bool>,
    megabytes: Option<u32>,
) -> PyResult<Bound<'_, PyAny>> {
    use nvme_spdk::{Env, EnvOptions, Memory};
    rpc::serve()?;
    let memory = match (hugepages, megabytes) {
        (None, None) => None,
        (Some(true), _) => Some(Memory::Hugepages),
        (_, megabytes) => Some(Memory::Ordinary { megabytes: megabytes.unwrap_or(1024) }),
    };
    let env = py
        .detach(|| match memory {
            Some(memory) => Env::start(EnvOptions::new().memory(memory)),
            None => Env::get(),
        })
        .map_err(errors::enumerate)?;
    let facts = pyo3::types::PyDict::new(py);
    facts.set_item("hugepages", env.hugepages())?;
    facts.set_item("pci", env.pci())?;
    facts.set_item("memory", env.memory_in_use())?;
    Ok(facts.into_any())
}
