//! A quick proof that a record stands somewhere. It costs half of a parser's time and has no words for what is wrong.

use wide::u8x16;

/// Bytes that are looked at side by side.
const LANES: usize = u8x16::LANES as usize;

/// An object that stands at the start of some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Object {
    /// Its length, white space within it and all.
    pub(crate) length: usize,
    /// Whether there is no white space between its tokens.
    pub(crate) is_compact: bool,
}

/// The JSON object at the start of `bytes`. Its UTF-8 is not looked at.
///
/// `None` proves nothing: the object may be cut off, or nested more deeply than is followed here.
pub(crate) fn object(bytes: &[u8]) -> Option<Object> {
    let mut walk = Walk { bytes, at: 0, is_compact: true };
    walk.pass(b"{")?;
    let mut open = Open::default().with(Kind::Object)?;
    // Whether nothing stands within the innermost yet: then it may close.
    let mut is_empty = true;
    loop {
        walk.pass_blanks();
        if !(is_empty && walk.next()? == open.closer()) {
            if open.innermost() == Kind::Object {
                walk.pass_string()?;
                walk.pass_blanks();
                walk.pass(b":")?;
                walk.pass_blanks();
            }
            let kind = match walk.next()? {
                b'{' => Some(Kind::Object),
                b'[' => Some(Kind::Array),
                _ => None,
            };
            if let Some(kind) = kind {
                open = open.with(kind)?;
                is_empty = true;
                walk.at += 1;
                continue;
            }
            walk.pass_scalar()?;
        }
        is_empty = false;
        // Behind a value: closers, and a comma before the next one.
        loop {
            walk.pass_blanks();
            let is_closer = walk.next()? == open.closer();
            if !is_closer {
                walk.pass(b",")?;
                break;
            }
            walk.at += 1;
            match open.without() {
                Some(outer) => open = outer,
                None => return Some(Object { length: walk.at, is_compact: walk.is_compact }),
            }
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Array,
    Object,
}

/// The objects and arrays that are open, the innermost in the lowest bit; above the outermost stands one more bit that is set.
#[derive(Debug, Clone, Copy)]
struct Open(u64);

impl Default for Open {
    fn default() -> Self {
        Self(1)
    }
}

impl Open {
    fn with(self, kind: Kind) -> Option<Self> {
        let deeper = |bits: u64| Self(bits << 1 | u64::from(kind == Kind::Object));
        (self.0.leading_zeros() > 0).then(|| deeper(self.0))
    }

    /// None where the outermost closes.
    fn without(self) -> Option<Self> {
        let outer = self.0 >> 1;
        (outer > 1).then_some(Self(outer))
    }

    fn innermost(self) -> Kind {
        if self.0 & 1 == 1 { Kind::Object } else { Kind::Array }
    }

    fn closer(self) -> u8 {
        if self.innermost() == Kind::Object { b'}' } else { b']' }
    }
}

/// A place in some bytes. What passes something is `None` where that does not stand there, and the place is lost then.
struct Walk<'a> {
    bytes: &'a [u8],
    at: usize,
    is_compact: bool,
}

impl Walk<'_> {
    #[inline]
    fn next(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn pass_blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.next() {
            self.at += 1;
            self.is_compact = false;
        }
    }

    #[inline]
    fn pass(&mut self, word: &[u8]) -> Option<()> {
        let stands_here = self.bytes.get(self.at..)?.starts_with(word);
        self.at += word.len();
        stands_here.then_some(())
    }

    fn pass_scalar(&mut self) -> Option<()> {
        match self.next()? {
            b'"' => self.pass_string(),
            b't' => self.pass(b"true"),
            b'f' => self.pass(b"false"),
            b'n' => self.pass(b"null"),
            _ => self.pass_number(),
        }
    }

    #[inline]
    fn pass_string(&mut self) -> Option<()> {
        self.pass(b"\"")?;
        loop {
            let rest = self.bytes.get(self.at..)?;
            self.at += match rest.first_chunk::<LANES>() {
                Some(chunk) => {
                    let chunk = u8x16::new(*chunk);
                    let is_control = chunk.min(u8x16::splat(0x1f)).simd_eq(chunk);
                    let is = |byte| chunk.simd_eq(u8x16::splat(byte));
                    let found = (is(b'"') | is(b'\\') | is_control).to_bitmask();
                    if found == 0 {
                        self.at += LANES;
                        continue;
                    }
                    found.trailing_zeros() as usize
                }
                None => rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f))?,
            };
            let found = self.next()?;
            self.at += 1;
            match found {
                b'"' => return Some(()),
                b'\\' => self.pass_escaped()?,
                // A control character.
                _ => return None,
            }
        }
    }

    /// What follows a backslash. Halves of surrogate pairs are escapes, too.
    fn pass_escaped(&mut self) -> Option<()> {
        let (kind, rest) = self.bytes.get(self.at..)?.split_first()?;
        match kind {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => self.at += 1,
            b'u' if rest.first_chunk::<4>()?.iter().all(u8::is_ascii_hexdigit) => self.at += 5,
            _ => return None,
        }
        Some(())
    }

    fn pass_number(&mut self) -> Option<()> {
        self.at += usize::from(self.next() == Some(b'-'));
        if self.next()? == b'0' {
            self.at += 1;
        } else {
            self.pass_digits()?;
        }
        if self.next() == Some(b'.') {
            self.at += 1;
            self.pass_digits()?;
        }
        if let Some(b'e' | b'E') = self.next() {
            self.at += 1;
            self.at += usize::from(matches!(self.next(), Some(b'+' | b'-')));
            self.pass_digits()?;
        }
        Some(())
    }

    /// At least one digit.
    fn pass_digits(&mut self) -> Option<()> {
        let count = self.bytes.get(self.at..)?.iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += count;
        (count > 0).then_some(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Deserializer, Map, Value, value::RawValue};

    use super::*;

    /// The parser's word.
    fn parsed(bytes: &[u8]) -> Option<usize> {
        let first = Deserializer::from_slice(bytes).into_iter::<&RawValue>().next()?;
        Some(first.ok()?.get().len()).filter(|_| bytes.starts_with(b"{"))
    }

    fn proven(bytes: &[u8]) -> Option<usize> {
        object(bytes).map(|object| object.length)
    }

    #[test]
    fn what_is_proven_is_what_the_parser_says() {
        for text in [
            "{}",
            "{ }x",
            r#"{"a":1}{"#,
            r#"{"a":[],"b":[[ ] ,{}] , "c":{"d":null}}"#,
            r#"{"a":-0.5e+10,"b":[true,false , null,0,10,1E5]}"#,
            r#"{"\"\\\/\b\f\n\r\t\u00e9\ud800":"","a string that is longer than sixteen bytes \" and on":"ü"}"#,
            "{",
            "{]",
            "[}",
            "{,}",
            r#"{"a"}"#,
            r#"{"a":}"#,
            r#"{"a":1,}"#,
            r#"{"a":[1,]}"#,
            r#"{"a":[1}}"#,
            r#"{"a":1]"#,
            r#"{"a" 1}"#,
            r#"{a:1}"#,
            r#"{"a":01}"#,
            r#"{"a":1.}"#,
            r#"{"a":.1}"#,
            r#"{"a":-}"#,
            r#"{"a":1e}"#,
            r#"{"a":+1}"#,
            r#"{"a":true}"#,
            r#"{"a":nul}"#,
            r#"{"\x":1}"#,
            r#"{"\u00g0":1}"#,
            "{\"a\n\":1}",
            "{\"a\u{7f}\":1}",
            "{\"a\":\"sixteen bytes and a tab\there\"}",
            "\u{feff}{}",
        ] {
            for cut in 0..=text.len() {
                assert_eq!(proven(&text.as_bytes()[..cut]), parsed(&text.as_bytes()[..cut]), "{text} cut at {cut}");
            }
        }
    }

    #[test]
    fn what_is_nested_too_deeply_is_left_to_the_parser() {
        let nested = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
        assert_eq!(proven(nested(62).as_bytes()), Some(nested(62).len()));
        assert_eq!(proven(nested(64).as_bytes()), None);
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(8, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(any::<String>(), inner, 0..4)
                    .prop_map(|map| Value::from(Map::from_iter(map))),
            ]
        })
    }

    proptest! {
        /// Of pieces of JSON in any order, with one byte changed.
        #[test]
        fn nothing_is_proven_that_the_parser_refuses(
            pieces in prop::collection::vec(
                prop::sample::select(vec![
                    "{", "}", "[", "]", ":", ",", "\"", "\"a\"", "\"a\":", "\"sixteen bytes or more\"", "\\", "\\u12", " ",
                    "\n", "1", "-", ".5", "e3", "true", "null", "{\"a\":1}", "\u{1}", "é",
                ]),
                0..24,
            ),
            place in any::<prop::sample::Index>(),
            byte in any::<Option<u8>>(),
        ) {
            let mut bytes = format!("{{\"k\":{}}}", pieces.concat()).into_bytes();
            if let Some(byte) = byte {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            if let (Some(length), true) = (proven(&bytes), std::str::from_utf8(&bytes).is_ok()) {
                prop_assert_eq!(Some(length), parsed(&bytes));
            }
        }

        #[test]
        fn whole_objects_are_proven(members in prop::collection::btree_map(any::<String>(), value(), 0..4)) {
            let (compact, pretty) = (serde_json::to_vec(&members).unwrap(), serde_json::to_vec_pretty(&members).unwrap());
            prop_assert_eq!(object(&compact), Some(Object { length: compact.len(), is_compact: true }));
            let is_compact = members.is_empty();
            prop_assert_eq!(object(&pretty), Some(Object { length: pretty.len(), is_compact }));
        }
    }
}
