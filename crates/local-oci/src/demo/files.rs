//! The second act: the same audit records as log files in a bucket, whose records the decoder sends to the Logz.io listener.

use std::sync::atomic::{AtomicBool, Ordering};

use jiff::Timestamp;
use local_oci::LocalOci;
use local_oci::connector::{Connector, ConnectorSettings, Framing};
use local_oci::receiver::LogzioReceiver;
use serde::Serialize;

use super::compare::{Comparison, Expected};
use super::day::Day;
use crate::furnish::{BUCKET, LOGS};

/// So many gzip members a file, cut through the midst of records.
const GZIP_MEMBERS: usize = 3;

/// Writes the files, and knows which of them are done.
pub(crate) struct Files {
    connector: Connector,
    /// When the last of the day's events is ingested.
    until: Timestamp,
    is_written: AtomicBool,
}

/// What came of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FilesAccount {
    pub(crate) traffic: Traffic,
    pub(crate) comparison: Comparison,
}

/// What was written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Traffic {
    /// Files.
    pub(crate) written: u64,
    /// Their bytes, uncompressed.
    pub(crate) bytes: u64,
    /// Their bytes as they lie in the bucket.
    pub(crate) gzip_bytes: u64,
}

impl Files {
    pub(crate) fn new(cloud: &LocalOci, day: Day, seed: u64) -> Self {
        let settings = ConnectorSettings {
            framing: Framing::Mixed,
            gzip_members: GZIP_MEMBERS,
            seed,
            ..ConnectorSettings::new(LOGS)
        };
        let until = day.end.checked_add(settings.ingestion_lag).unwrap_or(day.end);
        Self { connector: Connector::new(cloud, settings, day.start), until, is_written: AtomicBool::new(false) }
    }

    /// Writes a file an interval, until all that was processed before the day's end is written.
    pub(crate) async fn write(&self, cloud: &LocalOci) {
        self.connector.run(cloud, self.until).await;
        self.is_written.store(true, Ordering::Relaxed);
    }

    /// What is not done yet: files to come, and files without a receipt that says so.
    pub(crate) fn left(&self, cloud: &LocalOci) -> Option<String> {
        let done = cloud.storage().objects(BUCKET).iter().filter(|name| name.starts_with("seen/object/")).count();
        let left = self.connector.objects().len().saturating_sub(done);
        let is_left = left > 0 || !self.is_written.load(Ordering::Relaxed);
        is_left.then(|| format!("{left} log files"))
    }

    /// Holds the records as written against the lines that arrived.
    pub(crate) fn account(&self, listener: &LogzioReceiver) -> FilesAccount {
        let objects = self.connector.objects();
        let sum = |of: fn(&local_oci::connector::WrittenObject) -> usize| objects.iter().map(of).sum::<usize>() as u64;
        let traffic = Traffic {
            written: objects.len() as u64,
            bytes: sum(|object| object.bytes),
            gzip_bytes: sum(|object| object.gzip_bytes),
        };
        let expected = self.connector.records().into_iter().map(Expected::record);
        let arrivals = |id: &str| listener.received(id).into_iter().map(|line| line.fingerprint).collect();
        FilesAccount { traffic, comparison: Comparison::new(expected, listener.count(), arrivals) }
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::Request;
    use local_oci::receiver::LogzioSettings;
    use local_oci::{Clock, Settings, TenancyPlan};

    use super::*;
    use crate::furnish::LOGZIO_TOKEN;

    #[tokio::test]
    async fn a_day_s_files_are_left_until_each_has_its_receipt_and_are_held_against_the_lines() {
        let plan = TenancyPlan { events: 300, ..TenancyPlan::default() };
        let day = Day { start: plan.start, end: plan.end };
        let mut settings = Settings::new(Clock::leaping(day.start));
        settings.plan = plan;
        let cloud = LocalOci::new(settings);
        cloud.storage().create_bucket(BUCKET);
        let files = Files::new(&cloud, day, 1);
        assert_eq!(files.left(&cloud).as_deref(), Some("0 log files"), "they are still to come");
        files.write(&cloud).await;
        let listener = LogzioReceiver::new(LogzioSettings::new(LOGZIO_TOKEN));
        let account = files.account(&listener);
        let written = account.traffic.written;
        assert_eq!((account.comparison.generated, account.comparison.lost), (300, 300), "the whole day");
        assert_eq!(files.left(&cloud), Some(format!("{written} log files")));
        for number in 0..written {
            cloud.storage().put(BUCKET, &format!("seen/object/logzio/{number}~1~0~0"), "");
        }
        assert_eq!(files.left(&cloud), None);
        // Nothing that was not written may arrive.
        let post = Request::post(format!("/?token={LOGZIO_TOKEN}")).body(Bytes::from("{\"id\":\"x\"}"));
        listener.handle(post.expect("a request")).await.expect("an answer");
        assert_eq!(files.account(&listener).comparison.altered, 1);
    }
}
