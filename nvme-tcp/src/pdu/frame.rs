//! From a PDU to bytes, with a stop in between where every field can be changed.

use super::{Kind, Pdu, flag};
use crate::digest::crc32c;

/// What both sides agreed on: it decides where the data of a PDU begins and which digests there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Layout {
    /// Header digests are in use.
    pub header_digest: bool,
    /// Data digests are in use.
    pub data_digest: bool,
    /// CPDA for what the host sends, HPDA for what the controller sends: data begins at multiples of
    /// (alignment + 1) * 4 bytes.
    pub alignment: u8,
}

/// A digest of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Digest {
    /// There is none.
    Absent,
    /// Computed from the bytes as they go out, changed fields included.
    Right,
    /// Every bit differs from the right one.
    Wrong,
    /// This one.
    Value(u32),
}

/// A PDU laid out, before it becomes bytes. Changing one field leaves the others as they are: a longer header
/// does not change PLEN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
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
    /// The PDU specific header (PSH), which follows the eight bytes above.
    pub specific: Vec<u8>,
    /// Header digest (HDGST).
    pub header_digest: Digest,
    /// What fills the gap between header and data (PAD).
    pub padding: Vec<u8>,
    /// The data.
    pub data: Vec<u8>,
    /// Data digest (DDGST).
    pub data_digest: Digest,
}

const DIGEST: usize = 4;

impl Pdu {
    /// Lays it out as the specification wants it.
    pub fn frame(&self, layout: &Layout) -> Frame {
        let kind = Kind::find(self.code()).expect("every PDU has its kind");
        let data = self.data().to_vec();
        let mut flags = self.own_flags();
        if layout.header_digest {
            flags |= flag::HEADER_DIGEST & kind.flags;
        }
        if layout.data_digest && !data.is_empty() {
            flags |= flag::DATA_DIGEST & kind.flags;
        }
        let header = usize::from(kind.hlen) + if flags & flag::HEADER_DIGEST != 0 { DIGEST } else { 0 };
        // Terminate requests have no PDO: their data follows the header.
        let offset = match (data.is_empty(), kind.flags & flag::DATA_DIGEST != 0) {
            (true, _) | (_, false) => header,
            (false, true) => header.next_multiple_of((usize::from(layout.alignment) + 1) * 4),
        };
        let end = offset + data.len() + if flags & flag::DATA_DIGEST != 0 { DIGEST } else { 0 };
        let pdo = if data.is_empty() || kind.flags & flag::DATA_DIGEST == 0 { 0 } else { offset };
        let digest = |bit| if flags & bit != 0 { Digest::Right } else { Digest::Absent };
        Frame {
            pdu_type: kind.code,
            flags,
            hlen: kind.hlen,
            pdo: u8::try_from(pdo).unwrap_or(u8::MAX),
            plen: u32::try_from(end).unwrap_or(u32::MAX),
            specific: self.specific(),
            header_digest: digest(flag::HEADER_DIGEST),
            padding: vec![0; offset - header],
            data,
            data_digest: digest(flag::DATA_DIGEST),
        }
    }

    /// The bytes of a well-formed PDU.
    pub fn to_bytes(&self, layout: &Layout) -> Vec<u8> {
        self.frame(layout).to_bytes()
    }

    fn own_flags(&self) -> u8 {
        let (Pdu::H2CData(data) | Pdu::C2HData(data)) = self else { return 0 };
        let last = if data.last { flag::LAST } else { 0 };
        let success = if data.success && matches!(self, Pdu::C2HData(_)) { flag::SUCCESS } else { 0 };
        last | success
    }

    fn specific(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(120);
        match self {
            Pdu::ICReq(request) => {
                bytes.extend(request.pfv.to_le_bytes());
                bytes.extend([request.hpda, request.dgst]);
                bytes.extend(request.maxr2t.to_le_bytes());
                bytes.resize(120, 0);
            }
            Pdu::ICResp(response) => {
                bytes.extend(response.pfv.to_le_bytes());
                bytes.extend([response.cpda, response.dgst]);
                bytes.extend(response.maxh2cdata.to_le_bytes());
                bytes.resize(120, 0);
            }
            Pdu::H2CTermReq(term) | Pdu::C2HTermReq(term) => {
                bytes.extend(term.fes.to_le_bytes());
                bytes.extend(term.fei.to_le_bytes());
                bytes.resize(16, 0);
            }
            Pdu::CapsuleCmd(capsule) => bytes.extend(capsule.sqe),
            Pdu::CapsuleResp(capsule) => bytes.extend(capsule.cqe),
            Pdu::H2CData(data) | Pdu::C2HData(data) => {
                let ttag = if matches!(self, Pdu::H2CData(_)) { data.ttag } else { 0 };
                bytes.extend(data.cccid.to_le_bytes());
                bytes.extend(ttag.to_le_bytes());
                bytes.extend(data.datao.to_le_bytes());
                bytes.extend(u32::try_from(data.data.len()).unwrap_or(u32::MAX).to_le_bytes());
                bytes.resize(16, 0);
            }
            Pdu::R2T(r2t) => {
                bytes.extend(r2t.cccid.to_le_bytes());
                bytes.extend(r2t.ttag.to_le_bytes());
                bytes.extend(r2t.r2to.to_le_bytes());
                bytes.extend(r2t.r2tl.to_le_bytes());
                bytes.resize(16, 0);
            }
        }
        bytes
    }
}

impl Frame {
    /// The bytes, whatever sense they make.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes =
            Vec::with_capacity(8 + self.specific.len() + self.padding.len() + self.data.len() + 8);
        bytes.extend([self.pdu_type, self.flags, self.hlen, self.pdo]);
        bytes.extend(self.plen.to_le_bytes());
        bytes.extend(&self.specific);
        let digest = self.header_digest.of(&bytes);
        bytes.extend(digest.iter().flat_map(|d| d.to_le_bytes()));
        bytes.extend(&self.padding);
        bytes.extend(&self.data);
        let digest = self.data_digest.of(&self.data);
        bytes.extend(digest.iter().flat_map(|d| d.to_le_bytes()));
        bytes
    }
}

impl Digest {
    fn of(self, bytes: &[u8]) -> Option<u32> {
        match self {
            Digest::Absent => None,
            Digest::Right => Some(crc32c(bytes)),
            Digest::Wrong => Some(!crc32c(bytes)),
            Digest::Value(value) => Some(value),
        }
    }
}
