//! Messages in pieces: what an [`Engine`] sends and receives on the data port.

use super::Engine;
use crate::jsontext;
use crate::message::{DATA_MAGIC, Message, Remote};
use crate::middleware::{Json, Middleware};
use crate::options::Originals;
use crate::peer::NodeId;
use crate::protocol::destination::Destination;
use crate::protocol::envelope::{self, Envelope, Extension};
use crate::protocol::event::{Changed, Event};
use crate::protocol::limits::Limits;
use crate::protocol::metadata;
use crate::protocol::output::Output;
use crate::protocol::paths::Origin;
use crate::protocol::pieces::{self, Header, Kind, MESSAGES, METADATA};
use crate::protocol::time::Now;
use crate::stats::DropReason;
use std::net::IpAddr;

/// The bytes of a message beside its text and its id: `{"id":,"message":}`.
const AROUND_MESSAGE: usize = 18;

/// The longest id as JSON.
const LONGEST_ID: usize = 512;

impl Engine {
    /// The sizes of datagrams from now on.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Cuts a message, the ASCII JSON text of its envelope, into pieces. `None` if it has to go whole
    /// to the group's port: pieces cannot be sent, or a peer does not take them.
    pub fn cut(&mut self, text: &[u8], now: Now) -> Option<Vec<Message>> {
        if !self.limits.pieces || !self.speaks() || self.next_beat.is_none() {
            return None;
        }
        if self.goes_whole() {
            if !std::mem::replace(&mut self.told_whole, true) {
                let text = "a message beyond one datagram is sent as IP fragments while a peer is \
                            there that takes no pieces (caster 0.1.1): one lost fragment loses \
                            the message";
                self.tell(Event::Hint(text.into()));
            }
            return None;
        }
        Some(self.cut_for_everybody(text.to_vec(), MESSAGES, now))
    }

    /// Whether a peer is there that takes neither pieces nor the hash of metadata.
    pub(crate) fn goes_whole(&self) -> bool {
        match self.originals {
            Originals::Auto => self.members.without_pieces() > 0,
            Originals::Expect => true,
            Originals::Never => self.members.any_with_extension_lacks_pieces(),
        }
    }

    fn cut_for_everybody(&mut self, text: Vec<u8>, stream: u32, now: Now) -> Vec<Message> {
        let room = match self.targets.is_empty() {
            true => self.limits.room(),
            false => self.limits.room_alone(),
        };
        self.outbox.cut(text, stream, self.incarnation, room, now.mono)
    }

    /// Takes in what is no JSON: a frame of the data port.
    ///
    /// # Errors
    /// Why it had no effect.
    pub fn receive_frame(
        &mut self,
        frame: &[u8],
        from: impl Into<Origin>,
        now: Now,
    ) -> Result<(), DropReason> {
        let from = from.into();
        if !frame.starts_with(&DATA_MAGIC) {
            self.note_useless(DropReason::NotJson, from, now);
            return Err(DropReason::NotJson);
        }
        self.notice_pause(now);
        let (header, body) = Header::read(frame).ok_or(DropReason::BadPiece)?;
        if header.incarnation == self.incarnation && !self.observe_self {
            return Err(DropReason::Own);
        }
        let sender = self.members.sender(header.incarnation, from.address);
        let is_metadata = header.stream == METADATA && header.kind == Kind::Data;
        let sender = sender.or_else(|| {
            self.metadata.sender(header.incarnation, from.address).filter(|_| is_metadata)
        });
        let id = sender.ok_or(DropReason::StrayPiece)?;
        match header.kind {
            Kind::Data => self.hear_piece(&id, &header, body, from, now),
            Kind::Nack => self.hear_nack(&header, body, now),
        }
    }

    /// The peer that a frame of the data port is from, if it is one of its messages or asks for some.
    pub(super) fn sender_of_frame(&self, frame: &[u8], from: IpAddr) -> Option<NodeId> {
        let (header, _) = Header::read(frame)?;
        self.members.sender(header.incarnation, from)
    }

    fn hear_piece(
        &mut self,
        id: &NodeId,
        header: &Header,
        body: &[u8],
        from: Origin,
        now: Now,
    ) -> Result<(), DropReason> {
        let limit = match header.stream {
            METADATA => self.budgets.meta,
            _ => self.budgets.message + LONGEST_ID + AROUND_MESSAGE,
        };
        let Self { inbox, random, .. } = self;
        let whole = inbox.take(id, header, body, limit, now.mono, random)?;
        inbox.note_source(id, Some(from.sender()).filter(|_| !from.to_group));
        let Some(whole) = whole else { return Ok(()) };
        let mut message = Message::bytes(whole);
        let remote = Remote::new(from.sender(), message.data().len());
        let json = Json::with(false, self.budgets.depth);
        json.rx(&mut message, &remote).map_err(|reject| reject.reason())?;
        let text = message.as_json().ok_or(DropReason::NotJson)?;
        if header.stream == METADATA {
            self.learn_metadata(text, now);
            return Ok(());
        }
        let envelope = Envelope::parse(text)?;
        // Its pieces came from this peer: it says nothing in the name of another one.
        if envelope.id.as_json() != id.as_json() || envelope.message.is_none() || envelope.suicide {
            return Err(DropReason::BadPiece);
        }
        self.receive(text, from, now)
    }

    /// The hash of the own metadata, if heartbeats can name it in its place.
    pub(super) fn slim_hash(&mut self) -> Option<u128> {
        let is_slim = self.limits.pieces && self.expose && self.extended;
        let meta = &self.meta;
        let hash = &mut self.meta_hash;
        is_slim.then(|| *hash.get_or_insert_with(|| metadata::hash_of(&jsontext::compact(meta))))
    }

    /// Sends the heartbeat with its metadata although it does not fit, at most once an interval, while a
    /// peer is there that cannot ask for metadata.
    pub(super) fn beat_in_full(&mut self, now: Now) {
        let lacking = self.goes_whole();
        let lately = self.full_beat.is_some_and(|last| now.mono < last + self.interval() / 2);
        if !lacking || lately || self.slim_hash().is_none() {
            return;
        }
        let extension = self.extension(Extension::default());
        let text = envelope::heartbeat(&self.id, Some(&self.meta), Some(&extension));
        if text.len() > self.limits.room() {
            self.full_beat = Some(now.mono);
            let message = Message::trusted_json(text.into_bytes());
            self.outputs.push_back(Output::Transmit(message, Destination::Group));
        }
    }

    /// Looks at the metadata that a heartbeat names or asks for. `None` if its sender is not in the
    /// table and waits for its metadata.
    pub(super) fn look_at_slim<'a>(
        &mut self,
        id: &NodeId,
        envelope: Envelope<'a>,
        text: &str,
        from: Origin,
        now: Now,
    ) -> Option<Envelope<'a>> {
        let Some(extension) = &envelope.extension else { return Some(envelope) };
        if !extension.wanted.is_empty() && *id != self.id {
            let own = self.slim_hash();
            self.metadata.hear_question(&extension.wanted, own, now.mono);
        }
        let hash = extension.meta_hash.filter(|_| envelope.meta.is_none() && *id != self.id);
        let Some(hash) = hash.filter(|_| self.limits.pieces && !envelope.suicide) else {
            return Some(envelope);
        };
        if !self.speaks() {
            // It cannot ask.
            return Some(Envelope { meta: Some("null"), ..envelope });
        }
        let (incarnation, port) = (extension.incarnation, extension.port);
        let is_current = self.members.is_current(id, Some(extension));
        if is_current && self.members.has_meta(id, hash) {
            return Some(envelope);
        }
        if !is_current {
            // It may ask for a token as well.
            let _ = self.hear_slim(extension, from, now);
            let limit = self.budgets.new_nodes_per_second;
            if !self.newcomers.admit(from.address, limit, now.mono) {
                return None;
            }
        }
        let held = (!is_current).then_some(text);
        let Self { metadata, random, .. } = self;
        let gone = metadata.want(
            (id, hash, incarnation),
            (from, port, &extension.own),
            held,
            now.mono,
            random,
        );
        if let Some(gone) = gone.filter(|gone| !self.members.has(gone)) {
            self.inbox.forget(&gone);
        }
        is_current.then_some(envelope)
    }

    /// Metadata has come: the peers that have it are up, or have an update.
    fn learn_metadata(&mut self, meta: &str, now: Now) {
        for waiting in self.metadata.take(metadata::hash_of(meta)) {
            let id = &waiting.id;
            match &waiting.held {
                None => {
                    if self.members.set_meta(id, meta, now.mono) {
                        let changed = Changed { meta: true, ..Changed::default() };
                        self.tell(Event::Update { peer: self.snapshot(id), changed });
                    }
                }
                Some(text) => {
                    if let Ok(envelope) = Envelope::parse(text) {
                        let envelope = Envelope { meta: Some(meta), ..envelope };
                        let _ = self.hear(id, &envelope, waiting.origin, now);
                    }
                }
            }
        }
    }

    /// A peer asks for pieces that it misses.
    fn hear_nack(&mut self, header: &Header, body: &[u8], now: Now) -> Result<(), DropReason> {
        let ranges = pieces::ranges(body).ok_or(DropReason::BadPiece)?;
        if header.auxiliary != self.incarnation {
            return Err(DropReason::StrayPiece);
        }
        let frames = self.outbox.repair(header.stream, &ranges, self.incarnation, now.mono);
        for frame in frames {
            self.outputs.push_back(Output::Transmit(frame, Destination::Data));
        }
        Ok(())
    }

    /// Asks for what is missing, and gives up what has waited for too long.
    pub(super) fn run_pieces(&mut self, now: Now) {
        self.outbox.handle_timeout(now.mono);
        for id in self.metadata.expire(now.mono) {
            if !self.members.has(&id) {
                self.inbox.forget(&id);
            }
        }
        for (id, origin, text) in self.metadata.take_overdue(now.mono) {
            let Ok(envelope) = Envelope::parse(&text) else { continue };
            let envelope = Envelope { meta: Some("null"), ..envelope };
            if self.hear(&id, &envelope, origin, now).is_ok()
                && !std::mem::replace(&mut self.told_no_meta, true)
            {
                let text = format!(
                    "the metadata of {id} ({}) has not arrived: it is beyond one datagram and comes by \
                     UDP port {}, which a firewall may have closed",
                    origin.address,
                    self.group_port.wrapping_add(1)
                );
                self.tell(Event::Hint(text.into()));
            }
        }
        if self.metadata.take_answer(now.mono) && self.slim_hash().is_some() {
            let text = jsontext::compact(&self.meta).into_owned().into_bytes();
            for frame in self.cut_for_everybody(text, METADATA, now) {
                self.outputs.push_back(Output::Transmit(frame, Destination::Data));
            }
        }
        let asks = self.inbox.handle_timeout(now.mono, &mut self.random);
        for ask in asks {
            // Its own port may be out of reach where its pieces come by unicast.
            let to = ask.source.filter(|source| self.targets.is_proven(*source));
            let to = to.or_else(|| self.members.process(&ask.id, self.group_port));
            let Some(to) = to.or_else(|| self.metadata.process(&ask.id)) else { continue };
            let nack = pieces::nack(self.incarnation, ask.incarnation, ask.stream, &ask.ranges);
            self.outputs.push_back(Output::Transmit(nack, Destination::These(vec![to])));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::Options;
    use crate::protocol::limits::LARGEST_DATAGRAM;
    use std::net::{IpAddr, SocketAddr};
    use std::time::Duration;

    const LIMITS: Limits = Limits { group: 1400, alone: 1232, overhead: 20, pieces: true };

    fn at(ms: u64) -> Now {
        Now { mono: Duration::from_millis(ms), unix_ms: ms }
    }

    fn from(host: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, host], 10101))
    }

    /// An engine on this host that takes pieces.
    fn engine(host: u8, id: &str, meta: &str) -> Engine {
        let options = Options::for_node().with("id", id).with("meta", &meta);
        let mut engine = Engine::new(&options.resolve_node().unwrap(), host.into());
        engine.set_limits(LIMITS);
        engine.set_port(Some(21101));
        engine.interfaces(&[IpAddr::from([10, 0, 0, host])], None, at(0));
        engine.start(true, host.into(), at(0));
        engine
    }

    fn outputs(engine: &mut Engine) -> (Vec<(Message, Destination)>, Vec<Event>) {
        let (mut sent, mut told) = (Vec::new(), Vec::new());
        while let Some(output) = engine.poll_output() {
            match output {
                Output::Transmit(message, to) => sent.push((message, to)),
                Output::Event(event) => told.push(event),
            }
        }
        (sent, told)
    }

    fn give(engine: &mut Engine, message: &Message, host: u8, now: Now) -> Result<(), DropReason> {
        match message.as_json() {
            Some(text) => engine.receive(text, from(host), now),
            None => engine.receive_frame(message.data(), from(host), now),
        }
    }

    /// Two engines that know each other.
    fn pair() -> (Engine, Engine) {
        let (mut a, mut b) = (engine(1, "a", "1"), engine(2, "b", "1"));
        for ms in 0..3 {
            let (of_a, of_b) = (outputs(&mut a).0, outputs(&mut b).0);
            for (message, _) in of_a {
                give(&mut b, &message, 1, at(ms)).unwrap();
            }
            for (message, _) in of_b {
                give(&mut a, &message, 2, at(ms)).unwrap();
            }
        }
        outputs(&mut a);
        outputs(&mut b);
        (a, b)
    }

    fn message_of(id: &str) -> Vec<u8> {
        format!(r#"{{"id":"{id}","message":"{}"}}"#, "x".repeat(5000)).into_bytes()
    }

    fn messages(told: &[Event]) -> usize {
        told.iter().filter(|event| matches!(event, Event::Message { .. })).count()
    }

    #[test]
    fn pieces_count_only_from_an_address_that_their_sender_uses() {
        let (mut a, mut b) = pair();
        let pieces = a.cut(&message_of("a"), at(10)).unwrap();
        assert!(pieces.iter().all(|piece| piece.data().len() <= LIMITS.room()));
        for piece in &pieces {
            assert_eq!(give(&mut b, piece, 9, at(10)), Err(DropReason::StrayPiece));
        }
        assert_eq!(give(&mut a, &pieces[0], 1, at(10)), Err(DropReason::Own));
        for piece in &pieces {
            assert_eq!(give(&mut b, piece, 1, at(10)), Ok(()));
        }
        assert_eq!(messages(&outputs(&mut b).1), 1);
        let mut other = pieces[0].data().to_vec();
        other[7] ^= 1;
        let other = Message::bytes(other);
        assert_eq!(give(&mut b, &other, 1, at(10)), Err(DropReason::StrayPiece));
        assert_eq!(give(&mut b, &Message::bytes(b"\xCA\x57".to_vec()), 1, at(10)), {
            Err(DropReason::BadPiece)
        });
        assert_eq!(give(&mut b, &Message::bytes(b"x".to_vec()), 1, at(10)), {
            Err(DropReason::NotJson)
        });
    }

    #[test]
    fn pieces_say_nothing_in_the_name_of_another_peer() {
        let (mut a, mut b) = pair();
        let leave = format!(r#"{{"id":"a","suicide":true,"meta":"{}"}}"#, "x".repeat(3000));
        for text in [message_of("c"), leave.into_bytes(), vec![b'['; 3000]] {
            let pieces = a.cut(&text, at(10)).unwrap();
            let (last, others) = pieces.split_last().unwrap();
            for piece in others {
                give(&mut b, piece, 1, at(10)).unwrap();
            }
            assert!(give(&mut b, last, 1, at(10)).is_err());
            assert!(outputs(&mut b).1.is_empty());
        }
    }

    #[test]
    fn a_question_goes_to_the_port_of_the_sender_and_counts_only_from_a_peer() {
        let (mut a, mut b) = pair();
        let pieces = a.cut(&message_of("a"), at(10)).unwrap();
        for piece in &pieces[1..] {
            give(&mut b, piece, 1, at(10)).unwrap();
        }
        b.handle_timeout(at(30), false);
        let asked = outputs(&mut b).0;
        let to_port = SocketAddr::from(([10, 0, 0, 1], 21101));
        let question = asked.iter().find(|(message, _)| message.as_json().is_none());
        let (question, to) = question.expect("it asks");
        assert_eq!(*to, Destination::These(vec![to_port]));
        assert_eq!(give(&mut a, question, 9, at(31)), Err(DropReason::StrayPiece));
        assert!(outputs(&mut a).0.is_empty());
        assert_eq!(give(&mut a, question, 2, at(31)), Ok(()));
        let repairs = outputs(&mut a).0;
        assert_eq!(repairs, [(pieces[0].clone(), Destination::Data)]);
        let mut of_other = question.data().to_vec();
        of_other[23] ^= 1;
        let of_other = Message::bytes(of_other);
        assert_eq!(give(&mut a, &of_other, 2, at(50)), Err(DropReason::StrayPiece));
        give(&mut b, &repairs[0].0, 1, at(32)).unwrap();
        assert_eq!(messages(&outputs(&mut b).1), 1);
    }

    #[test]
    fn a_peer_with_large_metadata_is_up_when_that_is_there() {
        let meta = format!("\"{}\"", "m".repeat(5000));
        let mut a = engine(1, "a", &"m".repeat(5000));
        let mut b = engine(2, "b", "1");
        let (beats, _) = outputs(&mut a);
        outputs(&mut b);
        assert_eq!(beats.len(), 1);
        assert!(beats[0].0.data().len() < LIMITS.room());
        give(&mut b, &beats[0].0, 1, at(1)).unwrap();
        assert!(outputs(&mut b).1.is_empty(), "not yet");
        b.handle_timeout(at(21), false);
        let (questions, _) = outputs(&mut b);
        assert!(!questions.is_empty());
        for (question, _) in &questions {
            give(&mut a, question, 2, at(22)).unwrap();
        }
        a.handle_timeout(at(22), false);
        let (answer, _) = outputs(&mut a);
        let pieces = answer.iter().filter(|(_, to)| *to == Destination::Data);
        let pieces: Vec<&Message> = pieces.map(|(piece, _)| piece).collect();
        assert_eq!(pieces.len(), 4);
        for piece in &pieces {
            assert_eq!(give(&mut b, piece, 9, at(23)), Err(DropReason::StrayPiece));
        }
        for piece in &pieces {
            give(&mut b, piece, 1, at(23)).unwrap();
        }
        match &outputs(&mut b).1[..] {
            [Event::Up(peer), ..] => assert_eq!(peer.meta.as_deref(), Some(&*meta)),
            told => panic!("{told:?}"),
        }
    }

    #[test]
    fn a_peer_whose_metadata_does_not_arrive_is_up_without_it_and_has_it_later() {
        let mut a = engine(1, "a", &"m".repeat(5000));
        let mut b = engine(2, "b", "1");
        outputs(&mut b);
        let (mut told, mut up_at) = (Vec::new(), 0);
        for ms in (0..6000).step_by(100) {
            a.handle_timeout(at(ms), false);
            for (message, _) in outputs(&mut a).0.iter().filter(|(it, _)| it.as_json().is_some()) {
                give(&mut b, message, 1, at(ms)).unwrap();
            }
            b.handle_timeout(at(ms), false);
            told.extend(outputs(&mut b).1);
            if up_at == 0 && told.iter().any(|event| matches!(event, Event::Up(_))) {
                up_at = ms;
            }
        }
        assert!((3000..4200).contains(&up_at), "{up_at}");
        let ups = told.iter().filter_map(|event| match event {
            Event::Up(peer) => Some(peer.meta.clone()),
            _ => None,
        });
        assert_eq!(ups.collect::<Vec<_>>(), [Some("null".into())]);
        let hint = |event: &&Event| matches!(event, Event::Hint(text) if text.contains("10102"));
        assert_eq!(told.iter().filter(hint).count(), 1, "{told:?}");
        // The port is opened.
        for piece in
            a.cut_for_everybody(jsontext::compact(a.meta()).into_owned().into(), METADATA, at(6000))
        {
            give(&mut b, &piece, 1, at(6000)).unwrap();
        }
        match &outputs(&mut b).1[..] {
            [Event::Update { peer, changed }] => {
                assert!(changed.meta && peer.meta.as_ref() == Some(a.meta()));
            }
            told => panic!("{told:?}"),
        }
        // One that was heard once or twice may have been invented.
        let mut c = engine(3, "c", "1");
        outputs(&mut c);
        let slim = r#"{"id":"x","caster":{"b":1,"n":0,"h":1000,"c":15,"m":"00112233445566778899aabbccddeeff"}}"#;
        for ms in [0, 1000] {
            c.receive(slim, from(9), at(ms)).unwrap();
        }
        c.handle_timeout(at(5000), false);
        assert!(!outputs(&mut c).1.iter().any(|event| matches!(event, Event::Up(_))));
    }

    #[test]
    fn without_a_data_port_messages_and_metadata_go_whole() {
        let mut a = engine(1, "a", &"m".repeat(5000));
        outputs(&mut a);
        a.set_limits(Limits { pieces: false, ..LIMITS });
        assert_eq!(a.cut(&message_of("a"), at(10)), None);
        a.handle_timeout(at(30), false);
        let (beats, _) = outputs(&mut a);
        assert!(beats[0].0.data().len() > 5000);
        a.set_limits(Limits { group: LARGEST_DATAGRAM, ..LIMITS });
        a.handle_timeout(at(150), false);
        assert!(outputs(&mut a).0[0].0.data().len() > 5000, "it fits");
    }
}
