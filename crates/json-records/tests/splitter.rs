//! The splitter on the framings that the sources are known to write, and on any that they might.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may stop it")]

use bytes::Bytes;
use json_records::{Limits, SplitError, Splitter};
use proptest::prelude::*;
use serde_json::{Map, Value};

const ANY_SIZE: Limits = Limits { record_max_bytes: 1 << 20 };

/// The records, and how the stream ended.
fn split(limits: Limits, chunks: &[&[u8]]) -> (Vec<Bytes>, Result<(), SplitError>) {
    let mut splitter = Splitter::new(limits);
    let mut records = Vec::new();
    let fed = chunks.iter().try_for_each(|chunk| splitter.feed(chunk, &mut records));
    let ended = splitter.finish(&mut records);
    if let Err(error) = fed {
        assert_eq!(ended, Err(error), "an error stays");
    }
    (records, ended)
}

/// Whole, byte by byte, and cut at each place: the same records and the same end.
#[track_caller]
fn check(stream: &str, expected: &[&str], end: Result<(), SplitError>) {
    let stream = stream.as_bytes();
    let expected = (expected.iter().map(|record| Bytes::copy_from_slice(record.as_bytes())).collect::<Vec<_>>(), end);
    assert_eq!(split(ANY_SIZE, &[stream]), expected);
    assert_eq!(split(ANY_SIZE, &stream.chunks(1).collect::<Vec<_>>()), expected);
    for cut in 0..=stream.len() {
        let (head, tail) = stream.split_at(cut);
        assert_eq!(split(ANY_SIZE, &[head, tail]), expected, "cut at {cut}");
    }
}

#[test]
fn l_02_a_brace_pair_within_a_string_is_text() {
    check(r#"{"m":"x}{y"}{"m":"\"}{\\"}"#, &[r#"{"m":"x}{y"}"#, r#"{"m":"\"}{\\"}"#], Ok(()));
}

#[test]
fn l_03_a_newline_at_the_end_makes_no_record() {
    check("{\"a\":1}\n", &[r#"{"a":1}"#], Ok(()));
}

#[test]
fn l_04_an_empty_line_makes_no_record() {
    check("{\"a\":1}\n\n{\"b\":2}", &[r#"{"a":1}"#, r#"{"b":2}"#], Ok(()));
}

#[test]
fn l_05_a_record_may_go_over_several_lines() {
    check("{\"a\":1,\n\"b\":2}", &["{\"a\":1,\n\"b\":2}"], Ok(()));
    check("{\n  \"a\": [\n    1\n  ]\n}\n{\n}\n", &["{\n  \"a\": [\n    1\n  ]\n}", "{\n}"], Ok(()));
}

#[test]
fn l_06_any_white_space_or_none_may_lie_between_records() {
    for between in ["", " ", "\t", "\r", "\r\n", "\n", " \n\t "] {
        check(&format!(r#"{{"a":1}}{between}{{"b":2}}"#), &[r#"{"a":1}"#, r#"{"b":2}"#], Ok(()));
    }
}

#[test]
fn l_07_a_byte_order_mark_at_the_start_is_skipped() {
    check("\u{feff}{}", &["{}"], Ok(()));
    check("\u{feff}", &[], Ok(()));
    check("\u{feff} [{}]", &["{}"], Ok(()));
    check("{}\u{feff}{}", &["{}"], Err(SplitError::Broken { at: 2 }));
    check("\u{feff}\u{feff}{}", &[], Err(SplitError::Broken { at: 3 }));
    // The same first byte, another character.
    check("\u{ff01}", &[], Err(SplitError::Broken { at: 0 }));
}

#[test]
fn l_08_tokens_stay_as_they_were_received() {
    for record in [
        r#"{"n":1e999}"#,
        r#"{"k":1,"k":2}"#,
        r#"{"n":1.0E+2}"#,
        r#"{"n":12345678901234567890.123456789}"#,
        r#"{"s":"é"}"#,
        r#"{ "s" : "\u00e9\/" }"#,
    ] {
        check(record, &[record], Ok(()));
    }
}

#[test]
fn l_09_nothing_or_an_empty_array_holds_no_record() {
    for stream in ["", " \n", "[]", "[ ]\n", "[][]"] {
        check(stream, &[], Ok(()));
    }
}

#[test]
fn l_11_a_record_beyond_the_limit_is_named_and_those_before_it_are_kept() {
    let limits = Limits { record_max_bytes: 7 };
    let stream = br#"{"a":1}[{"a":22}]"#;
    let error = SplitError::TooLarge { at: 8, record_max_bytes: 7 };
    for size in 1..=stream.len() {
        let chunks: Vec<&[u8]> = stream.chunks(size).collect();
        assert_eq!(split(limits, &chunks), (vec![Bytes::from_static(br#"{"a":1}"#)], Err(error)), "chunks of {size}");
    }
}

#[test]
fn l_22_a_stream_that_ends_too_early_says_how_much_of_it_was_whole() {
    for (stream, whole, at) in [
        ("{", 0, 0),
        (r#"{"a":1} {"b"#, 1, 8),
        (r#"{"a":1}{"a":1}{"b":"\"#, 2, 14),
        ("[", 0, 1),
        (r#"[{"a":1}"#, 1, 8),
        (r#"[{"a":1}, "#, 1, 10),
        (r#"[{"a":1},{"a":1},{"#, 2, 17),
    ] {
        check(stream, &vec![r#"{"a":1}"#; whole], Err(SplitError::Truncated { at, records: whole as u64 }));
    }
    // Two thirds of a byte-order mark.
    assert_eq!(split(ANY_SIZE, &[b"\xEF\xBB"]).1, Err(SplitError::Truncated { at: 0, records: 0 }));
}

#[test]
fn l_24_an_array_is_opened_and_what_is_no_object_is_named() {
    check(r#"[{"a":1},{"b":2}]"#, &[r#"{"a":1}"#, r#"{"b":2}"#], Ok(()));
    check(" [ {\"a\":[[1]]}\n, {} ] ", &[r#"{"a":[[1]]}"#, "{}"], Ok(()));
    check(r#"[{"a":1}]{"b":2}[{"c":3}]"#, &[r#"{"a":1}"#, r#"{"b":2}"#, r#"{"c":3}"#], Ok(()));
    for value in [r#""x""#, "1", "-1", "true", "false", "null"] {
        check(&format!("{{}} {value}"), &["{}"], Err(SplitError::NotAnObject { at: 3 }));
        check(&format!("[{{}}, {value}]"), &["{}"], Err(SplitError::NotAnObject { at: 5 }));
    }
    check("[[{}]]", &[], Err(SplitError::NotAnObject { at: 1 }));
}

#[test]
fn l_25_a_byte_that_is_no_utf_8_stays_within_its_record() {
    let stream = b"{\"a\":\"\xFF\"}{\"b\":1}";
    let records = vec![Bytes::from_static(b"{\"a\":\"\xFF\"}"), Bytes::from_static(b"{\"b\":1}")];
    assert_eq!(split(ANY_SIZE, &[stream]), (records, Ok(())));
}

#[test]
fn what_is_no_json_is_named_with_its_place() {
    for (stream, at) in [
        ("}", 0),
        ("]", 0),
        ("{}}", 2),
        ("{},{}", 2),
        ("[{},]", 4),
        ("[,{}]", 1),
        ("[{}{}]", 3),
        ("[{},,{}]", 4),
        ("[{}]]", 4),
        ("{]", 1),
        ("{}x", 2),
        (r#"{"a":[1}"#, 7),
        ("[{}}", 3),
        ("\u{0}{}", 0),
    ] {
        let before = stream.get(..at).unwrap().matches("{}").count();
        check(stream, &vec!["{}"; before], Err(SplitError::Broken { at: at as u64 }));
    }
}

#[test]
fn a_splitter_shows_no_content() {
    let mut splitter = Splitter::new(ANY_SIZE);
    splitter.feed(br#"{"password":"hush"#, &mut Vec::new()).unwrap();
    assert!(!format!("{splitter:?}").contains("hush"));
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        "([{}\\[\\],:\"\\\\ \n]|\\\\u00)*".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map("[a-z}{\"\\\\]{0,4}", inner, 0..4)
                .prop_map(|map| Value::from(Map::from_iter(map))),
        ]
    })
}

fn any_record() -> impl Strategy<Value = String> {
    let object = proptest::collection::hash_map("[a-z}{\"\\\\]{0,4}", any_value(), 0..4);
    (object, any::<bool>()).prop_map(|(map, is_pretty)| {
        let object = Value::from(Map::from_iter(map));
        if is_pretty { serde_json::to_string_pretty(&object).unwrap() } else { object.to_string() }
    })
}

/// Cuts `stream` at each of `places`, taken modulo its length.
fn cut<'a>(stream: &'a [u8], places: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place.index(stream.len() + 1)).collect();
    places.sort_unstable();
    let mut chunks = Vec::new();
    let mut rest = stream;
    let mut at = 0;
    for place in places {
        let (chunk, tail) = rest.split_at(place - at);
        chunks.push(chunk);
        (rest, at) = (tail, place);
    }
    chunks.push(rest);
    chunks
}

proptest! {
    #[test]
    fn any_objects_in_any_framing_and_any_chunks_come_out_as_they_went_in(
        groups in proptest::collection::vec((any::<bool>(), proptest::collection::vec(any_record(), 0..5)), 0..5),
        blanks in proptest::collection::vec("[ \t\r\n]{0,3}", 1..4),
        has_mark in any::<bool>(),
        places in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut blanks = blanks.iter().cycle();
        let mut blank = || blanks.next().unwrap().as_str();
        let mut stream = if has_mark { "\u{feff}".to_owned() } else { String::new() };
        for (is_array, records) in &groups {
            let (open, comma, close) = if *is_array { ("[", ",", "]") } else { ("", "", "") };
            stream.push_str(open);
            for (n, record) in records.iter().enumerate() {
                for part in [if n > 0 { comma } else { "" }, blank(), record, blank()] {
                    stream.push_str(part);
                }
            }
            stream.push_str(close);
            stream.push_str(blank());
        }

        let (records, end) = split(ANY_SIZE, &cut(stream.as_bytes(), &places));
        prop_assert_eq!(end, Ok(()));
        let expected: Vec<&str> = groups.iter().flat_map(|(_, records)| records).map(String::as_str).collect();
        prop_assert_eq!(records, expected);
    }

    #[test]
    fn what_comes_out_does_not_depend_on_the_chunks(
        stream in "([{}\\[\\],\"\\\\ \na1]|\\{\"a\":1\\}|\\},\\{){0,40}",
        places in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
        record_max_bytes in 1_usize..20,
    ) {
        let limits = Limits { record_max_bytes };
        prop_assert_eq!(split(limits, &cut(stream.as_bytes(), &places)), split(limits, &[stream.as_bytes()]));
    }
}
