//! How events reach the program: through callbacks on a thread of their own, or by polling.
//!
//! The dispatcher thread of a handle starts with the first callback and ends when the handle is
//! freed. It never holds a lock while code of the program runs, so callbacks may do everything,
//! freeing their own handle included.

use crate::args::into_raw;
use crate::callback::{UserData, foreign};
use crate::event::{Event, KINDS};
use crate::handle::Handle;
use crate::table::{self, Pinned};
use caster_core::host::EventSource;
use caster_core::{Error, ErrorCode, NoEvent, Result};
use std::cell::Cell;
use std::ffi::{c_int, c_void};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

thread_local! {
    /// Set on dispatcher threads. They never wait for one another.
    static IS_DISPATCHER: Cell<bool> = const { Cell::new(false) };
}

pub(crate) type Callback<H> =
    unsafe extern "C-unwind" fn(handle: *mut H, event: *const Event, user_data: *mut c_void);

/// A callback with its user data, whose drop hook runs with the last reference to this.
struct Handler<H> {
    call: Callback<H>,
    data: UserData,
}

/// The delivery of the events of one handle.
pub(crate) struct Delivery<H: Handle> {
    source: EventSource,
    mode: Mutex<Mode>,
    shared: Arc<Shared<H>>,
}

/// The first call that asks for events decides how they are delivered.
enum Mode {
    Undecided,
    Polled,
    Dispatched(JoinHandle<()>),
    Freed,
}

fn freed() -> Error {
    Error::new(ErrorCode::InvalidArgument, "the handle is being freed")
}

struct Shared<H: Handle> {
    state: Mutex<State<H>>,
    changed: Condvar,
}

struct State<H: Handle> {
    handlers: [Option<Arc<Handler<H>>>; KINDS],
    /// There may be events to take.
    awake: bool,
    stop: bool,
    /// The handle, if the dispatcher frees it, having ended.
    frees: Option<Pinned<H>>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<H: Handle> Delivery<H> {
    pub fn new(source: EventSource) -> Self {
        let state =
            State { handlers: [const { None }; KINDS], awake: true, stop: false, frees: None };
        let shared = Shared { state: Mutex::new(state), changed: Condvar::new() };
        Self { source, mode: Mutex::new(Mode::Undecided), shared: Arc::new(shared) }
    }

    /// Sets or removes the callback for one type of event.
    pub fn on(
        &self,
        handle: *mut H,
        kind: c_int,
        call: Option<Callback<H>>,
        data: UserData,
    ) -> Result<()> {
        self.check_process()?;
        // `handler` and `old` are dropped after the guard below: hooks run under no lock.
        let handler = call.map(|call| Arc::new(Handler { call, data }));
        let old;
        let mut mode = lock(&self.mode);
        match *mode {
            Mode::Polled => {
                let text = "the events are polled; a handle has either callbacks or polling";
                return Err(Error::new(ErrorCode::EventsTaken, text));
            }
            Mode::Freed => return Err(freed()),
            Mode::Undecided if handler.is_some() => *mode = Mode::Dispatched(self.start(handle)?),
            _ => {}
        }
        let slot = (kind - 1) as usize;
        old = std::mem::replace(&mut lock(&self.shared.state).handlers[slot], handler);
        drop(mode);
        drop(old);
        Ok(())
    }

    fn start(&self, handle: *mut H) -> Result<JoinHandle<()>> {
        let (shared, source) = (self.shared.clone(), self.source.clone());
        let handle = HandlePointer(handle);
        let run: Box<dyn FnOnce() + Send> = Box::new(move || {
            IS_DISPATCHER.set(true);
            shared.run(&source, handle);
        });
        let spawned = thread::Builder::new().name("caster-events".into()).spawn(run);
        let started = spawned.map_err(|error| {
            let text = format!("cannot start the thread that calls callbacks: {error}");
            Error::new(ErrorCode::Io, text)
        })?;
        let waking = Arc::downgrade(&self.shared);
        self.source.set_waker(Some(Arc::new(move || {
            if let Some(shared) = waking.upgrade() {
                lock(&shared.state).awake = true;
                shared.changed.notify_one();
            }
        })));
        Ok(started)
    }

    /// The error in a forked child, where a thread of the parent may hold the locks forever.
    pub fn check_process(&self) -> Result<()> {
        self.source.check_process()
    }

    pub fn poll_mode(&self) -> Result<()> {
        self.check_process()?;
        let mut mode = lock(&self.mode);
        match *mode {
            Mode::Dispatched(_) => {
                let text = "the events go to callbacks; a handle has either callbacks or polling";
                Err(Error::new(ErrorCode::EventsTaken, text))
            }
            Mode::Freed => Err(freed()),
            Mode::Undecided | Mode::Polled => {
                *mode = Mode::Polled;
                Ok(())
            }
        }
    }

    #[cfg(unix)]
    pub fn fd(&self) -> Result<c_int> {
        self.poll_mode()?;
        self.source.raw_fd().map_err(|error| {
            Error::new(ErrorCode::Io, format!("cannot open a file descriptor: {error}"))
        })
    }

    #[cfg(not(unix))]
    pub fn fd(&self) -> Result<c_int> {
        Err(Error::new(ErrorCode::Io, "there are no file descriptors on this system"))
    }

    /// Tells the dispatcher to end, and to free the handle if it is given. `None` if there is no dispatcher.
    fn stop(&self, frees: Option<Pinned<H>>) -> Option<JoinHandle<()>> {
        let Mode::Dispatched(thread) = std::mem::replace(&mut *lock(&self.mode), Mode::Freed)
        else {
            return None;
        };
        self.source.set_waker(None);
        let mut state = lock(&self.shared.state);
        state.stop = true;
        state.frees = frees;
        drop(state);
        self.shared.changed.notify_one();
        Some(thread)
    }
}

struct HandlePointer<H>(*mut H);

// SAFETY: handles are made to be used from any thread.
unsafe impl<H> Send for HandlePointer<H> {}

impl<H: Handle> Shared<H> {
    fn run(&self, source: &EventSource, handle: HandlePointer<H>) {
        let HandlePointer(handle) = handle;
        while self.wait() {
            while !lock(&self.state).stop
                && let Some(event) = source.try_next()
            {
                if let Some(event) = Event::new(event, H::DATAGRAM) {
                    self.deliver(handle, &event);
                }
            }
        }
        let mut state = lock(&self.state);
        let handlers = std::mem::replace(&mut state.handlers, [const { None }; KINDS]);
        let frees = state.frees.take();
        drop(state);
        drop(handlers);
        if let Some(handle) = frees {
            end(&handle);
        }
    }

    /// Waits until there may be events; false when it is time to end.
    fn wait(&self) -> bool {
        let mut state = lock(&self.state);
        while !state.awake && !state.stop {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.awake = false;
        !state.stop
    }

    fn deliver(&self, handle: *mut H, event: &Event) {
        let slot = (event.kind() - 1) as usize;
        let handler = lock(&self.state).handlers[slot].clone();
        if let Some(handler) = handler {
            let Handler { call, data } = &*handler;
            // SAFETY: the program registered the function for this, and may use the handle until this
            // thread has ended.
            foreign(|| unsafe { call(handle, event, data.pointer()) });
        }
    }
}

fn no_event(reason: NoEvent) -> Error {
    let code = match reason {
        NoEvent::Forked => ErrorCode::Forked,
        _ => ErrorCode::TimedOut,
    };
    Error::new(code, reason.to_string())
}

/// Takes the next event of a handle.
pub(crate) fn poll<H: Handle>(handle: &H, timeout_ms: c_int) -> Result<Event> {
    handle.delivery().poll_mode()?;
    let timeout = u64::try_from(timeout_ms).ok().map(Duration::from_millis);
    loop {
        match handle.next_event(timeout) {
            Ok(event) => {
                if let Some(event) = Event::new(event, H::DATAGRAM) {
                    return Ok(event);
                }
            }
            Err(NoEvent::Closed) => return Err(H::closed()),
            Err(error) => return Err(no_event(error)),
        }
    }
}

/// Takes the next event of a handle for the program, which frees it.
pub(crate) fn poll_one<H: Handle>(
    handle: &H,
    timeout_ms: c_int,
    event: &mut *mut Event,
) -> Result<()> {
    *event = into_raw(poll(handle, timeout_ms)?);
    Ok(())
}

/// Waits as [`poll`] does, then takes what else there is, up to the length of `to`. Returns how
/// many events there are.
pub(crate) fn poll_batch<H: Handle>(
    handle: &H,
    timeout_ms: c_int,
    to: &mut [*mut Event],
) -> Result<usize> {
    let Some(most) = to.len().checked_sub(1) else {
        let text = "capacity is 0; there has to be room for one event at least";
        return Err(Error::new(ErrorCode::InvalidArgument, text));
    };
    let first = poll(handle, timeout_ms)?;
    let mut more = Vec::new();
    handle.delivery().source.take_batch(&mut more, most);
    let more = more.into_iter().filter_map(|event| Event::new(event, H::DATAGRAM));
    let mut count = 0;
    for (to, event) in to.iter_mut().zip(std::iter::once(first).chain(more)) {
        *to = into_raw(event);
        count += 1;
    }
    Ok(count)
}

/// Frees a handle. Outside of callbacks: when this returns, no callback runs and all their drop hooks
/// have run. In a callback, of any handle: it is shut down at once, and the rest happens when
/// its own dispatcher is back from its callback. Other threads may be in calls on it: the last one to return
/// releases it.
///
/// # Errors
/// As [`table::pin`]; also if it is being freed already.
pub(crate) fn free<H: Handle>(handle: *mut H) -> Result<()> {
    let handle = table::pin(handle)?;
    if handle.delivery().source.is_forked() {
        // The dispatcher does not exist here, and its locks may be held forever. The child keeps its
        // copy of the handle until it ends.
        return Ok(());
    }
    handle.begin_free()?;
    let inside = IS_DISPATCHER.get();
    if inside {
        handle.shut_down();
    }
    match handle.delivery().stop(inside.then(|| handle.clone())) {
        Some(_) if inside => return Ok(()),
        // The thread contains the panics of callbacks; it has none of its own.
        Some(thread) => drop(thread.join()),
        None => {}
    }
    end(&handle);
    Ok(())
}

/// Ends a handle without a dispatcher. A thread that waits in a poll returns.
fn end<H: Handle>(handle: &Pinned<H>) {
    handle.close();
    handle.shut_down();
}
