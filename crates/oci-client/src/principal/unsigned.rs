//! A principal that signs nothing, for simulations: an emulator that checks no signature takes it for its user.

use oci_names::{Ocid, Region};

/// Its home region and tenancy, and nothing else.
#[derive(Debug)]
pub struct Unsigned {
    region: Region,
    tenancy: Ocid,
}

impl Unsigned {
    pub(crate) fn new(region: Region, tenancy: Ocid) -> Self {
        Self { region, tenancy }
    }

    pub(crate) fn region(&self) -> &Region {
        &self.region
    }

    pub(crate) fn tenancy(&self) -> &Ocid {
        &self.tenancy
    }
}
