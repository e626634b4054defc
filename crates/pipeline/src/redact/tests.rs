//! What is withheld, what stays, and the two redactors held to each other.

use bytes::Bytes;
use proptest::prelude::*;

use super::{REDACTED_NAMES, Redacted, Redactor, by_the_book::Book};
use crate::digest::HmacKey;

const KEY: &[u8] = b"a key of sixteen";

fn redactor() -> Redactor {
    Redactor::new(&["X-Secret".to_owned()], &["hush-".to_owned()], None)
}

/// `[R]` in `wanted` stands for a replacement, quotes included.
fn check(raw: impl AsRef<[u8]>, wanted: impl AsRef<[u8]>) {
    let raw = Bytes::copy_from_slice(raw.as_ref());
    let wanted = String::from_utf8_lossy(wanted.as_ref()).into_owned();
    let count = wanted.matches("[R]").count();
    let Redacted { bytes, count: counted } = redactor().redact(&raw);
    let text = String::from_utf8_lossy(&bytes);
    assert_eq!(text, wanted.replace("[R]", "\"[redacted]\""), "{}", String::from_utf8_lossy(&raw));
    assert_eq!(counted as usize, count, "{text}");
    assert_eq!(redactor().redact(&bytes), Redacted { bytes: bytes.clone(), count: 0 }, "a second pass");
    if count == 0 {
        assert!(std::ptr::eq(bytes.as_ptr(), raw.as_ptr()), "copied for nothing");
    }
}

fn stays(raw: impl AsRef<[u8]>) {
    check(raw.as_ref(), raw.as_ref());
}

#[test]
fn r_52_a_credential_in_a_header_goes_neither_to_the_stream_nor_to_splunk() {
    for name in REDACTED_NAMES {
        for name in [name.to_owned(), name.to_uppercase()] {
            let event =
                |value: &str| format!(r#"{{"data":{{"request":{{"headers":{{"{name}":[{value}],"a":["b"]}}}}}}}}"#);
            check(event(r#""Signature version=\"1\",signature=\"hush\"","2""#), event("[R],[R]"));
        }
    }
}

#[test]
fn a_member_is_known_by_its_name_in_any_case_at_any_depth_and_however_escaped() {
    check(r#"{"Authorization":"x","a":{"b":[{"COOKIE":"y"}]}}"#, r#"{"Authorization":[R],"a":{"b":[{"COOKIE":[R]}]}}"#);
    check(
        r#"{"\u0061uthoriz\u0061tion" : "x" , "x-SECRET":"y"}"#,
        r#"{"\u0061uthoriz\u0061tion" : [R] , "x-SECRET":[R]}"#,
    );
    stays(r#"{"authorizations":"x","a":"cookie","b":["authorization"],"path":"/cookie"}"#);
}

#[test]
fn an_array_stays_an_array_and_any_other_value_goes_whole() {
    for (value, wanted) in [
        (r#"["a", "b"]"#, "[[R], [R]]"),
        (r#"["a",null,"",1,true,{"x":"]"},[["b"]]]"#, r#"[[R],null,"",[R],[R],[R],[R]]"#),
        (r#"{"a":["}",{"b":1}]}"#, "[R]"),
        (r#"{}"#, "[R]"),
        ("-1.5e3", "[R]"),
        ("false", "[R]"),
    ] {
        for after in ["}", " }", ",\n\"a\":[\"b\"]}", " , \"a\":{}}"] {
            check(format!("{{\"cookie\":{value}{after}"), format!("{{\"cookie\":{wanted}{after}"));
        }
    }
    for value in ["null", "\"\"", "[]", "[ ]", "[\"\",null]"] {
        stays(format!(r#"{{"cookie": {value}, "a":"b"}}"#));
    }
}

#[test]
fn a_token_in_a_text_takes_the_whole_text_with_it_wherever_it_stands() {
    for text in [
        "ST$eyJraWQi",
        r"\u0053T$abc",
        r"S\u0054\u0024abc",
        "failed: bearer abc",
        r"x\nBearer abc",
        "eyJhbGci.eyJzdWIi.c2ln",
        "GET / Authorization: Basic abc",
        r#"{\"Opc-Principal\":\"{}\"}"#,
        r#"{\\\"cookie\\\":1}"#,
        r"{\u0022\u0063ookie\u0022:1}",
        r"\\u0053T$a",
        "a hush-hush affair",
    ] {
        check(format!(r#"{{"a":["b","{text}"],"c":1}}"#), r#"{"a":["b",[R]],"c":1}"#);
        check(format!(r#"{{"a":{{"{text}" : "b"}}}}"#), r#"{"a":{[R] : "b"}}"#);
    }
    check(r#"{"ST$abc":"ST$abc"}"#, "{[R]:[R]}");
}

#[test]
fn what_only_looks_like_a_credential_stays() {
    let key_id = "ocid1.tenancy.oc1..cccc/ocid1.user.oc1..bbbb/aa:bb:cc:dd:ee:ff:00:11:22:33:44:55:66:77:88:99";
    stays(format!(
        r#"{{"identity":{{"credentials":"{key_id}","userAgent":"a (b; c:d) e=f"}},"credentials":"ST$*****"}}"#
    ));
    stays(
        r#"{"a":"\ud83d half a pair","b":"\\\\server\\share","c":"C:\\Users","d":[1.0e5,-0,true,false,null],"é":"ü"}"#,
    );
    stays("{\"a\":\"line\nfeed\"}");
    stays(r#"{"authorization":"[redacted]","cookie":["[redacted]"],"[redacted]":"\u005bredacted]"}"#);
    for raw in ["", " ", "{}", "[]", "null", "7", "\"a\"", "{\"a\":1}\n{\"a\":2}"] {
        stays(raw);
    }
}

#[test]
fn a_string_that_is_none_is_withheld() {
    check(r#"{"a":"x\q","b":1}"#, r#"{"a":[R],"b":1}"#);
    check(r#"{"a":"\u12","b":1}"#, r#"{"a":[R],"b":1}"#);
    check(b"{\"a\":\"\xff\",\"b\":\"c\"}", r#"{"a":[R],"b":"c"}"#);
    check(r#"{"a":"b","c":"cut o"#, r#"{"a":"b","c":[R]"#);
    check(r#"{"a":"b","c":"cut\"#, r#"{"a":"b","c":[R]"#);
    // Its name may be one of those whose values are withheld.
    check(r#"{"author\ization":["x"],"b":1}"#, r#"{[R]:[[R]],"b":1}"#);
}

#[test]
fn broken_json_is_no_way_around() {
    stays(r#"{"a":nope,"b":NaN,"c":[1,2}"#);
    stays(r#"{"a":"b" "c":"d"}"#);
    check(r#"{"a":nope,"cookie":["x"]}"#, r#"{"a":nope,"cookie":[[R]]}"#);
    check(r#"{"cookie":"x"#, r#"{"cookie":[R]"#);
    check(r#"{"cookie":{"a":"x"#, r#"{"cookie":[R]"#);
    check(r#"{"cookie":["x","y"#, r#"{"cookie":[[R],[R]"#);
    check(r#"{"cookie":["x"},"a":1"#, r#"{"cookie":[[R]},"a":1"#);
    check(r#"{"cookie":abc def,"a":1}"#, r#"{"cookie":[R],"a":1}"#);
    check(r#"{"cookie"::"x","a":1}"#, r#"{"cookie":[R],"a":1}"#);
    stays(r#"{"cookie":,"a":1}"#);
    stays(r#"{"cookie":"#);
    // A quote that nobody escaped turns strings and what is between them around.
    check(r#"{"a":"x"y","cookie":"z"}"#, r#"{"a":"x"[R]"#);
    check(r#"{"a":"x",y","\u0063ookie":"z"}"#, r#"{"a":"x",[R]"#);
    check(r#"{"cookie":"x"y"z"}"#, r#"{"cookie":[R][R]"#);
    check(r#"{"cookie":["x" "y"]}"#, r#"{"cookie":[[R] [R]"#);
    // No quotes at all.
    check("cookie: x", "[R]");
    check(r#"{"a":ST$abc}"#, r#"{"a":[R]"#);
    check(r#"{authorization:"x"}"#, "{[R]");
}

#[test]
fn equal_values_have_equal_tags_however_escaped_and_only_with_the_key() {
    let tag = |bytes: &[u8]| format!("\"hmac-sha256:{}\"", HmacKey::new(KEY).hex(bytes));
    let keyed = Redactor::new(&[], &[], Some(KEY));
    let raw = Bytes::from_static(br#"{"cookie":["abc","\u0061bc",{"a":1}],"a":"ST$abc","b":"c"}"#);
    let redacted = keyed.redact(&raw);
    let wanted = format!(
        r#"{{"cookie":[{},{},{}],"a":{},"b":"c"}}"#,
        tag(b"abc"),
        tag(b"abc"),
        tag(br#"{"a":1}"#),
        tag(b"ST$abc")
    );
    assert_eq!(redacted, Redacted { bytes: wanted.into(), count: 4 });
    assert_eq!(keyed.redact(&redacted.bytes), Redacted { count: 0, ..redacted.clone() });
    // Without a key, what looks like a tag is a value like any other.
    assert_eq!(Redactor::new(&[], &[], None).redact(&redacted.bytes).count, 3);
}

#[test]
fn debug_shows_neither_the_key_nor_what_is_searched_for() {
    let text = format!("{:?}", Redactor::new(&["name".to_owned()], &["hush".to_owned()], Some(KEY)));
    assert_eq!(text, "Redactor { has_key: true, .. }");
    assert!(!format!("{:?}", HmacKey::new(KEY)).contains("sixteen"));
}

/// The sample of the Audit API in the reference, section 3.2, with headers as they were observed.
#[test]
fn the_sample_event_keeps_everything_but_its_credentials() {
    let event = include_str!("../../tests/fixtures/redact/event.json");
    let golden = include_str!("../../tests/fixtures/redact/event.redacted.json");
    let redacted = Redactor::new(&[], &[], None).redact(&Bytes::from_static(event.as_bytes()));
    assert_eq!(std::str::from_utf8(&redacted.bytes).unwrap(), golden);
    assert_eq!(redacted.count, 5);
}

/// Pieces of which secrets are made, and of what comes close.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        6 => prop::sample::select(vec![
            "ST$", "Bearer", "bearer ", "eyJ", ".", "authorization", "Cookie", ":", "=", "\"", "\\", "\n", " ", "a", "é",
            "😀", "-", "n", "u0053T$", "/", "[redacted]", "ocid1.user.oc1..a", "'", "{", "}", ",", "\u{c}", "*", "_",
        ]).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(piece, 0..6).prop_map(|pieces| pieces.concat())
}

/// The text as a JSON string; `escapes` says of each character in turn whether it is written as `\u`.
fn string(text: &str, escapes: &[bool]) -> String {
    let mut out = String::from("\"");
    for (c, escape) in text.chars().zip(escapes.iter().cycle()) {
        if *escape {
            out.extend(c.encode_utf16(&mut [0; 2]).iter().map(|unit| format!("\\u{unit:04x}")));
        } else {
            let plain = serde_json::to_string(&c).unwrap();
            out.push_str(plain.strip_prefix('"').and_then(|plain| plain.strip_suffix('"')).unwrap());
        }
    }
    out + "\""
}

fn json_string(text: impl Strategy<Value = String>) -> impl Strategy<Value = String> {
    let escapes = prop_oneof![2 => Just(vec![false]), 1 => prop::collection::vec(any::<bool>(), 1..5)];
    (text, escapes).prop_map(|(text, escapes)| string(&text, &escapes))
}

fn blank() -> impl Strategy<Value = &'static str> + Clone {
    prop::sample::select(vec!["", "", "", " ", "\n\t"])
}

fn json() -> impl Strategy<Value = String> {
    let name = prop_oneof![
        prop::sample::select(REDACTED_NAMES.to_vec()).prop_map(str::to_owned),
        prop::sample::select(vec!["Authorization", "COOKIE", "x", "cookies"]).prop_map(str::to_owned),
        text(),
    ];
    let leaf = prop_oneof![
        4 => json_string(text()),
        2 => prop::sample::select(vec!["null", "true", "1", "-0.50e+3", "\"\"", "[]", "{}"]).prop_map(str::to_owned),
    ];
    let name = json_string(name).boxed();
    leaf.prop_recursive(4, 40, 5, move |inner| {
        let spaced =
            (blank(), inner.clone(), blank()).prop_map(|(before, value, after)| format!("{before}{value}{after}"));
        let member = (blank(), name.clone(), blank(), spaced.clone())
            .prop_map(|(before, name, after, value)| format!("{before}{name}{after}:{value}"));
        prop_oneof![
            prop::collection::vec(spaced, 0..4).prop_map(|elements| format!("[{}]", elements.join(","))),
            prop::collection::vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(","))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Nothing but the replaced values differs, and they are those of the slow redactor.
    #[test]
    fn the_scan_does_what_the_book_says(raw in json(), keyed in any::<bool>()) {
        let key = keyed.then_some(KEY);
        let tag = |value: &[u8]| format!("hmac-sha256:{}", HmacKey::new(KEY).hex(value));
        let book = Book {
            names: &REDACTED_NAMES,
            replacement: &|value| if keyed { tag(value) } else { "[redacted]".to_owned() },
            is_replacement: &|text| text == "[redacted]",
        };
        let redacted = Redactor::new(&[], &[], key).redact(&Bytes::from(raw.clone()));
        let (wanted, count) = book.redact(&raw);
        prop_assert_eq!(std::str::from_utf8(&redacted.bytes).unwrap(), wanted);
        prop_assert_eq!(redacted.count, count);
    }

    #[test]
    fn a_second_pass_changes_nothing_and_no_bytes_are_too_odd(
        pieces in prop::collection::vec(prop_oneof![
            3 => json().prop_map(String::into_bytes),
            2 => prop::collection::vec(any::<u8>(), 0..6),
            3 => prop::collection::vec(prop::sample::select(b"{}[]:,\"\\ \nacehikoortuz$STJy.".to_vec()), 0..12),
        ], 0..5),
        cut in 0_usize..60,
        keyed in any::<bool>(),
    ) {
        let mut raw = pieces.concat();
        raw.truncate(raw.len().saturating_sub(cut));
        let raw = Bytes::from(raw);
        let redactor = Redactor::new(&[], &["a".to_owned(), "256".to_owned()], keyed.then_some(KEY));
        let first = redactor.redact(&raw);
        prop_assert_eq!(first.count == 0, first.bytes == raw);
        let second = redactor.redact(&first.bytes);
        prop_assert_eq!((&second.bytes, second.count), (&first.bytes, 0));
    }
}
