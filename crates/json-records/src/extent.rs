//! How far what is no record reaches: up to its closing brace, or to where another record plainly begins.

use memchr::memchr3;

/// Follows braces and texts of something that is no JSON, over any number of pieces.
#[derive(Debug, Clone, Default)]
pub(crate) struct Extent {
    /// Opening braces without their closers. Brackets say nothing: one may be missing.
    depth: u64,
    text: Text,
    /// Whether the byte before was a line feed.
    at_line: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Text {
    #[default]
    Outside,
    Inside,
    /// Behind a backslash.
    Escaped,
}

impl Extent {
    /// Reads on through `piece`; how many of its bytes still belong to it, where it ends here.
    ///
    /// It ends behind the brace that closes its first one; before a line feed within a text, for JSON has none there;
    /// before a brace that opens a line, for the inner braces of a record that is printed over lines are indented; and,
    /// outside all braces, before a line feed.
    pub(crate) fn read(&mut self, piece: &[u8]) -> Option<usize> {
        let mut at = 0;
        while let Some(&byte) = piece.get(at) {
            match (self.text, byte) {
                (Text::Escaped, b'\n') | (Text::Inside, b'\n') => return Some(at),
                (Text::Escaped, _) => self.text = Text::Inside,
                (Text::Inside, b'"') => self.text = Text::Outside,
                (Text::Inside, b'\\') => self.text = Text::Escaped,
                (Text::Inside, _) => {
                    let rest = piece.get(at..).unwrap_or_default();
                    at += memchr3(b'"', b'\\', b'\n', rest).unwrap_or(rest.len());
                    continue;
                }
                (Text::Outside, b'"') => self.text = Text::Inside,
                (Text::Outside, b'\n') if self.depth == 0 => return Some(at),
                (Text::Outside, b'{') if self.at_line && self.depth > 0 => return Some(at),
                (Text::Outside, b'{') => self.depth += 1,
                (Text::Outside, b'}') if self.depth == 1 => return Some(at + 1),
                (Text::Outside, b'}') => self.depth = self.depth.saturating_sub(1),
                (Text::Outside, _) => {}
            }
            self.at_line = byte == b'\n';
            at += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_broken_ends_with_its_brace_or_where_a_record_begins() {
        for (text, expected) in [
            (r#"{"a" 1}{"b":2}"#, Some(7)),
            (r#"{"a":{"b":[}}}x"#, Some(13)),
            (r#"{"a":[1}{"b":2}"#, Some(8)),
            (r#"{"}\"":"{" 1}x"#, Some(13)),
            ("{\"a\":\"x\n{\"b\":2}", Some(7)),
            ("{\"a\":\"x\\\n{\"b\":2}", Some(8)),
            ("{\"a\":1,\n{\"b\":2}", Some(8)),
            ("{\"a\":\n  {\"b\" 2}\n}\n{", Some(17)),
            ("some text\nmore", Some(9)),
            ("}}] text\nmore", Some(8)),
            (r#"{"a":"#, None),
            ("", None),
        ] {
            assert_eq!(Extent::default().read(text.as_bytes()), expected, "{text}");
            // Where the pieces were cut makes no difference.
            for cut in 0..text.len() {
                let (head, tail) = text.as_bytes().split_at(cut);
                let mut extent = Extent::default();
                let got = extent.read(head).or_else(|| extent.read(tail).map(|end| cut + end));
                assert_eq!(got, expected, "{text} cut at {cut}");
            }
        }
    }
}
