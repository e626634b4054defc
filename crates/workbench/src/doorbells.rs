//! Ringing the next function.

use oci_client::Client;
use oci_names::Ocid;
use pipeline::{Pointer, Word, group};

use crate::Deadline;

/// What came of ringing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rung {
    /// Notifications that were taken.
    pub doorbells: usize,
    /// Pointers that were in none of them; their receipts wait for the sweep.
    pub unrung: usize,
}

/// Publishes doorbells for `pointers` on `topic`, at least `spread` of them if there are as many pointers; each says
/// `word`.
///
/// Never fails: a doorbell that was not taken costs time, not events, for its receipts are owed until somebody works on
/// them. After a refusal nothing more is published: the topic takes 60 a minute.
pub async fn ring(
    client: &Client,
    topic: &Ocid,
    title: &str,
    (pointers, spread): (Vec<Pointer>, usize),
    word: &Word,
    deadline: Deadline,
) -> Rung {
    let mut rung = Rung::default();
    for doorbell in group(pointers, spread, word) {
        if rung.unrung > 0 {
            rung.unrung += doorbell.pointers.len();
            continue;
        }
        match client.notifications().publish_message(topic, title, &doorbell.to_json(), deadline).await {
            Ok(()) => rung.doorbells += 1,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "the topic took no doorbell; the sweep rings again"
                );
                rung.unrung += doorbell.pointers.len();
            }
        }
    }
    rung
}
