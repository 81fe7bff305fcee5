//! One module for each command.

pub mod doctor;
pub mod ending;
pub mod generate;
pub mod info;
pub mod keygen;
pub mod ls;
pub mod record;
pub mod replay;
pub mod send;
pub mod spy;
pub mod up;
pub mod wait;
pub mod watch;
pub mod web;

use crate::args::Command;
use crate::failure::Failure;
use std::process::ExitCode;

/// Runs a command.
///
/// # Errors
/// The reason why it could not do its work.
pub fn run(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Ls(args) => ls::run(&args),
        Command::Info(args) => info::run(&args),
        Command::Watch(args) => watch::run(&args),
        Command::Wait(args) => wait::run(&args),
        Command::Up(args) => up::run(&args),
        Command::Doctor(args) => doctor::run(&args),
        Command::Web(args) => web::run(&args),
        Command::Spy(args) => spy::run(&args),
        Command::Record(args) => record::run(&args),
        Command::Replay(args) => replay::run(&args),
        Command::Send(args) => send::run(&args),
        Command::Keygen(args) => keygen::run(&args),
        Command::Completions(args) => generate::completions(&args),
        Command::Man(args) => generate::man(&args),
    }
}
