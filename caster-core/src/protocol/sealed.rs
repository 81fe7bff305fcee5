//! A node in secure mode: which datagrams reach the engine, and what goes out beside its own.

use super::budget::PerSource;
use super::destination::Destination;
use super::envelope::Envelope;
use super::event::{DownReason, Event};
use super::output::Output;
use super::paths::Origin;
use super::time::Now;
use crate::message::{Message, Remote};
use crate::peer::NodeId;
use crate::secure::block::{Block, Outgoing};
use crate::secure::frame::Class;
use crate::secure::identity::{PublicKey, Signature, Signer};
use crate::secure::mark::{Mark, Opened, Seal};
use crate::secure::names::{KeyId, SenderId};
use crate::secure::proof::Proof;
use crate::secure::sealer::Sealer;
use crate::secure::senders::Senders;
use crate::secure::session::Session;
use crate::secure::trust::{Checks, Name, Outcome, Trust};
use crate::sort::SortedMap;
use foldhash::fast::RandomState;
use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// Everything that a node sends because others have sent something is at least so much after what it
/// has sent before.
const APART: Duration = Duration::from_millis(20);

/// How many addresses of senders are kept.
const MAX_ADDRESSES: usize = 8192;

/// How many senders are kept of one id.
const MAX_SENDERS: usize = 4;

/// The first messages of a session wait for at most so many intervals, and for so many messages.
const HELD_INTERVALS: u32 = 2;
const MAX_HELD: usize = 256;
const MAX_HELD_BYTES: usize = 4 << 20;
/// Messages that arrive while held ones are sent are held, too, so often.
const MAX_RELEASES: u8 = 16;

/// How many datagrams by unicast are answered in a second.
const ANSWERS_PER_SECOND: u32 = 50;

/// How many signatures are verified in a second: of one address, and false ones of all. A verification takes
/// as long as 300 frames.
const VERIFIED_PER_ADDRESS: u32 = 1000;
const FALSE_PER_SECOND: u32 = 4000;

/// A sender is used for so many frames: their keys have limits far above.
const CHANGED_AFTER: u64 = 1 << 32;
/// In how many heartbeats the next sender is named.
const ANNOUNCED: u8 = 3;

/// A key that was removed is accepted for so many timeouts.
const CLOSED_AFTER_TIMEOUTS: u32 = 2;

/// The mark of a control datagram that asks nothing.
pub(crate) fn presence(to: Option<SenderId>) -> Mark {
    let block = Outgoing::default().write();
    Mark::Seal(Seal { class: Class::Presence, to, block, ..Seal::data() })
}

/// The part of a node that belongs to secure mode.
pub(crate) struct Sealed {
    session: Arc<Session>,
    trust: Trust,
    sealer: Arc<Sealer>,
    /// The id that each sender speaks for, and the senders of each id: the newest one is the last.
    ids: SortedMap<Name, NodeId>,
    /// The sender that is heard from an address; `None` if several are.
    addresses: SortedMap<SocketAddr, Option<SenderId>>,
    senders: SortedMap<NodeId, Vec<Name>>,
    outputs: VecDeque<Output>,
    /// The largest datagram.
    largest: usize,
    now: Duration,
    interval: Duration,
    /// When the session has begun, until its first messages may leave.
    begun: Option<Duration>,
    /// Messages of the program that wait for it.
    held: Vec<Message>,
    held_bytes: usize,
    /// How often held messages were let go.
    releases: u8,
    last_block: Option<Duration>,
    /// How many datagrams by unicast were answered in this second.
    answered: (u64, u32),
    /// In how many heartbeats the next sender is still to be named.
    announcing: Option<u8>,
    /// The difference of the clocks at the last heartbeat.
    clocks: i128,
    /// Senders of peers that have changed to another one, and when belief in them ends.
    succeeded: Vec<(Duration, Name)>,
    /// Keys that were removed, and when they are accepted no longer.
    closing: Vec<(Duration, u32)>,
    timeout: Duration,
    /// Presence has settled.
    settled: bool,
    /// Whether the hint was given that a bare caster is there.
    told_bare: bool,
    /// Bare casters whose messages were delivered.
    bare: Senders,
    /// How many peers may be known.
    peers: usize,
    verified: Verified,
    hasher: RandomState,
}

/// How many signatures were verified in this second, and how many senders are new.
struct Verified {
    by_address: PerSource,
    wrong: (u64, u32),
    new: PerSource,
    new_per_second: u32,
}

impl Verified {
    /// Returns whether an address may have one more sender believed.
    fn admit(&mut self, from: IpAddr, now: Duration) -> bool {
        self.new.admit(from, self.new_per_second, now)
    }

    /// Verifies a signature if the budget allows it.
    fn verify(
        &mut self,
        signature: &Signature,
        proof: &Proof,
        from: IpAddr,
        now: Duration,
    ) -> Result<(), Outcome> {
        if self.wrong.0 != now.as_secs() {
            self.wrong = (now.as_secs(), 0);
        }
        if self.wrong.1 >= FALSE_PER_SECOND
            || !self.by_address.admit(from, VERIFIED_PER_ADDRESS, now)
        {
            return Err(Outcome::TooMany);
        }
        if !signature.is_valid(&proof.sender) {
            self.wrong.1 += 1;
            return Err(Outcome::BadSignature);
        }
        Ok(())
    }
}

/// A datagram that is checked.
struct Datagram<'a> {
    opened: &'a Opened,
    from: IpAddr,
    now: Duration,
    sealer: &'a Sealer,
    verified: &'a mut Verified,
}

impl Checks for Datagram<'_> {
    fn verify(&mut self, known: Option<Signer>) -> Result<Option<Signer>, Outcome> {
        verify(self.sealer, self.verified, self.opened, known, self.from, self.now)
    }

    fn admit(&mut self) -> bool {
        self.verified.admit(self.from, self.now)
    }
}

/// Verifies the signature of a datagram whose sender has shown this identity before.
fn verify(
    sealer: &Sealer,
    verified: &mut Verified,
    opened: &Opened,
    known: Option<Signer>,
    from: IpAddr,
    now: Duration,
) -> Result<Option<Signer>, Outcome> {
    let (proof, identities) = (&opened.proof, sealer.identities());
    if !identities.verify() {
        return Ok(None);
    }
    let Some(signature) = &opened.signature else {
        let must_sign = match known {
            Some(signer) => signer.all || proof.class.is_control(),
            None => !identities.trusted.is_empty(),
        };
        return if proof.signed || must_sign { Err(Outcome::BadSignature) } else { Ok(known) };
    };
    let shown = signature.signer;
    if known.is_some_and(|known| known.key != shown.key) {
        return Err(Outcome::BadSignature);
    }
    let is_own = identities.signer().is_some_and(|own| own.key == shown.key);
    if !is_own && !identities.trust(&shown.key) {
        return Err(Outcome::BadSignature);
    }
    verified.verify(signature, proof, from, now)?;
    Ok(Some(shown))
}

impl Sealed {
    /// For one session.
    #[inline(never)]
    pub fn new(
        session: &Arc<Session>,
        sealer: Arc<Sealer>,
        interval: Duration,
        timeout: Duration,
    ) -> Self {
        let mut secret = [0; 16];
        session.random(&mut secret);
        let now = session.now();
        let mut trust = Trust::new(session.sender(), secret, interval, timeout, now);
        trust.set_sealing(sealer.sealing());
        let identities = sealer.identities();
        if identities.verify() {
            trust.verify(identities.signer());
        }
        let by_source =
            || PerSource::new(u64::from_ne_bytes(*secret.first_chunk().expect("8 of 16")));
        let verified = Verified {
            by_address: by_source(),
            wrong: (0, 0),
            new: by_source(),
            new_per_second: u32::MAX,
        };
        // Nothing that was sealed with them before can count in this session.
        for number in sealer.numbers() {
            sealer.close(number);
        }
        Self {
            session: session.clone(),
            answered: (0, 0),
            announcing: None,
            clocks: session.clocks(),
            succeeded: Vec::new(),
            trust,
            sealer,
            ids: SortedMap::default(),
            addresses: SortedMap::default(),
            senders: SortedMap::default(),
            outputs: VecDeque::new(),
            largest: 0,
            now,
            interval,
            begun: Some(now),
            held: Vec::new(),
            held_bytes: 0,
            releases: 0,
            last_block: None,
            closing: Vec::new(),
            timeout,
            settled: false,
            told_bare: false,
            bare: Senders::default(),
            peers: usize::MAX,
            verified,
            hasher: Default::default(),
        }
    }

    pub fn set_largest(&mut self, largest: usize) {
        self.largest = largest;
    }

    /// So many peers may be known, and so many may come from one address in a second.
    pub fn limit(&mut self, peers: usize, new_per_second: u32) {
        self.peers = peers;
        self.trust.limit(peers);
        self.verified.new_per_second = new_per_second;
    }

    /// How many senders are believed.
    pub fn believed(&self) -> usize {
        self.trust.believed()
    }

    /// Whether a copy of a datagram is one of a believed sender.
    pub fn believes(&mut self, opened: &Opened, from: IpAddr) -> bool {
        let name = (opened.proof.key, opened.proof.sender);
        let known = self.trust.signer(&name);
        let Self { sealer, verified, now, .. } = self;
        self.trust.believes(&name) && verify(sealer, verified, opened, known, from, *now).is_ok()
    }

    /// The identity of a sender. Its frames that are accepted and signed were verified.
    pub fn signer(&self, proof: &Proof) -> Option<Signer> {
        self.trust.signer(&(proof.key, proof.sender))
    }

    /// The identity of this node.
    pub fn own_identity(&self) -> Option<PublicKey> {
        self.sealer.identities().signer().map(|signer| signer.key)
    }

    /// Whether signatures count.
    pub fn verifies(&self) -> bool {
        self.sealer.identities().verify()
    }

    /// This node seals with this key from now on.
    pub fn set_sealing(&mut self, key: u32) {
        self.trust.set_sealing(key);
    }

    /// A key was removed: what is under way, and peers that change a little later, still count.
    pub fn close_later(&mut self, key: u32, now: Duration) {
        self.closing.push((now + CLOSED_AFTER_TIMEOUTS * self.timeout, key));
    }

    /// The key that a peer sends with.
    pub fn key_of(&self, id: &NodeId) -> Option<KeyId> {
        let names = self.senders.get(id)?.iter();
        let heard = names.filter_map(|name| Some((self.trust.heard(name)?, name.0)));
        self.sealer.id_of(heard.max()?.1)
    }

    /// Whether a sender that is not believed asks and answers nothing, as a bare caster.
    pub fn is_bare(&self, proof: &Proof) -> bool {
        !proof.class.is_control() && !self.trust.waits(&(proof.key, proof.sender))
    }

    /// A message of a bare caster was dropped. Returns whether it is the first one.
    pub fn notice_bare(&mut self) -> bool {
        !std::mem::replace(&mut self.told_bare, true)
    }

    /// Whether a message of a bare caster counts: neither a repeated one nor too old to tell.
    pub fn take_bare(&mut self, proof: &Proof) -> bool {
        self.bare.take(proof)
    }

    /// A key is no longer accepted.
    pub fn forget_key(&mut self, key: u32) {
        self.trust.forget_key(key);
        self.ids.retain_pairs(|name, _| name.0 != key);
        self.senders.retain_pairs(|_, names| {
            names.retain(|name| name.0 != key);
            !names.is_empty()
        });
    }

    /// Whether a datagram may have an effect.
    pub fn check(&mut self, opened: &Opened, remote: &Remote, now: Now) -> Outcome {
        self.now = now.mono;
        let block = Block::read(&opened.block).map(|(block, _)| block);
        let source = self.hasher.hash_one(remote.address) as u16;
        let (from, Self { sealer, verified, trust, .. }) = (remote.address.ip(), &mut *self);
        let checks = &mut Datagram { opened, from, now: now.mono, sealer, verified };
        let name = (opened.proof.key, opened.proof.sender);
        let before = trust.signer(&name);
        let shown = opened.signature.as_ref().map(|signature| signature.signer);
        let outcome = trust.receive(&opened.proof, block.as_ref(), source, now.mono, shown, checks);
        if trust.signer(&name) != before {
            // Another sender has used this name before.
            self.unbind(&name);
        }
        // It was delivered before its sender was believed.
        if outcome == Outcome::Accepted && self.bare.repeats(&opened.proof) {
            return Outcome::Repeated;
        }
        if !remote.to_group
            && let Some(block) = block.as_ref().filter(|_| opened.proof.class.is_control())
            && matches!(outcome, Outcome::Accepted | Outcome::Unbelieved)
        {
            self.answer(&opened.proof, block, remote);
        }
        if outcome == Outcome::Accepted && opened.proof.class.is_control() {
            self.note_address(remote.address, (opened.proof.key, opened.proof.sender));
            self.read_next(&opened.proof, block.as_ref(), from);
        }
        outcome
    }

    /// Answers a datagram by unicast with no more bytes than it has.
    fn answer(&mut self, proof: &Proof, block: &Block<'_>, remote: &Remote) {
        let second = self.now.as_secs();
        if self.answered.0 != second {
            self.answered = (second, 0);
        }
        let room = remote.size.saturating_sub(self.sealer.overhead());
        let name = (proof.key, proof.sender);
        if self.answered.1 < ANSWERS_PER_SECOND
            && let Some(block) = self.trust.answer(&name, block, room, self.now)
        {
            self.answered.1 += 1;
            let origin = Origin::from(remote);
            let to = Destination::TheseFrom(origin.local_port(), vec![origin.sender()]);
            self.send_block_to(block, to);
        }
    }

    /// The mark of a control datagram that asks nothing.
    fn presence(&self, to: Option<SenderId>) -> Mark {
        let challenge = self.trust.present_challenge(self.now);
        let block = Outgoing { challenge, ..Outgoing::default() }.write();
        Mark::Seal(Seal { class: Class::Presence, to, block, ..Seal::data() })
    }

    /// Begins to change the sender of this node.
    #[cold]
    pub fn change_sender(&mut self) {
        if self.announcing.is_none() {
            self.trust.announce(self.session.draw_next());
            self.announcing = Some(ANNOUNCED);
        }
    }

    /// To be called before each heartbeat.
    fn follow_sender(&mut self) {
        let clocks = self.session.clocks();
        if clocks.abs_diff(self.clocks) > self.interval.as_nanos() {
            self.renew();
        }
        self.clocks = clocks;
        match &mut self.announcing {
            None if self.session.sealed() >= CHANGED_AFTER => self.change_sender(),
            None => {}
            Some(0) => {
                self.announcing = None;
                let own = self.session.change();
                self.trust.change_own(own);
            }
            Some(left) => *left -= 1,
        }
    }

    /// The machine may have gone back to an earlier state, and others may have all that it has sent since:
    /// nothing that this node knew before counts.
    #[cold]
    fn renew(&mut self) {
        self.session.change();
        let (session, sealer) = (self.session.clone(), self.sealer.clone());
        let mut renewed = Self::new(&session, sealer, self.interval, self.timeout);
        renewed.largest = self.largest;
        renewed.limit(self.peers, self.verified.new_per_second);
        renewed.settled = self.settled;
        renewed.held = std::mem::take(&mut self.held);
        renewed.outputs = std::mem::take(&mut self.outputs);
        *self = renewed;
    }

    /// A sender that states itself names keys that it may use next, and one that states a counter of zero the
    /// sender that it uses next.
    fn read_next(&mut self, proof: &Proof, block: Option<&Block<'_>>, from: IpAddr) {
        for (sender, beginning) in block.into_iter().flat_map(Block::statements) {
            if beginning == 0 && sender != proof.sender {
                let (name, Self { trust, verified, now, .. }) =
                    ((proof.key, proof.sender), &mut *self);
                trust.succeed_sender(&name, sender, *now, || verified.admit(from, *now));
            }
            if sender == proof.sender
                && let Some(key) = self.sealer.number_of(beginning)
            {
                self.trust.succeed(&(proof.key, sender), key, proof.counter, self.now);
            }
        }
    }

    fn note_address(&mut self, address: SocketAddr, name: Name) {
        let sender = name.1;
        let is_full = self.addresses.len() >= MAX_ADDRESSES;
        if is_full && !self.addresses.contains_key(&address) {
            self.addresses.clear();
        }
        match self.addresses.get_mut(&address) {
            Some(known) if *known == Some(sender) => {}
            Some(known) if known.is_some() && *known == self.trust.predecessor(&name) => {
                *known = Some(sender);
            }
            Some(known) => *known = None,
            None => self.addresses.insert(address, Some(sender)),
        }
    }

    /// This sender speaks for no id any more.
    fn unbind(&mut self, name: &Name) {
        if let Some(id) = self.ids.remove(name)
            && let Some(senders) = self.senders.get_mut(&id)
        {
            senders.retain(|it| it != name);
        }
    }

    /// Belief in a sender has ended: its addresses may be those of another one.
    fn end(&mut self, name: &Name) {
        for key in self.sealer.numbers() {
            self.trust.end(&(key, name.1), self.now);
            self.ids.remove(&(key, name.1));
        }
        self.addresses.retain(|sender| sender.is_some_and(|sender| sender != name.1));
    }

    /// Notes the id that a believed sender speaks for. Returns it if it is new.
    pub fn bind(&mut self, name: Name, from: IpAddr, text: &str) -> Option<NodeId> {
        if self.ids.contains_key(&name) {
            return None;
        }
        if self.ids.len() > 2 * self.trust.believed() + MAX_HELD {
            // Some fell silent without having been peers.
            let Self { ids, senders, trust, .. } = self;
            ids.retain_pairs(|name, _| trust.believes(name));
            senders.retain(|names| names.iter().any(|name| trust.believes(name)));
        }
        let envelope = Envelope::parse(text).ok()?;
        let id = envelope.id.to_node_id();
        match self.senders.get_mut(&id) {
            None => self.senders.insert(id.clone(), vec![name]),
            Some(senders) => {
                senders.push(name);
                if senders.len() > MAX_SENDERS {
                    let oldest = senders.remove(0);
                    let is_current = senders.iter().any(|it| it.1 == oldest.1);
                    match is_current {
                        // The same one under a former key.
                        true => drop(self.ids.remove(&oldest)),
                        false => self.end(&oldest),
                    }
                }
            }
        }
        if let Some(port) = envelope.extension.as_ref().and_then(|extension| extension.port) {
            self.note_address(SocketAddr::new(from, port), name);
        }
        if let Some(former) = self.trust.predecessor(&name) {
            // Its last datagrams may be under way.
            self.succeeded.push((self.now + self.interval, (name.0, former)));
        }
        self.ids.insert(name, id.clone());
        Some(id)
    }

    /// Looks at an output of the engine before it leaves.
    pub fn pass(&mut self, output: &mut Output) {
        match output {
            Output::Event(Event::Down { peer, reason }) => {
                let mut ended = self.senders.remove(&peer.id).unwrap_or_default();
                if *reason == DownReason::Restart
                    && let Some(newest) = ended.pop()
                {
                    ended.retain(|name| name.1 != newest.1);
                    self.senders.insert(peer.id.clone(), vec![newest]);
                }
                ended.iter().for_each(|name| self.end(name));
            }
            Output::Event(Event::Settled) => self.settled = true,
            Output::Transmit(message, Destination::These(addresses)) => {
                // A copy for each, which no other one can open.
                let copies = addresses.iter().map(|address| {
                    let to = self.addresses.get(address).copied().flatten();
                    let mut copy = message.clone();
                    copy.set_mark(match message.as_json() {
                        Some(_) => self.presence(to),
                        None => Mark::Seal(Seal { to, ..Seal::data() }),
                    });
                    Output::Transmit(copy, Destination::These(vec![*address]))
                });
                let mut copies = copies.collect::<Vec<_>>().into_iter();
                if let Some(first) = copies.next() {
                    self.outputs.extend(copies);
                    *output = first;
                }
            }
            Output::Transmit(message, to) if message.as_json().is_some() => {
                let is_heartbeat = *to == Destination::Group;
                let room =
                    self.largest.saturating_sub(self.sealer.overhead() + message.data().len());
                if !is_heartbeat {
                    message.set_mark(self.presence(None));
                    return;
                }
                self.follow_sender();
                let next = self.sealer.next_keys();
                let block = self.trust.heartbeat(room, &next, self.now);
                let class = Class::Heartbeat;
                message.set_mark(Mark::Seal(Seal { class, block, ..Seal::data() }));
                self.last_block = Some(self.now);
                self.state();
            }
            _ => {}
        }
    }

    /// Datagrams that are sent besides.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether messages of the program wait: a peer that has not been answered drops them.
    pub fn holds(&self) -> bool {
        self.begun.is_some()
    }

    /// Keeps a message until the first peers have been answered. Returns it if it cannot wait: then those
    /// that were held have left before it.
    pub fn hold(&mut self, message: Message) -> Result<(), Message> {
        let bytes = self.held_bytes + message.data().len();
        if !self.holds() {
            return Err(message);
        }
        if self.held.len() >= MAX_HELD || bytes > MAX_HELD_BYTES {
            self.release();
            return Err(message);
        }
        self.held.push(message);
        self.held_bytes = bytes;
        Ok(())
    }

    pub fn has_held(&self) -> bool {
        !self.held.is_empty()
    }

    /// Lets messages go that were held.
    pub fn release(&mut self) {
        self.begun = None;
        self.flush();
    }

    fn flush(&mut self) {
        self.held_bytes = 0;
        let held = self.held.drain(..);
        self.outputs.extend(held.map(|it| Output::Transmit(it, Destination::Everybody)));
    }

    fn state(&mut self) {
        // Where signatures count, most others do not take them.
        if self.verifies() {
            return;
        }
        let room = self.largest.saturating_sub(self.sealer.overhead());
        let sealing = self.sealer.sealing();
        if let Some(block) = self.trust.statements(sealing, room, self.now) {
            self.send_block(block);
        }
    }

    /// Sends a datagram that has a block and no content.
    fn send_block(&mut self, block: Vec<u8>) {
        self.send_block_to(block, Destination::Group);
    }

    fn send_block_to(&mut self, block: Vec<u8>, to: Destination) {
        let mut message = Message::bytes(Vec::new());
        message.set_mark(Mark::Seal(Seal { class: Class::Presence, block, ..Seal::data() }));
        self.outputs.push_back(Output::Transmit(message, to));
    }

    /// When a block is due that others wait for.
    fn block_due(&self) -> Option<Duration> {
        let wanted = self.trust.wants_heartbeat()?;
        Some(self.last_block.map_or(wanted, |last| wanted.max(last + APART)))
    }

    /// When messages are no longer held.
    fn release_due(&self) -> Option<Duration> {
        let begun = self.begun?;
        let is_answered = self.settled && !self.trust.is_asked();
        Some(if is_answered { Duration::ZERO } else { begun + HELD_INTERVALS * self.interval })
    }

    pub fn due(&self) -> Option<Duration> {
        let closing = self.closing.iter().map(|(due, _)| *due).min();
        let succeeded = self.succeeded.iter().map(|(due, _)| *due).min();
        [self.block_due(), self.release_due(), closing, succeeded].into_iter().flatten().min()
    }

    pub fn handle_timeout(&mut self, now: Duration) {
        self.now = now;
        for (_, key) in self.closing.extract_if(.., |(due, _)| *due <= now).collect::<Vec<_>>() {
            if self.sealer.close(key) {
                self.forget_key(key);
            }
        }
        let ended = self.succeeded.extract_if(.., |(due, _)| *due <= now);
        for (_, name) in ended.collect::<Vec<_>>() {
            self.end(&name);
            for senders in self.senders.values_mut() {
                senders.retain(|it| it.1 != name.1);
            }
        }
        if self.release_due().is_some_and(|due| due <= now) {
            // Held messages leave after this returns. A message that is sent meanwhile has to follow them.
            self.releases += 1;
            match self.held.is_empty() || self.releases == MAX_RELEASES {
                true => self.release(),
                false => self.flush(),
            }
        }
        if self.block_due().is_some_and(|due| due <= now) {
            let next = self.sealer.next_keys();
            let room = self.largest.saturating_sub(self.sealer.overhead());
            let block = self.trust.heartbeat(room, &next, now);
            self.last_block = Some(now);
            self.send_block(block);
            self.state();
        }
    }
}

impl std::fmt::Debug for Sealed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Sealed({} believed)", self.believed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secure::key::Key;
    use crate::secure::session::testing::Clocks;

    const INTERVAL: Duration = Duration::from_secs(1);

    #[test]
    fn a_machine_that_was_restored_has_another_sender_and_believes_nobody() {
        let clocks = Clocks::new(Duration::from_secs(100));
        let sealer = Arc::new(Sealer::new(&[Key::generate().unwrap()], "", false).unwrap());
        let session = Arc::new(sealer.begin(clocks.clone()));
        let mut sealed = Sealed::new(&session, sealer, INTERVAL, 2 * INTERVAL);
        let mut beat = |set: Duration| {
            clocks.pass(INTERVAL, set);
            let message = Message::trusted_json(b"{}".to_vec());
            let mut output = Output::Transmit(message, Destination::Group);
            sealed.now += INTERVAL;
            sealed.release();
            sealed.pass(&mut output);
            (session.sender(), sealed.trust.present_challenge(sealed.now), sealed.holds())
        };
        let (sender, challenge, _) = beat(Duration::ZERO);
        // A clock that is adjusted is no reason.
        let (same, _, holds) = beat(Duration::from_millis(900));
        assert_eq!((same, holds), (sender, false));
        let (other, new, holds) = beat(Duration::from_secs(3600));
        assert_ne!(other, sender);
        assert_ne!(new, challenge);
        assert!(holds, "its messages wait until its peers believe it again");
        assert_eq!(beat(Duration::ZERO).0, other);
    }

    #[test]
    fn a_message_that_was_delivered_before_its_sender_was_believed_is_not_delivered_again() {
        let sealer = Arc::new(Sealer::new(&[Key::generate().unwrap()], "", false).unwrap());
        let session = Arc::new(sealer.begin(Clocks::new(Duration::from_secs(100))));
        let mut sealed = Sealed::new(&session, sealer, INTERVAL, 2 * INTERVAL);
        let remote = Remote::new("10.0.0.2:10103".parse().unwrap(), 200);
        let now = Now { mono: Duration::from_secs(100), unix_ms: 0 };
        let echoes = vec![sealed.trust.present_challenge(now.mono)];
        let block = Outgoing { echoes, ..Outgoing::default() }.write();
        let mut hear = |class: Class, counter| {
            let proof = Proof {
                key: 0,
                sender: SenderId([7; 12]),
                counter,
                class,
                to: None,
                signed: false,
            };
            let block = if class.is_control() { block.clone() } else { Vec::new() };
            let outcome = sealed.check(&Opened { proof, signature: None, block }, &remote, now);
            match outcome == Outcome::Unbelieved && sealed.is_bare(&proof) {
                true => (outcome, sealed.take_bare(&proof)),
                false => (outcome, false),
            }
        };
        // Its heartbeat of before comes late, and with it belief.
        assert_eq!(hear(Class::Data, 6), (Outcome::Unbelieved, true));
        assert_eq!(hear(Class::Data, 6), (Outcome::Unbelieved, false));
        assert_eq!(hear(Class::Heartbeat, 5), (Outcome::Accepted, false));
        assert_eq!(hear(Class::Data, 6), (Outcome::Repeated, false));
        assert_eq!(hear(Class::Data, 7), (Outcome::Accepted, false));
        assert_eq!(hear(Class::Data, 7), (Outcome::Repeated, false));
    }

    #[test]
    fn one_address_brings_so_many_senders_in_a_second() {
        let sealer = Arc::new(Sealer::new(&[Key::generate().unwrap()], "", false).unwrap());
        let session = Arc::new(sealer.begin(Clocks::new(Duration::from_secs(100))));
        let mut sealed = Sealed::new(&session, sealer, INTERVAL, 2 * INTERVAL);
        sealed.limit(100, 5);
        let mut drawn = 0_u8;
        // Ten senders that answer, each of which names a next one or speaks about one that waits.
        let mut come = |host: u8, second: u64, next: Option<u64>| {
            let remote = Remote::new(SocketAddr::from(([10, 0, 0, host], 10103)), 200);
            let now = Now { mono: Duration::from_secs(second), unix_ms: 0 };
            let before = sealed.believed();
            for _ in 0..10 {
                drawn += 1;
                let (sender, other) = (SenderId([drawn; 12]), SenderId([200 - drawn; 12]));
                let echoes = vec![sealed.trust.present_challenge(now.mono)];
                let speaks = |sender, block: Outgoing| {
                    let (key, counter, class) = (0, 2, Class::Heartbeat);
                    let proof = Proof { key, sender, counter, class, to: None, signed: false };
                    Opened { proof, signature: None, block: block.write() }
                };
                sealed.check(&speaks(other, Outgoing::default()), &remote, now);
                let statements = next.map(|counter| (other, counter)).into_iter().collect();
                let block = Outgoing { echoes, statements, ..Outgoing::default() };
                sealed.check(&speaks(sender, block), &remote, now);
            }
            sealed.believed() - before
        };
        assert_eq!((come(1, 100, None), come(1, 100, None), come(2, 100, None)), (5, 0, 5));
        // Together with those that they name.
        assert_eq!((come(1, 101, Some(0)), come(1, 102, Some(3))), (5, 5));
    }

    #[test]
    fn a_key_that_was_removed_is_closed_after_two_timeouts() {
        let keys: Vec<Key> = (0..2).map(|_| Key::generate().unwrap()).collect();
        let sealer = Arc::new(Sealer::new(&keys, "", false).unwrap());
        let session = Arc::new(sealer.begin(Clocks::new(Duration::from_secs(100))));
        let mut sealed = Sealed::new(&session, sealer.clone(), INTERVAL, 2 * INTERVAL);
        let removed = sealer.retire(keys[1].id()).unwrap();
        let now = Duration::from_secs(100);
        sealed.close_later(removed, now);
        sealed.handle_timeout(now + Duration::from_millis(3999));
        assert_eq!((sealer.numbers().len(), sealer.key_ids().len()), (2, 1));
        assert!(sealed.due().is_some_and(|due| due <= now + 4 * INTERVAL));
        sealed.handle_timeout(now + 4 * INTERVAL);
        assert_eq!(sealer.numbers(), [0]);
    }

    #[test]
    fn a_sender_is_named_in_three_heartbeats_before_it_is_used() {
        let clocks = Clocks::new(Duration::from_secs(100));
        let sealer = Arc::new(Sealer::new(&[Key::generate().unwrap()], "", false).unwrap());
        let session = Arc::new(sealer.begin(clocks.clone()));
        let mut sealed = Sealed::new(&session, sealer, INTERVAL, 2 * INTERVAL);
        let first = session.sender();
        sealed.change_sender();
        let next = session.draw_next();
        let mut named = 0;
        while session.sender() == first {
            let message = Message::trusted_json(b"{}".to_vec());
            let mut output = Output::Transmit(message, Destination::Group);
            sealed.set_largest(1400);
            sealed.pass(&mut output);
            let Output::Transmit(mut message, _) = output else { panic!("it stays") };
            let Some(Mark::Seal(seal)) = message.take_mark() else { panic!("it is marked") };
            let (block, _) = Block::read(&seal.block).unwrap();
            let names = block.statements().any(|it| it == (next, 0));
            assert_eq!(names, session.sender() == first);
            named += u8::from(names);
        }
        assert_eq!((named, session.sender()), (ANNOUNCED, next));
        assert_eq!(session.sealed(), 0, "it begins with counter 1");
    }
}
