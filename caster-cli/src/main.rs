//! `caster`: lists, watches and diagnoses the nodes of a network.
//!
//! Everything that is about the network is done by `caster-core`, over its public interface.

#![forbid(unsafe_code)]

#[cfg(not(unix))]
compile_error!("caster-cli needs a Unix system");

mod args;
mod capture;
mod command;
mod failure;
mod filter;
mod find;
mod network;
mod progress;
mod show;
mod timeline;

use std::process::ExitCode;

fn main() -> ExitCode {
    match command::run(args::parse().command) {
        Ok(code) => code,
        Err(failure) => {
            anstream::eprintln!("{}", failure.to_styled());
            failure.exit_code()
        }
    }
}
