//! Processes that share PCIe controllers: one that opened them, and children that it spawned.
//!
//! A PCIe function belongs to one SPDK environment, which may span processes: the one that started it, here its
//! *owner*, and *members* that map the same memory at the same addresses. A process whose parent is an owner
//! becomes a member of its environment; nobody has to say so. What SPDK shares by itself is the controller, its
//! admin queue and the identifiers of I/O queues. What this crate adds is shared through memory that is found by
//! name: the [tokens](process) of written blocks, the [tables](crate::integrity) of checksums and locks, and who
//! uses a controller, so that its owner can [ask all to leave](board) before it resets or closes it.

pub(crate) mod board;
pub(crate) mod leftovers;
pub(crate) mod memory;
pub(crate) mod process;
