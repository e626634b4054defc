//! The keys of `decode-bucket-gzip`.

use std::{collections::BTreeSet, fmt, str::FromStr};

use delivery::{Parties, Target, target_keys};
use fn_hyper::config::{Problems, Reader, Switch, text, within};
use jiff::SignedDuration;
use ledger::Ledger;
use log_decoder::Limits;
use oci_names::Ocid;
use workbench::{Connection, ledger_keys, ocid_of};

use crate::{ask::NotUnderstood, listing::Folder, select::Select};

/// What the function runs with.
pub struct Config {
    /// Oracle Cloud, as the function's principal.
    pub connection: Connection,
    /// The state bucket.
    pub ledger: Ledger,
    /// Where records go.
    pub target: Target,
    /// The namespace of the buckets.
    pub namespace: String,
    /// The buckets that files are taken from; of any other one an event is refused.
    pub buckets: BTreeSet<String>,
    /// What names of log files begin with.
    pub prefix: String,
    /// What becomes of a file that is delivered.
    pub after: After,
    /// Rings this function.
    pub topic: Option<Ocid>,
    /// Which records are sent, and what of them.
    pub select: Select,
    /// How large things may become.
    pub limits: Limits,
    /// Pieces of one file that may be no records before the rest of it is set aside as a whole.
    pub malformed_max: u64,
    /// Calls that may end without a word, or without progress, while they work on one record or file.
    pub max_attempts: u32,
    /// How old the files are that the search still takes up.
    pub search_within: SignedDuration,
    /// When the bytes of a file that is not delivered are copied.
    pub keep_after: SignedDuration,
}

/// What becomes of a file all of whose records are delivered or dead.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    /// It stays as it is.
    Keep,
    /// It is deleted.
    Delete,
    /// Its name gets this before it.
    Move {
        /// With a slash at its end.
        prefix: String,
    },
}

impl Config {
    pub(crate) fn parties(&self) -> Parties<'_> {
        Parties { client: &self.connection.client, ledger: &self.ledger, target: &self.target }
    }

    /// Where a call wants files from, if they are taken from there; the namespace may be left out.
    pub(crate) fn folder(
        &self,
        namespace: Option<String>,
        bucket: String,
        prefix: String,
    ) -> Result<Folder, NotUnderstood> {
        let namespace = namespace.unwrap_or_else(|| self.namespace.clone());
        if namespace != self.namespace {
            Err(NotUnderstood::OtherNamespace)
        } else if !self.buckets.contains(&bucket) {
            Err(NotUnderstood::OtherBucket)
        } else if !prefix.starts_with(&self.prefix) && !self.prefix.starts_with(&prefix) {
            Err(NotUnderstood::BesidePrefix)
        } else {
            Ok(Folder { namespace, bucket, prefix })
        }
    }

    /// Whether a name is that of a log file.
    pub(crate) fn is_input(&self, object: &str) -> bool {
        let is_done = matches!(&self.after, After::Move { prefix } if object.starts_with(prefix.as_str()));
        object.starts_with(&self.prefix) && !is_done
    }
}

/// Reads the configuration.
///
/// # Errors
/// Every problem with it; none repeats a value.
pub fn read(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Config, Problems> {
    let mut keys = Reader::new(lookup);
    let base = ledger_keys(&mut keys, lookup);
    let target = target_keys(&mut keys);
    // The buckets that log files are taken from, separated by commas. The rule's event names one of them.
    let buckets = keys.required("input_bucket", buckets);
    // Their Object Storage namespace. Default: that of the state bucket.
    let namespace = keys.maybe("input_namespace", name);
    // What the names of log files begin with: the object prefix of the connector, as in audit/. Default: any name.
    let prefix = keys.maybe("input_prefix", text).unwrap_or_default();
    // What becomes of a file that is delivered: keep (the bucket's life-cycle rule deletes it), delete, or move.
    let after = keys.optional("after_success", Deed::Keep, Deed::from_str);
    // What is put before the name of a file that is moved: done/. Names that begin with it are passed over.
    let done_prefix = keys.maybe("done_prefix", text);
    let after = after.and_then(|deed| match check_after(deed, &prefix, done_prefix) {
        Ok(after) => Some(after),
        Err(reason) => {
            keys.problem("done_prefix", reason);
            None
        }
    });
    // The topic that wakes this function for what is left over: ocid1.onstopic.…; the sweep's key of the same name.
    let topic = keys.maybe("object_topic", ocid_of("onstopic"));
    // on: of {"datetime":…,"logContent":{…}} the inner object is sent; off: each record as it stands in the file.
    let unwrap = keys.optional("unwrap", Switch::Off, Switch::from_str);
    // HTTP methods, separated by commas, of the audit records that are sent: POST,PUT,DELETE,PATCH. Default: all records.
    let actions = keys.maybe("filter_actions", actions).unwrap_or_default();
    // The largest record that is read. A longer one is set aside in pieces; it bounds the memory.
    let record_max_bytes = keys.optional("record_max_bytes", 5 * 1024 * 1024, within(1_000..=16 * 1024 * 1024));
    let defaults = Limits::default();
    // What a file may open to, in bytes.
    let inflated_max_bytes =
        keys.optional("inflated_max_bytes", defaults.inflated_max_bytes, within(1_000_000..=1_u64 << 42));
    // How many times its length a file may open to, beyond 16 MiB. Logs reach some thirty times, a gzip bomb a thousand.
    let ratio_max = keys.optional("ratio_max", defaults.ratio_max, within(1..=2_000));
    // Pieces of a file that may be no records, each a dead letter, before the rest is set aside as a whole: a file that is
    // no log at all must not become a million letters.
    let malformed_max = keys.optional("malformed_max", 100, within(0..=10_000));
    // Calls that may end without a word, or without progress, before what they work on is set aside.
    let max_attempts = keys.optional("max_attempts", 5, within(3..=100));
    // How old a file may be that the search takes up because its event never came. The receipts of what is done, by which
    // it tells, live for 14 days.
    let search_within = keys.optional("search_within_hours", 72, within(1..=312));
    // When a file that is not delivered is copied to the state bucket: well before the life-cycle rule takes it after 72.
    let keep_after = keys.optional("keep_after_hours", 48, within(1..=312));
    keys.finish(|| {
        let base = base?;
        Some(Config {
            namespace: namespace.unwrap_or_else(|| base.ledger.namespace().to_owned()),
            connection: base.connection,
            ledger: base.ledger,
            target: target?,
            buckets: buckets?,
            prefix,
            after: after?,
            topic,
            select: Select { unwrap: unwrap? == Switch::On, actions },
            limits: Limits {
                record_max_bytes: record_max_bytes?,
                inflated_max_bytes: inflated_max_bytes?,
                ratio_max: ratio_max?,
            },
            malformed_max: malformed_max?,
            max_attempts: max_attempts?,
            search_within: SignedDuration::from_hours(search_within?),
            keep_after: SignedDuration::from_hours(keep_after?),
        })
    })
}

/// The word for what becomes of a delivered file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Keep,
    Delete,
    Move,
}

impl fmt::Display for Deed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Keep => "keep",
            Self::Delete => "delete",
            Self::Move => "move",
        })
    }
}

impl FromStr for Deed {
    type Err = &'static str;

    fn from_str(value: &str) -> Result<Self, &'static str> {
        match value {
            "keep" => Ok(Self::Keep),
            "delete" => Ok(Self::Delete),
            "move" => Ok(Self::Move),
            _ => Err("expected keep, delete or move"),
        }
    }
}

/// A file that is moved must not look like one that has come in, or it would be sent for ever.
fn check_after(deed: Deed, input: &str, done: Option<String>) -> Result<After, &'static str> {
    match (deed, done) {
        (Deed::Keep, None) => Ok(After::Keep),
        (Deed::Delete, None) => Ok(After::Delete),
        (Deed::Keep | Deed::Delete, Some(_)) => Err("goes with after_success = move"),
        (Deed::Move, None) => Err("required where after_success is move"),
        (Deed::Move, Some(done)) => {
            let done = if done.ends_with('/') { done } else { format!("{done}/") };
            let overlaps = !input.is_empty() && (done.starts_with(input) || input.starts_with(&done));
            if done == "/" || overlaps {
                return Err("overlaps with input_prefix: what is moved would come in again");
            }
            Ok(After::Move { prefix: done })
        }
    }
}

/// The name of a namespace or bucket: one segment of a path.
fn name(value: &str) -> Result<String, &'static str> {
    let legal = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let is_name = (1..=256).contains(&value.len()) && value.chars().all(legal);
    if is_name { Ok(value.to_owned()) } else { Err("expected letters, digits, hyphens, underscores and full stops") }
}

fn buckets(value: &str) -> Result<BTreeSet<String>, &'static str> {
    value.split(',').map(|part| name(part.trim())).collect()
}

fn actions(value: &str) -> Result<Vec<String>, &'static str> {
    let action = |part: &str| {
        let part = part.trim();
        let is_action = !part.is_empty() && part.chars().all(|c| c.is_ascii_alphabetic());
        if is_action { Ok(part.to_owned()) } else { Err("expected HTTP methods, separated by commas") }
    };
    value.split(',').map(action).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_moved_must_not_come_in_again() {
        let after = |deed, input, done: &str| check_after(deed, input, Some(done.to_owned()).filter(|d| !d.is_empty()));
        let moved = |prefix: &str| Ok(After::Move { prefix: prefix.to_owned() });
        for (input, done, expected) in [
            ("audit/", "done/", moved("done/")),
            ("audit/", "done", moved("done/")),
            ("", "done/", moved("done/")),
            ("audit", "audit/done/", Err(())),
            ("audit/", "audit/", Err(())),
            ("a/b/", "a/", Err(())),
            ("a/b/", "a", Err(())),
            ("", "/", Err(())),
            ("audit/", "", Err(())),
        ] {
            assert_eq!(after(Deed::Move, input, done).map_err(|_| ()), expected, "{input} {done}");
        }
        assert_eq!(after(Deed::Keep, "audit/", ""), Ok(After::Keep));
        assert!(after(Deed::Delete, "audit/", "done/").is_err());
    }

    #[test]
    fn lists_are_read_part_by_part() {
        assert_eq!(buckets("b, a.log-1 ").unwrap().into_iter().collect::<Vec<_>>(), ["a.log-1", "b"]);
        assert_eq!(actions("POST, put").unwrap(), ["POST", "put"]);
        assert!(buckets("a,,b").is_err() && buckets("a/b").is_err() && actions("POST;PUT").is_err());
    }
}
