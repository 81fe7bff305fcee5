//! The operations that nodes and casters have in common. node.rs and caster.rs export each of them
//! under two names.

use crate::args::{self, Texts};
use crate::callback::{DropFn, UserData};
use crate::dispatch::{Callback, Delivery};
use crate::middleware::{self, MiddlewareFn};
use crate::status::{Status, status};
use crate::table::{self, Kind};
use crate::text::c_string;
use caster_core::middleware::Stage;
use caster_core::{Error, JsText, Message, NoEvent, Result};
use std::ffi::{CString, c_char, c_int, c_void};
use std::time::Duration;

/// The operations that `core` has under the same name.
macro_rules! forward_to_core {
    () => {
        fn stage_names(&self) -> Vec<String> {
            self.core.stage_names()
        }

        fn use_stage(&self, stage: Stage) -> Result<()> {
            self.core.use_stage(stage)
        }

        fn stats(&self) -> caster_core::Stats {
            self.core.stats()
        }
    };
}

pub(crate) use forward_to_core;

/// The operations that a node and a caster share. The functions of this module are written for it, and therefore
/// compiled once.
pub(crate) trait Operations {
    fn send_message(&self, message: Message) -> Result<usize>;
    fn send_messages(&self, messages: Vec<Message>) -> Result<usize>;
    fn stage_names(&self) -> Vec<String>;
    fn use_stage(&self, stage: Stage) -> Result<()>;
    fn stats(&self) -> caster_core::Stats;
}

/// An object that delivers events: a node or a caster.
pub(crate) trait Handle: Operations + Kind {
    /// The type of the event for a datagram that passed the pipeline.
    const DATAGRAM: c_int;

    fn delivery(&self) -> &Delivery<Self>;

    /// Waits for the next event: in real time, or by the clock of a virtual network.
    fn next_event(&self, timeout: Option<Duration>) -> Result<caster_core::Event, NoEvent>;

    /// The error of a poll after the last event.
    fn closed() -> Error;

    /// Starts or stops events that are made on request only.
    fn watch(&self, kind: c_int, on: bool);

    /// Stops the source of events. It has no effect on a handle that is down or closed.
    fn shut_down(&self);
}

/// Begins a call on a handle; it ends when the exported function returns.
///
/// # Safety
/// As [`table::pin_for_call`].
///
/// # Errors
/// As [`table::pin`]; `CASTER_ERR_FORKED` in a child of the process that created the handle.
#[inline(never)]
pub(crate) unsafe fn pin_for_call<'a, H: Handle>(pointer: *const H) -> Result<&'a H> {
    // SAFETY: as promised by the caller.
    let handle = unsafe { table::pin_for_call(pointer) }?;
    handle.delivery().check_process()?;
    Ok(handle)
}

/// Starts the source of events with `start`. A handle that another thread frees meanwhile is shut down again.
pub(crate) fn start<H: Handle>(
    pointer: *mut H,
    start: impl FnOnce(&H) -> Result<()>,
) -> Result<()> {
    let handle = table::pin(pointer)?;
    handle.delivery().check_process()?;
    start(&handle)?;
    handle.check_not_freed().inspect_err(|_| handle.shut_down())
}

/// Sets or removes a callback for one type of event.
pub(crate) fn on<H: Handle>(
    pointer: *mut H,
    kind: c_int,
    callback: Option<Callback<H>>,
    user_data: *mut c_void,
    drop: DropFn,
) -> Status {
    let data = UserData::new(user_data, drop);
    status(|| {
        let handle = args::try_pinned!(pointer);
        handle.delivery().on(pointer, kind, callback, data)?;
        handle.watch(kind, callback.is_some());
        Ok(())
    })
}

pub(crate) fn send_json(
    handle: &dyn Operations,
    json: &str,
    bytes: Option<&mut usize>,
) -> Result<()> {
    store(bytes, handle.send_message(Message::json(json)?)?)
}

pub(crate) fn send_text(
    handle: &dyn Operations,
    text: &str,
    bytes: Option<&mut usize>,
) -> Result<()> {
    store(bytes, handle.send_message(Message::from_value(text)?)?)
}

pub(crate) fn send_batch_json(
    handle: &dyn Operations,
    jsons: Texts<'_>,
    bytes: Option<&mut usize>,
) -> Result<()> {
    let message = |json: Result<Option<&str>>| {
        json.and_then(|json| Message::json(json.ok_or_else(|| args::null("json"))?))
    };
    store(bytes, handle.send_messages(batch(jsons.map(message))?)?)
}

pub(crate) fn stats_json(handle: &dyn Operations, json: &mut *mut c_char) -> Result<()> {
    give_text(json, c_string(&handle.stats().to_json()));
    Ok(())
}

pub(crate) fn middleware_json(handle: &dyn Operations, json: &mut *mut c_char) -> Result<()> {
    let names = Message::from_value(&handle.stage_names())?;
    give_text(json, c_string(names.as_json().unwrap_or_default()));
    Ok(())
}

/// Adds a stage of functions of the program.
pub(crate) fn use_functions(
    handle: &dyn Operations,
    name: &str,
    tx: MiddlewareFn,
    rx: MiddlewareFn,
    data: UserData,
) -> Result<()> {
    let stage = middleware::of_functions(name, tx, rx, data)?;
    // `stage` outlives the call, so that a failure runs the drop hook under no lock.
    handle.use_stage(Stage::Native(stage.clone()))
}

pub(crate) fn use_hash(
    handle: &dyn Operations,
    secret: JsText,
    algorithm: Option<&str>,
    era: Option<&str>,
) -> Result<()> {
    handle.use_stage(middleware::hash(secret, algorithm, era)?.into())
}

pub(crate) fn use_crypto(
    handle: &dyn Operations,
    key: JsText,
    algorithm: Option<&str>,
) -> Result<()> {
    handle.use_stage(middleware::crypto(key, algorithm)?.into())
}

/// The messages of a batch. An error names the message that it is about.
pub(crate) fn batch(messages: impl Iterator<Item = Result<Message>>) -> Result<Vec<Message>> {
    let named =
        |(index, message): (usize, Result<Message>)| message.map_err(|error| error.in_batch(index));
    messages.enumerate().map(named).collect()
}

/// Writes the number of bytes on the wire to an output that may be NULL.
pub(crate) fn store(bytes: Option<&mut usize>, sent: usize) -> Result<()> {
    if let Some(bytes) = bytes {
        *bytes = sent;
    }
    Ok(())
}

/// Gives a string to the program, which frees it with `caster_string_free`.
pub(crate) fn give_text(to: &mut *mut c_char, text: CString) {
    *to = text.into_raw();
}
