//! The pipeline as it is deployed: the schedule rings the gateway, topics call the functions, and deliveries go astray.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use jiff::SignedDuration;
use journeys::contract::{invocation, response};
use local_oci::{
    Backend, BackendDied, Effect, Fault, FaultId, FnRequest, FnResponse, FunctionBackend, FunctionSpec, Redelivery,
    TenancyPlan,
    receiver::HecFault,
    schedule::{self, HealthCheck},
};

use crate::house::{House, at, house, start};

#[derive(Debug, Clone, Copy)]
enum Function {
    List,
    Fetch,
    Ship,
}

/// A library handler in a container's place.
struct Container {
    house: Weak<House>,
    function: Function,
}

impl FunctionBackend for Container {
    fn call(&self, request: FnRequest) -> BoxFuture<'static, Result<FnResponse, BackendDied>> {
        let (house, function) = (self.house.upgrade(), self.function);
        Box::pin(async move {
            let house = house.ok_or(BackendDied)?;
            let call = invocation(&request);
            let is_route = matches!(call.intent, fn_hyper::Intent::HttpRequest(_));
            let reply = match function {
                Function::List => list_regions_compartments::handle(&house.list, call).await,
                Function::Fetch => fetch_audit_events::handle(&house.fetch, call).await,
                Function::Ship => ship_to_siem::handle(&house.ship, call).await,
            };
            Ok(response(&reply, is_route))
        })
    }
}

/// Deploys the house's functions, subscribes them and opens the gateway.
fn deploy(house: House) -> Arc<House> {
    let house = Arc::new(house);
    let create = |name: &str, function: Function, timeout_secs: u32| {
        let container = Container { house: Arc::downgrade(&house), function };
        let spec = FunctionSpec { timeout_secs, ..FunctionSpec::new(name, Backend::InProcess(Arc::new(container))) };
        house.cloud.functions().create(spec).unwrap()
    };
    let list = create("list-regions-compartments", Function::List, 60);
    let fetch = create("fetch-audit-events", Function::Fetch, 300);
    let ship = create("ship-to-siem", Function::Ship, 300);
    house.cloud.topics().subscribe(&house.audit_topic, &fetch);
    house.cloud.topics().subscribe(&house.splunk_topic, &ship);
    house.cloud.gateway().route("/regions/listregions", &list);
    house
}

/// Rings the gateway until then, and waits for what the topics still deliver; every ring must be answered 200.
async fn run_until(house: &House, until: &str, interval_mins: i64) {
    let check = HealthCheck {
        headers: vec![("x-siem-tick".to_owned(), "open sesame".to_owned())],
        interval: SignedDuration::from_mins(interval_mins),
        ..HealthCheck::new("/regions/listregions")
    };
    let rings = schedule::start(&house.cloud, &check, at(until)).await;
    assert!(rings.iter().all(|ring| ring.status == Some(200)), "{rings:?}");
    assert!(rings.iter().all(|ring| ring.body.is_empty()));
    for _ in 0..300 {
        if house.cloud.topics().pending() == 0 {
            return;
        }
        house.wait(SignedDuration::from_mins(1)).await;
    }
    panic!("{} deliveries never end", house.cloud.topics().pending());
}

/// Every `nth` publish goes astray.
fn astray(house: &House, nth: u64, effect: Effect) -> FaultId {
    let published = AtomicU64::new(0);
    let condition =
        move |_: &local_oci::Operation, _: &local_oci::Call| published.fetch_add(1, Ordering::Relaxed) % nth == nth - 1;
    house.cloud.faults().inject(Fault::on("PublishMessage").when(condition).with(effect))
}

fn an_hour_of(events: u32) -> House {
    house(|plan| {
        plan.partitions = 2;
        plan.settings.plan.events = events;
        plan.settings.plan.compartments = 1;
        plan.settings.plan.end = at("01:00:00");
    })
}

#[tokio::test(start_paused = true)]
async fn deliveries_that_are_lost_doubled_late_or_out_of_order_lose_and_double_nothing() {
    let minutes = |minutes: u64| std::time::Duration::from_secs(60 * minutes);
    for (nth, effect) in [
        (2, Effect::LoseDelivery),
        (1, Effect::DoubleDelivery),
        (2, Effect::DelayDelivery(minutes(7))),
        (3, Effect::DelayDelivery(minutes(45))),
        (2, Effect::Reorder),
    ] {
        let name = format!("{effect:?}");
        let house = deploy(an_hour_of(120));
        let fault = astray(&house, nth, effect);
        run_until(&house, "02:00:00", 5).await;
        assert!(house.cloud.faults().fired(fault) > 5, "{name}");
        house.cloud.faults().clear();
        run_until(&house, "02:30:00", 5).await;
        let delivered = house.assert_delivered_once(at("02:30:00"));
        assert_eq!(delivered, 120, "{name}");
        house.assert_idle();
    }
}

#[tokio::test(start_paused = true)]
async fn functions_that_fail_are_made_good_whether_or_not_the_topic_repeats_the_call() {
    for repeats in [true, false] {
        let house = deploy(an_hour_of(120));
        house.cloud.topics().configure(|topics| topics.redelivery = Redelivery::OnFunctionError(repeats));
        let posts = AtomicU64::new(0);
        house.splunk.inject_when(HecFault::Busy { code: 9, retry_after_secs: None }, None, move |_| {
            posts.fetch_add(1, Ordering::Relaxed) % 8 < 6
        });
        let lists = AtomicU64::new(0);
        house.cloud.faults().inject(
            Fault::on("ListEvents")
                .when(move |_, _| lists.fetch_add(1, Ordering::Relaxed) % 40 < 12)
                .answer(503, "ServiceUnavailable"),
        );
        run_until(&house, "01:30:00", 5).await;
        let failed = house.cloud.topics().deliveries().iter().filter(|try_| try_.outcome == "failed").count();
        assert!(failed > 3, "{failed} calls failed");
        house.cloud.faults().clear();
        house.splunk.clear_faults();
        run_until(&house, "02:30:00", 5).await;
        assert_eq!(house.assert_delivered_once(at("02:30:00")), 120, "repeats: {repeats}");
        house.assert_idle();
    }
}

#[tokio::test(start_paused = true)]
async fn a_tenancy_of_four_regions_and_ninety_six_scopes_arrives_whole_through_everything_that_goes_astray() {
    let house = deploy(house(|plan| {
        plan.partitions = 2;
        plan.settings.plan = TenancyPlan {
            regions: 4,
            compartments: 95,
            events: 3_000,
            hostile: 0.1,
            start: start(),
            end: at("02:00:00"),
            ..plan.settings.plan.clone()
        };
    }));
    house.cloud.topics().configure(|topics| topics.redelivery = Redelivery::OnFunctionError(true));
    let minutes = |minutes: u64| std::time::Duration::from_secs(60 * minutes);
    let faults = [
        astray(&house, 5, Effect::LoseDelivery),
        astray(&house, 3, Effect::DoubleDelivery),
        astray(&house, 4, Effect::DelayDelivery(minutes(11))),
        astray(&house, 7, Effect::Reorder),
    ];
    run_until(&house, "02:20:00", 20).await;
    for fault in faults {
        assert!(house.cloud.faults().fired(fault) > 2);
        house.cloud.faults().remove(fault);
    }
    run_until(&house, "03:20:00", 20).await;
    assert_eq!(house.assert_delivered_once(at("03:20:00")), 3_000);
    assert_eq!(house.splunk.count(), 3_000);
    house.assert_idle();
}

#[tokio::test(start_paused = true)]
async fn a_stranger_at_the_gateway_is_told_nothing_through_the_platform_either() {
    let house = deploy(an_hour_of(0));
    for secret in [None, Some("guess")] {
        let mut request = http::Request::get("http://gateway.local/gateway/regions/listregions");
        if let Some(secret) = secret {
            request = request.header("x-siem-tick", secret);
        }
        let answer = house.cloud.handle(request.body(Bytes::new()).unwrap()).await.unwrap();
        assert_eq!((answer.status().as_u16(), answer.body().len()), (401, 0));
    }
    assert_eq!(house.objects(""), [""; 0]);
}
