//! `caster watch`: the nodes as they come, change and go.

mod model;
mod view;

use crate::command::ending::signalled;
use crate::failure::{FOUND, Failure};
use crate::filter::Filter;
use crate::find::tell_trouble;
use crate::network::NetworkArgs;
use crate::show;
use caster_core::{NoEvent, Node};
use crossterm::event::{self, Event as Input, KeyEventKind};
use model::Model;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Watch the nodes as they come, change and go
///
/// A table on a terminal, with keys for sorting, filtering and details; one line for each event otherwise.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  caster watch --where type=http
  caster watch --plain | grep ' down '

Exit status: 0 ended by a key or a signal, 2 usage, 3 network.")]
pub struct Args {
    #[command(flatten)]
    filter: Filter,
    /// One line for each event, on a terminal too
    #[arg(long)]
    plain: bool,
    #[command(flatten)]
    network: NetworkArgs,
}

/// Time between two looks at the keys and the events of the node.
const LOOK: Duration = Duration::from_millis(100);

/// The table is drawn again after this time; sooner after a key.
const REDRAW: Duration = Duration::from_secs(1);

/// The question is asked again after this time, as the first one may be lost.
const ASK_AGAIN: Duration = Duration::from_millis(200);

pub fn run(args: &Args) -> Result<ExitCode, Failure> {
    let node = args.network.hidden()?;
    let ended = signalled()?;
    node.ask()?;
    if args.plain || !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        lines(&node, &args.filter, &ended)?;
    } else {
        let mut terminal = ratatui::try_init().map_err(|error| terminal_failed(&error))?;
        let watched = table(&mut terminal, &node, args.filter.clone(), &ended);
        ratatui::restore();
        watched?;
    }
    Ok(FOUND.into())
}

fn terminal_failed(error: &io::Error) -> Failure {
    Failure::network(format!("terminal: {error}"), "--plain prints lines.")
}

/// Prints a line for each event.
fn lines(node: &Node, filter: &Filter, ended: &AtomicBool) -> Result<(), Failure> {
    let started = Instant::now();
    let mut again = false;
    while !ended.load(Ordering::Relaxed) {
        if !again && started.elapsed() >= ASK_AGAIN {
            again = true;
            node.ask()?;
        }
        let event = match node.next_event(Some(LOOK)) {
            Ok(event) => event,
            Err(NoEvent::TimedOut) => continue,
            Err(end) => return Err(end.into()),
        };
        match show::event(&event, show::unix_ms(), filter) {
            Some(line) => show::print(line)?,
            None => tell_trouble(&event),
        }
    }
    Ok(())
}

/// Draws the table until a key or a signal ends it.
fn table(
    terminal: &mut ratatui::DefaultTerminal,
    node: &Node,
    filter: Filter,
    ended: &AtomicBool,
) -> Result<(), Failure> {
    let started = Instant::now();
    let mut model = Model::new(format!("{}:{}", node.multicast(), node.port()), filter);
    let (mut again, mut drawn, mut is_old) = (false, started, true);
    while !ended.load(Ordering::Relaxed) {
        if !again && started.elapsed() >= ASK_AGAIN {
            again = true;
            node.ask()?;
        }
        while let Some(event) = node.event_source().try_next() {
            is_old |= model.note(&event, show::unix_ms());
        }
        if is_old || drawn.elapsed() >= REDRAW {
            model.refresh(node.nodes(), show::unix_ms());
            terminal
                .draw(|frame| view::view(&model, frame))
                .map_err(|error| terminal_failed(&error))?;
            (drawn, is_old) = (Instant::now(), false);
        }
        if event::poll(LOOK).map_err(|error| terminal_failed(&error))? {
            match event::read().map_err(|error| terminal_failed(&error))? {
                Input::Key(key) if key.kind == KeyEventKind::Press => {
                    if model.press(key) {
                        return Ok(());
                    }
                    is_old = true;
                }
                _ => is_old = true,
            }
        }
    }
    Ok(())
}
