//! `caster ls`: the nodes of the group.

use crate::failure::{FOUND, Failure, NOT_FOUND};
use crate::filter::Filter;
use crate::network::NetworkArgs;
use crate::show::Format;
use crate::{args, find, show};
use std::process::ExitCode;
use std::time::Duration;

/// List the nodes of the group
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  caster ls --where type=http --where zone!=test
  caster ls --wait 3s --format csv > nodes.csv
  caster ls --format jsonl | jq .address

Exit status: 0 at least one node is listed, 1 none, 2 usage, 3 network.")]
pub struct Args {
    /// Listen for this time; without it until the answers have come, about 0.1 s in a small group
    ///
    /// Nodes of caster 0.1.1 do not answer and are heard within one of their intervals, 2 s by default.
    #[arg(long, value_parser = args::time, value_name = "TIME")]
    wait: Option<Duration>,
    #[command(flatten)]
    filter: Filter,
    /// Form of the list
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    #[command(flatten)]
    network: NetworkArgs,
}

pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let node = args.network.hidden()?;
    let heard = find::nodes(&node, args.wait)?;
    let found: Vec<_> = heard.iter().filter(|peer| args.filter.holds_for(peer)).cloned().collect();
    if !found.is_empty() || args.format != Format::Table {
        show::peers(&found, args.format)?;
    }
    if found.is_empty() {
        match heard.len() {
            0 => anstream::eprintln!("No node was heard.\n  {}", find::NONE_HEARD),
            heard => anstream::eprintln!("None of the {heard} nodes fulfils the conditions."),
        }
    }
    Ok(if found.is_empty() { NOT_FOUND } else { FOUND }.into())
}
