//! What a listener is set to, and what can go wrong with it.

use std::fmt;
use std::time::Duration;

/// What the listener takes. `Debug` does not show its tokens.
#[derive(Clone)]
pub struct LogzioSettings {
    /// The shipping tokens that it knows.
    pub tokens: Vec<String>,
    /// The longest body, uncompressed.
    pub body_max_bytes: usize,
    /// The longest line, without its line feed.
    pub line_max_bytes: usize,
    /// Whether `content-encoding: gzip` is heeded (unverified); else such a body is read as the lines that it is not.
    pub takes_gzip: bool,
    /// Whether the bytes of all lines are kept: for small tests.
    pub keep_raw: bool,
}

impl LogzioSettings {
    /// The documented limits, and one token.
    pub fn new(token: &str) -> Self {
        Self {
            tokens: vec![token.to_owned()],
            body_max_bytes: 10 << 20,
            line_max_bytes: 500_000,
            takes_gzip: false,
            keep_raw: false,
        }
    }
}

impl fmt::Debug for LogzioSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogzioSettings")
            .field("body_max_bytes", &self.body_max_bytes)
            .field("line_max_bytes", &self.line_max_bytes)
            .field("takes_gzip", &self.takes_gzip)
            .finish_non_exhaustive()
    }
}

/// What goes wrong with a post.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogzioFault {
    /// Nothing is taken; an empty answer of that status, usually 429 or 503.
    Busy {
        /// The status.
        status: u16,
        /// The `retry-after` header.
        retry_after_secs: Option<u64>,
    },
    /// The connection is cut before anything is read. For all requests, the listener is down.
    CutBefore,
    /// The connection is cut after the body was read.
    CutAfterReading {
        /// Whether the good lines were taken.
        kept: bool,
    },
    /// No answer ever comes.
    Silent {
        /// Whether the good lines were taken.
        kept: bool,
    },
    /// The answer takes its time.
    Slow(Duration),
    /// The first half of the good lines is taken, rounded down, and the connection is cut.
    Half,
    /// The first half of the good lines is taken, rounded down; 400 counts the others as malformed.
    HalfMalformed,
    /// The first lines are taken, and the answer is as of [`LogzioFault::Busy`], as if none had been.
    FirstThenBusy {
        /// How many lines are taken.
        taken: usize,
        /// The status.
        status: u16,
        /// The `retry-after` header.
        retry_after_secs: Option<u64>,
    },
}

impl LogzioFault {
    /// The bare name, as the counters use it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Busy { .. } => "Busy",
            Self::CutBefore => "CutBefore",
            Self::CutAfterReading { .. } => "CutAfterReading",
            Self::Silent { .. } => "Silent",
            Self::Slow(_) => "Slow",
            Self::Half => "Half",
            Self::HalfMalformed => "HalfMalformed",
            Self::FirstThenBusy { .. } => "FirstThenBusy",
        }
    }

    /// How many of so many good lines are taken.
    pub(super) fn takes(&self, lines: usize) -> usize {
        match self {
            Self::Busy { .. } | Self::CutBefore => 0,
            Self::CutAfterReading { kept } | Self::Silent { kept } => lines * usize::from(*kept),
            Self::Slow(_) => lines,
            Self::Half | Self::HalfMalformed => lines / 2,
            Self::FirstThenBusy { taken, .. } => lines.min(*taken),
        }
    }
}
