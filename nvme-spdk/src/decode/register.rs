//! Controller registers, which are properties over fabrics (NVMe base specification, "Controller Properties").

use super::decoded::Decoded;
use super::layout::{Names, Spec, dw, flag, read};

/// A register, by its offset.
struct Register {
    offset: u32,
    name: &'static str,
    fields: &'static [Spec],
}

/// Decodes the value of a controller register, by its offset (NVMe base specification, "Controller
/// Properties").
///
/// ```
/// use nvme_spdk::decode;
///
/// let version = decode::register(0x08, 0x0001_0400);
/// assert_eq!(version.to_string(), "Version: MJR 1, MNR 4, TER 0");
/// ```
pub fn register(offset: u32, value: u64) -> Decoded {
    match REGISTERS.iter().find(|register| register.offset == offset) {
        Some(register) => Decoded::new(register.name, read(&value.to_le_bytes(), register.fields)),
        None => Decoded::new(format!("Register {offset:X}h"), Vec::new()),
    }
}

const REGISTERS: &[Register] = &[
    Register { offset: 0x00, name: "Controller Capabilities", fields: CAP },
    Register { offset: 0x08, name: "Version", fields: VS },
    Register { offset: 0x14, name: "Controller Configuration", fields: CC },
    Register { offset: 0x1c, name: "Controller Status", fields: CSTS },
    Register { offset: 0x24, name: "Admin Queue Attributes", fields: AQA },
    Register { offset: 0x28, name: "Admin Submission Queue Base Address", fields: ADDRESS },
    Register { offset: 0x30, name: "Admin Completion Queue Base Address", fields: ADDRESS },
    Register { offset: 0x38, name: "Controller Memory Buffer Location", fields: CMBLOC },
    Register { offset: 0x3c, name: "Controller Memory Buffer Size", fields: CMBSZ },
    Register { offset: 0x40, name: "Boot Partition Information", fields: BPINFO },
    Register { offset: 0x68, name: "Controller Ready Timeouts", fields: CRTO },
    Register { offset: 0xe00, name: "Persistent Memory Region Capabilities", fields: PMRCAP },
    Register { offset: 0xe08, name: "Persistent Memory Region Status", fields: PMRSTS },
];

/// Times are in steps of half a second.
fn half_seconds(steps: u128) -> String {
    format!("{} ms", steps * 500)
}

/// Sizes of pages are powers of two from 4 KiB on.
fn pages(power: u128) -> String {
    format!("{} bytes", 4096_u128 << power)
}

fn entry_size(power: u128) -> String {
    match power {
        0 => String::new(),
        power => format!("{} bytes", 1_u128 << power),
    }
}

const COMMAND_SETS: Names =
    &[(0, "NVM command set"), (6, "those that Identify lists"), (7, "admin command set only")];

const CAP: &[Spec] = &[
    dw(0, 15, 0, "MQES", "Maximum Queue Entries Supported").one_more("entries"),
    flag(0, 16, "CQR", "Contiguous Queues Required"),
    dw(0, 18, 17, "AMS", "Arbitration Mechanism Supported, beside round robin")
        .set_of(&[(0, "weighted round robin with urgent priority class"), (1, "vendor specific")])
        .quiet(),
    dw(0, 31, 24, "TO", "Timeout").told(half_seconds),
    dw(1, 3, 0, "DSTRD", "Doorbell Stride").told(|power| format!("{} bytes", 4_u128 << power)),
    flag(1, 4, "NSSRS", "NVM Subsystem Reset Supported"),
    dw(1, 12, 5, "CSS", "Command Sets Supported").set_of(COMMAND_SETS),
    flag(1, 13, "BPS", "Boot Partition Support"),
    dw(1, 15, 14, "CPS", "Controller Power Scope")
        .one_of(&[(0, "not reported"), (1, "controller"), (2, "domain"), (3, "NVM subsystem")])
        .quiet(),
    dw(1, 19, 16, "MPSMIN", "Memory Page Size Minimum").told(pages),
    dw(1, 23, 20, "MPSMAX", "Memory Page Size Maximum").told(pages),
    flag(1, 24, "PMRS", "Persistent Memory Region Supported"),
    flag(1, 25, "CMBS", "Controller Memory Buffer Supported"),
    flag(1, 26, "NSSS", "NVM Subsystem Shutdown Supported"),
    dw(1, 28, 27, "CRMS", "Controller Ready Modes Supported")
        .set_of(&[(0, "with media"), (1, "independent of media")])
        .quiet(),
    flag(1, 29, "NSSES", "NVM Subsystem Shutdown Enhancements Supported"),
];

const VS: &[Spec] = &[
    dw(0, 31, 16, "MJR", "Major Version Number"),
    dw(0, 15, 8, "MNR", "Minor Version Number"),
    dw(0, 7, 0, "TER", "Tertiary Version Number"),
];

const CC: &[Spec] = &[
    flag(0, 0, "EN", "Enable"),
    dw(0, 6, 4, "CSS", "I/O Command Set Selected").one_of(&[
        (0, "NVM command set"),
        (6, "all that are supported"),
        (7, "admin command set only"),
    ]),
    dw(0, 10, 7, "MPS", "Memory Page Size").told(pages),
    dw(0, 13, 11, "AMS", "Arbitration Mechanism Selected").one_of(&[
        (0, "round robin"),
        (1, "weighted round robin with urgent priority class"),
        (7, "vendor specific"),
    ]),
    dw(0, 15, 14, "SHN", "Shutdown Notification")
        .one_of(&[(0, "none"), (1, "normal shutdown"), (2, "abrupt shutdown")])
        .quiet(),
    dw(0, 19, 16, "IOSQES", "I/O Submission Queue Entry Size").told(entry_size),
    dw(0, 23, 20, "IOCQES", "I/O Completion Queue Entry Size").told(entry_size),
    flag(0, 24, "CRIME", "Controller Ready Independent of Media Enable"),
];

const CSTS: &[Spec] = &[
    flag(0, 0, "RDY", "Ready"),
    flag(0, 1, "CFS", "Controller Fatal Status"),
    dw(0, 3, 2, "SHST", "Shutdown Status").one_of(&[
        (0, "none requested"),
        (1, "shutdown going on"),
        (2, "shutdown complete"),
    ]),
    flag(0, 4, "NSSRO", "NVM Subsystem Reset Occurred"),
    flag(0, 5, "PP", "Processing Paused"),
    flag(0, 6, "ST", "Shutdown Type: NVM subsystem"),
];

const AQA: &[Spec] = &[
    dw(0, 11, 0, "ASQS", "Admin Submission Queue Size").one_more("entries"),
    dw(0, 27, 16, "ACQS", "Admin Completion Queue Size").one_more("entries"),
];

const ADDRESS: &[Spec] =
    &[dw(0, 31, 0, "LOW", "Address, lower dword").hex(), dw(1, 31, 0, "HIGH", "Address, upper dword").hex()];

const CMBLOC: &[Spec] = &[
    dw(0, 2, 0, "BIR", "Base Indicator Register"),
    flag(0, 3, "CQMMS", "Queue Mixed Memory Support"),
    flag(0, 4, "CQPDS", "Queue Physically Discontiguous Support"),
    dw(0, 31, 12, "OFST", "Offset, in units of CMBSZ.SZU").hex(),
];

const CMBSZ: &[Spec] = &[
    flag(0, 0, "SQS", "Submission Queue Support"),
    flag(0, 1, "CQS", "Completion Queue Support"),
    flag(0, 2, "LISTS", "PRP SGL List Support"),
    flag(0, 3, "RDS", "Read Data Support"),
    flag(0, 4, "WDS", "Write Data Support"),
    dw(0, 11, 8, "SZU", "Size Units").told(|power| format!("{} bytes", 4096_u128 << (4 * power))),
    dw(0, 31, 12, "SZ", "Size").unit("units"),
];

const BPINFO: &[Spec] = &[
    dw(0, 14, 0, "BPSZ", "Boot Partition Size").told(|size| format!("{} KiB", size * 128)),
    dw(0, 25, 24, "BRS", "Boot Read Status").one_of(&[
        (0, "none requested"),
        (1, "in progress"),
        (2, "complete"),
        (3, "failed"),
    ]),
    dw(0, 31, 31, "ABPID", "Active Boot Partition ID"),
];

const CRTO: &[Spec] = &[
    dw(0, 15, 0, "CRWMT", "Controller Ready With Media Timeout").told(half_seconds),
    dw(0, 31, 16, "CRIMT", "Controller Ready Independent of Media Timeout").told(half_seconds),
];

const PMRCAP: &[Spec] = &[
    flag(0, 3, "RDS", "Read Data Support"),
    flag(0, 4, "WDS", "Write Data Support"),
    dw(0, 7, 5, "BIR", "Base Indicator Register"),
    dw(0, 9, 8, "PMRTU", "Time Units").one_of(&[(0, "500 ms"), (1, "minutes")]),
    dw(0, 13, 10, "PMRWBM", "Write Barrier Mechanisms").hex(),
    dw(0, 23, 16, "PMRTO", "Timeout, in time units"),
    flag(0, 24, "CMSS", "Controller Memory Space Supported"),
];

const PMRSTS: &[Spec] = &[
    dw(0, 7, 0, "ERR", "Error"),
    flag(0, 8, "NRDY", "Not Ready"),
    dw(0, 11, 9, "HSTS", "Health Status").one_of(&[
        (0, "normal operation"),
        (1, "restore error"),
        (2, "read only"),
        (3, "unreliable"),
    ]),
    flag(0, 12, "CBAI", "Controller Base Address Invalid"),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn those_of_the_embedded_target() {
        let cap = register(0, 0x0000_0020_1e01_03ff);
        assert_eq!(
            cap.to_string(),
            "Controller Capabilities: MQES 1023 (1024 entries), CQR, TO 30 (15000 ms), DSTRD 0 (4 bytes), \
             CSS 0x1 (NVM command set), MPSMIN 0 (4096 bytes), MPSMAX 0 (4096 bytes)"
        );
        assert_eq!(
            register(0x14, 0x0046_0001).to_string(),
            "Controller Configuration: EN, CSS 0 (NVM command set), MPS 0 (4096 bytes), AMS 0 (round robin), \
             IOSQES 6 (64 bytes), IOCQES 4 (16 bytes)"
        );
        assert_eq!(register(0x1c, 1).to_string(), "Controller Status: RDY, SHST 0 (none requested)");
        assert_eq!(register(0xffc, 1).name, "Register FFCh");
    }

    proptest! {
        #[test]
        fn any_value_decodes(place in 0..REGISTERS.len(), value: u64) {
            let decoded = register(REGISTERS[place].offset, value);
            prop_assert_eq!(decoded.fields.len(), REGISTERS[place].fields.len());
        }
    }
}
