//! `caster_t`.

use crate::args::{
    free_handle, optional_mut, optional_ref, read_pinned, try_byte_slices, try_handle, try_mut,
    try_optional_text, try_slice, try_slice_mut, try_stats, try_text, try_texts,
};
use crate::callback::{DropFn, UserData};
use crate::dispatch::{self, Delivery};
use crate::event::{self, Event};
use crate::handle::{self, Handle, Operations, batch, forward_to_core, store};
use crate::middleware::MiddlewareFn;
use crate::options::Options;
use crate::stats::{self, Stats};
use crate::status::{Status, status};
use crate::table::{self, Kind};
use crate::text::c_string;
use caster_core::middleware::{Json, Stage};
use caster_core::{Error, JsText, Message, NoEvent, Result};
use std::ffi::{CString, c_char, c_int, c_void};
use std::ptr::null;
use std::time::Duration;

/// The layer below nodes: a multicast socket with a pipeline of middleware.
///
/// Any thread, several at once. The program owns it.
pub struct Caster {
    core: caster_core::Caster,
    multicast: CString,
    address: CString,
    delivery: Delivery<Caster>,
}

impl Caster {
    /// A caster to be given to the program.
    pub(crate) fn hand_out(core: caster_core::Caster) -> Result<*mut Self> {
        let multicast = c_string(&core.multicast().to_string());
        let address = c_string(&core.scoped_address());
        let delivery = Delivery::new(core.event_source());
        table::insert(Self { core, multicast, address, delivery })
    }
}

/// @in Casters
///
/// A callback for events of a caster. All that is said about `caster_node_event_fn_t` holds for
/// it too.
pub type EventFn = Option<
    unsafe extern "C-unwind" fn(caster: *mut Caster, event: *const Event, user_data: *mut c_void),
>;

impl Operations for Caster {
    fn send_message(&self, message: Message) -> Result<usize> {
        self.core.send_message(message)
    }

    fn send_messages(&self, messages: Vec<Message>) -> Result<usize> {
        self.core.send_batch(messages)
    }

    forward_to_core!();
}

impl Kind for Caster {
    const KIND: u64 = 2;
    const NAME: &str = "caster";
    const TYPE: &str = "caster_t";
}

impl Handle for Caster {
    const DATAGRAM: c_int = event::CASTER_EVENT_MESSAGE;

    fn delivery(&self) -> &Delivery<Self> {
        &self.delivery
    }

    fn next_event(&self, timeout: Option<Duration>) -> Result<caster_core::Event, NoEvent> {
        self.core.next_event(timeout)
    }

    fn closed() -> Error {
        Error::not_bound()
    }

    fn watch(&self, kind: c_int, on: bool) {
        if kind == event::CASTER_EVENT_REJECT {
            self.core.watch_rejects(on);
        }
    }

    fn shut_down(&self) {
        // Not being bound is all that can go wrong.
        let _ = self.core.close();
    }
}

/// @section Casters
///
/// Makes a caster, which is not yet bound and has no middleware. `options` may be NULL for the
/// defaults, is only read, and can be used again.
///
/// Any thread, callbacks included. The caller owns `*caster` and frees it with `caster_free`.
/// NULL for `caster`: `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_INVALID_OPTION` if two options
/// do not go together, `CASTER_ERR_UNKNOWN_OPTION` if one is set that only nodes have,
/// `CASTER_ERR_IO` if the system has no random numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_new(options: *const Options, caster: *mut *mut Caster) -> Status {
    status(|| {
        let (options, out) = (optional_ref!(options), try_mut!(caster));
        let defaults = caster_core::Options::for_caster();
        let core = caster_core::Caster::new(options.map_or(&defaults, |options| &options.core))?;
        *out = Caster::hand_out(core)?;
        Ok(())
    })
}

/// Frees a caster; one that is bound is closed first. All that is said about `caster_node_free`
/// holds for it too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_free(caster: *mut Caster) {
    free_handle!(caster);
}

/// Adds the middleware json: JSON messages go out as JSON text in ASCII, and received JSON text
/// becomes a JSON message. Without it a caster sends and receives bytes.
///
/// The middleware that was added first is next to the program, the last one next to the wire;
/// the order of caster 0.1.1 is json, hash, crypto. Messages that are on their way keep the
/// pipeline that they started with.
///
/// Any thread, callbacks included. NULL: `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_MIDDLEWARE`
/// if the caster has it already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_use_json(caster: *mut Caster) -> Status {
    status(|| try_handle!(caster).use_stage(Json::new().into()))
}

/// Adds the middleware json; what it sends is UTF-8, as in caster 0.1.1, instead of ASCII with
/// escapes. Peers of the other digest era reject what is not ASCII.
///
/// As `caster_use_json`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_use_json_utf8(caster: *mut Caster) -> Status {
    status(|| try_handle!(caster).use_stage(Json::raw_utf8().into()))
}

/// Adds the middleware hash: a digest of a shared secret and the message goes in front of every
/// message; a received datagram with another digest is dropped and counted. It separates groups; it
/// is not security. NULL or an empty string for `secret` is the well-known one of caster 0.1.1, for
/// `algorithm` it is `sha1`.
///
/// Any thread, callbacks included. Strings are UTF-8 and are copied. NULL for `caster`:
/// `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_INVALID_OPTION` if there is no such algorithm;
/// `CASTER_ERR_MIDDLEWARE` if the caster has the middleware already.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_use_hash(
    caster: *mut Caster,
    secret: *const c_char,
    algorithm: *const c_char,
) -> Status {
    status(|| {
        let (caster, secret) = (try_handle!(caster), try_optional_text!(secret));
        let secret = secret.unwrap_or_default().into();
        handle::use_hash(caster, secret, try_optional_text!(algorithm), None)
    })
}

/// Adds the middleware hash with a secret of `size` bytes of any value, and an era: how bytes
/// from 0x80 on enter the digest of what is sent. It is `"auto"`, `"binary"` (as in Node.js 0.8 to
/// 5) or `"utf8"` (as in newer ones); NULL or an empty string is `"auto"`, as the first peer that
/// is heard. Both are understood.
///
/// As `caster_use_hash`; `secret` may be NULL if `size` is 0, which is the well-known one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_use_hash_bytes(
    caster: *mut Caster,
    secret: *const u8,
    size: usize,
    algorithm: *const c_char,
    era: *const c_char,
) -> Status {
    status(|| {
        let (caster, secret) = (try_handle!(caster), JsText::from_latin1(try_slice!(secret, size)));
        handle::use_hash(caster, secret, try_optional_text!(algorithm), try_optional_text!(era))
    })
}

/// Adds the middleware crypto: messages are encrypted as in caster 0.1.1, which is not
/// security; a datagram that does not decrypt is dropped and counted. NULL or an empty string for `key` is
/// the well-known one of caster 0.1.1, for `algorithm` it is `aes256`.
///
/// As `caster_use_hash`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_use_crypto(
    caster: *mut Caster,
    key: *const c_char,
    algorithm: *const c_char,
) -> Status {
    status(|| {
        let (caster, key) = (try_handle!(caster), try_optional_text!(key));
        handle::use_crypto(caster, key.unwrap_or_default().into(), try_optional_text!(algorithm))
    })
}

/// Adds the middleware crypto with a key of `size` bytes of any value.
///
/// As `caster_use_hash`; `key` may be NULL if `size` is 0, which is the well-known one.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_use_crypto_bytes(
    caster: *mut Caster,
    key: *const u8,
    size: usize,
    algorithm: *const c_char,
) -> Status {
    status(|| {
        let (caster, key) = (try_handle!(caster), JsText::from_latin1(try_slice!(key, size)));
        handle::use_crypto(caster, key, try_optional_text!(algorithm))
    })
}

/// Removes all middleware, so that others can be added.
///
/// Any thread, callbacks included. Messages that are on their way keep the pipeline that they
/// started with. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_clear_middleware(caster: *mut Caster) -> Status {
    status(|| {
        try_handle!(caster).core.clear_stages();
        Ok(())
    })
}

/// The names of the middleware, from the program to the wire, as a JSON array.
///
/// Any thread, callbacks included. The caller owns `*json` and frees it with
/// `caster_string_free`. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_middleware_json(
    caster: *const Caster,
    json: *mut *mut c_char,
) -> Status {
    status(|| handle::middleware_json(try_handle!(caster), try_mut!(json)))
}

/// Adds a middleware of the program, next to the wire. `tx` changes messages on their way out,
/// `rx` on their way in; one of them may be NULL. `name` must be unique within the caster.
///
/// Any thread, callbacks included. `name` is copied. `drop` says when `user_data` is no longer
/// used: when the caster was freed and no message is on its way any more, or when this failed.
/// NULL for `caster` or `name`: `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_MIDDLEWARE` if the
/// name is empty or already used, or both functions are NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_use(
    caster: *mut Caster,
    name: *const c_char,
    tx: MiddlewareFn,
    rx: MiddlewareFn,
    user_data: *mut c_void,
    drop: DropFn,
) -> Status {
    let data = UserData::new(user_data, drop);
    status(|| handle::use_functions(try_handle!(caster), try_text!(name), tx, rx, data))
}

/// Opens the socket, joins the group and starts the thread that receives.
///
/// Any thread, callbacks included. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
/// `CASTER_ERR_ALREADY_BOUND`, `CASTER_ERR_ADDRESS_IN_USE` or `CASTER_ERR_IO`: the caster is as
/// before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_bind(caster: *mut Caster) -> Status {
    status(|| handle::start(caster, |caster| caster.core.bind()))
}

/// Closes the socket and ends the thread that receives. The caster can be bound again. Events
/// that wait can still be taken; a `caster_poll` that waits returns.
///
/// Any thread, callbacks included, but not in a middleware of the caster. NULL:
/// `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_NOT_BOUND` if it is not bound.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_close(caster: *mut Caster) -> Status {
    status(|| try_handle!(caster).core.close())
}

/// 1 if the caster is bound, else 0.
///
/// Any thread, callbacks included. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_is_bound(caster: *const Caster) -> c_int {
    read_pinned!(caster, 0, |caster| caster.core.is_bound().into())
}

/// The multicast group, as in `"224.0.0.42"`.
///
/// Any thread, callbacks included. The string is borrowed: it lives as long as `caster`. NULL for
/// NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_multicast(caster: *const Caster) -> *const c_char {
    read_pinned!(caster, null(), |caster| caster.multicast.as_ptr())
}

/// The local address given in the options, as in `"0.0.0.0"`, which stands for all interfaces.
///
/// As `caster_multicast`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_address(caster: *const Caster) -> *const c_char {
    read_pinned!(caster, null(), |caster| caster.address.as_ptr())
}

/// The UDP port.
///
/// Any thread, callbacks included. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_port(caster: *const Caster) -> c_int {
    read_pinned!(caster, 0, |caster| caster.core.port().into())
}

/// 1 if programs on this host receive the datagrams of this caster, else 0.
///
/// Any thread, callbacks included. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_loopback(caster: *const Caster) -> c_int {
    read_pinned!(caster, 0, |caster| caster.core.loopback().into())
}

/// How many routers a datagram may cross, plus one.
///
/// Any thread, callbacks included. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_ttl(caster: *const Caster) -> c_int {
    read_pinned!(caster, 0, |caster| caster.core.ttl().into())
}

/// Sends `size` bytes. `*bytes` becomes the size of the datagram on the wire. The call
/// returns after the system has taken the datagram; it waits for no peer.
///
/// Any thread, callbacks included. `data` is copied and may be NULL if `size` is 0; `bytes` may
/// be NULL; any other NULL: `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_NOT_BOUND`,
/// `CASTER_ERR_MESSAGE_TOO_LARGE`, `CASTER_ERR_IO`, or `CASTER_ERR_MIDDLEWARE` if a middleware
/// refused: nothing was sent.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_send(
    caster: *mut Caster,
    data: *const u8,
    size: usize,
    bytes: *mut usize,
) -> Status {
    status(|| {
        let (caster, data) = (try_handle!(caster), try_slice!(data, size));
        store(optional_mut!(bytes), caster.core.send_bytes(data)?)
    })
}

/// Sends one JSON text; the caster needs the middleware json.
///
/// As `caster_send`; `CASTER_ERR_INVALID_ARGUMENT` also for what is not JSON.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_send_json(
    caster: *mut Caster,
    json: *const c_char,
    bytes: *mut usize,
) -> Status {
    status(|| handle::send_json(try_handle!(caster), try_text!(json), optional_mut!(bytes)))
}

/// Sends `count` messages of bytes, with as few calls of the system as it allows: several times
/// the rate of `caster_send`. On the wire they are single datagrams, in this order. `data[i]` has
/// `sizes[i]` bytes. `*bytes` becomes the size of all datagrams on the wire.
///
/// As `caster_send`; `data` and `sizes` may be NULL if `count` is 0. `caster_last_error` names the
/// message that is wrong by its place, counted from 0. After `CASTER_ERR_IO` some may have been
/// sent, after any other error none was.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_send_batch(
    caster: *mut Caster,
    data: *const *const u8,
    sizes: *const usize,
    count: usize,
    bytes: *mut usize,
) -> Status {
    status(|| {
        let caster = try_handle!(caster);
        let messages =
            batch(try_byte_slices!(data, sizes, count).map(|data| Ok(Message::bytes(data?))))?;
        store(optional_mut!(bytes), caster.send_messages(messages)?)
    })
}

/// Sends `count` JSON texts, as `caster_send_batch` sends bytes; the caster needs the middleware
/// json.
///
/// As `caster_send_batch`; `CASTER_ERR_INVALID_ARGUMENT` also for what is not JSON.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_send_batch_json(
    caster: *mut Caster,
    jsons: *const *const c_char,
    count: usize,
    bytes: *mut usize,
) -> Status {
    status(|| {
        let caster = try_handle!(caster);
        handle::send_batch_json(caster, try_texts!(jsons, count, "json"), optional_mut!(bytes))
    })
}

/// Sends a text, which arrives as a JSON string; the caster needs the middleware json.
///
/// As `caster_send`; `text` is UTF-8.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_send_text(
    caster: *mut Caster,
    text: *const c_char,
    bytes: *mut usize,
) -> Status {
    status(|| handle::send_text(try_handle!(caster), try_text!(text), optional_mut!(bytes)))
}

/// Copies the counters of the caster into `*stats`.
///
/// As `caster_node_stats`. Counters of nodes only are 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_stats(caster: *const Caster, stats: *mut Stats) -> Status {
    status(|| {
        stats::write(&try_handle!(caster).core.stats(), try_stats!(stats));
        Ok(())
    })
}

/// The counters of the caster, as `caster_node_stats_json` gives them.
///
/// As `caster_node_stats_json`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_stats_json(
    caster: *const Caster,
    json: *mut *mut c_char,
) -> Status {
    status(|| handle::stats_json(try_handle!(caster), try_mut!(json)))
}

/// Takes the next event.
///
/// As `caster_node_poll`, with `CASTER_ERR_NOT_BOUND` if the caster is closed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_poll(
    caster: *mut Caster,
    timeout_ms: c_int,
    event: *mut *mut Event,
) -> Status {
    status(|| dispatch::poll_one(try_handle!(caster), timeout_ms, try_mut!(event)))
}

/// Takes up to `capacity` events with one call.
///
/// As `caster_node_poll_batch`, with `CASTER_ERR_NOT_BOUND` if the caster is closed. The caller
/// owns each of the events and frees it with `caster_event_free`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_poll_batch(
    caster: *mut Caster,
    timeout_ms: c_int,
    events: *mut *mut Event,
    capacity: usize,
    count: *mut usize,
) -> Status {
    status(|| {
        let (caster, events) = (try_handle!(caster), try_slice_mut!(events, capacity));
        let count = try_mut!(count);
        *count = dispatch::poll_batch(caster, timeout_ms, events)?;
        Ok(())
    })
}

/// A file descriptor that is readable while events wait.
///
/// As `caster_node_fd`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_fd(caster: *mut Caster, fd: *mut c_int) -> Status {
    status(|| {
        let (caster, out) = (try_handle!(caster), try_mut!(fd));
        *out = caster.delivery.fd()?;
        Ok(())
    })
}

/// Sets the callback for `CASTER_EVENT_MESSAGE`: a message came.
///
/// As `caster_node_on_up`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_on_message(
    caster: *mut Caster,
    callback: EventFn,
    user_data: *mut c_void,
    drop: DropFn,
) -> Status {
    handle::on(caster, event::CASTER_EVENT_MESSAGE, callback, user_data, drop)
}

/// Sets the callback for `CASTER_EVENT_ERROR`: an error that an operator can resolve.
///
/// As `caster_node_on_up`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_on_error(
    caster: *mut Caster,
    callback: EventFn,
    user_data: *mut c_void,
    drop: DropFn,
) -> Status {
    handle::on(caster, event::CASTER_EVENT_ERROR, callback, user_data, drop)
}

/// Sets the callback for `CASTER_EVENT_REJECT`: a middleware rejected a datagram. Such events
/// are made while there is a callback.
///
/// As `caster_node_on_up`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_on_reject(
    caster: *mut Caster,
    callback: EventFn,
    user_data: *mut c_void,
    drop: DropFn,
) -> Status {
    handle::on(caster, event::CASTER_EVENT_REJECT, callback, user_data, drop)
}

/// Asks for events of type `CASTER_EVENT_REJECT` (`watch` is not 0), or no longer (0). For
/// programs that poll; a callback asks by itself.
///
/// Any thread, callbacks included. NULL: `CASTER_ERR_INVALID_ARGUMENT`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_watch_rejects(caster: *mut Caster, watch: c_int) -> Status {
    status(|| {
        try_handle!(caster).core.watch_rejects(watch != 0);
        Ok(())
    })
}
