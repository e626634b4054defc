//! Faults on the wire: which calls go wrong, how, and how often it happened.
//!
//! A fault is a rule: the calls it matches, how many of them it lets pass, how many it spoils, and what it does. Rules are
//! asked in the order in which they were injected; every rule that matches takes effect.

mod rule;

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, future, stream};
use http::{HeaderMap, HeaderValue, header};
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::Frame;
use jiff::SignedDuration;

use crate::answer::Answer;
use crate::call::Call;
use crate::router::Operation;

pub use rule::{Effect, Fault};

/// The connection ends without (the rest of) an answer. Whether the call took effect, only the emulator knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection was cut")]
pub struct Cut;

/// An injected fault, to ask about or to take away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FaultId(u64);

#[derive(Debug)]
struct Rule {
    id: FaultId,
    fault: Fault,
    effect: Effect,
    matched: u64,
    fired: u64,
}

#[derive(Debug, Default)]
struct State {
    rules: Vec<Rule>,
    next_id: u64,
    fired: BTreeMap<(String, &'static str), u64>,
}

/// The rules in force. All methods may be called while calls are under way.
#[derive(Debug, Default)]
pub struct Faults {
    state: Mutex<State>,
}

/// What [`Faults::before`] leaves to be done to the answer.
#[derive(Debug, Default)]
#[must_use]
pub(crate) struct Spoiled {
    cut: bool,
    delay: Option<Duration>,
    truncate: Option<usize>,
    /// How far the `date` of the answer is ahead of the time.
    ahead: SignedDuration,
}

/// How a call ends before its operation is reached.
#[derive(Debug)]
pub(crate) enum Ended {
    Answer(Dated),
    Cut(Cut),
}

/// An answer, and how far its `date` is ahead of the time.
#[derive(Debug)]
pub(crate) struct Dated {
    pub(crate) answer: Answer,
    pub(crate) ahead: SignedDuration,
}

impl From<Answer> for Dated {
    fn from(answer: Answer) -> Self {
        Self { answer, ahead: SignedDuration::ZERO }
    }
}

impl Faults {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Puts a rule in force, after the others. A fault without an effect does nothing and is only counted.
    pub fn inject(&self, mut fault: Fault) -> FaultId {
        let effect = fault.effect.take().unwrap_or(Effect::Delay(Duration::ZERO));
        let mut state = self.lock();
        let id = FaultId(state.next_id);
        state.next_id += 1;
        state.rules.push(Rule { id, fault, effect, matched: 0, fired: 0 });
        id
    }

    /// Takes one rule away.
    pub fn remove(&self, id: FaultId) {
        self.lock().rules.retain(|rule| rule.id != id);
    }

    /// Takes all rules away; the counters stay.
    pub fn clear(&self) {
        self.lock().rules.clear();
    }

    /// How many calls that rule has spoiled; 0 once it was taken away.
    pub fn fired(&self, id: FaultId) -> u64 {
        self.lock().rules.iter().find(|rule| rule.id == id).map_or(0, |rule| rule.fired)
    }

    /// How often each effect has struck each operation: `("PutMessages", "CutAfter") → 3`.
    pub fn counts(&self) -> BTreeMap<(String, &'static str), u64> {
        self.lock().fired.clone()
    }

    /// To be called before the signature is checked: waits, answers or cuts in the operation's stead.
    ///
    /// # Errors
    /// The call's end, where a rule wants one.
    pub(crate) async fn before(&self, operation: &Operation, call: &Call) -> Result<Spoiled, Ended> {
        let mut spoiled = Spoiled::default();
        let effects = self.effects(operation, call, false);
        // First of all: it holds for whatever answer the others make.
        for effect in &effects {
            if let Effect::WrongDate(ahead) = effect {
                spoiled.ahead = *ahead;
            }
        }
        for effect in effects {
            match effect {
                Effect::Delay(duration) => tokio::time::sleep(duration).await,
                Effect::Answer { status, code, retry_after_secs } => {
                    let answer = Answer::error(status, &code, "a fault was injected");
                    let answer = match retry_after_secs {
                        Some(secs) => answer.with("retry-after", &secs.to_string()),
                        None => answer,
                    };
                    return Err(Ended::Answer(Dated { answer, ahead: spoiled.ahead }));
                }
                Effect::Page { status, body } => {
                    let page = Answer { status, headers: HeaderMap::new(), body: body.into() };
                    let answer = page.with("content-type", "text/html");
                    return Err(Ended::Answer(Dated { answer, ahead: spoiled.ahead }));
                }
                Effect::CutBefore => return Err(Ended::Cut(Cut)),
                Effect::CutAfter => spoiled.cut = true,
                Effect::DelayAfter(duration) => spoiled.delay = Some(duration),
                Effect::TruncateBody(bytes) => spoiled.truncate = Some(bytes),
                Effect::WrongDate(_)
                | Effect::FailEntries(_)
                | Effect::ShortRead(_)
                | Effect::EmptyRead
                | Effect::ExpiredCursor
                | Effect::LoseDelivery
                | Effect::DoubleDelivery
                | Effect::DelayDelivery(_)
                | Effect::Reorder => {}
            }
        }
        Ok(spoiled)
    }

    /// To be called with the operation's answer: passes it on, shortens it or loses it. A shortened answer carries a
    /// `content-length` that is larger than its body; see [`wire_body`].
    ///
    /// # Errors
    /// [`Cut`], where a rule loses the answer.
    pub(crate) async fn after(&self, spoiled: Spoiled, mut answer: Answer) -> Result<Dated, Cut> {
        if let Some(duration) = spoiled.delay {
            tokio::time::sleep(duration).await;
        }
        if spoiled.cut {
            return Err(Cut);
        }
        if let Some(bytes) = spoiled.truncate.filter(|bytes| *bytes < answer.body.len()) {
            answer.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(answer.body.len()));
            answer.body.truncate(bytes);
        }
        Ok(Dated { answer, ahead: spoiled.ahead })
    }

    /// The effects that the service of `operation` must take into account, at each call anew.
    pub(crate) fn of_service(&self, operation: &Operation, call: &Call) -> Vec<Effect> {
        self.effects(operation, call, true)
    }

    fn effects(&self, operation: &Operation, call: &Call, of_service: bool) -> Vec<Effect> {
        let mut state = self.lock();
        let state = &mut *state;
        let mut effects = Vec::new();
        for rule in &mut state.rules {
            let spent = rule.fault.times.is_some_and(|times| rule.fired >= times);
            if spent || rule.effect.is_the_services() != of_service || !rule.fault.matches(operation, call) {
                continue;
            }
            rule.matched += 1;
            if rule.matched > rule.fault.skip {
                rule.fired += 1;
                *state.fired.entry((operation.name().to_owned(), rule.effect.name())).or_default() += 1;
                effects.push(rule.effect.clone());
            }
        }
        effects
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The body as a connection must send it: where `headers` promise more than there is, the connection breaks at its end.
pub(crate) fn wire_body(headers: &HeaderMap, body: Bytes) -> BoxBody<Bytes, Cut> {
    let promised = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if promised.is_some_and(|promised| promised > body.len()) {
        // hyper throws away what it has not sent when a body fails: head and frame need a moment to get out.
        let cut = async {
            tokio::time::sleep(Duration::from_millis(20)).await;
            Err(Cut)
        };
        let frames = stream::once(future::ready(Ok(Frame::data(body)))).chain(stream::once(cut));
        BodyExt::boxed(StreamBody::new(frames))
    } else {
        Full::new(body).map_err(|never| match never {}).boxed()
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn put(body: &'static str) -> (Operation, Call) {
        let request = http::Request::post("/20180418/streams/s/messages").body(Bytes::from_static(body.as_bytes()));
        let call = Call::read(request.expect("a request"), "us-ashburn-1").expect("a call");
        (Operation::PutMessages { stream: "s".to_owned() }, call)
    }

    #[tokio::test]
    async fn a_rule_lets_the_first_pass_strikes_so_often_and_is_counted() {
        let faults = Faults::new();
        let id = faults.inject(Fault::on("PutMessages").skip(1).times(2).throttle(Some(7)));
        let (operation, call) = put("{}");
        let mut statuses = Vec::new();
        for _ in 0..5 {
            statuses.push(match faults.before(&operation, &call).await {
                Ok(_) => 0,
                Err(Ended::Answer(Dated { answer, .. })) => {
                    assert_eq!(answer.headers["retry-after"], "7");
                    answer.status.as_u16()
                }
                Err(Ended::Cut(_)) => panic!("nothing is cut"),
            });
        }
        assert_eq!(statuses, [0, 429, 429, 0, 0]);
        assert_eq!(faults.fired(id), 2);
        assert_eq!(faults.counts()[&("PutMessages".to_owned(), "Answer")], 2);
    }

    #[tokio::test]
    async fn a_rule_strikes_only_what_it_names() {
        let (operation, call) = put(r#"{"messages":[1]}"#);
        let table = [
            (Fault::on("PutMessages"), true),
            (Fault::on("GetMessages"), false),
            (Fault::anywhere(), true),
            (Fault::anywhere().containing("streams/s/"), true),
            (Fault::anywhere().containing("messages\":[1"), true),
            (Fault::anywhere().containing("streams/s/").containing("other"), false),
            (Fault::anywhere().when(|_, call| call.body.len() > 1000), false),
        ];
        for (fault, strikes) in table {
            let name = format!("{fault:?}");
            let faults = Faults::new();
            faults.inject(fault.cut_before());
            assert_eq!(matches!(faults.before(&operation, &call).await, Err(Ended::Cut(Cut))), strikes, "{name}");
        }
    }

    #[tokio::test]
    async fn the_service_s_own_faults_wait_for_the_service() {
        let faults = Faults::new();
        let id = faults.inject(Fault::on("PutMessages").times(1).fail_entries([1]));
        let (operation, call) = put("{}");
        assert!(faults.before(&operation, &call).await.is_ok());
        assert_eq!(faults.fired(id), 0);
        assert_eq!(faults.of_service(&operation, &call), [Effect::FailEntries(vec![1])]);
        assert_eq!(faults.of_service(&operation, &call), []);
        faults.clear();
        assert_eq!(faults.counts()[&("PutMessages".to_owned(), "FailEntries")], 1);
    }

    #[tokio::test]
    async fn an_answer_is_lost_or_shortened_after_the_effect() {
        let (operation, call) = put("{}");
        let answer = || Answer::json(StatusCode::OK, "0123456789");
        let faults = Faults::new();
        faults.inject(Fault::anywhere().times(1).cut_after());
        let spoiled = faults.before(&operation, &call).await.expect("goes on");
        assert_eq!(faults.after(spoiled, answer()).await.expect_err("lost"), Cut);

        faults.inject(Fault::anywhere().times(1).truncate_body(4));
        let spoiled = faults.before(&operation, &call).await.expect("goes on");
        let short = faults.after(spoiled, answer()).await.expect("passes").answer;
        assert_eq!(short.headers["content-length"], "10");
        assert_eq!(&short.body[..], b"0123");
        let read = wire_body(&short.headers, short.body).collect().await;
        assert_eq!(read.expect_err("breaks"), Cut);
    }

    #[tokio::test]
    async fn a_wrong_date_is_on_whatever_answer_comes() {
        let (operation, call) = put("{}");
        let hour = SignedDuration::from_hours(1);
        let faults = Faults::new();
        faults.inject(Fault::anywhere().skip(1).times(1).revoked_policy());
        faults.inject(Fault::on("PutMessages").times(2).wrong_date(-hour));
        let mut found = Vec::new();
        for _ in 0..3 {
            let dated = match faults.before(&operation, &call).await {
                Ok(spoiled) => faults.after(spoiled, Answer::json(StatusCode::OK, "{}")).await.expect("passes"),
                Err(Ended::Answer(dated)) => dated,
                Err(Ended::Cut(_)) => panic!("nothing is cut"),
            };
            found.push((dated.answer.status.as_u16(), dated.ahead));
        }
        assert_eq!(found, [(200, -hour), (404, -hour), (200, SignedDuration::ZERO)]);
        assert_eq!(faults.counts()[&("PutMessages".to_owned(), "WrongDate")], 2);
    }
}
