//! Waking the event loop, and handing it events in batches.

use caster_core::host::{Batch, Batches, EventSource, Transit, Waker};
use napi::Status;
use napi::bindgen_prelude::{Buffer, BufferSlice, Either, Env, Function, Latin1String};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;
use serde_json::value::RawValue;
use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Weak: it does not keep the process alive. Without payload, and at most one call waits.
type Wake = ThreadsafeFunction<(), (), (), Status, false, true, 1>;

/// How somebody is told that there are events to drain.
pub enum Bell {
    /// The function given to `start` is called on the event loop.
    Loop,
    /// Events of a network in memory: whoever lets time pass there looks after them.
    Virtual(Waker),
}

/// The event loop's end of a queue of events.
pub struct Events {
    batches: RefCell<Batches>,
    bell: Bell,
    /// Whether a wake is on its way, so that no second one is needed.
    armed: Arc<AtomicBool>,
    wake: RefCell<Option<Waker>>,
}

impl Events {
    pub fn new(source: EventSource, bell: Bell) -> Self {
        Self {
            batches: RefCell::new(Batches::new(source)),
            bell,
            armed: Arc::default(),
            wake: RefCell::default(),
        }
    }

    /// From now on `wake` is called on the event loop when there are events to drain.
    pub fn start(&self, wake: &Function<'_, (), ()>) -> napi::Result<()> {
        let ring: Waker = match &self.bell {
            Bell::Virtual(ring) => ring.clone(),
            Bell::Loop => {
                let wake: Wake = wake
                    .build_threadsafe_function::<()>()
                    .weak::<true>()
                    .callee_handled::<false>()
                    .max_queue_size::<1>()
                    .build()?;
                Arc::new(move || {
                    // It fails when the environment is going away, or when a call waits already.
                    let _ = wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
                })
            }
        };
        let armed = self.armed.clone();
        armed.store(false, Ordering::Release);
        let mut batches = self.batches.borrow_mut();
        batches.clear();
        let wake: Waker = Arc::new(move || {
            if !armed.swap(true, Ordering::AcqRel) {
                ring();
            }
        });
        *self.wake.borrow_mut() = Some(wake.clone());
        batches.source().set_waker(Some(wake));
        Ok(())
    }

    /// No more waking; what waits is thrown away.
    pub fn stop(&self) {
        let mut batches = self.batches.borrow_mut();
        batches.source().set_waker(None);
        self.wake.take();
        batches.clear();
    }

    pub fn drain(&self, env: &Env, limit: u32) -> napi::Result<Drained> {
        self.armed.store(false, Ordering::Release);
        let Batch { json, bytes, transits, more } = self.batches.borrow_mut().take(limit as usize);
        // What is left has its turn after other things on the event loop.
        if let Some(wake) = self.wake.borrow().as_ref().filter(|_| more) {
            wake();
        }
        let json = text(json);
        if bytes.is_empty() && transits.is_empty() {
            return Ok(Drained::A(json));
        }
        let transits = transits.into_iter().map(NativeTransit::new).collect();
        Ok(Drained::B(More { json, bytes: buffer(env, bytes)?, transits }))
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.batches.borrow().source().set_waker(None);
    }
}

/// Text for JavaScript, which takes ASCII several times faster than UTF-8.
type Text = Either<Latin1String, String>;

fn text(text: String) -> Text {
    if text.is_ascii() { Either::A(text.into()) } else { Either::B(text) }
}

/// To copy as much takes less time than to lend it to JavaScript.
const COPIED: usize = 65_536;

fn buffer(env: &Env, bytes: Vec<u8>) -> napi::Result<Option<Buffer>> {
    Ok(match bytes.len() {
        0 => None,
        1..=COPIED => Some(BufferSlice::copy_from(env, bytes)?.into_buffer(env)?),
        _ => Some(bytes.into()),
    })
}

/// Many events at once, see `caster_core::host::Batch`: the JSON text if that is all, which it
/// nearly always is.
pub type Drained = Either<Text, More>;

#[napi(object, object_from_js = false)]
pub struct More {
    pub json: Text,
    pub bytes: Option<Buffer>,
    pub transits: Vec<NativeTransit>,
}

/// A message that waits for the chain that JavaScript runs.
#[napi]
pub struct NativeTransit(Option<Box<Transit>>);

impl NativeTransit {
    pub fn new(transit: Box<Transit>) -> Self {
        Self(Some(transit))
    }

    /// Takes the message out, once.
    pub fn take(&mut self) -> napi::Result<Box<Transit>> {
        self.0.take().ok_or_else(|| napi::Error::from_reason("the message has already gone on"))
    }
}

#[napi]
impl NativeTransit {
    /// The message as JSON text, or null if it is bytes or has gone on.
    #[napi(getter, catch_unwind)]
    pub fn json(&self) -> Option<&str> {
        self.0.as_ref()?.message().as_json()
    }
}

/// The elements of a JSON array, each as JSON text.
#[napi(catch_unwind)]
pub fn split_array(json: String) -> napi::Result<Vec<String>> {
    let elements: Vec<Box<RawValue>> =
        serde_json::from_str(&json).map_err(|error| napi::Error::from_reason(error.to_string()))?;
    Ok(elements.into_iter().map(|element| element.get().to_owned()).collect())
}
