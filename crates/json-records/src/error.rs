//! Why a stream could not be cut any further.

/// The stream cannot be cut at some place; what came before that place has been given out.
///
/// Offsets count bytes from the start of the stream. No variant holds content: a record may be confidential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SplitError {
    /// A JSON value that is no object (a scalar, or an array within an array) lies where a record should.
    #[error("the value at byte {at} is not a JSON object")]
    NotAnObject {
        /// Where the value begins.
        at: u64,
    },
    /// A closer without its opener, a comma too many or too few, or bytes that begin no JSON value.
    #[error("not JSON at byte {at}")]
    Broken {
        /// The first byte that does not fit.
        at: u64,
    },
    /// A record is larger than the limit.
    #[error("the record at byte {at} is larger than {record_max_bytes} bytes")]
    TooLarge {
        /// Where the record begins.
        at: u64,
        /// The limit.
        record_max_bytes: usize,
    },
    /// The stream ended within a record or an array.
    #[error("the stream ends within the value at byte {at}, after {records} whole records")]
    Truncated {
        /// Where the unfinished record begins, or where the stream ends if that is between the elements of an array.
        at: u64,
        /// How many records came before, over the whole stream.
        records: u64,
    },
}
