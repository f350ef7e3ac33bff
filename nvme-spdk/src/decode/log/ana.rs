//! Asymmetric Namespace Access (NVMe base specification, "Asymmetric Namespace Access Log Page").

use super::super::decoded::Decoded;
use super::super::layout::{Spec, bits, bytes, number_at, read};

pub(super) const FIELDS: &[Spec] =
    &[bytes(7, 0, "CHGCNT", "Change Count"), bytes(9, 8, "NAGD", "Number of ANA Group Descriptors")];

pub(super) const GROUP: &[Spec] = &[
    bytes(3, 0, "AGID", "ANA Group ID"),
    bytes(7, 4, "NNV", "Number of NSID Values"),
    bytes(15, 8, "CHGCNT", "Change Count"),
    bits(16, 3, 0, "ANAS", "Asymmetric Namespace Access State").one_of(&[
        (0x1, "optimized"),
        (0x2, "non-optimized"),
        (0x3, "inaccessible"),
        (0x4, "persistent loss"),
        (0xf, "change"),
    ]),
];

const HEAD: usize = 32;

/// Groups follow each other, each as long as its namespaces make it.
pub(super) fn groups(data: &[u8]) -> Vec<Decoded> {
    const NAMESPACE: &[Spec] = &[bytes(3, 0, "NSID", "Namespace Identifier")];
    let mut groups = Vec::new();
    let mut at = 16;
    for index in 0..number_at(data, 8, 2) {
        let Some(group) = data.get(at..).filter(|rest| rest.len() >= HEAD) else { break };
        let namespaces = number_at(group, 4, 4) as usize;
        let listed = group[HEAD..].chunks_exact(4).take(namespaces);
        let parts = listed.map(|entry| Decoded::new("Namespace", read(entry, NAMESPACE))).collect();
        groups.push(
            Decoded::new(format!("ANA Group Descriptor {index}"), read(group, GROUP)).with_parts(parts),
        );
        at = at.saturating_add(HEAD).saturating_add(namespaces.saturating_mul(4));
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::super::log_page;

    #[test]
    fn groups_of_different_lengths() {
        let mut data = vec![0; 16];
        (data[0], data[8]) = (3, 2);
        for (id, state, namespaces) in [(1, 1, vec![1, 2]), (2, 3, vec![7])] {
            let mut group = [0; 32];
            (group[0], group[4], group[16]) = (id, namespaces.len() as u8, state);
            data.extend(group);
            namespaces.iter().for_each(|nsid: &u32| data.extend(nsid.to_le_bytes()));
        }
        let log = log_page(0x0c, &data);
        assert_eq!(
            log.to_string(),
            "Asymmetric Namespace Access: CHGCNT 3, NAGD 2; ANA Group Descriptor 0 and 1 more"
        );
        assert_eq!(
            log.parts[1].to_string(),
            "ANA Group Descriptor 1: AGID 2, NNV 1, CHGCNT 0, ANAS 3 (inaccessible); Namespace"
        );
        assert_eq!(log.parts[0].parts[1].number("NSID"), Some(2));
    }
}
