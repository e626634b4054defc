//! A bucket's life cycle: what grows old is deleted.

use jiff::{SignedDuration, Timestamp};

use super::{Bucket, Cause, Making};

/// Deletes old objects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LifecycleRule {
    /// Only objects whose names begin so; empty: all.
    pub prefix: String,
    /// How long ago they were last modified, by the cloud's clock. The real service counts whole days.
    pub older_than: SignedDuration,
}

impl LifecycleRule {
    fn strikes(&self, name: &str, modified: Timestamp, now: Timestamp) -> bool {
        name.starts_with(&self.prefix) && now.duration_since(modified) > self.older_than
    }
}

impl Bucket {
    /// Deletes what a rule strikes, in the order of the names.
    pub(super) fn sweep(&mut self, now: Timestamp, making: &mut Making) {
        if self.lifecycle.is_empty() {
            return;
        }
        let is_old = |name: &str, modified| self.lifecycle.iter().any(|rule| rule.strikes(name, modified, now));
        let old = self.objects.iter().filter(|(name, object)| is_old(name, object.time_modified));
        for name in old.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            self.remove(&name, Cause::Lifecycle, now, making);
        }
    }
}
