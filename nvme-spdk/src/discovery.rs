//! Discovery: which subsystems a target offers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::buffer::DmaBuf;
use crate::command::Command;
use crate::controller::{ConnectOptions, Controller, open};
use crate::deadline::{Deadline, on_helper};
use crate::env::Env;
use crate::error::{Error, Result};
use crate::queue::Data;
use crate::transport::{self, Address};

/// The name every discovery service answers to (NVMe base specification, "Discovery Service").
pub const DISCOVERY_NQN: &str = "nqn.2014-08.org.nvmexpress.discovery";

/// The Discovery Log Page (LID 70h): a header and one entry per path to a subsystem, 1024 bytes each.
const LOG_PAGE: u8 = 0x70;
const ENTRY: usize = 1024;
/// More than any target lists; what comes behind is left out.
const MOST_ENTRIES: u64 = 4096;

/// One path to a subsystem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct DiscoveryEntry {
    /// Transport Type (TRTYPE): 1 RDMA, 2 Fibre Channel, 3 TCP, 254 intra-host.
    pub transport: u8,
    /// Address Family (ADRFAM): 1 IPv4, 2 IPv6.
    pub family: u8,
    /// What it leads to.
    pub kind: SubsystemKind,
    /// Port ID (PORTID).
    pub port_id: u16,
    /// Controller ID (CNTLID); ffffh: any is allocated.
    pub controller_id: u16,
    /// Transport Service Identifier (TRSVCID): the TCP port.
    pub service: String,
    /// NVM Subsystem NVMe Qualified Name (SUBNQN).
    pub subnqn: String,
    /// Transport Address (TRADDR).
    pub address: String,
}

/// Subsystem Type (SUBTYPE) of a discovery entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum SubsystemKind {
    /// A referral to another discovery service.
    Referral,
    /// A subsystem with namespaces.
    Nvme,
    /// The discovery service itself.
    CurrentDiscovery,
    /// Anything else, by its number.
    Other(u8),
}

const TCP: u8 = 3;

/// Asks the discovery service at an address what it offers: its Discovery Log Page (NVMe base specification,
/// "Discovery Service"). At most [`ConnectOptions::timeout`] passes; [`ConnectOptions::reconnect_for`] is not
/// looked at.
///
/// The first 4096 entries are read, one command each. If the service changes its log meanwhile, entries may
/// be missing or come twice: its Generation Counter (GENCTR) is not compared.
///
/// # Errors
/// As [`Controller::connect`], [`Error::Command`] if the service refuses its log page, and
/// [`Error::Unsupported`] for a PCI function.
pub fn discover(address: &Address, options: &ConnectOptions) -> Result<Vec<DiscoveryEntry>> {
    let Address::Tcp { host, port } = address.clone() else {
        return Err(Error::Unsupported(format!(
            "{address} is a PCI function; discovery is a service of fabrics"
        )));
    };
    options.check_secrets(address)?;
    let env = Env::get()?;
    let (what, options) = (format!("discovery at {address}"), options.clone());
    let timeout = options.timeout;
    on_helper(
        move || what.clone(),
        timeout,
        move |deadline| list(&env, transport::reach(&host, port, deadline)?, &options, deadline),
    )
}

/// Where the last I/O subsystem is that the service at `socket` lists, and its name.
pub(crate) fn choose(
    env: &Arc<Env>,
    socket: SocketAddr,
    options: &ConnectOptions,
    deadline: &Deadline,
) -> Result<(SocketAddr, String)> {
    let entries = list(env, socket, options, deadline)?;
    let usable: Vec<_> =
        entries.iter().filter(|e| e.kind == SubsystemKind::Nvme && e.transport == TCP).collect();
    // A subsystem may be listed once per path: the one we came on is known to be reachable.
    let ours = |e: &&&DiscoveryEntry| e.socket() == Some(socket);
    let Some(entry) = usable.iter().rev().find(ours).or(usable.last()) else {
        let why = match entries.len() {
            0 => String::new(),
            n => format!(" over TCP among its {n} entries"),
        };
        return Err(Error::NothingDiscovered { address: socket.to_string(), why });
    };
    // A target that listens on every address may list it as such.
    let reachable = entry.socket().filter(|s| !s.ip().is_unspecified()).unwrap_or(socket);
    Ok((reachable, entry.subnqn.clone()))
}

fn list(
    env: &Arc<Env>,
    socket: SocketAddr,
    options: &ConnectOptions,
    deadline: &Deadline,
) -> Result<Vec<DiscoveryEntry>> {
    // The digests and the keep-alive are for the controllers that matter.
    let plain = ConnectOptions {
        header_digest: false,
        data_digest: false,
        keep_alive: Duration::ZERO,
        ..options.clone()
    };
    let address = Address::tcp(socket.ip().to_string(), socket.port());
    let controller = open::open(Arc::clone(env), &address, socket, DISCOVERY_NQN, &plain, deadline)?;
    read_log(&controller, deadline)
}

fn read_log(controller: &Controller, deadline: &Deadline) -> Result<Vec<DiscoveryEntry>> {
    let buffer = DmaBuf::new(4 * ENTRY)?;
    let fetch = |offset: u64, bytes: usize| -> Result<Vec<u8>> {
        let command = Command::get_log_page(LOG_PAGE, 0, offset, bytes as u32);
        let completed =
            controller.execute_within(&command, Some(Data::new(&buffer, 0, bytes)?), deadline.left())?;
        if !completed.completion.is_success() {
            return Err(Error::Command {
                what: "reading the discovery log".to_owned(),
                status: completed.completion.status(),
            });
        }
        Ok(buffer.to_vec(0..bytes))
    };
    let header = fetch(0, ENTRY)?;
    let mut count = [0; 8];
    count.copy_from_slice(&header[8..16]);
    let count = u64::from_le_bytes(count).min(MOST_ENTRIES);
    (1..=count)
        .map(|n| fetch(n * ENTRY as u64, ENTRY).map(|bytes| DiscoveryEntry::from_bytes(&bytes)))
        .collect()
}

impl DiscoveryEntry {
    /// Reads one entry of the log page (NVMe base specification, "Discovery Log Page Entry").
    ///
    /// # Panics
    /// If there are fewer than 768 bytes.
    pub fn from_bytes(bytes: &[u8]) -> Self {
        let u16_at = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        let text = |at: usize, len: usize| {
            let field = &bytes[at..at + len];
            let end = field.iter().position(|&b| b == 0).unwrap_or(len);
            String::from_utf8_lossy(&field[..end]).trim().to_owned()
        };
        DiscoveryEntry {
            transport: bytes[0],
            family: bytes[1],
            kind: match bytes[2] {
                1 => SubsystemKind::Referral,
                2 => SubsystemKind::Nvme,
                3 => SubsystemKind::CurrentDiscovery,
                other => SubsystemKind::Other(other),
            },
            port_id: u16_at(4),
            controller_id: u16_at(6),
            service: text(32, 32),
            subnqn: text(256, 256),
            address: text(512, 256),
        }
    }

    /// Where it leads, if that is over TCP and the address is one.
    pub fn tcp_address(&self) -> Option<Address> {
        let socket = self.socket().filter(|_| self.transport == TCP)?;
        Some(Address::tcp(socket.ip().to_string(), socket.port()))
    }

    fn socket(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(self.address.parse().ok()?, self.service.parse().ok()?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_of_the_log() {
        let mut bytes = vec![0_u8; ENTRY];
        bytes[..3].copy_from_slice(&[3, 1, 2]);
        bytes[6..8].copy_from_slice(&0xffff_u16.to_le_bytes());
        bytes[32..64].copy_from_slice(format!("{:32}", "4420").as_bytes());
        bytes[256..256 + 9].copy_from_slice(b"nqn.x:one");
        bytes[512..768].copy_from_slice(format!("{:256}", "127.0.0.1").as_bytes());
        let entry = DiscoveryEntry::from_bytes(&bytes);
        assert_eq!(entry.kind, SubsystemKind::Nvme);
        assert_eq!((entry.subnqn.as_str(), entry.controller_id), ("nqn.x:one", 0xffff));
        assert_eq!(entry.socket(), Some("127.0.0.1:4420".parse().unwrap()));
    }
}
