//! Splunk's HTTP Event Collector.

mod config;

mod answer;

use std::sync::{Arc, Mutex, PoisonError};

use bytes::{BufMut, BytesMut};
use http::{HeaderValue, StatusCode, Uri, header};
use http_transport::{BoxFuture, Request, Transport};
use secrecy::SecretString;
use tokio::time::Instant;

pub use self::config::HecConfig;
use crate::{
    Delivery, InvalidConfig, Outcome, Record, Sink,
    format::HecFormat,
    http_sink::{Answer, Body, Dialect, HttpSink, Manner},
    retry::Random,
};

const CHANNEL: &str = "x-splunk-request-channel";

/// Sends events to one HTTP Event Collector, without acknowledgement: its `Success` is taken for delivery.
///
/// * A body that the collector is too busy for, or that found no connection, is sent up to three times, with growing
///   pauses or those that `Retry-After` asks for.
/// * A body whose outcome is unknown is not sent again here.
/// * Where one event spoils a body, the collector has taken those before it; the event is refused, those behind it are
///   sent anew. Where it does not say which event it is, the body is halved until the event stands alone; then second
///   copies, with the same ids, are the price.
/// * A body that is too large is halved, down to one event, which is then too large.
/// * A collector that refuses 20 events one by one and takes none is left alone: [`RefusesAll`].
///
/// [`RefusesAll`]: crate::SinkFailure::RefusesAll
pub struct SplunkHec {
    sink: HttpSink<Hec>,
}

impl SplunkHec {
    /// Sets the destination up; nothing is sent. The token stands without the word `Splunk`; a seed makes channel and jitter
    /// the same in each run, for tests.
    ///
    /// # Errors
    /// The first setting that does not fit.
    pub fn new(
        config: HecConfig,
        token: &SecretString,
        seed: Option<u64>,
        transport: Arc<dyn Transport>,
    ) -> Result<Self, InvalidConfig> {
        config.check_limits()?;
        let (uri, host) = config::endpoint(&config.url)?;
        let random = Random::new(seed);
        let hec = Hec {
            uri,
            authorization: Mutex::new(config::authorization(token)?),
            channel: channel(&random),
            format: HecFormat::new(&config.envelope),
            event_max_bytes: config.event_max_bytes,
        };
        let manner = Manner {
            batch_max_bytes: config.batch_max_bytes,
            gzip_level: config.gzip_level,
            user_agent: config.user_agent,
            request_timeout: config.request_timeout,
            random,
        };
        Ok(Self { sink: HttpSink::new(hec, host, manner, transport)? })
    }
}

impl Sink for SplunkHec {
    fn deliver<'a>(&'a self, records: &'a [Record], deadline: Instant) -> BoxFuture<'a, Delivery> {
        Box::pin(self.sink.deliver_all(records, deadline))
    }

    fn renew_token(&self, token: &SecretString) -> Result<(), InvalidConfig> {
        let authorization = config::authorization(token)?;
        *self.sink.dialect.authorization.lock().unwrap_or_else(PoisonError::into_inner) = authorization;
        Ok(())
    }
}

impl std::fmt::Debug for SplunkHec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SplunkHec").field("host", &self.sink.host).finish_non_exhaustive()
    }
}

/// The collector's part in the sending.
struct Hec {
    uri: Uri,
    authorization: Mutex<HeaderValue>,
    channel: HeaderValue,
    format: HecFormat,
    event_max_bytes: usize,
}

impl Dialect for Hec {
    const PEER: &'static str = "the collector";
    const SUSPECTS: &'static str =
        "the sourcetype, its props on the server, and what stands between here and the collector";

    fn append(&self, record: &Record, body: &mut BytesMut) -> Result<(), Outcome> {
        let bytes = record.raw.len();
        if bytes > self.event_max_bytes {
            let reason = format!("{bytes} bytes, more than the {} that an event may have", self.event_max_bytes);
            return Err(Outcome::TooLarge(reason.into()));
        }
        if !body.is_empty() {
            body.put_u8(b'\n');
        }
        self.format.encode(record, body).map_err(|error| Outcome::Refused(error.to_string().into()))
    }

    /// The index stands in each envelope and nowhere else; so nothing is in the query.
    fn address(&self, request: &mut Request) {
        *request.uri_mut() = self.uri.clone();
        let authorization = self.authorization.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let headers = request.headers_mut();
        headers.insert(header::AUTHORIZATION, authorization);
        headers.insert(CHANNEL, self.channel.clone());
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }

    fn sort(&self, status: StatusCode, content: &[u8], body: &Body) -> (Answer, String) {
        let (answer, said) = answer::sort(status, content, body.plain_bytes);
        (answer, said.to_string())
    }
}

/// One channel for the life of the client, as the collector asks for.
#[expect(clippy::expect_used, reason = "a GUID is hexadecimal digits and hyphens")]
fn channel(random: &Random) -> HeaderValue {
    HeaderValue::try_from(random.guid()).expect("a GUID fits into a header")
}
