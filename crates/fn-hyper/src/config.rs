//! A function's configuration: strings become types in one pass, and every problem is listed.
//!
//! A function's `config.rs` reads its keys with a [`Reader`]; a test hands in a table in place of the environment:
//!
//! ```
//! use fn_hyper::config::{Problems, Reader, Secret, text, within};
//!
//! #[derive(Debug)]
//! struct Config {
//!     splunk_url: String,
//!     splunk_hec_token: Secret,
//!     splunk_hec_port: u16,
//! }
//!
//! fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Config, Problems> {
//!     let mut keys = Reader::new(lookup);
//!     let splunk_url = keys.required("splunk_url", text);
//!     let splunk_hec_token = keys.secret("splunk_hec_token");
//!     let splunk_hec_port = keys.optional("splunk_hec_port", 8088, within(1..=u16::MAX));
//!     keys.finish(|| {
//!         Some(Config {
//!             splunk_url: splunk_url?,
//!             splunk_hec_token: splunk_hec_token?,
//!             splunk_hec_port: splunk_hec_port?,
//!         })
//!     })
//! }
//!
//! let table = |key: &str| (key == "splunk_hec_port").then(|| "0".to_owned());
//! let problems = read(&table).unwrap_err();
//! assert_eq!(
//!     problems.to_string(),
//!     "splunk_url: missing\n\
//!      splunk_hec_token: missing\n\
//!      splunk_hec_port: expected a whole number from 1 to 65535"
//! );
//! // An empty table names every key, to be held against the README.
//! let names: Vec<_> = read(&|_| None).unwrap_err().keys().iter().map(|key| key.name).collect();
//! assert_eq!(names, ["splunk_url", "splunk_hec_token", "splunk_hec_port"]);
//! ```

mod parse;
mod problems;
mod reader;
mod secret;

pub use parse::{Switch, text, within};
pub use problems::{Problem, Problems};
pub use reader::{Key, Presence, Reader};
pub use secret::Secret;

/// Finds the value of a key: the process's environment in a function, a table in a test.
///
/// What a function's `start` is given. A reader takes any `&dyn Fn(&str) -> Option<String>`, so that tests can borrow.
pub type Lookup = dyn Fn(&str) -> Option<String> + Send + Sync;

/// The keys that every function has beside its own, since this crate reads them: `log_level`.
pub fn common_keys() -> Vec<Key> {
    let mut keys = Reader::new(&|_| None);
    crate::telemetry::read_level(&mut keys);
    keys.keys().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_has_a_log_level() {
        let default = Presence::Default("info".to_owned());
        assert_eq!(common_keys(), [Key { name: "log_level", presence: default, is_secret: false }]);
    }
}
