//! The contract, held by a real process over a real socket. Each file is a part of the contract.

mod bodies;
mod calls;
mod faulty;
#[expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]
mod harness;
mod log;
mod route;
mod socket;
