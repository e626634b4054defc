//! A rule in the making: which calls it matches, and what it does to them.

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use jiff::SignedDuration;

use crate::call::Call;
use crate::router::Operation;

/// What a fault does to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// An error instead of the operation, which has no effect.
    Answer {
        /// The status.
        status: StatusCode,
        /// The code of the error body.
        code: String,
        /// The `retry-after` header, in seconds.
        retry_after_secs: Option<u64>,
    },
    /// A status with a page that is no Oracle Cloud error, as a proxy gives it. No effect.
    Page {
        /// The status.
        status: StatusCode,
        /// The body, `text/html`.
        body: String,
    },
    /// The connection is reset before the operation takes effect.
    CutBefore,
    /// The operation takes effect, the answer is lost.
    CutAfter,
    /// The call waits before anything is done with it, by the runtime's timer and not by the cloud's clock: a client's
    /// patience is measured in its own seconds.
    Delay(Duration),
    /// The operation takes effect, the answer waits.
    DelayAfter(Duration),
    /// The answer promises its whole length and ends after so many bytes.
    TruncateBody(usize),
    /// The answer's `date` header is so far ahead of the time; behind it, where this is negative.
    WrongDate(SignedDuration),
    /// PutMessages, PostMetricData: 200, but the entries of these indices are not taken.
    FailEntries(Vec<usize>),
    /// GetMessages: at most so many messages, although there are more.
    ShortRead(usize),
    /// GetMessages: none, and the next cursor stays in its place.
    EmptyRead,
    /// GetMessages (and whatever else takes a cursor): 400, as if the cursor had expired.
    ExpiredCursor,
    /// PublishMessage: 202, but nothing is ever delivered. EmitEvent: the rule's actions never hear of it.
    LoseDelivery,
    /// PublishMessage: delivered twice to each subscription. EmitEvent: to each action.
    DoubleDelivery,
    /// PublishMessage, EmitEvent: delivered late, by the cloud's clock.
    DelayDelivery(Duration),
    /// PublishMessage, EmitEvent: delivered after the next one of its topic or rule (or after a minute of the cloud's
    /// clock).
    Reorder,
}

impl Effect {
    /// The bare name, as the counters use it.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Answer { .. } => "Answer",
            Self::Page { .. } => "Page",
            Self::CutBefore => "CutBefore",
            Self::CutAfter => "CutAfter",
            Self::Delay(_) => "Delay",
            Self::DelayAfter(_) => "DelayAfter",
            Self::TruncateBody(_) => "TruncateBody",
            Self::WrongDate(_) => "WrongDate",
            Self::FailEntries(_) => "FailEntries",
            Self::ShortRead(_) => "ShortRead",
            Self::EmptyRead => "EmptyRead",
            Self::ExpiredCursor => "ExpiredCursor",
            Self::LoseDelivery => "LoseDelivery",
            Self::DoubleDelivery => "DoubleDelivery",
            Self::DelayDelivery(_) => "DelayDelivery",
            Self::Reorder => "Reorder",
        }
    }

    /// Whether the service itself consults the effect; the others are dealt with around it.
    pub(super) fn is_the_services(&self) -> bool {
        match self {
            Self::Answer { .. }
            | Self::Page { .. }
            | Self::CutBefore
            | Self::CutAfter
            | Self::Delay(_)
            | Self::DelayAfter(_)
            | Self::TruncateBody(_)
            | Self::WrongDate(_) => false,
            Self::FailEntries(_)
            | Self::ShortRead(_)
            | Self::EmptyRead
            | Self::ExpiredCursor
            | Self::LoseDelivery
            | Self::DoubleDelivery
            | Self::DelayDelivery(_)
            | Self::Reorder => true,
        }
    }
}

type Condition = Box<dyn Fn(&Operation, &Call) -> bool + Send + Sync>;

/// A rule in the making: which calls, and how many of them.
///
/// ```
/// use local_oci::{Clock, Fault, LocalOci, Settings};
///
/// let cloud = LocalOci::new(Settings::new(Clock::real()));
/// cloud.faults().inject(Fault::on("PutMessages").times(1).fail_entries([1]));
/// cloud.faults().inject(Fault::on("RenameObject").containing("held/").skip(2).times(1).cut_after());
/// ```
pub struct Fault {
    operation: Option<String>,
    parts: Vec<String>,
    condition: Option<Condition>,
    pub(super) skip: u64,
    pub(super) times: Option<u64>,
    pub(super) effect: Option<Effect>,
}

impl Fault {
    /// Every call of the operation of that name (as in the API reference; `Gateway` for a route, `EmitEvent` for an event on
    /// its way to a rule's actions).
    pub fn on(operation: &str) -> Self {
        Self { operation: Some(operation.to_owned()), ..Self::anywhere() }
    }

    /// Every call of every operation.
    pub fn anywhere() -> Self {
        Self { operation: None, parts: Vec::new(), condition: None, skip: 0, times: None, effect: None }
    }

    /// Only calls whose target or body holds `part`, as sent. Several parts must all be there.
    #[must_use]
    pub fn containing(mut self, part: &str) -> Self {
        self.parts.push(part.to_owned());
        self
    }

    /// Only calls for which `condition` holds. It is asked last, once a call that the rest of the rule matches; a
    /// random plan is a condition that throws its dice here. It may kill a function; the faults themselves it must leave
    /// alone.
    #[must_use]
    pub fn when(mut self, condition: impl Fn(&Operation, &Call) -> bool + Send + Sync + 'static) -> Self {
        self.condition = Some(Box::new(condition));
        self
    }

    /// Lets the first `calls` matches pass.
    #[must_use]
    pub fn skip(mut self, calls: u64) -> Self {
        self.skip = calls;
        self
    }

    /// Spoils `calls` matches and no more; without it, all.
    #[must_use]
    pub fn times(mut self, calls: u64) -> Self {
        self.times = Some(calls);
        self
    }

    /// Does `effect`.
    #[must_use]
    pub fn with(mut self, effect: Effect) -> Self {
        self.effect = Some(effect);
        self
    }

    /// Answers an error and does nothing.
    #[must_use]
    pub fn answer(self, status: u16, code: &str) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        self.with(Effect::Answer { status, code: code.to_owned(), retry_after_secs: None })
    }

    /// Answers 429 `TooManyRequests` with or without `retry-after`.
    #[must_use]
    pub fn throttle(self, retry_after_secs: Option<u64>) -> Self {
        let (status, code) = (StatusCode::TOO_MANY_REQUESTS, "TooManyRequests".to_owned());
        self.with(Effect::Answer { status, code, retry_after_secs })
    }

    /// Answers 404 `BucketNotFound`, which the object store also does in passing.
    #[must_use]
    pub fn bucket_not_found(self) -> Self {
        self.answer(404, "BucketNotFound")
    }

    /// Answers 404 `NotAuthorizedOrNotFound`, as a service does once a policy is revoked.
    #[must_use]
    pub fn revoked_policy(self) -> Self {
        self.answer(404, "NotAuthorizedOrNotFound")
    }

    /// [`Effect::WrongDate`].
    #[must_use]
    pub fn wrong_date(self, ahead: SignedDuration) -> Self {
        self.with(Effect::WrongDate(ahead))
    }

    /// [`Effect::CutBefore`].
    #[must_use]
    pub fn cut_before(self) -> Self {
        self.with(Effect::CutBefore)
    }

    /// [`Effect::CutAfter`].
    #[must_use]
    pub fn cut_after(self) -> Self {
        self.with(Effect::CutAfter)
    }

    /// [`Effect::Delay`].
    #[must_use]
    pub fn delay(self, duration: Duration) -> Self {
        self.with(Effect::Delay(duration))
    }

    /// [`Effect::TruncateBody`].
    #[must_use]
    pub fn truncate_body(self, bytes: usize) -> Self {
        self.with(Effect::TruncateBody(bytes))
    }

    /// [`Effect::FailEntries`].
    #[must_use]
    pub fn fail_entries(self, indices: impl IntoIterator<Item = usize>) -> Self {
        self.with(Effect::FailEntries(indices.into_iter().collect()))
    }

    /// [`Effect::ShortRead`].
    #[must_use]
    pub fn short_read(self, messages: usize) -> Self {
        self.with(Effect::ShortRead(messages))
    }

    /// [`Effect::EmptyRead`].
    #[must_use]
    pub fn empty_read(self) -> Self {
        self.with(Effect::EmptyRead)
    }

    /// [`Effect::ExpiredCursor`].
    #[must_use]
    pub fn expired_cursor(self) -> Self {
        self.with(Effect::ExpiredCursor)
    }

    /// [`Effect::LoseDelivery`].
    #[must_use]
    pub fn lose_delivery(self) -> Self {
        self.with(Effect::LoseDelivery)
    }

    /// [`Effect::DoubleDelivery`].
    #[must_use]
    pub fn double_delivery(self) -> Self {
        self.with(Effect::DoubleDelivery)
    }

    /// [`Effect::DelayDelivery`].
    #[must_use]
    pub fn delay_delivery(self, duration: Duration) -> Self {
        self.with(Effect::DelayDelivery(duration))
    }

    /// [`Effect::Reorder`].
    #[must_use]
    pub fn reorder(self) -> Self {
        self.with(Effect::Reorder)
    }

    pub(super) fn matches(&self, operation: &Operation, call: &Call) -> bool {
        self.operation.as_ref().is_none_or(|name| name == operation.name())
            && self.parts.iter().all(|part| call.target.contains(part) || holds(&call.body, part.as_bytes()))
            && self.condition.as_ref().is_none_or(|condition| condition(operation, call))
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fault")
            .field("operation", &self.operation)
            .field("effect", &self.effect)
            .finish_non_exhaustive()
    }
}

fn holds(body: &[u8], part: &[u8]) -> bool {
    part.is_empty() || body.windows(part.len()).any(|window| window == part)
}
