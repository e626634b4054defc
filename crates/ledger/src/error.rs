//! What can go wrong with the ledger.

/// The ledger could not be read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Object Storage said no, or nothing.
    #[error("state bucket: could not {doing} {name}")]
    Bucket {
        /// What was tried.
        doing: &'static str,
        /// The object.
        name: String,
        /// The service's word.
        #[source]
        source: Box<oci_client::Error>,
    },
    /// A listing that must be whole is longer than can be read.
    #[error("state bucket: {prefix} holds more objects than can be looked through: is its life-cycle rule in place?")]
    TooMany {
        /// Where.
        prefix: String,
    },
    /// Others change an object as often as we do.
    #[error("state bucket: {name} was changed by others at each attempt to change it")]
    Contended {
        /// The object.
        name: String,
    },
    /// An object of ours does not hold what it should.
    #[error("state bucket: {name} does not hold what this version writes; look at it, and remove or mend it by hand")]
    Corrupt {
        /// The object.
        name: String,
        /// Where its JSON goes wrong.
        #[source]
        source: serde_json::Error,
    },
}

impl Error {
    pub(crate) fn bucket(doing: &'static str, name: &str) -> impl FnOnce(oci_client::Error) -> Self + use<> {
        let name = name.to_owned();
        move |source| Self::Bucket { doing, name, source: Box::new(source) }
    }
}

/// What the service said last: the refusal itself, also where it may answer a repeat of what had taken effect already.
pub(crate) fn refusal(error: &oci_client::Error) -> &oci_client::Error {
    match error {
        oci_client::Error::OutcomeUnknown { last, .. } => last,
        error => error,
    }
}
