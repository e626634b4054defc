use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, StatusCode};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::{Clock, Fault, LocalOci, Settings};

struct Bench {
    cloud: LocalOci,
    stream: String,
}

const HOME: &str = "us-ashburn-1";

fn bench(partitions: u32) -> Bench {
    let start: Timestamp = "2026-01-05T00:00:00Z".parse().expect("a time");
    let mut settings = Settings::new(Clock::starting_at(start));
    settings.check_signatures = false;
    let cloud = LocalOci::new(settings);
    let stream = cloud.streams().create("events", partitions, HOME);
    Bench { cloud, stream }
}

struct Reply {
    status: StatusCode,
    next: Option<String>,
    json: Value,
}

impl Bench {
    async fn send(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        let body = body.map_or(Bytes::new(), |body| body.to_string().into());
        let uri = format!("http://localhost:99/20180418/streams{path}");
        let request = Request::builder().method(method).uri(uri).body(body).expect("a request");
        let response = self.cloud.handle(request).await.expect("an answer");
        let next = response.headers().get("opc-next-cursor").map(|next| next.to_str().expect("text").to_owned());
        let json = serde_json::from_slice(response.body()).unwrap_or(Value::Null);
        Reply { status: response.status(), next, json }
    }

    async fn put(&self, messages: Value) -> Reply {
        self.send("POST", &format!("/{}/messages", self.stream), Some(json!({ "messages": messages }))).await
    }

    async fn put_values(&self, values: &[&str]) -> Reply {
        self.put(values.iter().map(|value| json!({"key": "aw==", "value": STANDARD.encode(value)})).collect()).await
    }

    async fn cursor(&self, body: Value) -> Result<String, StatusCode> {
        let reply = self.send("POST", &format!("/{}/cursors", self.stream), Some(body)).await;
        reply.json["value"].as_str().map(str::to_owned).ok_or(reply.status)
    }

    async fn get(&self, cursor: &str, limit: usize) -> Reply {
        let cursor: String = url::form_urlencoded::byte_serialize(cursor.as_bytes()).collect();
        self.send("GET", &format!("/{}/messages?cursor={cursor}&limit={limit}", self.stream), None).await
    }

    async fn pass(&self, time: SignedDuration) {
        // The clock follows tokio's, which is paused.
        tokio::time::sleep(time.try_into().expect("a duration")).await;
    }
}

fn values(reply: &Reply) -> Vec<String> {
    let decode = |message: &Value| STANDARD.decode(message["value"].as_str().expect("a value")).expect("base64");
    let messages = reply.json.as_array().expect("an array");
    messages.iter().map(|message| String::from_utf8(decode(message)).expect("text")).collect()
}

#[tokio::test(start_paused = true)]
async fn entries_answer_in_the_order_of_the_request_with_all_fields() {
    let bench = bench(3);
    let failing = bench.cloud.faults().inject(Fault::on("PutMessages").times(1).fail_entries([1]));
    let reply = bench.put_values(&["a", "b", "c"]).await;
    assert_eq!((reply.status, bench.cloud.faults().fired(failing)), (StatusCode::OK, 1));
    assert_eq!(reply.json["failures"], 1);
    let entries = reply.json["entries"].as_array().expect("entries");
    let partition = &entries[0]["partition"];
    assert!(partition.is_string());
    let timestamp = "2026-01-05T00:00:00.000Z";
    for (index, offset) in [(0, 0), (2, 1)] {
        let taken = json!({"partition": partition, "offset": offset, "timestamp": timestamp, "error": null, "errorMessage": null});
        assert_eq!(entries[index], taken, "equal keys share a partition");
    }
    assert_eq!(entries[1]["offset"], Value::Null);
    assert!(entries[1]["error"].is_string() && entries[1]["errorMessage"].is_string());
    let kept: Vec<_> =
        bench.cloud.streams().messages(&bench.stream).iter().map(|message| message.value.clone()).collect();
    assert_eq!(kept, ["a", "c"]);
    assert_eq!(bench.cloud.streams().totals(&bench.stream).bytes_put, 4, "keys count");
}

#[tokio::test(start_paused = true)]
async fn messages_without_a_key_spread_and_keys_stick() {
    let bench = bench(4);
    let keyless: Value = (0..64).map(|_| json!({"value": "eA=="})).collect();
    assert_eq!(bench.put(keyless).await.json["failures"], 0);
    let used: std::collections::BTreeSet<u32> =
        bench.cloud.streams().messages(&bench.stream).iter().map(|message| message.partition).collect();
    assert_eq!(used.len(), 4);
    let keys: Value = (0..64).map(|index| json!({"key": STANDARD.encode([index]), "value": "eA=="})).collect();
    let places = |reply: &Reply| -> Vec<Value> {
        reply.json["entries"].as_array().expect("entries").iter().map(|entry| entry["partition"].clone()).collect()
    };
    assert_eq!(places(&bench.put(keys.clone()).await), places(&bench.put(keys).await));
}

#[tokio::test(start_paused = true)]
async fn a_put_is_refused_whole_where_one_message_is_wrong() {
    let bench = bench(1);
    let of_len = |len: usize| STANDARD.encode("x".repeat(len));
    let mebibyte = 1 << 20;
    for (messages, status) in [
        (json!([{"value": "eA=="}, {"value": "no base64!"}]), 400),
        (json!([{"value": "eA"}]), 400),
        (json!([{"key": "eA==", "value": null}]), 400),
        (json!([{"key": of_len(257), "value": "eA=="}]), 400),
        (json!([{"key": of_len(256), "value": "eA=="}]), 200),
        (json!([{"key": null, "value": ""}]), 200),
        (json!([{"value": of_len(mebibyte)}]), 200),
        (json!([{"key": "eA==", "value": of_len(mebibyte)}]), 400),
        (json!([{"value": of_len(mebibyte / 2)}, {"value": of_len(mebibyte / 2 + 1)}]), 400),
        (json!("messages"), 400),
    ] {
        let before = bench.cloud.streams().totals(&bench.stream).messages_put;
        let reply = bench.put(messages).await;
        assert_eq!(reply.status, status, "{}", reply.json["message"]);
        let taken = bench.cloud.streams().totals(&bench.stream).messages_put - before;
        assert_eq!(taken > 0, status == 200);
    }
    bench.cloud.streams().configure(|settings| settings.oversize_status = 413);
    let large = bench.put(json!([{"value": of_len(mebibyte + 1)}])).await;
    assert_eq!((large.status.as_u16(), &large.json["code"]), (413, &json!("RequestEntityTooLarge")));
}

#[tokio::test(start_paused = true)]
async fn each_type_of_cursor_begins_where_the_reference_says() {
    let bench = bench(1);
    let no_message = json!({"partition": "0", "type": "AT_OFFSET", "offset": 0});
    assert_eq!(bench.cursor(no_message).await, Err(StatusCode::BAD_REQUEST), "an empty partition has no offset");
    for value in ["a", "b", "c"] {
        bench.put_values(&[value]).await;
        bench.pass(SignedDuration::from_secs(1)).await;
    }
    bench.cloud.streams().trim(&bench.stream, 0, 1);
    let bad = Err(StatusCode::BAD_REQUEST);
    for (body, first) in [
        (json!({"type": "TRIM_HORIZON"}), Ok("b")),
        (json!({"type": "AT_OFFSET", "offset": 1}), Ok("b")),
        (json!({"type": "AT_OFFSET", "offset": 2}), Ok("c")),
        (json!({"type": "AFTER_OFFSET", "offset": 1}), Ok("c")),
        (json!({"type": "AFTER_OFFSET", "offset": 2}), Ok("")),
        (json!({"type": "AT_OFFSET", "offset": 0}), bad),
        (json!({"type": "AFTER_OFFSET", "offset": 0}), bad),
        (json!({"type": "AT_OFFSET", "offset": 3}), bad),
        (json!({"type": "AFTER_OFFSET", "offset": 3}), bad),
        (json!({"type": "AT_OFFSET"}), bad),
        (json!({"type": "AT_TIME", "time": "2026-01-05T00:00:02Z"}), Ok("c")),
        (json!({"type": "AT_TIME", "time": "2026-01-05T00:00:01.5Z"}), Ok("c")),
        (json!({"type": "AT_TIME", "time": "2026-01-04T00:00:00Z"}), Ok("b")),
        (json!({"type": "AT_TIME", "time": "2026-01-06T00:00:00Z"}), Ok("")),
        (json!({"type": "AT_TIME"}), bad),
        (json!({"type": "LATEST"}), Ok("")),
        (json!({"type": "FIRST"}), bad),
        (json!({"type": "LATEST", "partition": "1"}), bad),
        (json!({"type": "LATEST", "partition": "x"}), bad),
    ] {
        let mut asked = body.clone();
        asked["partition"] = body.get("partition").cloned().unwrap_or(json!("0"));
        let begins = match bench.cursor(asked).await {
            Ok(cursor) => Ok(values(&bench.get(&cursor, 1).await).concat()),
            Err(status) => Err(status),
        };
        assert_eq!(begins, first.map(str::to_owned), "{body}");
    }
    let latest = bench.cursor(json!({"partition": "0", "type": "LATEST"})).await.expect("a cursor");
    bench.put_values(&["d"]).await;
    assert_eq!(values(&bench.get(&latest, 9).await), ["d"]);
}

#[tokio::test(start_paused = true)]
async fn pages_are_short_or_empty_and_the_next_cursor_leads_on() {
    let bench = bench(1);
    bench.cloud.streams().configure(|settings| settings.page_max_bytes = 8);
    bench.put_values(&["aaa", "bbb", "ccc", "dddddddddd", "eee"]).await;
    let faults = bench.cloud.faults();
    faults.inject(Fault::on("GetMessages").skip(1).times(1).empty_read());
    faults.inject(Fault::on("GetMessages").times(1).short_read(1));
    let mut cursor = bench.cursor(json!({"partition": "0", "type": "TRIM_HORIZON"})).await.expect("a cursor");
    let mut pages = Vec::new();
    for _ in 0..6 {
        let page = bench.get(&cursor, 100).await;
        pages.push(values(&page));
        cursor = page.next.expect("always a next cursor");
    }
    // A key of one byte belongs to each: two fit into eight bytes, and a long one comes alone.
    assert_eq!(pages, [vec!["aaa"], vec![], vec!["bbb", "ccc"], vec!["dddddddddd"], vec!["eee"], vec![]]);
    let first = bench.cursor(json!({"partition": "0", "type": "TRIM_HORIZON"})).await.expect("a cursor");
    let page = bench.get(&first, 1).await;
    let timestamp = "2026-01-05T00:00:00.000Z";
    let message = json!({"stream": bench.stream, "partition": "0", "key": "aw==", "value": "YWFh", "offset": 0, "timestamp": timestamp});
    assert_eq!(page.json, json!([message]));
    for limit in [0, 10_001] {
        assert_eq!(bench.get(&first, limit).await.status, 400);
    }
}

#[tokio::test(start_paused = true)]
async fn cursors_expire_and_die_with_what_they_stood_on() {
    let bench = bench(1);
    bench.put_values(&["a", "b"]).await;
    let horizon = json!({"partition": "0", "type": "TRIM_HORIZON"});
    let cursor = bench.cursor(horizon.clone()).await.expect("a cursor");
    bench.pass(SignedDuration::from_secs(290)).await;
    let renewed = bench.get(&cursor, 1).await.next.expect("a cursor");
    bench.pass(SignedDuration::from_secs(20)).await;
    assert_eq!(bench.get(&cursor, 1).await.status, 400, "five minutes old");
    assert_eq!(values(&bench.get(&renewed, 1).await), ["b"]);

    let cursor = bench.cursor(horizon.clone()).await.expect("a cursor");
    bench.cloud.streams().trim(&bench.stream, 0, 1);
    assert_eq!(bench.get(&cursor, 1).await.status, 400, "behind the trim horizon");
    let cursor = bench.cursor(horizon.clone()).await.expect("a cursor");
    bench.cloud.streams().recreate(&bench.stream);
    assert_eq!(bench.get(&cursor, 1).await.status, 400, "another stream by now");
    assert_eq!(bench.put_values(&["z"]).await.json["entries"][0]["offset"], 0);

    bench.pass(SignedDuration::from_hours(24)).await;
    assert_eq!(bench.cloud.streams().messages(&bench.stream).len(), 1, "kept for 24 hours");
    bench.pass(SignedDuration::from_secs(1)).await;
    assert_eq!(bench.cloud.streams().messages(&bench.stream), []);
    let other = bench.cloud.streams().create("other", 1, HOME);
    let cursor = bench.cursor(horizon).await.expect("a cursor");
    let cursor: String = url::form_urlencoded::byte_serialize(cursor.as_bytes()).collect();
    assert_eq!(bench.send("GET", &format!("/{other}/messages?cursor={cursor}"), None).await.status, 400);
}

#[tokio::test(start_paused = true)]
async fn a_cursor_expires_on_demand() {
    let bench = bench(1);
    bench.put_values(&["a"]).await;
    let cursor = bench.cursor(json!({"partition": "0", "type": "TRIM_HORIZON"})).await.expect("a cursor");
    bench.cloud.faults().inject(Fault::on("GetMessages").times(1).expired_cursor());
    let reply = bench.get(&cursor, 1).await;
    assert_eq!((reply.status.as_u16(), &reply.json["code"]), (400, &json!("InvalidParameter")));
    assert_eq!(reply.json["message"], "the cursor has expired");
    assert_eq!(values(&bench.get(&cursor, 1).await), ["a"]);
    assert_eq!(bench.cloud.faults().counts()[&("GetMessages".to_owned(), "ExpiredCursor")], 1);
}

#[tokio::test(start_paused = true)]
async fn others_write_between_and_offsets_skip() {
    let bench = bench(1);
    bench.cloud.streams().configure(|settings| (settings.foreign_every, settings.gap_every) = (Some(2), Some(4)));
    let reply = bench.put_values(&["a", "b", "c", "d"]).await;
    let offsets: Vec<_> =
        reply.json["entries"].as_array().expect("entries").iter().map(|entry| &entry["offset"]).collect();
    assert_eq!(offsets, [0, 1, 3, 5], "another's lies at 2, and 4 is left out");
    assert_eq!(bench.cloud.streams().put_foreign(&bench.stream, 0, None, b"x"), Some(7));
    assert_eq!(bench.cloud.streams().put_foreign(&bench.stream, 1, None, b"x"), None);
    assert_eq!(bench.cloud.streams().messages(&bench.stream).len(), 7);
    assert_eq!(bench.cloud.streams().totals(&bench.stream).messages_put, 4, "the others' are not counted");
}

#[tokio::test(start_paused = true)]
async fn throttles_are_off_until_they_are_set() {
    let bench = bench(1);
    for _ in 0..20 {
        assert_eq!(bench.put_values(&["0123456789"]).await.status, 200);
    }
    bench.cloud.streams().configure(|settings| {
        settings.write_max_bytes_per_sec = Some(30);
        settings.gets_max_per_sec = Some(2);
    });
    bench.pass(SignedDuration::from_secs(1)).await;
    let mut statuses = Vec::new();
    let cursor = bench.cursor(json!({"partition": "0", "type": "TRIM_HORIZON"})).await.expect("a cursor");
    for _ in 0..3 {
        statuses.push((
            bench.put_values(&["0123456789"]).await.status.as_u16(),
            bench.get(&cursor, 1).await.status.as_u16(),
        ));
    }
    assert_eq!(statuses, [(200, 200), (200, 200), (429, 429)]);
    bench.pass(SignedDuration::from_secs(1)).await;
    assert_eq!(bench.put_values(&["0123456789"]).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_group_commits_on_the_next_get_or_when_told() {
    let bench = bench(1);
    bench.put_values(&["a", "b", "c"]).await;
    let join =
        |commit: bool| json!({"groupName": "g", "type": "TRIM_HORIZON", "instanceName": "i", "commitOnGet": commit});
    let group = async |commit: bool| {
        let reply = bench.send("POST", &format!("/{}/groupCursors", bench.stream), Some(join(commit))).await;
        reply.json["value"].as_str().expect("a cursor").to_owned()
    };
    let committed = || bench.cloud.streams().committed(&bench.stream, "g");
    let cursor = group(true).await;
    let first = bench.get(&cursor, 1).await;
    assert_eq!((values(&first), committed()), (vec!["a".to_owned()], vec![0]));
    let second = bench.get(&first.next.expect("a cursor"), 1).await;
    assert_eq!((values(&second), committed()), (vec!["b".to_owned()], vec![1]));

    // A member that comes anew begins at what was committed, whatever type it asks for.
    let cursor = group(false).await;
    let again = bench.get(&cursor, 1).await;
    let on = bench.get(&again.next.expect("a cursor"), 1).await;
    assert_eq!((values(&on), committed()), (vec!["c".to_owned()], vec![1]));
    let cursor: String = url::form_urlencoded::byte_serialize(on.next.expect("a cursor").as_bytes()).collect();
    let path = |what: &str| format!("/{}/{what}?cursor={cursor}", bench.stream);
    assert_eq!(bench.send("POST", &path("heartbeat"), None).await.status, 200);
    assert_eq!(committed(), [1]);
    assert_eq!(bench.send("POST", &path("commit"), None).await.status, 200);
    assert_eq!(committed(), [3]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_where_its_messages_are_and_is_known_in_its_region_only() {
    let bench = bench(2);
    let stream = bench.send("GET", &format!("/{}", bench.stream), None).await;
    assert_eq!(stream.json["messagesEndpoint"], "http://localhost:99");
    assert_eq!((&stream.json["partitions"], &stream.json["retentionInHours"]), (&json!(2), &json!(24)));
    let listed = bench.send("GET", "?name=events", None).await;
    assert_eq!(listed.json.as_array().map(Vec::len), Some(1));
    assert_eq!(bench.send("GET", "?name=others", None).await.json, json!([]));
    let elsewhere = format!("http://localhost:99/region/eu-frankfurt-1/20180418/streams/{}", bench.stream);
    let request = Request::get(elsewhere).body(Bytes::new()).expect("a request");
    assert_eq!(bench.cloud.handle(request).await.expect("an answer").status(), 404);
    let far = bench.cloud.streams().create("far", 1, "us-phoenix-1");
    let request = Request::get(format!("http://localhost:99/region/us-phoenix-1/20180418/streams/{far}"));
    let response = bench.cloud.handle(request.body(Bytes::new()).expect("a request")).await.expect("an answer");
    let json: Value = serde_json::from_slice(response.body()).expect("JSON");
    assert_eq!(json["messagesEndpoint"], "http://localhost:99/region/us-phoenix-1");
}
