//! The line between the functions and everything else: it kills, spoils, keeps the book, and lets mutants have their way.

use std::sync::Arc;

use bytes::Bytes;
use http::{StatusCode, header};
use http_transport::{Body, BoxFuture, Request, Response, Transport, TransportError};
use jiff::{SignedDuration, Timestamp};
use local_oci::receiver::fingerprint;
use pipeline::{EventHash, Positions, ShipBody, event_hash};

use super::{
    ask::Ask,
    book::Arrival,
    call::{CALL, CallState, Stage},
    fault::{FaultKind, Recovery, Violation},
    hec,
    mutant::{Deed, PutOff, is_again},
    world::World,
};
use crate::{
    house::BUCKET,
    wire::{InProcess, Moment, OCI, SECOND, SPLUNK},
};

/// More wire calls than any seed needs.
const WIRE_CALLS_MAX: u64 = 400_000;

/// Enough to be caught; a mutant that never gets anything done would go on for minutes.
const WIRE_CALLS_OF_A_MUTANT: u64 = 60_000;

/// The line.
pub struct Line {
    inner: InProcess,
    world: Arc<World>,
}

impl Line {
    /// The wire of that world.
    pub fn new(inner: InProcess, world: Arc<World>) -> Self {
        Self { inner, world }
    }
}

impl Transport for Line {
    fn send(&self, request: Request) -> BoxFuture<'_, Result<Response, TransportError>> {
        Box::pin(async move {
            let call = CALL.try_with(Arc::clone).ok();
            let Some(call) = call else { return self.inner.send(request).await };
            if call.inner().is_dead {
                // Its own timeout ran out in the instant in which it died, before whoever drops it had its turn.
                std::future::pending::<()>().await;
            }
            let number = call.next();
            self.count()?;
            let ask = Ask::of(&request, OCI);
            self.strike(&call, number, Moment::Before).await;
            let what = format!("{} {}", request.method(), request.uri().path_and_query().map_or("", |it| it.as_str()));
            let answer = self.answer(&call, &ask, request).await;
            self.unauthenticated(&answer);
            {
                let mut state = self.world.state();
                let status = answer.as_ref().map_or(0, |answer| answer.status().as_u16());
                state.log(self.world.now(), || {
                    format!("{:?} {number} {what} {ask_name} {status}", call.stage, ask_name = short(&ask))
                });
            }
            self.strike(&call, number, Moment::After).await;
            answer
        })
    }
}

/// A front end whose clock is wrong is wrong by so much at most.
const MISDATED_SECS_MAX: u64 = 9_000;

/// The events of a ship receipt, or the units of a fetch receipt.
fn remarks(body: &[u8]) -> String {
    let ids = serde_json::from_slice::<ShipBody>(body).map(|body| body.event_ids).unwrap_or_default();
    ids.iter().map(|id| format!("{id:016x} ")).collect()
}

/// What distinguishes two requests of the same target.
fn short(ask: &Ask) -> String {
    match ask {
        Ask::Rename(from, to) => format!("{from} -> {to}"),
        Ask::Publish(body) => format!("{:016x}", fingerprint(body)),
        _ => String::new(),
    }
}

impl Line {
    fn count(&self) -> Result<(), TransportError> {
        let mut state = self.world.state();
        state.tally.wire_calls += 1;
        let most = if self.world.mutant.is_some() { WIRE_CALLS_OF_A_MUTANT } else { WIRE_CALLS_MAX };
        if state.tally.wire_calls > most {
            if state.tally.wire_calls == most + 1 {
                state.tally.violation(Violation::Runaway, || format!("more than {most} wire calls"));
            }
            return Err(not_sent("nowhere"));
        }
        Ok(())
    }

    /// Counts a signature that was refused.
    fn unauthenticated(&self, answer: &Result<Response, TransportError>) {
        let refused = answer.as_ref().is_ok_and(|answer| answer.status() == 401);
        if refused && self.world.scenario.signs {
            let mut state = self.world.state();
            let kind = if state.token_stays { FaultKind::TokenExpired } else { FaultKind::ContainerClockWrong };
            state.tally.fault(kind);
        }
    }

    /// Ends the caller here, if this is where he is to end.
    async fn strike(&self, call: &CallState, number: u64, moment: Moment) {
        if call.aim != Some((number, moment)) {
            return;
        }
        let kind = match moment {
            Moment::Before => FaultKind::KillBefore,
            Moment::After => FaultKind::KillAfter,
        };
        {
            let mut state = self.world.state();
            state.tally.fault(kind);
            state.last_fault = self.world.now();
            state.log(self.world.now(), || format!("{kind} {number} of {:?}", call.stage));
        }
        call.inner().is_dead = true;
        call.struck.notify_one();
        std::future::pending::<()>().await;
    }

    async fn answer(&self, call: &CallState, ask: &Ask, request: Request) -> Result<Response, TransportError> {
        let Some(mutant) = self.world.mutant else { return self.honest(call, ask, request).await };
        let answer = match mutant.meets(call.stage, ask, &request) {
            Deed::None => self.honest(call, ask, request).await,
            Deed::Instead(other) => self.honest(call, ask, other).await,
            Deed::Answer(answer) => Ok(self.response(answer)),
            Deed::PutOff(answer, until) => {
                call.inner().put_off.push(PutOff { request, until });
                Ok(self.response(answer))
            }
        };
        let due: Vec<PutOff> = {
            let mut inner = call.inner();
            let (due, later) = std::mem::take(&mut inner.put_off).into_iter().partition(|it| it.until.is_met_by(ask));
            inner.put_off = later;
            due
        };
        for PutOff { request, .. } in due {
            let ask = Ask::of(&request, OCI);
            // Whatever comes of it, nobody hears of it.
            drop(self.honest(call, &ask, request).await);
        }
        match answer {
            Ok(answer) => Ok(mutant.hears(ask, answer).await),
            Err(error) => Err(error),
        }
    }

    async fn honest(&self, call: &CallState, ask: &Ask, request: Request) -> Result<Response, TransportError> {
        if let Ask::Post(url) = ask {
            let destination = if url == SPLUNK { 0 } else { 1 };
            debug_assert!(url == SPLUNK || url == SECOND);
            return self.post(destination, request).await;
        }
        let before = self.before(call, ask, &request);
        let mut entry = Entry { line: self, call, ask, body: request.body().clone(), takes_over: before, status: None };
        let answer = self.inner.send(request).await;
        entry.status = answer.as_ref().ok().map(|answer| answer.status());
        drop(entry);
        Ok(self.misdated(answer?))
    }

    /// What must be looked at before the call takes effect: whether somebody takes over a dead planner's lease.
    fn before(&self, call: &CallState, ask: &Ask, request: &Request) -> bool {
        if *ask != Ask::Put("positions.json".to_owned()) || call.stage != Stage::List {
            return false;
        }
        let holder = |bytes: &[u8]| {
            let positions: Option<Positions> = serde_json::from_slice(bytes).ok();
            positions.and_then(|positions| positions.lease).map(|lease| (lease.holder, lease.plans_until, lease.until))
        };
        let there = self.inner.cloud.storage().get(BUCKET, "positions.json").and_then(|bytes| holder(&bytes));
        let new = holder(request.body());
        match (there, new) {
            (Some((dead, _, until)), Some((heir, _, _))) => dead != heir && until <= self.world.now(),
            _ => false,
        }
    }

    /// Keeps the book of what took effect.
    fn enter(&self, call: &CallState, ask: &Ask, body: &Bytes, status: Option<StatusCode>, takes_over: bool) {
        let storage = self.inner.cloud.storage();
        let succeeded = status.is_some_and(|status| status.is_success());
        let now = self.world.now();
        let mut state = self.world.state();
        match ask {
            Ask::Put(name) if name.starts_with("owed/") => {
                let lost = status.is_none() && storage.get(BUCKET, name).is_some_and(|there| there == *body);
                if !succeeded && !lost && status.is_none() {
                    state.book.receipt_tried(name, body, now);
                }
                if succeeded || lost {
                    state.remark(|| format!("{name} {}", remarks(body)));
                    state.book.receipt_written(name, body, now);
                    if name.starts_with("owed/ship/") && matches!(call.stage, Stage::Ship(_)) {
                        call.inner().owed_ranges += 1;
                    }
                    if name.starts_with("owed/fetch/") {
                        call.inner().owed_fetches += 1;
                        if matches!(call.stage, Stage::Ship(_)) {
                            state.tally.recovery(Recovery::Replan);
                        }
                    }
                }
            }
            Ask::Put(name) if name.starts_with("held/object/") => {
                let mut inner = call.inner();
                match succeeded {
                    true => inner.unnoted.remove(name),
                    false => inner.unnoted.insert(name.clone()),
                };
            }
            Ask::Put(name) if name == "positions.json" && succeeded && takes_over => {
                state.tally.recovery(Recovery::TakeOver);
            }
            Ask::Rename(from, to) => {
                let mut inner = call.inner();
                if to.starts_with("held/") && storage.get(BUCKET, to).is_some() && (succeeded || status.is_none()) {
                    state.book.receipt_met(from);
                    inner.held.insert(to.clone());
                }
                if inner.held.contains(from) && storage.get(BUCKET, from).is_none() {
                    inner.held.remove(from);
                    inner.owed_ranges = 0;
                }
                // The ledger could not be told what is done: what was in flight is sent again, as after a kill.
                if let (Stage::Ship(place), false) = (call.stage, succeeded || self.world.scenario.is_strict)
                    && from.starts_with("held/ship/")
                    && to.starts_with("seen/")
                    && let Some(ids) = state.book.batch(from)
                {
                    state.book.allow(place, &ids);
                }
                if (call.stage, succeeded || self.world.scenario.is_strict) == (Stage::Decode, false)
                    && from.starts_with("held/object/")
                    && let Some(hashes) = state.files.batch(from)
                {
                    state.book.allow(0, &hashes);
                }
                if call.stage == Stage::List && from.starts_with("held/") && succeeded {
                    if from.starts_with("held/object/") {
                        state.tally.recovery(Recovery::FileTakeOver);
                    }
                    state.tally.recovery(Recovery::Release);
                }
            }
            Ask::Delete(name) => {
                let mut inner = call.inner();
                if storage.get(BUCKET, name).is_none() && inner.held.remove(name) {
                    // Two ranges in place of the receipt, and nothing of it done: it was cut.
                    if std::mem::take(&mut inner.owed_ranges) >= 2 {
                        state.tally.recovery(Recovery::Split);
                    }
                }
            }
            Ask::Publish(body) if call.stage == Stage::List && succeeded && is_again(body) => {
                state.tally.recovery(Recovery::ReRing);
            }
            _ => {}
        }
    }

    /// An answer whose `date` is off, where a spell wants it.
    fn misdated(&self, mut answer: Response) -> Response {
        let now = self.world.now();
        let spells = self.world.scenario.spells.iter().filter(|spell| spell.kind == FaultKind::DateHeaderWrong);
        for spell in spells {
            if self.world.strikes(spell) {
                let seconds = 30 + (spell.detail % MISDATED_SECS_MAX) as i64;
                let off = SignedDuration::from_secs(if spell.detail.is_multiple_of(2) { seconds } else { -seconds });
                if let Ok(date) = header::HeaderValue::from_str(&http_date(now + off)) {
                    answer.headers_mut().insert(header::DATE, date);
                }
                break;
            }
        }
        answer
    }

    /// A post to a collector, and what becomes of its events.
    async fn post(&self, destination: usize, request: Request) -> Result<Response, TransportError> {
        let world = &self.world;
        let envelopes = hec::envelopes(&request);
        let mut outcome = Unknown {
            world,
            destination,
            hashes: envelopes.iter().map(|envelope| envelope.hash).collect(),
            is_clear: false,
        };
        if world.strikes_destination(FaultKind::SiemDown, destination) {
            outcome.is_clear = true;
            return Err(not_sent("collector"));
        }
        if world.strikes_destination(FaultKind::SiemHalfAccepts, destination) {
            let half = envelopes.len() / 2;
            if half > 0 {
                drop(self.take(destination, hec::first(&request, &envelopes[..half])).await);
            }
            return Err(no_answer());
        }
        let bad = {
            let state = world.state();
            envelopes.iter().position(|envelope| state.refused[destination].contains(&envelope.hash))
        };
        let answer = match bad {
            None => self.take(destination, request).await,
            Some(0) => Ok(self.response(hec::refusal(0))),
            Some(place) => match self.take(destination, hec::first(&request, &envelopes[..place])).await {
                Ok(answer) if answer.status().is_success() => Ok(self.response(hec::refusal(place))),
                other => other,
            },
        };
        if bad.is_some() && answer.as_ref().is_ok_and(|answer| answer.status() == 400) {
            world.state().tally.fault(FaultKind::SiemRefusesEvent);
        }
        // A 5xx without the collector's own word says nothing of what was taken.
        outcome.is_clear = answer.as_ref().is_ok_and(|answer| {
            let is_json = answer
                .headers()
                .get(header::CONTENT_TYPE)
                .is_some_and(|it| it.as_bytes().starts_with(b"application/json"));
            answer.status().as_u16() < 500 || (answer.status() == 503 && is_json)
        });
        answer
    }

    /// An answer of our own making, dated as the service dates its.
    fn response(&self, answer: http::Response<Bytes>) -> Response {
        let (mut head, body) = answer.into_parts();
        if let Ok(date) = header::HeaderValue::from_str(&http_date(self.world.now())) {
            head.headers.insert(header::DATE, date);
        }
        http::Response::from_parts(head, Body::from_bytes(body))
    }

    /// Sends to the collector and enters what it took.
    async fn take(&self, destination: usize, request: Request) -> Result<Response, TransportError> {
        let collector = &self.world.collectors()[destination];
        let _taken = Taken { world: &self.world, destination, from: collector.count() };
        self.inner.send(request).await
    }
}

/// Enters what a call did, even where its caller is dropped before he hears of it.
struct Entry<'a> {
    line: &'a Line,
    call: &'a CallState,
    ask: &'a Ask,
    body: Bytes,
    takes_over: bool,
    status: Option<StatusCode>,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.line.enter(self.call, self.ask, &self.body, self.status, self.takes_over);
    }
}

/// Enters what a collector took meanwhile, even where its caller is dropped.
struct Taken<'a> {
    world: &'a World,
    destination: usize,
    from: usize,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let collector = &self.world.collectors()[self.destination];
        let mut state = self.world.state();
        let from = state.book.arrivals[self.destination].len().min(self.from);
        for index in from..collector.count() {
            if index < state.book.arrivals[self.destination].len() {
                continue;
            }
            let raw = collector.raw(index).unwrap_or_default();
            state.remark(|| format!("{:016x} arrived at {}", event_hash(&raw), self.destination));
            let arrival = Arrival { hash: event_hash(&raw), fingerprint: fingerprint(&raw), index };
            state.book.arrived(self.destination, arrival);
        }
    }
}

/// Events of a post whose outcome its caller may never learn.
struct Unknown<'a> {
    world: &'a World,
    destination: usize,
    hashes: Vec<EventHash>,
    is_clear: bool,
}

impl Drop for Unknown<'_> {
    fn drop(&mut self) {
        if !self.is_clear {
            self.world.state().book.allow(self.destination, &self.hashes);
        }
    }
}

fn not_sent(host: &str) -> TransportError {
    TransportError::NotSent { host: host.to_owned(), source: "connection refused".into() }
}

fn no_answer() -> TransportError {
    TransportError::NoAnswer { host: "collector".to_owned(), source: "connection reset".into() }
}

fn http_date(at: Timestamp) -> String {
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}
