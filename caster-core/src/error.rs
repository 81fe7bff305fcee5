//! One error type and one table of codes, shared by every language.

use std::fmt;
use std::io;
use std::sync::Arc;

macro_rules! codes {
    ($($variant:ident = $number:literal, $name:literal, $text:literal;)*) => {
        /// The kind of an error. Numbers are part of the ABI: they are never reused and never change.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(i32)]
        pub enum ErrorCode { $(#[doc = $text] $variant = $number,)* }

        impl ErrorCode {
            /// Every code, in the order of the numbers.
            pub const ALL: &'static [ErrorCode] = &[$(ErrorCode::$variant,)*];

            /// The stable name, as in `NOT_UP`.
            pub const fn name(self) -> &'static str {
                match self { $(ErrorCode::$variant => $name,)* }
            }

            /// The meaning, in one sentence.
            pub const fn text(self) -> &'static str {
                match self { $(ErrorCode::$variant => $text,)* }
            }
        }
    };
}

codes! {
    InvalidOption = 1, "INVALID_OPTION", "An option has a value that is not accepted.";
    UnknownOption = 2, "UNKNOWN_OPTION", "There is no option of that name.";
    InvalidArgument = 3, "INVALID_ARGUMENT",
        "An argument of a call is not what it has to be (JSON that does not parse, for example).";
    AlreadyUp = 4, "ALREADY_UP", "`up` on a node that is up.";
    NotUp = 5, "NOT_UP", "`down`, `send` on a node that is not up.";
    AlreadyBound = 6, "ALREADY_BOUND", "`bind` on a caster that is bound.";
    NotBound = 7, "NOT_BOUND", "`close`, `send` on a caster that is not bound.";
    Io = 8, "IO", "The operating system refused; the error has its number.";
    AddressInUse = 9, "ADDRESS_IN_USE", "Another program holds the port and does not share it.";
    MessageTooLarge = 10, "MESSAGE_TOO_LARGE", "The datagram would be larger than 65,507 bytes.";
    HashMismatch = 11, "HASH_MISMATCH", "A received datagram does not carry the digest it should.";
    Decrypt = 12, "DECRYPT", "A received datagram does not decrypt.";
    Middleware = 13, "MIDDLEWARE", "A middleware failed or was used wrongly.";
    Lagged = 14, "LAGGED", "The event queue was full: messages were dropped.";
    Internal = 15, "INTERNAL", "A fault inside Caster itself. Please report it.";
    TimedOut = 16, "TIMED_OUT", "A wait ended without the thing that was waited for.";
    EventsTaken = 17, "EVENTS_TAKEN",
        "The events are already taken in another way: by callbacks, or by polling.";
    Forked = 18, "FORKED", "It belongs to the process that made it; a forked child makes its own.";
}

impl ErrorCode {
    /// The number of this code.
    pub const fn number(self) -> i32 {
        self as i32
    }
}

/// An error: a code, a text for people, and where there is one the operating system's number.
///
/// As large as a pointer, so that results take no room and little code where nothing goes wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error(Arc<Content>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Content {
    code: ErrorCode,
    message: Box<str>,
    os: Option<i32>,
    syscall: Option<&'static str>,
}

impl Error {
    /// An error of this kind with this text.
    #[cold]
    #[inline(never)]
    pub fn new(code: ErrorCode, message: impl Into<Box<str>>) -> Self {
        Self::with(code, message.into(), None, None)
    }

    /// The error of an operation that needs a node to be up.
    #[cold]
    pub fn not_up() -> Self {
        Self::new(ErrorCode::NotUp, "Node is not up")
    }

    /// The error of an operation that needs a caster to be bound.
    #[cold]
    pub fn not_bound() -> Self {
        Self::new(ErrorCode::NotBound, "Caster is not bound")
    }

    /// The same error with a text that names a message of a batch by its index, counted from 0.
    #[cold]
    pub fn in_batch(mut self, index: usize) -> Self {
        let content = Arc::make_mut(&mut self.0);
        content.message = format!("message {index}: {}", content.message).into();
        self
    }

    pub(crate) fn io(error: &io::Error, syscall: &'static str, what: impl fmt::Display) -> Self {
        Self::refused(error, syscall, &what)
    }

    #[cold]
    #[inline(never)]
    fn refused(error: &io::Error, syscall: &'static str, what: &dyn fmt::Display) -> Self {
        let code = match error.kind() {
            io::ErrorKind::AddrInUse => ErrorCode::AddressInUse,
            _ => ErrorCode::Io,
        };
        let text = format!("{what}: {error}");
        Self::with(code, text.into(), error.raw_os_error(), Some(syscall))
    }

    fn with(
        code: ErrorCode,
        message: Box<str>,
        os: Option<i32>,
        syscall: Option<&'static str>,
    ) -> Self {
        Self(Arc::new(Content { code, message, os, syscall }))
    }

    /// The kind of error.
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// The text for people.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The operating system's error number (`errno`), if it was the system that refused.
    pub fn os_error(&self) -> Option<i32> {
        self.0.os
    }

    /// The system call that failed, if it was the system that refused.
    pub fn syscall(&self) -> Option<&'static str> {
        self.0.syscall
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}

impl std::error::Error for Error {}

/// The result of everything here that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;
