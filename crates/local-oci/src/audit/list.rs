//! ListEvents and GetConfiguration as the wire has them.

use std::sync::Arc;

use http::StatusCode;
use jiff::Timestamp;

use super::Audit;
use super::trail::{Item, Query};
use crate::answer::{Answer, Refused};
use crate::call::Call;
use crate::cloud::Cloud;
use crate::page::Position;
use crate::rng::{Rng, mix};
use crate::router::Operation;
use crate::verify::Caller;

pub(crate) async fn serve(cloud: &Arc<Cloud>, operation: &Operation, call: &Call, caller: &Caller) -> Answer {
    let answer = match operation {
        Operation::GetConfiguration => configuration(cloud, call),
        _ => list_events(cloud, call, caller),
    };
    answer.unwrap_or_else(Answer::from)
}

fn configuration(cloud: &Cloud, call: &Call) -> Result<Answer, Refused> {
    let compartment = call.required("compartmentId")?;
    if compartment != cloud.tenancy.id() {
        return Err(Refused::not_authorized_or_not_found());
    }
    Ok(Answer::ok(&serde_json::json!({ "retentionPeriodDays": 365 })))
}

fn list_events(cloud: &Cloud, call: &Call, caller: &Caller) -> Result<Answer, Refused> {
    let audit = &cloud.audit;
    let compartment = call.required("compartmentId")?;
    let start = audit.minute(call, "startTime")?;
    let end = audit.minute(call, "endTime")?;
    if end <= start {
        return Err(Refused::invalid_parameter("endTime must be later than startTime"));
    }
    let now = cloud.clock.now();
    if !cloud.tenancy.is_ready(&call.region, now) || !cloud.tenancy.may_read(compartment, now) {
        return Err(Refused::not_authorized_or_not_found());
    }
    let name = cloud.tenancy.compartment(compartment, now).map_or(cloud.tenancy.name().to_owned(), |found| found.name);
    let scope = audit.scope(&call.region, compartment, &name);
    let (start_ms, end_ms) = (start.as_millisecond(), end.as_millisecond());
    let mut query = Query { scope, start_ms, end_ms, as_of_ms: now.as_millisecond() };
    let position = match call.query("page") {
        None => Position::start(query.as_of_ms),
        Some(token) => Position::parse(token, audit.mark(query))
            .ok_or_else(|| Refused::invalid_parameter("page is not a token of this query"))?,
    };
    query.as_of_ms = position.as_of_ms;
    let items = audit.listing(query);
    let (page, next) = audit.page(query, position, &items);
    let mut answer = Answer::json(StatusCode::OK, joined(&audit.render(page)));
    if let Some(next) = next {
        answer = answer.with("opc-next-page", &next.token(audit.mark(query)));
    }
    if audit.settings.own_reads {
        audit.remember_read(query, caller, call.header("user-agent").unwrap_or_default());
    }
    Ok(answer)
}

impl Audit {
    /// The page at `position`, and where the next one begins.
    fn page<'a>(&self, query: Query, position: Position, items: &'a [Item]) -> (&'a [Item], Option<Position>) {
        let mut rng = Rng::of(self.mark(query), position.offset as u64);
        if !position.after_empty && rng.chance(self.settings.empty_pages) {
            return (&[], Some(Position { after_empty: true, ..position }));
        }
        let most = self.settings.page_max_events.max(1);
        let size = if self.settings.pages_vary { 1 + rng.index(most) } else { most };
        let rest = items.get(position.offset..).unwrap_or_default();
        let page = rest.get(..size).unwrap_or(rest);
        let offset = position.offset + page.len();
        (page, (offset < items.len()).then_some(Position { offset, after_empty: false, ..position }))
    }

    /// What binds a page token to its query.
    fn mark(&self, query: Query) -> u64 {
        let window = mix(query.start_ms.unsigned_abs()) ^ query.end_ms.unsigned_abs();
        mix(mix(self.seed ^ u64::from(query.scope)) ^ window)
    }

    fn minute(&self, call: &Call, name: &str) -> Result<Timestamp, Refused> {
        let text = call.required(name)?;
        let time: Timestamp =
            text.parse().map_err(|_| Refused::invalid_parameter(format!("{name} is not a date-time")))?;
        let beyond_ms = time.as_millisecond().rem_euclid(60_000);
        let is_whole = beyond_ms == 0 && time.subsec_nanosecond() == 0;
        if !is_whole && self.settings.strict_minutes {
            return Err(Refused::invalid_parameter(format!("{name} must be given in whole minutes")));
        }
        Timestamp::from_millisecond(time.as_millisecond() - beyond_ms).map_err(|_| Refused::invalid_parameter(name))
    }
}

fn joined(events: &[bytes::Bytes]) -> Vec<u8> {
    let mut body = Vec::with_capacity(events.iter().map(|event| event.len() + 1).sum::<usize>() + 2);
    body.push(b'[');
    for (index, event) in events.iter().enumerate() {
        if index > 0 {
            body.push(b',');
        }
        body.extend_from_slice(event);
    }
    body.push(b']');
    body
}
