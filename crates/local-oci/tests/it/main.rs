//! The emulator through its wire: every request is signed by a signer written for these tests from the reference.

#![expect(clippy::expect_used, reason = "the helpers of tests are not in test functions")]

mod client;

mod audit;
mod credentials;
mod headers;
mod identity;
mod object_storage;
mod secrets;
mod serve;
mod server;
