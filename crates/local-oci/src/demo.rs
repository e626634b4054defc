//! `local-oci demo`: a day of a tenancy on the virtual clock, through the real function processes, and an account of it.
//!
//! Two acts run side by side: events as the Audit service lists them go to Splunk, and the same records as log files in a
//! bucket go to Logz.io.

mod compare;
mod day;
mod files;
mod kills;
mod progress;
mod summary;

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Instant;

use anyhow::Context;
use jiff::SignedDuration;
use local_oci::receiver::{HecReceiver, HecSettings, HecToken, LogzioReceiver, LogzioSettings};
use local_oci::{Clock, Lateness, LocalOci, Settings, TenancyPlan};
use tokio::net::TcpListener;

use crate::furnish::{Deployment, HEC_TOKEN, LOGZIO_TOKEN, furnish};
use crate::{say, told_to_end};

use compare::{Comparison, Expected};
use day::Day;
use files::{Files, FilesAccount};
use progress::Progress;
use summary::{Arrived, Frame, Summary};

/// The seed's tenancy: the root is a compartment, too.
const REGIONS: usize = 4;
const COMPARTMENTS: usize = 96;

/// What to rehearse.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The folder of the functions' binaries.
    #[arg(long)]
    functions: PathBuf,
    /// Audit events of the day; the functions' own reads of the trail come on top. The same records lie in log files, too.
    #[arg(long, default_value_t = 100_000)]
    events: u32,
    /// Everything random follows from it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How long the day is.
    #[arg(long, default_value_t = 24, value_parser = clap::value_parser!(u8).range(1..=24))]
    hours: u8,
    /// Kills so many containers at work, at random calls of the day.
    #[arg(long, default_value_t = 0)]
    kills: u32,
    /// Ends with one line of JSON in place of the table.
    #[arg(long)]
    json: bool,
    /// Keeps the functions' logs there.
    #[arg(long)]
    data: Option<PathBuf>,
    /// Sends to this Splunk collector (a host or a URL) in place of the demo's own. What it has taken is then counted by
    /// the ledger's word, and cannot be held against what happened. The events' time is 5 January 2026.
    #[arg(long, requires = "hec_token")]
    hec_url: Option<String>,
    /// The collector's token.
    #[arg(long, requires = "hec_url")]
    hec_token: Option<Token>,
}

/// A HEC token, which no output shows.
#[derive(Clone)]
struct Token(String);

impl FromStr for Token {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.trim().is_empty() { Err("the token is empty") } else { Ok(Self(text.to_owned())) }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

/// Runs the day and writes the summary.
///
/// # Errors
/// Events or records lost or altered, or work left over at the end; functions that do not start.
pub(crate) async fn run(arguments: Arguments) -> anyhow::Result<()> {
    let began = Instant::now();
    let plan = plan(&arguments);
    let day = Day { start: plan.start, end: plan.end };
    let mut settings = Settings::new(Clock::leaping(plan.start));
    settings.plan = plan;
    let cloud = LocalOci::new(settings);
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("taking a port")?;
    let endpoint = format!("http://{}", listener.local_addr()?);
    let splunk = HecReceiver::new(HecSettings::new(HecToken::new(HEC_TOKEN)));
    let splunk_listener = TcpListener::bind(("127.0.0.1", 0)).await.context("taking a port for the collector")?;
    let own_url = format!("http://{}", splunk_listener.local_addr()?);
    let logzio = LogzioReceiver::new(LogzioSettings::new(LOGZIO_TOKEN));
    let logzio_listener =
        TcpListener::bind(("127.0.0.1", 0)).await.context("taking a port for the Logz.io listener")?;
    let logzio_url = format!("http://{}", logzio_listener.local_addr()?);
    let splunk_url = arguments.hec_url.as_deref().unwrap_or(&own_url);
    if let Some(folder) = &arguments.data {
        cloud.functions().log_into(folder).with_context(|| format!("writing into {}", folder.display()))?;
    }
    let token = arguments.hec_token.as_ref().map_or(HEC_TOKEN, |token| &token.0);
    let furniture = furnish(&cloud, token);
    let deployment = Deployment {
        binaries: &arguments.functions,
        endpoint: &endpoint,
        splunk_url,
        logzio_url: &logzio_url,
        start: day.start,
        // What arrives here is held against the trail; a collector of one's own gets what the functions send by default.
        as_listed: arguments.hec_url.is_none(),
    };
    let functions = furniture.deploy(&cloud, &deployment)?;
    let files = Files::new(&cloud, day, arguments.seed);
    kills::plan((&cloud, &splunk, &logzio), arguments.seed, arguments.kills, day.rings(), &functions);
    let received = arguments.hec_url.is_none().then_some(&splunk);
    let progress = Progress::new(&cloud, day, received);
    let drive = async {
        let acts = async {
            let written = async {
                files.write(&cloud).await;
                Ok(())
            };
            tokio::try_join!(day::run(&cloud, day, &functions, &files), written)
        };
        tokio::select! {
            course = acts => course.map(|(course, ())| course),
            never = progress.show() => match never {},
        }
    };
    let course = tokio::select! {
        course = drive => course,
        () = cloud.serve(listener) => Err(anyhow::anyhow!("the emulator ended")),
        () = splunk.serve(splunk_listener) => Err(anyhow::anyhow!("the collector ended")),
        () = logzio.serve(logzio_listener) => Err(anyhow::anyhow!("the Logz.io listener ended")),
        ended = told_to_end() => {
            ended.context("waiting for a signal")?;
            Err(anyhow::anyhow!("told to end"))
        }
    };
    progress.end();
    // Nothing of a container is measured after this.
    let frame = Frame {
        events: arguments.events,
        seed: arguments.seed,
        scopes: REGIONS * COMPARTMENTS,
        wall: began.elapsed(),
        day,
    };
    let course = course.inspect_err(|_| cloud.functions().shutdown())?;
    let comparison = received.map(|received| {
        let arrivals = |id: &str| received.received(id).into_iter().map(|arrival| arrival.fingerprint).collect();
        let expected = cloud.audit().expected(jiff::Timestamp::MAX);
        Comparison::new(expected.map(|event| Expected::event(event, day.end)), received.count(), arrivals)
    });
    let account = files.account(&logzio);
    let arrived = Arrived { events: comparison.as_ref(), files: &account, splunk: received, logzio: &logzio };
    let summary = Summary::new(&cloud, &furniture, &frame, &course, &arrived);
    cloud.functions().shutdown();
    if arguments.json {
        say(&serde_json::to_string(&summary)?)?;
    } else {
        say(&summary.to_string())?;
    }
    let hint = match &arguments.data {
        Some(folder) => format!("the functions' logs lie in {}", folder.display()),
        None => "--data DIR keeps the functions' logs".to_owned(),
    };
    verdict(&course, comparison.as_ref(), &account, &hint)
}

/// The day of the seed's tenancy.
fn plan(arguments: &Arguments) -> TenancyPlan {
    let default = TenancyPlan::default();
    let hours = SignedDuration::from_hours(i64::from(arguments.hours));
    TenancyPlan {
        seed: arguments.seed,
        regions: REGIONS,
        compartments: COMPARTMENTS - 1,
        events: arguments.events,
        end: default.start.checked_add(hours).unwrap_or(default.end),
        // Some turn up in windows that were read already, so that the second looks have something to find.
        lateness: Lateness { listed_late: 0.02, listed_late_max: SignedDuration::from_mins(15), ..Lateness::default() },
        ..default
    }
}

/// Whether the day ended as promised.
fn verdict(
    course: &day::Course,
    comparison: Option<&Comparison>,
    files: &FilesAccount,
    hint: &str,
) -> anyhow::Result<()> {
    let mut problems: Vec<String> =
        comparison.and_then(|comparison| comparison.problem("events")).into_iter().collect();
    problems.extend(files.comparison.problem("records of log files"));
    if !course.is_settled {
        problems.push(format!("work is left over in the ledger: {}", course.left.join(" ")));
    }
    if course.proof.gaps > 0 {
        problems.push(format!("{} windows cannot be accounted for", course.proof.gaps));
    }
    anyhow::ensure!(problems.is_empty(), "{} ({hint})", problems.join("; "));
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Program {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parsed(arguments: &str) -> Result<Arguments, String> {
        let program =
            Program::try_parse_from(["demo", "--functions", "f"].into_iter().chain(arguments.split_whitespace()));
        program.map(|program| program.arguments).map_err(|error| error.to_string())
    }

    #[test]
    fn without_arguments_it_is_a_day_of_the_seed_s_tenancy() {
        let plan = plan(&parsed("").expect("nothing is required"));
        assert_eq!((plan.events, plan.seed, plan.regions, plan.compartments), (100_000, 1, 4, 95));
        assert_eq!(plan.end.duration_since(plan.start), SignedDuration::from_hours(24));
    }

    #[test]
    fn url_and_token_of_a_collector_come_together() {
        for (arguments, is_fine) in [
            ("--hec-url https://splunk.example.com --hec-token hush", true),
            ("--hec-url https://splunk.example.com", false),
            ("--hec-token hush", false),
            ("--hours 25", false),
            ("--events 5000 --kills 5 --seed 9 --json --data d", true),
        ] {
            assert_eq!(parsed(arguments).is_ok(), is_fine, "{arguments}");
        }
    }

    #[test]
    fn the_token_is_not_shown() {
        let arguments = parsed("--hec-url https://splunk.example.com --hec-token hush").expect("arguments");
        assert!(!format!("{arguments:?}").contains("hush"));
    }
}
