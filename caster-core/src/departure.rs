//! Whether a node has begun to leave, and how many threads are sending a message.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// A message that follows the leave on the wire would show the node to its peers as one that is up.
#[derive(Default)]
pub(crate) struct Departure {
    has_begun: AtomicBool,
    sending: AtomicUsize,
}

/// Exists while a thread sends a message.
pub(crate) struct Sending<'a>(&'a AtomicUsize);

impl Drop for Sending<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Departure {
    pub fn reset(&self) {
        self.has_begun.store(false, Ordering::SeqCst);
    }

    /// No message begins from now on. Those that [`Departure::is_sending`] tells of have begun before.
    pub fn begin(&self) {
        self.has_begun.store(true, Ordering::SeqCst);
    }

    pub fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::SeqCst)
    }

    /// The permission to send a message. It is counted first: a thread that begins to leave sees the message, or the
    /// message sees the leave.
    pub fn send(&self) -> Option<Sending<'_>> {
        self.sending.fetch_add(1, Ordering::SeqCst);
        let sending = Sending(&self.sending);
        (!self.has_begun()).then_some(sending)
    }

    pub fn is_sending(&self) -> bool {
        self.sending.load(Ordering::SeqCst) > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_sent_once_it_has_begun_and_what_was_begun_before_is_counted() {
        let departure = Departure::default();
        let sending = departure.send();
        assert!(sending.is_some() && departure.is_sending());
        departure.begin();
        assert!(departure.send().is_none() && departure.is_sending());
        drop(sending);
        assert!(!departure.is_sending());
        departure.reset();
        assert!(departure.send().is_some() && !departure.is_sending());
    }
}
