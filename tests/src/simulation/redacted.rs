//! An independent word on redaction: written with `serde_json`, from the promise and not from the code that keeps it.
//!
//! A secret is the text of an `authorization` or `opc-principal` header, and any text that holds a session token (`ST$…`) or
//! a bearer token. What arrives must be the listed bytes, but for those texts: they hold nothing of the secret any more.

use std::{borrow::Cow, fmt, ops::Range};

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Headers whose text is a secret, in lower case.
const SECRET_HEADERS: [&str; 2] = ["authorization", "opc-principal"];

/// Whether `arrived` is `listed` with its secrets withheld, and nothing else changed.
pub(super) fn is_redaction(listed: &[u8], arrived: &[u8]) -> bool {
    let (Ok(before), Ok(after)) = (serde_json::from_slice(listed), serde_json::from_slice(arrived)) else {
        // No tree to walk: then nothing may have been touched.
        return listed == arrived;
    };
    let (before, after): (&RawValue, &RawValue) = (before, after);
    let (mut old, mut new) = (Texts::of(listed), Texts::of(arrived));
    old.walk(before, false);
    new.walk(after, false);
    if old.found.len() != new.found.len() {
        return false;
    }
    let (mut from, mut to) = (0, 0);
    for (secret, text) in old.found.iter().zip(&new.found) {
        if secret.what.is_none() {
            continue;
        }
        // Everything up to the secret is as it was.
        if listed[from..secret.place.start] != arrived[to..text.place.start] {
            return false;
        }
        (from, to) = (secret.place.end, text.place.end);
        let left = &arrived[text.place.clone()];
        let is_left = |part: &String| part.len() > 3 && String::from_utf8_lossy(left).contains(part.as_str());
        if listed[secret.place.clone()] == *left || secret.what.iter().any(is_left) {
            return false;
        }
    }
    listed[from..] == arrived[to..]
}

/// The texts of a document, in order.
struct Texts<'a> {
    whole: &'a [u8],
    found: Vec<Text>,
}

struct Text {
    /// Where its JSON lies, quotes included.
    place: Range<usize>,
    /// What must not be left of it.
    what: Option<String>,
}

impl<'a> Texts<'a> {
    fn of(whole: &'a [u8]) -> Self {
        Self { whole, found: Vec::new() }
    }

    fn walk(&mut self, value: &RawValue, is_secret: bool) {
        let json = value.get();
        match json.as_bytes().first() {
            Some(b'{') => {
                let Ok(members) = serde_json::from_str::<Members<'_>>(json) else { return };
                for (key, member) in members.0 {
                    let is_header = SECRET_HEADERS.contains(&key.to_lowercase().as_str());
                    self.walk(member, is_secret || is_header);
                }
            }
            Some(b'[') => {
                let Ok(elements) = serde_json::from_str::<Vec<&RawValue>>(json) else { return };
                for element in elements {
                    self.walk(element, is_secret);
                }
            }
            Some(b'"') => {
                let start = json.as_ptr().addr() - self.whole.as_ptr().addr();
                let text: String = serde_json::from_str(json).unwrap_or_default();
                let what = secret_of(&text, is_secret);
                self.found.push(Text { place: start..start + json.len(), what });
            }
            _ => {}
        }
    }
}

/// The part of a text that is a secret.
fn secret_of(text: &str, is_header: bool) -> Option<String> {
    if is_header && !text.is_empty() {
        return Some(text.to_owned());
    }
    let after = |at: usize| text.get(at..).and_then(|rest| rest.split_whitespace().next()).map(str::to_owned);
    let session = text.find("ST$").and_then(|at| after(at + 3)).filter(|token| !token.is_empty());
    let bearer = text.to_ascii_lowercase().find("bearer ").and_then(|at| after(at + 7));
    session.or(bearer)
}

/// An object's members in order, those of one name apart.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Each;

        impl<'de> Visitor<'de> for Each {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
                    members.push((Cow::Owned(key), value));
                }
                Ok(members)
            }
        }

        from.deserialize_map(Each).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::is_redaction;

    const LISTED: &str = r#"{"a": 1.50,"data":{"request":{"headers":{"Authorization":["Signature hush"],"x":["y"]}},
        "message":"key ST$abcdef. was used","b":["Bearer qwerty"]}}"#;

    #[test]
    fn what_is_withheld_is_a_redaction_and_all_else_is_an_alteration() {
        let redacted = LISTED
            .replace("Signature hush", "[redacted]")
            .replace("key ST$abcdef. was used", "key [redacted] was used")
            .replace("Bearer qwerty", "Bearer [redacted]");
        for (arrived, expected) in [
            (redacted.clone(), true),
            (LISTED.to_owned(), false),
            (redacted.replace("1.50", "1.5"), false),
            (redacted.replace(r#""a": 1"#, r#""a":1"#), false),
            (redacted.replace(r#"["y"]"#, r#"["z"]"#), false),
            (redacted.replace("[redacted]", "[Signature hush]"), false),
            (redacted.replace("key [redacted] was", "key ST$abcdef. is"), false),
        ] {
            assert_eq!(is_redaction(LISTED.as_bytes(), arrived.as_bytes()), expected, "{arrived}");
        }
    }

    #[test]
    fn what_holds_no_secret_arrives_as_it_is() {
        let plain = br#"{"a":[1e400,"ST is a state"],"a":"twice"}"#;
        assert!(is_redaction(plain, plain));
        assert!(!is_redaction(plain, br#"{"a":[1e400,"ST is a state"],"a":"once"}"#));
    }
}
