"""Between Python's objects and what the core takes and gives: JSON text, bytes and tuples."""

from __future__ import annotations

import json
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

from .errors import ArgumentError, Error, OptionError
from .events import (
    Conflict,
    Datagram,
    Down,
    ErrorEvent,
    Hint,
    Isolated,
    Message,
    NodeInfo,
    Rejoined,
    Remote,
    Up,
    Update,
)

Payload = Union[str, bytes]
"""A message on its way to or from the core: JSON text or bytes."""

AnyEvent = Union[
    Up, Update, Down, Conflict, Isolated, Rejoined, Hint, Message, Datagram, ErrorEvent
]


def to_json(value: Any, what: str) -> str:
    """`value` as JSON text. ArgumentError or TypeError if it has none; `what` names it."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except TypeError as error:
        raise TypeError(f"{what} has no JSON form: {error}") from None
    except (ValueError, RecursionError) as error:
        text = f"{what} has no JSON form: {error}"
        raise ArgumentError(text, "INVALID_ARGUMENT") from None


def to_payload(message: Any) -> Payload:
    """Anything bytes-like as bytes, anything else as JSON text."""
    if isinstance(message, (bytes, bytearray, memoryview)):
        return bytes(message)
    return to_json(message, "the message")


def from_payload(payload: Payload) -> Any:
    """Bytes, or the value of a JSON text."""
    return payload if isinstance(payload, bytes) else json.loads(payload)


def to_options(
    given: Optional[Mapping[str, Any]], more: Mapping[str, Any]
) -> Dict[str, Payload]:
    """Options as JSON texts by name. Bytes, for secrets and keys, stay bytes."""
    options: Dict[str, Payload] = {}
    for name, value in {**(given or {}), **more}.items():
        if not isinstance(name, str):
            text = f"the name of an option has to be a string, not {name!r}"
            raise OptionError(text, "UNKNOWN_OPTION")
        try:
            options[name] = value if isinstance(value, bytes) else to_json(value, "it")
        except (TypeError, ArgumentError) as error:
            text = f"option {name}: {error}"
            raise OptionError(text, "INVALID_OPTION") from None
    return options


class _Reader:
    """Reads JSON texts; what cannot be read becomes None and a problem."""

    def __init__(self) -> None:
        self.problems: List[ErrorEvent] = []

    def value(self, payload: Optional[Payload], what: str) -> Any:
        if payload is None:
            return None
        try:
            return from_payload(payload)
        except (ValueError, RecursionError) as error:
            text = f"{what} cannot be read: {error}"
            self.problems.append(ErrorEvent(ArgumentError(text, "INVALID_ARGUMENT")))
            return None

    def node(self, raw: Tuple[Any, ...]) -> NodeInfo:
        id_json, address, first_seen, last_seen, meta, suspect, loss = raw
        id = json.loads(id_json)
        meta = self.value(meta, f"the metadata of {id!r}")
        return NodeInfo(id, address, first_seen, last_seen, meta, suspect, loss)


def to_node(raw: Tuple[Any, ...]) -> NodeInfo:
    """What is known about a node. Metadata that cannot be read is None."""
    return _Reader().node(raw)


def to_remote(raw: Tuple[Any, ...]) -> Remote:
    """Where something came from."""
    return Remote(*raw)


def to_events(raw: Tuple[Any, ...]) -> List[AnyEvent]:
    """An event of the core, and what was wrong with it if anything was.

    A message that cannot be read is lost; a node whose metadata cannot be read is not.
    """
    read = _Reader()
    event: Optional[AnyEvent]
    if raw[0] == "up":
        event = Up(read.node(raw[1]))
    elif raw[0] == "update":
        event = Update(read.node(raw[1]), raw[2])
    elif raw[0] == "down":
        event = Down(read.node(raw[1]), raw[2])
    elif raw[0] == "conflict":
        event = Conflict(json.loads(raw[1]), raw[2])
    elif raw[0] == "isolated":
        event = Isolated()
    elif raw[0] == "rejoined":
        event = Rejoined()
    elif raw[0] == "hint":
        event = Hint(raw[1])
    elif raw[0] == "message":
        node = to_node(raw[2])
        message = read.value(raw[1], f"a message from {node.id!r}")
        event = None if read.problems else Message(message, node)
    elif raw[0] == "datagram":
        remote = to_remote(raw[2])
        message = read.value(raw[1], f"a message from {remote.address}")
        event = None if read.problems else Datagram(message, remote)
    else:
        event = ErrorEvent(raw[1])
    return [*([] if event is None else [event]), *read.problems]


def lagged(lost: int) -> ErrorEvent:
    """The event that says that events were lost in this package."""
    text = f"{lost} events were lost: the program took its events too slowly"
    return ErrorEvent(Error(text, "LAGGED"))
