//! `caster_set_log`: what the core writes to its log goes to one function of the program.

use crate::callback::{DropFn, UserData, foreign};
use crate::status::{Status, status};
use crate::text::c_string;
use caster_core::{Error, ErrorCode};
use log::{Level, LevelFilter, Log, Metadata, Record};
use std::ffi::{c_char, c_int, c_void};
use std::sync::{Arc, PoisonError, RwLock};

/// @in Log
///
/// Nothing is logged.
pub const CASTER_LOG_OFF: c_int = 0;
/// @in Log
///
/// Errors.
pub const CASTER_LOG_ERROR: c_int = 1;
/// @in Log
///
/// Conditions that an operator may want to resolve: errors that the program gets as events, hints,
/// conflicts, isolation.
pub const CASTER_LOG_WARN: c_int = 2;
/// @in Log
///
/// Nodes of this program that go up and down.
pub const CASTER_LOG_INFO: c_int = 3;
/// @in Log
///
/// Peers and interfaces that come and go.
pub const CASTER_LOG_DEBUG: c_int = 4;
/// @in Log
///
/// Every rejected datagram.
pub const CASTER_LOG_TRACE: c_int = 5;

/// @in Log
///
/// A function that gets the log: `level` is one of `CASTER_LOG_*`, `text` one line in English and
/// UTF-8, without a line feed at its end, borrowed until the function returns.
///
/// It is called on the thread that logs, threads of the library included, and on several at once.
/// It must not block and must not call the library: locks may be held. A C++ exception that
/// leaves it ends the process with a message.
pub type LogFn =
    Option<unsafe extern "C-unwind" fn(level: c_int, text: *const c_char, user_data: *mut c_void)>;

struct Sink {
    call: unsafe extern "C-unwind" fn(c_int, *const c_char, *mut c_void),
    data: UserData,
}

struct Logger;

static LOGGER: Logger = Logger;
static SINK: RwLock<Option<Arc<Sink>>> = RwLock::new(None);

/// The level as C knows it.
fn number(level: Level) -> c_int {
    match level {
        Level::Error => CASTER_LOG_ERROR,
        Level::Warn => CASTER_LOG_WARN,
        Level::Info => CASTER_LOG_INFO,
        Level::Debug => CASTER_LOG_DEBUG,
        Level::Trace => CASTER_LOG_TRACE,
    }
}

fn filter(level: c_int) -> Option<LevelFilter> {
    Some(match level {
        CASTER_LOG_OFF => LevelFilter::Off,
        CASTER_LOG_ERROR => LevelFilter::Error,
        CASTER_LOG_WARN => LevelFilter::Warn,
        CASTER_LOG_INFO => LevelFilter::Info,
        CASTER_LOG_DEBUG => LevelFilter::Debug,
        CASTER_LOG_TRACE => LevelFilter::Trace,
        _ => return None,
    })
}

impl Log for Logger {
    /// Records of the core; those of the crates below it would be noise.
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with("caster")
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let sink = SINK.read().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(sink) = sink else { return };
        let text = c_string(&record.args().to_string());
        let Sink { call, data } = &*sink;
        // SAFETY: the program gave the function for this, and the user data lives with the sink.
        foreign(|| unsafe { call(number(record.level()), text.as_ptr(), data.pointer()) });
    }

    fn flush(&self) {}
}

/// @section Log
///
/// Sets the function that gets the log of all nodes and casters of the process, down to `level`,
/// one of `CASTER_LOG_*`. There is one at a time: one that was set before is replaced; NULL or
/// `CASTER_LOG_OFF` ends logging, which is how it starts. Nothing depends on the wording of what
/// is logged; what a program needs to know comes as an event.
///
/// Any thread, callbacks included, but not in `callback` itself. `drop` says when `user_data` is
/// no longer used: when the function was replaced and no call of it runs any more, or when this
/// failed. `CASTER_ERR_INVALID_ARGUMENT` if there is no such level; the log stays as it is.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn caster_set_log(
    level: c_int,
    callback: LogFn,
    user_data: *mut c_void,
    drop: DropFn,
) -> Status {
    let data = UserData::new(user_data, drop);
    status(|| {
        let filter = filter(level).ok_or_else(|| {
            let text = format!("the level is {level}; it is one of CASTER_LOG_*, from 0 to 5");
            Error::new(ErrorCode::InvalidArgument, text)
        })?;
        let sink = match callback {
            Some(call) if filter != LevelFilter::Off => Some(Arc::new(Sink { call, data })),
            _ => None,
        };
        // There is one logger in the process; that it was set already is no error.
        let _ = log::set_logger(&LOGGER);
        log::set_max_level(if sink.is_some() { filter } else { LevelFilter::Off });
        // Dropped under no lock: the hook is code of the program.
        let old =
            std::mem::replace(&mut *SINK.write().unwrap_or_else(PoisonError::into_inner), sink);
        std::mem::drop(old);
        Ok(())
    })
}
