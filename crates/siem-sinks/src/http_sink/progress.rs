//! One delivery under way: what became of each record, and what is sent next.

use std::sync::Arc;

use super::{
    Dialect, Verdict,
    body::{Body, BodyMaker},
};
use crate::{Delivery, Outcome, Record, SinkFailure};

/// How many events the other side may refuse one by one in a delivery in which it takes none, before the delivery ends: so
/// many faulty events in a row are a faulty setting, and what is refused for good costs somebody's time later.
const REFUSALS_MAX: usize = 20;

pub(super) struct Progress {
    outcomes: Vec<Outcome>,
    slow_down: bool,
    /// The first record that is in no body yet.
    next: usize,
    /// The largest body that the other side takes, as far as it has said.
    limit: usize,
    /// The largest that is tried, while the one bad event of a body is sought.
    max_bytes: usize,
    refusals: Refusals,
    peer: &'static str,
}

/// What the other side has refused of one delivery, event by event.
#[derive(Default)]
struct Refusals {
    some_taken: bool,
    events: usize,
    /// What was said of the last.
    last: String,
}

impl Progress {
    pub(super) fn new<D: Dialect>(records: usize, batch_max_bytes: usize) -> Self {
        Self {
            outcomes: vec![Outcome::NotSent; records],
            slow_down: false,
            next: 0,
            limit: batch_max_bytes,
            max_bytes: batch_max_bytes,
            refusals: Refusals::default(),
            peer: D::PEER,
        }
    }

    pub(super) fn next_body<D: Dialect>(&mut self, maker: &mut BodyMaker<'_, D>, records: &[Record]) -> Option<Body> {
        maker.next_body(records, self.next, self.max_bytes, &mut self.outcomes)
    }

    /// Notes what the other side, in the words `said`, makes of `body`.
    pub(super) fn learn(&mut self, body: &Body, verdict: Verdict, said: &str) {
        let is_alone = body.members.len() == 1;
        match verdict {
            Verdict::Taken { slow_down } => {
                self.mark(&body.members, &Outcome::Taken);
                self.slow_down |= slow_down;
                self.refusals.some_taken = true;
                self.next = body.next;
            }
            Verdict::BadEvent { .. } | Verdict::NoneTaken if is_alone => {
                self.refuse(&body.members, body.next, &Outcome::Refused(self.reason(said)), said);
                self.max_bytes = self.limit;
            }
            Verdict::TooLarge if is_alone => {
                self.refuse(&body.members, body.next, &Outcome::TooLarge(self.reason(said)), said);
                self.max_bytes = self.limit;
            }
            Verdict::BadEvent { place: Some(place) } if place < body.members.len() => {
                let (taken, rest) = body.members.split_at(place);
                self.mark(taken, &Outcome::Taken);
                self.refusals.some_taken |= !taken.is_empty();
                if let Some(&bad) = rest.first() {
                    self.refuse(&[bad], bad + 1, &Outcome::Refused(self.reason(said)), said);
                }
            }
            // Bodies of half the size from the same place on; the last halving leaves one event.
            Verdict::TooLarge => {
                self.limit = body.plain_bytes / 2;
                self.max_bytes = self.limit;
            }
            Verdict::BadEvent { .. } => {
                // Some may be taken; should what follows fail, that must be known.
                self.mark(&body.members, &Outcome::Unknown);
                self.max_bytes = body.plain_bytes / 2;
            }
            Verdict::NoneTaken => self.max_bytes = body.plain_bytes / 2,
            Verdict::SomeTaken => {
                let reason = format!(
                    "{}; which of the body's {} events it has is not known, and sent again those would be there twice",
                    self.reason(said),
                    body.members.len()
                );
                self.mark(&body.members, &Outcome::Refused(reason.into()));
                self.refusals.some_taken = true;
                self.next = body.next;
                self.max_bytes = self.limit;
            }
        }
    }

    /// Whether the other side refuses so much that it can hardly be the events' fault, and there is something left to keep.
    pub(super) fn is_hopeless(&self) -> bool {
        let refuses_all = !self.refusals.some_taken && self.refusals.events >= REFUSALS_MAX;
        refuses_all && self.outcomes.iter().any(|outcome| matches!(outcome, Outcome::NotSent | Outcome::Unknown))
    }

    pub(super) fn given_up(self, host: &str, suspects: &'static str) -> Delivery {
        let refused = self.refusals.events;
        let failure =
            SinkFailure::RefusesAll { host: host.to_owned(), refused, answer: self.refusals.last.clone(), suspects };
        self.ended(Some(failure))
    }

    /// The delivery where nothing more is sent since `body` met with `failure`.
    pub(super) fn ended_by(mut self, body: &Body, failure: SinkFailure) -> Delivery {
        if let SinkFailure::Unknown { .. } = failure {
            self.mark(&body.members, &Outcome::Unknown);
        }
        self.ended(Some(failure))
    }

    pub(super) fn done(self) -> Delivery {
        self.ended(None)
    }

    fn ended(self, failure: Option<SinkFailure>) -> Delivery {
        Delivery { outcomes: self.outcomes, slow_down: self.slow_down, failure }
    }

    fn refuse(&mut self, members: &[usize], next: usize, outcome: &Outcome, said: &str) {
        self.mark(members, outcome);
        self.refusals.events += 1;
        said.clone_into(&mut self.refusals.last);
        self.next = next;
    }

    fn mark(&mut self, members: &[usize], outcome: &Outcome) {
        for &index in members {
            if let Some(place) = self.outcomes.get_mut(index) {
                *place = outcome.clone();
            }
        }
    }

    fn reason(&self, said: &str) -> Arc<str> {
        format!("refused by {}: {said}", self.peer).into()
    }
}
