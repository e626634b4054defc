//! Takes the white space between the tokens of a value away.

use bytes::BytesMut;
use wide::u8x16;

/// As many bytes as a mask has bits.
const BLOCK: usize = u64::BITS as usize;

/// Appends `record` to `out` without the white space between its tokens. Every token stays byte for byte: numbers, escapes
/// and doubled keys as they came, and the blanks within strings. It checks nothing, and of what is not JSON it may make a
/// value (`[1 2]` becomes `[12]`): who needs that proof parses the record before.
///
/// Blocks of 64 bytes are looked at side by side, and runs without such white space are copied whole: most records have
/// none.
pub fn minify(record: &[u8], out: &mut BytesMut) {
    out.reserve(record.len());
    let mut strings = Strings::default();
    let mut copied = 0;
    let (blocks, rest) = record.as_chunks::<BLOCK>();
    let mut last = [0; BLOCK];
    for (byte, place) in rest.iter().zip(&mut last) {
        *place = *byte;
    }
    for (number, block) in blocks.iter().chain((!rest.is_empty()).then_some(&last)).enumerate() {
        let mut dropped = strings.blanks_outside(block);
        while dropped != 0 {
            let first = dropped.trailing_zeros();
            let count = (dropped >> first).trailing_ones();
            let at = number * BLOCK + first as usize;
            out.extend_from_slice(record.get(copied..at).unwrap_or_default());
            copied = at + count as usize;
            dropped &= u64::MAX.checked_shl(first + count).unwrap_or_default();
        }
    }
    out.extend_from_slice(record.get(copied..).unwrap_or_default());
}

/// Where the last block ended.
#[derive(Default)]
struct Strings {
    /// All ones within a string.
    inside: u64,
    /// 1 where the next byte is escaped.
    escaped: u64,
}

impl Strings {
    /// A bit for each byte of the next block that is white space outside strings.
    fn blanks_outside(&mut self, block: &[u8; BLOCK]) -> u64 {
        let Masks { blanks, backslashes, quotes } = Masks::of(block);
        let quotes = quotes & !self.escaped_in(backslashes);
        // The bit of a string's opening quote is set, that of its closing quote is not; both bytes are no blanks.
        let inside = prefix_xor(quotes) ^ self.inside;
        self.inside = 0_u64.wrapping_sub(inside >> (BLOCK - 1));
        blanks & !inside
    }

    /// A bit for each byte behind a backslash that is not escaped itself. Backslashes are rare: one after the other.
    fn escaped_in(&mut self, backslashes: u64) -> u64 {
        let mut escaped = std::mem::take(&mut self.escaped);
        let mut left = backslashes & !escaped;
        while left != 0 {
            let here = left & left.wrapping_neg();
            let next = here << 1;
            self.escaped = u64::from(next == 0);
            escaped |= next;
            left &= !(here | next);
        }
        escaped
    }
}

/// A bit for each byte of a block that is one of these, the first byte's lowest.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Masks {
    /// JSON's white space.
    blanks: u64,
    backslashes: u64,
    quotes: u64,
}

impl Masks {
    #[inline]
    fn of(block: &[u8; BLOCK]) -> Self {
        let mut masks = Self::default();
        let (vectors, _) = block.as_chunks::<{ u8x16::LANES as usize }>();
        for (number, vector) in vectors.iter().enumerate() {
            let bytes = u8x16::new(*vector);
            let is = |byte| bytes.simd_eq(u8x16::splat(byte));
            let mask = |which: u8x16| u64::from(which.to_bitmask()) << (u8x16::LANES as usize * number);
            masks.blanks |= mask(is(b' ') | is(b'\n') | is(b'\r') | is(b'\t'));
            masks.backslashes |= mask(is(b'\\'));
            masks.quotes |= mask(is(b'"'));
        }
        masks
    }
}

/// Each bit becomes the exclusive or of itself and all lower ones.
fn prefix_xor(mut bits: u64) -> u64 {
    for shift in [1, 2, 4, 8, 16, 32] {
        bits ^= bits << shift;
    }
    bits
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minified(record: &[u8]) -> String {
        let mut out = BytesMut::from("before ");
        minify(record, &mut out);
        String::from_utf8(out.to_vec()).unwrap().strip_prefix("before ").unwrap().to_owned()
    }

    #[test]
    fn white_space_between_tokens_goes_and_every_token_stays() {
        for (record, expected) in [
            ("", ""),
            ("{}", "{}"),
            (" {\r\n\t} \n", "{}"),
            (r#"{"a b": "c  d" , "e":[ 1.0E+2,  -0 ]}"#, r#"{"a b":"c  d","e":[1.0E+2,-0]}"#),
            (r#"{ "k" : 1, "k" : 12345678901234567890.50 }"#, r#"{"k":1,"k":12345678901234567890.50}"#),
            (r#"{"a\" b" : "\\" , "\\\" c" : "\u0020 \/"}"#, r#"{"a\" b":"\\","\\\" c":"\u0020 \/"}"#),
            ("{\"ü\u{a0}\" : \"\u{2028} \"}", "{\"ü\u{a0}\":\"\u{2028} \"}"),
        ] {
            assert_eq!(minified(record.as_bytes()), expected, "{record}");
        }
    }

    #[test]
    fn strings_backslashes_and_blanks_may_lie_across_the_border_of_two_blocks() {
        for before in 0..2 * BLOCK {
            for backslashes in 0..6 {
                let tail = format!(r#""x{} y" : 1"#, r"\\".repeat(backslashes) + r#"\" "#);
                let expected = format!(r#"{{"p":"{}",{}}}"#, " ".repeat(before), tail.replace("\" : 1", "\":1"));
                let record = format!("{{ \"p\"\n:\"{}\", \t {tail} }}", " ".repeat(before));
                assert_eq!(minified(record.as_bytes()), expected, "{before} bytes before {backslashes} pairs");
            }
            let blanks = " ".repeat(before);
            assert_eq!(minified(format!("{blanks}{{{blanks}\" \"{blanks}:\"\"{blanks}}}").as_bytes()), r#"{" ":""}"#);
        }
    }
}
