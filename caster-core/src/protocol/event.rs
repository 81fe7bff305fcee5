//! The events of a caster or node.

use crate::error::Error;
use crate::message::{Message, Remote, ScopedAddress};
use crate::peer::{NodeId, Peer};
use crate::transit::Transit;

/// Why a node is down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DownReason {
    /// It left.
    Goodbye,
    /// It was silent for too long, and no other node had heard it.
    Timeout,
    /// It has started again, and is up at once.
    Restart,
}

impl DownReason {
    /// `goodbye`, `timeout` or `restart`.
    pub fn as_str(self) -> &'static str {
        match self {
            DownReason::Goodbye => "goodbye",
            DownReason::Timeout => "timeout",
            DownReason::Restart => "restart",
        }
    }
}

/// The parts that an update changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub struct Changed {
    /// The metadata.
    pub meta: bool,
    /// The address.
    pub address: bool,
}

/// Something that happened.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Event {
    /// A node was discovered.
    Up(Peer),
    /// A node changed its metadata or its address.
    Update {
        /// The node as it is now.
        peer: Peer,
        /// The parts that are new.
        changed: Changed,
    },
    /// A node is gone.
    Down {
        /// The node as it was last known.
        peer: Peer,
        /// How that is known.
        reason: DownReason,
    },
    /// Two nodes have the same id; at most once a minute for each id.
    Conflict {
        /// The id, which may be this node's own.
        id: NodeId,
        /// The address of the one that was heard last.
        address: ScopedAddress,
    },
    /// This node hears no peer any more, or does not hear itself: it takes itself for cut off and
    /// withholds transitions to down.
    Isolated,
    /// It hears others again.
    Rejoined,
    /// The answers to the first hello are in: the nodes that were there before are known. Once
    /// after each `up`.
    Settled,
    /// A sender on this port cannot be understood, or presence is not as expected; the text names the
    /// sender and the likely cause.
    /// Once in ten minutes for each address, and not an error: other groups may share a port.
    Hint(Box<str>),
    /// A node sent a message.
    Message {
        /// The message; from a node it is always JSON.
        message: Message,
        /// The sender.
        peer: Peer,
    },
    /// A caster received a message. From a node only while datagrams are watched.
    Datagram {
        /// The message, after all middleware.
        message: Message,
        /// Where it came from.
        remote: Remote,
    },
    /// Something that the operator can mend went wrong; the caster or node goes on.
    Error(Error),
    /// A datagram was turned away. Only while rejects are watched.
    Reject {
        /// Why.
        error: Error,
        /// Where it came from.
        remote: Remote,
    },
    /// A message has come to a stage that the host runs.
    #[doc(hidden)]
    HostStage(Box<Transit>),
}

impl Event {
    /// The name of the event, as every language calls it.
    pub fn name(&self) -> &'static str {
        match self {
            Event::Up(_) => "up",
            Event::Update { .. } => "update",
            Event::Down { .. } => "down",
            Event::Conflict { .. } => "conflict",
            Event::Isolated => "isolated",
            Event::Rejoined => "rejoined",
            Event::Settled => "settled",
            Event::Hint(_) => "hint",
            Event::Message { .. } | Event::Datagram { .. } => "message",
            Event::Error(_) => "error",
            Event::Reject { .. } => "reject",
            Event::HostStage(_) => "stage",
        }
    }

    /// The node whose coming, changing or going this is.
    pub(crate) fn lifecycle_of(&self) -> Option<&NodeId> {
        match self {
            Event::Up(peer) | Event::Update { peer, .. } | Event::Down { peer, .. } => {
                Some(&peer.id)
            }
            _ => None,
        }
    }

    /// Something about this node or its network, rather than from a peer.
    pub(crate) fn is_notice(&self) -> bool {
        matches!(
            self,
            Event::Conflict { .. }
                | Event::Isolated
                | Event::Rejoined
                | Event::Settled
                | Event::Hint(_)
                | Event::Error(_)
        )
    }

    /// The memory that this event holds beyond itself, in bytes.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Event::Message { message, .. } | Event::Datagram { message, .. } => {
                message.data().len()
            }
            Event::HostStage(transit) => transit.message().data().len(),
            _ => 0,
        }
    }
}
