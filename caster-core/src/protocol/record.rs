//! The record of one peer, and the deadlines that follow from it.

use super::envelope::{Extension, capability};
use super::paths::{Origin, Paths};
use super::time::{Moment, Now, Span};
use crate::peer::{NodeId, Peer, PeerDetails};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

/// The interval presumed of an original before it has been observed: the default in the code of
/// caster 0.1.1.
const PRESUMED_BEAT: Duration = Duration::from_millis(2000);

/// The longest interval that is learned or believed. It bounds the time for which a peer can ask
/// to be waited for.
const MAX_BEAT: Duration = Duration::from_secs(60);

/// A claim about an original waits for one of its heartbeats, but no longer than this: an interval of the
/// default of caster 0.1.1, and a quarter more. Any program can invent an original with a long interval.
const MAX_SILENCE_OF_ORIGINAL: Duration = Duration::from_millis(2500);

/// A told interval beyond this many timeouts is believed only once it has been kept for
/// [`KEPT_BEATS`] heartbeats.
const MAX_TOLD: u32 = 4;
pub(super) const KEPT_BEATS: u8 = 5;

/// A peer of fewer heartbeats is not established: it is not probed, and a full table may evict it.
pub(super) const ESTABLISHED_BEATS: u8 = 2;

/// So many heartbeats with rising counts below the highest are of a node that was set back to an
/// earlier state, as a virtual machine may be. Fewer are repeated datagrams.
const SET_BACK: u8 = 4;

/// The count of an incarnation may rise by this much at once, and by one more in each
/// [`COUNT_STEP`]: a node sends at most `maxAnswers` (50 by default) heartbeats a second on request
/// beside its own, and a burst may be lost.
const COUNT_SLACK: u32 = 64;
const COUNT_STEP: Duration = Duration::from_millis(10);

/// A datagram of a peer.
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

impl Hearing<'_> {
    /// Whether it has the metadata of the peer, or the hash of it.
    pub(super) fn tells_metadata(&self) -> bool {
        self.meta.is_some() || self.extension.is_some_and(|it| it.meta_hash.is_some())
    }
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

/// The record of a peer. Its size counts: see the test of it.
#[derive(Debug)]
pub(super) struct Record {
    pub(super) id: NodeId,
    pub(super) meta: Option<Arc<str>>,
    pub(super) paths: Paths,
    pub(super) first_seen: u64,
    pub(super) last_seen: u64,
    pub(super) standing: Standing,
    /// When it was last heard or corroborated, by the monotonic clock.
    pub(super) heard: Moment,
    /// When a datagram of its own last came.
    pub(super) heard_itself: Moment,
    /// When its last heartbeat came, if the time since then says something about its interval.
    pub(super) beat_at: Option<Moment>,
    /// The longest of its last intervals between heartbeats, slowly forgotten.
    pub(super) beat: Option<Span>,
    /// The interval that it has told.
    pub(super) told: Option<Span>,
    /// Which incarnation this is; `None` for an original.
    pub(super) incarnation: Option<u32>,
    /// How many heartbeats this incarnation had sent when it was last heard.
    pub(super) count: u32,
    pub(super) loss_per_mille: u16,
    /// The port of its process for unicast; 0 if it has not told one.
    pub(super) port: u16,
    /// How many heartbeats of this incarnation came, up to 255.
    pub(super) beats: u8,
    /// The capabilities that `c` told.
    pub(super) capabilities: u8,
    /// The observed behaviour of its port.
    pub(super) port_state: PortState,
    /// Whether a datagram of it came that was sent to the group.
    pub(super) heard_by_group: bool,
    /// Of the secret of its leave; 0 if it has not told one.
    pub(super) leave_hash: u64,
    /// State that few peers have.
    pub(super) rare: Option<Box<Rare>>,
    /// Which entry in the heap is this record's: those with another time no longer count.
    pub(super) armed: Moment,
    /// Tells it from an earlier record in the same slot.
    pub(super) generation: u32,
}

/// The observed behaviour of the port of a peer's process in this incarnation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum PortState {
    /// It has not answered.
    #[default]
    Unknown,
    /// It has answered: a refusal is a sign of death.
    Answered,
    /// The peer says that a refusal of its port was falsely reported: a refusal proves nothing for
    /// as long as it says so.
    Misreported,
    /// It refused while the peer lived: a refusal proves nothing.
    Unreliable,
}

/// State that few peers have.
#[derive(Debug, Default)]
pub(super) struct Rare {
    /// The incarnation before this one, its count and its address: they tell a late datagram from
    /// a twin.
    pub(super) previous: Option<(u32, u32, IpAddr)>,
    pub(super) conflict_told: Option<Duration>,
    /// Until when two nodes are taken to share the id.
    pub(super) twin_until: Option<Duration>,
    /// The addresses that it has told to be its own.
    pub(super) own: Vec<IpAddr>,
    /// Restarts are told no more often than this.
    pub(super) restart_pause: Duration,
    pub(super) restart_told: Option<Duration>,
    /// The peer as it was before a restart that is yet to be told.
    pub(super) restarted: Option<Peer>,
    /// The members that last corroborated it, by a hash of their id, and when.
    pub(super) corroborators: [Option<(u64, Duration)>; 2],
    /// The hash of its metadata, if that was needed.
    pub(super) meta_hash: Option<u128>,
    /// The one that did so last.
    pub(super) last_corroborator: Option<NodeId>,
    /// When it was last heard, by the word of a member that no other one has confirmed lately.
    pub(super) lone_word: Option<Duration>,
    /// Whether a stranger has corroborated it in this silence.
    pub(super) stranger: bool,
    /// Until when the hint about a peer that is not heard directly is withheld.
    pub(super) one_way_told: bool,
    /// An interval other than the one that counts, and how many heartbeats in a row told it.
    pub(super) other_interval: Option<(Duration, u8)>,
    /// The last count below the highest, and how many of these have risen in a row.
    pub(super) below: (u32, u8),
}

impl Record {
    pub(super) fn details(&self) -> PeerDetails {
        PeerDetails {
            incarnation: self.incarnation,
            interval: self.told.map(Span::time),
            observed_interval: self.beat.map(Span::time),
            heartbeats: self.beats,
            capabilities: self.capabilities,
            unicast_port: (self.port != 0).then_some(self.port),
        }
    }

    pub(super) fn note(&mut self, hearing: &Hearing<'_>) {
        self.heard = hearing.now.mono.into();
        self.heard_itself = self.heard;
        self.heard_by_group |= hearing.origin.to_group;
        self.last_seen = hearing.now.unix_ms;
        let mut repeats = false;
        if let Some(extension) = hearing.extension {
            repeats = self.repeats(extension);
            if hearing.beat && self.incarnation == Some(extension.incarnation) {
                self.note_loss(extension.count);
            }
            self.incarnation = Some(extension.incarnation);
            self.count = extension.count.unwrap_or(self.count).max(self.count);
            if let Some(interval) = extension.interval {
                self.note_interval(Duration::from_millis(interval.into()).min(MAX_BEAT));
            }
            if self.leave_hash == 0 {
                self.leave_hash = extension.leave_hash.unwrap_or(0);
            }
            if let Some(port) = extension.port
                && port != self.port
            {
                self.port = port;
                self.port_state = PortState::Unknown;
            }
            if let Some(capabilities) = extension.capabilities {
                self.capabilities = capabilities as u8;
            }
            self.port_state = match (self.port_state, extension.misreported) {
                (PortState::Answered, true) => PortState::Misreported,
                (PortState::Misreported, false) => PortState::Answered,
                (state, _) => state,
            };
            if !extension.own.is_empty() && (self.rare.is_some() || extension.own.len() > 1) {
                self.rare_mut().own.clone_from(&extension.own);
            }
        }
        if hearing.beat {
            self.beats = self.beats.saturating_add(1);
            if !repeats || self.beat_at.is_none() {
                self.learn_beat(hearing.now.mono);
            }
        }
        if let Some(rare) = self.rare.as_deref_mut() {
            rare.below = (0, 0);
            rare.corroborators = [None; 2];
            rare.stranger = false;
            rare.lone_word = None;
        }
    }

    /// The interval of an incarnation does not change. Another one counts once it was kept for
    /// [`KEPT_BEATS`] heartbeats.
    fn note_interval(&mut self, interval: Duration) {
        if self.told.is_none_or(|told| told.time() == interval) {
            self.told = Some(interval.into());
            if let Some(rare) = self.rare.as_deref_mut() {
                rare.other_interval = None;
            }
            return;
        }
        let other = &mut self.rare_mut().other_interval;
        let kept = other.filter(|(known, _)| *known == interval).map_or(0, |(_, kept)| kept) + 1;
        *other = Some((interval, kept));
        if kept >= KEPT_BEATS {
            *other = None;
            self.told = Some(interval.into());
        }
    }

    /// Whether the highest count of this incarnation is told once more: heartbeats by unicast have
    /// the count of the next one to the group.
    fn repeats(&self, extension: &Extension) -> bool {
        self.incarnation == Some(extension.incarnation) && extension.count == Some(self.count)
    }

    /// Whether a heartbeat shows that the peer lives. One with a count that was heard before may be a
    /// repeated datagram.
    pub(super) fn is_news(
        &mut self,
        extension: &Extension,
        now: Duration,
        timeout: Duration,
    ) -> bool {
        let Some(count) = extension.count else { return true };
        if self.incarnation != Some(extension.incarnation) || count > self.count {
            return true;
        }
        if count == self.count {
            let patience = self.patience(timeout);
            return self.beat_at.is_none_or(|at| now <= at.time() + patience);
        }
        let (last, risen) = &mut self.rare_mut().below;
        *risen = if count > *last { *risen + 1 } else { 1 };
        *last = count;
        let set_back = *risen >= SET_BACK;
        if set_back {
            self.count = count;
        }
        set_back
    }

    /// When it was last heard itself, or two members had last corroborated it.
    pub(super) fn witnessed(&self) -> Duration {
        let second = self.rare.as_deref().and_then(|rare| rare.corroborators[1]);
        self.heard_itself.time().max(second.map_or(Duration::ZERO, |(_, at)| at))
    }

    /// Whether the word of one member is news that waits.
    pub(super) fn has_lone_word(&self) -> bool {
        let word = self.rare.as_deref().and_then(|rare| rare.lone_word);
        word.is_some_and(|heard| heard > self.heard.time())
    }

    /// The word of one member counts.
    pub(super) fn believe_lone_word(&mut self) {
        if let Some(heard) = self.rare_mut().lone_word.take() {
            self.heard = heard.into();
            self.standing = Standing::Alive;
        }
    }

    #[inline(never)]
    pub(super) fn rare_mut(&mut self) -> &mut Rare {
        self.rare.get_or_insert_default()
    }

    /// The addresses that the peer uses.
    pub(super) fn addresses(&self) -> impl Iterator<Item = IpAddr> {
        let told = self.rare.as_deref().map_or(&[][..], |rare| &rare.own);
        self.paths.as_slice().iter().map(|path| path.address).chain(told.iter().copied())
    }

    /// Those of them that are not believed because the peer was silent, or told from there.
    pub(super) fn confirmed_addresses(&self) -> Vec<IpAddr> {
        let paths = self.paths.as_slice();
        if paths.iter().all(|path| !path.by_silence) {
            return self.addresses().collect();
        }
        paths.iter().filter(|path| !path.by_silence).map(|path| path.address).collect()
    }

    /// Whether it is heard from this address, or has told that the address is its own.
    pub(super) fn uses(&self, address: IpAddr) -> bool {
        self.paths.has(address)
            || self.rare.as_deref().is_some_and(|rare| rare.own.contains(&address))
    }

    /// The highest count that this incarnation can have reached. The wall clock counts as well: the
    /// monotonic clock stands still while the host sleeps.
    pub(super) fn plausible_count(&self, now: Now) -> u32 {
        let by_wall = Duration::from_millis(now.unix_ms.saturating_sub(self.last_seen));
        let elapsed = now.mono.saturating_sub(self.heard_itself.time()).max(by_wall);
        let steps = elapsed.as_millis() / COUNT_STEP.as_millis();
        let steps = u32::try_from(steps).unwrap_or(u32::MAX);
        self.count.saturating_add(COUNT_SLACK).saturating_add(steps)
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

    /// Whether it sends heartbeats without the extension. Any program could have sent a single one.
    pub(super) fn is_original(&self) -> bool {
        self.incarnation.is_none() && self.is_established()
    }

    /// Whether it sends heartbeats and does not take messages in pieces.
    pub(super) fn lacks_pieces(&self) -> bool {
        self.beats > 0 && u32::from(self.capabilities) & capability::PIECES == 0
    }

    pub(super) fn is_established(&self) -> bool {
        self.beats >= ESTABLISHED_BEATS
    }

    pub(super) fn is_suspect(&self) -> bool {
        matches!(self.standing, Standing::Suspect { .. })
    }

    /// Whether two nodes have its id.
    pub(super) fn has_twin(&self, now: Duration) -> bool {
        let until = self.rare.as_deref().and_then(|rare| rare.twin_until);
        until.is_some_and(|until| now < until)
    }

    /// Suspect and worth a probe.
    pub(super) fn is_asked(&self) -> bool {
        self.is_suspect() && self.is_established()
    }

    /// The silence after which its port is asked, if that has answered before: later by a tenth of
    /// its interval than due. Half of that is jitter.
    pub(super) fn punctuality(&self) -> Option<Duration> {
        self.told
            .filter(|_| self.port_state == PortState::Answered)
            .map(|told| told.time() * 11 / 10)
    }

    /// Whether it is late before it is suspect.
    pub(super) fn may_be_late(&self, timeout: Duration) -> bool {
        self.punctuality().is_some_and(|time| time < self.patience(timeout))
    }

    /// How long it has to be silent before a claim about it may be believed, if it is an original.
    pub(super) fn silence_of_original(&self) -> Duration {
        self.beat.map_or(Duration::ZERO, Span::time).min(MAX_SILENCE_OF_ORIGINAL)
    }

    /// How long it may be silent before it is suspect. A Caster node will be asked; an original
    /// cannot be, so it gets more.
    pub(super) fn patience(&self, timeout: Duration) -> Duration {
        match self.told {
            Some(told) if self.beats < KEPT_BEATS => {
                timeout.max(told.time().min(timeout * MAX_TOLD) * 2)
            }
            Some(told) => timeout.max(told.time() * 2),
            None => timeout.max(self.beat.map_or(PRESUMED_BEAT, Span::time) * 5 / 2),
        }
    }

    /// With up to `slack` more for a heartbeat that is due.
    pub(super) fn deadline(&self, timeout: Duration, slack: Duration) -> Duration {
        let mut patience = self.patience(timeout);
        if !slack.is_zero() {
            let due = self.told.map_or(Duration::ZERO, |told| told.time() * 21 / 10);
            patience += due.saturating_sub(patience).min(slack);
        }
        match self.standing {
            Standing::Alive => {
                let silence = self.punctuality().map_or(patience, |time| time.min(patience));
                self.heard.time() + silence
            }
            Standing::Late => self.heard.time() + patience,
            Standing::Suspect { next, .. } => next.time(),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::protocol::envelope::Extension;
    use crate::protocol::membership::Membership;
    use crate::protocol::record::Hearing;
    use crate::protocol::time::Now;
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    /// Secure mode keeps what it knows of a peer elsewhere: no byte of these is for it.
    #[test]
    #[cfg(target_pointer_width = "64")]
    fn a_peer_takes_no_more_bytes_because_there_is_a_secure_mode() {
        assert_eq!(size_of::<super::Record>(), 184);
        assert_eq!(size_of::<Option<super::Record>>(), 184);
    }

    /// When a peer that tells this interval and has sent so many heartbeats becomes suspect.
    fn suspect_after(interval: u32, beats: u32) -> Duration {
        suspect_after_these(&vec![interval; beats as usize])
    }

    /// The same for heartbeats with these intervals, all at once.
    fn suspect_after_these(intervals: &[u32]) -> Duration {
        let id = &crate::peer::NodeId::new("a").unwrap();
        let mut table = Membership::new(Duration::from_secs(2), 10);
        let mut random = super::super::random::Random::new(1);
        for (count, interval) in (0..).zip(intervals) {
            let (incarnation, count) = (1, Some(count));
            let interval = Some(*interval);
            let extension = Extension { incarnation, count, interval, ..Extension::default() };
            let (now, extension) = (Now { mono: Duration::ZERO, unix_ms: 0 }, Some(&extension));
            let hearing =
                Hearing { id, origin: HERE.into(), meta: None, beat: true, extension, now };
            table.hear(hearing).unwrap();
        }
        loop {
            let due = table.next_deadline().unwrap();
            if table.next_transition(due, &mut random).is_some() {
                return Duration::from_millis(due.as_millis() as u64);
            }
        }
    }

    #[test]
    fn another_interval_counts_once_it_was_kept_for_five_heartbeats() {
        let told = |others: &[u32]| suspect_after_these(&[&[1000; 6], others].concat()).as_secs();
        assert_eq!(told(&[20_000]), 2);
        assert_eq!(told(&[20_000; 4]), 2);
        assert_eq!(told(&[20_000; 5]), 40);
        assert_eq!(told(&[20_000, 20_000, 1000, 20_000, 20_000, 20_000]), 2);
        assert_eq!(told(&[20_000, 20_000, 30_000, 20_000, 20_000, 20_000]), 2);
    }

    #[test]
    fn a_told_interval_counts_in_full_once_it_was_kept_and_up_to_its_bound() {
        for (interval, beats, seconds) in
            [(500, 5, 2), (3000, 4, 6), (20_000, 4, 16), (20_000, 5, 40), (3_600_000, 5, 120)]
        {
            let expected = Duration::from_secs(seconds);
            assert_eq!(suspect_after(interval, beats), expected, "{interval} {beats}");
        }
    }
}
