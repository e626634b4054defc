//! How far the day is, on stderr: one line that is written anew, or a line now and then where nobody watches.

use std::convert::Infallible;
use std::io::{IsTerminal, Write};
use std::time::Duration;

use jiff::Timestamp;
use local_oci::LocalOci;
use local_oci::receiver::HecReceiver;

use super::day::Day;

const LOOK: Duration = Duration::from_millis(250);
/// Percent from line to line where stderr is no terminal.
const STEP: i64 = 10;

/// Watches the cloud's clock and the collector.
pub(crate) struct Progress<'a> {
    cloud: &'a LocalOci,
    day: Day,
    received: Option<&'a HecReceiver>,
    is_terminal: bool,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(cloud: &'a LocalOci, day: Day, received: Option<&'a HecReceiver>) -> Self {
        Self { cloud, day, received, is_terminal: std::io::stderr().is_terminal() }
    }

    /// Shows it until dropped.
    pub(crate) async fn show(&self) -> Infallible {
        let mut next = STEP;
        loop {
            tokio::time::sleep(LOOK).await;
            let now = self.cloud.clock().now();
            let percent = percent(self.day, now);
            if self.is_terminal {
                write(&format!("\r{}\x1b[K", self.line(now, percent)));
            } else if percent >= next {
                write(&format!("{}\n", self.line(now, percent)));
                next = (percent / STEP + 1) * STEP;
            }
        }
    }

    /// Leaves the line to whatever is written next.
    pub(crate) fn end(&self) {
        if self.is_terminal {
            write("\r\x1b[K");
        }
    }

    fn line(&self, now: Timestamp, percent: i64) -> String {
        let delivered = match self.received {
            Some(received) => format!("{} events delivered", received.count()),
            None => format!("{} ListEvents", self.cloud.counters().of("ListEvents")),
        };
        let phase = if now < self.day.end { format!("{percent:>3} %") } else { "after the day".to_owned() };
        format!("{}  {phase}  {delivered}", now.strftime("%Y-%m-%d %H:%M"))
    }
}

fn percent(day: Day, now: Timestamp) -> i64 {
    let of = |span: jiff::SignedDuration| span.as_secs();
    (of(now.duration_since(day.start)) * 100 / of(day.end.duration_since(day.start)).max(1)).min(100)
}

/// Progress that nobody can read is no reason to end.
fn write(text: &str) {
    std::io::stderr().lock().write_all(text.as_bytes()).ok();
}
