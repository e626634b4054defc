//! `local-oci serve`: a tenancy for whatever speaks to Oracle Cloud, until the process is told to end.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use jiff::SignedDuration;
use local_oci::receiver::{HecReceiver, HecSettings, HecToken, LogzioReceiver, LogzioSettings};
use local_oci::{Clock, LocalOci, Settings, TenancyPlan};
use serde_json::json;
use tokio::net::TcpListener;

use crate::furnish::{
    BUCKET, Deployment, Furniture, HEC_TOKEN, LOGZIO_TOKEN, ROUTE, furnish, whole_hour, whole_minute,
};
use crate::{say, told_to_end};

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
    /// The folder of the functions' binaries: deploys them, with a Splunk collector and a Logz.io listener to send to. An
    /// object that is put into the bucket `logs` is a log file.
    #[arg(long)]
    functions: Option<PathBuf>,
}

/// Prints one JSON line when ready, and serves until SIGTERM or ctrl-c.
///
/// The line names a Logz.io bulk listener (`logzio`, with the secret that holds its token, `logzio_token`) and, where
/// functions are deployed, a Splunk collector (`splunk`).
///
/// # Errors
/// A port that is taken, a folder that cannot be written, a function without a binary.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let clock = Clock::real();
    let day = SignedDuration::from_hours(12);
    let mut settings = Settings::new(clock.clone());
    settings.empty_compartment_pages = true;
    settings.plan = TenancyPlan {
        seed: arguments.seed,
        regions: usize::from(arguments.regions),
        compartments: arguments.compartments,
        events: arguments.events,
        // Whole hours: the same seed on the same day gives nearly the same plan.
        start: whole_hour(clock.now().checked_sub(day)?),
        end: whole_hour(clock.now().checked_add(day)?),
        ..TenancyPlan::default()
    };
    let cloud = LocalOci::new(settings);
    let listener = TcpListener::bind(("127.0.0.1", arguments.port)).await.context("taking the port")?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let furniture = furnish(&cloud, HEC_TOKEN);
    let mut ready = about(&cloud, &furniture, &endpoint, &arguments).context("writing the data folder")?;
    let logzio = LogzioReceiver::new(LogzioSettings::new(LOGZIO_TOKEN));
    let logzio_listener =
        TcpListener::bind(("127.0.0.1", 0)).await.context("taking a port for the Logz.io listener")?;
    let logzio_url = format!("http://{}", logzio_listener.local_addr()?);
    ready["logzio"] = json!(logzio_url);
    ready["logzio_token"] = json!(furniture.logzio_token);
    let mut splunk = None;
    if let Some(binaries) = &arguments.functions {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("taking a port for the collector")?;
        let splunk_url = format!("http://{}", listener.local_addr()?);
        splunk = Some(listener);
        // An hour of the past, so that the first ring has something to show.
        let start = whole_minute(clock.now().checked_sub(SignedDuration::from_hours(1))?);
        let deployment = Deployment {
            binaries,
            endpoint: &endpoint,
            splunk_url: &splunk_url,
            logzio_url: &logzio_url,
            start,
            as_listed: false,
        };
        ready["functions"] = json!(furniture.deploy(&cloud, &deployment)?);
        ready["gateway"] = json!(format!("{endpoint}/gateway{ROUTE}"));
        ready["gateway_secret"] = json!(furniture.gateway_secret);
        ready["splunk"] = json!(splunk_url);
    }
    say(&ready.to_string())?;
    let collect = async {
        match splunk {
            Some(listener) => HecReceiver::new(HecSettings::new(HecToken::new(HEC_TOKEN))).serve(listener).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        () = cloud.serve(listener) => {}
        () = collect => {}
        () = logzio.serve(logzio_listener) => {}
        ended = told_to_end() => ended.context("waiting for a signal")?,
    }
    cloud.functions().shutdown();
    Ok(())
}

/// The line that names what is there.
fn about(
    cloud: &LocalOci,
    furniture: &Furniture,
    endpoint: &str,
    arguments: &Arguments,
) -> anyhow::Result<serde_json::Value> {
    let tenancy = cloud.tenancy();
    let config = cloud.credentials().write_config(&arguments.data)?;
    let function = tenancy.new_ocid("fnfunc", tenancy.home_region());
    // A token for trying out resource principals: an hour, and the files are not renewed.
    let variables = cloud.credentials().resource_principal_env(&function, &arguments.data.join("function"))?;
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
        "streams": furniture.streams,
        "topics": furniture.topics,
        "secret": furniture.hec_token,
        "vault": cloud.secrets().vault(),
        "function": function,
        "resource_principal": variables.into_iter().collect::<BTreeMap<_, _>>(),
        "events": arguments.events,
    }))
}
