//! `caster doctor`: the reason why nodes do not see each other.

mod host;
mod observe;
mod report;
mod rules;
mod sniff;

use crate::args;
use crate::failure::{FOUND, Failure, NOT_FOUND};
use crate::network::NetworkArgs;
use crate::show;
use std::process::ExitCode;
use std::time::Duration;

/// Find the reason why nodes do not see each other
///
/// Examines the interfaces, the group and the port of this host, asks the nodes of the group whether they hear it, and
/// names each finding by a stable code with one line of what to do. Nodes see nothing of it. As root, or with
/// CAP_NET_RAW, it also hears nodes of other groups and ports.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  caster doctor --secret-file /etc/caster/secret
  caster doctor --json | jq -r '.findings[].code'
  sudo caster doctor --time 10s

Exit status: 0 no problem was found, 1 a problem was found, 2 usage, 3 network.")]
pub struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// How long to listen; nodes of caster 0.1.1 are heard within one of their intervals
    #[arg(long, value_parser = args::time, value_name = "TIME", default_value = "3s")]
    time: Duration,
    #[command(flatten)]
    network: NetworkArgs,
}

pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    if !args.json {
        anstream::eprintln!("Listening for {} …", show::span(args.time));
    }
    let observed = observe::observe(&args.network, args.time)?;
    let findings = rules::findings(&observed);
    match args.json {
        true => show::print(report::to_json(&observed, &findings))?,
        false => show::print(report::to_text(&observed, &findings))?,
    }
    let is_broken = findings.iter().any(|finding| finding.severity == rules::Severity::Problem);
    Ok(if is_broken { NOT_FOUND } else { FOUND }.into())
}
