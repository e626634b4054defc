//! One JSON object a line, as services take it that read bodies line by line.

use bytes::{BufMut, BytesMut};

use super::json_object::{NotAnEvent, check_object};
use crate::{Proven, Record};

/// Appends the record on one line, without the white space between its tokens, and a line feed; nothing where it cannot
/// travel. Within a string no JSON has a line feed.
pub(crate) fn encode(record: &Record, out: &mut BytesMut) -> Result<(), NotAnEvent> {
    if record.proven == Proven::Nothing {
        check_object(&record.raw)?;
    }
    if record.proven == Proven::CompactObject {
        out.put_slice(&record.raw);
    } else {
        json_records::minify(&record.raw, out);
    }
    out.put_u8(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_becomes_one_line_with_its_tokens_as_they_were() {
        for (raw, proven, expected) in [
            ("{}", Proven::Nothing, Some("{}\n")),
            ("{\r\n  \"a b\" : [ 1.0E+2,\t\"\\n\" ]\n}\n", Proven::Nothing, Some("{\"a b\":[1.0E+2,\"\\n\"]}\n")),
            ("{\"k\":1,\"k\":2}", Proven::Object, Some("{\"k\":1,\"k\":2}\n")),
            ("[{}]", Proven::Nothing, None),
            ("{\"a\":1", Proven::Nothing, None),
            ("", Proven::Nothing, None),
            // Somebody has proven what is wrong, and is believed.
            ("[ {} ]", Proven::Object, Some("[{}]\n")),
            ("{\"a\":\" \"}", Proven::CompactObject, Some("{\"a\":\" \"}\n")),
            ("[ {} ]", Proven::CompactObject, Some("[ {} ]\n")),
        ] {
            let mut out = BytesMut::from("before");
            let record = Record { raw: raw.into(), region: None, proven };
            assert_eq!(encode(&record, &mut out).is_ok(), expected.is_some(), "{raw}");
            assert_eq!(out, format!("before{}", expected.unwrap_or_default()), "{raw}");
        }
    }
}
