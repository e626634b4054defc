//! Journeys of audit events through the functions, with the emulator and a collector around them.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on may panic, in its helpers too")]

use journeys::{house, wire};

mod dead_letters;
mod destinations;
mod journey;
mod kills;
mod log_files;
mod logzio;
mod notifications;
mod promises;
mod races;
mod redaction;
mod redrive;
mod simulation;
mod sockets;

mod key_tables;
mod r_failing;
mod r_operations;
mod r_scopes;
mod r_sending;
mod r_stream;
