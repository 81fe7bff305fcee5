"""The peer program of the Python package; README.md has its protocol.

    peer.py OPTIONS_JSON

`caster` is imported from the environment.
"""

import json
import os
import sys
import threading

import caster

lock = threading.Lock()


def emit(ev, **fields):
    with lock:
        print(json.dumps({"ev": ev, **fields}), flush=True)


def describe(info):
    return {"id": info.id, "address": info.address, "meta": info.meta}


class Peer:
    def __init__(self, options):
        keys = os.environ.get("CASTER_KEYS", "").split()
        seed = os.environ.get("CASTER_IDENTITY")
        trust = os.environ.get("CASTER_TRUST", "").split()
        self.node = caster.Node(options, keys=keys or None, identity=seed, trust=trust or None)
        self.watcher = None

    def up(self):
        self.node.up()
        emit("ready")
        self.watcher = threading.Thread(target=self.watch, daemon=True)
        self.watcher.start()

    def watch(self):
        for event in self.node.events():
            if isinstance(event, (caster.Up, caster.Update)):
                emit(event.name, **describe(event.node))
            elif isinstance(event, caster.Down):
                emit("down", id=event.node.id, reason=event.reason)
            elif isinstance(event, caster.Message):
                emit("message", id=event.node.id, message=event.message, signed=event.signed)
            elif isinstance(event, caster.ErrorEvent):
                emit("error", text=str(event.error))
            elif isinstance(event, caster.Hint):
                emit("hint", text=event.text)
            else:
                emit(event.name)

    def down(self):
        self.node.down()
        self.watcher.join()
        emit("gone")

    def execute(self, line):
        command, _, argument = line.partition(" ")
        if command == "send":
            emit("sent", bytes=self.node.send(json.loads(argument)))
        elif command == "up":
            self.up()
        elif command == "down":
            self.down()
        elif command == "nodes":
            nodes = [describe(info) for info in self.node.nodes.values()]
            emit("nodes", nodes=nodes)
        elif command == "stats":
            emit("stats", stats=self.node.stats())
        elif command in ("add_key", "use_key", "remove_key"):
            getattr(self.node, command)(argument)
            emit("keys", ids=self.node.key_ids)
        elif command == "drop":
            sys.exit(0)
        elif command == "identity":
            emit("identity", key=self.node.identity_of(argument))
        elif command == "quit":
            os._exit(0)
        elif command:
            emit("error", text=f"unknown command: {line}")


def main():
    peer = Peer(json.loads(sys.argv[1]))
    peer.up()
    for line in sys.stdin:
        try:
            peer.execute(line.strip())
        except Exception as error:
            emit("error", text=str(error))
    if peer.node.is_up:
        peer.down()


main()
