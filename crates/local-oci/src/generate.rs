//! The day's audit events, rendered on demand: event `i` of a seed is the same bytes every time.

mod json;
mod material;
mod own_read;
mod record;

use jiff::{SignedDuration, Timestamp};

use crate::rng::{Rng, mix};
use crate::tenancy::{Lateness, Tenancy, TenancyPlan};

pub(crate) use json::{Writer, compact, pretty};
use material::{AGENTS, NAMES};
pub(crate) use own_read::OwnRead;
pub(crate) use record::time;

/// Where an event belongs: a region and a compartment of the plan, by their place in [`Generator::region`] and
/// [`Generator::compartment`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) region: u32,
    pub(crate) compartment: u32,
}

/// Knows everything that the plan's events are made of, and keeps none of them.
#[derive(Debug)]
pub(crate) struct Generator {
    seed: u64,
    events: u32,
    hostile: f64,
    lateness: Lateness,
    start: Timestamp,
    span_ms: u64,
    tenancy: String,
    namespace: String,
    regions: Vec<String>,
    region_keys: Vec<String>,
    /// Id and name; the root comes first.
    compartments: Vec<(String, String)>,
    /// The scopes that are not silent, with the sum of the weights up to and with each.
    weights: Vec<(u64, Place)>,
    users: Vec<User>,
}

#[derive(Debug)]
struct User {
    id: String,
    name: &'static str,
    credentials: String,
    address: String,
    agent: &'static str,
}

/// What is drawn of an event before its text: when, and where.
#[derive(Debug)]
pub(crate) struct Drawn {
    pub(crate) place: Place,
    pub(crate) event_time: Timestamp,
    pub(crate) processed: Timestamp,
    pub(crate) visible_from: Timestamp,
    /// What the text is drawn from.
    rng: Rng,
}

impl Generator {
    pub(crate) fn new(plan: &TenancyPlan, tenancy: &Tenancy) -> Self {
        let mut rng = Rng::of(plan.seed, u64::MAX - 2);
        let regions = tenancy.regions(plan.start);
        let mut compartments = vec![(tenancy.id().to_owned(), tenancy.name().to_owned())];
        compartments.extend(tenancy.compartments(plan.start).into_iter().map(|found| (found.id, found.name)));
        let mut weights = Vec::new();
        let mut sum = 0;
        for region in 0..regions.len() as u32 {
            for compartment in 0..compartments.len() as u32 {
                // A fifth is silent; the rest follows a heavy tail, so that few scopes hold most. Home's root never is
                // silent: sign-ons and policies live there.
                let is_home_root = region == 0 && compartment == 0;
                if rng.chance(0.2) && !is_home_root {
                    continue;
                }
                sum += (100.0 * (1.0 / (rng.unit() + 1e-3)).powf(0.8)) as u64;
                weights.push((sum, Place { region, compartment }));
            }
        }
        let users = (0..82_usize)
            .map(|index| {
                let id = format!("ocid1.user.oc1..aaaaaaaa{}", rng.base32(52));
                let fingerprint: Vec<String> = (0..16).map(|_| format!("{:02x}", rng.below(256))).collect();
                User {
                    credentials: format!("{}/{id}/{}", tenancy.id(), fingerprint.join(":")),
                    id,
                    name: NAMES[index % NAMES.len()],
                    address: format!("10.{index}.{}.{}", rng.below(256), rng.below(256)),
                    agent: AGENTS[index % AGENTS.len()],
                }
            })
            .collect();
        Self {
            seed: plan.seed,
            events: plan.events,
            hostile: plan.hostile,
            lateness: plan.lateness,
            start: plan.start,
            span_ms: u64::try_from(plan.end.duration_since(plan.start).as_millis()).unwrap_or(1).max(1),
            tenancy: tenancy.id().to_owned(),
            namespace: tenancy.namespace().to_owned(),
            regions: regions.iter().map(|region| region.name.clone()).collect(),
            region_keys: regions.iter().map(|region| region.key.to_lowercase()).collect(),
            compartments,
            weights,
            users,
        }
    }

    /// How many events the plan has.
    pub(crate) fn events(&self) -> u32 {
        self.events
    }

    /// The regions of the plan, by [`Place::region`].
    pub(crate) fn regions(&self) -> &[String] {
        &self.regions
    }

    /// The compartments of the plan, root first, by [`Place::compartment`]: id and name.
    pub(crate) fn compartments(&self) -> &[(String, String)] {
        &self.compartments
    }

    /// Draws event `index` without its text.
    pub(crate) fn draw(&self, index: u32) -> Drawn {
        let mut rng = Rng::of(self.seed, u64::from(index));
        let total = self.weights.last().map_or(0, |(sum, _)| *sum);
        let at = rng.below(total);
        let scope = self.weights.partition_point(|(sum, _)| *sum <= at);
        let place = self.weights.get(scope).map_or(Place { region: 0, compartment: 0 }, |(_, place)| *place);
        // A third of the events crowd around the middle of the plan, the working day; the rest is even.
        let share = if rng.chance(0.33) { (rng.unit() + rng.unit() + rng.unit()) / 3.0 } else { rng.unit() };
        let event_time = later(self.start, ((share * self.span_ms as f64) as u64).min(self.span_ms - 1));
        let wait = if rng.chance(self.lateness.processed_late) {
            rng.below(millis(self.lateness.processed_late_max).max(1))
        } else {
            200 + rng.below(1600)
        };
        let processed = later(event_time, wait);
        let hidden = if rng.chance(self.lateness.listed_late) {
            rng.below(millis(self.lateness.listed_late_max).max(1))
        } else {
            0
        };
        Drawn { place, event_time, processed, visible_from: later(processed, hidden), rng }
    }
}

fn later(at: Timestamp, millis: u64) -> Timestamp {
    let span = SignedDuration::from_millis(i64::try_from(millis).unwrap_or(i64::MAX));
    at.checked_add(span).unwrap_or(at)
}

fn millis(span: SignedDuration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(0)
}

/// What an event id of ours stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EventNumber {
    /// Event `i` of the plan.
    Generated(u32),
    /// The `i`th read of the trail itself.
    OwnRead(u32),
}

impl EventNumber {
    /// A UUID (version 4 by its marks) that [`EventNumber::parse`] reads back, so that an arrived event is found
    /// without a table of a million ids.
    pub(crate) fn id(self, seed: u64) -> String {
        let number = match self {
            Self::Generated(index) => u64::from(index),
            Self::OwnRead(index) => 1 << 32 | u64::from(index),
        };
        let (high, low) = halves(seed, number);
        let (high, low) = (high & !0xf000 | 0x4000, low & (u64::MAX >> 2) | 1 << 63);
        let (a, b, c) = (high >> 32, high >> 16 & 0xffff, high & 0xffff);
        format!("{a:08x}-{b:04x}-{c:04x}-{:04x}-{:012x}", low >> 48, low & 0xffff_ffff_ffff)
    }

    /// The number behind an id made by [`EventNumber::id`] with the same seed.
    pub(crate) fn parse(id: &str, seed: u64) -> Option<Self> {
        let digits: String = id.split('-').collect();
        if id.len() != 36 || digits.len() != 32 {
            return None;
        }
        let value = u128::from_str_radix(&digits, 16).ok()?;
        let number = (value as u64 ^ mask(seed, (value >> 64) as u64)) & (u64::MAX >> 2);
        let found = match number >> 32 {
            0 => Self::Generated(number as u32),
            1 => Self::OwnRead(number as u32),
            _ => return None,
        };
        (found.id(seed) == id).then_some(found)
    }
}

fn halves(seed: u64, number: u64) -> (u64, u64) {
    let high = mix(mix(seed ^ 0x6576_656e_7469_6473) ^ number);
    (high, number ^ mask(seed, high))
}

/// Hides the number in the lower half; follows from what the version mark leaves of the upper half.
fn mask(seed: u64, high: u64) -> u64 {
    mix(mix(seed) ^ (high & !0xf000)) & (u64::MAX >> 2)
}

#[cfg(test)]
mod tests;
