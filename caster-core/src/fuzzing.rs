//! The code that the fuzz targets (`fuzz/`) and the replay of their corpus run. Not part of the interface.

use crate::error::Result;
use crate::jstext::JsText;
use crate::message::{Message, MessageKind, Remote};
use crate::middleware::pipeline::Pipeline;
use crate::middleware::{
    Crypto, CryptoOptions, Hash, HashEra, HashOptions, Json, Stage, crypto, hash,
};
use crate::options::{Dialect, NodeConfig, Options, TABLE, snake_case};
use crate::peer::NodeId;
use crate::protocol::destination::Destination;
use crate::protocol::engine::Engine;
use crate::protocol::envelope::{self, Envelope, MAX_NAMES, NOTHING};
use crate::protocol::event::Event;
use crate::protocol::output::Output;
use crate::protocol::pieces::{self, HEADER, Header, MAX_RANGES, Outbox};
use crate::protocol::random::Random;
use crate::protocol::reassembly::Inbox;
use crate::protocol::time::Now;
use crate::secure::frame::{self, Class, Header as SealedHeader, OVERHEAD};
use crate::secure::identity::{Identities, Identity, Salt, Signer, TRAILER};
use crate::secure::key::Key;
use crate::secure::names::SenderId;
use crate::secure::schedule::Derived;
use crate::secure::sealer::Sealer;
use crate::secure::session::Surroundings;
use crate::secure::suite::{Suite, keyed};
use crate::sha256::sha256;
use crate::stats::{Counters, DropReason, Stats};
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The parser: what it accepts, it reads again the same after it was written.
pub fn envelope(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(envelope) = Envelope::parse(text) else { return };
    let id = envelope.id.to_node_id();
    assert_eq!(id.as_json(), envelope.id.as_json(), "an id has one form");
    let Some(extension) = &envelope.extension else { return };
    let names = [&extension.probes.len(), &extension.corroborations.len(), &extension.known.len()];
    assert!(names.iter().all(|&&length| length <= MAX_NAMES), "{extension:?}");
    for text in [
        envelope::heartbeat(&id, Some("null"), Some(extension)),
        envelope::leave(&id, Some(extension)),
    ] {
        assert!(text.is_ascii(), "{text}");
        let again = Envelope::parse(&text).expect("what is written can be read");
        assert_eq!(again.id, envelope.id);
        assert_eq!(again.extension.as_ref(), Some(extension));
    }
}

/// Two senders cut messages; what arrives of their pieces, in which order, how often and how changed is as
/// the bytes have it.
pub fn pieces(data: &[u8]) {
    const LIMIT: usize = 70_000;
    let mut bytes = Bytes(data);
    let mut now = Duration::from_secs(5);
    let mut random = Random::new(1);
    let mut inbox = Inbox::default();
    let mut outboxes = [Outbox::default(), Outbox::default()];
    let ids = ["a", "b"].map(|id| NodeId::new(id).expect("an id"));
    // Frames with the number of their sender, and whether a byte of them was changed.
    let mut flying: Vec<(usize, Vec<u8>)> = Vec::new();
    let mut intact = true;
    for _ in 0..512 {
        if bytes.0.is_empty() {
            break;
        }
        let sender = usize::from(bytes.below(2));
        match bytes.below(8) {
            0 => {
                let text = vec![b'1' + sender as u8; usize::from(bytes.byte()) * 273 + 1];
                let stream = u32::from(bytes.below(2));
                let room = 300 + usize::from(bytes.byte()) * 8;
                let frames = outboxes[sender].cut(text, stream, 7, room, now);
                flying.extend(frames.iter().map(|frame| (sender, frame.data().to_vec())));
            }
            1 => now += Duration::from_millis(u64::from(bytes.byte()) * 5),
            2 if !flying.is_empty() => {
                let at = usize::from(bytes.byte()) % flying.len();
                let frame = &mut flying[at].1;
                let place = usize::from(bytes.byte()) % frame.len().min(HEADER + 4);
                frame[place] = bytes.byte();
                intact = false;
            }
            3 if !flying.is_empty() => {
                drop(flying.remove(usize::from(bytes.byte()) % flying.len()))
            }
            4 => {
                let asks = inbox.handle_timeout(now, &mut random);
                for ask in asks {
                    assert!(!ask.ranges.is_empty() && ask.ranges.len() <= MAX_RANGES);
                    let nack = pieces::nack(1, ask.incarnation, ask.stream, &ask.ranges);
                    let (_, body) = Header::read(nack.data()).expect("what is written can be read");
                    assert_eq!(pieces::ranges(body), Some(ask.ranges));
                }
            }
            5 => {
                let ranges = pieces::ranges(bytes.text().as_bytes()).unwrap_or_default();
                outboxes[sender].repair(0, &ranges, 7, now);
            }
            _ if !flying.is_empty() => {
                let at = usize::from(bytes.byte()) % flying.len();
                let (from, frame) = flying[at].clone();
                let Some((header, body)) = Header::read(&frame) else { continue };
                let taken = inbox.take(&ids[from], &header, body, LIMIT, now, &mut random);
                if let Ok(Some(text)) = taken {
                    assert!(!text.is_empty() && text.len() <= LIMIT);
                    let own = b'1' + from as u8;
                    assert!(!intact || text.iter().all(|&byte| byte == own), "a mixture");
                }
            }
            _ => {}
        }
        assert!(inbox.waiting() <= 64 << 20);
        for outbox in &outboxes {
            assert!(outbox.repairs_sent <= outbox.pieces_sent, "repair is more than the data");
        }
    }
    // All is given up in the end, and it stops asking.
    for _ in 0..20_000 {
        let Some(due) = inbox.next_due() else { break };
        now = now.max(due);
        let asks = inbox.handle_timeout(now, &mut random);
        // More gaps than one question names are asked for in the next one.
        let next = asks.iter().all(|ask| ask.ranges.len() < MAX_RANGES).then(|| inbox.next_due());
        assert!(next.flatten().is_none_or(|next| next > now), "it is due again at once");
    }
    assert_eq!((inbox.waiting(), inbox.next_due()), (0, None));
}

/// A sealed frame as it is, and changed as the bytes have it: only the unchanged one opens, and only what
/// was sealed. The bytes alone do not open either.
pub fn sealed(data: &[u8]) {
    struct Still(u8);
    impl Surroundings for Still {
        fn now(&self) -> Duration {
            Duration::from_secs(1)
        }
        fn unix_nanos(&self) -> u128 {
            0
        }
        fn random(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }
    // Keys that depend on every byte of the input: a fuzzer sees the tags that are compared, and with keys that stay
    // the same it forges a frame by that.
    let sum = data.iter().fold(0xCBF2_9CE4_8422_2325_u64, |sum, &byte| {
        (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01B3)
    });
    let key = |first: u8| {
        let mut bytes = [first; 32];
        bytes[1..9].copy_from_slice(&sum.to_le_bytes());
        bytes[9] = 0;
        Key::from_bytes(&bytes).expect("32 bytes that are no text")
    };
    let mut bytes = Bytes(data);
    let readable = bytes.below(2) == 1;
    let sender = Sealer::new(&[key(1)], "fuzz", readable).expect("a ring");
    let receiver = Sealer::new(&[key(200), key(1)], "fuzz", readable).expect("a ring");
    let (from, to) = (sender.begin(Arc::new(Still(7))), receiver.begin(Arc::new(Still(8))));

    let mut raw = data.to_vec();
    assert!(receiver.open(&mut raw).is_err(), "forged");
    assert_eq!(raw, data, "what is refused stays as it is");

    let class = [Class::Data, Class::Heartbeat, Class::Presence][usize::from(bytes.below(3))];
    let to = (bytes.below(2) == 1).then(|| to.sender());
    let text = bytes.text();
    let mut frame = text.as_bytes().to_vec();
    sender.seal(&from, class, to, &mut frame);
    let sent = frame.clone();
    assert_eq!(sent.len(), text.len() + OVERHEAD);
    let changes = bytes.below(4);
    for _ in 0..changes {
        let at = usize::from(bytes.byte()) | usize::from(bytes.byte()) << 8;
        match bytes.below(4) {
            0 => frame.truncate(at % (frame.len() + 1)),
            1 => frame.push(at as u8),
            _ if frame.is_empty() => {}
            _ => {
                let at = at % frame.len();
                frame[at] = bytes.byte();
            }
        }
    }
    let header = SealedHeader::read(&frame);
    let changed = frame.clone();
    match receiver.open(&mut frame) {
        Ok(opened) => {
            let proof = opened.proof;
            assert_eq!(changed, sent, "only what was sealed opens");
            assert_eq!(frame, text.as_bytes());
            assert_eq!((proof.key, proof.class, proof.to), (1, class, to));
            assert_eq!(proof.sender, from.sender());
            assert_eq!(header.map(|header| header.counter), Ok(proof.counter));
        }
        Err(_) => assert!(changed != sent && frame == changed),
    }
}

/// The trailer of a signed frame, as a member of the group makes it with the key: it is read without harm, and is
/// valid only as the identity has signed it under its sender.
pub fn signed(data: &[u8]) {
    const REALM: &str = "fuzz";
    let mut bytes = Bytes(data);
    let key = Key::from_bytes(&[[1; 16], [200; 16]].concat()).expect("32 bytes that are no text");
    let identity = Identity::from_bytes(&[[3; 16], [201; 16]].concat()).expect("a seed");
    let derived = Derived::new(key.as_bytes(), REALM);
    let (public, salt) = (identity.public_key(), Salt([5; 16]));
    let all = bytes.below(2) == 1;
    let own = SealedHeader {
        suite: Suite::Hmac,
        signed: true,
        class: [Class::Data, Class::Heartbeat, Class::Presence][usize::from(bytes.below(3))],
        for_one: false,
        sender: public.sender(&salt),
        x: 7,
        counter: u64::from(bytes.byte()) + 1,
    };
    let mut genuine = bytes.raw().to_vec();
    identity.append(all, &salt, &mut genuine);
    let digest = frame::digest(&own.write(&derived), None, &derived, &genuine);
    identity.sign(&digest, &mut genuine);

    let mut payload = genuine.clone();
    match bytes.below(6) {
        0 => payload = bytes.raw().to_vec(),
        1 => payload.truncate(usize::from(bytes.byte()) % (payload.len() + 1)),
        2 => drop(payload.drain(..usize::from(bytes.byte()) % (payload.len() + 1))),
        3 => {
            let at = payload.len() - 1 - usize::from(bytes.below(TRAILER as u8));
            payload[at] ^= bytes.byte();
        }
        4 => {
            let end = bytes.raw();
            payload.truncate(payload.len() - end.len().min(payload.len()));
            payload.extend_from_slice(end);
        }
        _ => {}
    }
    let sender = match (bytes.below(3), payload.last_chunk::<TRAILER>()) {
        (0, _) => SenderId([bytes.byte(); 12]),
        // The one that belongs to this key and salt.
        (1, Some(trailer)) => {
            let digest = sha256(&[b"caster/1 sender", &trailer[17..49], &trailer[1..17]]);
            SenderId(*digest.first_chunk().expect("32 bytes"))
        }
        _ => own.sender,
    };

    let header = SealedHeader { sender, ..own };
    let cipher = keyed(header.suite, &derived.sender_key(header.suite, &sender, REALM));
    let mut datagram = payload.clone();
    frame::seal(&header, None, &derived, &*cipher, &mut datagram);
    let identities = Identities { own: Some(identity), ..Identities::default() };
    let receiver = Sealer::new(std::slice::from_ref(&key), REALM, true)
        .and_then(|ring| ring.with_identities(&[key], identities))
        .expect("the key is not the seed");
    let opened = receiver.open(&mut datagram).expect("it has the key");
    assert_eq!((opened.proof.signed, opened.proof.sender), (true, sender));
    assert_eq!(datagram, payload[..payload.len().saturating_sub(TRAILER)]);
    assert_eq!(opened.signature.is_some(), payload.len() >= TRAILER);
    if let Some(signature) = opened.signature {
        let is_genuine = payload == genuine && sender == own.sender;
        assert_eq!(signature.is_valid(&sender), is_genuine);
        assert!(!is_genuine || signature.signer == Signer { key: public, all });
    }
}

/// An engine that gets datagrams, times and calls as the bytes have it. After each step all that it
/// wants done is looked at.
pub fn engine_sequence(data: &[u8]) {
    let mut bytes = Bytes(data);
    let mut run = Run::new(&mut bytes);
    // A sequence that is longer says nothing that a shorter one does not.
    for _ in 0..512 {
        if bytes.0.is_empty() {
            return;
        }
        run.step(&mut bytes);
        run.check();
    }
}

/// Datagrams with the digest that a peer with the secret would have put there, through the whole pipeline into an
/// engine: bytes that a fuzzer would not get past the digest.
pub fn received(data: &[u8]) {
    let mut bytes = Bytes(data);
    let has_crypto = bytes.below(2) == 1;
    let hash = Hash::new(&HashOptions::default()).expect("the defaults are accepted");
    let crypto = Crypto::new(&CryptoOptions::default()).expect("the defaults are accepted");
    let mut outer: Vec<Stage> = vec![hash.into()];
    if has_crypto {
        outer.push(crypto.into());
    }
    let of = |stages: Vec<Stage>| Pipeline::of(stages).expect("each name once");
    let outside = of(outer.clone());
    let whole = of(std::iter::once(Json::new().into()).chain(outer).collect());
    let mut run = Run::new(&mut bytes);
    for _ in 0..64 {
        if bytes.0.is_empty() {
            return;
        }
        let from = sender(&mut bytes);
        let (plain, made);
        let content = match bytes.below(4) {
            0 => {
                made = datagram(&mut bytes);
                made.as_bytes()
            }
            _ => {
                plain = bytes.raw();
                plain
            }
        };
        let mut message = Message::bytes(content);
        outside.tx(0, &mut message).expect("bytes pass");
        let remote = Remote::new(from, message.data().len());
        whole.rx(whole.len(), &mut message, &remote).expect("the digest is the right one");
        // Bytes that are no JSON stay as they are.
        match message.as_json() {
            None => assert_eq!(message.data(), content),
            Some(text) => drop(run.engine.receive(text, from, run.clock())),
        }
        run.check();
        run.pass(Duration::from_millis(u64::from(bytes.byte()) * 4), false);
        run.check();
    }
}

/// The stages: what goes out comes in again as it was, a changed datagram is refused if there is a digest, and
/// nothing from the wire does harm.
pub fn stages(data: &[u8]) {
    let mut bytes = Bytes(data);
    let flags = bytes.byte();
    let has = |bit: u8| flags & 1 << bit != 0;
    let of = |names: &[&str], number: u8| names[usize::from(number) % names.len()].to_owned();
    let (first, second) = (bytes.byte(), bytes.byte());
    let mut stages: Vec<Stage> = Vec::new();
    if has(0) {
        stages.push(if has(1) { Json::raw_utf8() } else { Json::new() }.into());
    }
    if has(2) {
        let algorithm = of(hash::ALGORITHMS, first);
        let secret = JsText::from_latin1(bytes.raw());
        let era = [HashEra::Auto, HashEra::Binary, HashEra::Utf8][usize::from(bytes.below(3))];
        stages
            .push(Hash::new(&HashOptions { secret, algorithm, era }).expect("one that is").into());
    }
    if has(3) {
        let algorithm = of(crypto::ALGORITHMS, second);
        let key = JsText::from_latin1(bytes.raw());
        stages.push(Crypto::new(&CryptoOptions { key, algorithm }).expect("one that is").into());
    }
    let pipeline = Pipeline::of(stages).expect("each name once");
    let (changes, at, to) = (has(4), usize::from(bytes.byte()), bytes.byte());
    let content = bytes.0;
    let remote = Remote::new(sender(&mut Bytes(content)), content.len());

    let mut raw = Message::bytes(content);
    let _ = pipeline.rx(pipeline.len(), &mut raw, &remote);

    let text = std::str::from_utf8(content).ok().and_then(|text| Message::json(text).ok());
    let given = match text {
        Some(json) if has(0) && has(5) => json,
        _ => Message::bytes(content),
    };
    let mut sent = given.clone();
    if pipeline.tx(0, &mut sent).is_err() {
        return; // JSON that is too deep
    }
    let wire = sent.data().to_vec();
    if changes && has(2) && !wire.is_empty() {
        let mut changed = wire.clone();
        let at = at % changed.len();
        changed[at] = to;
        if changed != wire {
            let mut changed = Message::bytes(changed);
            let outcome = pipeline.rx(pipeline.len(), &mut changed, &remote);
            assert!(outcome.is_err(), "a changed datagram passed");
        }
    }
    let mut back = Message::bytes(wire.clone());
    if let Err(reject) = pipeline.rx(pipeline.len(), &mut back, &remote) {
        // Bytes that are JSON to the receiver.
        let json = Message::json(String::from_utf8_lossy(content));
        assert_eq!((reject.reason, json.is_ok()), (DropReason::TooDeep, true), "{reject:?}");
        return;
    }
    if back.kind() == MessageKind::Bytes {
        assert_eq!((back.data(), given.kind()), (content, MessageKind::Bytes));
    } else if has(0) && !has(1) && given.kind() == MessageKind::Json {
        pipeline.tx(0, &mut back).expect("it was sent before");
        assert!(has(2) || back.data() == wire, "the same value has the same bytes");
    }
}

/// Options from JSON and one at a time: an error has a text, and what is accepted makes a node.
pub fn options(data: &[u8]) {
    let mut bytes = Bytes(data);
    let is_node = bytes.below(2) == 0;
    let mut options = if is_node { Options::for_node() } else { Options::for_caster() };
    if bytes.below(2) == 1 {
        options = options.dialect(Dialect::Npm);
    }
    let tell = |outcome: Result<()>| {
        if let Err(error) = outcome {
            assert!(!error.message().is_empty());
        }
    };
    for _ in 0..64 {
        if bytes.0.is_empty() {
            break;
        }
        let kind = bytes.below(6);
        let number = usize::from(bytes.byte());
        let known = TABLE[number % TABLE.len()].name;
        match kind {
            0 => tell(options.merge_json(bytes.text())),
            1 => tell(options.set_json(bytes.text(), bytes.text())),
            2 => tell(options.set_json(known, bytes.text())),
            3 => tell(options.set(&snake_case(known), bytes.text())),
            4 => tell(options.set_text(known, JsText::from_latin1(bytes.raw()))),
            _ => match Key::from_text(bytes.text()) {
                Ok(key) => options.add_key(key),
                Err(error) => assert!(!error.message().is_empty()),
            },
        }
    }
    assert!(format!("{options:?}").len() < 10_000_000);
    if is_node {
        match options.resolve_node() {
            Ok(config) => drop(Engine::new(&config, 1)),
            Err(error) => assert!(!error.message().is_empty()),
        }
    } else {
        tell(options.check_for_caster().and_then(|()| options.resolve_transport().map(drop)));
    }
}

/// The input, a byte at a time; zeros behind its end.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn byte(&mut self) -> u8 {
        let Some((&first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        first
    }

    fn below(&mut self, limit: u8) -> u8 {
        self.byte() % limit
    }

    fn raw(&mut self) -> &'a [u8] {
        let length = usize::from(self.byte()).min(self.0.len());
        let (raw, rest) = self.0.split_at(length);
        self.0 = rest;
        raw
    }

    fn text(&mut self) -> &'a str {
        std::str::from_utf8(self.raw()).unwrap_or_default()
    }
}

const IDS: [&str; 5] = ["me", "a", "b", "c", "d"];

/// How many datagrams one call may want sent at the most, and how many answers by unicast besides: the default of
/// `maxAnswers`.
const MAX_SENT: usize = 8;
const MAX_ANSWERS: usize = 50;

struct Run {
    engine: Engine,
    now: Duration,
    running: bool,
    /// The peers that are up, as the events tell it.
    up: BTreeSet<NodeId>,
    isolated: bool,
    stats: Stats,
}

/// The options of these flags; they are read once in a process.
fn config(flags: u8) -> &'static NodeConfig {
    static ALL: [OnceLock<NodeConfig>; 16] = [const { OnceLock::new() }; 16];
    let flag = |bit: u8| flags & 1 << bit != 0;
    ALL[usize::from(flags)].get_or_init(|| {
        let mut options = Options::for_node()
            .with("id", IDS[0])
            .with("self", &flag(0))
            .with("expose", &!flag(1))
            .with("maxNodes", if flag(2) { &3 } else { &4096 });
        if flag(3) {
            options = options.with("compat", "0.1.1");
        }
        options.resolve_node().expect("these options are accepted")
    })
}

impl Run {
    fn new(bytes: &mut Bytes<'_>) -> Self {
        let flags = bytes.byte();
        let flag = |bit: u8| flags & 1 << bit != 0;
        let config = config(flags & 0b1111);
        let mut run = Self {
            engine: Engine::new(config, 1),
            now: Duration::from_secs(1),
            running: true,
            up: BTreeSet::new(),
            isolated: false,
            stats: Counters::default().snapshot(),
        };
        run.engine.start(!flag(4), 7, run.clock());
        run.check();
        run
    }

    fn clock(&self) -> Now {
        Now { mono: self.now, unix_ms: 1_700_000_000_000 + self.now.as_millis() as u64 }
    }

    fn step(&mut self, bytes: &mut Bytes<'_>) {
        let now = self.clock();
        match bytes.below(16) {
            0..=2 => self.pass(Duration::from_millis(u64::from(bytes.byte()) * 4), false),
            3 => self.pass(Duration::from_millis(u64::from(bytes.byte()) * 256), true),
            4..=9 => {
                let text = datagram(bytes);
                let _ = self.engine.receive(&text, sender(bytes), now);
            }
            10 => {
                let text = datagram(bytes);
                self.engine.receive_copy(&text, sender(bytes), now);
            }
            11 => {
                let text = bytes.text();
                let _ = self.engine.receive(text, sender(bytes), now);
            }
            12 => self.engine.refused(sender(bytes), now),
            13 => self.engine.interfaces(&[], Some(bytes.below(3).into()), now),
            14 => match bytes.below(4) {
                0 => self.engine.set_seeds(&[sender(bytes), sender(bytes)], now),
                1 => self.engine.set_meta("{\"v\":1}".into(), now),
                2 => self.engine.introduce(now),
                _ => drop(self.engine.unicast_targets(now)),
            },
            _ => self.restart(bytes),
        }
    }

    /// Time passes, and the engine is called when it wants to be.
    fn pass(&mut self, time: Duration, behind: bool) {
        let end = self.now + time;
        // It may not ask to be called again and again for nothing.
        for _ in 0..20_000 {
            match self.engine.poll_timeout() {
                Some(due) if due <= end => self.now = self.now.max(due),
                _ => break,
            }
            self.engine.handle_timeout(self.clock(), false);
            self.check();
            let next = self.engine.poll_timeout();
            assert!(next.is_none_or(|next| next > self.now), "it is due again at once");
        }
        self.now = end;
        self.engine.handle_timeout(self.clock(), behind);
    }

    fn restart(&mut self, bytes: &mut Bytes<'_>) {
        let leave = self.engine.leave_message();
        assert!(Envelope::parse(&leave).is_ok_and(|envelope| envelope.suicide), "{leave}");
        self.engine.stop();
        self.check();
        assert_eq!(self.engine.poll_timeout(), None, "a node that is not up waits for nothing");
        self.running = bytes.below(4) != 0;
        if self.running {
            self.up.clear();
            self.isolated = false;
            let now = self.clock();
            self.engine.start(true, 8, now);
        }
    }

    /// Takes all outputs and looks at what holds after each call.
    fn check(&mut self) {
        let (mut sent, mut answers) = (0, 0);
        while let Some(output) = self.engine.poll_output() {
            match output {
                Output::Transmit(message, to) => match self.check_sent(&message, &to) {
                    true => answers += 1,
                    false => sent += 1,
                },
                Output::Event(event) => self.note(&event),
            }
        }
        assert!(sent <= MAX_SENT, "{sent} datagrams at once");
        assert!(answers <= MAX_ANSWERS, "{answers} answers at once");
        let mut suspects = 0;
        let mut known: Vec<NodeId> = Vec::with_capacity(self.up.len());
        known.extend(self.engine.peers().map(|peer| {
            suspects += u64::from(peer.suspect);
            peer.id
        }));
        known.sort_unstable();
        assert!(
            known.iter().eq(&self.up),
            "the table is what the events tell: {known:?} {:?}",
            self.up
        );
        assert_eq!(self.engine.peer_count(), known.len());
        self.engine.complete(&mut self.stats);
        assert_eq!(self.stats.nodes, known.len() as u64);
        assert_eq!(self.stats.suspects, suspects, "suspects are counted right");
    }

    /// Returns whether it is an answer by unicast.
    fn check_sent(&self, message: &Message, to: &Destination) -> bool {
        let text = message.as_json().expect("an engine sends JSON");
        assert!(text.is_ascii(), "{text}");
        if text == NOTHING {
            return false;
        }
        let envelope = Envelope::parse(text).expect("what is sent can be read");
        assert_eq!(envelope.id.as_json(), "\"me\"");
        assert!(!envelope.suicide && envelope.message.is_none(), "{text}");
        if let Destination::These(addresses) | Destination::TheseFrom(_, addresses) = to {
            let different: BTreeSet<_> = addresses.iter().collect();
            assert_eq!(different.len(), addresses.len(), "each address once: {addresses:?}");
        }
        let is_challenge = envelope.extension.is_some_and(|it| it.challenge.is_some());
        matches!(to, Destination::TheseFrom(..)) && !is_challenge
    }

    fn note(&mut self, event: &Event) {
        match event {
            Event::Up(peer) => {
                assert!(self.up.insert(peer.id.clone()), "{} is up twice", peer.id);
            }
            Event::Down { peer, .. } => {
                assert!(self.up.remove(&peer.id), "{} is down twice", peer.id);
            }
            Event::Update { peer, .. } | Event::Message { peer, .. } => {
                assert!(self.up.contains(&peer.id), "{} is not up", peer.id);
            }
            Event::Isolated => {
                assert!(!std::mem::replace(&mut self.isolated, true), "isolated twice");
            }
            Event::Rejoined => {
                assert!(std::mem::take(&mut self.isolated), "rejoined twice");
            }
            _ => {}
        }
    }
}

fn sender(bytes: &mut Bytes<'_>) -> SocketAddr {
    let number = bytes.below(8);
    let address: IpAddr = match number {
        7 => Ipv4Addr::LOCALHOST.into(),
        _ => Ipv4Addr::new(10, 0, 0, number).into(),
    };
    SocketAddr::new(address, if number == 6 { 1 } else { 10101 })
}

/// A datagram made of statements of nodes, with any sender.
fn datagram(bytes: &mut Bytes<'_>) -> String {
    let kind = bytes.byte();
    let has = |bit: u8| kind & 1 << bit != 0;
    let mut text = format!("{{\"id\":\"{}\"", IDS[usize::from(bytes.below(5))]);
    match bytes.below(8) {
        0 => text.push_str(",\"suicide\":true"),
        1 => text.push_str(",\"message\":1"),
        2 => text.push_str(",\"meta\":{\"other\":1}"),
        _ => text.push_str(",\"meta\":null"),
    }
    if has(0) {
        text.push_str(&format!(",\"caster\":{{\"b\":{}", bytes.below(3)));
        if has(1) {
            let count = match bytes.byte() {
                255 => u32::MAX,
                few => few.into(),
            };
            text.push_str(&format!(",\"n\":{count}"));
        }
        if has(2) {
            text.push_str(&format!(",\"h\":{}", u32::from(bytes.byte()) * 257));
        }
        if has(3) {
            text.push_str(",\"a\":1");
        }
        if has(4) {
            text.push_str(",\"u\":1");
        }
        if has(5) {
            text.push_str(&format!(",\"p\":[\"{}\"]", IDS[usize::from(bytes.below(5))]));
        }
        if has(6) {
            let id = IDS[usize::from(bytes.below(5))];
            text.push_str(&format!(",\"v\":[[\"{id}\",{}]]", u32::from(bytes.byte()) * 16));
        }
        if has(7) {
            text.push_str(&format!(",\"k\":[\"{}\"]", sender(bytes)));
        }
        text.push('}');
    }
    text.push('}');
    text
}
