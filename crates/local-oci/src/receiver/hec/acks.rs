//! Acknowledgements: ids by channel, true once and some time after.

use std::collections::{BTreeMap, HashMap};

use tokio::time::Instant;

use super::AckMode;

/// The ids that wait to be asked for.
#[derive(Debug, Default)]
pub(super) struct Acks {
    channels: HashMap<(String, String), Channel>,
    asked: u64,
}

#[derive(Debug, Default)]
struct Channel {
    next: u64,
    pending: HashMap<u64, Instant>,
}

impl Acks {
    /// A new id for a post on that channel, from 0.
    pub(super) fn issue(&mut self, token: &str, channel: &str, mode: AckMode) -> u64 {
        let channel = self.channels.entry((token.to_owned(), channel.to_owned())).or_default();
        let id = channel.next;
        channel.next += 1;
        let now = Instant::now();
        let due = match mode {
            AckMode::After(delay) => now + delay,
            AckMode::Never | AckMode::OtherNode => now,
        };
        channel.pending.insert(id, due);
        id
    }

    /// What each of `ids` is; one that is true is forgotten.
    pub(super) fn query(&mut self, token: &str, channel: &str, ids: &[u64], mode: AckMode) -> BTreeMap<String, bool> {
        self.asked += 1;
        let is_blind = match mode {
            AckMode::After(_) => false,
            AckMode::Never => true,
            AckMode::OtherNode => self.asked % 2 == 1,
        };
        let mut channel = self.channels.get_mut(&(token.to_owned(), channel.to_owned()));
        let mut answer = BTreeMap::new();
        for id in ids {
            let mut is_true = false;
            if let Some(channel) = channel.as_deref_mut()
                && !is_blind
                && channel.pending.get(id).is_some_and(|due| *due <= Instant::now())
            {
                channel.pending.remove(id);
                is_true = true;
            }
            answer.insert(id.to_string(), is_true);
        }
        answer
    }
}
