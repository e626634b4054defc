//! `local-oci serve`: a tenancy for whatever speaks to Oracle Cloud, until the process is told to end.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use anyhow::Context;
use jiff::{SignedDuration, Timestamp};
use local_oci::{Clock, LocalOci, Settings, TenancyPlan};
use serde_json::json;
use tokio::net::TcpListener;

/// What to serve.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The loopback port; 0 takes a free one, and the first line of output says which.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Where the OCI config file, the key and the function's token are written.
    #[arg(long)]
    data: PathBuf,
    /// Everything random follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Subscribed regions, 1 to 16.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=16))]
    regions: u8,
    /// Compartments below the root.
    #[arg(long, default_value_t = 6)]
    compartments: usize,
    /// Audit events of the 24 hours around the start.
    #[arg(long, default_value_t = 10_000)]
    events: u32,
}

/// What a pipeline needs: a bucket for its ledger, two streams, two topics.
const BUCKET: &str = "siem-state";
const STREAMS: [&str; 2] = ["work", "events"];
const TOPICS: [&str; 2] = ["fetch", "ship"];

/// Prints one JSON line when ready, and serves until SIGTERM or ctrl-c.
///
/// # Errors
/// A port that is taken, a folder that cannot be written.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let clock = Clock::real();
    let day = SignedDuration::from_hours(12);
    let mut settings = Settings::new(clock.clone());
    settings.plan = TenancyPlan {
        seed: arguments.seed,
        regions: usize::from(arguments.regions),
        compartments: arguments.compartments,
        events: arguments.events,
        start: whole_hour(clock.now().checked_sub(day)?),
        end: whole_hour(clock.now().checked_add(day)?),
        ..TenancyPlan::default()
    };
    let cloud = LocalOci::new(settings);
    let listener = TcpListener::bind(("127.0.0.1", arguments.port)).await.context("taking the port")?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let ready = furnish(&cloud, &endpoint, &arguments).context("writing the data folder")?;
    say(&ready.to_string())?;
    tokio::select! {
        () = cloud.serve(listener) => Ok(()),
        ended = told_to_end() => ended.context("waiting for a signal"),
    }
}

/// Makes what a pipeline needs, and the line that names it.
fn furnish(cloud: &LocalOci, endpoint: &str, arguments: &Arguments) -> anyhow::Result<serde_json::Value> {
    let tenancy = cloud.tenancy();
    let config = cloud.credentials().write_config(&arguments.data)?;
    let function = tenancy.new_ocid("fnfunc", tenancy.home_region());
    // A token for trying out resource principals: an hour, and the files are not renewed.
    let variables = cloud.credentials().resource_principal_env(&function, &arguments.data.join("function"))?;
    cloud.storage().create_bucket(BUCKET);
    let home = tenancy.home_region();
    let streams: BTreeMap<_, _> = STREAMS.map(|name| (name, cloud.streams().create(name, 2, home))).into();
    let topics: BTreeMap<_, _> = TOPICS.map(|name| (name, cloud.topics().create(name))).into();
    let secret = cloud.secrets().create("hec-token", "00000000-0000-4000-8000-000000000000");
    let now = cloud.clock().now();
    Ok(json!({
        "endpoint": endpoint,
        "config_file": config.path,
        "profile": config.profile,
        "region": config.region,
        "regions": tenancy.regions(now).into_iter().map(|region| region.name).collect::<Vec<_>>(),
        "tenancy": tenancy.id(),
        "user": tenancy.user(),
        "namespace": tenancy.namespace(),
        "bucket": BUCKET,
        "streams": streams,
        "topics": topics,
        "secret": secret,
        "vault": cloud.secrets().vault(),
        "function": function,
        "resource_principal": variables.into_iter().collect::<BTreeMap<_, _>>(),
        "events": arguments.events,
    }))
}

/// The start of the hour: the same seed on the same day gives nearly the same plan.
fn whole_hour(at: Timestamp) -> Timestamp {
    let second = at.as_second();
    Timestamp::from_second(second - second.rem_euclid(3600)).unwrap_or(at)
}

fn say(line: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(line.as_bytes())?;
    out.write_all(b"\n")?;
    out.flush()?;
    Ok(())
}

async fn told_to_end() -> std::io::Result<()> {
    let mut terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        ended = tokio::signal::ctrl_c() => ended,
    }
}
