//! Messages that wait in the middle of a pipeline for a stage of the host.

use crate::error::{Error, ErrorCode, Result};
use crate::message::{Message, Remote};
use crate::middleware::HostStage;
use crate::middleware::pipeline::Pipeline;
use crate::protocol::destination::Destination;
use crate::stats::{Counters, DropReason};
use std::sync::Arc;

/// The direction of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To the network.
    Tx,
    /// From the network.
    Rx,
}

/// A message that waits for a stage of the host.
///
/// Run [`Transit::stage`] on [`Transit::message`], store the result with [`Transit::set_message`] and
/// pass the transit to `resume` of its caster or node. Dropping it drops the message; a dropped
/// incoming message is counted.
#[derive(Debug)]
pub struct Transit {
    pub(crate) pipeline: Arc<Pipeline>,
    pub(crate) at: usize,
    pub(crate) direction: Direction,
    pub(crate) message: Message,
    pub(crate) remote: Option<Remote>,
    pub(crate) to: Destination,
    /// Keeps the network open for a leave.
    pub(crate) hold: Option<Arc<()>>,
    /// Counts an incoming message that is dropped.
    pub(crate) counters: Option<Arc<Counters>>,
}

impl Transit {
    /// The stage to run.
    pub fn stage(&self) -> &HostStage {
        self.pipeline.host_stage(self.at).expect("a transit stops at stages of the host")
    }

    /// The direction, which selects the function of the stage.
    pub fn direction(&self) -> Direction {
        self.direction
    }

    /// The message before the stage.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The source of an incoming message.
    pub fn remote(&self) -> Option<&Remote> {
        self.remote.as_ref()
    }

    /// Stores the message after the stage.
    pub fn set_message(&mut self, message: Message) {
        let mark = self.message.take_mark();
        self.message = message;
        if let Some(mark) = mark {
            self.message.set_mark(mark);
        }
    }
}

/// A copy is the same message once more. If it is dropped, it is not counted.
impl Clone for Transit {
    fn clone(&self) -> Self {
        Self {
            pipeline: self.pipeline.clone(),
            at: self.at,
            direction: self.direction,
            message: self.message.clone(),
            remote: self.remote,
            to: self.to.clone(),
            hold: self.hold.clone(),
            counters: None,
        }
    }
}

impl Drop for Transit {
    fn drop(&mut self) {
        if let Some(counters) = self.counters.take() {
            counters.count_drop(DropReason::QueueFull);
        }
    }
}

/// The result of sending or resuming a message.
#[derive(Debug)]
#[must_use]
pub enum Progress {
    /// It has passed all stages. For an outgoing message: the number of bytes on the wire.
    Done(usize),
    /// It waits for a stage of the host.
    Host(Box<Transit>),
}

impl Progress {
    /// The number of bytes on the wire, for callers that run no stages.
    ///
    /// # Errors
    /// [`ErrorCode::Middleware`] if the message waits for a stage of the host. It is dropped.
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
