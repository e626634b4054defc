//! Puts a scenario's spells in force: as rules of the emulator and of the collectors.

use std::{sync::Arc, time::Duration};

use http::StatusCode;
use local_oci::{Effect, Fault, LocalOci, receiver::HecFault};

use super::{fault::FaultKind, scenario::Spell, world::World};

/// All spells of the world's scenario, save those that the line itself does.
pub fn install(world: &Arc<World>, cloud: &LocalOci) {
    for spell in &world.scenario.spells {
        if let Some(effect) = of_the_cloud(spell) {
            // What befalls doorbells befalls the events of objects, too.
            if spell.operation == Some("PublishMessage") && is_of_deliveries(&effect) {
                let spell = Spell { operation: Some("EmitEvent"), ..spell.clone() };
                on_the_cloud(world, cloud, spell, effect.clone());
            }
            on_the_cloud(world, cloud, spell.clone(), effect);
        } else if let Some(fault) = of_the_collector(spell) {
            let (collector, spell) = (&world.collectors()[spell.destination], spell.clone());
            let world = Arc::clone(world);
            collector.inject_when(fault, None, move |_| world.strikes(&spell));
        }
    }
}

fn on_the_cloud(world: &Arc<World>, cloud: &LocalOci, spell: Spell, effect: Effect) {
    let rule = match spell.operation {
        Some(operation) => Fault::on(operation),
        None => Fault::anywhere(),
    };
    let least = match &effect {
        Effect::FailEntries(indices) => indices.iter().max().map_or(0, |last| last + 1),
        _ => 0,
    };
    let world = Arc::clone(world);
    let rule = rule.when(move |operation, call| {
        operation.name() != "Gateway" && (least == 0 || messages(&call.body) >= least) && world.strikes(&spell)
    });
    cloud.faults().inject(rule.with(effect));
}

fn is_of_deliveries(effect: &Effect) -> bool {
    matches!(effect, Effect::LoseDelivery | Effect::DelayDelivery(_) | Effect::DoubleDelivery | Effect::Reorder)
}

/// How many messages a put holds.
fn messages(body: &[u8]) -> usize {
    const VALUE: &[u8] = br#""value""#;
    body.windows(VALUE.len()).filter(|window| *window == VALUE).count()
}

fn of_the_cloud(spell: &Spell) -> Option<Effect> {
    use FaultKind as K;
    let detail = spell.detail;
    let answer = |status: u16, code: &str| {
        let status = StatusCode::from_u16(status).expect("a status");
        Some(Effect::Answer { status, code: code.to_owned(), retry_after_secs: None })
    };
    match spell.kind {
        K::ThrottledWithRetryAfter => Some(Effect::Answer {
            status: StatusCode::TOO_MANY_REQUESTS,
            code: "TooManyRequests".to_owned(),
            retry_after_secs: Some(1 + detail % 20),
        }),
        K::Throttled => answer(429, "TooManyRequests"),
        K::Error500 => answer(500, "InternalServerError"),
        K::Error503 => answer(503, "ServiceUnavailable"),
        K::ResetBefore => Some(Effect::CutBefore),
        K::ResetAfter => Some(Effect::CutAfter),
        K::SlowAnswer => {
            let seconds = Duration::from_secs(5 + detail % 85);
            Some(if detail.is_multiple_of(2) { Effect::Delay(seconds) } else { Effect::DelayAfter(seconds) })
        }
        K::TruncatedAnswer => Some(Effect::TruncateBody(1)),
        K::ShortRead => Some(Effect::ShortRead(1)),
        K::EmptyRead => Some(Effect::EmptyRead),
        K::HalfFailedPut => Some(Effect::FailEntries(if detail.is_multiple_of(2) { vec![0] } else { vec![1, 3] })),
        K::NotificationLost => Some(Effect::LoseDelivery),
        K::NotificationLate => Some(Effect::DelayDelivery(Duration::from_secs(60 * (1 + detail % 50)))),
        K::NotificationDoubled => Some(Effect::DoubleDelivery),
        K::NotificationReordered => Some(Effect::Reorder),
        K::CursorExpired => answer(400, "InvalidParameter"),
        K::BucketNotFound => answer(404, "BucketNotFound"),
        K::PolicyRevoked => answer(404, "NotAuthorizedOrNotFound"),
        K::TokenExpired => answer(401, "NotAuthenticated"),
        K::ContainerClockWrong
        | K::DateHeaderWrong
        | K::FunctionErrorRepeated
        | K::FunctionErrorNotRepeated
        | K::StreamTrimmed
        | K::StreamRecreated
        | K::PositionsDeleted
        | K::SiemRefusesEvent
        | K::SiemRefusesAll
        | K::SiemSilent
        | K::SiemSlow
        | K::SiemHalfAccepts
        | K::SiemBusy
        | K::SiemDown
        | K::KillBefore
        | K::KillAfter => None,
    }
}

fn of_the_collector(spell: &Spell) -> Option<HecFault> {
    use FaultKind as K;
    let detail = spell.detail;
    match spell.kind {
        // Code 1: the token is disabled.
        K::SiemRefusesAll => Some(HecFault::Busy { code: 1, retry_after_secs: None }),
        K::SiemSilent => Some(HecFault::Silent { kept: detail.is_multiple_of(2) }),
        K::SiemSlow => Some(HecFault::Slow(Duration::from_secs(1 + detail % 40))),
        K::SiemBusy => Some(HecFault::Busy {
            code: [9, 18, 20, 26][(detail % 4) as usize],
            retry_after_secs: (detail % 8 < 4).then_some(1 + detail % 30),
        }),
        _ => None,
    }
}
