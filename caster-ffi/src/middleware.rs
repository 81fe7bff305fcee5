//! Middleware written in C, and `caster_message_t`.

use crate::args::{read, try_mut, try_slice, try_text};
use crate::callback::{UserData, foreign};
use crate::source::Source;
use crate::status::{Status, status};
use caster_core::middleware::{
    Crypto, CryptoOptions, Hash, HashEra, HashOptions, Middleware, Reject,
};
use caster_core::{Error, ErrorCode, JsText, MessageKind, Remote, Result};
use std::ffi::{c_char, c_int, c_void};
use std::ptr::null;
use std::sync::Arc;

/// A message that a middleware gets to change: bytes, or a JSON text.
///
/// Only the thread that the middleware was called on, until it returns.
pub struct Message {
    core: caster_core::Message,
    source: Option<Source>,
}

/// A function of a middleware. 0: the message goes on, as the function has left it. Anything
/// else: it is turned away. An outgoing message is not sent then, and the sender gets
/// `CASTER_ERR_MIDDLEWARE`; an incoming one is dropped and counted under `middleware`.
///
/// It is called directly: `tx` on the thread that sends, and on the library's own for heartbeats;
/// `rx` on the thread that receives. So it can be called on several threads at once, it must not
/// block (nothing is received meanwhile), and it must not call functions on the node or caster
/// that it belongs to. `message` is borrowed until it returns. A C++ exception that leaves it
/// ends the process with a message.
pub type MiddlewareFn =
    Option<unsafe extern "C-unwind" fn(message: *mut Message, user_data: *mut c_void) -> c_int>;

struct Foreign {
    name: String,
    tx: MiddlewareFn,
    rx: MiddlewareFn,
    data: UserData,
}

/// A stage of functions of the program.
pub(crate) fn of_functions(
    name: &str,
    tx: MiddlewareFn,
    rx: MiddlewareFn,
    data: UserData,
) -> Result<Arc<dyn Middleware>> {
    if tx.is_none() && rx.is_none() {
        return Err(Error::new(ErrorCode::Middleware, "middleware has no functionality"));
    }
    Ok(Arc::new(Foreign { name: name.into(), tx, rx, data }))
}

/// The middleware hash, of bytes in any encoding.
pub(crate) fn hash(secret: JsText, algorithm: Option<&str>, era: Option<&str>) -> Result<Hash> {
    Hash::new(&HashOptions {
        secret,
        algorithm: algorithm.unwrap_or_default().into(),
        era: era.filter(|era| !era.is_empty()).map_or(Ok(HashEra::default()), str::parse)?,
    })
}

/// The middleware crypto.
pub(crate) fn crypto(key: JsText, algorithm: Option<&str>) -> Result<Crypto> {
    Crypto::new(&CryptoOptions { key, algorithm: algorithm.unwrap_or_default().into() })
}

impl Foreign {
    fn run(
        &self,
        function: MiddlewareFn,
        message: &mut caster_core::Message,
        remote: Option<&Remote>,
    ) -> Result<(), String> {
        let Some(function) = function else { return Ok(()) };
        let empty = caster_core::Message::bytes(Vec::new());
        let source = remote.copied().map(Source::new);
        let mut given = Message { core: std::mem::replace(message, empty), source };
        let user_data = self.data.pointer();
        // SAFETY: the program gave the function for this purpose, with this user data.
        let outcome = foreign(|| unsafe { function(&mut given, user_data) });
        *message = given.core;
        match outcome {
            Some(0) => Ok(()),
            Some(code) => Err(format!("the middleware {} turned it away with {code}", self.name)),
            None => Err(format!("the middleware {} panicked", self.name)),
        }
    }
}

impl Middleware for Foreign {
    fn name(&self) -> &str {
        &self.name
    }

    fn tx(&self, message: &mut caster_core::Message) -> Result<(), Error> {
        let error = |text| Error::new(ErrorCode::Middleware, text);
        self.run(self.tx, message, None).map_err(|text: String| error(text))
    }

    fn rx(&self, message: &mut caster_core::Message, from: &Remote) -> Result<(), Reject> {
        self.run(self.rx, message, Some(from)).map_err(Reject::new)
    }
}

/// @section Middleware
///
/// The bytes of the message: `caster_message_size` of them, with nothing behind them. JSON is
/// UTF-8.
///
/// Only inside the middleware. The bytes are borrowed: they live until the message is set or the
/// middleware returns. NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_message_data(message: *const Message) -> *const u8 {
    read!(message, null(), |message| message.core.data().as_ptr())
}

/// The size of the message in bytes.
///
/// Only inside the middleware. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_message_size(message: *const Message) -> usize {
    read!(message, 0, |message| message.core.data().len())
}

/// 1 if the message is a JSON text, 0 if it is bytes.
///
/// Only inside the middleware. 0 for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_message_is_json(message: *const Message) -> c_int {
    let is_json = |message: &Message| (message.core.kind() == MessageKind::Json).into();
    read!(message, 0, is_json)
}

/// The IP address that an incoming message came from, as in `"192.168.1.7"`.
///
/// Only inside the middleware. The string is borrowed until the middleware returns. NULL for
/// NULL and for an outgoing message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_message_remote_address(message: *const Message) -> *const c_char {
    let address = |message: &Message| message.source.as_ref().map_or(null(), Source::address);
    read!(message, null(), address)
}

/// The interface of this host by which an incoming message came in, as in `"eth0"`.
///
/// As `caster_message_remote_address`; NULL also if the interface is not known.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_message_remote_interface(message: *const Message) -> *const c_char {
    let name = |message: &Message| message.source.as_ref().map_or(null(), Source::interface);
    read!(message, null(), name)
}

/// The UDP port that an incoming message came from.
///
/// Only inside the middleware. 0 for NULL and for an outgoing message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_message_remote_port(message: *const Message) -> c_int {
    read!(message, 0, |message| message.source.as_ref().map_or(0, Source::port))
}

/// The size of the datagram that an incoming message came in, in bytes.
///
/// Only inside the middleware. 0 for NULL and for an outgoing message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_message_remote_size(message: *const Message) -> usize {
    read!(message, 0, |message| message.source.as_ref().map_or(0, Source::size))
}

/// Replaces the message by `size` bytes.
///
/// Only inside the middleware. `data` is copied, may be part of the message itself, and may be
/// NULL if `size` is 0. Any other NULL: `CASTER_ERR_INVALID_ARGUMENT`; the message stays.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_message_set_bytes(
    message: *mut Message,
    data: *const u8,
    size: usize,
) -> Status {
    status(|| {
        // Copied first: it may be part of the message, which is borrowed only after that.
        let data = try_slice!(data, size).to_vec();
        try_mut!(message).core.set_bytes(data);
        Ok(())
    })
}

/// Replaces the message by a JSON text.
///
/// Only inside the middleware. `json` is UTF-8 and is copied. NULL, and what is not JSON:
/// `CASTER_ERR_INVALID_ARGUMENT`; the message stays.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_message_set_json(
    message: *mut Message,
    json: *const c_char,
) -> Status {
    status(|| {
        let json = caster_core::Message::json(try_text!(json))?;
        try_mut!(message).core = json;
        Ok(())
    })
}
