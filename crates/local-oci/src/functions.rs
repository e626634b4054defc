//! Functions: what is deployed, how a call is run, and what it cost.

mod call;
mod container;
mod meter;
mod watchdog;
mod wire;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use jiff::{SignedDuration, Timestamp};
use tempfile::TempDir;
use tokio::sync::{Notify, Semaphore};

use crate::LocalOci;
use crate::streaming::named_ocid;
use crate::tenancy::REGIONS;

pub use call::{Failure, Intent};
pub(crate) use call::{Invocation, invoke};
use container::{Child, Container};
use meter::Meter;
pub use meter::{FunctionReport, OwnCost};
use watchdog::Watchdog;
pub(crate) use wire::{serve, text_headers};

/// The name of the application that all functions belong to.
const APP_NAME: &str = "local-oci";
/// All configuration keys and values of a function together.
const CONFIG_MAX_BYTES: usize = 4096;

/// A function to deploy.
#[derive(Debug, Clone)]
pub struct FunctionSpec {
    /// Its name, unique in the application.
    pub name: String,
    /// What runs it.
    pub backend: Backend,
    /// Its configuration: the container's environment.
    pub config: BTreeMap<String, String>,
    /// Its memory, which it is told but not held to; the report tells what it used.
    pub memory_mb: u32,
    /// The time of a synchronous call, 5 to 300 s on the real platform.
    pub timeout_secs: u32,
    /// The time of a detached call, where it is another.
    pub detached_timeout_secs: Option<u32>,
    /// How many containers may run at once; further calls queue.
    pub max_containers: usize,
}

impl FunctionSpec {
    /// A function without configuration, of 128 MB, 30 s and at most ten containers.
    pub fn new(name: &str, backend: Backend) -> Self {
        Self {
            name: name.to_owned(),
            backend,
            config: BTreeMap::new(),
            memory_mb: 128,
            timeout_secs: 30,
            detached_timeout_secs: None,
            max_containers: 10,
        }
    }

    /// The same with one more configuration key.
    #[must_use]
    pub fn with(mut self, key: &str, value: &str) -> Self {
        self.config.insert(key.to_owned(), value.to_owned());
        self
    }
}

/// What runs a function.
#[derive(Clone)]
pub enum Backend {
    /// A program that speaks the Fn container contract, one process a container.
    Process {
        /// The program.
        binary: PathBuf,
        /// Variables that no container has, such as a coverage file. They win over all others.
        extra_env: Vec<(String, String)>,
    },
    /// Code in this process, for simulations.
    InProcess(Arc<dyn FunctionBackend>),
}

impl fmt::Debug for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process { binary, .. } => f.debug_struct("Process").field("binary", binary).finish_non_exhaustive(),
            Self::InProcess(_) => f.write_str("InProcess"),
        }
    }
}

/// A function in this process. One call is one future; the platform drops it when the timeout strikes.
pub trait FunctionBackend: Send + Sync {
    /// Runs one call as a container would: the status is the one on the socket (200, 502 or 504).
    fn call(&self, request: FnRequest) -> BoxFuture<'static, Result<FnResponse, BackendDied>>;
}

/// A call as the container sees it.
#[derive(Debug, Clone)]
pub struct FnRequest {
    /// The headers in order; names as the platform spells them.
    pub headers: Vec<(String, String)>,
    /// The body, whole.
    pub body: Bytes,
    /// When the timeout strikes, by [`Clock::real_now`](crate::Clock::real_now), not cut to seconds.
    pub deadline_wall: Timestamp,
    /// The time from dispatch to the deadline.
    pub timeout: Duration,
}

/// What the container answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FnResponse {
    /// The status on the socket, which speaks to the platform.
    pub status: u16,
    /// The headers in order; names as sent.
    pub headers: Vec<(String, String)>,
    /// The body, whole.
    pub body: Bytes,
}

impl FnResponse {
    /// The first header of that name, in any case.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }
}

/// The container broke down before it answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the container died")]
pub struct BackendDied;

/// Why a function cannot be deployed so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadConfig {
    /// A key must be letters, digits and `_`, and not begin with a digit.
    #[error("`{0}` is no configuration key")]
    Key(String),
    /// Keys and values are more than 4 KB in all.
    #[error("the configuration is {0} bytes, more than {CONFIG_MAX_BYTES}")]
    Size(usize),
}

/// The platform's limits and habits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionSettings {
    /// How long a container may take until its socket appears.
    pub init_timeout: Duration,
    /// The longest body of a call.
    pub body_max_bytes: usize,
    /// The longest body of an answer (unverified on the real platform).
    pub response_max_bytes: usize,
    /// How many calls may wait for a container before 429; `None`: any number.
    pub queue_max: Option<usize>,
    /// How old a container's token may become, by the wall clock, before its files are written anew.
    pub rotate_after: SignedDuration,
    /// How long a container may idle, by the cloud's clock, before the next call finds it gone; `None`: for ever.
    pub idle_timeout: Option<SignedDuration>,
}

impl Default for FunctionSettings {
    fn default() -> Self {
        Self {
            init_timeout: Duration::from_secs(5),
            body_max_bytes: 6 << 20,
            response_max_bytes: 6 << 20,
            queue_max: None,
            rotate_after: SignedDuration::from_mins(30),
            idle_timeout: None,
        }
    }
}

/// All functions of the tenancy, in its home region. A clone is the same set.
///
/// Containers die with the last clone. Where connections or calls still hold the emulator, [`Functions::shutdown`]
/// ends them at once.
#[derive(Debug, Clone, Default)]
pub struct Functions(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    state: Mutex<State>,
    watchdog: Arc<Watchdog>,
}

#[derive(Debug, Default)]
struct State {
    settings: FunctionSettings,
    functions: BTreeMap<String, Arc<Function>>,
    logs: Option<Logs>,
    calls: u64,
    is_shut_down: bool,
}

#[derive(Debug)]
enum Logs {
    Temporary(TempDir),
    In(PathBuf),
}

/// A deployed function and its containers.
#[derive(Debug)]
struct Function {
    id: String,
    region: &'static str,
    backend: Backend,
    /// One for each container that may run at once.
    slots: Semaphore,
    spec: Mutex<FunctionSpec>,
    pool: Mutex<Pool>,
    meter: Mutex<Meter>,
}

#[derive(Debug, Default)]
struct Pool {
    idle: Vec<Container>,
    /// Everything that runs or idles, by the container's number, so that it can be killed from outside.
    live: HashMap<u64, Live>,
    waiting: usize,
    next: u64,
    /// Containers started before belong to an older deployment.
    generation: u64,
}

#[derive(Debug, Clone)]
enum Live {
    Process { child: Child, is_busy: bool },
    InProcess(Arc<Notify>),
}

impl Functions {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Deploys a function and gives its OCID. The same name again replaces the function; its containers are retired.
    ///
    /// # Errors
    /// What the platform would refuse in the configuration.
    pub fn create(&self, spec: FunctionSpec) -> Result<String, BadConfig> {
        check_config(&spec.config)?;
        let region = REGIONS[0].0;
        let id = named_ocid("fnfunc", region, &spec.name);
        let function = Function {
            id: id.clone(),
            region,
            backend: spec.backend.clone(),
            slots: Semaphore::new(spec.max_containers.max(1)),
            spec: Mutex::new(spec),
            pool: Mutex::default(),
            meter: Mutex::default(),
        };
        let replaced = self.lock().functions.insert(id.clone(), Arc::new(function));
        if let Some(replaced) = replaced {
            replaced.retire();
        }
        Ok(id)
    }

    /// Changes a function's configuration and retires its containers. An empty value deletes the key, as the platform
    /// does on update.
    ///
    /// # Errors
    /// What the platform would refuse; nothing is changed then.
    pub fn reconfigure(&self, function: &str, key: &str, value: &str) -> Result<(), BadConfig> {
        let Some(function) = self.function(function) else { return Ok(()) };
        let mut config = lock(&function.spec).config.clone();
        if value.is_empty() {
            config.remove(key);
        } else {
            config.insert(key.to_owned(), value.to_owned());
        }
        check_config(&config)?;
        lock(&function.spec).config = config;
        function.retire();
        Ok(())
    }

    /// Changes the platform's limits and habits, for all functions and from now on.
    pub fn configure(&self, change: impl FnOnce(&mut FunctionSettings)) {
        change(&mut self.lock().settings);
    }

    /// Writes what functions say to `<name>.log` in `dir`, from the next container on. Without it, to a temporary
    /// directory that lives as long as the emulator.
    ///
    /// # Errors
    /// What the file system says.
    pub fn log_into(&self, dir: &Path) -> io::Result<()> {
        std::fs::create_dir_all(dir)?;
        self.lock().logs = Some(Logs::In(dir.to_owned()));
        Ok(())
    }

    /// What a function has said so far, stdout and stderr together.
    pub fn log(&self, function: &str) -> String {
        let Some(function) = self.function(function) else { return String::new() };
        let name = lock(&function.spec).name.clone();
        let path = self.log_path(&name);
        let text = path.and_then(std::fs::read).unwrap_or_default();
        String::from_utf8_lossy(&text).into_owned()
    }

    /// Kills one container with SIGKILL, a busy one first: its call ends as a crash does. False where none lives.
    ///
    /// It may be called from a fault's condition, to kill a function at a chosen call of its own.
    pub fn kill_container(&self, function: &str) -> bool {
        self.function(function).is_some_and(|function| function.kill_one())
    }

    /// Kills a container of the function that `roll` picks among those that have one. Gives the function's OCID.
    pub fn kill_random(&self, roll: u64) -> Option<String> {
        let functions: Vec<_> =
            self.all().into_iter().filter(|function| !lock(&function.pool).live.is_empty()).collect();
        let index = usize::try_from(roll % (functions.len().max(1) as u64)).ok()?;
        let function = functions.get(index)?;
        function.kill_one().then(|| function.id.clone())
    }

    /// Removes all idle containers, as the platform does when it likes. The next calls start cold.
    pub fn retire_all(&self) {
        for function in self.all() {
            function.retire_idle();
        }
    }

    /// Kills all containers, busy ones too, and refuses further calls.
    pub fn shutdown(&self) {
        self.lock().is_shut_down = true;
        for function in self.all() {
            function.retire();
            while function.kill_one() {}
        }
    }

    /// Whether a container of the function works on a call.
    pub fn is_busy(&self, function: &str) -> bool {
        let works = |live: &Live| !matches!(live, Live::Process { is_busy: false, .. });
        self.function(function).is_some_and(|function| lock(&function.pool).live.values().any(works))
    }

    /// How many containers live.
    pub fn containers(&self) -> usize {
        self.all().iter().map(|function| lock(&function.pool).live.len()).sum()
    }

    /// What a function did and what it cost so far. Empty for an unknown one.
    pub fn report(&self, function: &str) -> FunctionReport {
        self.function(function).map(|function| function.report()).unwrap_or_default()
    }

    /// The reports of all functions, by name.
    pub fn reports(&self) -> Vec<FunctionReport> {
        let mut reports: Vec<_> = self.all().iter().map(|function| function.report()).collect();
        reports.sort_by(|a, b| a.name.cmp(&b.name));
        reports
    }

    fn all(&self) -> Vec<Arc<Function>> {
        self.lock().functions.values().cloned().collect()
    }

    fn function(&self, id: &str) -> Option<Arc<Function>> {
        self.lock().functions.get(id).cloned()
    }

    fn log_path(&self, name: &str) -> io::Result<PathBuf> {
        let mut state = self.lock();
        if state.logs.is_none() {
            state.logs = Some(Logs::Temporary(tempfile::Builder::new().prefix("local-oci-logs").tempdir()?));
        }
        let dir = match &state.logs {
            Some(Logs::Temporary(dir)) => dir.path(),
            Some(Logs::In(dir)) => dir,
            None => return Err(io::Error::other("no place for logs")),
        };
        Ok(dir.join(format!("{name}.log")))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }
}

impl LocalOci {
    /// Runs a function as the platform does for a trigger, and gives what it answered.
    ///
    /// # Errors
    /// Why there is no answer of the function's own.
    pub async fn invoke(&self, function: &str, body: impl Into<Bytes>, intent: Intent) -> Result<FnResponse, Failure> {
        let invocation = Invocation::new(function, body.into(), intent);
        invoke(&self.cloud, invocation).await
    }
}

impl Function {
    /// Removes idle containers now, and busy ones after their call.
    fn retire(&self) {
        lock(&self.pool).generation += 1;
        self.retire_idle();
    }

    fn retire_idle(&self) {
        let idle = std::mem::take(&mut lock(&self.pool).idle);
        for container in idle {
            self.end(container);
        }
    }

    /// Kills a container for good and notes its last figures.
    fn end(&self, container: Container) {
        lock(&self.meter).last_sample(container.number(), container.pid());
        lock(&self.pool).live.remove(&container.number());
    }

    fn kill_one(&self) -> bool {
        let mut pool = lock(&self.pool);
        let busy = pool.live.iter().find(|(_, live)| !matches!(live, Live::Process { is_busy: false, .. }));
        if let Some((number, live)) = busy.map(|(number, live)| (*number, live.clone())) {
            pool.live.remove(&number);
            lock(&self.meter).killed += 1;
            match live {
                Live::Process { child, .. } => child.kill(),
                Live::InProcess(killed) => killed.notify_one(),
            }
            return true;
        }
        let idle = pool.idle.pop();
        drop(pool);
        lock(&self.meter).killed += u64::from(idle.is_some());
        idle.map(|container| self.end(container)).is_some()
    }

    fn report(&self) -> FunctionReport {
        let spec = lock(&self.spec);
        lock(&self.meter).report(&spec.name, spec.memory_mb)
    }
}

fn check_config(config: &BTreeMap<String, String>) -> Result<(), BadConfig> {
    for key in config.keys() {
        let starts_well = key.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
        if !starts_well || !key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
            return Err(BadConfig::Key(key.clone()));
        }
    }
    let bytes = config.iter().map(|(key, value)| key.len() + value.len()).sum();
    if bytes > CONFIG_MAX_BYTES { Err(BadConfig::Size(bytes)) } else { Ok(()) }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
