"""Finds other nodes and prints their events. Argument: options as a JSON object."""

import json
import signal
import sys

import caster

options = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
signal.signal(signal.SIGTERM, signal.default_int_handler)  # the same as Ctrl-C


def show(word, node, text):
    print(word, node.id, text, flush=True)


try:
    with caster.Node({"meta": {"lang": "python"}, **options}) as node:
        while True:
            node.send("hello from Python")
            for event in node.events(timeout=1):
                if isinstance(event, caster.Up):
                    show("up", event.node, json.dumps(event.node.meta))
                elif isinstance(event, caster.Update):
                    show("update", event.node, json.dumps(event.node.meta))
                elif isinstance(event, caster.Down):
                    show("down", event.node, event.reason)
                elif isinstance(event, caster.Message):
                    show("message", event.node, json.dumps(event.message))
except KeyboardInterrupt:
    pass  # the node has left the group
