//! PublishMessage and GetTopic as they are on the wire.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;

use crate::answer::Answer;
use crate::call::Call;
use crate::cloud::Cloud;
use crate::delivery::{Outgoing, Target};
use crate::faults::Effect;
use crate::rng::Rng;
use crate::router::Operation;
use crate::tenancy::REGIONS;
use crate::verify::Caller;

use super::{Published, State, Topics};

/// Serves the operations on topics.
///
/// Source: Notifications API reference.
pub(crate) async fn serve(cloud: &Arc<Cloud>, operation: &Operation, call: &Call, caller: &Caller) -> Answer {
    match operation {
        Operation::PublishMessage { topic } => publish_message(cloud, operation, topic, call),
        Operation::GetTopic { topic } => get_topic(cloud, topic, call, caller),
        _ => Answer::error(StatusCode::NOT_FOUND, "NotFound", "no operation of Notifications"),
    }
}

fn no_topic() -> Answer {
    Answer::error(StatusCode::NOT_FOUND, "NotAuthorizedOrNotFound", "no such topic, or not allowed")
}

fn is_elsewhere(call: &Call) -> bool {
    call.region != REGIONS[0].0
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    title: Option<String>,
    body: Option<String>,
}

fn publish_message(cloud: &Arc<Cloud>, operation: &Operation, id: &str, call: &Call) -> Answer {
    let now = cloud.clock.now();
    let accepted = accept(&mut cloud.topics.lock(), id, call, now);
    let message = match accepted {
        Ok(message) => message,
        Err(refusal) => return refusal,
    };
    // Asked only of messages that were taken, so that a rule's `times` counts those.
    let effects = cloud.faults.of_service(operation, call);
    let answer = serde_json::json!({ "messageId": message.id, "timeStamp": format!("{now:.3}") });
    deliver(cloud, &message, &effects);
    Answer::json(StatusCode::ACCEPTED, answer.to_string())
}

/// Publishes `body` on the service's own account, as a rule does: neither signed nor held to the minute's limit, and struck by
/// the faults of PublishMessage. False where there is no such topic.
pub(crate) fn publish(cloud: &Arc<Cloud>, topic: &str, body: Bytes) -> bool {
    let now = cloud.clock.now();
    let message = {
        let mut state = cloud.topics.lock();
        if !state.topics.contains_key(topic) {
            return false;
        }
        state.publish(topic, None, body, now)
    };
    let operation = Operation::PublishMessage { topic: topic.to_owned() };
    let call = Call::internal(&format!("/20181201/topics/{topic}/messages"), REGIONS[0].0, message.body.clone());
    let effects = cloud.faults.of_service(&operation, &call);
    deliver(cloud, &message, &effects);
    true
}

fn deliver(cloud: &Arc<Cloud>, message: &Published, effects: &[Effect]) {
    let outgoing = {
        let state = cloud.topics.lock();
        let Some(topic) = state.topics.get(&message.topic) else { return };
        Outgoing {
            id: message.id.clone(),
            body: message.body.clone(),
            at: message.at,
            targets: topic.subscriptions.iter().cloned().map(Target::Function).collect(),
            overtaken: Arc::clone(&topic.overtaken),
        }
    };
    cloud.topics.deliveries.begin(cloud, &outgoing, Topics::retries, effects);
}

/// The message, once it is taken.
#[expect(clippy::result_large_err, reason = "the refusal is the answer, made once a call")]
fn accept(state: &mut State, id: &str, call: &Call, now: Timestamp) -> Result<Published, Answer> {
    let settings = state.settings.clone();
    let topic = state.topics.get_mut(id).filter(|_| !is_elsewhere(call)).ok_or_else(no_topic)?;
    if call.body.len() > settings.publish_max_bytes {
        let message = format!("the request is longer than {} bytes", settings.publish_max_bytes);
        return Err(match settings.oversize_status {
            413 => Answer::error(StatusCode::PAYLOAD_TOO_LARGE, "RequestEntityTooLarge", &message),
            _ => Answer::error(StatusCode::BAD_REQUEST, "InvalidParameter", &message),
        });
    }
    let refused = |code, message: &str| Answer::error(StatusCode::BAD_REQUEST, code, message);
    let body: Body = serde_json::from_slice(&call.body)
        .map_err(|error| refused("CannotParseRequest", &format!("the body cannot be read: {error}")))?;
    let text = body.body.filter(|text| !text.is_empty());
    let text = text.ok_or_else(|| refused("MissingParameter", "the message has no body"))?;
    if call.header("messagetype") == Some("JSON") && !is_for_all_protocols(&text) {
        return Err(refused("InvalidParameter", "a message of type JSON needs a text under `default`"));
    }
    let minute_ago = now.checked_sub(SignedDuration::from_mins(1)).unwrap_or(now);
    while topic.recent.front().is_some_and(|at| *at <= minute_ago) {
        topic.recent.pop_front();
    }
    if topic.recent.len() >= settings.publishes_max_per_minute {
        state.refused += 1;
        let message = "too many messages on this topic within a minute";
        return Err(Answer::error(StatusCode::TOO_MANY_REQUESTS, "TooManyRequests", message));
    }
    topic.recent.push_back(now);
    Ok(state.publish(id, body.title, Bytes::from(text), now))
}

impl State {
    fn publish(&mut self, topic: &str, title: Option<String>, body: Bytes, at: Timestamp) -> Published {
        self.next_message += 1;
        let message = Published { id: uuid(self.next_message), topic: topic.to_owned(), title, body, at };
        self.published.push(message.clone());
        message
    }
}

/// The deprecated type: an object with a `default` text beside those of single protocols.
fn is_for_all_protocols(text: &str) -> bool {
    let value: Option<serde_json::Value> = serde_json::from_str(text).ok();
    value.is_some_and(|value| value.get("default").is_some_and(serde_json::Value::is_string))
}

/// A version 4 UUID that is the same in every run.
fn uuid(number: u64) -> String {
    let mut random = Rng::of(0x0175, number);
    let (high, low) = (random.next(), random.next());
    let variant = 0x8000 | (low >> 48 & 0x3fff);
    format!(
        "{:08x}-{:04x}-4{:03x}-{variant:04x}-{:012x}",
        high >> 32,
        high >> 16 & 0xffff,
        high & 0xfff,
        low & 0xffff_ffff_ffff
    )
}

fn get_topic(cloud: &Arc<Cloud>, id: &str, call: &Call, caller: &Caller) -> Answer {
    let state = cloud.topics.lock();
    let Some(topic) = state.topics.get(id).filter(|_| !is_elsewhere(call)) else { return no_topic() };
    let short: String = id.chars().rev().take(12).collect();
    Answer::ok(&serde_json::json!({
        "name": topic.name,
        "topicId": id,
        "shortTopicId": short,
        "compartmentId": caller.tenancy,
        "lifecycleState": "ACTIVE",
        "description": null,
        "timeCreated": format!("{:.3}", cloud.settings.plan.start),
        "etag": uuid(0),
        "apiEndpoint": format!("http://{}", call.header("host").unwrap_or("127.0.0.1")),
        "freeformTags": {},
        "definedTags": {},
    }))
}
