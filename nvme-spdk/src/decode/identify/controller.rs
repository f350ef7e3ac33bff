//! Identify Controller (NVMe base specification, "Identify Controller Data Structure").

use super::super::decoded::Decoded;
use super::super::feature::kelvin;
use super::super::layout::{Names, Spec, bits, bytes, entries, number_at, read};

pub(super) const FIELDS: &[Spec] = &[
    bytes(1, 0, "VID", "PCI Vendor ID").hex(),
    bytes(3, 2, "SSVID", "PCI Subsystem Vendor ID").hex(),
    bytes(23, 4, "SN", "Serial Number").text(),
    bytes(63, 24, "MN", "Model Number").text(),
    bytes(71, 64, "FR", "Firmware Revision").text(),
    bytes(72, 72, "RAB", "Recommended Arbitration Burst")
        .told(|power| match power {
            0..32 => format!("{} commands", 1_u32 << power),
            _ => String::new(),
        })
        .quiet(),
    bytes(75, 73, "IEEE", "IEEE OUI Identifier").hex(),
    bytes(76, 76, "CMIC", "Multi-Path I/O and Namespace Sharing")
        .set_of(&[(0, "several ports"), (1, "several controllers"), (2, "virtual function"), (3, "ANA")])
        .quiet(),
    bytes(77, 77, "MDTS", "Maximum Data Transfer Size").told(|power| match power {
        0 => "no limit".to_owned(),
        1..32 => format!("{} pages", 1_u32 << power),
        _ => String::new(),
    }),
    bytes(79, 78, "CNTLID", "Controller ID"),
    bytes(83, 80, "VER", "Version").hex().told(version),
    bytes(87, 84, "RTD3R", "RTD3 Resume Latency").unit("us").quiet(),
    bytes(91, 88, "RTD3E", "RTD3 Entry Latency").unit("us").quiet(),
    bytes(95, 92, "OAES", "Optional Asynchronous Events Supported")
        .set_of(&[
            (8, "attached namespace attribute"),
            (9, "firmware activation"),
            (11, "asymmetric namespace access change"),
            (12, "predictable latency event aggregate log change"),
            (13, "LBA status information"),
            (14, "endurance group event aggregate log change"),
            (15, "normal NVM subsystem shutdown"),
            (27, "zone descriptor changed"),
            (31, "discovery log change"),
        ])
        .quiet(),
    bytes(99, 96, "CTRATT", "Controller Attributes")
        .set_of(&[
            (0, "128-bit host identifier"),
            (1, "non-operational power state permissive mode"),
            (2, "NVM sets"),
            (3, "read recovery levels"),
            (4, "endurance groups"),
            (5, "predictable latency mode"),
            (6, "traffic based keep alive"),
            (7, "namespace granularity"),
            (8, "SQ associations"),
            (9, "UUID list"),
            (10, "multi-domain subsystem"),
            (11, "fixed capacity management"),
            (12, "variable capacity management"),
            (13, "delete endurance group"),
            (14, "delete NVM set"),
            (15, "extended LBA formats"),
            (19, "flexible data placement"),
        ])
        .quiet(),
    bytes(101, 100, "RRLS", "Read Recovery Levels Supported").hex().quiet(),
    bytes(111, 111, "CNTRLTYPE", "Controller Type").one_of(&[
        (0, "not reported"),
        (1, "I/O controller"),
        (2, "discovery controller"),
        (3, "administrative controller"),
    ]),
    bytes(127, 112, "FGUID", "FRU Globally Unique Identifier").raw().quiet(),
    bytes(129, 128, "CRDT1", "Command Retry Delay Time 1").unit("× 100 ms").quiet(),
    bytes(131, 130, "CRDT2", "Command Retry Delay Time 2").unit("× 100 ms").quiet(),
    bytes(133, 132, "CRDT3", "Command Retry Delay Time 3").unit("× 100 ms").quiet(),
    bytes(253, 253, "NVMSR", "NVM Subsystem Report")
        .set_of(&[(0, "storage device"), (1, "enclosure")])
        .quiet(),
    bytes(254, 254, "VWCI", "VPD Write Cycle Information").hex().quiet(),
    bytes(255, 255, "MEC", "Management Endpoint Capabilities").set_of(&[(0, "SMBus"), (1, "PCIe")]).quiet(),
    bytes(257, 256, "OACS", "Optional Admin Command Support").set_of(&[
        (0, "security send and receive"),
        (1, "format NVM"),
        (2, "firmware download and commit"),
        (3, "namespace management"),
        (4, "device self-test"),
        (5, "directives"),
        (6, "NVMe-MI send and receive"),
        (7, "virtualization management"),
        (8, "doorbell buffer config"),
        (9, "get LBA status"),
        (10, "command and feature lockdown"),
    ]),
    bytes(258, 258, "ACL", "Abort Command Limit").one_more("commands"),
    bytes(259, 259, "AERL", "Asynchronous Event Request Limit").one_more("requests"),
    bits(260, 0, 0, "FRMW1RO", "First firmware slot is read only").quiet(),
    bits(260, 3, 1, "FRMW", "Number of firmware slots"),
    bits(260, 4, 4, "FWNR", "Firmware activation without reset").quiet(),
    bits(260, 5, 5, "SMUD", "Detects overlapping firmware updates").quiet(),
    bytes(261, 261, "LPA", "Log Page Attributes")
        .set_of(&[
            (0, "SMART per namespace"),
            (1, "commands supported and effects"),
            (2, "extended data for get log page"),
            (3, "telemetry"),
            (4, "persistent event log"),
            (5, "supported log pages"),
            (6, "telemetry data area 4"),
        ])
        .quiet(),
    bytes(262, 262, "ELPE", "Error Log Page Entries").one_more("entries"),
    bytes(263, 263, "NPSS", "Number of Power States Support").one_more("power states"),
    bits(264, 0, 0, "AVSCC", "Admin Vendor Specific Command Configuration: standard format").quiet(),
    bits(265, 0, 0, "APSTA", "Autonomous Power State Transitions").quiet(),
    bytes(267, 266, "WCTEMP", "Warning Composite Temperature Threshold").told(kelvin).quiet(),
    bytes(269, 268, "CCTEMP", "Critical Composite Temperature Threshold").told(kelvin).quiet(),
    bytes(271, 270, "MTFA", "Maximum Time for Firmware Activation").unit("× 100 ms").quiet(),
    bytes(275, 272, "HMPRE", "Host Memory Buffer Preferred Size").unit("× 4 KiB").quiet(),
    bytes(279, 276, "HMMIN", "Host Memory Buffer Minimum Size").unit("× 4 KiB").quiet(),
    bytes(295, 280, "TNVMCAP", "Total NVM Capacity").unit("bytes").quiet(),
    bytes(311, 296, "UNVMCAP", "Unallocated NVM Capacity").unit("bytes").quiet(),
    bits(312, 2, 0, "RPMBN", "Number of RPMB Units").quiet(),
    bytes(314, 314, "RPMBTS", "RPMB Total Size").one_more("× 128 KiB").quiet(),
    bytes(315, 315, "RPMBAS", "RPMB Access Size").one_more("× 512 bytes").quiet(),
    bytes(317, 316, "EDSTT", "Extended Device Self-test Time").unit("min").quiet(),
    bytes(318, 318, "DSTO", "Device Self-test Options")
        .set_of(&[(0, "one at a time in the subsystem")])
        .quiet(),
    bytes(319, 319, "FWUG", "Firmware Update Granularity").told(|granularity| match granularity {
        0 => "not told".to_owned(),
        0xff => "no restriction".to_owned(),
        _ => format!("{} KiB", granularity * 4),
    }),
    bytes(321, 320, "KAS", "Keep Alive Support").unit("× 100 ms"),
    bits(322, 0, 0, "HCTMA", "Host Controlled Thermal Management").quiet(),
    bytes(325, 324, "MNTMT", "Minimum Thermal Management Temperature").told(kelvin).quiet(),
    bytes(327, 326, "MXTMT", "Maximum Thermal Management Temperature").told(kelvin).quiet(),
    bytes(331, 328, "SANICAP", "Sanitize Capabilities")
        .set_of(&[
            (0, "crypto erase"),
            (1, "block erase"),
            (2, "overwrite"),
            (29, "no-deallocate inhibited"),
            (30, "media is not modified further after sanitize"),
            (31, "media is modified further after sanitize"),
        ])
        .quiet(),
    bytes(335, 332, "HMMINDS", "Host Memory Buffer Minimum Descriptor Entry Size").unit("× 4 KiB").quiet(),
    bytes(337, 336, "HMMAXD", "Host Memory Maximum Descriptors Entries").quiet(),
    bytes(339, 338, "NSETIDMAX", "NVM Set Identifier Maximum").quiet(),
    bytes(341, 340, "ENDGIDMAX", "Endurance Group Identifier Maximum").quiet(),
    bytes(342, 342, "ANATT", "ANA Transition Time").unit("s").quiet(),
    bytes(343, 343, "ANACAP", "Asymmetric Namespace Access Capabilities")
        .set_of(&[
            (0, "optimized"),
            (1, "non-optimized"),
            (2, "inaccessible"),
            (3, "persistent loss"),
            (4, "change"),
            (6, "groups do not change"),
            (7, "non-zero groups"),
        ])
        .quiet(),
    bytes(347, 344, "ANAGRPMAX", "ANA Group Identifier Maximum").quiet(),
    bytes(351, 348, "NANAGRPID", "Number of ANA Group Identifiers").quiet(),
    bytes(355, 352, "PELS", "Persistent Event Log Size").unit("× 64 KiB").quiet(),
    bytes(357, 356, "DID", "Domain Identifier").quiet(),
    bytes(383, 368, "MEGCAP", "Max Endurance Group Capacity").unit("bytes").quiet(),
    bits(512, 3, 0, "SQES", "Submission Queue Entry Size, required")
        .told(|power| format!("{} bytes", 1_u32 << power)),
    bits(512, 7, 4, "SQESX", "Submission Queue Entry Size, maximum")
        .told(|power| format!("{} bytes", 1_u32 << power)),
    bits(513, 3, 0, "CQES", "Completion Queue Entry Size, required")
        .told(|power| format!("{} bytes", 1_u32 << power)),
    bits(513, 7, 4, "CQESX", "Completion Queue Entry Size, maximum")
        .told(|power| format!("{} bytes", 1_u32 << power)),
    bytes(515, 514, "MAXCMD", "Maximum Outstanding Commands").quiet(),
    bytes(519, 516, "NN", "Number of Namespaces"),
    bytes(521, 520, "ONCS", "Optional NVM Command Support").set_of(&[
        (0, "compare"),
        (1, "write uncorrectable"),
        (2, "dataset management"),
        (3, "write zeroes"),
        (4, "save and select of features"),
        (5, "reservations"),
        (6, "timestamp"),
        (7, "verify"),
        (8, "copy"),
    ]),
    bytes(523, 522, "FUSES", "Fused Operation Support").set_of(&[(0, "compare and write")]).quiet(),
    bytes(524, 524, "FNA", "Format NVM Attributes")
        .set_of(&[
            (0, "format applies to all namespaces"),
            (1, "erase applies to all namespaces"),
            (2, "cryptographic erase"),
            (3, "all namespaces at once not supported"),
        ])
        .quiet(),
    bits(525, 0, 0, "VWC", "Volatile Write Cache").one_of(&[(0, "none"), (1, "present")]),
    bits(525, 2, 1, "VWCF", "Flush of all namespaces at once")
        .one_of(&[(0, "not told"), (2, "not supported"), (3, "supported")])
        .quiet(),
    bytes(527, 526, "AWUN", "Atomic Write Unit Normal").one_more("blocks"),
    bytes(529, 528, "AWUPF", "Atomic Write Unit Power Fail").one_more("blocks"),
    bits(530, 0, 0, "ICSVSCC", "I/O Vendor Specific Command Configuration: standard format").quiet(),
    bits(531, 2, 0, "NWPC", "Namespace Write Protection Capabilities")
        .set_of(&[(0, "protect"), (1, "until power cycle"), (2, "permanent")])
        .quiet(),
    bytes(533, 532, "ACWU", "Atomic Compare & Write Unit").one_more("blocks").quiet(),
    bytes(535, 534, "CDFS", "Copy Descriptor Formats Supported").hex().quiet(),
    bytes(539, 536, "SGLS", "SGL Support").hex().told(sgl),
    bytes(543, 540, "MNAN", "Maximum Number of Allowed Namespaces").quiet(),
    bytes(559, 544, "MAXDNA", "Maximum Domain Namespace Attachments").quiet(),
    bytes(563, 560, "MAXCNA", "Maximum I/O Controller Namespace Attachments").quiet(),
    bytes(1023, 768, "SUBNQN", "NVM Subsystem NVMe Qualified Name").text(),
    bytes(1795, 1792, "IOCCSZ", "I/O Queue Command Capsule Supported Size").unit("× 16 bytes").quiet(),
    bytes(1799, 1796, "IORCSZ", "I/O Queue Response Capsule Supported Size").unit("× 16 bytes").quiet(),
    bytes(1801, 1800, "ICDOFF", "In Capsule Data Offset").unit("× 16 bytes").quiet(),
    bits(1802, 0, 0, "FCATT", "Fabrics Controller Attributes: static controller model").quiet(),
    bytes(1803, 1803, "MSDBD", "Maximum SGL Data Block Descriptors").quiet(),
    bits(1804, 0, 0, "OFCS", "Optional Fabric Commands Support: disconnect").quiet(),
];

pub(super) const PRIMARY: &[Spec] = &[
    bytes(1, 0, "CNTLID", "Controller Identifier"),
    bytes(3, 2, "PORTID", "Port Identifier"),
    bytes(4, 4, "CRT", "Controller Resource Types").set_of(&[(0, "VQ resources"), (1, "VI resources")]),
    bytes(35, 32, "VQFRT", "VQ Resources Flexible Total"),
    bytes(39, 36, "VQRFA", "VQ Resources Flexible Assigned"),
    bytes(41, 40, "VQRFAP", "VQ Resources Flexible Allocated to Primary"),
    bytes(43, 42, "VQPRT", "VQ Resources Private Total"),
    bytes(67, 64, "VIFRT", "VI Resources Flexible Total"),
    bytes(71, 68, "VIRFA", "VI Resources Flexible Assigned"),
    bytes(73, 72, "VIRFAP", "VI Resources Flexible Allocated to Primary"),
    bytes(75, 74, "VIPRT", "VI Resources Private Total"),
];

pub(super) const POWER_STATE: &[Spec] = &[
    bytes(1, 0, "MP", "Maximum Power").unit("in units of MXPS"),
    bits(3, 0, 0, "MXPS", "Max Power Scale").one_of(&[(0, "0.01 W"), (1, "0.0001 W")]),
    bits(3, 1, 1, "NOPS", "Non-Operational State").quiet(),
    bytes(7, 4, "ENLAT", "Entry Latency").unit("us"),
    bytes(11, 8, "EXLAT", "Exit Latency").unit("us"),
    bits(12, 4, 0, "RRT", "Relative Read Throughput"),
    bits(13, 4, 0, "RRL", "Relative Read Latency"),
    bits(14, 4, 0, "RWT", "Relative Write Throughput"),
    bits(15, 4, 0, "RWL", "Relative Write Latency"),
    bytes(17, 16, "IDLP", "Idle Power").quiet(),
    bits(18, 7, 6, "IPS", "Idle Power Scale").one_of(SCALES).quiet(),
    bytes(21, 20, "ACTP", "Active Power").quiet(),
    bits(22, 2, 0, "APW", "Active Power Workload").quiet(),
    bits(22, 7, 6, "APS", "Active Power Scale").one_of(SCALES).quiet(),
];

const SCALES: Names = &[(0, "not told"), (1, "0.0001 W"), (2, "0.01 W")];

/// The power states that NPSS says there are.
pub(super) fn power_states(data: &[u8]) -> Vec<Decoded> {
    let listed = number_at(data, 263, 1) as usize + 1;
    entries(data, 2048, 32, listed.min(32), |index, entry| {
        Some(Decoded::new(format!("Power State {index}"), read(entry, POWER_STATE)))
    })
}

fn version(version: u128) -> String {
    format!("{}.{}.{}", version >> 16, version >> 8 & 0xff, version & 0xff)
}

fn sgl(support: u128) -> String {
    let kind = match support & 0x3 {
        0 => "no SGLs",
        1 => "any alignment",
        2 => "aligned to dwords",
        _ => "reserved",
    };
    let bits = [
        (2, "keyed data block"),
        (16, "bit bucket"),
        (17, "metadata in one buffer"),
        (18, "longer than the data"),
        (19, "metadata by SGL"),
        (20, "offset"),
        (21, "transport data block"),
    ];
    let set = bits.iter().filter(|(bit, _)| support >> bit & 1 == 1).map(|(_, name)| *name);
    std::iter::once(kind).chain(set).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::super::identify;

    #[test]
    fn a_controller() {
        let mut data = vec![0; 4096];
        data[0..2].copy_from_slice(&0x1b36_u16.to_le_bytes());
        data[24..64].copy_from_slice(format!("{:40}", "A model").as_bytes());
        data[77] = 5;
        data[80..84].copy_from_slice(&0x0001_0400_u32.to_le_bytes());
        data[263] = 1;
        data[328..332].copy_from_slice(&(1_u32 << 31 | 1 << 1).to_le_bytes());
        data[512] = 0x66;
        data[520] = 0x44;
        data[536..540].copy_from_slice(&(1_u32 << 18 | 1).to_le_bytes());
        data[2048 + 32..2048 + 34].copy_from_slice(&25_u16.to_le_bytes());
        let controller = identify(0x01, &data);
        let said = |name| {
            let field = controller.field(name).unwrap();
            (field.value.to_string(), field.meaning.clone().unwrap_or_default())
        };
        assert_eq!(said("VID"), ("0x1b36".to_owned(), String::new()));
        assert_eq!(said("MN"), ("A model".to_owned(), String::new()));
        assert_eq!(said("MDTS"), ("5".to_owned(), "32 pages".to_owned()));
        assert_eq!(said("VER"), ("0x10400".to_owned(), "1.4.0".to_owned()));
        assert_eq!(said("SQES"), ("6".to_owned(), "64 bytes".to_owned()));
        assert_eq!(said("ONCS"), ("0x44".to_owned(), "dataset management, timestamp".to_owned()));
        let sanitize = "block erase, media is modified further after sanitize";
        assert_eq!(said("SANICAP"), ("0x80000002".to_owned(), sanitize.to_owned()));
        assert_eq!(said("SGLS"), ("0x40001".to_owned(), "any alignment, longer than the data".to_owned()));
        assert_eq!(controller.parts.len(), 2);
        assert_eq!(controller.parts[1].number("MP"), Some(25));
    }
}
