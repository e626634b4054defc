//! The names of what is done. They carry the counts, so that a listing alone proves what became of a window.
//!
//! ```text
//! seen/<span>/<destination>/<batch>[.<from>-<until>]~<sent>~<dead>
//! seen/<span>/fetch/<look>.<region>.<part>[.<continuation>]~<account>
//! ```
//! An `<account>` is `<listed>.<filtered>.<summaries>.<dead>.<redacted>`, and for each destination
//! `~<destination>.<put>.<known>`.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::Serialize;

use crate::{Destination, FetchKey, InvalidReceiptName, Lane, ShipKey, Window};

/// Where the accounts of listing work lie; no destination has this name.
const FETCH: &str = "fetch";

/// The receipt of work that is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Listing work, and what it found.
    Fetched(FetchKey, Account),
    /// A batch, or a range of it, and what became of its events. Its body tells later looks which events those are.
    Shipped(Destination, ShipKey, Tally),
}

/// What became of the events of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Taken by the destination.
    pub sent: u32,
    /// Dead letters.
    pub dead: u32,
}

/// What one piece of listing work found, in events. For each destination `listed + summaries` is
/// `filtered + put + known`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Account {
    /// As listed; what was listed in vain, and is listed again under another key, does not count.
    pub listed: u64,
    /// Replaced by a summary.
    pub filtered: u64,
    /// Summaries, which nobody listed.
    pub summaries: u64,
    /// Events that no put can hold: they lie in the bucket, and what is put in their place counts as put.
    pub dead: u64,
    /// Values that were withheld.
    pub redacted: u64,
    /// By destination.
    pub owed: BTreeMap<Destination, Owing>,
}

/// What one destination was owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Owing {
    /// Put on the stream for it.
    pub put: u64,
    /// On their way to it before.
    pub known: u64,
}

impl Seen {
    /// The window that the work belonged to.
    pub fn window(&self) -> Window {
        match self {
            Self::Fetched(key, _) => key.window,
            Self::Shipped(_, key, _) => key.window,
        }
    }

    /// Live or backfill.
    pub fn lane(&self) -> Lane {
        match self {
            Self::Fetched(key, _) => key.lane,
            Self::Shipped(_, key, _) => key.lane,
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { listed, filtered, summaries, dead, redacted, owed } = self;
        write!(f, "{listed}.{filtered}.{summaries}.{dead}.{redacted}")?;
        owed.iter().try_for_each(|(destination, Owing { put, known })| write!(f, "~{destination}.{put}.{known}"))
    }
}

impl FromStr for Account {
    type Err = InvalidReceiptName;

    fn from_str(text: &str) -> Result<Self, InvalidReceiptName> {
        let number = |text: &str| text.parse::<u64>().map_err(|_| InvalidReceiptName);
        let mut fields = text.split('~');
        let counts: Vec<&str> = fields.next().unwrap_or_default().split('.').collect();
        let &[listed, filtered, summaries, dead, redacted] = counts.as_slice() else { return Err(InvalidReceiptName) };
        let owing = |field: &str| match field.split('.').collect::<Vec<_>>().as_slice() {
            [destination, put, known] => Ok((destination.parse()?, Owing { put: number(put)?, known: number(known)? })),
            _ => Err(InvalidReceiptName),
        };
        Ok(Self {
            listed: number(listed)?,
            filtered: number(filtered)?,
            summaries: number(summaries)?,
            dead: number(dead)?,
            redacted: number(redacted)?,
            owed: fields.map(owing).collect::<Result<_, _>>()?,
        })
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A key begins with its span, which is a folder here.
        let write = |f: &mut fmt::Formatter<'_>, lane: Lane, window, folder: &str, key: String| {
            let span = lane.span(window);
            let rest = key.strip_prefix(&span).and_then(|rest| rest.strip_prefix('.')).unwrap_or(&key);
            write!(f, "seen/{span}/{folder}/{rest}")
        };
        match self {
            Self::Fetched(key, account) => {
                write(f, key.lane, key.window, FETCH, key.to_string())?;
                write!(f, "~{account}")
            }
            Self::Shipped(destination, key, tally) => {
                write(f, key.lane, key.window, destination.as_str(), key.to_string())?;
                write!(f, "~{}~{}", tally.sent, tally.dead)
            }
        }
    }
}

impl FromStr for Seen {
    type Err = InvalidReceiptName;

    fn from_str(name: &str) -> Result<Self, InvalidReceiptName> {
        let fields: Vec<&str> = name.split('/').collect();
        let &["seen", span, folder, rest] = fields.as_slice() else { return Err(InvalidReceiptName) };
        let (key, counts) = rest.split_once('~').ok_or(InvalidReceiptName)?;
        let key = format!("{span}.{key}");
        if folder == FETCH {
            return Ok(Self::Fetched(key.parse()?, counts.parse()?));
        }
        let (sent, dead) = counts.split_once('~').ok_or(InvalidReceiptName)?;
        let number = |text: &str| text.parse().map_err(|_| InvalidReceiptName);
        let tally = Tally { sent: number(sent)?, dead: number(dead)? };
        Ok(Self::Shipped(folder.parse()?, key.parse()?, tally))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_as_it_was_written() {
        for name in [
            "seen/20260105T2120Z-20260105T2125Z/splunk/us-ashburn-1.00ff~25~0",
            "seen/20260105T2120Z-20260105T2125Z/splunk/us-ashburn-1.00ff.10-25~14~1",
            "seen/backfill.20260105T0000Z-20260106T0000Z/on-call-2/us-ashburn-1.00ff~0~3",
            "seen/20260105T2120Z-20260105T2125Z/fetch/1.us-ashburn-1.0~120.96.1.0.3~second.0.25~splunk.25.0",
            "seen/20260105T2120Z-20260105T2125Z/fetch/2.us-ashburn-1.7.3~0.0.0.0.0",
        ] {
            assert_eq!(name.parse::<Seen>().unwrap().to_string(), name);
        }
    }

    #[test]
    fn a_foreign_name_is_refused() {
        for name in [
            "",
            "seen/x",
            "seen/20260105T2120Z-20260105T2125Z/splunk/us-ashburn-1.00ff",
            "seen/20260105T2120Z-20260105T2125Z/splunk/us-ashburn-1.00ff~1",
            "seen/20260105T2120Z-20260105T2125Z/Splunk/us-ashburn-1.00ff~1~0",
            "seen/20260105T2120Z-20260105T2125Z/fetch/1.us-ashburn-1.0~1.2.3.4",
            "seen/20260105T2120Z-20260105T2125Z/fetch/1.us-ashburn-1.0~1.2.3.4.5~splunk.1",
            "owed/ship/splunk/20260105T2120Z-20260105T2125Z.us-ashburn-1.00ff~0",
        ] {
            assert_eq!(name.parse::<Seen>(), Err(InvalidReceiptName), "{name}");
        }
    }
}
