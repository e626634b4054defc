//! The one pass over an event's bytes: strings, names, and what is to be withheld of them.

use std::{borrow::Cow, ops::Range};

use super::{Redactor, unescape::unescape};

/// A pass in progress. `at` moves forward only.
pub(super) struct Scan<'a> {
    redactor: &'a Redactor,
    raw: &'a [u8],
    /// Whether all of it is UTF-8, so that each string in it is.
    is_utf8: bool,
    at: usize,
    /// Whether the latest value was withheld in this pass.
    withheld_last: bool,
    /// The result up to `copied` of the input; not begun while nothing is withheld.
    out: Vec<u8>,
    copied: usize,
    count: u32,
}

/// A string as it stands in the input.
struct Token<'a> {
    /// Its place, quotes included.
    place: Range<usize>,
    text: Cow<'a, [u8]>,
    /// It ends, is UTF-8, and its escapes exist.
    is_proper: bool,
}

/// From where on the quotes cannot be relied on.
enum Doubt {
    /// A quote stands next to what no JSON has there, so that it may be one that nobody escaped.
    Quotes(usize),
    /// There is a secret outside of all quotes.
    Secret(usize),
}

/// What may stand between two strings of JSON: braces, brackets, commas, colons, numbers, `true`, `false`, `null`.
const BARE: [bool; 256] = {
    let bytes = b"{}[]:, \t\r\n0123456789+-.Eetrufalsn";
    let mut table = [false; 256];
    let mut at = 0;
    while at < bytes.len() {
        table[bytes[at] as usize] = true;
        at += 1;
    }
    table
};

impl<'a> Scan<'a> {
    pub(super) fn new(redactor: &'a Redactor, raw: &'a [u8]) -> Self {
        let is_utf8 = std::str::from_utf8(raw).is_ok();
        Self { redactor, raw, is_utf8, at: 0, withheld_last: false, out: Vec::new(), copied: 0, count: 0 }
    }

    /// The bytes without what was withheld, and how many values that was; `None` where it was nothing.
    pub(super) fn run(mut self) -> Option<(Vec<u8>, u32)> {
        while self.at < self.raw.len() {
            let gap = self.at..self.next_quote();
            if let Some(doubt) = self.doubt(&gap) {
                self.withhold_rest(doubt);
            } else if gap.end < self.raw.len() {
                self.at = gap.end;
                self.string();
            } else {
                self.at = gap.end;
            }
        }
        (self.count > 0).then(|| {
            self.copy_until(self.raw.len());
            (self.out, self.count)
        })
    }

    /// A string at `at`, and its value where it is a name of something to be withheld.
    fn string(&mut self) {
        let token = self.token();
        let is_name = self.peek(token.place.end) == Some(b':');
        let is_secret = !token.is_proper || self.redactor.secrets.is_in(&token.text);
        let names_secret = is_name && (!token.is_proper || self.redactor.secrets.is_name(&token.text));
        self.at = token.place.end;
        self.withheld_last = is_secret && self.withhold_string(&token) && !is_name;
        if names_secret {
            self.at = self.skip_blanks(self.at) + 1;
            self.at = self.skip_blanks(self.at);
            match self.raw.get(self.at) {
                Some(b'[') => self.array(),
                _ => self.withhold_value(),
            }
        }
    }

    /// The array at `at`, each element of which is withheld.
    fn array(&mut self) {
        self.at += 1;
        loop {
            self.at = self.skip_blanks(self.at);
            match self.raw.get(self.at) {
                None | Some(b'}') => return,
                Some(b']') => {
                    self.at += 1;
                    return;
                }
                Some(b',' | b':') => self.at += 1,
                Some(_) => {
                    self.withhold_value();
                    if !self.is_followed_well() {
                        return;
                    }
                }
            }
        }
    }

    /// The value at `at`, which is withheld unless it holds nothing.
    fn withhold_value(&mut self) {
        if self.raw.get(self.at) == Some(&b'"') {
            let token = self.token();
            self.at = token.place.end;
            let is_empty = token.is_proper && token.text.is_empty();
            self.withheld_last = !is_empty && self.withhold_string(&token);
            return;
        }
        let place = self.at..self.end_of_value(self.at);
        let value = self.raw.get(place.clone()).unwrap_or_default();
        self.at = place.end;
        self.withheld_last = !matches!(value, b"" | b"null");
        if self.withheld_last {
            self.withhold(place, value);
        }
    }

    /// Whether it had to be: what stands for a withheld value stays.
    fn withhold_string(&mut self, token: &Token<'_>) -> bool {
        let is_done = token.is_proper && self.redactor.is_replacement(&token.text);
        if !is_done {
            self.withhold(token.place.clone(), &token.text);
        }
        !is_done
    }

    fn withhold(&mut self, place: Range<usize>, value: &[u8]) {
        self.copy_until(place.start);
        self.out.extend_from_slice(&self.redactor.replacement(value));
        self.copied = place.end;
        self.count = self.count.saturating_add(1);
    }

    /// All that is left, if there may be a secret in it.
    fn withhold_rest(&mut self, doubt: Doubt) {
        self.at = self.raw.len();
        let (from, is_secret) = match doubt {
            Doubt::Quotes(from) => (from, self.withheld_last),
            Doubt::Secret(from) => (from, true),
        };
        let rest = self.raw.get(from..).unwrap_or_default();
        let is_replacement = |rest: &[u8]| {
            let text = rest.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\""));
            text.is_some_and(|text| self.redactor.is_replacement(text))
        };
        if (is_secret || self.redactor.secrets.is_in(rest)) && !is_replacement(rest) {
            self.withhold(from..self.raw.len(), rest);
        }
    }

    fn copy_until(&mut self, end: usize) {
        self.out.extend_from_slice(self.raw.get(self.copied..end).unwrap_or_default());
    }

    /// What is wrong with the bare stretch between two strings.
    fn doubt(&self, gap: &Range<usize>) -> Option<Doubt> {
        let bare = self.raw.get(gap.clone()).unwrap_or_default();
        let (follows, opens) = (gap.start > 0, gap.end < self.raw.len());
        let Some(first) = bare.iter().position(|byte| !byte.is_ascii_whitespace()) else {
            // Two strings side by side.
            return (follows && opens).then_some(Doubt::Quotes(gap.end));
        };
        let last = bare.iter().rfind(|byte| !byte.is_ascii_whitespace());
        if follows && !bare.get(first).copied().is_some_and(ends_value) {
            return Some(Doubt::Quotes(gap.start + first));
        }
        let odd = bare.iter().position(|byte| !BARE[usize::from(*byte)]);
        if let Some(odd) = odd.filter(|_| self.redactor.secrets.is_in(bare)) {
            let before = bare.get(..odd).unwrap_or_default();
            return Some(Doubt::Secret(gap.start + start_of_word(before)));
        }
        let touches = opens && !matches!(last, Some(b'{' | b'[' | b',' | b':'));
        touches.then(|| Doubt::Quotes(gap.start + start_of_word(bare)))
    }

    fn is_followed_well(&self) -> bool {
        self.peek(self.at).is_none_or(ends_value)
    }

    /// The string that the quote at `at` opens.
    fn token(&self) -> Token<'a> {
        let start = self.at + 1;
        let (end, closed, escaped) = self.end_of_string(start);
        let content = self.raw.get(start..end).unwrap_or_default();
        let is_utf8 = self.is_utf8 || std::str::from_utf8(content).is_ok();
        let (text, legal) = if escaped {
            let (text, legal) = unescape(content);
            (Cow::Owned(text), legal)
        } else {
            (Cow::Borrowed(content), true)
        };
        Token { place: self.at..end + usize::from(closed), text, is_proper: closed && is_utf8 && legal }
    }

    /// Where the string whose content begins at `start` has its closing quote, whether it has one, and whether there are
    /// escapes in it.
    fn end_of_string(&self, start: usize) -> (usize, bool, bool) {
        let (mut at, mut escaped) = (start, false);
        loop {
            let rest = self.raw.get(at..).unwrap_or_default();
            match memchr::memchr2(b'"', b'\\', rest) {
                None => return (self.raw.len(), false, escaped),
                Some(found) if rest.get(found) == Some(&b'"') => return (at + found, true, escaped),
                Some(found) => {
                    escaped = true;
                    at += found + 2;
                }
            }
        }
    }

    /// Where a value that is no string ends: at its own bracket, or before what stands behind a number or a word.
    fn end_of_value(&self, start: usize) -> usize {
        let (mut at, mut depth) = (start, 0_u32);
        // Past the last byte that is not blank.
        let mut end = start;
        while let Some(byte) = self.raw.get(at) {
            match byte {
                b'"' => {
                    let (quote, closed, _) = self.end_of_string(at + 1);
                    at = quote + usize::from(closed);
                    end = at;
                    continue;
                }
                b'{' | b'[' => depth = depth.saturating_add(1),
                b'}' | b']' if depth == 0 => break,
                b'}' | b']' => {
                    depth -= 1;
                    if depth == 0 {
                        return at + 1;
                    }
                }
                b',' if depth == 0 => break,
                _ => {}
            }
            at += 1;
            if !byte.is_ascii_whitespace() {
                end = at;
            }
        }
        end
    }

    fn next_quote(&self) -> usize {
        let rest = self.raw.get(self.at..).unwrap_or_default();
        memchr::memchr(b'"', rest).map_or(self.raw.len(), |found| self.at + found)
    }

    fn skip_blanks(&self, from: usize) -> usize {
        let rest = self.raw.get(from..).unwrap_or_default();
        from + rest.iter().position(|byte| !byte.is_ascii_whitespace()).unwrap_or(rest.len())
    }

    fn peek(&self, from: usize) -> Option<u8> {
        self.raw.get(self.skip_blanks(from)).copied()
    }
}

/// Whether a value may stand before `byte`.
fn ends_value(byte: u8) -> bool {
    matches!(byte, b',' | b':' | b'}' | b']')
}

/// Where what follows the last comma, colon or bracket of `bare` begins.
fn start_of_word(bare: &[u8]) -> usize {
    let structure = |byte: &u8| matches!(byte, b'{' | b'}' | b'[' | b']' | b':' | b',');
    let after = bare.iter().rposition(structure).map_or(0, |last| last + 1);
    let word = bare.get(after..).unwrap_or_default();
    after + word.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}
