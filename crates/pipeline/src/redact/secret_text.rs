//! Whether a text holds something by which somebody else could act.

use std::borrow::Cow;

use memchr::memmem::Finder;

use super::unescape::unescape;

/// How often a text is unescaped. A run of backslashes halves each time, so that no string of an event has more layers;
/// what has is made to cost time, and is taken for hidden on purpose.
const LAYERS_MAX: usize = 64;

/// Bytes at which a closer look begins; one in thirty or so of an audit event.
const ANCHOR: [bool; 256] = {
    let mut table = [false; 256];
    let mut at = 0;
    while at < ANCHORS.len() {
        table[ANCHORS[at] as usize] = true;
        at += 1;
    }
    table
};
const ANCHORS: &[u8] = b"$J:= \t\r\n\x0c";

/// What a text is searched for.
pub(super) struct SecretText {
    /// Header names, lower case.
    names: Vec<Box<[u8]>>,
    /// Further texts, by their exact bytes.
    values: Vec<Finder<'static>>,
}

impl SecretText {
    pub(super) fn new(names: &[&str], values: &[String]) -> Self {
        let mut names: Vec<Box<[u8]>> = names
            .iter()
            .filter(|name| !name.is_empty())
            .map(|name| name.to_ascii_lowercase().into_bytes().into())
            .collect();
        names.sort();
        names.dedup();
        let values = values.iter().filter(|value| !value.is_empty());
        Self { names, values: values.map(|value| Finder::new(value.as_bytes()).into_owned()).collect() }
    }

    /// Whether `name` is the name of a secret, in any case.
    pub(super) fn is_name(&self, name: &[u8]) -> bool {
        self.names.iter().any(|known| known.eq_ignore_ascii_case(name))
    }

    /// Whether `text` holds a secret, also under further layers of escapes.
    pub(super) fn is_in(&self, text: &[u8]) -> bool {
        let mut text = Cow::Borrowed(text);
        for _ in 0..=LAYERS_MAX {
            if self.is_on_the_surface(&text) {
                return true;
            }
            if memchr::memchr(b'\\', &text).is_none() {
                return false;
            }
            text = unescape(&text).0.into();
        }
        true
    }

    fn is_on_the_surface(&self, text: &[u8]) -> bool {
        // Where the next `eyJ` is worth a look: a run that led to nothing once does so from its middle, too.
        let mut jwt_from = 0;
        for (at, byte) in text.iter().enumerate().filter(|(_, byte)| ANCHOR[usize::from(**byte)]) {
            let (before, after) = (text.get(..at).unwrap_or_default(), text.get(at + 1..).unwrap_or_default());
            let found = match byte {
                b'$' => before.ends_with(b"ST") && after.first().is_some_and(|next| is_token(*next)),
                b'J' if at >= jwt_from && before.ends_with(b"ey") => {
                    let run = run_of_base64url(after);
                    jwt_from = at + run;
                    run > 0 && is_dotted(after.get(run..).unwrap_or_default())
                }
                b'J' => false,
                b':' | b'=' => self.is_after_name(before),
                _ => is_bearer(before) && is_token_after_blanks(after),
            };
            if found {
                return true;
            }
        }
        self.values.iter().any(|value| value.find(text).is_some())
    }

    /// Whether a header's name ends `before`, apart from what closes its quotes. What stands before the name does not
    /// matter: `X-Authorization`, `HTTP_COOKIE`.
    fn is_after_name(&self, before: &[u8]) -> bool {
        let is_filler = |byte: &u8| matches!(byte, b'"' | b'\'' | b'\\') || byte.is_ascii_whitespace();
        let end = before.iter().rposition(|byte| !is_filler(byte)).map_or(0, |last| last + 1);
        self.names.iter().any(|name| {
            end.checked_sub(name.len())
                .and_then(|start| before.get(start..end))
                .is_some_and(|tail| tail.eq_ignore_ascii_case(name))
        })
    }
}

/// `b64token` of RFC 6750, which also holds the alphabet of a security token.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~' | b'+' | b'/' | b'=')
}

fn run_of_base64url(text: &[u8]) -> usize {
    let legal = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.iter().position(|byte| !legal(byte)).unwrap_or(text.len())
}

/// Whether a JWT goes on here: `.`, its second part, `.`.
fn is_dotted(text: &[u8]) -> bool {
    let Some((b'.', payload)) = text.split_first() else { return false };
    let run = run_of_base64url(payload);
    run > 0 && payload.get(run) == Some(&b'.')
}

/// Whether `before` ends in the word `bearer`.
fn is_bearer(before: &[u8]) -> bool {
    const BEARER: &[u8] = b"bearer";
    let Some(start) = before.len().checked_sub(BEARER.len()) else { return false };
    let (rest, word) = before.split_at(start);
    word.eq_ignore_ascii_case(BEARER) && rest.last().is_none_or(|last| !last.is_ascii_alphanumeric())
}

fn is_token_after_blanks(after: &[u8]) -> bool {
    after.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|next| is_token(*next))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, secret: bool) {
        let searched = SecretText::new(&["authorization", "cookie", "opc-principal"], &["hush-".to_owned()]);
        assert_eq!(searched.is_in(text.as_bytes()), secret, "{text}");
    }

    #[test]
    fn tokens_are_known_by_their_form() {
        for text in [
            "ST$eyJ",
            "keyId=\"ST$a",
            "xST$9",
            "Bearer abc",
            "bEARER  \t x",
            "(Bearer abc)",
            "a,bearer +x",
            "\nBearer x",
            "eyJa.b.",
            "token eyJhbGciOi.eyJzdWIi.c2ln",
            "xxeyJa.b.c",
            "eyJ.eyJa.b.c",
            "eyJeyJa.b.c",
            "eyJa.eyJb.c.",
        ] {
            check(text, true);
        }
        for text in [
            "",
            "ST$",
            "ST$*****",
            "ST$ a",
            "st$abc",
            "T$abc",
            "Bearer",
            "Bearer ",
            "Bearer  *",
            "forbearer abc",
            "Bearerabc",
            "eyJ",
            "eyJ.a.",
            "eyJa.b",
            "eyJa..",
            "eyJa.b!.",
            "eyJ!a.b.",
            "ocid1.tenancy.oc1..a/ocid1.user.oc1..b/aa:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99",
        ] {
            check(text, false);
        }
    }

    #[test]
    fn a_header_in_a_text_is_known_by_its_name_and_what_follows() {
        for text in [
            "Authorization: Basic x",
            "curl -H 'cookie : a=b'",
            "COOKIE=1",
            "X-Authorization:x",
            "HTTP_COOKIE=1",
            r#"{"opc-principal":"x"}"#,
            r#"{\"opc-principal\" : \"x\"}"#,
            r#"{\\\"authorization\\\":1}"#,
        ] {
            check(text, true);
        }
        for text in
            ["authorization", "authorization, cookie", "the cookie jar: a", "cookies=1", "principal: x", ":cookie"]
        {
            check(text, false);
        }
    }

    #[test]
    fn configured_texts_are_found_by_their_exact_bytes() {
        check("a hush-hush affair", true);
        check("HUSH-HUSH", false);
        let empty = SecretText::new(&[""], &[String::new()]);
        assert!(!empty.is_in(b"a: b") && !empty.is_name(b""));
    }

    #[test]
    fn further_layers_of_escapes_hide_nothing() {
        for text in
            [r"\u0053T$a", r"\\u0053T\\u0024a", r"\nBearer a", r"a\tbearer a", r"\\\\u0063ookie\\\\: x", r"coo\kie=1"]
        {
            check(text, true);
        }
        for text in [r"C:\Users\me", r"\d+\.\d+", r"\\\\"] {
            check(text, false);
        }
        // Twelve layers, and nothing in them; a hundred, which nobody writes without a purpose.
        check(&"\\".repeat(5_000), false);
        check(&format!(r"\u005c{}", "u005c".repeat(100)), true);
    }

    #[test]
    fn a_long_text_is_searched_once() {
        // Quadratic, each of these would take minutes.
        for part in ["eyJ", "eyJa.", "bearer ", "cookie ", " ", "\"", ":", "\\\\n"] {
            SecretText::new(&["authorization"], &[]).is_in(part.repeat(300_000).as_bytes());
        }
    }
}
