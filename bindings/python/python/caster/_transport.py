"""`Caster`: the layer below nodes."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Callable, Literal, Mapping, Optional, Type, TypeVar, overload

from ._caster import Handle
from ._convert import to_options, to_payload
from ._endpoint import Endpoint
from .events import CasterEvent, Datagram, ErrorEvent

_MessageFn = TypeVar("_MessageFn", bound=Callable[[Datagram], object])
_ErrorFn = TypeVar("_ErrorFn", bound=Callable[[ErrorEvent], object])


class Caster(Endpoint[CasterEvent]):
    """A multicast socket with a pipeline of middleware.

        caster = Caster(port=4000)
        caster.use(middleware.json(), middleware.hash())
        with caster:
            caster.send({"hello": "world"})

    What is said about options, events, threads and processes at `caster.Node` is also true
    here.
    """

    _EVENTS = ("message", "error")

    def __init__(self, options: Optional[Mapping[str, Any]] = None, /, **more: Any) -> None:
        super().__init__(Handle.caster(to_options(options, more)))
        self._where = f"{self._handle.multicast} port {self._handle.port}"

    def __repr__(self) -> str:
        return f"<caster.Caster on {self._where}>"

    def bind(self) -> None:
        """Opens the socket and joins the group.

        Raises `caster.StateError` if it is bound, `caster.NetworkError` if the system refuses;
        it is as before then.
        """
        self._open()

    def close(self) -> None:
        """Closes the socket. It can be bound again.

        Callbacks that have not begun by then never do. One that is running is waited for, for
        at most half a second.

        Raises `caster.StateError` if it is not bound.
        """
        self._close()

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

    def send(self, message: Any) -> int:
        """Sends bytes, or a JSON value if there is the middleware `json`.

        Returns the number of bytes on the wire.

        Raises TypeError or `caster.ArgumentError` if it has no JSON form or is too large for a
        datagram, `caster.StateError` if the caster is not bound, `caster.NetworkError` if the
        system refuses, `caster.MiddlewareError` if a middleware does. Nothing was sent then.
        """
        return self._walk(self._handle.send(to_payload(message)))

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

        The names are `message` (the callback gets a `caster.Datagram`) and `error`
        (`caster.ErrorEvent`). What the callback raises goes to the logger `caster`.

        Raises `caster.ArgumentError` if there is no such event.
        """
        return self._on(name, callback)

    @property
    def is_bound(self) -> bool:
        """Whether the caster is bound."""
        return self._handle.is_open
