//! Destinations: formats, framings and transports.
//!
//! A [`Sink`] takes records and answers for each of them: taken, refused for good (and why),
//! too large, surely not taken, or unknown.
//! [`SplunkHec`] and [`LogzioBulk`] are those there are. A format (an event → bytes) knows no transport, a destination knows
//! no format beyond handing records to it; the record's own tokens go through both untouched.
//!
//! It knows nothing of Oracle Cloud, keeps nothing between two calls, reads no environment and no clock but the monotonic
//! one, and starts no background task. Repeating what is unknown, dead letters and receipts are the caller's.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use std::{sync::Arc, time::Duration};
//!
//! use http_transport::{HttpTransport, TlsRoots};
//! use siem_sinks::{HecConfig, Proven, Record, Sink, SplunkHec};
//!
//! let transport = Arc::new(HttpTransport::new(&TlsRoots::default())?);
//! let config = HecConfig::new("https://http-inputs-acme.splunkcloud.com".parse()?);
//! let splunk = SplunkHec::new(config, &"a token".to_owned().into(), None, transport)?;
//!
//! let records = [Record { raw: r#"{"eventId":"93e7a143"}"#.into(), region: None, proven: Proven::Nothing }];
//! let deadline = tokio::time::Instant::now() + Duration::from_secs(60);
//! let delivery = splunk.deliver(&records, deadline).await;
//! assert_eq!(delivery.outcomes.len(), records.len());
//! # Ok(()) }
//! ```

mod sink;

mod splunk_hec;

mod logzio_bulk;

mod http_sink;

mod format;

mod retry;

mod settings;

mod error;

pub use error::{InvalidConfig, SinkFailure};
pub use format::HecEnvelope;
pub use logzio_bulk::{LogzioBulk, LogzioConfig};
pub use settings::check_url;
pub use sink::{Delivery, Outcome, Proven, Record, Sink};
pub use splunk_hec::{HecConfig, SplunkHec};
