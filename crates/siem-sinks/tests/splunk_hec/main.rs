//! The HTTP Event Collector's client against a collector that acts by the rules, or by a script.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may stop it")]

mod collector;
#[path = "../double/mod.rs"]
mod double;

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use siem_sinks::{HecConfig, HecEnvelope, Outcome, Proven, Record, Sink, SinkFailure, SplunkHec};
use tokio::time::Instant;

use self::{
    collector::{Collector, hec},
    double::{Reply, events, in_secs, kind, letters, records},
};

const TOKEN: &str = "11111111-hush";

fn config() -> HecConfig {
    HecConfig::new("https://splunk.example:8088".parse().unwrap())
}

fn sink(collector: &Arc<Collector>, config: HecConfig) -> SplunkHec {
    SplunkHec::new(config, &TOKEN.to_owned().into(), Some(7), collector.clone()).unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_request_has_the_form_that_the_collector_asks_for() {
    for gzip_level in [None, Some(1), Some(6)] {
        let collector = Arc::new(Collector::default());
        let sink = sink(&collector, HecConfig { gzip_level, user_agent: "siem/1".to_owned(), ..config() });
        for _ in 0..2 {
            let delivery = sink.deliver(&records(&[r#"{"id":"a"}"#, r#"{"id":"b"}"#]), in_secs(60)).await;
            assert_eq!((letters(&delivery).as_str(), kind(&delivery)), ("TT", "none"));
        }

        let seen = collector.tape.seen.lock().unwrap();
        assert_eq!(seen[0].head.headers["x-splunk-request-channel"], seen[1].head.headers["x-splunk-request-channel"]);
        let head = &seen[0].head;
        assert_eq!(head.method, "POST");
        assert_eq!(head.uri, "https://splunk.example:8088/services/collector/event");
        for (name, value) in [
            ("authorization", "Splunk 11111111-hush"),
            ("content-type", "application/json"),
            ("user-agent", "siem/1"),
            ("content-length", &seen[0].body.len().to_string()),
        ] {
            assert_eq!(head.headers[name], value);
        }
        assert_eq!(head.headers["x-splunk-request-channel"].len(), 36);
        assert_eq!(
            head.headers.get("content-encoding").map(|value| value.as_bytes()),
            gzip_level.map(|_| &b"gzip"[..])
        );
        assert_eq!(head.headers.len(), if gzip_level.is_some() { 6 } else { 5 });
        drop(seen);

        let object = |id| {
            format!(
                concat!(
                    r#"{{"host":"oci.eu-frankfurt-1","source":"oci:audit:eu-frankfurt-1","sourcetype":"oci:audit","#,
                    r#""fields":{{"event_id":"{0}","region":"eu-frankfurt-1"}},"event":{{"id":"{0}"}}}}"#
                ),
                id
            )
        };
        assert_eq!(collector.tape.bodies()[0], format!("{}\n{}", object("a"), object("b")));
    }
}

#[tokio::test(start_paused = true)]
async fn r_27_403_400_503_and_a_refused_connection_are_never_success() {
    // A reply to every attempt, what becomes of the two records, why, and how many requests it takes.
    for (reply, outcomes, failure, requests) in [
        (hec(403, 4), "NN", "configuration", 1),
        (hec(401, 2), "NN", "configuration", 1),
        (hec(400, 7), "NN", "configuration", 1),
        (hec(400, 5), "NN", "configuration", 1),
        (Reply::page(403), "NN", "configuration", 1),
        (Reply::page(404), "NN", "configuration", 1),
        (Reply::page(302), "NN", "configuration", 1),
        (Reply::page(400), "NN", "configuration", 1),
        (hec(503, 9), "NN", "busy", 3),
        (hec(503, 18), "NN", "busy", 3),
        (hec(429, 26), "NN", "busy", 3),
        (Reply::page(429), "NN", "busy", 3),
        (Reply::Unreachable, "NN", "unreachable", 3),
        (hec(500, 8), "UU", "unknown", 1),
        (Reply::page(502), "UU", "unknown", 1),
        (Reply::page(503), "UU", "unknown", 1),
        (Reply::page(504), "UU", "unknown", 1),
        (Reply::page(408), "UU", "unknown", 1),
        (Reply::page(200), "UU", "unknown", 1),
        (Reply::Broken, "UU", "unknown", 1),
        (Reply::TakenInSilence, "UU", "unknown", 1),
        (Reply::CutAnswer, "UU", "unknown", 1),
    ] {
        let collector = Arc::new(Collector::playing(vec![reply.clone(); 9]));
        let delivery = sink(&collector, config()).deliver(&records(&events(2)), in_secs(60)).await;
        let got = (letters(&delivery), kind(&delivery), collector.tape.requests());
        assert_eq!(got, (outcomes.to_owned(), failure, requests), "{reply:?}");

        let text = format!("{:?} {}", delivery, delivery.failure.as_ref().unwrap());
        assert!(text.contains("splunk.example:8088") && !text.contains("hush"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn one_bad_event_is_refused_alone_and_no_neighbour_is_sent_twice() {
    for code in [6, 12, 13, 15] {
        for bad in [vec![0], vec![2], vec![4], vec![1, 2], vec![0, 4], vec![0, 1, 2, 3, 4]] {
            let mut raws = events(5);
            for &place in &bad {
                raws[place] = format!(r#"{{"bad":{code}}}"#);
            }
            let collector = Arc::new(Collector::default());
            let delivery = sink(&collector, config()).deliver(&records(&raws), in_secs(60)).await;

            let expected: String = (0..5).map(|place| if bad.contains(&place) { 'R' } else { 'T' }).collect();
            assert_eq!((letters(&delivery), kind(&delivery)), (expected, "none"));
            let good: Vec<_> = raws.iter().filter(|raw| !raw.contains("bad")).cloned().collect();
            assert_eq!(collector.taken(), good);
            let Outcome::Refused(reason) = &delivery.outcomes[bad[0]] else { panic!("refused") };
            assert!(reason.contains(&format!("400, code {code} (")), "{reason}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_event_that_is_not_named_is_found_by_halving() {
    let mut raws = events(9);
    raws[6] = r#"{"bad":6}"#.to_owned();
    let collector = Arc::new(Collector { hides_the_number: true, ..Collector::default() });
    let delivery = sink(&collector, config()).deliver(&records(&raws), in_secs(60)).await;
    assert_eq!((letters(&delivery).as_str(), kind(&delivery)), ("TTTTTTRTT", "none"));

    // Nobody knows which of the nine were taken before the collector closed its door.
    let script = [Reply::ByRule, hec(403, 4)];
    let collector = Arc::new(Collector { hides_the_number: true, ..Collector::playing(script) });
    let delivery = sink(&collector, config()).deliver(&records(&raws), in_secs(60)).await;
    assert_eq!((letters(&delivery).as_str(), kind(&delivery)), ("UUUUUUUUU", "configuration"));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_is_too_large_is_halved_until_it_fits() {
    for says_code_6 in [false, true] {
        let raws: Vec<_> = (0..64).map(|n| format!(r#"{{"n":{n},"x":"{}"}}"#, "x".repeat(40_000))).collect();
        let max_bytes = Some(1_100_000);
        let collector = Arc::new(Collector { max_bytes, says_code_6, ..Collector::default() });
        let config = HecConfig { batch_max_bytes: 4_000_000, ..config() };
        let delivery = sink(&collector, config).deliver(&records(&raws), in_secs(60)).await;
        assert_eq!(letters(&delivery), "T".repeat(64));
        assert_eq!(collector.taken(), raws);
        // 2.6 MB and 1.3 MB are refused, then four bodies of 0.65 MB fit: the lesson is not learnt anew for each.
        let requests = collector.tape.requests();
        assert!((6..=7).contains(&requests), "{requests} requests");
    }
}

#[tokio::test(start_paused = true)]
async fn a_single_event_that_is_still_too_large_is_told_from_a_bad_one_and_the_rest_goes_on() {
    // Splunk Cloud says code 6 of it, and only of a body above 1 MB is that its size.
    for (says_code_6, bytes, max_bytes, said) in [(false, 5_000, 1_000, "413"), (true, 1_200_000, 1_100_000, "code 6")]
    {
        let mut raws = events(5);
        raws[1] = format!(r#"{{"x":"{}"}}"#, "x".repeat(bytes));
        let collector = Arc::new(Collector { max_bytes: Some(max_bytes), says_code_6, ..Collector::default() });
        let delivery = sink(&collector, config()).deliver(&records(&raws), in_secs(60)).await;
        assert_eq!((letters(&delivery).as_str(), kind(&delivery)), ("TLTTT", "none"));
        let Outcome::TooLarge(reason) = &delivery.outcomes[1] else { panic!("too large") };
        assert!(reason.contains(said), "{reason}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_collector_that_refuses_event_after_event_and_takes_none_is_left_alone() {
    // Of how many events which are good, what becomes of them, why, and how many requests it takes.
    let refused = |count| "R".repeat(count);
    for (count, good, outcomes, failure, requests) in [
        (50, None, refused(20) + &"N".repeat(30), "refuses all", 20),
        (21, None, refused(20) + "N", "refuses all", 20),
        // Nothing is left that could be kept.
        (20, None, refused(20), "none", 20),
        (19, None, refused(19), "none", 19),
        // One that is taken shows that others can be.
        (50, Some(0), "T".to_owned() + &refused(49), "none", 49),
        (50, Some(19), refused(19) + "T" + &refused(30), "none", 49),
        (50, Some(20), refused(20) + &"N".repeat(30), "refuses all", 20),
    ] {
        for code in [6, 12, 13, 15] {
            let mut raws = vec![format!(r#"{{"bad":{code}}}"#); count];
            if let Some(good) = good {
                raws[good] = "{}".to_owned();
            }
            let collector = Arc::new(Collector::default());
            let delivery = sink(&collector, config()).deliver(&records(&raws), in_secs(60)).await;
            let got = (letters(&delivery), kind(&delivery), collector.tape.requests());
            assert_eq!(got, (outcomes.clone(), failure, requests), "{count} events, good {good:?}, code {code}");
            if let Some(failure) = &delivery.failure {
                let text = failure.to_string();
                assert!(text.contains("20 events") && text.contains("sourcetype"), "{text}");
                assert!(text.contains(&format!("code {code}")), "{text}");
            }
        }
    }
    // A proxy in between that lets nothing through.
    let collector = Arc::new(Collector { max_bytes: Some(1), ..Collector::default() });
    let delivery = sink(&collector, config()).deliver(&records(&events(50)), in_secs(60)).await;
    assert_eq!((letters(&delivery), kind(&delivery)), ("L".repeat(20) + &"N".repeat(30), "refuses all"));
}

#[tokio::test(start_paused = true)]
async fn a_record_that_cannot_travel_is_refused_here_and_spoils_no_body() {
    let broken = [r#"{"a":1"#, "hush", "", r#"{"a":1}{"b":2}"#, "[1]"];
    let long = format!(r#"{{"x":"{}"}}"#, "x".repeat(2_000));
    let raws: Vec<&str> = [r#"{"n":0}"#].iter().chain(&broken).chain(&[long.as_str(), r#"{"n":1}"#]).copied().collect();
    let collector = Arc::new(Collector::default());
    let config = HecConfig { event_max_bytes: 1_000, ..config() };
    let delivery = sink(&collector, config).deliver(&records(&raws), in_secs(60)).await;
    assert_eq!((letters(&delivery).as_str(), kind(&delivery)), ("TRRRRRLT", "none"));
    assert_eq!(collector.tape.requests(), 1);
    assert_eq!(collector.taken(), [r#"{"n":0}"#, r#"{"n":1}"#]);
    assert!(!format!("{delivery:?}").contains("hush"), "{delivery:?}");
}

#[tokio::test(start_paused = true)]
async fn r_31_events_arrive_byte_for_byte() {
    let raws = [
        r#"{"eventId":"a","fieldOfNextYear":{"k":[1,2]}}"#,
        "{ \"eventID\" : \"a\" ,\r\n\t\"n\" : 1.0E+2 }",
        r#"{"k":1,"k":2,"n":12345678901234567890.123456789,"s":"é\u00e9\/ }{ \" ü"}"#,
    ];
    let collector = Arc::new(Collector::default());
    let delivery = sink(&collector, config()).deliver(&records(&raws), in_secs(60)).await;
    assert_eq!(letters(&delivery), "TTT");
    assert_eq!(collector.taken(), raws);
}

#[tokio::test(start_paused = true)]
async fn r_32_an_event_larger_than_a_body_goes_alone_and_no_body_is_ever_empty() {
    let long = format!(r#"{{"x":"{}"}}"#, "x".repeat(2_000));
    for (raws, requests) in [
        (vec![long.as_str(), "{}", "{}"], 2),
        (vec!["{}", long.as_str(), long.as_str(), "{}"], 4),
        (vec![], 0),
        (vec!["not json", ""], 0),
    ] {
        let collector = Arc::new(Collector::default());
        let config = HecConfig { batch_max_bytes: 1_000, ..config() };
        let delivery = sink(&collector, config).deliver(&records(&raws), in_secs(60)).await;
        assert_eq!(kind(&delivery), "none");
        assert_eq!(delivery.outcomes.len(), raws.len());
        assert_eq!(collector.tape.requests(), requests);
        assert!(collector.tape.bodies().iter().all(|body| !body.is_empty()));
    }
}

#[tokio::test(start_paused = true)]
async fn r_33_the_index_stands_in_the_envelope_and_nowhere_else() {
    let envelope = HecEnvelope { index: Some("audit".to_owned()), ..HecEnvelope::default() };
    let collector = Arc::new(Collector::default());
    sink(&collector, HecConfig { envelope, ..config() }).deliver(&records(&["{}"]), in_secs(60)).await;
    assert!(collector.tape.bodies()[0].contains(r#""index":"audit""#));
    assert_eq!(collector.tape.seen.lock().unwrap()[0].head.uri.query(), None);

    let collector = Arc::new(Collector::default());
    sink(&collector, config()).deliver(&records(&["{}"]), in_secs(60)).await;
    assert!(!collector.tape.bodies()[0].contains("index"));
}

#[tokio::test(start_paused = true)]
async fn r_48_a_silent_server_ends_at_the_time_out_or_the_deadline_and_nothing_is_sent_again() {
    for (request_timeout, deadline, expected) in [(30, 60, 30), (30, 20, 20)] {
        let collector = Arc::new(Collector::playing([Reply::ByRule, Reply::Silent]));
        let request_timeout = Duration::from_secs(request_timeout);
        let config = HecConfig { request_timeout, batch_max_bytes: 1, ..config() };
        let started = Instant::now();
        let delivery = sink(&collector, config).deliver(&records(&events(3)), in_secs(deadline)).await;
        assert_eq!((letters(&delivery).as_str(), kind(&delivery)), ("TUN", "unknown"));
        assert_eq!(started.elapsed().as_secs(), expected);
        assert_eq!(collector.tape.requests(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn without_time_nothing_is_begun() {
    let collector = Arc::new(Collector::default());
    for millis in [0, 499] {
        let deadline = Instant::now() + Duration::from_millis(millis);
        let delivery = sink(&collector, config()).deliver(&records(&events(2)), deadline).await;
        assert_eq!((letters(&delivery).as_str(), kind(&delivery)), ("NN", "deadline"));
    }
    assert_eq!(collector.tape.requests(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_busy_collector_is_asked_again_after_growing_pauses() {
    let busy = [hec(503, 9), Reply::Unreachable];
    let collector = Arc::new(Collector::playing(busy));
    let delivery = sink(&collector, config()).deliver(&records(&events(2)), in_secs(60)).await;
    assert_eq!((letters(&delivery).as_str(), kind(&delivery)), ("TT", "none"));
    assert_eq!(collector.taken(), events(2));
    let arrivals = collector.tape.arrivals();
    assert!((260..=510).contains(&arrivals[1]), "{arrivals:?}");
    assert!((510..=1_010).contains(&(arrivals[2] - arrivals[1])), "{arrivals:?}");
    assert_eq!(collector.tape.bodies()[0], collector.tape.bodies()[2]);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_heeded_while_the_deadline_allows() {
    let busy = || hec(503, 9).with_header("retry-after", "7");
    let collector = Arc::new(Collector::playing([busy()]));
    let delivery = sink(&collector, config()).deliver(&records(&events(1)), in_secs(60)).await;
    assert_eq!(letters(&delivery), "T");
    assert_eq!(collector.tape.arrivals(), [0, 7_010]);

    let collector = Arc::new(Collector::playing([busy()]));
    let started = Instant::now();
    let delivery = sink(&collector, config()).deliver(&records(&events(1)), in_secs(7)).await;
    assert_eq!(letters(&delivery), "N");
    assert!(started.elapsed() < Duration::from_secs(1), "there was no point in waiting");
    let asked = Some(Duration::from_secs(7));
    assert!(
        matches!(delivery.failure, Some(SinkFailure::Busy { retry_after, .. }) if retry_after == asked),
        "{delivery:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_collector_near_its_limits_has_taken_the_records_and_asks_to_slow_down() {
    for code in [24, 25] {
        let collector = Arc::new(Collector::playing([hec(200, code)]));
        let sink = sink(&collector, config());
        let delivery = sink.deliver(&records(&events(2)), in_secs(60)).await;
        assert_eq!((letters(&delivery).as_str(), kind(&delivery), delivery.slow_down), ("TT", "none", true));
        assert!(!sink.deliver(&records(&events(2)), in_secs(60)).await.slow_down);
    }
}

#[tokio::test(start_paused = true)]
async fn after_a_failure_nothing_more_is_sent_and_what_was_taken_stays_taken() {
    for (reply, outcomes) in [(hec(403, 4), "TNNN"), (Reply::TakenInSilence, "TUNN"), (Reply::page(503), "TUNN")] {
        let collector = Arc::new(Collector::playing([Reply::ByRule, reply]));
        let config = HecConfig { batch_max_bytes: 1, ..config() };
        let delivery = sink(&collector, config).deliver(&records(&events(4)), in_secs(60)).await;
        assert_eq!(letters(&delivery), outcomes);
        assert_eq!(collector.tape.requests(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewed_token_is_used_from_the_next_request_on() {
    let collector = Arc::new(Collector::playing([hec(403, 4)]));
    let sink = sink(&collector, config());
    assert_eq!(letters(&sink.deliver(&records(&events(1)), in_secs(60)).await), "N");
    assert!(sink.renew_token(&"two words".to_owned().into()).is_err());
    sink.renew_token(&"22222222".to_owned().into()).unwrap();
    assert_eq!(letters(&sink.deliver(&records(&events(1)), in_secs(60)).await), "T");
    let seen = collector.tape.seen.lock().unwrap();
    let tokens: Vec<_> = seen.iter().map(|request| &request.head.headers["authorization"]).collect();
    assert_eq!(tokens, ["Splunk 11111111-hush", "Splunk 22222222"]);
}

#[test]
fn nothing_secret_is_shown() {
    let record = Record { raw: r#"{"a":"hush"}"#.into(), region: None, proven: Proven::Nothing };
    let shown = format!("{:?} {:?} {record:?}", config(), sink(&Arc::new(Collector::default()), config()));
    assert!(!shown.contains("hush"), "{shown}");
}

fn any_reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        4 => Just(Reply::ByRule),
        2 => Just(hec(503, 9)),
        1 => Just(Reply::Unreachable),
        1 => Just(hec(403, 4)),
        1 => Just(Reply::TakenInSilence),
        1 => Just(Reply::Broken),
        1 => Just(Reply::CutAnswer),
        1 => Just(Reply::page(413)),
    ]
}

proptest! {
    /// Whatever the collector does, each outcome is true, and no event gets in twice within a call, save where the
    /// collector hides how much of a body it has taken.
    #[test]
    fn what_is_said_of_a_record_is_what_became_of_it(
        kinds in proptest::collection::vec(prop_oneof![6 => Just(0), 1 => Just(1), 1 => Just(2)], 0..40),
        script in proptest::collection::vec(any_reply(), 0..12),
        batch_max_bytes in 1_usize..3_000,
        max_bytes in proptest::option::of(100_usize..3_000),
        hides_the_number in any::<bool>(),
    ) {
        let raws: Vec<_> = kinds
            .iter()
            .enumerate()
            .map(|(n, kind)| match kind {
                0 => format!(r#"{{"eventId":"e{n}"}}"#),
                1 => format!(r#"{{"eventId":"e{n}","bad":13}}"#),
                _ => format!("no json {n}"),
            })
            .collect();
        let collector = Arc::new(Collector { max_bytes, hides_the_number, ..Collector::playing(script) });
        let sink = sink(&collector, HecConfig { batch_max_bytes, ..config() });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let delivery = runtime.block_on(async { sink.deliver(&records(&raws), in_secs(3_600)).await });

        prop_assert_eq!(delivery.outcomes.len(), raws.len());
        let taken = collector.taken();
        for (raw, outcome) in raws.iter().zip(&delivery.outcomes) {
            let copies = taken.iter().filter(|event| *event == raw).count();
            match outcome {
                Outcome::NotSent => prop_assert_eq!(copies, 0, "{}", raw),
                Outcome::Taken => prop_assert!(copies == 1 || (copies > 1 && hides_the_number), "{}", raw),
                Outcome::Refused(_) | Outcome::TooLarge(_) => prop_assert!(copies == 0 || hides_the_number, "{}", raw),
                Outcome::Unknown => prop_assert!(copies <= 1 || hides_the_number, "{}", raw),
            }
        }
        let all_settled = delivery.outcomes.iter().all(Outcome::is_settled);
        prop_assert_eq!(delivery.failure.is_none(), all_settled);
    }
}
