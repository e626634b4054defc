//! Notifications: topics, and the delivery of what is published on them to functions.

mod wire;

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;

use crate::cloud::Cloud;
use crate::delivery::{Deliveries, Delivery, Redelivery, Retries};
use crate::streaming::named_ocid;
use crate::tenancy::REGIONS;

pub(crate) use wire::{publish, serve};

/// The pauses before the second, third … try, in minutes: the first is immediate. The last is repeated.
const LADDER_MINUTES: [i64; 7] = [0, 1, 2, 4, 8, 16, 32];

/// The service's limits and habits; the defaults are the documented ones.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicSettings {
    /// The longest body of a PublishMessage request.
    pub publish_max_bytes: usize,
    /// What a longer one is answered: 413 `RequestEntityTooLarge` or 400 `InvalidParameter` (unverified).
    pub oversize_status: u16,
    /// PublishMessage calls a minute on one topic; more is 429.
    pub publishes_max_per_minute: usize,
    /// What becomes of a message that its function failed.
    pub redelivery: Redelivery,
    /// How long a message is tried.
    pub retry_duration: SignedDuration,
}

impl Default for TopicSettings {
    fn default() -> Self {
        Self {
            publish_max_bytes: 64 << 10,
            oversize_status: 413,
            publishes_max_per_minute: 60,
            redelivery: Redelivery::OnFunctionError(false),
            retry_duration: SignedDuration::from_hours(2),
        }
    }
}

/// A message as it was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// The message's id.
    pub id: String,
    /// The topic's OCID.
    pub topic: String,
    /// The title, which no function sees.
    pub title: Option<String>,
    /// The body, which a function gets verbatim.
    pub body: Bytes,
    /// When it was published, by the cloud's clock.
    pub at: Timestamp,
}

/// All topics of the tenancy, in its home region.
#[derive(Debug, Default)]
pub struct Topics {
    state: Mutex<State>,
    deliveries: Deliveries,
}

#[derive(Debug, Default)]
struct State {
    settings: TopicSettings,
    topics: BTreeMap<String, Topic>,
    published: Vec<Published>,
    refused: u64,
    next_message: u64,
}

#[derive(Debug)]
struct Topic {
    name: String,
    subscriptions: Vec<String>,
    /// When the last publishes were, as far as the minute's limit asks.
    recent: VecDeque<Timestamp>,
    /// Tells that the delivery of a message is over: what a reordered message waits for.
    overtaken: Arc<Notify>,
}

impl Topics {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Makes a topic and gives its OCID, which follows from the name.
    pub fn create(&self, name: &str) -> String {
        let id = named_ocid("onstopic", REGIONS[0].0, name);
        let name = name.to_owned();
        let topic = Topic { name, subscriptions: Vec::new(), recent: VecDeque::new(), overtaken: Arc::default() };
        self.lock().topics.entry(id.clone()).or_insert(topic);
        id
    }

    /// Delivers everything published on `topic` from now on to `function` (both OCIDs).
    pub fn subscribe(&self, topic: &str, function: &str) {
        if let Some(topic) = self.lock().topics.get_mut(topic) {
            topic.subscriptions.push(function.to_owned());
        }
    }

    /// Changes the service's limits and habits, for all topics and from now on.
    pub fn configure(&self, change: impl FnOnce(&mut TopicSettings)) {
        change(&mut self.lock().settings);
    }

    /// Everything published so far, in order.
    pub fn published(&self) -> Vec<Published> {
        self.lock().published.clone()
    }

    /// Every try to deliver so far, in the order in which they ended.
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.deliveries.tried()
    }

    /// How many deliveries are neither done nor given up.
    pub fn pending(&self) -> usize {
        self.deliveries.pending()
    }

    /// How many publishes were refused with 429.
    pub fn throttled(&self) -> u64 {
        self.lock().refused
    }

    /// How the settings of `cloud` let a message be tried again.
    fn retries(cloud: &Cloud) -> Retries {
        let settings = &cloud.topics.lock().settings;
        Retries {
            redelivery: settings.redelivery,
            pauses: LADDER_MINUTES.map(SignedDuration::from_mins).into(),
            attempts_max: u32::MAX,
            duration: settings.retry_duration,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
