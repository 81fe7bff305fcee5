"""`Node`: discovery, in the blocking style."""

from __future__ import annotations

from ._blocking import Blocking
from ._common import NodeCommon
from ._watcher import Watcher

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Callable, Optional

    from ._aio import AsyncNode
    from ._caster import Peer
    from ._types import NodeEvent
else:
    NodeEvent = None


class Node(NodeCommon, Blocking[NodeEvent]):
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

    async def __aenter__(self) -> AsyncNode:
        from ._aio import AsyncNode

        return await self._enter(AsyncNode)

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
