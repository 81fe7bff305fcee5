//! Output for people and for programs.

use crate::failure::Failure;
use crate::filter::Filter;
use caster_core::{Event, Peer};
use comfy_table::{ContentArrangement, Table, presets};
use serde_json::{Map, Value, json};
use std::io::{self, Write};
use std::time::{Duration, SystemTime};

/// The form of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Columns for people
    Table,
    /// One JSON array
    Json,
    /// One JSON object a line
    Jsonl,
    /// Comma-separated values with a header (RFC 4180)
    Csv,
}

/// The text with control characters and those that change the direction of text escaped. Ids and metadata
/// come from the network, and a terminal obeys control characters.
pub fn printable(text: &str) -> String {
    let is_harmful = |c: char| {
        c.is_control()
            || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let escape = |c: char| match is_harmful(c) {
        true => c.escape_unicode().to_string(),
        false => c.to_string(),
    };
    text.chars().map(escape).collect()
}

/// Milliseconds since 1970 by the wall clock.
pub fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// A time span in one or two units, as in `3m 20s`; below ten seconds in seconds with one decimal.
pub fn span(span: Duration) -> String {
    match span.as_secs() {
        0..10 => format!("{:.1}s", span.as_secs_f64()),
        seconds @ 10..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        seconds @ 3600..86400 => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
        seconds => format!("{}d {}h", seconds / 86400, seconds / 3600 % 24),
    }
}

/// The time since a moment of the wall clock.
pub fn age(unix_ms: u64, now: u64) -> String {
    span(Duration::from_millis(now.saturating_sub(unix_ms)))
}

/// A moment of the wall clock in UTC, as in `2026-01-31T12:00:00Z`.
pub fn moment(unix_ms: u64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_millis(unix_ms);
    humantime::format_rfc3339_seconds(time).to_string()
}

/// The time of day of a moment in UTC, from microseconds since 1970, as in `12:00:00.123`.
pub fn clock(unix_us: u64) -> String {
    let time = SystemTime::UNIX_EPOCH + Duration::from_micros(unix_us);
    let text = humantime::format_rfc3339_millis(time).to_string();
    text.get(11..23).unwrap_or_default().to_owned()
}

/// The line for an event about a wanted node: the time, the event, the node, its address, and its metadata or the
/// reason. `None` for all other events.
pub fn event(event: &Event, at: u64, filter: &Filter) -> Option<String> {
    let (Event::Up(peer) | Event::Update { peer, .. } | Event::Down { peer, .. }) = event else {
        return None;
    };
    let end = match event {
        Event::Down { reason, .. } => reason.as_str().to_owned(),
        _ => meta(peer),
    };
    let (at, name, id) = (moment(at), event.name(), printable(&peer.id.as_str()));
    let line = format!("{at} {name} {id} {} {end}", peer.scoped_address());
    filter.holds_for(peer).then(|| line.trim_end().to_owned())
}

/// The name of the interface on which the address of a peer is heard.
pub fn interface(peer: &Peer) -> Option<&str> {
    let known = peer.addresses.iter().find(|known| known.address == peer.address)?;
    known.interface.as_ref().map(|interface| interface.name())
}

/// The metadata as JSON for people: at most so many characters, without braces around an object of plain values.
pub fn meta(peer: &Peer) -> String {
    let Some(text) = peer.meta.as_deref() else { return String::new() };
    let plain = |value: &Value| !value.is_object() && !value.is_array();
    let word = |value: &Value| match value {
        Value::String(text) => printable(text),
        other => other.to_string(),
    };
    match serde_json::from_str::<Value>(text) {
        Ok(Value::Object(members)) if members.values().all(plain) => {
            let pairs =
                members.iter().map(|(key, value)| format!("{}={}", printable(key), word(value)));
            pairs.collect::<Vec<_>>().join(" ")
        }
        Ok(value) if plain(&value) => word(&value),
        // It is ASCII with escapes, or valid JSON at least.
        _ => printable(text),
    }
}

/// Alive or suspect.
pub fn state(peer: &Peer) -> &'static str {
    if peer.suspect { "suspect" } else { "alive" }
}

/// The peer as the bindings show it, with its state and interface.
pub fn to_json(peer: &Peer) -> Value {
    let mut text = String::new();
    peer.write_json(&mut text);
    let parsed = serde_json::from_str(&text);
    let mut members: Map<String, Value> = parsed.unwrap_or_else(|_| {
        // Numbers beyond those of JSON's readers, as 1e999, which JavaScript accepts.
        let mut members = Map::new();
        members.insert("id".into(), json!(peer.id.as_str()));
        members.insert("address".into(), json!(peer.scoped_address().to_string()));
        members.insert("firstSeen".into(), json!(peer.first_seen));
        members.insert("lastSeen".into(), json!(peer.last_seen));
        members.insert("metaText".into(), json!(peer.meta.as_deref()));
        members
    });
    members.insert("interface".into(), json!(interface(peer)));
    members.insert("state".into(), json!(state(peer)));
    Value::Object(members)
}

/// A table without lines, as wide as the terminal.
pub fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_preset(presets::NOTHING).set_header(header);
    if let Some((terminal_size::Width(width), _)) = terminal_size::terminal_size() {
        table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table
}

/// Writes a text and a newline to standard output. A reader that has closed its end of a pipe is no failure.
///
/// # Errors
/// Standard output cannot be written, as when a disk is full.
pub fn print(text: impl std::fmt::Display) -> Result<(), Failure> {
    let mut out = anstream::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::network(
            format!("standard output: {error}"),
            "Write to another file, or make room on the disk.",
        )),
        Ok(()) => Ok(()),
    }
}

/// Writes a list of peers, sorted by id.
///
/// # Errors
/// As [`print`].
pub fn peers(peers: &[Peer], format: Format) -> Result<(), Failure> {
    let mut peers: Vec<&Peer> = peers.iter().collect();
    peers.sort_by(|a, b| a.id.cmp(&b.id));
    match format {
        Format::Table => print(peer_table(&peers, unix_ms())),
        Format::Json => print(Value::from_iter(peers.iter().map(|peer| to_json(peer)))),
        Format::Jsonl => peers.iter().try_for_each(|peer| print(to_json(peer))),
        Format::Csv => print(peer_csv(&peers)?.trim_end()),
    }
}

fn peer_table(peers: &[&Peer], now: u64) -> String {
    let mut table = table(&["ID", "ADDRESS", "INTERFACE", "STATE", "HEARD", "METADATA"]);
    for peer in peers {
        table.add_row([
            printable(&peer.id.as_str()),
            peer.scoped_address().to_string(),
            interface(peer).unwrap_or("?").to_owned(),
            state(peer).to_owned(),
            format!("{} ago", age(peer.last_seen, now)),
            meta(peer),
        ]);
    }
    table.trim_fmt()
}

fn peer_csv(peers: &[&Peer]) -> Result<String, Failure> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    let failed = |error: &dyn std::fmt::Display| {
        Failure::network(format!("CSV: {error}"), "Choose another --format.")
    };
    let header = ["id", "address", "interface", "state", "first_seen", "last_seen", "loss", "meta"];
    writer.write_record(header).map_err(|error| failed(&error))?;
    for peer in peers {
        let record = [
            peer.id.to_string(),
            peer.scoped_address().to_string(),
            interface(peer).unwrap_or_default().to_owned(),
            state(peer).to_owned(),
            moment(peer.first_seen),
            moment(peer.last_seen),
            (f64::from(peer.loss_per_mille) / 1000.0).to_string(),
            peer.meta.as_deref().unwrap_or_default().to_owned(),
        ];
        writer.write_record(record).map_err(|error| failed(&error))?;
    }
    let bytes = writer.into_inner().map_err(|error| failed(&error))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_the_network_cannot_control_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\u{202e}c\n"), "a\\u{1b}[2Jb\\u{202e}c\\u{a}");
        assert_eq!(printable("Zoë 世界 🦀"), "Zoë 世界 🦀");
    }

    #[test]
    fn spans_have_one_or_two_units() {
        let spans = [0, 9_940, 10_000, 200_000, 7_260_000, 90_000_000];
        let texts = spans.map(|ms| span(Duration::from_millis(ms)));
        assert_eq!(texts, ["0.0s", "9.9s", "10s", "3m 20s", "2h 1m", "1d 1h"]);
    }
}
