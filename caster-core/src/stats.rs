//! Counters: every datagram ends in exactly one of them.

use crate::message::Interface;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

macro_rules! reasons {
    ($($(#[$doc:meta])* $variant:ident, $key:literal;)*) => {
        /// Why a received datagram had no effect.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum DropReason { $($(#[$doc])* $variant,)* }

        impl DropReason {
            /// Every reason.
            pub const ALL: &'static [DropReason] = &[$(DropReason::$variant,)*];

            /// The key in JSON, as in `notJson`.
            pub const fn key(self) -> &'static str {
                match self { $(DropReason::$variant => $key,)* }
            }
        }
    };
}

reasons! {
    /// Shorter than the digest that should be in front.
    Truncated, "truncated";
    /// The digest does not match: damage, a foreign secret or another algorithm.
    Hash, "hash";
    /// It does not decrypt: a foreign key, or not encrypted at all.
    Decrypt, "decrypt";
    /// The payload is not JSON.
    NotJson, "notJson";
    /// The payload is JSON, but not an object.
    NotAnObject, "notAnObject";
    /// There is no id, or it is `null`, `false`, `0` or empty.
    NoId, "noId";
    /// The id is an array, an object or longer than 255 bytes.
    BadId, "badId";
    /// Arrays and objects nest too deep.
    TooDeep, "tooDeep";
    /// Metadata or a message is larger than the option `maxMeta` or `maxMessage` allows.
    TooLarge, "tooLarge";
    /// Its address brings more new nodes a second than the option `maxNewNodes` allows.
    TooManyNew, "tooManyNew";
    /// Its address sends more datagrams a second than the option `maxDatagrams` allows.
    TooMany, "tooMany";
    /// Sent by this node itself, with the option `self` off.
    Own, "own";
    /// A leave of a node that is not known.
    UnknownGoodbye, "unknownGoodbye";
    /// A leave without the proof of the node that it names, from an address that the node does not
    /// use, or of another incarnation.
    ForeignGoodbye, "foreignGoodbye";
    /// Late: from an incarnation of a node that is gone.
    Stale, "stale";
    /// Its count of heartbeats is higher than the time since the last one allows, or its proof of
    /// leaving is another one than the peer had told.
    Implausible, "implausible";
    /// From an address that the peer has not used: it has no effect until the peer confirms it.
    Unconfirmed, "unconfirmed";
    /// A new node, and the table is full.
    TableFull, "tableFull";
    /// From outside, and the node is on the loopback interface only.
    OffInterface, "offInterface";
    /// A middleware of the program turned it away.
    Middleware, "middleware";
    /// It waited for a host's middleware or in the event queue, and was lost there.
    QueueFull, "queueFull";
    /// Caster, or a middleware of the program, panicked over it.
    Fault, "fault";
    /// The same datagram has already come by another path: another interface or address of its
    /// sender.
    Copy, "copy";
    /// A piece of a message from no known peer, or of which the place is not known.
    StrayPiece, "strayPiece";
    /// A frame or a piece of a message that is malformed, or contradicts another piece.
    BadPiece, "badPiece";
    /// A piece of a message that was there already, or came too late.
    RepeatedPiece, "repeatedPiece";
    /// A piece of a message for which there was no room: 8 MiB wait for each sender, 64 MiB in all.
    PieceOverflow, "pieceOverflow";
}

/// The live counters of one caster or node.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub received: AtomicU64,
    pub accepted: AtomicU64,
    pub sent: AtomicU64,
    pub send_errors: AtomicU64,
    pub events_lost: AtomicU64,
    pub errors_suppressed: AtomicU64,
    pub send_errors4: AtomicU64,
    pub send_errors6: AtomicU64,
    pub kernel_drops: AtomicU64,
    pub undelivered: AtomicU64,
    /// Not a counter: how large it is now.
    pub receive_buffer: AtomicU64,
    pub oversized: AtomicU64,
    dropped: [AtomicU64; DropReason::ALL.len()],
}

impl Counters {
    pub fn count_drop(&self, reason: DropReason) {
        add(&self.dropped[reason as usize]);
    }

    pub fn snapshot(&self) -> Stats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Stats {
            received: read(&self.received),
            accepted: read(&self.accepted),
            dropped: self.dropped.each_ref().map(read),
            sent: read(&self.sent),
            send_errors: read(&self.send_errors),
            events_lost: read(&self.events_lost),
            errors_suppressed: read(&self.errors_suppressed),
            nodes: 0,
            suspects: 0,
            probes_sent: 0,
            vouches_sent: 0,
            answers_merged: 0,
            foreign: Vec::new(),
            send_errors4: read(&self.send_errors4),
            send_errors6: read(&self.send_errors6),
            kernel_drops: read(&self.kernel_drops),
            undelivered: read(&self.undelivered),
            receive_buffer: read(&self.receive_buffer),
            oversized: read(&self.oversized),
            pieces_sent: 0,
            pieces_received: 0,
            repairs_sent: 0,
            nacks_sent: 0,
            incomplete: 0,
            reassembly_failures: 0,
            interfaces: Vec::new(),
        }
    }
}

pub(crate) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The counters of a caster or node since it was made. It goes on through `down` and `up`.
///
/// When nothing is on its way, `received` is `accepted` plus everything in `dropped`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Datagrams taken from the socket. Own messages do not come back on Linux, unless another node
    /// of the process shares the socket or the option `self` is set.
    pub received: u64,
    /// Datagrams that had their effect.
    pub accepted: u64,
    dropped: [u64; DropReason::ALL.len()],
    /// Datagrams given to the socket.
    pub sent: u64,
    /// Datagrams that the socket refused.
    pub send_errors: u64,
    /// Messages that the program never saw because its event queue was full.
    pub events_lost: u64,
    /// Errors that were not told because one of the same kind had been told within a second.
    pub errors_suppressed: u64,
    /// Nodes that are known just now, the suspects among them.
    pub nodes: u64,
    /// Nodes that have been silent for too long and are being asked whether they are there.
    pub suspects: u64,
    /// How often a suspect was asked.
    pub probes_sent: u64,
    /// Number of corroborations that this node has sent for peers suspected by others.
    pub vouches_sent: u64,
    /// How often one heartbeat answered more than one question, within the option `maxAnswers`.
    pub answers_merged: u64,
    /// How many datagrams that could not be understood came from where, the most first; up to
    /// 256 addresses.
    pub foreign: Vec<(IpAddr, u64)>,
    /// How often a single interface refused a datagram over IPv4, whether or not another one took
    /// it.
    pub send_errors4: u64,
    /// The same over IPv6.
    pub send_errors6: u64,
    /// Datagrams that the system dropped because the socket's buffer was full. Only Linux tells;
    /// they are not part of `received`. All endpoints that share the socket count the same. Copies
    /// of own messages that a socket filter drops are not among them.
    pub kernel_drops: u64,
    /// Datagrams to single hosts that came back because no program there has the port open or the
    /// host cannot be reached. Only Linux tells. All endpoints that share the socket count the same.
    pub undelivered: u64,
    /// The size of the socket's receive buffer in bytes, as the system granted it; 0 before it was
    /// first opened.
    pub receive_buffer: u64,
    /// Datagrams sent that are larger than the MTU of an interface, and so travel as IP fragments.
    pub oversized: u64,
    /// Pieces of messages sent, without repairs.
    pub pieces_sent: u64,
    /// Pieces of messages received that were new.
    pub pieces_received: u64,
    /// Pieces sent again because a peer missed them.
    pub repairs_sent: u64,
    /// Questions for missing pieces sent.
    pub nacks_sent: u64,
    /// Messages in pieces that were given up because pieces were missing for a second.
    pub incomplete: u64,
    /// How often this host has failed to assemble a datagram from its fragments, since this was
    /// first opened: the growth of `IpReasmFails` and `Ip6ReasmFails`, which count the datagrams of
    /// all programs of the host. Only Linux tells.
    pub reassembly_failures: u64,
    /// The interfaces of this host, by index; empty while this is not open.
    pub interfaces: Vec<InterfaceStats>,
}

/// An interface of this host, and what the multicast sockets did on it since they were opened. All
/// endpoints that share the sockets count the same.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct InterfaceStats {
    /// Its index and name.
    pub interface: Interface,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// The largest IP packet that it sends, in bytes; 1500 if the system does not tell.
    pub mtu: usize,
    /// Whether it is up and has a carrier.
    pub up: bool,
    /// Whether the group is joined on it, over IPv4 or IPv6.
    pub joined: bool,
    /// Datagrams sent to the group on it.
    pub sent: u64,
    /// Datagrams received on it, by multicast or unicast.
    pub received: u64,
    /// Those of them that came from one of its own addresses: programs of this host have sent them.
    pub echoes: u64,
    /// The reason why the group could not be joined on it at the last attempt.
    pub error: Option<String>,
}

impl InterfaceStats {
    fn to_json(&self) -> String {
        let addresses: Vec<String> =
            self.addresses.iter().map(|address| format!("\"{address}\"")).collect();
        let text = |text: &str| serde_json::Value::from(text).to_string();
        let error = self.error.as_deref().map_or("null".to_owned(), text);
        format!(
            r#"{{"name":{},"index":{},"addresses":[{}],"mtu":{},"up":{},"joined":{},"sent":{},"received":{},"echoes":{},"error":{}}}"#,
            text(self.interface.name()),
            self.interface.index(),
            addresses.join(","),
            self.mtu,
            self.up,
            self.joined,
            self.sent,
            self.received,
            self.echoes,
            error,
        )
    }
}

impl Stats {
    /// Datagrams dropped for this reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// Datagrams dropped for any reason.
    pub fn dropped_total(&self) -> u64 {
        self.dropped.iter().sum()
    }

    /// All of it as one JSON object: `received`, `accepted`, `dropped` (an object by reason),
    /// `sent`, `sendErrors`, `sendErrors4`, `sendErrors6`, `kernelDrops`, `undelivered`,
    /// `receiveBuffer`, `reassemblyFailures`,
    /// `eventsLost`, `errorsSuppressed`, `nodes`, `suspects`, `probesSent`, `vouchesSent`,
    /// `answersMerged`, `oversized`, `piecesSent`, `piecesReceived`, `repairsSent`, `nacksSent`,
    /// `incomplete`, `foreign` (an object by address), `interfaces` (an array of objects with
    /// `name`, `index`, `addresses`, `mtu`, `up`, `joined`, `sent`, `received`, `echoes` and
    /// `error`, a text or null).
    pub fn to_json(&self) -> String {
        let dropped: Vec<String> = DropReason::ALL
            .iter()
            .map(|&reason| format!("\"{}\":{}", reason.key(), self.dropped(reason)))
            .collect();
        let foreign: Vec<String> =
            self.foreign.iter().map(|(from, count)| format!("\"{from}\":{count}")).collect();
        let numbers = [
            ("sent", self.sent),
            ("sendErrors", self.send_errors),
            ("sendErrors4", self.send_errors4),
            ("sendErrors6", self.send_errors6),
            ("kernelDrops", self.kernel_drops),
            ("undelivered", self.undelivered),
            ("receiveBuffer", self.receive_buffer),
            ("reassemblyFailures", self.reassembly_failures),
            ("eventsLost", self.events_lost),
            ("errorsSuppressed", self.errors_suppressed),
            ("nodes", self.nodes),
            ("suspects", self.suspects),
            ("probesSent", self.probes_sent),
            ("vouchesSent", self.vouches_sent),
            ("answersMerged", self.answers_merged),
            ("oversized", self.oversized),
            ("piecesSent", self.pieces_sent),
            ("piecesReceived", self.pieces_received),
            ("repairsSent", self.repairs_sent),
            ("nacksSent", self.nacks_sent),
            ("incomplete", self.incomplete),
        ];
        let interfaces: Vec<String> = self.interfaces.iter().map(InterfaceStats::to_json).collect();
        let numbers: Vec<String> =
            numbers.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        format!(
            r#"{{"received":{},"accepted":{},"dropped":{{{}}},{},"foreign":{{{}}},"interfaces":[{}]}}"#,
            self.received,
            self.accepted,
            dropped.join(","),
            numbers.join(","),
            foreign.join(","),
            interfaces.join(","),
        )
    }
}
