"""Methods of nodes and casters, common to the blocking and the asyncio style."""

from __future__ import annotations

from _collections_abc import Mapping

from ._caster import Handle
from ._convert import each, from_json, to_json, to_key, to_options, to_payload
from ._endpoint import Endpoint

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import (
        Any,
        Callable,
        Dict,
        Generic,
        ItemsView,
        Iterable,
        Iterator,
        KeysView,
        List,
        Literal,
        Optional,
        Tuple,
        TypeVar,
        Union,
        ValuesView,
        overload,
    )

    from typing_extensions import Unpack

    from ._caster import (
        Conflict,
        Datagram,
        Down,
        ErrorEvent,
        Hint,
        Isolated,
        Message,
        Peer,
        Rejoined,
        Settled,
        Up,
        Update,
    )
    from ._stats import Stats
    from ._types import CasterEvent, EventT, NodeEvent, Simulation
    from .options import CasterOptions, NodeOptions

    UpFn = TypeVar("UpFn", bound=Callable[[Up], object])
    UpdateFn = TypeVar("UpdateFn", bound=Callable[[Update], object])
    DownFn = TypeVar("DownFn", bound=Callable[[Down], object])
    ConflictFn = TypeVar("ConflictFn", bound=Callable[[Conflict], object])
    IsolatedFn = TypeVar("IsolatedFn", bound=Callable[[Isolated], object])
    RejoinedFn = TypeVar("RejoinedFn", bound=Callable[[Rejoined], object])
    SettledFn = TypeVar("SettledFn", bound=Callable[[Settled], object])
    HintFn = TypeVar("HintFn", bound=Callable[[Hint], object])
    MessageFn = TypeVar("MessageFn", bound=Callable[[Message], object])
    DatagramFn = TypeVar("DatagramFn", bound=Callable[[Datagram], object])
    ErrorFn = TypeVar("ErrorFn", bound=Callable[[ErrorEvent], object])
    PeerMapping = Mapping[str, Peer]

    class Typed(Generic[EventT]):
        """Generic for type checkers; the module typing takes long to import."""

else:
    EventT = NodeEvent = CasterEvent = None
    PeerMapping = Mapping

    class Typed:
        """Generic for type checkers; the module typing takes long to import."""

        __slots__ = ()

        def __class_getitem__(cls, item):
            return cls


NODE_EVENTS = (
    "up",
    "update",
    "down",
    "conflict",
    "isolated",
    "rejoined",
    "settled",
    "hint",
    "message",
    "error",
)
CASTER_EVENTS = ("message", "error")


class Iteration(Typed[EventT]):
    """Iterates over events; `_left` and `_is_over` say for how long."""

    def __init__(self, endpoint: Endpoint, timeout: Optional[float]) -> None:
        endpoint.pull()
        self._endpoint = endpoint
        self._timeout = timeout
        self._deadline = endpoint.deadline(timeout)
        self._rest: Optional[int] = None

    def _left(self) -> Optional[float]:
        """The seconds that are left; None without a limit."""
        if self._deadline is None:
            return None
        return max(0.0, self._deadline - self._endpoint.now())

    def _is_over(self, left: Optional[float]) -> bool:
        """Whether the time is over and the events queued by then have been taken."""
        if left is None or left > 0:
            return False
        if self._rest is None:
            self._rest = self._endpoint.queued()
        self._rest -= 1
        return self._rest < 0


class Common(Typed[EventT]):
    """Methods of nodes and casters in both styles. An attribute that they do not have cannot be set."""

    __slots__ = ()

    _endpoint: Endpoint
    _opening: str
    """The name of the method that opens: `up` or `bind`."""
    _closing: str
    """The name of the method that closes: `down` or `close`."""

    _kept: Tuple[str, ...]
    """The names of the attributes that all styles have."""

    def _open(self) -> Any:
        return getattr(self, self._opening)()

    def _close(self) -> Any:
        return getattr(self, self._closing)()

    def __reduce__(self) -> Any:
        text = f"a caster.{type(self).__name__} cannot be pickled or copied: it owns a socket and a thread; "
        raise TypeError(text + "make one in each process")

    def fileno(self) -> int:
        """A file descriptor that is readable while events are queued, for other event loops.

        When it is readable, take what `events(timeout=0)` gives. The descriptor belongs to this
        object: do not read from it and do not close it.

        Raises `caster.StateError` if callbacks are registered: they get the events.
        """
        self._endpoint.pull()
        # Nothing may be taken out of the queue that is not given to the program.
        self._endpoint.limit = 1
        return self._endpoint.handle.fileno()

    def off(self, name: str, callback: Callable[[Any], object]) -> None:
        """Removes a callback; nothing happens if it is not registered."""
        self._endpoint.off(name, callback)

    def use(self, *middleware: Any) -> None:
        """Adds middleware next to the wire: one of `caster.middleware`, or an object of yours.

        `tx` runs after, and `rx` before, the middleware that was added earlier.

        Raises `caster.MiddlewareError` if one has no name, a name that is in use, or neither
        `tx` nor `rx`; those before it are added.
        """
        self._endpoint.use(middleware)

    @property
    def middleware(self) -> Tuple[str, ...]:
        """The names of the middleware, from the program to the wire."""
        return tuple(self._endpoint.handle.stage_names)

    def stats(self) -> Stats:
        """Counters since this was made, as a dict; `caster.Stats` has each with its meaning.

        `received`, `accepted`, `dropped` (a dict by reason), `sent`, `sendErrors`, `eventsLost` and
        others, `foreign` (a dict by address) and `interfaces` (a list of dicts, empty while this is
        down). When no message is in a middleware, `received` is `accepted` plus all of `dropped`.
        """
        stats: Stats = from_json(self._endpoint.handle.stats_json())
        return stats

    @property
    def multicast(self) -> str:
        """The multicast group."""
        return self._endpoint.handle.multicast

    @property
    def address(self) -> str:
        """The local address given in the options."""
        return self._endpoint.handle.address

    @property
    def port(self) -> int:
        """The UDP port."""
        return self._endpoint.handle.port


class Nodes(PeerMapping):
    """The nodes that are up, by id: a live, read-only mapping.

    A node may leave between two calls; `copy`, `keys`, `values` and `items` each give the state
    of one moment.
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
        """The ids at this moment."""
        return self._handle.nodes().keys()

    def values(self) -> ValuesView[Peer]:
        """The peers at this moment."""
        return self._handle.nodes().values()

    def items(self) -> ItemsView[str, Peer]:
        """Pairs of id and peer at this moment."""
        return self._handle.nodes().items()

    def copy(self) -> Dict[str, Peer]:
        """A dict of ids to peers at this moment."""
        return self._handle.nodes()

    def __repr__(self) -> str:
        return f"<nodes: {', '.join(map(repr, self._handle.nodes()))}>"


class NodeCommon(Common[NodeEvent]):
    """Methods of `Node` and `AsyncNode`."""

    __slots__ = ()
    _opening, _closing = "up", "down"
    _kept = ("_endpoint", "_id")

    def __init__(
        self, options: Optional[Mapping[str, Any]] = None, /, **more: Unpack[NodeOptions]
    ) -> None:
        self._start(options, dict(more), None)

    def _start(
        self,
        options: Optional[Mapping[str, Any]],
        more: Mapping[str, Any],
        simulation: Optional[Simulation],
    ) -> None:
        given, encode = to_options(options, more)
        handle = Handle.node(given, None if simulation is None else simulation.core)
        self._endpoint = Endpoint(handle, NODE_EVENTS, simulation, encode)
        self._id: str = from_json(handle.id_json)

    def __repr__(self) -> str:
        return f"<caster.{type(self).__name__} {self._id}>"

    def send(self, message: Any) -> int:
        """Sends a JSON value to all other nodes. Returns the number of bytes on the wire.

        Raises TypeError or `caster.ArgumentError` if it has no JSON form or is too large for a
        datagram, `caster.StateError` if the node is not up, `caster.NetworkError` if the system
        refuses, `caster.MiddlewareError` if a middleware does. In each case nothing was sent.
        """
        endpoint = self._endpoint
        return endpoint.send(to_json(message, "the message", endpoint.encode))

    def send_batch(self, messages: Iterable[Any]) -> int:
        """Sends many JSON values to all other nodes, several times faster than `send` one by one.

        Each is one datagram, in this order. Returns the number of bytes on the wire. With
        middleware written in Python they are sent one by one.

        Raises what `send` raises; the text names the message by its index. If it raises
        `caster.NetworkError` or `caster.MiddlewareError`, some may have been sent, else none.
        """
        endpoint = self._endpoint
        encode = endpoint.encode
        return endpoint.send_batch(
            [to_json(message, f"message {place}", encode) for place, message in each(messages)]
        )

    def add_key(self, key: Union[bytes, str]) -> None:
        """Accepts one more key of secure mode: 32 bytes, or text.

        Add it on all nodes before one of them uses it.
        """
        self._endpoint.handle.add_key(to_key(key))

    def use_key(self, key: Union[bytes, str]) -> None:
        """Seals with this key from now on; it has to be added before."""
        self._endpoint.handle.use_key(to_key(key))

    def remove_key(self, key: Union[bytes, str], now: bool = False) -> None:
        """Accepts this key no longer: nodes that still seal with it are not heard.

        It is closed in two timeouts, or at once with `now=True`: to exclude a node that has it.
        """
        if not isinstance(now, bool):
            raise TypeError(f"now is a bool, not {now!r}")
        self._endpoint.handle.remove_key(to_key(key), now)

    def key_of(self, id: str) -> Optional[str]:
        """The id of the key that a peer sends with.

        None without secure mode, and for an id that is not up.
        """
        return self._endpoint.handle.key_of(id)

    def identity_of(self, id: str) -> Optional[str]:
        """The identity of a peer: its public key as 64 hexadecimal digits.

        None for an id that is not up or has none, and if this node has neither the option `identity` nor `trust`.
        """
        return self._endpoint.handle.identity_of(id)

    def forget_sealed(self, id: str) -> bool:
        """Accepts a peer that is not up with another identity, or with none, the next time.

        With the option `plain` it may also be plain again, although it was believed sealed. Otherwise neither is
        accepted as long as this node exists. Returns whether there was anything to forget.
        """
        return self._endpoint.handle.forget_sealed(id)

    @property
    def key_ids(self) -> List[str]:
        """The ids of the keys; the first one seals. Empty without secure mode."""
        return self._endpoint.handle.key_ids()

    def set_meta(self, meta: Any) -> None:
        """Replaces the metadata by a JSON value. It is announced to the other nodes at once.

        Raises TypeError or `caster.ArgumentError` if it has no JSON form.
        """
        endpoint = self._endpoint
        endpoint.handle.set_meta(to_json(meta, "the metadata", endpoint.encode))

    def update_meta(self, changes: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        """Changes some keys of the metadata, as `dict.update` does; None removes a key.

        The metadata has to be an object or None. It is announced to the other nodes at once.
        Changes of several threads do not undo each other.

        Raises TypeError or `caster.ArgumentError` if the metadata or the change is not an
        object or has no JSON form, or if the result is larger than `max_meta`. The metadata
        stays as it is then.
        """
        if changes is not None and not isinstance(changes, Mapping):
            raise TypeError(f"the changes are a mapping, not {type(changes).__name__}")
        endpoint = self._endpoint
        changed = {**(changes or {}), **more}
        endpoint.handle.update_meta(to_json(changed, "the metadata", endpoint.encode))

    @property
    def nodes(self) -> Nodes:
        """The nodes that are up, by id, as a live, read-only mapping.

        After `down` it keeps its last state.
        """
        handle = self._endpoint.handle
        handle.check()
        return Nodes(handle)

    def find(self, *keys: str, **values: Any) -> List[Peer]:
        """The nodes whose metadata has all these keys, with these values for keyword arguments.

            node.find("port", type="http")

        A value is any JSON value. Numbers are compared by value, objects and arrays by all their
        members.

        Raises TypeError or `caster.ArgumentError` if a value has no JSON form.
        """
        endpoint = self._endpoint
        for key in keys:
            if not isinstance(key, str):
                text = 'find takes keys as strings and values as keyword arguments, as in find("port", type="db")'
                raise TypeError(f"{text}, not {key!r}")
        wanted = [(key, to_json(value, key, endpoint.encode)) for key, value in values.items()]
        return endpoint.handle.find([*((key, None) for key in keys), *wanted])

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
        def on(self, name: Literal["settled"]) -> Callable[[SettledFn], SettledFn]: ...
        @overload
        def on(self, name: Literal["settled"], callback: SettledFn) -> SettledFn: ...
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

            The names are `up`, `update`, `down`, `conflict`, `isolated`, `rejoined`,
            `settled`, `hint`, `message` and `error`. The callback gets the event (`caster.Up` and so on). Exceptions
            that it raises are logged to the logger `caster`.

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
        """The id of this node."""
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
        """The shortest silence after which a node is down, in milliseconds."""
        return self._endpoint.handle.timeout

    @property
    def expose(self) -> bool:
        """Whether this node sends heartbeats."""
        return self._endpoint.handle.expose

    @property
    def is_up(self) -> bool:
        """Whether this node is up."""
        return self._endpoint.handle.is_open


class CasterCommon(Common[CasterEvent]):
    """Methods of `Caster` and `AsyncCaster`."""

    __slots__ = ()
    _opening, _closing = "bind", "close"
    _kept = ("_endpoint", "_where")

    def __init__(
        self, options: Optional[Mapping[str, Any]] = None, /, **more: Unpack[CasterOptions]
    ) -> None:
        self._start(options, dict(more), None)

    def _start(
        self,
        options: Optional[Mapping[str, Any]],
        more: Mapping[str, Any],
        simulation: Optional[Simulation],
    ) -> None:
        given, encode = to_options(options, more)
        handle = Handle.caster(given, None if simulation is None else simulation.core)
        self._endpoint = Endpoint(handle, CASTER_EVENTS, simulation, encode)
        self._where = f"{handle.multicast} port {handle.port}"

    def __repr__(self) -> str:
        return f"<caster.{type(self).__name__} on {self._where}>"

    def send(self, message: Any) -> int:
        """Sends bytes, or a JSON value if the middleware `json` is in use.

        Returns the number of bytes on the wire.

        Raises TypeError or `caster.ArgumentError` if it has no JSON form or is too large for a
        datagram, `caster.StateError` if the caster is not bound, `caster.NetworkError` if the
        system refuses, `caster.MiddlewareError` if a middleware does. In each case nothing was
        sent.
        """
        endpoint = self._endpoint
        return endpoint.send(to_payload(message, encode=endpoint.encode))

    def send_batch(self, messages: Iterable[Any]) -> int:
        """Sends many messages, several times faster than `send` one by one.

        Each is one datagram, in this order. Returns the number of bytes on the wire. With
        middleware written in Python they are sent one by one.

        Raises what `send` raises; the text names the message by its index. If it raises
        `caster.NetworkError` or `caster.MiddlewareError`, some may have been sent, else none.
        """
        endpoint = self._endpoint
        encode = endpoint.encode
        return endpoint.send_batch(
            [to_payload(message, f"message {place}", encode) for place, message in each(messages)]
        )

    if TYPE_CHECKING:

        @overload
        def on(self, name: Literal["message"]) -> Callable[[DatagramFn], DatagramFn]: ...
        @overload
        def on(self, name: Literal["message"], callback: DatagramFn) -> DatagramFn: ...
        @overload
        def on(self, name: Literal["error"]) -> Callable[[ErrorFn], ErrorFn]: ...
        @overload
        def on(self, name: Literal["error"], callback: ErrorFn) -> ErrorFn: ...
        def on(self, name: str, callback: Optional[Callable[[Any], object]] = None) -> Any: ...

    else:

        def on(self, name, callback=None):
            """Registers a callback for an event; without one it is a decorator.

            The names are `message` (the callback gets a `caster.Datagram`) and `error`
            (`caster.ErrorEvent`). Exceptions that it raises are logged to the logger `caster`.

            Raises `caster.ArgumentError` if there is no such event.
            """
            return self._endpoint.on(name, callback)

    @property
    def is_bound(self) -> bool:
        """Whether the caster is bound."""
        return self._endpoint.handle.is_open
