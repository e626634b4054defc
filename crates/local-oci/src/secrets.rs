//! Secrets: bundles by stage, number or name.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::answer::{Answer, Refused};
use crate::call::Call;
use crate::clock::Clock;
use crate::cloud::Cloud;
use crate::generate::time;
use crate::page::Position;
use crate::rng::Rng;
use crate::router::Operation;
use crate::verify::Caller;

/// Versions a page.
const PAGE: usize = 10;

/// The vault. Contents are bytes; the API carries them in base64 once.
#[derive(Debug)]
pub struct Secrets {
    clock: Clock,
    vault: String,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    secrets: BTreeMap<String, Secret>,
    names: Rng,
}

struct Secret {
    name: String,
    /// Number 1 first.
    versions: Vec<Version>,
    /// Numbers of the versions in these stages.
    current: usize,
    previous: Option<usize>,
    pending: Option<usize>,
}

struct Version {
    content: Vec<u8>,
    time_created: Timestamp,
}

/// The contents stay out of it, as in every program that handles secrets.
impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Secret")
            .field("name", &self.name)
            .field("versions", &self.versions.len())
            .finish_non_exhaustive()
    }
}

impl Secrets {
    pub(crate) fn new(clock: Clock, seed: u64, region_key: &str) -> Self {
        let mut names = Rng::of(seed, u64::MAX - 4);
        let vault = format!("ocid1.vault.oc1.{region_key}.amaaaaaa{}", names.base32(52));
        Self { clock, vault, state: Mutex::new(State { secrets: BTreeMap::new(), names }) }
    }

    /// The vault's OCID.
    pub fn vault(&self) -> &str {
        &self.vault
    }

    /// Keeps a new secret; its version 1 is `CURRENT` and `LATEST`. Gives its OCID.
    pub fn create(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let version = self.version(content.as_ref());
        let mut state = self.lock();
        let region = self.vault.split('.').nth(3).unwrap_or_default();
        let id = format!("ocid1.vaultsecret.oc1.{region}.amaaaaaa{}", state.names.base32(52));
        let secret =
            Secret { name: name.to_owned(), versions: vec![version], current: 1, previous: None, pending: None };
        state.secrets.insert(id.clone(), secret);
        id
    }

    /// Adds a version that becomes `CURRENT` (the one before `PREVIOUS`), or waits as `PENDING`. Gives its number, or
    /// `None` where there is no such secret.
    pub fn add_version(&self, secret: &str, content: impl AsRef<[u8]>, is_pending: bool) -> Option<usize> {
        let version = self.version(content.as_ref());
        let mut state = self.lock();
        let secret = state.secrets.get_mut(secret)?;
        secret.versions.push(version);
        let number = secret.versions.len();
        if is_pending {
            secret.pending = Some(number);
        } else {
            secret.make_current(number);
        }
        Some(number)
    }

    /// Makes the `PENDING` version `CURRENT`. Whether there was one.
    pub fn promote(&self, secret: &str) -> bool {
        let mut state = self.lock();
        let Some(secret) = state.secrets.get_mut(secret) else { return false };
        let pending = secret.pending.take();
        if let Some(number) = pending {
            secret.make_current(number);
        }
        pending.is_some()
    }

    fn version(&self, content: &[u8]) -> Version {
        Version { content: content.to_vec(), time_created: self.clock.now() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Secret {
    fn make_current(&mut self, number: usize) {
        self.previous = Some(self.current);
        self.current = number;
    }

    fn stages(&self, number: usize) -> Vec<&'static str> {
        let mut stages = Vec::new();
        for (stage, of) in [
            ("CURRENT", Some(self.current)),
            ("PENDING", self.pending),
            ("LATEST", Some(self.versions.len())),
            ("PREVIOUS", self.previous),
        ] {
            if of == Some(number) {
                stages.push(stage);
            }
        }
        if stages.is_empty() {
            stages.push("DEPRECATED");
        }
        stages
    }

    /// The number of the version that the query asks for.
    fn asked(&self, call: &Call) -> Result<usize, Refused> {
        let selectors = ["stage", "versionNumber", "secretVersionName"];
        let given: Vec<&str> = selectors.into_iter().filter(|name| call.query(name).is_some()).collect();
        let found = match given.as_slice() {
            [] => Some(self.current),
            ["stage"] => match call.query("stage").unwrap_or_default().to_ascii_uppercase().as_str() {
                "CURRENT" => Some(self.current),
                "PENDING" => self.pending,
                "PREVIOUS" => self.previous,
                "LATEST" => Some(self.versions.len()),
                "DEPRECATED" => (1..=self.versions.len()).rev().find(|number| self.stages(*number) == ["DEPRECATED"]),
                _ => return Err(Refused::invalid_parameter("stage is not a stage")),
            },
            ["versionNumber"] => {
                let number = call.query("versionNumber").unwrap_or_default().parse::<usize>();
                let number = number.map_err(|_| Refused::invalid_parameter("versionNumber is not a number"))?;
                (1..=self.versions.len()).contains(&number).then_some(number)
            }
            // Versions have no names here.
            ["secretVersionName"] => None,
            _ => return Err(Refused::invalid_parameter("give one of stage, versionNumber, secretVersionName")),
        };
        found.ok_or_else(Refused::not_authorized_or_not_found)
    }

    fn shape(&self, id: &str, number: usize, with_content: bool) -> Value {
        let version = &self.versions[number - 1];
        let mut shape = json!({
            "secretId": id,
            "timeCreated": time(version.time_created),
            "versionNumber": number,
            "versionName": null,
            "timeOfDeletion": null,
            "timeOfExpiry": null,
            "stages": self.stages(number),
        });
        if with_content {
            shape["secretBundleContent"] =
                json!({ "contentType": "BASE64", "content": STANDARD.encode(&version.content) });
            shape["metadata"] = Value::Null;
        }
        shape
    }
}

/// Serves the reads of secret bundles.
///
/// Source: Secret Retrieval API reference.
pub(crate) async fn serve(cloud: &Arc<Cloud>, operation: &Operation, call: &Call, _caller: &Caller) -> Answer {
    let state = cloud.secrets.lock();
    let answer = match operation {
        Operation::GetSecretBundle { secret } => bundle(&state, secret, call),
        Operation::ListSecretBundleVersions { secret } => versions(&state, secret, call),
        _ => by_name(&state, &cloud.secrets.vault, call),
    };
    answer.unwrap_or_else(Answer::from)
}

fn bundle(state: &State, id: &str, call: &Call) -> Result<Answer, Refused> {
    let secret = state.secrets.get(id).ok_or_else(Refused::not_authorized_or_not_found)?;
    let number = secret.asked(call)?;
    Ok(Answer::ok(&secret.shape(id, number, true)).with("etag", &format!("{number:08x}")))
}

fn by_name(state: &State, vault: &str, call: &Call) -> Result<Answer, Refused> {
    let name = call.required("secretName")?;
    if call.required("vaultId")? != vault {
        return Err(Refused::not_authorized_or_not_found());
    }
    let found = state.secrets.iter().find(|(_, secret)| secret.name == name);
    bundle(state, found.map_or("", |(id, _)| id), call)
}

fn versions(state: &State, id: &str, call: &Call) -> Result<Answer, Refused> {
    let secret = state.secrets.get(id).ok_or_else(Refused::not_authorized_or_not_found)?;
    let mark = crate::receiver::fingerprint(id.as_bytes());
    // The count at the first page: a version made since would shift the descending list.
    let position = match call.query("page") {
        None => Position::start(secret.versions.len() as i64),
        Some(token) => Position::parse(token, mark)
            .ok_or_else(|| Refused::invalid_parameter("page is not a token of this query"))?,
    };
    let limit = call.query("limit").and_then(|limit| limit.parse().ok()).unwrap_or(PAGE).max(1);
    let all = usize::try_from(position.as_of_ms).unwrap_or(0).min(secret.versions.len());
    let page: Vec<Value> =
        (1..=all).rev().skip(position.offset).take(limit).map(|number| secret.shape(id, number, false)).collect();
    let offset = position.offset + page.len();
    let mut answer = Answer::ok(&page);
    if offset < all {
        answer = answer.with("opc-next-page", &Position { offset, ..position }.token(mark));
    }
    Ok(answer)
}
