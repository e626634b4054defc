//! Identity: the regions of a tenancy, and its compartments.

use jiff::Timestamp;
use oci_names::{Ocid, Region};
use serde::Deserialize;

use crate::{Client, Deadline, Error, Service, call::Call, page::Pages, target::Target};

const BASE_PATH: &str = "/20160918";

/// A page of 1 000 compartments with their tags is well below.
const BODY_MAX_BYTES: usize = 16 * 1024 * 1024;

/// Calls of the Identity service, in the client's region: its data is global and any region may be asked.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    client: &'a Client,
}

/// A region that the tenancy has subscribed to.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RegionSubscription {
    /// Short code, upper case: `PHX`.
    pub region_key: String,
    /// The identifier.
    pub region_name: Region,
    /// Only a ready region works.
    pub status: RegionStatus,
    /// Where identity data is written.
    pub is_home_region: bool,
}

/// How far a subscription is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RegionStatus {
    /// The region works.
    Ready,
    /// Not yet.
    InProgress,
    /// A status newer than this code.
    #[serde(other)]
    Other,
}

/// A compartment below the root.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Compartment {
    /// Its own identifier.
    pub id: Ocid,
    /// Its parent's.
    pub compartment_id: Ocid,
    /// Unique among its siblings.
    pub name: String,
    /// Whether it lives.
    pub lifecycle_state: LifecycleState,
    /// When it was made.
    pub time_created: Timestamp,
}

/// The life of a compartment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum LifecycleState {
    /// Being made.
    Creating,
    /// In use.
    Active,
    /// Switched off.
    Inactive,
    /// Being deleted, its resources with it.
    Deleting,
    /// Gone; listed for a year.
    Deleted,
    /// A state newer than this code.
    #[serde(other)]
    Other,
}

/// Which compartments a listing shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccessLevel {
    /// All, whether or not the principal may look into them.
    Any,
    /// Those in which the principal may inspect something.
    Accessible,
}

impl AccessLevel {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Any => "ANY",
            Self::Accessible => "ACCESSIBLE",
        }
    }
}

/// A tenancy.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tenancy {
    /// Its identifier, which is the root compartment's too.
    pub id: Ocid,
    /// Its name.
    pub name: String,
    /// Short code of the home region, upper case: `IAD`.
    pub home_region_key: String,
}

impl<'a> Identity<'a> {
    pub(crate) fn new(client: &'a Client) -> Self {
        Self { client }
    }

    /// The regions that `tenancy` has subscribed to, ready or not. One answer, no pages. May be repeated.
    ///
    /// # Errors
    /// As the service answered, or [`Error::Decode`].
    ///
    /// Source: Identity API reference, ListRegionSubscriptions.
    pub async fn list_region_subscriptions(
        &self,
        tenancy: &Ocid,
        deadline: Deadline,
    ) -> Result<Vec<RegionSubscription>, Error> {
        let target = self.target()?.part("tenancies").value(tenancy.as_str()).part("regionSubscriptions");
        let call = Call::read("ListRegionSubscriptions", target);
        self.client.call(&call, BODY_MAX_BYTES, deadline).await?.json()
    }

    /// All compartments below the root, at any depth and in any state. **The root itself is never among them.**
    ///
    /// Follows `opc-next-page` to the end, past empty pages. May be repeated.
    ///
    /// # Errors
    /// As the service answered, or [`Error::Decode`], also where a page's token repeats.
    ///
    /// Source: Identity API reference, ListCompartments.
    pub async fn list_compartments(
        &self,
        tenancy: &Ocid,
        access_level: AccessLevel,
        deadline: Deadline,
    ) -> Result<Vec<Compartment>, Error> {
        let mut compartments = Vec::new();
        let mut pages = Pages::default();
        loop {
            let target = self
                .target()?
                .part("compartments")
                .query("compartmentId", tenancy.as_str())
                .query("compartmentIdInSubtree", "true")
                .query("accessLevel", access_level.as_str())
                .query("limit", "1000")
                .query_if("page", pages.token());
            let answer = self.client.call(&Call::read("ListCompartments", target), BODY_MAX_BYTES, deadline).await?;
            compartments.extend(answer.json::<Vec<Compartment>>()?);
            if !pages.follow(&answer)? {
                return Ok(compartments);
            }
        }
    }

    /// The tenancy itself, for its name and home region. May be repeated.
    ///
    /// # Errors
    /// As the service answered, or [`Error::Decode`].
    ///
    /// Source: Identity API reference, GetTenancy.
    pub async fn get_tenancy(&self, tenancy: &Ocid, deadline: Deadline) -> Result<Tenancy, Error> {
        let call = Call::read("GetTenancy", self.target()?.part("tenancies").value(tenancy.as_str()));
        self.client.call(&call, BODY_MAX_BYTES, deadline).await?.json()
    }

    fn target(&self) -> Result<Target, Error> {
        Ok(Target::new(&self.client.endpoint(Service::Identity, None)?, BASE_PATH))
    }
}
