use std::time::Duration;

use jiff::SignedDuration;
use local_oci::LifecycleRule;
use serde_json::{Value, json};

use crate::client::{Client, Got, encoded, settings};

const BUCKET: &str = "state";

struct Store(Client);

impl Store {
    fn new() -> Self {
        let client = Client::new(settings());
        client.cloud.storage().create_bucket(BUCKET);
        Self(client)
    }

    fn path(&self, rest: &str) -> String {
        format!("/n/{}/b/{BUCKET}/{rest}", self.0.cloud.storage().namespace())
    }

    fn object(&self, name: &str) -> String {
        self.path(&format!("o/{}", encoded(name)))
    }

    async fn put(&self, name: &str, headers: &[(&str, &str)], body: &'static str) -> Got {
        self.0.send("PUT", &self.object(name), headers, body).await
    }

    async fn get(&self, name: &str, headers: &[(&str, &str)]) -> Got {
        self.0.send("GET", &self.object(name), headers, "").await
    }

    async fn delete(&self, name: &str, headers: &[(&str, &str)]) -> Got {
        self.0.send("DELETE", &self.object(name), headers, "").await
    }

    async fn rename(&self, body: Value) -> Got {
        self.0.send("POST", &self.path("actions/renameObject"), &[], body.to_string()).await
    }

    async fn list(&self, query: &str) -> Value {
        let got = self.0.get(&self.path(&format!("o?{query}"))).await;
        assert_eq!(got.status, 200, "{query}: {:?}", got.body);
        got.json()
    }

    fn names(&self) -> Vec<String> {
        self.0.cloud.storage().objects(BUCKET)
    }
}

fn names(page: &Value) -> Vec<&str> {
    page["objects"]
        .as_array()
        .expect("an array")
        .iter()
        .map(|object| object["name"].as_str().expect("a name"))
        .collect()
}

fn is_uuid(etag: &str) -> bool {
    etag.len() == 36
        && etag.split('-').map(str::len).eq([8, 4, 4, 4, 12])
        && etag.replace('-', "").chars().all(|c| c.is_ascii_hexdigit())
}

#[tokio::test(start_paused = true)]
async fn the_namespace_is_a_json_string() {
    let store = Store::new();
    let got = store.0.get("/n").await;
    assert_eq!(got.body, format!("\"{}\"", store.0.cloud.storage().namespace()));
    assert_eq!(store.0.get("/n/").await.body, got.body);
}

#[tokio::test(start_paused = true)]
async fn an_object_comes_back_with_what_it_was_put_with() {
    let store = Store::new();
    let headers = [("content-type", "text/plain"), ("content-encoding", "gzip"), ("opc-meta-origin", "test")];
    let put = store.put("state/ü 1.json", &headers, "hello").await;
    assert_eq!((put.status, put.body.len()), (200, 0));
    assert!(is_uuid(put.header("etag")), "{}", put.header("etag"));
    // MD5("hello")
    assert_eq!(put.header("opc-content-md5"), "XUFAKrxLKna5cZ2REBfFkg==");
    let got = store.get("state/ü 1.json", &[]).await;
    assert_eq!((got.status, &got.body[..]), (200, &b"hello"[..]));
    for (name, value) in headers {
        assert_eq!(got.header(name), value);
    }
    assert_eq!(got.header("etag"), put.header("etag"));
    assert_eq!(got.header("content-md5"), "XUFAKrxLKna5cZ2REBfFkg==");
    assert_eq!(got.header("last-modified"), "Mon, 05 Jan 2026 12:00:30 GMT");
    let head = store.0.send("HEAD", &store.object("state/ü 1.json"), &[], "").await;
    assert_eq!((head.status, head.body.len(), head.header("content-length")), (200, 0, "5"));
    assert_eq!(head.header("opc-meta-origin"), "test");
    // A slash in the name may be sent either way.
    assert_eq!(store.0.get(&store.path("o/state/%C3%BC%201.json")).await.status, 200);
    assert_eq!(store.names(), ["state/ü 1.json"]);
    assert_eq!(store.put("plain", &[], "").await.status, 200, "zero bytes are an object");
    assert_eq!(store.get("plain", &[]).await.header("content-type"), "application/octet-stream");
}

#[tokio::test(start_paused = true)]
async fn each_thing_that_is_missing_has_its_own_code() {
    let store = Store::new();
    assert_eq!(store.get("x", &[]).await.error(), (404, "ObjectNotFound".to_owned()));
    assert_eq!(store.delete("x", &[]).await.error(), (404, "ObjectNotFound".to_owned()));
    let head = store.0.send("HEAD", &store.object("x"), &[], "").await;
    assert_eq!((head.status, head.body.len()), (404, 0));
    let other = store.object("x").replace(&format!("/b/{BUCKET}/"), "/b/other/");
    assert_eq!(store.0.get(&other).await.error(), (404, "BucketNotFound".to_owned()));
    assert_eq!(store.0.send("PUT", &other, &[], "1").await.error(), (404, "BucketNotFound".to_owned()));
    let elsewhere = store.object("x").replace("/n/", "/n/z");
    assert_eq!(store.0.get(&elsewhere).await.error(), (404, "NamespaceNotFound".to_owned()));
    // A bucket is in one region.
    let abroad = Client::of(&store.0.cloud).in_region("us-phoenix-1");
    assert_eq!(abroad.get(&store.object("x")).await.error(), (404, "BucketNotFound".to_owned()));
    let home = Client::of(&store.0.cloud).in_region("us-ashburn-1");
    assert_eq!(home.get(&store.object("x")).await.error(), (404, "ObjectNotFound".to_owned()));
    assert_eq!(store.0.get(store.path("").trim_end_matches('/')).await.json()["name"], BUCKET);
}

#[tokio::test(start_paused = true)]
async fn preconditions_answer_as_measured() {
    let store = Store::new();
    let create_only = [("if-none-match", "*")];
    let first = store.put("x", &create_only, "1").await;
    assert_eq!(first.status, 200);
    assert_eq!(store.put("x", &create_only, "2").await.error(), (412, "IfNoneMatchFailed".to_owned()));
    assert_eq!(store.get("x", &[]).await.body, "1");
    let stale = [("if-match", "9a86a492-43fa-4c8c-a80e-dbd650188ff8")];
    assert_eq!(store.put("x", &stale, "2").await.error(), (412, "IfMatchFailed".to_owned()));
    assert_eq!(store.put("x", &[("if-match", "")], "2").await.error(), (412, "IfMatchFailed".to_owned()));
    assert_eq!(store.put("new", &stale, "2").await.error(), (412, "IfMatchFailed".to_owned()));
    assert_eq!(store.put("x", &[("if-none-match", first.header("etag"))], "2").await.status, 400);
    let current = [("if-match", first.header("etag"))];
    let second = store.put("x", &current, "2").await;
    assert_eq!(second.status, 200);
    assert_ne!(second.header("etag"), first.header("etag"));
    assert_eq!(store.put("x", &current, "3").await.status, 412, "the etag is spent");
    let quoted = format!("\"{}\"", second.header("etag"));
    assert_eq!(store.get("x", &[("if-match", &quoted)]).await.status, 200, "quotes are stripped");
    assert_eq!(store.get("x", &stale).await.error(), (412, "IfMatchFailed".to_owned()));
    let same = store.get("x", &[("if-none-match", second.header("etag"))]).await;
    assert_eq!((same.status, same.body.len()), (304, 0));
    assert_eq!(store.get("x", &[("if-none-match", first.header("etag"))]).await.status, 200);
    assert_eq!(store.delete("x", &stale).await.error(), (412, "IfMatchFailed".to_owned()));
    assert_eq!(store.names(), ["x"]);
    assert_eq!(store.delete("x", &[("if-match", second.header("etag"))]).await.status, 204);
    assert!(store.names().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_body_is_held_to_its_md5_and_its_length() {
    let store = Store::new();
    let wrong = [("content-md5", "uIk6qhQFlt+6flEO5Jo0Ng==")];
    assert_eq!(store.put("x", &wrong, "hello").await.error(), (400, "UnmatchedContentMD5".to_owned()));
    assert_eq!(store.put("x", &[("content-md5", "XUFAKrxLKna5cZ2REBfFkg==")], "hello").await.status, 200);
    let mut chunked = store.0.request("PUT", &store.object("x"), &[], "hello".into());
    chunked.headers_mut().remove("content-length");
    assert_eq!(store.0.answer(chunked).await.status, 411);
    assert_eq!(store.put("x", &[("transfer-encoding", "chunked")], "hello").await.status, 411);
}

#[tokio::test(start_paused = true)]
async fn names_have_1_to_1024_bytes_and_no_line_breaks() {
    let store = Store::new();
    for (name, status) in [
        ("é".repeat(512), 200),
        (format!("{}x", "é".repeat(512)), 400),
        ("a\nb".to_owned(), 400),
        (".".to_owned(), 200),
    ] {
        assert_eq!(store.put(&name, &[], "1").await.status, status, "{name:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_range_is_answered_206() {
    let store = Store::new();
    store.put("x", &[], "0123456789").await;
    for (range, body, content_range) in [
        ("bytes=0-3", "0123", "bytes 0-3/10"),
        ("bytes=8-", "89", "bytes 8-9/10"),
        ("bytes=-3", "789", "bytes 7-9/10"),
        ("bytes=5-500", "56789", "bytes 5-9/10"),
    ] {
        let got = store.get("x", &[("range", range)]).await;
        assert_eq!((got.status, &got.body[..], got.header("content-range")), (206, body.as_bytes(), content_range));
        assert_eq!(got.header("content-length"), body.len().to_string());
    }
    for range in ["bytes=10-", "bytes=4-2", "bytes=0-1,3-4", "lines=0-1", "bytes=-0"] {
        assert_eq!(store.get("x", &[("range", range)]).await.status, 416, "{range}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_listing_is_cut_by_bounds_and_goes_on_at_next_start_with() {
    let store = Store::new();
    for name in ["a", "b/1", "b/2", "b/3", "c", "ä"] {
        store.put(name, &[], "12").await;
    }
    assert_eq!(names(&store.list("").await), ["a", "b/1", "b/2", "b/3", "c", "ä"]);
    assert_eq!(names(&store.list("prefix=b%2F").await), ["b/1", "b/2", "b/3"]);
    assert_eq!(names(&store.list("start=b%2F2").await), ["b/2", "b/3", "c", "ä"]);
    assert_eq!(names(&store.list("startAfter=b%2F2").await), ["b/3", "c", "ä"]);
    assert_eq!(names(&store.list("startAfter=a&prefix=b%2F").await), ["b/1", "b/2", "b/3"]);
    assert_eq!(names(&store.list("end=b%2F2").await), ["a", "b/1"]);
    assert_eq!(names(&store.list("prefix=b%2F&start=b%2F2&end=b%2F3").await), ["b/2"]);
    let (mut all, mut start) = (Vec::new(), String::new());
    loop {
        let page = store.list(&format!("limit=2{start}")).await;
        all.extend(names(&page).into_iter().map(str::to_owned));
        let Some(next) = page["nextStartWith"].as_str() else { break };
        start = format!("&start={}", encoded(next));
    }
    assert_eq!(all, ["a", "b/1", "b/2", "b/3", "c", "ä"]);
    let page = store.list("delimiter=%2F").await;
    assert_eq!((names(&page), &page["prefixes"]), (vec!["a", "c", "ä"], &json!(["b/"])));
    let page = store.list("delimiter=%2F&limit=2").await;
    assert_eq!((names(&page), &page["prefixes"], &page["nextStartWith"]), (vec!["a"], &json!(["b/"]), &json!("c")));
}

#[tokio::test(start_paused = true)]
async fn a_listing_tells_names_only_unless_asked() {
    let store = Store::new();
    let put = store.put("x", &[], "hello").await;
    assert_eq!(store.list("").await, json!({ "objects": [{ "name": "x" }] }));
    let fields = encoded("name,size,etag,md5,timeCreated,timeModified");
    assert_eq!(
        store.list(&format!("fields={fields}")).await["objects"][0],
        json!({
            "name": "x", "size": 5, "etag": put.header("etag"), "md5": "XUFAKrxLKna5cZ2REBfFkg==",
            "timeCreated": "2026-01-05T12:00:30.000Z", "timeModified": "2026-01-05T12:00:30.000Z",
        })
    );
    for wrong in ["fields=colour", "limit=0", "limit=1001", "delimiter=-"] {
        let got = store.0.get(&store.path(&format!("o?{wrong}"))).await;
        assert_eq!(got.error(), (400, "InvalidParameter".to_owned()), "{wrong}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_rename_moves_the_object_under_its_preconditions() {
    let store = Store::new();
    store.put("owed/1", &[("opc-meta-a", "b")], "body").await;
    let taken =
        store.rename(json!({ "sourceName": "owed/1", "newName": "held/1", "newObjIfNoneMatchETag": "*" })).await;
    assert_eq!((taken.status, taken.body.len()), (200, 0));
    assert!(is_uuid(taken.header("etag")));
    assert_eq!(store.names(), ["held/1"]);
    let got = store.get("held/1", &[]).await;
    assert_eq!((&got.body[..], got.header("opc-meta-a")), (&b"body"[..], "b"));
    assert_eq!(got.header("etag"), taken.header("etag"), "the answer's etag is the one that holds");
    let again =
        store.rename(json!({ "sourceName": "owed/1", "newName": "held/1", "newObjIfNoneMatchETag": "*" })).await;
    assert_eq!(again.error(), (404, "ObjectNotFound".to_owned()));

    let other = store.put("seen/1", &[], "there").await;
    let rename = |extra: (&str, &str)| json!({ "sourceName": "held/1", "newName": "seen/1", extra.0: extra.1 });
    for (extra, code) in [
        (("newObjIfNoneMatchETag", "*"), "IfNoneMatchFailed"),
        (("newObjIfMatchETag", "stale"), "IfMatchFailed"),
        (("srcObjIfMatchETag", "stale"), "IfMatchFailed"),
    ] {
        assert_eq!(store.rename(rename(extra)).await.error(), (412, code.to_owned()), "{extra:?}");
        assert_eq!(store.names(), ["held/1", "seen/1"]);
    }
    assert_eq!(store.rename(rename(("newObjIfMatchETag", other.header("etag")))).await.status, 200);
    assert_eq!(store.get("seen/1", &[]).await.body, "body");
    store.put("x", &[], "x").await;
    assert_eq!(store.rename(json!({ "sourceName": "x", "newName": "seen/1" })).await.status, 200, "overwrites");
    assert_eq!(store.names(), ["seen/1"]);
    assert_eq!(store.rename(json!({ "sourceName": "x" })).await.status, 400);
}

#[tokio::test(start_paused = true)]
async fn two_racing_renames_have_one_winner_unless_there_is_a_gap() {
    for (gap, winners) in [(None, 1), (Some(Duration::from_millis(5)), 2)] {
        let store = Store::new();
        store.put("owed", &[], "1").await;
        store.0.cloud.storage().set_rename_gap(gap);
        let take =
            |to: &str| store.rename(json!({ "sourceName": "owed", "newName": to, "newObjIfNoneMatchETag": "*" }));
        let (one, other) = tokio::join!(take("held/1"), take("held/2"));
        assert_eq!([one, other].iter().filter(|got| got.status == 200).count(), winners);
        assert_eq!(store.names().len(), winners);
    }
}

#[tokio::test(start_paused = true)]
async fn a_part_is_held_to_its_preconditions_before_its_range() {
    let store = Store::new();
    let etag = store.put("x", &[], "0123456789").await.header("etag").to_owned();
    let (stale, part) = ("9a86a492-43fa-4c8c-a80e-dbd650188ff8", ("range", "bytes=2-3"));
    let got = store.get("x", &[("if-match", &etag), part]).await;
    assert_eq!((got.status, &got.body[..], got.header("etag")), (206, &b"23"[..], etag.as_str()));
    for range in ["bytes=2-3", "bytes=99-"] {
        let got = store.get("x", &[("if-match", stale), ("range", range)]).await;
        assert_eq!(got.error(), (412, "IfMatchFailed".to_owned()), "{range}");
        assert_eq!(store.get("x", &[("if-none-match", &etag), ("range", range)]).await.status, 304, "{range}");
    }
    for (name, value, status) in
        [("if-match", etag.as_str(), 200), ("if-match", stale, 412), ("if-none-match", &etag, 304)]
    {
        let head = store.0.send("HEAD", &store.object("x"), &[(name, value)], "").await;
        assert_eq!((head.status, head.body.len()), (status, 0), "{name}");
    }
    let head = store.0.send("HEAD", &store.object("x"), &[part], "").await;
    assert_eq!((head.status, head.header("content-range"), head.header("content-length")), (206, "bytes 2-3/10", "2"));
}

#[tokio::test(start_paused = true)]
async fn names_are_decoded_once() {
    let store = Store::new();
    for name in ["a b", "a+b", "a%2Fb", "a%20b", "a%252Fb", "日本/ü 😀", "/a", "a//b", "a/", "?x=1&y#z", "..", "~-_."]
    {
        assert_eq!(store.put(name, &[("opc-meta-a", "b")], "1").await.status, 200, "{name}");
        assert_eq!(store.names(), [name]);
        let to = format!("{name} new");
        assert_eq!(store.rename(json!({ "sourceName": name, "newName": to })).await.status, 200, "{name}");
        assert_eq!(store.get(&to, &[]).await.body, "1");
        assert_eq!(store.delete(&to, &[]).await.status, 204);
    }
    // As a client may send it, too: only what must be encoded is.
    assert_eq!(store.0.send("PUT", &store.path("o/a+b%2Fc%20d%252F"), &[], "1").await.status, 200);
    assert_eq!(store.names(), ["a+b/c d%2F"]);
}

#[tokio::test(start_paused = true)]
async fn a_rename_is_pinned_to_a_version_of_its_source() {
    let store = Store::new();
    let first = store.put("x", &[], "1").await;
    let second = store.put("x", &[], "2").await;
    let rename = |etag: &str| json!({ "sourceName": "x", "newName": "y", "srcObjIfMatchETag": etag });
    assert_eq!(store.rename(rename(first.header("etag"))).await.error(), (412, "IfMatchFailed".to_owned()));
    assert_eq!(store.names(), ["x"]);
    assert_eq!(store.rename(rename(second.header("etag"))).await.status, 200);
    assert_eq!(store.get("y", &[]).await.body, "2");
}

#[tokio::test(start_paused = true)]
async fn a_life_cycle_deletes_what_is_old_when_the_bucket_is_touched() {
    let store = Store::new();
    let storage = store.0.cloud.storage();
    let hours = SignedDuration::from_hours;
    let rule = |prefix: &str, older_than| LifecycleRule { prefix: prefix.to_owned(), older_than };
    storage.set_lifecycle(BUCKET, vec![rule("audit/", hours(72)), rule("", hours(1000))]);
    for name in ["audit/1", "audit/2", "other"] {
        store.put(name, &[], "1").await;
    }
    store.0.cloud.clock().sleep(hours(48)).await;
    store.put("audit/2", &[], "2").await;
    store.rename(json!({ "sourceName": "audit/1", "newName": "audit/3" })).await;
    store.0.cloud.clock().sleep(hours(71)).await;
    assert_eq!(names(&store.list("").await), ["audit/2", "audit/3", "other"], "both are as old as their last change");
    store.0.cloud.clock().sleep(hours(2)).await;
    assert_eq!(store.get("audit/2", &[]).await.error(), (404, "ObjectNotFound".to_owned()));
    assert_eq!(names(&store.list("").await), ["other"]);
    store.0.cloud.clock().sleep(hours(1000)).await;
    storage.tick();
    assert!(store.names().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_bucket_tells_whether_it_emits_events() {
    let store = Store::new();
    for emits in [false, true] {
        store.0.cloud.storage().set_object_events(BUCKET, emits);
        let bucket = store.0.get(store.path("").trim_end_matches('/')).await.json();
        assert_eq!(bucket["objectEventsEnabled"], emits);
    }
}
