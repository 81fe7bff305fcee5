//! Counters: every datagram ends in exactly one of them.

use crate::message::Interface;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};

/// The list of all counters, passed to the macro `$then`, in the order of the JSON object: those that the driver
/// counts, those that are added to a snapshot, and the reasons for which a datagram is dropped. Each row
/// has the name of the field and the key in JSON; the one of a reason has its variant first.
#[doc(hidden)]
#[macro_export]
macro_rules! counters {
    ($then:ident) => {
        $then! {
            driver {
                /// Datagrams taken from the socket. Own messages do not come back on Linux, unless another node
                /// of the process shares the socket or the option `self` is set.
                received, "received";
                /// Datagrams that had their effect.
                accepted, "accepted";
                /// Datagrams given to the socket.
                sent, "sent";
                /// Datagrams that the socket refused.
                send_errors, "sendErrors";
                /// How often a single interface refused a datagram over IPv4, whether or not another one took
                /// it.
                send_errors4, "sendErrors4";
                /// The same over IPv6.
                send_errors6, "sendErrors6";
                /// Datagrams that the system dropped because the socket's buffer was full. Only Linux tells;
                /// they are not part of `received`. All endpoints that share the socket count the same. Copies
                /// of own messages that a socket filter drops are not among them.
                kernel_drops, "kernelDrops";
                /// Datagrams to single hosts that came back because no program there has the port open or the
                /// host cannot be reached. Only Linux tells. All endpoints that share the socket count the same.
                undelivered, "undelivered";
                /// The size of the socket's receive buffer in bytes, as the system granted it; 0 before it was
                /// first opened.
                receive_buffer, "receiveBuffer";
                /// Messages that the program never saw because its event queue was full.
                events_lost, "eventsLost";
                /// Errors that were not told because one of the same kind had been told within a second.
                errors_suppressed, "errorsSuppressed";
                /// Datagrams sent that are larger than the MTU of an interface, and so travel as IP fragments.
                oversized, "oversized";
                /// Calls to the system that receive datagrams, or wait for them, and failed. All endpoints that
                /// share the socket count the same.
                receive_errors, "receiveErrors";
            }
            added {
                /// Nodes that are known just now, the suspects among them.
                nodes, "nodes";
                /// Nodes that have no keys, in migration to secure mode; they are among `nodes`.
                plain_nodes, "plainNodes";
                /// Nodes that have been silent for too long and are being asked whether they are there.
                suspects, "suspects";
                /// How often a suspect was asked.
                probes_sent, "probesSent";
                /// Number of corroborations that this node has sent for peers suspected by others.
                vouches_sent, "vouchesSent";
                /// How often one heartbeat answered more than one question, within the option `maxAnswers`.
                answers_merged, "answersMerged";
                /// Pieces of messages sent, without repairs.
                pieces_sent, "piecesSent";
                /// Pieces of messages received that were new.
                pieces_received, "piecesReceived";
                /// Pieces sent again because a peer missed them.
                repairs_sent, "repairsSent";
                /// Questions for missing pieces sent.
                nacks_sent, "nacksSent";
                /// Messages in pieces that were given up because pieces were missing for a second.
                incomplete, "incomplete";
                /// How often this host has failed to assemble a datagram from its fragments, since this was
                /// first opened: the growth of `IpReasmFails` and `Ip6ReasmFails`, which count the datagrams of
                /// all programs of the host. Only Linux tells.
                reassembly_failures, "reassemblyFailures";
            }
            reasons {
                /// Shorter than the digest that should be in front.
                Truncated, dropped_truncated, "truncated";
                /// The digest does not match: damage, a foreign secret or another algorithm.
                Hash, dropped_hash, "hash";
                /// It does not decrypt: a foreign key, or not encrypted at all.
                Decrypt, dropped_decrypt, "decrypt";
                /// The payload is not JSON.
                NotJson, dropped_not_json, "notJson";
                /// The payload is JSON, but not an object.
                NotAnObject, dropped_not_an_object, "notAnObject";
                /// There is no id, or it is `null`, `false`, `0` or empty.
                NoId, dropped_no_id, "noId";
                /// The id is an array, an object or longer than 255 bytes.
                BadId, dropped_bad_id, "badId";
                /// Arrays and objects nest too deep.
                TooDeep, dropped_too_deep, "tooDeep";
                /// Metadata or a message is larger than the option `maxMeta` or `maxMessage` allows.
                TooLarge, dropped_too_large, "tooLarge";
                /// Its address brings more new nodes a second than the option `maxNewNodes` allows.
                TooManyNew, dropped_too_many_new, "tooManyNew";
                /// Its address sends more datagrams a second than the option `maxDatagrams` allows.
                TooMany, dropped_too_many, "tooMany";
                /// Sent by this node itself, with the option `self` off.
                Own, dropped_own, "own";
                /// A leave of a node that is not known.
                UnknownGoodbye, dropped_unknown_goodbye, "unknownGoodbye";
                /// A leave without the proof of the node that it names, from an address that the node does not
                /// use, or of another incarnation.
                ForeignGoodbye, dropped_foreign_goodbye, "foreignGoodbye";
                /// Late: from an incarnation of a node that is gone.
                Stale, dropped_stale, "stale";
                /// Its count of heartbeats is higher than the time since the last one allows, or its proof of
                /// leaving is another one than the peer had told.
                Implausible, dropped_implausible, "implausible";
                /// From an address that the peer has not used: it has no effect until the peer confirms it.
                Unconfirmed, dropped_unconfirmed, "unconfirmed";
                /// A new node, and the table is full.
                TableFull, dropped_table_full, "tableFull";
                /// From outside, and the node is on the loopback interface only.
                OffInterface, dropped_off_interface, "offInterface";
                /// A middleware of the program turned it away.
                Middleware, dropped_middleware, "middleware";
                /// It waited for a host's middleware or in the event queue, and was lost there.
                QueueFull, dropped_queue_full, "queueFull";
                /// Caster, or a middleware of the program, panicked over it.
                Fault, dropped_fault, "fault";
                /// The same datagram has already come by another path: another interface or address of its
                /// sender.
                Copy, dropped_copy, "copy";
                /// A piece of a message from no known peer, or of which the place is not known.
                StrayPiece, dropped_stray_piece, "strayPiece";
                /// A frame or a piece of a message that is malformed, or contradicts another piece.
                BadPiece, dropped_bad_piece, "badPiece";
                /// A piece of a message that was there already, or came too late.
                RepeatedPiece, dropped_repeated_piece, "repeatedPiece";
                /// A piece of a message for which there was no room: 8 MiB wait for each sender, 64 MiB in all.
                PieceOverflow, dropped_piece_overflow, "pieceOverflow";
                /// Not a sealed datagram of a known version, in secure mode.
                Unsealed, dropped_unsealed, "unsealed";
                /// Sealed with another key or for another realm, forged, or damaged.
                Seal, dropped_seal, "seal";
                /// A repeated sealed datagram, or one that was held back.
                Replayed, dropped_replayed, "replayed";
                /// Sealed, but its sender has not proven that it is there now.
                Unproven, dropped_unproven, "unproven";
                /// Sealed for another node of this process.
                ForAnother, dropped_for_another, "forAnother";
                /// Plain, and its sender was believed sealed before.
                Downgrade, dropped_downgrade, "downgrade";
                /// Sealed, and its signature is missing or false, or its id belongs to another identity.
                Identity, dropped_identity, "identity";
            }
        }
    };
}

macro_rules! define {
    (
        driver { $($(#[$counted_doc:meta])* $counted:ident, $counted_key:literal;)* }
        added { $($(#[$told_doc:meta])* $told:ident, $told_key:literal;)* }
        reasons { $($(#[$doc:meta])* $variant:ident, $field:ident, $key:literal;)* }
    ) => {
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

        /// The live counters of one caster or node.
        #[derive(Debug)]
        pub(crate) struct Counters {
            $(pub $counted: AtomicU64,)*
            dropped: [AtomicU64; DropReason::ALL.len()],
        }

        impl Default for Counters {
            fn default() -> Self {
                Self {
                    $($counted: AtomicU64::new(0),)*
                    dropped: [const { AtomicU64::new(0) }; DropReason::ALL.len()],
                }
            }
        }

        impl Counters {
            pub fn snapshot(&self) -> Stats {
                let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
                Stats {
                    $($counted: read(&self.$counted),)*
                    $($told: 0,)*
                    dropped: self.dropped.each_ref().map(read),
                    foreign: Vec::new(),
                    interfaces: Vec::new(),
                }
            }
        }

        /// The counters of a caster or node since it was made. It goes on through `down` and `up`.
        ///
        /// When nothing is on its way, `received` is `accepted` plus everything in `dropped`.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct Stats {
            $($(#[$counted_doc])* pub $counted: u64,)*
            $($(#[$told_doc])* pub $told: u64,)*
            dropped: [u64; DropReason::ALL.len()],
            /// How many datagrams that could not be understood came from where, the most first; up to
            /// 256 addresses.
            pub foreign: Vec<(IpAddr, u64)>,
            /// The interfaces of this host, by index; empty while this is not open.
            pub interfaces: Vec<InterfaceStats>,
        }

        impl Stats {
            /// The keys and values of those that are no reasons.
            fn numbers(&self) -> impl Iterator<Item = (&'static str, u64)> {
                let driver = [$(($counted_key, self.$counted),)*];
                driver.into_iter().chain([$(($told_key, self.$told),)*])
            }
        }
    };
}

counters!(define);

impl Counters {
    pub fn count_drop(&self, reason: DropReason) {
        add(&self.dropped[reason as usize]);
    }
}

pub(crate) fn add(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
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
    /// `receiveBuffer`, `eventsLost`, `errorsSuppressed`, `oversized`, `receiveErrors`, `nodes`, `plainNodes`,
    /// `suspects`, `probesSent`, `vouchesSent`, `answersMerged`, `piecesSent`, `piecesReceived`, `repairsSent`,
    /// `nacksSent`, `incomplete`, `reassemblyFailures`, `foreign` (an object by address), `interfaces` (an array of objects with
    /// `name`, `index`, `addresses`, `mtu`, `up`, `joined`, `sent`, `received`, `echoes` and
    /// `error`, a text or null).
    pub fn to_json(&self) -> String {
        let member = |(key, value): (&str, u64)| format!("\"{key}\":{value}");
        let dropped = DropReason::ALL.iter().map(|&reason| (reason.key(), self.dropped(reason)));
        let dropped: Vec<String> = dropped.map(member).collect();
        let foreign: Vec<String> =
            self.foreign.iter().map(|(from, count)| format!("\"{from}\":{count}")).collect();
        let mut members: Vec<String> = self.numbers().map(member).collect();
        // Behind `received` and `accepted`.
        members.insert(2, format!("\"dropped\":{{{}}}", dropped.join(",")));
        members.push(format!("\"foreign\":{{{}}}", foreign.join(",")));
        let interfaces: Vec<String> = self.interfaces.iter().map(InterfaceStats::to_json).collect();
        members.push(format!("\"interfaces\":[{}]", interfaces.join(",")));
        format!("{{{}}}", members.join(","))
    }
}
