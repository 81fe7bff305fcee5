//! Datagrams of one batch, and their passes through the pipelines of the subscribers.

use super::dedup::FirstCopy;
use crate::message::{Message, Remote};
use crate::middleware::pipeline::Pipeline;
use crate::middleware::stage::{InProgress, Incoming};
use crate::stats::DropReason;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

/// Datagrams of one batch, for one subscriber after the other.
pub(crate) struct Arrivals<'a> {
    pub data: &'a [u8],
    pub items: &'a [Arrival],
    pub next: usize,
    pub passes: &'a mut PassCache,
}

/// A received datagram.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    /// Its place in the data of the batch.
    pub data: Range<usize>,
    pub remote: Remote,
    pub first: FirstCopy,
}

/// The messages that a pipeline has made of a batch: subscribers with the same pipeline share them.
#[derive(Default)]
pub(crate) struct PassCache {
    pub pipeline: Option<Arc<Pipeline>>,
    pub messages: Vec<Incoming>,
    /// How the present subscriber treats each datagram.
    pub dispositions: Vec<Disposition>,
    /// Set after a panic of a stage: the remaining messages pass one by one, so that only the message
    /// at fault is lost.
    pub singly: bool,
}

/// How a subscriber treats a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Disposition {
    Accept,
    /// A copy by another path: it only shows that the peer is heard there.
    AcceptCopy,
    Drop(DropReason),
}

impl<'a> Arrivals<'a> {
    pub fn new(data: &'a [u8], items: &'a [Arrival], passes: &'a mut PassCache) -> Self {
        passes.singly = false;
        Self { data, items, next: 0, passes }
    }

    pub fn next(&mut self) -> Option<(&'a [u8], &'a Arrival, &mut Incoming, Disposition)> {
        let at = self.next;
        let arrival = self.items.get(at)?;
        self.next += 1;
        let PassCache { messages, dispositions, .. } = &mut *self.passes;
        Some((&self.data[arrival.data.clone()], arrival, &mut messages[at], dispositions[at]))
    }

    /// Passes all remaining datagrams that are not dropped through the pipeline as one batch. Those
    /// that have passed it already are skipped.
    pub fn pass(&mut self, pipeline: &Pipeline) {
        let (from, to) = (self.next, self.items.len());
        let PassCache { messages, dispositions, singly, .. } = &mut *self.passes;
        if *singly || to - from < 2 {
            return;
        }
        let wanted = messages.iter_mut().zip(&*dispositions).zip(self.items).skip(from);
        for ((incoming, disposition), arrival) in wanted {
            if !matches!(disposition, Disposition::Drop(_)) {
                incoming.begin(&self.data[arrival.data.clone()], &arrival.remote);
            }
        }
        let batch = AssertUnwindSafe(|| pipeline.rx_batch(&mut messages[from..to]));
        *singly = panic::catch_unwind(batch).is_err();
    }
}

impl Drop for Arrivals<'_> {
    /// A pipeline may own keys, and what leads back to the network.
    fn drop(&mut self) {
        self.passes.pipeline = None;
    }
}

impl PassCache {
    /// Discards the messages of another pipeline.
    pub fn prepare(&mut self, pipeline: &Arc<Pipeline>, count: usize) {
        if self.pipeline.as_ref().is_some_and(|before| Arc::ptr_eq(before, pipeline)) {
            return;
        }
        self.pipeline = Some(pipeline.clone());
        let empty = || Incoming {
            message: Message::bytes(Vec::new()),
            from: Remote::new((Ipv4Addr::UNSPECIFIED, 0).into(), 0),
            progress: InProgress::Waiting,
        };
        if self.messages.len() < count {
            self.messages.resize_with(count, empty);
        }
        for incoming in &mut self.messages[..count] {
            incoming.progress = InProgress::Waiting;
        }
    }
}

impl Incoming {
    /// Prepares the pass of a datagram, unless it has ended.
    pub(super) fn begin(&mut self, data: &[u8], remote: &Remote) {
        if matches!(self.progress, InProgress::Ended(_)) {
            return;
        }
        let mut buffer = std::mem::take(self.message.data_mut());
        buffer.clear();
        buffer.extend_from_slice(data);
        self.message.set_bytes(buffer);
        self.from = *remote;
        self.progress = InProgress::Walking;
    }

    /// Passes a datagram through the pipeline, unless it has passed already.
    pub(super) fn pass(&mut self, pipeline: &Pipeline, data: &[u8], remote: &Remote) {
        self.begin(data, remote);
        if let InProgress::Walking = self.progress {
            let outcome = pipeline.rx(pipeline.len(), &mut self.message, remote);
            self.progress = InProgress::Ended(outcome);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pipeline_of_a_pass_is_released_at_its_end() {
        let pipeline = Arc::new(Pipeline::default());
        let mut passes = PassCache::default();
        let arrivals = Arrivals::new(&[], &[], &mut passes);
        arrivals.passes.pipeline = Some(pipeline.clone());
        drop(arrivals);
        assert_eq!(Arc::strong_count(&pipeline), 1);
    }
}
