//! What the functions stand on, against the emulator: batches on streams, doorbells, secrets, connections.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on may panic, in its helpers too")]

mod bench;

mod connection;
mod doorbells;
mod putting;
mod reading;
mod secrets;
