//! What connects an endpoint to a network, and calls it.

use super::arrivals::Arrivals;
use super::transmit::{Packets, Sent};
use crate::error::{Error, Result};
use crate::options::TransportConfig;
use crate::protocol::time::Now;
use std::net::{IpAddr, SocketAddr};
#[cfg(unix)]
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What became of the turn of an event loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Not taken: the core's thread receives, and wakes as ever.
    Refused,
    /// Everything has been received.
    Done,
    /// There may be more to receive: take the events that wait, and another turn.
    More,
}

/// What an endpoint can be opened on: a network of this host, or one in memory.
pub(crate) trait Network: Send + Sync {
    /// Connects. Nothing is delivered before [`Link::subscribe`].
    fn open(&self, config: &TransportConfig) -> Result<Arc<dyn Link>>;
    /// The time by the clock of the network.
    fn now(&self) -> Now;
    /// Waits for up to `timeout` until `done`, which is told how long it may wait itself.
    fn wait_for(&self, timeout: Option<Duration>, done: &mut dyn FnMut(Option<Duration>) -> bool);
    /// Whether it is in memory: no pauses, no port probes and no look-up of names there.
    fn is_virtual(&self) -> bool;
}

/// The way to send, and to be called, of an endpoint while it is open.
pub(crate) trait Link: Send + Sync {
    /// From now on the subscriber is called.
    fn subscribe(&self, subscriber: Arc<dyn Subscriber>);
    /// Says when the subscriber's next timer is due.
    fn set_due(&self, due: Option<Duration>);
    /// The subscriber is not called any more when this returns. It can send for as long as it has
    /// the link.
    fn leave(&self);
    /// Sends to the group.
    fn send(&self, packets: Packets<'_>) -> Sent;
    /// Sends to each of these hosts.
    fn send_to(&self, packets: Packets<'_>, to: &[SocketAddr]) -> Sent;
    /// The size of the receive buffer in bytes.
    fn receive_buffer(&self) -> u64;
    /// The addresses of this host.
    fn addresses(&self) -> Vec<IpAddr>;
    /// To be held by whoever calls [`Link::help`], until after it has let go of the link. `None` if
    /// there is nothing to help with.
    fn gate(&self) -> Option<Arc<Mutex<()>>>;
    /// Receives on this thread until `ready`, or until then. False if it cannot.
    fn help(&self, until: Option<Duration>, ready: &dyn Fn() -> bool) -> bool;
    /// Makes whoever helps look again whether it is ready.
    fn interrupt(&self);
    /// Leaves receiving to an event loop for a moment, if that is possible.
    fn lease(&self) -> bool;
    /// A turn of an event loop that has the lease, unless there is something `ready` already.
    fn take_turn(&self, ready: &dyn Fn() -> bool) -> Turn;
    /// Readable when there is reason for a turn.
    #[cfg(unix)]
    fn turn_fd(&self) -> Option<RawFd>;
    fn group(&self) -> SocketAddr;
    /// Whether what comes from other hosts is not for this endpoint.
    fn loopback_only(&self) -> bool;
}

/// Who wants datagrams. Called by one thread at a time, outside of all locks.
pub(crate) trait Subscriber: Send + Sync {
    /// Datagrams from the wire. If this panics, it is called again with the rest of them.
    fn datagrams(&self, arrivals: &mut Arrivals<'_>);
    /// The time that was given to [`Link::set_due`] has come. `behind`: datagrams have come as well
    /// that were not read yet.
    fn handle_timeout(&self, behind: bool);
    /// So many datagrams more were lost before they could be read.
    fn lost(&self, datagrams: u32);
    /// As many datagrams that were sent have come back: nobody is there.
    fn undelivered(&self, datagrams: u32);
    /// The addresses of this host, and how many interfaces beyond the loopback interface are in use
    /// now.
    fn interfaces(&self, addresses: &[IpAddr], links: usize);
    /// Something went wrong that the program should hear of.
    fn report(&self, error: Error);
}
