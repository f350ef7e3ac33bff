//! From bytes to a PDU, strictly.

use super::{CapsuleCmd, CapsuleResp, DataPdu, ICReq, ICResp, Kind, Layout, ParseError, Pdu, R2T, TermReq};
use super::{flag, pdu_type};
use crate::digest::crc32c;

/// The first eight bytes of every PDU ("NVMe/TCP PDU Common Header").
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommonHeader {
    /// PDU-Type.
    pub pdu_type: u8,
    /// FLAGS.
    pub flags: u8,
    /// Header Length (HLEN).
    pub hlen: u8,
    /// PDU Data Offset (PDO).
    pub pdo: u8,
    /// PDU Length (PLEN).
    pub plen: u32,
}

const COMMON: &str = "PDU Common Header";
/// The most bytes of a terminate request ("... Terminate Connection Request PDU", PLEN).
const MOST_OF_TERM_REQ: u64 = 152;

impl CommonHeader {
    /// How many bytes it takes.
    pub const SIZE: usize = 8;

    /// Reads it, without judging.
    pub fn read(bytes: [u8; Self::SIZE]) -> Self {
        let [pdu_type, flags, hlen, pdo, plen @ ..] = bytes;
        CommonHeader { pdu_type, flags, hlen, pdo, plen: u32::from_le_bytes(plen) }
    }
}

/// Fields of one PDU, with its name for errors. Callers have checked the length.
struct Reader<'a> {
    kind: &'static Kind,
    bytes: &'a [u8],
}

impl Reader<'_> {
    fn array<const N: usize>(&self, at: usize) -> [u8; N] {
        let mut array = [0; N];
        array.copy_from_slice(&self.bytes[at..at + N]);
        array
    }

    fn u16(&self, at: usize) -> u16 {
        u16::from_le_bytes(self.array(at))
    }

    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.array(at))
    }

    fn check(
        &self,
        holds: bool,
        field: &'static str,
        value: impl Into<u64>,
        expected: impl FnOnce() -> String,
    ) -> Result<(), ParseError> {
        if holds {
            return Ok(());
        }
        Err(ParseError {
            pdu: self.kind.name,
            field,
            value: value.into(),
            expected: expected(),
            section: self.kind.section,
        })
    }
}

impl Pdu {
    /// Reads one PDU that makes up all of `bytes`.
    ///
    /// # Errors
    /// [`ParseError`] for the first field that is not as the specification has it. Reserved fields are not looked
    /// at.
    pub fn parse(bytes: &[u8], layout: &Layout) -> Result<Pdu, ParseError> {
        let common = |field, value: u64, expected: &str| ParseError {
            pdu: "PDU",
            field,
            value,
            expected: expected.to_owned(),
            section: COMMON,
        };
        let Some(first) = bytes.first_chunk() else {
            return Err(common("length", bytes.len() as u64, "at least the 8 bytes of the common header"));
        };
        let header = CommonHeader::read(*first);
        let Some(kind) = Kind::find(header.pdu_type) else {
            return Err(common("PDU-Type", header.pdu_type.into(), "00h to 07h or 09h"));
        };
        let reader = Reader { kind, bytes };
        reader.check(header.hlen == kind.hlen, "HLEN", header.hlen, || format!("{:#x}", kind.hlen))?;
        reader.check(u64::from(header.plen) == bytes.len() as u64, "PLEN", header.plen, || {
            format!("{:#x}, what was received", bytes.len())
        })?;
        reader.check(header.plen >= header.hlen.into(), "PLEN", header.plen, || {
            format!("at least HLEN, {:#x}", header.hlen)
        })?;
        let unknown = header.flags & !kind.flags;
        reader.check(unknown == 0, "FLAGS", header.flags, || format!("no bits but {:#x}", kind.flags))?;
        let data = reader.data(&header, layout)?;
        reader.pdu(&header, data)
    }
}

impl Reader<'_> {
    /// Checks digests and offsets; returns the data.
    fn data(&self, header: &CommonHeader, layout: &Layout) -> Result<Vec<u8>, ParseError> {
        let total = self.bytes.len();
        let mut end = usize::from(header.hlen);
        let wanted = layout.header_digest && self.kind.flags & flag::HEADER_DIGEST != 0;
        let present = header.flags & flag::HEADER_DIGEST != 0;
        self.check(wanted == present, "FLAGS.HDGSTF", u8::from(present), || u8::from(wanted).to_string())?;
        if present {
            self.check(total >= end + 4, "PLEN", header.plen, || "room for the header digest".to_owned())?;
            let (received, right) = (self.u32(end), crc32c(&self.bytes[..end]));
            self.check(received == right, "HDGST", received, || format!("{right:#x}"))?;
            end += 4;
        }
        let digested = header.flags & flag::DATA_DIGEST != 0;
        if total == end {
            self.check(!digested, "FLAGS.DDGSTF", 1u8, || "0, as there is no data".to_owned())?;
            return Ok(Vec::new());
        }
        if self.kind.flags & flag::DATA_DIGEST == 0 {
            return self.plain_data(header, end);
        }
        self.check(digested == layout.data_digest, "FLAGS.DDGSTF", u8::from(digested), || {
            u8::from(layout.data_digest).to_string()
        })?;
        let (begin, step) = (usize::from(header.pdo), (usize::from(layout.alignment) + 1) * 4);
        let trailer = if digested { 4 } else { 0 };
        self.check(begin >= end && begin + trailer <= total, "PDO", header.pdo, || {
            format!("{end:#x} to {:#x}", total.saturating_sub(trailer))
        })?;
        self.check(begin.is_multiple_of(step), "PDO", header.pdo, || format!("a multiple of {step}"))?;
        let data = &self.bytes[begin..total - trailer];
        if digested {
            let (received, right) = (self.u32(total - 4), crc32c(data));
            self.check(received == right, "DDGST", received, || format!("{right:#x}"))?;
        }
        Ok(data.to_vec())
    }

    /// What follows a header that has no data offset.
    fn plain_data(&self, header: &CommonHeader, end: usize) -> Result<Vec<u8>, ParseError> {
        let most = match header.pdu_type {
            pdu_type::H2C_TERM_REQ | pdu_type::C2H_TERM_REQ => MOST_OF_TERM_REQ,
            _ => end as u64,
        };
        self.check(u64::from(header.plen) <= most, "PLEN", header.plen, || format!("at most {most:#x}"))?;
        Ok(self.bytes[end..].to_vec())
    }

    fn pdu(&self, header: &CommonHeader, data: Vec<u8>) -> Result<Pdu, ParseError> {
        Ok(match header.pdu_type {
            pdu_type::IC_REQ => {
                let (pfv, hpda) = (self.u16(8), self.bytes[10]);
                self.check(hpda <= 31, "HPDA", hpda, || "0 to 31".to_owned())?;
                Pdu::ICReq(ICReq { pfv, hpda, dgst: self.bytes[11], maxr2t: self.u32(12) })
            }
            pdu_type::IC_RESP => {
                let (pfv, cpda, maxh2cdata) = (self.u16(8), self.bytes[10], self.u32(12));
                self.check(cpda <= 31, "CPDA", cpda, || "0 to 31".to_owned())?;
                self.check(
                    // At least 4096 is what it only should be.
                    maxh2cdata > 0 && maxh2cdata.is_multiple_of(4),
                    "MAXH2CDATA",
                    maxh2cdata,
                    || "a multiple of 4".to_owned(),
                )?;
                Pdu::ICResp(ICResp { pfv, cpda, dgst: self.bytes[11], maxh2cdata })
            }
            pdu_type::H2C_TERM_REQ | pdu_type::C2H_TERM_REQ => {
                let term = TermReq { fes: self.u16(8), fei: self.u32(10), data };
                if header.pdu_type == pdu_type::H2C_TERM_REQ {
                    Pdu::H2CTermReq(term)
                } else {
                    Pdu::C2HTermReq(term)
                }
            }
            pdu_type::CAPSULE_CMD => Pdu::CapsuleCmd(CapsuleCmd { sqe: self.array(8), data }),
            pdu_type::CAPSULE_RESP => Pdu::CapsuleResp(CapsuleResp { cqe: self.array(8) }),
            pdu_type::H2C_DATA | pdu_type::C2H_DATA => self.data_pdu(header, data)?,
            _ => Pdu::R2T(R2T {
                cccid: self.u16(8),
                ttag: self.u16(10),
                r2to: self.u32(12),
                r2tl: self.u32(16),
            }),
        })
    }

    fn data_pdu(&self, header: &CommonHeader, data: Vec<u8>) -> Result<Pdu, ParseError> {
        let (last, success) = (header.flags & flag::LAST != 0, header.flags & flag::SUCCESS != 0);
        self.check(last || !success, "FLAGS.SUCCESS", 1u8, || "0, as LAST_PDU is 0".to_owned())?;
        let datal = self.u32(16);
        self.check(u64::from(datal) == data.len() as u64, "DATAL", datal, || {
            format!("{:#x}, the data that PLEN and PDO leave", data.len())
        })?;
        let ours = header.pdu_type == pdu_type::H2C_DATA;
        let ttag = if ours { self.u16(10) } else { 0 };
        let pdu = DataPdu { cccid: self.u16(8), ttag, datao: self.u32(12), data, last, success };
        Ok(if ours { Pdu::H2CData(pdu) } else { Pdu::C2HData(pdu) })
    }
}
