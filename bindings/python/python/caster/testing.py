"""For the tests of programs: a network in memory with a clock of its own.

    from caster.testing import Network

    network = Network(seed=1)
    with network.node(id="a") as a, network.node(id="b", meta={"type": "db"}) as b:
        assert a.wait_for(lambda n: n.meta["type"] == "db", timeout=5).id == "b"
        network.unplug(b)
        network.advance(10)
        assert not a.nodes

The network of the system is not used, waiting takes no time, and the same seed and ids give the
same course of events.
"""

from __future__ import annotations

from _weakref import ref

from . import _caster
from ._endpoint import BATCH
from ._node import Node
from ._transport import Caster

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Mapping, Optional, Union

    from typing_extensions import Unpack

    from ._aio import AsyncNode
    from ._types import Served
    from .options import CasterOptions, NodeOptions

__all__ = ["Network"]

_STEP = 0.01
"""How late callbacks may run, in seconds."""
_SECONDS = "seconds, a number that is not negative"
_SHARE = "a share from 0 to 1"
_EXACT = 1e-6
"""Differences below this are rounding errors, in seconds."""


def _number(value: Any, what: str) -> float:
    """The number; raises TypeError for anything else. The core checks the range."""
    if isinstance(value, bool) or not hasattr(value, "__float__"):
        raise TypeError(f"give {what}, not {value!r}")
    return float(value)


def _id(node: Union[Node, AsyncNode, str]) -> str:
    """The id of a node that is given by itself or by its id."""
    id = node if isinstance(node, str) else getattr(node, "id", None)
    if not isinstance(id, str):
        raise TypeError(f"give a node or its id, not {node!r}")
    return id


class _Simulation:
    """Lets virtual time pass, and runs callbacks and middleware meanwhile."""

    def __init__(self, core: _caster.Network) -> None:
        self.core = core
        self._served: List[Served] = []
        self._delivering = False

    @property
    def now(self) -> float:
        return self.core.now

    def advance(self, seconds: float) -> None:
        if not seconds >= 0:
            self.core.advance(seconds)  # It raises.
        until = self.now + seconds
        while self._has_served() and until - self.now > _EXACT:
            self.core.advance(min(_STEP, until - self.now))
            self._deliver()
        self.core.advance(max(0.0, until - self.now))

    def pump(self, endpoint: Served, limit: int, timeout: Optional[float]) -> bool:
        """Takes in events of this endpoint while time passes for all."""
        until = None if timeout is None else self.now + timeout
        while True:
            left = None if until is None else max(0.0, until - self.now)
            served = self._has_served()
            if served:
                left = _STEP if left is None else min(_STEP, left)
            batch = endpoint.handle.take(limit, left)
            if batch:
                endpoint.take_in(batch)
            if served:
                self._deliver()
            if batch is None:
                return endpoint.has_ready()
            if batch or not served or (until is not None and until - self.now <= _EXACT):
                # Without a limit an empty batch means that a whole day has passed.
                return bool(batch) or until is not None

    def serve(self, endpoint: Served) -> None:
        if endpoint.needs_serving() and endpoint not in self._served:
            self._served.append(endpoint)

    def _has_served(self) -> bool:
        self._served = [each for each in self._served if each.handle.is_open]
        return bool(self._served) and not self._delivering

    def _deliver(self) -> None:
        """Runs callbacks and middleware."""
        if self._delivering:
            return
        self._delivering = True
        try:
            for endpoint in list(self._served):
                endpoint.run_middleware(0)
                while endpoint.callbacks:
                    batch = endpoint.handle.take(BATCH, 0, False)
                    if not batch:
                        break
                    endpoint.take_in(batch)
                    endpoint.deliver()
        finally:
            self._delivering = False


class Network:
    """A network in memory with a clock of its own.

    Its nodes and casters are ordinary ones; each has an address of its own. The clock advances only
    in `advance` and in calls that wait: `events`, `next_event` and `wait_for`. Callbacks run
    inside of these calls, on the calling thread, at most 10 ms late. Timeouts are in seconds of
    the virtual clock; a wait without a timeout ends after a day.

    `seed` determines everything random: loss, delay, and when nodes answer each other.
    """

    def __init__(self, seed: int = 0) -> None:
        if not isinstance(seed, int) or isinstance(seed, bool):
            raise TypeError(f"seed: give a whole number from 0 to 2**64 - 1, not {seed!r}")
        if not 0 <= seed < 1 << 64:
            raise ValueError(f"seed: give a whole number from 0 to 2**64 - 1, not {seed}")
        self._core = _caster.Network(seed)
        self._simulation = _Simulation(self._core)
        self._made: List[ref[Union[Node, Caster]]] = []

    def __repr__(self) -> str:
        return f"<caster.testing.Network at {self.now:.3f} s>"

    def node(
        self, options: Optional[Mapping[str, Any]] = None, /, **more: Unpack[NodeOptions]
    ) -> Node:
        """A node on this network that is not yet up; with the options of `caster.Node`.

        `address`, `interfaces`, `multicast6`, `ttl` and `range` have no effect; seeds are addresses.
        """
        node = Node.__new__(Node)
        node._start(options, dict(more), self._simulation)
        self._made.append(ref(node))
        return node

    def caster(
        self, options: Optional[Mapping[str, Any]] = None, /, **more: Unpack[CasterOptions]
    ) -> Caster:
        """A caster on this network that is not yet bound; with the options of `caster.Caster`."""
        made = Caster.__new__(Caster)
        made._start(options, dict(more), self._simulation)
        self._made.append(ref(made))
        return made

    def close(self) -> None:
        """Closes all nodes and casters of this network that are up or bound. `with` does it at its end."""
        made, self._made = self._made, []
        for reference in made:
            one = reference()
            if one is not None and one._endpoint.is_open():
                one._endpoint.close(0)

    def __enter__(self) -> Network:
        return self

    def __exit__(self, *outcome: object) -> None:
        self.close()

    def advance(self, seconds: float) -> None:
        """Advances the clock. All events of that time happen, in order, before this returns.

        Raises ValueError if `seconds` is negative.
        """
        self._simulation.advance(_number(seconds, _SECONDS))

    @property
    def now(self) -> float:
        """The virtual clock, in seconds since the network was made."""
        return self._core.now

    def set_loss(self, share: float) -> None:
        """Sets the share of datagrams that are lost, from 0 to 1. The default is 0."""
        self._core.set_loss(_number(share, _SHARE))

    def set_duplicates(self, share: float) -> None:
        """Sets the share of datagrams that arrive twice, from 0 to 1. The default is 0."""
        self._core.set_duplicates(_number(share, _SHARE))

    def set_delay(self, seconds: float) -> None:
        """Sets the longest delay of a datagram, in seconds. Delays are random, so datagrams may be
        reordered. The default is 0."""
        self._core.set_delay(_number(seconds, _SECONDS))

    def unplug(self, node: Union[Node, AsyncNode, str]) -> None:
        """Disconnects a node, given itself or its id: it neither sends nor receives.

        Raises `caster.ArgumentError` if this network has no such node.
        """
        self._core.unplug(_id(node))

    def plug(self, node: Union[Node, AsyncNode, str]) -> None:
        """Connects a node again, given itself or its id.

        Raises `caster.ArgumentError` if this network has no such node.
        """
        self._core.plug(_id(node))
