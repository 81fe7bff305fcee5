//! The bounded backlog of events: when it is full, events are merged or dropped.

use super::signal::Signal;
use crate::error::{Error, ErrorCode};
use crate::peer::NodeId;
use crate::protocol::event::Event;
use crate::transit::Transit;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Minimum interval between errors of one kind.
const ERROR_PAUSE: Duration = Duration::from_secs(1);

#[derive(Default)]
pub(super) struct State {
    pub events: VecDeque<(u64, Event)>,
    pub next_number: u64,
    pub bytes: usize,
    /// Number of events, and of their bytes, that were taken last, until the last of them is gone.
    pub taken: usize,
    pub taken_bytes: usize,
    /// Number of threads that wait for an event.
    pub waiting: u32,
    /// Whether a thread that waits leads: it receives by itself.
    pub led: bool,
    /// The numbers of the up, update and down of each peer in the queue.
    pub lifecycle: HashMap<NodeId, Vec<u64>>,
    pub open: bool,
    /// Whether suspended messages are kept apart from the events.
    pub transits_apart: bool,
    pub transits: VecDeque<Box<Transit>>,
    pub transit_bytes: usize,
    pub lost: u64,
    /// When an error of each kind was reported last.
    pub errors: Vec<(ErrorCode, Duration)>,
    /// Readable exactly while there are events.
    pub signal: Option<std::sync::Arc<Signal>>,
}

impl State {
    /// Returns whether no event waits, including the events taken from here.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty() && self.taken == 0
    }

    /// Errors of one kind are reported once a second. Faults are always reported: they are few, and the
    /// last one says that the thread has stopped.
    pub fn is_time_for(&mut self, code: ErrorCode, now: Duration) -> bool {
        if code == ErrorCode::Internal {
            return true;
        }
        match self.errors.iter_mut().find(|(told, _)| *told == code) {
            Some((_, last)) if now < *last + ERROR_PAUSE => return false,
            Some((_, last)) => *last = now,
            None => self.errors.push((code, now)),
        }
        true
    }

    pub fn append(&mut self, event: Event) {
        self.bytes += event.weight();
        self.events.push_back((self.next_number, event));
        self.next_number += 1;
    }

    pub fn append_lifecycle(&mut self, id: NodeId, event: Event) {
        self.lifecycle.entry(id).or_default().push(self.next_number);
        self.append(event);
    }

    /// Merges an event of a peer with those of that peer that wait: at most one down followed by one
    /// up remains.
    pub fn merge(&mut self, id: NodeId, event: Event) {
        let last = self.lifecycle.get(&id).and_then(|numbers| numbers.last().copied());
        let waiting = last.and_then(|number| self.position(number));
        let Some(position) = waiting else {
            return self.append_lifecycle(id, event);
        };
        match (&mut self.events[position].1, event) {
            // The program has not seen the up: it does not need the down.
            (Event::Up(_), Event::Down { .. }) => self.remove_last(&id, position),
            (Event::Up(old), Event::Update { peer, .. }) => *old = peer,
            (
                Event::Update { peer: old, changed: old_changed },
                Event::Update { peer, changed },
            ) => {
                *old = peer;
                old_changed.meta |= changed.meta;
                old_changed.address |= changed.address;
            }
            (Event::Update { .. }, event @ Event::Down { .. }) => {
                self.remove_last(&id, position);
                self.merge(id, event);
            }
            (_, event) => self.append_lifecycle(id, event),
        }
    }

    pub fn position(&self, number: u64) -> Option<usize> {
        self.events.binary_search_by_key(&number, |&(number, _)| number).ok()
    }

    pub fn remove_last(&mut self, id: &NodeId, position: usize) {
        self.events.remove(position);
        self.forget(id, Vec::pop);
    }

    pub fn forget(&mut self, id: &NodeId, how: impl FnOnce(&mut Vec<u64>) -> Option<u64>) {
        if let Some(numbers) = self.lifecycle.get_mut(id) {
            how(numbers);
            if numbers.is_empty() {
                self.lifecycle.remove(id);
            }
        }
    }

    /// Whether there is nothing to take. A loss that is still to be reported counts as an event.
    pub fn is_done(&self) -> bool {
        self.is_empty() && self.lost == 0
    }

    pub fn clear_signal_if_done(&self) {
        if self.is_done()
            && let Some(signal) = &self.signal
        {
            signal.clear();
        }
    }

    /// Takes the oldest suspended message that is kept apart.
    pub fn take_transit(&mut self) -> Option<Box<Transit>> {
        let transit = self.transits.pop_front()?;
        self.transit_bytes -= transit.message().data().len();
        Some(transit)
    }

    pub fn take(&mut self) -> Option<Event> {
        let event = match self.events.pop_front() {
            Some((_, event)) => event,
            None if self.lost > 0 => {
                let lost = std::mem::take(&mut self.lost);
                let text =
                    format!("{lost} messages were lost: the program took its events too slowly");
                return Some(Event::Error(Error::new(ErrorCode::Lagged, text)));
            }
            None => return None,
        };
        if self.events.is_empty() {
            // Starts again at the beginning of the ring, which is in the cache of the processor.
            self.events.clear();
        }
        self.bytes -= event.weight();
        if let Some(id) = event.lifecycle_of() {
            self.forget(&id.clone(), |numbers| Some(numbers.remove(0)));
        }
        Some(event)
    }
}
