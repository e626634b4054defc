//! One call: a doorbell's receipts, one after the other, and one ring at the end.

use std::{collections::BTreeMap, time::Duration};

use fn_hyper::{Invocation, Reply};
use pipeline::{Destination, Doorbell, Owing, Pointer, Stage, Word};
use serde::Serialize;
use workbench::{CallTime, Deadline, ring};

use crate::{App, receipt};

/// What a call did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Receipts that were worked on.
    pub receipts: u32,
    /// Receipts that were done, or taken by somebody else.
    pub gone: u32,
    /// Receipts that there was no time for; they stay owed.
    pub untouched: u32,
    /// Events as listed.
    pub listed: u64,
    /// Of those, our own reads, replaced by summaries.
    pub filtered: u64,
    /// Values that were withheld.
    pub redacted: u64,
    /// Events that no put can hold, set aside; a summary of each is put.
    pub dead: u64,
    /// Events put on the stream and known before, by destination.
    pub owed: BTreeMap<Destination, Owing>,
    /// Batches owed to destinations.
    pub batches: u32,
    /// Work units handed on to a later call.
    pub left: u32,
    /// Notifications sent.
    pub doorbells: usize,
}

/// Listing stops this long before the deadline: time to put what is gathered, and to write what is left.
fn time(deadline: Deadline) -> CallTime {
    CallTime::before(deadline, 4, Duration::from_secs(20))
}

/// Answers one call. The body is a doorbell.
///
/// Success means that every event listed is owed to its destinations, and that every unit not done is owed again.
pub async fn handle(app: &App, call: Invocation) -> Reply {
    app.config.connection.client.begin_call();
    let doorbell = match Doorbell::parse(&call.body) {
        Ok(doorbell) => doorbell,
        Err(error) => return Reply::not_understood(&error),
    };
    let mut summary = Summary::default();
    let mut pointers = Vec::new();
    let mut failed = 0;
    let time = time(call.deadline);
    for pointer in &doorbell.pointers {
        if time.is_over() {
            summary.untouched += 1;
            continue;
        }
        let receipt = pointer.receipt.to_string();
        match work(app, pointer, time, &mut summary, &mut pointers).await {
            Ok(()) => {}
            Err(error) => {
                failed += 1;
                tracing::error!(
                    receipt,
                    error = error.as_ref() as &dyn std::error::Error,
                    "work is left over; it stays owed and is done again"
                );
            }
        }
    }
    // A destination that is down gets its probe from the sweep.
    let hushed = &doorbell.word.hushed;
    pointers.retain(|pointer| !matches!(&pointer.receipt.stage, Stage::Ship(whose, _) if hushed.contains(whose)));
    let (client, topic) = (&app.config.connection.client, &app.config.splunk_topic);
    let title = "ship-to-siem: batches are waiting";
    summary.doorbells = ring(client, topic, title, (pointers, 1), &Word::default(), call.deadline).await.doorbells;
    let text = serde_json::to_string(&summary).unwrap_or_default();
    tracing::info!(summary = text, failed, "done");
    if failed == 0 {
        Reply::json(text)
    } else {
        Reply::failure(format!("{failed} receipts are still owed in part: {text}"))
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

async fn work(
    app: &App,
    pointer: &Pointer,
    time: CallTime,
    summary: &mut Summary,
    pointers: &mut Vec<Pointer>,
) -> Result<(), BoxError> {
    let Stage::Fetch(key) = &pointer.receipt.stage else {
        return Err("the doorbell names a receipt of another function: look at the topics' subscriptions".into());
    };
    let Some(work) = receipt::take(app, pointer, key, time.deadline).await? else {
        summary.gone += 1;
        return Ok(());
    };
    summary.receipts += 1;
    let outcome = receipt::work_off(app, work, time).await;
    summary.listed += outcome.account.listed;
    summary.filtered += outcome.account.filtered;
    summary.redacted += outcome.account.redacted;
    summary.dead += outcome.account.dead;
    for (destination, owing) in outcome.account.owed {
        let all = summary.owed.entry(destination).or_default();
        all.put += owing.put;
        all.known += owing.known;
    }
    summary.batches += outcome.batches;
    summary.left += outcome.left;
    pointers.extend(outcome.pointers);
    outcome.error.map_or(Ok(()), Err)
}
