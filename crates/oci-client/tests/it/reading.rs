//! Lists, pages and streams of events, read to their end.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use jiff::Timestamp;
use oci_client::{
    AccessLevel, Client, Compartment, Endpoint, Error, EventsPage, LifecycleState, ListObjects, RegionStatus,
};

use crate::double::{Double, Play, answer, in_secs, ocid, pieces, refusal};

fn compartment(name: &str, state: &str) -> String {
    format!(
        r#"{{"id":"ocid1.compartment.oc1..{name}","compartmentId":"ocid1.tenancy.oc1..t","name":"{name}","description":"",
           "timeCreated":"2026-01-05T20:00:00.123Z","lifecycleState":"{state}","isAccessible":null,"newField":[1]}}"#
    )
}

async fn compartments(double: &Arc<Double>) -> Result<Vec<Compartment>, Error> {
    let tenancy = ocid("ocid1.tenancy.oc1..t");
    double.client().identity().list_compartments(&tenancy, AccessLevel::Any, in_secs(60)).await
}

#[tokio::test]
async fn compartments_are_listed_past_empty_pages_with_unknown_states_and_fields() {
    let double = Double::new([
        answer(200, format!("[{}]", compartment("a", "ACTIVE"))).with("opc-next-page", "p+1/="),
        answer(200, "[]").with("opc-next-page", "p2"),
        answer(200, format!("[{},{}]", compartment("b", "DELETING"), compartment("c", "MELTING"))),
    ]);
    let listed = compartments(&double).await.unwrap();
    let short: Vec<_> = listed.iter().map(|each| (each.name.as_str(), each.lifecycle_state)).collect();
    let expected = [("a", LifecycleState::Active), ("b", LifecycleState::Deleting), ("c", LifecycleState::Other)];
    assert_eq!(short, expected);
    assert_eq!(listed[0].time_created.to_string(), "2026-01-05T20:00:00.123Z");
    let sent = double.sent();
    assert_eq!(
        sent[0].uri(),
        "https://identity.us-ashburn-1.oci.oraclecloud.com/20160918/compartments?compartmentId=ocid1.tenancy.oc1..t\
         &compartmentIdInSubtree=true&accessLevel=ANY&limit=1000"
    );
    assert!(sent[1].uri().ends_with("&page=p%2B1%2F%3D"), "{}", sent[1].uri());
}

#[tokio::test]
async fn a_page_token_that_repeats_ends_the_listing_with_an_error() {
    let page = |token: &str| answer(200, "[]").with("opc-next-page", token);
    let error = compartments(&Double::new([page("a"), page("b"), page("a")])).await.unwrap_err();
    assert!(matches!(error, Error::Decode { .. }), "{error:?}");
}

#[tokio::test]
async fn r_15_regions_tell_whether_they_are_ready() {
    let double = Double::new([answer(
        200,
        r#"[{"regionKey":"PHX","regionName":"us-phoenix-1","status":"READY","isHomeRegion":true},
            {"regionKey":"IAD","regionName":"us-ashburn-1","status":"IN_PROGRESS","isHomeRegion":false},
            {"regionKey":"FRA","regionName":"eu-frankfurt-1","status":"SOMETHING_NEW","isHomeRegion":false}]"#,
    )]);
    let tenancy = ocid("ocid1.tenancy.oc1..t");
    let regions = double.client().identity().list_region_subscriptions(&tenancy, in_secs(60)).await.unwrap();
    let status: Vec<_> = regions.iter().map(|region| region.status).collect();
    assert_eq!(status, [RegionStatus::Ready, RegionStatus::InProgress, RegionStatus::Other]);
}

#[tokio::test]
async fn a_200_that_is_not_of_the_documented_shape_is_no_empty_list() {
    for body in ["", "{}", "[", "null", "<html>"] {
        let error = compartments(&Double::new([answer(200, body)])).await.unwrap_err();
        assert!(matches!(error, Error::Decode { .. }), "{body}: {error:?}");
        assert!(error.to_string().contains("SERVICE/ID"), "{error}");
    }
}

async fn events(client: &Client, page: Option<&str>) -> Result<EventsPage, Error> {
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let (start, end) = (at("2026-01-05T21:20:00Z"), at("2026-01-05T21:25:00Z"));
    let compartment = ocid("ocid1.compartment.oc1..a");
    client.audit().list_events(&"phx".parse().unwrap(), &compartment, start, end, page, in_secs(60)).await
}

async fn read_all(page: &mut EventsPage) -> (Vec<Bytes>, Option<Error>) {
    let mut all = Vec::new();
    loop {
        match page.next_records(in_secs(60)).await {
            Ok(Some(records)) => {
                assert!(!records.is_empty());
                all.extend(records);
            }
            Ok(None) => return (all, None),
            Err(error) => return (all, Some(error)),
        }
    }
}

#[tokio::test]
async fn r_31_events_come_byte_for_byte_whatever_the_pieces() {
    let first = r#"{"eventId":"1" , "n":1.0e2,"text":"}{\u00e9","a":1,"a":2}"#;
    let second = r#"{"eventId":"2"}"#;
    let body = Bytes::from(format!("\n [{first},\n{second}]\n"));
    for size in [1, 2, 7, 1000] {
        let parts = (0..body.len()).step_by(size).map(|at| body.slice(at..body.len().min(at + size))).collect();
        let double = Double::new([pieces(200, parts).with("opc-next-page", "p2")]);
        let mut page = events(&double.client(), Some("p1")).await.unwrap();
        assert_eq!(page.next_page.as_deref(), Some("p2"));
        let (records, error) = read_all(&mut page).await;
        assert_eq!(records, [first, second], "in pieces of {size}");
        assert!(error.is_none());
        assert_eq!(page.next_records(in_secs(60)).await.unwrap(), None);
        assert_eq!(
            double.sent()[0].uri(),
            "https://audit.us-phoenix-1.oraclecloud.com/20190901/auditEvents?compartmentId=ocid1.compartment.oc1..a\
             &startTime=2026-01-05T21%3A20%3A00Z&endTime=2026-01-05T21%3A25%3A00Z&page=p1"
        );
    }
}

#[tokio::test]
async fn a_page_without_events_is_empty_and_a_page_that_is_no_array_is_a_fault() {
    for (body, broken) in
        [("[]", false), (" [ ] ", false), ("", true), (" ", true), ("{}", true), ("null", true), ("[1]", true)]
    {
        let double = Double::new([answer(200, body)]);
        let mut page = events(&double.client(), None).await.unwrap();
        let (records, error) = read_all(&mut page).await;
        assert!(records.is_empty());
        assert_eq!(matches!(error, Some(Error::Decode { .. })), broken, "{body:?}: {error:?}");
    }
}

#[tokio::test]
async fn the_events_before_a_fault_are_given_out_and_the_fault_is_told() {
    let event = r#"{"eventId":"1"}"#;
    let large = format!("[{event},{{\"a\":\"{}\"}}]", "x".repeat(oci_client::EVENT_MAX_BYTES));
    let plays = [
        (answer(200, format!("[{event},")).cut(), "Transport"),
        (answer(200, format!("[{event}")), "Decode"),
        (answer(200, format!("[{event};")), "Decode"),
        (answer(200, large), "TooLarge"),
    ];
    for (index, (play, expected)) in plays.into_iter().enumerate() {
        let double = Double::new([play]);
        let mut page = events(&double.client(), None).await.unwrap();
        let (records, error) = read_all(&mut page).await;
        assert_eq!(records, [event], "play {index}");
        let error = error.unwrap();
        assert!(format!("{error:?}").starts_with(expected), "{error:?}");
        assert_eq!(error.is_retryable(), expected != "TooLarge", "{error:?}");
        assert!(read_all(&mut page).await.1.is_some(), "a page at fault must not seem to have ended");
    }
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_was_given_up_does_not_end_a_page() {
    let double = Double::new([answer(200, r#"[{"eventId":"1"},"#).stalled()]);
    let mut page = events(&double.client(), None).await.unwrap();
    assert_eq!(page.next_records(in_secs(1)).await.unwrap().unwrap().len(), 1);
    assert!(tokio::time::timeout(Duration::from_secs(1), page.next_records(in_secs(20))).await.is_err());
    for _ in 0..2 {
        let error = page.next_records(in_secs(1)).await.unwrap_err();
        assert!(matches!(error, Error::Deadline { .. }), "{error:?}");
    }
    // A minute without a sign, while there is time left, is a page that has broken off.
    let error = page.next_records(in_secs(600)).await.unwrap_err();
    assert!(matches!(error, Error::Transport { .. }), "{error:?}");
    assert!(page.next_records(in_secs(600)).await.is_err());
}

#[tokio::test]
async fn r_18_times_with_seconds_and_empty_ranges_are_not_sent() {
    let double = Double::new([]);
    let client = double.client();
    for (start, end) in [
        ("2026-01-05T21:20:01Z", "2026-01-05T21:25:00Z"),
        ("2026-01-05T21:20:00Z", "2026-01-05T21:25:00.5Z"),
        ("2026-01-05T21:20:00Z", "2026-01-05T21:20:00Z"),
    ] {
        let (start, end) = (start.parse().unwrap(), end.parse().unwrap());
        let compartment = ocid("ocid1.compartment.oc1..a");
        let region = "us-phoenix-1".parse().unwrap();
        let error = client.audit().list_events(&region, &compartment, start, end, None, in_secs(60)).await.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
    }
    assert_eq!(double.sent().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn r_21_a_throttled_listing_of_events_is_opened_again() {
    let double = Double::new([refusal(429, "TooManyRequests").with("retry-after", "2"), answer(200, "[]")]);
    let mut page = events(&double.client(), None).await.unwrap();
    assert_eq!(page.next_records(in_secs(60)).await.unwrap(), None);
    assert!(double.times_ms()[1] >= 2_000);
}

#[tokio::test]
async fn r_04_messages_are_decoded_and_the_next_cursor_is_always_told() {
    let body = r#"[{"stream":"s","partition":"0","key":"azE=","value":"eyJhIjoxfQ==","offset":100,"timestamp":"x"},
                   {"stream":"s","partition":"0","key":null,"value":"eyJhIjoyfQ==","offset":103,"timestamp":"x"}]"#;
    let double = Double::new([
        answer(200, body).with("opc-next-cursor", "c2"),
        answer(200, "[]").with("opc-next-cursor", "c3"),
        answer(200, "[]"),
        answer(200, r#"[{"partition":"0","offset":1,"value":"!"}]"#).with("opc-next-cursor", "c"),
    ]);
    let client = double.client();
    let endpoint: Endpoint = "https://cell-1.streaming.us-ashburn-1.oci.oraclecloud.com".parse().unwrap();
    let stream = ocid("ocid1.stream.oc1.iad.a");
    let read = async || client.streaming(&endpoint).get_messages(&stream, "c/1=", 25, in_secs(60)).await;
    let page = read().await.unwrap();
    let short: Vec<_> = page.messages.iter().map(|each| (each.offset, each.key.as_deref(), &each.value[..])).collect();
    assert_eq!(short, [(100, Some(&b"k1"[..]), &br#"{"a":1}"#[..]), (103, None, br#"{"a":2}"#)]);
    assert_eq!(page.next_cursor, "c2");
    let empty = read().await.unwrap();
    assert!(empty.messages.is_empty() && empty.next_cursor == "c3");
    for _ in 0..2 {
        let error = read().await.unwrap_err();
        assert!(matches!(error, Error::Decode { .. }), "{error:?}");
    }
    assert_eq!(
        double.sent()[0].uri(),
        "https://cell-1.streaming.us-ashburn-1.oci.oraclecloud.com/20180418/streams/ocid1.stream.oc1.iad.a/messages\
         ?cursor=c%2F1%3D&limit=25"
    );
}

#[tokio::test]
async fn objects_are_listed_page_by_page_up_to_the_most_that_is_wanted() {
    let page = |names: [&str; 2], next: &str| {
        answer(
            200,
            format!(
                r#"{{"objects":[{{"name":"{}"}},{{"name":"{}"}}],"prefixes":[],"nextStartWith":{next}}}"#,
                names[0], names[1]
            ),
        )
    };
    let list = ListObjects { prefix: Some("owed/".to_owned()), ..ListObjects::default() };
    let names = |listing: &oci_client::Listing| {
        listing.objects.iter().map(|each| each.name.clone()).collect::<Vec<_>>().join(" ")
    };

    let at = |page: Play, time| page.with("date", format!("Mon, 05 Jan 2026 {time} GMT"));
    let double = Double::new([at(page(["a", "b"], r#""c""#), "21:31:40"), at(page(["c", "d"], "null"), "21:31:41")]);
    let client = double.client_at("2026-01-05T21:31:40Z");
    let whole = client.bucket("ns", "state").list_all(&list, 100, in_secs(60)).await.unwrap();
    assert_eq!((names(&whole).as_str(), whole.next_start_with), ("a b c d", None));
    assert_eq!(whole.date.unwrap().to_string(), "2026-01-05T21:31:40Z", "the first page's");
    let sent = double.sent();
    let base = "https://objectstorage.us-ashburn-1.oraclecloud.com/n/ns/b/state/o?prefix=owed%2F";
    assert_eq!(sent[0].uri(), format!("{base}&limit=1000"));
    assert_eq!(sent[1].uri(), format!("{base}&start=c&limit=1000"));

    let double = Double::new([page(["a", "b"], r#""c""#), page(["c", "d"], r#""e""#)]);
    let some = double.client().bucket("ns", "state").list_all(&list, 3, in_secs(60)).await.unwrap();
    assert_eq!((names(&some).as_str(), some.next_start_with.as_deref()), ("a b c d", Some("e")));

    let double = Double::new([page(["a", "b"], r#""c""#), page(["c", "d"], r#""c""#)]);
    let error = double.client().bucket("ns", "state").list_all(&list, 100, in_secs(60)).await.unwrap_err();
    assert!(matches!(error, Error::Decode { .. }), "{error:?}");
}

#[tokio::test]
async fn a_listing_with_times_asks_for_them_and_reads_them() {
    let double = Double::new([answer(
        200,
        r#"{"objects":[{"name":"a","etag":"e","size":7,"timeCreated":"2026-01-05T21:20:00.123Z","timeModified":null}]}"#,
    )]);
    let list = ListObjects {
        start: Some("a/b".to_owned()),
        end: Some("c".to_owned()),
        limit: Some(5),
        with_times: true,
        ..ListObjects::default()
    };
    let listing = double.client().bucket("ns", "state").list(&list, in_secs(60)).await.unwrap();
    let object = &listing.objects[0];
    assert_eq!((object.etag.as_deref(), object.size, object.time_modified), (Some("e"), Some(7), None));
    assert_eq!(object.time_created.unwrap().to_string(), "2026-01-05T21:20:00.123Z");
    let uri = double.sent()[0].uri();
    assert!(
        uri.ends_with("/o?start=a%2Fb&end=c&limit=5&fields=name%2Cetag%2Csize%2CtimeCreated%2CtimeModified"),
        "{uri}"
    );
}

#[tokio::test]
async fn the_namespace_loses_its_quotes() {
    let double = Double::new([answer(200, r#""axabcdefghij""#)]);
    assert_eq!(double.client().get_namespace(in_secs(60)).await.unwrap(), "axabcdefghij");
    assert_eq!(double.sent()[0].uri(), "https://objectstorage.us-ashburn-1.oraclecloud.com/n");
}

/// An answer that holds the bytes of `whole` from `from` on.
fn part(whole: &'static str, from: usize) -> Play {
    let told = format!("bytes {from}-{}/{}", whole.len() - 1, whole.len());
    answer(206, &whole.as_bytes()[from..]).with("content-range", told)
}

async fn read_object(double: &Arc<Double>, offset: u64) -> (String, Option<Error>) {
    let mut reader = double.client().bucket("ns", "logs").read("a b.gz", "e-1", offset);
    let mut read = Vec::new();
    loop {
        match reader.chunk(in_secs(60)).await {
            Ok(Some(chunk)) => {
                assert!(!chunk.is_empty());
                read.extend_from_slice(&chunk);
                assert_eq!(reader.offset(), offset + read.len() as u64);
            }
            Ok(None) => return (String::from_utf8(read).unwrap(), None),
            Err(error) => return (String::from_utf8(read).unwrap(), Some(error)),
        }
    }
}

#[tokio::test]
async fn an_object_is_read_by_one_request_that_pins_its_version() {
    let double = Double::new([part("0123456789", 3)]);
    assert!(matches!(read_object(&double, 3).await, (read, None) if read == "3456789"));
    let sent = double.sent();
    assert!(sent[0].uri().ends_with("/n/ns/b/logs/o/a%20b.gz"), "{}", sent[0].uri());
    assert_eq!((sent[0].header("range"), sent[0].header("if-match")), ("bytes=3-", "e-1"));
    let whole = |text: &'static str| answer(200, text).with("content-length", text.len().to_string());
    let behind = || refusal(416, "InvalidRange");
    for (plays, offset) in [(vec![whole("")], 0), (vec![behind(), whole("")], 0), (vec![behind(), whole("0123")], 4)] {
        let double = Double::new(plays);
        assert!(matches!(read_object(&double, offset).await, (read, None) if read.is_empty()));
        assert_eq!(double.sent().last().unwrap().header("if-match"), "e-1");
    }
    // Whoever passes the range over gives all of it.
    for play in [whole("0123"), answer(200, "0123").with("transfer-encoding", "chunked")] {
        assert!(matches!(read_object(&Double::new([play]), 0).await, (read, None) if read == "0123"));
    }
}

#[tokio::test(start_paused = true)]
async fn an_object_that_breaks_off_is_read_on_from_there() {
    let whole = "0123456789";
    let cut = |from: usize, until: usize| {
        let told = format!("bytes {from}-9/10");
        answer(206, &whole.as_bytes()[from..until]).with("content-range", told)
    };
    // Cut off, ended too early, and answered with less than was asked for.
    let short = answer(206, "67").with("content-range", "bytes 6-7/10");
    let double =
        Double::new([cut(0, 4).cut(), cut(4, 4).cut(), cut(4, 6), short, refusal(503, "Busy"), part(whole, 8)]);
    let (read, error) = read_object(&double, 0).await;
    assert!(error.is_none(), "{error:?}");
    assert_eq!(read, whole);
    let ranges: Vec<_> = double.sent().iter().map(|sent| sent.header("range").to_owned()).collect();
    assert_eq!(ranges, ["bytes=0-", "bytes=4-", "bytes=4-", "bytes=6-", "bytes=8-", "bytes=8-"]);
}

#[tokio::test(start_paused = true)]
async fn an_object_that_keeps_breaking_off_or_is_another_one_is_an_error() {
    let told = |play: Play, told: &str| play.with("content-range", told);
    let empty = || told(answer(206, ""), "bytes 0-3/4");
    let other = || told(answer(206, "1234"), "bytes 1-4/5");
    let cut = || told(answer(206, "01"), "bytes 0-3/4").cut();
    let changed = || refusal(412, "IfMatchFailed");
    let behind = || refusal(416, "InvalidRange");
    let whole = || answer(200, "0123").with("content-length", "4");
    for (plays, expected) in [
        (vec![empty(), empty(), empty(), empty(), empty()], ""),
        (vec![told(answer(206, "01234"), "bytes 0-3/4")], ""),
        (vec![other(), other(), other(), other(), other()], ""),
        // Of no stated length: who says that this is the end?
        (vec![answer(200, "0123"), answer(200, "01"), other(), other(), other()], ""),
        (vec![cut(), whole(), whole(), whole(), whole()], "01"),
        (vec![cut(), changed()], "01"),
        // The object has become shorter or longer, or is said to end before its end.
        (vec![cut(), told(answer(206, "2"), "bytes 2-2/3")], "01"),
        (vec![cut(), told(answer(206, "234"), "bytes 2-4/5")], "01"),
        (vec![cut(), behind(), changed()], "01"),
        (vec![behind(), changed()], ""),
        (std::iter::once(cut()).chain((0..4).flat_map(|_| [behind(), whole()])).collect(), "01"),
    ] {
        let double = Double::new(plays);
        let (read, error) = read_object(&double, 0).await;
        assert_eq!(read, expected);
        let error = error.unwrap();
        assert!(matches!(error, Error::Decode { .. }) || error.is_precondition_failed(), "{error:?}");
        assert!(!double.sent().is_empty());
    }
}
