//! A batch is read whole by place and key, past whatever lies between, or said to be gone.

use local_oci::Fault;
use workbench::CannotRead;

use crate::bench::{Bench, bench, values};

/// How a reading failed.
async fn failure(bench: &Bench, location: &pipeline::Location) -> String {
    match bench.read(location).await {
        Err(CannotRead::Gone { found, expected }) => format!("gone: {found} of {expected}"),
        Err(CannotRead::Stalled { next }) => format!("stalled at {next}"),
        Err(CannotRead::Client(_)) => "no word".to_owned(),
        Ok(values) => format!("{} values", values.len()),
    }
}

#[tokio::test(start_paused = true)]
async fn r_01_the_message_at_the_batch_s_first_offset_is_read_and_the_one_behind_it_is_not() {
    let bench = bench().await;
    for n in 0..100 {
        bench.foreign(&n.to_string());
    }
    let location = bench.put(&["first", "second"]).await.unwrap();
    bench.put(&["of the next batch"]).await.unwrap();
    assert_eq!((location.offset, location.last_offset), (100, 101));
    assert_eq!(bench.read(&location).await.unwrap(), values(&["first", "second"]));
}

#[tokio::test(start_paused = true)]
async fn r_04_short_and_empty_pages_are_followed_to_the_last_offset() {
    let bench = bench().await;
    let texts = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    let location = bench.put(&texts).await.unwrap();
    bench.put(&["of the next batch"]).await.unwrap();
    bench.cloud.faults().inject(Fault::on("GetMessages").short_read(1));
    let empty = bench.cloud.faults().inject(Fault::on("GetMessages").skip(2).times(12).empty_read());
    let more_empty = bench.cloud.faults().inject(Fault::on("GetMessages").skip(16).times(12).empty_read());
    assert_eq!(bench.read(&location).await.unwrap(), values(&texts));
    assert_eq!([empty, more_empty].map(|fault| bench.cloud.faults().fired(fault)), [12, 12]);
    assert_eq!(bench.calls("GetMessages"), 10 + 24, "one message a page, and the empty ones");
}

#[tokio::test(start_paused = true)]
async fn pages_end_at_the_service_s_own_bound() {
    let bench = bench().await;
    bench.cloud.streams().configure(|settings| settings.page_max_bytes = 60);
    let texts = ["0", "1", "2", "3", "4"];
    let location = bench.put(&texts).await.unwrap();
    assert_eq!(bench.read(&location).await.unwrap(), values(&texts));
    assert!(bench.calls("GetMessages") >= 3);
}

#[tokio::test(start_paused = true)]
async fn messages_of_others_between_those_of_the_batch_are_passed_over() {
    let bench = bench().await;
    bench.cloud.streams().configure(|settings| {
        settings.foreign_every = Some(1);
        settings.gap_every = Some(3);
    });
    let texts = ["a", "b", "c", "d"];
    let location = bench.put(&texts).await.unwrap();
    assert!(location.last_offset - location.offset > 3, "others lie between: {location:?}");
    assert_eq!(location.num_records, 4);
    assert_eq!(bench.read(&location).await.unwrap(), values(&texts));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_not_there_any_more_is_gone_and_nothing_else_is_taken_for_it() {
    let bench = bench().await;
    let texts = ["a", "b", "c"];
    let stream = bench.stream.as_str();
    let streams = bench.cloud.streams();

    let location = bench.put(&texts).await.unwrap();
    streams.trim(stream, 0, location.last_offset + 1);
    assert_eq!(failure(&bench, &location).await, "gone: 0 of 3", "its retention is over");

    let location = bench.put(&texts).await.unwrap();
    streams.trim(stream, 0, location.offset + 1);
    let partly = failure(&bench, &location).await;
    assert!(partly.starts_with("gone: "), "part of it is over: {partly}");

    streams.recreate(stream);
    assert_eq!(failure(&bench, &location).await, "gone: 0 of 3", "the stream is a new, empty one");

    for n in 0..20 {
        bench.foreign(&n.to_string());
    }
    assert_eq!(failure(&bench, &location).await, "gone: 0 of 3", "the stream is a new one with other messages");

    let elsewhere = pipeline::Location { partition: "7".into(), ..location.clone() };
    assert_eq!(failure(&bench, &elsewhere).await, "gone: 0 of 3", "no such partition");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_not_there_in_full_is_gone_rather_than_read_in_part_and_copies_are_read_too() {
    let bench = bench().await;
    let whole = bench.put(&["a", "b", "c"]).await.unwrap();
    let shorter = pipeline::Location { last_offset: whole.last_offset - 1, ..whole.clone() };
    assert_eq!(failure(&bench, &shorter).await, "gone: 2 of 3");
    // A part of it was put twice, under its id: a copy is a copy at worst, and no reason to lose the batch.
    let fewer = pipeline::Location { num_records: 2, ..whole };
    assert_eq!(failure(&bench, &fewer).await, "3 values");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_gives_nothing_more_is_stalled_before_the_deadline() {
    let bench = bench().await;
    let location = bench.put(&["a", "b", "c"]).await.unwrap();
    bench.cloud.faults().inject(Fault::on("GetMessages").times(1).short_read(1));
    bench.cloud.faults().inject(Fault::on("GetMessages").skip(1).empty_read());
    let started = tokio::time::Instant::now();
    assert_eq!(failure(&bench, &location).await, "stalled at 1");
    assert!(started.elapsed() < std::time::Duration::from_secs(60), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_service_that_is_down_says_nothing_about_the_batch() {
    for operation in ["CreateCursor", "GetMessages"] {
        for fault in [
            Fault::on(operation).answer(503, "ServiceUnavailable"),
            Fault::on(operation).cut_before(),
            Fault::on(operation).throttle(None),
            // Also what a missing policy is answered with.
            Fault::on(operation).answer(404, "NotAuthorizedOrNotFound"),
        ] {
            let bench = bench().await;
            let location = bench.put(&["a"]).await.unwrap();
            let fault = bench.cloud.faults().inject(fault);
            assert_eq!(failure(&bench, &location).await, "no word", "{operation}");
            bench.cloud.faults().remove(fault);
            assert_eq!(bench.read(&location).await.unwrap(), values(&["a"]));
        }
    }
}
