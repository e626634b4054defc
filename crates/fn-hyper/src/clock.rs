//! The one wall clock of the crate.

use jiff::Timestamp;

/// Wall-clock time, for two things only: the time left until a deadline that the platform gives as a date (both sides
/// run on one host), and the time in a log line. No window and no signature may be built on it.
#[expect(clippy::disallowed_methods, reason = "the platform's deadline is a date of this host's wall clock")]
pub(crate) fn now() -> Timestamp {
    // Fails only for a clock beyond the year 9999.
    Timestamp::try_from(std::time::SystemTime::now()).unwrap_or(Timestamp::MAX)
}
