//! Audit: the events of one compartment in one region, as received.

use std::fmt;

use bytes::Bytes;
use http_transport::Body;
use jiff::Timestamp;
use json_records::{Limits, SplitError, Splitter};
use oci_names::{Ocid, Region};

use crate::{
    Client, Deadline, Error, Service,
    answer::{Answer, Waiting},
    call::Call,
    target::Target,
};

const BASE_PATH: &str = "/20190901";

/// An event of more than this is taken for a broken answer.
pub const EVENT_MAX_BYTES: usize = 8 * 1024 * 1024;

/// Where a page is at fault, for errors.
const ARRAY: &str = "the array of events";

/// Calls of the Audit service.
#[derive(Debug, Clone, Copy)]
pub struct Audit<'a> {
    client: &'a Client,
}

/// One page of events, still arriving.
pub struct EventsPage {
    /// The token of the page after this one, where there is one.
    pub next_page: Option<String>,
    answer: Answer,
    host: String,
    body: Body,
    splitter: Splitter,
    reading: Reading,
}

/// How far a page has been read.
enum Reading {
    /// Nothing but white space yet.
    Start,
    /// Within or behind the array.
    Array,
    /// The page is at fault, which is still to be told or has been. It never ends well from here: an end after a fault
    /// would pass for a page that was read whole.
    Broken(Option<Error>),
    /// All is told.
    End,
}

impl<'a> Audit<'a> {
    pub(crate) fn new(client: &'a Client) -> Self {
        Self { client }
    }

    /// Opens one page of the events that `region` has *processed* for `compartment` in `[start, end)`.
    ///
    /// Whole minutes only; the order within and across pages is not promised, nor is a page's size. `page` is
    /// [`EventsPage::next_page`] of the page before. May be repeated: where a page breaks off while it is read, ask for
    /// it anew and drop the events already seen by their `eventId`.
    ///
    /// # Errors
    /// [`Error::Invalid`] where a time has seconds or the range is empty; else as the service answered, where 404 also
    /// means "not allowed".
    ///
    /// Source: Audit API reference, ListEvents.
    pub async fn list_events(
        &self,
        region: &Region,
        compartment: &Ocid,
        start: Timestamp,
        end: Timestamp,
        page: Option<&str>,
        deadline: Deadline,
    ) -> Result<EventsPage, Error> {
        const OPERATION: &str = "ListEvents";
        let invalid = |what| Error::Invalid { operation: OPERATION, what };
        if !is_whole_minute(start) || !is_whole_minute(end) {
            return Err(invalid("start and end must be whole minutes"));
        }
        if start >= end {
            return Err(invalid("start must lie before end"));
        }
        let target = Target::new(&self.client.endpoint(Service::Audit, Some(region))?, BASE_PATH)
            .part("auditEvents")
            .query("compartmentId", compartment.as_str())
            .query("startTime", &start.to_string())
            .query("endTime", &end.to_string())
            .query_if("page", page);
        let host = target.endpoint().authority().to_owned();
        let (answer, body) = self.client.open(&Call::read(OPERATION, target), deadline).await?;
        let next_page = answer.next_page().map(str::to_owned);
        if next_page.is_some() && next_page.as_deref() == page {
            return Err(answer.unexpected("opc-next-page, which repeats"));
        }
        let splitter = Splitter::new(Limits { record_max_bytes: EVENT_MAX_BYTES });
        Ok(EventsPage { next_page, answer, host, body, splitter, reading: Reading::Start })
    }
}

impl EventsPage {
    /// The next events, at least one, each as the bytes that came; `None` at the end of the page.
    ///
    /// The events before a fault are given out before it, and after it each further call fails. A wait that the
    /// deadline ended, or that was dropped, can be taken up again.
    ///
    /// # Errors
    /// [`Error::Transport`] where the page breaks off, [`Error::Decode`] where it is no array of events,
    /// [`Error::TooLarge`] where one is larger than [`EVENT_MAX_BYTES`].
    pub async fn next_records(&mut self, deadline: Deadline) -> Result<Option<Vec<Bytes>>, Error> {
        let mut records = Vec::new();
        while records.is_empty() {
            match &mut self.reading {
                Reading::Start | Reading::Array => {}
                Reading::Broken(fault) => {
                    return Err(fault
                        .take()
                        .unwrap_or_else(|| self.answer.unexpected("a page that has failed before")));
                }
                Reading::End => return Ok(None),
            }
            let waiting = Waiting { operation: self.answer.operation, request_id: &self.answer.request_id, deadline };
            match waiting.wait(&self.host, self.body.chunk()).await {
                Ok(Some(chunk)) => self.take(&chunk, &mut records),
                Ok(None) => self.finish(&mut records),
                Err(error @ Error::Deadline { .. }) => return Err(error),
                Err(error) => self.reading = Reading::Broken(Some(error)),
            }
        }
        Ok(Some(records))
    }

    fn take(&mut self, chunk: &[u8], records: &mut Vec<Bytes>) {
        // The splitter would also take objects without an array around them; this service never sends those.
        let text = chunk.trim_ascii_start();
        match self.reading {
            Reading::Start if text.is_empty() => {}
            Reading::Start if !text.starts_with(b"[") => {
                self.reading = Reading::Broken(Some(self.answer.unexpected(ARRAY)));
            }
            _ => {
                let fed = self.splitter.feed(chunk, records);
                self.reading = fed.map_or_else(|fault| self.fault(fault), |()| Reading::Array);
            }
        }
    }

    fn finish(&mut self, records: &mut Vec<Bytes>) {
        self.reading = if matches!(self.reading, Reading::Start) {
            Reading::Broken(Some(self.answer.unexpected(ARRAY)))
        } else {
            let finished = self.splitter.finish(records);
            finished.map_or_else(|fault| self.fault(fault), |()| Reading::End)
        };
    }

    /// The splitter's words hold no content.
    fn fault(&self, fault: SplitError) -> Reading {
        Reading::Broken(Some(match fault {
            SplitError::TooLarge { record_max_bytes: cap, .. } => {
                let (operation, request_id) = (self.answer.operation, self.answer.request_id.clone());
                Error::TooLarge { operation, cap, request_id }
            }
            other => self.answer.unexpected(format!("{ARRAY}: {other}")),
        }))
    }
}

impl fmt::Debug for EventsPage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // No events: they are confidential.
        f.debug_struct("EventsPage").field("answer", &self.answer).finish_non_exhaustive()
    }
}

fn is_whole_minute(at: Timestamp) -> bool {
    at.as_second() % 60 == 0 && at.subsec_nanosecond() == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_18_only_whole_minutes_pass() {
        for (text, expected) in [
            ("2026-01-05T21:20:00Z", true),
            ("2026-01-05T21:20:01Z", false),
            ("2026-01-05T21:20:00.001Z", false),
            ("1969-12-31T23:59:00Z", true),
        ] {
            assert_eq!(is_whole_minute(text.parse().unwrap()), expected, "{text}");
        }
    }
}
