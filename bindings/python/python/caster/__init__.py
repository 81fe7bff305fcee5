"""LAN discovery without a server: programs find each other, see which are alive, and talk.

    import caster

    with caster.Node(meta={"type": "db", "port": 5432}) as node:
        node.send("hello")
        for event in node.events(timeout=10):
            print(event)

and with asyncio:

    async with caster.Node(meta={"type": "web"}) as node:
        database = await node.wait_for(lambda n: n.meta["type"] == "db", timeout=5)
        async for event in node.events():
            print(event)

`Node` discovers. `Caster` is the layer below: a multicast socket with a pipeline of
`caster.middleware`. `caster.testing` simulates a network in memory for the tests of programs. Every
exception is a `caster.Error`; log records go to the logger `caster`.
"""

from __future__ import annotations

from . import middleware
from ._blocking import Events
from ._caster import (
    Conflict,
    Datagram,
    Down,
    ErrorEvent,
    Hint,
    Isolated,
    Message,
    Peer,
    PeerAddress,
    Rejoined,
    Remote,
    Settled,
    Up,
    Update,
    __version__,
    generate_identity,
    generate_key,
    public_key,
)
from ._common import Nodes
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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import testing
    from ._aio import AsyncCaster, AsyncEvents, AsyncNode
    from ._plain import to_plain
    from ._signals import leave_on_signals
    from ._stats import Dropped, InterfaceStats, Stats
    from ._types import CasterEvent, NodeEvent
    from .options import CasterOptions, NodeOptions

__all__ = [
    "ArgumentError",
    "AsyncCaster",
    "AsyncEvents",
    "AsyncNode",
    "Caster",
    "CasterEvent",
    "CasterOptions",
    "Conflict",
    "Datagram",
    "Down",
    "Dropped",
    "Error",
    "ErrorEvent",
    "Events",
    "Hint",
    "InterfaceStats",
    "InternalError",
    "Isolated",
    "Message",
    "MiddlewareError",
    "NetworkError",
    "Node",
    "NodeEvent",
    "NodeOptions",
    "Nodes",
    "OptionError",
    "Peer",
    "PeerAddress",
    "Rejoined",
    "Remote",
    "Settled",
    "StateError",
    "Stats",
    "TimeoutError",
    "Up",
    "Update",
    "__version__",
    "generate_identity",
    "generate_key",
    "leave_on_signals",
    "middleware",
    "public_key",
    "testing",
    "to_plain",
]

if not TYPE_CHECKING:
    _LATE = {
        "AsyncCaster": "_aio",
        "AsyncEvents": "_aio",
        "AsyncNode": "_aio",
        "CasterEvent": "_types",
        "CasterOptions": "options",
        "Dropped": "_stats",
        "InterfaceStats": "_stats",
        "NodeEvent": "_types",
        "NodeOptions": "options",
        "Stats": "_stats",
        "leave_on_signals": "_signals",
        "testing": None,
        "to_plain": "_plain",
    }

    def __getattr__(name):
        """Imports modules that take long to import when a name of theirs is used."""
        if name not in _LATE:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from importlib import import_module

        module = import_module("." + (_LATE[name] or name), __name__)
        value = module if _LATE[name] is None else getattr(module, name)
        globals()[name] = value
        return value

    def __dir__():
        return sorted({*globals(), *__all__})

    class _Fields:
        """Makes records of the extension module dataclasses for the functions of `dataclasses`."""

        def __get__(self, instance, owner):
            import dataclasses

            fields = dataclasses.make_dataclass(owner.__name__, owner.__match_args__)
            owner.__dataclass_fields__ = fields.__dataclass_fields__
            return owner.__dataclass_fields__

    for _record in (
        *(Conflict, Datagram, Down, ErrorEvent, Hint, Isolated, Message, Peer, PeerAddress),
        *(Rejoined, Remote, Settled, Up, Update),
    ):
        _record.__dataclass_fields__ = _Fields()
        _record.__module__ = "caster"
    del _record
