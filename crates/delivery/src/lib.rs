//! What every function that sends stands on: the configured destination, dead letters, and their redrive.
//!
//! A function reads its [`Target`] with [`target_keys`], sends records to it, sets aside with [`Letters`] what it refuses for
//! good, and hands a direct call's order to [`redrive`]. It knows neither where records come from nor what is owed: a receipt
//! or an object is the function's own.
//!
//! ```
//! use delivery::target_keys;
//! use fn_hyper::config::Reader;
//!
//! let table = |key: &str| match key {
//!     "logzio_url" => Some("listener.logz.io".to_owned()),
//!     "logzio_token" => Some("ocid1.vaultsecret.oc1.iad.a".to_owned()),
//!     _ => None,
//! };
//! let mut keys = Reader::new(&table);
//! let target = target_keys(&mut keys);
//! let target = keys.finish(|| target).unwrap();
//! assert_eq!(target.name().as_str(), "logzio");
//! ```

mod keys;

mod target;

mod splunk;

mod letters;

pub mod redrive;

mod persist;

mod ends;

mod word;

pub use ends::{Ends, slow_down};
pub use keys::target_keys;
pub use letters::{Letters, NotSetAside};
pub use persist::persist;
pub use target::{CannotSetUp, Target};
pub use word::{Fared, tell_the_sweep};

use ledger::Ledger;
use oci_client::Client;

/// The three that every delivery has to do with.
#[derive(Clone, Copy)]
pub struct Parties<'a> {
    /// Tells the time, and asks the vault.
    pub client: &'a Client,
    /// Keeps what is not taken.
    pub ledger: &'a Ledger,
    /// Takes the records.
    pub target: &'a Target,
}
