//! Wakes the event loop and hands it events in batches.

use crate::readable::Readable;
use crate::transit::NativeTransit;
use caster_core::host::{Batch, Batches, EventSource, Turn, Waker};
use napi::JsString;
use napi::Status;
use napi::bindgen_prelude::{BufferSlice, Env, Function, FunctionRef};
use napi::sys;
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;
use serde_json::value::RawValue;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Weak: it keeps the process alive only where that is asked for. It has no payload, and at most one call
/// waits.
type Wake = ThreadsafeFunction<(), (), (), Status, false, true, 1>;

/// How JavaScript is informed that there are events to drain.
pub enum Bell {
    /// The function given to `start` is called on the event loop.
    Loop,
    /// A network in memory: the thread that advances its clock drains the events.
    Virtual(Waker),
}

/// The end of a queue of events on the event loop.
pub struct Events {
    bell: Bell,
    queue: Rc<Queue>,
}

struct Queue {
    batches: RefCell<Batches>,
    /// Whether a wake is pending, so that no second one is needed.
    armed: Arc<AtomicBool>,
    wake: RefCell<Option<Waker>>,
    /// The same function, which can keep the process alive. None on a network in memory.
    alive: RefCell<Option<Arc<Wake>>>,
    /// The function of JavaScript to call.
    function: RefCell<Option<Rc<FunctionRef<(), ()>>>>,
    /// The descriptor that the event loop watches in order to receive by itself.
    turns: RefCell<Option<Readable>>,
    /// Whether the event loop can receive by itself.
    can_receive: Cell<bool>,
    /// Whether the event loop receives by itself.
    receives: Cell<bool>,
    /// Whether there may be more to receive without a notification.
    more: Cell<bool>,
    /// Bytes and transits of the events drained last.
    left: RefCell<Batch>,
}

impl Events {
    pub fn new(source: EventSource, bell: Bell) -> Self {
        let queue = Queue {
            batches: RefCell::new(Batches::new(source)),
            armed: Arc::default(),
            wake: RefCell::default(),
            alive: RefCell::default(),
            function: RefCell::default(),
            turns: RefCell::default(),
            can_receive: Cell::default(),
            receives: Cell::default(),
            more: Cell::default(),
            left: RefCell::default(),
        };
        Self { bell, queue: Rc::new(queue) }
    }

    /// From now on `wake` is called on the event loop when there are events to drain, and when the socket
    /// is closed.
    pub fn start(&self, wake: &Function<'_, (), ()>) -> napi::Result<()> {
        *self.queue.function.borrow_mut() = Some(Rc::new(wake.create_ref()?));
        let ring: Waker = match &self.bell {
            Bell::Virtual(ring) => ring.clone(),
            Bell::Loop => {
                let wake: Wake = wake
                    .build_threadsafe_function::<()>()
                    .weak::<true>()
                    .callee_handled::<false>()
                    .max_queue_size::<1>()
                    .build()?;
                let wake = Arc::new(wake);
                *self.queue.alive.borrow_mut() = Some(wake.clone());
                Arc::new(move || {
                    // It fails when the environment is ending, or when a call waits already.
                    let _ = wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
                })
            }
        };
        let armed = self.queue.armed.clone();
        armed.store(false, Ordering::Release);
        let can_receive = matches!(self.bell, Bell::Loop) && HAS_LIBUV.load(Ordering::Relaxed);
        self.queue.can_receive.set(can_receive);
        let mut batches = self.queue.batches.borrow_mut();
        batches.clear();
        let wake: Waker = Arc::new(move || {
            if !armed.swap(true, Ordering::AcqRel) {
                ring();
            }
        });
        *self.queue.wake.borrow_mut() = Some(wake.clone());
        batches.source().set_waker(Some(wake));
        Ok(())
    }

    /// Whether the process stays alive until `stop`. At first it does not.
    pub fn keep_alive(&self, env: &Env, keep: bool) {
        if let Some(wake) = &*self.queue.alive.borrow() {
            let change = if keep {
                sys::napi_ref_threadsafe_function
            } else {
                sys::napi_unref_threadsafe_function
            };
            // It fails only where the environment is ending.
            // SAFETY: this is the thread of `env`, and the function is not released before `wake` is dropped.
            let _ = unsafe { change(env.raw(), wake.raw()) };
        }
    }

    /// The event loop no longer receives. To be called before the node leaves or the caster closes.
    pub fn leave(&self) {
        self.queue.can_receive.set(false);
        self.queue.receives.set(false);
        self.queue.turns.take();
    }

    /// Stops waking and discards the events that wait.
    pub fn stop(&self) {
        self.leave();
        let mut batches = self.queue.batches.borrow_mut();
        batches.source().set_waker(None);
        self.queue.wake.take();
        self.queue.alive.take();
        self.queue.function.take();
        batches.clear();
    }

    /// Takes events: their JSON text, as `caster_core::host::Batch` describes it.
    pub fn drain<'env>(&self, env: &'env Env, limit: u32) -> napi::Result<JsString<'env>> {
        let mut batch = self.queue.take(limit as usize);
        // The rest is drained after other work of the event loop.
        if batch.more || self.queue.more.get() {
            self.queue.ring();
        }
        self.receive_here(env);
        let json = text(env, &batch.json);
        self.queue.batches.borrow_mut().reuse(std::mem::take(&mut batch.json));
        *self.queue.left.borrow_mut() = batch;
        json
    }

    /// The bytes that belong to the events drained last. Empty the second time.
    pub fn bytes<'env>(&self, env: &'env Env) -> napi::Result<BufferSlice<'env>> {
        let bytes = std::mem::take(&mut self.queue.left.borrow_mut().bytes);
        match bytes.len() {
            ..=COPIED => BufferSlice::copy_from(env, bytes),
            _ => BufferSlice::from_data(env, bytes),
        }
    }

    /// The transits that belong to the events drained last. Empty the second time.
    pub fn transits(&self) -> Vec<NativeTransit> {
        let transits = std::mem::take(&mut self.queue.left.borrow_mut().transits);
        transits.into_iter().map(NativeTransit::new).collect()
    }

    /// At a high rate of events the event loop receives by itself: then a datagram wakes one thread
    /// instead of two.
    fn receive_here(&self, env: &Env) {
        let queue = &self.queue;
        if !queue.can_receive.get() {
            return;
        }
        let batches = queue.batches.borrow();
        let source = batches.source();
        if !source.hand_over_turns() {
            queue.stop_receiving();
            return;
        }
        if queue.receives.get() {
            return;
        }
        let mut turns = queue.turns.borrow_mut();
        if turns.is_none()
            && let Some(function) = queue.function.borrow().clone()
        {
            let weak = Rc::downgrade(queue);
            let wanted = Box::new(move || weak.upgrade().is_some_and(|queue| queue.receive()));
            *turns = Readable::new(env, source, wanted, function);
        }
        let started = turns.as_ref().is_some_and(Readable::start);
        queue.receives.set(started);
        queue.can_receive.set(started);
    }
}

impl Queue {
    /// Receives. Returns whether there is something to drain.
    fn receive(&self) -> bool {
        self.take_turn();
        self.more.get() || !self.batches.borrow().source().is_empty()
    }

    fn take_turn(&self) {
        // No wake is needed meanwhile: this is the thread that drains.
        self.armed.store(true, Ordering::Release);
        let turn = self.batches.borrow().source().take_turn();
        self.armed.store(false, Ordering::Release);
        self.more.set(turn == Turn::More);
        if turn == Turn::Refused {
            self.stop_receiving();
        }
    }

    fn stop_receiving(&self) {
        if self.receives.replace(false)
            && let Some(turns) = &*self.turns.borrow()
        {
            turns.stop();
        }
    }

    fn take(&self, limit: usize) -> Batch {
        if self.more.get() && self.batches.borrow().source().is_empty() {
            self.take_turn();
        }
        self.armed.store(false, Ordering::Release);
        self.batches.borrow_mut().take(limit)
    }

    fn ring(&self) {
        if let Some(wake) = &*self.wake.borrow() {
            wake();
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.leave();
        self.queue.batches.borrow().source().set_waker(None);
    }
}

/// Whether libuv runs the event loops of this process.
static HAS_LIBUV: AtomicBool = AtomicBool::new(false);

/// Declares that libuv runs the event loops and that its functions are available.
#[napi(catch_unwind)]
pub fn use_libuv() {
    HAS_LIBUV.store(true, Ordering::Relaxed);
}

/// A string of JavaScript. V8 accepts ASCII several times faster than UTF-8.
fn text<'env>(env: &'env Env, text: &str) -> napi::Result<JsString<'env>> {
    if text.is_ascii() { env.create_string_latin1(text) } else { env.create_string(text) }
}

/// Up to this size, copying bytes takes less time than an external buffer.
const COPIED: usize = 65_536;

/// The elements of a JSON array, each as JSON text.
#[napi(catch_unwind)]
pub fn split_array(json: String) -> napi::Result<Vec<String>> {
    let elements: Vec<Box<RawValue>> =
        serde_json::from_str(&json).map_err(|error| napi::Error::from_reason(error.to_string()))?;
    Ok(elements.into_iter().map(|element| element.get().to_owned()).collect())
}
