//! What a call asks for, and what it is told.

use fn_hyper::{Intent, Invocation, Reply};
use http::StatusCode;
use serde::Serialize;

use crate::{App, backfill, gate, schedule};

/// Answers one call.
///
/// A ring (the schedule's, an alarm's, or a call without a body) runs the planner and the sweep; a direct call whose body
/// names a time span plans a backfill.
pub async fn handle(app: &App, call: Invocation) -> Reply {
    app.config.connection.client.begin_call();
    if let Intent::HttpRequest(http) = &call.intent {
        if !gate::knows_secret(app, http, call.deadline).await {
            return Reply::http(StatusCode::UNAUTHORIZED, "");
        }
        // Who calls is no secret keeper's concern: done or not done is all that the schedule needs.
        return match schedule::run(app, call.deadline).await {
            Ok(summary) => {
                tracing::info!(summary = text(&summary), "the scheduled run is done");
                // What waits for longer than it may turns the health check red; all else is done.
                let status = if summary.lags { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
                Reply::http(status, "")
            }
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "the scheduled run failed; the next one does its work"
                );
                Reply::http(StatusCode::SERVICE_UNAVAILABLE, "")
            }
        };
    }
    if is_ring(&call.body) {
        answer(schedule::run(app, call.deadline).await, "the run failed; the next one does its work")
    } else {
        answer(backfill::run(app, &call.body, call.deadline).await, "the backfill was not planned in full; ask again")
    }
}

fn answer<E: std::error::Error + 'static>(outcome: Result<impl Serialize, E>, what: &'static str) -> Reply {
    match outcome {
        Ok(summary) => {
            let summary = text(&summary);
            tracing::info!(summary, "done");
            Reply::json(summary)
        }
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "{what}");
            Reply::failure(format!("{what}: {error}"))
        }
    }
}

fn text(summary: &impl Serialize) -> String {
    serde_json::to_string(summary).unwrap_or_default()
}

/// Whether a direct call's body only rings: nothing, an empty object, or an alarm's message.
///
/// Source: Oracle, "Alarm Message Format"; its table and its samples spell `dedupekey` differently.
fn is_ring(body: &[u8]) -> bool {
    if body.trim_ascii().is_empty() {
        return true;
    }
    match serde_json::from_slice::<serde_json::Value>(body) {
        Ok(serde_json::Value::Object(fields)) => {
            let is_alarms =
                |field: &String| ["alarmMetaData", "dedupeKey"].iter().any(|name| field.eq_ignore_ascii_case(name));
            fields.is_empty() || fields.keys().any(is_alarms)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_rings_unless_it_asks_for_something() {
        for (body, ring) in [
            ("", true),
            (" \n", true),
            ("{}", true),
            (r#"{"dedupeKey":"a","title":"tick","type":"REPEAT","alarmMetaData":[]}"#, true),
            (r#"{"dedupekey":"a"}"#, true),
            (r#"{"start":"2026-01-05T10:00:00Z","end":"2026-01-05T11:00:00Z"}"#, false),
            (r#"{"strat":"x"}"#, false),
            ("[]", false),
            ("tick", false),
        ] {
            assert_eq!(is_ring(body.as_bytes()), ring, "{body}");
        }
    }
}
