"""`Caster`: the layer below nodes."""

from __future__ import annotations

from ._caster import Handle
from ._convert import to_options, to_payload
from ._endpoint import Common, Endpoint, Events

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Callable, Iterable, Literal, Mapping, Optional, Type, TypeVar, Union, overload

    from typing_extensions import Unpack

    from ._aio import AsyncCaster
    from ._caster import Datagram, ErrorEvent
    from .options import CasterOptions
    from .testing import Network

    CasterEvent = Union[Datagram, ErrorEvent]
    MessageFn = TypeVar("MessageFn", bound=Callable[[Datagram], object])
    ErrorFn = TypeVar("ErrorFn", bound=Callable[[ErrorEvent], object])
else:
    CasterEvent = None

EVENTS = ("message", "error")


class CasterCommon(Common["CasterEvent"]):
    """What casters can do in both styles."""

    def __init__(
        self, options: Optional[Mapping[str, Any]] = None, /, **more: Unpack[CasterOptions]
    ) -> None:
        self._start(options, dict(more), None)

    def _start(
        self,
        options: Optional[Mapping[str, Any]],
        more: Mapping[str, Any],
        network: Optional[Network],
    ) -> None:
        given = to_options(options, more)
        handle = Handle.caster(given, None if network is None else network._core)
        self._endpoint = Endpoint(handle, EVENTS, network)
        self._where = f"{handle.multicast} port {handle.port}"

    def __repr__(self) -> str:
        return f"<caster.{type(self).__name__} on {self._where}>"

    def send(self, message: Any) -> int:
        """Sends bytes, or a JSON value if there is the middleware `json`.

        Returns the number of bytes on the wire.

        Raises TypeError or `caster.ArgumentError` if it has no JSON form or is too large for a
        datagram, `caster.StateError` if the caster is not bound, `caster.NetworkError` if the
        system refuses, `caster.MiddlewareError` if a middleware does. Nothing was sent then.
        """
        endpoint = self._endpoint
        return endpoint.walk(endpoint.handle.send(to_payload(message)))

    def send_batch(self, messages: Iterable[Any]) -> int:
        """Sends many messages, several times faster than `send` one by one.

        On the wire they are single datagrams, in this order. Returns the number of bytes on the
        wire. With middleware written in Python they are sent one by one.

        Raises what `send` raises; the text names the message by its place, counted from 0. Some
        may have been sent if it is `caster.NetworkError` or `caster.MiddlewareError`, else none.
        """
        endpoint = self._endpoint
        payloads = [to_payload(message, f"message {place}") for place, message in enumerate(messages)]
        if endpoint.stages:
            return sum(endpoint.walk(endpoint.handle.send(payload)) for payload in payloads)
        return endpoint.handle.send_batch(payloads)

    if TYPE_CHECKING:

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

            The names are `message` (the callback gets a `caster.Datagram`) and `error`
            (`caster.ErrorEvent`). What the callback raises goes to the logger `caster`.

            Raises `caster.ArgumentError` if there is no such event.
            """
            return self._endpoint.on(name, callback)

    @property
    def is_bound(self) -> bool:
        """Whether the caster is bound."""
        return self._endpoint.handle.is_open


class Caster(CasterCommon):
    """A multicast socket with a pipeline of middleware.

        caster = Caster(port=4000)
        caster.use(middleware.json(), middleware.hash())
        with caster:
            caster.send({"hello": "world"})

    What is said about options, events, asyncio, threads and processes at `caster.Node` is also
    true here.
    """

    def bind(self) -> None:
        """Opens the socket and joins the group.

        Raises `caster.StateError` if it is bound, `caster.NetworkError` if the system refuses;
        it is as before then.
        """
        self._endpoint.open()

    def close(self) -> None:
        """Closes the socket. It can be bound again.

        Callbacks that have not begun by then never do. One that is running is waited for, for
        at most half a second.

        Raises `caster.StateError` if it is not bound.
        """
        self._endpoint.close()

    def __enter__(self) -> Caster:
        self.bind()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        if self.is_bound:
            self.close()

    async def __aenter__(self) -> AsyncCaster:
        from ._aio import AsyncCaster

        self._async = AsyncCaster._of(self)
        return await self._async.__aenter__()

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        await self._async.__aexit__(kind, error, traceback)

    def events(self, timeout: Optional[float] = None) -> Events[CasterEvent]:
        """Iterates over the events, for `timeout` seconds or until this is closed.

        What waits when the time is over still comes. It may also be used with `async for`.

        Raises `caster.StateError` if there are callbacks: they get the events.
        """
        return Events(self._endpoint, timeout)

    def next_event(self, timeout: Optional[float] = None) -> Optional[CasterEvent]:
        """Returns the next event, and waits for it for up to `timeout` seconds.

        Without a timeout it waits for as long as it takes. None if no event came in time, or
        if none will come because this is closed and all events have been taken. Ctrl-C ends the
        wait. May be called from several threads; each event goes to one of them.

        Raises `caster.StateError` if there are callbacks: they get the events.
        """
        self._endpoint.pull()
        event: Optional[CasterEvent] = self._endpoint.next_event(timeout)
        return event
