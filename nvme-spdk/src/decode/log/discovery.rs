//! Discovery (NVMe base specification, "Discovery Log Page").

use super::super::decoded::Decoded;
use super::super::layout::{Spec, bits, bytes, entries, number_at, read};

pub(super) const FIELDS: &[Spec] = &[
    bytes(7, 0, "GENCTR", "Generation Counter"),
    bytes(15, 8, "NUMREC", "Number of Records"),
    bytes(17, 16, "RECFMT", "Record Format"),
];

pub(super) const ENTRY: &[Spec] = &[
    bytes(0, 0, "TRTYPE", "Transport Type").one_of(&[
        (1, "RDMA"),
        (2, "Fibre Channel"),
        (3, "TCP"),
        (254, "intra-host"),
    ]),
    bytes(1, 1, "ADRFAM", "Address Family").one_of(&[
        (1, "IPv4"),
        (2, "IPv6"),
        (3, "InfiniBand"),
        (4, "Fibre Channel"),
        (254, "intra-host"),
    ]),
    bytes(2, 2, "SUBTYPE", "Subsystem Type").one_of(&[
        (1, "referral to a discovery service"),
        (2, "NVM subsystem"),
        (3, "current discovery subsystem"),
    ]),
    bits(3, 1, 0, "TREQ", "Transport Requirements: secure channel").one_of(&[
        (0, "not specified"),
        (1, "required"),
        (2, "not required"),
    ]),
    bytes(5, 4, "PORTID", "Port ID"),
    bytes(7, 6, "CNTLID", "Controller ID").hex(),
    bytes(9, 8, "ASQSZ", "Admin Max SQ Size"),
    bytes(63, 32, "TRSVCID", "Transport Service Identifier").text(),
    bytes(511, 256, "SUBNQN", "NVM Subsystem Qualified Name").text(),
    bytes(767, 512, "TRADDR", "Transport Address").text(),
];

pub(super) fn entries_of(data: &[u8]) -> Vec<Decoded> {
    let listed = usize::try_from(number_at(data, 8, 8)).unwrap_or(usize::MAX);
    entries(data, 1024, 1024, listed, |index, entry| {
        Some(Decoded::new(format!("Discovery Log Entry {index}"), read(entry, ENTRY)))
    })
}

#[cfg(test)]
mod tests {
    use super::super::log_page;

    #[test]
    fn entries() {
        let mut data = vec![0; 3072];
        data[8] = 1;
        data[1024..1027].copy_from_slice(&[3, 1, 2]);
        data[1024 + 32..][..4].copy_from_slice(b"4420");
        data[1024 + 256..][..5].copy_from_slice(b"nqn.a");
        data[1024 + 512..][..9].copy_from_slice(b"127.0.0.1");
        let log = log_page(0x70, &data);
        assert_eq!(log.parts.len(), 1);
        assert_eq!(
            log.parts[0].to_string(),
            "Discovery Log Entry 0: TRTYPE 3 (TCP), ADRFAM 1 (IPv4), SUBTYPE 2 (NVM subsystem), \
             TREQ 0 (not specified), PORTID 0, CNTLID 0x0, ASQSZ 0, TRSVCID 4420, SUBNQN nqn.a, TRADDR 127.0.0.1"
        );
    }
}
