//! The client against a transport that plays a queue of answers.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "what a test sets up must hold, or the test fails")]

mod credentials;
mod double;
mod metrics;
mod outcomes;
mod reading;
mod requests;
mod retries;
mod wire;
