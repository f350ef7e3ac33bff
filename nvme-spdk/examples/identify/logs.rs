//! The log pages of a controller and of its namespaces.

use std::str::FromStr;

use nvme_spdk::decode;

use crate::ask::{Ask, Found, Log};
use crate::end::Result;

/// Supported Log Pages: four bytes for each.
const SUPPORTED: u8 = 0x00;
const DISCOVERY: u8 = 0x70;
const PERSISTENT_EVENTS: u8 = 0x0d;
const ENDURANCE_GROUP: u8 = 0x09;

/// A log page that was asked for on the command line.
#[derive(Debug, Clone, Copy)]
pub struct Extra {
    lid: u8,
    bytes: usize,
}

impl FromStr for Extra {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (lid, bytes) = text.split_once(':').unwrap_or((text, "512"));
        let number = |text: &str| match text.strip_prefix("0x") {
            Some(digits) => usize::from_str_radix(digits, 16),
            None => text.parse(),
        };
        let lid = number(lid).ok().and_then(|lid| u8::try_from(lid).ok());
        let bytes =
            number(bytes).ok().filter(|bytes| *bytes > 0 && *bytes <= 1 << 24 && bytes.is_multiple_of(4));
        match (lid, bytes) {
            (Some(lid), Some(bytes)) => Ok(Extra { lid, bytes }),
            (None, _) => Err("a log page is a number up to 0xff, as in 0xc0".to_owned()),
            (_, None) => Err("a log page has a multiple of 4 bytes, as in 0xc0:4096".to_owned()),
        }
    }
}

/// What of Identify Controller says which log pages there are, and how long they are.
struct Facts {
    lpa: u8,
    oacs: u64,
    oncs: u64,
    oaes: u64,
    ctratt: u64,
    cmic: u8,
    sanicap: u64,
    errors: usize,
    endurance_groups: u16,
    ana_bytes: usize,
}

impl Facts {
    fn of(identify: &[u8]) -> Self {
        let number = |first: usize, len: usize| {
            identify[first..first + len]
                .iter()
                .rev()
                .fold(0_u64, |number, byte| number << 8 | u64::from(*byte))
        };
        let (groups, namespaces) = (number(348, 4) as usize, number(516, 4) as usize);
        Facts {
            lpa: identify[261],
            oacs: number(256, 2),
            oncs: number(520, 2),
            oaes: number(92, 4),
            ctratt: number(96, 4),
            cmic: identify[76],
            sanicap: number(328, 4),
            errors: usize::from(identify[262]) + 1,
            endurance_groups: number(340, 2) as u16,
            // A header, a descriptor for each group, an identifier for each namespace.
            ana_bytes: (16 + groups * 32 + namespaces * 4).min(1 << 16),
        }
    }

    /// The log pages of a controller that does not list them, by what else it says.
    fn has(&self, lid: u8) -> bool {
        let bit = |number: u64, bit: u32| number >> bit & 1 == 1;
        match lid {
            0x01..=0x03 => true,
            0x04 => bit(self.oaes, 8),
            0x05 => bit(self.lpa.into(), 1),
            0x06 => bit(self.oacs, 4),
            0x07 | 0x08 => bit(self.lpa.into(), 3),
            ENDURANCE_GROUP => bit(self.ctratt, 4),
            0x0c => bit(self.cmic.into(), 3),
            PERSISTENT_EVENTS => bit(self.lpa.into(), 4),
            0x0e => bit(self.oacs, 9),
            SUPPORTED | 0x12 | 0x13 => bit(self.lpa.into(), 5),
            0x80 => bit(self.oncs, 5),
            0x81 => self.sanicap & 0x7 != 0,
            _ => false,
        }
    }

    /// How long they are, as far as they are read: what comes behind is the vendor's, or the next one of many.
    fn pages(&self) -> [(u8, usize); 20] {
        [
            (0x01, 64 * self.errors),
            (0x02, 512),
            (0x03, 512),
            (0x04, 4096),
            (0x05, 4096),
            (0x06, 564),
            (0x07, 512),
            (0x08, 512),
            (ENDURANCE_GROUP, 512),
            (0x0c, self.ana_bytes),
            (PERSISTENT_EVENTS, 512),
            (0x0e, 16),
            (0x11, 4096),
            (0x12, 1024),
            (0x13, 1024),
            (0x14, 512),
            (0x15, 16),
            (0x18, 4096),
            (0x80, 64),
            (0x81, 512),
        ]
    }
}

pub fn of_controller(ask: &mut Ask, identify: &[u8], extra: &[Extra]) -> Result<Vec<Found>> {
    let facts = Facts::of(identify);
    let mut found = Vec::new();
    let listed = if facts.has(SUPPORTED) { one(ask, Log::of_controller(SUPPORTED), 1024)? } else { None };
    for (lid, bytes) in facts.pages() {
        let there = match &listed {
            Some(list) => list.bytes[usize::from(lid) * 4] & 1 == 1,
            None => facts.has(lid),
        };
        if !there {
            continue;
        }
        match lid {
            ENDURANCE_GROUP => {
                for identifier in 1..=facts.endurance_groups {
                    found.extend(one(ask, Log { identifier, ..Log::of_controller(lid) }, bytes)?);
                }
            }
            PERSISTENT_EVENTS => {
                // The log is read from a context, which is established with the first read and released then.
                let context = |specific| Log { specific, ..Log::of_controller(lid) };
                found.extend(one(ask, context(1), bytes)?);
                ask.log(context(2), 4)?;
            }
            _ => found.extend(one(ask, Log::of_controller(lid), bytes)?),
        }
    }
    found.extend(listed);
    add(ask, extra, &mut found)?;
    Ok(found)
}

/// A discovery controller has the discovery log, which says in its header how many entries it has.
pub fn of_discovery(ask: &mut Ask, extra: &[Extra]) -> Result<Vec<Found>> {
    const ENTRY: usize = 1024;
    const MOST_ENTRIES: usize = 1024;
    let page = Log { nsid: 0, ..Log::of_controller(DISCOVERY) };
    let mut found = Vec::new();
    if let Some(header) = one(ask, page, 16)? {
        let entries = header.decoded.number("NUMREC").unwrap_or(0);
        let entries = usize::try_from(entries).unwrap_or(MOST_ENTRIES).min(MOST_ENTRIES);
        found.extend(one(ask, page, ENTRY * (1 + entries))?);
    }
    add(ask, extra, &mut found)?;
    Ok(found)
}

/// Those of a single namespace: its health, where the controller keeps that apart, and its changed zones.
pub fn of_namespace(ask: &mut Ask, identify: &[u8], nsid: u32, zoned: bool) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    if Facts::of(identify).lpa & 1 == 1 {
        found.extend(one(ask, Log { nsid, ..Log::of_controller(0x02) }, 512)?);
    }
    if zoned {
        found.extend(one(ask, Log { nsid, ..Log::of_controller(0xbf) }, 4096)?);
    }
    Ok(found)
}

fn add(ask: &mut Ask, extra: &[Extra], found: &mut Vec<Found>) -> Result<()> {
    for page in extra {
        found.extend(one(ask, Log::of_controller(page.lid), page.bytes)?);
    }
    Ok(())
}

fn one(ask: &mut Ask, page: Log, bytes: usize) -> Result<Option<Found>> {
    let data = ask.log(page, bytes)?;
    Ok(data.map(|bytes| Found { id: page.lid.into(), decoded: decode::log_page(page.lid, &bytes), bytes }))
}
