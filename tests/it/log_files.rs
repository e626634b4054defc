//! Log files from a bucket to the collector: the faults of the reference pipeline by their ids, and the ledger's own promises.

use std::{io::Write, time::Duration};

use bytes::Bytes;
use decode_bucket_gzip as decode;
use flate2::{Compression, write::GzEncoder};
use fn_hyper::{Invocation, Reply};
use jiff::SignedDuration;
use local_oci::{Fault, receiver::HecFault};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::{
    house::{BUCKET, House, LOGS, house, object_event},
    wire::Moment,
};

const NAME: &str = "audit/ocid1.serviceconnector.oc1.iad.x/20260105T000000Z_20260105T000700Z.0.log.gz";

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::new(6));
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn record(id: &str) -> String {
    format!(r#"{{"id":"{id}","time":"2026-01-05T00:01:00.000Z","n":1.50}}"#)
}

fn records(count: usize) -> Vec<String> {
    (0..count).map(|n| record(&format!("a-{n:06}"))).collect()
}

fn with_log_files(keys: &[(&str, &str)]) -> House {
    house(|plan| {
        plan.log_files = true;
        plan.keys.extend(keys.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    })
}

fn summary(reply: &Reply) -> Value {
    assert!(reply.is_success(), "{reply:?}");
    serde_json::from_slice(reply.body()).unwrap()
}

fn arrived(house: &House) -> Vec<String> {
    house.arrived().iter().map(|raw| String::from_utf8(raw.to_vec()).unwrap()).collect()
}

/// The bytes of the dead letters, by name.
fn dead(house: &House) -> Vec<(Value, Vec<u8>)> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let letters = house.objects("dead/").into_iter().map(|name| house.object(&name));
    letters.map(|letter| (letter.clone(), STANDARD.decode(letter["bytes"].as_str().unwrap()).unwrap())).collect()
}

/// Nothing waits or is held.
fn assert_settled(house: &House) {
    for folder in ["owed/object/", "held/object/"] {
        assert_eq!(house.objects(folder), [""; 0], "{folder}");
    }
}

/// The file goes through whole and leaves nothing: these records, byte for byte, and these counts.
#[track_caller]
fn assert_delivered(house: &House, expected: &[impl AsRef<str>]) {
    let expected: Vec<&str> = expected.iter().map(AsRef::as_ref).collect();
    assert_eq!(arrived(house), expected);
    house.assert_idle();
    let seen = house.objects("seen/object/splunk/");
    assert!(seen.len() == 1 && seen[0].ends_with(&format!("~{}~0~0", expected.len())), "{seen:?}");
}

#[tokio::test(start_paused = true)]
async fn l_01_an_event_brings_its_file_s_records_byte_for_byte() {
    let house = with_log_files(&[]);
    let all = records(3);
    let event = house.log_file(NAME, gzip(&all.concat()));
    let summary = summary(&house.decode(event).await);
    assert_eq!((&summary["decoded"], &summary["sent"]), (&json!(1), &json!(3)));
    assert_delivered(&house, &all);
    // With keep, the default, the file stays.
    assert_eq!(house.cloud.storage().objects(LOGS), [NAME]);
}

#[tokio::test(start_paused = true)]
async fn l_02_to_l_08_records_are_told_apart_and_kept_whatever_lies_between_them() {
    let odd = [
        r#"{"m":"x}{y"}"#,
        "{\"a\":1,\n\"b\":2}",
        r#"{"n":1e999}"#,
        r#"{"k":1,"k":2}"#,
        r#"{"n":12345678901234567890.123456789,"s":"é\u00e9"}"#,
    ];
    for (before, between, behind) in
        [("", "", ""), ("", "\n", "\n"), ("", "\n\n", ""), ("\u{feff}", " ", ""), ("", "\r", "\t")]
    {
        let house = with_log_files(&[]);
        let event = house.log_file(NAME, gzip(&format!("{before}{}{behind}", odd.join(between))));
        summary(&house.decode(event).await);
        assert_delivered(&house, &odd);
    }
}

#[tokio::test(start_paused = true)]
async fn l_09_an_empty_file_is_a_success_and_sends_nothing() {
    for bytes in [Vec::new(), gzip(""), gzip("[]"), b"\n".to_vec()] {
        let house = with_log_files(&[]);
        let event = house.log_file(NAME, bytes);
        assert_eq!(summary(&house.decode(event).await)["decoded"], 1);
        assert_eq!(house.splunk.traffic().0, 0);
        assert_delivered(&house, &[""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn l_10_a_bomb_is_set_aside_with_its_bytes_and_opens_no_further() {
    let house = with_log_files(&[]);
    let bomb = gzip(&format!("{}{}", record("a-1"), " ".repeat(60_000_000)));
    let event = house.log_file(NAME, bomb.clone());
    let summary = summary(&house.decode(event).await);
    assert_eq!((&summary["set_aside"], &summary["sent"]), (&json!(1), &json!(1)));
    assert_eq!(arrived(&house), [record("a-1")]);
    let letters = dead(&house);
    assert!(letters.len() == 1 && letters[0].0["reason"].as_str().unwrap().contains("ratio_max"), "{letters:?}");
    let kept = house.objects("kept/object/splunk/");
    assert_eq!(kept.len(), 1);
    assert_eq!(house.cloud.storage().get(BUCKET, &kept[0]).unwrap(), bomb);
    assert_settled(&house);
}

#[tokio::test(start_paused = true)]
async fn l_11_bodies_are_cut_by_bytes_and_a_record_that_is_too_large_is_set_aside_alone() {
    let house = with_log_files(&[("record_max_bytes", "100000")]);
    let long = format!(r#"{{"id":"long","x":"{}"}}"#, "x".repeat(150_000));
    let mut all = records(30_000);
    let event = house.log_file(NAME, gzip(&format!("{}{long}{}", all[..15_000].concat(), all[15_000..].concat())));
    let summary = summary(&house.decode(event).await);
    assert_eq!((&summary["decoded"], &summary["sent"], &summary["dead"]), (&json!(1), &json!(30_000), &json!(2)));
    let mut got = arrived(&house);
    got.sort();
    all.sort();
    assert_eq!(got, all);
    let pieces: Vec<u8> = dead(&house).into_iter().flat_map(|(_, bytes)| bytes).collect();
    assert_eq!(String::from_utf8(pieces).unwrap(), long);
    assert_settled(&house);
}

#[tokio::test(start_paused = true)]
async fn l_12_a_bad_record_among_many_is_set_aside_and_none_is_sent_twice() {
    let house = with_log_files(&[]);
    let all = records(1_000);
    let mut lines = all.clone();
    lines.insert(500, r#"{"id":"bad" "n":1}"#.to_owned());
    let event = house.log_file(NAME, gzip(&lines.join("\n")));
    let summary = summary(&house.decode(event.clone()).await);
    assert_eq!((&summary["sent"], &summary["dead"]), (&json!(1_000), &json!(1)));
    assert_eq!(arrived(&house), all);
    let letters = dead(&house);
    assert_eq!((letters.len(), letters[0].1.as_slice()), (1, br#"{"id":"bad" "n":1}"#.as_slice()));
    assert!(letters[0].0["reason"].as_str().unwrap().contains("not JSON"));
    // The event comes again: everything is settled.
    assert_eq!(self::summary(&house.decode(event).await)["gone"], 1);
    assert_eq!((house.splunk.count(), dead(&house).len()), (1_000, 1));
    assert_settled(&house);
}

#[tokio::test(start_paused = true)]
async fn l_14_what_is_faulty_is_a_failure_and_never_an_answer_of_success() {
    let house = with_log_files(&[]);
    for body in ["", "not json", "{}", r#"{"eventType":"com.oraclecloud.objectstorage.deleteobject"}"#] {
        let reply = house.decode(body).await;
        assert!(!reply.is_success(), "{body}");
    }
    assert_eq!(house.objects(""), [""; 0]);
    let problems = decode::read(&|_| None).err().unwrap().to_string();
    for key in ["input_bucket", "splunk_url", "state_bucket"] {
        assert!(problems.contains(key), "{problems}");
    }
}

#[tokio::test(start_paused = true)]
async fn l_15_an_event_for_another_bucket_is_refused() {
    let house = with_log_files(&[]);
    let cloud = &house.cloud;
    cloud.storage().create_bucket("other");
    let etag = cloud.storage().put("other", NAME, gzip(&record("a-1"))).unwrap();
    let now = cloud.clock().now();
    for (namespace, bucket) in [(cloud.tenancy().namespace(), "other"), ("elsewhere", LOGS)] {
        let reply = house.decode(object_event(namespace, bucket, NAME, &etag, now)).await;
        let text = String::from_utf8_lossy(reply.body()).into_owned();
        assert!(!reply.is_success() && text.contains("look at the rule"), "{text}");
    }
    assert_eq!((house.objects(""), house.splunk.count()), (vec![], 0));
}

#[tokio::test(start_paused = true)]
async fn l_16_a_collector_that_never_answers_leaves_the_file_owed_before_the_call_ends() {
    let house = with_log_files(&[]);
    house.splunk.inject(HecFault::Silent { kept: false }, None);
    let event = house.log_file(NAME, gzip(&records(3).concat()));
    let began = Instant::now();
    let reply = house.decode(event).await;
    assert!(!reply.is_success() && began.elapsed() < Duration::from_secs(290));
    assert_eq!((house.objects("owed/object/").len(), house.objects("held/").len()), (1, 0));
    house.splunk.clear_faults();
    house.run_until("00:30:00").await;
    assert_delivered(&house, &records(3));
}

#[tokio::test(start_paused = true)]
async fn l_17_the_same_event_twice_or_at_once_sends_its_file_once() {
    let house = with_log_files(&[]);
    let all = records(5_000);
    let event = house.log_file(NAME, gzip(&all.concat()));
    let (one, other) = tokio::join!(house.decode(event.clone()), house.decode(event.clone()));
    assert!(one.is_success() && other.is_success(), "{one:?} {other:?}");
    summary(&house.decode(event).await);
    house.run_until("00:30:00").await;
    assert_delivered(&house, &all);
}

#[tokio::test(start_paused = true)]
async fn l_18_a_file_outlives_its_bucket_while_the_destination_is_down_for_days() {
    let house = with_log_files(&[("keep_after_hours", "48"), ("lag_objective_minutes", "10080")]);
    let all = records(2_000);
    let event = house.log_file(NAME, gzip(&all.concat()));
    house.splunk.inject(HecFault::CutBefore, None);
    assert!(!house.decode(event).await.is_success());
    for hours in [24, 25, 30] {
        house.wait(SignedDuration::from_hours(hours)).await;
        house.ring().await;
        house.settle_anyhow().await;
    }
    assert_eq!(house.objects("kept/object/splunk/").len(), 1);
    // The life-cycle rule takes the file.
    assert!(house.cloud.storage().delete(LOGS, NAME));
    house.splunk.clear_faults();
    for _ in 0..8 {
        house.wait(SignedDuration::from_mins(20)).await;
        house.ring().await;
        house.settle().await;
    }
    assert_delivered(&house, &all);
    assert_eq!(house.objects("kept/"), [""; 0], "what was kept is not needed any more");
}

#[tokio::test(start_paused = true)]
async fn l_19_only_the_configured_actions_are_sent_and_patch_may_be_one_of_them() {
    let house = with_log_files(&[("filter_actions", "POST,PUT,DELETE,PATCH"), ("unwrap", "on")]);
    let act = |id: &str, action: &str| {
        format!(r#"{{"id":"{id}","data":{{"request":{{"action":{action}}}}},"time":"2026-01-05T00:01:00Z"}}"#)
    };
    let (patch, get, none) = (act("a-1", r#""PATCH""#), act("a-2", r#""GET""#), act("a-3", "null"));
    let wrapped: String = [&patch, &get, &none]
        .iter()
        .map(|inner| format!(r#"{{"datetime":1767571260000, "logContent":{inner}}}"#))
        .collect();
    let event = house.log_file(NAME, gzip(&wrapped));
    let summary = summary(&house.decode(event).await);
    assert_eq!((&summary["sent"], &summary["filtered"]), (&json!(2), &json!(1)));
    assert_eq!(arrived(&house), [patch, none]);
    assert!(house.objects("seen/object/")[0].ends_with("~2~0~1"));
}

#[tokio::test(start_paused = true)]
async fn l_20_a_function_that_may_not_read_the_bucket_fails_and_loses_nothing() {
    let house = with_log_files(&[]);
    let event = house.log_file(NAME, gzip(&records(2).concat()));
    let refused = house.cloud.faults().inject(Fault::on("GetObject").containing(LOGS).answer(404, "BucketNotFound"));
    assert!(!house.decode(event).await.is_success());
    assert_eq!(house.objects("owed/object/").len(), 1);
    house.cloud.faults().remove(refused);
    house.run_until("00:30:00").await;
    assert_delivered(&house, &records(2));
}

#[tokio::test(start_paused = true)]
async fn l_21_all_members_of_a_file_are_read() {
    let house = with_log_files(&[]);
    let all = records(4);
    let whole = all.concat();
    let (head, tail) = whole.split_at(whole.len() / 3);
    let event = house.log_file(NAME, [gzip(head), gzip(tail)].concat());
    summary(&house.decode(event).await);
    assert_delivered(&house, &all);
}

#[tokio::test(start_paused = true)]
async fn l_22_a_damaged_file_gives_its_whole_records_and_the_rest_is_set_aside() {
    let house = with_log_files(&[]);
    let all: Vec<String> = (0..20_000).map(|n| record(&format!("{:x}", n * 7_919))).collect();
    let mut file = gzip(&all.concat());
    file.truncate(file.len() / 2);
    let event = house.log_file(NAME, file.clone());
    let summary = summary(&house.decode(event.clone()).await);
    assert_eq!((&summary["set_aside"], &summary["dead"]), (&json!(1), &json!(1)));
    let got = arrived(&house);
    assert!(got.len() > 5_000 && all.starts_with(&got), "{}", got.len());
    let letters = dead(&house);
    let letter: Value = serde_json::from_slice(&letters[0].1).unwrap();
    assert_eq!(
        (&letter["object"], &letter["settled"], &letter["sent"]),
        (&json!(NAME), &json!(got.len()), &json!(got.len()))
    );
    assert!(letter["reason"].as_str().unwrap().contains("ends too early"), "{letter}");
    let kept: Vec<Bytes> =
        house.objects("kept/").iter().map(|name| house.cloud.storage().get(BUCKET, name).unwrap()).collect();
    assert_eq!(kept.concat(), file, "the bytes are kept from the last member on, here from the start");
    // Neither the event nor the search brings it back.
    assert_eq!(self::summary(&house.decode(event).await)["gone"], 1);
    house.run_until("00:30:00").await;
    assert_eq!((arrived(&house).len(), dead(&house).len()), (got.len(), 1));
    assert_settled(&house);
}

#[tokio::test(start_paused = true)]
async fn l_23_names_with_blanks_escapes_and_other_scripts_are_met() {
    for name in ["audit/a b.log.gz", "audit/a%2Fb+c.log.gz", "audit/ü/日本.log.gz", "audit/50%.log.gz"] {
        let house = with_log_files(&[]);
        let event = house.log_file(name, gzip(&record("a-1")));
        summary(&house.decode(event).await);
        assert_delivered(&house, &[record("a-1")]);
    }
    // Whether events spell names as URLs do is not certain.
    let house = with_log_files(&[]);
    let etag = house.cloud.storage().put(LOGS, "audit/a b.log.gz", gzip(&record("a-1"))).unwrap();
    let (namespace, now) = (house.cloud.tenancy().namespace(), house.cloud.clock().now());
    summary(&house.decode(object_event(namespace, LOGS, "audit%2Fa%20b.log.gz", &etag, now)).await);
    assert_delivered(&house, &[record("a-1")]);
}

#[tokio::test(start_paused = true)]
async fn l_24_and_l_25_what_is_no_object_or_no_utf_8_is_set_aside_alone() {
    let house = with_log_files(&[]);
    let (one, two) = (record("a-1"), record("a-2"));
    let mut file = format!("[{one},7]").into_bytes();
    file.extend_from_slice(b"{\"id\":\"\xff\"}\"x\"");
    file.extend_from_slice(two.as_bytes());
    let event = house.log_file(NAME, file);
    let summary = summary(&house.decode(event).await);
    assert_eq!((&summary["sent"], &summary["dead"]), (&json!(2), &json!(3)));
    assert_eq!(arrived(&house), [one, two]);
    let bytes: Vec<Vec<u8>> = dead(&house).into_iter().map(|(_, bytes)| bytes).collect();
    assert_eq!(bytes, [b"7".to_vec(), b"{\"id\":\"\xff\"}".to_vec(), b"\"x\"".to_vec()]);
    assert_settled(&house);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_is_no_log_at_all_is_set_aside_as_a_whole() {
    let house = with_log_files(&[("malformed_max", "10")]);
    let text: String = (0..100_000).map(|n| format!("line {n}\n")).collect();
    let event = house.log_file(NAME, text.clone());
    assert_eq!(summary(&house.decode(event).await)["set_aside"], 1);
    assert_eq!((house.splunk.count(), dead(&house).len()), (0, 11));
    let kept: Vec<Bytes> =
        house.objects("kept/").iter().map(|name| house.cloud.storage().get(BUCKET, name).unwrap()).collect();
    assert!(text.ends_with(std::str::from_utf8(&kept.concat()).unwrap()));
    assert_settled(&house);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_was_overwritten_is_never_a_success_and_its_new_version_arrives() {
    let house = with_log_files(&[]);
    let old = house.log_file(NAME, gzip(&record("old")));
    let new = house.log_file(NAME, gzip(&record("new")));
    let reply = house.decode(old.clone()).await;
    assert!(!reply.is_success() && String::from_utf8_lossy(reply.body()).contains(r#""lost":1"#), "{reply:?}");
    let letters = dead(&house);
    assert!(letters.len() == 1 && letters[0].0["reason"].as_str().unwrap().contains("overwritten"), "{letters:?}");
    summary(&house.decode(new).await);
    assert_eq!(arrived(&house), [record("new")]);
    assert_eq!(summary(&house.decode(old).await)["gone"], 1);
    assert_settled(&house);
}

#[tokio::test(start_paused = true)]
async fn a_file_whose_event_never_came_is_found_by_the_search() {
    let house = with_log_files(&[]);
    let all = records(10);
    house.log_file(NAME, gzip(&all.concat()));
    house.run_until("00:05:00").await;
    assert_eq!(house.splunk.count(), 0, "its event may still come");
    house.run_until("00:30:00").await;
    assert_delivered(&house, &all);
}

#[tokio::test(start_paused = true)]
async fn what_is_delivered_is_deleted_or_moved_and_never_comes_in_again() {
    for (keys, left) in [
        (&[("after_success", "delete")][..], vec![]),
        (&[("after_success", "move"), ("done_prefix", "done/")], vec![format!("done/{NAME}")]),
    ] {
        let house = with_log_files(keys);
        let event = house.log_file(NAME, gzip(&record("a-1")));
        summary(&house.decode(event).await);
        assert_eq!(house.cloud.storage().objects(LOGS), left);
        if let Some(moved) = left.first() {
            // A rename may well be an event of its own.
            let etag = house.cloud.storage().etag(LOGS, moved).unwrap();
            let (namespace, now) = (house.cloud.tenancy().namespace(), house.cloud.clock().now());
            let event = object_event(namespace, LOGS, moved, &etag, now);
            assert_eq!(summary(&house.decode(event).await)["ignored"], 1);
        }
        house.run_until("01:00:00").await;
        assert_delivered(&house, &[record("a-1")]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_short_call_hands_the_rest_on_and_nothing_is_sent_twice() {
    let house = with_log_files(&[]);
    let all = records(40_000);
    let members: Vec<u8> = all.chunks(5_000).flat_map(|part| gzip(&part.concat())).collect();
    let event = house.log_file(NAME, members);
    // Each post takes a while; a call has time for some of them.
    house.splunk.inject(HecFault::Slow(Duration::from_secs(4)), None);
    let call = |body: Bytes| {
        let deadline = Instant::now() + Duration::from_secs(30);
        decode::handle(&house.decode, Invocation::direct(body, deadline))
    };
    let reply = call(event).await;
    assert_eq!(summary(&reply)["owed"], 1);
    let topic = house.object_topic.clone().unwrap();
    let mut calls = 1;
    while let Some(bell) = house.unheard(&topic).pop() {
        summary(&call(bell).await);
        calls += 1;
    }
    assert!(calls > 2, "{calls}");
    assert_delivered(&house, &all);
}

#[tokio::test(start_paused = true)]
async fn a_file_that_breaks_off_is_read_on_and_one_that_stalls_is_handed_on_with_what_is_settled() {
    let house = with_log_files(&[]);
    let all = records(40_000);
    let members: Vec<u8> = all.chunks(5_000).flat_map(|part| gzip(&part.concat())).collect();
    let half = members.len() / 2;
    let event = house.log_file(NAME, members);
    let reading = || Fault::on("GetObject").containing(LOGS);
    let faults = house.cloud.faults();
    // Whole half a file is read; what follows does not come for an hour.
    let broken = faults.inject(reading().times(1).truncate_body(half));
    let stalled = faults.inject(reading().skip(1).delay(Duration::from_secs(3_600)));
    let deadline = Instant::now() + Duration::from_secs(120);
    let reply = decode::handle(&house.decode, Invocation::direct(event, deadline)).await;
    assert!(Instant::now() < deadline);
    let handed_on = summary(&reply);
    let sent = handed_on["sent"].as_u64().unwrap();
    assert_eq!((handed_on["owed"].as_u64(), faults.fired(broken)), (Some(1), 1), "{handed_on}");
    assert!(sent > 10_000 && sent < 30_000, "{handed_on}");
    faults.remove(stalled);
    // It breaks off once more, and is read to its end by the same call.
    let broken = faults.inject(reading().times(1).truncate_body(half / 4));
    let bell = house.unheard(&house.object_topic.clone().unwrap()).pop().unwrap();
    let rest = summary(&house.decode(bell).await);
    assert_eq!((rest["decoded"].as_u64(), faults.fired(broken)), (Some(1), 1), "{rest}");
    assert_delivered(&house, &all);
}

#[tokio::test(start_paused = true)]
async fn a_person_sends_one_object_or_all_of_a_prefix_and_again_if_asked() {
    let house = with_log_files(&[]);
    for n in 0..3 {
        house.log_file(&format!("audit/{n}.log.gz"), gzip(&record(&format!("a-{n}"))));
    }
    let namespace = house.cloud.tenancy().namespace().to_owned();
    let one = json!({"namespace": namespace, "bucket": LOGS, "object": "audit/1.log.gz"});
    assert_eq!(summary(&house.decode(one.to_string()).await)["decoded"], 1);
    let all = json!({"bucket": LOGS, "prefix": "audit/"});
    let summary_of_all = summary(&house.decode(all.to_string()).await);
    assert_eq!((&summary_of_all["decoded"], &summary_of_all["gone"]), (&json!(2), &json!(1)));
    assert_eq!(arrived(&house), [record("a-1"), record("a-0"), record("a-2")]);
    let again = json!({"bucket": LOGS, "object": "audit/1.log.gz", "again": true});
    assert_eq!(summary(&house.decode(again.to_string()).await)["decoded"], 1);
    assert_eq!(house.splunk.count(), 4);
    house.assert_idle();
    for wrong in [json!({"bucket": "other", "prefix": ""}), json!({"bucket": LOGS, "object": "audit/9.log.gz"})] {
        assert!(!house.decode(wrong.to_string()).await.is_success());
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_that_ends_every_call_is_cut_out_and_the_others_arrive() {
    let house = with_log_files(&[]);
    let mut all = records(6);
    let (id, poison) = ("a-000003", all.remove(3));
    let event = house.log_file(NAME, gzip(&format!("{}{poison}{}", all[..3].concat(), all[3..].concat())));
    // A post of this record is never answered, and the process ends meanwhile.
    house
        .splunk
        .inject_when(HecFault::Silent { kept: false }, None, move |request| inflated(request.body()).contains(id));
    let mut bodies = vec![event];
    for _ in 0..60 {
        for body in bodies {
            let killed = tokio::time::timeout(Duration::from_secs(20), house.decode(body)).await;
            assert!(killed.is_err() || killed.unwrap().is_success());
        }
        house.wait(SignedDuration::from_mins(10)).await;
        assert!(house.ring().await.is_success());
        bodies = house.unheard(house.object_topic.as_ref().unwrap());
    }
    assert_settled(&house);
    let mut got = arrived(&house);
    got.dedup();
    assert_eq!(got, all);
    let letters = dead(&house);
    assert_eq!((letters.len(), String::from_utf8(letters[0].1.clone()).unwrap()), (1, poison));
}

fn inflated(body: &[u8]) -> String {
    use std::io::Read;
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(body).read_to_string(&mut text).unwrap();
    text
}

#[tokio::test(start_paused = true)]
async fn a_kill_at_any_wire_call_loses_no_record() {
    let mut kills = 0;
    for call in 1.. {
        let mut struck = false;
        for moment in [Moment::Before, Moment::After] {
            let house = with_log_files(&[("after_success", "delete")]);
            let all = records(3);
            let event = house.log_file(NAME, gzip(&all.concat()));
            house.killer.aim(call, moment);
            tokio::select! {
                _ = house.decode(event) => {}
                () = house.killer.strike() => {}
            }
            struck |= house.killer.has_struck();
            house.run_every(10, "01:00:00").await;
            let mut got = arrived(&house);
            got.sort();
            got.dedup();
            assert_eq!(got, all, "killed {moment:?} wire call {call}");
            house.assert_idle();
            assert_eq!(house.cloud.storage().objects(LOGS), [""; 0], "killed {moment:?} wire call {call}");
        }
        if !struck {
            break;
        }
        kills += 1;
    }
    assert!(kills >= 8, "only {kills} wire calls were met");
}

#[tokio::test(start_paused = true)]
async fn l_12_part_of_a_file_that_was_taken_before_the_collector_failed_is_not_sent_again() {
    let house = with_log_files(&[]);
    let all = records(12_000);
    let event = house.log_file(NAME, gzip(&all.concat()));
    // The second body, and its repetitions, meet a collector that is busy; the file is one batch.
    house.splunk.inject_when(HecFault::Busy { code: 9, retry_after_secs: None }, Some(3), |request| {
        !inflated(request.body()).contains("a-000000")
    });
    assert!(!house.decode(event).await.is_success());
    let taken = house.splunk.count();
    assert!(taken > 0 && taken < all.len(), "{taken}");
    house.run_until("00:30:00").await;
    assert_delivered(&house, &all);
}

#[tokio::test(start_paused = true)]
async fn time_that_ends_amid_records_sent_one_by_one_leaves_the_rest_owed() {
    let house = with_log_files(&[("after_success", "delete")]);
    let all = records(400);
    let event = house.log_file(NAME, gzip(&all.concat()));
    // Two calls die before they have sent anything; then each record takes a second.
    house.splunk.inject(HecFault::Silent { kept: false }, Some(2));
    house.splunk.inject(HecFault::Slow(Duration::from_secs(1)), None);
    let mut bodies = vec![event];
    let mut calls = 0;
    for _ in 0..40 {
        for body in bodies {
            calls += 1;
            let call = house.decode(body);
            let killed = tokio::time::timeout(Duration::from_secs(if calls > 2 { 300 } else { 5 }), call).await;
            assert_eq!(killed.is_ok(), calls > 2);
        }
        house.wait(SignedDuration::from_mins(10)).await;
        house.ring().await;
        bodies = house.unheard(house.object_topic.as_ref().unwrap());
    }
    assert_settled(&house);
    assert_eq!(arrived(&house), all);
    assert_eq!((dead(&house).len(), house.cloud.storage().objects(LOGS)), (0, vec![]));
}

#[tokio::test(start_paused = true)]
async fn nothing_behind_too_many_scalars_is_dropped() {
    for (file, malformed_max) in [("1 ".repeat(60_000), "100"), (format!("{}{}", record("a-1"), r#"{"b":"#), "0")] {
        let house = with_log_files(&[("malformed_max", malformed_max)]);
        let event = house.log_file(NAME, file.clone());
        assert_eq!(summary(&house.decode(event).await)["set_aside"], 1);
        let kept: Vec<Bytes> =
            house.objects("kept/").iter().map(|name| house.cloud.storage().get(BUCKET, name).unwrap()).collect();
        let kept = String::from_utf8(kept.concat()).unwrap();
        let letters = dead(&house);
        let before: usize = letters.iter().filter(|(_, bytes)| bytes == b"1").count();
        assert!(file.ends_with(&kept) && kept.len() >= file.len() - 2 * before - record("a-1").len(), "{}", kept.len());
        // The letter that names them is no record: a redrive leaves it where it is.
        let reply = summary(&house.decode(r#"{"redrive":{"all":true}}"#).await);
        assert!(house.objects("dead/").iter().any(|name| name.ends_with(".rest")), "{reply}");
    }
}
