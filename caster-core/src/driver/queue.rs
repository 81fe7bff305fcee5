//! The bounded queue between the core and the program.
//!
//! When the queue is full, the newest messages are dropped. `up`, `update` and `down` are never lost:
//! from then on they are merged for each peer, so the memory that they take is bounded by the number
//! of peers and the program sees a consistent sequence.

use super::backlog::State;
use super::fork::Process;
use super::link::{Link, Turn};
#[cfg(unix)]
use super::signal::Signal;
use super::thread::on_core_thread;
use crate::options::EndpointLimits;
use crate::protocol::event::Event;
use crate::stats::{Counters, add};
use crate::sync::atomic::{AtomicU32, Ordering};
use crate::sync::{
    Arc, Condvar, Mutex, MutexGuard, RwLock, Weak, lock, read, try_lock, wait, write,
};
use crate::transit::Transit;
use std::collections::VecDeque;
use std::fmt;
#[cfg(unix)]
use std::io;
use std::time::Duration;

/// Number of notices that a full queue still accepts.
const MAX_NOTICES: usize = 256;

/// Called when the queue becomes non-empty, on the thread that puts the event in. It must not block
/// and must not call the caster or node.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// The reason why there is no event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoEvent {
    /// No event within the timeout.
    TimedOut,
    /// The node is down or the caster closed, and everything before that has been taken.
    Closed,
    /// The calling process is a forked child: the queue belongs to its parent.
    Forked,
}

impl fmt::Display for NoEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            NoEvent::TimedOut => "no event came in time",
            NoEvent::Closed => "no more events: it is down",
            NoEvent::Forked => "no events: they belong to the process that created the handle",
        })
    }
}

impl std::error::Error for NoEvent {}

/// The lock of [`Link::leader`].
type Leader = Arc<Mutex<()>>;

/// The program's end of the queue. Clones share the queue: each event goes to one of them.
#[derive(Clone)]
pub struct EventSource {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Events taken from the state many at a time, so that the two ends rarely contend. Locked before
    /// the state.
    taken: Mutex<VecDeque<Event>>,
    ready: Condvar,
    /// Notified when a suspended message is put in apart from the events.
    transit_ready: Condvar,
    /// Number of calls of [`EventSource::interrupt`].
    interrupts: AtomicU32,
    /// Number of calls of [`EventSource::set_link`].
    links: AtomicU32,
    /// Held by a thread that leads by the link.
    held: Mutex<()>,
    process: Process,
    waker: Mutex<Option<Waker>>,
    /// For a thread that waits: it receives by itself.
    link: RwLock<Option<(Leader, Weak<dyn Link>)>>,
    counters: Arc<Counters>,
    limits: EndpointLimits,
}

/// Maximum number of events taken from the state at a time. It is also at most this part of the
/// limits: the events count as waiting until the last of them has been taken.
const TAKEN: usize = 256;
const TAKEN_PART: usize = 16;

impl EventSource {
    pub(crate) fn new(counters: Arc<Counters>, limits: EndpointLimits) -> Self {
        let shared = Shared {
            state: Mutex::default(),
            taken: Mutex::default(),
            ready: Condvar::new(),
            transit_ready: Condvar::new(),
            interrupts: AtomicU32::new(0),
            links: AtomicU32::new(0),
            held: Mutex::default(),
            process: Process::current(),
            waker: Mutex::default(),
            link: RwLock::default(),
            counters,
            limits,
        };
        Self { shared: Arc::new(shared) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.shared.state)
    }

    /// Opens the queue: events may come.
    pub(crate) fn open(&self) {
        self.state().open = true;
    }

    /// Closes the queue: events in it can still be taken.
    pub(crate) fn close(&self) {
        self.state().open = false;
        self.set_owed_signal();
        self.shared.ready.notify_all();
        self.shared.transit_ready.notify_all();
        self.wake();
    }

    /// Puts an event in. Returns whether [`EventSource::wake`] is due, outside of all locks.
    pub(crate) fn push(&self, event: Event) -> bool {
        let mut state = self.state();
        if let Event::Error(error) = &event
            && !state.is_time_for(error.code(), super::clock::monotonic())
        {
            add(&self.shared.counters.errors_suppressed);
            return false;
        }
        if state.transits_apart && matches!(event, Event::HostStage(_)) {
            drop(state);
            return self.push_transit(event);
        }
        let was_empty = state.is_empty();
        let limits = self.shared.limits;
        let waiting = state.events.len() + state.taken;
        let full = waiting >= limits.events || state.bytes + state.taken_bytes >= limits.bytes;
        match event.lifecycle_of().cloned() {
            Some(id) if full => state.merge(id, event),
            Some(id) => state.append_lifecycle(id, event),
            // Notices are few, and a program that misses one has a wrong state for a long time.
            None if event.is_notice() && waiting < limits.events + MAX_NOTICES => {
                state.append(event);
            }
            None if full => {
                state.lost += 1;
                add(&self.shared.counters.events_lost);
                return false;
            }
            None => state.append(event),
        }
        let filled = was_empty && !state.is_empty();
        if let Some(signal) = &state.signal {
            if filled { signal.set() } else { signal.set_if_owed() }
        }
        // An up and its down may have been removed.
        state.clear_signal_if_done();
        filled
    }

    /// Puts a suspended message in apart from the events. Suspended messages have the bounds of the
    /// queue for themselves; the newest are dropped and counted as lost events.
    #[inline(never)]
    fn push_transit(&self, event: Event) -> bool {
        let Event::HostStage(transit) = event else { return false };
        let mut state = self.state();
        let limits = self.shared.limits;
        if state.transits.len() >= limits.events || state.transit_bytes >= limits.bytes {
            drop(state);
            add(&self.shared.counters.events_lost);
            return false;
        }
        let was_empty = state.transits.is_empty();
        state.transit_bytes += transit.message().data().len();
        state.transits.push_back(transit);
        drop(state);
        self.shared.transit_ready.notify_one();
        was_empty
    }

    /// Hands suspended messages out by [`EventSource::take_transits`] and
    /// [`EventSource::next_transit`] only, no longer as [`Event::HostStage`]. For hosts that run
    /// their stages although the program takes no events. `maxEvents` and `maxEventBytes` bound the
    /// suspended messages by themselves then: a full queue of events does not stop the stages. The
    /// waker is also called when the first suspended message is put in. Events that wait already
    /// stay as they are.
    pub fn set_transits_apart(&self, apart: bool) {
        if !self.is_forked() {
            self.state().transits_apart = apart;
        }
    }

    /// Takes up to `most` suspended messages, the oldest first, and appends them to `transits`.
    /// Returns how many there were. Does not wait.
    pub fn take_transits(&self, transits: &mut Vec<Box<Transit>>, most: usize) -> usize {
        if self.is_forked() {
            return 0;
        }
        let mut state = self.state();
        let before = transits.len();
        while transits.len() - before < most
            && let Some(transit) = state.take_transit()
        {
            transits.push(transit);
        }
        transits.len() - before
    }

    /// Takes the oldest suspended message; waits for it for up to `timeout`, or without limit.
    ///
    /// # Errors
    /// [`NoEvent::TimedOut`]; [`NoEvent::Closed`] once the node is down or the caster closed and
    /// no suspended message is left; [`NoEvent::Forked`].
    pub fn next_transit(&self, timeout: Option<Duration>) -> Result<Box<Transit>, NoEvent> {
        self.next_transit_or_interrupt(timeout, self.interrupts())
    }

    /// The same, but also ends with [`NoEvent::TimedOut`] once [`EventSource::interrupts`] differs from
    /// this number.
    ///
    /// # Errors
    /// As [`EventSource::next_transit`].
    pub fn next_transit_or_interrupt(
        &self,
        timeout: Option<Duration>,
        interrupts: u32,
    ) -> Result<Box<Transit>, NoEvent> {
        if self.is_forked() {
            return Err(NoEvent::Forked);
        }
        let until = timeout.map(|timeout| super::clock::monotonic() + timeout);
        let mut state = self.state();
        loop {
            if let Some(transit) = state.take_transit() {
                return Ok(transit);
            }
            if !state.open {
                return Err(NoEvent::Closed);
            }
            let left = until.map(|until| until.saturating_sub(super::clock::monotonic()));
            if left == Some(Duration::ZERO) || self.interrupts() != interrupts {
                return Err(NoEvent::TimedOut);
            }
            state = wait(&self.shared.transit_ready, state, left);
        }
    }

    /// Returns whether the calling process is a forked child: every other method finds nothing
    /// there, without waiting.
    #[inline]
    pub fn is_forked(&self) -> bool {
        self.shared.process.is_forked()
    }

    /// # Errors
    /// [`ErrorCode::Forked`](crate::ErrorCode::Forked) if the calling process is a forked child.
    pub fn check_process(&self) -> crate::error::Result<()> {
        self.shared.process.check()
    }

    /// Wakes the threads that wait, and calls the waker.
    pub(crate) fn wake(&self) {
        let (waiting, led) = {
            let state = self.state();
            (state.waiting > 0, state.led)
        };
        if waiting {
            self.shared.ready.notify_one();
        }
        if led && let Some(link) = self.link().and_then(|(_, link)| link.upgrade()) {
            link.interrupt();
        }
        let waker = lock(&self.shared.waker).clone();
        if let Some(waker) = waker {
            waker();
        }
    }

    /// Sets or removes the waker. It is called at once if the queue is not empty, and when the queue is
    /// closed.
    pub fn set_waker(&self, waker: Option<Waker>) {
        if self.is_forked() {
            return;
        }
        *lock(&self.shared.waker) = waker;
        if !self.state().is_done() {
            self.wake();
        }
    }

    /// The next event, if there is one.
    pub fn try_next(&self) -> Option<Event> {
        if self.is_forked() {
            return None;
        }
        self.next_of(&mut self.taken())
    }

    /// Takes up to `most` of the events that wait and appends them to `events`. Returns their number.
    pub fn take_batch(&self, events: &mut Vec<Event>, most: usize) -> usize {
        self.take_some(events, most, usize::MAX)
    }

    /// The same, but stops once the events have this number of bytes.
    pub(crate) fn take_some(&self, events: &mut Vec<Event>, most: usize, bytes: usize) -> usize {
        if self.is_forked() {
            return 0;
        }
        let mut taken = self.taken();
        let before = events.len();
        let mut room = bytes;
        let mut fits = |event: &Event| {
            let fits = room > 0;
            room = room.saturating_sub(event.weight());
            fits
        };
        let early = taken.iter().take(most).take_while(|event| fits(event)).count();
        events.extend(taken.drain(..early));
        if taken.is_empty() {
            let mut state = self.state();
            state.taken = 0;
            state.taken_bytes = 0;
            while events.len() - before < most
                && state.events.front().is_none_or(|(_, event)| fits(event))
                && let Some(event) = state.take()
            {
                events.push(event);
            }
            self.after_taking(&state);
        }
        events.len() - before
    }

    /// The descriptor stops being readable when the last event is taken, not at the next attempt.
    fn next_of(&self, taken: &mut VecDeque<Event>) -> Option<Event> {
        if taken.is_empty() {
            self.refill(taken);
        }
        let event = taken.pop_front();
        if event.is_some() && taken.is_empty() {
            self.refill(taken);
        }
        event
    }

    fn taken(&self) -> MutexGuard<'_, VecDeque<Event>> {
        lock(&self.shared.taken)
    }

    /// Takes events from the state.
    fn refill(&self, taken: &mut VecDeque<Event>) {
        let limits = self.shared.limits;
        let mut state = self.state();
        state.taken_bytes = 0;
        if state.events.is_empty() && state.lost == 0 {
            state.taken = 0;
            state.clear_signal_if_done();
            return;
        }
        let most = (limits.events / TAKEN_PART).clamp(1, TAKEN);
        while taken.len() < most
            && state.taken_bytes <= limits.bytes / TAKEN_PART
            && let Some(event) = state.take()
        {
            state.taken_bytes += event.weight();
            taken.push_back(event);
        }
        state.taken = taken.len();
        self.after_taking(&state);
    }

    fn after_taking(&self, state: &State) {
        state.clear_signal_if_done();
        if !state.is_empty() && state.waiting > 0 {
            self.shared.ready.notify_one();
        }
    }

    /// Takes the next event; waits for it for up to `timeout`, or without limit.
    ///
    /// # Errors
    /// [`NoEvent::TimedOut`], or [`NoEvent::Closed`] once the node is down or the caster closed
    /// and the queue is empty.
    pub fn next_timeout(&self, timeout: Option<Duration>) -> Result<Event, NoEvent> {
        self.next_or_interrupt(timeout, self.interrupts())
    }

    /// Number of calls of [`EventSource::interrupt`].
    pub fn interrupts(&self) -> u32 {
        self.shared.interrupts.load(Ordering::SeqCst)
    }

    /// Ends the present waits of all threads for events and suspended messages. A thread that reads
    /// [`EventSource::interrupts`] before it checks a condition, and then waits by
    /// [`EventSource::next_or_interrupt`], misses no interrupt that follows a change of the condition.
    pub fn interrupt(&self) {
        if self.is_forked() {
            return;
        }
        self.shared.interrupts.fetch_add(1, Ordering::SeqCst);
        // Under the lock, so that no thread is between its check and its wait.
        let led = self.state().led;
        self.shared.ready.notify_all();
        self.shared.transit_ready.notify_all();
        if led && let Some(link) = self.link().and_then(|(_, link)| link.upgrade()) {
            link.interrupt();
        }
    }

    /// As [`EventSource::next_timeout`], but also ends with [`NoEvent::TimedOut`] once
    /// [`EventSource::interrupts`] differs from this number.
    ///
    /// # Errors
    /// As [`EventSource::next_timeout`].
    pub fn next_or_interrupt(
        &self,
        timeout: Option<Duration>,
        interrupts: u32,
    ) -> Result<Event, NoEvent> {
        let is_interrupted = || self.interrupts() != interrupts;
        let mut left = timeout;
        if self.is_forked() {
            return Err(NoEvent::Forked);
        }
        loop {
            if let Some(event) = self.try_next() {
                return Ok(event);
            }
            let mut state = self.state();
            if !state.is_empty() || state.lost > 0 {
                continue;
            }
            if !state.open {
                return Err(NoEvent::Closed);
            }
            if left == Some(Duration::ZERO) || is_interrupted() {
                return Err(NoEvent::TimedOut);
            }
            let start = super::clock::monotonic();
            drop(state);
            if self.lead(left.map(|wait| start + wait), &is_interrupted) {
                left = left.map(|wait| wait.saturating_sub(super::clock::monotonic() - start));
                continue;
            }
            state = self.state();
            if !state.is_empty() || state.lost > 0 || !state.open || is_interrupted() {
                continue;
            }
            state.waiting += 1;
            state = wait(&self.shared.ready, state, left);
            state.waiting -= 1;
            drop(state);
            left = left.map(|wait| wait.saturating_sub(super::clock::monotonic() - start));
        }
    }

    /// Receives on this thread until there is an event, or until then.
    fn lead(&self, until: Option<Duration>, is_interrupted: &dyn Fn() -> bool) -> bool {
        let links = || self.shared.links.load(Ordering::SeqCst);
        let before = links();
        let led = self.with_link(|link| {
            self.state().led = true;
            // Also for other endpoints of the network: not any more once this one has closed.
            let led =
                link.lead(until, &|| self.has_something() || is_interrupted() || links() != before);
            self.state().led = false;
            led
        });
        led.unwrap_or(false)
    }

    /// Hands reception over to an event loop; to be called whenever the waker has made it take events.
    /// If this returns true, the core's thread does not receive until 2 ms pass without an event
    /// from [`EventSource::take_turn`], so a slow program does not delay heartbeats. It returns false
    /// if the last call was longer ago than that, if several endpoints share the network, if there
    /// are two sockets, with the option `spin`, or while the core coalesces datagrams.
    pub fn hand_over_turns(&self) -> bool {
        self.with_link(|link| link.hand_over()).unwrap_or(false)
    }

    /// Receives datagrams on this thread without waiting, unless there are events already. To be called
    /// when [`EventSource::turn_fd`] is readable. May call the waker on this thread.
    pub fn take_turn(&self) -> Turn {
        self.with_link(|link| link.take_turn(&|| self.has_something())).unwrap_or(Turn::Refused)
    }

    /// A descriptor that is readable when a turn is due: for `epoll` and event loops. Do not read from
    /// it and do not close it. It is valid until the node goes down or the caster is closed.
    /// `None` if there is no such descriptor.
    #[cfg(unix)]
    pub fn turn_fd(&self) -> Option<std::os::fd::RawFd> {
        self.with_link(|link| link.turn_fd()).flatten()
    }

    fn has_something(&self) -> bool {
        let state = self.state();
        !state.is_empty() || state.lost > 0 || !state.open
    }

    /// `None` if there is no link, or another thread leads.
    fn with_link<T>(&self, work: impl FnOnce(&dyn Link) -> T) -> Option<T> {
        if self.is_forked() {
            return None;
        }
        let before = self.shared.links.load(Ordering::SeqCst);
        let (leader, link) = self.link()?;
        let _leads = try_lock(&leader)?;
        let _held = lock(&self.shared.held);
        // If it has been replaced, `set_link` does not wait for this thread.
        if self.shared.links.load(Ordering::SeqCst) != before {
            return None;
        }
        Some(work(&*link.upgrade()?))
    }

    fn link(&self) -> Option<(Leader, Weak<dyn Link>)> {
        read(&self.shared.link).clone()
    }

    /// Sets the link that events come from. Afterwards no thread holds the previous one.
    pub(super) fn set_link(&self, link: Option<&Arc<dyn Link>>) {
        let link = link.and_then(|link| Some((link.leader()?, Arc::downgrade(link))));
        let before = std::mem::replace(&mut *write(&self.shared.link), link);
        self.shared.links.fetch_add(1, Ordering::SeqCst);
        if let Some((_, link)) = before
            && !on_core_thread()
        {
            // A thread that leads by it stops, although other endpoints of the network go on.
            if let Some(link) = link.upgrade() {
                link.interrupt();
            }
            drop(lock(&self.shared.held));
        }
    }

    /// Returns whether events may still come.
    pub fn is_open(&self) -> bool {
        !self.is_forked() && self.state().open
    }

    /// The number of events that wait.
    pub fn len(&self) -> usize {
        if self.is_forked() {
            return 0;
        }
        self.taken().len() + self.state().events.len()
    }

    /// Returns whether no event waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A file descriptor that is readable while there are events: for `poll`, `epoll` and event
    /// loops. Do not read from it and do not close it; it is valid as long as the event source.
    ///
    /// # Errors
    /// If the system has no more descriptors, or the calling process is a forked child.
    #[cfg(unix)]
    pub fn raw_fd(&self) -> io::Result<std::os::fd::RawFd> {
        self.signal().map(|signal| std::os::fd::AsRawFd::as_raw_fd(&signal.as_fd()))
    }

    /// Makes the descriptor readable if the system has refused that when an event came.
    pub(super) fn set_owed_signal(&self) {
        if let Some(signal) = &self.state().signal {
            signal.set_if_owed();
        }
    }

    #[cfg(unix)]
    pub(super) fn signal(&self) -> io::Result<Arc<Signal>> {
        if self.is_forked() {
            return Err(io::Error::other(NoEvent::Forked));
        }
        let mut state = self.state();
        if let Some(signal) = &state.signal {
            return Ok(signal.clone());
        }
        let signal = Arc::new(Signal::new()?);
        if !state.is_done() {
            signal.set();
        }
        state.signal = Some(signal.clone());
        Ok(signal)
    }
}

impl fmt::Debug for EventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventSource({} waiting)", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Error, ErrorCode};
    use crate::message::Message;
    use crate::peer::NodeId;
    use crate::peer::Peer;
    use crate::protocol::event::{Changed, DownReason};

    fn queue(events: usize) -> EventSource {
        let queue = EventSource::new(
            Arc::default(),
            EndpointLimits { events, bytes: 1000, datagrams_per_second: 0 },
        );
        queue.open();
        queue
    }

    fn peer(id: &str) -> Peer {
        Peer {
            id: NodeId::new(id).unwrap(),
            address: [127, 0, 0, 1].into(),
            addresses: Default::default(),
            first_seen: 0,
            last_seen: 0,
            meta: None,
            suspect: false,
            loss_per_mille: 0,
        }
    }

    fn up(id: &str) -> Event {
        Event::Up(peer(id))
    }

    fn down(id: &str) -> Event {
        Event::Down { peer: peer(id), reason: DownReason::Timeout }
    }

    fn update(id: &str) -> Event {
        Event::Update { peer: peer(id), changed: Changed { meta: true, address: false } }
    }

    fn message(size: usize) -> Event {
        Event::Message { message: Message::bytes(vec![0; size]), peer: peer("m") }
    }

    fn rest(queue: &EventSource) -> Vec<String> {
        let name = |event: Event| match event.lifecycle_of() {
            Some(id) => format!("{} {id}", event.name()),
            None => event.name().to_owned(),
        };
        std::iter::from_fn(|| queue.try_next()).map(name).collect()
    }

    #[test]
    fn messages_are_dropped_when_full_and_the_loss_is_reported_once() {
        let queue = queue(2);
        for _ in 0..5 {
            queue.push(message(1));
        }
        assert_eq!(rest(&queue), ["message", "message", "error"]);
        assert_eq!(queue.shared.counters.snapshot().events_lost, 3);
        queue.push(message(1));
        assert_eq!(rest(&queue), ["message"]);
    }

    #[cfg(unix)]
    #[test]
    fn a_loss_that_is_still_to_be_reported_makes_a_new_descriptor_readable() {
        use std::sync::atomic::{AtomicBool, Ordering};
        let queue = queue(2);
        for _ in 0..5 {
            queue.push(message(1));
        }
        assert_eq!(queue.take_batch(&mut Vec::new(), 2), 2);
        let signal = queue.signal().unwrap();
        let owned = signal.as_fd().try_clone_to_owned().unwrap();
        let mut stream = std::os::unix::net::UnixStream::from(owned);
        assert!(io::Read::read(&mut stream, &mut [0]).is_ok());
        let woken = Arc::new(AtomicBool::new(false));
        let seen = woken.clone();
        queue.set_waker(Some(Arc::new(move || seen.store(true, Ordering::Relaxed))));
        assert!(woken.load(Ordering::Relaxed));
        assert_eq!(rest(&queue), ["error"]);
    }

    #[test]
    fn a_full_queue_accepts_a_bounded_number_of_notices() {
        let queue = queue(1);
        queue.push(message(1));
        for _ in 0..1000 {
            queue.push(Event::Isolated);
            queue.push(Event::Rejoined);
        }
        assert_eq!(queue.len(), 1 + MAX_NOTICES);
        assert_eq!(rest(&queue)[..3], ["message", "isolated", "rejoined"]);
    }

    #[test]
    fn errors_of_one_kind_are_reported_once_a_second() {
        let queue = queue(10);
        for _ in 0..5 {
            queue.push(Event::Error(Error::new(ErrorCode::Io, "again")));
        }
        queue.push(Event::Error(Error::new(ErrorCode::Internal, "another kind")));
        assert_eq!(rest(&queue), ["error", "error"]);
        assert_eq!(queue.shared.counters.snapshot().errors_suppressed, 4);
        let mut state = State::default();
        let second = Duration::from_secs;
        assert!(state.is_time_for(ErrorCode::Io, second(5)));
        assert!(!state.is_time_for(ErrorCode::Io, second(5)));
        assert!(state.is_time_for(ErrorCode::Io, second(6)));
    }

    #[test]
    fn the_bound_in_bytes_holds() {
        let queue = queue(100);
        for _ in 0..5 {
            queue.push(message(600));
        }
        assert_eq!(rest(&queue), ["message", "message", "error"]);
    }

    #[test]
    fn up_and_down_survive_a_full_queue_and_alternate() {
        let queue = queue(1);
        queue.push(message(1));
        for event in [up("a"), update("a"), down("a"), up("a"), down("b"), up("b"), down("b")] {
            queue.push(event);
        }
        assert_eq!(rest(&queue), ["message", "up a", "down b"]);
        assert!(queue.state().lifecycle.is_empty());
    }

    #[test]
    fn a_flapping_crowd_takes_bounded_memory() {
        let queue = queue(4);
        for round in 0..1000 {
            for id in ["a", "b", "c"] {
                queue.push(if round % 2 == 0 { up(id) } else { down(id) });
                queue.push(update("known"));
            }
        }
        assert!(queue.len() < 12, "{}", queue.len());
    }

    #[test]
    fn closing_ends_the_wait_after_what_is_left() {
        let queue = queue(4);
        queue.push(up("a"));
        queue.close();
        assert_eq!(queue.next_timeout(None).unwrap().name(), "up");
        assert_eq!(queue.next_timeout(None).unwrap_err(), NoEvent::Closed);
        queue.open();
        let wait = Some(Duration::from_millis(1));
        assert_eq!(queue.next_timeout(wait).unwrap_err(), NoEvent::TimedOut);
    }

    #[test]
    fn waking_is_due_only_when_the_queue_was_empty() {
        let queue = queue(10);
        assert!(queue.push(up("a")));
        assert!(!queue.push(up("b")));
        rest(&queue);
        assert!(queue.push(up("c")));
    }

    #[cfg(unix)]
    #[test]
    fn the_descriptor_is_readable_exactly_while_there_are_events() {
        use std::os::fd::BorrowedFd;
        let queue = queue(2);
        queue.push(up("a"));
        let fd = queue.raw_fd().unwrap();
        let readable = || {
            // SAFETY: the queue owns the descriptor and outlives this borrow.
            let fd = unsafe { BorrowedFd::borrow_raw(fd) };
            let mut stream = std::os::unix::net::UnixStream::from(fd.try_clone_to_owned().unwrap());
            let mut byte = [0];
            match io::Read::read(&mut stream, &mut byte) {
                Ok(n) => {
                    queue.state().signal.as_ref().unwrap().set();
                    n == 1
                }
                Err(_) => false,
            }
        };
        assert!(readable());
        rest(&queue);
        assert!(!readable());
        queue.push(up("b"));
        queue.push(up("c"));
        queue.try_next();
        assert!(readable());
        queue.try_next();
        assert!(!readable());
        // The error that reports the loss is an event like any other.
        for _ in 0..5 {
            queue.push(message(1));
        }
        assert_eq!(rest(&queue), ["message", "message", "error"]);
        assert!(!readable());
    }

    #[cfg(unix)]
    #[test]
    fn an_up_and_a_down_that_cancel_out_leave_the_descriptor_unreadable() {
        let queue = queue(1);
        let fd = queue.raw_fd().unwrap();
        let readable = || {
            let mut poll = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
            // SAFETY: one pollfd, which lives for the length of the call.
            unsafe { libc::poll(&mut poll, 1, 0) == 1 }
        };
        assert!(!readable());
        queue.push(up("d"));
        assert!(readable());
        queue.push(down("d"));
        assert!(queue.is_empty() && !readable());
        queue.push(up("d"));
        assert!(readable());
    }

    fn suspended(size: usize) -> Event {
        use crate::middleware::HostStage;
        use crate::middleware::pipeline::Pipeline;
        let stage = HostStage { name: "x".into(), token: 0, tx: true, rx: false };
        Event::HostStage(Box::new(Transit {
            pipeline: Pipeline::default().with(stage.into()).unwrap().into(),
            at: 0,
            direction: crate::transit::Direction::Tx,
            message: Message::bytes(vec![0; size]),
            remote: None,
            to: crate::protocol::destination::Destination::Group,
            hold: None,
            counters: None,
        }))
    }

    #[test]
    fn suspended_messages_come_alone_if_that_is_wanted_and_have_the_bounds_for_themselves() {
        let queue = queue(2);
        queue.push(suspended(1));
        assert_eq!(rest(&queue), ["stage"], "by default they are events");
        queue.set_transits_apart(true);
        for _ in 0..3 {
            queue.push(message(1));
        }
        assert!(queue.push(suspended(1)), "waking is due for the first one");
        assert!(!queue.push(suspended(600)));
        assert!(!queue.push(suspended(1)), "the third one is dropped");
        let mut taken = Vec::new();
        assert_eq!(queue.take_transits(&mut taken, 1), 1);
        assert_eq!(queue.take_transits(&mut taken, 9), 1);
        assert_eq!(taken[1].message().data().len(), 600);
        assert_eq!(rest(&queue), ["message", "message", "error"]);
        assert_eq!(queue.shared.counters.snapshot().events_lost, 2);
        queue.push(suspended(1000));
        queue.push(suspended(1));
        assert_eq!(queue.take_transits(&mut taken, 9), 1, "the bound in bytes holds");
        assert!(queue.push(suspended(1)));
    }

    #[test]
    fn waiting_for_a_suspended_message_ends_with_one_in_time_or_with_the_queue() {
        let queue = queue(2);
        queue.set_transits_apart(true);
        queue.push(message(1));
        let wait = Some(Duration::from_millis(1));
        assert_eq!(queue.next_transit(wait).unwrap_err(), NoEvent::TimedOut);
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| {
                let first = queue.next_transit(None).map(|transit| transit.message().data().len());
                (first, queue.next_transit(None).unwrap_err())
            });
            queue.push(suspended(7));
            queue.close();
            assert_eq!(waiting.join().unwrap(), (Ok(7), NoEvent::Closed));
        });
    }
}
