//! What is known of one peer, and the deadlines that follow from it.

use super::envelope::Extension;
use super::paths::{Origin, Paths};
use super::time::{Moment, Now};
use crate::peer::NodeId;
use std::sync::Arc;
use std::time::Duration;

/// Before the beat of an original is known, it is judged as if it were 2 s, the default of the
/// code of caster 0.1.1.
const PRESUMED_BEAT: Duration = Duration::from_millis(2000);

/// The longest beat that is learned or believed, so that nobody can ask to be waited for for ever.
const MAX_BEAT: Duration = Duration::from_secs(60);

/// Somebody was heard.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hearing<'a> {
    pub id: &'a NodeId,
    pub origin: Origin,
    pub meta: Option<&'a str>,
    /// Whether it was a heartbeat.
    pub beat: bool,
    pub extension: Option<&'a Extension>,
    pub now: Now,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Alive,
    /// An original whose heartbeat has not come: its host is asked whether it is still there.
    Late,
    /// When the next probe is due, or after the last one the transition.
    Suspect {
        probes: u32,
        next: Moment,
    },
}

/// What is known of a peer. Its size counts: see the test of it.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) id: NodeId,
    pub(super) meta: Option<Arc<str>>,
    pub(super) paths: Paths,
    pub(super) first_seen: u64,
    pub(super) last_seen: u64,
    pub(super) standing: Standing,
    /// When it was last heard, by the monotonic clock.
    pub(super) heard: Moment,
    /// When its last heartbeat came, if the time since then says something about its beat.
    pub(super) beat_at: Option<Moment>,
    /// The longest of its last intervals between heartbeats, slowly forgotten.
    pub(super) beat: Option<Moment>,
    /// The interval that it has told.
    pub(super) told: Option<Moment>,
    /// Which incarnation this is; `None` for an original.
    pub(super) incarnation: Option<u32>,
    /// How many heartbeats this incarnation had sent when it was last heard.
    pub(super) count: u32,
    pub(super) loss_per_mille: u16,
    /// Whether it has beaten at all.
    pub(super) beats: bool,
    /// What few have.
    pub(super) past: Option<Box<Past>>,
    /// Which entry in the heap is this record's: those with another time no longer count.
    pub(super) armed: Moment,
}

/// Of a peer that was another incarnation before.
#[derive(Debug)]
pub(super) struct Past {
    /// The incarnation before this one and its count, to tell a late datagram from a twin.
    pub(super) previous: (u32, u32),
    pub(super) conflict_told: Option<Duration>,
}

impl Record {
    pub(super) fn note(&mut self, hearing: &Hearing<'_>) {
        self.heard = hearing.now.mono.into();
        self.last_seen = hearing.now.unix_ms;
        if let Some(extension) = hearing.extension {
            if hearing.beat && self.incarnation == Some(extension.incarnation) {
                self.note_loss(extension.count);
            }
            self.incarnation = Some(extension.incarnation);
            self.count = extension.count.unwrap_or(self.count).max(self.count);
            let told = extension.interval.map(|ms| Duration::from_millis(ms.into()).min(MAX_BEAT));
            self.told = told.map(Moment::from).or(self.told);
        }
        if hearing.beat {
            self.beats = true;
            self.learn_beat(hearing.now.mono);
        }
    }

    /// Each heartbeat that has or has not arrived moves the estimate by a 32nd.
    pub(super) fn note_loss(&mut self, count: Option<u32>) {
        let Some(news) = count.and_then(|count| count.checked_sub(self.count)).filter(|&n| n > 0)
        else {
            return;
        };
        for missed in (0..news.min(100)).rev().map(|left| left > 0) {
            let target = if missed { 1000 } else { 0 };
            let loss = i32::from(self.loss_per_mille);
            // Rounded away from where it is, so that it reaches both ends.
            let step = (target - loss) / 32 + (target - loss).signum();
            self.loss_per_mille = (loss + step).clamp(0, 1000) as u16;
        }
    }

    pub(super) fn learn_beat(&mut self, now: Duration) {
        if let Some(last) = self.beat_at {
            let interval = now.saturating_sub(last.time()).min(MAX_BEAT);
            let beat = self.beat.map_or(interval, |beat| interval.max(beat.time() * 7 / 8));
            self.beat = Some(beat.into());
        }
        self.beat_at = Some(now.into());
    }

    /// It beats, and not as a Caster node does.
    pub(super) fn is_original(&self) -> bool {
        self.incarnation.is_none() && self.beats
    }

    pub(super) fn is_suspect(&self) -> bool {
        matches!(self.standing, Standing::Suspect { .. })
    }

    /// Whether two nodes have its id.
    pub(super) fn has_twin(&self) -> bool {
        self.past.as_ref().is_some_and(|past| past.conflict_told.is_some())
    }

    /// How long an original may be silent before its host is asked.
    pub(super) fn punctuality(&self) -> Option<Duration> {
        self.beat.filter(|_| self.is_original()).map(|beat| beat.time() * 3 / 2)
    }

    /// Whether an original is late before it is suspect.
    pub(super) fn may_be_late(&self, timeout: Duration) -> bool {
        self.punctuality().is_some_and(|time| time < self.patience(timeout))
    }

    /// How long it may be silent before it is suspect. A Caster node will be asked; an original
    /// cannot be, so it gets more.
    pub(super) fn patience(&self, timeout: Duration) -> Duration {
        match self.told {
            Some(told) => timeout.max(told.time() * 2),
            None => timeout.max(self.beat.map_or(PRESUMED_BEAT, Moment::time) * 5 / 2),
        }
    }

    pub(super) fn deadline(&self, timeout: Duration) -> Duration {
        match self.standing {
            Standing::Alive => {
                let patience = self.patience(timeout);
                let silence = self.punctuality().map_or(patience, |time| time.min(patience));
                self.heard.time() + silence
            }
            Standing::Late => self.heard.time() + self.patience(timeout),
            Standing::Suspect { next, .. } => next.time(),
        }
    }
}
