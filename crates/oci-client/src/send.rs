//! Sending a call: an attempt, its failure, and whether another one follows.

use std::{error::Error as _, sync::Arc, time::Duration};

use bytes::Bytes;
use http::{Method, StatusCode, header};
use http_transport::Body;
use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep};

use crate::{
    Client, Deadline, Error,
    answer::{Answer, Waiting, refusal, text},
    call::{Call, REQUEST_ID, Repeat},
    client::Core,
    clock::parse_http_date,
    principal::Credentials,
};

/// How far a signature's time may be from the service's, five minutes, and a margin for dates in whole seconds.
const SKEW_MAX: SignedDuration = SignedDuration::from_secs(5 * 60 + 10);

/// An error's body is read this far.
const ERROR_BODY_MAX_BYTES: usize = 64 * 1024;

impl Client {
    /// Sends `call` and reads the whole answer, at most `cap` bytes of it.
    pub(crate) async fn call(&self, call: &Call, cap: usize, deadline: Deadline) -> Result<Answer, Error> {
        Ok(self.run(call, Some(cap), deadline).await?.0)
    }

    /// Sends `call` and leaves the body of the answer to be read.
    pub(crate) async fn open(&self, call: &Call, deadline: Deadline) -> Result<(Answer, Body), Error> {
        self.run(call, None, deadline).await
    }

    async fn run(&self, call: &Call, cap: Option<usize>, deadline: Deadline) -> Result<(Answer, Body), Error> {
        let request_id = self.random.request_id();
        let mut maybe_done = false;
        let mut cures = Cures::default();
        let mut attempt = 1;
        if Instant::now() >= deadline {
            return Err(Error::Deadline { operation: call.operation, sent: false, request_id });
        }
        loop {
            let mut date = None;
            let manner = self.manner();
            let error = match self.attempt(call, &request_id, cap, deadline, &mut date).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let is_cured = error.is_unauthenticated()
                && (self.cure(&mut cures, date) || self.was_cured_meanwhile(&mut cures, &manner));
            if is_cured && Instant::now() < deadline {
                continue;
            }
            let pause = self.retry.pause(attempt, &self.random, error.retry_after());
            let again = attempt < self.retry.attempts
                && may_repeat(call.repeat, &error)
                && Instant::now().checked_add(pause).is_some_and(|then| then < deadline);
            if !again {
                return Err(self.last_word(call, error, maybe_done, request_id));
            }
            tracing::warn!(
                operation = call.operation,
                attempt,
                pause_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX),
                status = error.status().map(|status| status.as_u16()),
                error = %error,
                cause = error.source().map(tracing::field::display),
                "call failed; trying again"
            );
            maybe_done |= error.is_outcome_unknown();
            sleep(pause).await;
            attempt += 1;
        }
    }

    /// A refusal after an attempt that may have taken effect does not tell what is the case now.
    fn last_word(&self, call: &Call, error: Error, maybe_done: bool, request_id: String) -> Error {
        if call.repeat == Repeat::Guarded && maybe_done && !error.is_outcome_unknown() {
            Error::OutcomeUnknown { operation: call.operation, request_id, last: Box::new(error) }
        } else {
            error
        }
    }

    /// After a 401 of that `date`: fresh credentials first, then the clock. True where another attempt is worth while.
    fn cure(&self, cures: &mut Cures, date: Option<Timestamp>) -> bool {
        let Core { principal, clock, .. } = &*self.core;
        if !std::mem::replace(&mut cures.reloaded, true) && principal.reload() {
            return true;
        }
        match cures.former_offset {
            None => {
                let better = date.and_then(|date| clock.better_offset(date));
                cures.former_offset = better.map(|offset| clock.set_offset(offset));
                better.is_some()
            }
            Some(former) => {
                // It was not the clock.
                clock.set_offset(former);
                false
            }
        }
    }

    /// What the next signature is made with: the clock's offset and the credentials.
    fn manner(&self) -> Manner {
        let Core { principal, clock, .. } = &*self.core;
        Manner { offset: clock.offset(), credentials: principal.credentials(clock.now()) }
    }

    /// Whether another call, refused at the same time, has found the cure since this one was signed `so`. Once a call.
    fn was_cured_meanwhile(&self, cures: &mut Cures, so: &Manner) -> bool {
        let now = self.manner();
        let is_same_key = match (&so.credentials, &now.credentials) {
            (Some(then), Some(now)) => Arc::ptr_eq(then, now),
            _ => true,
        };
        // An offset that this call has tried itself is nobody else's cure.
        let is_other = cures.former_offset.is_none() && (so.offset != now.offset || !is_same_key);
        is_other && !std::mem::replace(&mut cures.by_others, true)
    }

    /// Sends once. `told` becomes the `date` of the answer, whatever the answer is.
    async fn attempt(
        &self,
        call: &Call,
        request_id: &str,
        cap: Option<usize>,
        deadline: Deadline,
        told: &mut Option<Timestamp>,
    ) -> Result<(Answer, Body), Error> {
        let clock = &self.core.clock;
        let (signed_at, began) = (clock.now(), Instant::now());
        let request = self.signed(call, request_id)?;
        let sending = Waiting { operation: call.operation, request_id, deadline };
        let host = call.target.endpoint().authority();
        let response = sending.wait(host, self.core.transport.send(request)).await?;
        let (head, body) = response.into_parts();
        let mut headers = head.headers;
        *told = text(&headers, &header::DATE).and_then(parse_http_date);
        if head.status != StatusCode::UNAUTHORIZED {
            // Who took the signature has vouched for the time in it, give or take; a date far from it is wrong.
            let far = |date: &Timestamp| self.core.principal.signs() && is_far(*date, signed_at, began.elapsed());
            if let Some(date) = told.take_if(|date| far(date)) {
                tracing::warn!(%date, %signed_at, operation = call.operation, "the date of an answer cannot be right; it is ignored");
                headers.remove(header::DATE);
            }
            told.iter().for_each(|date| clock.heard(*date));
        }
        let request_id = text(&headers, &REQUEST_ID).unwrap_or(request_id).to_owned();
        let waiting = Waiting { operation: call.operation, request_id: &request_id, deadline };
        if !head.status.is_success() {
            let body = waiting.collect(host, body, ERROR_BODY_MAX_BYTES).await.unwrap_or_default();
            let now = self.service_time().unwrap_or_else(|| self.core.clock.now());
            return Err(refusal(call.operation, head.status, &headers, &body, request_id, now));
        }
        let Some(cap) = cap else {
            return Ok((Answer { operation: call.operation, request_id, headers, body: Bytes::new() }, body));
        };
        let body = waiting.collect(host, body, cap).await?;
        let promised = text(&headers, &header::CONTENT_LENGTH).and_then(|length| length.parse::<usize>().ok());
        if call.method != Method::HEAD && promised.is_some_and(|length| length != body.len()) {
            return Err(Error::Decode { operation: call.operation, at: "the body's length".to_owned(), request_id });
        }
        Ok((Answer { operation: call.operation, request_id, headers, body }, Body::from_bytes(Bytes::new())))
    }
}

/// Whether `date` is further from the time that a signature bears than the service lets signatures be, the time on the way
/// and a margin for whole seconds aside.
fn is_far(date: Timestamp, signed_at: Timestamp, on_the_way: Duration) -> bool {
    let on_the_way = SignedDuration::try_from(on_the_way).unwrap_or(SignedDuration::MAX);
    date.duration_since(signed_at).abs() > SKEW_MAX.saturating_add(on_the_way)
}

/// How a request was signed.
#[derive(Debug)]
struct Manner {
    offset: SignedDuration,
    credentials: Option<Arc<Credentials>>,
}

/// What has been tried against a 401 within one call.
#[derive(Debug, Default)]
struct Cures {
    by_others: bool,
    reloaded: bool,
    former_offset: Option<SignedDuration>,
}

/// Whether the operation allows another attempt after `error`.
fn may_repeat(repeat: Repeat, error: &Error) -> bool {
    let passing = match error {
        Error::Transport { .. } | Error::Decode { .. } => error.is_retryable(),
        // A 401 has its own cures.
        Error::Service { .. } => error.is_retryable() && !error.is_unauthenticated(),
        Error::TooLarge { .. }
        | Error::OutcomeUnknown { .. }
        | Error::Deadline { .. }
        | Error::Principal(_)
        | Error::Endpoint(_)
        | Error::Invalid { .. } => false,
    };
    passing
        && match repeat {
            Repeat::Always | Repeat::Guarded => true,
            Repeat::UnlessProcessed => !error.is_outcome_unknown(),
            Repeat::UnlessThrottled => error.status() != Some(StatusCode::TOO_MANY_REQUESTS),
        }
}
