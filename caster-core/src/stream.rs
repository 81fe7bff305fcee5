//! Events as a stream, for programs that are asynchronous.

use crate::driver::queue::{EventSource, NoEvent, Waker};
use crate::protocol::event::Event;
use crate::sync::lock;
use futures_core::Stream;
use futures_core::stream::FusedStream;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{self, Context, Poll};
use std::time::Duration;

/// The events of a node or caster until it is down or closed, as a stream. It needs no particular runtime.
///
/// The queue has one waker: with a second stream of the same node this one is not woken any more. Dropping
/// a stream loses no event: those not taken stay in the queue.
///
/// ```
/// use caster_core::{Event, Node};
/// use futures_core::Stream;
/// use std::{future::poll_fn, pin::Pin};
///
/// /// Prints the peers that come. `StreamExt` of the crate `futures` has `next` for the loop.
/// async fn follow(node: &Node) {
///     let mut events = node.stream();
///     while let Some(event) = poll_fn(|cx| Pin::new(&mut events).poll_next(cx)).await {
///         if let Event::Up(peer) = event {
///             println!("{} is up", peer.id);
///         }
///     }
/// }
/// ```
pub struct EventStream {
    source: EventSource,
    /// The task that waits.
    task: Arc<Mutex<Option<task::Waker>>>,
    ended: bool,
}

impl EventStream {
    pub(crate) fn new(source: EventSource) -> Self {
        let task = Arc::<Mutex<Option<task::Waker>>>::default();
        let waiting = task.clone();
        let wake: Waker = Arc::new(move || {
            let waiting = lock(&waiting).take();
            if let Some(waiting) = waiting {
                waiting.wake();
            }
        });
        source.set_waker(Some(wake));
        Self { source, task, ended: false }
    }
}

impl Stream for EventStream {
    type Item = Event;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Event>> {
        if self.ended {
            return Poll::Ready(None);
        }
        if let Some(event) = self.source.try_next() {
            return Poll::Ready(Some(event));
        }
        *lock(&self.task) = Some(context.waker().clone());
        // One that came before the task was noted did not wake it.
        match self.source.next_timeout(Some(Duration::ZERO)) {
            Ok(event) => Poll::Ready(Some(event)),
            Err(NoEvent::TimedOut) => Poll::Pending,
            Err(NoEvent::Closed | NoEvent::Forked) => {
                self.ended = true;
                Poll::Ready(None)
            }
        }
    }
}

impl FusedStream for EventStream {
    fn is_terminated(&self) -> bool {
        self.ended
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").field("ended", &self.ended).finish_non_exhaustive()
    }
}
