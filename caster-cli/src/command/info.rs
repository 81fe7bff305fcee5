//! `caster info`: all that is known of one node.

use crate::failure::{FOUND, Failure, NOT_FOUND};
use crate::network::NetworkArgs;
use crate::progress::Progress;
use crate::show::{self, age, moment, printable};
use crate::{args, find};
use caster_core::{Event, NoEvent, Node, NodeId, Peer, PeerDetails};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Show all that is known of one node
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  caster info camera-1
  caster info camera-1 --json | jq .addresses
  caster info old-display --wait 5s       # a node of caster 0.1.1

Exit status: 0 found, 1 not heard within the time, 2 usage, 3 network.")]
pub struct Args {
    /// Id of the node
    id: String,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
    /// How long to wait for the node
    #[arg(long, value_parser = args::time, value_name = "TIME", default_value = "3s")]
    wait: Duration,
    #[command(flatten)]
    network: NetworkArgs,
}

/// After the first datagram of the node, so that its other addresses are heard as well.
const MORE_PATHS: Duration = Duration::from_millis(100);

pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let id = NodeId::new(&args.id)?;
    let node = args.network.hidden()?;
    let Some((peer, details)) = find(&node, &id, args.wait)? else {
        let heard = node.node_count();
        anstream::eprintln!("{} was not heard; {heard} other nodes were.", printable(&args.id));
        if heard == 0 {
            anstream::eprintln!("  {}", find::NONE_HEARD);
        }
        return Ok(NOT_FOUND.into());
    };
    match args.json {
        true => show::print(to_json(&peer, &details))?,
        false => show::print(to_text(&peer, &details, show::unix_ms()))?,
    }
    Ok(FOUND.into())
}

/// Waits until the node is known.
fn find(node: &Node, id: &NodeId, wait: Duration) -> Result<Option<(Peer, PeerDetails)>, Failure> {
    let mut search = find::Search::begin(node, Some(wait))?;
    let known = || node.nodes().into_iter().find(|peer| peer.id == *id);
    let mut found_at = None;
    let _progress = Progress::begin("Waiting for the node", Some(wait));
    loop {
        let over = search.go_on(node)?;
        if found_at.is_none() {
            found_at = known().map(|_| Instant::now());
        }
        let heard_all = found_at.is_some_and(|at: Instant| at.elapsed() >= MORE_PATHS);
        if over || heard_all {
            return Ok(known().zip(node.details(id)));
        }
        let due = search.next_due().min(found_at.map_or(search.next_due(), |at| at + MORE_PATHS));
        match node.next_event(Some(due.saturating_duration_since(Instant::now()))) {
            Ok(event @ (Event::Hint(_) | Event::Error(_))) => find::tell_trouble(&event),
            Ok(_) | Err(NoEvent::TimedOut) => {}
            Err(end) => return Err(end.into()),
        }
    }
}

fn version(details: &PeerDetails) -> &'static str {
    match details.incarnation {
        Some(_) => "Caster",
        None => "caster 0.1.1, or a node that has only sent messages",
    }
}

fn milliseconds(time: Option<Duration>) -> Option<u64> {
    time.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
}

fn to_json(peer: &Peer, details: &PeerDetails) -> Value {
    let mut value = show::to_json(peer);
    value["version"] = json!(details.incarnation.map_or("0.1.1", |_| "caster"));
    value["incarnation"] = json!(details.incarnation);
    value["heartbeat"] = json!(milliseconds(details.interval));
    value["observedHeartbeat"] = json!(milliseconds(details.observed_interval));
    value["heartbeats"] = json!(details.heartbeats);
    value["capabilities"] = json!(details.capability_names());
    value["unicastPort"] = json!(details.unicast_port);
    value["loss"] = json!(f64::from(peer.loss_per_mille) / 1000.0);
    value
}

fn to_text(peer: &Peer, details: &PeerDetails, now: u64) -> String {
    let unknown = || "not announced".to_owned();
    let mut rows: Vec<(&str, String)> = vec![
        ("id", printable(&peer.id.as_str())),
        ("state", show::state(peer).into()),
        ("version", version(details).into()),
    ];
    for (at, known) in peer.addresses.iter().enumerate() {
        let interface = known.interface.as_ref().map_or("an unknown interface", |it| it.name());
        let heard = age(known.last_seen, now);
        let text = format!("{} on {interface}, heard {heard} ago", known.scoped_address());
        rows.push((if at == 0 { "address" } else { "" }, text));
    }
    let incarnation = details.incarnation.map_or_else(unknown, |number| format!("{number:08x}"));
    let interval = details.interval.map_or_else(unknown, show::span);
    let observed = details
        .observed_interval
        .map_or_else(String::new, |observed| format!(", longest recent {}", show::span(observed)));
    let capabilities = match details.capability_names() {
        names if names.is_empty() => "none".to_owned(),
        names => names.join(", "),
    };
    rows.extend([
        ("incarnation", incarnation),
        ("heartbeat", interval + &observed),
        ("loss", format!("{:.1} % of its heartbeats", f64::from(peer.loss_per_mille) / 10.0)),
        ("capabilities", capabilities),
        ("unicast port", details.unicast_port.map_or_else(unknown, |port| port.to_string())),
        ("first seen", format!("{}, {} ago", moment(peer.first_seen), age(peer.first_seen, now))),
        ("last seen", format!("{}, {} ago", moment(peer.last_seen), age(peer.last_seen, now))),
    ]);
    let meta = peer.parse_meta::<Value>().ok().filter(|value| !value.is_null());
    let meta = meta.and_then(|value| serde_json::to_string_pretty(&value).ok());
    let raw = || peer.meta.as_deref().unwrap_or("none").to_owned();
    for (at, line) in meta.unwrap_or_else(raw).lines().enumerate() {
        rows.push((if at == 0 { "metadata" } else { "" }, printable(line)));
    }
    let lines = rows.iter().map(|(name, value)| format!("{name:<14}{value}").trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}
