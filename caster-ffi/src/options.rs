//! `caster_options_t`.

use crate::args::{free, into_raw, read, try_mut, try_slice, try_text};
use crate::handle::give_text;
use crate::status::{self, Status, status};
use crate::text::c_string;
use caster_core::{Error, ErrorCode, Identity, JsText, KEY_BYTES, Key, Message, PublicKey, Result};
use std::ffi::{c_char, c_int};

/// Options of a node or a caster. docs/options.md lists them. A name can be written with
/// underscores too (`hash_secret` for `hashSecret`).
///
/// One thread at a time.
pub struct Options {
    pub(crate) core: caster_core::Options,
}

fn new(core: caster_core::Options) -> *mut Options {
    into_raw(Options { core })
}

/// @section Options
///
/// The options of a node, with nothing set.
///
/// Any thread, callbacks included. The caller owns the result and frees it with
/// `caster_options_free`. NULL only after a fault inside Caster.
#[unsafe(no_mangle)]
pub extern "C" fn caster_options_new_node() -> *mut Options {
    status::value(std::ptr::null_mut(), || Ok(new(caster_core::Options::for_node())))
}

/// Options for a caster, with nothing set. A caster has fewer of them than a node.
///
/// Any thread, callbacks included. The caller owns the result and frees it with
/// `caster_options_free`. NULL only after a fault inside Caster.
#[unsafe(no_mangle)]
pub extern "C" fn caster_options_new_caster() -> *mut Options {
    status::value(std::ptr::null_mut(), || Ok(new(caster_core::Options::for_caster())))
}

/// Frees options. Nodes and casters that were made with them keep what they need.
///
/// Any thread, callbacks included. Once for each object. NULL: nothing happens.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_options_free(options: *mut Options) {
    free!(options);
}

/// A copy of `options`, which has nothing to do with them any more.
///
/// Any thread, callbacks included, though no other may change `options` meanwhile. The caller
/// owns the copy and frees it with `caster_options_free`. NULL for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_options_dup(options: *const Options) -> *mut Options {
    read!(options, std::ptr::null_mut(), |options| new(options.core.clone()))
}

/// Sets an option that is text: `hashSecret`, `multicast`, `id` and so on. Use
/// `caster_options_set_bytes` for a key that is bytes, and `caster_options_set_json` for metadata.
///
/// One thread at a time, callbacks included. `value` is UTF-8 and is copied. NULL:
/// `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_INVALID_OPTION` if the value is not accepted, or if
/// metadata is given that is the text of a JSON object or array,
/// `CASTER_ERR_UNKNOWN_OPTION` if there is no such option; the options are unchanged then, and
/// `caster_last_error` names the nearest one that there is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_options_set_string(
    options: *mut Options,
    name: *const c_char,
    value: *const c_char,
) -> Status {
    status(|| {
        let (options, name, value) = (try_mut!(options), try_text!(name), try_text!(value));
        if name == "meta" && is_object_or_array(value) {
            let text = "option meta: this text is JSON; give it to caster_options_set_json, or in C++ as a \
                        caster::Json. As a string, quoted, it is metadata that is a text";
            return Err(Error::new(ErrorCode::InvalidOption, text));
        }
        options.core.set(name, value)
    })
}

/// A program that gives this as a plain text means the JSON.
fn is_object_or_array(text: &str) -> bool {
    text.trim_start().starts_with(['{', '[']) && Message::json(text).is_ok()
}

/// Sets an option that is a whole number: `port`, `heartbeat` and so on.
///
/// As `caster_options_set_string`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_options_set_int(
    options: *mut Options,
    name: *const c_char,
    value: i64,
) -> Status {
    status(|| {
        let (options, name) = (try_mut!(options), try_text!(name));
        options.core.set(name, &value)
    })
}

/// Sets an option that is true (`value` is not 0) or false (0): `loopback`, `expose` and so on.
///
/// As `caster_options_set_string`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_options_set_bool(
    options: *mut Options,
    name: *const c_char,
    value: c_int,
) -> Status {
    status(|| {
        let (options, name) = (try_mut!(options), try_text!(name));
        options.core.set(name, &(value != 0))
    })
}

/// Sets any option from a JSON text; this is how `meta` is set. `null` puts an option back to
/// its default.
///
/// As `caster_options_set_string`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_options_set_json(
    options: *mut Options,
    name: *const c_char,
    json: *const c_char,
) -> Status {
    status(|| {
        let (options, name, json) = (try_mut!(options), try_text!(name), try_text!(json));
        options.core.set_json(name, json)
    })
}

/// Sets `hashSecret` or `cryptoKey` from `size` bytes of any value.
///
/// As `caster_options_set_string`; `data` may be NULL if `size` is 0.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_options_set_bytes(
    options: *mut Options,
    name: *const c_char,
    data: *const u8,
    size: usize,
) -> Status {
    status(|| {
        let (options, name, data) = (try_mut!(options), try_text!(name), try_slice!(data, size));
        options.core.set_text(name, JsText::from_latin1(data))
    })
}

/// Turns secure mode on with a key of 32 bytes, or adds one: the first key seals, all are accepted.
///
/// As `caster_options_set_string`; the key is copied, and the copy is cleared when it is no longer used.
/// `CASTER_ERR_INVALID_OPTION` if there are not 32 bytes, or if they are a text.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_options_add_key(
    options: *mut Options,
    key: *const u8,
    size: usize,
) -> Status {
    status(|| {
        let (options, key) = (try_mut!(options), try_slice!(key, size));
        options.core.add_key(Key::from_bytes(key)?);
        Ok(())
    })
}

/// The same with a key as text: 64 hexadecimal digits, or 43 or 44 characters of base64 or base64url.
///
/// As `caster_options_add_key`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_options_add_key_text(
    options: *mut Options,
    key: *const c_char,
) -> Status {
    status(|| {
        let (options, key) = (try_mut!(options), try_text!(key));
        options.core.add_key(Key::from_text(key)?);
        Ok(())
    })
}

/// Adds all keys of a file, in its order: one text per line. Lines that begin with `#` are skipped.
///
/// As `caster_options_add_key`. `CASTER_ERR_INVALID_OPTION` if a line is not a key, or if other users can
/// read or change the file; `CASTER_ERR_IO` if it cannot be read. No key is added then.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_options_add_key_file(
    options: *mut Options,
    path: *const c_char,
) -> Status {
    status(|| {
        let (options, path) = (try_mut!(options), try_text!(path));
        Key::read_file(path)?.into_iter().for_each(|key| options.core.add_key(key));
        Ok(())
    })
}

/// Writes a new key of 32 random bytes to `key`.
///
/// Any thread, callbacks included. NULL: `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_IO` if the system has no
/// random numbers.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_generate_key(key: *mut u8) -> Status {
    // SAFETY: the caller has 32 bytes there.
    status(|| unsafe { generate(key, "key") })
}

/// # Safety
/// There are 32 bytes at `to`, unless it is NULL.
unsafe fn generate(to: *mut u8, name: &str) -> Result<()> {
    if to.is_null() {
        return Err(Error::new(ErrorCode::InvalidArgument, format!("{name} is NULL")));
    }
    let made = Key::generate()?;
    // SAFETY: as above.
    unsafe { to.copy_from_nonoverlapping(made.as_bytes().as_ptr(), KEY_BYTES) };
    Ok(())
}

/// In secure mode: the node signs what it says about itself with this identity, a seed of 32 bytes, and verifies
/// the signatures of others.
///
/// As `caster_options_add_key`. It takes the place of one that was set before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_options_set_identity(
    options: *mut Options,
    seed: *const u8,
    size: usize,
) -> Status {
    status(|| {
        let (options, seed) = (try_mut!(options), try_slice!(seed, size));
        options.core.set_identity(Identity::from_bytes(seed)?);
        Ok(())
    })
}

/// The same with a seed as text: 64 hexadecimal digits, or 43 or 44 characters of base64 or base64url.
///
/// As `caster_options_set_identity`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_options_set_identity_text(
    options: *mut Options,
    seed: *const c_char,
) -> Status {
    status(|| {
        let (options, seed) = (try_mut!(options), try_text!(seed));
        options.core.set_identity(Identity::from_text(seed)?);
        Ok(())
    })
}

/// The same with a file of one line, as a key file.
///
/// As `caster_options_add_key_file`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_options_set_identity_file(
    options: *mut Options,
    path: *const c_char,
) -> Status {
    status(|| {
        let (options, path) = (try_mut!(options), try_text!(path));
        options.core.set_identity(Identity::read_file(path)?);
        Ok(())
    })
}

/// In secure mode: only nodes with identities that were added are peers. `key` is a public key as text: 64
/// hexadecimal digits, or 43 or 44 characters of base64 or base64url. Without it each identity is trusted from its
/// first use on.
///
/// As `caster_options_add_key_text`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_options_add_trusted(
    options: *mut Options,
    key: *const c_char,
) -> Status {
    status(|| {
        let (options, key) = (try_mut!(options), try_text!(key));
        options.core.add_trusted(PublicKey::from_text(key)?);
        Ok(())
    })
}

/// Writes the seed of a new identity to `seed`: 32 random bytes.
///
/// As `caster_generate_key`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_generate_identity(seed: *mut u8) -> Status {
    // SAFETY: the caller has 32 bytes there.
    status(|| unsafe { generate(seed, "seed") })
}

/// The public key of an identity, as 64 hexadecimal digits: others trust it with `caster_options_add_trusted`.
///
/// Any thread, callbacks included. The caller owns `*key` and frees it with `caster_string_free`. NULL:
/// `CASTER_ERR_INVALID_ARGUMENT`. `CASTER_ERR_INVALID_OPTION` if this is not a seed.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_public_key(
    seed: *const u8,
    size: usize,
    key: *mut *mut c_char,
) -> Status {
    status(|| {
        let (seed, out) = (try_slice!(seed, size), try_mut!(key));
        *out = std::ptr::null_mut();
        let key = Identity::from_bytes(seed)?.public_key();
        give_text(out, c_string(&key.to_string()));
        Ok(())
    })
}

/// Sets options from a JSON object, as in `{"port": 10102, "meta": {"type": "http"}}`. Options that it does
/// not name stay unchanged.
///
/// As `caster_options_set_string`, but on an error options that were before the bad one in
/// alphabetical order are set.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_options_merge_json(
    options: *mut Options,
    object: *const c_char,
) -> Status {
    status(|| {
        let (options, object) = (try_mut!(options), try_text!(object));
        options.core.merge_json(object)
    })
}
