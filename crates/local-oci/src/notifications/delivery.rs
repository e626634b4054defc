//! From a topic to its functions: at least once, in no order, and not for ever.

use std::sync::{Arc, Weak};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::futures::OwnedNotified;

use crate::clock::{BusyGuard, Clock};
use crate::cloud::Cloud;
use crate::faults::Effect;
use crate::functions::{Intent, Invocation, invoke};

use super::{Delivery, Published, Redelivery};

/// The longest that a reordered message waits for one to overtake it.
const REORDER_MAX: SignedDuration = SignedDuration::from_mins(1);
/// The pauses before the second, third … try, in minutes: the first is immediate. The last is repeated.
const LADDER_MINUTES: [i64; 7] = [0, 1, 2, 4, 8, 16, 32];

/// Starts the deliveries of `message`. They go on while the cloud lives.
pub(super) fn begin(cloud: &Arc<Cloud>, message: Published, functions: Vec<String>, effects: &[Effect]) {
    let is_lost = effects.contains(&Effect::LoseDelivery);
    let copies = if effects.contains(&Effect::DoubleDelivery) { 2 } else { 1 };
    let waits_for_next = effects.contains(&Effect::Reorder);
    let delay = effects.iter().find_map(|effect| match effect {
        Effect::DelayDelivery(duration) => SignedDuration::try_from(*duration).ok(),
        _ => None,
    });
    let mut state = cloud.topics.lock();
    let Some(topic) = state.topics.get(&message.topic) else { return };
    // Whoever waits is woken in the order of the messages, so that a simulation is the same run each time.
    let overtaken = Arc::clone(&topic.overtaken);
    if is_lost {
        return;
    }
    state.pending += functions.len() * copies;
    drop(state);
    for function in functions.iter().flat_map(|function| std::iter::repeat_n(function, copies)) {
        let task = Task {
            cloud: Arc::downgrade(cloud),
            clock: cloud.clock.clone(),
            message: message.clone(),
            function: function.clone(),
        };
        let overtaken = waits_for_next.then(|| Arc::clone(&overtaken).notified_owned());
        // Taken here and not in the task: a leaping clock must not leap between publish and delivery.
        let busy = cloud.clock.busy();
        let not_before = delay.and_then(|delay| message.at.checked_add(delay).ok());
        let busy = (not_before.is_none() && overtaken.is_none()).then_some(busy);
        #[expect(clippy::disallowed_methods, reason = "a topic delivers after it has answered the publisher")]
        tokio::spawn(async move { task.deliver(busy, not_before, overtaken).await });
    }
}

/// One message on its way to one function. While it waits it holds nothing of the cloud but the clock.
struct Task {
    cloud: Weak<Cloud>,
    clock: Clock,
    message: Published,
    function: String,
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
        for step in 0.. {
            let again = self.attempt().await;
            drop(busy.take());
            let Some(retries_for) = again else { break };
            let pause = LADDER_MINUTES.get(step).or(LADDER_MINUTES.last()).copied().unwrap_or(0);
            let next = self.clock.now().checked_add(SignedDuration::from_mins(pause)).unwrap_or(Timestamp::MAX);
            if next.duration_since(first) > retries_for {
                break;
            }
            self.clock.sleep_until(next).await;
        }
        if let Some(cloud) = self.cloud.upgrade() {
            let mut state = cloud.topics.lock();
            state.pending -= 1;
            if let Some(topic) = state.topics.get(&self.message.topic) {
                topic.overtaken.notify_waiters();
            }
        }
    }

    /// One try. `Some` is how long, in all, a message is tried that must be tried again.
    async fn attempt(&self) -> Option<SignedDuration> {
        let cloud = self.cloud.upgrade()?;
        let _busy = self.clock.busy();
        let at = self.clock.now();
        let mut invocation = Invocation::new(&self.function, self.message.body.clone(), Intent::Direct);
        invocation.headers.push(("Content-Type".to_owned(), "application/json".to_owned()));
        let result = invoke(&cloud, invocation).await;
        let outcome = result.as_ref().map_or_else(|failure| failure.name(), |_| "answered");
        let mut state = cloud.topics.lock();
        let (message, function) = (self.message.id.clone(), self.function.clone());
        state.deliveries.push(Delivery { message, function, at, outcome });
        let Redelivery::OnFunctionError(repeats) = state.settings.redelivery;
        let again = result.is_err_and(|failure| failure.is_the_platforms() || repeats);
        again.then_some(state.settings.retry_duration)
    }
}
