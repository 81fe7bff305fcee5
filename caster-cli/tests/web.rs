//! `caster web` as a process, against nodes on the loopback interface.

use caster_core::{Node, Options};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const DEADLINE: Duration = Duration::from_secs(30);

fn command(group: u16, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_caster"));
    command.args(["web", "--udp-port", &group.to_string(), "--range", "host"]).args(arguments);
    for name in ["CASTER_SECRET", "CASTER_RANGE", "CASTER_SEEDS"] {
        command.env_remove(name);
    }
    command.env("XDG_CONFIG_HOME", "/nonexistent").stderr(Stdio::piped());
    command
}

/// The command, on a free port.
struct Web {
    child: Child,
    address: SocketAddr,
}

impl Web {
    fn start(group: u16, arguments: &[&str]) -> Self {
        let mut child = command(group, &[&["--port", "0"], arguments].concat()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let place = line.trim().strip_prefix("http://").and_then(|it| it.strip_suffix('/'));
        let address = place.unwrap_or_else(|| panic!("{line}")).parse().unwrap();
        Self { child, address }
    }

    fn open(&self, head: &str) -> TcpStream {
        let mut stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        stream.write_all(head.replace('\n', "\r\n").as_bytes()).unwrap();
        stream
    }

    /// The status, the head and the body of an answer.
    fn exchange(&self, head: &str) -> (u16, String, String) {
        let mut text = String::new();
        self.open(head).read_to_string(&mut text).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{text}"));
        (head.split(' ').nth(1).unwrap().parse().unwrap(), head.to_owned(), body.to_owned())
    }

    fn get(&self, path: &str) -> (u16, String, String) {
        let host = self.address;
        self.exchange(&format!("GET {path} HTTP/1.1\nHost: {host}\nConnection: close\n\n"))
    }

    fn json(&self, path: &str) -> Value {
        let (status, head, body) = self.get(path);
        assert_eq!(status, 200, "{body}");
        assert!(head.contains("Content-Type: application/json"), "{head}");
        serde_json::from_str(&body).unwrap()
    }

    /// Repeats a look until it is right.
    fn until<T>(&self, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        let ends = Instant::now() + DEADLINE;
        loop {
            if let Some(found) = look(self) {
                return found;
            }
            assert!(Instant::now() < ends, "it does not come");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

impl Drop for Web {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn node(group: u16, id: &str, meta: &Value) -> Node {
    let options = Options::for_node().with("range", "host").with("port", &group);
    let node = Node::new(&options.with("id", id).with("meta", meta)).unwrap();
    node.up().unwrap();
    node
}

#[test]
fn the_page_and_the_answers_for_programs_are_on_one_port() {
    let nodes = [
        node(23201, "web", &json!({"type": "http", "port": 8080, "tags": ["<b>"]})),
        node(23201, "db", &json!({"type": "db"})),
    ];
    let web = Web::start(23201, &[]);
    web.until(|web| (web.json("/api/nodes").as_array().unwrap().len() == 2).then_some(()));
    let some = web.json("/api/nodes?where=type%3Dhttp");
    assert_eq!(some.as_array().unwrap().len(), 1);
    assert_eq!((&some[0]["id"], &some[0]["interface"]), (&"web".into(), &"lo".into()));
    assert_eq!((&some[0]["version"], &some[0]["state"]), (&"caster".into(), &"alive".into()));
    assert_eq!(web.json("/api/nodes?id=db")[0]["id"], "db");
    assert_eq!(web.json("/api/nodes?id=none"), json!([]));
    let targets = web.json("/sd?where=type%3Dhttp");
    assert_eq!(targets[0]["targets"], json!(["127.0.0.1:8080"]));
    assert_eq!(targets[0]["labels"]["__meta_caster_meta_type"], "http");
    assert_eq!(web.json("/sd?port=other"), json!([]));
    let (status, head, metrics) = web.get("/metrics");
    assert_eq!(status, 200);
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    assert!(metrics.contains("\ncaster_nodes{state=\"alive\"} 2\n"), "{metrics}");
    assert!(
        metrics.contains("\ncaster_node_loss_ratio{id=\"db\",address=\"127.0.0.1\"} 0\n"),
        "{metrics}"
    );
    assert_eq!(web.get("/healthz").2, "ok\n");
    for (path, kind, part) in [
        ("/", "text/html", "<title>caster</title>"),
        ("/page.js", "text/javascript", "EventSource"),
        ("/page.css", "text/css", "--suspect"),
    ] {
        let (status, head, body) = web.get(path);
        assert_eq!(status, 200, "{path}");
        assert!(head.contains(kind) && body.contains(part), "{path}: {head}");
        assert!(head.contains("Content-Security-Policy: default-src 'self';"), "{head}");
        assert!(!body.contains("https://"), "{path} has no external resources");
    }
    for path in ["/nothing", "/../etc/passwd", "/page.html", "//"] {
        assert_eq!(web.get(path).0, 404, "{path}");
    }
    for path in ["/api/nodes?where=%3D1", "/api/nodes?x=1", "/sd?id=web"] {
        assert_eq!(web.get(path).0, 400, "{path}");
    }
    for method in ["POST", "PUT", "DELETE", "OPTIONS"] {
        let head = format!(
            "{method} / HTTP/1.1\nHost: {}\nContent-Length: 0\nConnection: close\n\n",
            web.address
        );
        assert_eq!(web.exchange(&head).0, 405, "{method}");
    }
    assert!(nodes.iter().all(|node| node.node_count() == 1), "they see each other only");
}

#[test]
fn other_names_and_origins_get_nothing() {
    let _node = node(23203, "secret-name", &json!(null));
    let web = Web::start(23203, &["--name", "dash.lan"]);
    web.until(|web| (!web.json("/api/nodes").as_array().unwrap().is_empty()).then_some(()));
    let own = web.address;
    for path in ["/", "/api/nodes", "/metrics", "/sd", "/healthz", "/events", "/page.js"] {
        for headers in [
            "Host: evil.example".to_owned(),
            format!("Host: evil.example:{}", own.port()),
            format!("Host: {own}\nOrigin: http://evil.example"),
            format!("Host: {own}\nOrigin: null"),
            format!("Host: {own}\nSec-Fetch-Site: cross-site"),
            "X: 1".to_owned(),
        ] {
            let (status, _, body) =
                web.exchange(&format!("GET {path} HTTP/1.1\n{headers}\nConnection: close\n\n"));
            assert!(
                status == 403 && !body.contains("secret-name"),
                "{path} {headers}: {status} {body}"
            );
        }
    }
    for headers in [
        "Host: localhost:1".to_owned(),
        "Host: DASH.lan".to_owned(),
        format!("Host: {own}\nOrigin: http://{own}\nSec-Fetch-Site: same-origin"),
    ] {
        let head = format!("GET /api/nodes HTTP/1.1\n{headers}\nConnection: close\n\n");
        assert_eq!(web.exchange(&head).0, 200, "{headers}");
    }
}

/// The messages of /events.
struct Events(BufReader<TcpStream>);

impl Events {
    fn of(web: &Web) -> Self {
        let mut reader =
            BufReader::new(web.open(&format!("GET /events HTTP/1.1\nHost: {}\n\n", web.address)));
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(reader.read_line(&mut head).unwrap() > 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("text/event-stream"), "{head}");
        Self(reader)
    }

    fn next(&mut self) -> Value {
        loop {
            let mut line = String::new();
            assert!(self.0.read_line(&mut line).unwrap() > 0, "the stream ended");
            if let Some(data) = line.strip_prefix("data: ") {
                return serde_json::from_str(data).unwrap();
            }
        }
    }

    /// Reads until a message has a node in this state.
    fn until(&mut self, id: &str, state: &str) -> Value {
        loop {
            let message = self.next();
            let found = message["nodes"].as_array().unwrap().iter();
            if let Some(node) = found.into_iter().find(|it| it["id"] == id && it["state"] == state)
            {
                return node.clone();
            }
        }
    }
}

#[test]
fn ups_and_downs_are_told_as_they_happen() {
    let first = node(23205, "first", &json!({"n": 1}));
    let web = Web::start(23205, &[]);
    let mut events = Events::of(&web);
    assert_eq!(events.next()["all"], true);
    web.until(|web| (web.json("/api/nodes").as_array().unwrap().len() == 1).then_some(()));
    let mut late = Events::of(&web);
    assert_eq!(late.next()["nodes"][0]["id"], "first");
    let second = node(23205, "second", &json!({"n": 2}));
    for stream in [&mut events, &mut late] {
        assert_eq!(stream.until("second", "alive")["meta"]["n"], 2);
    }
    second.down().unwrap();
    for stream in [&mut events, &mut late] {
        assert_eq!(stream.until("second", "down")["reason"], "goodbye");
    }
    // A page that is opened now is told of the death as well.
    let mut now = Events::of(&web);
    let all = now.next();
    let ids: Vec<&str> =
        all["nodes"].as_array().unwrap().iter().map(|it| it["id"].as_str().unwrap()).collect();
    assert_eq!(ids, ["first", "second"]);
    let names: Vec<&str> =
        all["events"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["up", "up", "down"]);
    drop(first);
}

#[test]
fn a_node_that_no_longer_fulfils_the_conditions_is_gone() {
    let node = node(23207, "web", &json!({"type": "http"}));
    let web = Web::start(23207, &["--where", "type=http"]);
    let mut events = Events::of(&web);
    events.until("web", "alive");
    node.set_meta(&json!({"type": "other"})).unwrap();
    assert_eq!(events.until("web", "down")["reason"], "not listed");
    assert_eq!(web.json("/api/nodes"), json!([]));
    node.set_meta(&json!({"type": "http"})).unwrap();
    events.until("web", "alive");
}

#[test]
fn open_requests_are_bounded_and_the_rest_goes_on() {
    let web = Web::start(23209, &[]);
    let streams: Vec<Events> = (0..128).map(|_| Events::of(&web)).collect();
    assert_eq!(web.get("/healthz").0, 503);
    drop(streams);
    // A stream notices that its other end is gone when it writes.
    let mut number = 0;
    web.until(|web| {
        number += 1;
        drop(node(23209, &format!("n{number}"), &json!(null)));
        (web.get("/healthz").0 == 200).then_some(())
    });
}

#[test]
fn a_signal_ends_it_and_a_port_in_use_is_status_3() {
    let mut web = Web::start(23211, &[]);
    let _open = Events::of(&web);
    let port = web.address.port().to_string();
    let other = command(23211, &["--port", &port]).output().unwrap();
    assert_eq!(other.status.code(), Some(3));
    let text = String::from_utf8(other.stderr).unwrap();
    assert!(text.contains("--port chooses another port"), "{text}");
    rustix::process::kill_process(
        rustix::process::Pid::from_child(&web.child),
        rustix::process::Signal::TERM,
    )
    .unwrap();
    assert_eq!(web.child.wait().unwrap().code(), Some(0));
}
