"""Says hello to the nodes on the LAN and prints what it hears. Ctrl-C ends it.

The optional argument is a JSON object of options.
"""

import json
import signal
import sys

import caster

options = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
node = caster.Node({"meta": {"lang": "python"}, **options})


def show(word, peer, value):
    print(f"{word:7} {peer.id} {json.dumps(value, separators=(',', ':'))}", flush=True)


signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C does
try:
    with node:
        for event in node.events():
            if isinstance(event, caster.Up):
                show("up", event.node, event.node.meta)
                node.send("hello from Python")
            elif isinstance(event, caster.Update):
                show("update", event.node, event.node.meta)
            elif isinstance(event, caster.Down):
                show("down", event.node, event.reason)
            elif isinstance(event, caster.Message):
                show("message", event.node, event.message)
except KeyboardInterrupt:
    pass  # the node has said goodbye
