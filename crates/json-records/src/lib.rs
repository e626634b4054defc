//! Cuts a byte stream of JSON values into records, without parsing or rewriting them.
//!
//! A record is one JSON object, given back byte for byte as it came: numbers, escapes, doubled keys and blanks inside it
//! stay as they are. The objects may follow each other with any white space or none, one or several a line or spread over
//! lines, or lie as the elements of top-level arrays; a byte-order mark at the start is skipped.
//!
//! There are two ways to cut. The [`Splitter`] is for what a service answers: the first byte that does not fit ends it. The
//! [`LenientSplitter`] is for files that anybody may have written: it checks each record's grammar and UTF-8, sets aside
//! what is none, and reads on.
//!
//! The splitter looks at strings, braces and brackets and nothing else. It does not check the grammar inside a record (`{"a" 1}`
//! passes), nor its UTF-8: who needs that proof parses the record. It does no I/O and keeps no more than one unfinished
//! record. [`minify`] takes the white space between tokens away, for formats that want one record a line.
//!
//! ```
//! use json_records::{Limits, Splitter};
//!
//! let mut splitter = Splitter::new(Limits { record_max_bytes: 1024 });
//! let mut records = Vec::new();
//! splitter.feed(br#"{"id": "}{"}{"id":"#, &mut records)?;
//! splitter.feed(br#"2e0}"#, &mut records)?;
//! splitter.finish(&mut records)?;
//! assert_eq!(records, [&br#"{"id": "}{"}"#[..], br#"{"id":2e0}"#]);
//! # Ok::<(), json_records::SplitError>(())
//! ```

mod buffer;
mod error;
mod extent;
mod lenient;
mod minify;
mod outline;
mod quick;
mod splitter;

pub use error::SplitError;
pub use lenient::{Item, LenientSplitter, NoRecord, Place};
pub use minify::minify;
pub use splitter::{Limits, Splitter};
