//! The same rules once more, the slow way: parsed by serde_json, value by value, each rule as the documentation says it.
//!
//! Shares no line with the redactor, so that a mistake would have to be made twice.

use std::{fmt, ops::Range};

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

pub(super) struct Book<'a> {
    pub(super) names: &'a [&'a str],
    /// What stands for a value.
    pub(super) replacement: &'a dyn Fn(&[u8]) -> String,
    pub(super) is_replacement: &'a dyn Fn(&str) -> bool,
}

impl Book<'_> {
    /// The event and how many values were replaced; `raw` is one JSON value.
    pub(super) fn redact(&self, raw: &str) -> (String, u32) {
        let mut replaced = Vec::new();
        self.walk(raw, serde_json::from_str(raw).unwrap(), &mut replaced);
        let mut out = raw.to_owned();
        for (place, value) in replaced.iter().rev() {
            out.replace_range(place.clone(), &format!("\"{value}\""));
        }
        (out, u32::try_from(replaced.len()).unwrap())
    }

    fn walk(&self, raw: &str, value: &RawValue, replaced: &mut Vec<(Range<usize>, String)>) {
        match value.get().as_bytes()[0] {
            b'"' => {
                let text: String = serde_json::from_str(value.get()).unwrap();
                if self.is_secret(&text) {
                    self.replace(raw, value, replaced);
                }
            }
            b'[' => {
                for element in serde_json::from_str::<Vec<&RawValue>>(value.get()).unwrap() {
                    self.walk(raw, element, replaced);
                }
            }
            b'{' => {
                for (name, member) in serde_json::from_str::<Members<'_>>(value.get()).unwrap().0 {
                    self.walk(raw, name, replaced);
                    let name: String = serde_json::from_str(name.get()).unwrap();
                    if !self.names.contains(&name.to_ascii_lowercase().as_str()) {
                        self.walk(raw, member, replaced);
                    } else if member.get().starts_with('[') {
                        for element in serde_json::from_str::<Vec<&RawValue>>(member.get()).unwrap() {
                            self.replace(raw, element, replaced);
                        }
                    } else {
                        self.replace(raw, member, replaced);
                    }
                }
            }
            _ => {}
        }
    }

    fn replace(&self, raw: &str, value: &RawValue, replaced: &mut Vec<(Range<usize>, String)>) {
        let text: Option<String> = serde_json::from_str(value.get()).ok();
        if matches!(value.get(), "null" | "\"\"") || text.as_deref().is_some_and(self.is_replacement) {
            return;
        }
        let start = value.get().as_ptr() as usize - raw.as_ptr() as usize;
        let hidden = text.as_deref().unwrap_or(value.get());
        replaced.push((start..start + value.get().len(), (self.replacement)(hidden.as_bytes())));
    }

    fn is_secret(&self, text: &str) -> bool {
        let mut text = text.to_owned();
        for _ in 0..9 {
            let lower = text.to_ascii_lowercase();
            let token = |rest: &str| rest.starts_with(|c: char| c.is_ascii_alphanumeric() || "-._~+/=".contains(c));
            let blank = |c: char| c.is_ascii_whitespace();
            let security_token = text.match_indices("ST$").any(|(at, found)| token(&text[at + found.len()..]));
            let bearer = lower.match_indices("bearer").any(|(at, found)| {
                let rest = &text[at + found.len()..];
                let alone = !text[..at].ends_with(|c: char| c.is_ascii_alphanumeric());
                alone && rest.starts_with(blank) && token(rest.trim_start_matches(blank))
            });
            let base64url = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            let jwt = text.match_indices("eyJ").any(|(at, found)| {
                let parts: Vec<&str> = text[at + found.len()..].splitn(3, '.').collect();
                parts.len() == 3 && parts[..2].iter().all(|part| !part.is_empty() && part.chars().all(base64url))
            });
            let header = self.names.iter().any(|name| {
                lower.match_indices(name).any(|(at, found)| {
                    let rest = &lower[at + found.len()..];
                    rest.trim_start_matches(|c| blank(c) || "\"'\\".contains(c)).starts_with([':', '='])
                })
            });
            if security_token || bearer || jwt || header {
                return true;
            }
            if !text.contains('\\') {
                return false;
            }
            text = unwrapped(&text);
        }
        true
    }
}

/// One layer of escapes less; what is no escape loses its backslash.
fn unwrapped(text: &str) -> String {
    let mut units: Vec<u16> = Vec::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let mut taken = c.len_utf8();
        let mut meant = c;
        if c == '\\' {
            let letter = rest[1..].chars().next();
            taken += letter.map_or(0, char::len_utf8);
            let digits =
                rest.get(2..6).filter(|digits| letter == Some('u') && digits.chars().all(|d| d.is_ascii_hexdigit()));
            if let Some(digits) = digits {
                units.push(u16::from_str_radix(digits, 16).unwrap());
                rest = &rest[6..];
                continue;
            }
            let Some(letter) = letter else { break };
            meant = ["b\u{8}", "f\u{c}", "n\n", "r\r", "t\t"]
                .iter()
                .find_map(|pair| pair.strip_prefix(letter))
                .map_or(letter, |meant| meant.chars().next().unwrap());
        }
        units.extend_from_slice(meant.encode_utf16(&mut [0; 2]));
        rest = &rest[taken..];
    }
    String::from_utf16_lossy(&units)
}

struct Members<'a>(Vec<(&'a RawValue, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        from.deserialize_map(InOrder)
    }
}
