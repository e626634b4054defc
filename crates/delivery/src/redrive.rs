//! Sends dead letters again, once what stood in their way is mended.
//!
//! Order, batch by batch: read → send → resolve. A letter goes only after the destination's own word, so a kill in between
//! costs a copy with the same id. So do two redrives at once. A letter that is refused again, or is still too large (its
//! summary is with the destination already), stays under its name and counts the attempt.

mod order;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use fn_hyper::Reply;
use futures_util::{StreamExt, stream};
use jiff::Timestamp;
use ledger::{DeadLetter, LetterEntry, Versioned};
use serde::Serialize;
use siem_sinks::{Outcome, Proven, Record};
use tokio::time::{Instant, sleep_until};
use workbench::CallTime;

pub use self::order::{InvalidOrder, Order, parse};
use crate::{Ends, Parties, persist, slow_down};

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// A batch of letters: a kill costs at most so many copies, and they are in memory together.
const BATCH_LETTERS: usize = 100;
const BATCH_BYTES: u64 = 1_500_000;

/// What is reckoned for a letter whose length the service does not say.
const LETTER_BYTES: u64 = 16_000;

/// Letters read or resolved side by side.
const AT_ONCE: usize = 8;

/// Of more reasons than these each is not named.
const REASONS_MAX: usize = 50;

/// How many pages are looked through to count what is left.
const LEFT_PAGES_MAX: usize = 20;

/// What a redrive did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct Redriven {
    /// How it ended.
    status: Ended,
    /// Nothing was sent: the other numbers tell what would be tried.
    dry_run: bool,
    /// Letters that the order means, of those that were read.
    matched: u64,
    /// Records that the destination took; their letters are gone.
    delivered: u64,
    /// Letters that were refused again; they stay.
    refused: u64,
    /// Letters that are still too large; they stay.
    too_large: u64,
    /// Letters that cannot be read; they stay, and somebody must look at them.
    unreadable: u64,
    /// Letters that were not tried, those whose reason was not read yet included; counted up to some ten thousands.
    left: u64,
    /// The letters that matched, by the reason that they had.
    by_reason: BTreeMap<String, u64>,
    /// Where something is left: what `from` must be to go on behind what was tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// How a redrive ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Ended {
    /// Every letter that the order means was tried.
    #[default]
    Done,
    /// The time ended: call again.
    More,
    /// The destination or the state bucket failed.
    Failed,
}

/// Follows an order; no batch is begun after the soft end of `time`. Only the letters that are owed to the target are sent. The reply counts
/// what became of them; it is a failure where the order is not understood, or the destination or the state bucket failed.
pub async fn answer(parties: Parties<'_>, order: Result<Order, InvalidOrder>, time: CallTime) -> Reply {
    let order = match order {
        Ok(order) => order,
        Err(error) => return Reply::not_understood(&error),
    };
    let summary = Redriven { dry_run: order.dry_run, ..Redriven::default() };
    let mut redrive = Redrive { parties, order: &order, time, ready: Instant::now(), summary };
    let failure = redrive.run().await.err();
    if failure.is_some() {
        redrive.summary.status = Ended::Failed;
    }
    redrive.count_left().await;
    let text = serde_json::to_string(&redrive.summary).unwrap_or_default();
    match failure {
        None => {
            tracing::info!(summary = text, "redriven");
            Reply::json(text)
        }
        Some(error) => {
            tracing::error!(
                error = error.as_ref() as &dyn std::error::Error,
                summary = text,
                "the redrive ended early; what was not taken stays a dead letter"
            );
            Reply::failure(format!("the redrive ended early, and what was not taken stays a dead letter: {text}"))
        }
    }
}

struct Redrive<'a> {
    parties: Parties<'a>,
    order: &'a Order,
    time: CallTime,
    /// When the rate allows the next batch.
    ready: Instant,
    summary: Redriven,
}

impl Redrive<'_> {
    async fn run(&mut self) -> Result<(), BoxError> {
        let mut from = self.order.from.clone();
        loop {
            self.summary.next = from.clone();
            let page = self.page(from.as_deref()).await?;
            for batch in batches(&page.letters, self.order.rate) {
                self.summary.next = batch.first().map(|letter| letter.name.clone());
                if !self.is_time().await {
                    self.summary.status = Ended::More;
                    return Ok(());
                }
                self.redrive(batch).await?;
            }
            match page.next {
                Some(next) => from = Some(next),
                None => break,
            }
        }
        self.summary.next = None;
        Ok(())
    }

    async fn page(&self, from: Option<&str>) -> Result<ledger::LetterPage, ledger::Error> {
        let own = self.parties.target.name().as_str();
        let both = [own, "fetch"];
        let whose = if self.order.fetch { &both[..] } else { &both[..1] };
        self.parties.ledger.letters(whose, self.order.date, from, self.time.deadline).await
    }

    /// Waits until the rate allows the next batch; whether there is time for it.
    async fn is_time(&self) -> bool {
        if self.ready.max(Instant::now()) >= self.time.soft {
            return false;
        }
        sleep_until(self.ready).await;
        true
    }

    async fn redrive(&mut self, batch: &[LetterEntry]) -> Result<(), BoxError> {
        let letters = self.read(batch).await?;
        if self.order.dry_run || letters.is_empty() {
            return Ok(());
        }
        let record = |letter: &Versioned<DeadLetter>| Record {
            raw: letter.value.record.clone(),
            region: letter.value.region.as_deref().map(Arc::from),
            proven: Proven::Nothing,
        };
        let records: Vec<Record> = letters.iter().map(record).collect();
        let Parties { client, target, .. } = self.parties;
        let sending = Ends::before(self.time.deadline).sending;
        if let Some(rate) = self.order.rate {
            // A batch has at most a hundred records.
            self.ready = Instant::now() + Duration::from_secs_f64(records.len() as f64 / f64::from(rate));
        }
        let delivery = target.deliver(client, &records, sending).await?;
        let now = client.service_time();
        // Futures first, stream second: closures that borrow inside a stream's adaptors defeat the compiler's proof of `Send`.
        let settling: Vec<_> =
            letters.iter().zip(&delivery.outcomes).map(|(letter, outcome)| self.settle(letter, outcome, now)).collect();
        let settled: Vec<Result<(), ledger::Error>> = stream::iter(settling).buffered(AT_ONCE).collect().await;
        let mut first_left = None;
        for (letter, outcome) in letters.iter().zip(&delivery.outcomes) {
            match outcome {
                Outcome::Taken => self.summary.delivered += 1,
                Outcome::Refused(_) => self.summary.refused += 1,
                Outcome::TooLarge(_) => self.summary.too_large += 1,
                Outcome::NotSent | Outcome::Unknown => {
                    first_left.get_or_insert_with(|| letter.value.name());
                }
            }
        }
        settled.into_iter().collect::<Result<(), _>>()?;
        if let Some(failure) = delivery.failure {
            self.summary.next = first_left;
            return Err(failure.into());
        }
        if delivery.slow_down {
            slow_down().await;
        }
        Ok(())
    }

    /// The letters of a batch that the order means.
    async fn read(&mut self, batch: &[LetterEntry]) -> Result<Vec<Versioned<DeadLetter>>, ledger::Error> {
        let ledger = self.parties.ledger;
        let reading: Vec<_> = batch.iter().map(|entry| ledger.letter(&entry.name, self.time.deadline)).collect();
        let read: Vec<Result<Option<Versioned<DeadLetter>>, ledger::Error>> =
            stream::iter(reading).buffered(AT_ONCE).collect().await;
        let mut letters = Vec::new();
        for letter in read {
            match letter {
                Ok(Some(letter)) if self.means(&letter.value) => letters.push(letter),
                // Another redrive has resolved it meanwhile, or it is not meant.
                Ok(_) => {}
                Err(error @ ledger::Error::Corrupt { .. }) => {
                    tracing::error!(error = &error as &dyn std::error::Error, "a dead letter cannot be read; it stays");
                    self.summary.unreadable += 1;
                }
                Err(error) => return Err(error),
            }
        }
        for letter in &letters {
            let reasons = &mut self.summary.by_reason;
            let is_named = reasons.len() < REASONS_MAX || reasons.contains_key(&letter.value.reason);
            let reason = if is_named { letter.value.reason.clone() } else { "other reasons".to_owned() };
            *reasons.entry(reason).or_default() += 1;
        }
        self.summary.matched += letters.len() as u64;
        Ok(letters)
    }

    fn means(&self, letter: &DeadLetter) -> bool {
        let own = self.parties.target.name().as_str();
        letter.owed_to.iter().any(|owed| owed == own)
            && !letter.is_pointer()
            && self.order.reason.as_ref().is_none_or(|reason| letter.reason.contains(reason.as_str()))
    }

    async fn settle(
        &self,
        letter: &Versioned<DeadLetter>,
        outcome: &Outcome,
        now: Option<Timestamp>,
    ) -> Result<(), ledger::Error> {
        let Parties { ledger, target, .. } = self.parties;
        match outcome {
            Outcome::Taken => {
                persist(|| ledger.resolve(letter, target.name().as_str(), self.time.deadline), self.time.deadline).await
            }
            Outcome::Refused(reason) | Outcome::TooLarge(reason) => {
                let now = now.unwrap_or(letter.value.last_try);
                ledger.refuse_again(letter, reason, now, self.time.deadline).await
            }
            Outcome::NotSent | Outcome::Unknown => Ok(()),
        }
    }

    /// Counts by their names what was not tried, where something is left and for as long as there is time.
    async fn count_left(&mut self) {
        let mut from = self.summary.next.clone();
        if from.is_none() {
            return;
        }
        for _ in 0..LEFT_PAGES_MAX {
            match self.page(from.as_deref()).await {
                Ok(page) => {
                    self.summary.left += page.letters.len() as u64;
                    from = page.next;
                }
                Err(error) => {
                    tracing::warn!(error = &error as &dyn std::error::Error, "what is left cannot be counted");
                    return;
                }
            }
            if from.is_none() {
                return;
            }
        }
    }
}

/// Cuts a page into batches; a letter that is larger than a batch is one of its own.
fn batches(letters: &[LetterEntry], rate: Option<u32>) -> Vec<&[LetterEntry]> {
    let most = rate.map_or(BATCH_LETTERS, |rate| usize::try_from(rate).unwrap_or(usize::MAX).min(BATCH_LETTERS));
    let mut batches = Vec::new();
    let mut rest = letters;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |letter: &&LetterEntry| {
            bytes += letter.bytes.unwrap_or(LETTER_BYTES);
            bytes <= BATCH_BYTES
        };
        let count = rest.iter().take(most).take_while(fits).count().max(1);
        let (batch, behind) = rest.split_at(count);
        batches.push(batch);
        rest = behind;
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_is_bounded_in_letters_bytes_and_by_the_rate() {
        let sizes = |bytes: &[Option<u64>], rate| -> Vec<usize> {
            let letter = |bytes: &Option<u64>| LetterEntry { name: String::new(), bytes: *bytes };
            let letters: Vec<_> = bytes.iter().map(letter).collect();
            batches(&letters, rate).iter().map(|batch| batch.len()).collect()
        };
        assert_eq!(sizes(&[], None), [0; 0]);
        assert_eq!(sizes(&[Some(10); 250], None), [100, 100, 50]);
        assert_eq!(sizes(&[Some(10); 250], Some(1_000)), [100, 100, 50]);
        assert_eq!(sizes(&[Some(10); 5], Some(2)), [2, 2, 1]);
        assert_eq!(sizes(&[None; 100], None), [93, 7]);
        let (small, large) = (Some(700_000), Some(20_000_000));
        assert_eq!(sizes(&[small, small, small, large, small, large, large], None), [2, 1, 1, 1, 1, 1]);
    }
}
