//! Transport identifiers: where a controller is, and which one of those that are there.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::controller::ConnectOptions;
use crate::error::shorten;
use crate::transport::{Address, AddressError, DEFAULT_TCP_PORT, PciAddress, parse_port};

/// Where a controller is and how it is called, as SPDK's tools take it after `-r`.
///
/// Keys and values, in any order and with spaces between them; keys are `trtype` (`TCP` or `PCIe`), `traddr`,
/// `trsvcid` (the port, 4420 by default), `adrfam`, `subnqn`, `hostnqn`, `priority` (of the sockets) and `ns` (one
/// namespace). A plain [`Address`] is taken as well. One is made from a text, or from an [`Address`] with its fields set
/// afterwards.
///
/// ```
/// use nvme_spdk::{Address, TransportId};
///
/// let text = "trtype:TCP adrfam:IPv4 traddr:192.168.1.7 trsvcid:4420 subnqn:nqn.2026-01.io.example:disk1";
/// let id: TransportId = text.parse()?;
/// assert_eq!(id.address, Address::tcp("192.168.1.7", 4420));
/// assert_eq!(id.subnqn.as_deref(), Some("nqn.2026-01.io.example:disk1"));
/// assert_eq!(id.to_string(), text);
/// assert_eq!("0000:01:00.0".parse::<TransportId>()?.to_string(), "trtype:PCIe traddr:0000:01:00.0");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub struct TransportId {
    /// Where it is.
    pub address: Address,
    /// The NVMe Qualified Name of the subsystem; without one, discovery is asked.
    pub subnqn: Option<String>,
    /// The name this host gives itself.
    pub hostnqn: Option<String>,
    /// The priority of the sockets' packets.
    pub priority: Option<u8>,
    /// The one namespace that is meant; without it, all of them.
    pub nsid: Option<u32>,
}

impl TransportId {
    /// These options, with what the identifier says put into them.
    pub fn options(&self, mut options: ConnectOptions) -> ConnectOptions {
        if let Some(nqn) = &self.subnqn {
            options = options.subnqn(nqn);
        }
        if let Some(nqn) = &self.hostnqn {
            options = options.hostnqn(nqn);
        }
        match self.priority {
            Some(priority) => options.priority(priority),
            None => options,
        }
    }
}

impl From<Address> for TransportId {
    fn from(address: Address) -> Self {
        TransportId { address, subnqn: None, hostnqn: None, priority: None, nsid: None }
    }
}

/// The keys that are known, of which each may come once.
#[derive(Default)]
struct Keys<'a> {
    trtype: Option<&'a str>,
    adrfam: Option<&'a str>,
    traddr: Option<&'a str>,
    trsvcid: Option<&'a str>,
    subnqn: Option<&'a str>,
    hostnqn: Option<&'a str>,
    priority: Option<&'a str>,
    ns: Option<&'a str>,
}

/// Whether a text is meant as keys and values, and not as a plain address.
pub(crate) fn has_keys(text: &str) -> bool {
    let key = |word: &str| word.split_once([':', '=']).map(|(key, _)| key.to_ascii_lowercase());
    text.split_whitespace().any(|word| matches!(key(word).as_deref(), Some("trtype" | "traddr")))
}

impl<'a> Keys<'a> {
    fn place(&mut self, key: &str) -> Option<&mut Option<&'a str>> {
        Some(match key {
            "trtype" => &mut self.trtype,
            "adrfam" => &mut self.adrfam,
            "traddr" => &mut self.traddr,
            "trsvcid" => &mut self.trsvcid,
            "subnqn" => &mut self.subnqn,
            "hostnqn" => &mut self.hostnqn,
            "priority" => &mut self.priority,
            "ns" => &mut self.ns,
            _ => return None,
        })
    }

    fn read(text: &'a str) -> Result<Self, String> {
        let mut keys = Keys::default();
        for word in text.split_whitespace() {
            // Both are SPDK's.
            let (key, value) = word
                .split_once([':', '='])
                .ok_or_else(|| format!("{:?} is no key:value", shorten(word, 40)))?;
            let place = keys.place(&key.to_ascii_lowercase()).ok_or_else(|| {
                format!(
                    "{:?} is no key; there are trtype, adrfam, traddr, trsvcid, subnqn, hostnqn, priority, ns",
                    shorten(key, 40)
                )
            })?;
            if value.is_empty() {
                return Err(format!("{key} has no value"));
            }
            if place.replace(value).is_some() {
                return Err(format!("{key} is there twice"));
            }
        }
        Ok(keys)
    }

    fn address(&self) -> Result<Address, String> {
        let traddr = self.traddr.ok_or_else(|| "traddr is missing".to_owned())?;
        let pcie = match self.trtype.map(str::to_ascii_lowercase).as_deref() {
            Some("pcie") => true,
            Some("tcp") => false,
            // As for a plain address: what looks like a PCI function is one.
            None => pci_function(traddr).is_ok(),
            Some(_) => {
                return Err(format!(
                    "trtype is PCIe or TCP here, not {:?}",
                    shorten(self.trtype.unwrap_or_default(), 20)
                ));
            }
        };
        if pcie {
            if let Some(port) = self.trsvcid {
                return Err(format!("trsvcid:{} is for TCP; a PCI function has no port", shorten(port, 20)));
            }
            return Ok(Address::Pcie(pci_function(traddr)?));
        }
        let port = self.trsvcid.map_or(Ok(DEFAULT_TCP_PORT), parse_port)?;
        let host = traddr.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(traddr);
        // The rules of a host are those of an address without a port.
        let with_port =
            if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
        match Address::read(&with_port)? {
            address @ Address::Tcp { .. } => Ok(address),
            Address::Pcie(_) => Err(format!("{traddr} is a PCI function, no host for TCP")),
        }
    }
}

/// SPDK also takes dots all through, as colons separate keys and values.
fn pci_function(traddr: &str) -> Result<PciAddress, String> {
    let dots: Vec<_> = traddr.split('.').collect();
    match dots.as_slice() {
        [domain, bus, device, function] => PciAddress::read(&format!("{domain}:{bus}:{device}.{function}")),
        _ => PciAddress::read(traddr),
    }
}

fn number<T: FromStr>(key: &str, text: Option<&str>) -> Result<Option<T>, String> {
    text.map(|text| text.parse().map_err(|_| format!("{key} {:?} is no number", shorten(text, 20))))
        .transpose()
}

impl FromStr for TransportId {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        TransportId::read(text).map_err(|why| AddressError::new(text, why))
    }
}

impl TransportId {
    /// The identifier, or what is wrong with the text.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        if !has_keys(text) {
            return Ok(Address::read(text)?.into());
        }
        let keys = Keys::read(text)?;
        let address = keys.address()?;
        match (keys.adrfam.map(str::to_ascii_lowercase).as_deref(), &address) {
            (None | Some("ipv4" | "ipv6"), Address::Tcp { .. }) | (None, Address::Pcie(_)) => {}
            (_, Address::Pcie(_)) => return Err("adrfam is for TCP".to_owned()),
            (Some(_), Address::Tcp { .. }) => {
                return Err("adrfam is IPv4 or IPv6 for TCP".to_owned());
            }
        }
        Ok(TransportId {
            address,
            subnqn: keys.subnqn.map(str::to_owned),
            hostnqn: keys.hostnqn.map(str::to_owned),
            priority: number("priority", keys.priority)?,
            nsid: number("ns", keys.ns)?,
        })
    }
}

/// As SPDK's tools take it.
impl fmt::Display for TransportId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Pcie(function) => write!(f, "trtype:PCIe traddr:{function}")?,
            Address::Tcp { host, port } => {
                let family = if host.contains(':') { "IPv6" } else { "IPv4" };
                write!(f, "trtype:TCP adrfam:{family} traddr:{host} trsvcid:{port}")?;
            }
        }
        if let Some(nqn) = &self.subnqn {
            write!(f, " subnqn:{nqn}")?;
        }
        if let Some(nqn) = &self.hostnqn {
            write!(f, " hostnqn:{nqn}")?;
        }
        if let Some(priority) = self.priority {
            write!(f, " priority:{priority}")?;
        }
        match self.nsid {
            Some(nsid) => write!(f, " ns:{nsid}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<TransportId, String> {
        text.parse().map_err(|e: AddressError| e.to_string())
    }

    #[test]
    fn every_accepted_form() {
        let tcp = |host: &str, port| TransportId::from(Address::tcp(host, port));
        let pcie = || TransportId::from(Address::Pcie("0000:04:00.0".parse().unwrap()));
        assert_eq!(parse("trtype:TCP traddr:10.0.0.1"), Ok(tcp("10.0.0.1", 4420)));
        assert_eq!(parse("  traddr=10.0.0.1\ttrsvcid=8009 TRTYPE=tcp"), Ok(tcp("10.0.0.1", 8009)));
        assert_eq!(parse("trtype:TCP adrfam:IPv6 traddr:fe80::1 trsvcid:1"), Ok(tcp("fe80::1", 1)));
        assert_eq!(parse("traddr:[fe80::1]"), Ok(tcp("fe80::1", 4420)));
        assert_eq!(parse("trtype:tcp traddr:disk.lab"), Ok(tcp("disk.lab", 4420)));
        for text in [
            "trtype:PCIe traddr:0000:04:00.0",
            "trtype:PCIe traddr:04:00.0",
            "trtype:pcie traddr:0000.04.00.0",
            "traddr:04:00.0",
            "0000:04:00.0",
        ] {
            assert_eq!(parse(text), Ok(pcie()), "{text}");
        }
        assert_eq!(parse("192.168.1.7:1"), Ok(tcp("192.168.1.7", 1)));
        // Hosts may be called like keys.
        assert_eq!(parse("ns:1"), Ok(tcp("ns", 1)));
        assert_eq!(parse("ns:1 traddr:h").unwrap().nsid, Some(1));
        let full = parse("trtype:TCP traddr:h subnqn:nqn.a:b hostnqn:nqn.c priority:3 ns:7").unwrap();
        let expected = TransportId {
            subnqn: Some("nqn.a:b".to_owned()),
            hostnqn: Some("nqn.c".to_owned()),
            priority: Some(3),
            nsid: Some(7),
            ..tcp("h", 4420)
        };
        assert_eq!(full, expected);
    }

    #[test]
    fn every_refused_form_says_why() {
        for (text, why) in [
            ("trtype:TCP", "traddr is missing"),
            ("trtype:RDMA traddr:10.0.0.1", "PCIe or TCP"),
            ("trtype:TCP traddr:10.0.0.1 trsvcid:0", "no port"),
            ("trtype:TCP traddr:10.0.0.1 colour:red", "no key"),
            ("trtype:TCP traddr:10.0.0.1 subnqn", "no key:value"),
            ("trtype:TCP traddr:", "no value"),
            ("trtype:TCP traddr:a traddr:b", "twice"),
            ("trtype:TCP traddr:a ns:x", "no number"),
            ("trtype:TCP traddr:a adrfam:ib", "IPv4 or IPv6"),
            ("trtype:TCP traddr:a/b", "letters"),
            ("trtype:PCIe traddr:10.0.0.1.2", "PCI address"),
            ("trtype:PCIe traddr:04:00.0 trsvcid:1", "no port"),
            ("trtype:PCIe traddr:04:00.0 adrfam:IPv4", "for TCP"),
            ("", "empty"),
        ] {
            let error = parse(text).unwrap_err();
            assert!(error.contains(why), "{text:?}: {error}");
        }
    }

    #[test]
    fn an_address_is_the_same_without_what_it_cannot_hold() {
        assert_eq!("trtype:TCP traddr:h trsvcid:1".parse(), Ok(Address::tcp("h", 1)));
        let error = "trtype:TCP traddr:h subnqn:nqn.a".parse::<Address>().unwrap_err();
        assert!(error.to_string().contains("TransportId"), "{error}");
    }

    #[test]
    fn options_take_over_what_it_says() {
        let id = parse("trtype:TCP traddr:h subnqn:nqn.a hostnqn:nqn.b priority:2").unwrap();
        let options = id.options(ConnectOptions::new());
        assert_eq!((options.subnqn.as_deref(), options.hostnqn.as_deref()), (Some("nqn.a"), Some("nqn.b")));
        assert_eq!(options.priority, 2);
        let kept = parse("h").unwrap().options(ConnectOptions::new().subnqn("nqn.a").priority(1));
        assert_eq!((kept.subnqn.as_deref(), kept.priority), (Some("nqn.a"), 1));
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_back(
            ip: std::net::IpAddr, port in 1_u16.., nqn in "[a-z.:-]{1,40}", host in prop::option::of("[a-z.:-]{1,40}"),
            nsid: Option<u32>, priority: Option<u8>,
        ) {
            let address = Address::tcp(ip.to_string(), port);
            let id = TransportId { address, subnqn: Some(nqn), hostnqn: host, priority, nsid };
            prop_assert_eq!(id.to_string().parse(), Ok(id));
        }

        #[test]
        fn no_text_panics(text in "(trtype:)?\\PC{0,100}") {
            let _ = text.parse::<TransportId>();
        }
    }
}
