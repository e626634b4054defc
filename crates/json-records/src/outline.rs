//! The outline of one JSON value: which strings and brackets are open.

use memchr::memchr2;

/// Follows the strings, braces and brackets of one value over any number of pieces.
#[derive(Debug, Default)]
pub(crate) struct Outline {
    /// The closers still owed, innermost last.
    owed: Vec<u8>,
    text: Text,
}

#[derive(Debug, Default, Clone, Copy)]
enum Text {
    #[default]
    Outside,
    Inside,
    /// Behind a backslash: the next byte is part of the string, whatever it is.
    Escaped,
}

/// What a piece did to the outline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// The value ended; it took this many bytes of the piece.
    Ended(usize),
    /// The value goes on behind the piece.
    Unfinished,
    /// The byte at this place closes something that is not open.
    Mismatch(usize),
}

impl Outline {
    /// Reads on through `piece`, of which the first ever begins with `{` or `[`. An ended outline is ready for a new value.
    pub(crate) fn read(&mut self, piece: &[u8]) -> Step {
        let mut at = 0;
        loop {
            let Some(rest) = piece.get(at..).filter(|rest| !rest.is_empty()) else { return Step::Unfinished };
            match self.text {
                Text::Outside => match self.read_outside(rest) {
                    Outside::String(taken) => {
                        self.text = Text::Inside;
                        at += taken;
                    }
                    Outside::Step(Step::Ended(taken)) => return Step::Ended(at + taken),
                    Outside::Step(Step::Mismatch(place)) => return Step::Mismatch(at + place),
                    Outside::Step(Step::Unfinished) => return Step::Unfinished,
                },
                Text::Inside => {
                    let Some(found) = memchr2(b'"', b'\\', rest) else { return Step::Unfinished };
                    self.text = if rest.get(found) == Some(&b'"') { Text::Outside } else { Text::Escaped };
                    at += found + 1;
                }
                Text::Escaped => {
                    self.text = Text::Inside;
                    at += 1;
                }
            }
        }
    }

    /// Tokens between strings are a few bytes long: a plain loop beats a search that must be set up for each.
    fn read_outside(&mut self, piece: &[u8]) -> Outside {
        for (place, &byte) in piece.iter().enumerate() {
            match byte {
                b'"' => return Outside::String(place + 1),
                b'{' => self.owed.push(b'}'),
                b'[' => self.owed.push(b']'),
                b'}' | b']' => {
                    if self.owed.pop() != Some(byte) {
                        return Outside::Step(Step::Mismatch(place));
                    }
                    if self.owed.is_empty() {
                        return Outside::Step(Step::Ended(place + 1));
                    }
                }
                _ => {}
            }
        }
        Outside::Step(Step::Unfinished)
    }
}

enum Outside {
    /// A string begins behind this many bytes.
    String(usize),
    Step(Step),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ends_with_the_closer_of_its_first_byte() {
        for (piece, expected) in [
            (r"{}", Step::Ended(2)),
            (r"{}}", Step::Ended(2)),
            (r#"{"a":[{}]} "#, Step::Ended(10)),
            (r#"{"}":"]"}"#, Step::Ended(9)),
            (r#"{"\"}":1}"#, Step::Ended(9)),
            (r#"{"\\":"}"}x"#, Step::Ended(10)),
            (r#"{"\u007d":1}"#, Step::Ended(12)),
            (r"[{}]", Step::Ended(4)),
            (r"{", Step::Unfinished),
            (r#"{"a"#, Step::Unfinished),
            (r#"{"a\"#, Step::Unfinished),
            (r"{]", Step::Mismatch(1)),
            (r#"{"a":[1}"#, Step::Mismatch(7)),
        ] {
            assert_eq!(Outline::default().read(piece.as_bytes()), expected, "{piece}");
        }
    }

    #[test]
    fn an_outline_goes_on_where_the_piece_before_ended() {
        let value = r#"{"a\\\"}":["{",{"ü":1}]}"#.as_bytes();
        for cut in 1..value.len() {
            let mut outline = Outline::default();
            let (head, tail) = value.split_at(cut);
            assert_eq!(outline.read(head), Step::Unfinished, "cut at {cut}");
            assert_eq!(outline.read(tail), Step::Ended(tail.len()), "cut at {cut}");
            assert_eq!(outline.read(b"{}"), Step::Ended(2), "reused after the cut at {cut}");
        }
    }
}
