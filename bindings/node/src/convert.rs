//! Between the types of the core and those of JavaScript.

use caster_core::host::written_json;
use caster_core::{Dialect, Error, ErrorCode, Identity, Key, Message, Options, PublicKey, Result};
use napi::Status;
use napi::bindgen_prelude::{Buffer, BufferSlice, Either, Env, JsValue};

/// A message from JavaScript: JSON text or bytes.
pub type Given<'a> = Either<String, BufferSlice<'a>>;
/// A message for JavaScript: JSON text or bytes.
pub type Handed = Either<String, Buffer>;

/// The message of the core. A JSON text is not validated: it comes from `JSON.stringify`.
pub fn message(given: Given<'_>) -> Message {
    match given {
        Either::A(json) => written_json(json),
        Either::B(bytes) => Message::bytes(&*bytes),
    }
}

/// The message of JavaScript.
pub fn hand(message: Message) -> Handed {
    match message.as_json() {
        Some(json) => Either::A(json.to_owned()),
        None => Either::B(message.into_data().into()),
    }
}

/// Options from the JSON text of the program's object.
pub fn options(empty: Options, json: &str) -> Result<Options> {
    let mut options = empty.dialect(Dialect::Npm);
    options.merge_json(json)?;
    Ok(options)
}

/// A key of secure mode from JavaScript: text or bytes.
pub type GivenKey<'a> = Either<String, BufferSlice<'a>>;

/// The key of the core.
pub fn key(given: &GivenKey<'_>) -> Result<Key> {
    match given {
        Either::A(text) => Key::from_text(text),
        Either::B(bytes) => Key::from_bytes(bytes),
    }
}

/// An identity by its seed.
pub fn identity(given: &GivenKey<'_>) -> Result<Identity> {
    Identity::from_bytes(key(given)?.as_bytes())
}

/// A public key: text or bytes.
pub fn public_key(given: &GivenKey<'_>) -> Result<PublicKey> {
    match given {
        Either::A(text) => PublicKey::from_text(text),
        Either::B(bytes) => PublicKey::from_bytes(bytes),
    }
}

/// The error as a JavaScript `Error` with `code` (the core's name) and, for an error of the system,
/// `errno` and `syscall`. `lib/errors.js` turns these into what Node.js programs expect.
pub fn thrown(env: &Env, error: &Error) -> napi::Error {
    let make = || -> napi::Result<napi::Error> {
        let text = error.message().to_owned();
        let mut object = env.create_error(napi::Error::new(Status::GenericFailure, text))?;
        object.set("code", error.code().name())?;
        if let Some(number) = error.os_error() {
            object.set("errno", number)?;
        }
        if let Some(syscall) = error.syscall() {
            object.set("syscall", syscall)?;
        }
        Ok(object.to_unknown().into())
    };
    make().unwrap_or_else(|failure| failure)
}

/// The code of that name, for an error of a chain in JavaScript.
pub fn code(name: Option<&str>) -> ErrorCode {
    let named = |code: &&ErrorCode| Some(code.name()) == name;
    ErrorCode::ALL.iter().find(named).copied().unwrap_or(ErrorCode::Middleware)
}
