//! The proof that the stage leaves on a message that it has opened.

use super::frame::Class;
use super::names::SenderId;
use super::window::Kind;

/// A frame was sealed with a key of the ring. This says nothing about when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Proof {
    /// The number of the key in its ring.
    pub key: u32,
    pub sender: SenderId,
    pub counter: u64,
    pub class: Class,
    /// The sender of the receiver, if the frame was for it alone.
    pub to: Option<SenderId>,
    pub signed: bool,
}

impl Proof {
    /// The window that it belongs to.
    pub fn kind(&self) -> Kind {
        match (self.class.is_control(), self.to) {
            (true, _) => Kind::Control,
            (false, None) => Kind::DataForAll,
            (false, Some(_)) => Kind::DataForOne,
        }
    }
}
