//! Notifications: ringing a topic.

use oci_names::{Ocid, Region};
use serde::Serialize;

use crate::{
    Client, Deadline, Error, Service,
    call::{Call, Repeat},
    target::Target,
};

const BASE_PATH: &str = "/20181201";

/// A request, title and escaping included.
pub const PUBLISH_MAX_BYTES: usize = 64 * 1024;

const BODY_MAX_BYTES: usize = 64 * 1024;

/// Calls of the Notifications service.
#[derive(Debug, Clone, Copy)]
pub struct Notifications<'a> {
    client: &'a Client,
}

impl<'a> Notifications<'a> {
    pub(crate) fn new(client: &'a Client) -> Self {
        Self { client }
    }

    /// Publishes `body` on `topic`, in the region that the topic's OCID names; subscribed functions get `body` verbatim.
    ///
    /// A doorbell: it may ring twice, so that it is repeated even where the outcome is unknown. **429 is not retried**
    /// (60 a minute and topic are the limit): the caller leaves it to a later run.
    ///
    /// # Errors
    /// [`Error::Invalid`] past [`PUBLISH_MAX_BYTES`]; else as the service answered.
    ///
    /// Source: Notifications API reference, PublishMessage.
    pub async fn publish_message(
        &self,
        topic: &Ocid,
        title: &str,
        body: &str,
        deadline: Deadline,
    ) -> Result<(), Error> {
        #[derive(Serialize)]
        struct Details<'a> {
            title: &'a str,
            body: &'a str,
        }
        const OPERATION: &str = "PublishMessage";
        let named: Option<Region> = topic.region().and_then(|region| region.parse().ok());
        let endpoint = self.client.endpoint(Service::Notifications, named.as_ref())?;
        let target = Target::new(&endpoint, BASE_PATH).part("topics").value(topic.as_str()).part("messages");
        let call = Call::post_json(OPERATION, target, &Details { title, body }, Repeat::UnlessThrottled)?;
        if call.content_len() > PUBLISH_MAX_BYTES {
            return Err(Error::Invalid { operation: OPERATION, what: "a message may have 64 KiB at most" });
        }
        self.client.call(&call, BODY_MAX_BYTES, deadline).await?;
        Ok(())
    }
}
