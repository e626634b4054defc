//! Journeys of audit events through the functions: the harness of the tests in `it/`, and the simulation.
//!
//! [`house`] builds a tenancy with the whole pipeline in it, without sockets and on one virtual clock. [`simulation`] runs
//! thousands of them through everything that goes wrong.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a harness that cannot go on may panic")]

pub mod contract;
pub mod house;
pub mod wire;

pub mod simulation;
