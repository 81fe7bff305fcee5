//! Datagrams that were not believed, so that a copy of one is not taken for something already heard.
//!
//! The next datagram of a node can often be guessed. Another program may send it first, from an address
//! that the node does not use: that is not believed, and the datagram of the node itself is a copy.

use foldhash::quality::RandomState;
use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::time::Duration;

/// As long as duplicate suppression remembers a datagram, and some time for its timer.
const MEMORY: Duration = Duration::from_millis(300);

/// How many are remembered: the oldest is forgotten when more come within [`MEMORY`].
const MAX: usize = 1024;

#[derive(Debug, Default)]
pub(crate) struct Unbelieved {
    keys: RandomState,
    texts: VecDeque<(u64, Duration)>,
}

impl Unbelieved {
    pub fn note(&mut self, text: &str, now: Duration) {
        while self.texts.front().is_some_and(|(_, at)| now > *at + MEMORY) {
            self.texts.pop_front();
        }
        if self.texts.len() >= MAX {
            self.texts.pop_front();
        }
        self.texts.push_back((self.keys.hash_one(text), now));
    }

    /// Whether this text was not believed just now; it is forgotten by that.
    pub fn take(&mut self, text: &str, now: Duration) -> bool {
        if self.texts.is_empty() {
            return false;
        }
        let hash = self.keys.hash_one(text);
        let at = self.texts.iter().position(|(it, at)| *it == hash && now <= *at + MEMORY);
        at.is_some_and(|at| self.texts.remove(at).is_some())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_taken_once_and_for_a_short_time_and_few_are_kept() {
        let ms = Duration::from_millis;
        let mut unbelieved = Unbelieved::default();
        assert!(!unbelieved.take("a", ms(0)));
        unbelieved.note("a", ms(0));
        assert!(!unbelieved.take("b", ms(1)));
        assert!(unbelieved.take("a", ms(300)) && !unbelieved.take("a", ms(300)));
        unbelieved.note("a", ms(400));
        assert!(!unbelieved.take("a", ms(701)));
        (0..3 * MAX).for_each(|n| unbelieved.note(&n.to_string(), ms(800)));
        assert_eq!(unbelieved.texts.len(), MAX);
        assert!(!unbelieved.take("0", ms(800)) && unbelieved.take("3071", ms(800)));
    }
}
