//! `caster replay`: a recording, sent again or told to a node in memory.

use crate::capture::Datagram;
use crate::command::spy::{open, unreadable};
use crate::failure::{FOUND, Failure};
use crate::filter::Filter;
use crate::network::NetworkArgs;
use crate::progress::Progress;
use crate::{args, show};
use caster_core::{Caster, DropReason, Event, Node, VirtualNetwork};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

/// Where the datagrams go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Target {
    /// To the group, from this host
    Network,
    /// To one node on a network in memory, in virtual time; its events are printed
    Memory,
}

/// Replay a recording
///
/// To the network: the datagrams are sent to the group from this host, byte for byte. To memory: a node with the same
/// options hears them from their former senders at their former times, and its events are printed as `caster watch`
/// prints them; nothing is sent.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  caster replay fault.pcapng --to memory
  caster replay fault.pcapng --to memory --secret-file secret --after 10s
  caster replay fault.pcapng --fast

Exit status: 0 done, 2 usage, 3 network.")]
pub struct Args {
    /// Recording of `caster record`, or of another program (pcapng)
    file: PathBuf,
    /// Where the datagrams go
    #[arg(long, value_enum, default_value_t = Target::Network)]
    to: Target,
    /// Send without the pauses of the recording
    #[arg(long, conflicts_with = "after")]
    fast: bool,
    /// In memory: the time that passes after the last datagram
    #[arg(long, value_parser = args::time, value_name = "TIME", default_value = "5s")]
    after: Duration,
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    network: NetworkArgs,
}

/// A pause is at most this long: a clock may have been set during the recording.
const LONGEST: Duration = Duration::from_secs(3600);

pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let node = Node::new(&args.network.options()?)?;
    let datagrams = read(&args.file, &node)?;
    match args.to {
        Target::Network => send(args, &node, &datagrams)?,
        Target::Memory => tell(args, &datagrams)?,
    }
    Ok(FOUND.into())
}

/// The datagrams to the group of a node and to its data port.
fn read(path: &Path, node: &Node) -> Result<Vec<Datagram>, Failure> {
    let mut reader = open(path)?;
    let mut found = Vec::new();
    let mut other = None;
    while let Some(datagram) = reader.next().map_err(|error| unreadable(path, &error))? {
        let is_to_port = datagram.to.port().wrapping_sub(node.port()) < 2;
        if datagram.to.ip() == node.multicast() && is_to_port {
            found.push(datagram);
        } else {
            other.get_or_insert(datagram.to);
        }
    }
    if found.is_empty() {
        let (group, port) = (node.multicast(), node.port());
        let advice = match other {
            Some(to) => {
                format!("It has some to {to}: give --group {} --port {}.", to.ip(), to.port())
            }
            None => "`caster record FILE` makes recordings.".to_owned(),
        };
        let text = format!("{}: no datagram to {group}:{port} is in it", path.display());
        return Err(Failure::usage(text, advice));
    }
    Ok(found)
}

/// The pause before each datagram.
fn pauses(datagrams: &[Datagram]) -> impl Iterator<Item = (Duration, &Datagram)> {
    let mut last = datagrams.first().map_or(0, |first| first.at);
    datagrams.iter().map(move |datagram| {
        let pause = Duration::from_micros(datagram.at.saturating_sub(last)).min(LONGEST);
        last = datagram.at;
        (pause, datagram)
    })
}

fn send(args: &Args, node: &Node, datagrams: &[Datagram]) -> Result<(), Failure> {
    let open = |port: u16| -> Result<Caster, Failure> {
        let caster = Caster::new(&args.network.bare_options(port)?)?;
        caster.clear_stages();
        caster.bind()?;
        Ok(caster)
    };
    let group = open(node.port())?;
    let has_data = datagrams.iter().any(|it| it.to.port() != node.port());
    let data = has_data.then(|| open(node.port() + 1)).transpose()?;
    let total: Duration = pauses(datagrams).map(|(pause, _)| pause).sum();
    let progress = Progress::begin("Sending", (!args.fast).then_some(total));
    let mut due = Instant::now();
    for (sent, (pause, datagram)) in (1..).zip(pauses(datagrams)) {
        if !args.fast {
            due += pause;
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        let caster = data.as_ref().filter(|_| datagram.to.port() != node.port()).unwrap_or(&group);
        caster.send_bytes(&datagram.data)?;
        progress.count(sent, "datagrams");
    }
    drop(progress);
    anstream::eprintln!("{} datagrams were sent", datagrams.len());
    Ok(())
}

fn tell(args: &Args, datagrams: &[Datagram]) -> Result<(), Failure> {
    let network = VirtualNetwork::new(1);
    let node = network.node(&args.network.options()?.with("expose", &false))?;
    node.up()?;
    let begin = datagrams.first().map_or(0, |first| first.at / 1000);
    let group = |to: &SocketAddr| SocketAddr::new(node.multicast(), to.port());
    let print = || -> Result<(), Failure> {
        let at = begin + u64::try_from(network.now().as_millis()).unwrap_or(u64::MAX);
        while let Some(event) = node.event_source().try_next() {
            if let Some(line) = show::event(&event, at, &args.filter) {
                show::print(line)?;
            } else if let Event::Conflict { .. } = event {
                show::print(format!("{} conflict", show::moment(at)))?;
            } else {
                crate::find::tell_trouble(&event);
            }
        }
        Ok(())
    };
    for (pause, datagram) in pauses(datagrams) {
        // In steps, so that a node that goes down in a long pause is told at its time.
        let ends = network.now() + pause;
        while network.now() < ends {
            network.advance((ends - network.now()).min(Duration::from_millis(50)));
            print()?;
        }
        network.inject(datagram.from, group(&datagram.to), &datagram.data);
    }
    let ends = network.now() + args.after;
    while network.now() < ends {
        network.advance((ends - network.now()).min(Duration::from_millis(50)));
        print()?;
    }
    let stats = node.stats();
    let dropped = DropReason::ALL.iter().map(|reason| (reason.key(), stats.dropped(*reason)));
    let dropped: Vec<String> = dropped
        .filter(|(_, count)| *count > 0)
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    let dropped = if dropped.is_empty() { "none".to_owned() } else { dropped.join(", ") };
    anstream::eprintln!("{} datagrams; dropped: {dropped}", datagrams.len());
    Ok(())
}
