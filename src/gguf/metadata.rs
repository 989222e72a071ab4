//! The key-value section of a header. Small values are kept; of arrays beyond a bound only the type and the count are,
//! because a vocabulary is counted here and never read. Each entry also keeps its encoded length, from which
//! the exact size of a rewritten header follows.

use super::cursor::Cursor;
use super::error::GgufError;
use std::collections::BTreeMap;
use std::collections::btree_map;
use std::io::BufRead;

/// Keys are at most this long by the GGUF specification.
const KEY_LIMIT: u64 = 65_535;
/// More keys than any model has, few enough to hold.
const KEYS_LIMIT: u64 = 65_536;
/// Key length, one byte of key, value type, one byte of value.
const ENTRY_MIN_BYTES: u64 = 8 + 1 + 4 + 1;
/// Contents of arrays up to this many encoded bytes are kept: enough for one number a layer, not for a vocabulary.
const KEPT_ARRAY_BYTES: u64 = 64 << 10;
/// llama.cpp has no arrays of arrays at all; the format allows them, so a few levels are passed over.
const NESTING_LIMIT: u32 = 4;

/// The type of a metadata value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "names and messages say it")]
pub enum ValueType {
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    F32,
    Bool,
    String,
    Array,
    U64,
    I64,
    F64,
}

impl ValueType {
    /// The type with this GGUF id.
    pub fn from_id(id: u32) -> Option<Self> {
        use ValueType::{Array, Bool, F32, F64, I8, I16, I32, I64, String, U8, U16, U32, U64};
        let types = [U8, I8, U16, I16, U32, I32, F32, Bool, String, Array, U64, I64, F64];
        usize::try_from(id).ok().and_then(|id| types.get(id)).copied()
    }

    /// Bytes a value takes; none for strings and arrays.
    fn fixed_bytes(self) -> Option<u64> {
        match self {
            Self::U8 | Self::I8 | Self::Bool => Some(1),
            Self::U16 | Self::I16 => Some(2),
            Self::U32 | Self::I32 | Self::F32 => Some(4),
            Self::U64 | Self::I64 | Self::F64 => Some(8),
            Self::String | Self::Array => None,
        }
    }

    /// The least bytes a value can take: an empty string is its length, an empty array its type and length.
    fn min_bytes(self) -> u64 {
        self.fixed_bytes().unwrap_or(if self == Self::String { 8 } else { 12 })
    }
}

/// A metadata value.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "names and messages say it")]
pub enum Value {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    F32(f32),
    Bool(bool),
    /// Bytes that are not UTF-8 stand as replacement characters.
    String(String),
    Array(Array),
    U64(u64),
    I64(i64),
    F64(f64),
}

impl Value {
    /// A whole number that is not negative, whatever its width.
    pub fn as_u64(&self) -> Option<u64> {
        match *self {
            Self::U8(v) => Some(v.into()),
            Self::U16(v) => Some(v.into()),
            Self::U32(v) => Some(v.into()),
            Self::U64(v) => Some(v),
            Self::I8(v) => v.try_into().ok(),
            Self::I16(v) => v.try_into().ok(),
            Self::I32(v) => v.try_into().ok(),
            Self::I64(v) => v.try_into().ok(),
            Self::F32(_) | Self::F64(_) | Self::Bool(_) | Self::String(_) | Self::Array(_) => None,
        }
    }

    fn decode(kind: ValueType, bytes: &[u8]) -> Option<Self> {
        Some(match kind {
            ValueType::U8 => Self::U8(u8::from_le_bytes(bytes.try_into().ok()?)),
            ValueType::I8 => Self::I8(i8::from_le_bytes(bytes.try_into().ok()?)),
            ValueType::U16 => Self::U16(u16::from_le_bytes(bytes.try_into().ok()?)),
            ValueType::I16 => Self::I16(i16::from_le_bytes(bytes.try_into().ok()?)),
            ValueType::U32 => Self::U32(u32::from_le_bytes(bytes.try_into().ok()?)),
            ValueType::I32 => Self::I32(i32::from_le_bytes(bytes.try_into().ok()?)),
            ValueType::F32 => Self::F32(f32::from_le_bytes(bytes.try_into().ok()?)),
            ValueType::Bool => Self::Bool(u8::from_le_bytes(bytes.try_into().ok()?) != 0),
            ValueType::U64 => Self::U64(u64::from_le_bytes(bytes.try_into().ok()?)),
            ValueType::I64 => Self::I64(i64::from_le_bytes(bytes.try_into().ok()?)),
            ValueType::F64 => Self::F64(f64::from_le_bytes(bytes.try_into().ok()?)),
            ValueType::String | ValueType::Array => return None,
        })
    }
}

/// An array value: always its type and count, its contents only if they are short.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Array {
    /// Type of the elements.
    pub element: ValueType,
    /// Number of elements.
    pub count: u64,
    /// Where the elements stand in the file: first byte, and the byte after the last.
    pub place: (u64, u64),
    /// The elements as encoded, so that memory never exceeds what the file spent on them.
    encoded: Option<Vec<u8>>,
}

impl Array {
    /// The elements of an array of numbers or truth values; none for other arrays and for long ones.
    pub fn values(&self) -> Option<Vec<Value>> {
        let width = usize::try_from(self.element.fixed_bytes()?).ok()?;
        self.encoded.as_deref()?.chunks_exact(width).map(|bytes| Value::decode(self.element, bytes)).collect()
    }

    /// The elements of an array of strings; none for other arrays and for long ones.
    pub fn strings(&self) -> Option<Vec<String>> {
        if self.element != ValueType::String {
            return None;
        }
        let mut rest = self.encoded.as_deref()?;
        let mut strings = Vec::new();
        while let Some((length, after)) = rest.split_first_chunk::<8>() {
            let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
            let (text, after) = after.split_at_checked(length)?;
            strings.push(String::from_utf8_lossy(text).into_owned());
            rest = after;
        }
        Some(strings)
    }
}

/// A number that models give once for all layers or once for each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PerLayer {
    /// The same in all layers.
    Same(u64),
    /// One number a layer.
    Each(Vec<u64>),
}

impl PerLayer {
    /// The number of one layer, counted from 0; none beyond the layers given.
    pub fn at(&self, layer: u64) -> Option<u64> {
        match self {
            Self::Same(number) => Some(*number),
            Self::Each(numbers) => numbers.get(usize::try_from(layer).ok()?).copied(),
        }
    }

    /// The sum over the first `layers` layers; none if it overflows or fewer are given.
    pub fn sum(&self, layers: u64) -> Option<u64> {
        match self {
            Self::Same(number) => number.checked_mul(layers),
            Self::Each(numbers) => {
                let numbers = numbers.get(..usize::try_from(layers).ok()?)?;
                numbers.iter().try_fold(0_u64, |sum, &number| sum.checked_add(number))
            }
        }
    }
}

/// One key's value and its lengths in bytes, key and types included.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The value.
    pub value: Value,
    /// Length in the file.
    pub encoded_bytes: u64,
    /// Length after llama.cpp copied it. It hands strings on as C strings, so they end at their first zero byte.
    pub copied_bytes: u64,
}

/// The metadata of one file.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Metadata {
    entries: BTreeMap<String, Entry>,
    encoded_bytes: u64,
}

impl Metadata {
    /// Length of the whole section in the file, in bytes.
    pub fn encoded_bytes(&self) -> u64 {
        self.encoded_bytes
    }

    /// All keys, in alphabetical order.
    pub fn entries(&self) -> impl Iterator<Item = (&str, &Entry)> {
        self.entries.iter().map(|(key, entry)| (key.as_str(), entry))
    }

    /// The number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key at all.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The value under a key.
    pub fn get(&self, key: &str) -> Option<&Value> {
        self.entries.get(key).map(|entry| &entry.value)
    }

    /// A text; none if the key is absent or of another type.
    pub fn str(&self, key: &str) -> Option<&str> {
        if let Value::String(text) = self.get(key)? { Some(text) } else { None }
    }

    /// A whole number of any width that is not negative; none if the key is absent or of another type.
    pub fn u64(&self, key: &str) -> Option<u64> {
        self.get(key)?.as_u64()
    }

    /// A number with a fraction, `f64` being narrowed; none if the key is absent or of another type.
    pub fn f32(&self, key: &str) -> Option<f32> {
        match *self.get(key)? {
            Value::F32(number) => Some(number),
            Value::F64(number) => Some(number as f32),
            _ => None,
        }
    }

    /// A truth value; none if the key is absent or of another type.
    pub fn bool(&self, key: &str) -> Option<bool> {
        if let Value::Bool(truth) = *self.get(key)? { Some(truth) } else { None }
    }

    /// An array; none if the key is absent or of another type.
    pub fn array(&self, key: &str) -> Option<&Array> {
        if let Value::Array(array) = self.get(key)? { Some(array) } else { None }
    }

    /// A whole number given once or as an array with one a layer.
    pub fn per_layer(&self, key: &str) -> Option<PerLayer> {
        match self.get(key)? {
            Value::Array(array) => {
                array.values()?.iter().map(Value::as_u64).collect::<Option<_>>().map(PerLayer::Each)
            }
            value => value.as_u64().map(PerLayer::Same),
        }
    }

    pub(super) fn read<R: BufRead>(cursor: &mut Cursor<'_, R>, count: u64) -> Result<Self, GgufError> {
        cursor.check_count("metadata keys", count, ENTRY_MIN_BYTES)?;
        if count > KEYS_LIMIT {
            return Err(GgufError::Count {
                path: cursor.path().into(),
                what: "metadata keys",
                count,
                most: KEYS_LIMIT,
            });
        }
        let start = cursor.position();
        let mut entries = BTreeMap::new();
        for _ in 0..count {
            let (key, entry) = read_entry(cursor)?;
            match entries.entry(key) {
                btree_map::Entry::Vacant(place) => place.insert(entry),
                btree_map::Entry::Occupied(taken) => {
                    let key = taken.key().clone();
                    return Err(GgufError::DuplicateKey { path: cursor.path().into(), key });
                }
            };
        }
        Ok(Self { entries, encoded_bytes: cursor.position() - start })
    }
}

fn read_entry<R: BufRead>(cursor: &mut Cursor<'_, R>) -> Result<(String, Entry), GgufError> {
    let start = cursor.position();
    let key = cursor.name("metadata key", KEY_LIMIT)?;
    if key.is_empty() {
        let wrong = "empty".into();
        return Err(GgufError::Name { path: cursor.path().into(), what: "metadata key", wrong });
    }
    let kind = read_type(cursor, &key)?;
    // Bytes that llama.cpp's copy of the value would lose.
    let mut lost = 0;
    let value = read_value(cursor, &key, kind, &mut lost)?;
    let encoded_bytes = cursor.position() - start;
    Ok((key, Entry { value, encoded_bytes, copied_bytes: encoded_bytes - lost }))
}

fn read_type<R: BufRead>(cursor: &mut Cursor<'_, R>, key: &str) -> Result<ValueType, GgufError> {
    let id = cursor.u32("value type")?;
    ValueType::from_id(id).ok_or_else(|| GgufError::ValueType {
        path: cursor.path().into(),
        key: key.into(),
        id,
    })
}

fn read_value<R: BufRead>(
    cursor: &mut Cursor<'_, R>,
    key: &str,
    kind: ValueType,
    lost: &mut u64,
) -> Result<Value, GgufError> {
    const WHAT: &str = "metadata value";
    Ok(match kind {
        ValueType::U8 => Value::U8(cursor.u8(WHAT)?),
        ValueType::I8 => Value::I8(i8::from_le_bytes(cursor.array(WHAT)?)),
        ValueType::U16 => Value::U16(u16::from_le_bytes(cursor.array(WHAT)?)),
        ValueType::I16 => Value::I16(i16::from_le_bytes(cursor.array(WHAT)?)),
        ValueType::U32 => Value::U32(cursor.u32(WHAT)?),
        ValueType::I32 => Value::I32(i32::from_le_bytes(cursor.array(WHAT)?)),
        ValueType::F32 => Value::F32(f32::from_le_bytes(cursor.array(WHAT)?)),
        ValueType::Bool => Value::Bool(cursor.u8(WHAT)? != 0),
        ValueType::U64 => Value::U64(cursor.u64(WHAT)?),
        ValueType::I64 => Value::I64(i64::from_le_bytes(cursor.array(WHAT)?)),
        ValueType::F64 => Value::F64(f64::from_le_bytes(cursor.array(WHAT)?)),
        ValueType::String => {
            let length = cursor.u64("string length")?;
            let mut bytes = Vec::new();
            cursor.append("string", length, &mut bytes)?;
            *lost += lost_bytes(&bytes);
            Value::String(text(bytes))
        }
        ValueType::Array => Value::Array(read_array(cursor, key, 1, lost)?),
    })
}

fn read_array<R: BufRead>(
    cursor: &mut Cursor<'_, R>,
    key: &str,
    depth: u32,
    lost: &mut u64,
) -> Result<Array, GgufError> {
    if depth > NESTING_LIMIT {
        return Err(GgufError::Nesting { path: cursor.path().into(), key: key.into() });
    }
    let element = read_type(cursor, key)?;
    let count = cursor.u64("array length")?;
    cursor.check_count("array elements", count, element.min_bytes())?;
    let start = cursor.position();
    let encoded = match element.fixed_bytes() {
        Some(width) => read_fixed(cursor, count * width)?,
        None if element == ValueType::String => read_strings(cursor, count, lost)?,
        None => {
            for _ in 0..count {
                read_array(cursor, key, depth + 1, lost)?;
            }
            None
        }
    };
    Ok(Array { element, count, place: (start, cursor.position()), encoded })
}

fn read_fixed<R: BufRead>(cursor: &mut Cursor<'_, R>, bytes: u64) -> Result<Option<Vec<u8>>, GgufError> {
    if bytes > KEPT_ARRAY_BYTES {
        cursor.skip("array", bytes)?;
        return Ok(None);
    }
    let mut kept = Vec::new();
    cursor.append("array", bytes, &mut kept)?;
    Ok(Some(kept))
}

fn read_strings<R: BufRead>(
    cursor: &mut Cursor<'_, R>,
    count: u64,
    lost: &mut u64,
) -> Result<Option<Vec<u8>>, GgufError> {
    let start = cursor.position();
    let mut kept = Some(Vec::new());
    for _ in 0..count {
        let length = cursor.u64("string length")?;
        // The length is unchecked until its bytes are read, so it must not take part in plain sums before.
        if length > KEPT_ARRAY_BYTES || cursor.position() - start + length > KEPT_ARRAY_BYTES {
            kept = None;
        }
        let Some(bytes) = kept.as_mut() else {
            *lost += length - cursor.skip("string", length)?;
            continue;
        };
        bytes.extend(length.to_le_bytes());
        let text_start = bytes.len();
        cursor.append("string", length, bytes)?;
        *lost += lost_bytes(bytes.get(text_start..).unwrap_or_default());
    }
    Ok(kept)
}

/// How many bytes stand from the first zero byte on.
fn lost_bytes(text: &[u8]) -> u64 {
    text.iter().position(|&byte| byte == 0).map_or(0, |at| (text.len() - at) as u64)
}

fn text(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}
