//! The outputs of a protocol.

use super::destination::Destination;
use super::event::Event;
use crate::message::Message;

/// One output of a protocol.
#[derive(Debug)]
pub(crate) enum Output {
    /// Send this JSON.
    Transmit(Message, Destination),
    /// Tell the program.
    Event(Event),
}
