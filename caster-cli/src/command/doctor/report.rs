//! The report, for people and as JSON.

use super::observe::{Observed, QUESTIONS};
use super::rules::{Finding, Severity};
use crate::show::{self, printable, table};
use anstyle::{AnsiColor, Style};
use caster_core::InterfaceStats;
use serde_json::{Value, json};

/// The version of the JSON object. It rises when a key changes its meaning.
const VERSION: u32 = 1;

fn querier(seen: &Observed) -> String {
    match &seen.sniffed {
        Some(sniffed) if !sniffed.queriers.is_empty() => {
            let all: Vec<String> = sniffed.queriers.iter().map(ToString::to_string).collect();
            all.join(", ")
        }
        Some(_) => "none heard".into(),
        None => "cannot tell".into(),
    }
}

pub fn to_json(seen: &Observed, findings: &[Finding]) -> Value {
    let interfaces = seen.stats.interfaces.iter().map(|it| {
        let name = it.interface.name();
        json!({
            "name": name,
            "kind": seen.host.kind(name).name(),
            "addresses": it.addresses,
            "up": it.up,
            "joined": it.joined,
            "error": it.error,
            "mtu": it.mtu,
            "sent": it.sent,
            "echoes": it.echoes,
            "received": it.received,
            "peers": peers_on(seen, it),
            "igmp": seen.host.igmp.get(name),
        })
    });
    let peers = seen.peers.iter().map(|heard| {
        json!({
            "id": heard.peer.id.as_str(),
            "address": heard.peer.scoped_address().to_string(),
            "interface": show::interface(&heard.peer),
            "original": heard.is_original(),
            "thisHost": heard.is_here,
            "answers": heard.answers,
            "questions": QUESTIONS,
        })
    });
    json!({
        "version": VERSION,
        "group": seen.group,
        "port": seen.port,
        "interfaces": Value::from_iter(interfaces),
        "nodes": Value::from_iter(peers),
        "querier": querier(seen),
        "receiveBuffer": seen.stats.receive_buffer,
        "kernelDrops": seen.stats.kernel_drops,
        "reassemblyFailures": seen.stats.reassembly_failures,
        "hints": seen.told,
        "findings": findings_json(findings),
    })
}

/// The findings as an array of objects.
pub fn findings_json(findings: &[Finding]) -> Value {
    let object = |finding: &Finding| {
        json!({
            "code": finding.code,
            "severity": finding.severity.name(),
            "text": finding.text,
            "advice": finding.advice,
        })
    };
    findings.iter().map(object).collect()
}

/// The number of nodes that are heard on an interface.
fn peers_on(seen: &Observed, interface: &InterfaceStats) -> usize {
    let on = |known: &caster_core::PeerAddress| known.interface == Some(interface.interface);
    seen.peers.iter().filter(|heard| heard.peer.addresses.iter().any(on)).count()
}

pub fn to_text(seen: &Observed, findings: &[Finding]) -> String {
    let mut text = format!("Group {} port {}\n\n", seen.group, seen.port);
    text += &interfaces(seen);
    if !seen.peers.is_empty() {
        text += "\n\n";
        text += &nodes(seen);
    }
    text += &format!("\n\nIGMP querier: {}\n", querier(seen));
    text += &format!(
        "Receive buffer: {} bytes, {} datagrams dropped by the system; {} not assembled from fragments\n",
        seen.stats.receive_buffer, seen.stats.kernel_drops, seen.stats.reassembly_failures
    );
    text += &self::findings(findings);
    if findings.iter().all(|finding| finding.severity == Severity::Note) {
        text += "\nNo problem was found.";
    }
    text
}

/// The findings for people, each after the end of a line.
pub fn findings(findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        let colour = match finding.severity {
            Severity::Problem => AnsiColor::Red,
            Severity::Warning => AnsiColor::Yellow,
            Severity::Note => AnsiColor::Blue,
        };
        let style = Style::new().bold().fg_color(Some(colour.into()));
        let (name, code) = (finding.severity.name(), finding.code);
        text +=
            &format!("\n{style}{name}{style:#} [{code}] {}\n  {}", finding.text, finding.advice);
    }
    text
}

fn interfaces(seen: &Observed) -> String {
    let mut rows =
        table(&["INTERFACE", "KIND", "ADDRESS", "JOINED", "SENT", "OWN", "NODES", "MTU", "IGMP"]);
    for it in &seen.stats.interfaces {
        let name = it.interface.name();
        let addresses: Vec<String> = it.addresses.iter().map(ToString::to_string).collect();
        let joined = match (it.joined, it.up) {
            (true, _) => "yes",
            (false, true) => "no",
            (false, false) => "down",
        };
        rows.add_row([
            name.to_owned(),
            seen.host.kind(name).name().to_owned(),
            addresses.join(" "),
            joined.to_owned(),
            it.sent.to_string(),
            it.echoes.to_string(),
            peers_on(seen, it).to_string(),
            it.mtu.to_string(),
            seen.host.igmp.get(name).cloned().unwrap_or_else(|| "?".into()),
        ]);
    }
    rows.trim_fmt()
}

fn nodes(seen: &Observed) -> String {
    let mut rows = table(&["NODE", "ADDRESS", "INTERFACE", "HEARS THIS HOST"]);
    for heard in &seen.peers {
        let hears = match heard.is_original() {
            true => "cannot tell: caster 0.1.1".to_owned(),
            false => format!("answered {} of {QUESTIONS}", heard.answers),
        };
        rows.add_row([
            printable(&heard.peer.id.as_str()),
            heard.peer.scoped_address().to_string(),
            show::interface(&heard.peer).unwrap_or("?").to_owned(),
            hears,
        ]);
    }
    rows.trim_fmt()
}
