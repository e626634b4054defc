//! Why the rest of a file cannot be read.

/// The file cannot be read on. The whole records before that place have been given out; no variant holds content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Damage {
    /// The compressed data contradicts itself, or its checksum.
    #[error("the gzip data is damaged behind byte {at}")]
    Corrupt {
        /// How many bytes of the file had been read.
        at: u64,
    },
    /// The file ends within a gzip member.
    #[error("the gzip data ends too early, at byte {at}")]
    Truncated {
        /// The file's length.
        at: u64,
    },
    /// Something that is no gzip member follows the last one.
    #[error("bytes that are no gzip follow at byte {at}")]
    Trailing {
        /// Where.
        at: u64,
    },
    /// The file ends within a top-level array: records may be missing.
    #[error("the file ends within a top-level array")]
    OpenArray,
    /// Compressed by a means that is not read here.
    #[error("a {format} file: gzip and plain text are read")]
    Unsupported {
        /// Which.
        format: &'static str,
    },
    /// It opens to more than it may.
    #[error("opens to more than {max} bytes (inflated_max_bytes)")]
    TooLarge {
        /// The limit.
        max: u64,
    },
    /// It opens to more than its length could honestly hold.
    #[error("opens to more than {max} times its length (ratio_max)")]
    Ratio {
        /// The limit.
        max: u64,
    },
}
