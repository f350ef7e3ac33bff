//! A command of a command set: its opcode, its name, and what is in its dwords.

use super::layout::Spec;

/// What the specification says about an opcode.
pub(super) struct Opcode {
    pub code: u8,
    pub name: &'static str,
    /// By dwords of the command, from dword 0 on.
    pub fields: &'static [Spec],
}

pub(super) const fn opcode(code: u8, name: &'static str, fields: &'static [Spec]) -> Opcode {
    Opcode { code, name, fields }
}

pub(super) fn find(set: &'static [Opcode], code: u8) -> Option<&'static Opcode> {
    set.iter().find(|opcode| opcode.code == code)
}
