//! One call, from the caller's body to the function's answer: a container for it, its headers, its deadline.

use std::io;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::StatusCode;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::clock::{BusyGuard, Clock};
use crate::cloud::Cloud;
use crate::rng::Rng;
use crate::streaming::named_ocid;

use super::container::{Container, Plan, socket};
use super::watchdog::Watchdog;
use super::{
    APP_NAME, Backend, FnRequest, FnResponse, Function, FunctionSettings, FunctionSpec, Functions, Live, lock,
};

/// What kind of call it is: the `fn-intent` header and what comes with it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Intent {
    /// A call by a client, a topic or a rule: no header.
    #[default]
    Direct,
    /// `cloudevent`.
    CloudEvent,
    /// `httprequest`: a call that came through a route.
    HttpRequest {
        /// The caller's method.
        method: String,
        /// Path and query.
        url: String,
        /// The caller's headers, without hop-by-hop ones.
        headers: Vec<(String, String)>,
    },
}

/// Why a call has no answer of the function's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// No such function.
    #[error("no such function")]
    NotFound,
    /// The body is longer than the platform takes.
    #[error("the body is too long")]
    BodyTooLarge,
    /// All containers are busy and the queue is full.
    #[error("too many calls at once")]
    Busy,
    /// The emulator is shutting down.
    #[error("the platform is shutting down")]
    Stopped,
    /// The container could not start, or its socket is not as the contract wants it.
    #[error("the container failed to initialize")]
    InitFailed,
    /// The socket did not appear in time.
    #[error("the container's initialization timed out")]
    InitTimedOut,
    /// The function answered 502: it failed, and lives.
    #[error("the function failed")]
    Failed,
    /// The function answered 504: it gave up in time, and lives.
    #[error("the function timed out by itself")]
    GaveUp,
    /// The platform's timeout struck; the container was killed.
    #[error("the function timed out")]
    TimedOut,
    /// The connection broke or the process ended.
    #[error("the container died during the call")]
    Died,
    /// Another status than 200, 502 and 504; the container was killed.
    #[error("the function answered an invalid status")]
    InvalidResponse,
    /// The answer is longer than the platform takes; the container was killed.
    #[error("the function's answer is too long")]
    ResponseTooLarge,
}

impl Failure {
    /// The bare name, as reports use it.
    pub fn name(self) -> &'static str {
        match self {
            Self::NotFound => "not_found",
            Self::BodyTooLarge => "body_too_large",
            Self::Busy => "busy",
            Self::Stopped => "stopped",
            Self::InitFailed => "init_failed",
            Self::InitTimedOut => "init_timed_out",
            Self::Failed => "failed",
            Self::GaveUp => "gave_up",
            Self::TimedOut => "timed_out",
            Self::Died => "died",
            Self::InvalidResponse => "invalid_response",
            Self::ResponseTooLarge => "response_too_large",
        }
    }

    /// Status and code that InvokeFunction answers for it.
    pub(super) fn answer(self) -> (StatusCode, &'static str) {
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "NotAuthorizedOrNotFound"),
            Self::BodyTooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "FunctionInvokeRequestContentTooLarge"),
            Self::Busy => (StatusCode::TOO_MANY_REQUESTS, "TooManyRequests"),
            Self::Stopped => (StatusCode::SERVICE_UNAVAILABLE, "FunctionInvokeServiceUnavailable"),
            Self::InitFailed => (StatusCode::BAD_GATEWAY, "FunctionInvokeContainerInitFail"),
            Self::InitTimedOut => (StatusCode::GATEWAY_TIMEOUT, "FunctionInvokeContainerInitTimeout"),
            Self::Failed => (StatusCode::BAD_GATEWAY, "FunctionInvokeExecutionFailed"),
            Self::Died => (StatusCode::BAD_GATEWAY, "FunctionInvokeExecutionError"),
            Self::InvalidResponse => (StatusCode::BAD_GATEWAY, "FunctionInvokeInvalidResponse"),
            Self::ResponseTooLarge => (StatusCode::BAD_GATEWAY, "FunctionInvokeResponseBodyTooLarge"),
            Self::GaveUp | Self::TimedOut => (StatusCode::GATEWAY_TIMEOUT, "FunctionInvokeTimeout"),
        }
    }

    /// Whether the function was never reached, so that a trigger knows that its message was not taken.
    pub(crate) fn is_the_platforms(self) -> bool {
        match self {
            Self::NotFound
            | Self::BodyTooLarge
            | Self::Busy
            | Self::Stopped
            | Self::InitFailed
            | Self::InitTimedOut => true,
            Self::Failed
            | Self::GaveUp
            | Self::TimedOut
            | Self::Died
            | Self::InvalidResponse
            | Self::ResponseTooLarge => false,
        }
    }
}

/// A call to be made.
#[derive(Debug)]
pub(crate) struct Invocation {
    pub(crate) function: String,
    pub(crate) body: Bytes,
    pub(crate) intent: Intent,
    /// The caller's own headers, copied through untouched.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) is_detached: bool,
}

impl Invocation {
    pub(crate) fn new(function: &str, body: Bytes, intent: Intent) -> Self {
        Self { function: function.to_owned(), body, intent, headers: Vec::new(), is_detached: false }
    }
}

/// Makes the call and waits for its end. If the caller goes away, the call goes on.
pub(crate) async fn invoke(cloud: &Arc<Cloud>, invocation: Invocation) -> Result<FnResponse, Failure> {
    start(cloud, invocation)?.await.unwrap_or(Err(Failure::Died))
}

/// Makes the call; the handle is its end.
pub(super) fn start(
    cloud: &Arc<Cloud>,
    invocation: Invocation,
) -> Result<JoinHandle<Result<FnResponse, Failure>>, Failure> {
    let function = cloud.functions.function(&invocation.function).ok_or(Failure::NotFound)?;
    lock(&function.meter).calls += 1;
    let admitted = admit(&cloud.functions, &function, &invocation);
    let (settings, number) = admitted.inspect_err(|failure| function.count(failure.name()))?;
    let run = Run {
        busy: cloud.clock.busy(),
        clock: cloud.clock.clone(),
        cloud: Arc::downgrade(cloud),
        watchdog: Arc::clone(&cloud.functions.0.watchdog),
        function,
        settings,
        number,
        invocation,
    };
    #[expect(clippy::disallowed_methods, reason = "the platform finishes a call that its caller has left")]
    Ok(tokio::spawn(run.run()))
}

fn admit(
    functions: &Functions,
    function: &Function,
    invocation: &Invocation,
) -> Result<(FunctionSettings, u64), Failure> {
    let mut state = functions.lock();
    if state.is_shut_down {
        return Err(Failure::Stopped);
    }
    if invocation.body.len() > state.settings.body_max_bytes {
        return Err(Failure::BodyTooLarge);
    }
    let mut pool = lock(&function.pool);
    let queue = (pool.waiting + 1).saturating_sub(function.slots.available_permits());
    if state.settings.queue_max.is_some_and(|max| queue > max) {
        return Err(Failure::Busy);
    }
    pool.waiting += 1;
    state.calls += 1;
    Ok((state.settings.clone(), state.calls))
}

struct Run {
    /// Held to the end: a leaping clock keeps to real time while a function runs.
    #[expect(dead_code, reason = "held for its drop")]
    busy: BusyGuard,
    clock: Clock,
    cloud: Weak<Cloud>,
    watchdog: Arc<Watchdog>,
    function: Arc<Function>,
    settings: FunctionSettings,
    number: u64,
    invocation: Invocation,
}

impl Run {
    async fn run(self) -> Result<FnResponse, Failure> {
        let slot = self.function.slots.acquire().await;
        lock(&self.function.pool).waiting -= 1;
        let dispatched = Instant::now();
        let spec = lock(&self.function.spec).clone();
        let answered = match &self.function.backend {
            Backend::InProcess(backend) => {
                let killed = Arc::new(Notify::new());
                let number = self.function.register(Live::InProcess(Arc::clone(&killed)));
                let request = self.request(&spec);
                let timeout = request.timeout;
                // A panic is a crash of the container, and no business of the emulator's.
                let answer = AssertUnwindSafe(async { backend.call(request).await }).catch_unwind();
                let answer = tokio::select! {
                    biased;
                    () = killed.notified() => Err(Failure::Died),
                    answer = tokio::time::timeout(timeout, answer) => match answer {
                        Err(_) => Err(Failure::TimedOut),
                        Ok(Err(_) | Ok(Err(_))) => Err(Failure::Died),
                        Ok(Ok(Ok(response))) => Ok(response),
                    },
                };
                lock(&self.function.pool).live.remove(&number);
                answer.and_then(|response| self.sized(response)).and_then(by_status)
            }
            Backend::Process { .. } => self.run_in_container(&spec).await,
        };
        drop(slot);
        lock(&self.function.meter).busy += dispatched.elapsed();
        self.function.count(answered.as_ref().map_or_else(|failure| failure.name(), |_| "answered"));
        answered
    }

    fn sized(&self, response: FnResponse) -> Result<FnResponse, Failure> {
        if response.body.len() > self.settings.response_max_bytes {
            Err(Failure::ResponseTooLarge)
        } else {
            Ok(response)
        }
    }

    async fn run_in_container(&self, spec: &FunctionSpec) -> Result<FnResponse, Failure> {
        let function = &self.function;
        let mut container = match function.take_idle(self.clock.now(), self.settings.idle_timeout) {
            Some(container) => container,
            None => self.start_container(spec).await?,
        };
        self.rotate(&mut container);
        let request = self.request(spec);
        let timeout = request.timeout;
        let call = container.call(request, self.settings.response_max_bytes);
        let answer = tokio::time::timeout(timeout, call).await.unwrap_or(Err(Failure::TimedOut));
        let answer = answer.and_then(by_status);
        lock(&function.meter).sample(container.number(), container.pid());
        match &answer {
            Ok(_) | Err(Failure::Failed | Failure::GaveUp) => function.give_back(container, self.clock.now()),
            Err(_) => function.end(container),
        }
        answer
    }

    async fn start_container(&self, spec: &FunctionSpec) -> Result<Container, Failure> {
        let plan = self.plan(spec).map_err(|_| Failure::InitFailed)?;
        lock(&self.function.meter).started += 1;
        let began = Instant::now();
        let container = Container::start(plan).await?;
        lock(&self.function.meter).starting += began.elapsed();
        let child = container.child();
        lock(&self.function.pool).live.insert(container.number(), Live::Process { child, is_busy: true });
        Ok(container)
    }

    fn plan(&self, spec: &FunctionSpec) -> io::Result<Plan> {
        let cloud = self.cloud.upgrade().ok_or_else(|| io::Error::other("the emulator is gone"))?;
        let Backend::Process { binary, extra_env } = &self.function.backend else {
            return Err(io::Error::other("the function is no program"));
        };
        let dir = tempfile::Builder::new().prefix("fn").tempdir()?;
        let mut pool = lock(&self.function.pool);
        let (number, generation) = (pool.next, pool.generation);
        pool.next += 1;
        drop(pool);
        let home = cloud.tenancy.home_region();
        let key = cloud.tenancy.regions(self.clock.now()).into_iter().find(|region| region.name == home);
        let metadata = serde_json::json!({
            "realmKey": "oc1",
            "realmDomainComponent": "oraclecloud.com",
            "regionKey": key.map(|region| region.key),
            "regionIdentifier": home,
        });
        let mut env: Vec<(String, String)> = spec.config.clone().into_iter().collect();
        let credentials = dir.path().join(".oci-credentials");
        env.extend(cloud.credentials.resource_principal_env(&self.function.id, &credentials)?);
        let hostname = format!("{:012x}", Rng::of(self.number, number).next() >> 16);
        let platform = [
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()),
            ("HOME", "/".to_owned()),
            ("HOSTNAME", hostname.clone()),
            ("FN_FORMAT", "http-stream".to_owned()),
            ("FN_LISTENER", format!("unix:{}", socket(dir.path()).display())),
            ("FN_APP_ID", named_ocid("fnapp", self.function.region, APP_NAME)),
            ("FN_APP_NAME", APP_NAME.to_owned()),
            ("FN_FN_ID", self.function.id.clone()),
            ("FN_FN_NAME", spec.name.clone()),
            ("FN_MEMORY", spec.memory_mb.to_string()),
            ("FN_TYPE", "sync".to_owned()),
            ("FN_LOGFRAME_NAME", hostname),
            ("FN_LOGFRAME_HDR", "Opc-Request-Id".to_owned()),
            ("OCI_REGION_METADATA", metadata.to_string()),
            ("OCI_TRACING_ENABLED", "0".to_owned()),
        ];
        env.extend(platform.map(|(name, value)| (name.to_owned(), value)));
        env.extend(extra_env.iter().cloned());
        Ok(Plan {
            number,
            generation,
            binary: binary.clone(),
            dir,
            env,
            log: cloud.functions.log_path(&spec.name)?,
            init_timeout: self.settings.init_timeout,
            now: self.clock.now(),
            wall_now: self.clock.real_now(),
            watchdog: Arc::clone(&self.watchdog),
        })
    }

    /// Writes the container's token anew once it is old, as the platform does behind the function's back.
    fn rotate(&self, container: &mut Container) {
        let now = self.clock.real_now();
        if now.duration_since(container.credentials_written) < self.settings.rotate_after {
            return;
        }
        let rotated =
            self.cloud.upgrade().map(|cloud| cloud.credentials.rotate(&self.function.id, &container.credentials_dir()));
        if matches!(rotated, Some(Ok(()))) {
            container.credentials_written = now;
        }
    }

    /// The request on the socket; the deadline counts from here.
    fn request(&self, spec: &FunctionSpec) -> FnRequest {
        let invocation = &self.invocation;
        let timeout_secs = match invocation.is_detached {
            true => spec.detached_timeout_secs.unwrap_or(spec.timeout_secs),
            false => spec.timeout_secs,
        };
        let timeout = Duration::from_secs(u64::from(timeout_secs));
        let now = self.clock.real_now();
        let deadline_wall = now.checked_add(SignedDuration::from_secs(i64::from(timeout_secs))).unwrap_or(now);
        // Whole seconds, cut and not rounded: up to a second early, as on the platform.
        let deadline = Timestamp::from_second(deadline_wall.as_second()).unwrap_or(deadline_wall);
        let call_id = ulid(self.clock.now(), self.number);
        let mut headers = vec![
            ("Fn-Call-Id", call_id.clone()),
            ("Fn-Deadline", deadline.to_string()),
            ("Fn-Invoke-Type", if invocation.is_detached { "detached" } else { "sync" }.to_owned()),
            ("Opc-Request-Id", format!("/{call_id}/{call_id}")),
            ("Accept-Encoding", "gzip".to_owned()),
        ];
        let mut prefixed = Vec::new();
        match &invocation.intent {
            Intent::Direct => {}
            Intent::CloudEvent => headers.push(("Fn-Intent", "cloudevent".to_owned())),
            Intent::HttpRequest { method, url, headers: original } => {
                headers.push(("Fn-Intent", "httprequest".to_owned()));
                headers.push(("Fn-Http-Method", method.clone()));
                headers.push(("Fn-Http-Request-Url", url.clone()));
                prefixed.extend(original.iter().map(|(name, value)| (format!("Fn-Http-H-{name}"), value.clone())));
            }
        }
        let own = headers.into_iter().map(|(name, value)| (name.to_owned(), value));
        let is_set = |name: &str| ["fn-call-id", "fn-deadline", "fn-invoke-type", "opc-request-id"].contains(&name);
        let copied = invocation.headers.iter().filter(|(name, _)| !is_set(&name.to_ascii_lowercase())).cloned();
        let headers = own.chain(prefixed).chain(copied).collect();
        FnRequest { headers, body: invocation.body.clone(), deadline_wall, timeout }
    }
}

/// What the platform makes of the status on the socket.
fn by_status(response: FnResponse) -> Result<FnResponse, Failure> {
    match response.status {
        200 => Ok(response),
        502 => Err(Failure::Failed),
        504 => Err(Failure::GaveUp),
        _ => Err(Failure::InvalidResponse),
    }
}

/// A ULID: the milliseconds, then 80 bits that are the call's own, in Crockford's base 32.
fn ulid(now: Timestamp, call: u64) -> String {
    let mut random = Rng::of(0xca11, call);
    let millis = u128::from(u64::try_from(now.as_millisecond()).unwrap_or(0));
    let tail = u128::from(random.next()) << 16 | u128::from(random.next() & 0xffff);
    let value = millis << 80 | tail;
    let digit = |place: u32| b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"[(value >> (5 * place) & 31) as usize];
    (0..26).rev().map(|place| char::from(digit(place))).collect()
}

impl Function {
    fn count(&self, outcome: &'static str) {
        *lock(&self.meter).outcomes.entry(outcome).or_default() += 1;
    }

    fn register(&self, live: Live) -> u64 {
        let mut pool = lock(&self.pool);
        let number = pool.next;
        pool.next += 1;
        pool.live.insert(number, live);
        number
    }

    /// The container that was used last, if it may still be used.
    fn take_idle(&self, now: Timestamp, idle_timeout: Option<SignedDuration>) -> Option<Container> {
        loop {
            let mut pool = lock(&self.pool);
            let container = pool.idle.pop()?;
            let is_old = idle_timeout.is_some_and(|timeout| now.duration_since(container.idle_since) > timeout);
            if !is_old && let Some(Live::Process { is_busy, .. }) = pool.live.get_mut(&container.number()) {
                *is_busy = true;
                return Some(container);
            }
            drop(pool);
            self.end(container);
        }
    }

    /// Puts a container among the idle, unless it was killed or its deployment replaced in the meantime.
    fn give_back(&self, mut container: Container, now: Timestamp) {
        container.idle_since = now;
        let mut pool = lock(&self.pool);
        let is_current = container.generation == pool.generation;
        if is_current && let Some(Live::Process { is_busy, .. }) = pool.live.get_mut(&container.number()) {
            *is_busy = false;
            pool.idle.push(container);
            return;
        }
        drop(pool);
        self.end(container);
    }
}
