//! Thrift's binary protocol: values and messages, from bytes and to bytes.
//!
//! Reading is bounded by the bytes that are there and by a depth: nothing is reserved for a size that a peer only claims.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

/// A value of any type that the interface uses.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    Bool(bool),
    Byte(i8),
    Double(f64),
    I16(i16),
    I32(i32),
    I64(i64),
    Binary(Bytes),
    Struct(Vec<(i16, Value)>),
    Map(u8, u8, Vec<(Value, Value)>),
    Set(u8, Vec<Value>),
    List(u8, Vec<Value>),
}

/// A message with its name, number and struct.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Message {
    pub(super) kind: u8,
    pub(super) name: Bytes,
    pub(super) number: i32,
    pub(super) body: Value,
}

/// Bytes that are no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a message of thrift's binary protocol: {0}")]
pub(super) struct BadThrift(&'static str);

pub(super) const CALL: u8 = 1;
pub(super) const REPLY: u8 = 2;
pub(super) const EXCEPTION: u8 = 3;

const STOP: u8 = 0;
pub(super) const STRUCT: u8 = 12;
pub(super) const BINARY: u8 = 11;
pub(super) const I32: u8 = 8;
const VERSION: u32 = 0x8001_0000;
/// Deepest nesting of values.
const DEPTH: usize = 24;

// === impl Message ===

impl Message {
    pub(super) fn read(mut bytes: Bytes) -> Result<Self, BadThrift> {
        let version = int(&mut bytes)? as u32;
        if version & 0xffff_0000 != VERSION {
            return Err(BadThrift("its version is unknown"));
        }
        Ok(Self {
            kind: version as u8,
            name: binary(&mut bytes)?,
            number: int(&mut bytes)?,
            body: Value::read(STRUCT, &mut bytes, 0)?,
        })
    }

    pub(super) fn write(&self) -> Bytes {
        let mut out = BytesMut::new();
        out.put_u32(VERSION | u32::from(self.kind));
        put_binary(&self.name, &mut out);
        out.put_i32(self.number);
        self.body.write(&mut out);
        out.freeze()
    }
}

// === impl Value ===

impl Value {
    pub(super) fn text(text: impl AsRef<str>) -> Self {
        Value::Binary(Bytes::copy_from_slice(text.as_ref().as_bytes()))
    }

    /// A struct without fields.
    pub(super) fn void() -> Self {
        Value::Struct(Vec::new())
    }

    /// A field of a struct.
    pub(super) fn field(&self, id: i16) -> Option<&Value> {
        match self {
            Value::Struct(fields) => fields.iter().find(|(i, _)| *i == id).map(|(_, v)| v),
            _ => None,
        }
    }

    /// The bytes of a field, none if it is not there.
    pub(super) fn bytes(&self, id: i16) -> &[u8] {
        match self.field(id) {
            Some(Value::Binary(bytes)) => bytes,
            _ => &[],
        }
    }

    fn kind(&self) -> u8 {
        match self {
            Value::Bool(_) => 2,
            Value::Byte(_) => 3,
            Value::Double(_) => 4,
            Value::I16(_) => 6,
            Value::I32(_) => I32,
            Value::I64(_) => 10,
            Value::Binary(_) => BINARY,
            Value::Struct(_) => STRUCT,
            Value::Map(..) => 13,
            Value::Set(..) => 14,
            Value::List(..) => 15,
        }
    }

    fn read(kind: u8, bytes: &mut Bytes, depth: usize) -> Result<Self, BadThrift> {
        if depth > DEPTH {
            return Err(BadThrift("its values are nested too deeply"));
        }
        let short = |_| BadThrift("it ends too early");
        Ok(match kind {
            2 => Value::Bool(bytes.try_get_u8().map_err(short)? != 0),
            3 => Value::Byte(bytes.try_get_i8().map_err(short)?),
            4 => Value::Double(bytes.try_get_f64().map_err(short)?),
            6 => Value::I16(bytes.try_get_i16().map_err(short)?),
            I32 => Value::I32(int(bytes)?),
            10 => Value::I64(bytes.try_get_i64().map_err(short)?),
            BINARY => Value::Binary(binary(bytes)?),
            STRUCT => {
                let mut fields = Vec::new();
                loop {
                    let kind = bytes.try_get_u8().map_err(short)?;
                    if kind == STOP {
                        return Ok(Value::Struct(fields));
                    }
                    let id = bytes.try_get_i16().map_err(short)?;
                    fields.push((id, Self::read(kind, bytes, depth + 1)?));
                }
            }
            13 => {
                let key = bytes.try_get_u8().map_err(short)?;
                let value = bytes.try_get_u8().map_err(short)?;
                let mut pairs = Vec::new();
                for _ in 0..count(bytes)? {
                    let name = Self::read(key, bytes, depth + 1)?;
                    pairs.push((name, Self::read(value, bytes, depth + 1)?));
                }
                Value::Map(key, value, pairs)
            }
            14 | 15 => {
                let of = bytes.try_get_u8().map_err(short)?;
                let mut values = Vec::new();
                for _ in 0..count(bytes)? {
                    values.push(Self::read(of, bytes, depth + 1)?);
                }
                match kind {
                    14 => Value::Set(of, values),
                    _ => Value::List(of, values),
                }
            }
            _ => return Err(BadThrift("it has a value of an unknown type")),
        })
    }

    fn write(&self, out: &mut BytesMut) {
        match self {
            Value::Bool(value) => out.put_u8(u8::from(*value)),
            Value::Byte(value) => out.put_i8(*value),
            Value::Double(value) => out.put_f64(*value),
            Value::I16(value) => out.put_i16(*value),
            Value::I32(value) => out.put_i32(*value),
            Value::I64(value) => out.put_i64(*value),
            Value::Binary(bytes) => put_binary(bytes, out),
            Value::Struct(fields) => {
                for (id, value) in fields {
                    out.put_u8(value.kind());
                    out.put_i16(*id);
                    value.write(out);
                }
                out.put_u8(STOP);
            }
            Value::Map(key, value, pairs) => {
                out.put_u8(*key);
                out.put_u8(*value);
                out.put_i32(pairs.len() as i32);
                for (name, value) in pairs {
                    name.write(out);
                    value.write(out);
                }
            }
            Value::Set(of, values) | Value::List(of, values) => {
                out.put_u8(*of);
                out.put_i32(values.len() as i32);
                for value in values {
                    value.write(out);
                }
            }
        }
    }
}

fn int(bytes: &mut Bytes) -> Result<i32, BadThrift> {
    let short = |_| BadThrift("it ends too early");
    bytes.try_get_i32().map_err(short)
}

/// A number of values, each of which takes a byte at least.
fn count(bytes: &mut Bytes) -> Result<usize, BadThrift> {
    let count = usize::try_from(int(bytes)?).unwrap_or(usize::MAX);
    match count <= bytes.len() {
        true => Ok(count),
        false => Err(BadThrift("it ends too early")),
    }
}

fn binary(bytes: &mut Bytes) -> Result<Bytes, BadThrift> {
    let len = count(bytes)?;
    Ok(bytes.split_to(len))
}

fn put_binary(bytes: &[u8], out: &mut BytesMut) {
    out.put_i32(bytes.len() as i32);
    out.put_slice(bytes);
}
