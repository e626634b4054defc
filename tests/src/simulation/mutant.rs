//! Mutants: the functions as they would be if they ordered their calls wrongly. Made at the wire, so that the functions
//! themselves have no switches; what is put off is dropped with the caller that is killed.

use bytes::Bytes;
use http_transport::{Body, Request, Response};

use super::{ask::Ask, call::Stage};

macro_rules! mutants {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)+) => {
        /// A way to be wrong.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Mutant {
            $($(#[$doc])* $variant,)+
        }

        impl Mutant {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)+];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }
        }
    };
}

mutants! {
    /// Fetch rings before its receipt is written.
    RingBeforeReceipt = "ring-before-receipt",
    /// Ship finishes its receipt before it sends.
    FinishBeforeSend = "finish-before-send",
    /// Nobody takes a receipt before working on it.
    NoTake = "no-take",
    /// The planner moves its position before the receipts are written.
    PositionsBeforeReceipts = "positions-before-receipts",
    /// Fetch finishes before it hands on.
    FinishBeforeHandOver = "finish-before-hand-over",
    /// Fetch hands nothing on.
    NoHandOver = "no-hand-over",
    /// Whatever 404 the object store gives, the work counts as done.
    Any404IsDone = "any-404-is-done",
    /// Entries that failed inside a 200 count as taken.
    FailedEntriesIgnored = "failed-entries-ignored",
    /// Whatever the destination answers, it counts as taken.
    SiemRefusalIsSuccess = "siem-refusal-is-success",
    /// The sweep gives nothing back.
    SweepNeverReleases = "sweep-never-releases",
    /// Later looks do not see what was sent.
    NothingKnown = "second-look-knows-nothing",
    /// The sweep does not ring.
    NeverRungAgain = "lost-ring-never-repeated",
    /// Dead letters are not laid down.
    NoDeadLetter = "no-dead-letter",
    /// Ship keeps a receipt as seen that it should give back.
    GiveBackIsFinish = "give-back-is-finish",
    /// Positions are written whoever else has written them.
    NoCompareAndSet = "no-compare-and-set",
    /// Decode finishes a file before it sends its records.
    FileFinishBeforeSend = "file-finish-before-send",
    /// Decode works without a receipt.
    FileWithoutReceipt = "file-without-receipt",
    /// Decode takes each file for one that is done.
    FileTakenForDone = "file-taken-for-done",
    /// The search finds nothing.
    SearchFindsNothing = "search-finds-nothing",
}

/// What is put off, and until which call of the same caller.
#[derive(Debug)]
pub(super) struct PutOff {
    pub(super) request: Request,
    pub(super) until: Until,
}

/// Which call lets it happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Until {
    Publish,
    PutOfPositions,
    DeleteOfHeld,
    RenameToSeen,
}

impl Until {
    pub(super) fn is_met_by(self, ask: &Ask) -> bool {
        match (self, ask) {
            (Self::Publish, Ask::Publish(_)) => true,
            (Self::PutOfPositions, Ask::Put(name)) => name == "positions.json",
            (Self::DeleteOfHeld, Ask::Delete(name)) => name.starts_with("held/"),
            (Self::RenameToSeen, Ask::Rename(_, to)) => to.starts_with("seen/"),
            _ => false,
        }
    }
}

/// What a mutant does with a request.
pub(super) enum Deed {
    /// Nothing.
    None,
    /// Answers, and nothing else.
    Answer(http::Response<Bytes>),
    /// Answers at once, and lets it happen later.
    PutOff(http::Response<Bytes>, Until),
    /// Sends another request in its place.
    Instead(Request),
}

fn answer(status: u16, body: &'static str) -> http::Response<Bytes> {
    let mut answer = http::Response::new(Bytes::from_static(body.as_bytes()));
    *answer.status_mut() = http::StatusCode::from_u16(status).expect("a status");
    answer
}

fn stored() -> http::Response<Bytes> {
    let mut stored = answer(200, "");
    stored.headers_mut().insert("etag", http::HeaderValue::from_static("00000000-0000-4000-8000-000000000000"));
    stored
}

impl Mutant {
    pub(super) fn meets(self, stage: Stage, ask: &Ask, request: &Request) -> Deed {
        use Mutant as M;
        match (self, stage, ask) {
            (M::RingBeforeReceipt, Stage::Fetch, Ask::Put(name)) if name.starts_with("owed/ship/") => {
                Deed::PutOff(stored(), Until::Publish)
            }
            (M::FinishBeforeSend, Stage::Ship(_), Ask::Post(_)) => {
                Deed::PutOff(answer(200, r#"{"text":"Success","code":0}"#), Until::RenameToSeen)
            }
            (M::NoTake, _, Ask::Rename(from, to)) if from.starts_with("owed/") && to.starts_with("held/") => {
                Deed::Answer(stored())
            }
            (M::PositionsBeforeReceipts, Stage::List, Ask::Put(name)) if name.starts_with("owed/") => {
                Deed::PutOff(stored(), Until::PutOfPositions)
            }
            (M::FinishBeforeHandOver, Stage::Fetch, Ask::Put(name)) if name.starts_with("owed/fetch/") => {
                Deed::PutOff(stored(), Until::DeleteOfHeld)
            }
            (M::NoHandOver, Stage::Fetch, Ask::Put(name)) if name.starts_with("owed/fetch/") => Deed::Answer(stored()),
            (M::SweepNeverReleases, Stage::List, Ask::Rename(from, to))
                if from.starts_with("held/") && to.starts_with("owed/") =>
            {
                Deed::Answer(stored())
            }
            (M::NothingKnown, Stage::Fetch, Ask::List(query)) if query.contains("prefix=seen/") => {
                Deed::Answer(answer(200, r#"{"objects":[]}"#))
            }
            (M::NeverRungAgain, Stage::List, Ask::Publish(body)) if is_again(body) => {
                Deed::Answer(answer(202, r#"{"messageId":"none","timeStamp":"2026-01-05T00:00:00.000Z"}"#))
            }
            (M::NoDeadLetter, _, Ask::Put(name)) if name.starts_with("dead/") => Deed::Answer(stored()),
            (M::GiveBackIsFinish, Stage::Ship(_), Ask::Rename(from, to))
                if from.starts_with("held/ship/") && to.starts_with("owed/") =>
            {
                let seen = to.replacen("owed/ship/", "seen/given-back/", 1);
                let body = serde_json::json!({ "sourceName": from, "newName": seen }).to_string();
                Deed::Instead(with_body(request, body))
            }
            (M::FileFinishBeforeSend, Stage::Decode, Ask::Post(_)) => {
                Deed::PutOff(answer(200, r#"{"text":"Success","code":0}"#), Until::RenameToSeen)
            }
            (M::FileWithoutReceipt, Stage::Decode, Ask::Put(name)) if name.starts_with("owed/object/") => {
                Deed::Answer(stored())
            }
            (M::FileTakenForDone, Stage::Decode, Ask::List(query)) => match seen_file(query) {
                Some(name) => Deed::Answer(listing(&name)),
                None => Deed::None,
            },
            // Those of the ledger have a prefix.
            (M::SearchFindsNothing, Stage::Decode, Ask::List(query)) if !query.contains("prefix=") => {
                Deed::Answer(answer(200, r#"{"objects":[]}"#))
            }
            (M::NoCompareAndSet, Stage::List, Ask::Put(name)) if name == "positions.json" => {
                let mut request = request.clone();
                request.headers_mut().remove("if-match");
                Deed::Instead(request)
            }
            _ => Deed::None,
        }
    }

    /// What a mutant makes of an answer.
    pub(super) async fn hears(self, ask: &Ask, answer: Response) -> Response {
        match self {
            Self::Any404IsDone if ask.is_of_the_bucket() && answer.status() == 404 => {
                rewritten(answer, 404, |_| r#"{"code":"ObjectNotFound","message":"none"}"#.to_owned()).await
            }
            Self::SiemRefusalIsSuccess if matches!(ask, Ask::Post(_)) && !answer.status().is_success() => {
                rewritten(answer, 200, |_| r#"{"text":"Success","code":0}"#.to_owned()).await
            }
            Self::FailedEntriesIgnored if *ask == Ask::PutMessages && answer.status() == 200 => {
                rewritten(answer, 200, all_taken).await
            }
            _ => answer,
        }
    }
}

/// The name that a listing of one file's receipts under seen/ would give, were it done.
fn seen_file(query: &str) -> Option<String> {
    let prefix = query.split('&').find_map(|part| part.strip_prefix("prefix="))?;
    (prefix.starts_with("seen/object/") && prefix.ends_with('~')).then(|| format!("{prefix}1~0~0"))
}

fn listing(name: &str) -> http::Response<Bytes> {
    let mut listing = answer(200, "");
    *listing.body_mut() = serde_json::json!({ "objects": [{ "name": name }] }).to_string().into();
    listing
}

/// Whether a notification is the sweep's.
pub(super) fn is_again(body: &[u8]) -> bool {
    String::from_utf8_lossy(body).contains("still waiting")
}

fn all_taken(body: &str) -> String {
    let mut put: serde_json::Value = serde_json::from_str(body).expect("an answer of PutMessages");
    put["failures"] = 0.into();
    let entries = put["entries"].as_array_mut().expect("entries");
    let taken = entries.iter().find(|entry| entry["error"].is_null()).cloned().unwrap_or_else(
        || serde_json::json!({"partition": "0", "offset": 0, "timestamp": "2026-01-05T00:00:00.000Z", "error": null}),
    );
    for entry in entries.iter_mut().filter(|entry| !entry["error"].is_null()) {
        *entry = taken.clone();
    }
    put.to_string()
}

async fn rewritten(answer: Response, status: u16, write: impl FnOnce(&str) -> String) -> Response {
    let (mut head, body) = answer.into_parts();
    let body = body.collect(usize::MAX).await.unwrap_or_default();
    head.status = http::StatusCode::from_u16(status).expect("a status");
    head.headers.remove(http::header::CONTENT_LENGTH);
    let body = write(&String::from_utf8_lossy(&body));
    http::Response::from_parts(head, Body::from_bytes(body))
}

fn with_body(request: &Request, body: String) -> Request {
    let mut changed = Request::new(Bytes::from(body));
    *changed.method_mut() = request.method().clone();
    *changed.uri_mut() = request.uri().clone();
    *changed.headers_mut() = request.headers().clone();
    let length = changed.body().len();
    changed.headers_mut().insert(http::header::CONTENT_LENGTH, length.into());
    changed
}
