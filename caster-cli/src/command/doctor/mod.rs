//! `caster doctor`: the reason why nodes do not see each other.

mod host;
mod observe;
mod pair;
mod report;
mod rules;
mod sniff;

use crate::args;
use crate::failure::{FOUND, Failure, NOT_FOUND};
use crate::network::NetworkArgs;
use crate::progress::Progress;
use crate::show;
use std::net::SocketAddr;
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
  caster doctor --serve                   # on one host, then on another:
  caster doctor --with camera-3.lan

Exit status: 0 no problem was found, 1 a problem was found, 2 usage, 3 network.")]
pub struct Args {
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// How long to listen; nodes of caster 0.1.1 are heard within one of their intervals
    #[arg(long, value_parser = args::time, value_name = "TIME", default_value = "3s")]
    time: Duration,
    /// Examine another host at the same time, and show the views of both; `caster doctor --serve` runs there
    #[arg(long, value_name = "HOST[:PORT]", conflicts_with = "serve")]
    with: Option<String>,
    /// Wait for `caster doctor --with` of other hosts; the report of this host is readable to all hosts that reach the port
    #[arg(long)]
    serve: bool,
    /// With --serve: the address and TCP port to listen on
    #[arg(long, value_name = "ADDRESS:PORT", default_value_t = ([0, 0, 0, 0], pair::PORT).into(), requires = "serve")]
    listen: SocketAddr,
    #[command(flatten)]
    network: NetworkArgs,
}

pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let show = |outcome: &pair::Outcome| match args.json {
        true => show::print(&outcome.json),
        false => show::print(&outcome.text),
    };
    if args.serve {
        return pair::serve(&args.network, args.listen, show).map(|()| FOUND.into());
    }
    if let Some(name) = &args.with {
        let outcome = pair::with(&args.network, args.time, name)?;
        show(&outcome)?;
        return Ok(if outcome.is_broken { NOT_FOUND } else { FOUND }.into());
    }
    let progress = Progress::begin("Listening", None);
    let observed = observe::observe(&args.network, args.time, None)?;
    drop(progress);
    let findings = rules::findings(&observed);
    match args.json {
        true => show::print(report::to_json(&observed, &findings))?,
        false => show::print(report::to_text(&observed, &findings))?,
    }
    let is_broken = findings.iter().any(|finding| finding.severity == rules::Severity::Problem);
    Ok(if is_broken { NOT_FOUND } else { FOUND }.into())
}
