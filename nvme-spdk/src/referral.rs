//! Following referrals: a discovery service may name others, which may name others.

use std::collections::{HashSet, VecDeque};

use crate::controller::ConnectOptions;
use crate::discovery::{DiscoveryEntry, SubsystemKind, discover};
use crate::error::{Error, Result};
use crate::transport::Address;

/// What one discovery service says.
#[derive(Debug)]
#[non_exhaustive]
pub struct Discovered {
    /// Where it is.
    pub service: Address,
    /// Its entries, or why it cannot be asked.
    pub entries: Result<Vec<DiscoveryEntry>>,
}

impl Discovered {
    /// What a service has answered.
    pub fn new(service: Address, entries: Result<Vec<DiscoveryEntry>>) -> Self {
        Discovered { service, entries }
    }
}

/// More services than anybody has: what refers to ever new ones comes to an end.
const MOST: usize = 64;

/// As [`discover`], and asks the services that are referred to (NVMe base specification, "Discovery Service", entries
/// with SUBTYPE 01h) as far as they are reached over TCP: each once, the first 64. The first element is the one at
/// `address`.
///
/// # Errors
/// As [`discover`] for the service at `address`; those of the others are in the answer, but for
/// [`Error::Interrupted`].
pub fn discover_with_referrals(address: &Address, options: &ConnectOptions) -> Result<Vec<Discovered>> {
    let mut all = follow(address, |service| discover(service, options))?;
    match all.first_mut() {
        Some(first) if first.entries.is_err() => {
            std::mem::replace(&mut first.entries, Ok(Vec::new())).map(|_| Vec::new())
        }
        _ => Ok(all),
    }
}

fn follow(
    address: &Address,
    mut ask: impl FnMut(&Address) -> Result<Vec<DiscoveryEntry>>,
) -> Result<Vec<Discovered>> {
    let mut known = HashSet::from([address.clone()]);
    let mut waiting = VecDeque::from([address.clone()]);
    let mut all = Vec::new();
    while let Some(service) = waiting.pop_front() {
        let entries = match ask(&service) {
            Err(why @ Error::Interrupted { .. }) => return Err(why),
            other => other,
        };
        for entry in entries.as_ref().map_or(&[][..], Vec::as_slice) {
            if let (SubsystemKind::Referral, Some(next)) = (entry.kind, entry.tcp_address())
                && known.len() < MOST
                && known.insert(next.clone())
            {
                waiting.push_back(next);
            }
        }
        all.push(Discovered { service, entries });
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(kind: SubsystemKind, transport: u8, address: &str, service: &str) -> DiscoveryEntry {
        DiscoveryEntry {
            transport,
            family: 1,
            kind,
            port_id: 0,
            controller_id: 0xffff,
            service: service.to_owned(),
            subnqn: "nqn.2014-08.org.example:x".to_owned(),
            address: address.to_owned(),
        }
    }

    fn asked(start: &str, answer: impl Fn(&str) -> Result<Vec<DiscoveryEntry>>) -> Vec<String> {
        let start = start.parse().unwrap();
        let all = follow(&start, |service| answer(&service.to_string())).unwrap();
        all.into_iter().map(|one| one.service.to_string()).collect()
    }

    #[test]
    fn each_service_is_asked_once_also_in_circles() {
        use SubsystemKind::{CurrentDiscovery, Nvme, Referral};
        let services = asked("10.0.0.1:8009", |service| {
            Ok(match service {
                "10.0.0.1:8009" => vec![
                    entry(Nvme, 3, "10.0.0.1", "4420"),
                    entry(Referral, 3, "10.0.0.2", "8009"),
                    entry(CurrentDiscovery, 3, "10.0.0.9", "8009"),
                    entry(Referral, 1, "10.0.0.3", "4420"),
                    entry(Referral, 3, "nowhere special", "x"),
                ],
                "10.0.0.2:8009" => {
                    vec![entry(Referral, 3, "10.0.0.1", "8009"), entry(Referral, 3, "fe80::4", "8009")]
                }
                _ => vec![],
            })
        });
        assert_eq!(services, ["10.0.0.1:8009", "10.0.0.2:8009", "[fe80::4]:8009"]);
    }

    #[test]
    fn an_endless_chain_ends() {
        let services = asked("10.0.0.1:1", |service| {
            let port: u16 = service.rsplit(':').next().unwrap().parse().unwrap();
            Ok(vec![entry(SubsystemKind::Referral, 3, "10.0.0.1", &(port + 1).to_string())])
        });
        assert_eq!(services.len(), MOST);
    }

    #[test]
    fn one_that_cannot_be_asked_does_not_end_it() {
        let services = asked("10.0.0.1:1", |service| match service {
            "10.0.0.1:1" => Ok(vec![
                entry(SubsystemKind::Referral, 3, "10.0.0.2", "1"),
                entry(SubsystemKind::Referral, 3, "10.0.0.3", "1"),
            ]),
            "10.0.0.2:1" => Err(Error::Unsupported("down".to_owned())),
            _ => Ok(vec![]),
        });
        assert_eq!(services.len(), 3);
    }

    #[test]
    fn whoever_gives_up_asks_nobody_else() {
        let mut asked = 0;
        let answer = |_: &Address| {
            asked += 1;
            match asked {
                1 => Ok(vec![
                    entry(SubsystemKind::Referral, 3, "10.0.0.2", "1"),
                    entry(SubsystemKind::Referral, 3, "10.0.0.3", "1"),
                ]),
                _ => Err(Error::Interrupted { what: "discovery".to_owned() }),
            }
        };
        let answered = follow(&"10.0.0.1:1".parse().unwrap(), answer);
        assert!(matches!(answered, Err(Error::Interrupted { .. })), "{answered:?}");
        assert_eq!(asked, 2);
    }
}
