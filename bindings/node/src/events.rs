//! Waking the event loop, and handing it events in batches.

use caster_core::host::{Batch, EventSource, Transit};
use napi::Status;
use napi::bindgen_prelude::{Buffer, Function};
use napi::threadsafe_function::{ThreadsafeFunction, ThreadsafeFunctionCallMode};
use napi_derive::napi;
use serde_json::value::RawValue;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Weak: it does not keep the process alive. Without payload, and at most one call waits.
type Wake = ThreadsafeFunction<(), (), (), Status, false, true, 1>;

/// The event loop's end of a queue of events.
pub struct Events {
    source: EventSource,
    /// Whether a wake is on its way, so that no second one is needed.
    armed: Arc<AtomicBool>,
}

impl Events {
    pub fn new(source: EventSource) -> Self {
        Self { source, armed: Arc::default() }
    }

    /// From now on `wake` is called on the event loop when there are events to drain.
    pub fn start(&self, wake: &Function<'_, (), ()>) -> napi::Result<()> {
        let wake: Wake = wake
            .build_threadsafe_function::<()>()
            .weak::<true>()
            .callee_handled::<false>()
            .max_queue_size::<1>()
            .build()?;
        let armed = self.armed.clone();
        armed.store(false, Ordering::Release);
        self.source.set_waker(Some(Arc::new(move || {
            if !armed.swap(true, Ordering::AcqRel) {
                // It fails when the environment is going away, or when a call waits already.
                let _ = wake.call((), ThreadsafeFunctionCallMode::NonBlocking);
            }
        })));
        Ok(())
    }

    /// No more waking; what waits is thrown away.
    pub fn stop(&self) {
        self.source.set_waker(None);
        while self.source.try_next().is_some() {}
    }

    pub fn drain(&self, limit: u32) -> Drained {
        self.armed.store(false, Ordering::Release);
        let batch = Batch::take(&self.source, limit as usize);
        Drained {
            count: batch.count as u32,
            json: batch.json,
            bytes: batch.bytes.into(),
            transits: batch.transits.into_iter().map(NativeTransit::new).collect(),
        }
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.source.set_waker(None);
    }
}

/// Many events at once: see `caster_core::host::Batch`.
#[napi(object, object_from_js = false)]
pub struct Drained {
    pub count: u32,
    pub json: String,
    pub bytes: Buffer,
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
