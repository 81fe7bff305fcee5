//! The reasons for which a command ends without a result, and the exit status of each.

use anstyle::{AnsiColor, Style};
use caster_core::{Error, ErrorCode, NoEvent};
use std::io;
use std::path::Path;
use std::process::ExitCode;

/// The node that was looked for was found; the work is done.
pub const FOUND: u8 = 0;
/// Nothing was found within the time.
pub const NOT_FOUND: u8 = 1;
/// The command line, a file that it names or a variable is not accepted.
pub const USAGE: u8 = 2;
/// The network, or the system on the way to it, refused.
pub const NETWORK: u8 = 3;

const DOCTOR: &str = "`caster doctor` looks for the cause.";

/// A command could not do its work. Each failure has the next thing to do.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    status: u8,
    text: String,
    /// The next thing to do.
    advice: String,
}

impl Failure {
    /// The command line, a file that it names or a variable is not accepted.
    pub fn usage(text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { status: USAGE, text: text.into(), advice: advice.into() }
    }

    /// The network, or the system on the way to it, refused.
    pub fn network(text: impl Into<String>, advice: impl Into<String>) -> Self {
        Self { status: NETWORK, text: text.into(), advice: advice.into() }
    }

    /// A file that the command line names cannot be read or written.
    pub fn file(path: &Path, error: &io::Error) -> Self {
        let advice = match error.kind() {
            io::ErrorKind::NotFound => "Give the path of a file in a folder that exists.",
            io::ErrorKind::AlreadyExists => "It is never overwritten: give another name.",
            io::ErrorKind::PermissionDenied => {
                "Give a file that this user may use, or run the command as another user."
            }
            _ => "Give another file.",
        };
        Self::usage(format!("{}: {error}", path.display()), advice)
    }

    /// The system refuses to tell this process of signals or of its child.
    pub fn system(what: &str, error: &io::Error) -> Self {
        Self::network(format!("{what}: {error}"), "`ulimit -a` shows the limits of this process.")
    }

    /// The place of the failure, in front of its text.
    pub fn within(self, place: &str) -> Self {
        Self { text: format!("{place}: {}", self.text), ..self }
    }

    /// Another exit status.
    pub fn with_status(self, status: u8) -> Self {
        Self { status, ..self }
    }

    /// Another thing to do next.
    pub fn advise(self, advice: impl Into<String>) -> Self {
        Self { advice: advice.into(), ..self }
    }

    pub fn exit_code(&self) -> ExitCode {
        self.status.into()
    }

    /// The text for a terminal; `anstream` removes the colours where they are not wanted.
    pub fn to_styled(&self) -> String {
        let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
        format!("{red}error:{red:#} {}\n  {}", self.text, self.advice)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = error.message();
        match error.code() {
            ErrorCode::InvalidOption | ErrorCode::UnknownOption => {
                Self::usage(text, "docs/options.md has the options and their values.")
            }
            ErrorCode::InvalidArgument => {
                Self::usage(text, "`caster help COMMAND` has examples of each command.")
            }
            ErrorCode::MessageTooLarge => {
                Self::usage(text, "Send it in parts, or send a name by which to fetch it.")
            }
            ErrorCode::AddressInUse => Self::network(
                text,
                "Another program holds the port and does not share it. `ss -ulnp` names it; \
                 or choose another group with --port.",
            ),
            _ => Self::network(text, DOCTOR),
        }
    }
}

impl From<NoEvent> for Failure {
    fn from(end: NoEvent) -> Self {
        Self::network(end.to_string(), DOCTOR)
    }
}
