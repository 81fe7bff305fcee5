//! The reasons for which a command ends without a result, and the exit status of each.

use anstyle::{AnsiColor, Style};
use caster_core::{Error, ErrorCode};
use std::process::ExitCode;

/// The node that was looked for was found; the work is done.
pub const FOUND: u8 = 0;
/// Nothing was found within the time.
pub const NOT_FOUND: u8 = 1;
/// The command line, a file that it names or a variable is not accepted.
pub const USAGE: u8 = 2;
/// The network, or the system on the way to it, refused.
pub const NETWORK: u8 = 3;

/// A command could not do its work.
#[derive(Debug, PartialEq, Eq)]
pub struct Failure {
    status: u8,
    text: String,
    /// The next thing to do.
    advice: Option<String>,
}

impl Failure {
    /// The command line, a file that it names or a variable is not accepted.
    pub fn usage(text: impl Into<String>) -> Self {
        Self { status: USAGE, text: text.into(), advice: None }
    }

    /// The network, or the system on the way to it, refused.
    pub fn network(text: impl Into<String>) -> Self {
        Self { status: NETWORK, text: text.into(), advice: None }
    }

    /// Another exit status.
    pub fn with_status(self, status: u8) -> Self {
        Self { status, ..self }
    }

    /// Adds the next thing to do.
    pub fn advise(self, advice: impl Into<String>) -> Self {
        Self { advice: Some(advice.into()), ..self }
    }

    pub fn exit_code(&self) -> ExitCode {
        self.status.into()
    }

    /// The text for a terminal; `anstream` removes the colours where they are not wanted.
    pub fn to_styled(&self) -> String {
        let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
        let mut text = format!("{red}error:{red:#} {}", self.text);
        if let Some(advice) = &self.advice {
            text += &format!("\n  {advice}");
        }
        text
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let text = error.message();
        match error.code() {
            ErrorCode::InvalidOption
            | ErrorCode::UnknownOption
            | ErrorCode::InvalidArgument
            | ErrorCode::MessageTooLarge => Self::usage(text),
            ErrorCode::AddressInUse => Self::network(text).advise(
                "Another program holds the port and does not share it. `ss -ulnp` names it; \
                 or choose another group with --port.",
            ),
            _ => Self::network(text).advise("`caster doctor` looks for the cause."),
        }
    }
}
