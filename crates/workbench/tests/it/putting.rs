//! Batches get on the stream whole, whatever the service answers; what did not is foreign to every reader.

use std::collections::BTreeSet;

use local_oci::Fault;
use workbench::{CannotPut, put_batch};

use crate::bench::{Bench, bench, values};

fn keys(bench: &Bench) -> BTreeSet<String> {
    bench.messages().into_iter().map(|(key, _)| key).collect()
}

#[tokio::test(start_paused = true)]
async fn a_batch_lies_on_the_stream_in_order_under_its_id() {
    let bench = bench().await;
    bench.foreign("before");
    let location = bench.put(&["a", "b", "c"]).await.unwrap();
    assert!(location.batch.starts_with("us-ashburn-1.") && location.batch.len() == 13 + 32, "{}", location.batch);
    assert_eq!((location.offset, location.last_offset, location.num_records), (1, 3, 3));
    assert_eq!((location.partition.as_str(), &location.stream), ("0", &bench.stream));
    let mine = |value: &str| (location.batch.clone(), value.to_owned());
    assert_eq!(bench.messages()[1..], [mine("a"), mine("b"), mine("c")]);
    // The next batch has an id of its own.
    assert_ne!(bench.put(&["d"]).await.unwrap().batch, location.batch);
}

#[tokio::test(start_paused = true)]
async fn a_put_whose_outcome_is_unknown_is_repeated_whole_and_its_orphans_are_foreign() {
    for (fault, orphans) in [
        (Fault::on("PutMessages").times(2).cut_after(), 6),
        (Fault::on("PutMessages").times(2).cut_before(), 0),
        (Fault::on("PutMessages").times(3).answer(500, "InternalServerError"), 0),
        (Fault::on("PutMessages").times(1).truncate_body(10), 3),
    ] {
        let name = format!("{fault:?}");
        let bench = bench().await;
        bench.cloud.faults().inject(fault);
        let location = bench.put(&["a", "b", "c"]).await.unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(bench.messages().len(), orphans + 3, "{name}");
        assert_eq!(keys(&bench).len(), orphans / 3 + 1, "an id of its own for each put: {name}");
        assert_eq!(bench.read(&location).await.unwrap(), values(&["a", "b", "c"]), "{name}");
        assert_eq!(location.num_records, 3, "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_put_that_was_turned_away_is_sent_again_under_its_id() {
    for status in [429, 503] {
        let bench = bench().await;
        bench.cloud.faults().inject(Fault::on("PutMessages").times(2).answer(status, "Later"));
        let location = bench.put(&["a"]).await.unwrap();
        // The first id of all was used to the end: seeded ids count up.
        assert_eq!(location.batch, format!("us-ashburn-1.{:016x}{:016x}", 7, 0));
        assert_eq!((bench.calls("PutMessages"), bench.messages().len()), (3, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_put_of_which_some_entries_failed_is_repeated_whole_under_another_id_and_in_order() {
    let bench = bench().await;
    bench.cloud.faults().inject(Fault::on("PutMessages").times(1).fail_entries([0, 2, 3]));
    bench.cloud.faults().inject(Fault::on("PutMessages").skip(1).times(1).fail_entries([1]));
    let location = bench.put(&["a", "b", "c", "d"]).await.unwrap();
    let texts: Vec<String> = bench.messages().into_iter().map(|(_, value)| value).collect();
    assert_eq!(texts, ["b", "a", "c", "d", "a", "b", "c", "d"]);
    assert_eq!(keys(&bench).len(), 3, "an id of its own for each put");
    assert_eq!((location.offset, location.last_offset, location.num_records), (4, 7, 4));
    // A receipt goes by the places of its records.
    assert_eq!(bench.read(&location).await.unwrap(), values(&["a", "b", "c", "d"]));
}

#[tokio::test(start_paused = true)]
async fn entries_that_fail_again_and_again_are_given_up_with_their_number_and_the_service_s_code() {
    let bench = bench().await;
    bench.cloud.faults().inject(Fault::on("PutMessages").times(1).fail_entries([1]));
    bench.cloud.faults().inject(Fault::on("PutMessages").skip(1).fail_entries([0]));
    let Err(CannotPut::Entries { failed, count, code }) = bench.put(&["a", "b"]).await else {
        panic!("the batch is not whole")
    };
    assert_eq!((failed, count), (1, 2));
    assert!(!code.is_empty());
    let puts = bench.calls("PutMessages");
    assert!((3..20).contains(&puts), "{puts} puts");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_never_tells_is_given_up() {
    let bench = bench().await;
    bench.cloud.faults().inject(Fault::on("PutMessages").cut_after());
    let error = bench.put(&["a", "b"]).await.unwrap_err();
    assert!(matches!(&error, CannotPut::Client(error) if error.is_outcome_unknown()), "{error:?}");
    let puts = bench.calls("PutMessages");
    assert!((2..=6).contains(&puts), "{puts} puts");
    assert_eq!(keys(&bench).len() as u64, puts, "no id is used for two puts");
}

#[tokio::test(start_paused = true)]
async fn a_put_that_the_service_refuses_is_not_repeated() {
    let bench = bench().await;
    bench.cloud.faults().inject(Fault::on("PutMessages").answer(400, "InvalidParameter"));
    assert!(matches!(bench.put(&["a"]).await, Err(CannotPut::Client(_))));
    assert_eq!(bench.calls("PutMessages"), 1);
}

/// Answers of puts tell of the second entry that it lies on partition 1.
fn scatter(bench: &Bench, mut times: usize) {
    bench.forge(move |path, body| {
        if !path.ends_with("/messages") || times == 0 {
            return body.to_owned();
        }
        times -= 1;
        let mut answer: serde_json::Value = serde_json::from_str(body).unwrap();
        answer["entries"][1]["partition"] = "1".into();
        answer.to_string()
    });
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_came_to_lie_on_two_partitions_is_put_again_under_a_new_id() {
    let bench = bench().await;
    scatter(&bench, 1);
    let location = bench.put(&["a", "b"]).await.unwrap();
    assert_eq!((bench.messages().len(), keys(&bench).len()), (4, 2));
    assert_eq!((location.offset, location.last_offset), (2, 3));
    assert_eq!(bench.read(&location).await.unwrap(), values(&["a", "b"]));
    scatter(&bench, usize::MAX);
    assert!(matches!(bench.put(&["a", "b"]).await, Err(CannotPut::Scattered)));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_put_past_the_deadline() {
    let bench = bench().await;
    bench.cloud.faults().inject(Fault::on("PutMessages").fail_entries([0]));
    let started = tokio::time::Instant::now();
    let soon = started + std::time::Duration::from_millis(250);
    let names = (&bench.ids, "us-ashburn-1");
    let put = put_batch(&bench.client, &bench.endpoint, &bench.stream, names, &values(&["a"]), soon).await;
    assert!(put.is_err());
    assert!(started.elapsed() < std::time::Duration::from_secs(1), "{:?}", started.elapsed());
    let later = bench.calls("PutMessages");
    assert!(put_batch(&bench.client, &bench.endpoint, &bench.stream, names, &values(&["a"]), soon).await.is_err());
    assert_eq!(bench.calls("PutMessages"), later);
}
