//! Completion queue entries.

use std::fmt;

/// A completion queue entry, as a response capsule carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Completion([u8; 16]);

impl Completion {
    /// What a C2HData PDU with the SUCCESS flag stands for.
    pub fn success(cid: u16) -> Self {
        let mut bytes = [0; 16];
        bytes[12..14].copy_from_slice(&cid.to_le_bytes());
        Completion(bytes)
    }

    /// Dwords 0 and 1: what the command returns.
    pub fn result(&self) -> u64 {
        u64::from_le_bytes(*self.0.first_chunk().expect("sixteen bytes"))
    }

    /// Submission Queue Head Pointer (SQHD).
    pub fn sqhd(&self) -> u16 {
        u16::from_le_bytes([self.0[8], self.0[9]])
    }

    /// Command Identifier (CID).
    pub fn cid(&self) -> u16 {
        u16::from_le_bytes([self.0[12], self.0[13]])
    }

    /// Status Code Type (SCT).
    pub fn sct(&self) -> u8 {
        self.0[15] >> 1 & 0x7
    }

    /// Status Code (SC).
    pub fn sc(&self) -> u8 {
        self.0[14] >> 1 | self.0[15] << 7
    }

    /// Do Not Retry (DNR).
    pub fn dnr(&self) -> bool {
        self.0[15] & 0x80 != 0
    }

    /// Whether the command succeeded.
    pub fn is_success(&self) -> bool {
        self.sct() == 0 && self.sc() == 0
    }

    /// The completion queue entry.
    pub fn bytes(&self) -> [u8; 16] {
        self.0
    }
}

impl From<[u8; 16]> for Completion {
    fn from(bytes: [u8; 16]) -> Self {
        Completion(bytes)
    }
}

/// The status as "01/82", status code type first.
impl fmt::Display for Completion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02x}/{:02x}", self.sct(), self.sc())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_is_taken_apart() {
        let mut bytes = [0; 16];
        bytes[12..16].copy_from_slice(&[7, 0, 0x05, 0x83]);
        let completion = Completion::from(bytes);
        assert_eq!((completion.cid(), completion.sct(), completion.sc()), (7, 1, 0x82));
        assert!(completion.dnr() && !completion.is_success());
        assert_eq!(completion.to_string(), "01/82");
    }
}
