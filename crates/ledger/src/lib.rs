//! The maildir in a bucket that remembers what is not yet done.
//!
//! Streams and topics carry work and may lose it, double it, reorder it or let it expire; the truth lies here. A folder is
//! a state, a rename is a transition, and a name carries what the sweep must know, so that a listing alone decides.
//!
//! ```text
//! positions.json  scopes.json              changed by compare-and-set
//! owed/<stage>/<key>~<attempts>            waits for a doorbell or the sweep
//! held/<stage>/<key>~<attempts>~<until>    somebody works on it until then
//! seen/<span>/<destination>/<batch>~…      a shipped batch; its event ids are what later looks skip
//! seen/<span>/fetch/<part>~<account>       what listing work found
//! dead/<date>/<destination>/<key>          a dead letter
//! proof/<date>/<windows>                   a line for each window that is over
//! hush/<destination>~<level>               a destination that is down
//! seen/object/<destination>/<key>~…        a log file all of whose records are settled
//! kept/object/<destination>/<key>/<offset> a log file's bytes, where the file may go before they are delivered
//! search/<destination>/<bucket>            where the search for files whose event never came goes on
//! ```
//!
//! ```no_run
//! # async fn example(client: oci_client::Client) -> Result<(), Box<dyn std::error::Error>> {
//! use std::time::Duration;
//!
//! use ledger::{Ledger, Taken};
//!
//! let ledger = Ledger::new(client.bucket("axaxnpcrorw5", "siem-state"));
//! let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
//! for (owed, _) in ledger.waiting(deadline).await?.owed {
//!     let until = client.service_time().ok_or("no time")? + Duration::from_secs(80);
//!     if let Taken::Held(held) = ledger.take(&owed, until, deadline).await? {
//!         // … do what `ledger.fetch_body(&held, deadline)` says …
//!         ledger.finish_listing(&held, &pipeline::Account::default(), deadline).await?;
//!     }
//! }
//! # Ok(()) }
//! ```
//!
//! It decides nothing: names and bodies are `pipeline`'s, and what to do with them is the functions'. The price of every
//! race here is a duplicate, never a loss: work is written before what it replaces is removed.

mod dead;
mod error;
mod hush;
mod objects;
mod on_their_way;
mod proofs;
mod receipts;
mod state;

pub use dead::{Buried, DeadLetter, LetterEntry, LetterPage, item_letter, letter_date, rest_letter, sha256_hex};
pub use error::Error;
pub use objects::{KEPT_PART_MAX_BYTES, ObjectWork, kept_folder};
pub use receipts::{Owed, Taken, Waiting};
pub use state::{Contents, Swapped, Versioned};

use oci_client::Bucket;

/// When to stop waiting.
pub type Deadline = tokio::time::Instant;

/// The state bucket. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Ledger {
    bucket: Bucket,
}

impl Ledger {
    /// The ledger in `bucket`, which belongs to it alone.
    pub fn new(bucket: Bucket) -> Self {
        Self { bucket }
    }
}
