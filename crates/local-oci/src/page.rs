//! Page tokens: opaque to the client, bound to their query, and full of what a query string must escape.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// How far a listing has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Position {
    /// When its first page was asked for, in milliseconds: later pages show what was there then.
    pub(crate) as_of_ms: i64,
    /// How many items were given.
    pub(crate) offset: usize,
    /// The page just given was an empty one.
    pub(crate) after_empty: bool,
}

impl Position {
    /// Before the first page.
    pub(crate) fn start(as_of_ms: i64) -> Self {
        Self { as_of_ms, offset: 0, after_empty: false }
    }

    /// The token of the page that begins here, in a listing of that mark.
    pub(crate) fn token(self, mark: u64) -> String {
        // The ends make sure of `/`, `+` and `=`.
        let inner = format!("{mark:016x} {} {} {}", self.as_of_ms, self.offset, u8::from(self.after_empty));
        format!("/+{}==", STANDARD.encode(inner).trim_end_matches('='))
    }

    /// The position of a token; `None` unless it was made for a listing of that mark.
    pub(crate) fn parse(token: &str, mark: u64) -> Option<Self> {
        let mut inner = token.strip_prefix("/+")?.strip_suffix("==")?.to_owned();
        while inner.len() % 4 != 0 {
            inner.push('=');
        }
        let text = String::from_utf8(STANDARD.decode(inner).ok()?).ok()?;
        let mut parts = text.split(' ');
        let mut next = || parts.next();
        if u64::from_str_radix(next()?, 16).ok()? != mark {
            return None;
        }
        Some(Self { as_of_ms: next()?.parse().ok()?, offset: next()?.parse().ok()?, after_empty: next()? == "1" })
    }
}

#[cfg(test)]
mod tests {
    use super::Position;

    #[test]
    fn a_token_is_read_back_by_its_own_query_only() {
        for (as_of_ms, offset, after_empty) in [(0, 0, false), (-5, 7, true), (i64::MAX, 123_456, false)] {
            let position = Position { as_of_ms, offset, after_empty };
            let token = position.token(99);
            assert_eq!(Position::parse(&token, 99), Some(position));
            assert_eq!(Position::parse(&token, 98), None);
            assert!(["+", "/", "="].iter().all(|odd| token.contains(odd)), "{token}");
        }
        for broken in ["", "x", "/+==", "/+AAAA=="] {
            assert_eq!(Position::parse(broken, 99), None, "{broken}");
        }
    }
}
