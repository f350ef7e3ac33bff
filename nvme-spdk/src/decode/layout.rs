//! Fields by their place: how the tables of the specification are written down here, and read.

use super::decoded::{Decoded, Field, Line, Value};

/// A field of a structure: where it is, what it is called, how it is shown.
#[derive(Clone, Copy)]
pub(super) struct Spec {
    name: &'static str,
    title: &'static str,
    /// From the beginning of the structure.
    first_bit: u32,
    bits: u32,
    show: Show,
    hex: bool,
    line: Line,
}

/// Values and what they mean.
pub(super) type Names = &'static [(u64, &'static str)];

#[derive(Clone, Copy)]
enum Show {
    Plain,
    /// 0's based: one more than its value, of these.
    OneMore(&'static str),
    Unit(&'static str),
    OneOf(Names),
    /// Bits by their number.
    Bits(Names),
    Told(fn(u128) -> String),
    Text,
    Bytes,
}

/// Bits `high` to `low` of dword `index`.
pub(super) const fn dw(index: u32, high: u32, low: u32, name: &'static str, title: &'static str) -> Spec {
    assert!(high < 32 && low <= high);
    Spec::new(index * 32 + low, high - low + 1, name, title)
}

/// Bit `bit` of dword `index`.
pub(super) const fn flag(index: u32, bit: u32, name: &'static str, title: &'static str) -> Spec {
    Spec { line: Line::Flag, ..dw(index, bit, bit, name, title) }
}

/// Bytes `first` to `last`.
pub(super) const fn bytes(last: u32, first: u32, name: &'static str, title: &'static str) -> Spec {
    assert!(first <= last);
    Spec::new(first * 8, (last - first + 1) * 8, name, title)
}

/// Bits `high` to `low` of byte `index`.
pub(super) const fn bits(index: u32, high: u32, low: u32, name: &'static str, title: &'static str) -> Spec {
    assert!(high < 8 && low <= high);
    Spec::new(index * 8 + low, high - low + 1, name, title)
}

impl Spec {
    const fn new(first_bit: u32, bits: u32, name: &'static str, title: &'static str) -> Self {
        Spec { name, title, first_bit, bits, show: Show::Plain, hex: false, line: Line::Always }
    }

    pub(super) const fn hex(self) -> Self {
        Spec { hex: true, ..self }
    }

    /// One line for all fields has it only when it is not zero.
    pub(super) const fn quiet(self) -> Self {
        Spec { line: Line::WhenSet, ..self }
    }

    /// One line for all fields does not have it.
    pub(super) const fn hidden(self) -> Self {
        Spec { line: Line::Never, ..self }
    }

    pub(super) const fn one_more(self, of: &'static str) -> Self {
        Spec { show: Show::OneMore(of), ..self }
    }

    pub(super) const fn unit(self, unit: &'static str) -> Self {
        Spec { show: Show::Unit(unit), ..self }
    }

    pub(super) const fn one_of(self, names: Names) -> Self {
        Spec { show: Show::OneOf(names), ..self }
    }

    pub(super) const fn set_of(self, names: Names) -> Self {
        Spec { show: Show::Bits(names), hex: true, ..self }
    }

    /// What a function says about it; nothing if it says nothing.
    pub(super) const fn told(self, tell: fn(u128) -> String) -> Self {
        Spec { show: Show::Told(tell), ..self }
    }

    /// ASCII, padded with spaces or ended by a zero.
    pub(super) const fn text(self) -> Self {
        Spec { show: Show::Text, ..self }
    }

    /// Bytes that are no number.
    pub(super) const fn raw(self) -> Self {
        Spec { show: Show::Bytes, ..self }
    }

    fn end_bit(&self) -> usize {
        (self.first_bit + self.bits) as usize
    }

    /// The field, if the data, of which the first `skipped` bytes belong to something else, reaches that far.
    fn read(&self, data: &[u8], skipped: usize) -> Option<Field> {
        let data = data.get(skipped..)?;
        let raw = data.get(self.first_bit as usize / 8..self.end_bit().div_ceil(8))?;
        let (value, meaning) = match self.show {
            Show::Text => (Value::Text(text(raw)), None),
            Show::Bytes => (Value::Bytes(raw.to_vec()), None),
            _ => self.number(raw),
        };
        let (name, title) = (self.name.into(), self.title.into());
        Some(Field { name, title, value, meaning, line: self.line })
    }

    fn number(&self, raw: &[u8]) -> (Value, Option<String>) {
        let number = number(raw, self.first_bit % 8, self.bits);
        let meaning = match self.show {
            Show::OneMore(of) if number == 0 => Some(format!("1 {}", singular(of))),
            Show::OneMore(of) => Some(format!("{} {of}", number + 1)),
            Show::Unit(unit) => Some(unit.to_owned()).filter(|_| number != 0),
            Show::OneOf(names) => Some(name_of(names, number).unwrap_or("reserved").to_owned()),
            Show::Bits(names) => Some(set_bits(names, number)).filter(|set| !set.is_empty()),
            Show::Told(tell) => Some(tell(number)).filter(|told| !told.is_empty()),
            Show::Plain | Show::Text | Show::Bytes => None,
        };
        (if self.hex { Value::Hex(number) } else { Value::Number(number) }, meaning)
    }
}

/// The fields of a structure that begins `skipped` bytes into the data; those that the data does not reach are left
/// out.
pub(super) fn read_at(data: &[u8], skipped: usize, specs: &[Spec]) -> Vec<Field> {
    specs.iter().filter_map(|spec| spec.read(data, skipped)).collect()
}

pub(super) fn read(data: &[u8], specs: &[Spec]) -> Vec<Field> {
    read_at(data, 0, specs)
}

/// Which bits of each dword belong to fields.
pub(super) fn covered<'a>(specs: impl IntoIterator<Item = (usize, &'a [Spec])>) -> [u32; 16] {
    let mut dwords = [0; 16];
    for (skipped, specs) in specs {
        for spec in specs {
            for bit in spec.first_bit as usize..spec.end_bit() {
                let bit = bit + skipped * 8;
                if let Some(dword) = dwords.get_mut(bit / 32) {
                    *dword |= 1 << (bit % 32);
                }
            }
        }
    }
    dwords
}

/// Fails if fields have a bit in common, or end behind a structure of this size; they come as in [`covered`].
#[cfg(test)]
pub(super) fn assert_apart(what: &str, size: usize, tables: &[(usize, &[Spec])]) {
    let mut fields: Vec<_> = tables
        .iter()
        .flat_map(|(skipped, specs)| {
            let bits = move |spec: &Spec| skipped * 8 + spec.first_bit as usize..skipped * 8 + spec.end_bit();
            specs.iter().map(move |spec| (bits(spec), spec.name))
        })
        .collect();
    fields.sort_by_key(|(bits, _)| (bits.start, bits.end));
    for (bits, name) in &fields {
        assert!(bits.end <= size * 8, "{what}: {name} ends behind it");
    }
    for pair in fields.windows(2) {
        let [(before, first), (bits, second)] = pair else { unreachable!() };
        assert!(before.end <= bits.start, "{what}: {first} and {second} have bit {} in common", bits.start);
    }
}

/// How long data may be that is tried at random: beyond any structure, but Miri takes minutes for that.
#[cfg(test)]
pub(super) const ANY_LENGTH: std::ops::Range<usize> = 0..if cfg!(miri) { 600 } else { 5000 };

/// Entries of `size` bytes, from byte `first` on, as long as there are whole ones.
pub(super) fn entries(
    data: &[u8],
    first: usize,
    size: usize,
    most: usize,
    decode: impl Fn(usize, &[u8]) -> Option<Decoded>,
) -> Vec<Decoded> {
    let rest = data.get(first..).unwrap_or_default();
    let whole = rest.chunks_exact(size).take(most).enumerate();
    whole.filter_map(|(index, entry)| decode(index, entry)).collect()
}

/// A little-endian number that begins `shift` bits into the bytes; no field has more than 128 bits.
fn number(raw: &[u8], shift: u32, bits: u32) -> u128 {
    let whole = raw.iter().take(16).rev().fold(0_u128, |number, byte| number << 8 | u128::from(*byte));
    let mask = if bits >= 128 { u128::MAX } else { (1 << bits) - 1 };
    whole >> shift & mask
}

/// The little-endian number in some bytes, 0 if the data does not reach that far.
pub(super) fn number_at(data: &[u8], first: usize, len: usize) -> u128 {
    data.get(first..first + len).map_or(0, |raw| number(raw, 0, len as u32 * 8))
}

fn singular(of: &str) -> String {
    match (of.strip_suffix("ies"), of.strip_suffix('s')) {
        (Some(stem), _) => format!("{stem}y"),
        (None, Some(stem)) if of.starts_with(char::is_alphabetic) => stem.to_owned(),
        _ => of.to_owned(),
    }
}

pub(super) fn text(raw: &[u8]) -> String {
    let end = raw.iter().position(|byte| *byte == 0).unwrap_or(raw.len());
    let shown = |byte: &u8| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' };
    raw[..end].iter().map(shown).collect::<String>().trim().to_owned()
}

pub(super) fn name_of(names: Names, number: u128) -> Option<&'static str> {
    names.iter().find(|(value, _)| u128::from(*value) == number).map(|(_, name)| *name)
}

fn set_bits(names: Names, number: u128) -> String {
    let set = names.iter().filter(|(bit, _)| number >> bit & 1 == 1).map(|(_, name)| *name);
    set.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPECS: &[Spec] = &[
        bytes(0, 0, "A", "First"),
        dw(0, 19, 8, "B", "Across bytes").hex(),
        flag(0, 20, "C", "A flag"),
        bits(3, 7, 6, "D", "Upper bits").one_of(&[(3, "three")]),
        bytes(19, 4, "E", "Wide"),
        bytes(23, 20, "F", "Words").text(),
        bytes(25, 24, "G", "Beyond"),
    ];

    #[test]
    fn fields_are_cut_out_where_they_are() {
        let mut data = vec![0x12, 0x34, 0xf5, 0xc0];
        data.extend([0xff; 16]);
        data.extend(b"a \0b");
        let fields = read(&data, SPECS);
        let lines: Vec<_> = fields.iter().map(ToString::to_string).collect();
        let wide = format!("E {}", u128::MAX);
        assert_eq!(lines, ["A 18", "B 0x534", "C", "D 3 (three)", &wide, "F a"]);
        assert_eq!(read(&data[..3], SPECS).len(), 3);
        assert_eq!(read_at(&data, 30, SPECS), []);
    }

    #[test]
    fn what_overlaps_is_found() {
        assert_apart("all", 26, &[(0, SPECS)]);
        for (size, tables) in [
            (25, [(0, SPECS), (0, &[] as &[Spec])]),
            (100, [(0, SPECS), (25, &SPECS[..1])]),
            (100, [(0, SPECS), (0, &[flag(0, 19, "H", "Again")])]),
        ] {
            assert!(std::panic::catch_unwind(|| assert_apart("some", size, &tables)).is_err());
        }
    }

    #[test]
    fn one_is_not_many() {
        for (of, one) in [("blocks", "block"), ("entries", "entry"), ("× 512 bytes", "× 512 bytes")] {
            assert_eq!(singular(of), one);
        }
    }

    #[test]
    fn what_belongs_to_no_field_is_known() {
        let dwords = covered([(0, SPECS), (60, &SPECS[..3])]);
        assert_eq!(dwords[0], 0xc01f_ffff);
        assert_eq!(dwords[1..6], [u32::MAX; 5]);
        assert_eq!((dwords[6], dwords[7], dwords[15]), (0xffff, 0, 0x001f_ffff));
    }
}
