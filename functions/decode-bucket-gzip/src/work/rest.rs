//! What becomes of a file that cannot be read on.

use delivery::Ends;
use ledger::{kept_folder, rest_letter};
use pipeline::FileTally;

use super::{Outcome, Work};
use crate::{
    error::{Failure, Stopped},
    keep,
    source::FileUnreadable,
};

impl Work<'_> {
    /// Keeps what is left of the file's bytes, and lays down the letter that names them.
    pub(super) async fn set_aside(&mut self, reason: String) -> Result<Outcome, Stopped> {
        tracing::error!(reason, "the rest of a log file cannot be read; it is set aside");
        self.held.body.damage = Some(reason.clone());
        self.note().await?;
        let is_whole = match keep::keep(self.app, &mut self.held.body, self.time).await {
            Ok(is_whole) => is_whole,
            Err(error @ (FileUnreadable::Overwritten | FileUnreadable::Gone)) => return self.lose(&error).await,
            Err(error) => {
                self.note().await?;
                return Err(error.into());
            }
        };
        if !is_whole {
            self.note().await?;
            return Err(Stopped::OutOfTime);
        }
        self.bury_rest(&reason).await?;
        self.finish().await?;
        Ok(Outcome::SetAside)
    }

    /// The file's bytes are nobody's any more: a letter says which file it was, and how far it was read.
    pub(super) async fn lose(&mut self, why: &FileUnreadable) -> Result<Outcome, Stopped> {
        let (ledger, deadline, body) = (&self.app.config.ledger, self.time.deadline, &self.held.body);
        if !body.again && ledger.seen_object(self.app.config.target.name(), &body.file.key(), deadline).await?.is_some()
        {
            // Another holder has delivered it, and deleted or moved it since.
            ledger.replace(&self.held.receipt, deadline).await?;
            return Err(Stopped::TakenAway);
        }
        let reason = match &body.damage {
            Some(damage) => format!("{damage}; {why}"),
            None => why.to_string(),
        };
        tracing::error!(reason, object = self.held.body.file.object, "a log file is lost to us");
        self.bury_rest(&reason).await?;
        match self.finish().await {
            // Whoever has the receipt finds the same, and the same letter.
            Ok(()) | Err(Stopped::TakenAway) => Ok(Outcome::Lost),
            Err(stopped) => Err(stopped),
        }
    }

    /// The letter of what is left of a file: where it is kept, if it is, and what of it was settled.
    async fn bury_rest(&mut self, reason: &str) -> Result<(), Failure> {
        let body = &self.held.body;
        let key = body.file.key();
        let kept = body.kept.as_ref().map(|kept| {
            let folder = kept_folder(self.app.config.target.name(), &key);
            serde_json::json!({ "folder": folder, "from": kept.from, "until": kept.until })
        });
        let rest = serde_json::json!({
            "namespace": body.file.namespace, "bucket": body.file.bucket, "object": body.file.object,
            "eTag": body.file.etag, "reason": reason, "settled": body.settled, "sent": body.tally.sent, "kept": kept,
            "point": body.point,
        });
        let record = self.record(rest.to_string().into());
        let letters = self.letters(Ends::before(self.time.deadline));
        letters.bury(rest_letter(&key), &record, reason).await?;
        self.count(FileTally { dead: 1, ..FileTally::default() });
        Ok(())
    }

    /// What was kept of a file that is delivered.
    pub(super) async fn drop_kept(&self) {
        let Some(kept) = &self.held.body.kept else { return };
        let (config, key) = (&self.app.config, self.held.body.file.key());
        if let Err(error) =
            config.ledger.drop_kept(config.target.name(), &key, kept.offsets(), self.time.deadline).await
        {
            tracing::warn!(error = &error as &dyn std::error::Error, "what was kept of a delivered file is left over");
        }
    }
}
