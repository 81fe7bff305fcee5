"""Finds another node, sends it a greeting, and prints the messages of three seconds."""

import caster

with caster.Node(meta={"type": "greeter"}, address="127.0.0.1") as node:
    peer = node.wait_for(lambda n: n.meta["type"] == "greeter", timeout=10)
    print("found", peer.id, "at", peer.address)
    node.send("hello")
    for event in node.events(timeout=3):
        if isinstance(event, caster.Message):
            print(event.node.id, "says", event.message)
