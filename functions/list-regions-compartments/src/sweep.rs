//! The sweep: what a vanished holder held is owed again, and what is owed for a while is rung again.

use std::collections::BTreeMap;

use futures_util::{StreamExt, stream};
use jiff::{SignedDuration, Timestamp};
use ledger::Waiting;
use oci_names::Ocid;
use pipeline::{Destination, Doorbell, Pointer, Receipt, Stage, State, Word};
use workbench::{Deadline, ring};

use crate::{App, planner};

/// A receipt is rung again once it has waited this long: its first doorbell has had its time by then.
const PAUSE: SignedDuration = SignedDuration::from_secs(60);

/// It doubles with each attempt and each continuation, up to a quarter of an hour: what a policy hides is asked for rarely,
/// and what is mended is not kept waiting.
const DOUBLINGS_MAX: u32 = 4;

/// Notifications a run for each line, beside those of new work.
const DOORBELLS_MAX: usize = 10;

/// Receipts a run for each line: what ten calls of the next function can do.
const POINTERS_MAX: usize = 200;

/// Receipts that are given back a run, and how many at once.
const RELEASES_MAX: usize = 400;
const RELEASES_AT_ONCE: usize = 8;

/// A probe names so many receipts more than it may deliver: some are gone from the stream, and are listed anew though the
/// destination is down.
const SPARE: usize = 50;

/// The holder's clock may be as much too early.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_mins(2);

/// The longest call, a detached one, and the margin that a hold has: no honest hold is longer.
const HOLD_MAX: SignedDuration = SignedDuration::from_mins(70);

/// The longest call that a trigger makes, and the margin.
const HOLD_USUAL: SignedDuration = SignedDuration::from_mins(10);

#[derive(Debug, Default)]
pub(crate) struct Swept {
    pub(crate) released: usize,
    pub(crate) rung_again: usize,
}

pub(crate) async fn run(app: &App, now: Timestamp, waiting: &Waiting, deadline: Deadline) -> Swept {
    let over = waiting.held.iter().filter(|(receipt, modified)| is_over(receipt, *modified, now));
    let releases: Vec<_> = over.take(RELEASES_MAX).map(|(held, _)| release(app, held, deadline)).collect();
    let released: Vec<Receipt> =
        stream::iter(releases).buffered(RELEASES_AT_ONCE).filter_map(std::future::ready).collect().await;
    let rested = |(receipt, modified): &&(Receipt, Option<Timestamp>)| {
        modified.is_none_or(|at| now.duration_since(at) >= pause(receipt))
    };
    let owed = waiting.owed.iter().filter(rested).map(|(receipt, _)| receipt);
    let mut lines: BTreeMap<Line<'_>, Vec<&Receipt>> = BTreeMap::new();
    for receipt in released.iter().chain(owed) {
        lines.entry(Line::of(receipt)).or_default().push(receipt);
    }
    let mut swept = Swept { released: released.len(), rung_again: 0 };
    let client = &app.config.connection.client;
    for (line, mut receipts) in lines {
        // The oldest window first, live work before any backfill; keys sort that way.
        receipts.sort_unstable();
        let probe = line.destination().and_then(|destination| waiting.hushed.get(destination)).copied();
        let word = Word { probe, ..Word::default() };
        let (topic, title, word) = match line {
            Line::Fetch => {
                let word = Word { hushed: planner::down(waiting), ..word };
                (&app.config.audit_topic, "fetch-audit-events: work units are still waiting", word)
            }
            Line::Ship(_) => (&app.config.splunk_topic, "ship-to-siem: batches are still waiting", word),
            Line::Object(destination) => match &app.config.object_topic {
                Some(topic) => (topic, "decode-bucket-gzip: log files are still waiting", word),
                None => {
                    tracing::error!(
                        %destination,
                        waiting = receipts.len(),
                        "log files are waiting and object_topic is not set: nobody works on them again"
                    );
                    continue;
                }
            },
        };
        let (chosen, spread) = match word.deliveries_max() {
            Some(deliveries) => (turn(&receipts, now, (deliveries + SPARE).min(POINTERS_MAX)), 1),
            None => (choose(&receipts, now), DOORBELLS_MAX),
        };
        let pointers: Vec<Pointer> =
            chosen.into_iter().map(|receipt| Pointer { receipt: receipt.clone(), location: None }).collect();
        let count = pointers.len();
        let rung = ring(client, topic, title, (pointers, spread), &word, deadline).await;
        swept.rung_again += count - rung.unrung;
    }
    if let Some(topic) = &app.config.object_topic {
        search(app, topic, deadline).await;
    }
    swept
}

/// What is rung together: one line for fetch and one for each destination of the others, so that none waits behind another's
/// trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Line<'a> {
    Fetch,
    Ship(&'a Destination),
    Object(&'a Destination),
}

impl<'a> Line<'a> {
    fn of(receipt: &'a Receipt) -> Self {
        match &receipt.stage {
            Stage::Fetch(_) => Self::Fetch,
            Stage::Ship(destination, _) => Self::Ship(destination),
            Stage::Object(destination, _) => Self::Object(destination),
        }
    }

    fn destination(self) -> Option<&'a Destination> {
        match self {
            Self::Fetch => None,
            Self::Ship(destination) | Self::Object(destination) => Some(destination),
        }
    }
}

/// Asks for a look through the buckets of log files. What is not asked now is asked by the next run.
async fn search(app: &App, topic: &Ocid, deadline: Deadline) {
    let word = Word { search: true, ..Word::default() };
    let body = Doorbell { pointers: Vec::new(), word }.to_json();
    let title = "decode-bucket-gzip: are there files whose event never came?";
    if let Err(error) =
        app.config.connection.client.notifications().publish_message(topic, title, &body, deadline).await
    {
        tracing::warn!(error = &error as &dyn std::error::Error, "the search for log files is left to the next run");
    }
}

/// Whether a hold has ended. One that says it lasts longer than any call was named by a clock that was wrong: it ends when
/// a call of the usual length would have ended.
fn is_over(receipt: &Receipt, modified: Option<Timestamp>, now: Timestamp) -> bool {
    let State::Held { until } = receipt.state else { return false };
    let absurd = modified.filter(|_| until.duration_since(now) > HOLD_MAX);
    until + CLOCKS_DIFFER <= now || absurd.is_some_and(|taken| now.duration_since(taken) > HOLD_USUAL)
}

/// `count` of the receipts, others from minute to minute: one that cannot be done keeps none of the others from its turn.
fn turn<'a>(receipts: &[&'a Receipt], now: Timestamp, count: usize) -> Vec<&'a Receipt> {
    let minutes = usize::try_from(now.as_second() / 60).unwrap_or_default();
    // Runs are some minutes apart: so many places a minute, that no length of the list keeps to the same few beginnings.
    let from = minutes.wrapping_mul(count.max(1)).checked_rem(receipts.len()).unwrap_or_default();
    receipts.iter().cycle().skip(from).take(count.min(receipts.len())).copied().collect()
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
        Stage::Ship(..) | Stage::Object(..) => 0,
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
    fn a_destination_that_is_down_never_gets_the_same_first() {
        let all = receipts(7);
        let all: Vec<&Receipt> = all.iter().collect();
        let mut probed = std::collections::BTreeSet::new();
        for run in 0..7 {
            let now = Timestamp::from_second(1_767_571_200 + run * 300).unwrap();
            let chosen = turn(&all, now, 1);
            assert_eq!(chosen.len(), 1);
            probed.extend(chosen);
        }
        assert_eq!((probed.len(), turn(&[], Timestamp::UNIX_EPOCH, 1).len()), (7, 0));
        assert_eq!(turn(&all, Timestamp::UNIX_EPOCH, 16).len(), 7);
    }

    #[test]
    fn a_hold_ends_in_its_time_or_when_its_time_makes_no_sense() {
        let at = |seconds: i64| Timestamp::from_second(1_767_571_200 + seconds).unwrap();
        for (until, now, over) in
            [(360, 479, false), (360, 480, true), (4_000, 4_119, false), (86_400, 599, false), (86_400, 601, true)]
        {
            let owed: Receipt = "owed/fetch/20260105T0000Z-20260105T0005Z.1.r-1.0~0".parse().unwrap();
            let held = owed.held_until(at(until));
            assert_eq!(is_over(&held, Some(at(0)), at(now)), over, "{until} {now}");
        }
    }

    #[test]
    fn what_comes_back_again_and_again_rests_longer() {
        let rests = |name: &str| pause(&name.parse().unwrap()).as_secs();
        assert_eq!(rests("owed/fetch/20260105T0000Z-20260105T0005Z.1.r-1.0~0"), 60);
        assert_eq!(rests("owed/fetch/20260105T0000Z-20260105T0005Z.1.r-1.0.2~1"), 480);
        assert_eq!(rests("owed/fetch/20260105T0000Z-20260105T0005Z.1.r-1.0.900~1"), 960);
    }
}
