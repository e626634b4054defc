//! The sweep: what a vanished holder held is owed again, and what is owed for a while is rung again.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use ledger::Waiting;
use pipeline::{Destination, Pointer, Receipt, Stage, State};
use workbench::{Deadline, ring};

use crate::App;

/// A receipt is rung again once it has waited this long: its first doorbell has had its time by then.
const PAUSE: SignedDuration = SignedDuration::from_secs(60);

/// It doubles with each attempt and each continuation, up to about an hour.
const DOUBLINGS_MAX: u32 = 6;

/// Notifications a run for each line, beside those of new work.
const DOORBELLS_MAX: usize = 10;

/// Receipts a run for each line: what ten calls of the next function can do.
const POINTERS_MAX: usize = 200;

/// Receipts that are given back a run, and how many at once.
const RELEASES_MAX: usize = 400;
const RELEASES_AT_ONCE: usize = 8;

#[derive(Debug, Default)]
pub(crate) struct Swept {
    pub(crate) released: usize,
    pub(crate) rung_again: usize,
}

pub(crate) async fn run(app: &App, now: Timestamp, waiting: &Waiting, deadline: Deadline) -> Swept {
    let over = waiting.held.iter().filter(|receipt| matches!(receipt.state, State::Held { until } if until <= now));
    let releases: Vec<_> = over.take(RELEASES_MAX).map(|held| release(app, held, deadline)).collect();
    let released: Vec<Receipt> =
        stream::iter(releases).buffered(RELEASES_AT_ONCE).filter_map(std::future::ready).collect().await;
    let rested = |(receipt, modified): &&(Receipt, Option<Timestamp>)| {
        modified.is_none_or(|at| now.duration_since(at) >= pause(receipt))
    };
    let owed = waiting.owed.iter().filter(rested).map(|(receipt, _)| receipt);
    // One line for fetch and one for each destination: none waits behind another's trouble.
    let mut lines: BTreeMap<Option<&Destination>, Vec<&Receipt>> = BTreeMap::new();
    for receipt in released.iter().chain(owed) {
        let line = match &receipt.stage {
            Stage::Fetch(_) => None,
            Stage::Ship(destination, _) => Some(destination),
        };
        lines.entry(line).or_default().push(receipt);
    }
    let mut swept = Swept { released: released.len(), rung_again: 0 };
    let client = &app.config.connection.client;
    for (line, mut receipts) in lines {
        // The oldest window first, live work before any backfill; keys sort that way.
        receipts.sort_unstable();
        let (topic, title) = match line {
            None => (&app.config.audit_topic, "fetch-audit-events: work units are still waiting"),
            Some(_) => (&app.config.splunk_topic, "ship-to-siem: batches are still waiting"),
        };
        let pointers: Vec<Pointer> = choose(&receipts, now)
            .into_iter()
            .map(|receipt| Pointer { receipt: receipt.clone(), location: None })
            .collect();
        let count = pointers.len();
        let rung = ring(client, topic, title, pointers, DOORBELLS_MAX, deadline).await;
        swept.rung_again += count - rung.unrung;
    }
    swept
}

/// The receipts to ring: all, or half of the budget for the newest and half for a stretch of the others that moves on from
/// minute to minute. So what cannot be done for now keeps neither new work nor other old work waiting.
fn choose<'a>(receipts: &[&'a Receipt], now: Timestamp) -> Vec<&'a Receipt> {
    let Some(others) = receipts.len().checked_sub(POINTERS_MAX / 2).filter(|_| receipts.len() > POINTERS_MAX) else {
        return receipts.to_vec();
    };
    let minutes = usize::try_from(now.as_second() / 60).unwrap_or_default();
    let from = minutes.wrapping_mul(POINTERS_MAX / 2) % others;
    let turn = receipts.iter().take(others).cycle().skip(from).take((POINTERS_MAX / 2).min(others));
    turn.chain(receipts.iter().skip(others)).copied().collect()
}

/// How long a receipt rests before it is rung again: longer, the more often it came back.
fn pause(receipt: &Receipt) -> SignedDuration {
    let continuation = match &receipt.stage {
        Stage::Fetch(key) => key.continuation,
        Stage::Ship(_, key) => key.continuation,
    };
    let doublings = continuation.saturating_add(receipt.attempts).min(DOUBLINGS_MAX);
    PAUSE * (1 << doublings)
}

async fn release(app: &App, held: &Receipt, deadline: Deadline) -> Option<Receipt> {
    match app.config.ledger.release(held, deadline).await {
        Ok(owed) => Some(owed),
        Err(error) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "a receipt could not be given back; the next run tries again"
            );
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn receipts(count: usize) -> Vec<Receipt> {
        let name = |n| format!("owed/fetch/20260105T0000Z-20260105T0005Z.1.r-1.{n}~0");
        let mut all: Vec<Receipt> = (0..count).map(|n| name(n).parse().unwrap()).collect();
        all.sort();
        all
    }

    #[test]
    fn within_the_budget_all_are_rung() {
        for count in [0, 1, POINTERS_MAX] {
            let all = receipts(count);
            assert_eq!(choose(&all.iter().collect::<Vec<_>>(), Timestamp::UNIX_EPOCH).len(), count);
        }
    }

    #[test]
    fn beyond_it_the_newest_are_rung_each_time_and_every_other_in_turn() {
        let all = receipts(1_000);
        let all: Vec<&Receipt> = all.iter().collect();
        let mut rung = std::collections::BTreeSet::new();
        for run in 0..60 {
            let now = Timestamp::from_second(1_767_571_200 + run * 300).unwrap();
            let chosen = choose(&all, now);
            assert_eq!(chosen.len(), POINTERS_MAX);
            assert!(all[900..].iter().all(|newest| chosen.contains(newest)));
            rung.extend(chosen);
        }
        assert_eq!(rung.len(), 1_000);
    }

    #[test]
    fn what_comes_back_again_and_again_rests_longer() {
        let rests = |name: &str| pause(&name.parse().unwrap()).as_secs();
        assert_eq!(rests("owed/fetch/20260105T0000Z-20260105T0005Z.1.r-1.0~0"), 60);
        assert_eq!(rests("owed/fetch/20260105T0000Z-20260105T0005Z.1.r-1.0.2~1"), 480);
        assert_eq!(rests("owed/fetch/20260105T0000Z-20260105T0005Z.1.r-1.0.900~1"), 3_840);
    }
}
