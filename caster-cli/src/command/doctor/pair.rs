//! Two hosts at the same time: `caster doctor --serve` on one, `--with` on the other, and the views of both.

use super::host::Host;
use super::rules::Finding;
use super::{observe, report, rules};
use crate::capture::decode::Decoder;
use crate::capture::live::Listener;
use crate::command::ending::signalled;
use crate::failure::Failure;
use crate::network::NetworkArgs;
use crate::progress::Progress;
use crate::show::printable;
use caster_core::Node;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Read;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};
use tiny_http::{Method, Request, Response, Server};

/// The TCP port of `caster doctor --serve`.
pub const PORT: u16 = 9465;

/// The version of the exchange; both have to have the same.
const VERSION: u32 = 1;

/// Pages of browsers cannot send this header to another origin without asking, and the question is refused.
const HEADER: (&str, &str) = ("X-Caster", "doctor");

const SAME: &str = "Install the same version of caster on both hosts.";

/// The largest view that is read.
const MAX_VIEW: u64 = 4 << 20;
/// The most senders that are told apart.
const MAX_SENDERS: usize = 4096;
/// The longest time that another host may ask for.
const LONGEST: Duration = Duration::from_secs(60);
/// The other host is waited for beyond the time of listening: it may ask some nodes again.
const SLACK: Duration = Duration::from_secs(30);
/// The time between two looks at the end of the command.
const LOOK: Duration = Duration::from_millis(100);

/// Datagrams of one sender.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Heard {
    pub total: u64,
    /// Those that pass all checks here.
    pub accepted: u64,
}

/// All that one host tells the other.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct View {
    pub version: u32,
    pub group: IpAddr,
    pub port: u16,
    /// The addresses of the host beyond loopback.
    pub addresses: Vec<IpAddr>,
    /// The datagrams to the group by sender.
    pub heard: BTreeMap<IpAddr, Heard>,
    /// The report for people and for programs.
    pub text: String,
    pub report: Value,
}

#[derive(Debug, Serialize, Deserialize)]
struct Begin {
    version: u32,
    milliseconds: u64,
}

/// Counts the datagrams to the group on a thread.
struct Ear {
    heard: Arc<Mutex<BTreeMap<IpAddr, Heard>>>,
    stop: Arc<AtomicBool>,
}

impl Ear {
    fn start(network: &NetworkArgs) -> Result<Self, Failure> {
        let node = Node::new(&network.options()?)?;
        let decoder = Decoder::new(node.stages(), &[]);
        let listener = Listener::open(network, &node)?;
        let ear = Self { heard: Arc::default(), stop: Arc::default() };
        let (heard, stop) = (Arc::clone(&ear.heard), Arc::clone(&ear.stop));
        thread::spawn(move || {
            // It ends with the ear; an error ends it as well, and nothing more is heard.
            while !stop.load(Ordering::Relaxed)
                && let Ok(datagrams) = listener.next(LOOK)
            {
                let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
                for datagram in datagrams {
                    let from = datagram.from.ip();
                    if heard.len() >= MAX_SENDERS && !heard.contains_key(&from) {
                        continue;
                    }
                    let counts = heard.entry(from).or_default();
                    counts.total += 1;
                    counts.accepted += u64::from(decoder.decode(&datagram).refused.is_none());
                }
            }
        });
        Ok(ear)
    }

    fn heard(&self) -> BTreeMap<IpAddr, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Ear {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The view of this host, and its findings.
struct Look {
    findings: Vec<Finding>,
    view: View,
}

/// Examines this host while the ear listens.
fn look(network: &NetworkArgs, time: Duration, host: Host, ear: &Ear) -> Result<Look, Failure> {
    let observed = observe::observe(network, time, Some(host))?;
    let findings = rules::findings(&observed);
    let addresses = observed.stats.interfaces.iter().flat_map(|it| &it.addresses);
    let view = View {
        version: VERSION,
        group: observed.group,
        port: observed.port,
        addresses: addresses.filter(|it| !it.is_loopback()).copied().collect(),
        heard: ear.heard(),
        text: anstream::adapter::strip_str(&report::to_text(&observed, &findings)).to_string(),
        report: report::to_json(&observed, &findings),
    };
    Ok(Look { findings, view })
}

/// The facts about this host, before sockets are open.
fn host(network: &NetworkArgs) -> Result<Host, Failure> {
    let node = Node::new(&network.options()?)?;
    Ok(Host::look(node.multicast(), node.port()))
}

/// The views of both hosts, as one text or one JSON object, and whether there is a problem.
pub struct Outcome {
    pub text: String,
    pub json: Value,
    pub is_broken: bool,
}

fn outcome(own: &Look, other: &View, name: &str) -> Outcome {
    let between = rules::between(&own.view, other, name);
    let is_problem = |finding: &Finding| finding.severity == rules::Severity::Problem;
    let theirs = other.report["findings"].as_array().into_iter().flatten();
    let is_broken = own.findings.iter().chain(&between).any(is_problem)
        || theirs.into_iter().any(|finding| finding["severity"] == "problem");
    // The text is that of another host.
    let lines: Vec<String> = other.text.lines().map(printable).collect();
    let pair = match between.is_empty() {
        true => "Both hosts hear and understand each other.".to_owned(),
        false => report::findings(&between),
    };
    let text = format!(
        "This host\n\n{}\n\n{name}\n\n{}\n\nBetween both\n{pair}",
        own.view.text,
        lines.join("\n"),
    );
    let mut json = own.view.report.clone();
    json["with"] = json!({
        "host": name,
        "report": other.report,
        "findings": report::findings_json(&between),
    });
    Outcome { text, json, is_broken }
}

/// Examines this host and another one, on which `caster doctor --serve` runs.
///
/// # Errors
/// The other host does not answer, or this one cannot be examined.
pub fn with(network: &NetworkArgs, time: Duration, name: &str) -> Result<Outcome, Failure> {
    let _progress = Progress::begin("Listening together with the other host", None);
    let place = place(name);
    let host = host(network)?;
    let ear = Ear::start(network)?;
    let milliseconds = u64::try_from(time.min(LONGEST).as_millis()).unwrap_or(u64::MAX);
    let begin = post(&place, "begin", &json!(Begin { version: VERSION, milliseconds }), SLACK)?;
    if begin["version"] != VERSION {
        return Err(Failure::network(format!("{name} runs another version of caster"), SAME));
    }
    let own = look(network, time, host, &ear)?;
    let answer = post(&place, "view", &json!(own.view), time + SLACK)?;
    let other: View = serde_json::from_value(answer).map_err(|error| {
        Failure::network(format!("{name}: not the view of a doctor: {error}"), SAME)
    })?;
    Ok(outcome(&own, &other, name))
}

/// Host and port of a name with or without a port.
fn place(name: &str) -> String {
    let has_port = name.parse::<SocketAddr>().is_ok()
        || (name.parse::<IpAddr>().is_err() && name.contains(':') && !name.ends_with(']'));
    match name.parse::<IpAddr>() {
        Ok(IpAddr::V6(address)) => format!("[{address}]:{PORT}"),
        _ if has_port => name.to_owned(),
        _ => format!("{name}:{PORT}"),
    }
}

fn post(place: &str, path: &str, body: &Value, wait: Duration) -> Result<Value, Failure> {
    let failed = |why: &dyn std::fmt::Display| {
        Failure::network(
            format!("{place}: {why}"),
            "Run `caster doctor --serve` there, and permit TCP to its port in the firewall of that host.",
        )
    };
    let answer = minreq::post(format!("http://{place}/{path}"))
        .with_header(HEADER.0, HEADER.1)
        .with_body(body.to_string())
        .with_timeout(wait.as_secs() + 1)
        .send()
        .map_err(|error| failed(&error))?;
    let text = answer.as_str().map_err(|error| failed(&error))?;
    match answer.status_code {
        200 => serde_json::from_str(text).map_err(|error| failed(&error)),
        _ => Err(failed(&printable(text.trim()))),
    }
}

/// Answers `caster doctor --with` of other hosts until a signal.
///
/// # Errors
/// The port cannot be opened, or this host cannot be examined.
pub fn serve(
    network: &NetworkArgs,
    listen: SocketAddr,
    mut tell: impl FnMut(&Outcome) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let ended = signalled()?;
    let server = Server::http(listen).map_err(|error| {
        Failure::network(format!("{listen}: {error}"), "--listen chooses another place.")
    })?;
    let address = server.server_addr();
    anstream::eprintln!(
        "Waiting on TCP {address} for `caster doctor --with THIS-HOST` on another host …"
    );
    while !ended.load(Ordering::Relaxed) {
        let Ok(Some(request)) = server.recv_timeout(LOOK) else { continue };
        let Some((request, begin)) = accept::<Begin>(request, "/begin") else { continue };
        if begin.version != VERSION {
            refuse(request, 400, "another version of caster");
            continue;
        }
        let name =
            request.remote_addr().map_or_else(|| "the other host".into(), |it| it.ip().to_string());
        let host = host(network)?;
        let ear = Ear::start(network)?;
        answer(request, &json!(Begin { version: VERSION, ..begin }));
        let time = Duration::from_millis(begin.milliseconds).min(LONGEST);
        let mut own = look(network, time, host, &ear)?;
        let ends = Instant::now() + SLACK;
        while Instant::now() < ends && !ended.load(Ordering::Relaxed) {
            let Ok(Some(request)) = server.recv_timeout(LOOK) else { continue };
            let Some((request, other)) = accept::<View>(request, "/view") else { continue };
            // It has asked until now.
            own.view.heard = ear.heard();
            answer(request, &json!(own.view));
            tell(&outcome(&own, &other, &name))?;
            break;
        }
    }
    Ok(())
}

/// The body of a request to this path; others are refused.
fn accept<T: for<'de> Deserialize<'de>>(mut request: Request, path: &str) -> Option<(Request, T)> {
    let is_marked = request
        .headers()
        .iter()
        .any(|it| it.field.equiv(HEADER.0) && it.value.as_str() == HEADER.1);
    if *request.method() != Method::Post || !is_marked {
        refuse(request, 403, "this is for `caster doctor --with`");
        return None;
    }
    if request.url() != path {
        refuse(request, 409, "another host is being examined with this one; try again");
        return None;
    }
    let mut body = String::new();
    let read = request.as_reader().take(MAX_VIEW).read_to_string(&mut body);
    match read.ok().and_then(|_| serde_json::from_str(&body).ok()) {
        Some(value) => Some((request, value)),
        None => {
            refuse(request, 400, "not understood");
            None
        }
    }
}

fn answer(request: Request, value: &Value) {
    // The other end may have gone.
    let _ = request.respond(Response::from_string(value.to_string()));
}

fn refuse(request: Request, status: u16, text: &str) {
    let _ = request.respond(Response::from_string(text).with_status_code(status));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_has_a_port() {
        for (name, whole) in [
            ("camera", "camera:9465"),
            ("camera:1", "camera:1"),
            ("10.0.0.1", "10.0.0.1:9465"),
            ("10.0.0.1:2", "10.0.0.1:2"),
            ("fd00::1", "[fd00::1]:9465"),
            ("[fd00::1]", "[fd00::1]:9465"),
            ("[fd00::1]:3", "[fd00::1]:3"),
        ] {
            assert_eq!(place(name), whole);
        }
    }

    fn view(address: &str, heard: &[(&str, u64, u64)]) -> View {
        let heard = heard.iter().map(|(from, total, accepted)| {
            (from.parse().unwrap(), Heard { total: *total, accepted: *accepted })
        });
        View {
            version: VERSION,
            group: "224.0.0.42".parse().unwrap(),
            port: 10101,
            addresses: vec![address.parse().unwrap()],
            heard: heard.collect(),
            text: String::new(),
            report: Value::Null,
        }
    }

    #[test]
    fn the_views_of_both_name_the_direction_that_fails() {
        let (a, b) = ("10.0.0.1", "10.0.0.2");
        let codes = |own: &View, other: &View| {
            let found = rules::between(own, other, "b");
            found.iter().map(|it| it.code).collect::<Vec<_>>()
        };
        let good = [view(a, &[(b, 6, 6), (a, 6, 6)]), view(b, &[(a, 6, 6)])];
        assert_eq!(codes(&good[0], &good[1]), Vec::<&str>::new());
        assert_eq!(codes(&view(a, &[(a, 6, 6)]), &view(b, &[])), ["between-silence"]);
        assert_eq!(codes(&good[0], &view(b, &[])), ["between-deaf-there"]);
        assert_eq!(codes(&view(a, &[]), &good[1]), ["between-deaf-here"]);
        assert_eq!(codes(&view(a, &[(b, 6, 0)]), &good[1]), ["between-secret"]);
        assert_eq!(codes(&good[0], &view(b, &[(a, 6, 0)])), ["between-secret"]);
        let elsewhere = View { port: 4005, ..view(b, &[]) };
        assert_eq!(codes(&good[0], &elsewhere), ["between-group"]);
    }
}
