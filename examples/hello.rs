//! Finds peers, prints their events and messages. Arguments: options as a JSON object.

use caster_core::{Event, Node, Options};
use std::time::{Duration, Instant};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut options = Options::for_node().with("meta", &serde_json::json!({"lang": "rust"}));
    if let Some(given) = std::env::args().nth(1) {
        options.merge_json(&given)?;
    }
    let node = Node::new(&options)?;
    node.up()?;
    let start = Instant::now();
    let mut said = 0;
    while start.elapsed() < Duration::from_secs(10) {
        if start.elapsed().as_secs() >= said {
            node.send("hello from Rust")?;
            said += 1;
        }
        match node.next_event(Some(Duration::from_millis(100))) {
            Ok(Event::Up(peer)) => println!("up {} {}", peer.id, peer.meta.unwrap_or_default()),
            Ok(Event::Down { peer, reason }) => println!("down {} {}", peer.id, reason.as_str()),
            Ok(Event::Message { message, peer }) => {
                println!("message {} {}", peer.id, message.as_json().unwrap_or_default());
            }
            Ok(Event::Error(error)) => println!("error - {error}"),
            _ => {}
        }
    }
    node.down()?;
    Ok(())
}
