//! From a topic or a rule to where it delivers: at least once, in no order, and not for ever.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

use crate::clock::{BusyGuard, Clock};
use crate::cloud::Cloud;
use crate::faults::Effect;
use crate::functions::{Intent, Invocation, invoke};
use crate::notifications;

/// The longest that a reordered message waits for one to overtake it.
const REORDER_MAX: SignedDuration = SignedDuration::from_mins(1);

/// What becomes of a message that its function failed. The sources disagree, so both are simulated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redelivery {
    /// Whether an error, a crash or a timeout of the function itself is a failed delivery. Where the function was never
    /// reached, the message is always tried again.
    OnFunctionError(bool),
}

/// One try to deliver a message or an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The message's id, or the `eventID`.
    pub message: String,
    /// The function's OCID; a rule may also deliver to a topic.
    pub function: String,
    /// When it began, by the cloud's clock.
    pub at: Timestamp,
    /// `answered`, `published`, or the name of the [`Failure`](crate::functions::Failure).
    pub outcome: &'static str,
}

/// How a service tries again.
#[derive(Debug, Clone)]
pub(crate) struct Retries {
    pub(crate) redelivery: Redelivery,
    /// The pauses before the second, third … try. The last is repeated.
    pub(crate) pauses: Vec<SignedDuration>,
    /// So many tries in all.
    pub(crate) attempts_max: u32,
    /// How long after the first try the last one may be.
    pub(crate) duration: SignedDuration,
}

/// Where a message goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A function, by its OCID.
    Function(String),
    /// A topic, by its OCID.
    Topic(String),
}

impl Target {
    fn id(&self) -> &str {
        match self {
            Self::Function(id) | Self::Topic(id) => id,
        }
    }
}

/// A message with all its ways.
#[derive(Debug)]
pub(crate) struct Outgoing {
    pub(crate) id: String,
    pub(crate) body: Bytes,
    /// When it came in.
    pub(crate) at: Timestamp,
    pub(crate) targets: Vec<Target>,
    /// Tells that the delivery of a message is over: what a reordered message waits for. Messages with the same one
    /// overtake each other.
    pub(crate) overtaken: Arc<Notify>,
}

/// The deliveries of one service. A clone is the same book.
#[derive(Debug, Clone, Default)]
pub(crate) struct Deliveries(Arc<Mutex<Book>>);

#[derive(Debug, Default)]
struct Book {
    tried: Vec<Delivery>,
    pending: usize,
}

impl Deliveries {
    /// Every try so far, in the order in which they ended.
    pub(crate) fn tried(&self) -> Vec<Delivery> {
        self.lock().tried.clone()
    }

    /// How many are neither done nor given up.
    pub(crate) fn pending(&self) -> usize {
        self.lock().pending
    }

    /// Starts the deliveries of `message`. They go on while the cloud lives; `retries` is asked after each failure.
    pub(crate) fn begin(
        &self,
        cloud: &Arc<Cloud>,
        message: &Outgoing,
        retries: fn(&Cloud) -> Retries,
        effects: &[Effect],
    ) {
        if effects.contains(&Effect::LoseDelivery) {
            return;
        }
        let copies = if effects.contains(&Effect::DoubleDelivery) { 2 } else { 1 };
        let waits_for_next = effects.contains(&Effect::Reorder);
        let delay = effects.iter().find_map(|effect| match effect {
            Effect::DelayDelivery(duration) => SignedDuration::try_from(*duration).ok(),
            _ => None,
        });
        self.lock().pending += message.targets.len() * copies;
        for target in message.targets.iter().flat_map(|target| std::iter::repeat_n(target, copies)) {
            let task = Task {
                cloud: Arc::downgrade(cloud),
                clock: cloud.clock.clone(),
                deliveries: self.clone(),
                id: message.id.clone(),
                body: message.body.clone(),
                target: target.clone(),
                retries,
                over: Arc::clone(&message.overtaken),
            };
            // Whoever waits is woken in the order of the messages, so that a simulation is the same run each time.
            let overtaken = waits_for_next.then(|| Arc::clone(&message.overtaken).notified_owned());
            // Taken here and not in the task: a leaping clock must not leap between publish and delivery.
            let busy = cloud.clock.busy();
            let not_before = delay.and_then(|delay| message.at.checked_add(delay).ok());
            let busy = (not_before.is_none() && overtaken.is_none()).then_some(busy);
            #[expect(clippy::disallowed_methods, reason = "a service delivers after it has answered its caller")]
            tokio::spawn(async move { task.deliver(busy, not_before, overtaken).await });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One message on its way to one target. While it waits it holds nothing of the cloud but the clock and the book.
struct Task {
    cloud: Weak<Cloud>,
    clock: Clock,
    deliveries: Deliveries,
    id: String,
    body: Bytes,
    target: Target,
    retries: fn(&Cloud) -> Retries,
    over: Arc<Notify>,
}

impl Task {
    /// Tries until the message is taken or given up. `busy` is held to the end of the first try.
    async fn deliver(
        &self,
        mut busy: Option<BusyGuard>,
        not_before: Option<Timestamp>,
        overtaken: Option<OwnedNotified>,
    ) {
        if let Some(not_before) = not_before {
            self.clock.sleep_until(not_before).await;
        }
        if let Some(overtaken) = overtaken {
            let until = self.clock.now().checked_add(REORDER_MAX).unwrap_or(Timestamp::MAX);
            tokio::select! {
                // The same order each time, so that a simulation is the same run.
                biased;
                () = overtaken => {}
                () = self.clock.sleep_until(until) => {}
            }
        }
        let first = self.clock.now();
        for tries in 1.. {
            let again = self.attempt().await;
            drop(busy.take());
            let Some(retries) = again.filter(|retries| tries < retries.attempts_max) else { break };
            let pause = retries.pauses.get(tries as usize - 1).or(retries.pauses.last()).copied().unwrap_or_default();
            let next = self.clock.now().checked_add(pause).unwrap_or(Timestamp::MAX);
            if next.duration_since(first) > retries.duration {
                break;
            }
            self.clock.sleep_until(next).await;
        }
        self.deliveries.lock().pending -= 1;
        self.over.notify_waiters();
    }

    /// One try. `Some` says how a message is tried that must be tried again.
    async fn attempt(&self) -> Option<Retries> {
        let cloud = self.cloud.upgrade()?;
        let _busy = self.clock.busy();
        let at = self.clock.now();
        let retries = self.retries;
        let (outcome, failed) = match &self.target {
            Target::Function(function) => {
                let mut invocation = Invocation::new(function, self.body.clone(), Intent::Direct);
                invocation.headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
                match invoke(&cloud, invocation).await {
                    Ok(_) => ("answered", false),
                    Err(failure) => {
                        let Redelivery::OnFunctionError(repeats) = retries(&cloud).redelivery;
                        (failure.name(), failure.is_the_platforms() || repeats)
                    }
                }
            }
            Target::Topic(topic) => match notifications::publish(&cloud, topic, self.body.clone()) {
                true => ("published", false),
                false => ("not_found", true),
            },
        };
        let (message, function) = (self.id.clone(), self.target.id().to_owned());
        self.deliveries.lock().tried.push(Delivery { message, function, at, outcome });
        failed.then(|| retries(&cloud))
    }
}
