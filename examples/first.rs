//! Finds its peers.

use caster_core::{Event, Node, Options};

fn main() -> caster_core::Result<()> {
    let node = Node::new(&Options::for_node().meta("printer"))?;
    node.up()?;
    for event in node.events() {
        if let Event::Up(peer) = event {
            println!("{} is up", peer.id);
        }
    }
    Ok(())
}
