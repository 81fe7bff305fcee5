//! `caster send`: a message to all nodes.

use crate::args;
use crate::failure::{FOUND, Failure};
use crate::network::NetworkArgs;
use caster_core::{Event, Message, NoEvent, Node};
use std::io::{BufRead, stdin};
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// Send a message to all nodes of the group
///
/// Nodes hear messages of nodes only, so the command comes up as a node, sends, and leaves: others see it come
/// and go. A message that is not JSON is sent as a text.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  caster send '{\"reload\": true}'
  caster send hello --as deploy
  tail -f events.jsonl | caster send -

Exit status: 0 sent, 2 usage, 3 network.")]
pub struct Args {
    /// Message, as JSON or text; `-` sends each line of standard input
    message: String,
    /// Id of the sender [default: node and random digits]
    #[arg(long = "as", value_name = "ID")]
    id: Option<String>,
    /// How long to wait for the other nodes before the message is sent
    #[arg(long, value_parser = args::time, value_name = "TIME", default_value = "1s")]
    wait: Duration,
    #[command(flatten)]
    network: NetworkArgs,
}

pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let mut options = args.network.options()?;
    if let Some(id) = &args.id {
        options.set("id", id)?;
    }
    let message = (args.message != "-").then(|| read(&args.message)).transpose()?;
    let node = Node::new(&options)?;
    node.up()?;
    settle(&node, args.wait)?;
    match message {
        Some(message) => drop(node.send_message(&message)?),
        None => {
            for line in stdin().lock().lines() {
                let line = line.map_err(|error| {
                    Failure::usage(format!("standard input: {error}"), "Give lines of UTF-8.")
                })?;
                node.send_message(&read(&line)?)?;
            }
        }
    }
    node.down()?;
    Ok(FOUND.into())
}

/// A message of JSON, or of text where it is not JSON.
fn read(text: &str) -> Result<Message, Failure> {
    Ok(match Message::json(text) {
        Ok(message) => message,
        Err(_) => Message::from_value(text)?,
    })
}

/// Waits until the nodes that are there are known: they know the sender then, and those that multicast does
/// not reach get the message too.
fn settle(node: &Node, wait: Duration) -> Result<(), Failure> {
    let ends = Instant::now() + wait;
    loop {
        match node.next_event(Some(ends.saturating_duration_since(Instant::now()))) {
            Ok(Event::Settled) | Err(NoEvent::TimedOut) => return Ok(()),
            Ok(event) => crate::find::tell_trouble(&event),
            Err(end) => return Err(end.into()),
        }
    }
}
