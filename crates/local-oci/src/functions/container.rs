//! A container: one process that speaks the Fn contract on a socket of its own.
//!
//! Source: the reference's page on the Fn container contract, which follows the open server.

use std::convert::Infallible;
use std::fmt;
use std::io;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, LengthLimitError, Limited, StreamBody};
use hyper::body::Frame;
use hyper::client::conn::http1::{Builder, Connection, SendRequest};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use tempfile::TempDir;
use tokio::net::UnixStream;
use tokio::process::Command;
use tokio::time::Instant;

use super::call::Failure;
use super::watchdog::Watchdog;
use super::{FnRequest, FnResponse};

/// The agent streams a body in pieces of its own choosing.
const CHUNK_BYTES: usize = 32 << 10;
/// The agent gives an idle connection up after this.
const IDLE_CONNECTION: Duration = Duration::from_secs(1);
/// How often the folder is looked at while a container starts.
const LOOK: Duration = Duration::from_millis(2);

type Body = BoxBody<Bytes, Infallible>;

/// The process of a container, to be killed from wherever it is known.
#[derive(Debug, Clone)]
pub(super) struct Child {
    process: Arc<Mutex<tokio::process::Child>>,
    pid: u32,
}

impl Child {
    /// SIGKILL, now. One that is dead already stays dead.
    pub(super) fn kill(&self) {
        self.process.lock().unwrap_or_else(PoisonError::into_inner).start_kill().ok();
    }

    fn has_ended(&self) -> bool {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        !matches!(process.try_wait(), Ok(None))
    }
}

/// A running container; it is killed on drop.
pub(super) struct Container {
    number: u64,
    child: Child,
    dir: TempDir,
    connection: Option<Agent>,
    watchdog: Arc<Watchdog>,
    /// The deployment that it belongs to.
    pub(super) generation: u64,
    /// When its token was written, by the wall clock.
    pub(super) credentials_written: Timestamp,
    /// When it became idle, by the cloud's clock.
    pub(super) idle_since: Timestamp,
}

/// The agent's side of the one connection. The connection is driven while a request is under way and rests between:
/// a function is frozen then.
struct Agent {
    requests: SendRequest<Body>,
    connection: Pin<Box<Connection<TokioIo<UnixStream>, Body>>>,
    rests_since: Instant,
}

impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Container").field("number", &self.number).field("pid", &self.child.pid).finish_non_exhaustive()
    }
}

/// What a container is started with.
pub(super) struct Plan {
    pub(super) number: u64,
    pub(super) generation: u64,
    pub(super) binary: PathBuf,
    pub(super) dir: TempDir,
    pub(super) env: Vec<(String, String)>,
    pub(super) log: PathBuf,
    pub(super) init_timeout: Duration,
    pub(super) now: Timestamp,
    pub(super) wall_now: Timestamp,
    pub(super) watchdog: Arc<Watchdog>,
}

/// The path of the socket in a container's folder.
pub(super) fn socket(dir: &Path) -> PathBuf {
    dir.join("iofs").join("lsnr.sock")
}

impl Container {
    /// Starts the process and waits for its socket.
    ///
    /// # Errors
    /// [`Failure::InitFailed`] where it cannot start, ends early or makes a socket that the agent refuses;
    /// [`Failure::InitTimedOut`].
    pub(super) async fn start(plan: Plan) -> Result<Self, Failure> {
        let child = spawn(&plan).map_err(|_| Failure::InitFailed)?;
        plan.watchdog.watch(child.pid);
        let container = Self {
            number: plan.number,
            child,
            dir: plan.dir,
            connection: None,
            watchdog: plan.watchdog,
            generation: plan.generation,
            credentials_written: plan.wall_now,
            idle_since: plan.now,
        };
        let path = socket(container.dir.path());
        let appears = async {
            while std::fs::symlink_metadata(&path).is_err() {
                if container.child.has_ended() {
                    return Err(Failure::InitFailed);
                }
                tokio::time::sleep(LOOK).await;
            }
            Ok(())
        };
        tokio::time::timeout(plan.init_timeout, appears).await.map_err(|_| Failure::InitTimedOut)??;
        if is_acceptable(&path).unwrap_or(false) { Ok(container) } else { Err(Failure::InitFailed) }
    }

    pub(super) fn number(&self) -> u64 {
        self.number
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.pid
    }

    pub(super) fn child(&self) -> Child {
        self.child.clone()
    }

    pub(super) fn credentials_dir(&self) -> PathBuf {
        self.dir.path().join(".oci-credentials")
    }

    /// One call on the socket, without a timeout of its own.
    ///
    /// # Errors
    /// [`Failure::Died`] where the connection breaks, [`Failure::ResponseTooLarge`].
    pub(super) async fn call(&mut self, request: FnRequest, response_max: usize) -> Result<FnResponse, Failure> {
        let request = http_request(request).map_err(|_| Failure::Died)?;
        let agent = match self.connection.take() {
            Some(agent) if agent.rests_since.elapsed() < IDLE_CONNECTION => agent,
            _ => self.connect().await.map_err(|_| Failure::Died)?,
        };
        let Agent { mut requests, mut connection, .. } = agent;
        let (response, is_open) = {
            let work = exchange(&mut requests, request, response_max);
            tokio::pin!(work);
            tokio::select! {
                biased;
                response = &mut work => (response, true),
                // Whatever arrived before the connection ended can still be read.
                _ = &mut connection => (work.await, false),
            }
        };
        if is_open && !requests.is_closed() {
            self.connection = Some(Agent { requests, connection, rests_since: Instant::now() });
        }
        response
    }

    async fn connect(&self) -> Result<Agent, Box<dyn std::error::Error + Send + Sync>> {
        let stream = UnixStream::connect(socket(self.dir.path())).await?;
        // Go writes header names in title case.
        let mut builder = Builder::new();
        let (requests, connection) = builder.title_case_headers(true).handshake(TokioIo::new(stream)).await?;
        Ok(Agent { requests, connection: Box::pin(connection), rests_since: Instant::now() })
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        self.child.kill();
        self.watchdog.forget(self.child.pid);
    }
}

fn spawn(plan: &Plan) -> io::Result<Child> {
    std::fs::create_dir_all(socket(plan.dir.path()).parent().unwrap_or(plan.dir.path()))?;
    let log = std::fs::File::options().create(true).append(true).open(&plan.log)?;
    let mut command = Command::new(&plan.binary);
    command.env_clear().envs(plan.env.iter().map(|(key, value)| (key, value))).current_dir(plan.dir.path());
    command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    // A group of its own: Ctrl-C at a terminal is the emulator's, and a container never gets a gentle signal.
    command.process_group(0).kill_on_drop(true);
    let process = command.spawn()?;
    let pid = process.id().ok_or_else(|| io::Error::other("the process ended at once"))?;
    Ok(Child { process: Arc::new(Mutex::new(process)), pid })
}

/// The agent takes a socket, or a link to one by a relative name in the same folder, and it must be open to others.
fn is_acceptable(path: &Path) -> io::Result<bool> {
    let mut target = path.to_owned();
    if std::fs::symlink_metadata(path)?.is_symlink() {
        let link = std::fs::read_link(path)?;
        if link.is_absolute() || link.components().count() != 1 {
            return Ok(false);
        }
        target.set_file_name(link);
    }
    let metadata = std::fs::metadata(target)?;
    Ok(metadata.file_type().is_socket() && metadata.permissions().mode() & 0o666 == 0o666)
}

fn http_request(request: FnRequest) -> http::Result<Request<Body>> {
    let mut body = request.body;
    let mut frames = Vec::new();
    while !body.is_empty() {
        frames.push(Ok(Frame::data(body.split_to(CHUNK_BYTES.min(body.len())))));
    }
    // A stream has no length, so the body goes out chunked, as the agent sends it.
    let body = BodyExt::boxed(StreamBody::new(futures_util::stream::iter(frames)));
    let mut head = Request::post("/call").header("host", "localhost");
    for (name, value) in request.headers {
        head = head.header(HeaderName::try_from(name)?, HeaderValue::try_from(value)?);
    }
    head.body(body)
}

async fn exchange(
    requests: &mut SendRequest<Body>,
    request: Request<Body>,
    response_max: usize,
) -> Result<FnResponse, Failure> {
    requests.ready().await.map_err(|_| Failure::Died)?;
    let (head, body) = requests.send_request(request).await.map_err(|_| Failure::Died)?.into_parts();
    let body = Limited::new(body, response_max)
        .collect()
        .await
        .map_err(|error| if error.is::<LengthLimitError>() { Failure::ResponseTooLarge } else { Failure::Died })?;
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let headers = head.headers.iter().map(|(name, value)| (name.to_string(), text(value))).collect();
    Ok(FnResponse { status: head.status.as_u16(), headers, body: body.to_bytes() })
}
