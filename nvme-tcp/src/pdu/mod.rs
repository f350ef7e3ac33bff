//! The PDUs of NVMe/TCP as typed values ("NVMe/TCP PDUs" in the specification).

mod error;
mod frame;
mod parse;
#[cfg(test)]
mod tests;

use std::fmt;

use crate::completion::Completion;

pub use error::ParseError;
pub use frame::{Digest, Frame, Layout};
pub use parse::CommonHeader;

/// PDU types, byte 0 of every PDU.
pub mod pdu_type {
    /// Initialize Connection Request.
    pub const IC_REQ: u8 = 0x00;
    /// Initialize Connection Response.
    pub const IC_RESP: u8 = 0x01;
    /// Host to Controller Terminate Connection Request.
    pub const H2C_TERM_REQ: u8 = 0x02;
    /// Controller to Host Terminate Connection Request.
    pub const C2H_TERM_REQ: u8 = 0x03;
    /// Command Capsule.
    pub const CAPSULE_CMD: u8 = 0x04;
    /// Response Capsule.
    pub const CAPSULE_RESP: u8 = 0x05;
    /// Host To Controller Data Transfer.
    pub const H2C_DATA: u8 = 0x06;
    /// Controller To Host Data Transfer.
    pub const C2H_DATA: u8 = 0x07;
    /// Ready to Transfer.
    pub const R2T: u8 = 0x09;
}

/// Bits of the flags, byte 1 of every PDU.
pub mod flag {
    /// HDGSTF: a header digest follows the header.
    pub const HEADER_DIGEST: u8 = 1 << 0;
    /// DDGSTF: a data digest follows the data.
    pub const DATA_DIGEST: u8 = 1 << 1;
    /// LAST_PDU: the last data PDU of a transfer.
    pub const LAST: u8 = 1 << 2;
    /// SUCCESS: the command succeeded and no response capsule follows (C2HData).
    pub const SUCCESS: u8 = 1 << 3;
}

/// Initialize Connection Request PDU (ICReq).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ICReq {
    /// PDU Format Version (PFV); 0 is the only one defined.
    pub pfv: u16,
    /// Host PDU Data Alignment (HPDA), 0 to 31: data for the host begins at multiples of (HPDA + 1) * 4 bytes.
    pub hpda: u8,
    /// Digest (DGST): bit 0 asks for header digests, bit 1 for data digests.
    pub dgst: u8,
    /// Maximum Number of Outstanding R2T (MAXR2T) per command, a 0's based value.
    pub maxr2t: u32,
}

/// Initialize Connection Response PDU (ICResp).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ICResp {
    /// PDU Format Version (PFV).
    pub pfv: u16,
    /// Controller PDU Data Alignment (CPDA), 0 to 31, as HPDA in the other direction.
    pub cpda: u8,
    /// Digest (DGST): what is in use from here on.
    pub dgst: u8,
    /// Maximum Host to Controller Data length (MAXH2CDATA): data bytes of one H2CData PDU; it should be 4096 or more.
    pub maxh2cdata: u32,
}

/// Host to Controller or Controller to Host Terminate Connection Request PDU (H2CTermReq, C2HTermReq).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TermReq {
    /// Fatal Error Status (FES); see [`FatalError`].
    pub fes: u16,
    /// Fatal Error Information (FEI): for header fields and parameters the offset of the first wrong byte, for
    /// header digests the digest received.
    pub fei: u32,
    /// The header of the PDU in error, up to 128 bytes.
    pub data: Vec<u8>,
}

/// Fatal Error Status (FES) of a Terminate Connection Request PDU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub enum FatalError {
    /// Invalid PDU Header Field.
    InvalidHeaderField = 1,
    /// PDU Sequence Error.
    SequenceError = 2,
    /// Header Digest Error.
    HeaderDigest = 3,
    /// Data Transfer Out of Range.
    DataOutOfRange = 4,
    /// Data Transfer Limit Exceeded, from a controller; R2T Limit Exceeded, from a host.
    LimitExceeded = 5,
    /// Unsupported Parameter.
    UnsupportedParameter = 6,
}

/// Command Capsule PDU (CapsuleCmd).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CapsuleCmd {
    /// The submission queue entry (CCSQE).
    pub sqe: [u8; 64],
    /// In-capsule data (CCICD).
    pub data: Vec<u8>,
}

/// Response Capsule PDU (CapsuleResp).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CapsuleResp {
    /// The completion queue entry (RCCQE).
    pub cqe: [u8; 16],
}

/// Host To Controller or Controller To Host Data Transfer PDU (H2CData, C2HData).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DataPdu {
    /// Command Capsule Command ID (CCCID).
    pub cccid: u16,
    /// Transfer Tag (TTAG) of the R2T that asked for it; not in C2HData.
    pub ttag: u16,
    /// Data Offset (DATAO) in the buffer of the command.
    pub datao: u32,
    /// The data; its length is DATAL.
    pub data: Vec<u8>,
    /// The LAST_PDU flag.
    pub last: bool,
    /// The SUCCESS flag; not in H2CData.
    pub success: bool,
}

/// Ready to Transfer PDU (R2T).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct R2T {
    /// Command Capsule Command ID (CCCID).
    pub cccid: u16,
    /// Transfer Tag (TTAG), which the data has to bear.
    pub ttag: u16,
    /// Requested Data Offset (R2TO).
    pub r2to: u32,
    /// Requested Data Length (R2TL).
    pub r2tl: u32,
}

/// A PDU.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs, reason = "the values say what they are")]
pub enum Pdu {
    ICReq(ICReq),
    ICResp(ICResp),
    H2CTermReq(TermReq),
    C2HTermReq(TermReq),
    CapsuleCmd(CapsuleCmd),
    CapsuleResp(CapsuleResp),
    H2CData(DataPdu),
    C2HData(DataPdu),
    R2T(R2T),
}

/// What the specification fixes for a type.
struct Kind {
    name: &'static str,
    section: &'static str,
    code: u8,
    /// HLEN.
    hlen: u8,
    /// Which flags it may have.
    flags: u8,
}

const DIGESTS: u8 = flag::HEADER_DIGEST | flag::DATA_DIGEST;

const KINDS: [Kind; 9] = [
    Kind {
        name: "ICReq",
        section: "Initialize Connection Request PDU (ICReq)",
        code: pdu_type::IC_REQ,
        hlen: 128,
        flags: 0,
    },
    Kind {
        name: "ICResp",
        section: "Initialize Connection Response PDU (ICResp)",
        code: pdu_type::IC_RESP,
        hlen: 128,
        flags: 0,
    },
    Kind {
        name: "H2CTermReq",
        section: "Host to Controller Terminate Connection Request PDU (H2CTermReq)",
        code: pdu_type::H2C_TERM_REQ,
        hlen: 24,
        flags: 0,
    },
    Kind {
        name: "C2HTermReq",
        section: "Controller to Host Terminate Connection Request PDU (C2HTermReq)",
        code: pdu_type::C2H_TERM_REQ,
        hlen: 24,
        flags: 0,
    },
    Kind {
        name: "CapsuleCmd",
        section: "Command Capsule PDU (CapsuleCmd)",
        code: pdu_type::CAPSULE_CMD,
        hlen: 72,
        flags: DIGESTS,
    },
    Kind {
        name: "CapsuleResp",
        section: "Response Capsule PDU (CapsuleResp)",
        code: pdu_type::CAPSULE_RESP,
        hlen: 24,
        flags: flag::HEADER_DIGEST,
    },
    Kind {
        name: "H2CData",
        section: "Host To Controller Data Transfer PDU (H2CData)",
        code: pdu_type::H2C_DATA,
        hlen: 24,
        flags: DIGESTS | flag::LAST,
    },
    Kind {
        name: "C2HData",
        section: "Controller To Host Data Transfer PDU (C2HData)",
        code: pdu_type::C2H_DATA,
        hlen: 24,
        flags: DIGESTS | flag::LAST | flag::SUCCESS,
    },
    Kind {
        name: "R2T",
        section: "Ready to Transfer PDU (R2T)",
        code: pdu_type::R2T,
        hlen: 24,
        flags: flag::HEADER_DIGEST,
    },
];

impl Kind {
    fn find(code: u8) -> Option<&'static Kind> {
        KINDS.iter().find(|kind| kind.code == code)
    }
}

impl Pdu {
    /// Its PDU-Type; see [`pdu_type`].
    pub fn code(&self) -> u8 {
        match self {
            Pdu::ICReq(_) => pdu_type::IC_REQ,
            Pdu::ICResp(_) => pdu_type::IC_RESP,
            Pdu::H2CTermReq(_) => pdu_type::H2C_TERM_REQ,
            Pdu::C2HTermReq(_) => pdu_type::C2H_TERM_REQ,
            Pdu::CapsuleCmd(_) => pdu_type::CAPSULE_CMD,
            Pdu::CapsuleResp(_) => pdu_type::CAPSULE_RESP,
            Pdu::H2CData(_) => pdu_type::H2C_DATA,
            Pdu::C2HData(_) => pdu_type::C2H_DATA,
            Pdu::R2T(_) => pdu_type::R2T,
        }
    }

    /// The name the specification gives its type, as `CapsuleCmd`.
    pub fn name(&self) -> &'static str {
        Kind::find(self.code()).map_or("PDU", |kind| kind.name)
    }

    /// The data it carries; empty if it carries none.
    pub fn data(&self) -> &[u8] {
        match self {
            Pdu::H2CTermReq(term) | Pdu::C2HTermReq(term) => &term.data,
            Pdu::CapsuleCmd(capsule) => &capsule.data,
            Pdu::H2CData(data) | Pdu::C2HData(data) => &data.data,
            Pdu::ICReq(_) | Pdu::ICResp(_) | Pdu::CapsuleResp(_) | Pdu::R2T(_) => &[],
        }
    }
}

/// What an error says about it: its name and the fields that tell it from others.
impl fmt::Display for Pdu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Pdu::H2CTermReq(term) | Pdu::C2HTermReq(term) => {
                write!(f, " (FES {}, FEI {:#x})", term.fes, term.fei)
            }
            Pdu::CapsuleCmd(capsule) => {
                write!(f, " (opcode {:#04x}, {} bytes)", capsule.sqe[0], capsule.data.len())
            }
            Pdu::CapsuleResp(capsule) => {
                let completion = Completion::from(capsule.cqe);
                write!(f, " (CID {}, status {completion})", completion.cid())
            }
            Pdu::H2CData(data) | Pdu::C2HData(data) => {
                write!(f, " (CCCID {}, DATAO {}, {} bytes)", data.cccid, data.datao, data.data.len())
            }
            Pdu::R2T(r2t) => write!(f, " (CCCID {}, R2TO {}, R2TL {})", r2t.cccid, r2t.r2to, r2t.r2tl),
            Pdu::ICReq(_) | Pdu::ICResp(_) => Ok(()),
        }
    }
}
