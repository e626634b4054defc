//! The bulk client against a Logz.io listener that acts by the documented rules, or by a script.

#![expect(clippy::unwrap_used, reason = "the helpers of a test may stop it")]

#[path = "../double/mod.rs"]
mod double;
mod listener;
mod secrecy;

use std::{sync::Arc, time::Duration};

use proptest::prelude::*;
use siem_sinks::{LogzioBulk, LogzioConfig, Outcome, Sink, SinkFailure};
use tokio::time::Instant;

use self::{
    double::{Reply, events, in_secs, kind, letters, records},
    listener::{Listener, counts},
};

const TOKEN: &str = "AbCdEfGh-hush";

fn config() -> LogzioConfig {
    LogzioConfig::new("https://listener.example:8071".parse().unwrap())
}

fn sink(listener: &Arc<Listener>, config: LogzioConfig) -> LogzioBulk {
    LogzioBulk::new(config, &TOKEN.to_owned().into(), Some(7), listener.clone()).unwrap()
}

/// A record of `bytes` bytes.
fn of_bytes(bytes: usize) -> String {
    format!(r#"{{"x":"{}"}}"#, "x".repeat(bytes - r#"{"x":""}"#.len()))
}

#[tokio::test(start_paused = true)]
async fn a_request_has_the_form_that_the_listener_asks_for() {
    for gzip_level in [None, Some(1)] {
        let listener = Arc::new(Listener::default());
        let config = LogzioConfig { gzip_level, user_agent: "siem/1".to_owned(), ..config() };
        let raws = ["{ \"id\" : \"a b\" }\n", r#"{"id":"b"}"#];
        let delivery = sink(&listener, config).deliver(&records(&raws), in_secs(60)).await;
        assert_eq!((letters(&delivery).as_str(), kind(&delivery)), ("TT", "none"));

        let seen = listener.tape.seen.lock().unwrap();
        let head = &seen[0].head;
        assert_eq!(head.method, "POST");
        assert_eq!(head.uri, "https://listener.example:8071/?token=AbCdEfGh-hush&type=http-bulk");
        for (name, value) in [
            ("content-type", "text/plain"),
            ("user-agent", "siem/1"),
            ("content-length", &seen[0].body.len().to_string()),
        ] {
            assert_eq!(head.headers[name], value);
        }
        assert_eq!(head.headers.len(), if gzip_level.is_some() { 4 } else { 3 });
        drop(seen);
        assert_eq!(listener.tape.bodies(), ["{\"id\":\"a b\"}\n{\"id\":\"b\"}\n"]);
    }
}

#[tokio::test(start_paused = true)]
async fn every_token_of_a_record_arrives_byte_for_byte() {
    let raws = [
        "{ \"k\" : 1.0E+2 ,\r\n\t\"k\" : 12345678901234567890.123456789 }",
        r#"{"s":"é\u00e9\/ }{ \" ü","t":"\\"}"#,
        r#"{"datetime":1774318680000,"logContent":{"data":{"a  b":[ ]}}}"#,
    ];
    let listener = Arc::new(Listener::default());
    let delivery = sink(&listener, config()).deliver(&records(&raws), in_secs(60)).await;
    assert_eq!(letters(&delivery), "TTT");
    assert_eq!(
        listener.taken(),
        [
            r#"{"k":1.0E+2,"k":12345678901234567890.123456789}"#,
            r#"{"s":"é\u00e9\/ }{ \" ü","t":"\\"}"#,
            r#"{"datetime":1774318680000,"logContent":{"data":{"a  b":[]}}}"#,
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn l_11_twelve_megabytes_are_cut_into_bodies_that_the_listener_takes() {
    // The largest body allowed, 10 MiB; the default; and one of which half a body is a single line.
    for (batch_max_bytes, requests) in [(10_485_760, 2), (2_000_000, 8), (600_000, 30)] {
        let raws: Vec<String> = (0..30).map(|n| format!(r#"{{"n":{n},"x":"{}"}}"#, "x".repeat(400_000))).collect();
        let listener = Arc::new(Listener::default());
        let config = LogzioConfig { batch_max_bytes, ..config() };
        let delivery = sink(&listener, config).deliver(&records(&raws), in_secs(60)).await;
        assert_eq!((letters(&delivery), kind(&delivery)), ("T".repeat(30), "none"));
        assert_eq!(listener.taken(), raws);
        assert_eq!(listener.tape.requests(), requests);
        assert!(listener.tape.bodies().iter().all(|body| body.len() <= batch_max_bytes));
    }
}

#[tokio::test(start_paused = true)]
async fn l_11_a_line_of_600_000_bytes_is_set_aside_and_the_rest_is_delivered() {
    let mut raws = events(5);
    raws[1] = of_bytes(600_000);
    raws[2] = of_bytes(500_001);
    // Its line has 500 000 bytes.
    raws[3] = format!(" {}\n", of_bytes(500_000));
    let listener = Arc::new(Listener::default());
    let delivery = sink(&listener, config()).deliver(&records(&raws), in_secs(60)).await;
    assert_eq!((letters(&delivery).as_str(), kind(&delivery)), ("TLLTT", "none"));
    assert_eq!(listener.tape.requests(), 1);
    let Outcome::TooLarge(reason) = &delivery.outcomes[1] else { panic!("too large") };
    assert!(reason.contains("600000 bytes") && reason.contains("500000"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn l_11_a_body_that_is_too_large_is_halved_down_to_one_line() {
    let mut raws: Vec<String> = (0..8).map(|n| format!(r#"{{"n":{n},"x":"{}"}}"#, "x".repeat(1_000))).collect();
    raws[5] = of_bytes(5_000);
    let listener = Arc::new(Listener { body_max_bytes: Some(4_200), ..Listener::default() });
    let delivery = sink(&listener, config()).deliver(&records(&raws), in_secs(60)).await;
    assert_eq!((letters(&delivery).as_str(), kind(&delivery)), ("TTTTTLTT", "none"));
    assert_eq!(listener.taken().len(), 7);

    // Where the listener's limit for a line is lower than ours, it says so of the line that stands alone.
    let listener = Arc::new(Listener { line_max_bytes: Some(4_000), ..Listener::default() });
    let delivery = sink(&listener, config()).deliver(&records(&raws[5..6]), in_secs(60)).await;
    assert_eq!((letters(&delivery).as_str(), kind(&delivery)), ("L", "none"));
}

#[tokio::test(start_paused = true)]
async fn l_12_a_record_that_is_no_object_is_refused_here_and_999_others_are_taken_once() {
    for bad in [r#"{"hush":1"#, "hush", "", "{}{}", "[{}]", "\u{feff}{}"] {
        let mut raws = events(1_000);
        raws[400] = bad.to_owned();
        let listener = Arc::new(Listener::default());
        let delivery = sink(&listener, config()).deliver(&records(&raws), in_secs(60)).await;
        assert_eq!(letters(&delivery), "T".repeat(400) + "R" + &"T".repeat(599), "{bad}");
        assert_eq!((kind(&delivery), listener.tape.requests()), ("none", 1));
        assert!(!format!("{delivery:?}").contains("hush"), "{delivery:?}");
        raws.remove(400);
        assert_eq!(listener.taken(), raws);
    }
}

#[tokio::test(start_paused = true)]
async fn l_12_a_body_of_which_unknown_lines_were_taken_is_set_aside_and_never_sent_again() {
    let mut raws = events(30);
    raws[4] = r#"{"bad":1}"#.to_owned();
    let listener = Arc::new(Listener::default());
    // Ten lines a body.
    let config = LogzioConfig { batch_max_bytes: 179, ..config() };
    let delivery = sink(&listener, config).deliver(&records(&raws), in_secs(60)).await;
    let refused = letters(&delivery).chars().take_while(|letter| *letter == 'R').count();
    assert!((10..=11).contains(&refused), "{delivery:?}");
    assert_eq!(letters(&delivery), "R".repeat(refused) + &"T".repeat(30 - refused));
    assert_eq!(kind(&delivery), "none");
    let Outcome::Refused(reason) = &delivery.outcomes[0] else { panic!("refused") };
    for said in ["400", "1 malformed", &format!("{} successful", refused - 1), "twice"] {
        assert!(reason.contains(said), "{reason}");
    }
    // Nothing went twice, and nothing was held up.
    raws.remove(4);
    assert_eq!(listener.taken(), raws);
}

#[tokio::test(start_paused = true)]
async fn l_12_where_no_line_was_taken_the_bad_one_is_sought_without_second_copies() {
    // All are bad, so each is found by halving.
    let listener = Arc::new(Listener::default());
    let delivery = sink(&listener, config()).deliver(&records(&[r#"{"bad":1}"#; 5]), in_secs(60)).await;
    assert_eq!((letters(&delivery).as_str(), kind(&delivery)), ("RRRRR", "none"));

    // Nobody took a line; should what follows fail, all are surely not taken.
    let listener = Arc::new(Listener::playing([counts(0, 4), Reply::page(403)]));
    let delivery = sink(&listener, config()).deliver(&records(&events(4)), in_secs(60)).await;
    assert_eq!((letters(&delivery).as_str(), kind(&delivery)), ("NNNN", "configuration"));

    // A 400 that nevertheless counts all as taken.
    let listener = Arc::new(Listener::playing([counts(4, 0)]));
    let delivery = sink(&listener, config()).deliver(&records(&events(4)), in_secs(60)).await;
    assert_eq!((letters(&delivery).as_str(), kind(&delivery)), ("TTTT", "none"));
}

#[tokio::test(start_paused = true)]
async fn l_12_a_400_without_counts_is_halved_until_the_bad_line_stands_alone() {
    let mut raws = events(9);
    raws[6] = r#"{"bad":1}"#.to_owned();
    let listener = Arc::new(Listener { hides_the_counts: true, ..Listener::default() });
    let delivery = sink(&listener, config()).deliver(&records(&raws), in_secs(60)).await;
    assert_eq!((letters(&delivery).as_str(), kind(&delivery)), ("TTTTTTRTT", "none"));

    // Nobody knows what was taken before the door was closed.
    let script = [Reply::ByRule, Reply::page(403)];
    let listener = Arc::new(Listener { hides_the_counts: true, ..Listener::playing(script) });
    let delivery = sink(&listener, config()).deliver(&records(&raws), in_secs(60)).await;
    assert_eq!((letters(&delivery).as_str(), kind(&delivery)), ("UUUUUUUUU", "configuration"));
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_refuses_line_after_line_and_takes_none_is_left_alone() {
    for hides_the_counts in [false, true] {
        let listener = Arc::new(Listener { hides_the_counts, ..Listener::default() });
        let delivery = sink(&listener, config()).deliver(&records(&vec![r#"{"bad":1}"#; 30]), in_secs(60)).await;
        let left = if hides_the_counts { "U" } else { "N" };
        assert_eq!((letters(&delivery), kind(&delivery)), ("R".repeat(20) + &left.repeat(10), "refuses all"));
        let text = delivery.failure.unwrap().to_string();
        assert!(text.contains("20 events") && text.contains("log type") && !text.contains("Splunk"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_about_the_settings_refuses_no_record() {
    // A reply to every attempt, what becomes of the two records, why, and how many requests it takes.
    for (reply, outcomes, failure, requests) in [
        (Reply::page(401), "NN", "configuration", 1),
        (Reply::page(403), "NN", "configuration", 1),
        (Reply::page(404), "NN", "configuration", 1),
        (Reply::page(302), "NN", "configuration", 1),
        (Reply::page(429), "NN", "busy", 3),
        (Reply::page(503), "NN", "busy", 3),
        (Reply::Unreachable, "NN", "unreachable", 3),
        (Reply::page(500), "UU", "unknown", 1),
        (Reply::page(502), "UU", "unknown", 1),
        (Reply::page(504), "UU", "unknown", 1),
        (Reply::page(200), "UU", "unknown", 1),
        (Reply::TakenInSilence, "UU", "unknown", 1),
        (Reply::Broken, "UU", "unknown", 1),
        (Reply::CutAnswer, "UU", "unknown", 1),
    ] {
        let listener = Arc::new(Listener::playing(vec![reply.clone(); 3]));
        let delivery = sink(&listener, config()).deliver(&records(&events(2)), in_secs(60)).await;
        let got = (letters(&delivery), kind(&delivery), listener.tape.requests());
        assert_eq!(got, (outcomes.to_owned(), failure, requests), "{reply:?}");
        let text = delivery.failure.unwrap().to_string();
        assert!(text.contains("listener.example:8071") || text.contains("the double"), "{text}");
        assert!(!text.contains("hush"), "{text}");
    }
}

#[tokio::test(start_paused = true)]
async fn l_16_a_silent_listener_ends_at_the_time_out_or_the_deadline_and_nothing_is_sent_again() {
    for (request_timeout, deadline, expected) in [(30, 60, 30), (30, 20, 20)] {
        let listener = Arc::new(Listener::playing([Reply::ByRule, Reply::Silent]));
        let request_timeout = Duration::from_secs(request_timeout);
        let config = LogzioConfig { request_timeout, batch_max_bytes: 1, ..config() };
        let started = Instant::now();
        let delivery = sink(&listener, config).deliver(&records(&events(3)), in_secs(deadline)).await;
        assert_eq!((letters(&delivery).as_str(), kind(&delivery)), ("TUN", "unknown"));
        assert_eq!(started.elapsed().as_secs(), expected);
        assert_eq!(listener.tape.requests(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn l_16_a_busy_listener_is_asked_again_after_the_pause_that_it_asks_for() {
    let busy = || Reply::answer(429, "").with_header("retry-after", "7");
    let listener = Arc::new(Listener::playing([busy(), Reply::Unreachable]));
    let delivery = sink(&listener, config()).deliver(&records(&events(2)), in_secs(60)).await;
    assert_eq!((letters(&delivery).as_str(), kind(&delivery)), ("TT", "none"));
    assert_eq!(listener.taken(), events(2));
    let arrivals = listener.tape.arrivals();
    assert_eq!(arrivals[1], 7_010);
    assert!((510..=1_010).contains(&(arrivals[2] - arrivals[1])), "{arrivals:?}");

    let listener = Arc::new(Listener::playing([busy()]));
    let delivery = sink(&listener, config()).deliver(&records(&events(1)), in_secs(7)).await;
    let asked = Some(Duration::from_secs(7));
    assert!(
        matches!(delivery.failure, Some(SinkFailure::Busy { retry_after, .. }) if retry_after == asked),
        "{delivery:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_delivery_without_lines_posts_nothing() {
    for raws in [&[][..], &["", "[]"]] {
        let listener = Arc::new(Listener::default());
        let delivery = sink(&listener, config()).deliver(&records(raws), in_secs(60)).await;
        assert_eq!((letters(&delivery), kind(&delivery)), ("R".repeat(raws.len()), "none"));
        assert_eq!(listener.tape.requests(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_renewed_token_is_used_from_the_next_request_on() {
    let listener = Arc::new(Listener::default());
    let sink = sink(&listener, config());
    sink.renew_token(&"old".to_owned().into()).unwrap();
    let delivery = sink.deliver(&records(&events(1)), in_secs(60)).await;
    assert_eq!((letters(&delivery).as_str(), kind(&delivery)), ("N", "configuration"));
    assert!(sink.renew_token(&"two words".to_owned().into()).is_err());
    sink.renew_token(&TOKEN.to_owned().into()).unwrap();
    assert_eq!(letters(&sink.deliver(&records(&events(1)), in_secs(60)).await), "T");
}

fn any_reply() -> impl Strategy<Value = Reply> {
    prop_oneof![
        4 => Just(Reply::ByRule),
        2 => Just(Reply::page(503)),
        1 => Just(Reply::Unreachable),
        1 => Just(Reply::page(401)),
        1 => Just(Reply::TakenInSilence),
        1 => Just(Reply::Broken),
        1 => Just(Reply::CutAnswer),
        1 => Just(Reply::page(413)),
    ]
}

proptest! {
    /// Whatever the listener does, no record gets in twice within a call, save where the listener hides its counts; and
    /// what is said of a record is true, save that of a partly refused body nobody knows.
    #[test]
    fn l_12_what_is_said_of_a_record_is_what_became_of_it(
        kinds in proptest::collection::vec(prop_oneof![9 => Just(0), 1 => Just(1), 1 => Just(2)], 0..40),
        script in proptest::collection::vec(any_reply(), 0..12),
        batch_max_bytes in 1_usize..1_000,
        body_max_bytes in proptest::option::of(20_usize..1_000),
        hides_the_counts in any::<bool>(),
    ) {
        let raws: Vec<_> = kinds
            .iter()
            .enumerate()
            .map(|(n, kind)| match kind {
                0 => format!(r#"{{"eventId":"e{n}"}}"#),
                1 => format!(r#"{{"eventId":"e{n}","bad":1}}"#),
                _ => format!("no json {n}"),
            })
            .collect();
        let listener = Arc::new(Listener { body_max_bytes, hides_the_counts, ..Listener::playing(script) });
        let sink = sink(&listener, LogzioConfig { batch_max_bytes, ..config() });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let delivery = runtime.block_on(async { sink.deliver(&records(&raws), in_secs(3_600)).await });

        prop_assert_eq!(delivery.outcomes.len(), raws.len());
        let taken = listener.taken();
        for (raw, outcome) in raws.iter().zip(&delivery.outcomes) {
            let copies = taken.iter().filter(|event| *event == raw).count();
            prop_assert!(copies <= 1 || hides_the_counts, "{}", raw);
            match outcome {
                Outcome::NotSent | Outcome::TooLarge(_) => prop_assert!(copies == 0 || hides_the_counts, "{}", raw),
                Outcome::Taken => prop_assert!(copies >= 1, "{}", raw),
                Outcome::Refused(reason) => {
                    prop_assert!(copies == 0 || hides_the_counts || reason.contains("twice"), "{}: {}", raw, reason);
                }
                Outcome::Unknown => {}
            }
        }
        let all_settled = delivery.outcomes.iter().all(Outcome::is_settled);
        prop_assert_eq!(delivery.failure.is_none(), all_settled);
    }
}
