//! Whether the local node rather than its peers has lost the network.
//!
//! When all peers fall silent at once, either they have died or the local node is cut off. Signs
//! of its own: it has no interface, or no longer hears its own heartbeats. Signs of theirs: another
//! host has refused a datagram, so the network carries datagrams both ways.

use std::time::Duration;

/// How long transitions are withheld with a sign of the node's own, in timeouts.
const HOLD: u32 = 10;

/// How long they are withheld without a sign of either kind, in timeouts after the first was due.
/// Three survive a stop of all other processes for 6 s at the defaults.
const HOLD_WITHOUT_SIGN: u32 = 3;

/// A transition that is withheld is due again after this time.
pub(super) const WITHHELD_AGAIN: Duration = Duration::from_millis(50);

/// While a suspect is probed, a peer that is none is asked too if no peer was heard for so long. If it has
/// been asked for [`ASKED_IN_VAIN`] and none is heard, the silence of the suspect says nothing.
const UNHEARD: Duration = Duration::from_millis(100);
const ASKED_IN_VAIN: Duration = Duration::from_millis(200);

/// How many heartbeats of its own a node may fail to hear before it takes itself for cut off.
const MISSED_ECHOES: u32 = 3;

/// Why the node takes itself for cut off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// It has no interface beyond the loopback interface.
    NoLink,
    /// It does not hear its own heartbeats.
    NoEcho,
    /// It does not hear any peer.
    Silence,
}

/// A change of the state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Isolated,
    /// With the time at which the silence had begun.
    Rejoined(Duration),
}

#[derive(Debug)]
pub(crate) struct Isolation {
    heartbeat: Duration,
    timeout: Duration,
    /// Whether the node hears its own datagrams at all.
    loopback: bool,
    state: Option<(Duration, Cause)>,
    heard_others: Option<Duration>,
    /// When the silence began in which it took itself for cut off.
    silent_from: Duration,
    /// When a datagram showed that the network works both ways.
    reachable: Option<Duration>,
    /// When the first transition was withheld in this silence.
    withheld: Option<Duration>,
    /// When a peer that is no suspect was first asked in this silence.
    asked: Option<Duration>,
    /// The count of heartbeats at the last echo, and when it came.
    echoed: Option<(u32, Duration)>,
    echoed_beyond_host: bool,
}

impl Isolation {
    pub fn new(heartbeat: Duration, timeout: Duration, loopback: bool) -> Self {
        Self {
            heartbeat,
            timeout,
            loopback,
            state: None,
            heard_others: None,
            silent_from: Duration::ZERO,
            reachable: None,
            withheld: None,
            asked: None,
            echoed: None,
            echoed_beyond_host: false,
        }
    }

    pub fn loopback(&self) -> bool {
        self.loopback
    }

    /// Whether an own heartbeat has come back.
    pub fn has_echo(&self) -> bool {
        self.echoed.is_some()
    }

    /// Whether an echo has come by another interface than the loopback interface: then the loopback
    /// interface says nothing about the network.
    pub fn echoed_beyond_host(&self) -> bool {
        self.echoed_beyond_host
    }

    /// Another node was heard over the network.
    pub fn heard_other(&mut self, now: Duration) -> Option<Change> {
        self.heard_others = Some(now);
        self.withheld = None;
        self.asked = None;
        match self.state {
            Some((_, Cause::Silence | Cause::NoEcho)) => self.rejoin(),
            _ => None,
        }
    }

    /// Its own heartbeat has come back, `count` heartbeats having been sent.
    pub fn heard_echo(&mut self, count: u32, beyond_host: bool, now: Duration) -> Option<Change> {
        if !self.loopback {
            return None;
        }
        self.echoed_beyond_host |= beyond_host;
        self.echoed = Some((count, now));
        match self.state {
            Some((_, Cause::NoEcho)) => self.rejoin(),
            _ => None,
        }
    }

    /// Another host has refused a datagram, or answered one.
    pub fn reached_host(&mut self, now: Duration) -> Option<Change> {
        self.reachable = Some(now);
        match self.state {
            Some((_, Cause::Silence)) => self.rejoin(),
            _ => None,
        }
    }

    /// There are so many interfaces beyond the loopback interface, `count` heartbeats having been
    /// sent.
    pub fn links(&mut self, links: usize, count: u32, now: Duration) -> Option<Change> {
        match self.state {
            None if links == 0 => self.isolate(Cause::NoLink, now),
            Some((since, _)) if links == 0 => {
                self.state = Some((since, Cause::NoLink));
                None
            }
            Some((_, Cause::NoLink)) => {
                // Peers and the echo get as long as if they had just been heard.
                self.echoed = self.echoed.map(|_| (count, now));
                self.heard_others = Some(now);
                self.rejoin()
            }
            _ => None,
        }
    }

    /// A heartbeat is about to be sent, `count` having been sent before.
    pub fn beat(&mut self, count: u32, now: Duration) -> Option<Change> {
        let silent = |last| now > last + self.timeout;
        match self.state.is_none()
            && self.misses_echo(count, now, self.doubtful())
            && self.heard_others.is_none_or(silent)
        {
            true => self.isolate(Cause::NoEcho, now),
            false => None,
        }
    }

    /// Whether the transition of a peer to down is withheld. `established` is the number of
    /// established peers, `suspects` how many of them are suspect.
    pub fn withholds(
        &mut self,
        count: u32,
        established: usize,
        suspects: usize,
        now: Duration,
    ) -> (bool, Option<Change>) {
        let withheld = *self.withheld.get_or_insert(now);
        if let Some((since, cause)) = self.state {
            return match cause {
                Cause::Silence => (now < withheld + self.hold_without_sign(), None),
                _ => (now < since + self.timeout * HOLD, None),
            };
        }
        if self.is_silent(now) && self.misses_echo(count, now, self.doubtful()) {
            return (true, self.isolate(Cause::NoEcho, now));
        }
        if self.is_unheard(now) && self.misses_echo(count, now, ASKED_IN_VAIN) {
            return (true, None);
        }
        if !self.doubts(established, now) {
            let asked_in_vain = self.asked.is_some_and(|at| now >= at + ASKED_IN_VAIN);
            return (asked_in_vain && !self.is_silent(now), None);
        }
        let hold = now < withheld + self.hold_without_sign();
        match hold && suspects >= established {
            true => (hold, self.isolate(Cause::Silence, now)),
            false => (hold, None),
        }
    }

    /// Whether all others are silent, and nothing shows that the network works: a sign is sought.
    /// One peer that falls silent is down; several at the same time may not be.
    pub fn doubts(&self, established: usize, now: Duration) -> bool {
        let reached = self.reachable.is_some_and(|at| self.heard_others.is_none_or(|h| at > h));
        established >= 2 && self.is_silent(now) && !reached
    }

    /// Whether a peer that is no suspect is to be asked, so that one is heard if the network works.
    pub fn seeks_witness(&self, now: Duration) -> bool {
        self.state.is_none() && self.is_unheard(now) && !self.is_silent(now)
    }

    pub fn asked_witness(&mut self, now: Duration) {
        self.asked.get_or_insert(now);
    }

    fn is_unheard(&self, now: Duration) -> bool {
        self.heard_others.is_none_or(|last| now > last + UNHEARD)
    }

    fn is_silent(&self, now: Duration) -> bool {
        self.heard_others.is_none_or(|last| now > last + self.doubtful())
    }

    /// A silence or a missing echo says something after this time.
    fn doubtful(&self) -> Duration {
        self.heartbeat * 5 / 4
    }

    /// The local node was away for `gap`.
    pub fn shift(&mut self, gap: Duration) {
        self.heard_others = self.heard_others.map(|at| at + gap);
        self.echoed = self.echoed.map(|(count, at)| (count, at + gap));
        self.withheld = self.withheld.map(|at| at + gap);
        self.asked = self.asked.map(|at| at + gap);
    }

    /// Less the time after which a withheld transition is due again, four times: the peers fall due at
    /// different times.
    fn hold_without_sign(&self) -> Duration {
        (self.timeout * HOLD_WITHOUT_SIGN).saturating_sub(WITHHELD_AGAIN * 4)
    }

    /// A node that used to hear itself and no longer does has lost its network. Several heartbeats that
    /// were just sent, as probes are, may be under way.
    fn misses_echo(&self, count: u32, now: Duration, time: Duration) -> bool {
        self.echoed.is_some_and(|(echoed, at)| {
            count >= echoed.saturating_add(MISSED_ECHOES) && now > at + time
        })
    }

    fn isolate(&mut self, cause: Cause, now: Duration) -> Option<Change> {
        self.silent_from = self.heard_others.unwrap_or(now).min(now);
        self.state = Some((now, cause));
        Some(Change::Isolated)
    }

    fn rejoin(&mut self) -> Option<Change> {
        self.withheld = None;
        self.state.take().map(|_| Change::Rejoined(self.silent_from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn isolation() -> Isolation {
        let mut isolation = Isolation::new(secs(1), secs(2), true);
        isolation.heard_other(secs(10));
        isolation
    }

    #[test]
    fn silence_of_several_without_a_sign_holds_for_three_timeouts() {
        let mut isolation = isolation();
        assert_eq!(isolation.withholds(9, 2, 1, secs(13)), (true, None));
        assert_eq!(isolation.withholds(9, 2, 2, secs(13)), (true, Some(Change::Isolated)));
        assert_eq!(isolation.withholds(9, 2, 2, secs(18)), (true, None));
        assert_eq!(isolation.withholds(9, 2, 2, secs(19)), (false, None));
        assert_eq!(isolation.heard_other(secs(20)), Some(Change::Rejoined(secs(10))));
    }

    #[test]
    fn silence_of_one_or_while_another_is_heard_is_believed() {
        let mut isolation = isolation();
        assert_eq!(isolation.withholds(9, 1, 1, secs(13)), (false, None));
        isolation.heard_other(secs(13));
        assert_eq!(isolation.withholds(9, 5, 4, secs(14)), (false, None));
    }

    #[test]
    fn a_refusal_by_another_host_shows_that_the_network_works() {
        let mut isolation = isolation();
        isolation.withholds(9, 2, 2, secs(13));
        assert_eq!(isolation.reached_host(secs(14)), Some(Change::Rejoined(secs(10))));
        assert_eq!(isolation.withholds(9, 2, 2, secs(14)), (false, None));
    }

    #[test]
    fn missing_echoes_count_only_while_loopback_is_on() {
        let mut with = isolation();
        with.heard_echo(5, true, secs(10));
        assert_eq!(with.withholds(8, 1, 1, secs(13)), (true, Some(Change::Isolated)));
        assert_eq!(with.withholds(8, 1, 1, secs(32)), (true, None));
        assert_eq!(with.withholds(8, 1, 1, secs(33)), (false, None));
        let mut without = Isolation::new(secs(1), secs(2), false);
        without.heard_echo(5, true, secs(10));
        assert_eq!(without.withholds(100, 1, 1, secs(13)), (false, None));
    }

    #[test]
    fn echoes_of_heartbeats_that_were_just_sent_are_not_missing() {
        let ms = Duration::from_millis;
        for (missing, at) in [(false, ms(11_250)), (true, ms(11_251))] {
            let expected = missing.then_some(Change::Isolated);
            let mut isolation = isolation();
            isolation.heard_echo(5, true, secs(10));
            assert_eq!(isolation.withholds(8, 1, 1, at), (true, expected));
            let mut isolation = self::isolation();
            isolation.heard_echo(5, true, secs(12));
            assert_eq!(isolation.beat(8, at + secs(2)), expected);
            let mut isolation = self::isolation();
            isolation.heard_echo(5, true, secs(10));
            isolation.shift(secs(5));
            assert_eq!(isolation.withholds(8, 1, 1, at + secs(5)), (true, expected));
        }
    }

    #[test]
    fn a_transition_waits_while_the_echoes_of_the_probes_are_missing() {
        let at = secs(10) + UNHEARD + ASKED_IN_VAIN;
        for (count, echo_at, waits) in
            [(8, secs(10), true), (7, secs(10), false), (8, at - ASKED_IN_VAIN, false)]
        {
            let mut isolation = isolation();
            isolation.heard_echo(5, true, echo_at);
            assert_eq!(isolation.withholds(count, 1, 1, at), (waits, None));
            isolation.heard_other(at);
            assert_eq!(isolation.withholds(count, 2, 1, at + UNHEARD), (false, None));
        }
    }

    #[test]
    fn a_transition_waits_while_another_peer_is_asked_in_vain() {
        let mut isolation = isolation();
        let asked = secs(10) + UNHEARD + Duration::from_millis(1);
        assert!(!isolation.seeks_witness(secs(10) + UNHEARD));
        assert!(isolation.seeks_witness(asked));
        isolation.asked_witness(asked);
        isolation.asked_witness(asked + UNHEARD);
        let in_vain = asked + ASKED_IN_VAIN;
        assert_eq!(isolation.withholds(9, 3, 1, in_vain - UNHEARD), (false, None));
        assert_eq!(isolation.withholds(9, 3, 1, in_vain), (true, None));
        isolation.shift(secs(1));
        assert_eq!(isolation.withholds(9, 3, 1, in_vain), (false, None));
        assert_eq!(isolation.withholds(9, 3, 1, in_vain + secs(1)), (true, None));
        isolation.heard_other(in_vain + secs(1));
        assert_eq!(isolation.withholds(9, 3, 1, in_vain + secs(1)), (false, None));
        assert!(!isolation.seeks_witness(secs(14)), "from then on the silence itself is a sign");
    }

    #[test]
    fn a_sign_is_sought_while_all_of_several_are_silent() {
        let mut isolation = isolation();
        assert!(!isolation.doubts(2, secs(11)));
        assert!(isolation.doubts(2, secs(12)));
        assert!(!isolation.doubts(1, secs(12)));
        isolation.reached_host(secs(12));
        assert!(!isolation.doubts(2, secs(13)));
        isolation.heard_other(secs(14));
        assert!(isolation.doubts(2, secs(16)));
    }

    #[test]
    fn a_link_that_comes_back_is_one_rejoin() {
        let mut isolation = isolation();
        isolation.heard_echo(5, true, secs(10));
        assert_eq!(isolation.links(0, 6, secs(11)), Some(Change::Isolated));
        assert_eq!(isolation.links(0, 9, secs(14)), None);
        assert_eq!(isolation.links(1, 9, secs(15)), Some(Change::Rejoined(secs(10))));
        assert_eq!(isolation.beat(10, secs(16)), None);
        assert_eq!(isolation.withholds(10, 2, 2, secs(16)), (false, None));
        assert_eq!(isolation.beat(11, secs(18)), None, "the echo has as long as after a start");
        assert_eq!(isolation.beat(12, secs(18)), Some(Change::Isolated));
    }
}
