"""LAN discovery without a server: programs find each other, know who is alive, and talk.

    import caster

    with caster.Node(meta={"type": "db", "port": 5432}) as node:
        node.send("hello")
        for event in node.events(timeout=10):
            print(event)

`Node` discovers. `Caster` is the layer below: a multicast socket with a pipeline of
`caster.middleware`. Every exception is a `caster.Error`.
"""

from __future__ import annotations

from . import middleware
from ._caster import __version__
from ._node import Node
from ._transport import Caster
from .errors import (
    ArgumentError,
    Error,
    InternalError,
    MiddlewareError,
    NetworkError,
    OptionError,
    StateError,
    TimeoutError,
)
from .events import (
    CasterEvent,
    Conflict,
    Datagram,
    Down,
    ErrorEvent,
    Hint,
    Isolated,
    Message,
    NodeEvent,
    NodeInfo,
    Rejoined,
    Remote,
    Up,
    Update,
)

__all__ = [
    "ArgumentError",
    "Caster",
    "CasterEvent",
    "Conflict",
    "Datagram",
    "Down",
    "Error",
    "ErrorEvent",
    "Hint",
    "InternalError",
    "Isolated",
    "Message",
    "MiddlewareError",
    "NetworkError",
    "Node",
    "NodeEvent",
    "NodeInfo",
    "OptionError",
    "Rejoined",
    "Remote",
    "StateError",
    "TimeoutError",
    "Up",
    "Update",
    "__version__",
    "middleware",
]
