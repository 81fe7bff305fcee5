//! The command line.

use crate::command::{
    doctor, generate, info, keygen, ls, record, replay, send, spy, up, wait, watch, web,
};
use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

/// The part of each help that names the exit status.
pub const STATUS: &str =
    "Exit status: 0 found or done, 1 nothing found in time, 2 usage, 3 network.";

/// Lists, watches and diagnoses the nodes of a network
///
/// `ls`, `info`, `wait`, `watch`, `web` and `doctor` are unseen by other nodes. `caster help COMMAND` has examples of each command.
#[derive(Debug, Parser)]
#[command(name = "caster", version, after_help = STATUS, max_term_width = 100)]
pub struct Args {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    Ls(ls::Args),
    Info(info::Args),
    Wait(wait::Args),
    Up(up::Args),
    Watch(watch::Args),
    Doctor(doctor::Args),
    Web(web::Args),
    Spy(spy::Args),
    Record(record::Args),
    Replay(replay::Args),
    Send(send::Args),
    Keygen(keygen::Args),
    Completions(generate::CompletionArgs),
    Man(generate::ManArgs),
}

/// The description of the command line.
///
/// The port of `web` is that of its page; the port of the group has another name there.
pub fn describe() -> clap::Command {
    Args::command().mut_subcommand("web", |web| {
        web.mut_arg("port", |port| port.long("udp-port").value_name("PORT"))
    })
}

/// The command line of this process. Ends the process if it is not accepted.
pub fn parse() -> Args {
    let matches = describe().get_matches();
    Args::from_arg_matches(&matches).unwrap_or_else(|error| error.exit())
}

/// A time such as `2s`, `500ms` or `1m 30s`.
pub fn time(text: &str) -> Result<std::time::Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{error}; give a time such as 2s or 500ms"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        describe().debug_assert();
    }

    #[test]
    fn every_command_has_examples_in_its_help() {
        for command in describe().get_subcommands() {
            let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
            assert!(help.contains("Examples:\n  "), "{}", command.get_name());
        }
    }

    #[test]
    fn no_argument_takes_a_secret() {
        for command in describe().get_subcommands() {
            for argument in command.get_arguments() {
                let name = argument.get_id().as_str();
                let is_secret = name.contains("secret") || name.contains("key");
                assert!(!is_secret || name.ends_with("file"), "{} {name}", command.get_name());
            }
        }
    }
}
