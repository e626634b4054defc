//! What stands between a JSON string's quotes, as the text that it means.

/// The text of `content`, which stood between quotes; `true` where every escape was a legal one.
///
/// Never fails: a backslash before a character that it does not belong before is dropped, half a surrogate pair becomes
/// U+FFFD, and bytes that are no UTF-8 stay as they are. Each escape becomes shorter by that.
pub(super) fn unescape(content: &[u8]) -> (Vec<u8>, bool) {
    let mut text = Vec::with_capacity(content.len());
    let mut legal = true;
    let mut rest = content;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (plain, escape) = rest.split_at(at);
        text.extend_from_slice(plain);
        let taken = match escape.get(1) {
            Some(b'u') => unicode(escape, &mut text),
            Some(letter) => {
                let (byte, known) = simple(*letter);
                text.push(byte);
                known.then_some(2)
            }
            None => None,
        };
        legal &= taken.is_some();
        rest = escape.get(taken.unwrap_or(2)..).unwrap_or_default();
    }
    text.extend_from_slice(rest);
    (text, legal)
}

/// The byte that `\letter` means; `false` where it means nothing.
fn simple(letter: u8) -> (u8, bool) {
    match letter {
        b'"' | b'\\' | b'/' => (letter, true),
        b'b' => (0x08, true),
        b'f' => (0x0c, true),
        b'n' => (b'\n', true),
        b'r' => (b'\r', true),
        b't' => (b'\t', true),
        _ => (letter, false),
    }
}

/// Reads `\uXXXX`, or two that make a pair; gives the bytes taken, `None` for anything else, of which the `u` stays.
fn unicode(escape: &[u8], text: &mut Vec<u8>) -> Option<usize> {
    let Some(first) = four_digits(escape) else {
        text.push(b'u');
        return None;
    };
    let second = escape.get(6..).filter(|next| next.starts_with(b"\\u")).and_then(four_digits);
    let pair = match (first, second) {
        (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) => {
            char::from_u32(0x10000 + ((first - 0xd800) << 10) + (low - 0xdc00))
        }
        _ => None,
    };
    let (c, taken) = match pair {
        Some(c) => (c, 12),
        None => (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), 6),
    };
    text.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    Some(taken)
}

fn four_digits(escape: &[u8]) -> Option<u32> {
    let digits = escape.get(2..6)?;
    digits.iter().try_fold(0, |value, digit| Some(value * 16 + char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legal_escapes_mean_what_the_standard_says() {
        for content in
            [r"", r"plain", r#"\"\\\/\b\f\n\r\t"#, r"\u0053T\u0024x", r"\ud83d\ude00!", r"a\u00e9\u20AC", "é"]
        {
            let wanted: String = serde_json::from_str(&format!("\"{content}\"")).unwrap();
            assert_eq!(unescape(content.as_bytes()), (wanted.into_bytes(), true), "{content}");
        }
    }

    #[test]
    fn what_is_no_escape_loses_its_backslash_and_is_told() {
        for (content, text) in [(r"a\zb", "azb"), (r"\u12", "u12"), (r"\u00g0\n", "u00g0\n"), ("a\\", "a")] {
            assert_eq!(unescape(content.as_bytes()), (text.as_bytes().to_vec(), false), "{content}");
        }
        assert_eq!(unescape(br"\ud83d-\ude00"), ("\u{fffd}-\u{fffd}".as_bytes().to_vec(), true));
        assert_eq!(unescape(b"\xff\\n"), (b"\xff\n".to_vec(), true));
    }
}
