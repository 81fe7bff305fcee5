//! Which identity each id belongs to, as long as the node exists.

use crate::peer::NodeId;
use crate::secure::identity::PublicKey;
use crate::sort::SortedMap;
use std::time::Duration;

/// How many ids are kept while they are not up.
const MAX_OWNERS: usize = 4096;

/// How many ids one identity may have.
const MAX_IDS: usize = 64;

/// How often a conflict about one id is told.
const TOLD_EVERY: Duration = Duration::from_secs(60);

/// The identities of ids.
#[derive(Debug, Default)]
pub(crate) struct Owners {
    by_id: SortedMap<NodeId, Owner>,
    count: u64,
}

#[derive(Debug)]
struct Owner {
    key: PublicKey,
    number: u64,
    told: Option<Duration>,
}

impl Owners {
    /// The identity of an id.
    pub fn of(&self, id: &NodeId) -> Option<PublicKey> {
        self.by_id.get(id).map(|owner| owner.key)
    }

    /// An id without an identity has this one from now on. Returns whether it has. `is_up` tells of which ids
    /// the identity must not be forgotten.
    pub fn claim(&mut self, id: &NodeId, key: PublicKey, is_up: impl Fn(&NodeId) -> bool) -> bool {
        if self.by_id.iter().filter(|(_, owner)| owner.key == key).count() >= MAX_IDS {
            return false;
        }
        if self.by_id.len() >= MAX_OWNERS {
            let gone = self.by_id.iter().filter(|(id, _)| !is_up(id));
            let oldest = gone.min_by_key(|(_, owner)| owner.number).map(|(id, _)| id.clone());
            oldest.map(|id| self.by_id.remove(&id));
        }
        self.count += 1;
        self.by_id.insert(id.clone(), Owner { key, number: self.count, told: None });
        true
    }

    /// The next identity of this id is accepted. Returns whether it had one.
    pub fn forget(&mut self, id: &NodeId) -> bool {
        self.by_id.remove(id).is_some()
    }

    /// Whether it is time to tell that another one uses this id.
    pub fn notice_conflict(&mut self, id: &NodeId, now: Duration) -> bool {
        let Some(owner) = self.by_id.get_mut(id) else { return false };
        let is_due = owner.told.is_none_or(|told| now >= told + TOLD_EVERY);
        if is_due {
            owner.told = Some(now);
        }
        is_due
    }
}
