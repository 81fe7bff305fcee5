"""`AsyncNode` and `AsyncCaster`: the asyncio style."""

from __future__ import annotations

from ._common import CasterCommon, Common, Iteration, NodeCommon
from ._endpoint import Leaving
from ._loop import attach, next_event, open_on_loop
from ._watcher import Watcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Any, Callable, List, Optional, Type, TypeVar, overload

    from ._caster import Peer
    from ._types import CasterEvent, EventT, NodeEvent

    Self = TypeVar("Self", bound="Asynchronous[Any]")
else:
    EventT = NodeEvent = CasterEvent = None

    def overload(function):
        return function


_POLL = 0.1
"""How often peers are looked through while no event can be taken in, in seconds."""


def _soon(left: Optional[float]) -> float:
    return _POLL if left is None else min(left, _POLL)


class AsyncEvents(Iteration[EventT]):
    """The events of a node or caster, for `async for`.

    The iteration ends when its time is over and the events queued by then have been taken, or
    when the node or caster is closed and all events have been taken.
    """

    def __aiter__(self) -> AsyncEvents[EventT]:
        return self

    async def __anext__(self) -> EventT:
        left = self._left()
        if self._is_over(left):
            raise StopAsyncIteration
        event: Optional[EventT] = self._endpoint.pop()
        if event is None:
            event = await next_event(self._endpoint, left)
            if event is None:
                raise StopAsyncIteration
        return event


class Asynchronous(Common[EventT]):
    """Methods of `AsyncNode` and `AsyncCaster`."""

    __slots__ = ()

    @classmethod
    def _of(cls: Type[Self], other: Common[Any]) -> Self:
        """The same node or caster in this style."""
        made = cls.__new__(cls)
        for name in cls._kept:
            setattr(made, name, getattr(other, name))
        return made

    def __enter__(self) -> Any:
        raise TypeError(f"a caster.{type(self).__name__} needs `async with`, not `with`")

    def __exit__(self, *outcome: object) -> None:
        """Never called; `with` looks for it first."""

    async def __aenter__(self: Self) -> Self:
        await self._open()
        return self

    async def __aexit__(
        self,
        kind: Optional[Type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        with Leaving(error):
            if self._endpoint.is_open():
                await self._close()

    def events(self, timeout: Optional[float] = None) -> AsyncEvents[EventT]:
        """Iterates over the events, for `timeout` seconds or until this is closed.

        Events that are queued when the time is over still come.

        Raises `caster.StateError` if callbacks are registered: they get the events.
        """
        return AsyncEvents(self._endpoint, timeout)

    async def next_event(self, timeout: Optional[float] = None) -> Optional[EventT]:
        """Returns the next event; waits for it for up to `timeout` seconds, or without a limit.

        Returns None if no event came in time, or if this is closed and all events have been
        taken. A wait that is cancelled loses no event.

        Raises `caster.StateError` if callbacks are registered: they get the events.
        """
        self._endpoint.pull()
        event: Optional[EventT] = await next_event(self._endpoint, timeout)
        return event


class AsyncNode(NodeCommon, Asynchronous[NodeEvent]):
    """A node for asyncio: `async with caster.Node(...) as node` gives one.

        async with caster.Node(meta={"type": "web"}) as node:
            database = await node.wait_for(lambda n: n.meta["type"] == "db", timeout=5)
            async for event in node.events():
                print(event)

    It is a `caster.Node` whose waiting methods are coroutines. It uses no thread of Python's: the
    loop watches a descriptor, and callbacks run on the loop. Callbacks may be coroutine functions;
    each call is a task.
    """

    __slots__ = ("__weakref__", "_endpoint", "_id")

    async def up(self) -> None:
        """Joins the group and announces this node.

        Raises `caster.StateError` if it is up, `caster.NetworkError` if the system refuses; the
        node is not up then.
        """
        open_on_loop(self._endpoint)

    async def down(self) -> None:
        """Announces the departure of this node and leaves the group. The node can go up again.

        It takes some milliseconds: the announcement is repeated in case a datagram is lost.
        Callbacks that are running as tasks are awaited for at most half a second, then cancelled.

        Raises `caster.StateError` if the node is not up.
        """
        endpoint = self._endpoint
        attachment = attach(endpoint)
        if endpoint.simulation is None:
            await attachment.leave()
            endpoint.finish_close()
        else:
            endpoint.close(0)
        await attachment.finish_tasks()

    @overload
    async def wait_for(
        self,
        predicate: Optional[Callable[[Peer], object]] = None,
        timeout: Optional[float] = None,
    ) -> Peer: ...
    @overload
    async def wait_for(
        self,
        predicate: Optional[Callable[[Peer], object]] = None,
        timeout: Optional[float] = None,
        *,
        count: int,
    ) -> List[Peer]: ...
    async def wait_for(
        self,
        predicate: Optional[Callable[[Peer], object]] = None,
        timeout: Optional[float] = None,
        *,
        count: Optional[int] = None,
    ) -> Any:
        """Waits for a node that satisfies `predicate`, or for any node, and returns it.

            database = await node.wait_for(lambda n: n.meta["type"] == "db", timeout=5)
            three = await node.wait_for(count=3)

        With `count` it waits until so many of these nodes are up at once, and returns a list of
        them. A node that is up already counts. A predicate that raises LookupError, TypeError or
        AttributeError, because the metadata of a node is not as it expects, is false. No event
        is lost for callbacks and `events`.

        Raises `caster.TimeoutError` after `timeout` seconds, `caster.StateError` if this node is
        not up or goes down, and any other exception of the predicate.
        """
        endpoint = self._endpoint
        deadline = endpoint.deadline(timeout)
        endpoint.handle.check_up()
        attachment = attach(endpoint)
        watcher = Watcher(endpoint.handle.peer, predicate, count)
        endpoint.watch(watcher)
        try:
            while not watcher.done:
                left = None if deadline is None else deadline - endpoint.now()
                if left is not None and left <= 1e-6:
                    raise watcher.timed_out(timeout)
                full = endpoint.room() == 0
                await attachment.wait(_soon(left) if full else left, watcher)
                if not watcher.done:
                    endpoint.handle.check_up()
                    if full:
                        endpoint.look(watcher)
            return watcher.result()
        finally:
            endpoint.unwatch(watcher)
            attachment.relax()


class AsyncCaster(CasterCommon, Asynchronous[CasterEvent]):
    """A caster for asyncio: `async with caster.Caster(...)` gives one.

    The notes at `caster.AsyncNode` apply.
    """

    __slots__ = ("__weakref__", "_endpoint", "_where")

    async def bind(self) -> None:
        """Opens the socket and joins the group.

        Raises `caster.StateError` if it is bound, `caster.NetworkError` if the system refuses;
        the caster is not bound then.
        """
        open_on_loop(self._endpoint)

    async def close(self) -> None:
        """Closes the socket. It can be bound again.

        Callbacks that are running as tasks are awaited for at most half a second, then
        cancelled.

        Raises `caster.StateError` if it is not bound.
        """
        attachment = attach(self._endpoint)
        self._endpoint.close(0)
        await attachment.finish_tasks()
