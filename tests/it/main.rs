//! Journeys of audit events through the functions, with the emulator and a collector around them.

mod house;
mod wire;

mod journey;
mod key_tables;
mod kills;
mod r_failing;
mod r_operations;
mod r_scopes;
mod r_sending;
mod r_stream;
