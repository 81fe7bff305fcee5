//! The observations: everything that is asked of the system and of the group.

use super::host::Host;
use super::sniff::{Sniffed, Sniffer};
use crate::failure::Failure;
use crate::network::NetworkArgs;
use crate::show;
use caster_core::{DropReason, Event, NoEvent, Node, NodeId, Options, Peer, PeerDetails, Stats};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddrV4};
use std::thread;
use std::time::{Duration, Instant};

/// Number of questions that are asked, and the time between them. A node answers ten in an interval.
pub const QUESTIONS: u32 = 6;
const BETWEEN: Duration = Duration::from_millis(330);

/// A node that has not answered all of them is asked again so many times: a host may have been busy.
const ROUNDS: u32 = 3;

/// An answer of a node comes within this time after the question, in groups of up to 50 nodes.
const ANSWER: Duration = Duration::from_millis(120);

/// A node of the group, and how many questions of one round it has answered at best.
#[derive(Debug, Clone)]
pub struct Heard {
    pub peer: Peer,
    pub details: PeerDetails,
    pub answers: u32,
    /// Whether it runs on this host.
    pub is_here: bool,
}

impl Heard {
    /// Whether it is a node of caster 0.1.1, which does not answer.
    pub fn is_original(&self) -> bool {
        self.details.incarnation.is_none()
    }
}

/// Everything that was observed.
#[derive(Debug, Clone)]
pub struct Observed {
    pub group: IpAddr,
    pub port: u16,
    /// The value of CASTER_RANGE or of the option `range`, if it withholds datagrams.
    pub range: Option<String>,
    /// Whether this host has keys.
    pub has_keys: bool,
    pub host: Host,
    pub stats: Stats,
    /// The datagrams that were dropped, by the reason.
    pub dropped: HashMap<DropReason, u64>,
    pub peers: Vec<Heard>,
    /// The reason why the last question could not be sent.
    pub refused: Option<String>,
    /// Senders that are understood with the default secret.
    pub with_default_secret: Vec<IpAddr>,
    /// Nodes that are heard on interfaces that are not used.
    pub elsewhere: Vec<Peer>,
    /// `None` if the system does not permit it.
    pub sniffed: Option<Sniffed>,
    /// The time by which the wall clock moved away from the monotonic one.
    pub clock_step: Duration,
    /// The texts of hints and errors.
    pub told: Vec<String>,
}

/// Listens for this time. The facts about the host may have been looked at before.
///
/// # Errors
/// The options are not accepted, or the port cannot be opened.
pub fn observe(
    network: &NetworkArgs,
    time: Duration,
    host: Option<Host>,
) -> Result<Observed, Failure> {
    let options = network.options()?.with("expose", &false);
    let node = Node::new(&options)?;
    let host = host.unwrap_or_else(|| Host::look(node.multicast(), node.port()));
    let sniffer = match node.multicast() {
        IpAddr::V4(group) => Sniffer::start(SocketAddrV4::new(group, node.port())),
        IpAddr::V6(_) => None,
    };
    node.up()?;
    let beside = [everywhere(network)?, without_secret(network)?];
    beside.iter().flatten().try_for_each(Node::up)?;
    let wall = show::unix_ms();
    let started = Instant::now();
    let mut told = Vec::new();
    let mut best: HashMap<NodeId, u32> = HashMap::new();
    let mut refused = None;
    for round in 0..ROUNDS {
        let answers;
        (answers, refused) = ask_all(&node, &beside, &mut told)?;
        for (id, count) in answers {
            let known = best.entry(id).or_default();
            *known = count.max(*known);
        }
        let rest = time.saturating_sub(started.elapsed());
        if round == 0 {
            listen(&node, rest, &mut told)?;
        }
        let hears = |peer: &Peer| best.get(&peer.id).is_some_and(|count| *count == QUESTIONS);
        let is_original = |peer: &Peer| {
            node.details(&peer.id).is_none_or(|details| details.incarnation.is_none())
        };
        if node.nodes().iter().all(|peer| hears(peer) || is_original(peer)) {
            break;
        }
    }
    let clock_step = clock_step(wall, show::unix_ms(), started.elapsed());
    let stats = node.stats();
    let own: Vec<IpAddr> = stats.interfaces.iter().flat_map(|it| it.addresses.clone()).collect();
    let heard = |peer: Peer| {
        let details = node.details(&peer.id)?;
        let count = best.get(&peer.id).copied().unwrap_or_default();
        let is_here = peer.addresses.iter().any(|known| own.contains(&known.address));
        Some(Heard { peer, details, answers: count, is_here })
    };
    let peers: Vec<Heard> = node.nodes().into_iter().filter_map(heard).collect();
    let [elsewhere, with_default] =
        beside.map(|node| node.map(|it| it.nodes()).unwrap_or_default());
    let dropped = DropReason::ALL.iter().map(|reason| (*reason, stats.dropped(*reason)));
    let dropped = dropped.filter(|(_, count)| *count > 0).collect();
    let range = network.range.clone().or_else(|| std::env::var("CASTER_RANGE").ok());
    Ok(Observed {
        group: node.multicast(),
        port: node.port(),
        has_keys: !network.settings()?.keys.is_empty(),
        range: range.filter(|range| range == "off" || range == "host"),
        host,
        refused,
        with_default_secret: with_default.iter().map(|peer| peer.address).collect(),
        elsewhere: elsewhere
            .into_iter()
            .filter(|peer| peers.iter().all(|heard| heard.peer.id != peer.id))
            .collect(),
        peers,
        sniffed: sniffer.map(Sniffer::stop),
        clock_step,
        told,
        stats,
        dropped,
    })
}

/// Asks [`QUESTIONS`] times. Returns the number of answers of each node, and the reason why the last question
/// could not be sent.
fn ask_all(
    node: &Node,
    beside: &[Option<Node>],
    told: &mut Vec<String>,
) -> Result<(HashMap<NodeId, u32>, Option<String>), Failure> {
    let mut answers = HashMap::new();
    let mut refused = None;
    for _ in 0..QUESTIONS {
        // Compared by what changes: the wall clock may be set meanwhile.
        let before: HashMap<NodeId, u64> = last_heard(node).collect();
        refused = node.ask().err().map(|error| error.message().to_owned());
        for other in beside.iter().flatten() {
            // They only listen beside the node itself; its own failure is told.
            let _ = other.ask();
        }
        listen(node, ANSWER, told)?;
        for (id, _) in last_heard(node).filter(|(id, at)| before.get(id) != Some(at)) {
            *answers.entry(id).or_default() += 1;
        }
        listen(node, BETWEEN.saturating_sub(ANSWER), told)?;
    }
    Ok((answers, refused))
}

/// When each node was heard last, by the wall clock.
fn last_heard(node: &Node) -> impl Iterator<Item = (NodeId, u64)> {
    node.nodes().into_iter().map(|peer| (peer.id, peer.last_seen))
}

/// The time by which the wall clock moved away from the monotonic one, in either direction.
fn clock_step(wall_before: u64, wall_after: u64, elapsed: Duration) -> Duration {
    let expected = Duration::from_millis(wall_before) + elapsed;
    Duration::from_millis(wall_after).abs_diff(expected)
}

/// A hidden node on all interfaces. `None` if the options exclude that.
fn everywhere(network: &NetworkArgs) -> Result<Option<Node>, Failure> {
    if network.range.as_deref() == Some("host") {
        return Ok(None);
    }
    let mut options: Options = network.options()?.with("expose", &false);
    options.set("interfaces", &["*"])?;
    Ok(Node::new(&options).ok())
}

/// A hidden node with the default secret, if another one is given.
fn without_secret(network: &NetworkArgs) -> Result<Option<Node>, Failure> {
    if network.settings()?.secret.is_none() {
        return Ok(None);
    }
    let mut options = network.options()?.with("expose", &false);
    options.set_json("hashSecret", "null")?;
    Ok(Some(Node::new(&options)?))
}

/// Waits, and keeps what the node tells of trouble.
fn listen(node: &Node, time: Duration, told: &mut Vec<String>) -> Result<(), Failure> {
    let ends = Instant::now() + time;
    loop {
        match node.next_event(Some(ends.saturating_duration_since(Instant::now()))) {
            Ok(Event::Hint(text)) => told.push(text.into()),
            Ok(Event::Error(error)) => told.push(error.message().to_owned()),
            Ok(_) if Instant::now() < ends => {}
            Ok(_) | Err(NoEvent::TimedOut) => {
                thread::sleep(ends.saturating_duration_since(Instant::now()));
                return Ok(());
            }
            Err(end) => return Err(end.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_is_noticed_in_both_directions() {
        let hour = 3_600_000;
        let step = |wall| clock_step(10 * hour, wall, Duration::from_secs(3)).as_millis();
        assert_eq!(step(10 * hour + 3_000), 0);
        assert_eq!(step(11 * hour + 3_000), u128::from(hour));
        assert_eq!(step(9 * hour + 3_000), u128::from(hour));
        assert_eq!(step(10 * hour + 2_500), 500);
    }
}
