//! Addresses of controllers, and how to reach them.

mod reach;
mod service;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, shorten};
use crate::transport_id::{self, TransportId};
pub(crate) use reach::{probe, reach};
pub(crate) use service::set_type_of_service;

/// The port NVMe/TCP has from IANA.
pub const DEFAULT_TCP_PORT: u16 = 4420;

/// Where a controller is; which one of several that are there is said by a [`TransportId`].
///
/// ```
/// use nvme_spdk::Address;
///
/// assert_eq!("0000:01:00.0".parse(), Ok(Address::Pcie("0000:01:00.0".parse()?)));
/// assert_eq!("01:00.0".parse::<Address>()?.to_string(), "0000:01:00.0");
/// assert_eq!("127.0.0.1".parse::<Address>()?.to_string(), "127.0.0.1:4420");
/// assert_eq!("[::1]:8009".parse::<Address>()?, Address::tcp("::1", 8009));
/// assert_eq!("trtype:PCIe traddr:01:00.0".parse::<Address>()?.to_string(), "0000:01:00.0");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Address {
    /// A PCI function.
    Pcie(PciAddress),
    /// An NVMe/TCP target.
    Tcp {
        /// Host name or IP address, without brackets.
        host: String,
        /// TCP port.
        port: u16,
    },
}

/// Domain, bus, device and function of a PCI function, as `0000:01:00.0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PciAddress {
    /// PCI domain.
    pub domain: u32,
    /// Bus number.
    pub bus: u8,
    /// Device number, 0 to 31.
    pub device: u8,
    /// Function number, 0 to 7.
    pub function: u8,
}

impl Address {
    /// An NVMe/TCP target.
    pub fn tcp(host: impl Into<String>, port: u16) -> Self {
        Address::Tcp { host: host.into(), port }
    }

    /// Whether it is that of an NVMe/TCP target.
    pub const fn is_tcp(&self) -> bool {
        matches!(self, Address::Tcp { .. })
    }

    /// The transport address alone (TRADDR): the host without its port, or the PCI function.
    pub fn traddr(&self) -> String {
        match self {
            Address::Tcp { host, .. } => host.clone(),
            Address::Pcie(function) => function.to_string(),
        }
    }
}

/// The longest host name of the domain name system.
const LONGEST_HOST: usize = 253;

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Address::read(text).map_err(|why| AddressError::new(text, why))
    }
}

impl Address {
    /// The address, or what is wrong with the text.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let wrong = |why: &str| why.to_owned();
        if text.is_empty() {
            return Err(wrong("it is empty"));
        }
        if transport_id::has_keys(text) {
            let id = TransportId::read(text)?;
            if (&id.subnqn, &id.hostnqn, id.priority, id.nsid) != (&None, &None, None, None) {
                return Err(wrong("it says more than where a controller is: that is a TransportId"));
            }
            return Ok(id.address);
        }
        if text.len() > LONGEST_HOST + 8 {
            return Err(wrong("it is too long"));
        }
        if let Ok(pci) = PciAddress::read(text) {
            return Ok(Address::Pcie(pci));
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (host, tail) = rest.split_once(']').ok_or_else(|| wrong("the closing ] is missing"))?;
            host.parse::<IpAddr>().map_err(|_| wrong("what stands in brackets is no IPv6 address"))?;
            let port = match tail.strip_prefix(':') {
                Some(port) => parse_port(port)?,
                None if tail.is_empty() => DEFAULT_TCP_PORT,
                None => return Err(wrong("only :port may follow the ]")),
            };
            return Ok(Address::tcp(host, port));
        }
        if text.parse::<IpAddr>().is_ok() {
            return Ok(Address::tcp(text, DEFAULT_TCP_PORT));
        }
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, parse_port(port)?),
            None => (text, DEFAULT_TCP_PORT),
        };
        let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if host.is_empty() || !host.chars().all(letter) {
            return Err(wrong("a host has letters, digits, dots and hyphens only"));
        }
        Ok(Address::tcp(host, port))
    }
}

/// A text that is no address, and why. [`Error`] takes it over with `?`, and says what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{input:?} is no address: {why}")]
pub struct AddressError {
    input: String,
    why: String,
}

impl AddressError {
    pub(crate) fn new(input: &str, why: String) -> Self {
        AddressError { input: shorten(input, 80), why }
    }
}

impl From<AddressError> for Error {
    fn from(error: AddressError) -> Self {
        Error::Address { input: error.input, why: error.why }
    }
}

pub(crate) fn parse_port(text: &str) -> Result<u16, String> {
    match text.parse::<u16>() {
        Ok(port) if port > 0 => Ok(port),
        _ => Err(format!("{:?} is no port (1 to 65535)", shorten(text, 20))),
    }
}

impl FromStr for PciAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        PciAddress::read(text).map_err(|why| AddressError::new(text, why))
    }
}

impl PciAddress {
    /// The address, or what is wrong with the text.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let parse = || {
            let (rest, function) = text.rsplit_once('.')?;
            let (rest, device) = rest.rsplit_once(':')?;
            let (domain, bus) = rest.rsplit_once(':').unwrap_or(("0000", rest));
            let hex = |digits: &str, most: usize| {
                let good = !digits.is_empty()
                    && digits.len() <= most
                    && digits.chars().all(|c| c.is_ascii_hexdigit());
                good.then(|| u32::from_str_radix(digits, 16).ok()).flatten()
            };
            let address = PciAddress {
                domain: hex(domain, 8)?,
                bus: hex(bus, 2)? as u8,
                device: hex(device, 2)? as u8,
                function: hex(function, 1)? as u8,
            };
            (address.device < 32 && address.function < 8).then_some(address)
        };
        parse().ok_or_else(|| "a PCI address has the form 0000:01:00.0".to_owned())
    }
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{:x}", self.domain, self.bus, self.device, self.function)
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Pcie(pci) => pci.fmt(f),
            Address::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Address, String> {
        text.parse().map_err(|e: AddressError| e.why)
    }

    #[test]
    fn every_accepted_form() {
        let pci =
            |domain, bus, device, function| Ok(Address::Pcie(PciAddress { domain, bus, device, function }));
        assert_eq!(parse("0000:01:00.0"), pci(0, 1, 0, 0));
        assert_eq!(parse("01:00.0"), pci(0, 1, 0, 0));
        assert_eq!(parse("10000:e1:1f.7"), pci(0x10000, 0xe1, 0x1f, 7));
        assert_eq!(parse("127.0.0.1"), Ok(Address::tcp("127.0.0.1", 4420)));
        assert_eq!(parse("127.0.0.1:8009"), Ok(Address::tcp("127.0.0.1", 8009)));
        assert_eq!(parse("target-1.lab:1"), Ok(Address::tcp("target-1.lab", 1)));
        assert_eq!(parse("::1"), Ok(Address::tcp("::1", 4420)));
        assert_eq!(parse("[fe80::1]"), Ok(Address::tcp("fe80::1", 4420)));
        assert_eq!(parse("[fe80::1]:65535"), Ok(Address::tcp("fe80::1", 65535)));
    }

    #[test]
    fn every_refused_form_says_why() {
        for (text, why) in [
            ("", "empty"),
            ("[::1", "closing"),
            ("[host]:1", "no IPv6"),
            ("[::1]x", "may follow"),
            ("host:0", "no port"),
            ("host:65536", "no port"),
            ("host:", "no port"),
            (":4420", "letters"),
            ("a b", "letters"),
            ("höst", "letters"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{text:?}: {error}");
        }
        assert!(parse(&"a".repeat(400)).unwrap_err().contains("too long"));
    }

    #[test]
    fn an_error_names_the_whole_text_and_becomes_one_of_the_crate() {
        fn address(text: &str) -> crate::Result<Address> {
            Ok(text.parse()?)
        }
        assert_eq!(
            "h:0".parse::<Address>().unwrap_err().to_string(),
            r#""h:0" is no address: "0" is no port (1 to 65535)"#
        );
        for text in ["trtype:TCP traddr:h trsvcid:0", "host:0", "trtype:TCP traddr:a/b"] {
            let error = address(text).unwrap_err();
            assert!(matches!(&error, Error::Address { input, .. } if input == text), "{error}");
            assert!(error.to_string().contains("write a PCIe address such as"), "{error}");
        }
        let long = "a".repeat(400);
        assert!(
            matches!(address(&long), Err(Error::Address { input, .. }) if input.ends_with("(400 characters)"))
        );
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_back(domain in 0_u32..0x20000, bus: u8, device in 0_u8..32, function in 0_u8..8) {
            let address = Address::Pcie(PciAddress { domain, bus, device, function });
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }

        #[test]
        fn tcp_prints_and_parses_back(ip: std::net::IpAddr, port in 1_u16..) {
            let address = Address::tcp(ip.to_string(), port);
            prop_assert_eq!(address.to_string().parse(), Ok(address));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,300}") {
            let _ = text.parse::<Address>();
        }
    }
}
