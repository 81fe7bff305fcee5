"""A Python node in a cycle with its callbacks, which goes when the garbage collector comes.

    collected.py OPTIONS_JSON

Prints the events of a peer (tests/interop/README.md). The line `collect` drops the last reference and calls the
garbage collector, answered by {"ev":"collected","gone":BOOL}. The program goes on until stdin ends. An exception that
is not caught is an `error`.
"""

from __future__ import annotations

import gc
import json
import sys
import threading
import weakref
from typing import Any

import caster


def emit(ev: str, **fields: object) -> None:
    print(json.dumps({"ev": ev, **fields}), flush=True)


def start(options: dict[str, Any]) -> caster.Node:
    node = caster.Node(options)

    def tell(event: Any) -> None:
        known = node.nodes  # A cycle.
        if isinstance(event, (caster.Up, caster.Down)):
            emit(event.name, id=event.node.id, of=len(known))
        else:
            emit(event.name, text=str(event))

    for name in ("up", "down", "error", "hint", "isolated", "rejoined"):
        node.on(name, tell)
    node.up()
    emit("ready")
    return node


def main() -> None:
    sys.unraisablehook = lambda it: emit("error", text=f"unraisable: {it.exc_value!r}")
    threading.excepthook = lambda it: emit("error", text=f"in a thread: {it.exc_value!r}")
    gc.disable()
    node = start(json.loads(sys.argv[1]))
    for line in sys.stdin:
        assert line == "collect\n", line
        reference = weakref.ref(node)
        del node
        gc.collect()
        emit("collected", gone=reference() is None)


main()
