//! What a file is, by its first bytes.

/// What the first bytes tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Gzip,
    Plain,
    Unsupported(&'static str),
}

/// So many bytes tell any format.
pub(crate) const HEAD_BYTES: usize = 6;

pub(crate) const GZIP: &[u8] = &[0x1f, 0x8b];

/// The archives that a log's owner may think of.
const UNSUPPORTED: [(&[u8], &str); 6] = [
    (b"PK\x03\x04", "zip"),
    (b"PK\x05\x06", "zip"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\xfd7zXZ\0", "xz"),
    (b"BZh", "bzip2"),
    (b"\x04\x22\x4d\x18", "lz4"),
];

impl Format {
    /// Of a file that begins with `head`; its first [`HEAD_BYTES`], or all of a shorter one.
    pub(crate) fn of(head: &[u8]) -> Self {
        if head.starts_with(GZIP) {
            return Self::Gzip;
        }
        let named = UNSUPPORTED.iter().find(|(magic, _)| head.starts_with(magic));
        named.map_or(Self::Plain, |(_, name)| Self::Unsupported(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_what_its_first_bytes_say() {
        for (head, expected) in [
            (&b"\x1f\x8b\x08\0\0\0"[..], Format::Gzip),
            (b"\x1f", Format::Plain),
            (b"", Format::Plain),
            (b"{\"a\":", Format::Plain),
            (b"PK\x03\x04\x14\0", Format::Unsupported("zip")),
            (b"\x28\xb5\x2f\xfd\0\0", Format::Unsupported("zstd")),
            (b"PK is a text", Format::Plain),
        ] {
            assert_eq!(Format::of(head), expected, "{head:?}");
        }
    }
}
