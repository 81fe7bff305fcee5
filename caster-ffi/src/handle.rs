//! The operations that nodes and casters have in common. node.rs and caster.rs export each of them
//! under two names.

use crate::args::into_raw;
use crate::callback::UserData;
use crate::dispatch::{Callback, Delivery};
use crate::event::Event;
use crate::middleware::{self, MiddlewareFn};
use crate::text::c_string;
use caster_core::middleware::{Json, Stage};
use caster_core::{Error, JsText, Message, NoEvent, Result};
use std::ffi::{CString, c_char, c_int};
use std::time::Duration;

/// The methods of [`Handle`] that `core` has under the same name.
macro_rules! forward_to_core {
    () => {
        fn next_event(&self, timeout: Option<Duration>) -> Result<caster_core::Event, NoEvent> {
            self.core.next_event(timeout)
        }

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

/// An object that sends, and that delivers events: a node or a caster.
pub(crate) trait Handle: Sized + 'static {
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

    fn send_message(&self, message: Message) -> Result<usize>;

    fn send_messages(&self, messages: Vec<Message>) -> Result<usize>;

    fn stage_names(&self) -> Vec<String>;

    fn use_stage(&self, stage: Stage) -> Result<()>;

    fn stats(&self) -> caster_core::Stats;

    fn send_json(&self, json: &str, bytes: Option<&mut usize>) -> Result<()> {
        store(bytes, self.send_message(Message::json(json)?)?)
    }

    fn send_text(&self, text: &str, bytes: Option<&mut usize>) -> Result<()> {
        store(bytes, self.send_message(Message::from_value(text)?)?)
    }

    fn send_batch<'a>(
        &self,
        jsons: impl Iterator<Item = Result<Option<&'a str>>>,
        bytes: Option<&mut usize>,
    ) -> Result<()> {
        let message = |json: Result<Option<&str>>| {
            json.and_then(|json| Message::json(json.ok_or_else(|| crate::args::null("json"))?))
        };
        store(bytes, self.send_messages(batch(jsons.map(message))?)?)
    }

    fn stats_json(&self, json: &mut *mut c_char) {
        give_text(json, c_string(&self.stats().to_json()));
    }

    fn middleware_json(&self, json: &mut *mut c_char) -> Result<()> {
        let names = Message::from_value(&self.stage_names())?;
        give_text(json, c_string(names.as_json().unwrap_or_default()));
        Ok(())
    }

    /// Adds a stage of functions of the program.
    fn use_functions(
        &self,
        name: &str,
        tx: MiddlewareFn,
        rx: MiddlewareFn,
        data: UserData,
    ) -> Result<()> {
        let stage = middleware::of_functions(name, tx, rx, data)?;
        // `stage` outlives the call, so that a failure runs the drop hook under no lock.
        self.use_stage(Stage::Native(stage.clone()))
    }

    fn use_json(&self, json: Json) -> Result<()> {
        self.use_stage(json.into())
    }

    fn use_hash(&self, secret: JsText, algorithm: Option<&str>, era: Option<&str>) -> Result<()> {
        self.use_stage(middleware::hash(secret, algorithm, era)?.into())
    }

    fn use_crypto(&self, key: JsText, algorithm: Option<&str>) -> Result<()> {
        self.use_stage(middleware::crypto(key, algorithm)?.into())
    }

    fn poll(&self, timeout_ms: c_int, event: &mut *mut Event) -> Result<()> {
        *event = into_raw(crate::dispatch::poll(self, timeout_ms)?);
        Ok(())
    }

    /// Sets or removes a callback. `handle` points to `self`.
    fn on(
        &self,
        handle: *mut Self,
        kind: c_int,
        callback: Option<Callback<Self>>,
        data: UserData,
    ) -> Result<()> {
        self.delivery().on(handle, kind, callback, data)?;
        self.watch(kind, callback.is_some());
        Ok(())
    }
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
