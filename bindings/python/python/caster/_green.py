"""Waiting where threads are green: after `gevent.monkey.patch_all()` or `eventlet.monkey_patch()`.

A thread of `threading` is then a greenlet of the calling thread. A wait in the core would stop all
greenlets, so this package waits for descriptors with `select` and `time.sleep`, which both libraries
have replaced.
"""

from __future__ import annotations

import _thread
from time import monotonic

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, List, Optional

    from ._caster import Handle, Transit

_POLL = 0.1
"""How often a wait looks whether it should end, in seconds: descriptors tell of events only."""


def is_green() -> bool:
    """Whether a library has replaced threads by greenlets."""
    start: object = _thread.start_new_thread
    return not isinstance(start, type(len))


def wait_readable(fd: int, seconds: Optional[float]) -> None:
    """Waits until a descriptor is readable; other greenlets run."""
    import select

    select.select([fd], [], [], seconds)


def pause(seconds: float) -> None:
    """Lets other greenlets run."""
    import time

    time.sleep(seconds)


def take(handle: Handle, limit: int, timeout: Optional[float]) -> Optional[List[Any]]:
    """As `Handle.take`."""
    deadline = None if timeout is None else monotonic() + timeout
    while True:
        batch = handle.take(limit, 0)
        left = _POLL if deadline is None else min(_POLL, deadline - monotonic())
        if batch is None or batch or left <= 0:
            return batch
        wait_readable(handle.fileno(), left)


def take_transits(handle: Handle, limit: int) -> Optional[List[Transit]]:
    """As `Handle.take_transits`, for `_POLL` seconds at most."""
    transits = handle.take_transits(limit, 0)
    if transits is None or transits:
        return transits
    wait_readable(handle.wake_fileno(), _POLL)
    handle.clear_wake()
    return handle.take_transits(limit, 0)
