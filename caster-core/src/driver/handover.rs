//! Which thread receives: the leader/followers pattern.
//!
//! One thread at a time leads: it waits for the sockets of a hub and receives. At first the hub's
//! thread does. A program thread that waits for an event of the only endpoint leads while it waits:
//! a datagram then wakes one thread instead of two. After its event the hub's thread waits for
//! [`GRACE`], because the program thread usually comes back at once, and leads again otherwise. An
//! event loop must not wait; it leads in turns, each of which extends its time if it yields an
//! event.
//!
//! The time is a parameter and the caller parks its thread, so tests need neither.

use super::subscription::{NEVER, as_nanos};
use crate::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use crate::sync::{Arc, Mutex};
use std::time::Duration;

/// Time that the hub's thread leaves to a program thread that led and has got its event.
pub(super) const GRACE: Duration = Duration::from_millis(2);

/// Number of graces for which the hub's thread polls whether the program still leads, before it
/// parks without a timeout.
const POLLS: u32 = 10;

#[derive(Debug, Default)]
pub(super) struct Handover {
    /// Held by the program thread that leads, until it has dropped the link.
    leader: Arc<Mutex<()>>,
    /// Time until which the program leads, in nanoseconds; [`NEVER`] until it hands over.
    until: AtomicU64,
    /// Whether the hub's thread is parked without a timeout.
    parked: AtomicBool,
    /// Time of the last request of an event loop, in nanoseconds.
    requested: AtomicU64,
}

/// The next action of the hub's thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    Lead,
    ParkFor(Duration),
    /// [`Handover::park`].
    Park,
}

impl Handover {
    /// The lock that the leading program thread holds.
    pub fn leader(&self) -> &Arc<Mutex<()>> {
        &self.leader
    }

    /// Returns the next action of the hub's thread. `polls` counts those since it led.
    pub fn next_step(&self, polls: &mut u32, now: Duration) -> Step {
        let until = self.until.load(Ordering::SeqCst);
        if until == NEVER {
            *polls += 1;
            return if *polls > POLLS { Step::Park } else { Step::ParkFor(GRACE) };
        }
        if until > as_nanos(now) {
            return Step::ParkFor(Duration::from_nanos(until).saturating_sub(now));
        }
        *polls = 0;
        Step::Lead
    }

    /// Parks the hub's thread by `park` while the program leads, unless the hub `is_over`.
    pub fn park(&self, is_over: impl FnOnce() -> bool, park: impl FnOnce()) {
        self.parked.store(true, Ordering::SeqCst);
        if self.until.load(Ordering::SeqCst) == NEVER && !is_over() {
            park();
        }
        self.parked.store(false, Ordering::SeqCst);
    }

    /// A program thread leads from now on, until [`Handover::release`].
    pub fn take(&self) {
        self.until.store(NEVER, Ordering::SeqCst);
    }

    /// The program leads no longer than [`GRACE`] from `now`, unless it takes the lead again.
    /// Returns whether the hub's thread has to be unparked.
    pub fn release(&self, now: Duration) -> bool {
        self.extend(now);
        self.parked.load(Ordering::SeqCst)
    }

    /// An event loop requests the lead. Returns whether its last request was less than [`GRACE`]
    /// ago: events come at a high rate.
    pub fn request(&self, now: Duration) -> bool {
        let before = self.requested.swap(as_nanos(now), Ordering::SeqCst);
        as_nanos(now) < before.saturating_add(GRACE.as_nanos() as u64)
    }

    /// The program leads for [`GRACE`] from `now`.
    pub fn extend(&self, now: Duration) {
        self.until.store(as_nanos(now + GRACE), Ordering::SeqCst);
    }

    /// The hub's thread leads again; it has to be unparked.
    pub fn revoke(&self) {
        self.until.store(0, Ordering::SeqCst);
    }

    /// Returns whether the program leads.
    pub fn is_taken(&self, now: Duration) -> bool {
        self.until.load(Ordering::SeqCst) > as_nanos(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_thread_of_the_hub_leads_until_the_program_does_and_again_after_the_grace() {
        let (handover, mut polls) = (Handover::default(), 0);
        assert_eq!(handover.next_step(&mut polls, ms(1)), Step::Lead);
        handover.take();
        assert_eq!(handover.next_step(&mut polls, ms(1)), Step::ParkFor(GRACE));
        assert!(!handover.release(ms(10)), "it is not parked without a timeout");
        assert_eq!(handover.next_step(&mut polls, ms(11)), Step::ParkFor(ms(1)));
        assert_eq!(handover.next_step(&mut polls, ms(12)), Step::Lead);
    }

    #[test]
    fn the_thread_parks_without_a_timeout_only_while_the_program_leads_for_long() {
        let (handover, mut polls) = (Handover::default(), 0);
        handover.take();
        let steps = (0..POLLS).map(|_| handover.next_step(&mut polls, ms(0)));
        assert!({ steps }.all(|step| step == Step::ParkFor(GRACE)));
        assert_eq!(handover.next_step(&mut polls, ms(0)), Step::Park);
        let mut parked = false;
        handover.park(|| false, || parked = handover.release(ms(0)));
        assert!(parked, "the program is told to unpark it");
        handover.park(|| false, || panic!("the program no longer leads"));
        handover.take();
        handover.park(|| true, || panic!("the hub is over"));
        assert!(!handover.release(ms(0)));
        handover.next_step(&mut polls, ms(5));
        assert_eq!(polls, 0, "the count starts again");
    }

    #[test]
    fn an_event_loop_leads_while_it_asks_often_and_its_turns_yield_events() {
        let handover = Handover::default();
        assert!(!handover.request(ms(100)), "the first request");
        assert!(handover.request(ms(101)));
        assert!(!handover.request(ms(103)), "a whole grace later");
        handover.extend(ms(103));
        assert!(handover.is_taken(ms(104)) && !handover.is_taken(ms(105)));
        handover.extend(ms(104));
        assert!(handover.is_taken(ms(105)));
        handover.revoke();
        assert!(!handover.is_taken(ms(105)));
    }
}
