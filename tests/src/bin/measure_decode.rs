//! What `decode-bucket-gzip` costs on one file: its process against the emulator and a receiver, all on loopback.
//!
//! Prints one JSON object: processor seconds and peak memory of the function's process, records and bytes that arrived,
//! and, of what Logz.io got, the SHA-256 over its lines. `scripts/measure-decode` builds and repeats it.
#![expect(clippy::expect_used, clippy::print_stdout, reason = "a measuring tool ends where it cannot go on")]

use std::{path::PathBuf, time::Instant};

use clap::{Parser, ValueEnum};
use local_oci::{
    Backend, Clock, FunctionSpec, Intent, LocalOci, Settings,
    receiver::{HecReceiver, HecSettings, HecToken, LogzioReceiver, LogzioSettings},
};
use serde_json::json;
use tokio::net::TcpListener;

const LOGS: &str = "logs";
const STATE: &str = "siem-state";
const TOKEN: &str = "00000000-0000-4000-8000-000000000000";

#[derive(Debug, Parser)]
struct Arguments {
    /// The log file.
    #[arg(long)]
    file: PathBuf,
    /// The function's binary.
    #[arg(long)]
    binary: PathBuf,
    /// Where its records go.
    #[arg(long, value_enum, default_value_t = To::Logzio)]
    to: To,
    /// Keeps the lines and tells their SHA-256; of a large file this is large, too.
    #[arg(long)]
    digest: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum To {
    /// Lines, without compression.
    Logzio,
    /// Splunk's HEC, gzip level 1.
    Splunk,
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let arguments = Arguments::parse();
    let cloud = LocalOci::new(Settings::new(Clock::real()));
    cloud.storage().create_bucket(STATE);
    cloud.storage().create_bucket(LOGS);
    let bytes = std::fs::read(&arguments.file).expect("the file can be read");
    let file_bytes = bytes.len();
    cloud.storage().put(LOGS, "file.log.gz", bytes).expect("a bucket");
    let logzio = LogzioReceiver::new(LogzioSettings { keep_raw: arguments.digest, ..LogzioSettings::new(TOKEN) });
    let splunk = HecReceiver::new(HecSettings::new(HecToken::new(TOKEN)));
    let (oci, receiver) = (listener().await, listener().await);
    let endpoint = format!("http://{}", oci.local_addr().expect("an address"));
    let to = format!("http://{}", receiver.local_addr().expect("an address"));
    let keys = match arguments.to {
        To::Logzio => [("logzio_url", to.as_str()), ("logzio_token", TOKEN)],
        To::Splunk => [("splunk_url", to.as_str()), ("splunk_hec_token", TOKEN)],
    };
    let backend = Backend::Process { binary: arguments.binary, extra_env: Vec::new() };
    let mut spec = FunctionSpec { timeout_secs: 3_600, ..FunctionSpec::new("decode-bucket-gzip", backend) };
    for (key, value) in [
        ("oci_endpoint_object_storage", endpoint.as_str()),
        ("oci_endpoint_secrets", &endpoint),
        ("state_namespace", cloud.tenancy().namespace()),
        ("state_bucket", STATE),
        ("input_bucket", LOGS),
        ("log_level", "error"),
    ]
    .into_iter()
    .chain(keys)
    {
        spec = spec.with(key, value);
    }
    let function = cloud.functions().create(spec).expect("a function");
    let call = json!({"bucket": LOGS, "object": "file.log.gz"}).to_string();
    let began = Instant::now();
    let receiving = async {
        match arguments.to {
            To::Logzio => logzio.serve(receiver).await,
            To::Splunk => splunk.serve(receiver).await,
        }
    };
    let answer = tokio::select! {
        answer = cloud.invoke(&function, call, Intent::Direct) => answer.expect("an answer"),
        () = cloud.serve(oci) => panic!("the emulator ended"),
        () = receiving => panic!("the receiver ended"),
    };
    let wall = began.elapsed().as_secs_f64();
    let report = cloud.functions().report(&function);
    let (records, (posts, sent_bytes)) = match arguments.to {
        To::Logzio => (logzio.count(), logzio.traffic()),
        To::Splunk => (splunk.count(), splunk.traffic()),
    };
    let lines = || (0..logzio.count()).filter_map(|index| logzio.raw(index));
    let digest = arguments.digest.then(|| {
        let whole: Vec<u8> = lines().flat_map(|line| [&line[..], b"\n"].concat()).collect();
        ledger::sha256_hex(&whole)
    });
    cloud.functions().shutdown();
    let summary: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let measured = json!({
        "cpu_seconds": report.cpu.as_secs_f64(), "wall_seconds": wall, "peak_rss_kb": report.peak_rss_kb,
        "file_bytes": file_bytes, "records": records, "posts": posts, "sent_bytes": sent_bytes, "sha256": digest,
        "status": answer.status, "summary": summary,
    });
    println!("{measured}");
}

async fn listener() -> TcpListener {
    TcpListener::bind(("127.0.0.1", 0)).await.expect("a port")
}
