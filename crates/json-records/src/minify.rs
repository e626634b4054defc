//! Takes the white space between the tokens of a value away.

use bytes::BytesMut;

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
        let is_blank = |byte| (byte == b' ') | (byte == b'\n') | (byte == b'\r') | (byte == b'\t');
        let escaped = self.escaped_in(mask(block, |byte| byte == b'\\'));
        let quotes = mask(block, |byte| byte == b'"') & !escaped;
        // The bit of a string's opening quote is set, that of its closing quote is not; both bytes are no blanks.
        let inside = prefix_xor(quotes) ^ self.inside;
        self.inside = 0_u64.wrapping_sub(inside >> (BLOCK - 1));
        mask(block, is_blank) & !inside
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

/// A bit for each byte that `is_wanted`, the first byte's lowest.
#[inline(always)]
fn mask(block: &[u8; BLOCK], is_wanted: impl Fn(u8) -> bool) -> u64 {
    // Ones and zeros in a loop of their own, of which the compiler makes vector instructions.
    let wanted = block.map(|byte| u8::from(is_wanted(byte)));
    let (words, _) = wanted.as_chunks::<8>();
    let mut mask = 0;
    for (place, word) in words.iter().enumerate() {
        // Moves the lowest bit of each byte into the highest byte, the first byte's lowest.
        const GATHER: u64 = 0x0102_0408_1020_4080;
        mask |= (u64::from_le_bytes(*word).wrapping_mul(GATHER) >> 56) << (8 * place);
    }
    mask
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
