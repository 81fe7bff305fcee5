//! The methods that nodes and casters share, and the count of their handles.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Counts the handles of one node or caster: the last one that is dropped ends it. The count of an `Arc`
/// would not do, as of two that are dropped at once neither might see itself as the last.
#[derive(Debug)]
pub(crate) struct Handles(Arc<AtomicUsize>);

impl Handles {
    /// Takes one off. Whether it was the last.
    pub fn leave(&self) -> bool {
        self.0.fetch_sub(1, Ordering::AcqRel) == 1
    }
}

/// One handle.
impl Default for Handles {
    fn default() -> Self {
        Self(Arc::new(AtomicUsize::new(1)))
    }
}

impl Clone for Handles {
    fn clone(&self) -> Self {
        self.0.fetch_add(1, Ordering::Relaxed);
        Self(self.0.clone())
    }
}

/// Implements them for a handle. `$transport` is the field with its [`TransportConfig`].
///
/// [`TransportConfig`]: crate::options::TransportConfig
macro_rules! shared_methods {
    ($handle:ident, $($transport:ident).+) => {
        impl $handle {
            /// Continues a message after a stage of the host.
            ///
            /// # Errors
            /// As [`Self::send`]; for an incoming message only [`ErrorCode::NotBound`].
            #[doc(hidden)]
            pub fn resume(&self, transit: Box<Transit>) -> Result<Progress> {
                self.endpoint.resume(*transit)
            }

            /// Drops a message on which a stage of the host has failed. An incoming message is counted.
            #[doc(hidden)]
            pub fn fail(&self, transit: Box<Transit>, why: &str) {
                self.reject(transit, Error::new(ErrorCode::Middleware, why));
            }

            /// Drops a message that a stage of the host has rejected. An incoming message is counted by the code
            /// of the error.
            #[doc(hidden)]
            pub fn reject(&self, transit: Box<Transit>, error: Error) {
                self.endpoint.fail(*transit, error);
            }

            /// Takes the next event; waits for it for up to `timeout`, or without limit.
            ///
            /// # Errors
            /// [`NoEvent`] has the reasons.
            pub fn next_event(&self, timeout: Option<Duration>) -> Result<Event, NoEvent> {
                self.endpoint.next_event(timeout)
            }

            /// The events as a stream, until it is down or closed. Before it is up or bound the stream ends at once.
            #[cfg(feature = "async")]
            pub fn stream(&self) -> crate::stream::EventStream {
                crate::stream::EventStream::new(self.event_source())
            }

            /// The events with a descriptor that is readable while some wait, for event loops.
            ///
            /// # Errors
            /// [`ErrorCode::Io`](crate::ErrorCode::Io) if the system has no more descriptors, or the calling process is
            /// a forked child.
            #[cfg(unix)]
            pub fn events_fd(&self) -> Result<crate::driver::events_fd::EventsFd> {
                crate::driver::events_fd::EventsFd::new(self.event_source())
            }

            /// The queue of events; it can be moved to another thread.
            #[doc(hidden)]
            pub fn event_source(&self) -> EventSource {
                self.endpoint.events().clone()
            }

            /// Sets whether every datagram that a stage rejects causes an [`Event::Reject`].
            pub fn watch_rejects(&self, watch: bool) {
                self.endpoint.watch_rejects(watch);
            }

            /// The multicast group.
            pub fn multicast(&self) -> IpAddr {
                self.$($transport).+.multicast
            }

            /// The local address given in the options.
            pub fn address(&self) -> IpAddr {
                self.$($transport).+.address
            }

            /// The same as a text with its scope, as in `fe80::1%eth0`.
            pub fn scoped_address(&self) -> String {
                self.$($transport).+.scoped_address()
            }

            /// The port.
            pub fn port(&self) -> u16 {
                self.$($transport).+.port
            }

            /// Whether programs on this host receive the messages sent.
            pub fn loopback(&self) -> bool {
                self.$($transport).+.loopback
            }

            /// The TTL: the number of routers that a datagram may cross, plus one.
            pub fn ttl(&self) -> u8 {
                self.$($transport).+.ttl
            }

            /// The names of the stages, from the program to the wire.
            pub fn stage_names(&self) -> Vec<String> {
                self.endpoint.pipeline().names().map(str::to_owned).collect()
            }

            /// Returns whether the host runs any of the stages.
            #[doc(hidden)]
            pub fn has_host_stages(&self) -> bool {
                self.endpoint.pipeline().has_host_stages()
            }
        }
    };
}

pub(crate) use shared_methods;
