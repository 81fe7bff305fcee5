//! The mark that a message carries between the protocol and the stage that seals and opens.

use super::frame::Class;
use super::identity::Signature;
use super::names::SenderId;
use super::proof::Proof;
use super::session::Session;
use std::sync::Arc;

/// Beside the content of a message, in secure mode.
#[derive(Debug, Clone)]
pub(crate) enum Mark {
    Seal(Seal),
    Opened(Opened),
}

/// How an outgoing message is sealed.
#[derive(Debug, Clone)]
pub(crate) struct Seal {
    /// Set by the endpoint.
    pub session: Option<Arc<Session>>,
    pub class: Class,
    /// The receiver, if it is for one.
    pub to: Option<SenderId>,
    /// Goes in front of the content of a control datagram.
    pub block: Vec<u8>,
}

impl Seal {
    /// Data for all.
    pub fn data() -> Self {
        Self { session: None, class: Class::Data, to: None, block: Vec::new() }
    }
}

/// How an incoming message was sealed.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    pub proof: Proof,
    /// Of a frame that is signed, if signatures are verified here.
    pub signature: Option<Box<Signature>>,
    /// The block of a control datagram.
    pub block: Vec<u8>,
}
