//! How are protobuf messages read without copying? Field by field from a slice, every length checked against what is there
//! (protobuf encoding: <https://protobuf.dev/programming-guides/encoding>). Unknown fields and groups are the caller's to pass over.

/// Groups can nest without any length in front; no known sender writes them at all.
const GROUP_DEPTH_MAX: usize = 32;

/// Why reading stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// The body as a whole can't be trusted any more.
    Framing(&'static str),
    /// Only the record at hand can't be kept, for this reason; its neighbours can.
    Record(&'static str),
    /// The request goes beyond a named limit.
    Limit(&'static str),
}

/// What is wrong with a text that was read by [`crate::json::Reader`].
impl From<&'static str> for Fault {
    fn from(what: &'static str) -> Self {
        Self::Framing(what)
    }
}

/// The value of one field as its wire type gives it.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Data<'a> {
    Varint(u64),
    Fixed64(u64),
    Fixed32(u32),
    Bytes(&'a [u8]),
}

const WRONG_TYPE: Fault = Fault::Framing("a known field has the wrong wire type");
const CUT_SHORT: Fault = Fault::Framing("cut short");

impl<'a> Data<'a> {
    #[inline]
    pub(crate) fn bytes(self) -> Result<&'a [u8], Fault> {
        if let Self::Bytes(bytes) = self { Ok(bytes) } else { Err(WRONG_TYPE) }
    }

    #[inline]
    pub(crate) fn text(self) -> Result<&'a str, Fault> {
        std::str::from_utf8(self.bytes()?).map_err(|_| Fault::Record("invalid_utf8"))
    }

    #[inline]
    pub(crate) fn varint(self) -> Result<u64, Fault> {
        if let Self::Varint(value) = self { Ok(value) } else { Err(WRONG_TYPE) }
    }

    /// `uint32`: protobuf keeps the low 32 bits of a longer varint.
    #[inline]
    pub(crate) fn uint32(self) -> Result<u32, Fault> {
        Ok(self.varint()? as u32)
    }

    /// `int32` and enumerations, in the same way.
    #[inline]
    pub(crate) fn int32(self) -> Result<i32, Fault> {
        Ok(self.varint()? as i32)
    }

    /// `sint32`: zigzag.
    #[inline]
    pub(crate) fn sint32(self) -> Result<i32, Fault> {
        let value = self.uint32()?;
        Ok((value >> 1) as i32 ^ -((value & 1) as i32))
    }

    #[inline]
    pub(crate) fn fixed64(self) -> Result<u64, Fault> {
        if let Self::Fixed64(value) = self { Ok(value) } else { Err(WRONG_TYPE) }
    }

    #[inline]
    pub(crate) fn double(self) -> Result<f64, Fault> {
        Ok(f64::from_bits(self.fixed64()?))
    }

    #[inline]
    pub(crate) fn fixed32(self) -> Result<u32, Fault> {
        if let Self::Fixed32(value) = self { Ok(value) } else { Err(WRONG_TYPE) }
    }

    /// A repeated `fixed64` or `double`: one element, or all of them packed; handed over as bits.
    pub(crate) fn each_fixed64(self, mut keep: impl FnMut(u64)) -> Result<(), Fault> {
        let packed = match self {
            Self::Fixed64(value) => {
                keep(value);
                return Ok(());
            }
            other => other.bytes()?,
        };
        let (elements, rest) = packed.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(CUT_SHORT);
        }
        elements.iter().for_each(|element| keep(u64::from_le_bytes(*element)));
        Ok(())
    }

    /// A repeated `uint64`: one element, or all of them packed.
    pub(crate) fn each_varint(self, mut keep: impl FnMut(u64)) -> Result<(), Fault> {
        let packed = match self {
            Self::Varint(value) => {
                keep(value);
                return Ok(());
            }
            other => other.bytes()?,
        };
        let mut packed = Fields::new(packed);
        while !packed.rest.is_empty() {
            keep(packed.take_varint()?);
        }
        Ok(())
    }
}

/// A number of type `sint64`.
#[inline]
pub(crate) fn zigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Bytes of a varint.
#[inline]
pub(crate) fn varint_bytes(value: usize) -> usize {
    (value | 1).ilog2() as usize / 7 + 1
}

/// Writes a varint.
#[inline]
pub(crate) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Reads the fields of one message, in the order in which they were sent.
#[derive(Debug, Clone)]
pub(crate) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    #[inline]
    pub(crate) fn new(message: &'a [u8]) -> Self {
        Self { rest: message }
    }

    /// The number and value of the next field; `None` at the end of the message. Always inlined: a reader that matches on numbers
    /// then branches once on number and wire type together.
    #[inline(always)]
    pub(crate) fn next(&mut self) -> Result<Option<(u32, Data<'a>)>, Fault> {
        while !self.rest.is_empty() {
            let (number, wire_type) = self.take_tag()?;
            let data = match wire_type {
                0 => Data::Varint(self.take_varint()?),
                1 => Data::Fixed64(u64::from_le_bytes(self.take_array()?)),
                2 => Data::Bytes(self.take_bytes()?),
                3 => {
                    self.skip_group(number)?;
                    continue;
                }
                5 => Data::Fixed32(u32::from_le_bytes(self.take_array()?)),
                _ => return Err(Fault::Framing("a wire type that does not exist, or the end of no group")),
            };
            return Ok(Some((number, data)));
        }
        Ok(None)
    }

    /// Bytes that are still to be read.
    #[inline]
    pub(crate) fn bytes_left(&self) -> usize {
        self.rest.len()
    }

    /// The next message where the bytes are no message but many, each behind its length.
    pub(crate) fn next_delimited(&mut self) -> Result<Option<&'a [u8]>, Fault> {
        if self.rest.is_empty() { Ok(None) } else { self.take_bytes().map(Some) }
    }

    #[inline(always)]
    fn take_tag(&mut self) -> Result<(u32, u32), Fault> {
        let tag = u32::try_from(self.take_varint()?).map_err(|_| Fault::Framing("a tag over 32 bits"))?;
        if tag < 8 {
            return Err(Fault::Framing("field number 0"));
        }
        Ok((tag >> 3, tag & 7))
    }

    #[inline(always)]
    fn take_varint(&mut self) -> Result<u64, Fault> {
        match self.rest {
            [first, rest @ ..] if *first < 0x80 => {
                self.rest = rest;
                Ok(u64::from(*first))
            }
            _ => self.take_long_varint(),
        }
    }

    #[inline(never)]
    fn take_long_varint(&mut self) -> Result<u64, Fault> {
        let mut value = 0;
        for (position, byte) in self.rest.iter().take(10).enumerate() {
            // Of the tenth byte only the lowest bit is left in 64.
            if position == 9 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * position);
            if *byte < 0x80 {
                self.rest = self.rest.get(position + 1..).unwrap_or_default();
                return Ok(value);
            }
        }
        Err(if self.rest.len() < 10 { CUT_SHORT } else { Fault::Framing("a varint over 64 bits") })
    }

    #[inline(always)]
    fn take_array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let (array, rest) = self.rest.split_first_chunk::<N>().ok_or(CUT_SHORT)?;
        self.rest = rest;
        Ok(*array)
    }

    #[inline(always)]
    fn take_bytes(&mut self) -> Result<&'a [u8], Fault> {
        let length = usize::try_from(self.take_varint()?).map_err(|_| CUT_SHORT)?;
        let (bytes, rest) = self.rest.split_at_checked(length).ok_or(CUT_SHORT)?;
        self.rest = rest;
        Ok(bytes)
    }

    #[cold]
    fn skip_group(&mut self, number: u32) -> Result<(), Fault> {
        let mut open = vec![number];
        while let Some(innermost) = open.last() {
            if self.rest.is_empty() {
                return Err(CUT_SHORT);
            }
            let (number, wire_type) = self.take_tag()?;
            match wire_type {
                0 => drop(self.take_varint()?),
                1 => drop(self.take_array::<8>()?),
                2 => drop(self.take_bytes()?),
                3 if open.len() < GROUP_DEPTH_MAX => open.push(number),
                4 if number == *innermost => drop(open.pop()),
                5 => drop(self.take_array::<4>()?),
                _ => return Err(Fault::Framing("a group that is too deep or does not end")),
            }
        }
        Ok(())
    }
}

/// Key and value of an entry of a map, a label, or a `KeyValue`; the last of each where they repeat. What is absent reads as empty.
#[inline]
pub(crate) fn pair(message: &[u8]) -> Result<(&[u8], &[u8]), Fault> {
    let (mut key, mut value): (&[u8], &[u8]) = (&[], &[]);
    let mut fields = Fields::new(message);
    while let Some((number, data)) = fields.next()? {
        match number {
            1 => key = data.bytes()?,
            2 => value = data.bytes()?,
            _ => (),
        }
    }
    Ok((key, value))
}

/// Seconds and nanoseconds of a `google.protobuf.Timestamp` or `Duration`.
pub(crate) fn seconds_and_nanos(message: &[u8]) -> Result<(i64, i32), Fault> {
    let (mut seconds, mut nanos) = (0, 0);
    let mut fields = Fields::new(message);
    while let Some((number, data)) = fields.next()? {
        match number {
            1 => seconds = data.varint()? as i64,
            2 => nanos = data.int32()?,
            _ => (),
        }
    }
    Ok((seconds, nanos))
}

/// The same in nanoseconds; `None` beyond 64 bits.
pub(crate) fn nanoseconds(message: &[u8]) -> Result<Option<i64>, Fault> {
    let (seconds, nanos) = seconds_and_nanos(message)?;
    Ok(seconds.checked_mul(1_000_000_000).and_then(|whole| whole.checked_add(i64::from(nanos))))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn all(message: &[u8]) -> Result<Vec<String>, Fault> {
        let mut fields = Fields::new(message);
        let mut seen = Vec::new();
        while let Some(field) = fields.next()? {
            seen.push(format!("{field:?}"));
        }
        Ok(seen)
    }

    #[test]
    fn fields_are_read_and_groups_passed_over() {
        let message = [0x08, 0x96, 0x01, 0x1b, 0x1b, 0x08, 0x01, 0x1c, 0x12, 0x00, 0x1c, 0x15, 1, 0, 0, 0, 0x1a, 1, 9];
        assert_eq!(all(&message).unwrap(), ["(1, Varint(150))", "(2, Fixed32(1))", "(3, Bytes([9]))"]);
    }

    #[test]
    fn broken_framing_is_refused() {
        let too_deep = vec![0x0b; GROUP_DEPTH_MAX + 1];
        let broken: [&[u8]; 10] = [
            &[0x08],                                                 // no value
            &[0x08, 0x80],                                           // varint cut
            &[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 2], // 65 bits
            &[0x00, 0x01],                                           // field 0
            &[0x0a, 0x05, 1],                                        // length beyond the end
            &[0x0a, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1], // length of 2^64-1
            &[0x0b, 0x08],                                           // open group
            &[0x0b, 0x14],                                           // group closed by another number
            &[0x0c],                                                 // end of no group
            &too_deep,
        ];
        for message in broken {
            assert!(matches!(all(message), Err(Fault::Framing(_))), "{message:?}");
        }
        assert_eq!(all(&[0x08, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1]).unwrap().len(), 1);
    }

    #[test]
    fn repeated_numbers_come_packed_or_one_by_one() {
        let mut seen = Vec::new();
        Data::Bytes(&[1, 0x96, 0x01]).each_varint(|value| seen.push(value)).unwrap();
        Data::Varint(7).each_varint(|value| seen.push(value)).unwrap();
        Data::Bytes(&[9, 0, 0, 0, 0, 0, 0, 0]).each_fixed64(|value| seen.push(value)).unwrap();
        Data::Fixed64(8).each_fixed64(|value| seen.push(value)).unwrap();
        assert_eq!(seen, [1, 150, 7, 9, 8]);
        assert!(Data::Bytes(&[1, 2]).each_fixed64(|_| ()).is_err());
        assert_eq!(Data::Varint(3).sint32(), Ok(-2));
    }
}
