//! What a decoder returns: names, values and what they mean.

use std::borrow::Cow;
use std::fmt;

use serde::{Serialize, Serializer};

/// A structure of the specification, field by field.
///
/// Displays in one line, without what is zero by default: `Read: NSID 1, SLBA 4096, NLB 7 (8 blocks), FUA`. The
/// alternate form, `{:#}`, is a table of all fields with their titles.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[non_exhaustive]
pub struct Decoded {
    /// What it is, as the specification calls it: `Get Log Page`.
    pub name: Cow<'static, str>,
    /// Its fields, in the order of the specification.
    pub fields: Vec<Field>,
    /// What it holds more of than one: the entries of a log, the formats of a namespace.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<Decoded>,
}

/// A field of a structure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Field {
    /// Its abbreviation: `NLB`.
    pub name: Cow<'static, str>,
    /// Its name in full: `Number of Logical Blocks`.
    pub title: Cow<'static, str>,
    /// What it holds.
    pub value: Value,
    /// What that value says, where it is not obvious: `8 blocks`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meaning: Option<String>,
    #[serde(skip)]
    pub(super) line: Line,
}

/// When a field appears where there is only one line for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Line {
    #[default]
    Always,
    /// When it is not zero.
    WhenSet,
    /// When it is not zero, and then its name alone: it is one bit.
    Flag,
    Never,
}

/// The value of a field.
///
/// Serializes as a number, or as text: numbers above 64 bits in decimal digits, bytes in hexadecimal ones.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Value {
    /// A number that counts something.
    Number(u128),
    /// A number that people know by its hexadecimal digits: an address, an identifier, a set of bits.
    Hex(u128),
    /// Text, without what it is padded with.
    Text(String),
    /// Bytes in the order of the structure: a UUID, a reserved area.
    Bytes(Vec<u8>),
}

impl Decoded {
    pub(super) fn new(name: impl Into<Cow<'static, str>>, fields: Vec<Field>) -> Self {
        Decoded { name: name.into(), fields, parts: Vec::new() }
    }

    pub(super) fn with_parts(self, parts: Vec<Decoded>) -> Self {
        Decoded { parts, ..self }
    }

    /// A field by its abbreviation; the first one, should there be more.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The number in a field.
    pub fn number(&self, name: &str) -> Option<u128> {
        self.field(name).and_then(|field| field.value.number())
    }

    fn table(&self, f: &mut fmt::Formatter<'_>, indent: usize) -> fmt::Result {
        write!(f, "{:indent$}{}", "", self.name)?;
        let widest = |texts: &mut dyn Iterator<Item = usize>| texts.max().unwrap_or(0);
        let names = widest(&mut self.fields.iter().map(|field| field.name.chars().count()));
        let values: Vec<_> = self.fields.iter().map(|field| field.value.to_string()).collect();
        // A long one, of bytes or text, does not push the others away.
        let column = widest(&mut values.iter().map(|value| value.chars().count()).filter(|&long| long <= 20));
        for (field, value) in self.fields.iter().zip(values) {
            write!(f, "\n{:indent$}  {:names$}  {value:column$}  {}", "", field.name, field.title)?;
            if let Some(meaning) = &field.meaning {
                write!(f, ": {meaning}")?;
            }
        }
        for part in &self.parts {
            f.write_str("\n")?;
            part.table(f, indent + 2)?;
        }
        Ok(())
    }

    fn line(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        let told = self.fields.iter().filter(|field| field.is_told());
        for (place, field) in told.enumerate() {
            write!(f, "{} {field}", if place == 0 { ":" } else { "," })?;
        }
        match self.parts.len() {
            0 => Ok(()),
            1 => write!(f, "; {}", self.parts[0].name),
            more => write!(f, "; {} and {} more", self.parts[0].name, more - 1),
        }
    }
}

impl fmt::Display for Decoded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if f.alternate() { self.table(f, 0) } else { self.line(f) }
    }
}

impl Field {
    /// Whether it appears where there is only one line for all of them: a value of zero often says nothing.
    pub fn is_told(&self) -> bool {
        match self.line {
            Line::Always => true,
            Line::WhenSet | Line::Flag => !self.value.is_zero(),
            Line::Never => false,
        }
    }
}

/// As in a line of them: `NLB 7 (8 blocks)`, or for a flag that is set, `FUA`.
impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        if self.line == Line::Flag && !self.value.is_zero() {
            return Ok(());
        }
        write!(f, " {}", self.value)?;
        match &self.meaning {
            Some(meaning) => write!(f, " ({meaning})"),
            None => Ok(()),
        }
    }
}

impl Value {
    /// The number, if it is one.
    pub fn number(&self) -> Option<u128> {
        match *self {
            Value::Number(number) | Value::Hex(number) => Some(number),
            Value::Text(_) | Value::Bytes(_) => None,
        }
    }

    /// Whether every bit is zero, or the text empty.
    pub fn is_zero(&self) -> bool {
        match self {
            Value::Number(number) | Value::Hex(number) => *number == 0,
            Value::Text(text) => text.is_empty(),
            Value::Bytes(bytes) => bytes.iter().all(|byte| *byte == 0),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Number(number) => f.pad(&number.to_string()),
            Value::Hex(number) => f.pad(&format!("{number:#x}")),
            Value::Text(text) => f.pad(text),
            Value::Bytes(bytes) => {
                f.pad(&bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>().concat())
            }
        }
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.number().map(u64::try_from) {
            Some(Ok(number)) => serializer.serialize_u64(number),
            Some(Err(_)) => serializer.collect_str(&self.number().unwrap_or_default()),
            None => serializer.collect_str(self),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(name: &'static str, value: Value, line: Line) -> Field {
        Field { name: name.into(), title: "A title".into(), value, meaning: None, line }
    }

    #[test]
    fn one_line_leaves_out_what_says_nothing() {
        let mut decoded = Decoded::new(
            "Thing",
            vec![
                field("A", Value::Number(0), Line::Always),
                field("B", Value::Number(0), Line::WhenSet),
                field("C", Value::Hex(0x1f), Line::WhenSet),
                field("D", Value::Number(1), Line::Flag),
                field("E", Value::Number(0), Line::Flag),
                field("F", Value::Number(9), Line::Never),
            ],
        );
        decoded.fields[2].meaning = Some("much".to_owned());
        assert_eq!(decoded.to_string(), "Thing: A 0, C 0x1f (much), D");
        decoded.fields.truncate(3);
        assert_eq!(
            format!("{decoded:#}"),
            "Thing\n  A  0     A title\n  B  0     A title\n  C  0x1f  A title: much"
        );
        let parts = decoded.with_parts(vec![Decoded::new("One", vec![]), Decoded::new("Two", vec![])]);
        assert!(parts.to_string().ends_with("; One and 1 more"), "{parts}");
        assert!(format!("{parts:#}").ends_with("\n  One\n  Two"), "{parts:#}");
    }

    #[test]
    fn values_as_json() {
        let json = |value| serde_json::to_string(&value).unwrap();
        assert_eq!(json(Value::Number(7)), "7");
        assert_eq!(json(Value::Hex(u64::MAX.into())), u64::MAX.to_string());
        assert_eq!(json(Value::Number(1 << 64)), "\"18446744073709551616\"");
        assert_eq!(json(Value::Text("a".to_owned())), "\"a\"");
        assert_eq!(json(Value::Bytes(vec![0, 0xff])), "\"00ff\"");
        let value = serde_json::to_value(Value::Number(u128::MAX)).unwrap();
        assert_eq!(value, u128::MAX.to_string());
    }
}
