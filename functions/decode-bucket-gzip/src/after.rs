//! What becomes of a file that is delivered.

use workbench::Deadline;

use crate::{After, App, file::File};

/// Keeps, deletes or moves the file, as configured. It is delivered either way: what fails here is done by the next search.
pub(crate) async fn put_away(app: &App, file: &File, deadline: Deadline) {
    let bucket = app.config.connection.client.bucket(&file.namespace, &file.bucket);
    let File { object, etag, .. } = file;
    let done = match &app.config.after {
        After::Keep => return,
        After::Delete => bucket.delete(object, Some(etag), deadline).await,
        After::Move { prefix } => {
            let moved = bucket.rename_version(object, etag, &format!("{prefix}{object}"), deadline).await;
            match moved {
                // An earlier version of that name was moved there, and is not to be overwritten. Where it is this file
                // that has another version now, that one is refused here, too.
                Err(error) if error.is_precondition_failed() => {
                    bucket.rename_version(object, etag, &format!("{prefix}{object}~{etag}"), deadline).await.map(drop)
                }
                moved => moved.map(drop),
            }
        }
    };
    match done {
        Ok(()) => {}
        // Gone, or another version: nothing is left to be done to this one.
        Err(error) if error.is_object_not_found() || error.is_precondition_failed() => {}
        Err(error) => tracing::warn!(
            error = &error as &dyn std::error::Error,
            "a delivered file cannot be deleted or moved; the next search tries again"
        ),
    }
}
