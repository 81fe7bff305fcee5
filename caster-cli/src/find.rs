//! Finding the nodes of a group unseen.

use crate::failure::Failure;
use crate::progress::{self, Progress};
use crate::show::printable;
use caster_core::{Event, NoEvent, Node, Peer};
use std::time::{Duration, Instant};

/// Lower bound on the wait for answers. Groups of up to 20 nodes answer within 40 ms; the rest is
/// for hosts that are busy.
const FIRST: Duration = Duration::from_millis(100);

/// Time without a new node after which the list counts as complete, and number of answers a second that all
/// nodes together give (docs/wire.md, *Answering*).
const QUIET: Duration = Duration::from_millis(50);
const ANSWERS_PER_SECOND: u32 = 500;

/// Upper bound on the wait for a first node: one heartbeat at the default interval, and some.
const SILENT: Duration = Duration::from_millis(1_200);

/// When the question is asked again, as a datagram may be lost.
const AGAIN: [Duration; 2] = [Duration::from_millis(40), Duration::from_millis(250)];

/// Asks for the nodes of a group, and listens until the answers have come. Events of the node can be taken
/// before and after.
#[derive(Debug)]
pub struct Search {
    started: Instant,
    /// The questions that are still to be asked.
    again: &'static [Duration],
    ends: Instant,
    /// Whether the end is fixed.
    fixed: bool,
}

impl Search {
    /// Asks. With `wait` the search takes that time, otherwise until the answers have come.
    ///
    /// # Errors
    /// The network refuses.
    pub fn begin(node: &Node, wait: Option<Duration>) -> Result<Self, Failure> {
        node.ask()?;
        let started = Instant::now();
        let ends = started + wait.unwrap_or(SILENT);
        Ok(Self { started, again: &AGAIN, ends, fixed: wait.is_some() })
    }

    /// When something is due next.
    pub fn next_due(&self) -> Instant {
        let question = self.again.first().map(|after| self.started + *after);
        question.map_or(self.ends, |due| due.min(self.ends))
    }

    /// Asks again if that is due. Returns whether the search is over.
    ///
    /// # Errors
    /// The network refuses.
    pub fn go_on(&mut self, node: &Node) -> Result<bool, Failure> {
        let now = Instant::now();
        if now >= self.ends {
            return Ok(true);
        }
        if let Some((after, rest)) = self.again.split_first()
            && self.started + *after <= now
        {
            self.again = rest;
            // The second repetition is for the case that no answer came.
            if rest.len() == 1 || node.node_count() == 0 {
                node.ask()?;
            }
        }
        Ok(false)
    }

    /// Takes an event of the node into account.
    pub fn note(&mut self, event: &Event, node: &Node) {
        if self.fixed || !matches!(event, Event::Up(_)) {
            return;
        }
        let count = u32::try_from(node.node_count()).unwrap_or(u32::MAX);
        let answers = Duration::from_secs(1) * count / ANSWERS_PER_SECOND;
        self.ends = (self.started + FIRST).max(Instant::now() + answers.max(QUIET));
    }
}

/// The nodes of a group.
///
/// # Errors
/// The network refuses.
pub fn nodes(node: &Node, wait: Option<Duration>) -> Result<Vec<Peer>, Failure> {
    let mut search = Search::begin(node, wait)?;
    let progress = Progress::begin("Listening", wait);
    while !search.go_on(node)? {
        let left = search.next_due().saturating_duration_since(Instant::now());
        match node.next_event(Some(left)) {
            Ok(event) => {
                tell_trouble(&event);
                search.note(&event, node);
                progress.count(node.node_count() as u64, "nodes");
            }
            Err(NoEvent::TimedOut) => {}
            Err(end) => return Err(end.into()),
        }
    }
    Ok(node.nodes())
}

/// Tells of hints and errors on standard error.
pub fn tell_trouble(event: &Event) {
    match event {
        Event::Hint(text) => progress::tell(&format!("hint: {}", printable(text))),
        Event::Error(error) => {
            progress::tell(&format!("error: {}", printable(error.message())));
        }
        _ => {}
    }
}

/// The advice for a group in which no node was heard.
pub const NONE_HEARD: &str = "Nodes of caster 0.1.1 do not answer; they are heard within one of their \
                              intervals: add --wait 3s. Nodes with another secret, port or group \
                              are not seen. `caster doctor` looks for the cause.";
