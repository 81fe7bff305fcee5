"""What happens: the events, and what is known about those who caused them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, Tuple, Union

from .errors import Error

__all__ = [
    "CasterEvent",
    "Conflict",
    "Datagram",
    "Down",
    "ErrorEvent",
    "Hint",
    "Isolated",
    "Message",
    "NodeEvent",
    "NodeInfo",
    "Rejoined",
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
    suspect: bool = False
    """Whether it has been silent for too long and is being asked whether it is still there."""
    loss: float = 0.0
    """The part of its last heartbeats that did not arrive, from 0 to 1.

    It is an estimate that follows the last few dozen, and 0 for nodes that do not number their
    heartbeats, as those of caster 0.1.1.
    """


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
    reason: Literal["goodbye", "timeout", "restart"]
    """`goodbye` if it said so, `timeout` if it fell silent and nobody else had heard it either,
    `restart` if it has started anew: then it is up again at once."""


@dataclass(frozen=True)
class Conflict:
    """Two nodes have the same id, which may be the one of this node.

    At most once a minute for each id.
    """

    name: ClassVar[str] = "conflict"
    id: str
    """The id."""
    address: str
    """The IP address of the one that was heard last."""


@dataclass(frozen=True)
class Isolated:
    """This node hears nobody any more, or not even itself.

    It takes itself for cut off from the network and holds back its verdicts: nodes that it no
    longer hears stay up for a while.
    """

    name: ClassVar[str] = "isolated"


@dataclass(frozen=True)
class Rejoined:
    """This node hears others again."""

    name: ClassVar[str] = "rejoined"


@dataclass(frozen=True)
class Hint:
    """Somebody on this port cannot be understood, as one with another secret.

    It is no error: other groups may share a port. Once in ten minutes for each address.
    """

    name: ClassVar[str] = "hint"
    text: str
    """Who it is, and what may be the cause."""


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


NodeEvent = Union[Up, Update, Down, Conflict, Isolated, Rejoined, Hint, Message, ErrorEvent]
"""What a `caster.Node` tells."""

CasterEvent = Union[Datagram, ErrorEvent]
"""What a `caster.Caster` tells."""
