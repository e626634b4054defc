//! The lenient splitter: whole records whatever lies between them, and every byte of what is no record.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may stop it")]

use json_records::{Item, LenientSplitter, Limits, NoRecord};
use proptest::prelude::*;
use serde_json::{Map, Value};

const ANY_SIZE: Limits = Limits { record_max_bytes: 1 << 20 };

/// What came out: a record, or bytes and why they are none.
type Got = (Option<NoRecord>, Vec<u8>);

/// The items, and whether an array was still open.
fn split(limits: Limits, chunks: &[&[u8]]) -> (Vec<Got>, bool) {
    let mut splitter = LenientSplitter::new(limits);
    let mut got = Vec::new();
    let mut out = |item: Item| match item {
        Item::Record { bytes, .. } => got.push((None, bytes.to_vec())),
        Item::SetAside { reason, bytes } => got.push((Some(reason), bytes.to_vec())),
    };
    for chunk in chunks {
        splitter.feed(chunk, &mut out);
    }
    let is_open = splitter.finish(&mut out);
    assert_eq!(splitter.begun_bytes(), 0, "nothing is kept back at the end");
    (got, is_open)
}

/// Whole, byte by byte, and cut at each place: the same items.
#[track_caller]
fn check(stream: &[u8], expected: &[(Option<NoRecord>, &[u8])], is_open: bool) {
    let expected: Vec<Got> = expected.iter().map(|(reason, bytes)| (*reason, bytes.to_vec())).collect();
    assert_eq!(split(ANY_SIZE, &[stream]), (expected.clone(), is_open));
    assert_eq!(split(ANY_SIZE, &stream.chunks(1).collect::<Vec<_>>()), (expected.clone(), is_open));
    for cut in 0..=stream.len() {
        let (head, tail) = stream.split_at(cut);
        assert_eq!(split(ANY_SIZE, &[head, tail]), (expected.clone(), is_open), "cut at {cut}");
    }
}

const fn record(text: &str) -> (Option<NoRecord>, &[u8]) {
    (None, text.as_bytes())
}

#[test]
fn l_24_an_array_is_opened_and_a_scalar_is_set_aside_alone() {
    use NoRecord::NotAnObject as Scalar;
    check(br#"[{"a":1},{"b":2}]"#, &[record(r#"{"a":1}"#), record(r#"{"b":2}"#)], false);
    check(br#""x"{"a":1}"#, &[(Some(Scalar), br#""x""#), record(r#"{"a":1}"#)], false);
    check(b"1 2", &[(Some(Scalar), b"1"), (Some(Scalar), b"2")], false);
    check(b"null{}true", &[(Some(Scalar), b"null"), record("{}"), (Some(Scalar), b"true")], false);
    check(
        br#"[1,"}{",[{}],{}]"#,
        &[(Some(Scalar), b"1"), (Some(Scalar), br#""}{""#), (Some(Scalar), b"[{}]"), record("{}")],
        false,
    );
}

#[test]
fn l_25_a_record_that_is_not_utf_8_is_set_aside_alone() {
    check(b"{\"a\":\"\xff\"}{\"b\":2}", &[(Some(NoRecord::NotUtf8), b"{\"a\":\"\xff\"}"), record(r#"{"b":2}"#)], false);
    check(b"\xfe\xff text\n{\"b\":2}", &[(Some(NoRecord::NotUtf8), b"\xfe\xff text"), record(r#"{"b":2}"#)], false);
}

#[test]
fn l_12_a_broken_record_takes_none_of_its_neighbours_with_it() {
    let broken = Some(NoRecord::Broken);
    for bad in
        [r#"{"a" 1}"#, r#"{"a":1,}"#, r#"{"a":[1}"#, r#"{'a':1}"#, r#"{"a":01}"#, r#"{"a":"\x"}"#, "{\"a\":\"a\tb\"}"]
    {
        let stream = format!(r#"{{"n":1}}{bad}{{"n":2}}"#);
        check(stream.as_bytes(), &[record(r#"{"n":1}"#), (broken, bad.as_bytes()), record(r#"{"n":2}"#)], false);
    }
    // A record that is cut off amid a file ends where the next line begins another.
    for bad in [r#"{"a":"x"#, r#"{"a":{"b":1,"#, r#"{"a":[1,"#, r#"{"a":"#] {
        let stream = format!("{bad}\n{{\"n\":1}}\n{{\"n\":2}}\n");
        check(stream.as_bytes(), &[(broken, bad.as_bytes()), record(r#"{"n":1}"#), record(r#"{"n":2}"#)], false);
    }
    check(b"{}}{}", &[record("{}"), (broken, b"}"), record("{}")], false);
    check(b"INFO {\"a\":1} done\r\n{}", &[(broken, b"INFO {\"a\":1} done"), record("{}")], false);
    check(b"[{},what,{}]", &[record("{}"), (broken, b"what"), record("{}")], false);
    check(b"\x0c\n{}", &[(broken, b"\x0c"), record("{}")], false);
}

#[test]
fn l_22_what_the_end_cuts_off_is_named() {
    check(br#"{"a":1}{"b":"#, &[record(r#"{"a":1}"#), (Some(NoRecord::Truncated), br#"{"b":"#)], false);
    check(br#"[{"a":1},"#, &[record(r#"{"a":1}"#)], true);
    check(b"{} tru", &[record("{}"), (Some(NoRecord::Broken), b"tru")], false);
    check(b"\xEF\xBB", &[(Some(NoRecord::NotUtf8), b"\xEF\xBB")], false);
}

#[test]
fn l_07_a_byte_order_mark_is_passed_over_wherever_files_were_joined() {
    check(b"\xEF\xBB\xBF{}\n\xEF\xBB\xBF{}", &[record("{}"), record("{}")], false);
    check(b"\xEF\xBB\xBF", &[], false);
}

#[test]
fn l_08_and_l_02_tokens_stay_as_they_were_received() {
    for kept in [
        r#"{"n":1e999}"#,
        r#"{"k":1,"k":2}"#,
        r#"{"n":1.0E+2}"#,
        r#"{"n":12345678901234567890.123456789}"#,
        r#"{"s":"é\u00e9\/\ud800"}"#,
        r#"{"m":"x}{y"}"#,
        "{ \"a\" :\r\n[ ] }",
    ] {
        check(format!("{kept}{kept}").as_bytes(), &[record(kept), record(kept)], false);
    }
}

#[test]
fn l_11_what_is_longer_than_a_record_may_be_is_set_aside_in_pieces() {
    let limits = Limits { record_max_bytes: 10 };
    let large = Some(NoRecord::TooLarge);
    for (stream, expected) in [
        (
            r#"{"a":"xxxxxxxxxxxxxxxx"}{"b":2}"#,
            vec![(large, r#"{"a":"xxxx"#), (large, "xxxxxxxxxx"), (large, r#"xx"}"#)],
        ),
        (r#"{"a":"}{\"xxx"}{"b":2}"#, vec![(large, r#"{"a":"}{\""#), (large, r#"xxx"}"#)]),
        ("this is a long line\n{\"b\":2}", vec![(large, "this is a "), (large, "long line")]),
        ("ten bytes!\n{\"b\":2}", vec![(Some(NoRecord::Broken), "ten bytes!")]),
        ("eleven bytes\n{\"b\":2}", vec![(large, "eleven byt"), (large, "es")]),
    ] {
        for size in 1..=stream.len() {
            let (got, _) = split(limits, &stream.as_bytes().chunks(size).collect::<Vec<_>>());
            let mut expected = expected.clone();
            expected.push((None, r#"{"b":2}"#));
            let got: Vec<(Option<NoRecord>, &str)> =
                got.iter().map(|(reason, bytes)| (*reason, std::str::from_utf8(bytes).unwrap())).collect();
            assert_eq!(got, expected, "{stream} by {size}");
        }
    }
}

/// Each line fails only at the end of the file: looked at one by one, the whole would be read as often as it has lines.
#[test]
fn l_10_what_is_broken_far_behind_is_not_looked_at_again_for_each_of_its_lines() {
    for line in ["{\"a\":\n", "[\n"] {
        let stream = format!("[{}!", line.repeat(50_000));
        for limits in [ANY_SIZE, Limits { record_max_bytes: 50_000 }] {
            let (got, _) = split(limits, &[stream.as_bytes()]);
            assert!(got.len() < 2_000, "{line:?}: {} pieces", got.len());
            assert_eq!(split(limits, &stream.as_bytes().chunks(7_777).collect::<Vec<_>>()).0, got);
        }
    }
}

#[test]
fn reading_goes_on_at_any_place_between_two_items() {
    let stream = b"{\"a\":1}\n[{\"b\":2},\n{\"c\":[3]}] x\n{\"d\":4}";
    let (expected, _) = split(ANY_SIZE, &[stream]);
    for cut in 0..=stream.len() {
        let (head, tail) = stream.split_at(cut);
        let mut got: Vec<Got> = Vec::new();
        let mut out = |item: Item| match item {
            Item::Record { bytes, .. } => got.push((None, bytes.to_vec())),
            Item::SetAside { reason, bytes } => got.push((Some(reason), bytes.to_vec())),
        };
        let mut early = LenientSplitter::new(ANY_SIZE);
        early.feed(head, &mut out);
        let mut late = LenientSplitter::resume(ANY_SIZE, early.place(1024).unwrap());
        late.feed(tail, &mut out);
        assert!(!late.finish(&mut out));
        assert_eq!(got, expected, "cut at {cut}");
    }
    let mut splitter = LenientSplitter::new(ANY_SIZE);
    splitter.feed(br#"{"a":"#, &mut |_| panic!("nothing is whole"));
    assert_eq!((splitter.place(4), splitter.begun_bytes()), (None, 5));
}

fn any_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z \\\\\"{}\\[\\],:\n\u{e9}\u{1f600}]{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            proptest::collection::hash_map("[a-z}{\"\\\\]{0,4}", inner, 0..4)
                .prop_map(|map| Value::from(Map::from_iter(map))),
        ]
    })
}

/// What a top-level value comes out as: an array is opened, what is no object is set aside.
fn items(value: &Value, is_pretty: bool) -> Vec<Got> {
    let text =
        |value: &Value| if is_pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    let item = |value: &Value| {
        let reason = if value.is_object() { None } else { Some(NoRecord::NotAnObject) };
        (reason, text(value).unwrap().into_bytes())
    };
    match value {
        // Within an array all is written with one manner, or its elements would be indented.
        Value::Array(elements) => elements.iter().map(item).collect(),
        value => vec![item(value)],
    }
}

fn written(value: &Value, is_pretty: bool) -> String {
    let elements: Vec<String> =
        items(value, is_pretty).into_iter().map(|(_, text)| String::from_utf8(text).unwrap()).collect();
    if value.is_array() {
        format!("[{}]", elements.join(if is_pretty { ",\n" } else { "," }))
    } else {
        elements.concat()
    }
}

/// Cuts `stream` at each of `places`, taken modulo its length.
fn cut<'a>(stream: &'a [u8], places: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places.iter().map(|place| place.index(stream.len() + 1)).collect();
    places.sort_unstable();
    places.dedup();
    let mut from = 0;
    let mut chunks: Vec<&[u8]> = places
        .into_iter()
        .map(|until| {
            let chunk = &stream[from..until];
            from = until;
            chunk
        })
        .collect();
    chunks.push(&stream[from..]);
    chunks
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_values_in_a_row_come_out_as_they_went_in(
        values in proptest::collection::vec((any_value(), any::<bool>(), "[ \t\r\n]{0,3}"), 0..8),
        has_mark in any::<bool>(),
        places in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let mut stream = if has_mark { "\u{feff}".to_owned() } else { String::new() };
        let mut expected = Vec::new();
        for (value, is_pretty, blanks) in &values {
            stream.push_str(&written(value, *is_pretty));
            // Two scalars in a row need something between them.
            stream.push_str(if blanks.is_empty() && !value.is_object() { " " } else { blanks });
            expected.extend(items(value, *is_pretty));
        }
        prop_assert_eq!(split(ANY_SIZE, &cut(stream.as_bytes(), &places)), (expected, false));
    }

    /// Of any bytes nothing is lost but what stands between records, and nothing depends on the chunks.
    #[test]
    fn of_any_bytes_all_but_white_space_and_separators_come_out(
        stream in proptest::collection::vec(
            prop_oneof![
                prop::sample::select(b"{}[],\"\\ \n\r\t:a1\xff\xef\xbb\xbf\x0c".to_vec()).prop_map(|byte| vec![byte]),
                Just(br#"{"a":1}"#.to_vec()),
                Just(b"},{".to_vec()),
            ],
            0..40,
        ),
        places in proptest::collection::vec(any::<prop::sample::Index>(), 0..12),
        record_max_bytes in 1_usize..40,
    ) {
        let stream = stream.concat();
        let limits = Limits { record_max_bytes };
        let (got, is_open) = split(limits, &[&stream]);
        prop_assert_eq!(&split(limits, &cut(&stream, &places)), &(got.clone(), is_open));
        let is_kept = |byte: &u8| !matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | b',' | b'[' | b']' | 0xef | 0xbb | 0xbf);
        let kept = |bytes: &[u8]| bytes.iter().copied().filter(is_kept).collect::<Vec<u8>>();
        let out: Vec<u8> = got.iter().flat_map(|(_, bytes)| bytes).copied().collect();
        prop_assert_eq!(kept(&out), kept(&stream));
        for (reason, bytes) in &got {
            prop_assert!(bytes.len() <= record_max_bytes);
            let is_object = serde_json::from_slice::<Map<String, Value>>(bytes).is_ok();
            prop_assert!(reason.is_none() == is_object || *reason == Some(NoRecord::TooLarge));
        }
    }
}
