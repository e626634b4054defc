//! Following `opc-next-page` to the end, and to an end.

use std::collections::HashSet;

use crate::{Error, answer::Answer};

/// The tokens of one listing, each of which may come once.
#[derive(Debug, Default)]
pub(crate) struct Pages {
    seen: HashSet<String>,
    next: Option<String>,
}

impl Pages {
    /// Takes the next token out of `answer`; true where there is one. A page may be empty and not the last.
    ///
    /// A token that comes again would turn the listing into a circle; that is an answer of the wrong shape.
    pub(crate) fn follow(&mut self, answer: &Answer) -> Result<bool, Error> {
        self.next = answer.next_page().map(str::to_owned);
        match &self.next {
            Some(token) if !self.seen.insert(token.clone()) => Err(answer.unexpected("opc-next-page, which repeats")),
            next => Ok(next.is_some()),
        }
    }

    /// What to send as `page`.
    pub(crate) fn token(&self) -> Option<&str> {
        self.next.as_deref()
    }
}
