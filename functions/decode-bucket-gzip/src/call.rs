//! One call: an event, a doorbell, a search, or a person's order.

use std::time::Duration;

use delivery::{Fared, redrive, tell_the_sweep};
use fn_hyper::{Intent, Invocation, Reply};
use jiff::Timestamp;
use ledger::Owed;
use pipeline::{Pointer, Stage, Word};
use serde::Serialize;
use workbench::{CallTime, Deadline, ring, service_time};

use crate::{
    App,
    ask::{Ask, NotUnderstood, parse},
    file::File,
    listing::Folder,
    receipt::{Take, owe, take},
    search::search,
    work::{Outcome, work},
};

/// What a call did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Files all of whose records are taken, dead or left out.
    pub decoded: u32,
    /// Files that were done, or owed or worked on elsewhere.
    pub gone: u32,
    /// Objects that are no log files: outside `input_prefix`, or moved there.
    pub ignored: u32,
    /// Files that are owed again, in whole or in part.
    pub owed: u32,
    /// Files the rest of which lies as a dead letter.
    pub set_aside: u32,
    /// Files that were overwritten or deleted before they were read.
    pub lost: u32,
    /// Receipts that there was no time for; they stay owed.
    pub untouched: u32,
    /// Receipts of other destinations, which their own functions work on.
    pub foreign: u32,
    /// Files that the search, or a person, has found and that are owed since.
    pub noticed: u32,
    /// Files that were copied because they were not delivered in time.
    pub kept: u32,
    /// Records that the destination took.
    pub sent: u64,
    /// Records that it refused, and what is no record: dead letters.
    pub dead: u64,
    /// Records that are left out, as configured.
    pub filtered: u64,
    /// Where a call for a prefix goes on; none where all its files are owed or done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A file is not begun in the last part of a call: a batch, its answer and the ledger must fit.
fn time(deadline: Deadline) -> CallTime {
    CallTime::before(deadline, 2, Duration::from_secs(40))
}

/// Answers one call.
pub async fn handle(app: &App, call: Invocation) -> Reply {
    app.config.connection.client.begin_call();
    let time = time(call.deadline);
    if let Intent::Direct = call.intent
        && let Some(order) = redrive::parse(&call.body)
    {
        return redrive::answer(app.config.parties(), order, time).await;
    }
    let ask = match parse(&call.body) {
        Ok(ask) => ask,
        Err(error) => return Reply::not_understood(&error),
    };
    let mut worker =
        Worker { app, time, summary: Summary::default(), failures: 0, down: false, begun: 0, left_over: Vec::new() };
    let word = match &ask {
        Ask::Doorbell(doorbell) => doorbell.word.clone(),
        Ask::Event { .. } | Ask::Object { .. } | Ask::Prefix { .. } => Word::default(),
    };
    if let Err(refusal) = worker.answer(ask).await {
        return Reply::not_understood(&refusal);
    }
    let fared = match worker.down {
        true => Fared::Failed,
        // Also of a file that is handed on: the destination took what there was time for.
        false if worker.summary.sent > 0 || worker.summary.decoded > 0 => Fared::Took,
        false => Fared::Untried,
    };
    tell_the_sweep(app.config.parties(), &word, fared, time.deadline).await;
    worker.hand_on().await;
    let text = serde_json::to_string(&worker.summary).unwrap_or_default();
    tracing::info!(summary = text, failed = worker.failures, "done");
    match worker.failures {
        0 => Reply::json(text),
        _ => Reply::failure(format!("not all is done, and the rest is still owed or a dead letter: {text}")),
    }
}

struct Worker<'a> {
    app: &'a App,
    time: CallTime,
    summary: Summary,
    failures: u32,
    /// The destination failed: what comes next would fail, too.
    down: bool,
    /// Files that were begun in this call.
    begun: u32,
    /// What this call has put on, and another one must go on with.
    left_over: Vec<Pointer>,
}

impl Worker<'_> {
    /// Does what is asked; an error where that is not for this function.
    async fn answer(&mut self, ask: Ask) -> Result<(), NotUnderstood> {
        let config = &self.app.config;
        match ask {
            Ask::Event { file, arrived_at } => {
                config.folder(Some(file.namespace.clone()), file.bucket.clone(), String::new())?;
                let file = match self.true_name(file).await {
                    Ok(file) => file,
                    Err(error) => {
                        self.fail(&error, "the file cannot be looked at: the event must come again");
                        return Ok(());
                    }
                };
                if config.is_input(&file.object) {
                    self.owe_and_work(file, arrived_at, false).await;
                } else {
                    self.summary.ignored += 1;
                }
            }
            Ask::Doorbell(doorbell) => {
                let most = doorbell.word.deliveries_max().unwrap_or(usize::MAX);
                for pointer in &doorbell.pointers {
                    if (self.summary.decoded + self.summary.owed) as usize >= most {
                        self.summary.untouched += 1;
                    } else {
                        self.work_on(pointer).await;
                    }
                }
                if doorbell.word.search {
                    self.search().await;
                }
            }
            Ask::Object { namespace, bucket, object, again } => {
                let Folder { namespace, bucket, .. } = config.folder(namespace, bucket, String::new())?;
                self.object(File { namespace, bucket, object, etag: String::new() }, again).await?;
            }
            Ask::Prefix { namespace, bucket, prefix, from, again } => {
                self.folder(&config.folder(namespace, bucket, prefix)?, from, again).await;
            }
        }
        Ok(())
    }

    /// The file by the name that its bucket knows. Whether events spell names as URLs do is not certain: where a name holds
    /// escapes, the literal one is looked for first.
    async fn true_name(&self, file: File) -> Result<File, oci_client::Error> {
        let Some(other) = file.decoded_name() else { return Ok(file) };
        let bucket = self.app.config.connection.client.bucket(&file.namespace, &file.bucket);
        for name in [&file.object, &other] {
            match bucket.head(name, self.time.deadline).await {
                Ok(head) if head.etag == file.etag => return Ok(File { object: name.clone(), ..file }),
                Ok(_) => {}
                Err(error) if error.is_not_found() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(file)
    }

    async fn owe_and_work(&mut self, file: File, arrived_at: Timestamp, again: bool) {
        match owe(self.app, file, arrived_at, again, self.time.deadline).await {
            Ok((_, Owed::Already)) if again => {
                self.failures += 1;
                tracing::error!("the file waits already, and is sent then; ask again once it is done");
            }
            Ok((receipt, _)) => self.work_on(&Pointer { receipt, location: None }).await,
            Err(error) => self.fail(&error, "the file is not owed: the event must come again, or the order"),
        }
    }

    /// A person's object, in the version that it has now.
    async fn object(&mut self, mut file: File, again: bool) -> Result<(), NotUnderstood> {
        let client = &self.app.config.connection.client;
        let head = client.bucket(&file.namespace, &file.bucket).head(&file.object, self.time.deadline).await;
        let head = match head {
            Ok(head) => head,
            Err(error) if error.is_not_found() => return Err(NotUnderstood::NoSuchObject),
            Err(error) => {
                self.fail(&error, "the object cannot be looked at");
                return Ok(());
            }
        };
        file.etag = head.etag;
        match head.last_modified.map_or_else(|| service_time(client), Ok) {
            Ok(arrived_at) => self.owe_and_work(file, arrived_at, again).await,
            Err(error) => self.fail(&error, "the object is not owed: order it again"),
        }
        Ok(())
    }

    /// All files of a folder: first they are owed, then worked on.
    async fn folder(&mut self, folder: &Folder, from: Option<String>, again: bool) {
        let mut pointers = Vec::new();
        let mut from = from;
        loop {
            let page = match folder.page(self.app, from.clone(), self.time.deadline).await {
                Ok(page) => page,
                Err(error) => {
                    self.summary.next = Some(from.unwrap_or_default());
                    self.fail(&error, "not all files were found: ask again, with next as from");
                    break;
                }
            };
            for entry in page.files {
                let name = entry.file.object.clone();
                match owe(self.app, entry.file, entry.arrived_at, again, self.time.deadline).await {
                    Ok((receipt, owed)) => {
                        self.summary.noticed += u32::from(owed == Owed::Written);
                        pointers.push(Pointer { receipt, location: None });
                    }
                    Err(error) => {
                        self.summary.next = Some(name);
                        self.fail(&error, "not all files are owed: ask again, with next as from");
                        break;
                    }
                }
            }
            from = page.next;
            if from.is_none() || self.summary.next.is_some() {
                break;
            }
            if self.time.is_over() {
                self.summary.next = from;
                break;
            }
        }
        for pointer in pointers {
            self.work_on_found(pointer).await;
        }
    }

    async fn search(&mut self) {
        let (found, outcome) = search(self.app, self.time).await;
        if let Err(error) = outcome {
            self.fail(&error, "the search for files was not finished; the next one goes on");
        }
        self.summary.noticed += found.noticed;
        self.summary.kept += found.kept;
        for pointer in found.pointers {
            self.work_on_found(pointer).await;
        }
    }

    /// Works on what this call has found; what there is no time for is handed on.
    async fn work_on_found(&mut self, pointer: Pointer) {
        let untouched = self.summary.untouched;
        self.work_on(&pointer).await;
        if self.summary.untouched > untouched && !self.down {
            self.left_over.push(pointer);
        }
    }

    async fn work_on(&mut self, pointer: &Pointer) {
        if self.down || self.time.is_over() {
            self.summary.untouched += 1;
            return;
        }
        match &pointer.receipt.stage {
            Stage::Object(destination, _) if destination == self.app.config.target.name() => {}
            Stage::Object(..) => {
                self.summary.foreign += 1;
                return;
            }
            Stage::Fetch(_) | Stage::Ship(..) => {
                self.failures += 1;
                tracing::error!("the doorbell names a receipt of another function: look at the topics' subscriptions");
                return;
            }
        }
        let held = match take(self.app, &pointer.receipt, self.time.deadline).await {
            Ok(Take::Held(held)) => *held,
            Ok(Take::Gone) => {
                self.summary.gone += 1;
                return;
            }
            Err(error) => return self.fail(&error, "a file's receipt cannot be taken; it stays owed"),
        };
        let receipt = held.receipt.given_back();
        self.begun += 1;
        let (tally, outcome) = work(self.app, held, self.time, self.begun == 1).await;
        self.summary.sent += tally.sent;
        self.summary.dead += tally.dead;
        self.summary.filtered += tally.filtered;
        match outcome {
            Ok(Outcome::Decoded) => self.summary.decoded += 1,
            Ok(Outcome::SetAside) => self.summary.set_aside += 1,
            Ok(Outcome::TakenAway) => self.summary.gone += 1,
            Ok(Outcome::HandedOn) => {
                self.summary.owed += 1;
                self.left_over.push(Pointer { receipt, location: None });
            }
            // A letter says so, and an answer of success would hide that nobody has those records.
            Ok(Outcome::Lost) => {
                self.summary.lost += 1;
                self.failures += 1;
            }
            Err(error) => {
                self.summary.owed += 1;
                self.down = error.is_of_the_destination();
                self.fail(&error, "a file is left over; it stays owed");
            }
        }
    }

    fn fail(&mut self, error: &(dyn std::error::Error + 'static), what: &str) {
        self.failures += 1;
        tracing::error!(error, "{what}");
    }

    /// Rings for what another call must go on with; without a topic the sweep does, a run later.
    async fn hand_on(&mut self) {
        let Some(topic) = &self.app.config.topic else { return };
        let pointers = std::mem::take(&mut self.left_over);
        if !pointers.is_empty() && !self.down {
            let client = &self.app.config.connection.client;
            let title = "decode-bucket-gzip: the rest of a log file";
            ring(client, topic, title, (pointers, 1), &Word::default(), self.time.deadline).await;
        }
    }
}
