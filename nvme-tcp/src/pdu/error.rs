//! What is wrong with bytes that should be a PDU.

/// Bytes that are no PDU, or not the one that may come here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pdu}: {field} is {value:#x}, expected {expected} (NVMe/TCP, \"{section}\")")]
pub struct ParseError {
    /// The name of its type, or "PDU" where that is unknown.
    pub pdu: &'static str,
    /// The field, as the specification abbreviates it.
    pub field: &'static str,
    /// What it holds.
    pub value: u64,
    /// What it should hold.
    pub expected: String,
    /// The title of the part of the specification that says so.
    pub section: &'static str,
}
