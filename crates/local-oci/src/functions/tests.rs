use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use http::Request;
use serde_json::Value;

use super::*;
use crate::{Clock, Settings};

/// A function in Python that keeps the contract and does as the body tells it.
const SCRIPT: &str = r#"#!/usr/bin/python3
import json, os, socket, sys, time
path = os.environ["FN_LISTENER"].removeprefix("unix:")
mode = os.environ.get("mode", "")
print("starting", flush=True)
if mode == "exit": sys.exit(3)
if mode == "never": time.sleep(60)
phony = os.path.join(os.path.dirname(path), "phony" + os.path.basename(path))
listener = socket.socket(socket.AF_UNIX)
listener.bind(phony)
listener.listen()
if mode != "private": os.chmod(phony, 0o666)
os.symlink(phony if mode == "absolute" else os.path.basename(phony), path)
calls = connections = 0
while True:
    connection, _ = listener.accept()
    connections += 1
    reader = connection.makefile("rb")
    while True:
        line = reader.readline()
        if not line: break
        headers = []
        while (header := reader.readline().strip()):
            headers.append(header.decode().split(": ", 1))
        body = b""
        while (size := int(reader.readline(), 16)):
            body += reader.read(size)
            reader.readline()
        reader.readline()
        calls += 1
        text = body.decode()
        print("call", calls, file=sys.stderr, flush=True)
        if text == "die": os._exit(1)
        if text == "cut": connection.shutdown(socket.SHUT_RDWR); break
        if text.startswith("sleep "): time.sleep(float(text[6:]))
        status = int(text[7:]) if text.startswith("status ") else 200
        keep = [bytearray(30_000_000)] if text == "grow" else []
        if keep: keep[0][::4096] = b"x" * len(keep[0][::4096])
        answer = json.dumps({"line": line.decode().strip(), "headers": headers, "body": text, "calls": calls,
            "connections": connections, "pid": os.getpid(), "env": dict(os.environ)}).encode()
        if text == "long": answer = b"x" * 7_000_000
        head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nX-Own: 1\r\nContent-Length: {len(answer)}\r\n\r\n"
        connection.sendall(head.encode() + answer)
"#;

struct Bench {
    cloud: LocalOci,
    id: String,
    _dir: TempDir,
}

fn bench(change: impl FnOnce(&mut FunctionSpec)) -> Bench {
    let dir = TempDir::new().expect("a directory");
    let binary = dir.path().join("function");
    std::fs::write(&binary, SCRIPT).expect("written");
    std::fs::set_permissions(&binary, std::fs::Permissions::from_mode(0o755)).expect("executable");
    let mut settings = Settings::new(Clock::real());
    settings.check_signatures = false;
    let cloud = LocalOci::new(settings);
    let mut spec = FunctionSpec::new("script", Backend::Process { binary, extra_env: Vec::new() });
    change(&mut spec);
    let id = cloud.functions().create(spec).expect("deployed");
    Bench { cloud, id, _dir: dir }
}

impl Bench {
    async fn call(&self, body: &str) -> Result<Value, Failure> {
        let invoked = self.cloud.invoke(&self.id, body.to_owned(), Intent::Direct);
        let response = tokio::time::timeout(Duration::from_secs(60), invoked).await.expect("in time")?;
        Ok(serde_json::from_slice(&response.body).expect("JSON"))
    }

    async fn post(&self, headers: &[(&str, &str)], body: impl Into<Bytes>) -> http::Response<Bytes> {
        let mut request = Request::post(format!("http://localhost/20181201/functions/{}/actions/invoke", self.id));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.cloud.handle(request.body(body.into()).expect("a request")).await.expect("an answer")
    }

    fn report(&self) -> FunctionReport {
        self.cloud.functions().report(&self.id)
    }
}

fn pid(answer: &Value) -> u64 {
    answer["pid"].as_u64().expect("a pid")
}

fn is_alive(pid: u64) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // A zombie has ended, and is only not yet reaped.
    !status.is_empty() && !status.contains(") Z ")
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < end, "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_container_gets_the_contract_s_request_and_environment() {
    let bench = bench(|spec| spec.config.extend([("stream_ocid".to_owned(), "s".to_owned())]));
    let before = Timestamp::from_second(bench.cloud.clock().now().as_second()).expect("a time");
    let answer = bench.call("hello é").await.expect("answered");
    assert_eq!((&answer["line"], &answer["body"]), (&"POST /call HTTP/1.1".into(), &"hello é".into()));
    let header = |name: &str| {
        let headers = answer["headers"].as_array().expect("headers");
        headers.iter().find(|pair| pair[0] == name).and_then(|pair| pair[1].as_str()).unwrap_or("").to_owned()
    };
    assert_eq!(header("Host"), "localhost");
    assert_eq!(header("Transfer-Encoding"), "chunked");
    assert_eq!(header("Accept-Encoding"), "gzip");
    assert_eq!(header("Fn-Invoke-Type"), "sync");
    assert_eq!(
        (header("Fn-Call-Id").len(), header("Content-Length"), header("Fn-Intent")),
        (26, String::new(), String::new())
    );
    assert!(!header("Opc-Request-Id").is_empty());
    let deadline: Timestamp = header("Fn-Deadline").parse().expect("RFC 3339");
    assert!(!header("Fn-Deadline").contains('.') && header("Fn-Deadline").ends_with('Z'), "{deadline}");
    let ahead = deadline.duration_since(before).as_secs();
    assert!((30..=50).contains(&ahead), "{ahead}");

    let env = answer["env"].as_object().expect("an environment");
    for (name, value) in [
        ("FN_FORMAT", "http-stream"),
        ("FN_TYPE", "sync"),
        ("FN_MEMORY", "128"),
        ("FN_FN_ID", &bench.id),
        ("FN_FN_NAME", "script"),
        ("FN_LOGFRAME_HDR", "Opc-Request-Id"),
        ("HOME", "/"),
        ("OCI_RESOURCE_PRINCIPAL_VERSION", "2.2"),
        ("stream_ocid", "s"),
    ] {
        assert_eq!(env.get(name).and_then(Value::as_str), Some(value), "{name}");
    }
    for name in ["OCI_RESOURCE_PRINCIPAL_RPST", "OCI_RESOURCE_PRINCIPAL_PRIVATE_PEM"] {
        assert!(Path::new(env[name].as_str().expect("a path")).is_file(), "{name}");
    }
    let metadata: Value = serde_json::from_str(env["OCI_REGION_METADATA"].as_str().expect("text")).expect("JSON");
    assert_eq!((&metadata["regionKey"], &metadata["regionIdentifier"]), (&"IAD".into(), &"us-ashburn-1".into()));
    let known = ["FN_", "OCI_", "PATH", "HOME", "HOSTNAME", "stream_ocid", "LC_CTYPE"];
    let leaked: Vec<_> = env.keys().filter(|key| !known.iter().any(|known| key.starts_with(known))).collect();
    assert!(leaked.is_empty(), "{leaked:?}");
}

#[tokio::test]
async fn a_container_is_used_again_on_the_same_connection_until_it_rests() {
    let bench = bench(|_| {});
    let (first, second) = (bench.call("a").await.expect("answered"), bench.call("b").await.expect("answered"));
    assert_eq!((&second["calls"], &second["connections"]), (&2.into(), &1.into()));
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let third = bench.call("c").await.expect("answered");
    assert_eq!((&third["calls"], &third["connections"]), (&3.into(), &2.into()));
    assert_eq!([pid(&first), pid(&second)], [pid(&third); 2]);
    bench.cloud.functions().retire_all();
    let cold = bench.call("d").await.expect("answered");
    assert_eq!((&cold["calls"], bench.report().containers_started), (&1.into(), 2));
    until("retired containers end", || !is_alive(pid(&first))).await;
    assert!(bench.cloud.functions().log(&bench.id).contains("starting\ncall 1\ncall 2\ncall 3\nstarting\ncall 1\n"));
}

#[tokio::test]
async fn calls_at_once_get_containers_of_their_own_and_then_queue() {
    let bench = bench(|spec| spec.max_containers = 2);
    let calls = futures_util::future::join_all((0..5).map(|_| bench.call("sleep 0.3"))).await;
    let pids: BTreeSet<u64> = calls.iter().map(|answer| pid(answer.as_ref().expect("answered"))).collect();
    assert_eq!((pids.len(), bench.cloud.functions().containers()), (2, 2));
    bench.cloud.functions().configure(|settings| settings.queue_max = Some(1));
    let calls = futures_util::future::join_all((0..5).map(|_| bench.call("sleep 0.3"))).await;
    let busy = calls.iter().filter(|call| **call == Err(Failure::Busy)).count();
    assert_eq!((busy, bench.report().outcomes["busy"]), (2, 2));
}

#[tokio::test]
async fn what_the_socket_says_decides_over_call_and_container() {
    let bench = bench(|spec| spec.timeout_secs = 2);
    for (body, failure, code, lives) in [
        ("status 502", Failure::Failed, (502, "FunctionInvokeExecutionFailed"), true),
        ("status 504", Failure::GaveUp, (504, "FunctionInvokeTimeout"), true),
        ("status 500", Failure::InvalidResponse, (502, "FunctionInvokeInvalidResponse"), false),
        ("status 202", Failure::InvalidResponse, (502, "FunctionInvokeInvalidResponse"), false),
        ("long", Failure::ResponseTooLarge, (502, "FunctionInvokeResponseBodyTooLarge"), false),
        ("die", Failure::Died, (502, "FunctionInvokeExecutionError"), false),
        ("cut", Failure::Died, (502, "FunctionInvokeExecutionError"), false),
        ("sleep 30", Failure::TimedOut, (504, "FunctionInvokeTimeout"), false),
    ] {
        let warm = pid(&bench.call("warm").await.expect("answered"));
        assert_eq!(bench.call(body).await, Err(failure), "{body}");
        let next = pid(&bench.call("next").await.expect("answered"));
        assert_eq!(warm == next, lives, "{body}");
        if !lives {
            until("killed containers end", || !is_alive(warm)).await;
        }
        let (status, name) = failure.answer();
        assert_eq!((status.as_u16(), name), code, "{body}");
        assert!(bench.report().outcomes[failure.name()] > 0, "{body}");
    }
}

#[tokio::test]
async fn a_container_that_does_not_start_as_the_contract_wants_is_refused() {
    for (mode, failure) in [
        ("exit", Failure::InitFailed),
        ("never", Failure::InitTimedOut),
        ("absolute", Failure::InitFailed),
        ("private", Failure::InitFailed),
        ("", Failure::Stopped),
    ] {
        let bench = bench(|spec| spec.config.extend([("mode".to_owned(), mode.to_owned())]));
        bench
            .cloud
            .functions()
            .configure(|settings| settings.init_timeout = Duration::from_secs(if mode == "never" { 1 } else { 20 }));
        let result = bench.call("x").await;
        if failure == Failure::Stopped {
            let pid = pid(&result.expect("the plain mode starts"));
            bench.cloud.functions().shutdown();
            assert_eq!(bench.call("x").await, Err(Failure::Stopped));
            until("nothing lives on", || !is_alive(pid)).await;
        } else {
            assert_eq!(result, Err(failure), "{mode}");
        }
        assert_eq!(bench.cloud.functions().containers(), 0, "{mode}");
    }
}

#[tokio::test]
async fn a_missing_program_is_a_failed_start() {
    let bench = bench(|spec| spec.backend = Backend::Process { binary: "/nowhere".into(), extra_env: Vec::new() });
    assert_eq!(bench.call("x").await, Err(Failure::InitFailed));
}

#[tokio::test]
async fn a_busy_container_can_be_killed_from_outside() {
    let bench = bench(|_| {});
    bench.call("warm").await.expect("answered");
    let kill = async {
        until("the call begins", || bench.cloud.functions().log(&bench.id).contains("call 2")).await;
        assert!(bench.cloud.functions().is_busy(&bench.id));
        assert!(bench.cloud.functions().kill_container(&bench.id));
    };
    assert!(!bench.cloud.functions().is_busy(&bench.id), "it rests");
    let (result, ()) = tokio::join!(bench.call("sleep 30"), kill);
    assert_eq!((result, bench.report().killed), (Err(Failure::Died), 1));
    assert!(!bench.cloud.functions().is_busy(&bench.id));
    assert_eq!(bench.cloud.functions().kill_random(7), None, "none is left");
    bench.call("warm").await.expect("answered");
    assert_eq!(bench.cloud.functions().kill_random(7), Some(bench.id.clone()));
    assert!(!bench.cloud.functions().kill_container(&bench.id));
}

#[tokio::test]
async fn containers_end_with_the_emulator() {
    let bench = bench(|_| {});
    let pid = pid(&bench.call("a").await.expect("answered"));
    assert!(is_alive(pid));
    drop(bench);
    until("containers end", || !is_alive(pid)).await;
}

#[tokio::test]
async fn the_report_tells_memory_and_time() {
    let bench = bench(|_| {});
    bench.call("a").await.expect("answered");
    let small = bench.report();
    bench.call("grow").await.expect("answered");
    bench.call("a").await.expect("answered");
    let report = bench.report();
    assert_eq!((report.name.as_str(), report.calls, report.outcomes["answered"]), ("script", 3, 3));
    assert_eq!(report.rss_kb.len(), 3);
    assert!(small.peak_rss_kb > 3000 && report.peak_rss_kb > small.peak_rss_kb + 25_000, "{report:?}");
    assert!(report.busy > Duration::ZERO && report.starting > Duration::ZERO && report.cpu > Duration::ZERO);
    bench.cloud.functions().retire_all();
    assert!(bench.report().cpu >= report.cpu, "what ended containers used stays counted");
}

#[tokio::test]
async fn configuration_follows_the_platform_s_rules() {
    let bench = bench(|_| {});
    let functions = bench.cloud.functions();
    let first = bench.call("a").await.expect("answered");
    functions.reconfigure(&bench.id, "region_list", "a,b").expect("taken");
    let second = bench.call("a").await.expect("answered");
    assert_eq!(second["env"]["region_list"], "a,b");
    assert_ne!(pid(&first), pid(&second), "a changed configuration is a new container");
    functions.reconfigure(&bench.id, "region_list", "").expect("taken");
    assert_eq!(bench.call("a").await.expect("answered")["env"].get("region_list"), None);
    for key in ["input-bucket", "1st", "", "é"] {
        assert_eq!(functions.reconfigure(&bench.id, key, "x"), Err(BadConfig::Key(key.to_owned())));
    }
    assert_eq!(functions.reconfigure(&bench.id, "k", &"x".repeat(4096)), Err(BadConfig::Size(4097)));
}

#[tokio::test]
async fn tokens_are_written_anew_behind_the_function_s_back() {
    let bench = bench(|_| {});
    let first = bench.call("a").await.expect("answered");
    let path = first["env"]["OCI_RESOURCE_PRINCIPAL_RPST"].as_str().expect("a path").to_owned();
    let token = std::fs::read(&path).expect("a token");
    bench.call("b").await.expect("answered");
    assert_eq!(std::fs::read(&path).expect("a token"), token);
    bench.cloud.functions().configure(|settings| settings.rotate_after = SignedDuration::ZERO);
    let second = bench.call("c").await.expect("answered");
    assert_eq!(pid(&first), pid(&second));
    assert_ne!(std::fs::read(&path).expect("a token"), token);
}

#[tokio::test]
async fn invoke_function_hands_body_and_headers_through() {
    let bench = bench(|_| {});
    let response =
        bench.post(&[("content-type", "text/plain"), ("fn-http-h-forged", "1"), ("fn-deadline", "x")], "hi").await;
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"application/json".parse().expect("a value"))
    );
    assert_eq!(response.headers()["x-own"], "1", "a direct caller sees all headers");
    let seen: Value = serde_json::from_slice(response.body()).expect("JSON");
    let headers: Vec<_> =
        seen["headers"].as_array().expect("headers").iter().map(|pair| pair[0].as_str().unwrap_or("")).collect();
    for name in ["Content-Type", "Fn-Http-H-Forged", "Oci-Subject-Id", "Oci-Subject-Tenancy-Id"] {
        assert!(headers.contains(&name), "{name} in {headers:?}");
    }
    assert_eq!(
        headers.iter().filter(|name| **name == "Fn-Deadline").count(),
        1,
        "what the platform says is not forged"
    );

    let failed = bench.post(&[], "status 502").await;
    let json: Value = serde_json::from_slice(failed.body()).expect("JSON");
    assert_eq!((failed.status().as_u16(), &json["code"]), (502, &"FunctionInvokeExecutionFailed".into()));
    assert_eq!(bench.post(&[], vec![b'x'; (6 << 20) + 1]).await.status(), 413);

    let calls = bench.report().calls;
    assert_eq!(bench.post(&[("is-dry-run", "true")], "x").await.status(), 202);
    assert_eq!(bench.report().calls, calls);
    assert_eq!(bench.post(&[("fn-invoke-type", "detached")], "sleep 0.2").await.status(), 202);
    assert_eq!(bench.report().calls, calls + 1);
    let answered = || bench.report().outcomes["answered"];
    let before = answered();
    until("the detached call goes on to its end", || answered() == before + 1).await;
}

#[tokio::test]
async fn a_function_is_known_by_its_ocid_in_its_region() {
    let bench = bench(|_| {});
    for (path, status) in [
        (format!("/20181201/functions/{}", bench.id), 200),
        (format!("/20260325/functions/{}", bench.id), 200),
        (format!("/region/us-phoenix-1/20181201/functions/{}", bench.id), 404),
        ("/20181201/functions/ocid1.fnfunc.oc1.iad.none".to_owned(), 404),
    ] {
        let request = Request::get(format!("http://localhost:7{path}")).body(Bytes::new()).expect("a request");
        let response = bench.cloud.handle(request).await.expect("an answer");
        assert_eq!(response.status(), status, "{path}");
        if status == 200 {
            let json: Value = serde_json::from_slice(response.body()).expect("JSON");
            assert_eq!(
                (&json["displayName"], &json["invokeEndpoint"]),
                (&"script".into(), &"http://localhost:7".into())
            );
        }
    }
}

/// In process, as the simulation runs functions.
struct Sleeper;

impl FunctionBackend for Sleeper {
    fn call(&self, request: FnRequest) -> BoxFuture<'static, Result<FnResponse, BackendDied>> {
        Box::pin(async move {
            match &request.body[..] {
                b"panic" => panic!("a crash of the function"),
                b"die" => return Err(BackendDied),
                b"sleep" => tokio::time::sleep(Duration::from_secs(3600)).await,
                _ => {}
            }
            Ok(FnResponse { status: 200, headers: Vec::new(), body: request.body })
        })
    }
}

#[tokio::test(start_paused = true)]
async fn a_function_in_process_is_held_to_the_same_rules() {
    let cloud = LocalOci::new(Settings::new(Clock::starting_at(Timestamp::UNIX_EPOCH)));
    let id = cloud.functions().create(FunctionSpec::new("f", Backend::InProcess(Arc::new(Sleeper)))).expect("deployed");
    let call = |body: &'static str| cloud.invoke(&id, body, Intent::Direct);
    assert_eq!(call("x").await.map(|response| response.body), Ok(Bytes::from_static(b"x")));
    assert_eq!(call("panic").await, Err(Failure::Died));
    assert_eq!(call("die").await, Err(Failure::Died));
    let begin = cloud.clock().now();
    assert_eq!(call("sleep").await, Err(Failure::TimedOut));
    assert_eq!(cloud.clock().now().duration_since(begin).as_secs(), 30);
    let kill = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(cloud.functions().kill_container(&id));
    };
    assert_eq!(tokio::join!(call("sleep"), kill).0, Err(Failure::Died));
    assert_eq!((cloud.functions().containers(), cloud.functions().report(&id).calls), (0, 5));
}

#[tokio::test]
async fn a_fault_can_kill_the_function_at_a_chosen_call_of_its_own() {
    let bench = bench(|_| {});
    let functions = bench.cloud.functions().clone();
    let id = bench.id.clone();
    let at_its_call = crate::Fault::on("GetNamespace").when(move |_, _| functions.kill_container(&id)).cut_before();
    let rule = bench.cloud.faults().inject(at_its_call);
    let its_call = async {
        until("the call begins", || bench.cloud.functions().log(&bench.id).contains("call 1")).await;
        let request = Request::get("http://localhost/n").body(Bytes::new()).expect("a request");
        assert_eq!(bench.cloud.handle(request).await.map(|_| ()), Err(crate::Cut));
    };
    let (result, ()) = tokio::join!(bench.call("sleep 30"), its_call);
    assert_eq!((result, bench.cloud.faults().fired(rule)), (Err(Failure::Died), 1));
}
