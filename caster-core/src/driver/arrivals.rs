//! Datagrams that came together, and what the pipelines of their subscribers make of them.

use super::dedup::Novelty;
use crate::message::{Message, Remote};
use crate::middleware::pipeline::Pipeline;
use crate::middleware::stage::{InProgress, Incoming};
use crate::stats::DropReason;
use std::net::Ipv4Addr;
use std::ops::Range;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;

/// Datagrams that came together, for one subscriber after the other.
pub(crate) struct Arrivals<'a> {
    pub data: &'a [u8],
    pub items: &'a [Arrival],
    pub next: usize,
    pub walks: &'a mut Walks,
}

/// A datagram that has come.
#[derive(Debug, Clone)]
pub(crate) struct Arrival {
    /// Where in the data it is.
    pub data: Range<usize>,
    pub remote: Remote,
    pub novelty: Novelty,
}

/// What a pipeline has made of datagrams: whoever has the same one need not do it again.
#[derive(Default)]
pub(crate) struct Walks {
    pub pipeline: Option<Arc<Pipeline>>,
    pub messages: Vec<Incoming>,
    /// What the subscriber whose turn it is does with each.
    pub verdicts: Vec<Verdict>,
    /// A stage has panicked: what is left goes one by one, so that only its message is lost.
    pub singly: bool,
}

/// What a subscriber does with a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Take,
    /// It is taken as the sign of life of another way.
    TakeCopy,
    Drop(DropReason),
}

impl<'a> Arrivals<'a> {
    pub fn new(data: &'a [u8], items: &'a [Arrival], walks: &'a mut Walks) -> Self {
        walks.pipeline = None;
        walks.singly = false;
        Self { data, items, next: 0, walks }
    }

    pub fn next(&mut self) -> Option<(&'a [u8], &'a Arrival, &mut Incoming, Verdict)> {
        let at = self.next;
        let arrival = self.items.get(at)?;
        self.next += 1;
        let Walks { messages, verdicts, .. } = &mut *self.walks;
        Some((&self.data[arrival.data.clone()], arrival, &mut messages[at], verdicts[at]))
    }

    /// Walks all together that are wanted and have not walked yet.
    pub fn walk(&mut self, pipeline: &Pipeline) {
        let (from, to) = (self.next, self.items.len());
        let Walks { messages, verdicts, singly, .. } = &mut *self.walks;
        if *singly || to - from < 2 {
            return;
        }
        let wanted = messages.iter_mut().zip(&*verdicts).zip(self.items).skip(from);
        for ((incoming, verdict), arrival) in wanted {
            if !matches!(verdict, Verdict::Drop(_)) {
                incoming.begin(&self.data[arrival.data.clone()], &arrival.remote);
            }
        }
        let together = AssertUnwindSafe(|| pipeline.rx_batch(&mut messages[from..to]));
        *singly = panic::catch_unwind(together).is_err();
    }
}

impl Walks {
    /// What is kept from now on is of this pipeline.
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
    /// Puts it at the beginning of its walk, unless it has ended that.
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

    /// The same, and all of the walk.
    pub(super) fn walk(&mut self, pipeline: &Pipeline, data: &[u8], remote: &Remote) {
        self.begin(data, remote);
        if let InProgress::Walking = self.progress {
            let outcome = pipeline.rx(pipeline.len(), &mut self.message, remote);
            self.progress = InProgress::Ended(outcome);
        }
    }
}
