//! Which scopes there are: from the ledger while that is fresh, else from Identity.

use jiff::{SignedDuration, Timestamp};
use ledger::{Swapped, Versioned};
use oci_client::{AccessLevel, LifecycleState, RegionStatus};
use oci_names::Region;
use pipeline::{CompartmentSeen, Minute, Scopes, Window};
use workbench::Deadline;

use crate::{App, schedule::RunError};

/// The scopes, and the version that lies in the ledger.
pub(crate) struct Known {
    pub(crate) value: Scopes,
    etag: Option<String>,
}

/// The scopes to plan over; a fresh list is written before anything is planned over it, so that who takes over from a
/// dead planner plans over the same.
pub(crate) async fn scopes(
    app: &App,
    now: Timestamp,
    planned_until: Minute,
    read: Option<Versioned<Scopes>>,
    keep: bool,
    deadline: Deadline,
) -> Result<Known, RunError> {
    let max_age = SignedDuration::from_mins(i64::from(app.config.scopes_max_age_minutes));
    if let Some(read) = &read {
        let fresh = now.duration_since(read.value.refreshed_at()) < max_age;
        if keep || fresh {
            return Ok(Known { value: read.value.clone(), etag: Some(read.etag.clone()) });
        }
    }
    let listed = match (list(app, deadline).await, &read) {
        (Ok(listed), _) => listed,
        (Err(error), Some(read)) => {
            tracing::warn!(
                error = &error as &dyn std::error::Error,
                "regions and compartments cannot be listed; planning over those known"
            );
            return Ok(Known { value: read.value.clone(), etag: Some(read.etag.clone()) });
        }
        (Err(error), None) => return Err(RunError::Scopes(error)),
    };
    let (ready, compartments) = listed;
    let (value, etag) = match read {
        Some(read) => (read.value.refreshed(now, planned_until, &ready, &compartments), Some(read.etag)),
        None => (Scopes::first(now, &ready, &compartments), None),
    };
    write(app, value, etag, deadline).await
}

/// The scopes once `first` was planned; written only where a lagging scope has caught up.
pub(crate) async fn after(
    app: &App,
    scopes: Known,
    first: Option<Window>,
    deadline: Deadline,
) -> Result<Known, RunError> {
    match first.and_then(|window| scopes.value.after(window)) {
        Some(next) => write(app, next, scopes.etag, deadline).await,
        None => Ok(scopes),
    }
}

async fn write(app: &App, value: Scopes, etag: Option<String>, deadline: Deadline) -> Result<Known, RunError> {
    match app.config.ledger.swap_scopes(&value, etag.as_deref(), deadline).await? {
        Swapped::Written(etag) => Ok(Known { value, etag: Some(etag) }),
        // Only the holder of the lease writes here: either the lease has passed on, or our own answer was lost. What is
        // planned over this list is written under keys that the next planner adopts, and it reads the list anew.
        Swapped::Lost => {
            tracing::warn!("scopes.json was written by somebody else");
            let read = app.config.ledger.scopes(deadline).await?;
            match read {
                Some(read) => Ok(Known { value: read.value, etag: Some(read.etag) }),
                None => Ok(Known { value, etag: None }),
            }
        }
    }
}

async fn list(app: &App, deadline: Deadline) -> Result<(Vec<Region>, Vec<CompartmentSeen>), oci_client::Error> {
    let client = &app.config.connection.client;
    let tenancy = client.tenancy()?;
    let identity = client.identity();
    let (regions, compartments) = tokio::join!(
        identity.list_region_subscriptions(&tenancy, deadline),
        // ANY: a compartment that policy hides is still listed, so that its 404 is seen rather than its events missed.
        identity.list_compartments(&tenancy, AccessLevel::Any, deadline)
    );
    let ready = regions?
        .into_iter()
        .filter(|region| region.status == RegionStatus::Ready)
        .map(|region| region.region_name)
        .collect();
    // The root is never in the list, and most of what matters (IAM, sign-on) happens in it.
    let root = CompartmentSeen { id: tenancy, created: Timestamp::UNIX_EPOCH, active: true };
    let seen = compartments?.into_iter().map(|compartment| CompartmentSeen {
        id: compartment.id,
        created: compartment.time_created,
        active: match compartment.lifecycle_state {
            LifecycleState::Deleting | LifecycleState::Deleted => false,
            LifecycleState::Creating | LifecycleState::Active | LifecycleState::Inactive | LifecycleState::Other => {
                true
            }
        },
    });
    Ok((ready, std::iter::once(root).chain(seen).collect()))
}
