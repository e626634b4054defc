//! The simulation: what a seed decides, a tenancy that lives through it, and the account at the end.
//!
//! A seed runs on one thread, on tokio's paused clock and without sockets, and is the same run each time, byte for byte.
//! [`scenario`] is drawn from it beforehand; [`run`] builds the house, rings the schedule and settles; [`mod@line`] is the wire
//! between functions and emulator, where calls are killed, answers spoiled and mutants at work; [`book`] keeps the truth
//! beside the pipeline, [`files`] the one about log files, and [`deployment`] holds each answer against it.

pub mod run;
pub mod scenario;

pub mod book;
pub mod deployment;
pub mod files;
pub mod line;
pub mod weather;
pub mod world;

pub mod ask;
mod call;
pub mod hec;
pub mod mutant;
mod proof;
mod redacted;

pub mod dice;
pub mod fault;
pub mod tally;

pub use call::Stage;
