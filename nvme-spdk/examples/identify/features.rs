//! The features of a controller and of its namespaces.

use nvme_spdk::{Command, decode};

use crate::ask::{Ask, Found};
use crate::end::Result;

/// Log page with the features a controller supports, four bytes for each.
const SUPPORTED: u8 = 0x12;

/// Of the controller, with how many bytes their data structures have. What takes an identifier of something else (NVM
/// sets, endurance groups) is not among them, nor is what the host stores there for itself.
const OF_CONTROLLER: &[(u8, usize)] = &[
    (0x01, 0),
    (0x02, 0),
    (0x04, 0),
    (0x06, 0),
    (0x07, 0),
    (0x08, 0),
    (0x09, 0),
    (0x0a, 0),
    (0x0b, 0),
    (0x0c, 256),
    (0x0d, 4096),
    (0x0e, 8),
    (0x0f, 0),
    (0x10, 0),
    (0x11, 0),
    (0x16, 512),
    (0x17, 0),
    (0x19, 0),
    (0x80, 0),
    (HOST_IDENTIFIER, 16),
];

/// Over fabrics it always has 16 bytes.
const HOST_IDENTIFIER: u8 = 0x81;
const EXTENDED_HOST_IDENTIFIER: u32 = 1;

/// A discovery controller has no others.
const OF_DISCOVERY: &[(u8, usize)] = &[(0x0b, 0), (0x0f, 0)];

const OF_NAMESPACE: &[(u8, usize)] = &[(0x03, 4096), (0x05, 0), (0x82, 0), (0x83, 0), (0x84, 0)];

/// The features a controller says it has; `None` if it does not say.
pub type Listed = Option<Vec<u8>>;

pub fn listed(logs: &[Found]) -> Listed {
    logs.iter().find(|log| log.id == u32::from(SUPPORTED)).map(|log| log.bytes.clone())
}

pub fn of_controller(ask: &mut Ask, listed: &Listed, discovery: bool) -> Result<Vec<Found>> {
    gather(ask, if discovery { OF_DISCOVERY } else { OF_CONTROLLER }, listed, 0)
}

pub fn of_namespace(ask: &mut Ask, listed: &Listed, nsid: u32) -> Result<Vec<Found>> {
    gather(ask, OF_NAMESPACE, listed, nsid)
}

fn gather(ask: &mut Ask, features: &[(u8, usize)], listed: &Listed, nsid: u32) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for &(fid, bytes) in features {
        let supported = listed
            .as_ref()
            .is_none_or(|log| log.get(usize::from(fid) * 4).is_some_and(|entry| entry & 1 == 1));
        if supported {
            found.extend(feature(ask, fid, bytes, nsid)?);
        }
    }
    Ok(found)
}

fn feature(ask: &mut Ask, fid: u8, bytes: usize, nsid: u32) -> Result<Option<Found>> {
    let mut command = Command::get_features(fid).nsid(nsid);
    if fid == HOST_IDENTIFIER {
        command = command.cdw11(EXTENDED_HOST_IDENTIFIER);
    }
    let name = decode::feature_value(fid, 0).name;
    let Some((completion, bytes)) = ask.command(format!("feature {fid:02X}h, {name}"), &command, bytes)?
    else {
        return Ok(None);
    };
    let mut decoded = decode::feature_value(fid, completion.cdw0);
    if !bytes.is_empty() {
        let data = decode::feature_data(fid, &bytes);
        decoded.fields.extend(data.fields);
        decoded.parts.extend(data.parts);
    }
    Ok(Some(Found { id: fid.into(), decoded, bytes }))
}
