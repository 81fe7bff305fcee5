//! `caster spy`, `record` and `replay` as processes, against nodes on the loopback interface.

use caster_core::{Event, Node, Options};
use serde_json::Value;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

fn run(port: u16, arguments: &[&str]) -> Output {
    run_with(port, arguments, None)
}

fn run_with(port: u16, arguments: &[&str], secret: Option<&str>) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_caster"));
    command.args(arguments).args(["--port", &port.to_string(), "--range", "host"]);
    for name in ["CASTER_SECRET", "CASTER_RANGE", "CASTER_SEEDS"] {
        command.env_remove(name);
    }
    if let Some(secret) = secret {
        command.env("CASTER_SECRET", secret);
    }
    command.env("XDG_CONFIG_HOME", "/nonexistent").output().unwrap()
}

fn out(output: &Output) -> &str {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::str::from_utf8(&output.stdout).unwrap()
}

fn err(output: &Output) -> &str {
    std::str::from_utf8(&output.stderr).unwrap()
}

fn options(port: u16, id: &str) -> Options {
    let options = Options::for_node().with("range", "host").with("port", &port).with("id", id);
    options.with("heartbeat", &200).with("meta", &serde_json::json!({"type": "http"}))
}

fn node(options: &Options) -> Node {
    let node = Node::new(options).unwrap();
    node.up().unwrap();
    node
}

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let name = format!("caster-capture-{}-{name}", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    fn file(&self, name: &str) -> String {
        self.0.join(name).to_str().unwrap().to_owned()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[test]
fn spy_says_which_check_fails_and_which_secret_would_fit() {
    let node = node(&options(23301, "web"));
    let lines = run(23301, &["spy", "--count", "2", "--time", "30s", "--payload"]);
    assert!(out(&lines).contains(" lo "), "{}", out(&lines));
    assert!(out(&lines).contains("heartbeat of web (Caster), accepted, count "), "{}", out(&lines));
    assert!(out(&lines).contains("\n  {\"id\":\"web\""), "{}", out(&lines));
    let other = run_with(23301, &["spy", "--count", "1", "--time", "30s"], Some("another"));
    let part = "refused by hash: Hash does not match; it fits the default secret with sha1, count ";
    assert!(out(&other).contains(part), "{}", out(&other));
    let json =
        run_with(23301, &["spy", "--count", "1", "--time", "30s", "--json"], Some("another"));
    let json: Value = serde_json::from_str(out(&json)).unwrap();
    assert_eq!(
        (&json["kind"], &json["id"], &json["accepted"]),
        (&"heartbeat".into(), &"web".into(), &false.into())
    );
    assert_eq!(json["to"], "224.0.0.42:23301");
    assert!(json["at"].as_f64().unwrap() > 1.6e9 && json["size"].as_u64().unwrap() > 40);
    let none = run(23303, &["spy", "--time", "300ms"]);
    assert_eq!(out(&none), "");
    assert_eq!(node.node_count(), 0, "it is unseen");
}

#[test]
fn spy_tries_secrets_and_keys_of_files() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("tries");
    std::fs::write(folder.file("secret"), "office\n").unwrap();
    let _hashed = node(&options(23305, "hashed").with("hashSecret", "office"));
    let secret = folder.file("secret");
    let found = run(23305, &["spy", "--count", "1", "--time", "30s", "--try-secret-file", &secret]);
    assert!(out(&found).contains("it fits "), "{}", out(&found));
    assert!(out(&found).contains("secret with sha1, count "), "{}", out(&found));
    let key = caster_core::Key::generate().unwrap();
    let keys = folder.file("keys");
    std::fs::write(&keys, &*key.to_hex()).unwrap();
    std::fs::set_permissions(&keys, std::fs::Permissions::from_mode(0o600)).unwrap();
    let _sealed = node(&options(23307, "sealed").keys([key.clone()]));
    let unknown = run(23307, &["spy", "--count", "1", "--time", "30s"]);
    assert!(out(&unknown).contains("sealed, refused by hash"), "{}", out(&unknown));
    let found = run(23307, &["spy", "--count", "1", "--time", "30s", "--try-key-file", &keys]);
    assert!(out(&found).contains(&format!("it fits key {}", key.id())), "{}", out(&found));
    assert!(out(&found).contains("heartbeat of sealed (Caster)"), "{}", out(&found));
    let own = run(23307, &["spy", "--count", "1", "--time", "30s", "--key-file", &keys]);
    assert!(out(&own).contains("heartbeat of sealed (Caster), accepted"), "{}", out(&own));
}

#[test]
fn a_recording_is_decoded_replayed_in_memory_and_sent_again() {
    use std::os::unix::fs::PermissionsExt;
    let folder = Folder::new("record");
    let file = folder.file("fault.pcapng");
    let node = node(&options(23309, "recorded"));
    let leaves = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_secs(2));
        node.down().unwrap();
    });
    let recorded = run(23309, &["record", &file, "--time", "4s"]);
    leaves.join().unwrap();
    assert!(err(&recorded).contains(" datagrams"), "{}", err(&recorded));
    out(&recorded);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let again = run(23309, &["record", &file]);
    assert_eq!(again.status.code(), Some(2));
    assert!(err(&again).contains("never overwritten"), "{}", err(&again));

    let decoded = run(23309, &["spy", "--file", &file]);
    assert!(out(&decoded).lines().count() >= 8, "{}", out(&decoded));
    assert!(out(&decoded).contains("leave of recorded (Caster), accepted"), "{}", out(&decoded));

    // In memory it comes and goes as it did, in no time.
    let started = Instant::now();
    let told = run(23309, &["replay", &file, "--to", "memory", "--after", "20m"]);
    assert!(started.elapsed() < Duration::from_secs(60));
    let lines: Vec<&str> = out(&told).lines().map(|line| &line[21..]).collect();
    let address = lines[0].rsplit(' ').nth(1).unwrap();
    assert_eq!(
        lines,
        [format!("up recorded {address} type=http"), format!("down recorded {address} goodbye")]
    );
    let other = run_with(23309, &["replay", &file, "--to", "memory"], Some("another"));
    assert_eq!(out(&other), "");
    assert!(err(&other).contains("dropped: ") && err(&other).contains(" hash"), "{}", err(&other));

    // On the network a node hears it.
    let listener = self::node(&options(23309, "listener"));
    out(&run(23309, &["replay", &file, "--fast"]));
    let ends = Instant::now() + Duration::from_secs(30);
    loop {
        let left = ends.saturating_duration_since(Instant::now());
        match listener.next_event(Some(left)).expect("the recorded node comes up") {
            Event::Up(peer) if peer.id == "recorded" => break,
            _ => {}
        }
    }
    let wrong = run(23311, &["replay", &file]);
    assert_eq!(wrong.status.code(), Some(2));
    assert!(err(&wrong).contains("give --group 224.0.0.42 --port 23309"), "{}", err(&wrong));
}
