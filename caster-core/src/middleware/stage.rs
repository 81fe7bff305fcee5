//! A stage of a pipeline: the trait, its inputs and its answers.

use crate::error::{Error, ErrorCode};
use crate::message::{Message, MessageKind, Remote};
use crate::secure::sealer::Sealer;
use crate::stats::DropReason;
use std::fmt;
use std::sync::Arc;

/// One stage of a pipeline.
///
/// `tx` runs on the thread that sends (any thread, several at once), `rx` on the thread that
/// receives. Neither may block for long nor call the caster or node it belongs to: while `rx`
/// runs, nothing is received.
pub trait Middleware: Send + Sync {
    /// A short name; unique within a pipeline.
    fn name(&self) -> &str;

    /// Changes a message on its way out.
    ///
    /// # Errors
    /// Stops the message; the sender gets the error.
    fn tx(&self, message: &mut Message) -> Result<(), Error>;

    /// Changes messages that go out together, each as [`Middleware::tx`] would; for stages that
    /// do several at once faster than one after the other.
    ///
    /// # Errors
    /// Stops all of them; the sender gets the error, with the place of the message it is about.
    fn tx_batch(&self, messages: &mut [Message]) -> Result<(), (usize, Error)> {
        for (at, message) in messages.iter_mut().enumerate() {
            self.tx(message).map_err(|error| (at, error))?;
        }
        Ok(())
    }

    /// Changes a message on its way in.
    ///
    /// # Errors
    /// Drops the message and counts it under the reason of the [`Reject`].
    fn rx(&self, message: &mut Message, from: &Remote) -> Result<(), Reject>;

    /// Changes messages that came together, each as [`Middleware::rx`] would; for stages that do
    /// several at once faster than one after the other. One that this turns away it
    /// [rejects](Incoming::reject).
    fn rx_batch(&self, messages: &mut [Incoming]) {
        for incoming in messages {
            if let Some((message, from)) = incoming.walking()
                && let Err(reject) = self.rx(message, from)
            {
                incoming.reject(reject);
            }
        }
    }

    /// Whether this stage would rather hear a peer before the first thing is sent: the digest
    /// era is to be learned.
    fn listens_first(&self) -> bool {
        false
    }

    /// By how many bytes a datagram is larger behind this stage at most, if that is known.
    fn overhead(&self) -> Option<usize> {
        None
    }

    /// The keys of secure mode, if this is its stage.
    #[doc(hidden)]
    fn sealer(&self) -> Option<&Arc<Sealer>> {
        None
    }
}

/// A message on its way in, among others that came together.
#[derive(Debug)]
pub struct Incoming {
    pub(crate) message: Message,
    pub(crate) from: Remote,
    pub(crate) progress: InProgress,
}

/// How far a message has come on its way in.
#[derive(Debug)]
pub(crate) enum InProgress {
    /// It has not begun, or no endpoint wants it.
    Waiting,
    Walking,
    /// It has come through, or to a stage of the host, or was turned away.
    Ended(Result<Walk, Reject>),
}

impl Incoming {
    /// The message and where it came from; `None` if this stage is not to look at it, as one
    /// before it has turned it away.
    pub fn walking(&mut self) -> Option<(&mut Message, &Remote)> {
        match self.progress {
            InProgress::Walking => Some((&mut self.message, &self.from)),
            _ => None,
        }
    }

    /// Turns the message away: it is dropped and counted under the reason of the [`Reject`].
    pub fn reject(&mut self, reject: Reject) {
        self.progress = InProgress::Ended(Err(reject));
    }
}

/// The check of stages that work on bytes. The error comes with the place of the message.
pub(crate) fn only_bytes(name: &str, messages: &[Message]) -> Result<(), (usize, Error)> {
    match messages.iter().position(|message| message.kind() == MessageKind::Json) {
        Some(at) => {
            let text = format!("{name} works on bytes: put json in front of it");
            Err((at, Error::new(ErrorCode::Middleware, text)))
        }
        None => Ok(()),
    }
}

/// Where the passage of a message ended: past all stages, or at this one, which the host has to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Walk {
    Done,
    Host(usize),
}

/// Why a stage turned a received message away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reject {
    pub(crate) reason: DropReason,
    pub(crate) error: Error,
}

impl Reject {
    /// Turned away by a middleware that is not one of the built-in ones.
    pub fn new(text: impl Into<Box<str>>) -> Self {
        Self { reason: DropReason::Middleware, error: Error::new(ErrorCode::Middleware, text) }
    }

    pub(crate) fn reason(&self) -> DropReason {
        self.reason
    }

    /// The error, as reported while rejects are watched.
    pub fn error(&self) -> &Error {
        &self.error
    }
}

/// A stage that the host runs: JavaScript on its loop, Python in its interpreter.
///
/// When a message reaches it, the message leaves through the event queue as a
/// [`Transit`](crate::host::Transit) and comes back with `resume`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostStage {
    /// The name; unique within a pipeline.
    pub name: Arc<str>,
    /// A number of the host's own by which it finds its functions again.
    pub token: u64,
    /// Whether outgoing messages stop here.
    pub tx: bool,
    /// Whether incoming messages stop here.
    pub rx: bool,
}

/// A stage: run here, or by the host.
#[derive(Clone)]
pub enum Stage {
    /// Runs inside Caster.
    Native(Arc<dyn Middleware>),
    /// Runs in the host language.
    Host(HostStage),
}

impl Stage {
    /// The name of the stage.
    pub fn name(&self) -> &str {
        match self {
            Stage::Native(middleware) => middleware.name(),
            Stage::Host(stage) => &stage.name,
        }
    }
}

impl<M: Middleware + 'static> From<M> for Stage {
    fn from(middleware: M) -> Self {
        Stage::Native(Arc::new(middleware))
    }
}

impl From<HostStage> for Stage {
    fn from(stage: HostStage) -> Self {
        Stage::Host(stage)
    }
}

impl fmt::Debug for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stage({})", self.name())
    }
}
