//! The endpoints that share a hub: their timers, and how they are called.

use super::clock;
use super::link::Subscriber;
use super::thread::{Panics, fault};
use crate::sync::{lock, wait};
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// Maximum delay of a timer while datagrams are still queued.
const MAX_LATE: Duration = Duration::from_millis(100);

/// Upper bound on deferring the failure detector while datagrams are still queued: a flood must not
/// suppress it.
const MAX_BEHIND: Duration = Duration::from_secs(10);

/// Time after which the timer of a subscriber runs again that has panicked.
const AFTER_PANIC: Duration = Duration::from_millis(100);

/// The due time of a subscriber without a timer.
pub(super) const NEVER: u64 = u64::MAX;
/// The value of [`Subscriptions::sleeps_until`] while the thread is awake.
const AWAKE: u64 = 0;

/// The endpoints of one hub.
pub(super) struct Subscriptions {
    list: Mutex<Arc<Vec<Arc<Subscription>>>>,
    /// When the thread wakes up by itself, in nanoseconds.
    sleeps_until: AtomicU64,
}

#[derive(Default)]
pub(super) struct Subscription {
    slot: Mutex<Slot>,
    idle: Condvar,
    /// Whether the subscriber has to receive its own messages.
    wants_own: AtomicBool,
    /// When the next timer is due, in nanoseconds.
    due: AtomicU64,
}

#[derive(Default)]
struct Slot {
    /// Taken out during a call.
    subscriber: Option<Arc<dyn Subscriber>>,
    busy: bool,
    left: bool,
    panics: Panics,
}

impl Subscriptions {
    pub fn new() -> Self {
        Self { list: Mutex::default(), sleeps_until: AWAKE.into() }
    }

    pub fn all(&self) -> Arc<Vec<Arc<Subscription>>> {
        lock(&self.list).clone()
    }

    pub fn len(&self) -> usize {
        lock(&self.list).len()
    }

    pub fn add(&self) -> Arc<Subscription> {
        let subscription = Arc::new(Subscription { due: NEVER.into(), ..Default::default() });
        let mut list = lock(&self.list);
        let mut more = list.to_vec();
        more.push(subscription.clone());
        *list = Arc::new(more);
        subscription
    }

    /// Returns whether it was the last one.
    pub fn remove(&self, subscription: &Arc<Subscription>) -> bool {
        let mut list = lock(&self.list);
        let mut rest = list.to_vec();
        rest.retain(|other| !Arc::ptr_eq(other, subscription));
        let last = rest.is_empty();
        *list = Arc::new(rest);
        last
    }

    /// Whether no subscriber has to receive what this process sends.
    pub fn spare_own(&self) -> bool {
        let list = lock(&self.list);
        list.len() == 1 && !list[0].wants_own.load(Ordering::SeqCst)
    }

    /// Sets the next timer of a subscription. Returns whether the thread has to be woken for it.
    pub fn set_due(&self, subscription: &Subscription, due: Option<Duration>) -> bool {
        let due = due.map_or(NEVER, as_nanos);
        subscription.due.store(due, Ordering::SeqCst);
        due < self.sleeps_until.load(Ordering::SeqCst)
    }

    /// The thread is awake.
    pub fn wake_up(&self) {
        self.sleeps_until.store(AWAKE, Ordering::SeqCst);
    }

    /// Runs the timers that are due; while there is more to receive, those that are [`MAX_LATE`].
    pub fn handle_timeouts(&self, more: bool, drained_at: Duration) {
        let now = clock::monotonic();
        let overdue = if more { MAX_LATE } else { Duration::ZERO };
        let due = as_nanos(now.saturating_sub(overdue));
        let behind = more && now < drained_at + MAX_BEHIND;
        for subscription in self.all().iter() {
            if subscription.due.load(Ordering::SeqCst) <= due {
                // The subscriber sets its next timer.
                subscription.due.store(NEVER, Ordering::SeqCst);
                subscription.call(&mut |subscriber| subscriber.handle_timeout(behind));
            }
        }
    }

    /// Returns how long the thread may sleep: until the first timer or until `own`. A subscriber that
    /// sets an earlier timer afterwards wakes the thread.
    pub fn fall_asleep(&self, own: Option<Duration>) -> Option<Duration> {
        let own = own.map_or(NEVER, as_nanos);
        let first = || {
            let subscriptions = self.all();
            let dues = subscriptions.iter().map(|it| it.due.load(Ordering::SeqCst));
            dues.fold(own, u64::min)
        };
        let mut due = first();
        loop {
            self.sleeps_until.store(due, Ordering::SeqCst);
            match first() {
                earlier if earlier < due => due = earlier,
                _ => break,
            }
        }
        let until = (due != NEVER).then(|| Duration::from_nanos(due))?;
        Some(until.saturating_sub(clock::monotonic()))
    }
}

impl Subscription {
    pub fn subscribe(&self, subscriber: Arc<dyn Subscriber>) {
        lock(&self.slot).subscriber = Some(subscriber);
    }

    /// Sets whether the subscriber has to receive its own messages.
    pub fn want_own(&self, wants: bool) {
        self.wants_own.store(wants, Ordering::SeqCst);
    }

    /// Calls the subscriber, unless it has left. A panic is reported to it; after too many of them it
    /// is not called again. Returns whether there was a subscriber. Compiled once: inline it took 15 KB in
    /// the reader.
    #[inline(never)]
    pub fn call(&self, work: &mut dyn FnMut(&dyn Subscriber)) -> bool {
        let subscriber = {
            let mut slot = lock(&self.slot);
            let Some(subscriber) = slot.subscriber.take() else { return false };
            slot.busy = true;
            subscriber
        };
        let outcome = panic::catch_unwind(AssertUnwindSafe(|| work(&*subscriber)));
        let panicked = outcome.is_err();
        let given_up = match outcome {
            Ok(()) => false,
            Err(panic) => {
                let given_up = lock(&self.slot).panics.too_many();
                subscriber.report(fault(&*panic, given_up));
                given_up
            }
        };
        if given_up {
            self.due.store(NEVER, Ordering::SeqCst);
        } else if panicked {
            // The timer that was due then has not set the next one.
            self.due.fetch_min(as_nanos(clock::monotonic() + AFTER_PANIC), Ordering::SeqCst);
        }
        let mut slot = lock(&self.slot);
        slot.busy = false;
        if !slot.left && !given_up {
            slot.subscriber = Some(subscriber);
        }
        let left = slot.left;
        drop(slot);
        if left {
            self.idle.notify_all();
        }
        true
    }

    /// The subscriber is not called again. With `waits`, a call that runs has ended on return.
    pub fn leave(&self, waits: bool) {
        let mut slot = lock(&self.slot);
        slot.left = true;
        while waits && slot.busy {
            slot = wait(&self.idle, slot, None);
        }
        let subscriber = slot.subscriber.take();
        drop(slot);
        drop(subscriber);
    }
}

pub(super) fn as_nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(NEVER)
}

#[cfg(test)]
mod tests {
    use super::super::arrivals::Arrivals;
    use super::*;
    use crate::error::Error;
    use std::net::IpAddr;
    use std::sync::atomic::AtomicU32;

    /// Its first timer panics.
    #[derive(Default)]
    struct Faulty {
        timeouts: AtomicU32,
        reports: AtomicU32,
    }

    impl Subscriber for Faulty {
        fn datagrams(&self, _arrivals: &mut Arrivals<'_>) {}

        fn handle_timeout(&self, _behind: bool) {
            assert!(self.timeouts.fetch_add(1, Ordering::SeqCst) > 0, "the first one");
        }

        fn lost(&self, _datagrams: u32) {}

        fn undelivered(&self, _datagrams: u32) {}

        fn interfaces(&self, _addresses: &[IpAddr], _count: Option<usize>) {}

        fn report(&self, _error: Error) {
            self.reports.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn timers_go_on_after_a_panic_in_one() {
        let subscriptions = Subscriptions::new();
        let (subscription, faulty) = (subscriptions.add(), Arc::new(Faulty::default()));
        subscription.subscribe(faulty.clone());
        subscriptions.set_due(&subscription, Some(Duration::ZERO));
        subscriptions.handle_timeouts(false, Duration::ZERO);
        assert_eq!(faulty.reports.load(Ordering::SeqCst), 1);
        let sleep = subscriptions.fall_asleep(None).expect("a timer is set");
        assert!(sleep <= AFTER_PANIC);
        clock::pause(AFTER_PANIC);
        subscriptions.handle_timeouts(false, Duration::ZERO);
        assert_eq!(faulty.timeouts.load(Ordering::SeqCst), 2);
        assert_eq!(subscriptions.fall_asleep(None), None);
    }
}
