//! Beyond multicast: addresses to which heartbeats and messages go by unicast, and how an address
//! becomes one.
//!
//! An address that the program has named (a seed) gets heartbeats. Any other address has to return a
//! token first: until then it gets challenges only, of at most [`AMPLIFICATION`] times the bytes
//! that led to it. A peer that multicast reaches gets nothing twice.

use super::challenge::Challenger;
use super::destination::LocalPort;
use crate::sort::SortedMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV6};
use std::sync::Arc;
use std::time::Duration;

/// How long a target that is not a seed is kept without a datagram from it, in timeouts.
const KEPT: u32 = 5;

/// How long a peer that does not hear the group is written to by unicast, in timeouts.
const ASKED: u32 = 30;

/// How long a proof holds, in timeouts. It is asked for again after half of that time, so a peer that
/// answers one challenge in several intervals stays proven.
const PROVEN: u32 = 30;

/// How long a neighbour on the link is told to others after it was last heard, in timeouts.
const NEIGHBOUR: u32 = 2;

/// How many unproven addresses there are at a time. A further one takes the place of the oldest,
/// which loses nothing: its token is verified without the table.
const MAX_PENDING: usize = 64;

/// How many unproven addresses are accepted in each tenth of a second: 100 a second, and a flood
/// leaves room for others within the same second.
const PENDING_PER_TENTH: u32 = 10;

/// How many bytes of challenges an unproven address gets for two bytes that came: with the answer to
/// its own challenge, which takes as much at most, three times as many (RFC 9000, section 8).
const AMPLIFICATION: usize = 3;

/// How long an answer to a challenge is waited for before the next one: longer than most round trips.
const CHALLENGE_AGAIN: Duration = Duration::from_millis(250);

/// The same before the next endpoint of an address that has answered at none of them yet.
const CHALLENGE_ELSEWHERE: Duration = Duration::from_millis(25);

/// How many datagrams a second introduce addresses to each other beyond the usual heartbeats.
const INTRODUCTIONS_PER_SECOND: u32 = 64;

/// How many processes are told apart that share the port of a target.
const MAX_SHARED: usize = 32;

/// How many addresses one introduction names.
const INTRODUCED: usize = 16;

/// Ports below this one belong to services that did not ask for datagrams of Caster.
const FIRST_USER_PORT: u16 = 1024;

/// Whether datagrams that others have caused may go to this port.
pub(crate) fn is_user_port(port: u16, group_port: u16) -> bool {
    port >= FIRST_USER_PORT || port == group_port
}

/// A datagram to be sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// A heartbeat with this token and nothing large, by unicast from this port.
    Challenge(SocketAddr, u64, LocalPort),
    /// A full heartbeat with hello, by unicast.
    Greet(SocketAddr),
    /// A heartbeat with these addresses, by unicast.
    Introduce { to: SocketAddr, about: Vec<SocketAddr> },
    /// A heartbeat with these addresses, to the group.
    IntroduceToGroup(Vec<SocketAddr>),
}

/// A datagram from a peer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Heard {
    pub from: SocketAddr,
    /// Its size as it was received.
    pub bytes: usize,
    pub by_unicast: bool,
    /// Whether it probes the local node: it does not hear the group.
    pub asked: bool,
    /// Whether it is a hello: the sender knows this address now, and takes lists from it.
    pub hello: bool,
    /// `o`: the port of the sender's process.
    pub told_port: Option<u16>,
    /// The own port that a datagram by unicast came to.
    pub at: LocalPort,
    /// `e`: a token that it returns.
    pub echo: Option<u64>,
    /// Whether what the sender sends to the group arrives.
    pub near: bool,
    /// The incarnation of the sender; 0 if it tells none, as originals.
    pub incarnation: u32,
    /// Whether the sender is a peer in the table.
    pub known: bool,
}

/// An address that gets heartbeats.
#[derive(Debug)]
struct Target {
    seed: bool,
    /// When it last returned a token.
    proven: Option<Duration>,
    /// When a known peer was last heard from there, and its incarnation.
    answered: Option<Duration>,
    peer: Option<Process>,
    /// The processes that were heard from the port of the group there: what is sent to it is handed on to
    /// all of them.
    shared_by: Vec<Process>,
    /// Whether it is the port that its peer has told: no router translates it.
    is_at_own_port: bool,
    /// When it became a target or was last heard.
    alive: Duration,
    by_unicast: bool,
    by_multicast: Option<Duration>,
    /// When it last asked whether the local node is alive, by unicast: it does not hear the group.
    asked: Option<Duration>,
    challenged: Option<Duration>,
    /// When it was told the others because it said hello.
    introduced: Option<Duration>,
    /// How many challenges it has not answered: they leave from the two own ports in turn.
    challenges: usize,
    /// Whether it has written to the port of the group by unicast.
    at_group_port: bool,
    /// When an answer last came to the private port.
    at_private_port: Option<Duration>,
    /// The own port that datagrams to it leave from.
    from: LocalPort,
}

/// A process at a target.
#[derive(Debug)]
struct Process {
    incarnation: u32,
    /// When it was last heard, from any port.
    alive: Duration,
    by_multicast: Option<Duration>,
}

/// An address that has not returned a token.
#[derive(Debug)]
struct Pending {
    since: Duration,
    told_port: Option<u16>,
    by_unicast: bool,
    at_group_port: bool,
    asked: bool,
    /// How many bytes it may still be sent.
    credit: usize,
    challenged: Option<Duration>,
    /// How many challenges were sent: they go to its possible endpoints in turn.
    challenges: usize,
}

/// The configuration, constant from the start of a node on.
#[derive(Debug, Clone)]
pub(crate) struct TargetsConfig {
    pub timeout: Duration,
    /// How many targets there are at most.
    pub capacity: usize,
    pub group_port: u16,
    /// The largest size of a challenge on the wire: it is held against what led to an unproven address.
    pub challenge_bytes: usize,
}

/// The addresses beyond multicast.
#[derive(Debug)]
pub(crate) struct Targets {
    config: TargetsConfig,
    challenger: Challenger,
    targets: SortedMap<SocketAddr, Target>,
    pending: SortedMap<SocketAddr, Pending>,
    /// Peers that are heard by multicast, and when; only while there are targets.
    neighbours: SortedMap<SocketAddr, Duration>,
    /// Addresses of the local interfaces with the length of their prefix.
    own: Vec<(IpAddr, u8)>,
    own_port: Option<u16>,
    /// The tenth of a second in which `admitted` addresses became pending.
    tenth: u128,
    admitted: u32,
    second: u64,
    introductions: u32,
    /// Where the last telling ended, by unicast and to the group.
    told: usize,
    told_group: usize,
    /// How many lists of addresses came.
    learned: usize,
    lists: Option<Lists>,
    /// Whether there may be targets that are written to from the port of the group.
    some_from_group_port: bool,
}

/// Where heartbeats and messages go; true until then, unless the table changes.
#[derive(Debug)]
struct Lists {
    beats: Arc<[SocketAddr]>,
    messages: Arc<[SocketAddr]>,
    until: Duration,
}

impl Targets {
    pub fn new(config: TargetsConfig, challenger: Challenger) -> Self {
        Self {
            config,
            challenger,
            targets: SortedMap::default(),
            pending: SortedMap::default(),
            neighbours: SortedMap::default(),
            own: Vec::new(),
            own_port: None,
            tenth: 0,
            admitted: 0,
            second: 0,
            introductions: 0,
            told: 0,
            told_group: 0,
            learned: 0,
            lists: None,
            some_from_group_port: false,
        }
    }

    /// Another incarnation begins: the seeds stay, without what they have proven.
    pub fn restart(&mut self, challenger: Challenger, now: Duration) {
        self.challenger = challenger;
        self.pending = SortedMap::default();
        self.neighbours = SortedMap::default();
        self.targets.retain(|target| target.seed);
        self.targets.values_mut().for_each(|target| *target = Target::new(true, now));
        self.lists = None;
    }

    /// The addresses of the local interfaces with the length of their prefix, and the port of the
    /// process: what is told about them leads back here, or is a broadcast address.
    pub fn set_own(&mut self, addresses: Vec<(IpAddr, u8)>, port: Option<u16>) {
        self.own = addresses;
        self.own_port = port;
    }

    /// Replaces the seeds, whose names may lead elsewhere now.
    pub fn set_seeds(&mut self, seeds: &[SocketAddr], now: Duration) -> Vec<Action> {
        self.targets.values_mut().for_each(|target| target.seed = false);
        let mut actions = Vec::new();
        for &seed in seeds.iter().filter(|seed| is_host(seed)) {
            if let Some(target) = self.targets.get_mut(&seed) {
                target.seed = true;
            } else if self.targets.len() < self.config.capacity {
                self.targets.insert(seed, Target::new(true, now));
                self.pending.remove(&seed);
                actions.push(Action::Greet(seed));
            }
        }
        self.targets.retain(|target| target.seed || target.proven.is_some());
        self.lists = None;
        actions
    }

    /// Notes a datagram from a peer. `near`: the peers that multicast reaches, asked for when there is a first
    /// target, to which they are to be told.
    pub fn heard(
        &mut self,
        heard: Heard,
        now: Duration,
        near: impl FnOnce() -> Vec<SocketAddr>,
    ) -> Vec<Action> {
        if self.targets.len() == 0 && !heard.by_unicast && heard.echo.is_none() {
            return Vec::new();
        }
        let mut actions = Vec::new();
        if let Some(token) = heard.echo {
            let mut endpoints = self.endpoints(heard.from, heard.told_port).into_iter();
            if let Some(proven) = endpoints.find(|it| self.challenger.verify(*it, token, now)) {
                if self.targets.len() == 0 {
                    let near = near().into_iter().take(self.config.capacity);
                    near.for_each(|address| self.neighbours.insert(address, now));
                }
                self.prove(proven, &heard, now, &mut actions);
            }
        }
        match heard.by_unicast {
            true => self.hear_unicast(&heard, now, &mut actions),
            false => self.hear_multicast(&heard, now),
        }
        actions
    }

    fn hear_multicast(&mut self, heard: &Heard, now: Duration) {
        let timeout = self.config.timeout;
        let lapsed = |last: Option<Duration>| last.is_none_or(|last| now > last + timeout);
        for endpoint in self.endpoints(heard.from, heard.told_port) {
            if let Some(target) = self.targets.get_mut(&endpoint) {
                if lapsed(target.by_multicast) || (heard.known && lapsed(target.answered)) {
                    self.lists = None;
                }
                target.alive = now;
                target.by_multicast = Some(now);
                if heard.known {
                    target.answered = Some(now);
                }
            }
        }
        if heard.known && heard.incarnation != 0 {
            // It may be a target by another address of its host, as by that of the loopback interface.
            for target in self.targets.values_mut() {
                let is_its = |it: &&mut Process| it.incarnation == heard.incarnation;
                for process in target.shared_by.iter_mut().chain(&mut target.peer).filter(is_its) {
                    if lapsed(process.by_multicast.replace(now)) {
                        self.lists = None;
                    }
                    process.alive = now;
                }
            }
        }
        if heard.known && !heard.from.ip().is_loopback() {
            let port = heard.told_port.unwrap_or(heard.from.port());
            let address = with_port(heard.from, port);
            if self.neighbours.len() >= self.config.capacity
                && self.neighbours.get(&address).is_none()
            {
                let kept = self.config.timeout * NEIGHBOUR;
                self.neighbours.retain(|last| now <= *last + kept);
                if self.neighbours.len() >= self.config.capacity {
                    return;
                }
            }
            if !self.is_own(&address) {
                self.neighbours.insert(address, now);
            }
        }
    }

    fn hear_unicast(&mut self, heard: &Heard, now: Duration, actions: &mut Vec<Action>) {
        let timeout = self.config.timeout;
        if let Some(address) = self.target_of(heard.from, heard.told_port, heard.incarnation) {
            let target = self.targets.get_mut(&address).expect("it was just found");
            let since = |last: Option<Duration>, time| last.is_some_and(|last| now <= last + time);
            let changes = (heard.asked && !since(target.asked, timeout * ASKED))
                || (heard.known && !since(target.answered, timeout * KEPT));
            target.alive = now;
            target.by_unicast = true;
            target.at_group_port |= heard.at == LocalPort::Group;
            if heard.asked {
                target.asked = Some(now);
            }
            if heard.known {
                target.answered = Some(now);
            }
            let is_another = heard.known && !target.is_of(heard.incarnation);
            // It asks at the port of the group whether the local node is alive: what leaves from the private
            // port may not reach it any more.
            let misses = heard.asked
                && heard.at == LocalPort::Group
                && target.from == LocalPort::Private
                && !since(target.at_private_port, timeout);
            if (target.proven.is_none() || misses) && !since(target.challenged, CHALLENGE_AGAIN) {
                target.challenged = Some(now);
                let from = if misses { LocalPort::Group } else { target.next_port() };
                let token = self.challenger.token(address, now);
                actions.push(Action::Challenge(address, token, from));
            }
            if changes {
                self.lists = None;
            }
            let tells =
                heard.hello && target.proven.is_some() && !since(target.introduced, timeout);
            if tells {
                target.introduced = Some(now);
            }
            let is_shared = address.port() == self.config.group_port && heard.from == address;
            let mut shared = target.shared_by.iter_mut();
            if let Some(process) = shared.find(|it| it.incarnation == heard.incarnation) {
                process.alive = now;
            } else if is_shared && heard.known {
                if target.shared_by.len() >= MAX_SHARED {
                    // Many of them may be gone.
                    target.shared_by.clear();
                }
                target.shared_by.push(Process::new(heard.incarnation, now));
                self.lists = None;
            }
            if is_another {
                self.belongs_to(address, heard, now);
            }
            if is_shared {
                self.ask_private_port(heard, now, actions);
            }
            if tells {
                self.introduce_others(address, now, actions);
            }
            return;
        }
        // The router that translates its address gives it several. If it asks, none of them reaches it any
        // more: the router has forgotten them.
        let is_its = |it: &Target| {
            it.is_of(heard.incarnation) && it.proven.is_some() && now <= it.alive + timeout
        };
        if heard.known && !heard.asked && self.targets.iter().any(|(_, it)| is_its(it)) {
            return;
        }
        let (from, told_port) = (heard.from, heard.told_port);
        let from_host = from.ip().is_loopback();
        if !self.endpoints(from, told_port).iter().any(|it| self.is_usable(it, from_host))
            || !self.admit(from, told_port, now)
        {
            return;
        }
        let limit = self.config.challenge_bytes * MAX_PENDING;
        let pending = self.pending.get_mut(&from).expect("it was just admitted");
        if !pending.by_unicast {
            // It was told by others before. Now it has written itself, which opens its router: what was sent
            // until now may not have arrived.
            pending.by_unicast = true;
            (pending.challenged, pending.challenges) = (None, 0);
        }
        pending.at_group_port |= heard.at == LocalPort::Group;
        pending.asked |= heard.asked;
        pending.told_port = told_port.or(pending.told_port);
        pending.credit = (pending.credit + AMPLIFICATION * heard.bytes / 2).min(limit);
        self.challenge(from, now, actions);
    }

    /// A process was heard from the port that it shares: it is asked at its own, for what arrives there is
    /// handed on by no other program.
    fn ask_private_port(&mut self, heard: &Heard, now: Duration, actions: &mut Vec<Action>) {
        let Some(port) = heard.told_port else { return };
        let own = with_port(heard.from, port);
        if heard.known
            && self.targets.get(&own).is_none()
            && self.pending.get(&own).is_none()
            && self.is_usable(&own, heard.from.ip().is_loopback())
            && self.admit(own, None, now)
        {
            let pending = self.pending.get_mut(&own).expect("it was just admitted");
            pending.credit = AMPLIFICATION * heard.bytes / 2;
            self.challenge(own, now, actions);
        }
    }

    /// Notes addresses that a datagram names. They count if the sender is `trusted` (a peer of the own
    /// link that has been known for five heartbeats), or has proven its address and sends by unicast.
    /// All challenges together take at most three times the bytes of the datagram.
    pub fn learn(
        &mut self,
        heard: &Heard,
        list: &[SocketAddr],
        trusted: bool,
        now: Duration,
    ) -> Vec<Action> {
        let mut actions = Vec::new();
        let from = heard.from;
        let teller = self.target_of(from, heard.told_port, heard.incarnation);
        let teller = teller.filter(|_| heard.by_unicast);
        if !trusted && !teller.is_some_and(|teller| self.is_proven(teller)) {
            return actions;
        }
        // A few nodes do this for a list that the group was told, and one for a list by unicast.
        let mut credit = AMPLIFICATION * heard.bytes / if heard.by_unicast { 1 } else { 2 };
        // Beginning with another one each time: what came pays for a few of them.
        self.learned = self.learned.wrapping_add(1);
        let from_where = self.learned % list.len().max(1);
        for &told in list[from_where..].iter().chain(&list[..from_where]) {
            if credit < self.config.challenge_bytes {
                break;
            }
            let Some(address) = in_scope_of(told, from) else { continue };
            let neighbour = self.neighbours.get(&address);
            let heard = neighbour.is_some_and(|last| now <= *last + self.config.timeout);
            if heard
                || self.targets.get(&address).is_some()
                || !self.is_usable(&address, from.ip().is_loopback())
                || !self.admit(address, None, now)
            {
                continue;
            }
            let pending = self.pending.get_mut(&address).expect("it was just admitted");
            if pending.challenged.is_some_and(|last| now < last + CHALLENGE_AGAIN) {
                continue;
            }
            credit -= self.config.challenge_bytes;
            pending.credit += self.config.challenge_bytes;
            self.challenge(address, now, &mut actions);
        }
        actions
    }

    /// The datagrams that are due with a heartbeat: challenges to those that have not answered, and to those whose
    /// proof gets old.
    pub fn due(&mut self, now: Duration) -> Vec<Action> {
        self.expire(now);
        let mut actions = Vec::new();
        let waiting: Vec<SocketAddr> = self.pending.iter().map(|(address, _)| *address).collect();
        for address in waiting {
            self.challenge(address, now, &mut actions);
        }
        let old = self.config.timeout * (PROVEN / 2);
        for (address, target) in self.targets.iter_mut() {
            if target.proven.is_some_and(|last| now > last + old) {
                let token = self.challenger.token(*address, now);
                actions.push(Action::Challenge(*address, token, target.next_port()));
            }
        }
        actions
    }

    /// Takes out of these those that datagrams from the private port do not reach.
    pub fn take_from_group_port(&self, to: &mut Vec<SocketAddr>) -> Vec<SocketAddr> {
        if !self.some_from_group_port {
            return Vec::new();
        }
        let is_from = |target: &Target| target.from == LocalPort::Group;
        to.extract_if(.., |address| self.targets.get(address).is_some_and(is_from)).collect()
    }

    /// Where heartbeats are sent besides the group.
    pub fn beats_to(&mut self, now: Duration) -> Arc<[SocketAddr]> {
        self.lists(now).beats.clone()
    }

    /// Where messages are sent besides the group.
    pub fn messages_to(&mut self, now: Duration) -> Arc<[SocketAddr]> {
        self.lists(now).messages.clone()
    }

    /// Some addresses for a heartbeat by unicast, others each time: those that have proven theirs, and
    /// the peers on the own link.
    pub fn tell(&mut self, max: usize, now: Duration) -> Vec<SocketAddr> {
        let mut known = self.told_by_unicast();
        known.extend(self.fresh_neighbours(now));
        take_turns(&known, max, &mut self.told)
    }

    /// Some addresses for a heartbeat to the group, others each time: those that multicast does not
    /// reach.
    pub fn tell_group(&mut self, max: usize, now: Duration) -> Vec<SocketAddr> {
        if self.targets.len() == 0 {
            return Vec::new();
        }
        let timeout = self.config.timeout;
        let known: Vec<SocketAddr> = self
            .targets
            .iter()
            .filter(|(_, it)| it.by_unicast && it.proven.is_some() && !it.is_reached(now, timeout))
            .map(|(address, _)| *address)
            .collect();
        take_turns(&known, max, &mut self.told_group)
    }

    /// A peer has left.
    pub fn forget(
        &mut self,
        from: SocketAddr,
        told_port: Option<u16>,
        incarnation: u32,
        now: Duration,
    ) {
        self.pending.remove(&from);
        self.neighbours.remove(&with_port(from, told_port.unwrap_or(from.port())));
        let Some(address) = self.target_of(from, told_port, incarnation) else { return };
        let target = self.targets.get_mut(&address).expect("it was just found");
        match target.seed {
            true => *target = Target::new(true, now),
            false => drop(self.targets.remove(&address)),
        }
        self.lists = None;
    }

    /// Whether this address has returned a token, and lately.
    pub fn is_proven(&self, address: SocketAddr) -> bool {
        self.targets.get(&address).is_some_and(|target| target.proven.is_some())
    }

    /// Whether messages go to the process that sends from there and has told this port, or will as soon as it
    /// is known.
    pub fn gets_messages(
        &self,
        from: SocketAddr,
        told_port: Option<u16>,
        incarnation: u32,
    ) -> bool {
        let target =
            self.target_of(from, told_port, incarnation).and_then(|it| self.targets.get(&it));
        target.is_some_and(|target| target.seed || target.proven.is_some())
    }

    /// Whether there are no targets.
    pub fn is_empty(&self) -> bool {
        self.targets.len() == 0
    }

    fn prove(
        &mut self,
        address: SocketAddr,
        heard: &Heard,
        now: Duration,
        actions: &mut Vec<Action>,
    ) {
        // One peer may answer at several endpoints; the first one that did is used.
        let known = self
            .target_of(heard.from, heard.told_port, heard.incarnation)
            .filter(|it| self.is_proven(*it));
        let place = known.unwrap_or(address);
        let timeout = self.config.timeout;
        if let Some(target) = self.targets.get_mut(&place).filter(|it| it.proven.is_some()) {
            if place == address {
                target.answer_challenge(heard.at, timeout, now);
                self.some_from_group_port |= target.from == LocalPort::Group;
            }
            return;
        }
        let pending = self.pending.remove(&heard.from).or_else(|| self.pending.remove(&address));
        if self.targets.get(&address).is_none() {
            if self.targets.len() >= self.config.capacity {
                return;
            }
            self.targets.insert(address, Target::new(false, now));
        }
        let target = self.targets.get_mut(&address).expect("it is there by now");
        target.answer_challenge(heard.at, timeout, now);
        self.some_from_group_port |= target.from == LocalPort::Group;
        target.alive = now;
        target.by_unicast |= heard.by_unicast;
        target.at_group_port |= pending.as_ref().is_some_and(|pending| pending.at_group_port);
        if heard.near && target.by_multicast.is_none() {
            target.by_multicast = Some(now);
        }
        if pending.is_some_and(|pending| pending.asked) {
            target.asked = Some(now);
        }
        self.lists = None;
        self.belongs_to(address, heard, now);
        actions.push(Action::Greet(address));
        self.introduce(address, now, actions);
    }

    /// This peer is reached at this address. Behind a router that translates addresses it may have had
    /// another one; it would get everything twice.
    fn belongs_to(&mut self, address: SocketAddr, heard: &Heard, now: Duration) {
        let peer = heard.incarnation;
        if !heard.known || peer == 0 {
            return;
        }
        let is_former = |it: &Target| it.is_of(peer) && !it.seed;
        let former = self.targets.iter().find(|(at, it)| **at != address && is_former(it));
        if let Some(former) = former.map(|(at, _)| *at) {
            self.targets.remove(&former);
        }
        if let Some(target) = self.targets.get_mut(&address) {
            if !target.is_of(peer) {
                target.peer = Some(Process::new(peer, now));
            }
            target.is_at_own_port = heard.told_port == Some(address.port());
        }
        self.lists = None;
    }

    /// Tells a target that has just proven its address the others, and the others the target, so that
    /// both write to each other at the same time: this opens the NATs between them.
    fn introduce(&mut self, new: SocketAddr, now: Duration, actions: &mut Vec<Action>) {
        for other in self.introduce_others(new, now, actions) {
            if self.may_introduce(now) {
                actions.push(Action::Introduce { to: other, about: vec![new] });
            }
        }
        let has_neighbours = self.fresh_neighbours(now).iter().any(|other| *other != new);
        let hears_group = self.neighbours.get(&new).is_some();
        if has_neighbours && !hears_group && self.may_introduce(now) {
            actions.push(Action::IntroduceToGroup(vec![new]));
        }
    }

    /// Tells a target some of the others. Returns those of them that are targets.
    fn introduce_others(
        &mut self,
        to: SocketAddr,
        now: Duration,
        actions: &mut Vec<Action>,
    ) -> Vec<SocketAddr> {
        let others: Vec<SocketAddr> =
            self.told_by_unicast().into_iter().filter(|other| *other != to).collect();
        let others = take_turns(&others, INTRODUCED, &mut self.told);
        let neighbours = self.fresh_neighbours(now).into_iter().filter(|other| *other != to);
        let mut about = others.clone();
        about.extend(neighbours.take(INTRODUCED - others.len()));
        if !about.is_empty() && self.may_introduce(now) {
            actions.push(Action::Introduce { to, about });
        }
        others
    }

    fn may_introduce(&mut self, now: Duration) -> bool {
        if self.second != now.as_secs() {
            (self.second, self.introductions) = (now.as_secs(), 0);
        }
        self.introductions += 1;
        self.introductions <= INTRODUCTIONS_PER_SECOND
    }

    /// Makes it a pending address unless it is one.
    fn admit(&mut self, address: SocketAddr, told_port: Option<u16>, now: Duration) -> bool {
        if self.pending.get(&address).is_some() {
            return true;
        }
        let tenth = now.as_millis() / 100;
        if self.tenth != tenth {
            (self.tenth, self.admitted) = (tenth, 0);
        }
        if self.admitted >= PENDING_PER_TENTH {
            return false;
        }
        self.admitted += 1;
        if self.pending.len() >= MAX_PENDING {
            let oldest = self.pending.iter().min_by_key(|(_, pending)| pending.since);
            if let Some(oldest) = oldest.map(|(address, _)| *address) {
                self.pending.remove(&oldest);
            }
        }
        let pending = Pending {
            since: now,
            told_port,
            by_unicast: false,
            at_group_port: false,
            asked: false,
            credit: 0,
            challenged: None,
            challenges: 0,
        };
        self.pending.insert(address, pending);
        true
    }

    /// Challenges a pending address if its credit allows it and the last challenge is not too fresh.
    fn challenge(&mut self, address: SocketAddr, now: Duration, actions: &mut Vec<Action>) {
        let Some(pending) = self.pending.get(&address) else { return };
        let [source, own, shared] = self.endpoints(address, pending.told_port);
        // One that has written to the port of the group is asked from there as well: a router that
        // translates its address, or a firewall, may pass nothing else.
        let candidates = [
            Some((source, LocalPort::Private)),
            pending.at_group_port.then_some((source, LocalPort::Group)),
            Some((own, LocalPort::Private)),
            Some((
                shared,
                if pending.at_group_port { LocalPort::Group } else { LocalPort::Private },
            )),
        ];
        let mut routes = Vec::new();
        for route in candidates.into_iter().flatten() {
            if self.is_usable(&route.0, address.ip().is_loopback()) && !routes.contains(&route) {
                routes.push(route);
            }
        }
        let again = match pending.challenges < routes.len() {
            true => CHALLENGE_ELSEWHERE,
            false => CHALLENGE_AGAIN,
        };
        let waits = pending.challenged.is_some_and(|last| now < last + again);
        if waits || pending.credit < self.config.challenge_bytes {
            return;
        }
        let Some(&(to, from)) = routes.get(pending.challenges % routes.len().max(1)) else {
            return;
        };
        let bytes = self.config.challenge_bytes;
        let pending = self.pending.get_mut(&address).expect("it was just found");
        pending.credit -= bytes;
        pending.challenged = Some(now);
        pending.challenges += 1;
        actions.push(Action::Challenge(to, self.challenger.token(to, now), from));
    }

    /// Where a peer may be reached: its source, its own port, the group's port.
    fn endpoints(&self, from: SocketAddr, told_port: Option<u16>) -> [SocketAddr; 3] {
        let own = with_port(from, told_port.unwrap_or(from.port()));
        [from, own, with_port(from, self.config.group_port)]
    }

    /// The target that a datagram by unicast belongs to. The group's port of a host stands for its
    /// peers only if it has proven that it reaches them. Behind a router that translates addresses the port that a
    /// peer tells may be the one by which another is reached.
    fn target_of(
        &self,
        from: SocketAddr,
        told_port: Option<u16>,
        incarnation: u32,
    ) -> Option<SocketAddr> {
        if self.targets.get(&from).is_some() {
            return Some(from);
        }
        let own = with_port(from, told_port.unwrap_or(from.port()));
        let shared = with_port(from, self.config.group_port);
        let is_its = |it: &Target| it.peer.is_none() || it.is_of(incarnation);
        let has_told = self.targets.get(&own).is_some_and(is_its);
        Some(own).filter(|_| has_told).or(Some(shared).filter(|it| self.is_proven(*it)))
    }

    /// Whether an address that another node has named may be written to at all.
    fn is_usable(&self, address: &SocketAddr, from_host: bool) -> bool {
        let port = address.port();
        is_host(address)
            && is_user_port(port, self.config.group_port)
            && (from_host || !address.ip().to_canonical().is_loopback())
            && !self.is_broadcast(address.ip())
            && !self.is_own(address)
    }

    fn is_own(&self, address: &SocketAddr) -> bool {
        let port = address.port();
        (port == self.config.group_port || Some(port) == self.own_port)
            && self.own.iter().any(|(own, _)| *own == address.ip())
    }

    /// Whether it is the first or the last address of a network of an own interface.
    fn is_broadcast(&self, ip: IpAddr) -> bool {
        let IpAddr::V4(ip) = ip.to_canonical() else { return false };
        self.own.iter().any(|(own, prefix)| match own {
            IpAddr::V4(own) if *prefix < 31 => {
                let hosts = u32::MAX.checked_shr((*prefix).into()).unwrap_or_default();
                let (ip, own) = (ip.to_bits(), own.to_bits());
                ip & !hosts == own & !hosts && (ip & hosts == hosts || ip & hosts == 0)
            }
            _ => false,
        })
    }

    fn told_by_unicast(&self) -> Vec<SocketAddr> {
        let told = |target: &Target| target.by_unicast && target.proven.is_some();
        self.targets.iter().filter(|(_, it)| told(it)).map(|(address, _)| *address).collect()
    }

    fn fresh_neighbours(&self, now: Duration) -> Vec<SocketAddr> {
        let kept = self.config.timeout * NEIGHBOUR;
        let fresh = self.neighbours.iter().filter(|(_, last)| now <= **last + kept);
        fresh.map(|(address, _)| *address).collect()
    }

    fn expire(&mut self, now: Duration) {
        let (timeout, before) = (self.config.timeout, self.targets.len());
        self.pending.retain(|pending| now <= pending.since + timeout * KEPT);
        for target in self.targets.values_mut() {
            if target.proven.is_some_and(|last| now > last + timeout * PROVEN) {
                target.proven = None;
                self.lists = None;
            }
        }
        self.targets.retain(|target| {
            target.seed || (target.proven.is_some() && now <= target.alive + timeout * KEPT)
        });
        if self.targets.len() != before {
            self.lists = None;
        }
        self.some_from_group_port = self.targets.iter().any(|(_, it)| it.from == LocalPort::Group);
        if self.targets.len() == 0 {
            self.neighbours = SortedMap::default();
        }
    }

    fn lists(&mut self, now: Duration) -> &Lists {
        if self.lists.as_ref().is_none_or(|lists| now > lists.until) {
            self.expire(now);
            self.lists = Some(self.list(now));
        }
        self.lists.as_ref().expect("they were just made")
    }

    /// Whether messages may go to it.
    fn takes_messages(&self, target: &Target, now: Duration) -> bool {
        let kept = self.config.timeout * KEPT;
        !target.is_reached(now, self.config.timeout)
            && !target.are_all_reached(now, self.config.timeout)
            && target.answered.is_some_and(|last| now <= last + kept)
            && (target.proven.is_some() || target.seed)
    }

    /// The ports that several processes of a host share, and that messages go to: one of the processes has no
    /// target of its own. The message is handed on to all of them.
    fn shared_in_use(&self, now: Duration) -> Vec<(SocketAddr, &[Process])> {
        let has_own = |process: &Process| {
            let is_own = |it: &Target| it.is_of(process.incarnation) && it.shared_by.is_empty();
            self.targets.iter().any(|(_, it)| is_own(it))
        };
        let is_used = |it: &Target| {
            !it.shared_by.is_empty()
                && self.takes_messages(it, now)
                && !it.shared_by.iter().all(has_own)
        };
        let used = self.targets.iter().filter(|(_, it)| is_used(it));
        used.map(|(address, it)| (*address, &*it.shared_by)).collect()
    }

    fn list(&self, now: Duration) -> Lists {
        let timeout = self.config.timeout;
        let (mut beats, mut messages, mut until) = (Vec::new(), Vec::new(), Duration::MAX);
        let shared = self.shared_in_use(now);
        for (&address, target) in self.targets.iter() {
            let ends = [
                target.proven.map(|last| last + timeout * PROVEN),
                Some(target.alive + timeout * KEPT).filter(|_| !target.seed),
                target.answered.map(|last| last + timeout * KEPT),
                target.by_multicast.map(|last| last + timeout),
                target.asked.map(|last| last + timeout * ASKED),
            ];
            let by_multicast = target.processes().filter_map(|it| it.by_multicast);
            let alive = target.processes().map(|it| it.alive + timeout * KEPT);
            let processes = by_multicast.map(|last| last + timeout).chain(alive);
            let ends = ends.into_iter().flatten().chain(processes);
            until = ends.filter(|end| *end >= now).fold(until, Duration::min);
            if target.is_reached(now, timeout) {
                continue;
            }
            beats.push(address);
            let is_doubled = match target.shared_by.is_empty() {
                false => !shared.iter().any(|(at, _)| *at == address),
                true => shared.iter().any(|(at, by)| {
                    let knows = by.iter().any(|it| target.is_of(it.incarnation));
                    knows || (target.is_at_own_port && at.ip() == address.ip())
                }),
            };
            if self.takes_messages(target, now) && !is_doubled {
                messages.push(address);
            }
        }
        Lists { beats: beats.into(), messages: messages.into(), until }
    }
}

impl Target {
    fn new(seed: bool, now: Duration) -> Self {
        Self {
            seed,
            proven: None,
            answered: None,
            peer: None,
            shared_by: Vec::new(),
            is_at_own_port: false,
            alive: now,
            by_unicast: false,
            by_multicast: None,
            asked: None,
            challenged: None,
            introduced: None,
            challenges: 0,
            at_group_port: false,
            at_private_port: None,
            from: LocalPort::Private,
        }
    }

    /// Whether this incarnation was last heard from there.
    fn is_of(&self, incarnation: u32) -> bool {
        self.peer.as_ref().is_some_and(|peer| peer.incarnation == incarnation)
    }

    /// The processes that what is sent there reaches, as far as they are known.
    fn processes(&self) -> impl Iterator<Item = &Process> {
        let peer = self.peer.as_ref().filter(|_| self.shared_by.is_empty());
        self.shared_by.iter().chain(peer)
    }

    /// The own port that the next challenge leaves from.
    fn next_port(&mut self) -> LocalPort {
        let from_group = self.at_group_port && self.challenges % 2 == 1;
        self.challenges += 1;
        if from_group { LocalPort::Group } else { LocalPort::Private }
    }

    /// It has answered a challenge, at this own port. The private port is used as long as answers come to
    /// it: the port of the group belongs to all processes of the host.
    fn answer_challenge(&mut self, at: LocalPort, timeout: Duration, now: Duration) {
        self.proven = Some(now);
        self.challenges = 0;
        match at {
            LocalPort::Private => {
                self.at_private_port = Some(now);
                self.from = LocalPort::Private;
            }
            LocalPort::Group if self.at_private_port.is_none_or(|last| now > last + timeout) => {
                self.from = LocalPort::Group;
            }
            LocalPort::Group => {}
        }
    }

    /// Whether multicast does: it is heard so, and has not said that it does not hear the group.
    fn is_reached(&self, now: Duration, timeout: Duration) -> bool {
        let since = |at: Option<Duration>, time| at.is_some_and(|at| now <= at + time);
        since(self.by_multicast, timeout) && !since(self.asked, timeout * ASKED)
    }

    /// Whether multicast reaches all processes there that are alive.
    fn are_all_reached(&self, now: Duration, timeout: Duration) -> bool {
        let since = |at: Option<Duration>, time| at.is_some_and(|at| now <= at + time);
        let mut alive = self.processes().filter(|it| now <= it.alive + timeout * KEPT).peekable();
        alive.peek().is_some()
            && alive.all(|it| since(it.by_multicast, timeout))
            && !since(self.asked, timeout * ASKED)
    }
}

impl Process {
    fn new(incarnation: u32, now: Duration) -> Self {
        Self { incarnation, alive: now, by_multicast: None }
    }
}

/// Whether it is the address of one host, and a port.
fn is_host(address: &SocketAddr) -> bool {
    let ip = address.ip().to_canonical();
    address.port() != 0
        && !ip.is_multicast()
        && !ip.is_unspecified()
        && ip != IpAddr::V4(Ipv4Addr::BROADCAST)
}

fn with_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

/// A link-local address means something on the link of its teller only, which may have another
/// number for the link.
fn in_scope_of(told: SocketAddr, teller: SocketAddr) -> Option<SocketAddr> {
    match (told, teller) {
        (SocketAddr::V6(told), SocketAddr::V6(teller)) if told.ip().is_unicast_link_local() => {
            let scope = teller.scope_id();
            let here = teller.ip().is_unicast_link_local() && scope != 0;
            here.then(|| SocketAddrV6::new(*told.ip(), told.port(), 0, scope).into())
        }
        (SocketAddr::V6(told), _) if told.ip().is_unicast_link_local() => None,
        (SocketAddr::V6(told), _) => Some(SocketAddrV6::new(*told.ip(), told.port(), 0, 0).into()),
        (told, _) => Some(told),
    }
}

/// Up to `max` of them, going on where the last call ended.
fn take_turns(all: &[SocketAddr], max: usize, turn: &mut usize) -> Vec<SocketAddr> {
    let count = all.len().min(max);
    let from = *turn;
    *turn = turn.wrapping_add(count);
    (0..count).map(|n| all[from.wrapping_add(n) % all.len()]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const CHALLENGE: usize = 100;

    fn address(n: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, n], 10101))
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_port_of_the_group_is_used_when_no_answer_comes_to_the_private_one_for_a_timeout() {
        let mut target = Target::new(false, secs(0));
        for (at, ms_later, from) in [
            (LocalPort::Private, 0, LocalPort::Private),
            (LocalPort::Group, 2000, LocalPort::Private),
            (LocalPort::Group, 2001, LocalPort::Group),
            (LocalPort::Private, 3000, LocalPort::Private),
        ] {
            target.answer_challenge(at, secs(2), secs(10) + ms(ms_later));
            assert_eq!(target.from, from, "{ms_later}");
        }
    }

    fn challenger() -> Challenger {
        Challenger::new([1; 16], 1)
    }

    impl Targets {
        fn hear(&mut self, heard: Heard, now: Duration) -> Vec<Action> {
            self.heard(heard, now, Vec::new)
        }
    }

    fn targets() -> Targets {
        let config = TargetsConfig {
            timeout: secs(2),
            capacity: 200,
            group_port: 10101,
            challenge_bytes: CHALLENGE,
        };
        Targets::new(config, challenger())
    }

    /// An incarnation of its own for each address and port.
    fn process_of(from: SocketAddr) -> u32 {
        let host = match from.ip() {
            IpAddr::V4(ip) => ip.to_bits(),
            IpAddr::V6(ip) => ip.to_bits() as u32,
        };
        host.wrapping_mul(65_537).wrapping_add(from.port().into())
    }

    fn unicast(from: SocketAddr) -> Heard {
        Heard {
            from,
            bytes: 80,
            by_unicast: true,
            asked: false,
            hello: false,
            told_port: None,
            at: LocalPort::Private,
            echo: None,
            near: false,
            incarnation: process_of(from),
            known: true,
        }
    }

    fn multicast(from: SocketAddr) -> Heard {
        Heard { by_unicast: false, ..unicast(from) }
    }

    /// The datagram that returns the token which was sent to `to`.
    fn echo(from: SocketAddr, to: SocketAddr, now: Duration) -> Heard {
        Heard { echo: Some(challenger().token(to, now)), ..unicast(from) }
    }

    fn prove(targets: &mut Targets, address: SocketAddr, now: Duration) -> Vec<Action> {
        targets.hear(unicast(address), now);
        targets.hear(echo(address, address, now), now)
    }

    fn challenged(actions: &[Action]) -> Vec<SocketAddr> {
        let challenged = |action: &Action| match action {
            Action::Challenge(to, ..) => Some(*to),
            _ => None,
        };
        actions.iter().filter_map(challenged).collect()
    }

    #[test]
    fn an_address_gets_a_challenge_only_until_it_returns_the_token() {
        let mut targets = targets();
        let token = challenger().token(address(1), secs(0));
        let asked = targets.hear(unicast(address(1)), secs(0));
        assert_eq!(asked, [Action::Challenge(address(1), token, LocalPort::Private)]);
        assert!(targets.beats_to(secs(0)).is_empty() && targets.messages_to(secs(0)).is_empty());
        let wrong = Heard { echo: Some(token ^ 1), ..unicast(address(1)) };
        assert!(targets.hear(wrong, ms(1)).is_empty());
        let stolen = Heard { echo: Some(token), ..unicast(address(2)) };
        assert_eq!(challenged(&targets.hear(stolen, ms(1))), [address(2)]);
        assert!(!targets.is_proven(address(1)) && !targets.is_proven(address(2)));
        let right = Heard { echo: Some(token), ..unicast(address(1)) };
        assert_eq!(targets.hear(right, ms(1)), [Action::Greet(address(1))]);
        assert!(targets.is_proven(address(1)));
        assert_eq!(*targets.beats_to(ms(1)), [address(1)]);
        assert_eq!(*targets.messages_to(ms(1)), [address(1)]);
    }

    #[test]
    fn an_unproven_address_gets_at_most_three_times_what_came_from_it() {
        let mut targets = targets();
        let (mut came, mut sent) = (0, 0);
        let small = Heard { bytes: 40, ..unicast(address(1)) };
        for step in 0..1000 {
            let now = ms(step * 100);
            came += small.bytes;
            sent += targets.hear(small, now).len() * CHALLENGE;
            sent += targets.due(now).len() * CHALLENGE;
            assert!(2 * sent <= 3 * came, "{sent} for {came} at {step}");
            assert!(targets.messages_to(now).is_empty() && targets.beats_to(now).is_empty());
        }
        assert!(2 * sent > came, "it is asked again and again, for the case of loss");
    }

    #[test]
    fn seeds_get_heartbeats_at_once_and_messages_when_they_answer() {
        let mut targets = targets();
        assert_eq!(targets.set_seeds(&[address(1)], secs(0)), [Action::Greet(address(1))]);
        assert!(targets.set_seeds(&[address(1)], secs(0)).is_empty());
        assert_eq!(*targets.beats_to(secs(100)), [address(1)]);
        assert!(targets.messages_to(secs(100)).is_empty());
        let unknown = Heard { known: false, ..unicast(address(1)) };
        assert_eq!(challenged(&targets.hear(unknown, secs(100))), [address(1)]);
        assert!(targets.messages_to(secs(100)).is_empty());
        targets.hear(unicast(address(1)), secs(101));
        assert_eq!(*targets.messages_to(secs(101)), [address(1)]);
        assert!(targets.messages_to(secs(112)).is_empty(), "silent for five timeouts");
        assert_eq!(*targets.beats_to(secs(112)), [address(1)]);
        // The name leads elsewhere now.
        assert_eq!(targets.set_seeds(&[address(3)], secs(112)), [Action::Greet(address(3))]);
        assert_eq!(*targets.beats_to(secs(112)), [address(3)]);
    }

    #[test]
    fn a_seed_that_is_an_original_gets_messages_when_it_is_heard() {
        let mut targets = targets();
        targets.set_seeds(&[address(1)], secs(0));
        targets.hear(multicast(address(1)), secs(1));
        assert!(targets.beats_to(secs(1)).is_empty(), "multicast reaches it");
        assert_eq!(*targets.messages_to(secs(4)), [address(1)], "multicast has stopped");
    }

    #[test]
    fn a_peer_that_multicast_reaches_gets_nothing_twice_unless_it_asks() {
        let mut targets = targets();
        prove(&mut targets, address(1), secs(0));
        targets.hear(multicast(address(1)), secs(1));
        assert!(targets.messages_to(secs(2)).is_empty());
        assert_eq!(*targets.messages_to(ms(3500)), [address(1)], "multicast has stopped");
        targets.hear(multicast(address(1)), secs(4));
        assert!(targets.beats_to(secs(4)).is_empty());
        let asking = Heard { asked: true, ..unicast(address(1)) };
        targets.hear(asking, secs(4));
        assert_eq!(*targets.beats_to(secs(4)), [address(1)], "it does not hear us otherwise");
        for now in 5..63 {
            targets.hear(multicast(address(1)), secs(now));
            targets.hear(echo(address(1), address(1), secs(now)), secs(now));
            assert_eq!(*targets.beats_to(secs(now)), [address(1)], "{now}");
        }
        targets.hear(multicast(address(1)), secs(65));
        assert!(targets.beats_to(secs(65)).is_empty());
    }

    #[test]
    fn a_target_that_falls_silent_is_forgotten() {
        let mut targets = targets();
        prove(&mut targets, address(1), secs(0));
        assert_eq!(*targets.messages_to(secs(10)), [address(1)]);
        assert!(targets.messages_to(secs(11)).is_empty() && targets.is_empty());
    }

    #[test]
    fn a_proof_does_not_hold_for_ever() {
        let mut targets = targets();
        prove(&mut targets, address(1), secs(0));
        for now in 1..=60 {
            targets.hear(unicast(address(1)), secs(now));
            let asked = challenged(&targets.due(secs(now)));
            assert_eq!(!asked.is_empty(), now > 30, "{now}");
        }
        assert!(targets.is_proven(address(1)));
        targets.hear(unicast(address(1)), secs(61));
        assert!(targets.messages_to(secs(61)).is_empty(), "it was forged");
        prove(&mut targets, address(1), secs(62));
        assert_eq!(*targets.messages_to(secs(62)), [address(1)]);
    }

    #[test]
    fn a_flood_of_addresses_is_bounded_and_lets_the_honest_in() {
        let mut targets = targets();
        let mut sent = 0;
        for n in 0..10_000u64 {
            let from = SocketAddr::from(([10, 9, (n >> 8) as u8, n as u8], 5000));
            sent += targets.hear(unicast(from), ms(n / 10)).len();
            assert!(targets.pending.len() <= MAX_PENDING);
        }
        assert!((90..=110).contains(&sent), "{sent} in a second");
        // A token is good although the table has forgotten its address.
        let token = challenger().token(address(1), secs(0));
        let right = Heard { echo: Some(token), ..unicast(address(1)) };
        assert_eq!(targets.hear(right, secs(1)), [Action::Greet(address(1))]);
    }

    #[test]
    fn what_is_no_address_of_a_host_is_not_challenged() {
        let mut targets = targets();
        let own = |text: &str, prefix| (text.parse().unwrap(), prefix);
        targets.set_own(vec![own("10.0.0.7", 24), own("fe80::7", 64)], Some(21101));
        prove(&mut targets, address(1), secs(0));
        let list = |told: &str| [told.parse::<SocketAddr>().unwrap()];
        let teller = unicast(address(1));
        for (second, bad) in (1..).zip([
            "224.0.0.42:10101",
            "0.0.0.0:10101",
            "10.0.0.2:0",
            "10.0.0.2:53",
            "255.255.255.255:10101",
            "10.0.0.255:10101",
            "10.0.0.0:10101",
            "127.0.0.1:10101",
            "[::1]:10101",
            "[::ffff:127.0.0.1]:10101",
            "[::ffff:224.0.0.1]:10101",
            "[ff02::1]:10101",
            "[fe80::1]:10101",
            "10.0.0.7:10101",
            "10.0.0.7:21101",
            "10.0.0.1:10101",
        ]) {
            assert!(targets.learn(&teller, &list(bad), false, secs(second)).is_empty(), "{bad}");
        }
        for (second, good) in (20..).zip([
            "10.0.0.2:10101",
            "10.1.0.255:1024",
            "10.0.0.7:21102",
            "[2001:db8::1]:5000",
        ]) {
            targets.hear(teller, secs(second));
            assert_eq!(targets.learn(&teller, &list(good), true, secs(second)).len(), 1, "{good}");
        }
        let here: SocketAddr = "127.0.0.1:40000".parse().unwrap();
        assert_eq!(challenged(&targets.hear(unicast(here), secs(30))), [here]);
        let told = targets.learn(&unicast(here), &list("127.0.0.1:40001"), true, secs(30));
        assert_eq!(told.len(), 1, "from the same host it may be a loopback address");
        let neighbour = unicast("[fe80::2%3]:10101".parse().unwrap());
        let told = targets.learn(&neighbour, &list("[fe80::1%9]:10101"), true, secs(30));
        assert_eq!(challenged(&told), list("[fe80::1%3]:10101"), "on the link of the teller");
    }

    #[test]
    fn a_port_below_1024_is_used_only_if_it_is_the_groups() {
        let mut targets = targets();
        targets.config.group_port = 500;
        let mut from = address(1);
        from.set_port(53);
        let asked = targets.hear(unicast(from), secs(0));
        assert_eq!(challenged(&asked), ["10.0.0.1:500".parse().unwrap()]);
    }

    #[test]
    fn lists_count_from_the_proven_and_the_trusted_and_cost_three_times_their_bytes() {
        let mut targets = targets();
        let list: Vec<SocketAddr> = (10..42).map(address).collect();
        let teller = Heard { bytes: 150, ..unicast(address(1)) };
        assert!(targets.learn(&teller, &list, false, secs(0)).is_empty());
        let to_group = Heard { by_unicast: false, ..teller };
        assert_eq!(targets.learn(&to_group, &list, true, secs(0)).len(), 2, "several nodes do it");
        prove(&mut targets, address(1), secs(1));
        assert!(targets.learn(&to_group, &list, false, secs(1)).is_empty());
        assert_eq!(targets.learn(&teller, &list, false, secs(1)).len(), 4, "4 * 100 < 3 * 150");
        let tiny = Heard { bytes: 30, ..teller };
        assert!(targets.learn(&tiny, &list, false, secs(2)).is_empty());
        assert_eq!(*targets.beats_to(secs(2)), [address(1)], "all others have proven nothing");
    }

    #[test]
    fn a_new_target_and_the_others_are_told_of_each_other_at_once() {
        let mut targets = targets();
        prove(&mut targets, address(1), secs(0));
        targets.hear(multicast(address(9)), secs(0));
        let actions = prove(&mut targets, address(2), secs(0));
        assert_eq!(
            actions,
            [
                Action::Greet(address(2)),
                Action::Introduce { to: address(2), about: vec![address(1), address(9)] },
                Action::Introduce { to: address(1), about: vec![address(2)] },
                Action::IntroduceToGroup(vec![address(2)]),
            ]
        );
        assert!(prove(&mut targets, address(2), secs(1)).is_empty(), "once");
        assert_eq!(targets.tell_group(8, secs(1)), [address(1), address(2)]);
        let mut sent = 0;
        for n in 10..200 {
            sent += prove(&mut targets, address(n), secs(2)).len();
        }
        assert!(sent < 190 + 64 + 1, "{sent}: introductions have a budget");
    }

    #[test]
    fn all_that_are_known_are_told_in_turn() {
        let mut targets = targets();
        for n in 0..15 {
            prove(&mut targets, address(n), secs(0));
        }
        for n in 100..105 {
            targets.hear(multicast(address(n)), secs(0));
        }
        let mut told: Vec<SocketAddr> = (0..3).flat_map(|_| targets.tell(8, secs(1))).collect();
        assert_eq!(told.len(), 24);
        told.sort();
        told.dedup();
        assert_eq!(told.len(), 20);
        assert_eq!(targets.tell(32, secs(9)).len(), 15, "the neighbours have fallen silent");
    }

    #[test]
    fn a_peer_is_challenged_at_its_source_then_its_port_then_the_groups_port() {
        let mut targets = targets();
        let source: SocketAddr = "10.0.0.1:40000".parse().unwrap();
        let heard = Heard { told_port: Some(21101), bytes: 500, ..unicast(source) };
        let mut asked = Vec::new();
        for step in 0..4 {
            asked.extend(challenged(&targets.hear(heard, ms(step * 300))));
        }
        let ports: Vec<u16> = asked.iter().map(SocketAddr::port).collect();
        assert_eq!(ports, [40000, 21101, 10101, 40000]);
        // It answers the second, from its source.
        let answer = Heard { told_port: Some(21101), ..echo(source, asked[1], secs(2)) };
        assert_eq!(targets.hear(answer, secs(2))[0], Action::Greet(asked[1]));
        assert_eq!(*targets.messages_to(secs(2)), [asked[1]]);
        let late = Heard { told_port: Some(21101), ..echo(source, source, secs(2)) };
        assert!(targets.hear(late, secs(2)).is_empty());
        assert_eq!(*targets.messages_to(secs(2)), [asked[1]], "one peer is one target");
        targets.forget(source, Some(21101), process_of(source), secs(3));
        assert!(targets.is_empty());
    }

    #[test]
    fn processes_of_one_seed_are_targets_of_their_own() {
        let mut targets = targets();
        targets.set_seeds(&[address(1)], secs(0));
        let process = |port| {
            let mut from = address(1);
            from.set_port(port);
            from
        };
        for port in [21101, 21102] {
            prove(&mut targets, process(port), secs(1));
        }
        assert_eq!(*targets.messages_to(secs(1)), [process(21101), process(21102)]);
        assert_eq!(targets.beats_to(secs(1)).len(), 3, "it may have more of them");
        targets.hear(Heard { told_port: Some(21101), ..multicast(address(1)) }, secs(2));
        assert_eq!(*targets.messages_to(secs(2)), [process(21102)]);
    }

    #[test]
    fn a_seed_by_another_address_of_a_host_gets_no_messages_while_multicast_reaches_all_its_processes()
     {
        let (seed, lan) = (SocketAddr::from(([127, 0, 0, 1], 10101)), address(1));
        let mut targets = targets();
        targets.set_seeds(&[seed], secs(0));
        let by_unicast = |incarnation| Heard { incarnation, ..unicast(seed) };
        let by_multicast = |incarnation| Heard { incarnation, ..multicast(lan) };
        let token = echo(seed, seed, secs(0)).echo;
        targets.hear(Heard { echo: token, ..by_unicast(1) }, secs(0));
        assert_eq!(*targets.messages_to(secs(0)), [seed]);
        targets.hear(by_multicast(1), secs(1));
        assert!(targets.messages_to(secs(1)).is_empty(), "multicast reaches it");
        assert_eq!(*targets.beats_to(secs(1)), [seed], "it may have more processes");
        targets.hear(by_unicast(2), secs(2));
        assert_eq!(*targets.messages_to(secs(2)), [seed], "multicast does not reach one of them");
        targets.hear(by_multicast(1), secs(2));
        targets.hear(by_multicast(2), secs(3));
        assert!(targets.messages_to(secs(3)).is_empty());
        targets.hear(Heard { asked: true, ..by_unicast(2) }, secs(3));
        assert_eq!(*targets.messages_to(secs(3)), [seed], "it does not hear the group");
    }

    #[test]
    fn a_process_that_has_gone_does_not_count_for_a_seed_by_another_address() {
        let (seed, lan) = (SocketAddr::from(([127, 0, 0, 1], 10101)), address(1));
        let mut targets = targets();
        targets.set_seeds(&[seed], secs(0));
        for incarnation in 1..=2 {
            targets.hear(Heard { incarnation, ..unicast(seed) }, secs(0));
        }
        let mut messages = Vec::new();
        for second in 1..=12 {
            targets.hear(Heard { incarnation: 1, ..multicast(lan) }, secs(second));
            targets.hear(Heard { incarnation: 1, ..unicast(seed) }, secs(second));
            messages.push(targets.messages_to(secs(second)).len());
        }
        assert_eq!(messages, [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0]);
    }

    #[test]
    fn another_incarnation_keeps_the_seeds_and_no_proof() {
        let mut targets = targets();
        targets.set_seeds(&[address(1)], secs(0));
        prove(&mut targets, address(1), secs(0));
        prove(&mut targets, address(2), secs(0));
        let old = echo(address(3), address(3), secs(0));
        targets.restart(Challenger::new([1; 16], 2), secs(1));
        assert_eq!(*targets.beats_to(secs(1)), [address(1)]);
        assert!(targets.messages_to(secs(1)).is_empty());
        targets.hear(old, secs(1));
        assert!(!targets.is_proven(address(3)), "a token of the former incarnation");
    }

    #[test]
    fn the_list_is_made_anew_only_when_something_changes() {
        let mut targets = targets();
        for n in 1..=200 {
            prove(&mut targets, address(n), secs(0));
        }
        let first = targets.messages_to(ms(1));
        assert_eq!(first.len(), 200);
        for now in 2..3000 {
            let heard = unicast(address((now % 200) as u8 + 1));
            targets.hear(heard, ms(now));
            assert!(Arc::ptr_eq(&first, &targets.messages_to(ms(now))), "{now}");
        }
        targets.forget(address(5), None, process_of(address(5)), secs(3));
        assert_eq!(targets.messages_to(secs(3)).len(), 199);
    }
}
