//! Messages on their way through a pipeline that have stopped at a stage which the host runs.

use crate::error::{Error, ErrorCode, Result};
use crate::message::{Message, Remote};
use crate::middleware::HostStage;
use crate::middleware::pipeline::Pipeline;
use crate::protocol::destination::Destination;
use crate::stats::{Counters, DropReason};
use std::sync::Arc;

/// Which way a message is going.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the network.
    Tx,
    /// From the network.
    Rx,
}

/// A message on its way that has stopped at a stage which the host runs.
///
/// Run [`Transit::stage`] on [`Transit::message`], put the outcome back with
/// [`Transit::set_message`] and hand it to `resume` of the caster or node it came from. Dropping
/// it drops the message; an incoming one is counted.
#[derive(Debug)]
pub struct Transit {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) at: usize,
    pub(crate) direction: Direction,
    pub(crate) message: Message,
    pub(crate) remote: Option<Remote>,
    pub(crate) to: Destination,
    /// Keeps the network open for a leave that is on its way.
    pub(crate) hold: Option<Arc<()>>,
    /// Where to count an incoming message that is never resumed.
    pub(crate) counters: Option<Arc<Counters>>,
}

impl Transit {
    /// The stage to be run.
    pub fn stage(&self) -> &HostStage {
        self.pipeline.host_stage(self.at).expect("a transit stops at stages of the host")
    }

    /// Which of its functions is to be run.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// The message as it is before the stage.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// Where an incoming message came from.
    pub fn remote(&self) -> Option<&Remote> {
        self.remote.as_ref()
    }

    /// Puts in the message as it is after the stage.
    pub fn set_message(&mut self, message: Message) {
        self.message = message;
    }
}

impl Drop for Transit {
    fn drop(&mut self) {
        if let Some(counters) = self.counters.take() {
            counters.count_drop(DropReason::QueueFull);
        }
    }
}

/// How far a message has come.
#[derive(Debug)]
#[must_use]
pub enum Progress {
    /// It is through. For an outgoing message: how many bytes went onto the wire.
    Done(usize),
    /// The host has to run a stage.
    Host(Box<Transit>),
}

impl Progress {
    /// The number of bytes on the wire, for callers that run no stages themselves.
    ///
    /// # Errors
    /// [`ErrorCode::Middleware`] if the message has stopped at a stage of the host. It is dropped.
    pub(crate) fn finished(self) -> Result<usize> {
        match self {
            Progress::Done(bytes) => Ok(bytes),
            Progress::Host(transit) => {
                let text = format!("the middleware {} is run by the host", transit.stage().name);
                Err(Error::new(ErrorCode::Middleware, text))
            }
        }
    }
}
