"""What happens: the events, and what is known about those who caused them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Tuple, Union

from .errors import Error

__all__ = [
    "CasterEvent",
    "Datagram",
    "Down",
    "ErrorEvent",
    "Message",
    "NodeEvent",
    "NodeInfo",
    "Remote",
    "Up",
    "Update",
]


@dataclass(frozen=True)
class NodeInfo:
    """What was known about another node at one moment."""

    id: str
    """Its id. It may hold lone surrogates if the other program is written in JavaScript."""
    address: str
    """The IP address from which it was heard last."""
    first_seen: int
    """When it was heard first: milliseconds since 1970."""
    last_seen: int
    """When it was heard last: milliseconds since 1970."""
    meta: Any = field(default=None, hash=False)
    """Its metadata, any JSON value; None if it has none."""


@dataclass(frozen=True)
class Remote:
    """Where a datagram came from."""

    address: str
    """The IP address of the sender."""
    port: int
    """The port of the sender."""
    family: str
    """`IPv4` or `IPv6`."""
    size: int
    """The size of the datagram on the wire, in bytes."""


@dataclass(frozen=True)
class Up:
    """A node was discovered."""

    name: ClassVar[str] = "up"
    node: NodeInfo


@dataclass(frozen=True)
class Update:
    """A node changed."""

    name: ClassVar[str] = "update"
    node: NodeInfo
    """The node as it is now."""
    changed: Tuple[str, ...]
    """What is new: `meta`, `address` or both."""


@dataclass(frozen=True)
class Down:
    """A node is gone."""

    name: ClassVar[str] = "down"
    node: NodeInfo
    """The node as it was last known."""
    reason: str
    """`goodbye` if it said so, `timeout` if it fell silent."""


@dataclass(frozen=True)
class Message:
    """A node sent a message."""

    name: ClassVar[str] = "message"
    message: Any = field(hash=False)
    """Any JSON value."""
    node: NodeInfo
    """Who sent it."""


@dataclass(frozen=True)
class Datagram:
    """A caster received a message."""

    name: ClassVar[str] = "message"
    message: Any = field(hash=False)
    """`bytes`; a JSON value if there is the middleware `json` and the datagram was JSON."""
    remote: Remote
    """Where it came from."""


@dataclass(frozen=True)
class ErrorEvent:
    """Something went wrong that the operator can mend; the node or caster goes on."""

    name: ClassVar[str] = "error"
    error: Error


NodeEvent = Union[Up, Update, Down, Message, ErrorEvent]
"""What a `caster.Node` tells."""

CasterEvent = Union[Datagram, ErrorEvent]
"""What a `caster.Caster` tells."""
