//! Messages in pieces: what an [`Engine`] sends and receives on the data port.

use super::Engine;
use crate::message::{DATA_MAGIC, Message, Remote};
use crate::middleware::{Json, Middleware};
use crate::peer::NodeId;
use crate::protocol::destination::Destination;
use crate::protocol::envelope::Envelope;
use crate::protocol::event::Event;
use crate::protocol::limits::Limits;
use crate::protocol::output::Output;
use crate::protocol::paths::Origin;
use crate::protocol::pieces::{self, Header, Kind, MESSAGES, METADATA};
use crate::protocol::time::Now;
use crate::stats::DropReason;

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
        if self.members.without_pieces() > 0 {
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
        if !frame.starts_with(&DATA_MAGIC) {
            return Err(DropReason::NotJson);
        }
        self.notice_pause(now);
        let from = from.into();
        let (header, body) = Header::read(frame).ok_or(DropReason::BadPiece)?;
        if header.incarnation == self.incarnation && !self.observe_self {
            return Err(DropReason::Own);
        }
        let sender = self.members.sender(header.incarnation, from.address);
        let id = sender.ok_or(DropReason::StrayPiece)?;
        match header.kind {
            Kind::Data => self.hear_piece(&id, &header, body, from, now),
            Kind::Nack => self.hear_nack(&header, body, now),
        }
    }

    fn hear_piece(
        &mut self,
        id: &NodeId,
        header: &Header,
        body: &[u8],
        from: Origin,
        now: Now,
    ) -> Result<(), DropReason> {
        if header.stream == METADATA {
            return Err(DropReason::StrayPiece);
        }
        let limit = self.budgets.message + LONGEST_ID + AROUND_MESSAGE;
        let Self { inbox, random, .. } = self;
        let Some(whole) = inbox.take(id, header, body, limit, now.mono, random)? else {
            return Ok(());
        };
        let mut message = Message::bytes(whole);
        let remote = Remote::new(from.sender(), message.data().len());
        let json = Json::with(false, self.budgets.depth);
        json.rx(&mut message, &remote).map_err(|reject| reject.reason())?;
        let text = message.as_json().ok_or(DropReason::NotJson)?;
        let envelope = Envelope::parse(text)?;
        // Its pieces came from this peer: it says nothing in the name of another one.
        if envelope.id.as_json() != id.as_json() || envelope.message.is_none() || envelope.suicide {
            return Err(DropReason::BadPiece);
        }
        self.receive(text, from, now)
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
        let asks = self.inbox.handle_timeout(now.mono, &mut self.random);
        for ask in asks {
            let Some(to) = self.members.process(&ask.id, self.group_port) else { continue };
            let nack = pieces::nack(self.incarnation, ask.incarnation, ask.stream, &ask.ranges);
            self.outputs.push_back(Output::Transmit(nack, Destination::These(vec![to])));
        }
    }
}
