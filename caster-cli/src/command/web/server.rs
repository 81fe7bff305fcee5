//! The answers to requests.

use super::Shared;
use super::metrics;
use crate::filter::Filter;
use crate::show;
use caster_core::Peer;
use serde_json::Value;
use std::borrow::Cow;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use tiny_http::{Header, Method, Request, Response};

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const PLAIN: &str = "text/plain; charset=utf-8";

/// The page needs nothing from elsewhere, and nothing else may show it in a frame.
const HEADERS: [(&str, &str); 5] = [
    (
        "Content-Security-Policy",
        "default-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
];

/// The number of requests that are answered at the same time, pages that follow the events included.
const MAX_REQUESTS: usize = 128;

/// Changes are told to a page at most this often.
const BETWEEN: Duration = Duration::from_millis(200);

/// A page is sent a line after this time without changes, so that the end of its connection is noticed.
const IDLE: Duration = Duration::from_secs(15);

/// An answer in full.
#[derive(Debug, PartialEq, Eq)]
pub struct Reply {
    pub status: u16,
    pub kind: &'static str,
    pub body: String,
}

impl Reply {
    fn new(kind: &'static str, body: impl Into<String>) -> Self {
        Self { status: 200, kind, body: body.into() }
    }

    fn refusal(status: u16, text: impl Into<String>) -> Self {
        Self { status, kind: PLAIN, body: text.into() + "\n" }
    }
}

/// Answers a request on a thread of its own.
pub fn serve(request: Request, shared: &Arc<Shared>, open: &Arc<AtomicUsize>) {
    if open.fetch_add(1, Ordering::Relaxed) >= MAX_REQUESTS {
        open.fetch_sub(1, Ordering::Relaxed);
        respond(request, Reply::refusal(503, "too many requests are open"));
        return;
    }
    let (shared, counted) = (Arc::clone(shared), Arc::clone(open));
    let work = move || {
        answer(request, &shared);
        counted.fetch_sub(1, Ordering::Relaxed);
    };
    // A request that gets no thread is closed.
    if thread::Builder::new().name("web".into()).spawn(work).is_err() {
        open.fetch_sub(1, Ordering::Relaxed);
    }
}

fn answer(request: Request, shared: &Shared) {
    let header = |name: &'static str| {
        let found = request.headers().iter().find(|it| it.field.equiv(name));
        found.map(|it| it.value.as_str())
    };
    let refusal = shared.names.refuse(header("Host"), header("Origin"), header("Sec-Fetch-Site"));
    let is_read = matches!(request.method(), Method::Get | Method::Head);
    let reply = match (refusal, is_read) {
        (Some(why), _) => Reply::refusal(403, why),
        (None, false) => Reply::refusal(405, "only GET and HEAD are accepted"),
        (None, true) if request.url() == "/events" => return stream(request, shared),
        (None, true) => {
            let (path, query) = request.url().split_once('?').unwrap_or((request.url(), ""));
            route(path, query, shared)
        }
    };
    respond(request, reply);
}

fn respond(request: Request, reply: Reply) {
    let kind = ("Content-Type", reply.kind);
    let mut response = Response::from_string(reply.body).with_status_code(reply.status);
    // It replaces the one of `from_string`.
    for (name, value) in HEADERS.into_iter().chain([kind]) {
        response.add_header(Header::from_bytes(name, value).expect("a constant header"));
    }
    // The other end may have gone.
    let _ = request.respond(response);
}

/// The answer to a path and a query.
fn route(path: &str, query: &str, shared: &Shared) -> Reply {
    match path {
        "/" => Reply::new(HTML, include_str!("page.html")),
        "/page.css" => Reply::new("text/css; charset=utf-8", include_str!("page.css")),
        "/page.js" => Reply::new("text/javascript; charset=utf-8", include_str!("page.js")),
        "/api/nodes" => match wanted(query, shared, &["id"]) {
            Ok((peers, _)) => {
                let all: Value = peers.iter().map(|peer| details(peer, shared)).collect();
                Reply::new(JSON, all.to_string())
            }
            Err(why) => Reply::refusal(400, why),
        },
        "/sd" => match wanted(query, shared, &["port"]) {
            Ok((peers, key)) => {
                let key = key.as_deref().unwrap_or("port");
                Reply::new(JSON, metrics::targets(&peers, key).to_string())
            }
            Err(why) => Reply::refusal(400, why),
        },
        "/metrics" => {
            let (stats, peers) = (shared.node.stats(), sorted(shared.node.nodes()));
            Reply::new(metrics::TEXT, metrics::text(&shared.state().counts, &stats, &peers))
        }
        "/healthz" if shared.is_healthy() => Reply::new(PLAIN, "ok\n"),
        "/healthz" => Reply::refusal(503, "the network is not read"),
        _ => Reply::refusal(404, "not found: / /api/nodes /metrics /sd /healthz /events"),
    }
}

fn sorted(mut peers: Vec<Peer>) -> Vec<Peer> {
    peers.sort_by(|a, b| a.id.cmp(&b.id));
    peers
}

/// The nodes that fulfil the conditions of the query, and the value of another key that it may have.
fn wanted(
    query: &str,
    shared: &Shared,
    known: &[&str],
) -> Result<(Vec<Peer>, Option<String>), String> {
    let pairs: Vec<(Cow<'_, str>, Cow<'_, str>)> =
        form_urlencoded::parse(query.as_bytes()).collect();
    if let Some((name, _)) =
        pairs.iter().find(|(name, _)| name != "where" && !known.contains(&&**name))
    {
        return Err(format!("{name} is not known: give where=CONDITION or {}", known.join(", ")));
    }
    let conditions = pairs.iter().filter(|(name, _)| name == "where").map(|(_, text)| &**text);
    let filter = Filter::of(conditions)?;
    let other = pairs.iter().find(|(name, _)| name != "where").map(|(_, text)| text.to_string());
    let mut peers = sorted(shared.node.nodes());
    peers.retain(|peer| shared.filter.holds_for(peer) && filter.holds_for(peer));
    if let Some((_, id)) = pairs.iter().find(|(name, _)| name == "id") {
        peers.retain(|peer| peer.id.as_str() == *id);
    }
    Ok((peers, other))
}

/// The node with what is known beyond the list.
fn details(peer: &Peer, shared: &Shared) -> Value {
    let mut value = show::to_json(peer);
    if let Some(details) = shared.node.details(&peer.id) {
        value["incarnation"] = details.incarnation.into();
        value["version"] = details.incarnation.map_or("0.1.1", |_| "caster").into();
        value["capabilities"] = details.capability_names().into();
    }
    value
}

/// Sends the state and its changes until the other end is gone or the command ends.
fn stream(request: Request, shared: &Shared) {
    let is_head = *request.method() == Method::Head;
    let mut writer = request.into_writer();
    let mut head =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n".to_owned();
    for (name, value) in HEADERS {
        head += &format!("{name}: {value}\r\n");
    }
    head += "\r\n";
    if writer.write_all(head.as_bytes()).and_then(|()| writer.flush()).is_err() || is_head {
        return;
    }
    let mut version = 0;
    let mut is_first = true;
    while let Some(changes) = shared.wait_beyond(version, is_first, IDLE) {
        let sent = match changes {
            Some((newer, changes)) => {
                version = newer;
                send(&mut writer, &format!("data: {changes}\n\n"))
            }
            None => send(&mut writer, ":\n\n"),
        };
        if sent.is_err() {
            return;
        }
        is_first = false;
        thread::sleep(BETWEEN);
    }
}

fn send(writer: &mut impl Write, text: &str) -> io::Result<()> {
    writer.write_all(text.as_bytes())?;
    writer.flush()
}
