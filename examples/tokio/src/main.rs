//! Prints its peers and their messages on tokio, greets them once a second, and leaves on Ctrl-C or SIGTERM.
//! Argument: options as a JSON object.

use caster_core::{Event, Node, Options};
use futures_util::StreamExt;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};

type Outcome = Result<(), Box<dyn std::error::Error>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let mut options = Options::for_node().meta("tokio");
    if let Some(given) = std::env::args().nth(1) {
        options.merge_json(&given)?;
    }
    let node = Node::new(&options)?;
    node.up()?;
    let greeting = node.clone(); // another handle of the same node
    tokio::spawn(async move {
        let mut seconds = tokio::time::interval(Duration::from_secs(1));
        loop {
            seconds.tick().await;
            if let Err(error) = greeting.send("hello from tokio") {
                return eprintln!("{error}");
            }
        }
    });
    let mut stop = signal(SignalKind::terminate())?;
    tokio::select! {
        () = follow(&node) => {}
        _ = stop.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    // It takes 8 ms, in which the loop should not stand still.
    tokio::task::spawn_blocking(move || node.down()).await??;
    Ok(())
}

async fn follow(node: &Node) {
    let mut events = node.stream();
    while let Some(event) = events.next().await {
        show(&event);
    }
}

fn show(event: &Event) {
    match event {
        Event::Up(peer) => println!("up {}", peer.id),
        Event::Down { peer, reason } => println!("down {} {}", peer.id, reason.as_str()),
        Event::Message { message, peer } => {
            println!("message {} {}", peer.id, message.as_json().unwrap_or_default())
        }
        _ => {}
    }
}
