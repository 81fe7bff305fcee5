"""Types that several modules share.

Modules of this package import it for type checkers only: `typing` takes long to import.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Protocol, Tuple, TypeVar, Union

from . import _caster

NodeEvent = Union[
    _caster.Up,
    _caster.Update,
    _caster.Down,
    _caster.Conflict,
    _caster.Isolated,
    _caster.Rejoined,
    _caster.Settled,
    _caster.Hint,
    _caster.Message,
    _caster.ErrorEvent,
]
"""Any event of a node."""
CasterEvent = Union[_caster.Datagram, _caster.ErrorEvent]
"""Any event of a caster."""

EventT = TypeVar("EventT")
Payload = Union[str, bytes]
"""A message as the core takes it: JSON text or bytes."""
Callback = Callable[[Any], object]


class Served(Protocol):
    """The part of an endpoint that a `Simulation` uses."""

    handle: _caster.Handle
    callbacks: Dict[str, Tuple[Callback, ...]]

    def take_in(self, batch: List[Any]) -> None: ...
    def has_ready(self) -> bool: ...
    def needs_serving(self) -> bool: ...
    def deliver(self) -> None: ...
    def run_middleware(self, timeout: float) -> bool: ...


class Simulation(Protocol):
    """The part of a network in memory that an endpoint uses; `caster.testing` has it."""

    @property
    def core(self) -> _caster.Network: ...
    @property
    def now(self) -> float: ...
    def pump(self, endpoint: Served, limit: int, timeout: Optional[float]) -> bool: ...
    def serve(self, endpoint: Served) -> None: ...


class Attachment(Protocol):
    """The part of a connection to an event loop that an endpoint uses; `caster._loop` has it."""

    def serve(self) -> None: ...
    def take_result(self, callback: Callback, result: object) -> None: ...
    def closed(self) -> None: ...
