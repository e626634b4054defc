//! What is done, as the names under `seen/` tell it, and the lines that prove it.

use bytes::Bytes;
use oci_client::{ListObjects, Precondition};
use pipeline::{Minute, Proof, Seen, Window};

use crate::{Deadline, Error, Ledger};

/// Some hours of a large tenancy have some thousand batches.
const SEEN_MAX: usize = 50_000;

impl Ledger {
    /// The names of what is done in windows that begin at or after `from` and before `until`, in the live lane.
    ///
    /// # Errors
    /// Where they cannot be listed to the end.
    pub async fn seen(&self, from: Minute, until: Minute, deadline: Deadline) -> Result<Vec<Seen>, Error> {
        let edge = |minute: Minute| Window::new(minute, minute.plus(1)).map(|window| format!("seen/{window}"));
        let range = ListObjects { start: edge(from), end: edge(until), ..ListObjects::default() };
        let listing = self.bucket.list_all(&range, SEEN_MAX, deadline).await.map_err(Error::bucket("list", "seen/"))?;
        if listing.next_start_with.is_some() {
            return Err(Error::TooMany { prefix: "seen/".to_owned() });
        }
        Ok(listing.objects.iter().filter_map(|object| object.name.parse().ok()).collect())
    }

    /// Leaves `lines`, oldest first, in `proof/`. Written again, for a planner that died in between, they say the same.
    ///
    /// # Errors
    /// Where they cannot be written: then the windows are still to be proven.
    pub async fn prove(&self, lines: &[Proof], deadline: Deadline) -> Result<(), Error> {
        let (Some(first), Some(last)) = (lines.first(), lines.last()) else { return Ok(()) };
        let Some(span) = Window::new(first.from, last.until) else { return Ok(()) };
        let name = format!("proof/{}/{span}", first.from.start().strftime("%Y-%m-%d"));
        let mut body = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut body, line).map_err(|source| Error::Corrupt { name: name.clone(), source })?;
            body.push(b'\n');
        }
        let put = self.bucket.put(&name, Bytes::from(body), Precondition::None, deadline).await;
        put.map(drop).map_err(Error::bucket("write", &name))
    }
}
