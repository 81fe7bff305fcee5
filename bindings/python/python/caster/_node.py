"""`Node`: discovery, in the blocking style."""

from __future__ import annotations

from ._blocking import Blocking
from ._common import NodeCommon
from ._watcher import Watcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, List, Optional, overload

    from ._aio import AsyncNode
    from ._caster import Peer
    from ._types import NodeEvent
else:
    NodeEvent = None

    def overload(function):
        return function


class Node(NodeCommon, Blocking[NodeEvent]):
    """A node: announces itself, discovers other nodes, and exchanges messages with them.

        with caster.Node(meta={"type": "db", "port": 5432}) as node:
            for event in node.events(timeout=10):
                print(event)

    The same with asyncio, where `async with` gives a `caster.AsyncNode`:

        async with caster.Node(meta={"type": "web"}) as node:
            database = await node.wait_for(lambda n: n.meta["type"] == "db", timeout=5)

    Options are keyword arguments (`hash_secret="..."`), a mapping, or both; the names are those
    of every other language, `hashSecret` or `hash_secret`. Raises `caster.OptionError`, which
    names the option, the accepted values, and the nearest known name.

    Events come in one of two ways: to callbacks that are registered with `on`, which run on a
    daemon thread of their own, one after the other; or from `events` and `next_event`.

    All methods may be called from any thread, and from callbacks. A node belongs to the process
    that made it: in a forked child every method raises `caster.StateError`, and leaving `with`
    does nothing. A node that is up leaves the group when the interpreter exits or when its last
    reference is dropped.
    """

    __slots__ = ("__weakref__", "_async", "_endpoint", "_id")

    def up(self) -> None:
        """Joins the group and announces this node.

        Raises `caster.StateError` if it is up, `caster.NetworkError` if the system refuses; the
        node is not up then.
        """
        self._endpoint.open()

    def down(self) -> None:
        """Announces the departure of this node and leaves the group. The node can go up again.

        It takes some milliseconds, in which other threads run: the announcement is repeated in
        case a datagram is lost.

        Callbacks that have not started by then are not called. A running callback is awaited for
        at most half a second.

        Raises `caster.StateError` if the node is not up, or `caster.MiddlewareError` if a middleware
        written in Python failed on the announcement; the node is down in both cases.
        """
        self._endpoint.close()

    async def __aenter__(self) -> AsyncNode:
        from ._aio import AsyncNode

        return await self._enter(AsyncNode)

    @overload
    def wait_for(
        self,
        predicate: Optional[Callable[[Peer], object]] = None,
        timeout: Optional[float] = None,
    ) -> Peer: ...
    @overload
    def wait_for(
        self,
        predicate: Optional[Callable[[Peer], object]] = None,
        timeout: Optional[float] = None,
        *,
        count: int,
    ) -> List[Peer]: ...
    def wait_for(
        self,
        predicate: Optional[Callable[[Peer], object]] = None,
        timeout: Optional[float] = None,
        *,
        count: Optional[int] = None,
    ) -> Any:
        """Waits for a node that satisfies `predicate`, or for any node, and returns it.

            database = node.wait_for(lambda n: n.meta["type"] == "db", timeout=5)
            three = node.wait_for(count=3)

        With `count` it waits until so many of these nodes are up at once, and returns a list of
        them. A node that is up already counts. A predicate that raises LookupError, TypeError or
        AttributeError, because the metadata of a node is not as it expects, is false. No event
        is lost for callbacks and `events`.

        Raises `caster.TimeoutError` after `timeout` seconds, `caster.StateError` if this node is
        not up or goes down, and any other exception of the predicate.
        """
        endpoint = self._endpoint
        watcher = Watcher(endpoint.handle.peer, predicate, count)
        return endpoint.wait_for(watcher, timeout)
