//! What a receiver is set to, and what can go wrong with it.

use std::fmt;
use std::time::Duration;

/// What the server's administrator set.
#[derive(Debug, Clone)]
pub struct HecSettings {
    /// The tokens it knows.
    pub tokens: Vec<HecToken>,
    /// The longest body taken, after decompression.
    pub max_content_length: usize,
    /// What a longer body is answered.
    pub oversize: Oversize,
    /// The longest `event`; a longer one is refused with code 6.
    pub max_event_size: usize,
    /// Whether a JSON array of envelopes is taken too, as some servers do.
    pub tolerates_arrays: bool,
    /// Whether `?token=` is taken.
    pub allows_query_token: bool,
    /// When acknowledgements come true, for tokens that have them.
    pub acks: AckMode,
    /// Whether the bytes of all events are kept: for small tests.
    pub keep_raw: bool,
}

impl HecSettings {
    /// A server with one token, as Splunk Enterprise is installed.
    pub fn new(token: HecToken) -> Self {
        Self {
            tokens: vec![token],
            max_content_length: 838_860_800,
            oversize: Oversize::Status413,
            max_event_size: 5_242_880,
            tolerates_arrays: false,
            allows_query_token: false,
            acks: AckMode::After(Duration::from_millis(1200)),
            keep_raw: false,
        }
    }

    /// The same on Splunk Cloud: a longer body than 5 242 881 bytes is called a data format.
    #[must_use]
    pub fn cloud(mut self) -> Self {
        (self.max_content_length, self.oversize) = (5_242_881, Oversize::Code6);
        self
    }
}

/// A token and its settings. `Debug` does not show its value.
#[derive(Clone)]
pub struct HecToken {
    /// The secret.
    pub value: String,
    /// Whether it may be used.
    pub enabled: bool,
    /// Whether it acknowledges (`useACK`).
    pub ack: bool,
    /// The indexes that it may write to; empty: all.
    pub indexes: Vec<String>,
    /// The index of events that name none.
    pub default_index: String,
}

impl HecToken {
    /// An enabled token for all indexes, without acknowledgement.
    pub fn new(value: &str) -> Self {
        let (value, default_index) = (value.to_owned(), "main".to_owned());
        Self { value, enabled: true, ack: false, indexes: Vec::new(), default_index }
    }
}

impl fmt::Debug for HecToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HecToken").field("enabled", &self.enabled).field("ack", &self.ack).finish_non_exhaustive()
    }
}

/// What a body that is too long is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Oversize {
    /// HTTP 413.
    Status413,
    /// HTTP 400, code 6, `invalid-event-number` 0, as Splunk Cloud does.
    Code6,
}

/// When an acknowledgement comes true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckMode {
    /// So long after the post, by the runtime's timer.
    After(Duration),
    /// Never.
    Never,
    /// Behind a balancer without stickiness: every other question, the first too, reaches a node that knows nothing.
    OtherNode,
}

/// What goes wrong with a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HecFault {
    /// Nothing is taken; a HEC answer of that code (8, 9, 18, 19, 20, 23, 26, 27), with its HTTP status.
    Busy {
        /// The HEC code.
        code: u16,
        /// The `retry-after` header.
        retry_after_secs: Option<u64>,
    },
    /// Nothing is taken; an HTML page from a load balancer.
    BalancerPage {
        /// The status, usually 502, 503 or 504.
        status: u16,
    },
    /// The connection is cut before anything is taken.
    CutBefore,
    /// The connection is cut after the body was read.
    CutAfterReading {
        /// Whether the events were taken.
        kept: bool,
    },
    /// No answer ever comes.
    Silent {
        /// Whether the events were taken.
        kept: bool,
    },
    /// The answer takes its time.
    Slow(Duration),
    /// Everything is taken, and the answer is 24 or 25 in place of 0.
    SlowDown {
        /// The HEC code.
        code: u16,
    },
    /// The first half of the events is taken, rounded down, and the connection is cut.
    Half,
    /// The first events are taken, and the answer is a HEC code as of [`HecFault::Busy`], as if none had been.
    FirstThenBusy {
        /// How many events are taken.
        taken: usize,
        /// The HEC code.
        code: u16,
        /// The `retry-after` header.
        retry_after_secs: Option<u64>,
    },
}

impl HecFault {
    /// The bare name, as the counters use it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Busy { .. } => "Busy",
            Self::BalancerPage { .. } => "BalancerPage",
            Self::CutBefore => "CutBefore",
            Self::CutAfterReading { .. } => "CutAfterReading",
            Self::Silent { .. } => "Silent",
            Self::Slow(_) => "Slow",
            Self::SlowDown { .. } => "SlowDown",
            Self::Half => "Half",
            Self::FirstThenBusy { .. } => "FirstThenBusy",
        }
    }

    /// How many of so many good events are taken.
    pub(super) fn takes(&self, events: usize) -> usize {
        match self {
            Self::Busy { .. } | Self::BalancerPage { .. } | Self::CutBefore => 0,
            Self::CutAfterReading { kept } | Self::Silent { kept } => {
                if *kept {
                    events
                } else {
                    0
                }
            }
            Self::Slow(_) | Self::SlowDown { .. } => events,
            Self::Half => events / 2,
            Self::FirstThenBusy { taken, .. } => events.min(*taken),
        }
    }
}
