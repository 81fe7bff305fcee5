//! The table on the screen: a pure function of the model.

use super::model::{Mode, Model, Row as Listed};
use crate::show::{self, age, moment, printable};
use crate::timeline::{Entry, State};
use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Text};
use ratatui::widgets::{Block, Clear, Paragraph, Row, Table, TableState, Wrap};

/// Lines of events.
const EVENTS: u16 = 5;

const HELP: &str = "\
Up Down j k   select a node          PageUp PageDown Home End
Enter         details of the node    Esc closes
s             next order: id, state, address, last heard, messages
/             filter by metadata     type=http zone!=test
f             freeze the table, and go on
q             quit

A alive  S suspect: silent, others are asked  D down, shown for 10 s
HEARD: time since the last datagram. LOSS: share of heartbeats lost.";

pub fn view(model: &Model, frame: &mut Frame<'_>) {
    let [head, body, events, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(3),
        Constraint::Length(EVENTS + 1),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(heading(model), head);
    table(model, frame, body);
    let title = Block::new().title_top(" events ").borders(ratatui::widgets::Borders::TOP);
    let newest = model.timeline.entries_since(0).rev().take(usize::from(EVENTS));
    let lines: Vec<Line<'_>> = newest.map(|entry| Line::raw(line(entry))).collect();
    frame.render_widget(Paragraph::new(lines).block(title), events);
    frame.render_widget(footer(model), foot);
    match &model.mode {
        Mode::Help => over(frame, " help ", HELP.into()),
        Mode::Details => over(frame, " details ", details(model)),
        Mode::Table | Mode::Filter(..) => {}
    }
}

fn heading(model: &Model) -> Line<'static> {
    let count = |state: State| model.rows.iter().filter(|row| row.state == state).count();
    let mut text = format!("caster watch {}  {} nodes", model.group, model.total);
    for (state, name) in [(State::Suspect, "suspect"), (State::Down, "down")] {
        if count(state) > 0 {
            text += &format!(", {} {name}", count(state));
        }
    }
    text += &format!("  by {}", model.sort.name());
    if !model.filter_text.is_empty() {
        text += &format!("  where {}", printable(&model.filter_text));
    }
    if model.frozen {
        text += "  FROZEN";
    }
    Line::styled(text, Style::new().add_modifier(Modifier::BOLD))
}

fn letter(state: State) -> &'static str {
    match state {
        State::Alive => "A",
        State::Suspect => "S",
        State::Down => "D",
    }
}

fn line(entry: &Entry) -> String {
    let Entry { at, name, subject, text, .. } = entry;
    let time = moment(*at);
    let time = time.get(11..19).unwrap_or_default();
    let line = format!("{time} {name:<8} {} {}", printable(subject), printable(text));
    line.trim_end().to_owned()
}

fn style(state: State) -> Style {
    match state {
        State::Alive => Style::new().fg(Color::Green),
        State::Suspect => Style::new().fg(Color::Yellow),
        State::Down => Style::new().fg(Color::Red).add_modifier(Modifier::DIM),
    }
}

fn table(model: &Model, frame: &mut Frame<'_>, area: Rect) {
    let header = Row::new(["", "ID", "ADDRESS", "IFACE", "HEARD", "MSG/S", "LOSS", "METADATA"])
        .style(Style::new().add_modifier(Modifier::BOLD));
    let place = model.place();
    // Only the rows that may be seen are built.
    let height = usize::from(area.height.saturating_sub(1)).max(1);
    let first = place.map_or(0, |place| (place + 1).saturating_sub(height));
    let rows = model.rows.iter().skip(first).take(height).map(|row| cells(row, model.now));
    let widths = [
        Constraint::Length(1),
        Constraint::Fill(2),
        Constraint::Length(15),
        Constraint::Length(6),
        Constraint::Length(6),
        Constraint::Length(5),
        Constraint::Length(5),
        Constraint::Fill(3),
    ];
    let table = Table::new(rows, widths)
        .header(header)
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED));
    let mut state = TableState::new().with_selected(place.map(|place| place - first));
    frame.render_stateful_widget(table, area, &mut state);
}

fn cells(row: &Listed, now: u64) -> Row<'static> {
    let peer = &row.peer;
    Row::new([
        letter(row.state).to_owned(),
        printable(&peer.id.as_str()),
        peer.scoped_address().to_string(),
        show::interface(peer).unwrap_or("?").to_owned(),
        age(peer.last_seen, now),
        format!("{:.1}", row.messages),
        format!("{:.1}%", f64::from(peer.loss_per_mille) / 10.0),
        show::meta(peer),
    ])
    .style(style(row.state))
}

fn footer(model: &Model) -> Line<'static> {
    let text = match &model.mode {
        Mode::Filter(line, None) => format!("where: {}_  Enter apply  Esc cancel", printable(line)),
        Mode::Filter(line, Some(why)) => format!("where: {}_  {why}", printable(line)),
        Mode::Help | Mode::Details => "Esc close  Up Down select  q close".into(),
        Mode::Table => {
            let select = if model.rows.is_empty() { "" } else { "Up Down select  Enter details  " };
            let freeze = if model.frozen { "f go on" } else { "f freeze" };
            format!("{select}s sort  / filter  {freeze}  ? help  q quit")
        }
    };
    Line::styled(text, Style::new().add_modifier(Modifier::REVERSED))
}

fn details(model: &Model) -> Text<'static> {
    let Some(row) = model.place().and_then(|place| model.rows.get(place)) else {
        return "The node is gone.".into();
    };
    let peer = &row.peer;
    let mut lines = vec![
        format!("id          {}", printable(&peer.id.as_str())),
        format!("first seen  {}", moment(peer.first_seen)),
        format!("last seen   {}", moment(peer.last_seen)),
    ];
    for known in &peer.addresses {
        let interface = known.interface.as_ref().map_or("?", |it| it.name());
        let heard = age(known.last_seen, model.now);
        lines.push(format!("address     {} on {interface}, {heard} ago", known.scoped_address()));
    }
    let meta = peer.parse_meta::<serde_json::Value>().ok();
    let meta = meta.and_then(|value| serde_json::to_string_pretty(&value).ok()).unwrap_or_default();
    lines.extend(meta.lines().map(printable));
    lines.into_iter().map(Line::from).collect()
}

/// A window over the table.
fn over(frame: &mut Frame<'_>, title: &'static str, text: Text<'static>) {
    let all = frame.area();
    let area = Rect {
        x: all.width / 20,
        y: 2.min(all.height),
        width: all.width - all.width / 10,
        height: (text.height() as u16 + 2).min(all.height.saturating_sub(4)),
    };
    frame.render_widget(Clear, area);
    let block = Block::bordered().title_top(title);
    frame.render_widget(Paragraph::new(text).block(block).wrap(Wrap { trim: false }), area);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::filter::Filter;
    use caster_core::{Node, Options, VirtualNetwork};
    use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;
    use serde_json::json;
    use std::time::Duration;

    struct Scene {
        network: VirtualNetwork,
        watcher: Node,
        nodes: Vec<Node>,
        model: Model,
    }

    impl Scene {
        /// A network whose time and addresses are the same in each run.
        fn new(count: usize) -> Self {
            let network = VirtualNetwork::new(3);
            let watcher = network.node(&Options::for_node().with("expose", &false)).unwrap();
            watcher.up().unwrap();
            let nodes: Vec<Node> = (0..count)
                .map(|at| {
                    let kind = ["web", "db"][at % 2];
                    let options = Options::for_node()
                        .with("id", &format!("{kind}-{at}"))
                        .with("meta", &json!({"type": kind, "port": 8000 + at}));
                    network.node(&options).unwrap()
                })
                .collect();
            for node in &nodes {
                node.up().unwrap();
                // The order of the events does not depend on chance.
                network.advance(Duration::from_millis(50));
            }
            let model = Model::new("224.0.0.42:10101".into(), Filter::default());
            let mut scene = Self { network, watcher, nodes, model };
            scene.pass(3_000);
            scene
        }

        /// The wall clock of the network, near enough.
        fn now(&self) -> u64 {
            self.watcher.nodes().iter().map(|peer| peer.last_seen).max().unwrap_or_default() + 200
        }

        fn pass(&mut self, ms: u64) {
            self.network.advance(Duration::from_millis(ms));
            let now = self.now();
            while let Some(event) = self.watcher.event_source().try_next() {
                self.model.note(&event, now);
            }
            self.model.refresh(self.watcher.nodes(), now);
        }

        fn press(&mut self, keys: &[KeyCode]) -> bool {
            keys.iter().any(|key| self.model.press(KeyEvent::new(*key, KeyModifiers::NONE)))
        }

        fn screen_of(&self, width: u16, height: u16) -> String {
            let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
            terminal.draw(|frame| view(&self.model, frame)).unwrap();
            without_times(&terminal.backend().to_string())
        }

        fn screen(&self) -> String {
            self.screen_of(80, 24)
        }
    }

    /// The text with 0 in place of all digits of times: they depend on the heartbeats' jitter.
    fn without_times(text: &str) -> String {
        let chars: Vec<char> = text.chars().collect();
        let is_time = |at: usize| {
            let near = |by: isize| at.checked_add_signed(by).and_then(|at| chars.get(at).copied());
            let around = [near(-1), near(1), near(2)];
            around.contains(&Some(':'))
                || (near(-2) == Some(':') && near(-1).is_some_and(|it| it.is_ascii_digit()))
                || near(1) == Some('Z')
                || (near(1) == Some('s'))
                || (near(1) == Some('.') && near(3) == Some('s'))
                || near(2) == Some('Z')
        };
        let shown = |(at, c): (usize, &char)| match c.is_ascii_digit() && is_time(at) {
            true => '0',
            false => *c,
        };
        chars.iter().enumerate().map(shown).collect()
    }

    #[test]
    fn a_table_of_80_by_24() {
        insta::assert_snapshot!(Scene::new(3).screen());
    }

    #[test]
    fn an_empty_network() {
        insta::assert_snapshot!(Scene::new(0).screen());
    }

    #[test]
    fn a_node_that_leaves_is_shown_as_down_for_ten_seconds() {
        let mut scene = Scene::new(3);
        scene.nodes[1].down().unwrap();
        scene.pass(500);
        insta::assert_snapshot!(scene.screen());
        scene.pass(11_000);
        assert_eq!(scene.model.rows.len(), 2);
    }

    #[test]
    fn details_of_the_selected_node() {
        let mut scene = Scene::new(3);
        scene.press(&[KeyCode::Down, KeyCode::Enter]);
        insta::assert_snapshot!(scene.screen());
        assert!(!scene.press(&[KeyCode::Esc]), "it closes the window only");
        assert_eq!(scene.model.mode, Mode::Table);
    }

    #[test]
    fn the_help() {
        let mut scene = Scene::new(1);
        scene.press(&[KeyCode::Char('?')]);
        insta::assert_snapshot!(scene.screen());
    }

    fn typed(text: &str) -> Vec<KeyCode> {
        text.chars().map(KeyCode::Char).collect()
    }

    #[test]
    fn a_filter_is_typed_checked_and_applied() {
        let mut scene = Scene::new(4);
        scene.press(&typed("/=1"));
        scene.press(&[KeyCode::Enter]);
        assert!(scene.screen().contains("give KEY, KEY=VALUE or KEY!=VALUE"));
        scene.press(&[KeyCode::Backspace, KeyCode::Backspace]);
        scene.press(&typed("type=db"));
        scene.press(&[KeyCode::Enter]);
        scene.pass(1_000);
        let ids: Vec<_> = scene.model.rows.iter().map(|row| row.peer.id.to_string()).collect();
        assert_eq!(ids, ["db-1", "db-3"]);
        assert!(scene.screen().contains("4 nodes  by id  where type=db"), "{}", scene.screen());
    }

    #[test]
    fn a_frozen_table_does_not_change_and_goes_on() {
        let mut scene = Scene::new(2);
        scene.press(&[KeyCode::Char('f')]);
        scene.nodes[0].down().unwrap();
        scene.pass(500);
        assert_eq!(scene.model.rows.len(), 2);
        assert!(scene.model.rows.iter().all(|row| row.state == State::Alive));
        scene.press(&[KeyCode::Char('f')]);
        scene.pass(500);
        assert_eq!(scene.model.rows[1].state, State::Down);
    }

    #[test]
    fn messages_are_counted_and_sorted_by() {
        let mut scene = Scene::new(3);
        for _ in 0..20 {
            scene.nodes[2].send("x").unwrap();
        }
        scene.press(&[KeyCode::Char('s'); 4]);
        scene.pass(2_000);
        assert_eq!(scene.model.sort.name(), "messages");
        assert_eq!(scene.model.rows[0].peer.id.to_string(), "web-2");
        assert!((5.0..=20.0).contains(&scene.model.rows[0].messages), "{:?}", scene.model.rows[0]);
    }

    #[test]
    fn the_selection_stays_with_its_node_and_on_the_screen() {
        let mut scene = Scene::new(40);
        scene.press(&[KeyCode::End]);
        let last = scene.model.selected.clone().unwrap();
        assert!(scene.screen().contains(&last.to_string()), "{}", scene.screen());
        scene.press(&[KeyCode::Char('s'), KeyCode::Char('s')]);
        scene.pass(1_000);
        assert_eq!(scene.model.selected, Some(last));
        scene.press(&[KeyCode::Home, KeyCode::Up]);
        assert_eq!(scene.model.place(), Some(0));
    }

    #[test]
    fn any_size_of_the_screen_is_drawn() {
        let mut scene = Scene::new(5);
        for keys in [&[][..], &[KeyCode::Enter], &[KeyCode::Char('?')]] {
            scene.press(keys);
            for (width, height) in [(1, 1), (3, 2), (10, 5), (20, 10), (200, 60)] {
                scene.screen_of(width, height);
            }
        }
    }
}
