//! The events of a node or caster with their descriptor.

use super::queue::EventSource;
use super::signal::Signal;
use crate::error::{Error, Result};
use crate::protocol::event::Event;
use std::fmt;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::sync::Arc;

/// The events of a node or caster with a descriptor that is readable while some of them wait: for `poll`,
/// `epoll` and event loops, such as `AsyncFd` of tokio. Do not read from the descriptor.
///
/// ```
/// # use caster_core::{Event, Options, VirtualNetwork};
/// use std::os::fd::AsFd;
///
/// # let network = VirtualNetwork::new(1);
/// # let node = network.node(&Options::for_node())?;
/// # node.up()?;
/// let events = node.events_fd()?;
/// let descriptor = events.as_fd(); // for the event loop; when it is readable:
/// while let Some(event) = events.try_next() {
///     if let Event::Up(peer) = event {
///         println!("{} is up", peer.id);
///     }
/// }
/// # let _ = descriptor;
/// # Ok::<(), caster_core::Error>(())
/// ```
#[derive(Clone)]
pub struct EventsFd {
    source: EventSource,
    signal: Arc<Signal>,
}

impl EventsFd {
    pub(crate) fn new(source: EventSource) -> Result<Self> {
        let signal = source
            .signal()
            .map_err(|error| Error::io(&error, "socketpair", "cannot open a descriptor"))?;
        Ok(Self { source, signal })
    }

    /// The next event, if one waits.
    pub fn try_next(&self) -> Option<Event> {
        self.source.try_next()
    }
}

impl AsFd for EventsFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.signal.as_fd()
    }
}

impl AsRawFd for EventsFd {
    fn as_raw_fd(&self) -> RawFd {
        self.signal.as_fd().as_raw_fd()
    }
}

impl fmt::Debug for EventsFd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventsFd").field("fd", &self.as_raw_fd()).finish_non_exhaustive()
    }
}
