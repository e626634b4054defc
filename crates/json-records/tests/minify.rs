//! Any value, printed with any white space, becomes its compact form byte for byte.

use bytes::BytesMut;
use json_records::minify;
use proptest::prelude::*;

/// The tokens of a value, in order.
fn value() -> impl Strategy<Value = Vec<String>> {
    let scalar = prop_oneof![
        Just("null".to_owned()),
        Just("true".to_owned()),
        "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,20})?([eE][+-]?[0-9]{1,3})?",
        string(),
    ];
    scalar.prop_map(|token| vec![token]).prop_recursive(6, 64, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(|values| bracketed("[", values, "]")),
            proptest::collection::vec((string(), inner), 0..6).prop_map(|members| {
                let member = |(key, value): (String, Vec<String>)| [vec![key, ":".to_owned()], value].concat();
                bracketed("{", members.into_iter().map(member).collect(), "}")
            }),
        ]
    })
}

/// A string as it stands in JSON: blanks, escaped quotes and runs of backslashes are frequent, and some are long.
fn string() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        3 => Just(" ".to_owned()),
        3 => Just(r"\\".to_owned()),
        2 => Just(r#"\""#.to_owned()),
        1 => Just(r"\n".to_owned()),
        1 => Just(r"\u0020".to_owned()),
        2 => "[a-z{}:,\\[\\]ü😀]{1,9}",
    ];
    proptest::collection::vec(piece, 0..50).prop_map(|pieces| format!("\"{}\"", pieces.concat()))
}

fn bracketed(opener: &str, elements: Vec<Vec<String>>, closer: &str) -> Vec<String> {
    let mut tokens = vec![opener.to_owned()];
    for (number, element) in elements.into_iter().enumerate() {
        tokens.extend((number > 0).then(|| ",".to_owned()));
        tokens.extend(element);
    }
    tokens.push(closer.to_owned());
    tokens
}

proptest! {
    #[test]
    fn any_value_with_any_white_space_becomes_its_compact_form(
        tokens in value(),
        blanks in proptest::collection::vec("[ \n\r\t]{0,3}|[ \n]{60,70}", 1..40),
    ) {
        let mut printed = String::new();
        for (token, blank) in tokens.iter().zip(blanks.iter().cycle()) {
            printed.push_str(blank);
            printed.push_str(token);
        }
        printed.push_str(&blanks[0]);
        let compact = tokens.concat();
        prop_assert!(serde_json::from_str::<&serde_json::value::RawValue>(&compact).is_ok(), "{}", compact);

        let mut out = BytesMut::new();
        minify(printed.as_bytes(), &mut out);
        prop_assert_eq!(&out[..], compact.as_bytes());
        // What has no white space between its tokens stays as it is.
        out.clear();
        minify(compact.as_bytes(), &mut out);
        prop_assert_eq!(&out[..], compact.as_bytes());
    }
}
