//! Formats: an event becomes the bytes that a destination reads.

mod hec_envelope;

mod json_line;

mod routing;

mod json_object;

pub use hec_envelope::HecEnvelope;
pub(crate) use hec_envelope::HecFormat;
pub(crate) use json_line::encode as encode_line;
