//! The Health Check that rings the gateway: the pipeline's timer.

use bytes::Bytes;
use http::{Method, Request};
use jiff::{SignedDuration, Timestamp};

use crate::LocalOci;

/// A check, as it is set up in the Health Checks service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// The gateway's path, such as `/v1/plan`.
    pub path: String,
    /// The method, `GET` or `HEAD` on the real service.
    pub method: Method,
    /// Headers, such as the shared secret.
    pub headers: Vec<(String, String)>,
    /// From ring to ring, by the cloud's clock: 10, 30 or 60 s or 5, 10 or 15 minutes on the real service.
    pub interval: SignedDuration,
    /// How many places ring at each interval. One never overlaps itself.
    pub vantage_points: usize,
}

impl HealthCheck {
    /// A `GET` every five minutes from one place, without headers.
    pub fn new(path: &str) -> Self {
        Self {
            path: path.to_owned(),
            method: Method::GET,
            headers: Vec::new(),
            interval: SignedDuration::from_mins(5),
            vantage_points: 1,
        }
    }
}

/// One ring and what came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ring {
    /// When it went out, by the cloud's clock.
    pub at: Timestamp,
    /// Which place rang, from 0.
    pub vantage_point: usize,
    /// The status of the answer; `None` where the connection was cut.
    pub status: Option<u16>,
    /// The answer's body.
    pub body: Bytes,
}

/// Rings at once and then every interval while the cloud's time is before `until`. Gives all rings in order.
///
/// The next rings of an interval wait for the last ones' answers, so that rings overlap only between places. A ring
/// that took longer than the interval is followed by the next at once; none is made up for.
pub async fn start(cloud: &LocalOci, check: &HealthCheck, until: Timestamp) -> Vec<Ring> {
    let mut rings = Vec::new();
    let mut due = cloud.clock().now();
    while due < until {
        cloud.clock().sleep_until(due).await;
        let places = (0..check.vantage_points.max(1)).map(|place| ring(cloud, check, place));
        rings.extend(futures_util::future::join_all(places).await);
        due = due.checked_add(check.interval).unwrap_or(Timestamp::MAX).max(cloud.clock().now());
    }
    rings
}

async fn ring(cloud: &LocalOci, check: &HealthCheck, vantage_point: usize) -> Ring {
    let at = cloud.clock().now();
    let mut request = Request::builder().method(check.method.clone());
    request = request.uri(format!("http://gateway.local/gateway{}", check.path));
    for (name, value) in &check.headers {
        request = request.header(name, value);
    }
    let answer = match request.body(Bytes::new()) {
        Ok(request) => cloud.handle(request).await.ok(),
        Err(_) => None,
    };
    let status = answer.as_ref().map(|answer| answer.status().as_u16());
    Ring { at, vantage_point, status, body: answer.map(http::Response::into_body).unwrap_or_default() }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures_util::future::BoxFuture;

    use super::*;
    use crate::functions::{Backend, BackendDied, FnRequest, FnResponse, FunctionBackend, FunctionSpec};
    use crate::{Clock, Settings};

    /// Takes a while, and knows how many of it run at once.
    #[derive(Default)]
    struct Slow {
        running: Arc<AtomicUsize>,
        most: Arc<AtomicUsize>,
    }

    impl FunctionBackend for Slow {
        fn call(&self, request: FnRequest) -> BoxFuture<'static, Result<FnResponse, BackendDied>> {
            let (running, most) = (Arc::clone(&self.running), Arc::clone(&self.most));
            Box::pin(async move {
                let secret =
                    request.headers.iter().find(|(name, _)| name == "Fn-Http-H-x-secret").map(|it| it.1.clone());
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(20)).await;
                running.fetch_sub(1, Ordering::SeqCst);
                Ok(FnResponse { status: 200, headers: Vec::new(), body: secret.unwrap_or_default().into() })
            })
        }
    }

    #[tokio::test]
    async fn a_day_of_rings_passes_in_moments_and_none_overlaps() {
        for (vantage_points, most_at_once) in [(1, 1), (3, 3)] {
            let begin: Timestamp = "2026-01-05T00:00:00Z".parse().expect("a time");
            let cloud = LocalOci::new(Settings::new(Clock::leaping(begin)));
            let slow = Slow::default();
            let most = Arc::clone(&slow.most);
            let function = FunctionSpec::new("slow", Backend::InProcess(Arc::new(slow)));
            cloud.gateway().route("/ring", &cloud.functions().create(function).expect("deployed"));
            let check = HealthCheck {
                headers: vec![("x-secret".to_owned(), "s".to_owned())],
                interval: SignedDuration::from_mins(60),
                vantage_points,
                ..HealthCheck::new("/ring")
            };
            let until = begin.checked_add(SignedDuration::from_hours(24)).expect("a time");
            let rings =
                tokio::time::timeout(Duration::from_secs(60), start(&cloud, &check, until)).await.expect("in time");
            assert_eq!(rings.len(), 24 * vantage_points);
            assert!(rings.iter().all(|ring| ring.status == Some(200) && &ring.body[..] == b"s"));
            let gap = rings[vantage_points].at.duration_since(rings[0].at);
            assert!((gap - SignedDuration::from_mins(60)).abs() < SignedDuration::from_secs(5), "{gap}");
            assert_eq!(most.load(Ordering::SeqCst), most_at_once);
        }
    }
}
