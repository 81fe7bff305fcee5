//! The interface between endpoints and networks.

use super::arrivals::Arrivals;
use super::hints::Hint;
use super::transmit::{Packets, Sent};
use crate::error::{Error, Result};
use crate::options::TransportConfig;
use crate::protocol::limits::LARGEST_DATAGRAM;
use crate::protocol::time::Now;
use crate::stats::InterfaceStats;
use std::net::{IpAddr, SocketAddr};
#[cfg(unix)]
use std::os::fd::RawFd;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The result of a turn of an event loop.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Not taken: the core's thread receives and wakes the program.
    Refused,
    /// Everything has been received.
    Done,
    /// There may be more to receive: take the events that wait, then take another turn.
    More,
}

/// A condition that is known when a network is opened, and told to every endpoint on it.
#[derive(Debug, Clone)]
pub(crate) enum Notice {
    Error(Error),
    Hint(Hint),
}

/// A network that an endpoint is opened on: one of this host, or one in memory.
pub(crate) trait Network: Send + Sync {
    /// Connects. Nothing is delivered before [`Link::subscribe`].
    fn open(&self, config: &TransportConfig) -> Result<Arc<dyn Link>>;
    /// The time by the clock of the network.
    fn now(&self) -> Now;
    /// Waits for up to `timeout` until `done` returns true. Its argument is how long it may wait itself.
    fn wait_for(&self, timeout: Option<Duration>, done: &mut dyn FnMut(Option<Duration>) -> bool);
    /// The network for a second endpoint of the same host; `None`: this one.
    fn beside(&self) -> Option<Arc<dyn Network>> {
        None
    }
    /// Whether the network is in memory: without pauses, port probes and resolution of names.
    fn is_virtual(&self) -> bool;
    /// How often this host has failed to assemble a datagram from its fragments.
    fn reassembly_failures(&self) -> u64 {
        0
    }
}

/// The connection of an open endpoint to a network.
pub(crate) trait Link: Send + Sync {
    /// From now on the subscriber is called.
    fn subscribe(&self, subscriber: Arc<dyn Subscriber>);
    /// Sets the time of the subscriber's next timer.
    fn set_due(&self, due: Option<Duration>);
    /// The subscriber is not called any more when this returns. It can send as long as it has the
    /// link.
    fn leave(&self);
    /// Sends to the group.
    fn send(&self, packets: Packets<'_>) -> Sent;
    /// Sends messages of the program to the group: the subscriber need not receive them, unless
    /// [`Link::want_own`] says so.
    fn send_message(&self, packets: Packets<'_>) -> Sent {
        self.send(packets)
    }
    /// Whether the subscriber wants to receive its own messages. It does until this is called.
    fn want_own(&self, _wants: bool) {}
    /// Sends to each of these hosts.
    fn send_to(&self, packets: Packets<'_>, to: &[SocketAddr]) -> Sent;
    /// The same, from the port of the group.
    fn send_from_group_port(&self, packets: Packets<'_>, to: &[SocketAddr]) -> Sent {
        self.send_to(packets, to)
    }
    /// The size of the receive buffer in bytes.
    fn receive_buffer(&self) -> u64;
    /// The addresses of this host.
    fn addresses(&self) -> Vec<IpAddr>;
    /// Those of them at which the group is joined.
    fn joined(&self) -> Vec<IpAddr> {
        self.addresses()
    }
    /// The interfaces of this host.
    fn interfaces(&self) -> Vec<InterfaceStats> {
        Vec::new()
    }
    /// The lock that a thread holds while it calls [`Link::lead`], until it has dropped the link.
    /// `None` if this link cannot be led.
    fn leader(&self) -> Option<Arc<Mutex<()>>>;
    /// Receives on this thread until `ready`, or until then. Returns false if that is not possible.
    fn lead(&self, until: Option<Duration>, ready: &dyn Fn() -> bool) -> bool;
    /// Makes the leading thread check again whether it is ready.
    fn interrupt(&self);
    /// Hands reception over to an event loop for 2 ms. Returns whether that was possible.
    fn hand_over(&self) -> bool;
    /// Receives once on the thread of an event loop that leads, unless events are `ready`.
    fn take_turn(&self, ready: &dyn Fn() -> bool) -> Turn;
    /// A descriptor that is readable when a turn is due.
    #[cfg(unix)]
    fn turn_fd(&self) -> Option<RawFd>;
    fn group(&self) -> SocketAddr;
    /// The port of this process for unicast.
    fn private_port(&self) -> Option<u16> {
        None
    }
    /// Whether [`Subscriber::refused`] is called for refused datagrams of [`Link::send_to`].
    fn reports_refusals(&self) -> bool {
        false
    }
    /// Sends to the data port of the group.
    fn send_data(&self, packets: Packets<'_>) -> Sent {
        self.send(packets)
    }
    /// Whether there is a data port.
    fn has_data_port(&self) -> bool {
        false
    }
    /// The largest datagram to the group, and to a single host.
    fn largest(&self) -> (usize, usize) {
        (LARGEST_DATAGRAM, LARGEST_DATAGRAM)
    }
    /// The notices for the program after it has opened an endpoint.
    fn notices(&self) -> Vec<Notice> {
        Vec::new()
    }
    /// Whether datagrams of other hosts are dropped.
    fn loopback_only(&self) -> bool;
}

/// A receiver of datagrams. Called by one thread at a time, outside of all locks.
pub(crate) trait Subscriber: Send + Sync {
    /// Datagrams from the wire. If this panics, it is called again with the rest of them.
    fn datagrams(&self, arrivals: &mut Arrivals<'_>);
    /// The timer of [`Link::set_due`] is due. `behind`: datagrams have arrived that are not read yet.
    fn handle_timeout(&self, behind: bool);
    /// This number of datagrams was lost before they could be read.
    fn lost(&self, datagrams: u32);
    /// This number of sent datagrams was returned as undeliverable.
    fn undelivered(&self, datagrams: u32);
    /// A call to receive or to wait has failed.
    fn receive_failed(&self) {}
    /// A host has refused a datagram of [`Link::send_to`]: no process has this port open there.
    fn refused(&self, _port: SocketAddr) {}
    /// The process of this host that had this private port has ended.
    fn process_ended(&self, _port: u16) {}
    /// The private ports of other processes of this host.
    fn host_ports(&self) -> Vec<u16> {
        Vec::new()
    }
    /// The addresses of this host and, if it has changed, the number of interfaces in use beyond the
    /// loopback interface.
    fn interfaces(&self, addresses: &[IpAddr], count: Option<usize>);
    /// Reports an error to the program.
    fn report(&self, error: Error);
    /// Tells the program a hint.
    fn hint(&self, _hint: &Hint) {}
}
