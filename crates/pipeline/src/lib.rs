//! What the audit pipeline decides: which windows to ask for, which scopes, how work is cut, packed, named and pointed at.
//!
//! Decides and nothing else: no waiting, no sockets, no clock, no environment, no logging. `now` and random ids are
//! handed in, so the same input gives the same plan, byte for byte.
//!
//! ```
//! use pipeline::{Minute, Window};
//!
//! let planned_until: Minute = "2026-01-05T21:20:00Z".parse()?;
//! let now = "2026-01-05T21:27:13Z".parse()?;
//! let window = Window::next(planned_until, Minute::floor(now), 60).expect("seven minutes are due");
//! assert_eq!(window.to_string(), "20260105T2120Z-20260105T2127Z");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod backfill;
mod batch;
mod event;
mod names;
mod plan;
mod pointer;
mod positions;
mod receipt;
mod scope;
mod version;
mod window;

pub use backfill::{Backfill, BackfillError};
pub use batch::{Batch, BatchLimits, Batcher, CannotUnpack, Encoding, TooLarge, unpack};
pub use event::{EventHash, event_hash};
pub use names::{Destination, FetchKey, InvalidReceiptName, Lane, Receipt, ShipKey, Stage, State, seen_name};
pub use plan::{Part, WorkUnit, parts};
pub use pointer::{Doorbell, InvalidDoorbell, Location, Pointer, group};
pub use positions::{Lease, Positions, Turn};
pub use receipt::{FetchBody, ShipBody};
pub use scope::{CompartmentSeen, Scopes};
pub use window::{InvalidMinute, Minute, Window};
