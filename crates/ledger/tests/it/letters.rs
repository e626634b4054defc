//! Dead letters: laid down once, listed, read, resolved and refused again.

use std::time::Duration;

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::civil::date;
use ledger::{DeadLetter, LetterPage, Versioned};
use local_oci::Fault;

use crate::house::{BUCKET, House, at, deadline, house};

const NAME: &str = "dead/2026-01-05/splunk/20260105T2120Z-20260105T2125Z.us-ashburn-1.00ff.3";

pub(crate) fn letter(record: &'static str, reason: &str) -> DeadLetter {
    DeadLetter {
        date: date(2026, 1, 5),
        destination: "splunk".into(),
        key: "20260105T2120Z-20260105T2125Z.us-ashburn-1.00ff.3".into(),
        owed_to: vec!["splunk".into()],
        region: Some("us-ashburn-1".into()),
        reason: reason.into(),
        attempts: 2,
        first_try: at("00:00:00"),
        last_try: at("23:59:59"),
        record: record.into(),
    }
}

fn owed_to(destinations: &[&str]) -> DeadLetter {
    let owed_to = destinations.iter().map(|name| (*name).to_owned()).collect();
    DeadLetter { owed_to, ..letter("{}", "too large") }
}

async fn read(house: &House) -> Versioned<DeadLetter> {
    house.ledger.letter(NAME, deadline()).await.unwrap().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_holds_its_bytes_and_the_reason_and_is_written_once() {
    let house = house().await;
    let bytes = "{\"eventId\":\"a-1\",\n \"raw\":\"é\"}";
    assert_eq!(house.ledger.bury(&letter(bytes, "too large"), deadline()).await.unwrap().object, NAME);
    // A repeat on another day finds the first letter.
    let tomorrow = DeadLetter { last_try: "2026-01-06T00:00:00Z".parse().unwrap(), ..letter("{}", "another reason") };
    assert_eq!(house.ledger.bury(&tomorrow, deadline()).await.unwrap().object, NAME);
    house.cloud.faults().inject(Fault::on("PutObject").times(1).cut_after());
    house.ledger.bury(&DeadLetter { key: "lost".into(), ..letter("{}", "x") }, deadline()).await.unwrap();
    assert_eq!(house.names(), [NAME, "dead/2026-01-05/splunk/lost"]);
    let json = house.json(NAME);
    assert_eq!(STANDARD.decode(json["bytes"].as_str().unwrap()).unwrap(), bytes.as_bytes());
    assert_eq!((&json["reason"], &json["attempts"], &json["v"]), (&"too large".into(), &2.into(), &1.into()));
    assert_eq!((&json["region"], &json["destination"]), (&"us-ashburn-1".into(), &"splunk".into()));
    assert_eq!(json["sha256"], ledger::sha256_hex(bytes.as_bytes()));
    assert_eq!(json["first_try"], "2026-01-05T00:00:00Z");
    assert_eq!(json["last_try"], "2026-01-05T23:59:59Z");
    assert_eq!(read(&house).await.value, letter(bytes, "too large"));
}

#[tokio::test(start_paused = true)]
async fn who_buries_what_is_buried_shares_the_letter_and_hears_the_hash_of_what_lies_in_it() {
    let house = house().await;
    let first = house.ledger.bury(&owed_to(&["splunk"]), deadline()).await.unwrap();
    let other = DeadLetter { record: "{\"another\":\"form\"}".into(), ..owed_to(&["second", "splunk"]) };
    assert_eq!(house.ledger.bury(&other, deadline()).await.unwrap(), first);
    assert_eq!(read(&house).await.value, owed_to(&["splunk", "second"]));
    // A destination that has the record does not take the letter from one that came in between.
    let read_before = read(&house).await;
    house.ledger.bury(&owed_to(&["third"]), deadline()).await.unwrap();
    house.ledger.resolve(&read_before, "splunk", deadline()).await.unwrap();
    assert_eq!(read(&house).await.value.owed_to, ["second", "third"]);
}

#[tokio::test(start_paused = true)]
async fn letters_are_listed_by_destination_and_day_page_by_page() {
    let house = house().await;
    let mut all = Vec::new();
    for n in 0..1_100 {
        let name = format!("dead/2026-01-{:02}/splunk/k.{n:04}", 5 + n % 2);
        house.cloud.storage().put(BUCKET, &name, "{}").unwrap();
        all.push(name);
    }
    for foreign in ["dead/2026-01-05/fetch/k", "dead/2026-01-05/splunk-2/k", "dead/today/splunk/k", "dead/x", "owed/x"]
    {
        house.cloud.storage().put(BUCKET, foreign, "{}").unwrap();
    }
    all.sort();
    let names = |page: &LetterPage| -> Vec<String> { page.letters.iter().map(|entry| entry.name.clone()).collect() };
    let first = house.ledger.letters(&["splunk"], None, None, deadline()).await.unwrap();
    assert!(first.letters.iter().all(|entry| entry.bytes == Some(2)));
    let second = house.ledger.letters(&["splunk"], None, first.next.as_deref(), deadline()).await.unwrap();
    assert!(first.next.is_some() && second.next.is_none());
    assert_eq!([names(&first), names(&second)].concat(), all);

    let day = house.ledger.letters(&["splunk"], Some(date(2026, 1, 6)), None, deadline()).await.unwrap();
    assert_eq!((names(&day), day.next), (all[550..].to_vec(), None));
    let fetch = house.ledger.letters(&["fetch"], Some(date(2026, 1, 5)), None, deadline()).await.unwrap();
    assert_eq!(names(&fetch), ["dead/2026-01-05/fetch/k"]);
    let both = house.ledger.letters(&["fetch", "splunk"], None, None, deadline()).await.unwrap();
    assert_eq!(both.letters[0].name, "dead/2026-01-05/fetch/k");
    assert_eq!(both.letters[1].name, all[0]);
}

#[tokio::test(start_paused = true)]
async fn a_letter_of_an_earlier_version_is_read_and_one_that_was_altered_is_not() {
    let house = house().await;
    assert!(house.ledger.letter(NAME, deadline()).await.unwrap().is_none());
    let first = r#"{"v":1,"destination":"splunk","reason":"r","attempts":1,"first_try":"2026-01-05T00:00:00Z","last_try":"2026-01-05T00:00:00Z","bytes":"e30="}"#;
    house.cloud.storage().put(BUCKET, NAME, first).unwrap();
    let old = read(&house).await.value;
    assert_eq!((old.owed_to, old.region, old.record), (vec!["splunk".to_owned()], None, "{}".into()));
    let altered = first.replace("\"bytes\"", &format!("\"sha256\":\"{}\",\"bytes\"", ledger::sha256_hex(b"[]")));
    for corrupt in [altered.as_str(), "", "{}", &first.replace("e30=", "?")] {
        house.cloud.storage().put(BUCKET, NAME, corrupt.to_owned()).unwrap();
        let error = house.ledger.letter(NAME, deadline()).await.unwrap_err();
        assert!(matches!(error, ledger::Error::Corrupt { .. }), "{corrupt}: {error}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_letter_goes_when_nobody_lacks_its_record_any_more() {
    let house = house().await;
    for lost in [false, true] {
        house.ledger.bury(&owed_to(&["splunk", "second"]), deadline()).await.unwrap();
        if lost {
            house.cloud.faults().inject(Fault::on("PutObject").times(1).cut_after());
            house.cloud.faults().inject(Fault::on("DeleteObject").times(1).cut_after());
        }
        let letter = read(&house).await;
        house.ledger.resolve(&letter, "splunk", deadline()).await.unwrap();
        assert_eq!(read(&house).await.value, owed_to(&["second"]));
        house.ledger.resolve(&read(&house).await, "second", deadline()).await.unwrap();
        assert_eq!(house.names(), [""; 0]);
        // Another redrive was faster.
        house.ledger.resolve(&letter, "splunk", deadline()).await.unwrap();
        house.ledger.refuse_again(&letter, "r", at("00:00:00"), deadline()).await.unwrap();
        assert_eq!(house.names(), [""; 0]);
    }
}

#[tokio::test(start_paused = true)]
async fn two_destinations_that_resolve_a_letter_at_once_both_count() {
    let house = house().await;
    house.ledger.bury(&owed_to(&["splunk", "second"]), deadline()).await.unwrap();
    let seen = read(&house).await;
    house.ledger.resolve(&seen, "second", deadline()).await.unwrap();
    house.ledger.resolve(&seen, "splunk", deadline()).await.unwrap();
    assert_eq!(house.names(), [""; 0]);
    // Somebody changes the letter whenever we want to: it stays, and that is an error.
    house.ledger.bury(&owed_to(&["splunk", "second"]), deadline()).await.unwrap();
    let seen = read(&house).await;
    let cloud = house.cloud.clone();
    let change = move |_: &local_oci::Operation, _: &local_oci::Call| {
        let body = cloud.storage().get(BUCKET, NAME).unwrap();
        cloud.storage().put(BUCKET, NAME, body).is_some()
    };
    house.cloud.faults().inject(Fault::on("PutObject").when(change).delay(Duration::ZERO));
    let error = house.ledger.resolve(&seen, "splunk", deadline()).await.unwrap_err();
    assert!(matches!(error, ledger::Error::Contended { .. }), "{error}");
    assert_eq!(read(&house).await.value, owed_to(&["splunk", "second"]));
}

#[tokio::test(start_paused = true)]
async fn a_letter_that_is_refused_again_keeps_name_and_record_and_does_not_nest() {
    let house = house().await;
    house.ledger.bury(&letter("{\"x\":1}", "too large"), deadline()).await.unwrap();
    let first = read(&house).await;
    let later = "2026-01-07T00:00:00Z".parse().unwrap();
    house.ledger.refuse_again(&first, "still too large", later, deadline()).await.unwrap();
    // Who read it before that changes nothing.
    house.ledger.refuse_again(&first, "stale", later, deadline()).await.unwrap();
    let expected = DeadLetter { attempts: 3, last_try: later, ..letter("{\"x\":1}", "still too large") };
    assert_eq!(read(&house).await.value, expected);
    assert_eq!(house.names(), [NAME]);
}
