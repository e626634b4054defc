//! The ledger against the emulated object store: every transition, with lost answers and races.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on may panic, in its helpers too")]

mod house;

mod letters;
mod listing;
mod on_their_way;
mod races;
mod state;
mod transitions;
mod unreachable;
