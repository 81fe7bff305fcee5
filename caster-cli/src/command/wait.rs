//! `caster wait`: until nodes are there, or are gone.

use crate::failure::{FOUND, Failure, NOT_FOUND};
use crate::filter::Filter;
use crate::network::NetworkArgs;
use crate::progress::Progress;
use crate::show::{self, Format};
use crate::{args, find};
use caster_core::{NoEvent, Node, Peer};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Wait until nodes are there, or are gone
///
/// For scripts, health checks and start-up order. The nodes found are printed.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  caster wait --where type=db --timeout 30s && ./server
  caster wait --where type=worker --count 3
  caster wait --where type=db --gone --timeout 1m

Exit status: 0 found (or gone), 1 not within the time, 2 usage, 3 network.")]
pub struct Args {
    #[command(flatten)]
    filter: Filter,
    /// How many nodes have to be there
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    /// Wait until no such node is there
    #[arg(long, conflicts_with = "count")]
    gone: bool,
    /// How long to wait
    #[arg(long, value_parser = args::time, value_name = "TIME", default_value = "30s")]
    timeout: Duration,
    /// Form of the list; nothing with --quiet
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// Print nothing
    #[arg(long, short)]
    quiet: bool,
    #[command(flatten)]
    network: NetworkArgs,
}

/// The answers to a question come within this time: groups of 500 nodes take one second.
const ANSWERS: Duration = Duration::from_millis(1_200);

pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let started = Instant::now();
    let node = args.network.hidden()?;
    let ends = started + args.timeout;
    // Nodes are gone only if they would have answered by now.
    let settled = started + ANSWERS.min(args.timeout);
    let mut search = find::Search::begin(&node, Some(args.timeout))?;
    let progress = (!args.quiet).then(|| Progress::begin("Waiting", Some(args.timeout)));
    loop {
        let over = search.go_on(&node)?;
        let found = matching(&node, &args.filter);
        if let Some(progress) = &progress {
            progress.count(found.len() as u64, "nodes");
        }
        let now = Instant::now();
        let fulfilled = match args.gone {
            true => found.is_empty() && now >= settled,
            false => found.len() >= args.count as usize,
        };
        if fulfilled || over || now >= ends {
            drop(progress);
            return finish(args, &found, fulfilled);
        }
        let mut due = search.next_due().min(ends);
        if now < settled {
            due = due.min(settled);
        }
        match node.next_event(Some(due.saturating_duration_since(now))) {
            Ok(event) => find::tell_trouble(&event),
            Err(NoEvent::TimedOut) => {}
            Err(end) => return Err(end.into()),
        }
    }
}

fn matching(node: &Node, filter: &Filter) -> Vec<Peer> {
    let mut found = node.nodes();
    found.retain(|peer| filter.holds_for(peer));
    found
}

fn finish(args: &Args, found: &[Peer], fulfilled: bool) -> Result<ExitCode, Failure> {
    if !args.quiet && fulfilled && !args.gone {
        show::peers(found, args.format)?;
    }
    if !args.quiet && !fulfilled {
        let time = show::span(args.timeout);
        match args.gone {
            true => anstream::eprintln!("{} nodes are still there after {time}.", found.len()),
            false => anstream::eprintln!(
                "{} of {} nodes were there after {time}.\n  `caster ls` lists all nodes; `caster doctor` looks for the cause if one is missing.",
                found.len(),
                args.count,
            ),
        }
    }
    Ok(if fulfilled { FOUND } else { NOT_FOUND }.into())
}
