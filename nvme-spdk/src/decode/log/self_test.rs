//! Device Self-test (NVMe base specification, "Device Self-test Log Page").

use super::super::admin::SELF_TESTS;
use super::super::decoded::{Decoded, Field};
use super::super::layout::{Names, Spec, bits, bytes, entries, number_at, read};

pub(super) const FIELDS: &[Spec] = &[
    bits(0, 3, 0, "CDSTO", "Current Device Self-test Operation").one_of(OPERATIONS),
    bits(1, 6, 0, "CDSTC", "Current Device Self-test Completion").unit("percent"),
];

const OPERATIONS: Names =
    &[(0, "none"), (1, "short"), (2, "extended"), (3, "host-initiated refresh"), (0xe, "vendor specific")];

pub(super) const RESULT: &[Spec] = &[
    bits(0, 3, 0, "DSTR", "Device Self-test Result").one_of(&[
        (0x0, "completed without error"),
        (0x1, "aborted by a Device Self-test command"),
        (0x2, "aborted by a controller level reset"),
        (0x3, "aborted as a namespace was removed"),
        (0x4, "aborted by a Format NVM command"),
        (0x5, "a fatal error, not completed"),
        (0x6, "failed, the segment is not known"),
        (0x7, "failed in the segments that it says"),
        (0x8, "aborted, reason not known"),
        (0x9, "aborted by a sanitize operation"),
    ]),
    bits(0, 7, 4, "DSTC", "Self-test Code").one_of(SELF_TESTS),
    bytes(1, 1, "SEGNUM", "Segment Number").quiet(),
    bits(2, 0, 0, "NSIDV", "Namespace Identifier is valid").hidden(),
    bits(2, 1, 1, "FLBAV", "Failing LBA is valid").hidden(),
    bits(2, 2, 2, "SCTV", "Status Code Type is valid").hidden(),
    bits(2, 3, 3, "SCV", "Status Code is valid").hidden(),
    bytes(11, 4, "POH", "Power On Hours"),
    bytes(15, 12, "NSID", "Namespace Identifier").quiet(),
    bytes(23, 16, "FLBA", "Failing LBA").quiet(),
    bits(24, 2, 0, "SCT", "Status Code Type").quiet(),
    bytes(25, 25, "SC", "Status Code").hex().quiet(),
];

/// The newest 20 of them; a result of Fh is an entry that is not used.
pub(super) fn results(data: &[u8]) -> Vec<Decoded> {
    entries(data, 4, 28, 20, |index, entry| {
        let used = number_at(entry, 0, 1) & 0xf != 0xf && number_at(entry, 0, 1) != 0;
        used.then(|| Decoded::new(format!("Result {index}"), valid(read(entry, RESULT), entry)))
    })
}

/// Without what the Valid Diagnostic Information, byte 2, says is not valid.
fn valid(mut fields: Vec<Field>, entry: &[u8]) -> Vec<Field> {
    const VALID: Names = &[(0, "NSID"), (1, "FLBA"), (2, "SCT"), (3, "SC")];
    let bits = number_at(entry, 2, 1);
    fields.retain(|field| !VALID.iter().any(|(bit, name)| field.name == *name && bits >> bit & 1 == 0));
    fields
}

#[cfg(test)]
mod tests {
    use super::super::log_page;

    #[test]
    fn results() {
        let mut data = [0; 564];
        (data[0], data[1]) = (2, 30);
        (data[4], data[8]) = (0x17, 100);
        (data[4 + 2], data[4 + 12], data[4 + 16], data[4 + 25]) = (2, 1, 55, 0x81);
        data[32] = 0x0f;
        let log = log_page(6, &data);
        assert_eq!(log.to_string(), "Device Self-test: CDSTO 2 (extended), CDSTC 30 (percent); Result 0");
        assert_eq!(
            log.parts[0].to_string(),
            "Result 0: DSTR 7 (failed in the segments that it says), DSTC 1 (short), POH 100, FLBA 55"
        );
        assert_eq!(log.parts[0].number("SC"), None);
        data[4 + 2] = 0b1101;
        assert_eq!(
            log_page(6, &data).parts[0].to_string(),
            "Result 0: DSTR 7 (failed in the segments that it says), DSTC 1 (short), POH 100, NSID 1, SC 0x81"
        );
    }
}
