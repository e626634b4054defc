//! Reads log files: the bytes of a file as they arrive, its records as soon as they are whole.
//!
//! A file is gzip, of any number of members, or plain text; its first bytes tell, not its name. What it holds is cut by
//! [`json_records::LenientSplitter`]. Memory depends on neither the file's size nor its ratio: each step inflates 256 KiB at
//! most, and one unfinished record is kept.
//!
//! What is damaged, cut off, or larger than it may be ends with [`Damage`]; the whole records before that place are out. A
//! reader that must stop goes on elsewhere from a [`ResumePoint`]: at a gzip member, or at any record of plain text.
//!
//! It does no I/O, knows no cloud, and keeps no time.
//!
//! ```
//! use log_decoder::{Decoder, Item, Limits};
//!
//! let mut decoder = Decoder::new(Limits::default());
//! let mut records = Vec::new();
//! let mut out = |item: Item| {
//!     if let Item::Record { bytes, .. } = item {
//!         records.push(bytes.to_vec());
//!     }
//! };
//! let mut rest: &[u8] = br#"{"a":1}{"b":2}"#;
//! while !rest.is_empty() {
//!     let step = decoder.step(rest, &mut out)?;
//!     rest = &rest[step.taken..];
//! }
//! decoder.finish(&mut out)?;
//! assert_eq!(records, [br#"{"a":1}"#, br#"{"b":2}"#]);
//! # Ok::<(), log_decoder::Damage>(())
//! ```

mod damage;
mod decoder;
mod format;
mod point;

pub use damage::Damage;
pub use decoder::{Decoder, Limits, Step};
pub use json_records::{Item, NoRecord};
pub use point::ResumePoint;
