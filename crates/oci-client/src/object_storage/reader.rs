//! Reading one version of an object as it arrives, and on where the connection broke.

use std::fmt;

use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, header};
use http_transport::Body;
use tokio::time::{Instant, sleep};

use super::{Bucket, if_match};
use crate::{
    Deadline, Error,
    answer::{Answer, Waiting},
    call::{Content, Repeat},
};

const OPERATION: &str = "GetObject";

/// Reads one version of an object from some byte on. Memory does not depend on the object's size: what is not asked for
/// waits in the connection. One request carries all of it; another one follows where the connection breaks off.
pub struct ObjectReader {
    bucket: Bucket,
    name: String,
    etag: String,
    /// The next byte.
    offset: u64,
    /// The object's length, once an answer has told it.
    total: Option<u64>,
    arriving: Option<Arriving>,
    /// How many answers in a row have broken off, and no byte between them.
    breaks: u32,
    is_over: bool,
}

/// An answer whose body is being read.
struct Arriving {
    answer: Answer,
    host: String,
    body: Body,
    extent: Extent,
}

/// What an answer is said to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Extent {
    /// The byte behind its last one; unknown where the body itself tells its end.
    until: Option<u64>,
    /// The object's length, where it is known.
    total: Option<u64>,
}

impl ObjectReader {
    pub(super) fn new(bucket: Bucket, name: &str, etag: &str, offset: u64) -> Self {
        let (name, etag) = (name.to_owned(), etag.to_owned());
        Self { bucket, name, etag, offset, total: None, arriving: None, breaks: 0, is_over: false }
    }

    /// Where the next bytes lie in the object.
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// The next bytes, at least one; `None` behind the object's last. A wait that the deadline ended, or that was dropped,
    /// can be taken up again.
    ///
    /// # Errors
    /// [`Error::is_object_not_found`] where there is no such object; [`Error::is_precondition_failed`] where it has another
    /// version; [`Error::Transport`] or [`Error::Decode`] where answers keep breaking off or are none of what was asked for;
    /// else as the service answered.
    pub async fn chunk(&mut self, deadline: Deadline) -> Result<Option<Bytes>, Error> {
        while !self.is_over {
            let error = match self.advance(deadline).await {
                Ok(Some(chunk)) => {
                    self.breaks = 0;
                    return Ok(Some(chunk));
                }
                Ok(None) => continue,
                Err(Broken::Off(error)) => error,
                Err(Broken::Down(error)) => return Err(error),
            };
            if matches!(error, Error::Deadline { .. }) {
                return Err(error);
            }
            self.arriving = None;
            self.breaks += 1;
            let client = &self.bucket.client;
            let pause = client.retry.pause(self.breaks, &client.random, None);
            let is_in_time = Instant::now().checked_add(pause).is_some_and(|then| then < deadline);
            if self.breaks >= client.retry.attempts || !error.is_retryable() || !is_in_time {
                return Err(error);
            }
            tracing::warn!(offset = self.offset, error = %error, "an object broke off; reading on");
            sleep(pause).await;
        }
        Ok(None)
    }

    /// One step: some bytes, or nothing where an answer was opened or ended well.
    async fn advance(&mut self, deadline: Deadline) -> Result<Option<Bytes>, Broken> {
        let Some(Arriving { answer, host, body, extent }) = &mut self.arriving else {
            match open(&self.bucket, &self.name, &self.etag, Some(self.offset), deadline).await {
                // Where that is not what was heard before, the whole object tells.
                Err(error) if error.status() == Some(StatusCode::RANGE_NOT_SATISFIABLE) => {
                    let whole = open(&self.bucket, &self.name, &self.etag, None, deadline).await;
                    let Arriving { answer, extent, .. } = whole.map_err(Broken::of_opening)?;
                    if self.total.or(extent.total) != Some(self.offset) {
                        let at = "a range that is said to lie behind the object's end";
                        return Err(Broken::Off(answer.unexpected(at)));
                    }
                    self.is_over = true;
                }
                opened => self.begin(opened.map_err(Broken::of_opening)?)?,
            }
            return Ok(None);
        };
        let waiting = Waiting { operation: OPERATION, request_id: &answer.request_id, deadline };
        let Some(chunk) = waiting.wait(host, body.chunk()).await.map_err(Broken::Off)? else {
            if extent.until.is_some_and(|until| self.offset < until) {
                return Err(Broken::Off(answer.unexpected("the body's length")));
            }
            self.is_over = self.total.is_none_or(|total| self.offset >= total);
            self.arriving = None;
            return Ok(None);
        };
        let until = self.offset + chunk.len() as u64;
        if extent.until.is_some_and(|end| until > end) {
            return Err(Broken::Down(answer.unexpected("the body's length")));
        }
        self.offset = until;
        // The last byte says so itself: no other answer is waited for, nor the end of this one.
        self.is_over = self.total == Some(until);
        Ok(Some(chunk).filter(|chunk| !chunk.is_empty()))
    }

    /// Takes an answer, if it is of an object as long as the others were.
    fn begin(&mut self, arriving: Arriving) -> Result<(), Broken> {
        let told = arriving.extent.total;
        if self.total.is_some() && told != self.total {
            return Err(Broken::Down(arriving.answer.unexpected("an object of another length than before")));
        }
        self.total = told;
        self.arriving = Some(arriving);
        Ok(())
    }
}

/// Asks for all bytes from `offset` on, or for the whole object.
async fn open(
    bucket: &Bucket,
    name: &str,
    etag: &str,
    offset: Option<u64>,
    deadline: Deadline,
) -> Result<Arriving, Error> {
    let target = bucket.object(OPERATION, name)?;
    let host = target.endpoint().authority().to_owned();
    let mut call = bucket.call(OPERATION, Method::GET, target, Content::None, Repeat::Always);
    call.headers.push(if_match(OPERATION, etag)?);
    if let Some(offset) = offset {
        let range = HeaderValue::try_from(format!("bytes={offset}-"));
        let range =
            range.map_err(|_| Error::Invalid { operation: OPERATION, what: "a range that fits into no header" })?;
        call.headers.push((header::RANGE, range));
    }
    let (answer, body) = bucket.client.open(&call, deadline).await?;
    let length = answer.header(&header::CONTENT_LENGTH).ok().and_then(|length| length.parse().ok());
    let is_chunked = answer.header(&header::TRANSFER_ENCODING).is_ok();
    let told = answer.header(&header::CONTENT_RANGE).ok();
    let extent = Extent::of(offset.unwrap_or_default(), told, length);
    // A body of no stated length ends where the connection does, whoever ended it; a chunked one states its end.
    let extent = extent.filter(|extent| extent.until.is_some() || is_chunked);
    let extent = extent.ok_or_else(|| answer.unexpected("headers content-range and content-length"))?;
    Ok(Arriving { answer, host, body, extent })
}

/// How reading failed.
enum Broken {
    /// An answer broke off: another one may go on.
    Off(Error),
    /// Another one would fare no better, or has been tried.
    Down(Error),
}

impl Broken {
    /// The client has tried again what may be; a head that is garbled it has not.
    fn of_opening(error: Error) -> Self {
        if matches!(error, Error::Decode { .. }) { Self::Off(error) } else { Self::Down(error) }
    }
}

impl Extent {
    /// Of an answer to a request for all from `offset` on, by its `content-range` and `content-length`; `None` where it is
    /// another range.
    fn of(offset: u64, told: Option<&str>, length: Option<u64>) -> Option<Self> {
        let Some(told) = told else {
            // Whoever passes the range over gives the object whole.
            return (offset == 0).then_some(Self { until: length, total: length });
        };
        let (range, total) = told.strip_prefix("bytes ")?.split_once('/')?;
        let (from, last) = range.split_once('-')?;
        let (from, last, total): (u64, u64, u64) = (from.parse().ok()?, last.parse().ok()?, total.parse().ok()?);
        let is_asked = from == offset && (from..total).contains(&last);
        is_asked.then_some(Self { until: last.checked_add(1), total: Some(total) })
    }
}

impl fmt::Debug for ObjectReader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ObjectReader").field("name", &self.name).field("offset", &self.offset).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_holds_what_its_headers_say() {
        let whole = |until, total| Some(Extent { until, total });
        for (offset, told, length, expected) in [
            (0, Some("bytes 0-9/10"), Some(10), whole(Some(10), Some(10))),
            (4, Some("bytes 4-9/10"), Some(6), whole(Some(10), Some(10))),
            (4, Some("bytes 4-4/10"), Some(1), whole(Some(5), Some(10))),
            (0, None, Some(10), whole(Some(10), Some(10))),
            (0, None, None, whole(None, None)),
            (4, None, Some(10), None),
            (4, Some("bytes 3-9/10"), Some(7), None),
            (4, Some("bytes 4-3/10"), Some(0), None),
            (4, Some("bytes 4-10/10"), Some(7), None),
            (4, Some("bytes 4-9/*"), Some(6), None),
            (4, Some("4-9/10"), Some(6), None),
        ] {
            assert_eq!(Extent::of(offset, told, length), expected, "{offset} {told:?} {length:?}");
        }
    }
}
