//! `nvme.discover`: what a target offers.

use nvme_spdk::{ConnectOptions, DEFAULT_TCP_PORT, DiscoveryEntry, SubsystemKind, discover_with_referrals};
use pyo3::exceptions::PyUserWarning;
use pyo3::prelude::*;

use crate::convert::{Int, seconds};
use crate::{errors, pcie};

/// One path to a subsystem: an entry of the Discovery Log Page (NVMe Base Specification, Discovery Log Page
/// Entry).
#[pyclass(frozen, get_all, name = "DiscoveryEntry", module = "nvme")]
pub(crate) struct Entry {
    /// Subsystem type: "nvme", "referral" or "discovery" (SUBTYPE 02h, 01h, 03h), or "other".
    kind: &'static str,
    /// Transport type: 1 RDMA, 2 Fibre Channel, 3 TCP, 254 intra-host.
    trtype: u8,
    /// Address family: 1 IPv4, 2 IPv6.
    adrfam: u8,
    /// Transport address.
    traddr: String,
    /// Transport service identifier: the TCP port, as text.
    trsvcid: String,
    /// NVMe Qualified Name of the subsystem.
    subnqn: String,
    /// Port identifier.
    portid: u16,
    /// Controller identifier; 0xffff where any is allocated.
    cntlid: u16,
    /// The discovery service that lists it, as "192.168.1.7:8009".
    service: String,
}

#[pymethods]
impl Entry {
    fn __repr__(&self) -> String {
        format!("<{} {} at {}:{}>", self.kind, self.subnqn, self.traddr, self.trsvcid)
    }
}

impl Entry {
    fn new(entry: DiscoveryEntry, service: String) -> Self {
        Entry {
            kind: match entry.kind {
                SubsystemKind::Nvme => "nvme",
                SubsystemKind::Referral => "referral",
                SubsystemKind::CurrentDiscovery => "discovery",
                _ => "other",
            },
            trtype: entry.transport,
            adrfam: entry.family,
            traddr: entry.address,
            trsvcid: entry.service,
            subnqn: entry.subnqn,
            portid: entry.port_id,
            cntlid: entry.controller_id,
            service,
        }
    }
}

/// Asks a discovery service which subsystems there are (NVMe Base Specification, Discovery Service).
///
/// Parameters
/// ----------
/// addr : str
///     "192.168.1.7", "192.168.1.7:8009", "\[::1]:8009" or a host name. An empty string stands for the embedded
///     target, where somebody provides one.
/// port : int
///     TCP port, where the address has none.
/// referrals : bool
///     Whether the services it refers to are asked as well, and those they refer to; each once. One that does not
///     answer is a UserWarning.
/// hostnqn : str, optional
///     The name this host gives itself: services may show a host only what it may connect to.
/// timeout : float
///     Seconds that each service may take.
///
/// Returns
/// -------
/// list of DiscoveryEntry
///     In the order of the services' log pages.
///
/// Raises
/// ------
/// NvmeEnumerateError
///     When the service cannot be asked; the text says why and what to do.
#[pyfunction]
#[pyo3(
    signature = (addr, port=Int(DEFAULT_TCP_PORT), *, referrals=true, hostnqn=None, timeout=pcie::TIMEOUT),
    text_signature = "(addr, port=4420, *, referrals=True, hostnqn=None, timeout=10.0)"
)]
pub(crate) fn discover(
    py: Python<'_>,
    addr: String,
    port: Int<u16>,
    referrals: bool,
    hostnqn: Option<String>,
    timeout: f64,
) -> PyResult<Vec<Entry>> {
    let (_, address) = pcie::parse(py, addr, port.0)?;
    let mut options = ConnectOptions::new().timeout(seconds("timeout", timeout)?);
    if let Some(hostnqn) = hostnqn {
        options = options.hostnqn(hostnqn);
    }
    let ask = || -> nvme_spdk::Result<_> {
        if referrals {
            return discover_with_referrals(&address, &options);
        }
        let entries = Ok(nvme_spdk::discover(&address, &options)?);
        Ok(vec![nvme_spdk::Discovered::new(address.clone(), entries)])
    };
    let mut all = Vec::new();
    for discovered in py.detach(ask).map_err(errors::enumerate)? {
        let service = discovered.service.to_string();
        match discovered.entries {
            Ok(entries) => all.extend(entries.into_iter().map(|entry| Entry::new(entry, service.clone()))),
            Err(why) => {
                let text = std::ffi::CString::new(format!("the referral to {service} leads nowhere: {why}"))?;
                PyErr::warn(py, &py.get_type::<PyUserWarning>(), &text, 1)?;
            }
        }
    }
    Ok(all)
}
