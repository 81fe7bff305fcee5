"""`Node`: discovery."""

from __future__ import annotations

from _collections_abc import Mapping

from ._caster import Handle
from ._convert import from_json, to_json, to_options
from ._endpoint import Common, Endpoint, Events, Watcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import (
        Any,
        Callable,
        Dict,
        ItemsView,
        Iterable,
        Iterator,
        KeysView,
        List,
        Literal,
        Optional,
        Type,
        TypeVar,
        Union,
        ValuesView,
        overload,
    )

    from typing_extensions import Unpack

    from ._aio import AsyncNode
    from ._caster import (
        Conflict,
        Down,
        ErrorEvent,
        Hint,
        Isolated,
        Message,
        Peer,
        Rejoined,
        Up,
        Update,
    )
    from .options import NodeOptions
    from .testing import Network

    NodeEvent = Union[Up, Update, Down, Conflict, Isolated, Rejoined, Hint, Message, ErrorEvent]
    UpFn = TypeVar("UpFn", bound=Callable[[Up], object])
    UpdateFn = TypeVar("UpdateFn", bound=Callable[[Update], object])
    DownFn = TypeVar("DownFn", bound=Callable[[Down], object])
    ConflictFn = TypeVar("ConflictFn", bound=Callable[[Conflict], object])
    IsolatedFn = TypeVar("IsolatedFn", bound=Callable[[Isolated], object])
    RejoinedFn = TypeVar("RejoinedFn", bound=Callable[[Rejoined], object])
    HintFn = TypeVar("HintFn", bound=Callable[[Hint], object])
    MessageFn = TypeVar("MessageFn", bound=Callable[[Message], object])
    ErrorFn = TypeVar("ErrorFn", bound=Callable[[ErrorEvent], object])
    PeerMapping = Mapping[str, Peer]
else:
    NodeEvent = None
    PeerMapping = Mapping

EVENTS = (
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


class Nodes(PeerMapping):
    """The nodes that are up, by id: a read-only mapping that is always as it is now.

    A node may vanish between two looks; `copy` gives all as they are at one moment, and so do
    `items` and `values`.
    """

    __slots__ = ("_handle",)

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    def __getitem__(self, id: str) -> Peer:
        peer = self._handle.peer(id) if isinstance(id, str) else None
        if peer is None:
            raise KeyError(id)
        return peer

    def __contains__(self, id: object) -> bool:
        return isinstance(id, str) and self._handle.peer(id) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(self._handle.nodes())

    def __len__(self) -> int:
        return self._handle.node_count

    def keys(self) -> KeysView[str]:
        """The ids, as they are at this moment."""
        return self._handle.nodes().keys()

    def values(self) -> ValuesView[Peer]:
        """What is known about each, as it is at this moment."""
        return self._handle.nodes().values()

    def items(self) -> ItemsView[str, Peer]:
        """Ids and what is known about each, as it is at this moment."""
        return self._handle.nodes().items()

    def copy(self) -> Dict[str, Peer]:
        """A dict of all of them, as they are at this moment."""
        return self._handle.nodes()

    def __repr__(self) -> str:
        return f"<nodes: {', '.join(map(repr, self._handle.nodes()))}>"


class NodeCommon(Common["NodeEvent"]):
    """What nodes can do in both styles."""

    def __init__(
        self, options: Optional[Mapping[str, Any]] = None, /, **more: Unpack[NodeOptions]
    ) -> None:
        self._start(options, dict(more), None)

    def _start(
        self,
        options: Optional[Mapping[str, Any]],
        more: Mapping[str, Any],
        network: Optional[Network],
    ) -> None:
        given = to_options(options, more)
        handle = Handle.node(given, None if network is None else network._core)
        self._endpoint = Endpoint(handle, EVENTS, network)
        self._id: str = from_json(handle.id_json)

    def __repr__(self) -> str:
        return f"<caster.{type(self).__name__} {self._id}>"

    def send(self, message: Any) -> int:
        """Sends a JSON value to all other nodes. Returns the number of bytes on the wire.

        Raises TypeError or `caster.ArgumentError` if it has no JSON form or is too large for a
        datagram, `caster.StateError` if the node is not up, `caster.NetworkError` if the
        system refuses, `caster.MiddlewareError` if a middleware does. Nothing was sent then.
        """
        endpoint = self._endpoint
        sent = endpoint.handle.send(to_json(message, "the message"))
        return sent if isinstance(sent, int) else endpoint.walk(sent)

    def send_batch(self, messages: Iterable[Any]) -> int:
        """Sends many JSON values to all other nodes, several times faster than `send` one by one.

        On the wire they are single datagrams, in this order. Returns the number of bytes on the
        wire. With middleware written in Python they are sent one by one.

        Raises what `send` raises; the text names the message by its place, counted from 0. Some
        may have been sent if it is `caster.NetworkError` or `caster.MiddlewareError`, else none.
        """
        endpoint = self._endpoint
        payloads = [to_json(message, f"message {place}") for place, message in enumerate(messages)]
        if endpoint.stages:
            return sum(endpoint.walk(endpoint.handle.send(payload)) for payload in payloads)
        return endpoint.handle.send_batch(payloads)

    def set_meta(self, meta: Any) -> None:
        """Replaces the metadata by a JSON value. The others hear of it at once.

        Raises TypeError or `caster.ArgumentError` if it has no JSON form.
        """
        self._endpoint.handle.set_meta(to_json(meta, "the metadata"))

    @property
    def nodes(self) -> Nodes:
        """The nodes that are up, by id, as a read-only mapping that is always as it is now.

        After `down` it is as it was last.
        """
        handle = self._endpoint.handle
        handle.check()
        return Nodes(handle)

    def find(self, *keys: str, **values: Any) -> List[Peer]:
        """The nodes whose metadata has all these keys, and for keyword arguments these values.

            node.find("port", type="http")

        A value is any JSON value; numbers are equal if they are the same number, objects if they
        are equal in all.

        Raises TypeError or `caster.ArgumentError` if a value has no JSON form.
        """
        wanted = [(key, to_json(value, key)) for key, value in values.items()]
        return self._endpoint.handle.find([*((key, None) for key in keys), *wanted])

    if TYPE_CHECKING:

        @overload
        def on(self, name: Literal["up"]) -> Callable[[UpFn], UpFn]: ...
        @overload
        def on(self, name: Literal["up"], callback: UpFn) -> UpFn: ...
        @overload
        def on(self, name: Literal["update"]) -> Callable[[UpdateFn], UpdateFn]: ...
        @overload
        def on(self, name: Literal["update"], callback: UpdateFn) -> UpdateFn: ...
        @overload
        def on(self, name: Literal["down"]) -> Callable[[DownFn], DownFn]: ...
        @overload
        def on(self, name: Literal["down"], callback: DownFn) -> DownFn: ...
        @overload
        def on(self, name: Literal["conflict"]) -> Callable[[ConflictFn], ConflictFn]: ...
        @overload
        def on(self, name: Literal["conflict"], callback: ConflictFn) -> ConflictFn: ...
        @overload
        def on(self, name: Literal["isolated"]) -> Callable[[IsolatedFn], IsolatedFn]: ...
        @overload
        def on(self, name: Literal["isolated"], callback: IsolatedFn) -> IsolatedFn: ...
        @overload
        def on(self, name: Literal["rejoined"]) -> Callable[[RejoinedFn], RejoinedFn]: ...
        @overload
        def on(self, name: Literal["rejoined"], callback: RejoinedFn) -> RejoinedFn: ...
        @overload
        def on(self, name: Literal["hint"]) -> Callable[[HintFn], HintFn]: ...
        @overload
        def on(self, name: Literal["hint"], callback: HintFn) -> HintFn: ...
        @overload
        def on(self, name: Literal["message"]) -> Callable[[MessageFn], MessageFn]: ...
        @overload
        def on(self, name: Literal["message"], callback: MessageFn) -> MessageFn: ...
        @overload
        def on(self, name: Literal["error"]) -> Callable[[ErrorFn], ErrorFn]: ...
        @overload
        def on(self, name: Literal["error"], callback: ErrorFn) -> ErrorFn: ...
        def on(self, name: str, callback: Optional[Callable[[Any], object]] = None) -> Any: ...

    else:

        def on(self, name, callback=None):
            """Registers a callback for an event; without one it is a decorator.

            The names are `up`, `update`, `down`, `conflict`, `isolated`, `rejoined`, `hint`,
            `message` and `error`. The callback gets the event (`caster.Up` and so on). What it
            raises goes to the logger `caster`.

                @node.on("up")
                def hello(event):
                    print(event.node.id, event.node.meta)

            Callbacks run one after the other, on a daemon thread of their own, or on the event
            loop if the node is used with `async with`; there they may be coroutine functions.

            Raises `caster.ArgumentError` if there is no such event.
            """
            return self._endpoint.on(name, callback)

    @property
    def id(self) -> str:
        """The id under which others know this node."""
        return self._id

    @property
    def meta(self) -> Any:
        """The metadata, as a copy; `set_meta` changes it."""
        return from_json(self._endpoint.handle.meta_json)

    @property
    def heartbeat(self) -> int:
        """The interval of the heartbeats, in milliseconds."""
        return self._endpoint.handle.heartbeat

    @property
    def timeout(self) -> int:
        """The silence after which a node is down, at the least, in milliseconds."""
        return self._endpoint.handle.timeout

    @property
    def expose(self) -> bool:
        """Whether this node sends heartbeats."""
        return self._endpoint.handle.expose

    @property
    def is_up(self) -> bool:
        """Whether this node is up."""
        return self._endpoint.handle.is_open


class Node(NodeCommon):
    """A node: says that it is there, knows who else is, and talks with them.

        with caster.Node(meta={"type": "db", "port": 5432}) as node:
            for event in node.events(timeout=10):
                print(event)

    The same with asyncio, where `async with` gives a `caster.AsyncNode`:

        async with caster.Node(meta={"type": "web"}) as node:
            database = await node.wait_for(lambda n: n.meta["type"] == "db", timeout=5)

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

    def up(self) -> None:
        """Joins the group and announces this node.

        Raises `caster.StateError` if it is up, `caster.NetworkError` if the system refuses; it
        is as before then.
        """
        self._endpoint.open()

    def down(self) -> None:
        """Says goodbye and leaves the group. The node can go up again.

        It takes some milliseconds, in which other threads run: the goodbye is repeated, in case
        one is lost.

        Callbacks that have not begun by then never do. One that is running is waited for, for
        at most half a second.

        Raises `caster.StateError` if it is not up, or what went wrong with sending the
        goodbye; the node is down then all the same.
        """
        self._endpoint.close()

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

    async def __aenter__(self) -> AsyncNode:
        from ._aio import AsyncNode

        self._async = AsyncNode._of(self)
        return await self._async.__aenter__()

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        await self._async.__aexit__(kind, error, traceback)

    def events(self, timeout: Optional[float] = None) -> Events[NodeEvent]:
        """Iterates over the events, for `timeout` seconds or until this is down.

        What waits when the time is over still comes. It may also be used with `async for`.

        Raises `caster.StateError` if there are callbacks: they get the events.
        """
        return Events(self._endpoint, timeout)

    def next_event(self, timeout: Optional[float] = None) -> Optional[NodeEvent]:
        """Returns the next event, and waits for it for up to `timeout` seconds.

        Without a timeout it waits for as long as it takes. None if no event came in time, or
        if none will come because this is down and all events have been taken. Ctrl-C ends the
        wait. May be called from several threads; each event goes to one of them.

        Raises `caster.StateError` if there are callbacks: they get the events.
        """
        self._endpoint.pull()
        event: Optional[NodeEvent] = self._endpoint.next_event(timeout)
        return event

    def wait_for(
        self,
        predicate: Optional[Callable[[Peer], object]] = None,
        timeout: Optional[float] = None,
    ) -> Peer:
        """Waits for a node of which `predicate` is true, and returns it; without one, for any.

            database = node.wait_for(lambda n: n.meta["type"] == "db", timeout=5)

        A node that is already there counts. A predicate that raises LookupError, TypeError or
        AttributeError, because the metadata of a node is not what it expects, is false. No event
        is taken from those who want them, callbacks or `events`.

        Raises `caster.TimeoutError` after `timeout` seconds, `caster.StateError` if this node is
        not up or goes down, and what the predicate raises.
        """
        peer: Peer = self._endpoint.wait_for(Watcher(predicate), timeout)
        return peer
