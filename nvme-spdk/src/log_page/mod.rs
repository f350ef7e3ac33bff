//! Log pages as structures: the bytes the controller returned, and a function for each field.
//!
//! [`decode::log_page`](crate::decode::log_page) shows any log page to people; these are for programs. Each function
//! here names the field as the decoder does, and a test holds the two against each other.

mod error;
mod firmware;
mod sanitize;
mod self_test;
mod smart;

pub use error::ErrorLogEntry;
pub use firmware::FirmwareSlotLog;
pub use sanitize::{SanitizeLog, SanitizeState};
pub use self_test::{SelfTestLog, SelfTestResult};
pub use smart::SmartLog;

/// A temperature as the specification has it, in kelvins, in whole degrees Celsius.
fn celsius(kelvins: u16) -> Option<i16> {
    (kelvins != 0).then(|| i16::try_from(i32::from(kelvins) - 273).unwrap_or(i16::MAX))
}

/// ASCII, padded with spaces or ended by a zero.
fn text(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).trim().to_owned()
}

/// A structure over the bytes of a log page, with its fields: `/// what it is` `name: type = offset, "ABBREVIATION"`.
macro_rules! structure {
    (
        $(#[$doc:meta])*
        $name:ident, $size:literal bytes { $($(#[$field_doc:meta])* $field:ident: $type:ty = $offset:literal, $abbreviation:literal;)* }
    ) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq)]
        pub struct $name {
            bytes: Box<[u8]>,
        }

        impl $name {
            /// How many bytes it takes.
            pub const SIZE: usize = $size;

            /// Reads the structure from the bytes the controller returned; zeros stand for what is missing, and more is
            /// ignored.
            pub fn from_bytes(bytes: &[u8]) -> Self {
                let mut whole = vec![0; Self::SIZE];
                let len = bytes.len().min(Self::SIZE);
                whole[..len].copy_from_slice(&bytes[..len]);
                $name { bytes: whole.into() }
            }

            /// All its bytes.
            pub fn as_bytes(&self) -> &[u8] {
                &self.bytes
            }

            $(
                $(#[$field_doc])*
                pub fn $field(&self) -> $type {
                    let field = &self.bytes[$offset..$offset + size_of::<$type>()];
                    <$type>::from_le_bytes(field.try_into().unwrap_or_default())
                }
            )*

            /// The fields by their abbreviations.
            #[allow(dead_code, reason = "a structure may have no such fields")]
            #[cfg(test)]
            pub(super) fn numbers(&self) -> Vec<(&'static str, u128)> {
                vec![$(($abbreviation, u128::from(self.$field()))),*]
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name))$(.field(stringify!($field), &self.$field()))*.finish_non_exhaustive()
            }
        }
    };
}
pub(crate) use structure;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::decode::{self, Decoded};

    fn agree(decoded: &Decoded, numbers: Vec<(&'static str, u128)>) -> Result<(), TestCaseError> {
        for (name, number) in numbers {
            prop_assert_eq!(decoded.number(name), Some(number), "{} of {}", name, decoded.name);
        }
        Ok(())
    }

    proptest! {
        #[test]
        fn structures_and_decoders_agree(bytes in prop::collection::vec(any::<u8>(), 564)) {
            agree(&decode::log_page(0x02, &bytes), SmartLog::from_bytes(&bytes).numbers())?;
            agree(&decode::log_page(0x81, &bytes), SanitizeLog::from_bytes(&bytes).numbers())?;

            let firmware = FirmwareSlotLog::from_bytes(&bytes);
            let decoded = decode::log_page(0x03, &bytes);
            prop_assert_eq!(decoded.number("AFI"), Some(firmware.active_slot().into()));
            prop_assert_eq!(decoded.number("AFINEXT"), Some(firmware.next_slot().unwrap_or(0).into()));

            let errors = decode::log_page(0x01, &bytes);
            for (entry, bytes) in errors.parts.iter().zip(bytes.chunks_exact(64)) {
                agree(entry, ErrorLogEntry::from_bytes(bytes).numbers())?;
            }

            let log = SelfTestLog::from_bytes(&bytes);
            let decoded = decode::log_page(0x06, &bytes);
            prop_assert_eq!(decoded.number("CDSTO"), Some(log.operation().into()));
            prop_assert_eq!(decoded.number("CDSTC"), Some(log.percent_complete().into()));
            let results = log.results();
            prop_assert_eq!(decoded.parts.len(), results.len());
            for (entry, result) in decoded.parts.iter().zip(results) {
                prop_assert_eq!(entry.number("DSTR"), Some(result.result().into()));
                prop_assert_eq!(entry.number("DSTC"), Some(result.code().into()));
                agree(entry, result.numbers())?;
            }
        }

        #[test]
        fn any_bytes_are_a_log(bytes in prop::collection::vec(any::<u8>(), 0..700)) {
            let _ = format!("{:?} {:?}", SmartLog::from_bytes(&bytes), SelfTestLog::from_bytes(&bytes).results());
            let _ = format!("{:?} {:?}", FirmwareSlotLog::from_bytes(&bytes), SanitizeLog::from_bytes(&bytes));
        }
    }

    #[test]
    fn what_has_a_unit() {
        let mut bytes = [0; 512];
        bytes[1..3].copy_from_slice(&300_u16.to_le_bytes());
        bytes[0] = 0x12;
        bytes[202..204].copy_from_slice(&263_u16.to_le_bytes());
        bytes[32] = 3;
        let smart = SmartLog::from_bytes(&bytes);
        assert_eq!((smart.temperature(), smart.sensor(1), smart.sensor(2)), (Some(27), None, Some(-10)));
        assert_eq!((smart.bytes_read(), smart.bytes_written()), (3 * 512_000, 0));
        assert_eq!((smart.critical_warning(), smart.sensor(0), smart.sensor(9)), (0x12, None, None));

        let mut bytes = [0; 512];
        bytes[0] = 0x21;
        bytes[8..16].copy_from_slice(b"1.0     ");
        let firmware = FirmwareSlotLog::from_bytes(&bytes);
        assert_eq!((firmware.active_slot(), firmware.next_slot()), (1, Some(2)));
        assert_eq!((firmware.revision(1).as_deref(), firmware.revision(2)), (Some("1.0"), None));
        assert_eq!((firmware.revision(0), firmware.revision(8)), (None, None));

        let mut bytes = [0; 512];
        (bytes[1], bytes[2]) = (0x80, 2);
        let sanitize = SanitizeLog::from_bytes(&bytes);
        assert_eq!((sanitize.state(), sanitize.percent()), (SanitizeState::InProgress, Some(50.0)));
    }
}
