//! Logz.io's bulk listener.

mod config;

mod answer;

use std::sync::{Arc, Mutex, PoisonError};

use bytes::BytesMut;
use http::{HeaderValue, StatusCode, Uri, header};
use http_transport::{BoxFuture, Request, Transport};
use secrecy::SecretString;
use tokio::time::Instant;

use self::config::Address;
pub use self::config::LogzioConfig;
use crate::{
    Delivery, InvalidConfig, Outcome, Record, Sink,
    format::encode_line,
    http_sink::{Answer, Body, Dialect, HttpSink, Manner},
    retry::Random,
};

/// Sends records to one Logz.io listener, one minified JSON object a line.
///
/// * A body that the listener is too busy for, or that found no connection, is sent up to three times, with growing pauses
///   or those that `Retry-After` asks for.
/// * A body whose outcome is unknown is not sent again here.
/// * The listener takes the good lines of a body and counts the others without naming them. So each line is checked before:
///   one JSON object, not too long. Where it still takes some lines only, all lines of that body are refused, for to send
///   them again would make second copies, which Logz.io cannot tell; the reason gives the counts. Where it takes none, the
///   body is halved until the bad line stands alone.
/// * A body that is too large is halved, down to one line, which is then too large.
/// * A listener that refuses 20 lines one by one and takes none is left alone: [`RefusesAll`].
///
/// Source: Logz.io, "Bulk uploads over HTTP/HTTPS".
///
/// [`RefusesAll`]: crate::SinkFailure::RefusesAll
pub struct LogzioBulk {
    sink: HttpSink<Listener>,
}

impl LogzioBulk {
    /// Sets the destination up; nothing is sent. The shipping token travels in the query, for the listener knows no header
    /// for it; a seed makes jitter the same in each run, for tests.
    ///
    /// # Errors
    /// The first setting that does not fit.
    pub fn new(
        config: LogzioConfig,
        token: &SecretString,
        seed: Option<u64>,
        transport: Arc<dyn Transport>,
    ) -> Result<Self, InvalidConfig> {
        config.check_limits()?;
        let address = Address::new(&config.url, &config.log_type)?;
        let host = address.host()?;
        let listener =
            Listener { uri: Mutex::new(address.with_token(token)?), address, line_max_bytes: config.line_max_bytes };
        let manner = Manner {
            batch_max_bytes: config.batch_max_bytes,
            gzip_level: config.gzip_level,
            user_agent: config.user_agent,
            request_timeout: config.request_timeout,
            random: Random::new(seed),
        };
        Ok(Self { sink: HttpSink::new(listener, host, manner, transport)? })
    }
}

impl Sink for LogzioBulk {
    fn deliver<'a>(&'a self, records: &'a [Record], deadline: Instant) -> BoxFuture<'a, Delivery> {
        Box::pin(self.sink.deliver_all(records, deadline))
    }

    fn renew_token(&self, token: &SecretString) -> Result<(), InvalidConfig> {
        let listener = &self.sink.dialect;
        let uri = listener.address.with_token(token)?;
        *listener.uri.lock().unwrap_or_else(PoisonError::into_inner) = uri;
        Ok(())
    }
}

impl std::fmt::Debug for LogzioBulk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogzioBulk").field("host", &self.sink.host).finish_non_exhaustive()
    }
}

/// The listener's part in the sending.
struct Listener {
    address: Address,
    /// With the token: a secret.
    uri: Mutex<Uri>,
    line_max_bytes: usize,
}

impl Dialect for Listener {
    const PEER: &'static str = "the listener";
    const SUSPECTS: &'static str = "the address, the log type, and what stands between here and the listener";

    fn append(&self, record: &Record, body: &mut BytesMut) -> Result<(), Outcome> {
        let before = body.len();
        encode_line(record, body).map_err(|error| Outcome::Refused(error.to_string().into()))?;
        let line_bytes = body.len() - before - b"\n".len();
        if line_bytes > self.line_max_bytes {
            let reason =
                format!("a line of {line_bytes} bytes, more than the {} that one may have", self.line_max_bytes);
            return Err(Outcome::TooLarge(reason.into()));
        }
        Ok(())
    }

    fn address(&self, request: &mut Request) {
        *request.uri_mut() = self.uri.lock().unwrap_or_else(PoisonError::into_inner).clone();
        // What the vendor's own shippers say of such bodies.
        request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    }

    fn sort(&self, status: StatusCode, content: &[u8], body: &Body) -> (Answer, String) {
        let (answer, said) = answer::sort(status, content, body.members.len());
        (answer, said.to_string())
    }
}
