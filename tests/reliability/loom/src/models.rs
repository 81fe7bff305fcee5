//! The models. Their names are what they claim.

use crate::driver::Hand;
use crate::driver::queue::{EventSource, NoEvent};
use crate::options::EndpointLimits;
use crate::protocol::event::Event;
use crate::slot::Slot;
use crate::transit::Transit;
use loom::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use loom::sync::{Arc, Mutex, Notify};
use loom::thread;
use std::time::Duration;

/// Makes the list of the models.
macro_rules! models {
    ($($name:ident),* $(,)?) => {
        pub const ALL: &[(&str, fn())] = &[$((stringify!($name), $name)),*];
    };
}

models![
    an_object_ends_once_and_after_the_last_call_on_it,
    a_pointer_that_was_freed_does_not_get_the_next_object_of_its_place,
    two_threads_never_get_the_same_vacant_place,
    a_node_that_goes_up_while_it_is_freed_is_down_in_the_end,
    a_thread_that_waits_gets_the_event_that_is_put_in,
    of_two_threads_that_wait_each_gets_one_of_two_events,
    the_waker_tells_of_every_event,
    a_close_ends_every_wait,
    an_interrupt_ends_a_wait,
    a_suspended_message_is_resumed_once,
    a_close_ends_the_wait_for_a_suspended_message,
    the_thread_of_the_hub_never_parks_for_good_while_the_program_does_not_lead,
];

/// An object of a place: whether it lives, and how often it was released.
struct Object {
    lives: AtomicBool,
    releases: AtomicUsize,
}

impl Object {
    fn new() -> Arc<Self> {
        Arc::new(Self { lives: AtomicBool::new(true), releases: AtomicUsize::new(0) })
    }

    fn pointer(&self) -> *mut () {
        (&raw const *self).cast_mut().cast()
    }

    fn release(&self) {
        self.lives.store(false, Ordering::Relaxed);
        self.releases.fetch_add(1, Ordering::Relaxed);
    }
}

/// A call on the object, as table.rs makes it.
fn call(slot: &Slot, tag: u64, object: &Object, work: impl FnOnce()) -> bool {
    if !slot.pin(tag) {
        return false;
    }
    assert!(object.lives.load(Ordering::Relaxed), "used after it was released");
    work();
    assert!(object.lives.load(Ordering::Relaxed), "released during a call");
    end(slot, object);
    true
}

fn end(slot: &Slot, object: &Object) {
    if slot.unpin().is_some() {
        object.release();
        slot.vacate();
    }
}

/// `table::free`. Returns whether it was this call that freed it.
fn free(slot: &Slot, tag: u64, object: &Object) -> bool {
    if !slot.pin(tag) {
        return false;
    }
    let first = slot.begin_free();
    if first {
        slot.close();
    }
    end(slot, object);
    first
}

fn an_object_ends_once_and_after_the_last_call_on_it() {
    let (slot, object) = (Arc::new(Slot::new()), Object::new());
    let tag = slot.put(object.pointer(), 1);
    let freeing = |slot: &Arc<Slot>, object: &Arc<Object>| {
        let (slot, object) = (slot.clone(), object.clone());
        thread::spawn(move || free(&slot, tag, &object))
    };
    let (first, second) = (freeing(&slot, &object), freeing(&slot, &object));
    call(&slot, tag, &object, || {});
    let freed = [first.join().unwrap(), second.join().unwrap()];
    assert_eq!(freed.iter().filter(|&&freed| freed).count(), 1, "one of the two frees it");
    assert_eq!(object.releases.load(Ordering::Relaxed), 1);
    assert!(!call(&slot, tag, &object, || {}));
}

fn a_pointer_that_was_freed_does_not_get_the_next_object_of_its_place() {
    let (slot, old, new) = (Arc::new(Slot::new()), Object::new(), Object::new());
    let tag = slot.put(old.pointer(), 1);
    let reusing = {
        let (slot, old, new) = (slot.clone(), old.clone(), new.clone());
        thread::spawn(move || {
            free(&slot, tag, &old);
            if slot.reserve() {
                assert_eq!(old.releases.load(Ordering::Relaxed), 1);
                assert_ne!(slot.put(new.pointer(), 1), tag);
            }
        })
    };
    if slot.pin(tag) {
        assert_eq!(slot.object(), old.pointer(), "the object of the pointer");
        assert!(old.lives.load(Ordering::Relaxed));
        end(&slot, &old);
    }
    reusing.join().unwrap();
    assert_eq!(new.releases.load(Ordering::Relaxed), 0);
}

fn two_threads_never_get_the_same_vacant_place() {
    let (slot, object) = (Arc::new(Slot::new()), Object::new());
    let tag = slot.put(object.pointer(), 1);
    assert!(free(&slot, tag, &object));
    let other = {
        let slot = slot.clone();
        thread::spawn(move || slot.reserve())
    };
    let mine = slot.reserve();
    assert!(mine != other.join().unwrap());
}

/// `handle::start` beside `dispatch::free`. Whether a node is up is under the lock of its life.
fn a_node_that_goes_up_while_it_is_freed_is_down_in_the_end() {
    let (slot, object) = (Arc::new(Slot::new()), Object::new());
    let is_up = Arc::new(Mutex::new(false));
    let tag = slot.put(object.pointer(), 1);
    let starting = {
        let (slot, object, is_up) = (slot.clone(), object.clone(), is_up.clone());
        thread::spawn(move || {
            call(&slot, tag, &object, || {
                *is_up.lock().unwrap() = true;
                if slot.is_freeing() {
                    *is_up.lock().unwrap() = false;
                }
            })
        })
    };
    assert!(slot.pin(tag) && slot.begin_free());
    slot.close();
    *is_up.lock().unwrap() = false;
    end(&slot, &object);
    starting.join().unwrap();
    assert!(!*is_up.lock().unwrap());
    assert_eq!(object.releases.load(Ordering::Relaxed), 1);
}

fn queue() -> EventSource {
    let limits = EndpointLimits { events: 64, bytes: 4096 };
    let queue = EventSource::new(Default::default(), limits);
    queue.open();
    queue
}

fn put(queue: &EventSource, event: Event) {
    if queue.push(event) {
        queue.wake();
    }
}

fn number(event: Event) -> u32 {
    match event {
        Event::Message(number) => number,
        other => panic!("{other:?}"),
    }
}

fn a_thread_that_waits_gets_the_event_that_is_put_in() {
    let queue = queue();
    let end = queue.clone();
    let waiting = thread::spawn(move || number(end.next_timeout(None).unwrap()));
    put(&queue, Event::Message(7));
    assert_eq!(waiting.join().unwrap(), 7);
    assert!(queue.is_empty());
}

fn of_two_threads_that_wait_each_gets_one_of_two_events() {
    let queue = queue();
    let wait = |queue: &EventSource| {
        let end = queue.clone();
        thread::spawn(move || number(end.next_timeout(None).unwrap()))
    };
    let (first, second) = (wait(&queue), wait(&queue));
    put(&queue, Event::Message(1));
    put(&queue, Event::Message(2));
    assert_eq!(first.join().unwrap() + second.join().unwrap(), 3);
}

/// A program that takes all events whenever the waker was called misses none.
fn the_waker_tells_of_every_event() {
    let queue = queue();
    let called = Arc::new(Notify::new());
    let waker = called.clone();
    queue.set_waker(Some(std::sync::Arc::new(move || waker.notify())));
    let end = queue.clone();
    let taking = thread::spawn(move || {
        let mut sum = 0;
        while sum < 3 {
            called.wait();
            while let Some(event) = end.try_next() {
                sum += number(event);
            }
        }
    });
    put(&queue, Event::Message(1));
    put(&queue, Event::Message(2));
    taking.join().unwrap();
}

fn a_close_ends_every_wait() {
    let queue = queue();
    let end = queue.clone();
    let waiting = thread::spawn(move || end.next_timeout(None).err());
    queue.close();
    assert_eq!(waiting.join().unwrap(), Some(NoEvent::Closed));
}

fn an_interrupt_ends_a_wait() {
    let queue = queue();
    let end = queue.clone();
    let before = queue.interrupts();
    let waiting = thread::spawn(move || end.next_or_interrupt(None, before).err());
    queue.interrupt();
    assert_eq!(waiting.join().unwrap(), Some(NoEvent::TimedOut));
}

fn a_suspended_message_is_resumed_once() {
    let queue = queue();
    queue.set_transits_apart(true);
    let wait = |queue: &EventSource| {
        let end = queue.clone();
        thread::spawn(move || end.next_transit(None).map(|transit| transit.0).ok())
    };
    let (first, second) = (wait(&queue), wait(&queue));
    put(&queue, Event::HostStage(Box::new(Transit(7))));
    queue.close();
    let got = [first.join().unwrap(), second.join().unwrap()];
    assert_eq!(got.iter().flatten().count(), 1, "{got:?}");
}

fn a_close_ends_the_wait_for_a_suspended_message() {
    let queue = queue();
    queue.set_transits_apart(true);
    let end = queue.clone();
    let waiting = thread::spawn(move || end.next_transit(None).err());
    queue.close();
    assert_eq!(waiting.join().unwrap(), Some(NoEvent::Closed));
}

/// loom finds a thread that waits for a notification that does not come.
fn the_thread_of_the_hub_never_parks_for_good_while_the_program_does_not_lead() {
    let hand = Arc::new(Hand::default());
    let unparked = Arc::new(Notify::new());
    hand.take();
    let hub = {
        let (hand, unparked) = (hand.clone(), unparked.clone());
        thread::spawn(move || hand.park(|| false, || unparked.wait()))
    };
    if hand.release(Duration::from_secs(1)) {
        unparked.notify();
    }
    hub.join().unwrap();
    assert!(!hand.is_taken_for_long());
}
