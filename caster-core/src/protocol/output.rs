//! What a protocol wants done.

use super::destination::Destination;
use super::event::Event;
use crate::message::Message;

/// What the engine wants done.
#[derive(Debug)]
pub(crate) enum Output {
    /// Send this JSON.
    Transmit(Message, Destination),
    /// Tell the program.
    Event(Event),
}
