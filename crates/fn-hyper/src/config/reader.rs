//! Reads keys, remembers them, and gathers what is wrong with them.

use std::fmt::Display;

use crate::config::{Problem, Problems, Secret};

/// A key that was read, as the key table of a README states it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Name in the environment.
    pub name: &'static str,
    /// What holds if the key is absent.
    pub presence: Presence,
    /// Whether the value is a secret, that is the OCID of one or plain text.
    pub is_secret: bool,
}

/// What holds if a key is absent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Presence {
    /// The configuration is faulty.
    Required,
    /// This value is taken, as an operator would write it.
    Default(String),
    /// The function does without.
    Optional,
}

/// Reads one configuration, key by key.
///
/// An empty value counts as absent: the platform itself deletes a key that is updated to an empty value. Surrounding
/// white space is taken off.
pub struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    keys: Vec<Key>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl<'a> Reader<'a> {
    /// Begins to read.
    pub fn new(lookup: &'a dyn Fn(&str) -> Option<String>) -> Self {
        Self { lookup, keys: Vec::new(), problems: Vec::new(), warnings: Vec::new() }
    }

    /// The value of a key that must be there; `None` once a problem is noted.
    ///
    /// The text of `parse`'s error becomes the problem's and says what is expected. It should not repeat the value; if
    /// it does, the value is blotted out, for it may be a token in the wrong place.
    pub fn required<T, E: Display>(
        &mut self,
        key: &'static str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match self.value(key, Presence::Required, false) {
            Some(value) => self.parsed(key, &value, parse),
            None => self.missing(key),
        }
    }

    /// The value of a key, or `default` if it is absent; `None` once a problem is noted.
    pub fn optional<T: Display, E: Display>(
        &mut self,
        key: &'static str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match self.value(key, Presence::Default(default.to_string()), false) {
            Some(value) => self.parsed(key, &value, parse),
            None => Some(default),
        }
    }

    /// The value of a key that may be absent; `None` if it is, or once a problem is noted.
    pub fn maybe<T, E: Display>(&mut self, key: &'static str, parse: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        let value = self.value(key, Presence::Optional, false)?;
        self.parsed(key, &value, parse)
    }

    /// A secret that must be there; `None` once a problem is noted. Plain text gives a warning.
    pub fn secret(&mut self, key: &'static str) -> Option<Secret> {
        match self.value(key, Presence::Required, true) {
            Some(value) => self.as_secret(key, value),
            None => self.missing(key),
        }
    }

    /// A secret that may be absent; `None` if it is, or once a problem is noted. Plain text gives a warning.
    pub fn maybe_secret(&mut self, key: &'static str) -> Option<Secret> {
        let value = self.value(key, Presence::Optional, true)?;
        self.as_secret(key, value)
    }

    /// Notes what is wrong between keys; `text` says what is expected and must not repeat a value.
    pub fn problem(&mut self, key: &'static str, text: impl Into<String>) {
        self.problems.push(Problem::new(key, text));
    }

    /// Whether every key so far was as expected.
    pub fn is_sound(&self) -> bool {
        self.problems.is_empty()
    }

    /// The keys read so far, each once, in the order of their first reading.
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// What works but should be mended. [`finish`](Self::finish) logs it.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// Ends the reading: the configuration, if there is no problem. Warnings go to the log.
    ///
    /// `build` is called only if there is none; it answers `None` where a value is missing that no problem accounts
    /// for, which is a mistake of the program.
    ///
    /// # Errors
    /// Every problem found, and the keys that were read.
    pub fn finish<T>(self, build: impl FnOnce() -> Option<T>) -> Result<T, Problems> {
        for warning in &self.warnings {
            tracing::warn!(key = warning.key(), "configuration: {}", warning.text());
        }
        let mut problems = self.problems;
        if problems.is_empty() {
            match build() {
                Some(built) => return Ok(built),
                None => problems.push(Problem::new("configuration", "incomplete, though no key is at fault")),
            }
        }
        Err(Problems::new(problems, self.keys))
    }

    fn value(&mut self, name: &'static str, presence: Presence, is_secret: bool) -> Option<String> {
        if self.keys.iter().all(|known| known.name != name) {
            self.keys.push(Key { name, presence, is_secret });
        }
        let value = (self.lookup)(name)?;
        let trimmed = value.trim();
        (!trimmed.is_empty()).then(|| trimmed.to_owned())
    }

    fn missing<T>(&mut self, key: &'static str) -> Option<T> {
        self.problem(key, "missing");
        None
    }

    fn parsed<T, E: Display>(
        &mut self,
        key: &'static str,
        value: &str,
        parse: impl FnOnce(&str) -> Result<T, E>,
    ) -> Option<T> {
        match parse(value) {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                self.problem(key, without(value, &error.to_string()));
                None
            }
        }
    }

    fn as_secret(&mut self, key: &'static str, value: String) -> Option<Secret> {
        match Secret::parse(value) {
            Ok(secret) => {
                if let Secret::Plain(_) = secret {
                    let text = "a secret in plain text can be read by whoever may read the function; put it into the \
                                vault and its OCID here";
                    self.warnings.push(Problem::new(key, text));
                }
                Some(secret)
            }
            Err(expected) => {
                self.problem(key, expected);
                None
            }
        }
    }
}

/// Below this length a value is no secret, and its letters stand in any sentence by chance.
const LEAST_SECRET_BYTES: usize = 4;

/// The text of a parser's error, without the value should it repeat it.
fn without(value: &str, text: &str) -> String {
    if value.len() < LEAST_SECRET_BYTES { text.to_owned() } else { text.replace(value, "…") }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    type Read = (Option<u32>, Option<u32>, Option<u32>);

    /// Reads three numbers: one required, one with the default 7, one that may be absent.
    fn check(table: &[(&str, &str)]) -> Result<Read, String> {
        let lookup = |key: &str| table.iter().find(|(name, _)| *name == key).map(|(_, value)| (*value).to_owned());
        let mut keys = Reader::new(&lookup);
        let read = (
            keys.required("must", u32::from_str),
            keys.optional("default", 7, u32::from_str),
            keys.maybe("may", u32::from_str),
        );
        keys.finish(|| Some(read)).map_err(|problems| problems.to_string())
    }

    #[test]
    fn absent_and_empty_are_the_same_and_white_space_does_not_count() {
        assert_eq!(check(&[("must", "1")]), Ok((Some(1), Some(7), None)));
        assert_eq!(check(&[("must", " 1\n"), ("default", ""), ("may", "  ")]), Ok((Some(1), Some(7), None)));
        assert_eq!(check(&[("must", "1"), ("default", "2"), ("may", "3")]), Ok((Some(1), Some(2), Some(3))));
        for absent in [&[][..], &[("must", "")], &[("must", " \t")]] {
            assert_eq!(check(absent), Err("must: missing".to_owned()));
        }
    }

    #[test]
    fn every_problem_is_listed_and_no_value_is_shown() {
        let problems = check(&[("default", "hush-1"), ("may", "hush-2")]).unwrap_err();
        assert_eq!(
            problems,
            "must: missing\ndefault: invalid digit found in string\nmay: invalid digit found in string"
        );
    }

    #[test]
    fn a_parser_that_repeats_the_value_gives_nothing_away() {
        let mut keys = Reader::new(&|_| Some(" hush-hush ".to_owned()));
        let refused = keys.required("key", |value| Err::<(), _>(format!("`{value}` is no number")));
        assert_eq!(refused, None);
        let problems = keys.finish(|| Some(())).unwrap_err();
        assert_eq!(problems.to_string(), "key: `…` is no number");
        assert!(!format!("{problems:?}").contains("hush"));
    }

    #[test]
    fn rules_between_keys_stand_in_the_same_list() {
        let mut keys = Reader::new(&|_| None);
        let low = keys.optional("low", 5, u32::from_str);
        assert!(keys.is_sound());
        if low > Some(3) {
            keys.problem("low", "must be below `high`");
        }
        keys.required("must", u32::from_str);
        assert!(!keys.is_sound());
        assert_eq!(keys.finish(|| low).unwrap_err().to_string(), "low: must be below `high`\nmust: missing");
    }

    #[test]
    fn a_configuration_that_cannot_be_built_is_a_problem_too() {
        let problems = Reader::new(&|_| None).finish(|| None::<()>).unwrap_err();
        assert_eq!(problems.to_string(), "configuration: incomplete, though no key is at fault");
    }

    #[test]
    fn the_keys_are_remembered_once_with_what_holds_without_them() {
        let mut keys = Reader::new(&|_| None);
        keys.required("must", u32::from_str);
        keys.optional("default", 900_000, u32::from_str);
        keys.maybe("may", u32::from_str);
        keys.secret("token");
        keys.maybe_secret("other");
        keys.required("must", u32::from_str);
        let key = |name, presence, is_secret| Key { name, presence, is_secret };
        let expected = [
            key("must", Presence::Required, false),
            key("default", Presence::Default("900000".to_owned()), false),
            key("may", Presence::Optional, false),
            key("token", Presence::Required, true),
            key("other", Presence::Optional, true),
        ];
        assert_eq!(keys.keys(), expected);
        assert_eq!(keys.finish(|| Some(())).unwrap_err().keys(), expected);
    }

    #[test]
    fn a_secret_in_plain_text_works_with_a_warning_and_an_ocid_of_something_else_does_not() {
        let read = |value: &'static str| {
            let lookup = |_: &str| Some(value.to_owned());
            let mut keys = Reader::new(&lookup);
            let secret = keys.secret("token");
            let warnings = keys.warnings().iter().map(ToString::to_string).collect::<String>();
            (secret, warnings, keys.finish(|| Some(())).map_err(|problems| problems.to_string()))
        };

        let (secret, warnings, finished) = read("ocid1.vaultsecret.oc1..aaaa");
        assert!(matches!(secret, Some(Secret::Vault(ocid)) if ocid == "ocid1.vaultsecret.oc1..aaaa"));
        assert_eq!((warnings.as_str(), finished), ("", Ok(())));

        let (secret, warnings, finished) = read("hush-hush");
        assert!(matches!(secret, Some(Secret::Plain(_))));
        assert!(warnings.starts_with("token: ") && !warnings.contains("hush"), "{warnings}");
        assert_eq!(finished, Ok(()));

        let (secret, warnings, finished) = read("ocid1.stream.oc1..aaaa");
        assert!(secret.is_none());
        assert_eq!(warnings, "");
        assert_eq!(finished, Err("token: expected the OCID of a vault secret (ocid1.vaultsecret.…)".to_owned()));
    }
}
