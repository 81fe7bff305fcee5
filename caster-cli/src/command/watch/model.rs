//! The state of the table. Pure: time is an argument.

use crate::filter::Filter;
use crate::timeline::{Known, State, Timeline};
use caster_core::{Event, NodeId, Peer};
use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use std::collections::HashMap;

/// A node that is down stays in the table for so many milliseconds.
const DOWN_SHOWN: u64 = 10_000;

/// Number of events that are kept.
const EVENTS: usize = 200;

/// The order of the rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sort {
    Id,
    State,
    Address,
    Heard,
    Messages,
}

impl Sort {
    pub fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::State => "state",
            Self::Address => "address",
            Self::Heard => "last heard",
            Self::Messages => "messages",
        }
    }

    fn next(self) -> Self {
        match self {
            Self::Id => Self::State,
            Self::State => Self::Address,
            Self::Address => Self::Heard,
            Self::Heard => Self::Messages,
            Self::Messages => Self::Id,
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mode {
    Table,
    Details,
    Help,
    /// The line of conditions that is being typed, and why it is not accepted.
    Filter(String, Option<String>),
}

#[derive(Debug, Clone)]
pub struct Row {
    pub peer: Peer,
    pub state: State,
    /// Messages a second since the last refresh.
    pub messages: f64,
}

#[derive(Debug)]
pub struct Model {
    pub group: String,
    pub mode: Mode,
    pub sort: Sort,
    pub frozen: bool,
    pub now: u64,
    /// The selected node.
    pub selected: Option<NodeId>,
    /// The conditions as they were typed, or a note that they came from the command line.
    pub filter_text: String,
    pub rows: Vec<Row>,
    pub timeline: Timeline,
    /// All nodes, those of other conditions included.
    pub total: usize,
    filter: Filter,
    messages: HashMap<NodeId, u32>,
    counted_since: u64,
}

impl Model {
    pub fn new(group: String, filter: Filter) -> Self {
        Self {
            group,
            mode: Mode::Table,
            sort: Sort::Id,
            frozen: false,
            now: 0,
            selected: None,
            filter_text: filter.to_string(),
            rows: Vec::new(),
            timeline: Timeline::new(DOWN_SHOWN, EVENTS),
            total: 0,
            filter,
            messages: HashMap::new(),
            counted_since: 0,
        }
    }

    /// Takes an event. Returns whether the table has changed.
    pub fn note(&mut self, event: &Event, now: u64) -> bool {
        if let Event::Message { peer, .. } = event {
            *self.messages.entry(peer.id.clone()).or_default() += 1;
        }
        self.timeline.note(event, now)
    }

    /// Takes the nodes as they are now.
    pub fn refresh(&mut self, peers: Vec<Peer>, now: u64) {
        if self.frozen {
            return;
        }
        let seconds = now.saturating_sub(self.counted_since).max(1) as f64 / 1000.0;
        let is_first = self.counted_since == 0;
        // Refreshes after a key come sooner, and would make rates of few messages.
        let counts = seconds >= 0.9;
        let former: HashMap<NodeId, f64> = match counts {
            true => HashMap::new(),
            false => self.rows.iter().map(|row| (row.peer.id.clone(), row.messages)).collect(),
        };
        let rate = |id: &NodeId| match counts {
            true if is_first => 0.0,
            true => self.messages.get(id).map_or(0.0, |count| f64::from(*count) / seconds),
            false => former.get(id).copied().unwrap_or_default(),
        };
        self.total = peers.len();
        self.timeline.refresh(peers, now);
        let known = self.timeline.nodes_since(0).filter(|it| self.filter.holds_for(&it.peer));
        let row = |it: &Known| Row {
            messages: if it.down.is_some() { 0.0 } else { rate(&it.peer.id) },
            state: it.state(),
            peer: it.peer.clone(),
        };
        let mut rows: Vec<Row> = known.map(row).collect();
        sort(&mut rows, self.sort);
        self.rows = rows;
        if counts {
            self.messages.clear();
            self.counted_since = now;
        }
        self.now = now;
        if self.place().is_none() {
            self.selected = self.rows.first().map(|row| row.peer.id.clone());
        }
    }

    /// The row of the selected node.
    pub fn place(&self) -> Option<usize> {
        let selected = self.selected.as_ref()?;
        self.rows.iter().position(|row| row.peer.id == *selected)
    }

    fn step(&mut self, by: isize) {
        let Some(last) = self.rows.len().checked_sub(1) else { return };
        let place = self.place().unwrap_or_default();
        let place = place.saturating_add_signed(by).min(last);
        self.selected = Some(self.rows[place].peer.id.clone());
    }

    /// Handles a key. Returns whether it ends the command.
    pub fn press(&mut self, key: KeyEvent) -> bool {
        if key.modifiers.contains(KeyModifiers::CONTROL) && key.code == KeyCode::Char('c') {
            return true;
        }
        match &mut self.mode {
            Mode::Filter(line, wrong) => match key.code {
                KeyCode::Esc => self.mode = Mode::Table,
                KeyCode::Enter => match Filter::of_line(line) {
                    Ok(filter) => {
                        self.filter_text = std::mem::take(line);
                        self.filter = filter;
                        self.mode = Mode::Table;
                    }
                    Err(why) => *wrong = Some(why),
                },
                KeyCode::Backspace => {
                    line.pop();
                }
                KeyCode::Char(c) => line.push(c),
                _ => {}
            },
            Mode::Help | Mode::Details => match key.code {
                KeyCode::Char('q') | KeyCode::Esc | KeyCode::Enter | KeyCode::Char('?') => {
                    self.mode = Mode::Table;
                }
                _ => self.press_in_table(key.code),
            },
            Mode::Table if matches!(key.code, KeyCode::Char('q') | KeyCode::Esc) => return true,
            Mode::Table => self.press_in_table(key.code),
        }
        false
    }

    fn press_in_table(&mut self, key: KeyCode) {
        match key {
            KeyCode::Up | KeyCode::Char('k') => self.step(-1),
            KeyCode::Down | KeyCode::Char('j') => self.step(1),
            KeyCode::PageUp => self.step(-10),
            KeyCode::PageDown => self.step(10),
            KeyCode::Home | KeyCode::Char('g') => self.step(isize::MIN),
            KeyCode::End | KeyCode::Char('G') => self.step(isize::MAX),
            KeyCode::Enter if self.selected.is_some() => self.mode = Mode::Details,
            KeyCode::Char('?') => self.mode = Mode::Help,
            KeyCode::Char('/') => self.mode = Mode::Filter(self.filter_text.clone(), None),
            KeyCode::Char('f') => self.frozen = !self.frozen,
            KeyCode::Char('s') => {
                self.sort = self.sort.next();
                sort(&mut self.rows, self.sort);
            }
            _ => {}
        }
    }
}

fn sort(rows: &mut [Row], by: Sort) {
    rows.sort_by(|a, b| {
        let first = match by {
            Sort::Id => std::cmp::Ordering::Equal,
            Sort::State => a.state.cmp(&b.state),
            Sort::Address => a.peer.address.cmp(&b.peer.address),
            Sort::Heard => a.peer.last_seen.cmp(&b.peer.last_seen),
            Sort::Messages => b.messages.total_cmp(&a.messages),
        };
        first.then_with(|| a.peer.id.cmp(&b.peer.id))
    });
}
