//! `~/.oci/config`: an INI file of profiles.
//!
//! Source: Oracle's page "SDK and CLI Configuration File", and the parser of the official Python SDK.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    str::FromStr,
};

use crate::PrincipalError;

/// The profile from which the others inherit.
const DEFAULT_PROFILE: &str = "DEFAULT";

/// One profile, with what it inherits.
#[derive(Debug)]
pub(crate) struct Profile {
    name: String,
    home: PathBuf,
    entries: HashMap<String, String>,
}

impl Profile {
    /// Finds the profile `name` in the file's text.
    pub(crate) fn read(text: &str, name: &str, home: &Path) -> Result<Self, PrincipalError> {
        let mut profiles: HashMap<&str, HashMap<String, String>> = HashMap::new();
        let mut current = None;
        for line in text.lines().map(str::trim) {
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
                current = Some(header);
                profiles.entry(header).or_default();
            } else if let (Some(profile), Some((key, value))) = (current, line.split_once(['=', ':'])) {
                let entries = profiles.entry(profile).or_default();
                entries.insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
            }
        }
        let missing = || PrincipalError::Missing { name: format!("profile {name} of the configuration file") };
        let own = if name == DEFAULT_PROFILE { None } else { Some(profiles.remove(name).ok_or_else(missing)?) };
        let mut entries = match profiles.remove(DEFAULT_PROFILE) {
            Some(entries) => entries,
            None if own.is_none() => return Err(missing()),
            None => HashMap::new(),
        };
        entries.extend(own.unwrap_or_default());
        let profile = Self { name: name.to_owned(), home: home.to_owned(), entries };
        if profile.get("key_content").is_some() {
            return Err(PrincipalError::Invalid {
                name: profile.label("key_content"),
                expected: "allowed in a file: use key_file",
            });
        }
        Ok(profile)
    }

    pub(crate) fn has_session_token(&self) -> bool {
        self.get("security_token_file").is_some()
    }

    /// The value of `key`, where it has one.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.entries.get(key).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The value of `key` as a type; `expected` says which form it has.
    pub(crate) fn parse<T: FromStr>(&self, key: &str, expected: &'static str) -> Result<Option<T>, PrincipalError> {
        let invalid = |_| PrincipalError::Invalid { name: self.label(key), expected };
        self.get(key).map(|value| value.parse().map_err(invalid)).transpose()
    }

    /// The path under `key`, with `~` replaced.
    pub(crate) fn path(&self, key: &str) -> Result<PathBuf, PrincipalError> {
        let value = self.get(key).ok_or_else(|| self.missing(key))?;
        Ok(match value.strip_prefix('~') {
            Some(rest) => self.home.join(rest.trim_start_matches(['/', '\\'])),
            None => PathBuf::from(value),
        })
    }

    /// The error for a key that is needed and not there.
    pub(crate) fn missing(&self, key: &str) -> PrincipalError {
        PrincipalError::Missing { name: self.label(key) }
    }

    /// How an error names a key.
    pub(crate) fn label(&self, key: &str) -> String {
        format!("{key} in profile {}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# made by hand
[DEFAULT]
user = ocid1.user.oc1..a
region=us-ashburn-1
key_file=~/.oci/key.pem

[OTHER]
region : us-phoenix-1
fingerprint=1d:75
empty =
; the end
";

    fn profile(name: &str) -> Profile {
        Profile::read(TEXT, name, Path::new("/home/a")).unwrap()
    }

    #[test]
    fn a_profile_inherits_from_default_and_overrides_it() {
        for (name, key, expected) in [
            ("DEFAULT", "user", Some("ocid1.user.oc1..a")),
            ("DEFAULT", "region", Some("us-ashburn-1")),
            ("DEFAULT", "fingerprint", None),
            ("OTHER", "user", Some("ocid1.user.oc1..a")),
            ("OTHER", "region", Some("us-phoenix-1")),
            ("OTHER", "fingerprint", Some("1d:75")),
            ("OTHER", "empty", None),
        ] {
            assert_eq!(profile(name).get(key), expected, "{name} {key}");
        }
    }

    #[test]
    fn a_tilde_is_the_home_that_was_passed_in() {
        assert_eq!(profile("OTHER").path("key_file").unwrap(), Path::new("/home/a/.oci/key.pem"));
    }

    #[test]
    fn what_is_missing_or_forbidden_is_named() {
        let read = |text, name| Profile::read(text, name, Path::new("/")).unwrap_err().to_string();
        assert_eq!(read(TEXT, "NONE"), "profile NONE of the configuration file is not set");
        assert_eq!(read("", "DEFAULT"), "profile DEFAULT of the configuration file is not set");
        assert_eq!(
            read("[DEFAULT]\nkey_content=hush", "DEFAULT"),
            "key_content in profile DEFAULT is not allowed in a file: use key_file"
        );
        assert_eq!(
            profile("OTHER").path("security_token_file").unwrap_err().to_string(),
            "security_token_file in profile OTHER is not set"
        );
    }
}
