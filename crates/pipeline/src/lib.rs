//! What the audit pipeline decides: which windows to ask for, which scopes, how work is cut, packed, named and pointed at, and
//! what of an event is withheld.
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
mod digest;
mod event;
mod names;
mod object;
mod own_reads;
mod plan;
mod pointer;
mod positions;
mod proof;
mod receipt;
mod redact;
mod reduced;
mod scope;
mod seen;
mod version;
mod window;

pub use backfill::{Backfill, BackfillError};
pub use batch::{Batch, BatchLimits, Batcher, CannotUnpack, Encoding, TooLarge, unpack};
pub use event::{EventHash, event_hash};
pub use names::{Destination, EventRange, FetchKey, InvalidReceiptName, Lane, Receipt, ShipKey, Stage, State};
pub use object::{FileTally, ObjectKey, SeenObject};
pub use own_reads::OwnReads;
pub use plan::{Part, WorkUnit, parts};
pub use pointer::{Doorbell, InvalidDoorbell, Location, Pointer, Word, group};
pub use positions::{Lease, Looks, Positions, Turn, Windows};
pub use proof::{Fate, Planned, Proof};
pub use receipt::{Anew, FetchBody, ShipBody};
pub use redact::{REDACTED_NAMES, Redacted, Redactor};
pub use reduced::{Whole, reduced};
pub use scope::{CompartmentSeen, Scopes};
pub use seen::{Account, Owing, Seen, Tally};
pub use window::{InvalidMinute, Minute, Window};
