"""The blocking style: iterating over events, `with`, and the way to the asyncio style."""

from __future__ import annotations

from ._common import Common, Iteration
from ._endpoint import Leaving

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Optional, Type, TypeVar

    from ._aio import AsyncEvents, Asynchronous
    from ._types import EventT

    Self = TypeVar("Self", bound="Blocking[Any]")
    AsyncT = TypeVar("AsyncT", bound=Asynchronous[Any])
else:
    EventT = None


class Events(Iteration[EventT]):
    """The events of a node or caster, for `for` and for `async for`.

    The iteration ends when its time is over and the events queued by then have been taken, or
    when the node or caster is closed and all events have been taken.
    """

    def __iter__(self) -> Events[EventT]:
        return self

    def __next__(self) -> EventT:
        left = self._left()
        if self._is_over(left):
            raise StopIteration
        event: Optional[EventT] = self._endpoint.pop()
        if event is None:
            event = self._endpoint.next_event(left)
            if event is None:
                raise StopIteration
        return event

    def __aiter__(self) -> AsyncEvents[EventT]:
        from ._aio import AsyncEvents

        return AsyncEvents(self._endpoint, self._timeout)


class Blocking(Common[EventT]):
    """Methods of `Node` and `Caster`."""

    __slots__ = ()

    def __enter__(self: Self) -> Self:
        self._open()
        return self

    def __exit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        with Leaving(error):
            if self._endpoint.is_open():
                self._close()

    async def _enter(self, style: Type[AsyncT]) -> AsyncT:
        """Goes on in the asyncio style."""
        entered = style._of(self)
        await entered.__aenter__()
        self._async = entered
        return entered

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        entered = self._async
        del self._async
        await entered.__aexit__(kind, error, traceback)

    def events(self, timeout: Optional[float] = None) -> Events[EventT]:
        """Iterates over the events, for `timeout` seconds or until this is closed.

        Events that are queued when the time is over still come. The iterator may also be used
        with `async for`.

        Raises `caster.StateError` if callbacks are registered, because they get the events, and when
        it is iterated before this was opened for the first time.
        """
        return Events(self._endpoint, timeout)

    def next_event(self, timeout: Optional[float] = None) -> Optional[EventT]:
        """Returns the next event; waits for it for up to `timeout` seconds, or without a limit.

        Returns None if no event came in time, or if this is closed and all events have been
        taken. Ctrl-C ends the wait. May be called from several threads; each event goes to one
        of them.

        Raises `caster.StateError` if callbacks are registered, because they get the events, and
        before this was opened for the first time.
        """
        self._endpoint.pull()
        event: Optional[EventT] = self._endpoint.next_event(timeout)
        return event
