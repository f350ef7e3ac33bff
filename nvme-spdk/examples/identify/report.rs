//! All that one controller says, gathered and printed.

use std::fmt::Write;

use nvme_spdk::{Controller, DISCOVERY_NQN, TransportId, decode, hex_dump};
use serde::Serialize;

use crate::ask::{Ask, Found, Refused};
use crate::connect;
use crate::end::Result;
use crate::features;
use crate::logs::{self, Extra};

#[derive(Debug, Serialize)]
pub struct ControllerReport {
    name: String,
    address: String,
    subnqn: String,
    registers: Vec<Found>,
    identify: Vec<Found>,
    features: Vec<Found>,
    logs: Vec<Found>,
    namespaces: Vec<NamespaceReport>,
    refused: Vec<Refused>,
}

#[derive(Debug, Serialize)]
struct NamespaceReport {
    nsid: u32,
    identify: Vec<Found>,
    features: Vec<Found>,
    logs: Vec<Found>,
}

/// I/O Command Set Identifier of zoned namespaces.
const ZONED: u8 = 0x02;

/// Bits of CAP: command sets are a choice, and there is a buffer, boot partitions, a persistent region.
const COMMAND_SETS: u32 = 43;
const BOOT_PARTITIONS: u32 = 45;
const PERSISTENT_REGION: u32 = 56;
const MEMORY_BUFFER: u32 = 57;

impl ControllerReport {
    pub fn gather(controller: &Controller, id: &TransportId, extra: &[Extra]) -> Result<Self> {
        let ask = &mut Ask::new(controller);
        let discovery = controller.subnqn() == DISCOVERY_NQN;
        let identify = controller.identify();
        let bytes = identify.as_bytes();
        let logs = match discovery {
            true => logs::of_discovery(ask, extra)?,
            false => logs::of_controller(ask, bytes, extra)?,
        };
        let listed = features::listed(&logs);
        let mut namespaces = Vec::new();
        if !discovery {
            for nsid in controller.active_namespaces()? {
                if id.nsid.is_none_or(|wanted| wanted == nsid) {
                    namespaces.push(namespace(ask, bytes, &listed, nsid)?);
                }
            }
        }
        Ok(ControllerReport {
            name: connect::name(controller),
            address: controller.address().to_string(),
            subnqn: controller.subnqn(),
            registers: registers(controller)?,
            identify: structures(ask, bytes, discovery)?,
            features: features::of_controller(ask, &listed, discovery)?,
            logs,
            namespaces,
            refused: std::mem::take(&mut ask.refused),
        })
    }

    /// For people, with the bytes behind each structure if wanted.
    pub fn text(&self, hex: bool) -> String {
        let mut text = String::new();
        heading(&mut text, &self.name, '=');
        for (title, found) in [
            ("Registers", &self.registers),
            ("Identify", &self.identify),
            ("Features", &self.features),
            ("Log pages", &self.logs),
        ] {
            section(&mut text, title, found, hex);
        }
        for one in &self.namespaces {
            heading(&mut text, &format!("Namespace {}", one.nsid), '=');
            for (title, found) in
                [("Identify", &one.identify), ("Features", &one.features), ("Log pages", &one.logs)]
            {
                section(&mut text, title, found, hex);
            }
        }
        if !self.refused.is_empty() {
            heading(&mut text, "Not there", '-');
            for one in &self.refused {
                let _ = writeln!(text, "{}: {}", one.what, one.status);
            }
            text.push('\n');
        }
        text
    }
}

fn heading(text: &mut String, title: &str, line: char) {
    let _ = writeln!(text, "{title}\n{}\n", line.to_string().repeat(title.chars().count()));
}

const MANY: usize = 4;

/// Lines that are as the one before are left out.
fn dump(text: &mut String, bytes: &[u8]) {
    let whole = hex_dump(bytes);
    let mut before = None;
    let mut left_out = false;
    for line in whole.lines() {
        let (offset, rest) = line.split_once(']').unwrap_or(("", line));
        if before == Some(rest) {
            left_out = true;
            continue;
        }
        if std::mem::take(&mut left_out) {
            text.push_str("  *\n");
        }
        let _ = writeln!(text, "  {offset}]{}", rest.trim_end());
        before = Some(rest);
    }
    if left_out {
        text.push_str("  *\n");
    }
    text.push('\n');
}

fn section(text: &mut String, title: &str, found: &[Found], hex: bool) {
    if found.is_empty() {
        return;
    }
    heading(text, title, '-');
    for one in found {
        let decode::Decoded { fields, parts, .. } = &one.decoded;
        // A few parts are shown as tables, many as lines.
        let many = parts.len() > MANY;
        let mut own = one.decoded.clone();
        if many {
            own.parts.clear();
        }
        let _ = writeln!(text, "{own:#}");
        if fields.is_empty() && parts.is_empty() {
            text.push_str("  nothing\n");
        }
        if many {
            parts.iter().for_each(|part| {
                let _ = writeln!(text, "  {part}");
            });
        }
        text.push('\n');
        if hex && !one.bytes.is_empty() {
            dump(text, &one.bytes);
        }
    }
}

/// Those registers that the controller has.
fn registers(controller: &Controller) -> Result<Vec<Found>> {
    // Not what is known since connecting: SPDK does not keep that of a discovery controller.
    let cap = controller.read_register64(0x00)?;
    let is_set = |bit: u32| cap >> bit & 1 == 1;
    let pcie = !controller.address().is_tcp();
    let mut found = vec![found_register(0x00, cap)];
    // Over fabrics there are no others.
    for offset in [0x08, 0x14, 0x1c] {
        found.push(found_register(offset, controller.read_register(offset)?.into()));
    }
    if pcie {
        let ready_modes = cap >> 59 & 0x3 != 0;
        for (offset, there) in [
            (0x24, true),
            (0x38, is_set(MEMORY_BUFFER)),
            (0x3c, is_set(MEMORY_BUFFER)),
            (0x40, is_set(BOOT_PARTITIONS)),
            (0x68, ready_modes),
            (0xe00, is_set(PERSISTENT_REGION)),
            (0xe08, is_set(PERSISTENT_REGION)),
        ] {
            if there {
                found.push(found_register(offset, controller.read_register(offset)?.into()));
            }
        }
    }
    Ok(found)
}

fn found_register(offset: u32, value: u64) -> Found {
    Found { id: offset, decoded: decode::register(offset, value), bytes: value.to_le_bytes().to_vec() }
}

/// What Identify says about the controller itself.
fn structures(ask: &mut Ask, bytes: &[u8], discovery: bool) -> Result<Vec<Found>> {
    let mut found = vec![Found { id: 0x01, decoded: decode::identify(0x01, bytes), bytes: bytes.to_vec() }];
    if discovery {
        return Ok(found);
    }
    let (oacs, ctratt) = (bytes[256], u16::from_le_bytes([bytes[96], bytes[97]]));
    let command_sets = ask.controller.cap() >> COMMAND_SETS & 1 == 1;
    for (cns, csi, there) in [
        (0x06, 0, command_sets),
        (0x06, ZONED, command_sets),
        (0x1c, 0, command_sets),
        // Namespace management, virtualization.
        (0x10, 0, oacs & 1 << 3 != 0),
        (0x13, 0, oacs & 1 << 3 != 0),
        (0x14, 0, oacs & 1 << 7 != 0),
        (0x15, 0, oacs & 1 << 7 != 0),
        (0x17, 0, ctratt & 1 << 9 != 0),
    ] {
        if there {
            found.extend(ask.identify(cns, 0, csi)?);
        }
    }
    Ok(found)
}

fn namespace(
    ask: &mut Ask,
    controller: &[u8],
    listed: &features::Listed,
    nsid: u32,
) -> Result<NamespaceReport> {
    let mut identify = Vec::new();
    let command_sets = ask.controller.cap() >> COMMAND_SETS & 1 == 1;
    let mut csi = 0;
    identify.extend(ask.identify(0x00, nsid, 0)?);
    if ask.controller.version() >= 0x0001_0300 {
        let descriptors = ask.identify(0x03, nsid, 0)?;
        let told =
            descriptors.iter().flat_map(|found| &found.decoded.parts).find_map(|part| part.number("CSI"));
        csi = told.and_then(|csi| u8::try_from(csi).ok()).unwrap_or(0);
        identify.extend(descriptors);
    }
    if command_sets {
        identify.extend(ask.identify(0x05, nsid, csi)?);
        identify.extend(ask.identify(0x08, nsid, 0)?);
    }
    if controller[256] & 1 << 3 != 0 {
        identify.extend(ask.identify(0x12, nsid, 0)?);
    }
    Ok(NamespaceReport {
        nsid,
        identify,
        features: features::of_namespace(ask, listed, nsid)?,
        logs: logs::of_namespace(ask, controller, nsid, csi == ZONED)?,
    })
}
