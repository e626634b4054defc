//! Starts the example function as the platform would, and calls it with a client written by hand.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime};

use tempfile::TempDir;

/// No step of a test waits longer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A function's process with its folder; ended with the test.
pub(crate) struct Function {
    child: Child,
    folder: TempDir,
}

impl Function {
    /// Starts the function and waits until it is ready.
    pub(crate) fn ready(environment: &[(&str, &str)]) -> Self {
        let mut function = Self::start(environment);
        function.until_ready();
        function
    }

    /// Starts the function with the platform's variables and these; an empty value takes one away.
    pub(crate) fn start(environment: &[(&str, &str)]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), environment)
    }

    pub(crate) fn start_in(folder: TempDir, environment: &[(&str, &str)]) -> Self {
        let listener = format!("unix:{}", folder.path().join("lsnr.sock").display());
        let mut command = Command::new(example());
        command
            .env_clear()
            .env("FN_FORMAT", "http-stream")
            .env("FN_LISTENER", listener)
            .stdin(Stdio::null())
            .stdout(File::create(folder.path().join("stdout")).unwrap())
            .stderr(File::create(folder.path().join("stderr")).unwrap());
        for (key, value) in environment {
            match *value {
                "" => command.env_remove(key),
                value => command.env(key, value),
            };
        }
        Self { child: command.spawn().unwrap(), folder }
    }

    pub(crate) fn until_ready(&mut self) {
        let path = self.path();
        self.until("the socket appears", || fs::symlink_metadata(&path).is_ok());
    }

    /// Waits for something that the living process does.
    pub(crate) fn until(&mut self, what: &str, mut happened: impl FnMut() -> bool) {
        let begin = Instant::now();
        while !happened() {
            assert!(begin.elapsed() < PATIENCE, "waited in vain: {what}\n{}", self.stderr());
            assert!(self.lives(), "ended before {what}\n{}", self.stderr());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits for the process to end by itself.
    pub(crate) fn until_ended(&mut self) -> ExitStatus {
        let begin = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(begin.elapsed() < PATIENCE, "did not end\n{}", self.stderr());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub(crate) fn lives(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    pub(crate) fn terminate(&self) {
        let sent = Command::new("sh").arg("-c").arg(format!("kill -TERM {}", self.child.id())).status().unwrap();
        assert!(sent.success());
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where the platform waits for the socket.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().join("lsnr.sock")
    }

    pub(crate) fn connect(&self) -> Connection {
        let stream = UnixStream::connect(self.path()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Connection(BufReader::new(stream))
    }

    /// One direct call on a connection of its own.
    pub(crate) fn call(&self, body: &str) -> Answer {
        self.connect().call(body)
    }

    pub(crate) fn stdout(&self) -> String {
        fs::read_to_string(self.folder.path().join("stdout")).unwrap()
    }

    pub(crate) fn stderr(&self) -> String {
        fs::read_to_string(self.folder.path().join("stderr")).unwrap()
    }

    /// The lines of the log that hold all these texts.
    pub(crate) fn log(&self, texts: &[&str]) -> Vec<String> {
        let holds = |line: &&str| texts.iter().all(|text| line.contains(text));
        self.stderr().lines().filter(holds).map(str::to_owned).collect()
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The example lies beside the folder of the test's own binary. `cargo test` builds both, but with `--test it` it builds
/// the tests alone, which would then judge an old example.
fn example() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let example = own.parent().and_then(Path::parent).unwrap().join("examples").join("echo");
    let built = modified(&example).unwrap_or_else(|| panic!("no {}: run `cargo test` as a whole", example.display()));
    let mut folders = vec![PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            assert!(modified(&path) <= Some(built) || path.is_dir(), "the example is old: run `cargo test` as a whole");
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    example
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}

/// A kept connection, as the agent has one.
pub(crate) struct Connection(BufReader<UnixStream>);

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Answer {
    /// All values of a header.
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(known, _)| known == name).map(|(_, value)| value.as_str()).collect()
    }
}

impl Connection {
    /// A direct call with half a minute's time, its body in chunks as the agent sends it.
    pub(crate) fn call(&mut self, body: &str) -> Answer {
        self.call_with(&[("Fn-Deadline", &deadline_in(30))], body)
    }

    /// A call with these headers beside those that every call has.
    pub(crate) fn call_with(&mut self, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut request = head("POST /call", headers, "Transfer-Encoding: chunked");
        for chunk in body.as_bytes().chunks(64 * 1024) {
            request.extend(format!("{:x}\r\n", chunk.len()).bytes());
            request.extend(chunk);
            request.extend(b"\r\n");
        }
        request.extend(b"0\r\n\r\n");
        self.send(&request)
    }

    /// A request without a body.
    pub(crate) fn request(&mut self, request_line: &str, headers: &[(&str, &str)]) -> Answer {
        self.send(&head(request_line, headers, "Content-Length: 0"))
    }

    pub(crate) fn send(&mut self, request: &[u8]) -> Answer {
        self.0.get_mut().write_all(request).unwrap();
        self.answer()
    }

    pub(crate) fn write(&mut self, part: &[u8]) {
        self.0.get_mut().write_all(part).unwrap();
    }

    pub(crate) fn read_exact(&mut self, into: &mut [u8]) {
        self.0.read_exact(into).unwrap();
    }

    pub(crate) fn answer(&mut self) -> Answer {
        let status_line = self.line();
        let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status: {status_line:?}"));
        let mut headers = Vec::new();
        loop {
            let line = self.line();
            let Some((name, value)) = line.split_once(": ") else { break };
            headers.push((name.to_owned(), value.to_owned()));
        }
        let mut answer = Answer { status, headers, body: String::new() };
        let length: u64 = answer.header("content-length")[0].parse().unwrap();
        self.0.by_ref().take(length).read_to_string(&mut answer.body).unwrap();
        answer
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        line.trim_end().to_owned()
    }
}

pub(crate) fn head(request_line: &str, headers: &[(&str, &str)], framing: &str) -> Vec<u8> {
    let mut head = format!("{request_line} HTTP/1.1\r\nHost: localhost\r\nFn-Call-Id: 01JD\r\n{framing}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str("\r\n");
    head.into_bytes()
}

/// The platform's deadline: whole seconds, cut.
pub(crate) fn deadline_in(seconds: i64) -> String {
    let date = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(seconds);
    format!("{date:.0}")
}
