//! Formats: an event becomes the bytes that a destination reads.

mod routing;

mod hec_envelope;

pub use hec_envelope::HecEnvelope;
pub(crate) use hec_envelope::HecFormat;
