"""`Caster`: the layer below nodes, in the blocking style."""

from __future__ import annotations

from ._blocking import Blocking
from ._common import CasterCommon

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._aio import AsyncCaster
    from ._types import CasterEvent
else:
    CasterEvent = None


class Caster(CasterCommon, Blocking[CasterEvent]):
    """A multicast socket with a pipeline of middleware.

        caster = Caster(port=4000)
        caster.use(middleware.json(), middleware.hash())
        with caster:
            caster.send({"hello": "world"})

    The notes about options, events, asyncio, threads and processes at `caster.Node` apply.
    """

    __slots__ = ("__weakref__", "_async", "_endpoint", "_where")

    def bind(self) -> None:
        """Opens the socket and joins the group.

        Raises `caster.StateError` if it is bound, `caster.NetworkError` if the system refuses;
        the caster is not bound then.
        """
        self._endpoint.open()

    def close(self) -> None:
        """Closes the socket. It can be bound again.

        Callbacks that have not started by then are not called. A running callback is awaited for
        at most half a second.

        Raises `caster.StateError` if it is not bound.
        """
        self._endpoint.close()

    async def __aenter__(self) -> AsyncCaster:
        from ._aio import AsyncCaster

        return await self._enter(AsyncCaster)
