"""`Node`: discovery."""

from __future__ import annotations

import json
from types import MappingProxyType, TracebackType
from typing import Any, Callable, Literal, Mapping, Optional, Type, TypeVar, overload

from ._caster import Handle
from ._convert import to_json, to_node, to_options
from ._endpoint import _JOIN, Endpoint
from .events import (
    Conflict,
    Down,
    ErrorEvent,
    Hint,
    Isolated,
    Message,
    NodeEvent,
    NodeInfo,
    Rejoined,
    Up,
    Update,
)

_UpFn = TypeVar("_UpFn", bound=Callable[[Up], object])
_UpdateFn = TypeVar("_UpdateFn", bound=Callable[[Update], object])
_DownFn = TypeVar("_DownFn", bound=Callable[[Down], object])
_ConflictFn = TypeVar("_ConflictFn", bound=Callable[[Conflict], object])
_IsolatedFn = TypeVar("_IsolatedFn", bound=Callable[[Isolated], object])
_RejoinedFn = TypeVar("_RejoinedFn", bound=Callable[[Rejoined], object])
_HintFn = TypeVar("_HintFn", bound=Callable[[Hint], object])
_MessageFn = TypeVar("_MessageFn", bound=Callable[[Message], object])
_ErrorFn = TypeVar("_ErrorFn", bound=Callable[[ErrorEvent], object])


class Node(Endpoint[NodeEvent]):
    """A node: says that it is there, knows who else is, and talks with them.

        with caster.Node(meta={"type": "db", "port": 5432}) as node:
            for event in node.events(timeout=10):
                print(event)

    Options are keyword arguments (`hash_secret="..."`), a mapping, or both; the names are those
    of every other language, `hashSecret` or `hash_secret`. Raises `caster.OptionError`, which
    names the option, what is accepted, and the nearest name there is.

    Events come in one of two ways: to callbacks that are registered with `on`, which run on a
    daemon thread of their own, one after the other; or from `events` and `next_event`.

    All methods may be called from any thread, and from callbacks. A node belongs to the process
    that made it: in a forked child everything but making a new one raises `caster.StateError`.
    A node that is up is taken down, with a goodbye, when the interpreter exits, or when nobody
    refers to it any more; while it is up its callbacks and middleware refer to it.
    """

    _EVENTS = (
        "up",
        "update",
        "down",
        "conflict",
        "isolated",
        "rejoined",
        "hint",
        "message",
        "error",
    )

    def __init__(self, options: Optional[Mapping[str, Any]] = None, /, **more: Any) -> None:
        super().__init__(Handle.node(to_options(options, more)))
        self._id: str = json.loads(self._handle.id_json)

    def __repr__(self) -> str:
        return f"<caster.Node {self._id}>"

    def up(self) -> None:
        """Joins the group and announces this node.

        Raises `caster.StateError` if it is up, `caster.NetworkError` if the system refuses; it
        is as before then.
        """
        self._open()

    def down(self) -> None:
        """Says goodbye and leaves the group. The node can go up again.

        It takes some milliseconds, in which other threads run: the goodbye is repeated, in case
        one is lost.

        Callbacks that have not begun by then never do. One that is running is waited for, for
        at most half a second.

        Raises `caster.StateError` if it is not up, or what went wrong with sending the
        goodbye; the node is down then all the same.
        """
        self._close()

    def _close(self, join: float = _JOIN) -> None:
        try:
            if self._stages and self._handle.is_open:
                # No heartbeat that waits for its middleware may follow the goodbye.
                self._stop_dispatcher(join)
                self._walk(self._handle.say_goodbye())
        finally:
            super()._close(join)

    def __enter__(self) -> Node:
        self.up()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        if self.is_up:
            self.down()

    def send(self, message: Any) -> int:
        """Sends a JSON value to all other nodes. Returns the number of bytes on the wire.

        Raises TypeError or `caster.ArgumentError` if it has no JSON form or is too large for a
        datagram, `caster.StateError` if the node is not up, `caster.NetworkError` if the
        system refuses, `caster.MiddlewareError` if a middleware does. Nothing was sent then.
        """
        return self._walk(self._handle.send(to_json(message, "the message")))

    def set_meta(self, meta: Any) -> None:
        """Replaces the metadata by a JSON value. The others hear of it at once.

        Raises TypeError or `caster.ArgumentError` if it has no JSON form.
        """
        self._handle.set_meta(to_json(meta, "the metadata"))

    @property
    def nodes(self) -> Mapping[str, NodeInfo]:
        """The nodes that are up, by id, as they are at this moment. It is read-only.

        After `down` it is as it was last.
        """
        infos = [to_node(raw) for raw in self._handle.nodes()]
        return MappingProxyType({info.id: info for info in infos})

    @overload
    def on(self, name: Literal["up"]) -> Callable[[_UpFn], _UpFn]: ...
    @overload
    def on(self, name: Literal["up"], callback: _UpFn) -> _UpFn: ...
    @overload
    def on(self, name: Literal["update"]) -> Callable[[_UpdateFn], _UpdateFn]: ...
    @overload
    def on(self, name: Literal["update"], callback: _UpdateFn) -> _UpdateFn: ...
    @overload
    def on(self, name: Literal["down"]) -> Callable[[_DownFn], _DownFn]: ...
    @overload
    def on(self, name: Literal["down"], callback: _DownFn) -> _DownFn: ...
    @overload
    def on(self, name: Literal["conflict"]) -> Callable[[_ConflictFn], _ConflictFn]: ...
    @overload
    def on(self, name: Literal["conflict"], callback: _ConflictFn) -> _ConflictFn: ...
    @overload
    def on(self, name: Literal["isolated"]) -> Callable[[_IsolatedFn], _IsolatedFn]: ...
    @overload
    def on(self, name: Literal["isolated"], callback: _IsolatedFn) -> _IsolatedFn: ...
    @overload
    def on(self, name: Literal["rejoined"]) -> Callable[[_RejoinedFn], _RejoinedFn]: ...
    @overload
    def on(self, name: Literal["rejoined"], callback: _RejoinedFn) -> _RejoinedFn: ...
    @overload
    def on(self, name: Literal["hint"]) -> Callable[[_HintFn], _HintFn]: ...
    @overload
    def on(self, name: Literal["hint"], callback: _HintFn) -> _HintFn: ...
    @overload
    def on(self, name: Literal["message"]) -> Callable[[_MessageFn], _MessageFn]: ...
    @overload
    def on(self, name: Literal["message"], callback: _MessageFn) -> _MessageFn: ...
    @overload
    def on(self, name: Literal["error"]) -> Callable[[_ErrorFn], _ErrorFn]: ...
    @overload
    def on(self, name: Literal["error"], callback: _ErrorFn) -> _ErrorFn: ...

    def on(self, name: str, callback: Optional[Callable[[Any], object]] = None) -> Any:
        """Registers a callback for an event; without one it is a decorator.

        The names are `up`, `update`, `down`, `conflict`, `isolated`, `rejoined`, `hint`,
        `message` and `error`. The callback gets the event (`caster.Up` and so on). What it raises
        goes to the logger `caster`. So do hints, as INFO, and errors for which there is no
        callback.

            @node.on("up")
            def hello(event):
                print(event.node.id, event.node.meta)

        Raises `caster.ArgumentError` if there is no such event.
        """
        return self._on(name, callback)

    @property
    def id(self) -> str:
        """The id under which others know this node."""
        return self._id

    @property
    def meta(self) -> Any:
        """The metadata, as a copy; `set_meta` changes it."""
        return json.loads(self._handle.meta_json)

    @property
    def heartbeat(self) -> int:
        """The interval of the heartbeats, in milliseconds."""
        return self._handle.heartbeat

    @property
    def timeout(self) -> int:
        """The silence after which a node is down, at the least, in milliseconds."""
        return self._handle.timeout

    @property
    def expose(self) -> bool:
        """Whether this node sends heartbeats."""
        return self._handle.expose

    @property
    def is_up(self) -> bool:
        """Whether this node is up."""
        return self._handle.is_open
