//! One JSON object a line, as services take it that read bodies line by line.

use bytes::{BufMut, BytesMut};

use super::json_object::{NotAnEvent, check_object};
use crate::Record;

/// Appends the record on one line, without the white space between its tokens, and a line feed; nothing where it cannot
/// travel. Within a string no JSON has a line feed.
pub(crate) fn encode(record: &Record, out: &mut BytesMut) -> Result<(), NotAnEvent> {
    if !record.is_valid {
        check_object(&record.raw)?;
    }
    json_records::minify(&record.raw, out);
    out.put_u8(b'\n');
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_becomes_one_line_with_its_tokens_as_they_were() {
        for (raw, is_valid, expected) in [
            ("{}", false, Some("{}\n")),
            ("{\r\n  \"a b\" : [ 1.0E+2,\t\"\\n\" ]\n}\n", false, Some("{\"a b\":[1.0E+2,\"\\n\"]}\n")),
            ("{\"k\":1,\"k\":2}", true, Some("{\"k\":1,\"k\":2}\n")),
            ("[{}]", false, None),
            ("{\"a\":1", false, None),
            ("", false, None),
            // Somebody has proven what is wrong, and is believed.
            ("[ {} ]", true, Some("[{}]\n")),
        ] {
            let mut out = BytesMut::from("before");
            let record = Record { raw: raw.into(), region: None, is_valid };
            assert_eq!(encode(&record, &mut out).is_ok(), expected.is_some(), "{raw}");
            assert_eq!(out, format!("before{}", expected.unwrap_or_default()), "{raw}");
        }
    }
}
