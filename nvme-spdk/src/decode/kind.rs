//! What there is to decode, by name: for those who type it.

use std::fmt;
use std::str::FromStr;

use super::decoded::Decoded;
use super::layout::read;
use super::{Queue, command, completion, feature_data, feature_value, identify, log_page, nvm};
use crate::command::{Command, Completion};

/// A structure that bytes can be decoded as.
///
/// ```
/// use nvme_spdk::decode::Kind;
///
/// let kind: Kind = "smart".parse()?;
/// assert_eq!(kind, Kind::LogPage(0x02));
/// assert_eq!("log 0x81".parse::<Kind>()?, Kind::LogPage(0x81));
/// assert!(kind.decode(&[0; 512]).to_string().starts_with("SMART / Health Information: CW 0x0"));
/// # Ok::<(), nvme_spdk::decode::UnknownKind>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Kind {
    /// A submission queue entry of the admin queue.
    AdminCommand,
    /// A submission queue entry of an I/O queue.
    IoCommand,
    /// A completion queue entry.
    Completion,
    /// What Identify returned for this value of CNS.
    Identify(u8),
    /// The log page with this identifier.
    LogPage(u8),
    /// The value of the feature with this identifier: dword 0 of the completion.
    Feature(u8),
    /// The data structure of the feature with this identifier.
    FeatureData(u8),
    /// The ranges of a Dataset Management command.
    Ranges,
}

/// There is nothing to decode by that name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownKind(String);

const NAMES: &[(&str, Kind)] = &[
    ("admin command", Kind::AdminCommand),
    ("io command", Kind::IoCommand),
    ("completion", Kind::Completion),
    ("identify namespace", Kind::Identify(0x00)),
    ("identify controller", Kind::Identify(0x01)),
    ("namespace list", Kind::Identify(0x02)),
    ("namespace descriptors", Kind::Identify(0x03)),
    ("controller list", Kind::Identify(0x13)),
    ("supported log pages", Kind::LogPage(0x00)),
    ("error information", Kind::LogPage(0x01)),
    ("smart", Kind::LogPage(0x02)),
    ("firmware slot", Kind::LogPage(0x03)),
    ("changed namespaces", Kind::LogPage(0x04)),
    ("commands supported", Kind::LogPage(0x05)),
    ("self test", Kind::LogPage(0x06)),
    ("telemetry", Kind::LogPage(0x07)),
    ("endurance group", Kind::LogPage(0x09)),
    ("ana", Kind::LogPage(0x0c)),
    ("persistent events", Kind::LogPage(0x0d)),
    ("features supported", Kind::LogPage(0x12)),
    ("discovery", Kind::LogPage(0x70)),
    ("reservation", Kind::LogPage(0x80)),
    ("sanitize", Kind::LogPage(0x81)),
    ("timestamp", Kind::FeatureData(0x0e)),
    ("dsm ranges", Kind::Ranges),
];

impl Kind {
    /// Decodes bytes as this; what they do not reach is left out.
    pub fn decode(self, data: &[u8]) -> Decoded {
        match self {
            Kind::AdminCommand => command(&Command::from_bytes(data), Queue::Admin),
            Kind::IoCommand => command(&Command::from_bytes(data), Queue::Io),
            Kind::Completion => completion(&Completion::from_bytes(data)),
            Kind::Identify(cns) => identify(cns, data),
            Kind::LogPage(lid) => log_page(lid, data),
            Kind::Feature(fid) => feature_value(fid, Completion::from_bytes(data).cdw0),
            Kind::FeatureData(fid) => feature_data(fid, data),
            Kind::Ranges => ranges(data),
        }
    }

    /// The names that [`FromStr`] knows.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(|(name, _)| *name)
    }
}

/// A name from the list, in whatever case, or `log N`, `identify N`, `feature N`, `feature data N` with a number.
impl FromStr for Kind {
    type Err = UnknownKind;

    fn from_str(text: &str) -> Result<Self, UnknownKind> {
        let asked = text.trim().to_lowercase().replace(['_', '-'], " ");
        if let Some((_, kind)) = NAMES.iter().find(|(name, _)| *name == asked) {
            return Ok(*kind);
        }
        let unknown = || UnknownKind(text.to_owned());
        let (kind, number) = asked.rsplit_once(' ').ok_or_else(unknown)?;
        let number = match number.strip_prefix("0x") {
            Some(digits) => u8::from_str_radix(digits, 16),
            None => number.parse(),
        };
        let number = number.map_err(|_| unknown())?;
        match kind.trim() {
            "log" | "log page" => Ok(Kind::LogPage(number)),
            "identify" | "cns" => Ok(Kind::Identify(number)),
            "feature" => Ok(Kind::Feature(number)),
            "feature data" => Ok(Kind::FeatureData(number)),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for UnknownKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = Kind::names().map(|name| format!("\"{name}\"")).collect();
        write!(
            f,
            "there is nothing to decode by the name {:?}; there are {}, and with a number \"log N\", \"identify N\", \
             \"feature N\", \"feature data N\"",
            self.0,
            names.join(", ")
        )
    }
}

impl std::error::Error for UnknownKind {}

fn ranges(data: &[u8]) -> Decoded {
    let parts = super::layout::entries(data, 0, 16, 256, |index, entry| {
        let used = entry.iter().any(|byte| *byte != 0);
        used.then(|| Decoded::new(format!("Range {index}"), read(entry, nvm::RANGE)))
    });
    Decoded::new("Dataset Management ranges", Vec::new()).with_parts(parts)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_and_numbers() {
        for (name, kind) in NAMES {
            assert_eq!(name.parse(), Ok(*kind));
            assert_eq!(name.to_uppercase().replace(' ', "_").parse(), Ok(*kind));
        }
        assert_eq!("feature 0x0b".parse(), Ok(Kind::Feature(0x0b)));
        assert_eq!("Feature data 14".parse(), Ok(Kind::FeatureData(14)));
        assert_eq!("log page 2".parse(), Ok(Kind::LogPage(2)));
        for bad in ["", "log", "log 256", "nothing", "nothing 3", "log 0x"] {
            let error = bad.parse::<Kind>().unwrap_err();
            assert!(error.to_string().contains("\"identify controller\""), "{error}");
        }
    }

    #[test]
    fn bytes_are_entries() {
        let read: Vec<u8> =
            Command::read(1, 77, 8).dwords().iter().flat_map(|dword| dword.to_le_bytes()).collect();
        assert_eq!(Kind::IoCommand.decode(&read).number("SLBA"), Some(77));
        let completion = [7, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 0, 3, 0, 1, 1];
        let decoded = Kind::Completion.decode(&completion);
        assert_eq!((decoded.number("DW0"), decoded.number("SC")), (Some(7), Some(0x80)));
        let mut ranges = [0; 4096];
        ranges[20] = 8;
        ranges[24] = 5;
        assert_eq!(Kind::Ranges.decode(&ranges).parts[0].to_string(), "Range 1: LLB 8 (blocks), SLBA 5");
        assert_eq!(Kind::Feature(6).decode(&[1, 0]).number("WCE"), Some(1));
    }

    proptest! {
        #[test]
        fn any_bytes_of_any_length_decode(place in 0..NAMES.len(), data in prop::collection::vec(any::<u8>(), 0..80)) {
            let decoded = NAMES[place].1.decode(&data);
            prop_assert!(!decoded.name.is_empty());
        }

        #[test]
        fn any_text_parses_or_says_what_there_is(text in ".*") {
            let _ = text.parse::<Kind>();
        }
    }
}
